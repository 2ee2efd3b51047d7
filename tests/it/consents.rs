//! Agreeing that a way of paying is charged: only whoever was asked does, by the code of the mail to them, which is guessed
//! by nobody.

use bursar::clock::Clock;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::{Backend, Client, World, consent};

on_both_databases!(only_whoever_was_asked_agrees);

async fn set(client: &Client, pool: &str) -> Value {
    let input = json!({ "poolId": pool, "threshold": 20, "package": "STARTER" });
    let fields = "setupUrl autoTopUp { state paymentMethod { consentedAt consentedBy { email } } }";
    client.mutate("setAutoTopUp", "SetAutoTopUpInput", input, fields).await
}

/// The address of the page, at the server itself.
fn url(client: &Client, set: &Value) -> String {
    let url = set["setupUrl"].as_str().unwrap_or_else(|| panic!("nobody has to agree: {set}"));
    url.replace("http://bursar.test", client.base())
}

async fn answer(client: &Client, url: &str, code: &str) -> (u16, String) {
    let form = [("choice", "pays"), ("code", code)];
    let response = client.http().post(url).form(&form).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn only_whoever_was_asked_agrees(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let keys = &world.services().selling.keys;
    let mails = async |recipient: &str| {
        let of = format!("template = 'TOP_UP_CONSENT' AND recipient = '{recipient}'");
        world.number(&format!("SELECT count(*) AS n FROM delivery WHERE {of}")).await
    };
    let first = url(&owner, &set(&owner, &demo.pool).await);
    assert_eq!(mails("owner@demo.test").await, 1);
    // Set again it is the same agreement, and the mail comes again.
    assert_eq!(url(&owner, &set(&owner, &demo.pool).await), first);
    assert_eq!(mails("owner@demo.test").await, 2);
    // The page asks for the code, and does not say it. Whoever has the address alone has five guesses.
    let (_, page) = owner.open(&first).await;
    let code = consent::code(keys, &first);
    assert!(page.contains("name=\"code\"") && !page.contains(&format!(">{code}<")), "{page}");
    // It looks like the fields of the other pages, and the buttons of one form keep apart.
    for styled in
        ["<input type=\"text\" id=\"code\"", "input[type=\"text\"] {", "form > * + button { margin-top"]
    {
        assert!(page.contains(styled), "{styled}: {page}");
    }
    let wrong = if code == "0000" { "0001" } else { "0000" };
    let nobody = world.anonymous();
    // Sending the form without one is no guess.
    for bad in ["", " ", "", "0", wrong, wrong, wrong, wrong] {
        let (status, page) = answer(&nobody, &first, bad).await;
        assert!(status == 403 && !page.contains("This is agreed."), "{bad}: {page}");
    }
    for late in [wrong, code.as_str()] {
        let (status, page) = answer(&owner, &first, late).await;
        assert!(status == 409 && page.contains("This agreement is closed."), "{page}");
        assert!(
            page.contains("A wrong code was given too often.") && !page.contains("It was withdrawn"),
            "{page}"
        );
    }
    // Whoever looks at the top-up learns why nobody can agree, and what helps; until it is set again.
    let told = "SELECT count(*) AS n FROM auto_top_up WHERE last_error LIKE '%too often. Set the automatic%'";
    assert_eq!(world.number(told).await, 1);
    let refused = "SELECT count(*) AS n FROM audit_event WHERE action = 'refuseTopUpConsent'";
    assert_eq!(world.number(refused).await, 5);

    // It is asked for anew; and of somebody else when somebody else sets it.
    let second = url(&owner, &set(&owner, &demo.pool).await);
    assert_ne!(first, second);
    assert_eq!(world.number(told).await, 0);
    let input = json!({ "organizationId": demo.organization, "email": "other@demo.test", "role": "OWNER" });
    let operator = world.client("operator@bursar.test").await;
    operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
    let other = world.client("other@demo.test").await;
    let third = url(&other, &set(&other, &demo.pool).await);
    assert_ne!(second, third);
    assert_eq!((mails("owner@demo.test").await, mails("other@demo.test").await), (3, 1));
    let (status, page) = answer(&owner, &second, &consent::code(keys, &second)).await;
    assert!(status == 409 && page.contains("This agreement is closed."), "{page}");
    let (status, _) = answer(&owner, &third, &consent::code(keys, &second)).await;
    assert_eq!(status, 403, "it takes the code of the mail to the one who was asked");
    let (status, page) = answer(&other, &third, &consent::code(keys, &third)).await;
    assert!(status == 200 && page.contains("This is agreed."), "{page}");
    let query = "query P($id: ID!) { node(id: $id) { ... on CreditPool { organization {
        billing { autoTopUps { paymentMethod { consentedAt consentedBy { email } } } } } } } }";
    let found = owner.query(query, json!({ "id": demo.pool })).await;
    let method = &found["node"]["organization"]["billing"]["autoTopUps"][0]["paymentMethod"];
    assert_eq!(method["consentedBy"]["email"], "other@demo.test", "{found}");
    assert!(method["consentedAt"].is_string(), "{found}");
}
