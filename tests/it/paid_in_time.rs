//! What is paid while the price is valid counts, whenever that is told: before the purchase runs out, afterwards, or never.
//! A part of the test of payments' messages, whose server it uses.

use bursar::error::Error;
use bursar::global_id;
use bursar::purchases;
use bursar_domain::Timestamp;
use bursar_domain::id::PurchaseId;
use serde_json::json;

use crate::stripe_checkout::{Shop, stands};
use crate::support::mail::tenant;

/// Lets the price of a purchase run out, which has a checkout of this name.
async fn runs_out(shop: &Shop, session: &str) {
    let of = format!("(SELECT purchase_id FROM payment WHERE provider_session = '{session}')");
    let sql = format!("UPDATE purchase SET valid_until = created_at WHERE id = {of}");
    assert_eq!(shop.world.sql(&sql).await, 1);
}

/// Looks whether a purchase has to expire.
async fn look(shop: &Shop, purchase: &str) -> Result<Option<Timestamp>, Error> {
    let id: PurchaseId = global_id::decode(purchase).unwrap();
    purchases::expire(&shop.world.services().selling, tenant(&shop.demo.organization), id).await
}

/// Every way in which money and the end of its price come after one another.
pub async fn counts_whenever_it_is_told(shop: &Shop) {
    let Shop { stripe, world, .. } = shop;
    let parked = "SELECT count(*) AS n FROM parked_payment";
    let (lots, parked_before) = (shop.lots().await, world.number(parked).await);
    // Nobody is told before it runs out; later it is told, again and again.
    let (purchase, session) = shop.buy("told late").await;
    let told = stripe.pay(&session);
    runs_out(shop, &session).await;
    assert_eq!(look(shop, &purchase).await.unwrap(), None);
    assert_eq!((shop.state(&purchase).await, shop.lots().await), (stands("COMPLETED", &["PAID"]), lots + 1));
    for _ in 0..2 {
        assert_eq!(stripe.send(world, &told).await, 200);
    }
    assert_eq!(look(shop, &purchase).await.unwrap(), None);
    // At a checkout that was replaced by another one meanwhile.
    let (purchase, session) = shop.buy("replaced").await;
    stripe.pay(&session);
    shop.start(&purchase, "replaced again").await;
    let other = stripe.session_of(&purchase);
    assert_ne!(session, other);
    runs_out(shop, &session).await;
    assert_eq!(look(shop, &purchase).await.unwrap(), None);
    assert_eq!(shop.state(&purchase).await, stands("COMPLETED", &["CANCELLED", "PAID"]));
    assert_eq!(stripe.object("sessions", &other)["status"], "expired");
    // By a way that takes days, of which nothing is told: it is waited for, and its money comes, or does not.
    for (key, comes, ends) in
        [("comes", true, stands("COMPLETED", &["PAID"])), ("never", false, stands("EXPIRED", &["FAILED"]))]
    {
        let (purchase, session) = shop.buy(key).await;
        stripe.pay_later(&session);
        runs_out(shop, &session).await;
        for _ in 0..2 {
            assert!(look(shop, &purchase).await.unwrap().is_some(), "{key}");
            assert_eq!(shop.state(&purchase).await, stands("AWAITING_PAYMENT", &["PENDING"]), "{key}");
        }
        let told = if comes { stripe.arrive(&session) } else { stripe.fail(&session) };
        assert_eq!(look(shop, &purchase).await.unwrap(), None, "{key}");
        assert_eq!(shop.state(&purchase).await, ends, "{key}");
        assert_eq!(stripe.send(world, &told).await, 200);
        assert_eq!(shop.state(&purchase).await, ends, "{key}");
    }
    // Nobody has paid: it can be paid no more, there neither.
    let (purchase, session) = shop.buy("unpaid").await;
    runs_out(shop, &session).await;
    assert_eq!(look(shop, &purchase).await.unwrap(), None);
    assert_eq!(shop.state(&purchase).await, stands("EXPIRED", &["CANCELLED"]));
    assert_eq!(stripe.object("sessions", &session)["status"], "expired");
    // What is under way here, and the provider does not know, as after a change of its account, is waited for no longer.
    let (purchase, session) = shop.buy("of another account").await;
    assert_eq!(stripe.send(world, &stripe.pay_later(&session)).await, 200);
    assert_eq!(shop.state(&purchase).await, stands("AWAITING_PAYMENT", &["PENDING"]));
    let moves =
        format!("UPDATE payment SET provider_session = 'cs_gone' WHERE provider_session = '{session}'");
    assert_eq!(world.sql(&moves).await, 1);
    runs_out(shop, "cs_gone").await;
    assert_eq!(look(shop, &purchase).await.unwrap(), None);
    assert_eq!(shop.state(&purchase).await, stands("EXPIRED", &["FAILED"]));
    nobody_can_be_asked(shop).await;
    assert_eq!((shop.lots().await, world.number(parked).await), (lots + 4, parked_before));
}

/// The provider is not there when the price runs out: the purchase waits, and is not begun again before it is known that
/// nobody has paid it.
async fn nobody_can_be_asked(shop: &Shop) {
    let Shop { stripe, owner, .. } = shop;
    let (purchase, session) = shop.buy("unknown").await;
    stripe.pay(&session);
    runs_out(shop, &session).await;
    stripe.set_down(true);
    assert!(matches!(look(shop, &purchase).await, Err(Error::Unavailable(_))));
    assert_eq!(shop.state(&purchase).await, stands("AWAITING_PAYMENT", &["OPEN"]));
    // What has begun leads on under its key all the same.
    assert!(shop.start(&purchase, "unknown").await["checkoutUrl"].is_string());
    stripe.set_down(false);
    let input = json!({ "purchaseId": purchase, "idempotencyKey": "unknown again" });
    let refused = owner.try_mutate("startCheckout", "StartCheckoutInput", input, "").await;
    assert_eq!(refused["userErrors"][0]["code"], "INVALID_STATE", "{refused}");
    assert_eq!(shop.state(&purchase).await, stands("COMPLETED", &["PAID"]));
    assert_eq!(look(shop, &purchase).await.unwrap(), None);
}
