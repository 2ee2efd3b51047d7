//! Money that cannot be booked: whatever the reason, it is parked once, told of, and waits until somebody decides.

use bursar::clock::Clock;
use bursar::error::Error;
use bursar::payments::{PaidState, ProviderEvent, ProviderPayment, ProviderRefund};
use bursar::purchases::{self, Outcome};
use bursar::schedule;
use bursar_domain::id::PurchaseId;
use bursar_domain::purchase::PaymentProvider;
use bursar_domain::reversal::ReversalState;
use bursar_entity::{lot, parked_payment, payment};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::node;
use crate::support::client::Demo;
use crate::support::mail::tenant;
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
    // A name that another purchase was paid under pays for nothing more.
    let (other, payment) = bought(&world, &owner, &demo.pool, "other").await;
    assert_eq!(tell(&world, paid(&payment, "pi_first")).await, Outcome::Already);
    assert_eq!(state(&owner, &other).await, "AWAITING_PAYMENT");
    // What goes wrong on our side is no reason to park money: whoever tells of it has to tell again.
    world.sql("UPDATE document_series SET last = last - 1 WHERE kind = 'RECEIPT'").await;
    let event = ProviderEvent::Payment(paid(&payment, "pi_other"));
    let failed = purchases::settle(selling, PaymentProvider::Sandbox, event, None).await;
    assert!(matches!(failed, Err(Error::Database(_))), "{failed:?}");
    world.sql("UPDATE document_series SET last = last + 1 WHERE kind = 'RECEIPT'").await;
    assert_eq!(tell(&world, paid(&payment, "pi_other")).await, Outcome::Booked);
    assert_eq!((state(&owner, &other).await, lots(&world).await), (json!("COMPLETED"), before + 2));

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
    // Where no address is set for it, all of the vendor's staff are told; those are, who are so then.
    world.sql("UPDATE \"user\" SET operator = true WHERE email = 'auditor@demo.test'").await;
    let other = node(&world, Clock::system()).await;
    let told = ProviderEvent::Payment(with("pi_10", &|told| told.ours = None));
    for _ in 0..2 {
        let selling = &other.services().selling;
        purchases::settle(selling, PaymentProvider::Sandbox, told.clone(), None).await.unwrap();
    }
    let query_mails = "{ deliveries(first: 50) { nodes { template recipient } } }";
    let mails = operator.query(query_mails, json!({})).await["deliveries"]["nodes"].clone();
    let staff = mails.as_array().unwrap().iter();
    let staff = staff.filter(|mail| mail["template"] == "PAYMENT_PARKED" && mail["recipient"] != ALERTS);
    let mut staff: Vec<&str> = staff.map(|mail| mail["recipient"].as_str().unwrap()).collect();
    staff.sort_unstable();
    assert_eq!(staff, ["auditor@demo.test", "operator@bursar.test"]);
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
    // A refund that fails after it was reported as carried out is told of as well, once.
    for state in [ReversalState::Succeeded, ReversalState::Failed, ReversalState::Failed] {
        let event = ProviderEvent::Refund(ProviderRefund {
            refund: "re_2".to_owned(),
            payment: "pi_first".to_owned(),
            state,
            amount: 1_990,
            currency: "USD".to_owned(),
            ours: None,
        });
        purchases::settle(selling, PaymentProvider::Sandbox, event, None).await.unwrap();
    }
    let mails = operator.query(query_mails, json!({})).await["deliveries"]["nodes"].clone();
    let alerts = mails.as_array().unwrap().iter();
    let alerts = alerts.filter(|mail| mail["template"] == "PAYMENT_PARKED" && mail["recipient"] == ALERTS);
    assert_eq!(alerts.count(), expected.len() + 1);
    let reversed = "SELECT count(*) AS n FROM reversal WHERE state = 'FAILED' AND taken_credits = 0";
    assert_eq!(world.number(reversed).await, 1);
    // What has paid a purchase under the same name meanwhile pays for nothing more, and a rehearsal says so too.
    let (_, payment) = bought(&world, &owner, &demo.pool, "meanwhile").await;
    assert_eq!(tell(&world, paid(&payment, "pi_7")).await, Outcome::Booked);
    let (more, _) = bought(&world, &owner, &demo.pool, "more").await;
    for dry_run in [true, false] {
        let input = json!({ "parkedPaymentId": id, "resolution": { "purchaseId": more }, "note": "n",
            "idempotencyKey": "bound", "dryRun": dry_run });
        let refused = decide(&operator, input).await;
        let error = &refused["userErrors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!("INVALID_STATE"), &json!(["parkedPaymentId"])));
        assert!(error["message"].as_str().unwrap().contains("has the provider's name"), "{refused}");
    }
    assert_eq!(state(&owner, &more).await, "AWAITING_PAYMENT");
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
    // A key stands for one decision: with another it is refused, whatever has become of the money.
    for (parked, what, note, key) in [
        (&id, json!({ "dismiss": true }), "A dollar is fine", "k2"),
        (&id, apply(), "Two dollars are", "k2"),
        (&given_back, json!({ "dismiss": true }), "Back again", "k5"),
        (&given_back, apply(), "Back", "k5"),
        (&more, json!({ "dismiss": true }), "Back", "k5"),
        (&euros, apply(), "A dollar is fine", "k2"),
    ] {
        for dry_run in [true, false] {
            let mut input = resolution(parked, what.clone(), note, key);
            input["dryRun"] = json!(dry_run);
            let refused = decide(&operator, input).await;
            assert_eq!(refused["userErrors"][0]["code"], "IDEMPOTENCY_CONFLICT", "{note} {key}: {refused}");
        }
    }
    // What nobody has decided about is still open.
    let rows = world.database.rows::<parked_payment::Entity>().await;
    assert_eq!(rows.iter().filter(|row| row.resolved_at.is_none()).count(), 2);
    // Each decision is in the log of the vendor, and the payment in the organization's.
    let sql = "SELECT count(*) AS n FROM audit_event WHERE action = 'resolveParkedPayment'";
    assert_eq!(world.number(sql).await, 2);
    let sql = "SELECT count(*) AS n FROM audit_event WHERE action = 'payPurchase'";
    assert_eq!(world.number(sql).await, 2, "the demonstration's and this one");
    held_up(&world, &owner, &operator, &demo).await;
}

/// Parks less than was agreed on for a new purchase. The purchase, the address of its page, and the money.
async fn short(world: &World, owner: &Client, pool: &str, key: &str) -> (String, String, String) {
    let (purchase, url) = owner.checkout(pool, key).await;
    let (_, payment) = bought(world, owner, pool, key).await;
    let mut told = paid(&payment, &format!("pi_{key}"));
    told.amount = 19_800;
    let Outcome::Parked(id) = tell(world, told).await else { panic!("it was not parked") };
    (purchase, url, bursar::global_id::encode(id))
}

/// Where a purchase stands, with its payments from the newest on.
async fn stands(owner: &Client, purchase: &str) -> Value {
    let query =
        "query P($id: ID!) { node(id: $id) { ... on Purchase { state payments { state failure } } } }";
    owner.query(query, json!({ "id": purchase })).await["node"].clone()
}

/// A purchase whose money is parked waits for the decision, and goes on with it, whatever it is.
async fn held_up(world: &World, owner: &Client, operator: &Client, demo: &Demo) {
    let parked =
        |state: &str| json!({ "state": state, "payments": [{ "state": "PARKED", "failure": null }] });
    let freed = |state: &str| json!({ "state": state, "payments": [{ "state": "CANCELLED", "failure": "not_as_agreed" }] });
    let resolution = |parked: &str, resolution: Value, key: &str| json!({ "parkedPaymentId": parked, "resolution": resolution, "note": "n", "idempotencyKey": key });
    let (first, url, money) = short(world, owner, &demo.pool, "first").await;
    assert_eq!(stands(owner, &first).await, parked("AWAITING_PAYMENT"));
    // Nobody is asked to pay again, and nobody withdraws what was paid.
    let start = json!({ "purchaseId": first, "idempotencyKey": "again" });
    let on_invoice =
        json!({ "purchaseId": first, "idempotencyKey": "again", "invoice": { "purchaseOrder": "PO" } });
    let refused = [
        owner.try_mutate("startCheckout", "StartCheckoutInput", start.clone(), "").await,
        owner.try_mutate("cancelPurchase", "CancelPurchaseInput", json!({ "purchaseId": first }), "").await,
    ];
    for refused in refused {
        let error = &refused["userErrors"][0];
        let told = ["code", "stands", "why"].map(|name| error[name].as_str().unwrap_or("none"));
        assert_eq!(told, ["INVALID_STATE", "AWAITING_PAYMENT", "PAYMENT_PARKED"], "{refused}");
    }
    let refused = owner.try_mutate("startCheckout", "StartCheckoutInput", on_invoice, "").await;
    assert_eq!(refused["userErrors"][0]["whyNot"], "PREPAID", "{refused}");
    for says in [owner.open(&url).await, owner.open(&format!("{url}/back")).await] {
        assert!(says.1.contains("Please do not pay again.") || says.0 == 303, "{says:?}");
    }
    assert_eq!(owner.submit(&format!("{url}/pay")).await.0, 409);
    assert_eq!(owner.submit(&format!("{url}/cancel")).await.0, 200);
    assert_eq!(stands(owner, &first).await, parked("AWAITING_PAYMENT"));
    // Given back, it can be paid again.
    let dismissed = decide(operator, resolution(&money, json!({ "dismiss": true }), "dismiss first")).await;
    assert_eq!(dismissed["userErrors"], json!([]));
    assert_eq!(stands(owner, &first).await, freed("APPROVED"));
    let page = owner.open(&url).await.1;
    assert!(page.contains("the seller has decided what becomes of it"), "{page}");
    let started = owner.mutate("startCheckout", "StartCheckoutInput", start, "checkoutUrl").await;
    let page = started["checkoutUrl"].as_str().unwrap().replace("http://bursar.test", &owner.url(""));
    assert_eq!(owner.submit(&format!("{page}/pay")).await.0, 200);
    assert_eq!(state(owner, &first).await, "COMPLETED");
    // What was paid for one purchase pays another one: that is complete, and this one is to be paid.
    let (second, _, money) = short(world, owner, &demo.pool, "second").await;
    let (third, _, other) = short(world, owner, &demo.pool, "third").await;
    let applied = decide(operator, resolution(&money, json!({ "purchaseId": third }), "apply second")).await;
    assert_eq!(applied["purchase"]["state"], "COMPLETED", "{applied}");
    assert_eq!(stands(owner, &second).await, freed("APPROVED"));
    // The other one's own money is still there, too much by now.
    let kept = stands(owner, &third).await;
    assert_eq!((&kept["state"], &kept["payments"][1]["state"]), (&json!("COMPLETED"), &json!("PARKED")));
    decide(operator, resolution(&other, json!({ "dismiss": true }), "dismiss third")).await;
    let kept = stands(owner, &third).await;
    assert_eq!((&kept["state"], &kept["payments"][1]["state"]), (&json!("COMPLETED"), &json!("CANCELLED")));
    // Its price runs out while nobody decides: it waits, and expires with the decision.
    let (late, _, money) = short(world, owner, &demo.pool, "late").await;
    let selling = &world.services().selling;
    let id: PurchaseId = bursar::global_id::decode(&late).unwrap();
    assert_eq!(world.sql("UPDATE purchase SET valid_until = 1 WHERE state = 'AWAITING_PAYMENT'").await, 1);
    assert!(purchases::expire(selling, tenant(&demo.organization), id).await.unwrap().is_some());
    assert_eq!(stands(owner, &late).await, parked("AWAITING_PAYMENT"));
    decide(operator, resolution(&money, json!({ "dismiss": true }), "dismiss late")).await;
    schedule::run_once(selling).await.unwrap();
    assert_eq!(stands(owner, &late).await, freed("EXPIRED"));
    assert_eq!(owner.balance(&demo.pool).await.0, 400);
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
