//! What the vendor has quoted and people have agreed to: it stays as it was quoted whatever else is changed, and when it holds no
//! more there is another round at the contract's price, or the vendor is asked again.

use bursar::clock::Clock;
use bursar::schedule;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{at, refusal};
use crate::support::approvals::{self, Asked};
use crate::support::{Backend, Client, World};

on_both_databases!(what_was_quoted_runs_out);

/// Starts a checkout, and answers the payload whatever it says.
async fn begin(client: &Client, asked: &Asked, key: &str) -> Value {
    let input = json!({ "purchaseId": asked.purchase, "idempotencyKey": key });
    let fields = "payment { id } purchase { state }";
    client.try_mutate("startCheckout", "StartCheckoutInput", input, fields).await
}

async fn what_was_quoted_runs_out(backend: Backend) {
    let clock = Clock::set(at("2026-03-10T12:00:00Z"));
    let world = World::start_untimed(backend, clock.clone()).await;
    let selling = world.services().selling.clone();
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let stages = json!([{ "name": "Department", "approvers": [{ "departmentManagersOf": demo.sales }] }]);
    let rule = json!({ "name": "All", "conditions": {}, "stages": stages });
    approvals::save(&owner, &demo.organization, rule, json!({})).await;
    let (admin, manager) = (world.client("admin@demo.test").await, world.client("manager@demo.test").await);
    let operator = world.client("operator@bursar.test").await;
    let input = json!({ "poolId": demo.pool, "credits": 2_000, "idempotencyKey": "quote" });
    let quote = admin.mutate("requestQuote", "RequestQuoteInput", input, "quote { id }").await;
    let quote = quote["quote"]["id"].clone();
    let price = json!({ "price": { "total": { "amount": "3000.00", "currency": "USD" } } });
    let input = json!({ "quoteId": quote, "answer": price, "idempotencyKey": "answer" });
    operator.mutate("answerQuote", "AnswerQuoteInput", input, "quote { state }").await;
    let input = json!({ "poolId": demo.pool, "quoteId": quote, "idempotencyKey": "bought" });
    let fields = "purchase { id validUntil approvalRequest { id } }";
    let made = admin.mutate("requestPurchase", "RequestPurchaseInput", input, fields).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let purchase = &made["purchase"];
    let asked = Asked { purchase: text(&purchase["id"]), request: text(&purchase["approvalRequest"]["id"]) };
    let state = async |client: &Client| {
        let query = "query Q($id: ID!) { node(id: $id) { ... on Quote { state purchase { id } } } }";
        client.query(query, json!({ "id": quote })).await["node"].clone()
    };
    // Whatever else is changed, it costs what was quoted, for as long as it did.
    clock.turn(clock.now().plus_seconds(60));
    let input =
        json!({ "purchaseId": asked.purchase, "round": 1, "purchaseOrder": "PO 9", "note": "Houses" });
    let fields = "purchase { state validUntil total { amount } priceBasis approvalRequest { round } }";
    let edited = admin.mutate("updatePurchase", "UpdatePurchaseInput", input, fields).await;
    let expected = json!({ "state": "PENDING_APPROVAL", "validUntil": purchase["validUntil"],
        "total": { "amount": "3000.00" }, "priceBasis": "QUOTE", "approvalRequest": { "round": 2 } });
    assert_eq!(edited["purchase"], expected);
    assert_eq!(state(&admin).await, json!({ "state": "USED", "purchase": { "id": asked.purchase } }));
    assert_eq!(approvals::approve(&manager, &asked.request, 2).await, "APPROVED");
    // It holds no more, and so many have no price: the vendor is asked again, once, and whoever wants to pay is told so.
    clock.turn(clock.now().plus_days(60));
    let admin = world.client("admin@demo.test").await;
    let quotes = "SELECT count(*) AS n FROM quote WHERE credits = 2000";
    let lapsed = "SELECT count(*) AS n FROM delivery WHERE facts LIKE '%\"LAPSED\"%'";
    for key in ["late", "later"] {
        let late = begin(&admin, &asked, key).await;
        assert_eq!(refusal(&late).0, "QUOTE_EXPIRED", "{late}");
        let message = late["userErrors"][0]["message"].as_str().unwrap();
        assert!(message.contains("vendor has been asked"), "{message}");
        assert_eq!(late["payment"], Value::Null);
        assert_eq!(world.number(quotes).await, 2);
        // The purchase comes to its end, and those who have asked hear of that once.
        schedule::run_once(&selling).await.unwrap();
        assert_eq!(approvals::shown(&admin, &asked.purchase).await["state"], "EXPIRED");
        assert_eq!(world.number(lapsed).await, 1);
    }
    let open = format!("{quotes} AND state = 'REQUESTED'");
    assert_eq!(world.number(&open).await, 1);
    // A contract has a price for so many since: everybody is asked anew, at that one.
    let operator = world.client("operator@bursar.test").await;
    let input = json!({ "organizationId": demo.organization, "fromCredits": 2_000, "unitPrice": "1.20" });
    operator.mutate("setContractPrice", "SetContractPriceInput", input, "contractPrice { id }").await;
    clock.turn(clock.now().plus_seconds(60));
    let anew = begin(&admin, &asked, "contract").await;
    assert_eq!(refusal(&anew).0, "QUOTE_EXPIRED", "{anew}");
    let shown = approvals::shown(&admin, &asked.purchase).await;
    let request = &shown["approvalRequest"];
    assert_eq!(
        (&shown["state"], &request["round"], &request["cause"], &request["total"]["amount"]),
        (&json!("PENDING_APPROVAL"), &json!(3), &json!("PRICE_EXPIRED"), &json!("2400.00"))
    );
}
