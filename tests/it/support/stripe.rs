//! A stand-in of Stripe: a local server that speaks the wire format of its public API, with its keys against doing
//! things twice, and that signs its messages as Stripe does. Nothing is sent but what a test sends, or what is paid on
//! its pages while it tells somebody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::{Json, Router};
use bursar::clock::Clock;
use bursar::config::{Config, PaymentSettings, Payments, StripeSettings};
use bursar_domain::Timestamp;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::oneshot;

use super::stripe_objects::{Answered, Fields, Objects, error};
use super::{World, plain_http};

/// The key of the account.
pub const SECRET_KEY: &str = "sk_test_standInOfStripeKey4716";
/// What messages are signed with.
pub const WEBHOOK_SECRET: &str = "whsec_standInOfStripeSignatures4717";

/// A running stand-in. Cheap to clone.
#[derive(Clone)]
pub struct Stripe {
    /// Its address.
    pub url: String,
    http: reqwest::Client,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    objects: Objects,
    /// What was answered to requests that came with a key: path and form, and the answer.
    keys: BTreeMap<String, (String, Fields, Answered)>,
    asked: Vec<Asked>,
    down: bool,
    /// Whether the next answer is lost on its way, though what was asked for is done.
    loses: bool,
    /// The path whose next answer is kept back, until the other end lets it go.
    keeps: Option<(String, oneshot::Receiver<()>)>,
    /// Whom it tells of what is paid on its pages.
    tells: Option<String>,
    events: u64,
}

/// A request that changes something.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its path, without `/v1/`.
    pub path: String,
    /// Its key.
    pub key: Option<String>,
    /// Its form.
    pub form: Fields,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its kind.
    pub kind: String,
    /// What it is about.
    pub object: Value,
    /// Its bytes.
    pub body: String,
}

impl Event {
    /// Its signature at a time, as a header.
    pub fn signature(&self, at: Timestamp) -> String {
        self.signed_with(WEBHOOK_SECRET, at)
    }

    /// Its signature by some secret.
    pub fn signed_with(&self, secret: &str, at: Timestamp) -> String {
        let seconds = at.micros().div_euclid(1_000_000);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{seconds}.{}", self.body).as_bytes());
        format!("t={seconds},v1={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
    }

    /// The id of what it is about.
    pub fn id(&self) -> &str {
        self.object["id"].as_str().unwrap()
    }
}

impl Stripe {
    /// Starts one.
    pub async fn start() -> Stripe {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let http = plain_http().no_proxy().build().unwrap();
        let stripe = Stripe { url, http, shared: Arc::default() };
        let router = Router::new().fallback(answer).with_state(stripe.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        stripe
    }

    fn with<T>(&self, change: impl FnOnce(&mut Shared) -> T) -> T {
        change(&mut self.shared.lock().unwrap())
    }

    /// Has a server take payments here.
    pub fn config(&self, config: &mut Config) {
        let stripe = StripeSettings {
            secret_key: SecretString::from(SECRET_KEY),
            webhook_secrets: vec![SecretString::from(WEBHOOK_SECRET)],
            url: self.url.parse().unwrap(),
        };
        let provider = Payments::Stripe;
        config.payments = PaymentSettings { provider, stripe: Some(stripe), ..config.payments.clone() };
    }

    /// The same for a server that is a process of its own.
    pub fn settings(&self) -> [(&'static str, &str); 4] {
        [
            ("BURSAR_PAYMENTS", "stripe"),
            ("BURSAR_STRIPE_SECRET_KEY", SECRET_KEY),
            ("BURSAR_STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
            ("BURSAR_STRIPE_URL", self.url.as_str()),
        ]
    }

    /// Where its pages are: a session's id follows. Each has a form whose POST pays and leads to `success_url`.
    pub fn pages(&self) -> String {
        format!("{}/pay/", self.url)
    }

    /// Tells a server of what is paid on its pages from now on.
    pub fn tells(&self, base: &str) {
        self.with(|shared| shared.tells = Some(base.to_owned()));
    }

    /// Answers nothing but errors, or answers again.
    pub fn set_down(&self, down: bool) {
        self.with(|shared| shared.down = down);
    }

    /// Does what it is asked next, and loses the answer.
    pub fn lose_next_answer(&self) {
        self.with(|shared| shared.loses = true);
    }

    /// Does what it is asked next at a path, and keeps the answer back until it is let go.
    pub fn keep_next_answer(&self, path: &str) -> oneshot::Sender<()> {
        let (let_go, kept) = oneshot::channel();
        self.with(|shared| shared.keeps = Some((path.to_owned(), kept)));
        let_go
    }

    /// Declines the next charge without anybody there.
    pub fn decline_next(&self, code: &str) {
        self.with(|shared| shared.objects.declines = Some(code.to_owned()));
    }

    /// How refunds stand from now on when they are made.
    pub fn refunds_are(&self, status: &str) {
        self.with(|shared| shared.objects.refunds_are = Some(status.to_owned()));
    }

    /// Answers no more than so much of a list at once.
    pub fn lists_at_most(&self, number: usize) {
        self.with(|shared| shared.objects.at_most = Some(number));
    }

    /// The requests so far that change something at a path.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        self.with(|shared| shared.asked.iter().filter(|asked| asked.path == path).cloned().collect())
    }

    /// The newest session of a purchase.
    pub fn session_of(&self, purchase: &str) -> String {
        let sessions = self.with(|shared| shared.objects.all("sessions"));
        let session = sessions.iter().rfind(|session| session["metadata"]["bursar_purchase"] == purchase);
        session.unwrap_or_else(|| panic!("no session of {purchase}"))["id"].as_str().unwrap().to_owned()
    }

    /// The newest session.
    pub fn last_session(&self) -> String {
        let sessions = self.with(|shared| shared.objects.all("sessions"));
        sessions.last().expect("no session")["id"].as_str().unwrap().to_owned()
    }

    /// An object, by its kind (`sessions`, `payment_intents`, `setup_intents`, `refunds`, `disputes`) and id.
    pub fn object(&self, kind: &str, id: &str) -> Value {
        self.with(|shared| shared.objects.get(kind, id))
    }

    /// The payment of a session.
    pub fn intent_of(&self, session: &str) -> String {
        self.object("sessions", session)["payment_intent"].as_str().expect("not paid yet").to_owned()
    }

    /// A message about an object.
    pub fn event(&self, kind: &str, object: Value) -> Event {
        let number = self.with(|shared| {
            shared.events += 1;
            shared.events
        });
        let created = Clock::system().now().micros() / 1_000_000;
        let body = json!({ "id": format!("evt_1StandIn{number:06}"), "object": "event", "type": kind, "created": created,
            "api_version": "2024-06-20", "livemode": false, "data": { "object": object } });
        // Stripe's own are written with line breaks and spaces: only the bytes as they are have the signature.
        let body = serde_json::to_string_pretty(&body).unwrap();
        Event { kind: kind.to_owned(), object, body }
    }

    /// The buyer pays, or gives a card at a session that sets one up.
    pub fn pay(&self, session: &str) -> Event {
        let session = self.with(|shared| shared.objects.complete(session, true));
        self.event("checkout.session.completed", session)
    }

    /// The id of a bill of Stripe's own, such as subscriptions have, that a payment has paid.
    pub fn bill(&self, payment: &str) -> String {
        self.with(|shared| shared.objects.bill(payment))["id"].as_str().unwrap().to_owned()
    }

    /// The buyer pays by a way that takes days.
    pub fn pay_later(&self, session: &str) -> Event {
        let session = self.with(|shared| shared.objects.complete(session, false));
        self.event("checkout.session.completed", session)
    }

    /// What took days is there.
    pub fn arrive(&self, session: &str) -> Event {
        let session = self.with(|shared| shared.objects.end(session, true));
        self.event("checkout.session.async_payment_succeeded", session)
    }

    /// What took days does not come.
    pub fn fail(&self, session: &str) -> Event {
        let session = self.with(|shared| shared.objects.end(session, false));
        self.event("checkout.session.async_payment_failed", session)
    }

    /// A session runs out.
    pub fn expire(&self, session: &str) -> Event {
        let session = self.with(|shared| shared.objects.expire(session));
        self.event("checkout.session.expired", session)
    }

    /// Somebody gives money back at Stripe's own console.
    pub fn refund(&self, payment: &str, amount: i64) -> Event {
        let (status, refund) = self.with(|shared| shared.objects.refund(payment, amount, json!({})));
        assert_eq!(status, 200, "{refund}");
        self.event("refund.created", refund)
    }

    /// That something of a payment was returned.
    pub fn refunded(&self, payment: &str) -> Event {
        let intent = self.object("payment_intents", payment);
        let charge = json!({ "id": intent["latest_charge"], "object": "charge", "payment_intent": payment,
            "amount": intent["amount"], "currency": intent["currency"], "refunded": true });
        self.event("charge.refunded", charge)
    }

    /// A refund stands otherwise.
    pub fn refund_becomes(&self, refund: &str, status: &str) -> Event {
        let refund =
            self.with(|shared| shared.objects.change("refunds", refund, json!({ "status": status })));
        self.event(if status == "failed" { "refund.failed" } else { "refund.updated" }, refund)
    }

    /// A payment is a charge without anybody there, and the bank has declined it.
    pub fn charge_fails(&self, payment: &str) {
        let mut intent = self.object("payment_intents", payment);
        intent["metadata"]["bursar_off_session"] = json!("true");
        intent["status"] = json!("requires_payment_method");
        intent["last_payment_error"] = json!({ "type": "card_error", "code": "card_declined" });
        self.with(|shared| shared.objects.change("payment_intents", payment, intent));
    }

    /// Makes an object (`payment_intents`, `refunds`, `disputes`) as old as can be: it is in no list any more.
    pub fn ages(&self, kind: &str, id: &str) {
        self.with(|shared| shared.objects.change(kind, id, json!({ "created": 1 })));
    }

    /// The bank of the buyer disputes a payment.
    pub fn dispute(&self, payment: &str, amount: i64) -> Event {
        let dispute = self.with(|shared| shared.objects.dispute(payment, amount));
        self.event("charge.dispute.created", dispute)
    }

    /// A dispute is won, or lost.
    pub fn close_dispute(&self, id: &str, won: bool) -> Event {
        let with = json!({ "status": if won { "won" } else { "lost" } });
        let dispute = self.with(|shared| shared.objects.change("disputes", id, with));
        self.event("charge.dispute.closed", dispute)
    }

    /// Sends a message, signed now by the server's clock; the status of its answer.
    pub async fn send(&self, world: &World, event: &Event) -> u16 {
        let signature = event.signature(world.clock.now());
        self.post(&world.base, &event.body, &signature).await.expect("no answer")
    }

    /// Sends bytes with a signature; none: nobody answers.
    pub async fn post(&self, base: &str, body: &str, signature: &str) -> Option<u16> {
        let request = self.http.post(format!("{base}/payments/stripe")).body(body.to_owned());
        let request = request.header("content-type", "application/json; charset=utf-8");
        let answer = request.header("stripe-signature", signature).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Answers a request of the API.
    fn api(&self, method: &Method, path: &str, fields: Fields, headers: &HeaderMap) -> Answered {
        let proven =
            headers.get(header::AUTHORIZATION).is_some_and(|value| *value == format!("Bearer {SECRET_KEY}"));
        if !proven {
            return error(401, "invalid_request_error", None, "Invalid API Key provided");
        }
        assert!(headers.contains_key("stripe-version"), "no version was asked for");
        let parts: Vec<&str> = path.split('/').collect();
        let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
        let pages = self.pages();
        self.with(|shared| {
            if shared.down {
                return error(503, "api_error", None, "An error occurred");
            }
            if method == Method::GET {
                return shared.objects.read(&parts, &fields);
            }
            shared.asked.push(Asked { path: path.to_owned(), key: key.clone(), form: fields.clone() });
            let known = key.as_ref().and_then(|key| shared.keys.get(key).cloned());
            let answered = match known {
                Some((known, form, answered)) if known == path && form == fields => answered,
                Some(_) => {
                    let message = "Keys for idempotent requests can only be used with the same parameters they were \
                                   first used with.";
                    return error(400, "idempotency_error", None, message);
                }
                None => {
                    let answered = shared.objects.write(&parts, &fields, &pages);
                    // What is wrong with a request is said before it begins, and takes no key up.
                    if let (Some(key), false) = (key, answered.0 == 400 || answered.0 == 404) {
                        shared.keys.insert(key, (path.to_owned(), fields, answered.clone()));
                    }
                    answered
                }
            };
            if std::mem::take(&mut shared.loses) {
                return error(502, "api_error", None, "The answer was lost");
            }
            answered
        })
    }

    /// Shows a checkout, or has it paid.
    async fn page(&self, method: &Method, id: &str) -> Response {
        let Some(session) = self.with(|shared| shared.objects.find("sessions", id)) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let text = |name: &str| session[name].as_str().unwrap_or_default().to_owned();
        if method == Method::GET {
            let (amount, currency) = (session["amount_total"].as_i64(), text("currency"));
            let does =
                amount.map_or_else(|| "Save card".to_owned(), |amount| format!("Pay {amount} {currency}"));
            let form =
                format!("<form method=\"post\"><button type=\"submit\" id=\"pay\">{does}</button></form>");
            let form =
                if session["status"] == "open" { form } else { "<p>This checkout is closed.</p>".to_owned() };
            return Html(format!(
                "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Checkout</title><meta \
                 name=\"viewport\" content=\"width=device-width, initial-scale=1\"><link rel=\"icon\" href=\"data:,\">\
                 </head><body><main><h1>Checkout</h1>{form}<p><a id=\"back\" href=\"{}\">Back</a></p></main></body></html>",
                text("cancel_url")
            ))
            .into_response();
        }
        if session["status"] == "expired" {
            return StatusCode::GONE.into_response();
        }
        let event = self.pay(id);
        if let Some(base) = self.with(|shared| shared.tells.clone()) {
            let signature = event.signature(Clock::system().now());
            let answered = self.post(&base, &event.body, &signature).await;
            assert_eq!(answered, Some(200), "{}", event.body);
        }
        Redirect::to(&text("success_url")).into_response()
    }
}

async fn answer(
    State(stripe): State<Stripe>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let path = uri.path();
    if let Some(id) = path.strip_prefix("/pay/") {
        return stripe.page(&method, id).await;
    }
    let Some(path) = path.strip_prefix("/v1/") else { return StatusCode::NOT_FOUND.into_response() };
    let encoded = if method == Method::GET { uri.query().unwrap_or_default() } else { body.as_str() };
    let fields = url::form_urlencoded::parse(encoded.as_bytes()).into_owned().collect();
    let (status, body) = stripe.api(&method, path, fields, &headers);
    if let Some((_, kept)) = stripe.with(|shared| shared.keeps.take_if(|(kept, _)| kept.as_str() == path)) {
        kept.await.unwrap();
    }
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}
