//! An approval is used once: a checkout that is paid, an invoice that is asked for and a card that is charged, all at the same
//! time and for the same, bring its credits once.

use bursar::clock::Clock;
use bursar::db::Tenant;
use bursar::purchases;
use bursar::{global_id, schedule};
use bursar_domain::id::{OrganizationId, PoolId};
use bursar_entity::approval_request;
use serde_json::json;

use crate::on_both_databases;
use crate::support::acts::{at, balances_are_right, billed, invoiced};
use crate::support::approvals;
use crate::support::{Backend, Client, World, consent};

on_both_databases!(one_approval_brings_its_credits_once);

const USED: &str = "SELECT count(*) AS n FROM approval_request WHERE used_at IS NOT NULL";
const LOTS: &str = "SELECT count(*) AS n FROM lot WHERE purchase_id IS NOT NULL";

/// Begins a checkout and pays it, as far as one lets it.
async fn by_hand(client: &Client, purchase: &str, key: &str) {
    let input = json!({ "purchaseId": purchase, "idempotencyKey": key });
    let started = client.try_mutate("startCheckout", "StartCheckoutInput", input, "checkoutUrl").await;
    if let Some(url) = started["checkoutUrl"].as_str() {
        let url = url.replace("http://bursar.test", client.base());
        client.submit(&format!("{url}/pay")).await;
    }
}

async fn one_approval_brings_its_credits_once(backend: Backend) {
    let clock = Clock::set(at("2026-03-10T12:00:00Z"));
    let world = World::start_untimed(backend, clock).await;
    let (owner, manager) = (world.client("owner@demo.test").await, world.client("manager@demo.test").await);
    let demo = owner.demo().await;
    let selling = world.services().selling.clone();
    let organization: OrganizationId = global_id::decode(&demo.organization).unwrap();
    let (tenant, pool): (_, PoolId) = (Tenant::vouched(organization), global_id::decode(&demo.pool).unwrap());
    let stages = json!([{ "name": "Department", "approvers": [{ "departmentManagersOf": demo.sales }] }]);
    let rule = json!({ "name": "All", "conditions": {}, "stages": stages });
    approvals::save(&owner, &demo.organization, rule, json!({})).await;
    // Agreed to while the organization pays in advance, so that a checkout is open.
    let asked = approvals::requested(&owner, &demo.pool, "PROFESSIONAL", "by people").await;
    assert_eq!(approvals::approve(&manager, &asked.request, 1).await, "APPROVED");
    billed(&world.client("operator@bursar.test").await, &owner, &demo.organization, "10000.00").await;
    // What a pool buys by itself can be paid in a third way.
    let input = json!({ "poolId": demo.pool, "threshold": 150, "package": "STARTER" });
    let set = owner.mutate("setAutoTopUp", "SetAutoTopUpInput", input, "setupUrl").await;
    let url = set["setupUrl"].as_str().unwrap().replace("http://bursar.test", owner.base());
    let code = consent::code(&selling.keys, &url);
    let form = [("choice", "pays"), ("code", code.as_str())];
    assert_eq!(owner.http().post(&url).form(&form).send().await.unwrap().status().as_u16(), 200);
    purchases::top_up(&selling, tenant, pool).await.unwrap();
    let rows = world.database.rows::<approval_request::Entity>().await;
    let row = rows.iter().find(|row| row.state.as_str() == "PENDING").unwrap();
    let (request, by_itself) = (global_id::encode(row.id), global_id::encode(row.purchase_id));
    assert_eq!(approvals::approve(&manager, &request, 1).await, "APPROVED");
    let (lots, used, before) =
        (world.number(LOTS).await, world.number(USED).await, owner.balance(&demo.pool).await.0);
    for (number, (purchase, credits)) in [(&by_itself, 100), (&asked.purchase, 600)].into_iter().enumerate() {
        let brought = i64::try_from(number).unwrap() + 1;
        let key = |way: &str| format!("{way} {number}");
        let (first, second, paper, more) = (key("first"), key("second"), key("paper"), key("more paper"));
        // Who comes too late is told so, and some of the answers say that somebody else is at it.
        let (_, _, one, two, _, _) = tokio::join!(
            by_hand(&owner, purchase, &first),
            by_hand(&owner, purchase, &second),
            invoiced(&owner, purchase, &paper),
            invoiced(&owner, purchase, &more),
            purchases::top_up(&selling, tenant, pool),
            purchases::top_up(&selling, tenant, pool),
        );
        let issued = [&one, &two].into_iter().filter(|answer| answer["invoice"].is_object()).count();
        assert!(issued <= 1, "{one} {two}");
        // Then one after another, however far that went.
        purchases::top_up(&selling, tenant, pool).await.unwrap();
        schedule::run_once(&selling).await.unwrap();
        by_hand(&owner, purchase, &key("late")).await;
        invoiced(&owner, purchase, &key("last")).await;
        assert_eq!((world.number(LOTS).await, world.number(USED).await), (lots + brought, used + brought));
        assert_eq!(owner.balance(&demo.pool).await.0, before + credits);
    }
    balances_are_right(&world).await;
}
