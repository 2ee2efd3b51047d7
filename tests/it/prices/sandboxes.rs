//! Sandboxes have the prices of their organizations, as they are at each moment, and none of their own.

use serde_json::{Value, json};

use super::{Setting, ask, buy, contract, price};
use crate::support::Client;
use crate::support::acts::refusal;
use crate::support::keys::make;

/// Charges for one change of style, and answers what that costs.
async fn charged(client: &Client, pool: &str, key: &str) -> i64 {
    let input = json!({ "poolId": pool, "lines": [{ "service": "STYLE_CHANGE" }], "idempotencyKey": key });
    let charged = client.charge(input).await;
    charged["charge"]["credits"].as_i64().unwrap_or_else(|| panic!("{key}: {charged}"))
}

/// What an organization pays for a service, one credit at first, and for credits is what its sandbox pays, as soon as that
/// is set.
pub(super) async fn pay_the_same(setting: &Setting) {
    let Setting { world, owner, operator, demo } = setting;
    let set = async |organization: &str, credits: i64| {
        let input = json!({ "organizationId": organization, "service": "STYLE_CHANGE", "credits": credits });
        let fields = "service { credits }";
        operator.try_mutate("setOrganizationPrice", "SetOrganizationPriceInput", input, fields).await
    };
    let scopes = ["CHARGES_WRITE", "LEDGER_READ", "PURCHASES_WRITE"];
    let key = make(world, owner, Some(&demo.organization), &scopes, json!({ "mode": "TEST" })).await;
    let query =
        "{ organizations { nodes { id pools { nodes { id } } services { nodes { code credits } } } } }";
    let sandbox = key.client.query(query, json!({})).await["organizations"]["nodes"][0].clone();
    let services = sandbox["services"]["nodes"].as_array().unwrap();
    let shown: Vec<&Value> = services.iter().filter(|one| one["code"] == "STYLE_CHANGE").collect();
    assert_eq!(shown[0]["credits"], 1);
    let pool = sandbox["pools"]["nodes"][0]["id"].as_str().unwrap();
    assert_eq!(charged(&key.client, pool, "test").await, 1);
    let dearer = set(&demo.organization, 4).await;
    assert_eq!(dearer["userErrors"], json!([]), "{dearer}");
    assert_eq!(charged(&key.client, pool, "test at once").await, 4);
    let query = "query E($i: QuoteChargeInput!) { explainCharge(input: $i) { lines {
        priceVersion { creditsPerUnit own } } } }";
    let input = json!({ "poolId": pool, "lines": [{ "service": "STYLE_CHANGE" }] });
    let explained = key.client.query(query, json!({ "i": input })).await["explainCharge"].clone();
    let version = json!({ "creditsPerUnit": 4, "own": true });
    assert_eq!(explained, json!({ "lines": [{ "priceVersion": version }] }));

    // What credits cost, too.
    let credits = json!({ "credits": 300 });
    assert_eq!(price(&ask(&key.client, pool, credits.clone()).await).0, "PACKAGE");
    let made = contract(setting, json!({ "fromCredits": 300, "unitPrice": "1.00" })).await;
    assert_eq!(made["userErrors"], json!([]), "{made}");
    let agreed = ("CONTRACT", "1.00", "300.00");
    assert_eq!(price(&ask(&key.client, pool, credits.clone()).await), agreed);
    let bought = buy(&key.client, pool, credits, "sandbox").await;
    assert_eq!(bought["purchase"]["total"]["amount"], "300.00", "{bought}");

    // Nothing is agreed on with the sandbox, and no row was copied.
    let id = sandbox["id"].as_str().unwrap();
    let refused = (String::from("INVALID_STATE"), String::from("organizationId"));
    assert_eq!(refusal(&set(id, 9).await), refused);
    let input = json!({ "organizationId": id, "fromCredits": 1, "unitPrice": "0.01" });
    let own = operator.try_mutate("setContractPrice", "SetContractPriceInput", input, "").await;
    assert_eq!(refusal(&own), refused);
    for table in ["organization_price", "contract_price"] {
        let sql = format!("SELECT count(DISTINCT organization_id) AS n FROM {table}");
        assert_eq!(world.number(&sql).await, 1, "{table}");
    }

    // Whose currency is fixed later is followed by its sandbox.
    let young = world.found("young").await;
    let query = r#"{ organization(by: { slug: "young" }) { id } }"#;
    let organization = young.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    make(world, &young, Some(&organization), &scopes, json!({ "mode": "TEST" })).await;
    let pool = crate::support::acts::pool(&young, &organization, "Pool").await;
    let starter = json!({ "package": "STARTER" });
    assert_eq!(buy(&young, &pool, starter, "first").await["purchase"]["total"]["currency"], "USD");
    let followed = "SELECT count(*) AS n FROM organization WHERE slug = 'young-sandbox' AND currency = 'USD'";
    assert_eq!(world.number(followed).await, 1);
}
