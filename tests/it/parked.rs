//! Money that cannot be booked: whatever the reason, it is parked once, told of, and waits until somebody decides.

use bursar::clock::Clock;
use bursar::payments::{PaidState, ProviderEvent, ProviderPayment, ProviderRefund};
use bursar::purchases::{self, Outcome};
use bursar_domain::purchase::PaymentProvider;
use bursar_domain::reversal::ReversalState;
use bursar_entity::{lot, parked_payment, payment};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::client::Demo;
use crate::support::settled::{paid, park, row, tell};
use crate::support::{Backend, Client, World};

on_both_databases!(each_reason_parks_once_and_is_told_of, somebody_decides);

const ALERTS: &str = "alerts@vendor.test";

async fn start(backend: Backend) -> (World, Client, Client, Demo) {
    let alerts = |config: &mut bursar::config::Config| config.payments.alerts = Some(ALERTS.to_owned());
    let world = World::start_untimed_as(backend, Clock::system(), alerts).await;
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    (world, owner, operator, demo)
}

/// A purchase whose checkout is open, and the payment.
async fn bought(world: &World, owner: &Client, pool: &str, key: &str) -> (String, payment::Model) {
    let (purchase, _) = owner.checkout(pool, key).await;
    let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { payments { id } } } }";
    let found = owner.query(query, json!({ "id": purchase })).await;
    let payment = row(world, found["node"]["payments"][0]["id"].as_str().unwrap()).await;
    (purchase, payment)
}

async fn state(owner: &Client, purchase: &str) -> Value {
    let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { state } } }";
    owner.query(query, json!({ "id": purchase })).await["node"]["state"].clone()
}

async fn lots(world: &World) -> usize {
    world.database.rows::<lot::Entity>().await.len()
}

async fn each_reason_parks_once_and_is_told_of(backend: Backend) {
    let (world, owner, operator, demo) = start(backend).await;
    let before = lots(&world).await;
    let (_, open) = bought(&world, &owner, &demo.pool, "open").await;
    let absent = format!("{}zzzzzz", &paid(&open, "x").ours.unwrap()[..28]);
    let with = |reference: &str, change: &dyn Fn(&mut ProviderPayment)| {
        let mut told = paid(&open, reference);
        change(&mut told);
        told
    };
    let mut told = vec![
        ("UNKNOWN", with("pi_1", &|told| told.ours = Some(absent.clone()))),
        ("UNKNOWN", with("pi_2", &|told| told.ours = None)),
        ("UNKNOWN", with("pi_3", &|told| told.purchase = Some("purchase_of_another".to_owned()))),
        (
            "ORGANIZATION_MISMATCH",
            with("pi_4", &|told| told.organization = Some("org_of_another".to_owned())),
        ),
        ("ORGANIZATION_MISMATCH", with("pi_5", &|told| told.organization = None)),
        ("CURRENCY_MISMATCH", with("pi_6", &|told| told.currency = "EUR".to_owned())),
        ("AMOUNT_MISMATCH", with("pi_7", &|told| told.amount -= 1)),
        ("AMOUNT_MISMATCH", with("pi_8", &|told| told.amount += 1)),
    ];
    // What is no money is not parked.
    for state in
        [PaidState::Unpaid, PaidState::Expired, PaidState::Pending, PaidState::Failed("no".to_owned())]
    {
        assert_eq!(
            tell(
                &world,
                with("pi_9", &|told| {
                    told.amount = 7;
                    told.state = state.clone();
                })
            )
            .await,
            Outcome::Ignored
        );
    }
    // Paid once, told of as often as you like; another payment of the same is too many.
    let (twice, payment) = bought(&world, &owner, &demo.pool, "twice").await;
    assert_eq!(tell(&world, paid(&payment, "pi_first")).await, Outcome::Booked);
    assert_eq!(state(&owner, &twice).await, "COMPLETED");
    let again = join_all((0..10).map(|_| tell(&world, paid(&payment, "pi_first")))).await;
    assert!(again.iter().all(|outcome| *outcome == Outcome::Already), "{again:?}");
    told.push(("PAID_TWICE", paid(&payment, "pi_second")));
    // Withdrawn before the money came.
    let (closed, payment) = bought(&world, &owner, &demo.pool, "closed").await;
    let input = json!({ "purchaseId": closed });
    owner.mutate("cancelPurchase", "CancelPurchaseInput", input, "purchase { id }").await;
    told.push(("PURCHASE_CLOSED", paid(&payment, "pi_late")));

    for (reason, event) in &told {
        let outcomes = join_all((0..5).map(|_| tell(&world, event.clone()))).await;
        assert!(matches!(outcomes[0], Outcome::Parked(_)), "{reason}: {outcomes:?}");
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{reason}: {outcomes:?}");
    }
    let refund = || {
        ProviderEvent::Refund(ProviderRefund {
            refund: "re_1".to_owned(),
            payment: "pi_nobody".to_owned(),
            state: ReversalState::Succeeded,
            amount: 5,
            currency: "USD".to_owned(),
            ours: None,
        })
    };
    let selling = &world.services().selling;
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        outcomes.push(purchases::settle(selling, PaymentProvider::Sandbox, refund(), None).await.unwrap());
    }
    assert!(matches!(outcomes[0], Outcome::Parked(_)) && outcomes[0] == outcomes[1], "{outcomes:?}");
    assert_eq!(lots(&world).await, before + 1, "one payment was booked");

    let mut expected: Vec<&str> =
        told.iter().map(|(reason, _)| *reason).chain(["REVERSAL_MISMATCH"]).collect();
    expected.reverse();
    let query = "{ parkedPayments(first: 50, state: OPEN) { totalCount nodes { id reason providerReference amount currency
        state resolvedBy { id } } } deliveries(first: 50) { nodes { template recipient } } }";
    let data = operator.query(query, json!({})).await;
    let nodes = data["parkedPayments"]["nodes"].as_array().unwrap();
    let reasons: Vec<&str> = nodes.iter().map(|node| node["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, expected);
    let short = nodes.iter().find(|node| node["providerReference"] == "pi_7").unwrap();
    assert_eq!((&short["amount"], &short["currency"]), (&json!("198.99"), &json!("USD")));
    let mails = data["deliveries"]["nodes"].as_array().unwrap();
    let alerts =
        mails.iter().filter(|mail| mail["template"] == "PAYMENT_PARKED" && mail["recipient"] == ALERTS);
    assert_eq!(alerts.count(), expected.len());
    // Nobody else knows of any of it.
    let id = short["id"].as_str().unwrap();
    let hidden = owner.raw("{ parkedPayments { nodes { id } } }", json!({})).await;
    assert_eq!(hidden["errors"][0]["extensions"]["code"], "FORBIDDEN", "{hidden}");
    let query = "query N($id: ID!) { node(id: $id) { id } }";
    assert_eq!(owner.query(query, json!({ "id": id })).await["node"], Value::Null);
    assert_eq!(operator.query(query, json!({ "id": id })).await["node"]["id"], id);
    let input = json!({ "parkedPaymentId": id, "resolution": { "dismiss": true }, "note": "n", "idempotencyKey": "o" });
    let refused = decide(&owner, input).await;
    assert_eq!(refused["userErrors"][0]["code"], "FORBIDDEN", "{refused}");
}

async fn decide(client: &Client, input: Value) -> Value {
    let fields = "parkedPayment { state resolution resolvedBy { email } } replayed
        purchase { state total { amount } unitPrice { amount } lot { cost { amount } } }";
    client.try_mutate("resolveParkedPayment", "ResolveParkedPaymentInput", input, fields).await
}

async fn somebody_decides(backend: Backend) {
    let (world, owner, operator, demo) = start(backend).await;
    let before = lots(&world).await;
    let (purchase, payment) = bought(&world, &owner, &demo.pool, "k").await;
    let mut told = paid(&payment, "pi_short");
    told.amount = 19_800;
    let Outcome::Parked(id) = tell(&world, told.clone()).await else { panic!("it was not parked") };
    let id = bursar::global_id::encode(id);
    let more = park_of(&world, &payment, 19_901, "USD").await;
    let euros = park_of(&world, &payment, 19_900, "EUR").await;
    let resolution = |parked: &str, resolution: Value, note: &str, key: &str| json!({ "parkedPaymentId": parked, "resolution": resolution, "note": note, "idempotencyKey": key });
    let apply = || json!({ "purchaseId": purchase });
    for (parked, what) in [(&more, "costs less"), (&euros, "is sold in USD")] {
        let refused = decide(&operator, resolution(parked, apply(), "n", "k1")).await;
        let error = &refused["userErrors"][0];
        assert_eq!(error["field"], json!(["resolution", "purchaseId"]), "{refused}");
        assert!(error["message"].as_str().unwrap().contains(what), "{refused}");
    }
    // A rehearsal leaves nothing.
    let mut input = resolution(&id, apply(), "A dollar is fine", "k2");
    input["dryRun"] = json!(true);
    let applied = json!({ "state": "APPLIED", "resolution": "A dollar is fine",
        "resolvedBy": { "email": "operator@bursar.test" } });
    let rehearsed = decide(&operator, input.clone()).await;
    assert_eq!((&rehearsed["parkedPayment"], &rehearsed["userErrors"]), (&applied, &json!([])));
    assert_eq!((state(&owner, &purchase).await, lots(&world).await), (json!("AWAITING_PAYMENT"), before));
    // Then it is done, once: what was paid is the price.
    input["dryRun"] = json!(false);
    let expected = json!({ "state": "COMPLETED", "total": { "amount": "198.00" }, "unitPrice": { "amount": "1.98" },
        "lot": { "cost": { "amount": "198.00" } } });
    for replayed in [false, true, true] {
        let done = decide(&operator, input.clone()).await;
        assert_eq!((&done["parkedPayment"], &done["purchase"]), (&applied, &expected), "{done}");
        assert_eq!(done["replayed"], replayed);
    }
    assert_eq!(lots(&world).await, before + 1);
    assert_eq!(owner.balance(&demo.pool).await.0, 200);
    // The provider may tell of it again, and nothing more happens.
    assert!(matches!(tell(&world, told).await, Outcome::Already | Outcome::Parked(_)));
    assert_eq!(lots(&world).await, before + 1);
    let rows = world.database.rows::<payment::Entity>().await;
    let states: Vec<_> =
        rows.iter().filter(|row| row.purchase_id == payment.purchase_id).map(|row| row.state).collect();
    assert_eq!(states.iter().filter(|state| state.as_str() == "PAID").count(), 1, "{states:?}");
    // Decided is decided.
    let other = decide(&operator, resolution(&id, json!({ "dismiss": true }), "No", "k3")).await;
    assert_eq!(other["userErrors"][0]["code"], "INVALID_STATE", "{other}");
    let paid_for = decide(&operator, resolution(&more, apply(), "n", "k4")).await;
    assert_eq!(paid_for["userErrors"][0]["code"], "INVALID_STATE", "{paid_for}");
    let given_back = park(&world, "pi_back").await;
    for replayed in [false, true] {
        let done = decide(&operator, resolution(&given_back, json!({ "dismiss": true }), "Back", "k5")).await;
        assert_eq!(
            (&done["parkedPayment"]["state"], &done["replayed"]),
            (&json!("DISMISSED"), &json!(replayed))
        );
        assert_eq!(done["purchase"], Value::Null);
    }
    let late = decide(&operator, resolution(&given_back, apply(), "Back", "k6")).await;
    assert_eq!(late["userErrors"][0]["code"], "INVALID_STATE", "{late}");
    // What nobody has decided about is still open.
    let rows = world.database.rows::<parked_payment::Entity>().await;
    assert_eq!(rows.iter().filter(|row| row.resolved_at.is_none()).count(), 2);
    // Each decision is in the log of the vendor, and the payment in the organization's.
    let sql = "SELECT count(*) AS n FROM audit_event WHERE action = 'resolveParkedPayment'";
    assert_eq!(world.number(sql).await, 2);
    let sql = "SELECT count(*) AS n FROM audit_event WHERE action = 'payPurchase'";
    assert_eq!(world.number(sql).await, 2, "the demonstration's and this one");
}

/// Parks money of another amount or currency than a payment's.
async fn park_of(world: &World, payment: &payment::Model, amount: i64, currency: &str) -> String {
    let mut told = paid(payment, &format!("pi_{amount}_{currency}"));
    told.amount = amount;
    told.currency = currency.to_owned();
    match tell(world, told).await {
        Outcome::Parked(id) => bursar::global_id::encode(id),
        other => panic!("{other:?}"),
    }
}
