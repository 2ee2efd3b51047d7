//! All fields of all things that a caller sees: what takes more than seeing the object is there for those who have it,
//! and no edge leads to anything that its id does not lead to.
//!
//! What the vendor's staff sees, who see everything, is what there is. Of that everybody sees what they see by its id,
//! neither more nor less. People are named by rows of the organization: to people as long as they belong to it, to keys
//! when these may see who does.

use std::collections::BTreeSet;

use bursar_domain::permission::Action;
use serde_json::{Value, json};

use super::callers::Caller;
use super::expected::{EMPTY, FIELDS, Take};
use super::needs::{At, Need};
use super::sdl::{PAGE, Sdl};
use super::things::{Thing, Things};

/// What a caller is shown of a thing: its fields, and those that they are told they may not see.
pub struct Shown {
    value: Value,
    forbidden: BTreeSet<String>,
}

/// How many ids are asked for at once.
const AT_ONCE: usize = 100;

/// All fields of all things, in their order; none of those that the caller does not see.
pub async fn read(caller: &Caller, things: &Things, sdl: &Sdl) -> Vec<Option<Shown>> {
    let mut shown: Vec<Option<Shown>> = things.all.iter().map(|_| None).collect();
    for kind in sdl.nodes() {
        let seen = |(_, thing): &(usize, &Thing)| thing.kind == kind && caller.sees(thing);
        let seen: Vec<(usize, &Thing)> = things.all.iter().enumerate().filter(seen).collect();
        if seen.is_empty() {
            continue;
        }
        let fields = sdl.selection(kind);
        let document =
            format!("query F($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on {kind} {{ {fields} }} }} }}");
        let ids: Vec<&String> = seen.iter().map(|(_, thing)| &thing.id).collect();
        let body = caller.client.raw(&document, json!({ "ids": ids })).await;
        let mut forbidden = vec![BTreeSet::new(); seen.len()];
        for error in body["errors"].as_array().into_iter().flatten() {
            let at = |part: usize| error["path"][part].clone();
            assert_eq!(error["extensions"]["code"], "FORBIDDEN", "{}, {kind}: {body}", caller.name);
            let index = at(1).as_u64().and_then(|index| usize::try_from(index).ok());
            let of = index.and_then(|index| forbidden.get_mut(index));
            let of = of.unwrap_or_else(|| panic!("{}, {kind}: {body}", caller.name));
            of.insert(at(2).as_str().unwrap_or_default().to_owned());
        }
        for (place, ((index, thing), forbidden)) in seen.into_iter().zip(forbidden).enumerate() {
            let value = body["data"]["nodes"][place].clone();
            assert_eq!(value["id"], thing.id, "{} sees {} ({}): {body}", caller.name, kind, thing.name);
            shown[index] = Some(Shown { value, forbidden });
        }
    }
    shown
}

/// Of each field something is shown by one of the things, or nothing would be found out.
pub fn show_something(everything: &[Option<Shown>], things: &Things, sdl: &Sdl) {
    for (kind, field, _) in FIELDS.iter().filter(|(kind, ..)| sdl.nodes().contains(*kind)) {
        let of = things.all.iter().zip(everything).filter(|(thing, _)| thing.kind == *kind);
        let some = of.filter_map(|(_, shown)| shown.as_ref()).any(|shown| is_something(&shown.value[*field]));
        let known = EMPTY.contains(&(*kind, *field));
        assert!(some != known, "{kind}.{field} shows {} of the things", if some { "one" } else { "none" });
    }
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => match fields.get("nodes") {
            Some(nodes) => is_something(nodes),
            None => true,
        },
        _ => true,
    }
}

/// Compares what a caller is shown with what there is.
pub async fn compare(
    caller: &Caller,
    things: &Things,
    shown: &[Option<Shown>],
    everything: &[Option<Shown>],
) {
    if !caller.is_somebody() {
        assert!(shown.iter().all(Option::is_none), "{} sees something", caller.name);
        return;
    }
    let ids = all_ids(everything);
    let found = seen_of(caller, &ids).await;
    for (index, thing) in things.all.iter().enumerate() {
        let (Some(shown), Some(all)) = (&shown[index], &everything[index]) else { continue };
        let told: BTreeSet<&str> = shown.forbidden.iter().map(String::as_str).collect();
        let wanted: BTreeSet<&str> =
            takes(thing).filter(|(_, take)| is_told(caller, thing, *take)).map(|(field, _)| field).collect();
        let what = format!("{}: {} ({})", caller.name, thing.kind, thing.name);
        assert_eq!(told, wanted, "{what}: fields that are forbidden");
        for (field, take) in takes(thing) {
            let (value, full) = (&shown.value[field], &all.value[field]);
            let what = || format!("{what}, {field}: {value} of {full}");
            if wanted.contains(field)
                || matches!(take, Take::Hides(needs) if !caller.meets(needs, &thing.place))
            {
                assert!(value.is_null(), "{}", what());
                continue;
            }
            if matches!(take, Take::Empties(needs) if !caller.meets(needs, &thing.place)) {
                assert_eq!(value, &json!([]), "{}", what());
                continue;
            }
            if !matches!(take, Take::Leads) {
                assert_eq!(value.is_null(), full.is_null(), "{}", what());
            }
            let people = caller.who.sees_people(&thing.place);
            let named = |id: &String| caller.who.is_staff() || people && things.people.contains(id);
            let seen = |id: &String| is_of_no_node(id) || found.contains(id);
            let is_shown = |id: &String| if is_of_person(id) { named(id) } else { seen(id) };
            let wanted: BTreeSet<String> = ids_of(full).into_iter().filter(is_shown).collect();
            assert_eq!(ids_of(value), wanted, "{}", what());
            assert!(counts_what_it_shows(value), "{}", what());
        }
        if thing.kind == "Organization" {
            permissions(caller, thing, &shown.value["viewerPermissions"]);
        }
    }
}

/// The entries for a thing.
fn takes(thing: &Thing) -> impl Iterator<Item = (&'static str, Take)> + '_ {
    FIELDS.iter().filter(|(kind, ..)| *kind == thing.kind).map(|(_, field, take)| (*field, *take))
}

/// Whether the caller is told that they may not see a field.
fn is_told(caller: &Caller, thing: &Thing, take: Take) -> bool {
    match take {
        Take::Free | Take::Leads | Take::Hides(_) | Take::Empties(_) => false,
        Take::Takes(needs) => !caller.meets(needs, &thing.place),
        Take::Named(needs) => !caller.meets(needs, &thing.place) || !caller.who.sees_people(&thing.place),
    }
}

/// What the organization says that the caller may do is what the table says.
fn permissions(caller: &Caller, thing: &Thing, said: &Value) {
    let may = |action: &&Action| caller.meets(&[Need::May(**action, At::Whole)], &thing.place);
    let allowed: Vec<&str> = Action::ALL.iter().filter(may).map(|action| action.name()).collect();
    assert_eq!(said, &json!(allowed), "{}", caller.name);
}

/// Whether an id is of something that is found by nobody, and shown with what it is a part of: a way of paying, a
/// delegation.
fn is_of_no_node(id: &str) -> bool {
    id.starts_with("method_") || id.starts_with("delegation_")
}

fn is_of_person(id: &str) -> bool {
    id.starts_with("user_") || id.starts_with("member_")
}

/// The ids of all that a value has in it.
fn ids_of(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("id").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(ids_of)).collect()
        }
        Value::Array(items) => items.iter().flat_map(ids_of).collect(),
        _ => BTreeSet::new(),
    }
}

/// Those of all things, but for people's.
fn all_ids(everything: &[Option<Shown>]) -> BTreeSet<String> {
    let ids = everything.iter().flatten().flat_map(|shown| ids_of(&shown.value));
    ids.filter(|id| !is_of_person(id)).collect()
}

/// Which of some ids lead somewhere.
async fn seen_of(caller: &Caller, ids: &BTreeSet<String>) -> BTreeSet<String> {
    let (ids, mut found) = (ids.iter().collect::<Vec<_>>(), BTreeSet::new());
    for ids in ids.chunks(AT_ONCE) {
        let query = "query N($ids: [ID!]!) { nodes(ids: $ids) { id } }";
        found.extend(ids_of(&caller.client.query(query, json!({ "ids": ids })).await));
    }
    found
}

/// Whether a list counts what it shows, and nothing beside it.
fn counts_what_it_shows(value: &Value) -> bool {
    match (value["nodes"].as_array(), value["totalCount"].as_u64()) {
        (Some(nodes), Some(count)) => nodes.len() == PAGE || usize::try_from(count) == Ok(nodes.len()),
        _ => true,
    }
}
