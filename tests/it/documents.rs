//! What is checked in says what the code says: the schema and the permission table.

use serde_json::{Value, json};

use crate::support::{Backend, World, run};

fn compare(path: &str, printed: &str, command: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let checked_in = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        checked_in == printed,
        "{path} is not what the code says; print it again with: cargo run -- {command} > {path}"
    );
}

#[test]
fn the_schema_is_checked_in() {
    compare("schema.graphql", &bursar::graphql::sdl(), "schema");
}

#[test]
fn the_subgraph_is_checked_in() {
    compare("docs/subgraph.graphql", &bursar::graphql::subgraph_sdl(), "schema --federation");
}

#[test]
fn the_permission_table_is_checked_in() {
    compare("docs/permissions.md", &bursar_domain::permission::table(), "permissions");
}

#[test]
fn everything_in_the_schema_is_described() {
    run(async {
        let world = World::start(Backend::Sqlite).await;
        let query =
            "{ __schema { types { kind name description fields { name description args { name description } }
            inputFields { name description } enumValues { name description } } } }";
        let data = world.client("owner@demo.test").await.query(query, json!({})).await;
        let mut missing = Vec::new();
        let mut check = |path: String, value: &Value| {
            if value["description"].as_str().unwrap_or_default().trim().is_empty() {
                missing.push(path);
            }
        };
        for kind in data["__schema"]["types"].as_array().unwrap() {
            let name = kind["name"].as_str().unwrap();
            // The built-in scalars are described by the specification.
            // What a gateway asks for is described by the specification of Federation.
            if name.starts_with('_') || ["ID", "Int", "String", "Boolean"].contains(&name) {
                continue;
            }
            check(name.to_owned(), kind);
            for list in ["fields", "inputFields", "enumValues"] {
                for member in kind[list].as_array().into_iter().flatten() {
                    let path = format!("{name}.{}", member["name"].as_str().unwrap());
                    if path.starts_with("Query._") {
                        continue;
                    }
                    check(path.clone(), member);
                    for argument in member["args"].as_array().into_iter().flatten() {
                        check(format!("{path}({})", argument["name"].as_str().unwrap()), argument);
                    }
                }
            }
        }
        assert!(missing.is_empty(), "without a description: {missing:#?}");
    });
}

/// The schema on one line, without its descriptions.
fn without_descriptions(sdl: &str) -> String {
    let code: String = sdl.split("\"\"\"").step_by(2).collect();
    code.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_schema_keeps_its_contract() {
    let sdl = without_descriptions(&bursar::graphql::sdl());
    for text in [
        "input OrganizationSelector @oneOf {",
        "interface UserError { code: ErrorCode! field: [String!] message: String! }",
        "interface Node { id: ID! }",
        "scalar DateTime @specifiedBy(url: \"https://www.rfc-editor.org/rfc/rfc3339\")",
        "dryRun: Boolean! = false",
        "idempotencyKey: IdempotencyKey!",
        "quantity: Int! = 1",
        "expiring( within: Int! = 30 ): Credits!",
        "nodes( ids: [ID!]! ): [Node]!",
        "pool( id: ID! ): CreditPool",
        "organization( by: OrganizationSelector! ): Organization",
        "poolBalance( after: Version, poolId: ID! ): PoolBalanceEvent!",
        "quoteCharge( input: QuoteChargeInput! ): ChargeQuote",
        "chargeCredits( input: ChargeCreditsInput! ): ChargeCreditsPayload",
        "type CreditPool implements Node {",
        "type InsufficientCreditsError implements UserError {",
        "type Money { amount: Decimal! currency: CurrencyCode! }",
        "userErrors: [UserError!]!",
    ] {
        assert!(sdl.contains(text), "not in the schema: {text}");
    }
    assert!(!sdl.contains("Float"), "no float anywhere");
}
