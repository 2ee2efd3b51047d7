//! Pools that buy by a card that is kept at Stripe, with a stand-in that speaks its wire format; also when the vendor takes
//! money elsewhere while a charge is under way.

use bursar::clock::Clock;
use bursar::{global_id, purchases};
use bursar_domain::purchase::{PaymentState, PurchaseState};
use bursar_domain::top_up::TopUpState;
use bursar_entity::payment;
use sea_orm::{ConnectionTrait, Database, TransactionTrait};
use serde_json::json;

use super::{MARCH, Shop};
use crate::on_both_databases;
use crate::stripe_checkout::Shop as AtStripe;
use crate::support::acts::{at, balances_are_right, node, refusal};
use crate::support::{Backend, DEADLINE, Stripe};

on_both_databases!(a_card_kept_at_stripe_is_charged);

/// The card is given in a session that sets it up; each charge has a key of its own, which a lost answer is asked again by.
async fn a_card_kept_at_stripe_is_charged(backend: Backend) {
    let clock = Clock::set(at(MARCH));
    let AtStripe { world, stripe, .. } = AtStripe::open(backend, clock.clone()).await;
    let shop = Shop::of(world, clock).await;
    let url = shop.url(&shop.set(json!({})).await);
    somebody_agrees_too_late(&shop, &stripe, &url).await;
    // Set again it is asked for anew.
    let url = shop.url(&shop.set(json!({})).await);
    let (status, page) = shop.answer(&url, "agree").await;
    assert!(status == 200 && page.contains(&stripe.pages()) && page.contains("One more step"), "{page}");
    assert_eq!(shop.row().await.state, TopUpState::AwaitingConsent, "the card is still missing");
    let event = stripe.pay(&stripe.last_session());
    for _ in 0..2 {
        assert_eq!(stripe.send(&shop.world, &event).await, 200);
    }
    assert_eq!(shop.row().await.state, TopUpState::Ready);
    assert!(shop.methods().await[1].label.as_deref().is_some_and(|label| label.contains("4242")));

    shop.spend(90).await;
    stripe.lose_next_answer();
    purchases::top_up(&shop.selling, shop.tenant, shop.pool).await.unwrap_err();
    assert_eq!(shop.bought().await, [PurchaseState::AwaitingPayment]);
    shop.look().await;
    assert_eq!((shop.bought().await, shop.available().await), (vec![PurchaseState::Completed], 110));
    let asked = stripe.asked("payment_intents");
    let name = global_id::encode(shop.payments().await[0].id);
    assert!(asked.len() == 2 && asked.iter().all(|asked| asked.key.as_ref() == Some(&name)), "{asked:?}");

    shop.spend(100).await;
    stripe.decline_next("card_declined");
    shop.look().await;
    let declined = [PurchaseState::Completed, PurchaseState::Cancelled];
    assert_eq!(
        (shop.bought().await.as_slice(), shop.row().await.state),
        (&declined[..], TopUpState::BackingOff)
    );
    // Stripe tells of it, too, afterwards.
    let payments = shop.payments().await;
    let tried = payments[1].provider_payment.as_deref().unwrap();
    let event = stripe.event("payment_intent.payment_failed", stripe.object("payment_intents", tried));
    assert_eq!(stripe.send(&shop.world, &event).await, 200);
    assert_eq!((shop.bought().await.as_slice(), shop.row().await.declines), (&declined[..], 1));

    shop.clock.turn(at(MARCH).plus_seconds(3_600));
    let shop = Shop { owner: shop.world.client("owner@demo.test").await, ..shop };
    a_charge_is_left_behind(&shop, &stripe).await;

    shop.set(json!({})).await;
    shop.spend(100).await;
    stripe.decline_next("authentication_required");
    shop.look().await;
    assert_eq!(shop.row().await.state, TopUpState::AuthenticationRequired);
    assert_eq!(shop.bought().await.last(), Some(&PurchaseState::PaymentFailed));
    what_was_declined_is_paid_after_all(&shop, &stripe, tried).await;
    the_first_charge_is_disputed(&shop, &stripe).await;
    balances_are_right(&shop.world).await;
}

/// A charge was declined and its purchase is over; then its money comes all the same. It pays another purchase, which has
/// the provider's name of it from then on.
async fn what_was_declined_is_paid_after_all(shop: &Shop, stripe: &Stripe, tried: &str) {
    let operator = shop.world.client("operator@bursar.test").await;
    let mut object = stripe.object("payment_intents", tried);
    (object["status"], object["last_payment_error"]) = (json!("succeeded"), json!(null));
    object["amount_received"] = object["amount"].clone();
    let event = stripe.event("payment_intent.succeeded", object);
    assert_eq!(stripe.send(&shop.world, &event).await, 200);
    let query = "{ parkedPayments(first: 5, state: OPEN) { nodes { id reason providerReference } } }";
    let parked = operator.query(query, json!({})).await["parkedPayments"]["nodes"].clone();
    let parked = parked.as_array().unwrap().iter().find(|one| one["providerReference"] == tried).unwrap();
    assert_eq!(parked["reason"], "PURCHASE_CLOSED");
    let input = json!({ "poolId": shop.demo.pool, "package": "STARTER", "idempotencyKey": "after all" });
    let made = shop.owner.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
    let purchase = made["purchase"]["id"].as_str().unwrap();
    let before = shop.available().await;
    for (dry_run, replayed, came) in [(true, false, 0), (false, false, 100), (false, true, 100)] {
        let input = json!({ "parkedPaymentId": parked["id"], "resolution": { "purchaseId": purchase },
            "note": "It came", "idempotencyKey": "after all", "dryRun": dry_run });
        let fields = "replayed parkedPayment { state } purchase { id state }";
        let applied =
            operator.mutate("resolveParkedPayment", "ResolveParkedPaymentInput", input, fields).await;
        assert_eq!(applied["purchase"], json!({ "id": purchase, "state": "COMPLETED" }), "{applied}");
        assert_eq!(
            (&applied["parkedPayment"]["state"], &applied["replayed"]),
            (&json!("APPLIED"), &json!(replayed))
        );
        assert_eq!(shop.available().await, before + came);
    }
    // One payment has the name, and it is told of as often as you like.
    assert_eq!(stripe.send(&shop.world, &event).await, 200);
    let mut named = shop.world.database.rows::<payment::Entity>().await;
    named.retain(|row| row.provider_payment.as_deref() == Some(tried));
    let named: Vec<_> = named.iter().map(|row| (global_id::encode(row.purchase_id), row.state)).collect();
    assert_eq!(named, [(purchase.to_owned(), PaymentState::Paid)]);
    assert_eq!(shop.available().await, before + 100);
}

/// The first charge is disputed while another purchase is under way: that one comes to its end, and nothing is bought after
/// it.
async fn the_first_charge_is_disputed(shop: &Shop, stripe: &Stripe) {
    let first = shop.payments().await.remove(0);
    let disputed = stripe.dispute(first.provider_payment.as_deref().unwrap(), first.amount);
    for _ in 0..2 {
        assert_eq!(stripe.send(&shop.world, &disputed).await, 200);
    }
    let row = shop.row().await;
    assert_eq!((row.enabled, row.state), (false, TopUpState::AuthenticationRequired));
    let purchase = global_id::encode(row.purchase_id.unwrap());
    let input = json!({ "purchaseId": purchase, "idempotencyKey": "by hand" });
    shop.owner.mutate("startCheckout", "StartCheckoutInput", input, "checkoutUrl").await;
    let paid = stripe.pay(&stripe.session_of(&purchase));
    assert_eq!(stripe.send(&shop.world, &paid).await, 200);
    let row = shop.row().await;
    assert_eq!((row.enabled, row.state, row.purchase_id), (false, TopUpState::Paused, None));
    assert!(row.last_error.is_some_and(|why| why.contains("is disputed")));
    let bought = shop.bought().await.len();
    shop.spend(shop.available().await).await;
    shop.look().await;
    assert_eq!((shop.bought().await.len(), shop.available().await), (bought, 0));
}

/// Somebody agrees, and while the provider is asked for its page the way of paying is not to be used any more: that stays
/// so, whoever writes last.
async fn somebody_agrees_too_late(shop: &Shop, stripe: &Stripe, url: &str) {
    let removed = shop.clock.now();
    let withdrawn = [
        "UPDATE auto_top_up SET payment_method_id = NULL, state = 'AWAITING_CONSENT'".to_owned(),
        format!("UPDATE payment_method SET removed_at = {}", removed.micros()),
    ];
    let let_go = stripe.keep_next_answer("checkout/sessions");
    let agrees = shop.answer(url, "agree");
    let withdraws = async {
        let asked = async {
            while stripe.asked("checkout/sessions").is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, asked).await.expect("nobody asked for the page");
        // The code has been taken by then: whoever writes the rest waits for this.
        let holder = Database::connect(&shop.world.database.superuser).await.unwrap();
        let held = holder.begin().await.unwrap();
        for sql in withdrawn {
            held.execute_unprepared(&sql).await.unwrap();
        }
        let_go.send(()).unwrap();
        held.commit().await.unwrap();
        holder.close().await.unwrap();
    };
    let ((status, page), ()) = tokio::join!(agrees, withdraws);
    assert!(status == 409 && page.contains("This agreement is closed."), "{status} {page}");
    let methods = shop.methods().await;
    assert_eq!((methods.len(), methods[0].removed_at), (1, Some(removed)));
}

/// The answer to a charge is lost, and then the vendor takes money elsewhere: nobody can be asked what came of it. It ends,
/// is told of, and what comes later finds its way: by itself, or to what the vendor's staff has booked.
async fn a_charge_is_left_behind(shop: &Shop, stripe: &Stripe) {
    let elsewhere = node(&shop.world, shop.clock.clone()).await;
    let gone = "SELECT count(*) AS n FROM parked_payment WHERE reason = 'PROVIDER_GONE'";
    let operator = shop.world.client("operator@bursar.test").await;
    for (number, by_hand) in [(1, false), (2, true)] {
        stripe.lose_next_answer();
        purchases::top_up(&shop.selling, shop.tenant, shop.pool).await.unwrap_err();
        assert_eq!(shop.bought().await.last(), Some(&PurchaseState::AwaitingPayment));
        let purchase = global_id::encode(shop.row().await.purchase_id.unwrap());
        for _ in 0..2 {
            let selling = &elsewhere.services().selling;
            purchases::top_up(selling, shop.tenant, shop.pool).await.unwrap();
        }
        let row = shop.row().await;
        assert_eq!((row.state, row.purchase_id), (TopUpState::Paused, None));
        assert!(row.last_error.unwrap().contains("no longer set up"));
        assert_eq!(shop.bought().await.last(), Some(&PurchaseState::PaymentFailed));
        assert_eq!(shop.world.number(gone).await, number, "once, however often it is looked at");
        let charge = shop.payments().await.pop().unwrap();
        assert_eq!((charge.state, charge.failure.as_deref()), (PaymentState::Failed, Some("provider_gone")));
        let ours = global_id::encode(charge.id);
        if by_hand {
            // Whoever knows that it was taken books it for what was charged, and for nothing else.
            let query = "{ parkedPayments(first: 5) { nodes { id reason providerReference } } }";
            let parked = operator.query(query, json!({})).await["parkedPayments"]["nodes"].clone();
            let parked =
                parked.as_array().unwrap().iter().find(|one| one["providerReference"] == ours).unwrap();
            assert_eq!(parked["reason"], "PROVIDER_GONE");
            let input =
                json!({ "poolId": shop.demo.pool, "package": "STARTER", "idempotencyKey": "another" });
            let fields = "purchase { id }";
            let other = shop.owner.mutate("requestPurchase", "RequestPurchaseInput", input, fields).await;
            let other = other["purchase"]["id"].as_str().unwrap();
            for (paid, expected) in [(other, "INVALID"), (purchase.as_str(), "none")] {
                let input = json!({ "parkedPaymentId": parked["id"], "resolution": { "purchaseId": paid },
                    "note": "It is in their list", "idempotencyKey": paid });
                let fields = "replayed";
                let resolved =
                    operator.try_mutate("resolveParkedPayment", "ResolveParkedPaymentInput", input, fields);
                assert_eq!(refusal(&resolved.await).0, expected);
            }
        }
        // Set up again, the provider tells of it.
        let told =
            shop.selling.payments.active().payments_since(at(MARCH).plus_days(-1), None).await.unwrap();
        let told = told.items.into_iter().find(|told| told.ours.as_ref() == Some(&ours)).unwrap();
        let name = told.payment.unwrap();
        let event = stripe.event("payment_intent.succeeded", stripe.object("payment_intents", &name));
        for _ in 0..2 {
            assert_eq!(stripe.send(&shop.world, &event).await, 200);
        }
        let mut paid = shop.world.database.rows::<payment::Entity>().await;
        paid.retain(|row| global_id::encode(row.purchase_id) == purchase && row.state == PaymentState::Paid);
        let names: Vec<Option<&str>> = paid.iter().map(|row| row.provider_payment.as_deref()).collect();
        assert_eq!(names, [Some(name.as_str())], "refunds and disputes find it");
        assert_eq!((paid[0].id == charge.id, shop.available().await), (!by_hand, 110));
        assert_eq!(shop.bought().await.last(), Some(&PurchaseState::Completed));
        if !by_hand {
            shop.set(json!({})).await;
            shop.spend(100).await;
        }
    }
    let twice = "SELECT count(*) AS n FROM parked_payment WHERE reason <> 'PROVIDER_GONE'";
    assert_eq!(shop.world.number(twice).await, 0);
    elsewhere.close().await.unwrap();
}
