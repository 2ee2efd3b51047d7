//! Buying at Stripe, with a stand-in that speaks its wire format: what is asked for and with which key, what becomes of a
//! purchase when it is paid, given up, runs out or fails, and what else the provider can do.

use bursar::clock::Clock;
use bursar::config::PaymentSettings;
use bursar::global_id;
use bursar::payments::{
    Customer, OffSession, Order, PaidState, Payments, ProviderError, RefundOrder, SetupOrder,
};
use bursar_domain::id::{OrganizationId, PaymentId, PurchaseId, ReversalId};
use bursar_domain::reversal::ReversalState;
use bursar_domain::{Credits, Currency, Money};
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::reopened_checkouts::one_can_be_paid;
use crate::support::acts::{billed, invoiced, refusal};
use crate::support::client::Demo;
use crate::support::keys::make;
use crate::support::stripe::SECRET_KEY;
use crate::support::world::config;
use crate::support::{Backend, Client, Stripe, TestDatabase, World, run};
use crate::true_answers::{
    a_refusal_uses_up_no_key, closed_checkouts_have_no_address, refusals_say_what_stands_in_the_way,
};

on_both_databases!(
    what_is_paid_is_there_at_once,
    checkouts_end_in_every_way,
    nobody_pays_for_a_sandbox,
    what_becomes_of_parked_money_is_not_forgotten
);

/// The price of the package Starter, in cents.
pub const PRICE: i64 = 19_900;

/// Gives a payment back.
pub const REFUND: &str =
    "mutation R($input: RefundPurchaseInput!) { refundPurchase(input: $input) { reversal { state }
    userErrors { code } } }";

/// All of a purchase, to be given back.
pub fn whole(purchase: &str, key: &str) -> Value {
    json!({ "input": { "purchaseId": purchase, "reason": "Not needed", "idempotencyKey": key } })
}

/// A server that takes payments at a stand-in, and its owner.
pub struct Shop {
    /// The server.
    pub world: World,
    /// The stand-in.
    pub stripe: Stripe,
    /// The owner of the demonstration's organization.
    pub owner: Client,
    /// Its ids.
    pub demo: Demo,
}

impl Shop {
    /// Opens one.
    pub async fn open(backend: Backend, clock: Clock) -> Shop {
        Shop::open_on(TestDatabase::migrated(backend).await, clock).await
    }

    /// Opens one on a database.
    pub async fn open_on(database: TestDatabase, clock: Clock) -> Shop {
        let stripe = Stripe::start().await;
        let world = World::start_untimed_with(database, clock, |config| stripe.config(config)).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        Shop { world, stripe, owner, demo }
    }

    /// Buys the package Starter up to its checkout; the purchase and the session.
    pub async fn buy(&self, key: &str) -> (String, String) {
        let input = json!({ "poolId": self.demo.pool, "package": "STARTER", "idempotencyKey": key });
        let made =
            self.owner.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
        let purchase = made["purchase"]["id"].as_str().unwrap().to_owned();
        self.start(&purchase, key).await;
        let session = self.stripe.session_of(&purchase);
        (purchase, session)
    }

    /// Starts a checkout.
    pub async fn start(&self, purchase: &str, key: &str) -> Value {
        let input = json!({ "purchaseId": purchase, "idempotencyKey": key });
        let fields = "checkoutUrl payment { id state } purchase { state }";
        self.owner.mutate("startCheckout", "StartCheckoutInput", input, fields).await
    }

    /// The state of a purchase, and of its payments from the newest on.
    pub async fn state(&self, purchase: &str) -> (String, Vec<String>) {
        let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { state payments { state } } } }";
        let node = self.owner.query(query, json!({ "id": purchase })).await["node"].clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let payments = node["payments"].as_array().unwrap().iter().map(|payment| text(&payment["state"]));
        (text(&node["state"]), payments.collect())
    }

    /// How many lots came with purchases of this server's checkout, the demonstration's own left out.
    pub async fn lots(&self) -> i64 {
        self.world.number("SELECT count(*) AS n FROM lot WHERE purchase_id IS NOT NULL").await - 1
    }

    /// What is available in the pool.
    pub async fn available(&self) -> i64 {
        self.owner.balance(&self.demo.pool).await.0
    }
}

/// A state with those of the payments.
pub fn stands(state: &str, payments: &[&str]) -> (String, Vec<String>) {
    (state.to_owned(), payments.iter().map(|state| (*state).to_owned()).collect())
}

async fn what_is_paid_is_there_at_once(backend: Backend) {
    let shop = Shop::open(backend, Clock::system()).await;
    let Shop { stripe, owner, demo, .. } = &shop;
    let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": "k" });
    let made = owner.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
    let purchase = made["purchase"]["id"].as_str().unwrap();
    // The answer is lost on its way, and Stripe is not there for a while: nobody is told of a checkout, but that it is begun.
    let query = "mutation S($input: StartCheckoutInput!) { startCheckout(input: $input) { checkoutUrl
        userErrors { code } } }";
    let input = json!({ "input": { "purchaseId": purchase, "idempotencyKey": "k" } });
    stripe.lose_next_answer();
    let lost = owner.raw(query, input.clone()).await;
    assert_eq!(lost["data"]["startCheckout"]["checkoutUrl"], json!(null), "{lost}");
    stripe.set_down(true);
    let down = owner.raw(query, input).await;
    assert_eq!(down["data"]["startCheckout"]["checkoutUrl"], json!(null), "{down}");
    for answer in [&lost, &down] {
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "UNAVAILABLE", "{answer}");
        let says = error["message"].as_str().unwrap();
        assert!(says.contains("under way") && !says.contains("Nothing was done"), "{says}");
    }
    stripe.set_down(false);
    // The same key goes the same way again, and finds the session that was opened.
    let started = shop.start(purchase, "k").await;
    let again = shop.start(purchase, "k").await;
    assert_eq!(started, again);
    let payment = started["payment"]["id"].as_str().unwrap();
    let asked = stripe.asked("checkout/sessions");
    assert!(asked.len() >= 2 && asked.iter().all(|asked| asked.key.as_deref() == Some(payment)), "{asked:?}");
    assert!(asked.iter().all(|other| other.form == asked[0].form), "{asked:?}");
    let session = stripe.session_of(purchase);
    assert_eq!(session, stripe.last_session());
    let object = stripe.object("sessions", &session);
    assert_eq!((&object["amount_total"], &object["currency"]), (&json!(PRICE), &json!("usd")));
    assert_eq!(object["client_reference_id"], payment);
    let names = json!({ "bursar_organization": demo.organization, "bursar_purchase": purchase,
        "bursar_payment": payment });
    assert_eq!(object["metadata"], names);
    // Paid, and seen by who watches, within a second.
    let mut socket = owner.socket().await;
    let watch = "subscription W($id: ID!) { poolBalance(poolId: $id) { balance { available } } }";
    socket.subscribe("w", watch, json!({ "id": demo.pool })).await;
    assert_eq!(socket.next("poolBalance").await["balance"]["available"], 100);
    let event = stripe.pay(&session);
    let paid = std::time::Instant::now();
    assert_eq!(stripe.send(&shop.world, &event).await, 200);
    assert_eq!(socket.next("poolBalance").await["balance"]["available"], 200);
    let took = paid.elapsed();
    assert!(took < std::time::Duration::from_secs(1), "{took:?}");
    assert_eq!(shop.state(purchase).await, stands("COMPLETED", &["PAID"]));
    let names = stripe.object("payment_intents", &stripe.intent_of(&session))["metadata"].clone();
    assert_eq!(names["bursar_payment"], payment);
    // What is paid cannot be given up, whatever is told.
    assert_eq!(stripe.send(&shop.world, &stripe.expire(&session)).await, 200);
    assert_eq!((shop.state(purchase).await, shop.lots().await), (stands("COMPLETED", &["PAID"]), 1));
    // It is given back, and the answer is lost: what came of it is looked for, and it does not go back once more.
    let operator = shop.world.client("operator@bursar.test").await;
    let input = whole(purchase, "back");
    stripe.lose_next_answer();
    let lost = operator.raw(REFUND, input.clone()).await;
    let under_way = json!({ "reversal": { "state": "PENDING" }, "userErrors": [] });
    assert_eq!(lost["data"]["refundPurchase"], under_way, "{lost}");
    let found = operator.raw(REFUND, input).await;
    assert_eq!(found["data"]["refundPurchase"]["reversal"]["state"], "SUCCEEDED", "{found}");
    assert_eq!((stripe.asked("refunds").len(), shop.available().await), (1, 100));
    a_refusal_uses_up_no_key(&shop).await;
}

async fn checkouts_end_in_every_way(backend: Backend) {
    let shop = Shop::open(backend, Clock::system()).await;
    let Shop { stripe, world, owner, .. } = &shop;
    // Another checkout closes the one before, here and there; that one can be paid no more.
    let (purchase, first) = shop.buy("two").await;
    shop.start(&purchase, "two again").await;
    let second = stripe.session_of(&purchase);
    assert_ne!(first, second);
    assert_eq!(stripe.object("sessions", &first)["status"], "expired");
    assert_eq!(shop.state(&purchase).await, stands("AWAITING_PAYMENT", &["OPEN", "CANCELLED"]));
    // It runs out: the purchase can be paid by yet another.
    assert_eq!(stripe.send(world, &stripe.expire(&second)).await, 200);
    assert_eq!(shop.state(&purchase).await, stands("APPROVED", &["CANCELLED", "CANCELLED"]));
    // A way that takes days: on its way, failed, and paid by another checkout.
    shop.start(&purchase, "slow").await;
    let slow = stripe.session_of(&purchase);
    assert_eq!(stripe.send(world, &stripe.pay_later(&slow)).await, 200);
    assert_eq!(shop.state(&purchase).await.1[0], "PENDING");
    assert_eq!(shop.lots().await, 0);
    assert_eq!(stripe.send(world, &stripe.fail(&slow)).await, 200);
    let (state, payments) = shop.state(&purchase).await;
    assert_eq!((state.as_str(), payments[0].as_str()), ("PAYMENT_FAILED", "FAILED"));
    shop.start(&purchase, "at last").await;
    assert_eq!(stripe.send(world, &stripe.pay(&stripe.session_of(&purchase))).await, 200);
    assert_eq!((shop.state(&purchase).await.0.as_str(), shop.lots().await), ("COMPLETED", 1));
    // A way that takes days, and the money comes.
    let (purchase, slow) = shop.buy("slow and good").await;
    let pending = stripe.pay_later(&slow);
    assert_eq!(stripe.send(world, &stripe.arrive(&slow)).await, 200);
    // That it is on its way comes last, and is old by then.
    assert_eq!(stripe.send(world, &pending).await, 200);
    assert_eq!((shop.state(&purchase).await, shop.lots().await), (stands("COMPLETED", &["PAID"]), 2));
    // At its page, which leads back to ours.
    let (purchase, session) = shop.buy("page").await;
    stripe.tells(&world.base);
    let page = format!("{}{session}", stripe.pages());
    assert!(owner.open(&page).await.1.contains("Pay 19900 usd"));
    let paid = owner.http().post(&page).send().await.unwrap();
    assert_eq!(paid.status().as_u16(), 303);
    let back = paid.headers()["location"].to_str().unwrap();
    assert!(back.starts_with("http://bursar.test/checkout/") && back.ends_with("/done"));
    assert_eq!(shop.state(&purchase).await, stands("COMPLETED", &["PAID"]));
    // Bought on invoice: not while a payment is under way; else its checkout can be paid no more, there neither.
    let operator = world.client("operator@bursar.test").await;
    billed(&operator, owner, &shop.demo.organization, "10000.00").await;
    let (purchase, slow) = shop.buy("invoice").await;
    assert_eq!(stripe.send(world, &stripe.pay_later(&slow)).await, 200);
    assert_eq!(refusal(&invoiced(owner, &purchase, "under way").await).0, "INVALID_STATE");
    assert_eq!(stripe.send(world, &stripe.fail(&slow)).await, 200);
    shop.start(&purchase, "invoice again").await;
    let session = stripe.session_of(&purchase);
    assert_eq!(invoiced(owner, &purchase, "on invoice").await["userErrors"], json!([]));
    assert_eq!(stripe.object("sessions", &session)["status"], "expired");
    // Withdrawn: what is told of its checkout then changes nothing.
    let (purchase, session) = shop.buy("withdrawn").await;
    let input = json!({ "purchaseId": purchase });
    owner.mutate("cancelPurchase", "CancelPurchaseInput", input, "purchase { state }").await;
    assert_eq!(stripe.send(world, &stripe.expire(&session)).await, 200);
    assert_eq!(shop.state(&purchase).await, stands("CANCELLED", &["CANCELLED"]));
    assert_eq!((shop.lots().await, shop.available().await), (4, 500));
    one_can_be_paid(&shop).await;
    closed_checkouts_have_no_address(&shop).await;
    refusals_say_what_stands_in_the_way(&shop).await;
}

/// In an organization's sandbox no money is real, whoever takes that of the organization.
async fn nobody_pays_for_a_sandbox(backend: Backend) {
    let shop = Shop::open(backend, Clock::system()).await;
    let Shop { stripe, world, owner, demo } = &shop;
    let scopes = ["PURCHASES_WRITE", "LEDGER_READ"];
    let key = make(world, owner, Some(&demo.organization), &scopes, json!({ "mode": "TEST" })).await;
    let query = "{ organizations { nodes { pools { nodes { id } } } } }";
    let data = key.client.query(query, json!({})).await;
    let pool = data["organizations"]["nodes"][0]["pools"]["nodes"][0]["id"].as_str().unwrap();
    let (_, url) = key.client.checkout(pool, "test").await;
    assert!(stripe.asked("checkout/sessions").is_empty());
    for _ in 0..2 {
        assert_eq!(owner.submit(&format!("{url}/pay")).await.0, 200);
    }
    assert_eq!((shop.lots().await, shop.available().await), (1, 100));
    assert_eq!(key.client.balance(pool).await.0, 1_100);
    // The organization itself pays for what it gets.
    let (_, session) = shop.buy("real").await;
    assert_eq!(stripe.object("sessions", &session)["amount_total"], PRICE);
}

async fn what_becomes_of_parked_money_is_not_forgotten(backend: Backend) {
    let shop = Shop::open(backend, Clock::system()).await;
    let Shop { stripe, world, .. } = &shop;
    let operator = world.client("operator@bursar.test").await;
    let (purchase, session) = shop.buy("short").await;
    let other = format!("UPDATE payment SET amount = amount + 1 WHERE provider_session = '{session}'");
    assert_eq!(world.sql(&other).await, 1);
    assert_eq!(stripe.send(world, &stripe.pay(&session)).await, 200);
    // A part of it goes back, and the rest is disputed, before anybody has decided.
    let intent = stripe.intent_of(&session);
    for event in [stripe.refund(&intent, PRICE / 4), stripe.dispute(&intent, 10_000)] {
        assert_eq!(stripe.send(world, &event).await, 200);
    }
    assert_eq!((shop.lots().await, shop.available().await), (0, 100));
    let query = "{ parkedPayments(first: 5) { nodes { id } } }";
    let parked = operator.query(query, json!({})).await["parkedPayments"]["nodes"].clone();
    assert_eq!(parked.as_array().unwrap().len(), 1);
    let input = json!({ "parkedPaymentId": parked[0]["id"], "resolution": { "purchaseId": purchase }, "note": "Fine",
        "idempotencyKey": "fine" });
    operator.mutate("resolveParkedPayment", "ResolveParkedPaymentInput", input, "replayed").await;
    // The credits came in, and what was told before is known: 25 were given back, 51 are disputed.
    let kinds = "SELECT count(*) AS n FROM reversal WHERE kind = ";
    for kind in ["'REFUND'", "'DISPUTE'"] {
        assert_eq!(world.number(&format!("{kinds}{kind}")).await, 1);
    }
    assert_eq!((shop.lots().await, shop.available().await), (1, 200 - 25 - 51));
}

/// What the provider does without a server around it.
#[test]
fn a_provider_does_what_it_is_asked_once() {
    run(async {
        let stripe = Stripe::start().await;
        let database = TestDatabase::empty(Backend::Sqlite).await;
        let mut settings = config(&database);
        stripe.config(&mut settings);
        let payments = Payments::open(&settings.payments).unwrap();
        let provider = payments.active();
        let clock = Clock::system();
        let order = |minor: i64| Order {
            payment: global_id::encode(clock.new_id::<PaymentId>()),
            purchase: global_id::encode(clock.new_id::<PurchaseId>()),
            organization: global_id::encode(clock.new_id::<OrganizationId>()),
            description: "Starter: 100 credits".to_owned(),
            credits: Credits::new(100).unwrap(),
            price: Money { minor, currency: Currency::USD },
            page: "http://bursar.test/checkout/a/b/c".to_owned(),
            valid_until: clock.now().plus_days(10),
            now: clock.now(),
        };
        // The same order is one session, and another order under its key is refused.
        let bought = order(PRICE);
        let opened = provider.open_checkout(&bought).await.unwrap();
        assert_eq!(provider.open_checkout(&bought).await, Ok(opened.clone()));
        let price = Money { minor: 1, ..bought.price };
        let refused = provider.open_checkout(&Order { price, ..bought.clone() }).await;
        assert_eq!(refused, Err(ProviderError::Refused { code: "idempotency_error".to_owned() }));
        let session = opened.session.unwrap();
        assert_eq!(opened.url, format!("{}{session}", stripe.pages()));
        stripe.pay(&session);
        let payment = stripe.intent_of(&session);
        let found = provider.find_payment(&payment).await.unwrap();
        assert_eq!(
            (found.state, found.amount, found.ours),
            (PaidState::Paid, PRICE, Some(bought.payment.clone()))
        );
        assert_eq!(provider.find_payment("pi_none").await, Err(ProviderError::NotFound));
        let told = provider.find_checkout(&session).await.unwrap();
        assert_eq!(
            (told.state, told.payment, told.ours),
            (PaidState::Paid, Some(payment.clone()), Some(bought.payment))
        );
        assert_eq!(provider.find_checkout("cs_none").await, Err(ProviderError::NotFound));
        // What is paid stays so; what is open is closed, once or twice.
        assert_eq!(provider.close_checkout(&session).await, Ok(()));
        let other = provider.open_checkout(&order(5)).await.unwrap().session.unwrap();
        for _ in 0..2 {
            assert_eq!(provider.close_checkout(&other).await, Ok(()));
        }
        assert_eq!(provider.find_checkout(&other).await.unwrap().state, PaidState::Expired);
        // A refund is made once, and no more goes back than has come.
        let refund = |amount: i64| RefundOrder {
            reversal: global_id::encode(clock.new_id::<ReversalId>()),
            payment: payment.clone(),
            amount: Money { minor: amount, currency: Currency::USD },
        };
        let part = refund(5_000);
        let made = provider.refund(&part).await.unwrap();
        assert_eq!((made.state, made.ours.clone()), (ReversalState::Succeeded, Some(part.reversal.clone())));
        assert_eq!(provider.refund(&part).await, Ok(made.clone()));
        let too_much = provider.refund(&refund(PRICE)).await;
        assert_eq!(too_much, Err(ProviderError::Refused { code: "charge_already_refunded".to_owned() }));
        stripe.refunds_are("pending");
        let waiting = provider.refund(&refund(1)).await.unwrap();
        assert_eq!(waiting.state, ReversalState::Pending);
        // However long the list is.
        stripe.lists_at_most(1);
        let all = provider.refunds_of(&payment).await.unwrap().items;
        assert_eq!(
            all.iter().map(|refund| &refund.refund).collect::<Vec<_>>(),
            [&made.refund, &waiting.refund]
        );
        kept_cards(&stripe, &payments, order).await;
        stripe.set_down(true);
        assert!(matches!(provider.find_payment(&payment).await, Err(ProviderError::Unreachable(_))));
    });
}

/// A card is given, and charged without anybody there.
async fn kept_cards(stripe: &Stripe, payments: &Payments, order: impl Fn(i64) -> Order) {
    let provider = payments.active();
    let setup = SetupOrder {
        method: "method_1".to_owned(),
        organization: "org_1".to_owned(),
        name: "Demo".to_owned(),
        currency: Currency::USD,
        page: "http://bursar.test/consent/a/b/c".to_owned(),
    };
    let opened = provider.open_setup(&setup).await.unwrap();
    assert_eq!(provider.open_setup(&setup).await, Ok(opened.clone()));
    let session = opened.session.unwrap();
    let intent = stripe.object("sessions", &session)["setup_intent"].as_str().unwrap().to_owned();
    assert!(matches!(provider.find_setup(&session, &intent).await, Err(ProviderError::Refused { .. })));
    stripe.pay(&session);
    let given = provider.find_setup(&session, &intent).await.unwrap();
    assert_eq!((given.label.as_str(), given.ours.as_deref()), ("Visa ending in 4242", Some("method_1")));
    let customer = Customer { customer: given.customer, method: given.method };
    let charge = |order: Order| OffSession { order, customer: customer.clone() };
    let good = charge(order(500));
    let paid = provider.charge_off_session(&good).await.unwrap();
    assert_eq!((&paid.state, paid.ours.as_ref()), (&PaidState::Paid, Some(&good.order.payment)));
    assert_eq!(provider.charge_off_session(&good).await, Ok(paid));
    for (code, asks) in [("insufficient_funds", false), ("authentication_required", true)] {
        stripe.decline_next(code);
        let tried = charge(order(500));
        let declined = provider.charge_off_session(&tried).await;
        let Err(ProviderError::Declined { code: said, authentication, payment: Some(_) }) = &declined else {
            panic!("{declined:?}")
        };
        assert_eq!((said.as_str(), *authentication), (code, asks));
        // Asked again with the same key, the bank is not asked again.
        assert_eq!(provider.charge_off_session(&tried).await, declined);
    }
}

/// A key that is not taken is no reason to give a payment up, and is not told to anybody.
#[test]
fn a_wrong_key_is_no_answer() {
    run(async {
        let stripe = Stripe::start().await;
        let database = TestDatabase::empty(Backend::Sqlite).await;
        let mut settings = config(&database);
        stripe.config(&mut settings);
        let mut with = settings.payments.stripe.clone().unwrap();
        let wrong = SECRET_KEY.replace("Key", "Yek");
        with.secret_key = wrong.clone().into();
        let payments = PaymentSettings { stripe: Some(with), ..settings.payments };
        let error = Payments::open(&payments).unwrap().active().find_payment("pi_1").await.unwrap_err();
        assert_eq!(error, ProviderError::Unreachable("it answers 401".to_owned()));
        assert!(!format!("{payments:?} {error}").contains(&wrong));
    });
}
