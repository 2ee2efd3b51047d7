//! Buying on invoice: credits at once, exactly up to the limit, nothing more while an invoice is overdue; what is paid of
//! it in parts or as a whole is recorded once.

use bursar::clock::Clock;
use bursar::{global_id, purchases};
use bursar_domain::Timestamp;
use bursar_domain::id::InvoiceId;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{balances_are_right, billed, invoiced, on_invoice, refusal};
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
    purchase { state } replayed";

async fn paid(operator: &Client, invoice: &Value, amount: &str, currency: &str, key: &str) -> Value {
    let amount = json!({ "amount": amount, "currency": currency });
    let input =
        json!({ "invoiceId": invoice, "amount": amount, "reference": "Bank 7", "idempotencyKey": key });
    operator.try_mutate("recordInvoicePayment", "RecordInvoicePaymentInput", input, STATE).await
}

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
    // What cannot have been paid.
    for (amount, currency, field) in [
        ("0.02", "USD", "amount.amount"),
        ("0.00", "USD", "amount.amount"),
        ("0.01", "EUR", "amount.currency"),
    ] {
        let refused = paid(&operator, invoice, amount, currency, "wrong").await;
        assert_eq!(refusal(&refused), at("INVALID", field), "{refused}");
    }
    assert_eq!(paid(&operator, invoice, "198.99", "USD", "part").await["replayed"], true);
    let other = paid(&operator, invoice, "0.01", "USD", "part").await;
    assert_eq!(refusal(&other).0, "IDEMPOTENCY_CONFLICT", "{other}");
    let theirs = paid(&owner, invoice, "0.01", "USD", "mine").await;
    assert_eq!(refusal(&theirs).0, "FORBIDDEN", "{theirs}");
    // With the rest the purchase is complete, and there is no second lot.
    let rest = paid(&operator, invoice, "0.01", "USD", "rest").await;
    assert_eq!(
        (&rest["invoice"]["state"], &rest["purchase"]["state"]),
        (&json!("PAID"), &json!("COMPLETED"))
    );
    assert_eq!(owner.balance(&demo.pool).await, (300, 3));
    assert_eq!(owed(&owner).await, ("199.00".to_owned(), 2));
    let more = paid(&operator, invoice, "0.01", "USD", "more").await;
    assert_eq!(refusal(&more), at("INVALID", "amount.amount"), "{more}");
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
    clock.turn(start.plus_days(14).plus_seconds(-1));
    assert_eq!(due().await.unwrap(), Some(start.plus_days(14)));
    clock.turn(start.plus_days(14));
    // The tokens of the first day have run out with the clock that the server goes by.
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    // Nothing more can be bought on invoice, whether or not somebody has looked at the day.
    for looked in [false, true] {
        let refused = on_invoice(&owner, &demo.pool, &format!("late {looked}")).await;
        assert_eq!(refusal(&refused), at("INVALID_STATE", "invoice"), "{refused}");
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
            "purchase { state } reversal { creditNote { number corrects { number } total { amount } } }";
        operator.mutate("refundPurchase", "RefundPurchaseInput", input, fields).await
    };
    let shown = async |invoice: &Value| {
        let query = "query I($id: ID!) { node(id: $id) { ... on Invoice { state credited { amount } outstanding { amount }
            purchase { state payments { state } } } } }";
        owner.query(query, json!({ "id": invoice })).await["node"].clone()
    };
    // A part is credited, and the rest paid.
    let first = on_invoice(&owner, &demo.pool, "first").await;
    let part = json!({ "amount": "100.00", "currency": "USD" });
    let credited = credit(&first["purchase"]["id"], part, "part").await;
    let note = json!({ "number": "CRN-DEMO-000001", "corrects": { "number": first["invoice"]["document"]["number"] },
        "total": { "amount": "100.00" } });
    assert_eq!(credited["reversal"]["creditNote"], note);
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
        "purchase": { "state": "REFUNDED", "payments": [{ "state": "CANCELLED" }] } });
    assert_eq!(invoice, expected);
    assert_eq!(owed(&owner).await, ("0.00".to_owned(), 2));
    // What was paid before is all that is left to be paid.
    let third = on_invoice(&owner, &demo.pool, "third").await;
    paid(&operator, &third["invoice"]["id"], "150.00", "USD", "most").await;
    let rest = json!({ "amount": "49.00", "currency": "USD" });
    credit(&third["purchase"]["id"], rest, "the rest").await;
    let invoice = shown(&third["invoice"]["id"]).await;
    assert_eq!((&invoice["state"], &invoice["purchase"]["state"]), (&json!("PAID"), &json!("COMPLETED")));
    balances_are_right(&world).await;
}
