//! Checkouts that are closed here while the provider is not there: they are closed there by timed work, as soon as it is
//! there again, and by one node. In between they may be paid, and then nobody is promised credits.

use bursar::app::App;
use bursar::clock::Clock;
use bursar::schedule;
use serde_json::{Value, json};

use crate::stripe_checkout::{Shop, stands};
use crate::support::world::config;

/// How often closing a checkout has failed so far, of all that wait for it.
const FAILED: &str =
    "SELECT CAST(coalesce(sum(attempts), 0) AS bigint) AS n FROM timed_task WHERE kind = 'CLOSE_CHECKOUT'";

async fn withdraw(shop: &Shop, purchase: &str) {
    let input = json!({ "purchaseId": purchase });
    shop.owner.mutate("cancelPurchase", "CancelPurchaseInput", input, "purchase { state }").await;
}

/// How often a session was to be closed.
fn closed(shop: &Shop, session: &str) -> usize {
    shop.stripe.asked(&format!("checkout/sessions/{session}/expire")).len()
}

/// Closes what the provider was not there for.
pub async fn closed_at_last(shop: &Shop, clock: &Clock) {
    let Shop { stripe, world, .. } = shop;
    let selling = &world.services().selling;
    let later = async |seconds: i64| {
        clock.turn(clock.now().plus_seconds(seconds));
        schedule::run_once(selling).await.unwrap();
    };
    // What is closed at once needs no other try.
    let (purchase, session) = shop.buy("closed at once").await;
    withdraw(shop, &purchase).await;
    later(60).await;
    assert_eq!(closed(shop, &session), 1);
    // The provider is not there: it is asked again, later and later.
    let (purchase, session) = shop.buy("closed later").await;
    stripe.set_down(true);
    withdraw(shop, &purchase).await;
    assert_eq!(shop.state(&purchase).await, stands("CANCELLED", &["CANCELLED"]));
    assert_eq!(stripe.object("sessions", &session)["status"], "open");
    for (seconds, failed) in [(59, 0), (1, 1), (0, 1), (1, 2), (1, 2), (1, 3)] {
        later(seconds).await;
        assert_eq!(world.number(FAILED).await, failed);
    }
    // Two nodes look at once, and one closes it, once.
    stripe.set_down(false);
    let mut settings = config(&world.database);
    stripe.config(&mut settings);
    let there = App::open(settings, clock.clone()).await.unwrap();
    clock.turn(clock.now().plus_seconds(600));
    let (here, other) =
        tokio::join!(schedule::run_once(selling), schedule::run_once(&there.services().selling));
    assert!(here.is_ok() && other.is_ok());
    assert_eq!(stripe.object("sessions", &session)["status"], "expired");
    later(700).await;
    assert_eq!((closed(shop, &session), world.number(FAILED).await), (1, 0));
    opened_unheard(shop, &later).await;
    paid_before_it_was_closed(shop, &later).await;
}

/// A checkout was opened, its answer got lost, and the purchase was withdrawn: nobody knows the checkout's name yet.
async fn opened_unheard(shop: &Shop, later: &impl AsyncFn(i64)) {
    let Shop { stripe, owner, demo, .. } = shop;
    let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": "unheard" });
    let made = owner.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
    let purchase = made["purchase"]["id"].as_str().unwrap();
    stripe.lose_next_answer();
    let query = "mutation S($input: StartCheckoutInput!) { startCheckout(input: $input) { checkoutUrl } }";
    let input = json!({ "input": { "purchaseId": purchase, "idempotencyKey": "unheard" } });
    let lost = owner.raw(query, input).await;
    assert_eq!(lost["data"]["startCheckout"]["checkoutUrl"], Value::Null, "{lost}");
    withdraw(shop, purchase).await;
    let session = stripe.session_of(purchase);
    assert_eq!(stripe.object("sessions", &session)["status"], "open");
    later(60).await;
    assert_eq!(stripe.object("sessions", &session)["status"], "expired");
    assert_eq!((stripe.session_of(purchase), closed(shop, &session)), (session, 1));
}

/// It is paid by a way that takes days before it can be closed: no page promises credits, and the money is parked.
async fn paid_before_it_was_closed(shop: &Shop, later: &impl AsyncFn(i64)) {
    let Shop { stripe, world, owner, .. } = shop;
    let lots = shop.lots().await;
    let (purchase, session) = shop.buy("slow and withdrawn").await;
    stripe.set_down(true);
    withdraw(shop, &purchase).await;
    stripe.set_down(false);
    let page = stripe.object("sessions", &session)["success_url"].as_str().unwrap().replace("/done", "");
    let page = page.replace("http://bursar.test", &world.base);
    assert_eq!(stripe.send(world, &stripe.pay_later(&session)).await, 200);
    later(60).await;
    assert_eq!(shop.state(&purchase).await, stands("CANCELLED", &["PENDING"]));
    assert_eq!(closed(shop, &session), 0, "there is nothing to be closed any more");
    let says = owner.open(&page).await.1;
    assert!(says.contains("No credits come of this payment.") && !says.contains("are added"), "{says}");
    let parked = "SELECT count(*) AS n FROM parked_payment WHERE reason = 'PURCHASE_CLOSED'";
    let before = world.number(parked).await;
    assert_eq!(stripe.send(world, &stripe.arrive(&session)).await, 200);
    assert_eq!((world.number(parked).await, shop.lots().await), (before + 1, lots));
    assert_eq!(shop.state(&purchase).await, stands("CANCELLED", &["PARKED"]));
    assert!(owner.open(&page).await.1.contains("Your payment is being looked at."));
}
