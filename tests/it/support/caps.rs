//! Spending caps as a client makes and reads them.

use serde_json::{Value, json};

use super::Client;

/// What is asked of a cap.
pub const CAP: &str =
    "cap { id scope credits period used held headroom raised periodStart periodEnd removedAt
    department { code } member { user { email } } service { code }
    raises { credits until reason actor { user { email } } } }";

/// The member of an organization with an address.
pub async fn member(owner: &Client, email: &str) -> String {
    let query = r#"{ organization(by: { slug: "demo" }) { members { nodes { id user { email } } } } }"#;
    let data = owner.query(query, json!({})).await;
    let nodes = data["organization"]["members"]["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["user"]["email"] == email).unwrap()["id"].as_str().unwrap().to_owned()
}

/// The answer to making a cap.
pub async fn create(client: &Client, pool: &str, scope: Value, credits: i64, period: Option<&str>) -> Value {
    let input = json!({ "poolId": pool, "scope": scope, "credits": credits, "period": period });
    client.try_mutate("createSpendingCap", "CreateSpendingCapInput", input, CAP).await
}

/// A cap that can be made.
pub async fn cap(client: &Client, pool: &str, scope: Value, credits: i64, period: Option<&str>) -> String {
    let made = create(client, pool, scope, credits, period).await;
    assert_eq!(made["userErrors"], json!([]), "{made}");
    made["cap"]["id"].as_str().unwrap().to_owned()
}

/// A cap as a client sees it.
pub async fn show(client: &Client, cap: &str) -> Value {
    let query = format!("query N($id: ID!) {{ node(id: $id) {{ ... on SpendingCap {{ {} }} }} }}", fields());
    client.query(&query, json!({ "id": cap })).await["node"].clone()
}

fn fields() -> &'static str {
    CAP.strip_prefix("cap { ").unwrap().strip_suffix(" }").unwrap()
}
