//! Checkouts that are asked for a second time, because the first answer got lost. A part of the test of how checkouts end,
//! whose server it uses.

use serde_json::json;

use crate::stripe_checkout::{Shop, stands};

/// After a lost answer the same is asked for, whatever was renamed; when that cannot be, one can be paid all the same.
pub async fn one_can_be_paid(shop: &Shop) {
    let Shop { stripe, world, owner, demo } = shop;
    let lost = async |key: &str| {
        let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": key });
        let made = owner.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
        let purchase = made["purchase"]["id"].as_str().unwrap().to_owned();
        stripe.lose_next_answer();
        let input = json!({ "input": { "purchaseId": purchase, "idempotencyKey": key } });
        let query =
            "mutation S($input: StartCheckoutInput!) { startCheckout(input: $input) { checkoutUrl } }";
        let lost = owner.raw(query, input).await;
        assert_eq!(lost["data"]["startCheckout"]["checkoutUrl"], json!(null), "{lost}");
        let session = stripe.session_of(&purchase);
        (purchase, session)
    };
    let set = async |what: &str| {
        let open = "state = 'OPEN' AND provider = 'STRIPE' AND provider_session IS NULL";
        assert_eq!(world.sql(&format!("UPDATE payment SET {what} WHERE {open}")).await, 1, "{what}");
    };
    let page = |session: &str| json!(format!("{}{session}", stripe.pages()));
    let (purchase, session) = lost("renamed").await;
    assert_eq!(world.sql("UPDATE package SET name = 'Renamed' WHERE code = 'STARTER'").await, 1);
    assert_eq!(shop.start(&purchase, "renamed").await["checkoutUrl"], page(&session));
    let asked = stripe.asked("checkout/sessions");
    let [.., first, second] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((&first.key, &first.form), (&second.key, &second.form));
    // In other words: what was opened is gone on with.
    let (purchase, session) = lost("other words").await;
    set("title = 'Other words'").await;
    assert_eq!(shop.start(&purchase, "other words").await["checkoutUrl"], page(&session));
    assert_eq!(stripe.send(world, &stripe.pay(&session)).await, 200);
    assert_eq!(shop.state(&purchase).await, stands("COMPLETED", &["PAID"]));
    // Over another amount: what was opened is closed, and another one is opened.
    let (purchase, session) = lost("other amount").await;
    set("amount = amount - 1").await;
    let started = shop.start(&purchase, "other amount").await;
    let other = stripe.session_of(&purchase);
    assert_ne!(session, other);
    assert_eq!(started["checkoutUrl"], page(&other));
    assert_eq!(stripe.object("sessions", &session)["status"], "expired");
}
