//! What is answered when a payment provider refuses, or something else comes first, is true, and stays so when it is asked
//! again. Parts of the tests of checkouts at Stripe, whose server they use.

use serde_json::{Value, json};

use crate::stripe_checkout::{PRICE, REFUND, Shop, whole};
use crate::support::DEADLINE;
use crate::support::acts::invoiced;

/// What the provider refuses uses up no key: asked again, it refuses again, and once it does not, the money goes back.
pub async fn a_refusal_uses_up_no_key(shop: &Shop) {
    let Shop { stripe, world, .. } = shop;
    let operator = world.client("operator@bursar.test").await;
    let (purchase, session) = shop.buy("refused").await;
    assert_eq!(stripe.send(world, &stripe.pay(&session)).await, 200);
    let before = shop.available().await;
    let ask =
        async || operator.raw(REFUND, whole(&purchase, "refused")).await["data"]["refundPurchase"].clone();
    // Somebody has given it back at Stripe, and nothing has told of that yet.
    let elsewhere = stripe.refund(&stripe.intent_of(&session), PRICE);
    for _ in 0..2 {
        let refused = json!({ "reversal": Value::Null, "userErrors": [{ "code": "INVALID_STATE" }] });
        assert_eq!(ask().await, refused);
    }
    let kept = "SELECT count(*) AS n FROM reversal WHERE state = 'FAILED' AND idempotency_key IS NULL";
    assert_eq!((world.number(kept).await, shop.available().await), (2, before));
    // That one has come to nothing.
    stripe.refund_becomes(elsewhere.id(), "failed");
    let asked = stripe.asked("refunds").len();
    for _ in 0..2 {
        assert_eq!(ask().await, json!({ "reversal": { "state": "SUCCEEDED" }, "userErrors": [] }));
    }
    assert_eq!((stripe.asked("refunds").len(), shop.available().await), (asked + 1, before - 100));
}

/// A checkout that was closed leads nowhere, also when that was while it was opened: its address is not handed out.
pub async fn closed_checkouts_have_no_address(shop: &Shop) {
    let Shop { stripe, owner, demo, .. } = shop;
    let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": "meanwhile" });
    let made = owner.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
    let purchase = made["purchase"]["id"].as_str().unwrap();
    let before = stripe.asked("checkout/sessions").len();
    let let_go = stripe.keep_next_answer("checkout/sessions");
    let withdraws = async {
        let asked = async {
            while stripe.asked("checkout/sessions").len() == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, asked).await.expect("nobody asked for the page");
        let input = json!({ "purchaseId": purchase });
        owner.mutate("cancelPurchase", "CancelPurchaseInput", input, "purchase { state }").await;
        let_go.send(()).unwrap();
    };
    let (started, ()) = tokio::join!(shop.start(purchase, "meanwhile"), withdraws);
    let again = shop.start(purchase, "meanwhile").await;
    for started in [started, again] {
        assert_eq!(started["checkoutUrl"], Value::Null, "{started}");
        let states = (&started["purchase"]["state"], &started["payment"]["state"]);
        assert_eq!(states, (&json!("CANCELLED"), &json!("CANCELLED")));
    }
    assert_eq!(stripe.object("sessions", &stripe.session_of(purchase))["status"], "expired");
    // Another checkout has taken its place.
    let (purchase, session) = shop.buy("first page").await;
    shop.start(&purchase, "second page").await;
    let closed = shop.start(&purchase, "first page").await;
    let (url, state) = (&closed["checkoutUrl"], &closed["payment"]["state"]);
    assert_eq!((url, state), (&Value::Null, &json!("CANCELLED")));
    let open = shop.start(&purchase, "second page").await;
    let other = stripe.session_of(&purchase);
    assert_ne!(session, other);
    assert_eq!(open["checkoutUrl"], format!("{}{other}", stripe.pages()));
}

/// A refusal says what really stands in the way: the invoice, or that everything has gone back.
pub async fn refusals_say_what_stands_in_the_way(shop: &Shop) {
    let Shop { stripe, world, owner, .. } = shop;
    let says = |refused: &Value, why: &str, reason: &str| {
        let error = &refused["userErrors"][0];
        assert_eq!((&error["code"], &error["why"]), (&json!("INVALID_STATE"), &json!(why)), "{refused}");
        assert!(error["message"].as_str().unwrap().contains(reason), "{refused}");
    };
    let (purchase, _) = shop.buy("by its invoice").await;
    let operator = world.client("operator@bursar.test").await;
    assert_eq!(invoiced(owner, &purchase, "an invoice").await["userErrors"], json!([]));
    let input = json!({ "purchaseId": purchase, "idempotencyKey": "by a page" });
    let refused = owner.try_mutate("startCheckout", "StartCheckoutInput", input, "").await;
    says(&refused, "NOT_PAYABLE", "bought on invoice");
    let input = json!({ "purchaseId": purchase });
    let refused = owner.try_mutate("cancelPurchase", "CancelPurchaseInput", input, "").await;
    says(&refused, "NOT_WITHDRAWABLE", "bought on invoice");
    let (purchase, session) = shop.buy("all back").await;
    assert_eq!(stripe.send(world, &stripe.pay(&session)).await, 200);
    for key in ["all back", "once more"] {
        let input = whole(&purchase, key)["input"].clone();
        let refund = operator.try_mutate("refundPurchase", "RefundPurchaseInput", input, "").await;
        match key {
            "all back" => assert_eq!(refund["userErrors"], json!([])),
            _ => says(&refund, "NOTHING_TO_RETURN", "all of the purchase has been returned"),
        }
    }
}
