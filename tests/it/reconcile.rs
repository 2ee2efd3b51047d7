//! Comparing the books with the provider's: what never came, what came and stands otherwise, what nobody knows there; and
//! how it is put right.

use bursar::clock::Clock;
use bursar::payments::PaidState;
use bursar::purchases::{self, Difference};
use bursar_domain::purchase::PaymentState;
use serde_json::json;

use crate::on_both_databases;
use crate::stripe_checkout::{PRICE, Shop, stands};
use crate::support::acts::{billed, invoiced};
use crate::support::laws::books_are_right;
use crate::support::{Backend, process};

on_both_databases!(what_never_came_is_found, what_differs_is_named);

/// What a comparison has said, each by its kind and the provider's name or ours; and how many are left.
async fn compare(shop: &Shop, repair: bool) -> (Vec<Difference>, usize) {
    let selling = &shop.world.services().selling;
    let since = selling.context().clock.now().plus_days(-35);
    let mut found = Vec::new();
    let left =
        purchases::reconcile(selling, since, repair, |difference| found.push(difference.clone())).await;
    (found, left.unwrap().left)
}

async fn what_never_came_is_found(backend: Backend) {
    let shop = Shop::open(backend, Clock::system()).await;
    let Shop { stripe, world, .. } = &shop;
    // However long the lists are.
    stripe.lists_at_most(1);
    let (told, session) = shop.buy("told").await;
    assert_eq!(stripe.send(world, &stripe.pay(&session)).await, 200);
    assert_eq!(compare(&shop, false).await, (Vec::new(), 0));
    // Two payments, a refund and a dispute of which nobody was told.
    let (untold, session) = shop.buy("untold").await;
    stripe.pay(&session);
    let paid = stripe.intent_of(&session);
    let (disputed, session) = shop.buy("disputed").await;
    stripe.pay(&session);
    let questioned = stripe.intent_of(&session);
    let refund = stripe.refund(&stripe.intent_of(&stripe.session_of(&told)), PRICE / 4);
    let dispute = stripe.dispute(&questioned, PRICE);
    let (found, left) = compare(&shop, false).await;
    let mut names: Vec<String> = found.iter().map(|difference| name(difference).to_owned()).collect();
    names.sort_unstable();
    let mut expected =
        vec![paid.clone(), questioned.clone(), refund.id().to_owned(), dispute.id().to_owned()];
    expected.sort_unstable();
    assert_eq!((names, left), (expected, 4));
    // The command says so, and puts it right when it is told to.
    let settings = stripe.settings();
    let (status, said) = process::reconcile(&world.database, &settings, &[]).await;
    assert_eq!(status, 1, "{said}");
    assert!(said.contains(&format!("{paid}: {PRICE} USD were paid for payment_")), "{said}");
    assert_eq!(shop.lots().await, 1);
    let (status, said) = process::reconcile(&world.database, &settings, &["--settle"]).await;
    assert_eq!(status, 0, "{said}");
    let (status, said) = process::reconcile(&world.database, &settings, &["--days", "1"]).await;
    // Nothing differs, and what was compared is said: of the provider, and of what the demonstration has paid.
    let lines = [
        "SANDBOX: payments here: 1; no money is real, so nobody else has them to compare with; over the last 1 days\n",
        "STRIPE: compared with payments here: 3, there: 3; refunds there: 1; disputes there: 1; over the last 1 days\n",
    ];
    assert_eq!((status, said), (0, lines.concat()));
    // Without a provider, too, and that nobody was asked about what an earlier one has taken.
    let (status, said) = process::reconcile(&world.database, &[], &["--days", "1"]).await;
    let earlier = "STRIPE: payments here: 3; not compared, because it is not set up; over the last 1 days\n";
    assert_eq!((status, said), (0, [lines[0], earlier].concat()));
    stripe.set_down(true);
    // What is logged has no escapes: it is not written to a terminal.
    let logging: Vec<_> = settings.into_iter().chain([("BURSAR_LOG", "warn")]).collect();
    let (status, said) = process::reconcile(&world.database, &logging, &["--settle"]).await;
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("WARN") && !said.contains('\u{1b}'), "{said:?}");
    stripe.set_down(false);
    for purchase in [&told, &untold, &disputed] {
        assert_eq!(shop.state(purchase).await, stands("COMPLETED", &["PAID"]));
    }
    // 100 of the demonstration, 75 and 100; those in dispute are held.
    assert_eq!((shop.lots().await, shop.available().await), (3, 275));
    books_are_right(world).await;
}

/// What a difference is named by at the provider.
fn name(difference: &Difference) -> &str {
    match difference {
        Difference::PaidThere { reference, .. }
        | Difference::RefundThere { reference, .. }
        | Difference::DisputeThere { reference, .. }
        | Difference::Parked { reference, .. } => reference,
        other => panic!("{other}"),
    }
}

async fn what_differs_is_named(backend: Backend) {
    let shop = Shop::open(backend, Clock::system()).await;
    let Shop { stripe, world, owner, demo } = &shop;
    let operator = world.client("operator@bursar.test").await;
    // Paid here, by a payment that Stripe does not know.
    let (_, session) = shop.buy("here only").await;
    let mut object = stripe.pay(&session).object;
    let real = object["payment_intent"].as_str().unwrap().to_owned();
    object["payment_intent"] = json!("pi_1Nowhere");
    assert_eq!(stripe.send(world, &stripe.event("checkout.session.completed", object)).await, 200);
    // It is in nobody's interest to book the real one too: it is paid twice.
    let (found, left) = compare(&shop, true).await;
    assert!(found.iter().any(|one| matches!(one, Difference::PaidHereOnly { .. })), "{found:?}");
    assert!(
        found.iter().any(|one| matches!(one, Difference::PaidThere { reference, .. } if *reference == real))
    );
    assert!(left >= 1);
    // Paid, and bought on invoice, while the pool was frozen: nothing is wrong until it is open again and the credits are
    // not there.
    let (waits, session) = shop.buy("frozen").await;
    billed(&operator, owner, &demo.organization, "10000.00").await;
    let (owes, _) = shop.buy("owes").await;
    let input = json!({ "poolId": demo.pool, "reason": "An audit" });
    operator.mutate("freezePool", "FreezePoolInput", input, "pool { id }").await;
    assert_eq!(stripe.send(world, &stripe.pay(&session)).await, 200);
    assert_eq!(shop.state(&waits).await, stands("COMPLETED", &["PAID"]));
    assert_eq!(invoiced(owner, &owes, "owes on invoice").await["userErrors"], json!([]));
    let lacks =
        |found: &[Difference]| found.iter().filter(|one| matches!(one, Difference::NoLot { .. })).count();
    assert_eq!(lacks(&compare(&shop, false).await.0), 0);
    let sql = "UPDATE pool SET frozen_at = NULL, frozen_reason = NULL WHERE frozen_at IS NOT NULL";
    assert_eq!(world.sql(sql).await, 1);
    assert_eq!(lacks(&compare(&shop, false).await.0), 2);
    // Another amount in the books than was paid.
    let (purchase, session) = shop.buy("amount").await;
    assert_eq!(stripe.send(world, &stripe.pay(&session)).await, 200);
    let raised = format!("UPDATE payment SET amount = amount + 1 WHERE provider_session = '{session}'");
    assert_eq!(world.sql(&raised).await, 1, "{purchase}");
    let (found, _) = compare(&shop, false).await;
    let said: Vec<String> = found.iter().map(ToString::to_string).collect();
    let differs = format!("{} USD in the books, {PRICE} USD at the provider", PRICE + 1);
    assert!(said.iter().any(|line| line.ends_with(&differs)), "{said:?}");
    // What is parked stays named until somebody has decided.
    let unknown = stripe.event("checkout.session.completed", json!({ "id": "cs_1", "mode": "payment",
        "payment_status": "paid", "amount_total": 5, "currency": "usd", "payment_intent": "pi_1Unknown", "metadata": {} }));
    assert_eq!(stripe.send(world, &unknown).await, 200);
    let (found, _) = compare(&shop, true).await;
    let parked =
        |one: &Difference| matches!(one, Difference::Parked { reference, .. } if reference == "pi_1Unknown");
    assert_eq!(found.iter().filter(|one| parked(one)).count(), 1, "{found:?}");
    assert!(owner.balance(&demo.pool).await.0 > 100);
    open_ones_are_compared(&shop).await;
    returns_are_compared(&shop).await;
    lots_are_compared(&shop).await;
}

/// What is open or under way here has come to its end there, and nobody was told.
async fn open_ones_are_compared(shop: &Shop) {
    let Shop { stripe, world, .. } = shop;
    let (failed, slow) = shop.buy("failed").await;
    assert_eq!(stripe.send(world, &stripe.pay_later(&slow)).await, 200);
    let (late, lasting) = shop.buy("under way").await;
    stripe.pay_later(&lasting);
    let (_, open) = shop.buy("not paid").await;
    let about = async |repair: bool| {
        let found = compare(shop, repair).await.0.into_iter();
        let open = found.filter_map(|one| match one {
            Difference::Stands { here, there, .. } => Some((here, there)),
            _ => None,
        });
        open.collect::<Vec<_>>()
    };
    // What is on its way there and here is none.
    assert_eq!(about(false).await, [(PaymentState::Open, PaidState::Pending)]);
    stripe.fail(&slow);
    stripe.expire(&open);
    let expected = [
        (PaymentState::Pending, PaidState::Failed("async_payment_failed".to_owned())),
        (PaymentState::Open, PaidState::Pending),
        (PaymentState::Open, PaidState::Expired),
    ];
    assert_eq!(about(false).await, expected);
    assert_eq!(about(true).await, expected);
    assert!(about(false).await.is_empty());
    assert_eq!(shop.state(&failed).await, stands("PAYMENT_FAILED", &["FAILED"]));
    assert_eq!(shop.state(&late).await, stands("AWAITING_PAYMENT", &["PENDING"]));
    // A charge without anybody there has no checkout, and is listed.
    let (charged, session) = shop.buy("charged").await;
    assert_eq!(stripe.send(world, &stripe.pay_later(&session)).await, 200);
    let charge = format!("UPDATE payment SET provider_session = NULL WHERE provider_session = '{session}'");
    assert_eq!(world.sql(&charge).await, 1);
    stripe.charge_fails(&stripe.intent_of(&session));
    let declined = [(PaymentState::Pending, PaidState::Failed("card_declined".to_owned()))];
    assert_eq!(about(true).await, declined);
    assert!(about(false).await.is_empty());
    assert_eq!(shop.state(&charged).await, stands("PAYMENT_FAILED", &["FAILED"]));
    // Paid so long ago that no list has it; and at a checkout that nobody knows there.
    stripe.arrive(&lasting);
    stripe.ages("payment_intents", &stripe.intent_of(&lasting));
    let (_, nowhere) = shop.buy("nowhere").await;
    let elsewhere =
        format!("UPDATE payment SET provider_session = 'cs_nowhere' WHERE provider_session = '{nowhere}'");
    assert_eq!(world.sql(&elsewhere).await, 1);
    let paid = stripe.intent_of(&lasting);
    for (repair, named) in [(false, 1), (true, 1), (false, 0)] {
        let (found, _) = compare(shop, repair).await;
        let is_it =
            |one: &&Difference| matches!(one, Difference::PaidThere { reference, .. } if *reference == paid);
        assert_eq!(found.iter().filter(is_it).count(), named, "{found:?}");
        let unknown = |one: &&Difference| matches!(one, Difference::OpenHereOnly { .. });
        assert_eq!(found.iter().filter(unknown).count(), 1, "{found:?}");
    }
    assert_eq!(shop.state(&late).await, stands("COMPLETED", &["PAID"]));
}

/// Refunds and disputes, both ways, however old and however odd they are.
async fn returns_are_compared(shop: &Shop) {
    let Shop { stripe, world, .. } = shop;
    let (_, session) = shop.buy("returns").await;
    assert_eq!(stripe.send(world, &stripe.pay(&session)).await, 200);
    let intent = stripe.intent_of(&session);
    let refund = stripe.refund(&intent, 1_000);
    let dispute = stripe.dispute(&intent, 2_000);
    for event in [&refund, &dispute] {
        assert_eq!(stripe.send(world, event).await, 200);
    }
    let (refund, dispute) = (refund.id(), dispute.id());
    let about = async |repair: bool, what: &dyn Fn(&Difference) -> bool| {
        compare(shop, repair).await.0.iter().filter(|one| what(one)).count()
    };
    let disputed =
        |one: &Difference| matches!(one, Difference::DisputeThere { reference, .. } if reference == dispute);
    let refunded =
        |one: &Difference| matches!(one, Difference::RefundThere { reference, .. } if reference == refund);
    assert_eq!(about(false, &|one| disputed(one) || refunded(one)).await, 0);
    // An old dispute has come to its end just now, and a refund stands as none is known to; of neither anybody was told.
    let odd = stripe.refund(&intent, 500);
    let unknown = format!("{} tomorrow", odd.id());
    stripe.refund_becomes(odd.id(), "tomorrow");
    stripe.close_dispute(dispute, true);
    stripe.ages("disputes", dispute);
    let old = format!("UPDATE reversal SET created_at = 1 WHERE provider_reference = '{dispute}'");
    assert_eq!(world.sql(&old).await, 1);
    let is_odd = |one: &Difference| matches!(one, Difference::NotUnderstood { reference, .. } if *reference == unknown);
    let is_parked =
        |one: &Difference| matches!(one, Difference::Parked { reference, .. } if *reference == unknown);
    assert_eq!(about(false, &disputed).await, 1);
    assert_eq!(about(true, &|one| disputed(one) || is_odd(one)).await, 2);
    assert_eq!(about(false, &|one| disputed(one) || is_odd(one)).await, 0);
    assert_eq!(about(false, &is_parked).await, 1);
    // One that was carried out has failed, and nobody was told: it is undone, and named until its credits are there again.
    let late = stripe.refund(&intent, 700);
    assert_eq!(stripe.send(world, &late).await, 200);
    let came_back =
        |one: &Difference| matches!(one, Difference::RefundThere { reference, .. } if reference == late.id());
    let unbooked = |one: &Difference| matches!(one, Difference::Unbooked { .. });
    assert_eq!(about(false, &|one| came_back(one) || unbooked(one)).await, 0);
    stripe.refund_becomes(late.id(), "failed");
    assert_eq!(about(true, &came_back).await, 1);
    assert_eq!(about(false, &|one| came_back(one) || unbooked(one)).await, 0);
    for (credits, named) in [(1, 1), (0, 0)] {
        let sql = "UPDATE reversal SET taken_credits =";
        let sql = format!("{sql} {credits} WHERE provider_reference = '{}' AND state = 'FAILED'", late.id());
        assert_eq!(world.sql(&sql).await, 1);
        assert_eq!(about(false, &unbooked).await, named);
    }
    // Over another amount; without its credits; and what the provider knows nothing of.
    let set = async |what: &str| {
        let sql = format!("UPDATE reversal SET {what} WHERE provider_reference = '{refund}'");
        assert_eq!(world.sql(&sql).await, 1, "{what}");
    };
    set("amount = amount + 1").await;
    let amount =
        |one: &Difference| matches!(one, Difference::ReturnAmount { reference, .. } if reference == refund);
    assert_eq!(about(false, &amount).await, 1);
    set("amount = amount - 1, booked_at = NULL").await;
    assert_eq!(about(false, &unbooked).await, 1);
    set("provider_reference = 're_1Nowhere'").await;
    let here_only = |one: &Difference| matches!(one, Difference::ReturnedHereOnly { .. });
    assert_eq!(about(false, &|one| here_only(one) || refunded(one)).await, 2);
}

/// Other credits than were bought.
async fn lots_are_compared(shop: &Shop) {
    let Shop { stripe, world, .. } = shop;
    let (_, session) = shop.buy("lots").await;
    assert_eq!(stripe.send(world, &stripe.pay(&session)).await, 200);
    let said = |found: &[Difference]| -> Vec<String> {
        let of_lots = found.iter().filter(|one| matches!(one, Difference::Lot { .. }));
        of_lots.map(ToString::to_string).collect()
    };
    let before = said(&compare(shop, false).await.0).len();
    let of = format!("(SELECT purchase_id FROM payment WHERE provider_session = '{session}')");
    assert_eq!(world.sql(&format!("UPDATE purchase SET credits = credits + 1 WHERE id = {of}")).await, 1);
    let after = said(&compare(shop, false).await.0);
    let differs = format!("100 credits for {PRICE} USD came in, 101 credits for {PRICE} USD were bought");
    assert_eq!(after.len(), before + 1);
    assert!(after.iter().any(|line| line.ends_with(&differs)), "{after:?}");
}
