//! What the schema says, read by introspection, so that a test can go through all of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Client;

/// A picture of one pixel: PNG, in base64.
pub const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mOQj/v/HwAEmAJ8cKpYOAAAAABJRU5ErkJggg==";

/// A field of an input type.
#[derive(Clone, Debug)]
pub struct InputField {
    /// Its name.
    pub name: String,
    /// The name of its innermost type.
    pub kind: String,
    /// Whether it is a list.
    pub list: bool,
}

/// The roots of the schema and its input types.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The fields of the root of changes, with the type of each one's input.
    pub mutations: BTreeMap<String, String>,
    /// The fields of the root of streams.
    pub subscriptions: Vec<String>,
    inputs: BTreeMap<String, Vec<InputField>>,
}

impl Schema {
    /// Reads the schema of a server.
    pub async fn read(client: &Client) -> Schema {
        let of = "kind name ofType { kind name ofType { kind name ofType { kind name } } }";
        let query = format!(
            "{{ __schema {{ subscriptionType {{ fields {{ name }} }}
               mutationType {{ fields {{ name args {{ type {{ {of} }} }} }} }}
               types {{ kind name inputFields {{ name defaultValue type {{ {of} }} }} }} }} }}"
        );
        let schema = client.query(&query, json!({})).await["__schema"].clone();
        let names = |root: &str| {
            let fields = schema[root]["fields"].as_array().unwrap();
            fields.iter().map(|field| field["name"].as_str().unwrap().to_owned()).collect()
        };
        let mutations = schema["mutationType"]["fields"].as_array().unwrap().iter().map(|field| {
            (field["name"].as_str().unwrap().to_owned(), innermost(&field["args"][0]["type"]).0)
        });
        let inputs = schema["types"].as_array().unwrap().iter().filter(|kind| kind["kind"] == "INPUT_OBJECT");
        let inputs = inputs.map(|kind| {
            let fields = kind["inputFields"].as_array().unwrap().iter().map(|field| {
                let (inner, list) = innermost(&field["type"]);
                InputField { name: field["name"].as_str().unwrap().to_owned(), kind: inner, list }
            });
            (kind["name"].as_str().unwrap().to_owned(), fields.collect())
        });
        Schema {
            subscriptions: names("subscriptionType"),
            mutations: mutations.collect(),
            inputs: inputs.collect(),
        }
    }

    /// The fields of an input type that hold ids, those of the inputs in it among them.
    pub fn id_fields(&self, input: &str) -> Vec<String> {
        let of = |field: &InputField| match field.kind.as_str() {
            "ID" => vec![field.name.clone()],
            kind if self.inputs.contains_key(kind) => self.id_fields(kind),
            _ => Vec::new(),
        };
        self.inputs[input].iter().flat_map(of).collect()
    }

    /// An input with an id for each field of ids and something plausible for every other.
    pub fn input(&self, name: &str, id: &dyn Fn(&str) -> String, unique: &str) -> Value {
        let mut input = Map::new();
        for field in &self.inputs[name] {
            let buys = ["RequestPurchaseInput", "UpdatePurchaseInput"].contains(&name);
            let others = ["credits", "quoteId", "quoteToken", "expectedTotal"];
            if buys && others.contains(&field.name.as_str()) {
                // What is bought is said in one way only: by the package.
                continue;
            }
            let value = match field.kind.as_str() {
                "ID" => json!(id(&field.name)),
                "IdempotencyKey" => json!(unique),
                // Less than a package costs is no maximum.
                "MoneyInput" if field.name == "monthlyMaximum" => {
                    json!({ "amount": "500.00", "currency": "USD" })
                }
                // Paid at a checkout page.
                "InvoiceTermsInput" => continue,
                "ParkedPaymentResolution" => json!({ "dismiss": true }),
                "Credits" => json!(1),
                // Nothing that is made in passing is to end while the test looks on.
                "Int" if field.name == "ttlSeconds" => json!(3_600),
                // The times of a policy fit each other as they are when left out.
                "Int" if field.name.ends_with("AfterHours") => continue,
                "Int" => json!(1),
                "ChargeBatchMode" => json!("EACH"),
                "Boolean" => continue,
                "ApiKeyScope" => json!("CHARGES_WRITE"),
                "ApiKeyMode" => json!("LIVE"),
                "SigningAlgorithm" => json!("RS256"),
                "Role" => json!("MEMBER"),
                "TimeZone" => json!("Europe/Berlin"),
                "CurrencyCode" => json!("USD"),
                "JSON" => json!({ "a": 1 }),
                "PeriodKind" => json!("MONTH"),
                "SpendingCapScope" => json!({ "service": "OUTDOOR_STAGING" }),
                "CreditRequestAnswer" => json!({ "decline": true }),
                "ApproversInput" => json!({ "memberId": id("memberId") }),
                "ApprovalChoice" => json!("APPROVE"),
                "ApprovalPayer" => json!("REQUESTER"),
                "ApprovalLanguage" => json!("EN"),
                // What begins in 30 days ends later.
                "DateTime"
                    if field.name == "endsAt"
                        || name == "DelegateApprovalsInput" && field.name == "until" =>
                {
                    json!((chrono::Utc::now() + chrono::Duration::days(60)).to_rfc3339())
                }
                "DateTime" => json!((chrono::Utc::now() + chrono::Duration::days(30)).to_rfc3339()),
                "SignedCredits" => json!(1),
                "Decimal" => json!("1.00"),
                "LotClass" => json!("PROMOTIONAL"),
                "Overflow" => json!("DENY"),
                "PaymentTerms" => json!("INVOICE"),
                "ChargeLineInput" => json!({ "service": "FURNITURE_REMOVAL", "quantity": 1 }),
                "String" => match field.name.as_str() {
                    "country" => json!("DE"),
                    "package" => json!("STARTER"),
                    "slug" => json!(unique.to_lowercase().replace('_', "-")),
                    "code" => json!(unique.to_uppercase().replace('-', "_")),
                    "email" | "ownerEmail" => json!(format!("{unique}@example.test")),
                    "allowedServices" => json!("STYLE_CHANGE"),
                    "issuer" => json!("https://login.example"),
                    "service" => json!("OUTDOOR_STAGING"),
                    "domains" => json!("demo.test"),
                    "logo" => json!(PIXEL),
                    _ => json!(unique),
                },
                other if self.inputs.contains_key(other) => self.input(other, id, unique),
                other => panic!("what is a plausible {other}, for {name}.{}?", field.name),
            };
            input.insert(field.name.clone(), if field.list { json!([value]) } else { value });
        }
        Value::Object(input)
    }
}

fn innermost(kind: &Value) -> (String, bool) {
    let (mut kind, mut list) = (kind, false);
    while kind["ofType"] != Value::Null {
        list |= kind["kind"] == "LIST";
        kind = &kind["ofType"];
    }
    (kind["name"].as_str().unwrap().to_owned(), list)
}
