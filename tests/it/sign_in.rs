//! Signing in by mail: by the API and on the pages; a link is good once and for a quarter of an hour; nobody is told
//! who has an address here; what is tried too often is refused; and all of it is recorded with what it does.

use std::time::{Duration, Instant};

use bursar::clock::Clock;
use bursar::config::Config;
use bursar_domain::Timestamp;
use bursar_entity::{delivery, session};
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::refusal;
use crate::support::sign_in::{Opened, ask, link, links, redeem, redeem_with};
use crate::support::{Backend, Client, DEADLINE, World};

on_both_databases!(
    by_mail_and_the_api,
    on_the_pages,
    nobody_is_told_who_is_here,
    who_was_told_so_gets_a_link,
    what_is_tried_too_often,
    links_are_good_once_and_not_for_long,
);

/// The newest letter to an address, waited for.
async fn letter(world: &World, email: &str) -> String {
    let mailbox = world.services().courier.mailbox().unwrap();
    let come = async {
        loop {
            if let Some(letter) = mailbox.letters().iter().find(|letter| letter.to == email) {
                break letter.text.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, come).await.expect("there is no letter")
}

/// The path of the link in a letter.
fn path(letter: &str) -> String {
    let link = letter.split_whitespace().find(|word| word.starts_with("http://bursar.test/sign-in/"));
    link.unwrap_or_else(|| panic!("no link: {letter}")).replace("http://bursar.test", "")
}

/// The code in a letter.
fn code(letter: &str) -> String {
    let (_, rest) = letter.split_once("this code: ").unwrap_or_else(|| panic!("no code: {letter}"));
    rest.chars().take(4).collect()
}

/// Actions, subjects and persons of the newest events of the demonstration's log.
async fn events(world: &World) -> Vec<Value> {
    let owner = world.client("owner@demo.test").await;
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 30, filter: { source: EVENT }) { nodes {
        action subjectId actor { kind user { email } } requestId personal { name value } before after } } } }"#;
    let data = owner.query(query, json!({})).await;
    data["organization"]["auditEvents"]["nodes"].as_array().unwrap().clone()
}

fn event(events: &[Value], action: &str) -> Value {
    let found = events.iter().find(|event| event["action"] == action);
    found.unwrap_or_else(|| panic!("no {action}: {events:?}")).clone()
}

/// The nonce in a page.
fn nonce(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"nonce\" value=\"").unwrap_or_else(|| panic!("no form: {page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Sends a form; answers status and page. No answer leads elsewhere.
async fn submit(client: &Client, url: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let response = client.http().post(url).form(fields).send().await.unwrap();
    let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (location, kept, status) = (header("location"), header("set-cookie"), response.status().as_u16());
    let page = response.text().await.unwrap();
    assert_eq!(location, None);
    // Who has signed in is kept for the pages of approvals, sealed, and by no other page.
    assert_eq!(kept.is_some(), page.contains("<textarea name=\"token\""), "{kept:?}");
    for part in
        kept.iter().flat_map(|_| ["bursar-person=", "; Path=/approval;", "; HttpOnly", "; SameSite=Lax"])
    {
        assert!(kept.as_ref().unwrap().contains(part), "{kept:?}");
    }
    (status, page)
}

/// What stands in a text area of a page.
fn shown(page: &str, name: &str) -> String {
    let (_, rest) =
        page.split_once(&format!("<textarea name=\"{name}\"")).unwrap_or_else(|| panic!("{page}"));
    let (_, rest) = rest.split_once('>').unwrap();
    rest.split('<').next().unwrap().to_owned()
}

async fn by_mail_and_the_api(backend: Backend) {
    let world = World::start(backend).await;
    let payload = ask(&world, " Member@Demo.test ").await;
    assert_eq!(payload, json!({ "requested": true, "userErrors": [] }));
    let text = letter(&world, "member@demo.test").await;
    let token = path(&text).strip_prefix("/sign-in/").unwrap().to_owned();
    let opened = redeem_with(&world, &token, &code(&text)).await;
    assert_eq!(opened["userErrors"], json!([]), "{opened}");
    assert_eq!(opened["tokens"]["session"]["current"], true);
    let opened = Opened::of(&world, &opened);
    let query = "{ viewer { user { email } tokenExpiresAt sessions { id current } } }";
    let viewer = opened.client.query(query, json!({})).await["viewer"].clone();
    assert_eq!(viewer["user"]["email"], "member@demo.test");
    assert_eq!(viewer["sessions"], json!([{ "id": opened.id, "current": true }]));
    // All of it is in the log of the organization, with where it came from as a value that can be erased.
    let events = events(&world).await;
    let asked = event(&events, "requestSignInLink");
    assert_eq!(asked["actor"], json!({ "kind": "SYSTEM", "user": null }));
    let signed_in = event(&events, "redeemSignInLink");
    assert_eq!(signed_in["actor"]["user"]["email"], "member@demo.test");
    assert_eq!(signed_in["subjectId"], json!(opened.id));
    for event in [&asked, &signed_in] {
        assert_eq!(event["personal"], json!([{ "name": "address", "value": "127.0.0.1" }]), "{event}");
        assert!(event["requestId"].is_string(), "{event}");
    }
    // What proves anything is stored nowhere: not the link's proof, nor a token.
    let (_, proof) = token.rsplit_once('.').unwrap();
    let (_, secret) = opened.refresh.rsplit_once('.').unwrap();
    for (table, columns) in [
        ("delivery", "facts || link_about || link_path"),
        ("audit_event", "coalesce(before, '') || coalesce(after, '') || subject || coalesce(personal, '')"),
        ("personal_value", "name || coalesce(value, '')"),
    ] {
        for text in [proof, secret, opened.client.token()] {
            let sql = format!("SELECT count(*) AS n FROM {table} WHERE {columns} LIKE '%{text}%'");
            assert_eq!(world.number(&sql).await, 0, "{table}");
        }
    }
    let rows = format!("{:?}", world.database.rows::<session::Entity>().await);
    assert!(!rows.contains(secret) && !rows.contains(proof), "{rows}");
}

async fn on_the_pages(backend: Backend) {
    let world = World::start(backend).await;
    let nobody = world.anonymous();
    let ask_url = nobody.url("/sign-in");
    let (status, page) = nobody.open(&ask_url).await;
    assert!(status == 200 && page.contains("Send me a link") && !page.contains("<script"), "{page}");
    assert!(page.contains("href=\"/sso\""), "{page}");
    let good = nonce(&page);
    for bad in ["", "x", &good[1..]] {
        let (status, page) = submit(&nobody, &ask_url, &[("nonce", bad), ("email", "a@b.test")]).await;
        assert!(status == 409 && page.contains("press the button once more"), "{bad}: {page}");
    }
    let (status, page) = submit(&nobody, &ask_url, &[("nonce", &good), ("email", "<b>nobody")]).await;
    assert!(status == 400 && page.contains("This is not an e-mail address."), "{page}");
    assert!(!page.contains("<b>nobody"), "{page}");
    let forged = nobody.http().post(&ask_url).form(&[("nonce", good.as_str()), ("email", "admin@demo.test")]);
    assert_eq!(forged.header("sec-fetch-site", "cross-site").send().await.unwrap().status(), 403);
    let (status, page) = submit(&nobody, &ask_url, &[("nonce", &good), ("email", "admin@demo.test")]).await;
    assert!(status == 200 && page.contains("Look into your mailbox"), "{page}");
    assert!(page.contains("href=\"/mailbox\""), "{page}");
    let mail = letter(&world, "admin@demo.test").await;
    let (url, code) = (nobody.url(&path(&mail)), code(&mail));
    // Opening changes nothing, whoever opens it and however often, nor does a form without the page's nonce.
    for _ in 0..3 {
        let (status, page) = nobody.open(&url).await;
        assert!(status == 200 && page.contains("sign in as admin@demo.test"), "{page}");
        assert!(page.contains("inputmode=\"numeric\" autocomplete=\"one-time-code\""), "{page}");
        assert!(!page.contains("<script"), "{page}");
    }
    let head = nobody.http().head(&url).send().await.unwrap();
    for (name, value) in
        [("referrer-policy", "no-referrer"), ("cache-control", "no-store"), ("x-frame-options", "DENY")]
    {
        assert_eq!(head.headers()[name], value);
    }
    for bad in ["", "x", &good] {
        let (status, page) = submit(&nobody, &url, &[("nonce", bad), ("code", &code)]).await;
        assert!(status == 409 && page.contains("press the button once more"), "{bad}: {page}");
    }
    let (_, page) = nobody.open(&url).await;
    let fresh = nonce(&page);
    let forged = nobody.http().post(&url).form(&[("nonce", fresh.as_str()), ("code", code.as_str())]);
    assert_eq!(forged.header("origin", "https://evil.test").send().await.unwrap().status(), 403);
    assert!(links(&world, "admin@demo.test").await.iter().all(|row| row.used_at.is_none()));
    assert_eq!(world.number("SELECT count(*) AS n FROM session").await, 0);
    // Nor does whoever sends the form without having read the mail.
    for typed in ["", "x", "12345"] {
        let (status, page) = submit(&nobody, &url, &[("nonce", &fresh), ("code", typed)]).await;
        assert!(status == 400 && page.contains("must be the four digits that the mail shows."), "{page}");
        assert!(page.contains("role=\"alert\"") && page.contains("aria-describedby=\"notice\""), "{page}");
    }
    assert_eq!(submit(&nobody, &url, &[("nonce", &fresh)]).await.0, 400);
    assert!(links(&world, "admin@demo.test").await.iter().all(|row| row.wrong_codes == 0));
    let (status, page) = submit(&nobody, &url, &[("nonce", &fresh), ("code", &code)]).await;
    assert!(status == 200 && page.contains("You are signed in."), "{page}");
    // First what somebody does next who came by a mail about a decision; tokens are for programs.
    let (said, tokens) = page.split_once("<details>").unwrap();
    assert!(said.contains("open its link again now") && !said.contains("<textarea"), "{page}");
    assert!(tokens.contains("<textarea name=\"token\""), "{page}");
    let client = Client::new(&world.base, Some(shown(&page, "token")));
    let viewer = client.query("{ viewer { user { email } } }", json!({})).await;
    assert_eq!(viewer["viewer"]["user"]["email"], "admin@demo.test");
    assert!(shown(&page, "refresh").starts_with("bursar_refresh."), "{page}");
    // Again: the page says what is, and gives nothing.
    let (status, page) = submit(&nobody, &url, &[("nonce", &fresh), ("code", &code)]).await;
    assert!(status == 409 && page.contains("This link was used before."), "{page}");
    assert!(!page.contains("<textarea") && !page.contains("<form"), "{page}");
    let (status, page) = nobody.open(&url).await;
    assert!(
        status == 200 && page.contains("This link was used before.") && !page.contains("<form"),
        "{page}"
    );
    assert_eq!(world.number("SELECT count(*) AS n FROM session").await, 1);
    for bad in ["/sign-in/x", "/sign-in/%FF", "/sign-in/a.b.c"] {
        let (status, page) = nobody.open(&nobody.url(bad)).await;
        assert!(status == 404 && page.contains("href=\"/sign-in\""), "{bad}: {page}");
    }
}

async fn nobody_is_told_who_is_here(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let query = "mutation R($i: RequestSignInLinkInput!) { requestSignInLink(input: $i) { requested userErrors { code message field } } }";
    let client = world.anonymous();
    let (mut bodies, mut took) = (Vec::new(), [Vec::new(), Vec::new()]);
    // Each address may ask five times, so there are several of each kind.
    let known = ["owner", "admin"].map(|name| format!("{name}@demo.test"));
    let unknown = ["amber", "boris"].map(|name| format!("{name}@demo.test"));
    for _ in 0..5 {
        for (here, elsewhere) in known.iter().zip(&unknown) {
            for (email, times) in [here, elsewhere].into_iter().zip(&mut took) {
                let began = Instant::now();
                let (status, body) = client.send(query, json!({ "i": { "email": email } })).await;
                times.push(began.elapsed());
                bodies.push((status, body["data"].to_string(), body.get("errors").is_some()));
            }
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    let medians = took.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    assert!(*most < *least * 2 + Duration::from_millis(2), "{medians:?}");
    // Only people get mail.
    let come = async {
        while world.database.rows::<delivery::Entity>().await.len() < 10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, come).await.unwrap();
    let rows = world.database.rows::<delivery::Entity>().await;
    assert!(rows.len() == 10 && rows.iter().all(|row| known.contains(&row.recipient)), "{rows:?}");
    // For the others there were as many commits: three for each of ten questions.
    let as_many = "SELECT count(*) AS n FROM attempt WHERE tries = 30";
    let come = async {
        while world.number(as_many).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, come).await.unwrap();
    // The sixth is too many, for either kind alike.
    let mut refused = Vec::new();
    for email in [&known[0], &unknown[0]] {
        let (status, body) = client.send(query, json!({ "i": { "email": email } })).await;
        let error = &body["errors"][0];
        let wait = error["extensions"]["retryAfterMilliseconds"].as_i64().unwrap();
        assert!((600_000..=900_000).contains(&wait), "{body}");
        refused.push((status, error["extensions"]["code"].clone(), body["data"].clone()));
    }
    assert_eq!(refused[0], refused[1]);
    assert_eq!(refused[0].1, "THROTTLED");
    let none = ask(&world, "nobody").await;
    assert_eq!(refusal(&none), ("INVALID".to_owned(), "email".to_owned()));
}

async fn who_was_told_so_gets_a_link(backend: Backend) {
    // Nobody's turn comes before the server is stopped.
    let pace = |config: &mut Config| config.mail.pace = Duration::from_secs(3_600);
    let mut world = World::start_untimed_as(backend, Clock::system(), pace).await;
    for email in ["member@demo.test", "admin@demo.test", "nobody@demo.test"] {
        assert_eq!(ask(&world, email).await["requested"], true, "{email}");
    }
    assert_eq!(world.number("SELECT count(*) AS n FROM sign_in_link").await, 0);
    world.stop().await;
    assert_eq!(world.number("SELECT count(*) AS n FROM sign_in_link").await, 2);
    assert_eq!(world.number("SELECT count(*) AS n FROM delivery").await, 2);
}

async fn what_is_tried_too_often(backend: Backend) {
    let start = Clock::system().now();
    let clock = Clock::set(start);
    let world = World::start_untimed(backend, clock.clone()).await;
    let client = world.anonymous();
    let good = link(&world, "member@demo.test").await;
    let code = |body: &Value| body["errors"][0]["extensions"]["code"].clone();
    // Of one client thirty questions in an hour, whatever the addresses; one has been asked.
    let query = "mutation R($i: RequestSignInLinkInput!) { requestSignInLink(input: $i) { requested } }";
    for n in 0..29 {
        let body = client.raw(query, json!({ "i": { "email": format!("p{n}@person.test") } })).await;
        assert!(body.get("errors").is_none(), "{n}: {body}");
    }
    let body = client.raw(query, json!({ "i": { "email": "other@person.test" } })).await;
    assert_eq!(code(&body), "THROTTLED", "{body}");
    let (_, page) = client.open(&client.url("/sign-in")).await;
    let form = [("nonce", nonce(&page)), ("email", "other@person.test".to_owned())];
    let response = client.http().post(client.url("/sign-in")).form(&form).send().await.unwrap();
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
    assert!(response.text().await.unwrap().contains("look into your mailbox"));
    // Links and refresh tokens that are not good: a hundred in ten minutes.
    let redeem_query = "mutation R($i: RedeemSignInLinkInput!) { redeemSignInLink(input: $i) { userErrors { code field } } }";
    let refresh_query =
        "mutation R($i: RefreshSessionInput!) { refreshSession(input: $i) { userErrors { code field } } }";
    for n in 0..50 {
        let body =
            client.raw(redeem_query, json!({ "i": { "token": format!("guess-{n}"), "code": "0000" } })).await;
        let expected = json!([{ "code": "NOT_FOUND", "field": ["token"] }]);
        assert_eq!(body["data"]["redeemSignInLink"]["userErrors"], expected, "{body}");
        let body = client.raw(refresh_query, json!({ "i": { "refreshToken": format!("guess-{n}") } })).await;
        let expected = json!([{ "code": "NOT_FOUND", "field": ["refreshToken"] }]);
        assert_eq!(body["data"]["refreshSession"]["userErrors"], expected, "{body}");
    }
    let redeems = json!({ "token": "guess", "code": "0000" });
    for (query, input) in [(redeem_query, redeems), (refresh_query, json!({ "refreshToken": "guess" }))] {
        let body = client.raw(query, json!({ "i": input })).await;
        assert_eq!(code(&body), "THROTTLED", "{body}");
    }
    assert_eq!(client.open(&client.url("/sign-in/guess")).await.0, 429);
    // One that is good is good all the same.
    assert_eq!(client.open(&client.url(&good.path())).await.0, 200);
    let opened = redeem(&world, &good.text()).await;
    assert_eq!(opened["userErrors"], json!([]), "{opened}");
    clock.turn(start.plus_seconds(3_600));
    assert_eq!(ask(&world, "other@person.test").await["requested"], true);
    assert_eq!(refusal(&redeem(&world, "guess").await).0, "NOT_FOUND");
    // Who asks for links of somebody else keeps nobody out: what was sent is good until it may be asked for again.
    let first = link(&world, "admin@demo.test").await;
    for _ in 1..5 {
        link(&world, "admin@demo.test").await;
    }
    let body = client.raw(query, json!({ "i": { "email": "admin@demo.test" } })).await;
    assert_eq!(code(&body), "THROTTLED", "{body}");
    let end = clock.now().plus_seconds(900);
    clock.turn(Timestamp::from_micros(end.micros() - 1));
    let (_, page) = client.open(&client.url(&first.path())).await;
    assert!(page.contains("<form"), "{page}");
    clock.turn(end);
    assert_eq!(ask(&world, "admin@demo.test").await["requested"], true);
}

async fn links_are_good_once_and_not_for_long(backend: Backend) {
    let start = Clock::system().now();
    let clock = Clock::set(start);
    let world = World::start_untimed(backend, clock.clone()).await;
    let email = "member@demo.test";
    let used = || ("INVALID_STATE".to_owned(), "token".to_owned());
    let (first, second) = (link(&world, email).await, link(&world, email).await);
    let other = link(&world, "admin@demo.test").await;
    // What is changed anywhere is none of Bursar's.
    let text = first.text();
    let (rest, proof) = text.rsplit_once('.').unwrap();
    let mixed = second.text();
    let (mixed, _) = mixed.rsplit_once('.').unwrap();
    for bad in ["", rest, proof, &text[1..], &format!("{mixed}.{proof}"), &text.to_uppercase()] {
        assert_eq!(
            refusal(&redeem(&world, bad).await),
            ("NOT_FOUND".to_owned(), "token".to_owned()),
            "{bad}"
        );
    }
    // Until the last microsecond; several at once open one session; and with it the person's other link is done.
    let end = start.plus_seconds(900);
    clock.turn(Timestamp::from_micros(end.micros() - 1));
    let at_once = futures_util::future::join_all((0..4).map(|_| redeem(&world, &text))).await;
    let opened = at_once.iter().filter(|payload| payload["userErrors"] == json!([])).count();
    assert_eq!(opened, 1, "{at_once:?}");
    for payload in at_once.iter().filter(|payload| payload["userErrors"] != json!([])) {
        assert_eq!(refusal(payload), used());
        assert_eq!(payload["tokens"], Value::Null);
    }
    assert_eq!(refusal(&redeem(&world, &second.text()).await), used());
    assert_eq!(world.number("SELECT count(*) AS n FROM session").await, 1);
    // That it was tried again is recorded.
    let events = events(&world).await;
    let refusals = events.iter().filter(|event| event["action"] == "refuseSignInLink").count();
    assert_eq!(refusals, 4);
    // When the time is over it is over; somebody else's was not touched by any of this.
    clock.turn(end);
    assert!(links(&world, "admin@demo.test").await[0].used_at.is_none());
    assert_eq!(refusal(&redeem(&world, &other.text()).await), used());
    let (_, page) = world.anonymous().open(&world.anonymous().url(&other.path())).await;
    assert!(page.contains("This link has expired.") && !page.contains("<form"), "{page}");
    // What is long over is forgotten with the next one.
    clock.turn(end.plus_days(1));
    link(&world, "admin@demo.test").await;
    assert_eq!(links(&world, "admin@demo.test").await.len(), 1);
    assert_eq!(world.anonymous().open(&world.anonymous().url(&other.path())).await.0, 404);
}
