//! Buying on invoice: credits at once, exactly up to the limit, nothing more while an invoice is overdue; what is paid of
//! it in parts or as a whole is recorded once.

use bursar::clock::Clock;
use bursar::{global_id, periods, purchases};
use bursar_domain::Timestamp;
use bursar_domain::id::InvoiceId;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{
    self, balances_are_right, billed, invoiced, newest_document, on_invoice, refusal,
};
use crate::support::client::Demo;
use crate::support::mail::tenant;
use crate::support::{Backend, Client, World};

on_both_databases!(
    up_to_the_limit_and_paid_in_parts,
    nobody_slips_past_the_limit,
    overdue_shows_and_blocks,
    what_is_credited_need_not_be_paid
);

const STATE: &str =
    "invoice { state paid { amount } outstanding { amount } payments { amount { amount } reference } }
    purchase { state completedAt returned { amount } } replayed";

async fn paid(operator: &Client, invoice: &Value, amount: &str, currency: &str, key: &str) -> Value {
    let amount = json!({ "amount": amount, "currency": currency });
    let input =
        json!({ "invoiceId": invoice, "amount": amount, "reference": "Bank 7", "idempotencyKey": key });
    operator.try_mutate("recordInvoicePayment", "RecordInvoicePaymentInput", input, STATE).await
}

/// What is looked at of a purchase that was requested.
const REQUESTED: &str = "purchase { id total { amount } }";

/// What the organization owes, and how many invoices it has.
async fn owed(owner: &Client) -> (String, i64) {
    let query =
        r#"{ organization(by: { slug: "demo" }) { billing { owed { amount } invoices { totalCount } } } }"#;
    let billing = owner.query(query, json!({})).await["organization"]["billing"].clone();
    let amount = billing["owed"]["amount"].as_str().unwrap().to_owned();
    (amount, billing["invoices"]["totalCount"].as_i64().unwrap())
}

fn at(code: &str, field: &str) -> (String, String) {
    (code.to_owned(), field.to_owned())
}

async fn up_to_the_limit_and_paid_in_parts(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    // Without terms, credits are paid first.
    let refused = on_invoice(&owner, &demo.pool, "too early").await;
    assert_eq!(refusal(&refused), at("INVALID_STATE", "invoice"), "{refused}");
    assert_eq!(refused["userErrors"][0]["whyNot"], "PREPAID", "{refused}");
    billed(&operator, &owner, &demo.organization, "398.00").await;
    let first = on_invoice(&owner, &demo.pool, "first").await;
    assert_eq!(first["userErrors"], json!([]), "{first}");
    assert_eq!(first["purchase"]["state"], "AWAITING_PAYMENT");
    assert_eq!(first["invoice"]["purchaseOrder"], "PO first");
    assert_eq!(first["invoice"]["document"]["number"], "INV-DEMO-000001");
    assert_eq!(first["checkoutUrl"], Value::Null);
    assert_eq!(owner.balance(&demo.pool).await, (200, 2), "the credits are there at once");
    let again = invoiced(&owner, first["purchase"]["id"].as_str().unwrap(), "first").await;
    assert_eq!((&again["replayed"], &again["invoice"]["id"]), (&json!(true), &first["invoice"]["id"]));
    let twice = invoiced(&owner, first["purchase"]["id"].as_str().unwrap(), "another").await;
    assert_eq!(refusal(&twice).0, "INVALID_STATE", "{twice}");
    // What is equal to the limit is within it; a cent more is not.
    let second = on_invoice(&owner, &demo.pool, "second").await;
    assert_eq!(second["userErrors"], json!([]), "{second}");
    assert_eq!(owed(&owner).await, ("398.00".to_owned(), 2));
    let invoice = &first["invoice"]["id"];
    let part = paid(&operator, invoice, "198.99", "USD", "part").await;
    assert_eq!(part["userErrors"], json!([]), "{part}");
    let expected = json!({ "state": "PARTLY_PAID", "paid": { "amount": "198.99" }, "outstanding": { "amount": "0.01" },
        "payments": [{ "amount": { "amount": "198.99" }, "reference": "Bank 7" }] });
    assert_eq!((&part["invoice"], &part["purchase"]["state"]), (&expected, &json!("AWAITING_PAYMENT")));
    let third = on_invoice(&owner, &demo.pool, "third").await;
    assert_eq!(refusal(&third), at("CREDIT_LIMIT", "invoice"), "{third}");
    assert_eq!(third["userErrors"][0]["mayOwe"]["amount"], "198.99");
    assert_eq!(owner.balance(&demo.pool).await, (300, 3));
    // What cannot have been paid. Of money that is not due it is said where it belongs.
    let more_than_due = "amount: must not be more than is due, USD 0.01: record that; the rest belongs to another \
        invoice, or goes back to the buyer.";
    for (amount, currency, field, message) in [
        ("0.02", "USD", "amount.amount", more_than_due),
        ("0.00", "USD", "amount.amount", "amount: must be above zero."),
        ("0.01", "EUR", "amount.currency", "amount currency: must be USD."),
    ] {
        let refused = paid(&operator, invoice, amount, currency, "wrong").await;
        assert_eq!(refusal(&refused), at("INVALID", field), "{refused}");
        assert_eq!(refused["userErrors"][0]["message"], message);
    }
    assert_eq!(paid(&operator, invoice, "198.99", "USD", "part").await["replayed"], true);
    let other = paid(&operator, invoice, "0.01", "USD", "part").await;
    assert_eq!(refusal(&other).0, "IDEMPOTENCY_CONFLICT", "{other}");
    let theirs = paid(&owner, invoice, "0.01", "USD", "mine").await;
    assert_eq!(refusal(&theirs).0, "FORBIDDEN", "{theirs}");
    // With the rest the purchase is complete, and there is no second lot. A rehearsal says so beforehand, payments and all.
    let input = json!({ "invoiceId": invoice, "amount": { "amount": "0.01", "currency": "USD" }, "reference": "Bank 7",
        "idempotencyKey": "rest", "dryRun": true });
    let rehearsed = operator.mutate("recordInvoicePayment", "RecordInvoicePaymentInput", input, STATE).await;
    assert_eq!(owed(&owner).await, ("199.01".to_owned(), 2), "nothing was written");
    let rest = paid(&operator, invoice, "0.01", "USD", "rest").await;
    assert_eq!((&rest["replayed"], &rest["invoice"]), (&json!(false), &rehearsed["invoice"]));
    let both = json!([{ "amount": { "amount": "198.99" }, "reference": "Bank 7" },
        { "amount": { "amount": "0.01" }, "reference": "Bank 7" }]);
    assert_eq!(rest["invoice"]["payments"], both);
    assert_eq!(
        (&rest["invoice"]["state"], &rest["purchase"]["state"]),
        (&json!("PAID"), &json!("COMPLETED"))
    );
    assert_eq!(owner.balance(&demo.pool).await, (300, 3));
    assert_eq!(owed(&owner).await, ("199.00".to_owned(), 2));
    let more = paid(&operator, invoice, "0.01", "USD", "more").await;
    assert_eq!(refusal(&more), at("INVALID", "amount.amount"), "{more}");
    let message = "amount: must not be recorded: nothing is due any more; it belongs to another invoice, or goes back to the buyer.";
    assert_eq!(more["userErrors"][0]["message"], message);
    // Whoever repeats what was recorded is told what was told then, whatever has come since.
    let credit =
        json!({ "purchaseId": first["purchase"]["id"], "reason": "Returned", "idempotencyKey": "back" });
    let credited =
        operator.mutate("refundPurchase", "RefundPurchaseInput", credit, "purchase { state }").await;
    assert_eq!(credited["purchase"]["state"], "REFUNDED");
    for (amount, key, answered) in [("198.99", "part", &part), ("0.01", "rest", &rest)] {
        let again = paid(&operator, invoice, amount, "USD", key).await;
        assert_eq!(again["replayed"], true, "{again}");
        for field in ["state", "paid", "outstanding", "payments"] {
            assert_eq!(again["invoice"][field], answered["invoice"][field], "{key}: {again}");
        }
        assert_eq!(again["purchase"], answered["purchase"], "{key}: {again}");
    }
    let third = invoiced(&owner, &purchase_of(&owner).await, "third again").await;
    assert_eq!(third["invoice"]["document"]["number"], "INV-DEMO-000003", "{third}");
    balances_are_right(&world).await;
}

/// The newest purchase.
async fn purchase_of(owner: &Client) -> String {
    let query = r#"{ organization(by: { slug: "demo" }) { purchases(first: 1) { nodes { id } } } }"#;
    let data = owner.query(query, json!({})).await;
    data["organization"]["purchases"]["nodes"][0]["id"].as_str().unwrap().to_owned()
}

async fn nobody_slips_past_the_limit(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    billed(&operator, &owner, &demo.organization, "597.99").await;
    let asked = (0..8).map(|number| {
        let (owner, pool) = (owner.another(), demo.pool.clone());
        async move { on_invoice(&owner, &pool, &format!("k{number}")).await }
    });
    let answers = join_all(asked).await;
    let accepted = answers.iter().filter(|answer| answer["userErrors"] == json!([])).count();
    let refused = answers.iter().filter(|answer| refusal(answer).0 == "CREDIT_LIMIT").count();
    assert_eq!((accepted, refused), (3, 5), "{answers:?}");
    assert_eq!(owed(&owner).await, ("597.00".to_owned(), 3));
    assert_eq!(owner.balance(&demo.pool).await.0, 400);
    balances_are_right(&world).await;
}

async fn overdue_shows_and_blocks(backend: Backend) {
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    let start = Timestamp::from_micros(i64::try_from(start).unwrap());
    let clock = Clock::set(start);
    let world = World::start_untimed(backend, clock.clone()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    billed(&operator, &owner, &demo.organization, "10000.00").await;
    let first = on_invoice(&owner, &demo.pool, "first").await;
    let id: InvoiceId = global_id::decode(first["invoice"]["id"].as_str().unwrap()).unwrap();
    let selling = &world.services().selling;
    let due = || purchases::invoice_due(selling, tenant(&demo.organization), id);
    // To the end of the day that comes fourteen days later where the organization is, as page and PDF say.
    let over = periods::day_after("America/New_York", start, 14).unwrap().end;
    let due_at = Timestamp::from_micros(over.micros() - 1);
    assert_eq!(acts::at(first["invoice"]["dueAt"].as_str().unwrap()), due_at, "{first}");
    let said = chrono::DateTime::from_timestamp_micros(due_at.micros()).unwrap();
    let said = said.with_timezone(&chrono_tz::America::New_York).format("%Y-%m-%d").to_string();
    let issued = newest_document(&owner).await;
    assert!(
        issued.page.contains(&format!("Payable until</dt><dd>{said}<")),
        "{said} is not in {}",
        issued.page
    );
    assert!(issued.pdf.contains(&format!("Payable until\n{said}\n")), "{said} is not in {}", issued.pdf);
    clock.turn(due_at);
    assert_eq!(due().await.unwrap(), Some(over), "it is in time to the last instant");
    // The tokens of the first day have run out with the clock that the server goes by.
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let in_time = on_invoice(&owner, &demo.pool, "in time").await;
    assert_eq!(in_time["userErrors"], json!([]), "{in_time}");
    clock.turn(over);
    // Nothing more can be bought on invoice, whether or not somebody has looked at the day.
    for looked in [false, true] {
        let refused = on_invoice(&owner, &demo.pool, &format!("late {looked}")).await;
        assert_eq!(refusal(&refused), at("INVALID_STATE", "invoice"), "{refused}");
        assert_eq!(refused["userErrors"][0]["whyNot"], "OVERDUE", "{refused}");
        assert_eq!(due().await.unwrap(), None);
        let query = "query I($id: ID!) { node(id: $id) { ... on Invoice { state } } }";
        let shown = owner.query(query, json!({ "id": first["invoice"]["id"] })).await;
        assert_eq!(shown["node"]["state"], "OVERDUE");
    }
    let overdue = "SELECT count(*) AS n FROM audit_event WHERE action = 'overdueInvoice'";
    assert_eq!(world.number(overdue).await, 1);
    // A part that is paid changes nothing of that; the rest does.
    let part = paid(&operator, &first["invoice"]["id"], "100.00", "USD", "part").await;
    assert_eq!(part["invoice"]["state"], "OVERDUE", "{part}");
    let rest = paid(&operator, &first["invoice"]["id"], "99.00", "USD", "rest").await;
    assert_eq!(rest["invoice"]["state"], "PAID", "{rest}");
    let next = on_invoice(&owner, &demo.pool, "next").await;
    assert_eq!(next["userErrors"], json!([]), "{next}");
    a_lower_price_goes_on(&clock, (&owner, &operator), &demo).await;
    terms_and_times(&world, &clock, (&owner, &operator), &demo).await;
}

/// A lower price at the invoice goes on, and is what has to fit the limit; a higher one does not touch what was pinned.
async fn a_lower_price_goes_on(clock: &Clock, (owner, operator): (&Client, &Client), demo: &Demo) {
    let mut last = "199.00";
    for (key, price, expected, limit) in
        [("lower", "149.00", "149.00", "547.00"), ("higher", "299.00", "149.00", "696.00")]
    {
        let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": key });
        let made = owner.mutate("requestPurchase", "RequestPurchaseInput", input, REQUESTED).await;
        assert_eq!(made["purchase"]["total"]["amount"], last, "{key}");
        clock.turn(clock.now().plus_seconds(60));
        let input =
            json!({ "code": "STARTER", "credits": 100, "prices": [{ "amount": price, "currency": "USD" }] });
        operator.mutate("savePackage", "SavePackageInput", input, "package { id }").await;
        clock.turn(clock.now().plus_seconds(60));
        billed(operator, owner, &demo.organization, limit).await;
        let purchase = made["purchase"]["id"].as_str().unwrap();
        let invoice = invoiced(owner, purchase, key).await;
        assert_eq!(invoice["userErrors"], json!([]), "{invoice}");
        assert_eq!(invoice["invoice"]["total"]["amount"], expected, "{invoice}");
        let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { total { amount } payments { amount { amount } }
            lot { cost { amount } } } } }";
        let cost = json!({ "amount": expected });
        let same = json!({ "total": cost, "payments": [{ "amount": cost }], "lot": { "cost": cost } });
        assert_eq!(owner.query(query, json!({ "id": purchase })).await["node"], same);
        last = price;
        if key == "lower" {
            assert_eq!(owed(owner).await.0, "547.00");
        }
    }
}

/// What is not said of the terms stays as it was; an invoice that is due on receipt is not overdue on its own day; money
/// cannot have arrived before that day, nor in the future.
async fn terms_and_times(world: &World, clock: &Clock, (owner, operator): (&Client, &Client), demo: &Demo) {
    let set = async |more: Value| {
        let mut input = json!({ "organizationId": demo.organization, "terms": "INVOICE" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        operator.try_mutate("setPaymentTerms", "SetPaymentTermsInput", input, "organization { id }").await
    };
    let dollars = |amount: &str| json!({ "amount": amount, "currency": "USD" });
    let limit = json!({ "amount": "500.00" });
    for (more, limit, days) in [
        (json!({ "creditLimit": dollars("500.00") }), &limit, 14),
        (json!({ "dueDays": 0 }), &limit, 0),
        (json!({}), &limit, 0),
        (json!({ "creditLimit": null }), &Value::Null, 0),
    ] {
        let done = set(more.clone()).await;
        assert_eq!(done["userErrors"], json!([]), "{more}: {done}");
        let query =
            r#"{ organization(by: { slug: "demo" }) { billing { creditLimit { amount } dueDays } } }"#;
        let billing = owner.query(query, json!({})).await["organization"]["billing"].clone();
        assert_eq!(billing, json!({ "creditLimit": limit, "dueDays": days }), "{more}");
    }
    assert_eq!(refusal(&set(json!({ "dueDays": -1 })).await), at("INVALID", "dueDays"));
    let now = clock.now();
    let today = periods::day("America/New_York", now).unwrap();
    let bought = on_invoice(owner, &demo.pool, "on receipt").await;
    let due_at = acts::at(bought["invoice"]["dueAt"].as_str().unwrap());
    assert_eq!(due_at, Timestamp::from_micros(today.end.micros() - 1), "{bought}");
    let id: InvoiceId = global_id::decode(bought["invoice"]["id"].as_str().unwrap()).unwrap();
    let looked = purchases::invoice_due(&world.services().selling, tenant(&demo.organization), id).await;
    assert_eq!(looked.unwrap(), Some(today.end));
    let more = on_invoice(owner, &demo.pool, "the same day").await;
    assert_eq!(more["userErrors"], json!([]), "{more}");
    let record = async |received: Timestamp, dry_run: bool| {
        let received = chrono::DateTime::from_timestamp_micros(received.micros()).unwrap().to_rfc3339();
        let input = json!({ "invoiceId": bought["invoice"]["id"], "amount": dollars("1.00"), "receivedAt": received,
            "idempotencyKey": "received", "dryRun": dry_run });
        operator.try_mutate("recordInvoicePayment", "RecordInvoicePaymentInput", input, STATE).await
    };
    for dry_run in [true, false] {
        for wrong in [Timestamp::EPOCH, today.start.plus_seconds(-1), now.plus_seconds(1), now.plus_days(900)]
        {
            let refused = record(wrong, dry_run).await;
            assert_eq!(refusal(&refused), at("INVALID", "receivedAt"), "{wrong:?}, {dry_run}: {refused}");
        }
        // A bank may say the day only.
        let right = record(today.start, dry_run).await;
        assert_eq!((&right["userErrors"], &right["invoice"]["paid"]["amount"]), (&json!([]), &json!("1.00")));
        let payments = json!([{ "amount": { "amount": "1.00" }, "reference": null }]);
        assert_eq!(right["invoice"]["payments"], payments, "{dry_run}: {right}");
    }
}

/// The page of the newest document, which is a credit note over USD 100.00 of the first invoice. A little more than half of
/// 100 credits goes back for that: a part of a credit counts as one.
async fn credit_note_says_all(owner: &Client, reversal: &Value) {
    let page = newest_document(owner).await.page;
    for expected in [
        "Credit note <span class=\"number\">CRN-DEMO-000001</span>",
        "Corrects</dt><dd>Invoice INV-DEMO-000001<",
        "Reason</dt><dd><bdi>Too many<",
        "Credits taken back</dt><dd>51<",
        "Total credited</dt><dd class=\"total\">USD 100.00<",
    ] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    assert!(!page.contains(reversal.as_str().unwrap()), "it shows what it is not for people to read: {page}");
}

async fn what_is_credited_need_not_be_paid(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    billed(&operator, &owner, &demo.organization, "10000.00").await;
    let credit = async |purchase: &Value, amount: Value, key: &str| {
        let input =
            json!({ "purchaseId": purchase, "amount": amount, "reason": "Too many", "idempotencyKey": key });
        let fields =
            "purchase { state } reversal { id creditNote { number corrects { number } total { amount } } }";
        operator.mutate("refundPurchase", "RefundPurchaseInput", input, fields).await
    };
    let shown = async |invoice: &Value| {
        let query = "query I($id: ID!) { node(id: $id) { ... on Invoice { state credited { amount } outstanding { amount }
            returned { amount } total { amount } paid { amount } purchase { state payments { state } } } } }";
        let mut node = owner.query(query, json!({ "id": invoice })).await["node"].clone();
        // Whatever has happened, it adds up.
        let cents =
            |field: &str| node[field]["amount"].as_str().unwrap().replace('.', "").parse::<i64>().unwrap();
        let kept = cents("paid") - cents("returned");
        assert_eq!(cents("total"), kept + cents("credited") + cents("outstanding"), "{node}");
        let fields = node.as_object_mut().unwrap();
        fields.retain(|field, _| !["total", "paid"].contains(&field.as_str()));
        node
    };
    // A part is credited, and the rest paid.
    let first = on_invoice(&owner, &demo.pool, "first").await;
    let part = json!({ "amount": "100.00", "currency": "USD" });
    let credited = credit(&first["purchase"]["id"], part, "part").await;
    let note = json!({ "number": "CRN-DEMO-000001", "corrects": { "number": first["invoice"]["document"]["number"] },
        "total": { "amount": "100.00" } });
    assert_eq!(credited["reversal"]["creditNote"], note);
    credit_note_says_all(&owner, &credited["reversal"]["id"]).await;
    let invoice = shown(&first["invoice"]["id"]).await;
    assert_eq!((&invoice["state"], &invoice["outstanding"]["amount"]), (&json!("OPEN"), &json!("99.00")));
    let rest = paid(&operator, &first["invoice"]["id"], "99.00", "USD", "rest").await;
    assert_eq!(
        (&rest["invoice"]["state"], &rest["purchase"]["state"]),
        (&json!("PAID"), &json!("COMPLETED"))
    );
    // All of it is credited.
    let second = on_invoice(&owner, &demo.pool, "second").await;
    let credited = credit(&second["purchase"]["id"], Value::Null, "all").await;
    assert_eq!(credited["purchase"]["state"], "REFUNDED");
    let invoice = shown(&second["invoice"]["id"]).await;
    let expected = json!({ "state": "CREDITED", "credited": { "amount": "199.00" }, "outstanding": { "amount": "0.00" },
        "returned": { "amount": "0.00" }, "purchase": { "state": "REFUNDED", "payments": [{ "state": "CANCELLED" }] } });
    assert_eq!(invoice, expected);
    assert_eq!(owed(&owner).await, ("0.00".to_owned(), 2));
    // What was paid before is all that is left to be paid.
    let third = on_invoice(&owner, &demo.pool, "third").await;
    paid(&operator, &third["invoice"]["id"], "150.00", "USD", "most").await;
    let rest = json!({ "amount": "49.00", "currency": "USD" });
    credit(&third["purchase"]["id"], rest, "the rest").await;
    let invoice = shown(&third["invoice"]["id"]).await;
    assert_eq!((&invoice["state"], &invoice["purchase"]["state"]), (&json!("PAID"), &json!("COMPLETED")));
    // A part is paid, and all of it is credited then: nothing is owed any more, and the payment is at its end.
    // However much was paid, and though it counts as paid before the last part of it is credited.
    let dollars = |amount: &str| json!({ "amount": amount, "currency": "USD" });
    for (key, sum, parts) in [
        ("whole", "100.00", vec![Value::Null]),
        ("bit by bit", "100.00", vec![dollars("50.00"), Value::Null]),
        ("most of it first", "100.00", vec![dollars("150.00"), dollars("49.00")]),
        ("all paid, whole", "199.00", vec![Value::Null]),
        ("all paid, bit by bit", "199.00", vec![dollars("150.00"), Value::Null]),
    ] {
        let bought = on_invoice(&owner, &demo.pool, key).await;
        paid(&operator, &bought["invoice"]["id"], sum, "USD", &format!("{key}: paid")).await;
        for (number, part) in parts.into_iter().enumerate() {
            credit(&bought["purchase"]["id"], part, &format!("{key} {number}")).await;
        }
        let expected = json!({ "state": "CREDITED", "credited": { "amount": "199.00" }, "outstanding": { "amount": "0.00" },
            "returned": { "amount": sum }, "purchase": { "state": "REFUNDED", "payments": [{ "state": "PAID" }] } });
        assert_eq!(shown(&bought["invoice"]["id"]).await, expected, "{key}");
        let more = paid(&operator, &bought["invoice"]["id"], "1.00", "USD", &format!("{key}: more")).await;
        assert_eq!(refusal(&more), at("INVALID", "amount.amount"), "{more}");
    }
    // The same amounts come to the same, in whatever order; more than is left of the total was paid.
    for (key, before, after, returned) in [
        ("before and after", Some("30.00"), "100.00", "21.00"),
        ("after", None, "130.00", "21.00"),
        ("at last", None, "130.00", "130.00"),
    ] {
        let expected = json!({ "state": "PAID", "credited": { "amount": "130.00" }, "outstanding": { "amount": "0.00" },
            "returned": { "amount": returned }, "purchase": { "state": "COMPLETED", "payments": [{ "state": "PAID" }] } });
        let bought = on_invoice(&owner, &demo.pool, key).await;
        if let Some(amount) = before {
            credit(&bought["purchase"]["id"], dollars(amount), &format!("{key}: before")).await;
        }
        let sum = if key == "at last" { "199.00" } else { "90.00" };
        paid(&operator, &bought["invoice"]["id"], sum, "USD", &format!("{key}: paid")).await;
        credit(&bought["purchase"]["id"], dollars(after), &format!("{key}: after")).await;
        assert_eq!(shown(&bought["invoice"]["id"]).await, expected, "{key}");
    }
    // All of the limit is there again, to the cent.
    assert_eq!(owed(&owner).await.0, "0.00");
    let limit = json!({ "amount": "199.00", "currency": "USD" });
    let input = json!({ "organizationId": demo.organization, "terms": "INVOICE", "creditLimit": limit });
    operator.mutate("setPaymentTerms", "SetPaymentTermsInput", input, "organization { id }").await;
    let next = on_invoice(&owner, &demo.pool, "within the limit").await;
    assert_eq!(next["userErrors"], json!([]), "{next}");
    balances_are_right(&world).await;
}
