//! The matrix of access, made from the schema as it is checked in: every field of the roots, every edge of what can be
//! found by id, every mutation and every stream, as everybody.
//!
//! `expected` says of each field which action it takes, and where; `needs` asks the domain's permission table whether a
//! caller may; a field without an entry fails, and so does an entry without a field. `looks`, `edges`, `streams` and
//! `acts` compare that with what the server answers. Nobody is shown anything of what they may not see: what is hidden
//! answers to the byte like what is not there, and what is refused changes nothing.

mod acts;
mod callers;
mod edges;
mod expected;
mod looks;
mod needs;
mod roots;
mod sdl;
mod stage;
mod streams;
mod things;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;

use bursar::global_id;
use bursar_domain::id::OrganizationId;
use futures_util::future::join_all;

use self::callers::Caller;
use self::expected::{EMPTY, FIELDS, SIGHT};
use self::needs::Tenant;
use self::roots::{LAST, MUTATIONS, OTHERWISE, QUERIES, STREAMS};
use self::sdl::Sdl;
use self::stage::Stage;
use self::things::Things;
use crate::on_both_databases;
use crate::support::schema::Schema;
use crate::support::{Backend, rows};

on_both_databases!(everybody_and_everything);

async fn everybody_and_everything(backend: Backend) {
    let (stage, sdl) = (Stage::set(backend).await, Sdl::read());
    let callers = callers::all(&stage).await;
    let things = things::all(&stage).await;
    let schema = Schema::read(&stage.owner).await;
    let acts = acts::all(&sdl, &schema);
    let before = kept(&stage, &things).await;

    let staff = callers.iter().find(|caller| caller.who.is_staff()).unwrap();
    let everything = edges::read(staff, &things, &sdl).await;
    edges::show_something(&everything, &things, &sdl);
    // Callers at once, what each of them does in its order: then nobody's answers tell of anybody else's points. Those
    // whom the server takes for nobody share theirs.
    let (people, strangers): (Vec<&Caller>, Vec<&Caller>) =
        callers.iter().partition(|caller| caller.is_somebody());
    let lanes = people.into_iter().map(|caller| vec![caller]).chain([strangers]);
    let (things, sdl, schema, acts, everything) = (&things, &sdl, &schema, &acts, &everything);
    join_all(lanes.map(|lane| async move {
        for caller in lane {
            looks::all(caller, things).await;
            let shown = edges::read(caller, things, sdl).await;
            edges::compare(caller, things, &shown, everything).await;
            streams::all(caller, things, sdl).await;
            acts::refused(caller, acts, schema, things).await;
            acts::colleagues(caller, acts, schema, things).await;
        }
    }))
    .await;
    let after = kept(&stage, things).await;
    assert!(before == after, "something that was refused has changed {:#?}", changed(&before, &after));

    let spares = &AtomicUsize::new(0);
    let doing = callers.iter().enumerate().map(|caller| acts::granted(caller, acts, schema, things, spares));
    join_all(doing).await;
    acts::last(&callers, acts, schema, things, spares).await;
}

/// All that the database keeps of the organization and of the other one, but for when keys were used.
async fn kept(stage: &Stage, things: &Things) -> Vec<String> {
    let db = &stage.world.services().context.db;
    let mut all = Vec::new();
    let organizations = things.all.iter().filter(|thing| thing.kind == "Organization");
    for organization in organizations.filter(|thing| thing.place.tenant != Tenant::Sandbox) {
        let id: OrganizationId = global_id::decode(&organization.id).unwrap();
        let rows = rows::of(db, id).await.into_iter().filter(|row| !tells_of_refusals(row));
        all.extend(rows.map(unused));
    }
    all
}

/// Whether a row is of the log in which it is recorded, some time afterwards, who was refused.
fn tells_of_refusals(row: &str) -> bool {
    let of_log = row.starts_with("audit_event ") && row.contains("action: \"refuse");
    of_log || row.starts_with("audit_head ") || row.starts_with("personal_value ")
}

/// A row without when it was used.
fn unused(row: String) -> String {
    if !row.starts_with("api_key ") {
        return row;
    }
    let (head, rest) = row.split_once("last_used_at: ").unwrap();
    format!("{head}{}", rest.split_once(", revoked_at").unwrap().1)
}

/// The rows that are in one of two states only.
fn changed<'r>(before: &'r [String], after: &'r [String]) -> Vec<&'r String> {
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (before.iter().collect(), after.iter().collect());
    before.symmetric_difference(&after).copied().collect()
}

/// Whatever is added to the schema has to be said here too: what it takes, and where.
#[test]
fn every_field_has_its_entry() {
    let sdl = Sdl::read();
    let roots = [
        ("Query", QUERIES.iter().map(|(name, _)| *name).collect::<Vec<_>>()),
        ("Mutation", MUTATIONS.iter().map(|(name, _)| *name).collect()),
        ("Subscription", STREAMS.iter().map(|(name, ..)| *name).collect()),
    ];
    for (root, entries) in roots {
        let fields: BTreeSet<&str> = sdl.fields(root).iter().map(|field| field.name.as_str()).collect();
        same(&entries, &fields, root);
    }
    let types: Vec<&str> =
        SIGHT.iter().map(|(kind, _)| *kind).filter(|kind| !things::NO_NODES.contains(kind)).collect();
    same(&types, &sdl.nodes().iter().map(String::as_str).collect(), "Node");
    let edges = sdl.edges();
    let known: BTreeSet<(&str, &str)> = FIELDS.iter().map(|(kind, field, _)| (*kind, *field)).collect();
    assert_eq!(known.len(), FIELDS.len(), "a field has two entries");
    let missing: Vec<_> =
        edges.iter().filter(|(kind, field)| !known.contains(&(kind.as_str(), field.as_str()))).collect();
    assert!(missing.is_empty(), "these fields have no entry; say what they take: {missing:?}");
    assert!(EMPTY.iter().all(|entry| known.contains(entry)), "{EMPTY:?}");
    let is_there = |(kind, name): &(&str, &str)| sdl.fields(kind).iter().any(|field| field.name == *name);
    let gone: Vec<_> = known.iter().filter(|entry| !is_there(entry)).collect();
    assert!(gone.is_empty(), "these entries are of no field: {gone:?}");
    let is_known = |name: &str| MUTATIONS.iter().chain(QUERIES).any(|(known, _)| *known == name);
    assert!(LAST.iter().all(|name| is_known(name)) && OTHERWISE.iter().all(|(name, ..)| is_known(name)));
}

/// Entries and fields are the same, each once.
fn same(entries: &[&str], fields: &BTreeSet<&str>, of: &str) {
    let known: BTreeSet<&str> = entries.iter().copied().collect();
    let missing: Vec<&&str> = fields.difference(&known).collect();
    let gone: Vec<&&str> = known.difference(fields).collect();
    assert!(missing.is_empty(), "these fields of {of} have no entry; say what they take: {missing:?}");
    assert!(gone.is_empty(), "these entries are of no field of {of}: {gone:?}");
    assert_eq!(known.len(), entries.len(), "a field of {of} has two entries");
}
