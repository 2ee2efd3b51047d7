//! An identity provider of the test's own: it describes itself, publishes keys and changes them, signs people in
//! without asking them anything, and counts who asks it what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use bursar::clock::Clock;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Client;

/// Bursar's name here, and its secret.
pub const CLIENT: &str = "bursar-at-issuer";
/// The secret.
pub const SECRET: &str = "a client secret of the tests";
/// Whom tokens for the API are for.
pub const AUDIENCE: &str = "https://bursar.test/api";

/// One of a few keys, each made once.
pub fn key(number: usize) -> &'static RsaKeyPair {
    static KEYS: [OnceLock<RsaKeyPair>; 4] = [const { OnceLock::new() }; 4];
    KEYS[number].get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

/// The name of a key.
pub fn kid(number: usize) -> String {
    format!("key-{number}")
}

/// A key as it is published.
pub fn published(number: usize) -> Value {
    let public = key(number).public_key();
    let (n, e) = (public.modulus(), public.exponent());
    let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid(number),
        "n": BASE64URL_NOPAD.encode(n), "e": BASE64URL_NOPAD.encode(e) })
}

/// The first two parts of a token.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

/// A text with its signature by a key, RSA with SHA-256.
pub fn signed(number: usize, text: &str) -> String {
    let key = key(number);
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// A running provider.
#[derive(Clone)]
pub struct Issuer {
    /// Its address, which is its name.
    pub url: String,
    clock: Clock,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// The keys that are published; the last one signs.
    keys: Vec<usize>,
    /// Other keys that are published.
    more_keys: Vec<Value>,
    described: usize,
    keys_read: usize,
    down: bool,
    /// Who is signed in next, and what their tokens say.
    person: Value,
    /// What the identity token says otherwise than it should.
    lies: Value,
    /// Whether only `/userinfo` tells of the person.
    tells_later: bool,
    /// What was asked for, by the code that was given.
    codes: HashMap<String, HashMap<String, String>>,
    given: usize,
    /// What passed between it and the server that nobody else may see, with what each is.
    passed: Vec<(&'static str, String)>,
}

impl Issuer {
    /// Starts one, with the clock of the server that trusts it.
    pub async fn start(clock: &Clock) -> Issuer {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Shared { keys: vec![0], ..Shared::default() };
        let issuer = Issuer { url, clock: clock.clone(), shared: Arc::new(Mutex::new(shared)) };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/keys", get(keys))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    fn with<T>(&self, change: impl FnOnce(&mut Shared) -> T) -> T {
        change(&mut self.shared.lock().unwrap())
    }

    /// How often the keys were read.
    pub fn keys_read(&self) -> usize {
        self.with(|shared| shared.keys_read)
    }

    /// How often it has described itself.
    pub fn described(&self) -> usize {
        self.with(|shared| shared.described)
    }

    /// Publishes these keys and no others; the last one signs.
    pub fn publish(&self, keys: &[usize]) {
        self.with(|shared| shared.keys = keys.to_vec());
    }

    /// Publishes other keys too.
    pub fn publish_more(&self, keys: Vec<Value>) {
        self.with(|shared| shared.more_keys = keys);
    }

    /// Answers nothing but errors, or answers again.
    pub fn set_down(&self, down: bool) {
        self.with(|shared| shared.down = down);
    }

    /// Has somebody sign in next.
    pub fn signs_in(&self, person: Value) {
        self.with(|shared| shared.person = person);
    }

    /// Has identity tokens say something else than they should.
    pub fn lies(&self, lies: Value) {
        self.with(|shared| shared.lies = lies);
    }

    /// Tells of people only when it is asked with an access token.
    pub fn tells_later(&self, later: bool) {
        self.with(|shared| shared.tells_later = later);
    }

    /// What passed between it and the server that nobody else may see, with what each is.
    pub fn passed(&self) -> Vec<(&'static str, String)> {
        self.with(|shared| shared.passed.clone())
    }

    /// The time in seconds.
    pub fn now(&self) -> i64 {
        self.clock.now().micros().div_euclid(1_000_000)
    }

    /// What a good token for the API says of somebody.
    pub fn claims(&self, subject: &str, email: &str) -> Value {
        let now = self.now();
        json!({ "iss": self.url, "aud": AUDIENCE, "sub": subject, "iat": now, "nbf": now, "exp": now + 600,
            "email": email, "email_verified": true, "name": format!("Name of {subject}") })
    }

    /// A token that says something, signed as it signs now.
    pub fn token(&self, claims: &Value) -> String {
        let number = self.with(|shared| *shared.keys.last().unwrap());
        let header = json!({ "alg": "RS256", "typ": "at+jwt", "kid": kid(number) });
        signed(number, &unsigned(&header, claims))
    }

    /// The token of somebody for the API.
    pub fn token_of(&self, subject: &str, email: &str) -> String {
        self.token(&self.claims(subject, email))
    }

    /// A client with the token of somebody.
    pub fn client(&self, base: &str, subject: &str, email: &str) -> Client {
        Client::new(base, Some(self.token_of(subject, email)))
    }

    /// What an organization's owner sets to trust this one.
    pub fn settings(&self, organization: &str, more: Value) -> Value {
        let mut input = json!({ "organizationId": organization, "issuer": self.url, "clientId": CLIENT,
            "clientSecret": SECRET, "audience": AUDIENCE, "domains": ["demo.test"] });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    }

    /// Has an organization trust this one.
    pub async fn trusted_by(&self, owner: &Client, organization: &str, more: Value) -> Value {
        let input = self.settings(organization, more);
        let fields = "singleSignOn { issuer enabled signInUrl redirectUrl }";
        owner.mutate("configureSingleSignOn", "ConfigureSingleSignOnInput", input, fields).await
    }
}

type Parameters = HashMap<String, String>;

async fn describe(State(issuer): State<Issuer>) -> Response {
    let down = issuer.with(|shared| {
        shared.described += 1;
        shared.down
    });
    if down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let at = |path: &str| format!("{}{path}", issuer.url);
    Json(json!({ "issuer": issuer.url, "jwks_uri": at("/keys"), "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"), "userinfo_endpoint": at("/userinfo"),
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "authorization_response_iss_parameter_supported": true }))
    .into_response()
}

async fn keys(State(issuer): State<Issuer>) -> Response {
    let (down, mut all, more) = issuer.with(|shared| {
        shared.keys_read += 1;
        let all: Vec<Value> = shared.keys.iter().map(|number| published(*number)).collect();
        (shared.down, all, shared.more_keys.clone())
    });
    if down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    all.extend(more);
    Json(json!({ "keys": all })).into_response()
}

async fn authorize(State(issuer): State<Issuer>, Query(asked): Query<Parameters>) -> Response {
    let expected = [("response_type", "code"), ("client_id", CLIENT), ("code_challenge_method", "S256")];
    let right = expected.iter().all(|(name, value)| asked.get(*name).is_some_and(|found| found == value));
    if !right || !asked.get("scope").is_some_and(|scope| scope.split(' ').any(|word| word == "openid")) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let code = issuer.with(|shared| {
        shared.given += 1;
        let code = format!("code-{}-{}", shared.given, uuid::Uuid::now_v7());
        shared.codes.insert(code.clone(), asked.clone());
        code
    });
    let mut back: url::Url = asked["redirect_uri"].parse().unwrap();
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &asked["state"])
        .append_pair("iss", &issuer.url);
    Redirect::to(back.as_str()).into_response()
}

async fn token(State(issuer): State<Issuer>, headers: HeaderMap, Form(form): Form<Parameters>) -> Response {
    let refused = || (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let proof = BASE64.encode(format!("{}:{}", encoded(CLIENT), encoded(SECRET)).as_bytes());
    if headers.get(header::AUTHORIZATION).is_none_or(|value| *value != format!("Basic {proof}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    // A code is good once.
    let code = form.get("code").cloned().unwrap_or_default();
    let Some(asked) = issuer.with(|shared| shared.codes.remove(&code)) else { return refused() };
    let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(form["code_verifier"].as_bytes()));
    if asked["code_challenge"] != challenge || form["redirect_uri"] != asked["redirect_uri"] {
        return refused();
    }
    let now = issuer.now();
    let (person, lies, later) =
        issuer.with(|shared| (shared.person.clone(), shared.lies.clone(), shared.tells_later));
    let mut claims = json!({ "iss": issuer.url, "aud": CLIENT, "iat": now, "exp": now + 300,
        "nonce": asked["nonce"], "sub": person["sub"] });
    let told = [Some(&person).filter(|_| !later), Some(&lies)];
    for more in told.into_iter().flatten().filter_map(Value::as_object) {
        claims.as_object_mut().unwrap().extend(more.clone());
    }
    let number = issuer.with(|shared| *shared.keys.last().unwrap());
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": kid(number) });
    let identity = signed(number, &unsigned(&header, &claims));
    issuer.with(|shared| {
        let verifier = form["code_verifier"].clone();
        shared.passed.extend([
            ("a code", code),
            ("a verifier", verifier),
            ("a nonce", asked["nonce"].clone()),
            ("an identity token", identity.clone()),
        ]);
    });
    Json(json!({ "token_type": "Bearer", "access_token": "an access token", "id_token": identity }))
        .into_response()
}

async fn userinfo(State(issuer): State<Issuer>, headers: HeaderMap) -> Response {
    if headers.get(header::AUTHORIZATION).is_none_or(|value| value != "Bearer an access token") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Json(issuer.with(|shared| shared.person.clone())).into_response()
}
