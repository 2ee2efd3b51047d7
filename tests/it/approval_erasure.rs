//! What people say about requests is kept where it can be emptied: rounds, decisions and the log hold digests of it, and
//! when somebody is forgotten it goes, everywhere, without touching what was decided.

use bursar::audit;
use bursar::clock::Clock;
use bursar_domain::approval::LinkKind;
use bursar_entity::{approval_decision, approval_reason, approval_round};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::refusal;
use crate::support::approvals::{self, Browser, decide, delegated, newest, professional};
use crate::support::caps::member;
use crate::support::{Backend, Client, World};

on_both_databases!(what_was_said_goes_with_the_person);

const EMAIL: &str = "wanda.weg@forgotten.test";

/// Where free words of people may stand.
const MAY: [(&str, &str); 5] = [
    ("approval_reason", "value"),
    ("approval_delegation", "reason"),
    ("purchase", "note"),
    ("personal_value", "value"),
    ("delivery", "facts"),
];
/// Where they never stand.
const NEVER: [(&str, &str); 5] = [
    ("approval_round", "title"),
    ("approval_round", "stages"),
    ("approval_round", "rule_name"),
    ("audit_event", "before"),
    ("audit_event", "after"),
];

/// How many rows say her name in a column.
async fn saying(world: &World, (table, column): (&str, &str)) -> i64 {
    world.number(&format!("SELECT count(*) AS n FROM {table} WHERE lower({column}) LIKE '%wanda%'")).await
}

/// Asks for the large package with a note; answers the ids of the purchase and of the request.
async fn asked(client: &Client, pool: &str, note: &str) -> (String, String) {
    let input = json!({ "poolId": pool, "package": "PROFESSIONAL", "note": note, "idempotencyKey": note });
    let fields = "purchase { id approvalRequest { id } }";
    let made = client.mutate("requestPurchase", "RequestPurchaseInput", input, fields).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made["purchase"]["id"]), text(&made["purchase"]["approvalRequest"]["id"]))
}

/// What a purchase says of why: its note, the request's reason and those of the decisions; and what is agreed to.
async fn said(client: &Client, purchase: &str) -> (Value, Value) {
    let query = "query N($id: ID!) { node(id: $id) { ... on Purchase { note approvalRequest {
        reason state contentHash decisions { reason choice } } } } }";
    let node = client.query(query, json!({ "id": purchase })).await["node"].clone();
    let request = &node["approvalRequest"];
    let words = json!([node["note"], request["reason"], request["decisions"][0]["reason"]]);
    (words, json!([request["state"], request["contentHash"], request["decisions"][0]["choice"]]))
}

/// What the log has of reasons and notes, oldest first.
async fn logged(client: &Client) -> Vec<Value> {
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 90, filter: { source: EVENT }) {
        nodes { personal { name value } } } } }"#;
    let data = client.query(query, json!({})).await;
    let nodes = data["organization"]["auditEvents"]["nodes"].as_array().unwrap().clone();
    let values = nodes.iter().rev().flat_map(|node| node["personal"].as_array().unwrap().clone());
    let words = values.filter(|value| value["name"] == "reason" || value["name"] == "note");
    words.map(|value| value["value"].clone()).collect()
}

async fn what_was_said_goes_with_the_person(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let (owner, admin) = (world.client("owner@demo.test").await, world.client("admin@demo.test").await);
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    approvals::add(&operator, &demo.organization, EMAIL, "ADMIN").await;
    let wanda = world.client(EMAIL).await;
    let person = wanda.query("{ viewer { user { id } } }", json!({})).await["viewer"]["user"]["id"].clone();
    let stages = json!([{ "name": "Any", "approvers": [{ "role": "ADMIN" }, { "role": "OWNER" }] }]);
    approvals::save(&owner, &demo.organization, professional(stages), json!({})).await;
    // She asks, and is told why not.
    let (hers, request) = asked(&wanda, &demo.pool, "Wanda needs them").await;
    let no = decide(&admin, &request, 1, "REJECT", json!({ "reason": "Wanda asks too often" })).await;
    assert_eq!(no["userErrors"], json!([]), "{no}");
    // Another asks, and she agrees: once, and for one reason.
    let (theirs, request) = asked(&admin, &demo.pool, "For the team").await;
    let yes = |reason: &str| json!({ "reason": reason, "idempotencyKey": "yes" });
    for _ in 0..2 {
        let agreed = decide(&wanda, &request, 1, "APPROVE", yes("Wanda says yes")).await;
        assert_eq!((&agreed["userErrors"], &agreed["request"]["state"]), (&json!([]), &json!("APPROVED")));
    }
    for other in [yes("Wanda says so"), json!({ "idempotencyKey": "yes" })] {
        let other = decide(&wanda, &request, 1, "APPROVE", other).await;
        assert_eq!(other["userErrors"][0]["code"], "IDEMPOTENCY_CONFLICT", "{other}");
    }
    // She takes over what another has asked for, and says why; a later change of another does not make it theirs.
    let (shared, request) = asked(&admin, &demo.pool, "For the fair").await;
    let update = async |client: &Client, round: i64, more: Value| {
        let mut input = json!({ "purchaseId": shared, "round": round });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let changed =
            client.try_mutate("updatePurchase", "UpdatePurchaseInput", input, "purchase { note }").await;
        assert_eq!(refusal(&changed).0, "none", "{changed}");
    };
    update(&wanda, 1, json!({ "note": "Wanda's own fair" })).await;
    update(&admin, 2, json!({ "package": "PROFESSIONAL" })).await;
    let place = member(&owner, "admin@demo.test").await;
    delegated(&wanda, &demo.organization, &place, 2, 9).await;
    assert_eq!(world.sql("UPDATE approval_delegation SET reason = 'Wanda is away'").await, 1);

    for place in MAY {
        assert!(saying(&world, place).await > 0, "{place:?}");
    }
    for place in NEVER {
        assert_eq!(saying(&world, place).await, 0, "{place:?}");
    }
    let (words, of_hers) = said(&owner, &hers).await;
    assert_eq!(words, json!(["Wanda needs them", "Wanda needs them", "Wanda asks too often"]));
    let (words, of_theirs) = said(&owner, &theirs).await;
    assert_eq!(words, json!(["For the team", "For the team", "Wanda says yes"]));
    let (words, of_shared) = said(&owner, &shared).await;
    assert_eq!(words, json!(["Wanda's own fair", "Wanda's own fair", null]));
    let expected = ["Wanda asks too often", "Wanda says yes", "Wanda's own fair"];
    assert_eq!(logged(&owner).await, expected);
    let letter = newest(&world, "owner@demo.test", LinkKind::Decide).await;
    let page = Browser::nobody().open(&letter.url).await;
    assert!(page.body.contains("own fair"), "{}", page.body);
    let rows = world.database.rows::<approval_reason::Entity>().await;
    assert_eq!(rows.len(), 7, "five rounds and two decisions: {rows:?}");
    let rounds = world.database.rows::<approval_round::Entity>().await;
    let decisions = world.database.rows::<approval_decision::Entity>().await;
    assert!(rounds.iter().all(|row| row.reason_hash.is_some()), "{rounds:?}");

    operator.mutate("erasePerson", "ErasePersonInput", json!({ "userId": person }), "user { id }").await;
    for place in MAY.into_iter().chain(NEVER) {
        assert_eq!(saying(&world, place).await, 0, "{place:?}");
    }
    // What was agreed to, by whom and how is as it was; what has nothing to do with her says what it said.
    assert_eq!(said(&owner, &hers).await, (json!([null, null, null]), of_hers));
    assert_eq!(said(&owner, &theirs).await, (json!(["For the team", "For the team", null]), of_theirs));
    assert_eq!(said(&owner, &shared).await, (json!([null, null, null]), of_shared));
    assert_eq!(logged(&owner).await, [Value::Null, Value::Null, Value::Null]);
    let page = Browser::nobody().open(&letter.url).await;
    assert!(page.status == 200 && !page.body.contains("own fair"), "{}", page.body);
    assert_eq!(world.database.rows::<approval_round::Entity>().await, rounds);
    assert_eq!(world.database.rows::<approval_decision::Entity>().await, decisions);
    assert_eq!(audit::verify(&world.services().context, None, |_| ()).await.unwrap(), 0);
    let rows = world.database.rows::<approval_reason::Entity>().await;
    let emptied = rows.iter().filter(|row| row.value.is_none() && row.salt.is_none());
    assert_eq!((rows.len(), emptied.count()), (7, 5), "{rows:?}");
    assert_eq!(approvals::approve(&owner, &request, 3).await, "APPROVED");
    only_emptied(&world).await;
}

/// Nobody changes what somebody has said, or takes it away: it is emptied, once.
async fn only_emptied(world: &World) {
    let superuser = sea_orm::Database::connect(&world.database.superuser).await.unwrap();
    let emptied = "UPDATE approval_reason SET value = NULL, salt = NULL, erased_at = 1";
    for sql in [
        "UPDATE approval_reason SET value = 'something else'",
        "UPDATE approval_reason SET round = 9, value = NULL, salt = NULL, erased_at = 1",
        "DELETE FROM approval_reason",
        // Some are empty: those stay as they are.
        emptied,
    ] {
        let refused = superuser.execute_unprepared(sql).await.unwrap_err().to_string();
        assert!(refused.contains("can only be emptied"), "{sql}: {refused}");
    }
    let rest = format!("{emptied} WHERE value IS NOT NULL");
    assert_eq!(superuser.execute_unprepared(&rest).await.unwrap().rows_affected(), 2);
    superuser.close().await.unwrap();
}
