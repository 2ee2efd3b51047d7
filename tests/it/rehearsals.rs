//! Dry runs of what moves money: what one says of the purchase, rows that only it has made among it, is what the same call
//! says once it is done.

use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{balances_are_right, billed};
use crate::support::{Backend, Client, World};

on_both_databases!(a_dry_run_says_what_comes_then);

/// All of a purchase but the ids of what is made, and when.
const ALL: &str = "purchase { id state total { amount } returned { amount } payments { provider state amount { amount } }
    invoice { state total { amount } paid { amount } credited { amount } returned { amount } outstanding { amount }
        payments { amount { amount } reference } }
    reversals { kind state amount { amount } credits reason } documents { kind number total { amount } } }";

/// Rehearses a call and then makes it; answers the purchase after it, which is as it was said to be.
async fn as_rehearsed(client: &Client, (name, kind): (&str, &str), mut input: Value, key: &str) -> Value {
    (input["idempotencyKey"], input["dryRun"]) = (json!(key), json!(true));
    let would = client.mutate(name, kind, input.clone(), ALL).await["purchase"].clone();
    input["dryRun"] = json!(false);
    let is = client.mutate(name, kind, input, ALL).await["purchase"].clone();
    assert_eq!(would, is, "{name}");
    is
}

async fn a_dry_run_says_what_comes_then(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    billed(&operator, &owner, &demo.organization, "10000.00").await;
    let start = ("startCheckout", "StartCheckoutInput");
    let record = ("recordInvoicePayment", "RecordInvoicePaymentInput");
    let refund = ("refundPurchase", "RefundPurchaseInput");
    let dollars = |amount: &str| json!({ "amount": amount, "currency": "USD" });

    let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": "k" });
    let made = owner.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
    let purchase = &made["purchase"]["id"];
    let checkout = as_rehearsed(&owner, start, json!({ "purchaseId": purchase }), "checkout").await;
    assert_eq!(checkout["payments"][0]["state"], "OPEN", "{checkout}");
    let terms = json!({ "purchaseOrder": "PO 1" });
    let input = json!({ "purchaseId": purchase, "invoice": terms });
    let invoiced = as_rehearsed(&owner, start, input, "invoice").await;
    let states: Vec<&Value> =
        invoiced["payments"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["OPEN", "CANCELLED"]);
    assert_eq!(invoiced["invoice"]["outstanding"]["amount"], "199.00");
    assert_eq!(invoiced["documents"].as_array().unwrap().len(), 1);

    let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { invoice { id } } } }";
    let invoice = owner.query(query, json!({ "id": purchase })).await["node"]["invoice"]["id"].clone();
    let input = json!({ "invoiceId": invoice, "amount": dollars("150.00"), "reference": "Bank 7" });
    let recorded = as_rehearsed(&operator, record, input, "paid").await;
    assert_eq!(recorded["invoice"]["payments"][0]["amount"]["amount"], "150.00", "{recorded}");
    let input = json!({ "purchaseId": purchase, "amount": dollars("100.00"), "reason": "Too many" });
    let credited = as_rehearsed(&operator, refund, input, "credited").await;
    let invoice = &credited["invoice"];
    assert_eq!(
        (&invoice["credited"]["amount"], &invoice["returned"]["amount"]),
        (&json!("100.00"), &json!("51.00"))
    );
    assert_eq!(credited["reversals"].as_array().unwrap().len(), 1);
    assert_eq!(credited["documents"].as_array().unwrap().len(), 3);

    // What a provider has to be asked for is rehearsed as carried out.
    let (paid, url) = owner.checkout(&demo.pool, "paid").await;
    owner.submit(&format!("{url}/pay")).await;
    let input = json!({ "purchaseId": paid, "reason": "All of it" });
    let refunded = as_rehearsed(&operator, refund, input, "refunded").await;
    assert_eq!(
        (&refunded["state"], &refunded["reversals"][0]["state"]),
        (&json!("REFUNDED"), &json!("SUCCEEDED"))
    );
    balances_are_right(&world).await;
}
