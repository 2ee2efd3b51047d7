//! The mailbox of a development server: letters can be read and their links followed; nothing in them runs; elsewhere
//! there is no such page. And what a link proves is nowhere but in the letter.

use std::time::Duration;

use bursar::config::Environment;
use bursar::db::Tenant;
use bursar::global_id;
use bursar::outbox::{Link, Mail, SignInFacts, Template, UserOrAddress};
use bursar_domain::Timestamp;
use bursar_domain::id::DeliveryId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::mail::{invitation, post, row, tenant};
use crate::support::{Backend, Client, DEADLINE, Script, SmtpServer, World};

on_both_databases!(letters_can_be_read, mail_of_the_vendor_itself, there_is_none_elsewhere);

/// Waits until a letter is in the mailbox.
async fn arrived(world: &World, id: DeliveryId) {
    let mailbox = world.services().courier.mailbox().unwrap();
    let come = async {
        while mailbox.letter(id).is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, come).await.expect("a letter has not come");
}

async fn letters_can_be_read(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let anonymous = world.anonymous();
    let (status, page) = anonymous.open(&anonymous.url("/mailbox")).await;
    assert!(status == 200 && page.contains("There is no mail yet."), "{page}");
    let organization = owner.demo().await.organization;
    let mail = invitation("new@example.test", "Demo <script>alert(1)</script> \"& Co");
    let id = post(&world, tenant(&organization), mail).await.unwrap();
    arrived(&world, id).await;
    let path = format!("/mailbox/{}", global_id::encode(id));
    let (_, page) = anonymous.open(&anonymous.url("/mailbox")).await;
    assert!(page.contains("new@example.test") && page.contains(&format!("href=\"{path}\"")), "{page}");
    assert!(!page.contains("<script"), "{page}");
    let response = anonymous.http().get(anonymous.url(&path)).send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    assert_eq!(
        (header("cache-control").as_str(), header("referrer-policy").as_str()),
        ("no-store", "no-referrer")
    );
    let page = response.text().await.unwrap();
    assert!(!page.contains("<script") && !page.contains("alert(1)</script>"), "{page}");
    assert!(page.contains("sandbox=\"allow-popups allow-popups-to-escape-sandbox\""), "{page}");
    assert!(page.contains("srcdoc=\"") && page.contains("target="), "{page}");
    assert!(page.contains(&format!("{}@bursar.test", global_id::encode(id))), "{page}");
    // The link is good, leads to the configured address, and what proves it is stored nowhere.
    let mut words = page.split(|c: char| c.is_whitespace() || "<>".contains(c));
    let link = words.find(|word| word.starts_with("http://bursar.test/")).unwrap();
    let token = link.strip_prefix("http://bursar.test/invitation/1.").unwrap();
    assert!(world.services().keys.is_link_token("invitation of new@example.test", token), "{token}");
    let stored = format!("{:?}", row(&world, id).await);
    assert!(stored.contains("invitation of new@example.test") && !stored.contains(token), "{stored}");
    for (path, status) in [
        ("/mailbox/x", 404),
        ("/mailbox/%FF", 404),
        ("/mailbox/delivery_00000000000000000000000000", 404),
        (organization.as_str(), 404),
    ] {
        let url = anonymous.url(&format!("/{}", path.trim_start_matches('/')));
        assert_eq!(anonymous.open(&url).await.0, status, "{path}");
    }
    assert_eq!(anonymous.submit(&anonymous.url("/mailbox")).await.0, 405);
    no_other_name_leads_to_it(&anonymous, &path).await;
}

/// Another site whose name was made to lead here is shown nothing; this machine and the configured name are.
async fn no_other_name_leads_to_it(anonymous: &Client, letter: &str) {
    let asked = |method: Method, path: &str, host: &str| {
        let request = anonymous.http().request(method, anonymous.url(path)).header("host", host);
        async move {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        }
    };
    for path in ["/mailbox", letter] {
        for host in ["localhost", "localhost:8080", "127.9.9.9", "[::1]:80", "bursar.test", "BURSAR.test:443"]
        {
            assert_eq!(asked(Method::GET, path, host).await.0, 200, "{host}{path}");
        }
        for host in
            ["evil.test", "evil.test:8080", "localhost.evil.test", "bursar.test.evil.test", "192.0.2.1"]
        {
            for method in [Method::GET, Method::POST] {
                let (status, page) = asked(method, path, host).await;
                assert_eq!(status, 421, "{host}{path}");
                assert!(page.contains("BURSAR_PUBLIC_URL") && !page.contains("new@example.test"), "{page}");
            }
        }
    }
    // What asks for a token or for nothing is the same under every name.
    assert_eq!(asked(Method::GET, "/health/live", "evil.test").await.0, 200);
}

async fn mail_of_the_vendor_itself(backend: Backend) {
    let world = World::start(backend).await;
    let facts = SignInFacts { expires_at: Timestamp::from_micros(1_900_000_000_000_000) };
    let mail = Mail {
        to: UserOrAddress::Address("member@demo.test".to_owned()),
        template: Template::SignInLink,
        facts: Value::from(facts),
        link: Some(Link { about: "sign-in 1".to_owned(), path: format!("/sign-in/{}", Link::PLACE) }),
    };
    let id = post(&world, Tenant::vendor(), mail).await.unwrap();
    arrived(&world, id).await;
    let letter = world.services().courier.mailbox().unwrap().letter(id).unwrap();
    assert_eq!((letter.to.as_str(), letter.subject.as_str()), ("member@demo.test", "Your link to sign in"));
    assert!(letter.text.contains("http://bursar.test/sign-in/") && letter.html.contains("17 March 2030"));
    // The code is in what it says, and not in where it leads.
    let keys = &world.services().keys;
    let code = keys.link_code("sign-in 1");
    assert!(
        letter.text.contains(&format!("this code: {code}")) && letter.html.contains(&format!(">{code}<"))
    );
    let link = format!("http://bursar.test/sign-in/{}\n", keys.link_token("sign-in 1"));
    assert!(letter.text.contains(&link), "{}", letter.text);
    // It is in no organization: the vendor's staff sees it, and nobody else, not even whom it is for.
    let query = "{ deliveries { nodes { id template recipient } } }";
    let operator = world.client("operator@bursar.test").await;
    let all = operator.query(query, json!({})).await["deliveries"]["nodes"].clone();
    let id = global_id::encode(id);
    let expected = json!([{ "id": id, "template": "SIGN_IN_LINK", "recipient": "member@demo.test" }]);
    assert_eq!(all, expected);
    let node = "query N($id: ID!) { node(id: $id) { id } }";
    assert_eq!(operator.query(node, json!({ "id": id })).await["node"]["id"], json!(id));
    for caller in ["owner@demo.test", "member@demo.test"] {
        let client = world.client(caller).await;
        assert_eq!(client.query(node, json!({ "id": id })).await["node"], Value::Null, "{caller}");
    }
    let own = "{ organization(by: { slug: \"demo\" }) { deliveries { totalCount } } }";
    let own = world.client("owner@demo.test").await.query(own, json!({})).await;
    assert_eq!(own["organization"]["deliveries"]["totalCount"], 0);
}

async fn there_is_none_elsewhere(backend: Backend) {
    let production = World::start_as(backend, |config| config.environment = Environment::Production).await;
    let server = SmtpServer::start(Script::Accept).await;
    let sending =
        World::start_as(backend, |config| server.takes_mail_of(config, Duration::from_secs(5))).await;
    for world in [&production, &sending] {
        let organization = world.client("owner@demo.test").await.demo().await.organization;
        let id = post(world, tenant(&organization), invitation("a@example.test", "Demo")).await.unwrap();
        let anonymous = world.anonymous();
        for path in ["/mailbox".to_owned(), format!("/mailbox/{}", global_id::encode(id))] {
            assert_eq!(anonymous.open(&anonymous.url(&path)).await.0, 404, "{path}");
        }
    }
}
