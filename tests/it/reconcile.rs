//! Comparing the books with the provider's: what never came, what came and stands otherwise, what nobody knows there; and
//! how it is put right.

use bursar::clock::Clock;
use bursar::purchases::{self, Difference};
use serde_json::json;

use crate::on_both_databases;
use crate::stripe_checkout::{PRICE, Shop, stands};
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
    (found, left.unwrap())
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
    assert_eq!((status, said.as_str()), (0, ""));
    stripe.set_down(true);
    assert_eq!(process::reconcile(&world.database, &settings, &[]).await.0, 2);
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
    // Paid while the pool was frozen: nothing is wrong until it is open again and the credits are not there.
    let (waits, session) = shop.buy("frozen").await;
    let input = json!({ "poolId": demo.pool, "reason": "An audit" });
    operator.mutate("freezePool", "FreezePoolInput", input, "pool { id }").await;
    assert_eq!(stripe.send(world, &stripe.pay(&session)).await, 200);
    assert_eq!(shop.state(&waits).await, stands("COMPLETED", &["PAID"]));
    let lacks = |found: &[Difference]| found.iter().any(|one| matches!(one, Difference::NoLot { .. }));
    assert!(!lacks(&compare(&shop, false).await.0));
    let sql = "UPDATE pool SET frozen_at = NULL, frozen_reason = NULL WHERE frozen_at IS NOT NULL";
    assert_eq!(world.sql(sql).await, 1);
    assert!(lacks(&compare(&shop, false).await.0));
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
}
