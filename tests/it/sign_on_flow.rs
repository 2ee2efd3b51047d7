//! Signing in at an organization's provider: there and back with PKCE, in one browser, once; into a session that is
//! good in that organization only.

use bursar::clock::Clock;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::issuer::{CLIENT, Issuer, SECRET};
use crate::support::{Backend, Client, World, acts};

on_both_databases!(there_and_back, what_does_not_belong_together, into_one_organization);

struct Setting {
    world: World,
    issuer: Issuer,
    clock: Clock,
    owner: Client,
    organization: String,
}

async fn start(backend: Backend, more: Value) -> Setting {
    let clock = Clock::set(acts::at("2026-06-01T12:00:00Z"));
    let world = World::start_untimed(backend, clock.clone()).await;
    let issuer = Issuer::start(&clock).await;
    let owner = world.client("owner@demo.test").await;
    let organization = owner.demo().await.organization;
    issuer.trusted_by(&owner, &organization, more).await;
    issuer.signs_in(person("s1", "new@demo.test"));
    Setting { world, issuer, clock, owner, organization }
}

fn person(subject: &str, email: &str) -> Value {
    json!({ "sub": subject, "email": email, "email_verified": true, "name": format!("Name of {subject}") })
}

/// A page: status, text, where it leads, and the cookie that it sets.
struct Page {
    status: u16,
    text: String,
    location: String,
    cookie: String,
}

/// Opens an address as a browser does that has a cookie.
async fn open(url: &str, cookie: &str) -> Page {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut request = http.get(url);
    if !cookie.is_empty() {
        request = request.header("cookie", cookie);
    }
    let response = request.send().await.unwrap();
    let header = |name: &str| {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let (location, set) = (header("location"), header("set-cookie"));
    assert_eq!(header("cache-control").is_empty(), url.contains("/authorize"), "{url}");
    let cookie = set.split(';').next().unwrap().to_owned();
    Page { status: response.status().as_u16(), location, cookie, text: response.text().await.unwrap() }
}

impl Setting {
    /// Begins, signs in at the provider, and answers the way back and the cookie.
    async fn there(&self) -> (String, String) {
        let begun = open(&format!("{}/sso/demo", self.world.base), "").await;
        assert_eq!(begun.status, 303, "{}", begun.text);
        assert!(begun.location.starts_with(&format!("{}/authorize?", self.issuer.url)), "{}", begun.location);
        let signed_in = open(&begun.location, "").await;
        assert_eq!(signed_in.status, 303, "{}: {}", begun.location, signed_in.text);
        (signed_in.location.replace("http://bursar.test", &self.world.base), begun.cookie)
    }

    /// There and back.
    async fn round(&self) -> Page {
        let (back, cookie) = self.there().await;
        open(&back, &cookie).await
    }
}

/// A token that a page shows.
fn shown(page: &Page, name: &str) -> String {
    let from = format!("<textarea name=\"{name}\"");
    let (_, rest) = page.text.split_once(&from).unwrap_or_else(|| panic!("{}: {}", page.status, page.text));
    let (_, rest) = rest.split_once('>').unwrap();
    rest.split('<').next().unwrap().to_owned()
}

async fn there_and_back(backend: Backend) {
    let setting = start(backend, json!({ "joinsJustInTime": true })).await;
    let world = &setting.world;
    // Opening changes nothing.
    let begun = open(&format!("{}/sso/demo", world.base), "").await;
    for parameter in [
        "response_type=code",
        "code_challenge_method=S256",
        "scope=openid",
        "nonce=",
        "state=",
        "redirect_uri=http%3A%2F%2Fbursar.test%2Fsso%2Fcallback",
        &format!("client_id={CLIENT}"),
    ] {
        assert!(begun.location.contains(parameter), "{parameter}: {}", begun.location);
    }
    assert!(!begun.location.contains("code_verifier") && !begun.location.contains(SECRET));
    // What the browser carries says nothing.
    let state = begun.location.split("state=").nth(1).unwrap().split('&').next().unwrap();
    assert!(begun.cookie.len() > 100 && !begun.cookie.contains(state));
    assert_eq!(world.number("SELECT count(*) AS n FROM session").await, 0);
    // The whole way.
    let page = setting.round().await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(page.text.contains("new@demo.test") && page.cookie.ends_with('='), "the cookie is taken back");
    let client = Client::new(&world.base, Some(shown(&page, "token")));
    let query = "{ viewer { user { email name } memberships { role organization { slug } } } }";
    let expected = json!({ "user": { "email": "new@demo.test", "name": "Name of s1" },
        "memberships": [{ "role": "MEMBER", "organization": { "slug": "demo" } }] });
    assert_eq!(client.query(query, json!({})).await["viewer"], expected);
    // A provider that tells of people only when it is asked.
    setting.issuer.tells_later(true);
    setting.issuer.signs_in(person("s2", "second@demo.test"));
    let page = setting.round().await;
    assert!(page.status == 200 && page.text.contains("second@demo.test"), "{}", page.text);
    setting.issuer.tells_later(false);
    // It is in the organization's log.
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 20, filter: { source: EVENT }) { nodes { action } } } }"#;
    let events = setting.owner.query(query, json!({})).await.to_string();
    for action in ["signInByProvider", "linkIdentity", "addMember"] {
        assert!(events.contains(action), "{action}: {events}");
    }
    // Neither pages nor organizations that there are not.
    for path in ["/sso/nobody", "/sso/Demo", "/sso/%ff", "/sso/demo%0d%0a"] {
        assert_eq!(open(&format!("{}{path}", world.base), "").await.status, 404, "{path}");
    }
    // By address.
    let page = open(&format!("{}/sso", world.base), "").await;
    let (_, rest) = page.text.split_once("name=\"nonce\" value=\"").unwrap();
    let nonce = rest.split('"').next().unwrap().to_owned();
    let ask = async |email: &str, nonce: &str| {
        let form = [("email", email), ("nonce", nonce)];
        let sent = world.anonymous().http().post(format!("{}/sso", world.base)).form(&form).send().await;
        sent.unwrap().text().await.unwrap()
    };
    assert!(ask("whoever@demo.test", &nonce).await.contains("href=\"/sso/demo\""));
    assert!(ask("whoever@other.test", &nonce).await.contains("No organization signs people"));
    assert!(ask("whoever@demo.test", "x").await.contains("press the button once more"));
    assert!(ask("<b>", &nonce).await.contains("not an e-mail address"));
}

async fn what_does_not_belong_together(backend: Backend) {
    let setting = start(backend, json!({ "joinsJustInTime": true })).await;
    let (world, issuer) = (&setting.world, &setting.issuer);
    let (first, cookie) = setting.there().await;
    let (second, other_cookie) = setting.there().await;
    let swapped = |from: &str, to: &str, url: &str| {
        let value = |url: &str, name: &str| {
            let url: url::Url = url.parse().unwrap();
            url.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned()
        };
        url.replace(&value(url, from), &value(to, from))
    };
    // Another browser, no browser, another's state, a state that is none, a cookie that was changed.
    let mut changed = cookie.clone();
    let end = if changed.pop() == Some('A') { 'B' } else { 'A' };
    changed.push(end);
    let no_state = first.split("&state=").next().unwrap().to_owned();
    for (name, url, cookie) in [
        ("another browser", &first, other_cookie.as_str()),
        ("no browser", &first, ""),
        ("another state", &swapped("state", &second, &first), cookie.as_str()),
        ("no state", &no_state, cookie.as_str()),
        ("a changed cookie", &first, changed.as_str()),
    ] {
        let page = open(url, cookie).await;
        assert!(page.status == 400 && page.text.contains("Please begin again"), "{name}: {}", page.text);
    }
    // A code of another sign-in does not fit the verifier; and is used up then.
    let page = open(&swapped("code", &second, &first), &cookie).await;
    assert_eq!(page.status, 403, "{}", page.text);
    assert_eq!(open(&second, &other_cookie).await.status, 403);
    // Another issuer's answer, or one that does not say whose it is.
    let (back, cookie) = setting.there().await;
    let (without, _) = back.split_once("&iss=").unwrap();
    for url in [without.to_owned(), format!("{without}&iss=https%3A%2F%2Fother.example")] {
        assert_eq!(open(&url, &cookie).await.status, 403, "{url}");
    }
    // The same answer once.
    assert_eq!(open(&back, &cookie).await.status, 200);
    assert_eq!(open(&back, &cookie).await.status, 403);
    // Too late.
    let (back, cookie) = setting.there().await;
    setting.clock.turn(setting.clock.now().plus_seconds(600));
    assert_eq!(open(&back, &cookie).await.status, 400);
    // The provider says no, in its words, which are not repeated.
    let (back, cookie) = setting.there().await;
    let page = open(&back.replace("code=", "error=%3Cscript%3E&error_description="), &cookie).await;
    assert!(page.status == 403 && !page.text.contains("script"), "{}", page.text);
    // Identity tokens that are not.
    let now = issuer.now();
    for lies in [
        json!({ "nonce": "another" }),
        json!({ "nonce": null }),
        json!({ "aud": "another" }),
        json!({ "aud": [CLIENT, "another"] }),
        json!({ "aud": [CLIENT, "another"], "azp": "another" }),
        json!({ "azp": "another" }),
        json!({ "iss": "https://other.example" }),
        json!({ "exp": now - 60 }),
        json!({ "exp": null }),
        json!({ "sub": "" }),
        json!({ "events": {} }),
    ] {
        issuer.lies(lies.clone());
        let page = setting.round().await;
        assert!(page.status == 403 && page.text.contains("is not valid"), "{lies}: {}", page.text);
    }
    // Somebody who has not come before is known by the address, and by nothing else.
    issuer.lies(Value::Null);
    for person in [
        json!({ "sub": "stranger", "email": "a@other.test", "email_verified": true }),
        json!({ "sub": "stranger", "email": "a@demo.test", "email_verified": false }),
    ] {
        issuer.signs_in(person.clone());
        let page = setting.round().await;
        assert!(page.status == 403 && page.text.contains("Not signed in"), "{person}: {}", page.text);
    }
    issuer.signs_in(json!({ "sub": "stranger", "email": "a@demo.test", "email_verified": true }));
    issuer.lies(json!({ "aud": [CLIENT, "another"], "azp": CLIENT }));
    assert_eq!(setting.round().await.status, 200);
    issuer.lies(Value::Null);
    // Settings that change meanwhile.
    let (back, cookie) = setting.there().await;
    issuer.trusted_by(&setting.owner, &setting.organization, json!({ "audience": "another" })).await;
    assert_eq!(open(&back, &cookie).await.status, 409);
    let (back, cookie) = setting.there().await;
    issuer.trusted_by(&setting.owner, &setting.organization, json!({ "enabled": false })).await;
    assert_eq!(open(&back, &cookie).await.status, 404);
    assert_eq!(open(&format!("{}/sso/demo", world.base), "").await.status, 404);
    // Who was not let in by a good token is in the log.
    let refused = "SELECT count(*) AS n FROM audit_event WHERE action = 'refuseSignInByProvider'";
    assert_eq!(world.number(refused).await, 2);
}

async fn into_one_organization(backend: Backend) {
    let setting = start(backend, json!({})).await;
    let world = &setting.world;
    // Somebody who belongs to two.
    let rival = world.found("rival").await;
    let theirs = rival.query(r#"{ organization(by: { slug: "rival" }) { id } }"#, json!({})).await;
    let add = json!({ "organizationId": theirs["organization"]["id"], "email": "member@demo.test", "role": "OWNER" });
    rival.mutate("addMember", "AddMemberInput", add, "member { id }").await;
    setting.issuer.signs_in(person("s1", "member@demo.test"));
    let page = setting.round().await;
    let client = Client::new(&world.base, Some(shown(&page, "token")));
    let query = "{ viewer { memberships { organization { slug } } } organizations { nodes { slug } } }";
    let expected = json!({ "viewer": { "memberships": [{ "organization": { "slug": "demo" } }] },
        "organizations": { "nodes": [{ "slug": "demo" }] } });
    assert_eq!(client.query(query, json!({})).await, expected);
    // So it stays when the session goes on.
    let refresh = json!({ "refreshToken": shown(&page, "refresh") });
    let fields = "tokens { accessToken }";
    let anonymous = world.anonymous();
    let next = anonymous.mutate("refreshSession", "RefreshSessionInput", refresh, fields).await;
    let next = Client::new(&world.base, Some(next["tokens"]["accessToken"].as_str().unwrap().to_owned()));
    assert_eq!(next.query(query, json!({})).await, expected);
    // It ends nothing but itself, and is ended by taking the provider's word back.
    let payload = next.try_mutate("signOut", "SignOutInput", json!({ "everywhere": true }), "").await;
    assert_eq!(payload["userErrors"][0]["code"], "FORBIDDEN", "{payload}");
    setting.issuer.trusted_by(&setting.owner, &setting.organization, json!({ "enabled": false })).await;
    for client in [&client, &next] {
        assert_eq!(client.send(query, json!({})).await.0, 401);
    }
    // Nothing of it is in the other organization's log.
    let log = r#"{ organization(by: { slug: "rival" }) { auditEvents(first: 50, filter: { source: EVENT }) { nodes { action } } } }"#;
    let events = rival.query(log, json!({})).await.to_string();
    assert!(!events.contains("signInByProvider") && !events.contains("refreshSession"), "{events}");
}
