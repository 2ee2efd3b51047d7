//! A draft of an approval policy is tried on past purchases: which it would have asked about, and not a trace of it.

use bursar::clock::Clock;
use bursar::db::{Tenant, work};
use bursar::global_id;
use bursar_domain::id::{Id, PurchaseId};
use bursar_domain::ledger::Key;
use bursar_entity::purchase;
use sea_orm::{EntityTrait, IntoActiveModel};
use serde_json::{Value, json};

use crate::approval_policies::{by_owner, dollars, simulate};
use crate::on_both_databases;
use crate::support::acts::{at, refusal};
use crate::support::client::Demo;
use crate::support::{Backend, Client, World};

on_both_databases!(a_draft_is_tried);

const MARCH: &str = "2026-03-10T12:00:00Z";

/// Requests a package for the demonstration's pool, and answers the purchase.
pub async fn buy(client: &Client, demo: &Demo, package: &str, key: &str) -> Value {
    let input = json!({ "poolId": demo.pool, "package": package, "idempotencyKey": key });
    let fields = "purchase { id state total { amount } }";
    client.mutate("requestPurchase", "RequestPurchaseInput", input, fields).await["purchase"].clone()
}

async fn a_draft_is_tried(backend: Backend) {
    let clock = Clock::set(at(MARCH));
    let world = World::start_untimed(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let organization = demo.organization.as_str();
    let large = buy(&world.client("admin@demo.test").await, &demo, "PROFESSIONAL", "a").await["id"].clone();
    // Tokens do not last so long.
    clock.turn(at("2026-03-20T12:00:00Z"));
    let second = buy(&world.client("owner@demo.test").await, &demo, "STARTER", "b").await["id"].clone();
    clock.turn(at("2026-04-02T12:00:00Z"));
    let owner = world.client("owner@demo.test").await;
    let third = buy(&owner, &demo, "STARTER", "c").await["id"].clone();
    clock.turn(at("2026-04-03T11:00:00Z"));
    let owner = world.client("owner@demo.test").await;
    let fourth = buy(&owner, &demo, "STARTER", "d").await["id"].clone();
    let input = json!({ "purchaseId": fourth });
    owner.mutate("cancelPurchase", "CancelPurchaseInput", input, "purchase { state }").await;
    clock.turn(at("2026-04-03T12:00:00Z"));
    let fifth = buy(&owner, &demo, "STARTER", "e").await["id"].clone();

    let rows = "SELECT (SELECT count(*) FROM audit_event) + (SELECT count(*) FROM approval_policy)
        + (SELECT count(*) FROM approval_request) + (SELECT count(*) FROM timed_task) AS n";
    let before = world.number(rows).await;
    let sent = |simulated: &Value| -> Vec<Value> {
        assert_eq!(simulated["userErrors"], json!([]), "{simulated}");
        let list = simulated["simulation"]["purchases"].as_array().unwrap();
        assert_eq!(simulated["simulation"]["wouldAsk"], list.len());
        list.iter().map(|one| one["purchase"]["id"].clone()).collect()
    };
    // The Starter package is USD 199.00, the Professional one USD 899.00; the demonstration has bought one Starter.
    for (days, conditions, considered, expected) in [
        (90, json!({ "totalFrom": dollars("199.01") }), 6, vec![&large]),
        (90, json!({ "roles": ["ADMIN"] }), 6, vec![&large]),
        (90, json!({ "roles": ["MEMBER"] }), 6, vec![]),
        (90, json!({ "monthToDateFrom": dollars("1297.00") }), 6, vec![&second]),
        (90, json!({ "monthToDateFrom": dollars("1297.01") }), 6, vec![]),
        // The month began before the days that are looked at.
        (14, json!({ "monthToDateFrom": dollars("1297.00") }), 4, vec![&second]),
        (13, json!({ "creditsTo": 100, "poolIds": [demo.pool] }), 3, vec![&fifth, &fourth, &third]),
        // What was withdrawn counts for itself, and not for those after it.
        (3, json!({ "monthToDateFrom": dollars("398.00") }), 3, vec![&fifth, &fourth]),
        (3, json!({ "monthToDateFrom": dollars("398.01") }), 3, vec![]),
    ] {
        let simulated = simulate(&owner, organization, days, by_owner(conditions.clone())).await;
        assert_eq!(sent(&simulated).iter().collect::<Vec<_>>(), expected, "{conditions}");
        let part = |name: &str| simulated["simulation"][name].clone();
        assert_eq!(
            (part("considered"), part("truncated")),
            (json!(considered), json!(false)),
            "{conditions}"
        );
        for one in simulated["simulation"]["purchases"].as_array().unwrap() {
            assert_eq!(
                (&one["ruleName"], &one["stages"], &one["wasAsked"]),
                (&json!("Large"), &json!(1), &json!(false))
            );
        }
    }
    for days in [0, 367] {
        let refused = simulate(&owner, organization, days, by_owner(json!({}))).await;
        assert_eq!(refusal(&refused), ("INVALID".to_owned(), "days".to_owned()), "{refused}");
    }
    assert_eq!(world.number(rows).await, before, "nothing was written");

    // At most a thousand are looked at, the newest.
    copies(&world, organization, &fifth, 1_000).await;
    let simulated =
        simulate(&owner, organization, 366, by_owner(json!({ "totalFrom": dollars("500") }))).await;
    let part = |name: &str| simulated["simulation"][name].clone();
    assert_eq!(
        (part("considered"), part("truncated"), part("wouldAsk")),
        (json!(1_000), json!(true), json!(0))
    );
    let simulated = simulate(&owner, organization, 366, by_owner(json!({}))).await;
    let shown = sent(&simulated);
    assert_eq!((shown.len(), &shown[0]), (1_000, &fifth));
}

/// Purchases like one, asked for a second before it.
async fn copies(world: &World, organization: &str, purchase: &Value, count: u128) {
    let tenant = Tenant::vouched(global_id::decode(organization).unwrap());
    let id: PurchaseId = global_id::decode(purchase.as_str().unwrap()).unwrap();
    let copied = work(move |txn| {
        Box::pin(async move {
            let rows = tenant.lookup::<purchase::Entity, _>(txn, purchase::Column::Id, [id]).await?;
            let row = rows.first().unwrap();
            let copy = |number: u128| purchase::Model {
                id: PurchaseId::from_u128(number),
                idempotency_key: Key(number.to_be_bytes()),
                created_at: row.created_at.plus_seconds(-1),
                ..row.clone()
            };
            for number in 1..=count {
                let row = copy(number).into_active_model();
                purchase::Entity::insert(row).exec_without_returning(txn).await?;
            }
            Ok(())
        })
    });
    world.services().context.db.write(tenant, copied).await.unwrap();
}
