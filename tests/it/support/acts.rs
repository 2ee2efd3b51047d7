//! What tests of balances do often, and ask often.

use bursar::app::App;
use bursar::clock::Clock;
use bursar_domain::Timestamp;
use serde_json::{Value, json};

use super::world::config;
use super::{Client, DEADLINE, World, pdf};

/// An instant.
pub fn at(text: &str) -> Timestamp {
    let instant: chrono::DateTime<chrono::Utc> = text.parse().unwrap();
    Timestamp::from_micros(instant.timestamp_micros())
}

/// Another node on the same database, with a clock of its own. It serves nobody and does no timed work by itself.
pub async fn node(world: &World, clock: Clock) -> App {
    App::open(config(&world.database), clock).await.unwrap()
}

/// Creates a pool.
pub async fn pool(owner: &Client, organization: &str, name: &str) -> String {
    let input = json!({ "organizationId": organization, "name": name });
    let made = owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await;
    made["pool"]["id"].as_str().unwrap().to_owned()
}

/// Where credits are, as input.
pub fn holder(pool: &str, department: Option<&str>) -> Value {
    json!({ "poolId": pool, "departmentId": department })
}

/// Moves credits, and answers the payload whatever it says.
pub async fn transfer(client: &Client, from: Value, to: Value, credits: i64, key: &str) -> Value {
    let input = json!({ "from": from, "to": to, "credits": credits, "idempotencyKey": key });
    let fields = "from { id } to { id } balance { posted available version } toBalance { posted available version }
        transfers { version kind credits cost { amount } lot { id } pool { id } debit { kind } credit { kind } } replayed";
    client.try_mutate("transferCredits", "TransferCreditsInput", input, fields).await
}

/// Gives credits as the operator, and answers the payload whatever it says.
pub async fn grant(operator: &Client, pool: &str, credits: i64, more: Value, key: &str) -> Value {
    let mut input =
        json!({ "poolId": pool, "credits": credits, "reason": "For a test", "idempotencyKey": key });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let fields = "lot { id source class priority credits cost { amount currency } expiresAt }
        balance { posted available version } transfers { version kind credits reason } replayed";
    operator.try_mutate("grantCredits", "GrantCreditsInput", input, fields).await
}

/// Code and field of a payload's first error; "none" when there is none.
pub fn refusal(payload: &Value) -> (String, String) {
    let error = &payload["userErrors"][0];
    let field = error["field"]
        .as_array()
        .map(|parts| parts.iter().map(|part| part.as_str().unwrap()).collect::<Vec<_>>().join("."));
    (error["code"].as_str().unwrap_or("none").to_owned(), field.unwrap_or_default())
}

/// Waits until there are so many records of a kind, which are written after the answer; there are never more.
pub async fn recorded(world: &World, action: &str, expected: i64) {
    let count = format!("SELECT count(*) AS n FROM audit_event WHERE action = '{action}'");
    let wait = async {
        loop {
            let found = world.number(&count).await;
            assert!(found <= expected, "{found} records of {action}");
            if found == expected {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("no {action}"));
}

/// What is available without a department.
pub async fn unallocated(client: &Client, pool: &str) -> i64 {
    let query = "query P($id: ID!) { pool(id: $id) { unallocated { available } } }";
    let data = client.query(query, json!({ "id": pool })).await;
    data["pool"]["unallocated"]["available"].as_i64().unwrap()
}

/// What a department has in a pool: all of it, what is held, what is available.
pub async fn allocated(client: &Client, pool: &str, department: &str) -> (i64, i64, i64) {
    let query = "query P($id: ID!) { pool(id: $id) { allocations { nodes { department { id } balance { posted held available } } } } }";
    let data = client.query(query, json!({ "id": pool })).await;
    let nodes = data["pool"]["allocations"]["nodes"].as_array().unwrap().clone();
    let Some(node) = nodes.iter().find(|node| node["department"]["id"] == department) else {
        return (0, 0, 0);
    };
    let number = |name: &str| node["balance"][name].as_i64().unwrap();
    (number("posted"), number("held"), number("available"))
}

/// Holds credits for charges to come, and answers the hold's id.
pub async fn hold(
    client: &Client,
    pool: &str,
    department: Option<&str>,
    credits: i64,
    seconds: i64,
) -> String {
    let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": credits }]);
    let key = uuid::Uuid::now_v7().to_string();
    let input = json!({ "poolId": pool, "departmentId": department, "lines": lines, "ttlSeconds": seconds, "idempotencyKey": key });
    let made = client.mutate("holdCredits", "HoldCreditsInput", input, "hold { id }").await;
    made["hold"]["id"].as_str().unwrap().to_owned()
}

/// Gives an organization billing details, and lets it buy on invoice up to a limit in dollars.
pub async fn billed(operator: &Client, owner: &Client, organization: &str, limit: &str) {
    let tax = json!([{ "label": "VAT", "percent": "19" }]);
    let input = json!({ "organizationId": organization, "name": "Acme Ltd.", "address": "1 Main Street\nTown", "country": "DE",
        "taxId": "DE1", "reference": "Cost centre 7", "taxLines": tax });
    let fields = "billingProfile { name }";
    owner.mutate("setBillingProfile", "SetBillingProfileInput", input, fields).await;
    let limit = json!({ "amount": limit, "currency": "USD" });
    let input =
        json!({ "organizationId": organization, "terms": "INVOICE", "creditLimit": limit, "dueDays": 14 });
    operator.mutate("setPaymentTerms", "SetPaymentTermsInput", input, "organization { id }").await;
}

/// Buys the Starter package on invoice, and answers the payload whatever it says.
pub async fn on_invoice(client: &Client, pool: &str, key: &str) -> Value {
    let input = json!({ "poolId": pool, "package": "STARTER", "idempotencyKey": key });
    let made = client.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
    invoiced(client, made["purchase"]["id"].as_str().unwrap(), key).await
}

/// Asks for an invoice for a purchase, and answers the payload whatever it says.
pub async fn invoiced(client: &Client, purchase: &str, key: &str) -> Value {
    let terms = json!({ "purchaseOrder": format!("PO {key}") });
    let input = json!({ "purchaseId": purchase, "invoice": terms, "idempotencyKey": key });
    let fields = "purchase { id state } checkoutUrl replayed invoice { id state purchaseOrder dueAt document { id number }
        total { amount currency } outstanding { amount } }";
    client.try_mutate("startCheckout", "StartCheckoutInput", input, fields).await
}

/// A numbered document as it can be opened.
pub struct Opened {
    /// What is known of it by the API.
    pub node: Value,
    /// Its page.
    pub page: String,
    /// The texts of its PDF, a line each.
    pub pdf: String,
}

/// The newest document of the demonstration organization, opened as a page and as a PDF.
pub async fn newest_document(client: &Client) -> Opened {
    let query = r#"{ organization(by: { slug: "demo" }) { billing { documents(first: 1) {
        nodes { id kind number total { amount } purchase { id } corrects { number } url pdfUrl } } } } }"#;
    let data = client.query(query, json!({})).await;
    let node = data["organization"]["billing"]["documents"]["nodes"][0].clone();
    let here = |url: &Value| url.as_str().unwrap().replace("http://bursar.test", &client.url(""));
    let (status, page) = client.open(&here(&node["url"])).await;
    assert_eq!(status, 200, "{page}");
    let fetched = client.http().get(here(&node["pdfUrl"])).send().await.unwrap();
    assert_eq!(fetched.status(), 200);
    let pdf = pdf::text(&fetched.bytes().await.unwrap());
    Opened { node, page, pdf }
}

/// What must hold of all balances at any time, whoever wrote them: nothing is on its way between pools, accounts
/// are their positions, pools are their accounts, and versions have no gaps.
pub async fn balances_are_right(world: &World) {
    for (law, sql) in [
        ("clearing is empty", "SELECT CAST(coalesce(sum(clearing), 0) AS bigint) AS n FROM pool_head"),
        (
            "accounts are their positions",
            "SELECT count(*) AS n FROM account a WHERE posted <> (SELECT coalesce(sum(credits), 0) FROM lot_position p WHERE p.account_id = a.id)
                OR held <> (SELECT coalesce(sum(held), 0) FROM lot_position p WHERE p.account_id = a.id)",
        ),
        (
            "pools are their accounts",
            "SELECT count(*) AS n FROM pool_head h WHERE posted <> (SELECT sum(posted) FROM account a WHERE a.pool_id = h.pool_id)",
        ),
        (
            "versions have no gaps",
            "SELECT count(*) AS n FROM pool_head h WHERE version <> (SELECT count(*) FROM transfer t WHERE t.pool_id = h.pool_id)
                OR version <> (SELECT coalesce(max(version), 0) FROM transfer t WHERE t.pool_id = h.pool_id)",
        ),
        (
            "halves name each other",
            "SELECT count(*) AS n FROM transfer t WHERE t.counterpart_pool_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM transfer o
                WHERE o.pool_id = t.counterpart_pool_id AND o.version = t.counterpart_version AND o.counterpart_pool_id = t.pool_id
                  AND o.counterpart_version = t.version AND o.credits = t.credits AND o.cost = t.cost)",
        ),
    ] {
        assert_eq!(world.number(sql).await, 0, "{law}");
    }
}
