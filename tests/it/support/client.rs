//! A GraphQL client over HTTP.

use serde_json::{Value, json};

use super::Socket;

/// Somebody who calls the API.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// A client that reads no certificates: everything that tests ask speaks plain HTTP, and reading those of the system
/// takes longer than most tests do otherwise.
pub fn plain_http() -> reqwest::ClientBuilder {
    reqwest::Client::builder().tls_certs_only([])
}

/// The ids that most tests need.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The organization.
    pub organization: String,
    /// Its pool.
    pub pool: String,
    /// The department Sales.
    pub sales: String,
    /// The department Marketing.
    pub marketing: String,
}

impl Client {
    /// A client of the server at `base`.
    pub fn new(base: &str, token: Option<String>) -> Client {
        let http = plain_http().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Client { http, base: base.to_owned(), token }
    }

    /// The same person with a connection of their own.
    pub fn another(&self) -> Client {
        Client::new(&self.base, self.token.clone())
    }

    /// The token.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    /// The server's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The plain HTTP client.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// An address of the server.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends an operation and answers status and body, as it came.
    pub async fn text(&self, query: &str, variables: Value) -> (u16, String) {
        let mut request =
            self.http.post(self.url("/graphql")).json(&json!({ "query": query, "variables": variables }));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Sends an operation and answers status and body.
    pub async fn send(&self, query: &str, variables: Value) -> (u16, Value) {
        let (status, text) = self.text(query, variables).await;
        let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}"));
        (status, body)
    }

    /// Sends an operation and answers the whole body.
    pub async fn raw(&self, query: &str, variables: Value) -> Value {
        self.send(query, variables).await.1
    }

    /// Sends an operation that must succeed, and answers its data.
    pub async fn query(&self, query: &str, variables: Value) -> Value {
        let body = self.raw(query, variables).await;
        assert!(body.get("errors").is_none(), "{query}: {body}");
        body["data"].clone()
    }

    /// Sends a mutation and answers its payload, whatever it says.
    pub async fn try_mutate(&self, name: &str, input_type: &str, input: Value, fields: &str) -> Value {
        let query = format!(
            "mutation M($input: {input_type}!) {{ {name}(input: $input) {{ {fields}
               userErrors {{ __typename code message field
                 ... on InsufficientCreditsError {{ scope available shortBy }}
                 ... on ReferenceTakenError {{ chargeId holdId }} ... on HoldClosedError {{ state }}
                 ... on CaptureExceedsHoldError {{ service line held }}
                 ... on RefundExceedsChargeError {{ refundable }} ... on GuaranteeError {{ reason }}
                 ... on CapExceededError {{ capId headroom cap {{ id }} }} ... on BatchAbortedError {{ item }}
                 ... on CreditLimitError {{ mayOwe: available {{ amount }} }}
                 ... on PurchaseStateError {{ stands: state why: reason }}
                 ... on InvoiceRefusedError {{ whyNot: reason }}
                 ... on TotalChangedError {{ expected {{ amount currency }} total {{ amount currency }} }}
                 ... on PriceRisesError {{ highest {{ amount currency }} }} }} }} }}"
        );
        let body = self.raw(&query, json!({ "input": input })).await;
        assert!(body.get("errors").is_none(), "{name}: {body}");
        let payload = body["data"][name].clone();
        for error in payload["userErrors"].as_array().into_iter().flatten() {
            // No refusal says the name of a field twice.
            let message = error["message"].as_str().unwrap();
            let named: Vec<&str> = message.split(':').next().unwrap_or_default().split(' ').collect();
            assert!(named.windows(2).all(|pair| pair[0] != pair[1]), "{name}: {message}");
        }
        payload
    }

    /// Sends a mutation that must succeed, and answers its payload.
    pub async fn mutate(&self, name: &str, input_type: &str, input: Value, fields: &str) -> Value {
        let payload = self.try_mutate(name, input_type, input, fields).await;
        assert_eq!(payload["userErrors"], json!([]), "{name}: {payload}");
        payload
    }

    /// Sends a charge and answers its payload, whatever it says.
    pub async fn charge(&self, input: Value) -> Value {
        let fields = "charge { id credits version lines { service quantity creditsEach credits }
                        slices { credits cost { amount } lot { id } } createdAt }
                      balance { posted held available version } accountBalance { available } replayed";
        self.try_mutate("chargeCredits", "ChargeCreditsInput", input, fields).await
    }

    /// Allocates credits to a department.
    pub async fn allocate(&self, pool: &str, department: &str, credits: i64, key: &str) -> Value {
        let input =
            json!({ "poolId": pool, "departmentId": department, "credits": credits, "idempotencyKey": key });
        let fields = "allocation { id balance { available } } balance { available version } replayed";
        self.mutate("allocateCredits", "AllocateCreditsInput", input, fields).await
    }

    /// Buys the Starter package for a pool, up to the address of its checkout page.
    pub async fn checkout(&self, pool: &str, key: &str) -> (String, String) {
        let input = json!({ "poolId": pool, "package": "STARTER", "idempotencyKey": key });
        let made = self.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
        let purchase = made["purchase"]["id"].as_str().unwrap().to_owned();
        let input = json!({ "purchaseId": purchase, "idempotencyKey": key });
        let started = self.mutate("startCheckout", "StartCheckoutInput", input, "checkoutUrl").await;
        let url = started["checkoutUrl"].as_str().unwrap();
        (purchase, url.replace("http://bursar.test", &self.base))
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) -> (u16, String) {
        let response = self.http.get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Submits a form without fields.
    pub async fn submit(&self, url: &str) -> (u16, String) {
        let response = self.http.post(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// A WebSocket on which the caller has proven who it is.
    pub async fn socket(&self) -> Socket {
        Socket::open(&self.base, self.token()).await
    }

    /// The ids of the demonstration data.
    pub async fn demo(&self) -> Demo {
        let query = r#"{ organization(by: { slug: "demo" }) { id pools { nodes { id } } departments { nodes { id code } } } }"#;
        let data = self.query(query, json!({})).await;
        let organization = &data["organization"];
        let department = |code: &str| {
            let nodes = organization["departments"]["nodes"].as_array().unwrap();
            nodes.iter().find(|node| node["code"] == code).unwrap()["id"].as_str().unwrap().to_owned()
        };
        Demo {
            organization: organization["id"].as_str().unwrap().to_owned(),
            pool: organization["pools"]["nodes"][0]["id"].as_str().unwrap().to_owned(),
            sales: department("SALES"),
            marketing: department("MARKETING"),
        }
    }

    /// The available credits and the version of a pool.
    pub async fn balance(&self, pool: &str) -> (i64, i64) {
        let data = self
            .query(
                "query P($id: ID!) { pool(id: $id) { balance { available version } } }",
                json!({ "id": pool }),
            )
            .await;
        let balance = &data["pool"]["balance"];
        (balance["available"].as_i64().unwrap(), balance["version"].as_i64().unwrap())
    }
}
