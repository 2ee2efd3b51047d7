//! One payment is one lot: for ways of paying that take days, whatever order their messages come in, and for whoever
//! writes to the tables. Parts of the test of payments' messages, whose server they use.

use futures_util::future::join_all;
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::payment_events::orders;
use crate::stripe_checkout::{PRICE, Shop, stands};
use crate::support::acts::pool;
use crate::support::stripe::Event;

/// What is told of a checkout whose money takes days: that it is on its way, that it does not come, that the checkout has
/// run out, and, when it comes after all, that it is there.
async fn slow(shop: &Shop, key: &str, comes: bool) -> (String, Vec<Event>) {
    let Shop { stripe, .. } = shop;
    let (purchase, session) = shop.buy(key).await;
    let mut told = vec![stripe.pay_later(&session), stripe.fail(&session)];
    let mut object = told[0].object.clone();
    object["status"] = json!("expired");
    told.push(stripe.event("checkout.session.expired", object));
    if comes {
        told.push(stripe.arrive(&session));
    }
    (purchase, told)
}

/// Money that takes days is one lot when it comes, and none when it does not, in every order and all at once.
pub async fn ways_that_take_days(shop: &Shop) {
    let Shop { stripe, world, .. } = shop;
    let (before, parked) = (shop.lots().await, "SELECT count(*) AS n FROM parked_payment");
    let parked_before = world.number(parked).await;
    let mut bought = 0;
    for (number, order) in orders(4).iter().enumerate() {
        let (purchase, told) = slow(shop, &format!("slow-{number}"), true).await;
        for which in order {
            assert_eq!(stripe.send(world, &told[*which]).await, 200, "{order:?}: {}", told[*which].kind);
        }
        bought += 1;
        assert_eq!(shop.state(&purchase).await, stands("COMPLETED", &["PAID"]), "{order:?}");
        assert_eq!(shop.lots().await, before + bought, "{order:?}");
    }
    for (number, order) in orders(3).iter().enumerate() {
        let (purchase, told) = slow(shop, &format!("never-{number}"), false).await;
        for which in order.iter().chain(order) {
            assert_eq!(stripe.send(world, &told[*which]).await, 200, "{order:?}: {}", told[*which].kind);
        }
        assert_eq!(shop.state(&purchase).await, stands("PAYMENT_FAILED", &["FAILED"]), "{order:?}");
    }
    assert_eq!(shop.lots().await, before + bought);
    for comes in [true, false] {
        let (purchase, told) = slow(shop, &format!("at once {comes}"), comes).await;
        let sent = told.iter().cycle().take(32).map(|event| stripe.send(world, event));
        assert!(join_all(sent).await.iter().all(|status| *status == 200));
        let (state, payment) = if comes { ("COMPLETED", "PAID") } else { ("PAYMENT_FAILED", "FAILED") };
        assert_eq!(shop.state(&purchase).await, stands(state, &[payment]));
        bought += i64::from(comes);
        assert_eq!(shop.lots().await, before + bought);
        if comes {
            continue;
        }
        // What has failed can be paid by another checkout, once.
        shop.start(&purchase, "once more").await;
        let paid = stripe.pay(&stripe.session_of(&purchase));
        for event in told.iter().chain([&paid, &paid]).chain(&told) {
            assert_eq!(stripe.send(world, event).await, 200, "{}", event.kind);
        }
        assert_eq!(shop.state(&purchase).await, stands("COMPLETED", &["PAID", "FAILED"]));
        bought += 1;
    }
    assert_eq!((shop.lots().await, world.number(parked).await), (before + bought, parked_before));
}

/// A payment of the provider's is in the books once, whichever organization it is told of for, and the tables keep that by
/// themselves.
pub async fn one_payment_is_one_lot(shop: &Shop) {
    let Shop { stripe, world, .. } = shop;
    // Paid, and told of a second time for the purchase of another organization.
    let (_, session) = shop.buy("mine").await;
    assert_eq!(stripe.send(world, &stripe.pay(&session)).await, 200);
    let mine = stripe.intent_of(&session);
    let other = world.found("rival").await;
    let query = "{ organization(by: { slug: \"rival\" }) { id } }";
    let id = other.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    let (theirs, _) = other.checkout(&pool(&other, &id, "Theirs").await, "theirs").await;
    let completed = stripe.pay(&stripe.session_of(&theirs));
    let mut object = completed.object.clone();
    assert_eq!(object["amount_total"], PRICE);
    object["payment_intent"] = json!(mine);
    let lots = shop.lots().await;
    for _ in 0..2 {
        let twice = stripe.event("checkout.session.completed", object.clone());
        assert_eq!(stripe.send(world, &twice).await, 200);
        assert_eq!(shop.lots().await, lots);
    }
    assert_eq!(stripe.send(world, &completed).await, 200);
    assert_eq!(shop.lots().await, lots + 1);
    // Whoever writes past all of that is refused by the tables: the same payment for another organization, a second payment
    // of a purchase, a second lot of one.
    let paid_elsewhere =
        "state = 'FAILED' AND purchase_id IN (SELECT purchase_id FROM payment WHERE state = 'PAID')";
    assert!(world.number(&format!("SELECT count(*) AS n FROM payment WHERE {paid_elsewhere}")).await > 0);
    let again = stripe.intent_of(&stripe.session_of(&theirs));
    let superuser = sea_orm::Database::connect(&world.database.superuser).await.unwrap();
    let columns =
        "pool_id, source, class, priority, credits, cost, currency, expires_at, purchase_id, entry_id,
        created_at, replaces, seal";
    for sql in [
        format!("UPDATE payment SET provider_payment = '{mine}' WHERE provider_payment = '{again}'"),
        format!("UPDATE payment SET state = 'PAID' WHERE {paid_elsewhere}"),
        format!(
            "INSERT INTO lot (organization_id, id, {columns}) SELECT organization_id, entry_id, {columns} FROM lot
             WHERE purchase_id IS NOT NULL"
        ),
    ] {
        let refused = superuser.execute_unprepared(&sql).await.unwrap_err().to_string();
        assert!(refused.to_lowercase().contains("unique"), "{sql}: {refused}");
    }
    superuser.close().await.unwrap();
}
