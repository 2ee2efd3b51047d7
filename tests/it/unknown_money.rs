//! Money that names nothing of ours, and messages that are not understood. Parts of the test of payments' messages, whose
//! server they use.

use serde_json::{Value, json};

use crate::payment_events::{PART, parked};
use crate::stripe_checkout::{Shop, stands};

/// Money that names nothing of ours: once for each payment, whatever tells of it; and what is ours all the same is booked.
pub async fn not_of_our_making(shop: &Shop) {
    let Shop { stripe, world, .. } = shop;
    let (before, lots) = (parked(shop).await["UNKNOWN"], shop.lots().await);
    let intent = |id: &str| {
        let object = json!({ "id": id, "object": "payment_intent", "status": "succeeded", "amount": 700,
            "amount_received": 700, "currency": "usd", "metadata": { "shop": "another" } });
        stripe.event("payment_intent.succeeded", object)
    };
    let session = |id: &str, more: Value| {
        let mut object = json!({ "id": id, "object": "checkout.session", "payment_status": "paid", "amount_total": 700,
            "currency": "usd", "metadata": {} });
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stripe.event("checkout.session.completed", object)
    };
    // A payment and its checkout; a subscription, whose payment is known to its bill alone, in both orders; a trial.
    let plan = |payment: &str| json!({ "mode": "subscription", "payment_intent": null, "invoice": stripe.bill(payment) });
    let trial = json!({ "mode": "subscription", "payment_status": "no_payment_required", "amount_total": 0 });
    let told = [
        intent("pi_1Foreign"),
        session("cs_1Foreign", json!({ "mode": "payment", "payment_intent": "pi_1Foreign" })),
        intent("pi_1Plan"),
        session("cs_1Plan", plan("pi_1Plan")),
        session("cs_2Plan", plan("pi_2Plan")),
        intent("pi_2Plan"),
        session("cs_1Trial", trial),
    ];
    for event in told.iter().chain(&told) {
        assert_eq!(stripe.send(world, event).await, 200, "{}", event.kind);
    }
    assert_eq!(parked(shop).await["UNKNOWN"], before + 3);
    for payment in ["pi_1Foreign", "pi_1Plan", "pi_2Plan"] {
        let sql = format!("SELECT count(*) AS n FROM parked_payment WHERE provider_reference = '{payment}'");
        assert_eq!(world.number(&sql).await, 1, "{payment}");
    }
    // While Stripe cannot be asked whose it is, it is not taken; then it turns out to be ours.
    let (purchase, bought) = shop.buy("nameless").await;
    let completed = stripe.pay(&bought);
    let mut nameless = stripe.object("payment_intents", &stripe.intent_of(&bought));
    nameless["metadata"] = json!({});
    let nameless = stripe.event("payment_intent.succeeded", nameless);
    stripe.set_down(true);
    assert_eq!(stripe.send(world, &nameless).await, 503);
    stripe.set_down(false);
    for event in [&nameless, &completed] {
        assert_eq!(stripe.send(world, event).await, 200);
    }
    assert_eq!(shop.state(&purchase).await, stands("COMPLETED", &["PAID"]));
    assert_eq!(parked(shop).await["UNKNOWN"], before + 3);
    // What was parked is nobody's business any more once its checkout has told whose it is.
    let (purchase, bought) = shop.buy("found").await;
    let completed = stripe.pay(&bought);
    let mut object = completed.object.clone();
    object["metadata"] = json!({});
    let nameless = stripe.event("checkout.session.completed", object);
    assert_eq!(stripe.send(world, &nameless).await, 200);
    assert_eq!(parked(shop).await["UNKNOWN"], before + 4);
    for event in [&completed, &nameless, &completed] {
        assert_eq!(stripe.send(world, event).await, 200);
    }
    assert_eq!(shop.state(&purchase).await, stands("COMPLETED", &["PAID"]));
    assert_eq!((parked(shop).await["UNKNOWN"], shop.lots().await), (before + 3, lots + 2));
    let applied = "SELECT count(*) AS n FROM parked_payment WHERE state = 'APPLIED' AND resolved_by IS NULL";
    assert_eq!(world.number(applied).await, 1);
}

/// A state that is not known yet is kept for somebody to look up, once; the known one that follows is booked.
pub async fn in_states_of_tomorrow(shop: &Shop) {
    let Shop { stripe, world, .. } = shop;
    let (purchase, session) = shop.buy("tomorrow").await;
    assert_eq!(stripe.send(world, &stripe.pay(&session)).await, 200);
    let (intent, before) = (stripe.intent_of(&session), shop.available().await);
    let refund = stripe.refund(&intent, PART);
    let odd = stripe.refund_becomes(refund.id(), "tomorrow");
    for event in [&odd, &stripe.refunded(&intent), &odd] {
        assert_eq!(stripe.send(world, event).await, 200, "{}", event.kind);
    }
    let kept = format!(
        "SELECT count(*) AS n FROM parked_payment WHERE reason = 'NOT_UNDERSTOOD' AND amount = {PART}
         AND provider_reference = '{} tomorrow' AND detail LIKE 'refund.updated: %status is not known%{intent}%'",
        refund.id()
    );
    let all = "SELECT count(*) AS n FROM parked_payment WHERE reason = 'NOT_UNDERSTOOD'";
    assert_eq!((world.number(&kept).await, world.number(all).await), (1, 1));
    assert_eq!(shop.available().await, before);
    // It pays nothing.
    let operator = world.client("operator@bursar.test").await;
    let query = "{ parkedPayments(first: 50, state: OPEN) { nodes { id reason } } }";
    let nodes = operator.query(query, json!({})).await["parkedPayments"]["nodes"].clone();
    let odd = nodes.as_array().unwrap().iter().find(|node| node["reason"] == "NOT_UNDERSTOOD").unwrap();
    let input = |resolution: Value| {
        json!({ "parkedPaymentId": odd["id"], "resolution": resolution, "note": "Looked up",
            "idempotencyKey": "tomorrow" })
    };
    let name = ("resolveParkedPayment", "ResolveParkedPaymentInput");
    let applied = input(json!({ "purchaseId": purchase }));
    let refused = operator.try_mutate(name.0, name.1, applied, "parkedPayment { state }").await;
    assert_eq!(refused["userErrors"][0]["code"], "INVALID_STATE", "{refused}");
    operator.mutate(name.0, name.1, input(json!({ "dismiss": true })), "parkedPayment { state }").await;
    assert_eq!(stripe.send(world, &stripe.refund_becomes(refund.id(), "succeeded")).await, 200);
    assert_eq!(shop.available().await, before - 25);
}
