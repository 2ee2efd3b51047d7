//! The life of a purchase, by the API and by what a provider tells: every state, and what is refused in it.

use bursar::clock::Clock;
use bursar::global_id;
use bursar::payments::{PaidState, ProviderPayment};
use bursar::purchases::{self, Outcome};
use bursar_domain::Timestamp;
use bursar_domain::id::PurchaseId;
use bursar_entity::payment;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::client::Demo;
use crate::support::mail::tenant;
use crate::support::settled::{paid, row, tell};
use crate::support::{Backend, Client, World};

on_both_databases!(what_is_bought_is_said_in_one_way, payments_go_their_way, prices_run_out_and_fall);

/// 2 March 2026, 12:00 UTC.
const NOON: Timestamp = Timestamp::from_micros(1_772_452_800_000_000);

async fn start(backend: Backend) -> (World, Clock, Client, Demo) {
    let clock = Clock::set(NOON);
    let world = World::start_untimed(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    (world, clock, owner, demo)
}

async fn look(owner: &Client, purchase: &str) -> Value {
    let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { state total { amount } priceBasis
        package { code } payments { state failure } } } }";
    owner.query(query, json!({ "id": purchase })).await["node"].clone()
}

async fn begin(owner: &Client, purchase: &str, key: &str) -> Value {
    let input = json!({ "purchaseId": purchase, "idempotencyKey": key });
    let fields = "payment { id amount { amount } } purchase { state } replayed";
    owner.try_mutate("startCheckout", "StartCheckoutInput", input, fields).await
}

/// The payment of a checkout that is started.
async fn begun(world: &World, owner: &Client, purchase: &str, key: &str) -> payment::Model {
    let started = begin(owner, purchase, key).await;
    assert_eq!(started["userErrors"], json!([]), "{started}");
    row(world, started["payment"]["id"].as_str().unwrap()).await
}

async fn requested(owner: &Client, input: Value) -> Value {
    let fields = "purchase { id state credits total { amount } unitPrice { amount currency } priceBasis
        package { code } quote { id } invoice { id } reversals { id } returned { amount } } replayed";
    owner.try_mutate("requestPurchase", "RequestPurchaseInput", input, fields).await
}

async fn cancelled(owner: &Client, purchase: &str) -> Value {
    let input = json!({ "purchaseId": purchase });
    owner.try_mutate("cancelPurchase", "CancelPurchaseInput", input, "purchase { state }").await
}

/// That a client can tell, without reading the message, where the purchase stands and why that does not allow it.
fn says_why(payload: &Value, stands: &str, why: &str) {
    let error = &payload["userErrors"][0];
    let told = ["__typename", "code", "stands", "why"].map(|name| error[name].as_str().unwrap_or("none"));
    assert_eq!(told, ["PurchaseStateError", "INVALID_STATE", stands, why], "{payload}");
    assert_eq!(error["field"], json!(["purchaseId"]), "{payload}");
}

async fn what_is_bought_is_said_in_one_way(backend: Backend) {
    let (_world, _, owner, demo) = start(backend).await;
    let input = json!({ "poolId": demo.pool, "credits": 250, "idempotencyKey": "some" });
    let made = requested(&owner, input.clone()).await;
    let purchase = &made["purchase"];
    assert_eq!(
        (&purchase["state"], &purchase["credits"], &purchase["total"]["amount"]),
        (&json!("APPROVED"), &json!(250), &json!("497.50")),
        "{made}"
    );
    assert_eq!(purchase["unitPrice"], json!({ "amount": "1.99", "currency": "USD" }));
    let nothing = ["package", "quote", "invoice"].map(|field| purchase[field].clone());
    assert_eq!((nothing, &purchase["reversals"]), ([Value::Null, Value::Null, Value::Null], &json!([])));
    assert_eq!(purchase["returned"]["amount"], "0.00");
    let again = requested(&owner, input).await;
    assert_eq!((&again["purchase"]["id"], &again["replayed"]), (&purchase["id"], &json!(true)));
    let other = json!({ "poolId": demo.pool, "credits": 251, "idempotencyKey": "some" });
    assert_eq!(requested(&owner, other).await["userErrors"][0]["code"], "IDEMPOTENCY_CONFLICT");
    // The package itself.
    let input =
        json!({ "poolId": demo.pool, "package": "STARTER", "currency": "USD", "idempotencyKey": "one" });
    let made = requested(&owner, input).await;
    assert_eq!(made["purchase"]["package"]["code"], "STARTER", "{made}");
    assert_eq!(made["purchase"]["priceBasis"], "PACKAGE");
    for (what, field) in [
        (json!({}), "package"),
        (json!({ "package": "STARTER", "credits": 5 }), "package"),
        (json!({ "package": "NOTHING" }), "package"),
        (json!({ "credits": 0 }), "credits"),
        (json!({ "quoteId": "quote_00000000000000000000000000" }), "quoteId"),
        (json!({ "package": "STARTER", "currency": "EUR" }), "currency"),
    ] {
        let mut input = what.clone();
        input["poolId"] = json!(demo.pool);
        input["idempotencyKey"] = json!("wrong");
        let refused = requested(&owner, input).await;
        assert_eq!(refused["userErrors"][0]["field"], json!([field]), "{what}: {refused}");
        assert_eq!(refused["purchase"], Value::Null);
    }
}

async fn payments_go_their_way(backend: Backend) {
    let (world, _, owner, demo) = start(backend).await;
    let (purchase, _) = owner.checkout(&demo.pool, "first").await;
    let first = begun(&world, &owner, &purchase, "first").await;
    let with =
        |payment: &payment::Model, state: PaidState| ProviderPayment { state, ..paid(payment, "pi_1") };
    // The checkout has run out at the provider: another one may be started.
    for outcome in [Outcome::Recorded, Outcome::Already] {
        assert_eq!(tell(&world, with(&first, PaidState::Expired)).await, outcome);
    }
    assert_eq!(look(&owner, &purchase).await["state"], "APPROVED");
    let second = begun(&world, &owner, &purchase, "second").await;
    // While the money is under way nothing else may happen to the purchase.
    for outcome in [Outcome::Recorded, Outcome::Already] {
        assert_eq!(tell(&world, with(&second, PaidState::Pending)).await, outcome);
    }
    for refused in [begin(&owner, &purchase, "more").await, cancelled(&owner, &purchase).await] {
        says_why(&refused, "AWAITING_PAYMENT", "PAYMENT_UNDER_WAY");
    }
    let failed = PaidState::Failed("insufficient_funds".to_owned());
    for outcome in [Outcome::Recorded, Outcome::Already] {
        assert_eq!(tell(&world, with(&second, failed.clone())).await, outcome);
    }
    // That it was under way is told once more, and late: it is not any more, and holds nothing up.
    assert_eq!(tell(&world, with(&second, PaidState::Pending)).await, Outcome::Already);
    let seen = look(&owner, &purchase).await;
    assert_eq!(seen["state"], "PAYMENT_FAILED");
    assert_eq!(seen["payments"][0], json!({ "state": "FAILED", "failure": "insufficient_funds" }));
    // It can be tried again; and a failure of the past does not touch the new checkout.
    begun(&world, &owner, &purchase, "third").await;
    assert_eq!(tell(&world, with(&first, failed)).await, Outcome::Recorded);
    assert_eq!(look(&owner, &purchase).await["state"], "AWAITING_PAYMENT");
    // The money of the second has come after all: it counts, and nobody pays the third.
    assert_eq!(tell(&world, with(&second, PaidState::Paid)).await, Outcome::Booked);
    let seen = look(&owner, &purchase).await;
    let states: Vec<&Value> = seen["payments"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(seen["state"], "COMPLETED");
    assert_eq!(states, ["CANCELLED", "PAID", "FAILED"]);
    assert_eq!(owner.balance(&demo.pool).await.0, 200);
    for state in [PaidState::Paid, PaidState::Pending, PaidState::Expired, PaidState::Failed("x".to_owned())]
    {
        assert_eq!(tell(&world, with(&second, state)).await, Outcome::Already);
    }
    says_why(&begin(&owner, &purchase, "again").await, "COMPLETED", "ALREADY_PAID");
    says_why(&cancelled(&owner, &purchase).await, "COMPLETED", "NOT_WITHDRAWABLE");
    // What is under way by a checkout that was replaced closes the one that is open: nobody is to pay twice.
    let (purchase, _) = owner.checkout(&demo.pool, "slow").await;
    let slow = begun(&world, &owner, &purchase, "slow").await;
    begun(&world, &owner, &purchase, "quick").await;
    assert_eq!(tell(&world, with(&slow, PaidState::Pending)).await, Outcome::Recorded);
    let seen = look(&owner, &purchase).await;
    let states: Vec<&Value> = seen["payments"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["CANCELLED", "PENDING"]);
    // One whose checkout was given up waits for what is under way there all the same.
    let (purchase, _) = owner.checkout(&demo.pool, "given up").await;
    let payment = begun(&world, &owner, &purchase, "given up").await;
    assert_eq!(tell(&world, with(&payment, PaidState::Expired)).await, Outcome::Recorded);
    assert_eq!(tell(&world, with(&payment, PaidState::Pending)).await, Outcome::Recorded);
    assert_eq!(look(&owner, &purchase).await["state"], "AWAITING_PAYMENT");
    says_why(&begin(&owner, &purchase, "instead").await, "AWAITING_PAYMENT", "PAYMENT_UNDER_WAY");
    // One that was withdrawn does not.
    let (purchase, url) = owner.checkout(&demo.pool, "gone").await;
    let payment = begun(&world, &owner, &purchase, "gone").await;
    assert_eq!(cancelled(&owner, &purchase).await["purchase"]["state"], "CANCELLED");
    assert_eq!(tell(&world, with(&payment, PaidState::Pending)).await, Outcome::Recorded);
    let seen = look(&owner, &purchase).await;
    assert_eq!((&seen["state"], &seen["payments"][0]["state"]), (&json!("CANCELLED"), &json!("PENDING")));
    let page = owner.open(&url).await.1;
    assert!(page.contains("No credits come of this payment.") && !page.contains("are added"), "{page}");
    // Withdrawn, it starts no checkout.
    let (purchase, _) = owner.checkout(&demo.pool, "withdrawn").await;
    assert_eq!(cancelled(&owner, &purchase).await["purchase"]["state"], "CANCELLED");
    says_why(&begin(&owner, &purchase, "late").await, "CANCELLED", "NOT_PAYABLE");
    // One that waits for somebody's consent, which no policy asks for yet.
    let input = json!({ "poolId": demo.pool, "credits": 5, "idempotencyKey": "consent" });
    let waits = requested(&owner, input).await["purchase"]["id"].as_str().unwrap().to_owned();
    let asked = "UPDATE purchase SET state = 'PENDING_APPROVAL' WHERE credits = 5";
    assert_eq!(world.sql(asked).await, 1);
    says_why(&begin(&owner, &waits, "early").await, "PENDING_APPROVAL", "NOT_APPROVED");
    let operator = world.client("operator@bursar.test").await;
    let input = json!({ "purchaseId": waits, "reason": "Nothing", "idempotencyKey": "nothing" });
    let none = operator.try_mutate("refundPurchase", "RefundPurchaseInput", input, "").await;
    says_why(&none, "PENDING_APPROVAL", "NOTHING_TO_RETURN");
    assert_eq!(owner.balance(&demo.pool).await.0, 200);
    quotes_are_given_back(&world, &owner, &demo).await;
}

/// What was quoted is bought by one purchase at a time: one that ends without having been paid gives it back.
async fn quotes_are_given_back(world: &World, owner: &Client, demo: &Demo) {
    let operator = world.client("operator@bursar.test").await;
    let pool = demo.pool.as_str();
    let input = json!({ "poolId": pool, "credits": 2_000, "idempotencyKey": "quote" });
    let asked = owner.mutate("requestQuote", "RequestQuoteInput", input, "quote { id }").await;
    let quote = asked["quote"]["id"].clone();
    let price = json!({ "price": { "total": { "amount": "3000.00", "currency": "USD" } } });
    let input = json!({ "quoteId": quote, "answer": price, "idempotencyKey": "answer" });
    operator.mutate("answerQuote", "AnswerQuoteInput", input, "quote { state }").await;
    let shown = async || {
        let query = "query N($id: ID!) { node(id: $id) { ... on Quote { state purchase { id } } } }";
        owner.query(query, json!({ "id": quote })).await["node"].clone()
    };
    // Many try at once: one has it.
    let buy = async |round: &str| {
        let tries = (0..4).map(|number| {
            let key = format!("{round} {number}");
            requested(owner, json!({ "poolId": pool, "quoteId": quote, "idempotencyKey": key }))
        });
        let answers = join_all(tries).await;
        let made: Vec<&Value> = answers.iter().filter(|one| one["userErrors"] == json!([])).collect();
        let refused = answers.iter().filter(|one| one["userErrors"][0]["code"] == "INVALID_STATE").count();
        assert_eq!((made.len(), refused), (1, 3), "{answers:?}");
        let purchase = made[0]["purchase"]["id"].as_str().unwrap().to_owned();
        assert_eq!(shown().await, json!({ "state": "USED", "purchase": { "id": purchase } }));
        purchase
    };
    let free = json!({ "state": "ANSWERED", "purchase": null });
    let first = buy("first").await;
    let payment = begun(world, owner, &first, "quoted").await;
    // A payment that has failed is not the end: the purchase keeps what it can still be paid for.
    let failed =
        ProviderPayment { state: PaidState::Failed("declined".to_owned()), ..paid(&payment, "pi_quoted") };
    assert_eq!(tell(world, failed).await, Outcome::Recorded);
    assert_eq!(look(owner, &first).await["state"], "PAYMENT_FAILED");
    let again =
        requested(owner, json!({ "poolId": pool, "quoteId": quote, "idempotencyKey": "too early" })).await;
    assert_eq!(again["userErrors"][0]["code"], "INVALID_STATE", "{again}");
    assert_eq!(cancelled(owner, &first).await["purchase"]["state"], "CANCELLED");
    assert_eq!(shown().await, free);
    // Another has it now; whoever cancels the first once more does not take it away.
    let second = buy("second").await;
    cancelled(owner, &first).await;
    assert_eq!(shown().await["state"], "USED");
    world.sql("UPDATE purchase SET valid_until = 0 WHERE quote_id IS NOT NULL AND state = 'APPROVED'").await;
    let id: PurchaseId = global_id::decode(&second).unwrap();
    let expired = purchases::expire(&world.services().selling, tenant(&demo.organization), id).await;
    assert_eq!(expired.unwrap(), None);
    assert_eq!((&look(owner, &second).await["state"], shown().await), (&json!("EXPIRED"), free));
    let third = buy("third").await;
    // Money for one that has ended pays for nothing twice.
    assert!(matches!(tell(world, paid(&payment, "pi_quoted")).await, Outcome::Parked(_)));
    assert_eq!(
        tell(world, paid(&begun(world, owner, &third, "pay").await, "pi_third")).await,
        Outcome::Booked
    );
    let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { quote { id } } } }";
    for purchase in [&first, &second, &third] {
        let of = owner.query(query, json!({ "id": purchase })).await["node"]["quote"]["id"].clone();
        assert_eq!(of, quote, "what it was bought by stays on record");
    }
    let told = "SELECT count(*) AS n FROM audit_event WHERE \"after\" LIKE '%releasedQuote%'";
    assert_eq!(world.number(told).await, 2);
}

async fn prices_run_out_and_fall(backend: Backend) {
    let (world, clock, owner, demo) = start(backend).await;
    let selling = world.services().selling.clone();
    let expire = async |purchase: &str| {
        let id: PurchaseId = global_id::decode(purchase).unwrap();
        purchases::expire(&selling, tenant(&demo.organization), id).await.unwrap()
    };
    let (kept, url) = owner.checkout(&demo.pool, "kept").await;
    let (waiting, _) = owner.checkout(&demo.pool, "waiting").await;
    let payment = begun(&world, &owner, &waiting, "waiting").await;
    let pending = ProviderPayment { state: PaidState::Pending, ..paid(&payment, "pi_1") };
    assert_eq!(tell(&world, pending).await, Outcome::Recorded);
    // A lower price at the checkout goes on; a higher one does not touch what was pinned.
    let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": "falls" });
    let falls = requested(&owner, input).await["purchase"]["id"].as_str().unwrap().to_owned();
    let operator = world.client("operator@bursar.test").await;
    for (key, price, expected) in [("lower", "149.00", "149.00"), ("higher", "299.00", "149.00")] {
        clock.turn(clock.now().plus_seconds(60));
        let input = json!({ "code": "STARTER", "credits": 100,
            "prices": [{ "amount": price, "currency": "USD" }] });
        operator.mutate("savePackage", "SavePackageInput", input, "package { id }").await;
        clock.turn(clock.now().plus_seconds(60));
        let started = begin(&owner, &falls, key).await;
        assert_eq!(started["payment"]["amount"]["amount"], expected, "{started}");
        assert_eq!(look(&owner, &falls).await["total"]["amount"], expected);
    }
    // Paid at a checkout of before the fall, it costs what was paid: the lot and the receipt say the same.
    let input = json!({ "poolId": demo.pool, "credits": 100, "idempotencyKey": "early" });
    let early = requested(&owner, input).await["purchase"]["id"].as_str().unwrap().to_owned();
    let first = begun(&world, &owner, &early, "early").await;
    clock.turn(clock.now().plus_seconds(60));
    let input =
        json!({ "code": "STARTER", "credits": 100, "prices": [{ "amount": "149.00", "currency": "USD" }] });
    operator.mutate("savePackage", "SavePackageInput", input, "package { id }").await;
    clock.turn(clock.now().plus_seconds(60));
    let second = begun(&world, &owner, &early, "early again").await;
    assert_eq!((first.amount, second.amount), (19_900, 14_900));
    assert_eq!(tell(&world, paid(&first, "pi_early")).await, Outcome::Booked);
    let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { total { amount } unitPrice { amount }
        lot { cost { amount } } documents { total { amount } } } } }";
    let cost = json!({ "amount": "199.00" });
    let expected = json!({ "total": cost, "unitPrice": { "amount": "1.99" }, "lot": { "cost": cost },
        "documents": [{ "total": cost }] });
    assert_eq!(owner.query(query, json!({ "id": early })).await["node"], expected);
    let end = NOON.plus_days(10);
    assert_eq!(expire(&kept).await, Some(end));
    assert_eq!(look(&owner, &kept).await["state"], "AWAITING_PAYMENT");
    clock.turn(end);
    assert_eq!(expire(&kept).await, None);
    assert_eq!(expire(&waiting).await, Some(end.plus_seconds(3_600)), "its money is under way");
    assert_eq!(expire(&kept).await, None);
    // The token of the first day has run out with the clock.
    let owner = world.client("owner@demo.test").await;
    let seen = look(&owner, &kept).await;
    assert_eq!((&seen["state"], &seen["payments"][0]["state"]), (&json!("EXPIRED"), &json!("CANCELLED")));
    assert_eq!(owner.submit(&format!("{url}/pay")).await.0, 409);
    assert_eq!(begin(&owner, &kept, "late").await["userErrors"][0]["code"], "QUOTE_EXPIRED");
    assert_eq!(cancelled(&owner, &kept).await["userErrors"][0]["code"], "INVALID_STATE");
    // What comes in late counts.
    assert_eq!(tell(&world, paid(&payment, "pi_1")).await, Outcome::Booked);
    assert_eq!(look(&owner, &waiting).await["state"], "COMPLETED");
    assert_eq!(expire(&waiting).await, None);
    assert_eq!(owner.balance(&demo.pool).await.0, 300);
    // A package that has other credits by now is something else: who changes the note buys as many as before.
    let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": "noted" });
    let noted = requested(&owner, input).await["purchase"]["id"].as_str().unwrap().to_owned();
    clock.turn(clock.now().plus_seconds(60));
    let operator = world.client("operator@bursar.test").await;
    let prices = json!([{ "amount": "298.50", "currency": "USD" }]);
    let input = json!({ "code": "STARTER", "credits": 150, "prices": prices });
    operator.mutate("savePackage", "SavePackageInput", input, "package { id }").await;
    clock.turn(clock.now().plus_seconds(60));
    let input = json!({ "purchaseId": noted, "note": "For the fair" });
    let fields = "purchase { state credits note total { amount } }";
    let changed = owner.mutate("updatePurchase", "UpdatePurchaseInput", input, fields).await;
    let expected = json!({ "state": "APPROVED", "credits": 100, "note": "For the fair",
        "total": { "amount": "199.00" } });
    assert_eq!(changed["purchase"], expected);
}
