//! What Stripe tells, in every order, again and again, at once, late, forged, and while servers break: each payment gives
//! exactly one lot, and what cannot be booked is kept for the vendor.
//!
//! `KILLS` in the environment makes a longer proof of the last part.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bursar::clock::Clock;
use bursar::schedule;
use bursar_domain::Timestamp;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::closed_checkouts::closed_at_last;
use crate::on_both_databases;
use crate::paid_in_time::counts_whenever_it_is_told;
use crate::paid_once::{one_payment_is_one_lot, ways_that_take_days};
use crate::stripe_checkout::{PRICE, REFUND, Shop, stands, whole};
use crate::support::laws::books_are_right;
use crate::support::postgres::server;
use crate::support::process::verify;
use crate::support::stripe::{Event, WEBHOOK_SECRET};
use crate::support::{Backend, Cut, Process, Proxy, Stripe, TestDatabase, number, run, run_within};
use crate::unknown_money::{in_states_of_tomorrow, not_of_our_making};

on_both_databases!(every_order_comes_to_the_same, fifty_at_once_are_one, what_is_wrong_is_not_booked);

/// A quarter of the price: it takes 25 of 100 credits back.
pub const PART: i64 = PRICE / 4;

/// All orders of a few things.
pub fn orders(number: usize) -> Vec<Vec<usize>> {
    if number == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in orders(number - 1) {
        for at in 0..number {
            let mut order = shorter.clone();
            order.insert(at, number - 1);
            all.push(order);
        }
    }
    all
}

async fn every_order_comes_to_the_same(backend: Backend) {
    let shop = Shop::open(backend, Clock::system()).await;
    let Shop { stripe, world, .. } = &shop;
    let orders = orders(4);
    assert_eq!(orders.len(), 24);
    let mut left = shop.available().await;
    for (number, order) in orders.iter().enumerate() {
        let won = number % 2 == 0;
        let (purchase, session) = shop.buy(&format!("order-{number}")).await;
        let completed = stripe.pay(&session);
        let intent = stripe.intent_of(&session);
        let refund = stripe.refund(&intent, PART);
        let disputed = stripe.dispute(&intent, PRICE - PART);
        let closed = stripe.close_dispute(disputed.id(), won);
        // Each twice: some by another message that tells the same.
        let succeeded = stripe.event("payment_intent.succeeded", stripe.object("payment_intents", &intent));
        let updated = stripe.event("charge.dispute.updated", disputed.object.clone());
        let twice = [
            [completed, succeeded],
            [refund, stripe.refunded(&intent)],
            [disputed, updated],
            [closed.clone(), closed],
        ];
        for event in order.iter().flat_map(|which| &twice[*which]) {
            assert_eq!(stripe.send(world, event).await, 200, "{order:?}: {}", event.kind);
        }
        let (state, kept) = if won { ("COMPLETED", 75) } else { ("REFUNDED", 0) };
        assert_eq!(shop.state(&purchase).await, stands(state, &["PAID"]), "{order:?}");
        left += kept;
        assert_eq!(shop.available().await, left, "{order:?}");
    }
    assert_eq!(shop.lots().await, 24);
    assert_eq!(world.number("SELECT count(*) AS n FROM reversal").await, 48);
    assert_eq!(world.number("SELECT count(*) AS n FROM reversal WHERE booked_at IS NULL").await, 0);
    assert_eq!(world.number("SELECT count(*) AS n FROM parked_payment").await, 0);
    books_are_right(world).await;
}

async fn fifty_at_once_are_one(backend: Backend) {
    let shop = Shop::open(backend, Clock::system()).await;
    let Shop { stripe, world, .. } = &shop;
    let (purchase, session) = shop.buy("k").await;
    let completed = stripe.pay(&session);
    let intent = stripe.object("payment_intents", &stripe.intent_of(&session));
    let succeeded = stripe.event("payment_intent.succeeded", intent);
    let sent =
        (0..50).map(|number| stripe.send(world, if number % 2 == 0 { &completed } else { &succeeded }));
    assert!(join_all(sent).await.iter().all(|status| *status == 200));
    assert_eq!(shop.state(&purchase).await, stands("COMPLETED", &["PAID"]));
    assert_eq!((shop.lots().await, shop.available().await), (1, 200));
    // A refund and what tells of it, at once too.
    let intent = stripe.intent_of(&session);
    let (refund, refunded) = (stripe.refund(&intent, PART), stripe.refunded(&intent));
    let sent = (0..20).map(|number| stripe.send(world, if number % 2 == 0 { &refund } else { &refunded }));
    assert!(join_all(sent).await.iter().all(|status| *status == 200));
    assert_eq!(shop.available().await, 175);
    // One that was not carried out after all is undone, once, and the vendor is told of it.
    let failed = stripe.refund_becomes(refund.id(), "failed");
    let sent = (0..10).map(|number| stripe.send(world, if number % 2 == 0 { &failed } else { &refund }));
    assert!(join_all(sent).await.iter().all(|status| *status == 200));
    let parked = "SELECT count(*) AS n FROM parked_payment WHERE reason = 'REVERSAL_MISMATCH'";
    assert_eq!((world.number(parked).await, shop.available().await), (1, 200));
    ways_that_take_days(&shop).await;
    one_payment_is_one_lot(&shop).await;
    books_are_right(world).await;
}

/// How many payments wait for the vendor, by the reason.
pub async fn parked(shop: &Shop) -> BTreeMap<&'static str, i64> {
    let mut parked = BTreeMap::new();
    for reason in ["UNKNOWN", "AMOUNT_MISMATCH", "CURRENCY_MISMATCH", "ORGANIZATION_MISMATCH", "PAID_TWICE"] {
        let sql =
            format!("SELECT count(*) AS n FROM parked_payment WHERE reason = '{reason}' AND state = 'OPEN'");
        parked.insert(reason, shop.world.number(&sql).await);
    }
    parked
}

async fn what_is_wrong_is_not_booked(backend: Backend) {
    let start = Timestamp::from_micros(Clock::system().now().micros());
    let clock = Clock::set(start);
    let mut shop = Shop::open(backend, clock.clone()).await;
    let (purchase, session) = shop.buy("k").await;
    let event = shop.stripe.pay(&session);
    forged(&shop, &event, start).await;
    assert_eq!(shop.state(&purchase).await, stands("AWAITING_PAYMENT", &["OPEN"]));
    mismatched(&shop, &event).await;
    // Somebody has to decide about that: nobody is to pay again meanwhile.
    assert_eq!(shop.state(&purchase).await, stands("AWAITING_PAYMENT", &["PARKED"]));
    assert_eq!((shop.lots().await, shop.available().await), (0, 100));
    // Nine days late, signed anew as Stripe does; what was signed then is too old.
    clock.turn(start.plus_days(9));
    assert_eq!(shop.stripe.post(&shop.world.base, &event.body, &event.signature(start)).await, Some(400));
    assert_eq!(shop.stripe.send(&shop.world, &event).await, 200);
    shop.owner = shop.world.client("owner@demo.test").await;
    assert_eq!(shop.state(&purchase).await, stands("COMPLETED", &["PAID"]));
    assert_eq!((shop.lots().await, shop.available().await), (1, 200));
    // Two checkouts of a purchase, both paid before anybody was told: the second one is kept for the vendor.
    let (purchase, session) = shop.buy("twice").await;
    let first = shop.stripe.pay(&session);
    shop.start(&purchase, "twice again").await;
    let second = shop.stripe.pay(&shop.stripe.session_of(&purchase));
    assert_ne!(first.id(), second.id());
    for event in [&first, &second, &second, &first] {
        assert_eq!(shop.stripe.send(&shop.world, event).await, 200);
    }
    assert_eq!(shop.state(&purchase).await.0, "COMPLETED");
    assert_eq!((parked(&shop).await["PAID_TWICE"], shop.lots().await), (1, 2));
    not_of_our_making(&shop).await;
    in_states_of_tomorrow(&shop).await;
    refunds_are_asked_for_until_they_are_answered(&shop, &clock).await;
    closed_at_last(&shop, &clock).await;
    counts_whenever_it_is_told(&shop).await;
    books_are_right(&shop.world).await;
}

/// What does not come from Stripe, or was caught and sent again.
async fn forged(shop: &Shop, event: &Event, now: Timestamp) {
    let Shop { stripe, world, .. } = shop;
    let good = event.signature(now);
    let altered = event.body.replace(&PRICE.to_string(), "19901");
    let compact = serde_json::from_str::<Value>(&event.body).unwrap().to_string();
    for (body, signature) in [
        (&event.body, String::new()),
        (&event.body, "t=1,v1=00".to_owned()),
        (&event.body, good.replace("v1=", "v0=")),
        (&event.body, event.signed_with("whsec_another", now)),
        (&event.body, event.signature(now.plus_seconds(-301))),
        (&event.body, event.signature(now.plus_seconds(301))),
        (&altered, good.clone()),
        // The same in other bytes.
        (&compact, good.clone()),
    ] {
        assert_eq!(stripe.post(&world.base, body, &signature).await, Some(400), "{signature}");
    }
    let long = stripe.event("customer.created", json!({ "id": "x".repeat(300_000) }));
    assert_eq!(stripe.post(&world.base, &long.body, &long.signature(now)).await, Some(413));
    let broken = Event { body: "{\"type\": 5}".to_owned(), ..event.clone() };
    assert_eq!(stripe.post(&world.base, &broken.body, &broken.signature(now)).await, Some(400));
    // What does not matter to us is taken, so that it is not sent again.
    let other = stripe.event("customer.created", json!({ "id": "cus_1" }));
    assert_eq!(stripe.send(world, &other).await, 200);
    // It is a door for one thing.
    let (status, _) = shop.owner.open(&shop.owner.url("/payments/stripe")).await;
    assert_eq!(status, 405);
    assert!(!good.contains(WEBHOOK_SECRET));
}

/// Money that is really there, and other than agreed on: each once, however often it is told of.
async fn mismatched(shop: &Shop, event: &Event) {
    let Shop { stripe, world, .. } = shop;
    let other = world.found("other").await;
    let query = "{ organization(by: { slug: \"other\" }) { id } }";
    let foreign = other.query(query, json!({})).await["organization"]["id"].clone();
    for (number, (path, value)) in [
        ("/amount_total", json!(PRICE - 1)),
        ("/currency", json!("eur")),
        ("/metadata/bursar_organization", foreign),
        ("/metadata/bursar_payment", json!("payment_00000000000000000000000000")),
        ("/metadata", Value::Null),
    ]
    .into_iter()
    .enumerate()
    {
        let mut object = event.object.clone();
        object["payment_intent"] = json!(format!("pi_1Mismatch{number}"));
        *object.pointer_mut(path).unwrap() = value;
        let wrong = stripe.event("checkout.session.completed", object);
        for _ in 0..2 {
            assert_eq!(stripe.send(world, &wrong).await, 200, "{path}");
        }
    }
    let expected = [
        ("UNKNOWN", 2),
        ("AMOUNT_MISMATCH", 1),
        ("CURRENCY_MISMATCH", 1),
        ("ORGANIZATION_MISMATCH", 1),
        ("PAID_TWICE", 0),
    ];
    assert_eq!(parked(shop).await, BTreeMap::from(expected));
}

/// A refund that is written and of which the provider has not heard is asked for by timed work, and so is one of which it
/// has heard and nobody else.
async fn refunds_are_asked_for_until_they_are_answered(shop: &Shop, clock: &Clock) {
    let Shop { stripe, world, .. } = shop;
    let selling = &world.services().selling;
    let operator = world.client("operator@bursar.test").await;
    let (purchase, session) = shop.buy("back").await;
    assert_eq!(stripe.send(world, &stripe.pay(&session)).await, 200);
    let before = shop.available().await;
    stripe.set_down(true);
    let lost = operator.raw(REFUND, whole(&purchase, "back")).await;
    let under_way = json!({ "reversal": { "state": "PENDING" }, "userErrors": [] });
    assert_eq!(lost["data"]["refundPurchase"], under_way, "{lost}");
    let pending = "SELECT count(*) AS n FROM reversal WHERE state = 'PENDING'";
    let tasks = "SELECT count(*) AS n FROM timed_task WHERE kind = 'REFUND_DUE'";
    let failed = |times: i64| format!("{tasks} AND attempts = {times} AND last_error IS NOT NULL");
    assert_eq!((world.number(pending).await, world.number(tasks).await), (1, 1));
    schedule::run_once(selling).await.unwrap();
    assert_eq!(world.number(&format!("{tasks} AND attempts = 0")).await, 1, "whoever wrote it asks first");
    clock.turn(clock.now().plus_seconds(60));
    schedule::run_once(selling).await.unwrap();
    assert_eq!((world.number(&failed(1)).await, stripe.asked("refunds").len()), (1, 0));
    // It carries the refund out, and nobody hears of it.
    stripe.set_down(false);
    stripe.lose_next_answer();
    schedule::run_once(selling).await.unwrap();
    assert!(stripe.asked("refunds").is_empty(), "later and later");
    clock.turn(clock.now().plus_seconds(1));
    schedule::run_once(selling).await.unwrap();
    assert_eq!((world.number(&failed(2)).await, stripe.asked("refunds").len()), (1, 1));
    assert_eq!((world.number(pending).await, shop.available().await), (1, before));
    // Two that look at once: one of them finds what was done.
    clock.turn(clock.now().plus_seconds(2));
    let (one, other) = tokio::join!(schedule::run_once(selling), schedule::run_once(selling));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!((stripe.asked("refunds").len(), shop.available().await), (1, before - 100));
    assert_eq!(shop.state(&purchase).await, stands("REFUNDED", &["PAID"]));
    assert_eq!((world.number(pending).await, world.number(tasks).await), (0, 0));
}

/// Nobody is told that a payment was taken before it is in the books.
#[test]
fn a_commit_that_is_cut_off_is_told_again() {
    run(async {
        let mut database = TestDatabase::migrated(Backend::Postgres).await;
        let proxy = Proxy::start(&server().host, Duration::ZERO).await;
        for url in [Some(&mut database.addresses.application), database.addresses.migration.as_mut()] {
            let url = url.unwrap();
            *url = url.replace(&server().host, &proxy.host);
        }
        let clock = Clock::set(Clock::system().now());
        let shop = Shop::open_on(database, clock.clone()).await;
        for (number, cut) in [Cut::BeforeCommit, Cut::AfterCommit].into_iter().enumerate() {
            let (purchase, session) = shop.buy(&format!("cut-{number}")).await;
            let event = shop.stripe.pay(&session);
            let cuts = proxy.cuts();
            proxy.cut_next(cut);
            assert_eq!(shop.stripe.send(&shop.world, &event).await, 503, "{cut:?}");
            assert_eq!(proxy.cuts(), cuts + 1);
            let lots = i64::try_from(number).unwrap() + i64::from(cut == Cut::AfterCommit);
            assert_eq!(shop.lots().await, lots, "{cut:?}");
            for _ in 0..2 {
                assert_eq!(shop.stripe.send(&shop.world, &event).await, 200, "{cut:?}");
            }
            assert_eq!(shop.state(&purchase).await, stands("COMPLETED", &["PAID"]), "{cut:?}");
            assert_eq!(shop.lots().await, i64::try_from(number).unwrap() + 1, "{cut:?}");
        }
        // A refund that is committed, and nobody is left to ask the provider for it.
        let (purchase, session) = shop.buy("back").await;
        assert_eq!(shop.stripe.send(&shop.world, &shop.stripe.pay(&session)).await, 200);
        let operator = shop.world.client("operator@bursar.test").await;
        let cuts = proxy.cuts();
        proxy.cut_next(Cut::AfterCommit);
        let answer = operator.raw(REFUND, whole(&purchase, "back")).await;
        assert_eq!((proxy.cuts(), &answer["data"]["refundPurchase"]), (cuts + 1, &Value::Null), "{answer}");
        let pending = "SELECT count(*) AS n FROM reversal WHERE state = 'PENDING'";
        assert_eq!((shop.world.number(pending).await, shop.stripe.asked("refunds").len()), (1, 0));
        clock.turn(clock.now().plus_seconds(60));
        schedule::run_once(&shop.world.services().selling).await.unwrap();
        assert_eq!((shop.world.number(pending).await, shop.stripe.asked("refunds").len()), (0, 1));
        assert_eq!(shop.state(&purchase).await, stands("REFUNDED", &["PAID"]));
        books_are_right(&shop.world).await;
    });
}

/// Sends a message until it is taken, wherever the server is by then.
async fn insist(stripe: Stripe, event: Event, server: watch::Receiver<String>) {
    let began = Instant::now();
    loop {
        let base = server.borrow().clone();
        let signature = event.signature(Clock::system().now());
        let answered = if base.is_empty() { None } else { stripe.post(&base, &event.body, &signature).await };
        if answered == Some(200) {
            return;
        }
        assert!(answered.is_none_or(|status| status >= 500), "{answered:?}");
        assert!(began.elapsed() < Duration::from_secs(90), "never taken");
        // As Stripe does, a little later.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Servers that are killed between a message and its commit.
async fn killed(backend: Backend) {
    const BOUGHT: usize = 16;
    let mut shop = Shop::open(backend, Clock::system()).await;
    let mut events = Vec::new();
    for number in 0..BOUGHT {
        let (_, session) = shop.buy(&format!("k-{number}")).await;
        events.push(shop.stripe.pay(&session));
    }
    // From here on the database is the victim's alone.
    shop.world.stop().await;
    let (stripe, database) = (shop.stripe.clone(), &shop.world.database);
    let settings = stripe.settings();
    let mut process = Process::start_with(database, &settings).await;
    let (address, server) = watch::channel(process.base.clone());
    // Each from four sides.
    let send = |event: &Event| tokio::spawn(insist(stripe.clone(), event.clone(), server.clone()));
    let sent: Vec<_> = events.iter().cycle().take(4 * BOUGHT).map(send).collect();
    for _ in 0..number("KILLS", 1) {
        // In the middle of it: some are in the books, most are on their way.
        let lots = "SELECT count(*) AS n FROM lot WHERE purchase_id IS NOT NULL";
        while database.number(lots).await < 2 {
            tokio::task::yield_now().await;
        }
        process.kill().await;
        address.send_replace(String::new());
        process = Process::start_with(database, &settings).await;
        address.send_replace(process.base.clone());
    }
    for sent in sent {
        sent.await.unwrap();
    }
    process.kill().await;
    let count = async |sql: &str| database.number(sql).await;
    let bought = i64::try_from(BOUGHT).unwrap() + 1;
    assert_eq!(count("SELECT count(*) AS n FROM lot WHERE purchase_id IS NOT NULL").await, bought);
    assert_eq!(count("SELECT count(DISTINCT purchase_id) AS n FROM lot").await, bought);
    assert_eq!(count("SELECT count(*) AS n FROM purchase WHERE state = 'AWAITING_PAYMENT'").await, 0);
    assert_eq!(count("SELECT count(*) AS n FROM parked_payment").await, 0);
    let (clean, said) = verify(database).await;
    assert!(clean, "{said}");
}

#[test]
fn what_sqlite_took_survives_a_kill() {
    run_within(Duration::from_secs(120 + 10 * number("KILLS", 1)), killed(Backend::Sqlite));
}

#[test]
fn what_postgres_took_survives_a_kill() {
    run_within(Duration::from_secs(120 + 10 * number("KILLS", 1)), killed(Backend::Postgres));
}
