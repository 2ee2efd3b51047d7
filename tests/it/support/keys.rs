//! API keys for tests.

use bursar_domain::api_key;
use serde_json::{Value, json};

use super::{Client, World};

/// A key that has been made, with somebody who calls by it.
pub struct Key {
    /// Its global id.
    pub id: String,
    /// The key itself.
    pub secret: String,
    /// Who calls by it.
    pub client: Client,
}

impl Key {
    /// The key in the answer of a mutation.
    pub fn of(world: &World, payload: &Value) -> Key {
        let id = payload["apiKey"]["id"].as_str().unwrap().to_owned();
        let secret = payload["secret"].as_str().unwrap().to_owned();
        assert!(api_key::recognise(&secret).is_some(), "{secret} is no key");
        let client = Client::new(&world.base, Some(secret.clone()));
        Key { id, secret, client }
    }
}

/// Asks for a key with some scopes, and answers the payload, whatever it says.
pub async fn ask(by: &Client, organization: Option<&str>, scopes: &[&str], more: Value) -> Value {
    let mut input = json!({ "organizationId": organization, "name": "A key", "scopes": scopes });
    for (name, value) in more.as_object().unwrap() {
        input[name] = value.clone();
    }
    by.try_mutate("createApiKey", "CreateApiKeyInput", input, "apiKey { id hint name mode } secret").await
}

/// Makes a key with some scopes.
pub async fn make(
    world: &World,
    by: &Client,
    organization: Option<&str>,
    scopes: &[&str],
    more: Value,
) -> Key {
    let payload = ask(by, organization, scopes, more).await;
    assert_eq!(payload["userErrors"], json!([]), "{payload}");
    Key::of(world, &payload)
}

/// Rotates a key.
pub async fn rotate(world: &World, by: &Client, key: &Key, overlap: i64) -> Key {
    let input = json!({ "keyId": key.id, "overlapSeconds": overlap });
    let payload = by.mutate("rotateApiKey", "RotateApiKeyInput", input, "apiKey { id } secret").await;
    Key::of(world, &payload)
}

/// Revokes a key.
pub async fn revoke(by: &Client, key: &Key) {
    let input = json!({ "keyId": key.id });
    by.mutate("revokeApiKey", "RevokeApiKeyInput", input, "apiKey { revokedAt }").await;
}

/// The code of the first thing that stands in the way of an answer, be it an error of the operation or of the
/// mutation; none: nothing does.
pub fn code(body: &Value, mutation: &str) -> Option<String> {
    let top = body["errors"][0]["extensions"]["code"].as_str();
    let of_mutation = body["data"][mutation]["userErrors"][0]["code"].as_str();
    top.or(of_mutation).map(str::to_owned)
}

/// Charges one credit, and answers the code of what stood in the way.
pub async fn charge(client: &Client, pool: &str, department: Option<&str>, unique: &str) -> Option<String> {
    let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
    let input =
        json!({ "poolId": pool, "departmentId": department, "lines": lines, "idempotencyKey": unique });
    let query = "mutation C($i: ChargeCreditsInput!) { chargeCredits(input: $i) { charge { id } userErrors { code } } }";
    code(&client.raw(query, json!({ "i": input })).await, "chargeCredits")
}
