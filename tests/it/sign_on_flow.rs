//! Signing in at an organization's provider: there and back with PKCE, in one browser, once; into a session that is
//! good in that organization only.

mod deciding;

use bursar::clock::Clock;
use serde_json::{Value, json};

use self::deciding::deciding_about_much_goes_by_it;
use crate::on_both_databases;
use crate::support::issuer::{CLIENT, Issuer, SECRET};
use crate::support::sign_in::{sign_in, sign_out};
use crate::support::{Backend, Client, World, acts, plain_http};

on_both_databases!(
    there_and_back,
    what_does_not_belong_together,
    addresses_of_which_nothing_is_said,
    into_one_organization,
    deciding_about_much_goes_by_it
);

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
    let http = plain_http().redirect(reqwest::redirect::Policy::none()).build().unwrap();
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
        "redirect_uri=http%3A%2F%2Fbursar.test%2Fsso%2Fdemo%2Fcallback",
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
    // An odd name is none; who is told by something odd is nobody.
    let mut odd = person("s3", "third@demo.test");
    odd["name"] = json!(5);
    setting.issuer.signs_in(odd.clone());
    assert_eq!(setting.round().await.status, 200);
    odd["sub"] = json!(["s3"]);
    setting.issuer.signs_in(odd);
    setting.issuer.lies(json!({ "sub": "s3" }));
    let page = setting.round().await;
    assert!(page.status == 403 && page.text.contains("is not valid"), "{}", page.text);
    setting.issuer.lies(Value::Null);
    setting.issuer.signs_in(person("s2", "second@demo.test"));
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
    // Who asks for many organizations that there are not is stopped; others sign in.
    let nobody = world.anonymous();
    for n in 0..94 {
        assert_eq!(nobody.open(&nobody.url(&format!("/sso/guess-{n}"))).await.0, 404, "{n}");
    }
    assert_eq!(nobody.open(&nobody.url("/sso/guess")).await.0, 429);
    assert!(ask("whoever@other.test", &nonce).await.contains("Too many tries"));
    assert!(ask("whoever@demo.test", &nonce).await.contains("href=\"/sso/demo\""));
    assert_eq!(setting.round().await.status, 200);
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
        // What another organization's provider answers comes back elsewhere, and is not passed on to this one.
        ("another organization's", &first.replace("/sso/demo/", "/sso/rival/"), cookie.as_str()),
    ] {
        let page = open(url, cookie).await;
        assert!(page.status == 400 && page.text.contains("Please begin again"), "{name}: {}", page.text);
        assert!(page.text.contains("href=\"/sso\""), "{name}: {}", page.text);
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
        // The sign of Kelvin, which is a k where letters are made small.
        json!({ "sub": "stranger", "email": "\u{212a}@demo.test", "email_verified": true }),
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
    // Who was not let in is in the log: by codes and answers that do not fit, by tokens that are not, and by good ones.
    let refused = "SELECT count(*) AS n FROM audit_event WHERE action = 'refuseSignInByProvider'";
    assert_eq!(world.number(refused).await, 5 + 11 + 3);
}

async fn addresses_of_which_nothing_is_said(backend: Backend) {
    let setting = start(backend, json!({ "joinsJustInTime": true })).await;
    let (world, issuer) = (&setting.world, &setting.issuer);
    let open = |subject: &str, email: &str| json!({ "sub": subject, "email": email });
    let denied = |subject: &str, said: Value| {
        let mut person = open(subject, &format!("{subject}@demo.test"));
        person["email_verified"] = said;
        person
    };
    let query = "{ viewer { user { email } } }";
    let bears = async |subject: &str, email: &str| {
        let mut claims = issuer.claims(subject, email);
        claims.as_object_mut().unwrap().remove("email_verified");
        Client::new(&world.base, Some(issuer.token(&claims))).send(query, json!({})).await.0
    };
    issuer.signs_in(open("open", "open@demo.test"));
    let page = setting.round().await;
    assert!(page.status == 403 && page.text.contains("does not say"), "{}", page.text);
    assert_eq!(bears("bearer", "bearer@demo.test").await, 401);
    // Owners say so, and it is recorded what was before.
    issuer
        .trusted_by(
            &setting.owner,
            &setting.organization,
            json!({ "joinsJustInTime": true, "trustsMissingEmailVerified": true }),
        )
        .await;
    let recorded = "SELECT count(*) AS n FROM audit_event WHERE action = 'configureSingleSignOn'
        AND before LIKE '%\"trustsMissingEmailVerified\":false%' AND after LIKE '%\"trustsMissingEmailVerified\":true%'";
    assert_eq!(world.number(recorded).await, 1);
    assert_eq!(setting.round().await.status, 200);
    assert_eq!(bears("bearer", "bearer@demo.test").await, 200);
    // What it does say counts as ever, and so do the domains.
    for person in [
        denied("false", json!(false)),
        denied("text", json!("false")),
        denied("null", Value::Null),
        open("other", "other@other.test"),
    ] {
        issuer.signs_in(person.clone());
        assert_eq!(setting.round().await.status, 403, "{person}");
    }
    assert_eq!(bears("elsewhere", "bearer@other.test").await, 401);
    // Nothing in the token, and a no when it is asked.
    issuer.signs_in(denied("later", json!(false)));
    issuer.tells_later(true);
    issuer.lies(json!({ "email": "later@demo.test" }));
    assert_eq!(setting.round().await.status, 403);
}

async fn into_one_organization(backend: Backend) {
    let setting = start(backend, json!({})).await;
    let world = &setting.world;
    // Somebody who belongs to two.
    let rival = world.found("rival").await;
    let theirs = rival.query(r#"{ organization(by: { slug: "rival" }) { id } }"#, json!({})).await;
    let add = json!({ "organizationId": theirs["organization"]["id"], "email": "member@demo.test", "role": "OWNER" });
    let operator = world.client("operator@bursar.test").await;
    operator.mutate("addMember", "AddMemberInput", add, "member { id }").await;
    setting.issuer.signs_in(person("s1", "member@demo.test"));
    let page = setting.round().await;
    let client = Client::new(&world.base, Some(shown(&page, "token")));
    let query = "{ viewer { memberships { organization { slug } } } organizations { nodes { slug } } }";
    let expected = json!({ "viewer": { "memberships": [{ "organization": { "slug": "demo" } }] },
        "organizations": { "nodes": [{ "slug": "demo" }] } });
    assert_eq!(client.query(query, json!({})).await, expected);
    // So it stays when the session goes on.
    let refresh = json!({ "refreshToken": shown(&page, "refresh") });
    let fields = "tokens { accessToken session { expiresAt } }";
    let anonymous = world.anonymous();
    let next = anonymous.mutate("refreshSession", "RefreshSessionInput", refresh, fields).await;
    // Not for long: the provider is asked again the next day.
    let end = next["tokens"]["session"]["expiresAt"].as_str().unwrap();
    assert!(end.starts_with("2026-06-02T00:00:00"), "{end}");
    let next = Client::new(&world.base, Some(next["tokens"]["accessToken"].as_str().unwrap().to_owned()));
    assert_eq!(next.query(query, json!({})).await, expected);
    // Of the person's sessions it knows and ends those that are good in that organization, and no others.
    let by_mail = sign_in(world, "member@demo.test").await;
    let beside = Client::new(&world.base, Some(shown(&setting.round().await, "token")));
    let listed = async |client: &Client| -> Vec<String> {
        let data = client.query("{ viewer { sessions { id } } }", json!({})).await;
        let listed = data["viewer"]["sessions"].as_array().unwrap();
        listed.iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect()
    };
    let own = listed(&next).await;
    assert!(own.len() == 2 && !own.contains(&by_mail.id), "{own:?}");
    assert_eq!(listed(&by_mail.client).await.len(), 3);
    let revoke = async |id: &str| {
        let input = json!({ "sessionId": id });
        next.try_mutate("revokeSession", "RevokeSessionInput", input, "session { id }").await
    };
    let absent = revoke("session_00000000000000000000000000").await;
    assert_eq!(absent["userErrors"][0]["code"], "NOT_FOUND", "{absent}");
    assert_eq!(revoke(&by_mail.id).await, absent);
    assert_eq!(revoke(&own[0]).await["session"]["id"], json!(own[0]));
    assert_eq!(beside.send(query, json!({})).await.0, 401);
    assert_eq!(sign_out(&next, true).await, own[1..]);
    assert_eq!(next.send(query, json!({})).await.0, 401);
    assert_eq!(listed(&by_mail.client).await, std::slice::from_ref(&by_mail.id));
    // It is ended by taking the provider's word back.
    // For good: that it is given again opens no session again, nor does it go on with one. Nor when another provider is set
    // meanwhile.
    let other = Issuer::start(&setting.clock).await;
    for more in [json!({ "enabled": false }), json!({ "issuer": other.url })] {
        let page = setting.round().await;
        let last = Client::new(&world.base, Some(shown(&page, "token")));
        assert_eq!(last.query(query, json!({})).await, expected);
        let (owner, organization) = (&setting.owner, &setting.organization);
        setting.issuer.trusted_by(owner, organization, more.clone()).await;
        assert_eq!(last.send(query, json!({})).await.0, 401, "{more}");
        setting.issuer.trusted_by(owner, organization, json!({})).await;
        // The person's next session does not bring it back either.
        let next = Client::new(&world.base, Some(shown(&setting.round().await, "token")));
        assert_eq!(next.query(query, json!({})).await, expected);
        for _ in 0..2 {
            assert_eq!(last.send(query, json!({})).await.0, 401, "{more}");
        }
        let refresh = json!({ "refreshToken": shown(&page, "refresh") });
        let refused = anonymous.try_mutate("refreshSession", "RefreshSessionInput", refresh, fields).await;
        assert_eq!(
            acts::refusal(&refused),
            ("INVALID_STATE".to_owned(), "refreshToken".to_owned()),
            "{more}"
        );
        assert_eq!(next.query(query, json!({})).await, expected);
    }
    // Nothing of it is in the other organization's log.
    let log = r#"{ organization(by: { slug: "rival" }) { auditEvents(first: 50, filter: { source: EVENT }) { nodes { action } } } }"#;
    let events = rival.query(log, json!({})).await.to_string();
    for action in ["signInByProvider", "refreshSession", "revokeSession", "signOut"] {
        assert!(!events.contains(action), "{action}: {events}");
    }
}
