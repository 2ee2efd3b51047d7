//! What proves who somebody is stands nowhere but where it has to: a server that logs as much as it can makes and takes
//! every kind of secret there is, in the right places and in wrong ones, and none of them is in its log, its metrics,
//! its database, or the files that it exports.

mod browsers;
mod paying;

use std::collections::BTreeSet;

use bursar::clock::Clock;
use bursar_domain::api_key::{KeyMode, format};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::client::Demo;
use crate::support::issuer::{Issuer, SECRET};
use crate::support::needles::{Needles, forms};
use crate::support::process::{Recording, SIGNING_SECRET, token};
use crate::support::sign_in::TOKENS;
use crate::support::stripe::{SECRET_KEY, WEBHOOK_SECRET};
use crate::support::{
    Backend, Client, Nats, Process, Script, SmtpServer, Socket, Stripe, TestDatabase, dump, keys,
};

on_both_databases!(secrets_are_nowhere);

const DATABASE_PASSWORD: &str = "passwordofthedatabase4711";
const MAIL_PASSWORD: &str = "passwordofthepostman4712";
const BUS_PASSWORD: &str = "passwordofthebus4713";
const MEMBER: &str = "member@demo.test";

/// A server that logs all it can, and what it must not say.
struct Run {
    database: TestDatabase,
    process: Process,
    recording: Recording,
    smtp: SmtpServer,
    stripe: Stripe,
    /// Each with what it is.
    secrets: Vec<(String, String)>,
    _nats: Option<Nats>,
}

/// The nonce in a page.
fn nonce(page: &str) -> &str {
    let (_, rest) = page.split_once("name=\"nonce\" value=\"").unwrap_or_else(|| panic!("no form: {page}"));
    rest.split('"').next().unwrap()
}

/// What stands in a text area of a page.
fn shown<'p>(page: &'p str, name: &str) -> &'p str {
    let area = format!("<textarea name=\"{name}\"");
    let (_, rest) = page.split_once(&area).unwrap_or_else(|| panic!("no {name}: {page}"));
    rest.split_once('>').unwrap().1.split('<').next().unwrap()
}

/// The last part of an address.
fn last(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

/// Sends a form; answers status and page.
async fn submit(client: &Client, url: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let response = client.http().post(url).form(fields).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Whether an answer says no, in whatever way.
fn is_refused(body: &Value) -> bool {
    let no = |value: &Value| value.is_null() || value["userErrors"][0].is_object();
    body["errors"].is_array() || body["data"].as_object().is_some_and(|data| data.values().all(no))
}

impl Run {
    async fn start(backend: Backend) -> Run {
        let database = TestDatabase::migrated(backend).await;
        let smtp = SmtpServer::start(Script::Accept).await;
        let mail = smtp.url(&format!("postman:{MAIL_PASSWORD}"));
        // Nobody asks for these passwords.
        let proven = |address: &str| address.replacen('@', &format!(":{DATABASE_PASSWORD}@"), 1);
        let application = proven(&database.addresses.application);
        let migration = database.addresses.migration.as_deref().map(proven);
        let nats = (backend == Backend::Sqlite).then(Nats::start);
        let bus = nats.as_ref().map(|nats| nats.url().replace("//", &format!("//node:{BUS_PASSWORD}@")));
        let mut settings = vec![
            ("BURSAR_LOG", "trace"),
            ("BURSAR_SMTP_URL", mail.as_str()),
            ("BURSAR_MAIL_FROM", "Credits <credits@bursar.test>"),
            ("DATABASE_URL", application.as_str()),
        ];
        // Each of the two buses, and each of the two formats, once.
        settings.extend(migration.iter().map(|url| ("BURSAR_MIGRATE_DATABASE_URL", url.as_str())));
        settings.extend(bus.iter().map(|url| ("BURSAR_NATS_URL", url.as_str())));
        settings.extend(bus.iter().map(|_| ("BURSAR_LOG_FORMAT", "json")));
        let stripe = Stripe::start().await;
        settings.extend(stripe.settings());
        let (process, recording) = Process::start_recorded(&database, &settings).await;
        let mut run = Run {
            database,
            process,
            recording,
            smtp,
            stripe: stripe.clone(),
            secrets: Vec::new(),
            _nats: nats,
        };
        for (name, secret) in [
            ("the signing secret", SIGNING_SECRET),
            ("the password of the database", DATABASE_PASSWORD),
            ("the password of the mail server", MAIL_PASSWORD),
            ("the password of the bus", BUS_PASSWORD),
            ("the secret at the provider", SECRET),
            ("the key of the account that is paid", SECRET_KEY),
            ("what messages about payments are signed with", WEBHOOK_SECRET),
        ] {
            run.keep(name, secret);
        }
        run
    }

    fn keep(&mut self, name: &str, secret: &str) {
        self.secrets.push((name.to_owned(), secret.to_owned()));
    }

    fn bearing(&self, token: &str) -> Client {
        Client::new(&self.process.base, Some(token.to_owned()))
    }

    fn nobody(&self) -> Client {
        Client::new(&self.process.base, None)
    }

    /// The tokens that a mutation has answered, kept.
    fn tokens(&mut self, payload: &Value) -> (String, String) {
        let text = |name: &str| payload["tokens"][name].as_str().unwrap_or_else(|| panic!("{payload}"));
        let (access, refresh) = (text("accessToken").to_owned(), text("refreshToken").to_owned());
        self.keep("a token of a session", &access);
        self.keep("a refresh token", &refresh);
        (access, refresh)
    }

    /// The tokens that a page shows, kept.
    fn tokens_on(&mut self, page: &str) {
        self.keep("a token on a page", shown(page, "token"));
        self.keep("a refresh token on a page", shown(page, "refresh"));
    }

    /// Opens a page and answers its nonce, kept.
    async fn nonce_of(&mut self, url: &str) -> String {
        let (status, page) = self.nobody().open(url).await;
        assert_eq!(status, 200, "{page}");
        self.keep("a nonce of a page", nonce(&page));
        nonce(&page).to_owned()
    }

    /// A secret in places where it does not belong: headers, addresses, documents, variables, what is no request.
    async fn misplaced(&self, secret: &str) {
        let (nobody, whoami) = (self.nobody(), "{ organization(by: { slug: \"demo\" }) { id } }");
        let post = |body: String| {
            nobody.http().post(nobody.url("/graphql")).header("content-type", "application/json").body(body)
        };
        let asks = json!({ "query": whoami }).to_string();
        for header in [
            secret.to_owned(),
            format!("Basic {secret}"),
            format!("Bearer {secret}x"),
            format!("Bearer {secret} {secret}"),
        ] {
            let response = post(asks.clone()).header("authorization", header).send().await.unwrap();
            assert_eq!(response.status().as_u16(), 401);
        }
        let named = format!("Bearer%20{secret}");
        let query = [("query", whoami), ("access_token", secret), ("authorization", named.as_str())];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let response = nobody.http().get(nobody.url(&format!("/graphql?{query}"))).send().await.unwrap();
        assert!(is_refused(&response.json().await.unwrap()));
        for path in [
            format!("/{secret}"),
            format!("//sign-in/{secret}"),
            format!("/Sign-In/{secret}"),
            format!("/sign%2Din/{secret}"),
            format!("/graphql/{secret}"),
            format!("/sign-in/{secret}"),
            format!("/invitation/{secret}/x"),
        ] {
            let response = nobody.http().get(nobody.url(&path)).header("referer", secret).send().await;
            assert_eq!(response.unwrap().status().as_u16(), 404, "{path}");
        }
        let node = "query N($i: ID!) { node(id: $i) { id } }";
        for body in [
            json!({ "query": format!("{{ viewer {{ \"{secret}\" }} }}") }),
            json!({ "query": format!("{{ {secret} }}") }),
            json!({ "query": format!("{{ node(id: \"{secret}\") {{ id }} }}") }),
            json!({ "query": format!("{{ viewer(token: \"{secret}\") {{ user {{ id }} }} }}") }),
            json!({ "query": node, "variables": { "i": secret } }),
            json!({ "query": node, "variables": { "i": { "x": secret } } }),
            json!({ "query": "{ __typename }", "operationName": secret }),
            json!({ "query": "{ __typename }", "variables": secret }),
            json!({ "documentId": secret }),
        ] {
            let answer = post(body.to_string()).send().await.unwrap();
            assert!(is_refused(&answer.json().await.unwrap()), "{body}");
        }
        let wrong = format!("{secret}x");
        for (mutation, input_type, input) in [
            ("redeemSignInLink", "RedeemSignInLinkInput", json!({ "token": wrong, "code": secret })),
            ("refreshSession", "RefreshSessionInput", json!({ "refreshToken": wrong })),
        ] {
            let query = format!(
                "mutation M($i: {input_type}!) {{ {mutation}(input: $i) {{ userErrors {{ message }} }} }}"
            );
            let body = nobody.raw(&query, json!({ "i": input })).await;
            assert!(is_refused(&body), "{body}");
        }
        let cut = post(format!("{{\"query\": \"{secret}")).send().await.unwrap();
        assert_eq!(cut.status().as_u16(), 400);
        let mut socket = Socket::connect(nobody.base(), None).await.unwrap();
        let payload = json!({ "authorization": format!("Bearer {secret}x"), "token": secret });
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.message().await.unwrap_err().0, 4403);
    }

    async fn keys(&mut self, owner: &Client, demo: &Demo) {
        let scopes = ["CHARGES_WRITE", "BALANCES_READ"];
        let made = keys::ask(owner, Some(&demo.organization), &scopes, json!({})).await;
        let (id, old) = (made["apiKey"]["id"].clone(), made["secret"].as_str().unwrap());
        self.keep("a key", old);
        let input = json!({ "keyId": id, "overlapSeconds": 60 });
        let made = owner.mutate("rotateApiKey", "RotateApiKeyInput", input, "apiKey { id } secret").await;
        let (new_id, new) = (made["apiKey"]["id"].clone(), made["secret"].as_str().unwrap());
        self.keep("a key that takes the place of another", new);
        for (secret, unique) in [(old, "by the old key"), (new, "by the new key")] {
            assert_eq!(keys::charge(&self.bearing(secret), &demo.pool, None, unique).await, None);
        }
        self.misplaced(new).await;
        let mut socket = Socket::open(&self.process.base, new).await;
        socket.subscribe("1", &format!("subscription {{ {new} }}"), json!({ "token": new })).await;
        assert_eq!(socket.message().await.unwrap()["type"], "error");
        for id in [&id, &new_id] {
            let input = json!({ "keyId": id });
            owner.mutate("revokeApiKey", "RevokeApiKeyInput", input, "apiKey { revokedAt }").await;
        }
        let refused = Some("UNAUTHENTICATED".to_owned());
        // One that never was, as well.
        let forged = format(KeyMode::Live, [7; 32]);
        self.keep("a forged key", &forged);
        for secret in [old, new, forged.as_str()] {
            assert_eq!(keys::charge(&self.bearing(secret), &demo.pool, None, "too late").await, refused);
        }
    }

    /// Signs in by mail, on the pages and by the API; answers the last part of a link's address and its code. The
    /// digits of a code say nothing without the link, and are too few to be looked for.
    async fn links(&mut self) -> (String, String) {
        let (nobody, beginning) = (self.nobody(), "http://bursar.test/sign-in/");
        let asks = nobody.url("/sign-in");
        let nonce = self.nonce_of(&asks).await;
        let (status, page) = submit(&nobody, &asks, &[("nonce", &nonce), ("email", MEMBER)]).await;
        assert_eq!(status, 200, "{page}");
        let letter = self.smtp.letter(MEMBER, 1).await;
        let (url, code) = (letter.link(beginning), letter.code());
        self.keep("a link to sign in with", last(&url));
        let url = nobody.url(&format!("/sign-in/{}", last(&url)));
        let nonce = self.nonce_of(&url).await;
        let form = [("nonce", nonce.as_str()), ("code", code.as_str())];
        let response = nobody.http().post(&url).form(&form).send().await.unwrap();
        self.signed_in(response).await;
        assert_eq!(submit(&nobody, &url, &form).await.0, 409);
        // By the API.
        let input = json!({ "email": MEMBER });
        nobody.mutate("requestSignInLink", "RequestSignInLinkInput", input, "requested").await;
        let letter = self.smtp.letter(MEMBER, 2).await;
        let (url, code) = (letter.link(beginning), letter.code());
        self.keep("another link to sign in with", last(&url));
        let (redeem, input) = ("redeemSignInLink", json!({ "token": last(&url), "code": code }));
        let opened = nobody.mutate(redeem, "RedeemSignInLinkInput", input.clone(), TOKENS).await;
        let again = nobody.try_mutate(redeem, "RedeemSignInLinkInput", input, TOKENS).await;
        assert!(again["userErrors"][0].is_object(), "{again}");
        let (access, first) = self.tokens(&opened);
        self.misplaced(&access).await;
        self.misplaced(&first).await;
        let mut refresh = first.clone();
        for _ in 0..2 {
            let input = json!({ "refreshToken": refresh });
            let next = nobody.mutate("refreshSession", "RefreshSessionInput", input, TOKENS).await;
            refresh = self.tokens(&next).1;
        }
        // One that was used before ends the session.
        let input = json!({ "refreshToken": first });
        let replayed = nobody.try_mutate("refreshSession", "RefreshSessionInput", input, TOKENS).await;
        assert!(replayed["userErrors"][0].is_object(), "{replayed}");
        assert!(is_refused(&self.bearing(&access).raw("{ viewer { user { id } } }", json!({})).await));
        (last(&url).to_owned(), code)
    }

    async fn invitations(&mut self, owner: &Client, demo: &Demo) {
        for email in ["first@person.test", "second@person.test"] {
            let input = json!({ "organizationId": demo.organization, "email": email, "role": "MEMBER" });
            owner.mutate("inviteMember", "InviteMemberInput", input, "invitation { id }").await;
            let url = self.smtp.letter(email, 1).await.link("http://bursar.test/invitation/");
            self.keep("an invitation", last(&url));
            let input = json!({ "token": last(&url) });
            // It is not for the owner.
            let (accept, input_type) = ("acceptInvitation", "AcceptInvitationInput");
            let payload = owner.try_mutate(accept, input_type, input, "member { id }").await;
            assert!(payload["userErrors"][0].is_object(), "{payload}");
            let url = owner.url(&format!("/invitation/{}", last(&url)));
            let nonce = self.nonce_of(&url).await;
            let (status, page) = submit(owner, &url, &[("nonce", &nonce), ("name", "New")]).await;
            assert_eq!(status, 200, "{page}");
        }
    }

    /// Signs in at a provider, and with what it has signed.
    async fn provider(&mut self, owner: &Client, demo: &Demo) {
        let issuer = Issuer::start(&Clock::system()).await;
        issuer.trusted_by(owner, &demo.organization, json!({ "joinsJustInTime": true })).await;
        let person = json!({ "sub": "s1", "email": "new@demo.test", "email_verified": true, "name": "New" });
        issuer.signs_in(person);
        let nobody = self.nobody();
        let open = async |url: &str, cookie: &str| {
            nobody.http().get(url).header("cookie", cookie).send().await.unwrap()
        };
        let header =
            |response: &reqwest::Response, name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let begun = open(&nobody.url("/sso/demo"), "").await;
        let (there, cookie) = (header(&begun, "location"), header(&begun, "set-cookie"));
        let cookie = cookie.split(';').next().unwrap().to_owned();
        self.keep("a sealed sign-in", cookie.split_once('=').unwrap().1);
        let back = header(&open(&there, "").await, "location");
        let back: url::Url = back.replace("http://bursar.test", &self.process.base).parse().unwrap();
        let (_, state) = back.query_pairs().find(|(name, _)| name == "state").unwrap();
        self.keep("a state", &state);
        let response = open(back.as_str(), &cookie).await;
        self.signed_in(response).await;
        // Once only.
        assert_eq!(open(back.as_str(), &cookie).await.status().as_u16(), 403);
        let passed = issuer.passed();
        assert!(passed.len() >= 4, "{}", passed.len());
        for (name, secret) in passed {
            self.keep(name, &secret);
        }
        let good = issuer.token_of("s1", "new@demo.test");
        let mut claims = issuer.claims("s1", "new@demo.test");
        claims["aud"] = json!("another");
        let bad = issuer.token(&claims);
        let asks = "{ viewer { user { email } } }";
        for (token, refused) in [(&good, false), (&bad, true)] {
            self.keep("a token of a provider", token);
            assert_eq!(is_refused(&self.bearing(token).raw(asks, json!({})).await), refused);
        }
        self.misplaced(&good).await;
    }

    /// What has to do with links while their table is away.
    async fn faults(&self, (link, code): (&str, &str)) {
        let sql = async |sql: &str| {
            let superuser = sea_orm::Database::connect(&self.database.superuser).await.unwrap();
            superuser.execute_unprepared(sql).await.unwrap();
            superuser.close().await.unwrap();
        };
        sql("ALTER TABLE sign_in_link RENAME TO sign_in_link_away").await;
        let query =
            "mutation M($i: RedeemSignInLinkInput!) { redeemSignInLink(input: $i) { userErrors { code } } }";
        let nobody = self.nobody();
        let body = nobody.raw(query, json!({ "i": { "token": link, "code": code } })).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{body}");
        assert_eq!(nobody.open(&nobody.url(&format!("/sign-in/{link}"))).await.0, 500);
        sql("ALTER TABLE sign_in_link_away RENAME TO sign_in_link").await;
    }
}

async fn secrets_are_nowhere(backend: Backend) {
    let mut run = Run::start(backend).await;
    let of_owner = token(&run.database, "owner@demo.test").await;
    run.keep("a token of the command line", &of_owner);
    let owner = run.bearing(&of_owner);
    let demo = owner.demo().await;
    run.keys(&owner, &demo).await;
    let (link, code) = run.links().await;
    run.invitations(&owner, &demo).await;
    run.provider(&owner, &demo).await;
    run.checkout(&owner, &demo).await;
    run.consent(&owner, &demo).await;
    run.approval(&owner, &demo).await;
    run.archive(&owner, &demo).await;
    run.faults((&link, &code)).await;
    // What can be taken out of it, at the end.
    let mut texts = Vec::new();
    let mut request = String::new();
    for (name, path, marker) in [
        ("the audit log as CSV", "/export/audit?organization=demo", "rotateApiKey"),
        ("the audit log as JSON", "/export/audit?organization=demo&format=jsonl", "rotateApiKey"),
        ("the organization", "/export/organization?organization=demo", "owner@demo.test"),
        ("the metrics", "/metrics", "bursar_ledger_commands_total"),
    ] {
        let response = owner.http().get(owner.url(path)).bearer_auth(owner.token()).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{path}");
        request = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        texts.push((name, marker.to_owned(), response.bytes().await.unwrap().to_vec()));
    }
    // With what waits in the write-ahead log; and once more when all that comes late has been written.
    let mut files = dump::files(&run.database);
    let needles = Needles::of(&run.secrets);
    run.process.stop().await;
    let log = run.recording.end().await;
    files.extend(dump::files(&run.database));
    if backend == Backend::Sqlite {
        texts.push(("the files of the database", "owner@demo.test".to_owned(), files));
    }
    texts.push(("the rows of the database", "owner@demo.test".to_owned(), dump::rows(&run.database).await));
    for marker in ["TRACE", "a field failed", "somebody could not sign in"] {
        assert!(String::from_utf8_lossy(&log).contains(marker), "nothing of {marker} is in the log");
    }
    texts.push(("the log", request, log));
    let (name, planted) = run.secrets.iter().find(|(name, _)| name == "a key").unwrap();
    for (place, marker, mut text) in texts {
        assert!(String::from_utf8_lossy(&text).contains(&marker), "{place} lacks {marker}");
        assert_eq!(needles.found(&text), BTreeSet::new(), "{place}");
        // Each form would have been found there.
        let forms = forms(planted);
        for bytes in forms.values() {
            text.extend(bytes);
            text.push(b'\n');
        }
        let distinct: BTreeSet<&Vec<u8>> = forms.values().collect();
        let found = needles.found(&text);
        assert!(found.len() == distinct.len() && found.iter().all(|what| what.starts_with(name)), "{place}");
    }
}
