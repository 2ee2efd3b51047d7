//! Looking things up by their ids and by the other fields of the root: who sees something gets it, and everybody else
//! gets, to the byte, what they get for an id that is of nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::callers::{Caller, Outcome};
use super::needs::{Tenant, Who};
use super::roots::QUERIES;
use super::things::{Thing, Things, absent};

const NODE: &str = "query N($id: ID!) { node(id: $id) { __typename id } }";
const NODES: &str = "query N($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }";
const ENTITIES: &str =
    "query E($of: [_Any!]!) { _entities(representations: $of) { __typename ... on Node { id } } }";
const POOL: &str = "query P($id: ID!) { pool(id: $id) { id name } }";
const BY_ID: &str = "query O($id: ID!) { organization(by: { id: $id }) { id name } }";
const BY_SLUG: &str = "query O($slug: String!) { organization(by: { slug: $slug }) { id name } }";

/// A body that must be JSON.
pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Whether there is nothing in a value.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().all(is_nothing),
        _ => false,
    }
}

/// What a caller gets whom the server takes for nobody: nothing, and why.
pub fn is_turned_away(caller: &Caller, (status, text): &(u16, String), field: &str) {
    let body = parsed(text);
    let nothing = body.get("data").is_none_or(|data| is_nothing(&data[field]));
    let code = &body["errors"][0]["extensions"]["code"];
    // Who brings a proof that was good once may be recalled, until something is to be done.
    let spent = matches!(caller.who, Who::Spent);
    let refused = *status == 200 || spent && *status == 401;
    assert!(nothing && refused && code == "UNAUTHENTICATED", "{}, {field}: {status} {text}", caller.name);
}

/// Everything that can be looked up.
pub async fn all(caller: &Caller, things: &Things) {
    if !caller.is_somebody() {
        turned_away(caller, things).await;
        return;
    }
    one_by_one(caller, things).await;
    together(caller, things).await;
    for (query, _) in QUERIES.iter().filter(|(_, steps)| steps.is_empty()) {
        match *query {
            "node" | "nodes" => {}
            "organization" => organization(caller, things).await,
            "organizations" => organizations(caller, things).await,
            "pool" => pool(caller, things).await,
            "viewer" => viewer(caller).await,
            other => panic!("{other} has no case in this test"),
        }
    }
    vendors(caller, things).await;
}

async fn turned_away(caller: &Caller, things: &Things) {
    for thing in &things.all {
        let answer = caller.client.text(NODE, json!({ "id": thing.id })).await;
        is_turned_away(caller, &answer, "node");
    }
    let ids: Vec<&String> = things.all.iter().map(|thing| &thing.id).collect();
    for (document, variables, field) in [
        (NODES, json!({ "ids": ids }), "nodes"),
        (ENTITIES, json!({ "of": representations(things) }), "_entities"),
        (POOL, json!({ "id": things.named("poolId").id }), "pool"),
        (BY_ID, json!({ "id": things.named("organizationId").id }), "organization"),
        (BY_SLUG, json!({ "slug": "demo" }), "organization"),
        ("{ organizations { nodes { id } } }", json!({}), "organizations"),
        ("{ deliveries { nodes { id } } }", json!({}), "deliveries"),
        ("{ operatorApiKeys { nodes { id } } }", json!({}), "operatorApiKeys"),
        ("{ parkedPayments { nodes { id } } }", json!({}), "parkedPayments"),
        ("{ quoteRequests { nodes { id } } }", json!({}), "quoteRequests"),
    ] {
        is_turned_away(caller, &caller.client.text(document, variables).await, field);
    }
    let viewer = caller.client.text("{ viewer { operator } }", json!({})).await;
    match caller.who {
        // Who says nothing of who it is may ask who that is.
        Who::Nobody => assert_eq!(parsed(&viewer.1)["data"], json!({ "viewer": null }), "{}", viewer.1),
        _ => is_turned_away(caller, &viewer, "viewer"),
    }
}

/// The first thing of each type alone.
async fn one_by_one(caller: &Caller, things: &Things) {
    let mut known = BTreeSet::new();
    for thing in things.all.iter().filter(|thing| known.insert(thing.kind)) {
        shown_or_absent(caller, thing, NODE, "node").await;
    }
}

/// A field that finds a thing by its id shows it to who sees it, and to others what it shows of nothing.
async fn shown_or_absent(caller: &Caller, thing: &Thing, document: &str, field: &str) {
    let what = || format!("{}, {field}: {} ({})", caller.name, thing.kind, thing.name);
    let (status, text) = caller.client.text(document, json!({ "id": thing.id })).await;
    let body = parsed(&text);
    assert!(status == 200 && body.get("errors").is_none(), "{}: {status} {text}", what());
    if caller.sees(thing) {
        assert_eq!(body["data"][field]["id"], thing.id, "{} is seen", what());
        return;
    }
    assert_eq!(body["data"][field], Value::Null, "{} is not seen", what());
    let nothing = caller.client.text(document, json!({ "id": absent(&thing.id) })).await;
    assert_eq!((status, text), nothing, "{} and one that is not there", what());
}

fn representations(things: &Things) -> Vec<Value> {
    things.all.iter().map(|thing| json!({ "__typename": thing.kind, "id": thing.id })).collect()
}

/// All things at once, as clients ask for them and as a gateway does.
async fn together(caller: &Caller, things: &Things) {
    let ids: Vec<&String> = things.all.iter().map(|thing| &thing.id).collect();
    let nodes = caller.client.query(NODES, json!({ "ids": ids })).await["nodes"].clone();
    let entities = caller.client.query(ENTITIES, json!({ "of": representations(things) })).await;
    for (index, thing) in things.all.iter().enumerate() {
        let shown = match caller.sees(thing) {
            true => json!({ "__typename": thing.kind, "id": thing.id }),
            false => Value::Null,
        };
        let what = format!("{}: {} ({})", caller.name, thing.kind, thing.name);
        assert_eq!(nodes[index], shown, "{what}, as a node");
        assert_eq!(entities["_entities"][index], shown, "{what}, as an entity");
    }
    let hidden = things.all.iter().filter(|thing| !caller.sees(thing));
    let theirs: Vec<&String> = hidden.map(|thing| &thing.id).collect();
    let nobodys: Vec<String> = theirs.iter().map(|id| absent(id)).collect();
    let theirs = caller.client.text(NODES, json!({ "ids": theirs })).await;
    let nobodys = caller.client.text(NODES, json!({ "ids": nobodys })).await;
    assert_eq!(theirs, nobodys, "{}: what is hidden and what is not there", caller.name);
}

async fn organization(caller: &Caller, things: &Things) {
    let demo = things.named("organizationId");
    shown_or_absent(caller, demo, BY_ID, "organization").await;
    let (status, text) = caller.client.text(BY_SLUG, json!({ "slug": "demo" })).await;
    if caller.sees(demo) {
        assert_eq!(parsed(&text)["data"]["organization"]["id"], demo.id, "{}: {text}", caller.name);
        return;
    }
    let nothing = caller.client.text(BY_SLUG, json!({ "slug": "nowhere" })).await;
    assert_eq!((status, text), nothing, "{}", caller.name);
}

async fn organizations(caller: &Caller, things: &Things) {
    let data = caller.client.query("{ organizations { totalCount nodes { id } } }", json!({})).await;
    // Sandboxes are shown to the vendor only when they are asked for.
    let listed = |thing: &&Thing| {
        let hidden = caller.who.is_vendors() && thing.place.tenant == Tenant::Sandbox;
        thing.kind == "Organization" && caller.sees(thing) && !hidden
    };
    let shown: BTreeSet<&str> = things.all.iter().filter(listed).map(|thing| thing.id.as_str()).collect();
    let list = &data["organizations"];
    let nodes = list["nodes"].as_array().unwrap();
    let found: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    assert_eq!((found, &list["totalCount"]), (shown.clone(), &json!(shown.len())), "{}", caller.name);
}

async fn pool(caller: &Caller, things: &Things) {
    for thing in things.all.iter().filter(|thing| thing.kind == "CreditPool") {
        shown_or_absent(caller, thing, POOL, "pool").await;
    }
}

async fn viewer(caller: &Caller) {
    let query = "{ viewer { operator user { email } apiKey { id } memberships { organization { slug } } } }";
    let viewer = caller.client.query(query, json!({})).await["viewer"].clone();
    let vendors = caller.who.is_vendors();
    match &caller.who {
        Who::Person(person) => {
            let slug = |tenant: Tenant| if tenant == Tenant::Rival { "rival" } else { "demo" };
            let places: Vec<Value> = person
                .role
                .iter()
                .map(|(tenant, _)| json!({ "organization": { "slug": slug(*tenant) } }))
                .collect();
            let shown = json!({ "operator": vendors, "user": { "email": person.email }, "apiKey": null, "memberships": places });
            assert_eq!(viewer, shown, "{}", caller.name);
        }
        _ => {
            assert_eq!(
                (&viewer["user"], &viewer["memberships"]),
                (&Value::Null, &json!([])),
                "{}",
                caller.name
            );
            assert!(viewer["apiKey"]["id"].is_string() && viewer["operator"] == vendors, "{viewer}");
        }
    }
}

/// What is the vendor's alone.
async fn vendors(caller: &Caller, things: &Things) {
    for (query, steps) in
        QUERIES.iter().filter(|(_, steps)| steps.first().is_some_and(|(field, _)| field.is_empty()))
    {
        let body =
            caller.client.raw(&format!("{{ {query}(first: 1) {{ nodes {{ id }} }} }}"), json!({})).await;
        let code = &body["errors"][0]["extensions"]["code"];
        match caller.outcome(steps, things) {
            Outcome::Granted => assert!(body["data"][query]["nodes"].is_array(), "{}: {body}", caller.name),
            _ => assert!(
                body["data"][query].is_null() && code == "FORBIDDEN",
                "{}, {query}: {body}",
                caller.name
            ),
        }
    }
}
