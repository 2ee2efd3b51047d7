//! The code of a link to sign in with: a wrong one does not use the link up, the fifth ends it, however many are tried
//! at once; and what is tried is recorded.

use std::collections::BTreeSet;

use bursar::clock::Clock;
use bursar_entity::session;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::refusal;
use crate::support::sign_in::{Opened, link, links, redeem, redeem_with};
use crate::support::{Backend, World};

on_both_databases!(codes_are_tried_five_times);

const EMAIL: &str = "member@demo.test";

/// Some codes that are not the one.
fn others(code: &str, number: usize) -> Vec<String> {
    let code: usize = code.parse().unwrap();
    (1..=number).map(|n| format!("{:04}", (code + n) % 10_000)).collect()
}

/// What is recorded of links that signed nobody in: newest first.
async fn refusals(world: &World) -> Vec<Value> {
    let owner = world.client("owner@demo.test").await;
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 30, filter: { source: EVENT,
        action: "refuseSignInLink" }) { nodes { actor { kind } personal { name } after } } } }"#;
    let data = owner.query(query, json!({})).await;
    data["organization"]["auditEvents"]["nodes"].as_array().unwrap().clone()
}

async fn codes_are_tried_five_times(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let keys = &world.services().keys;
    // Four wrong ones, and the right one opens all the same; spaces are what is copied with it.
    let first = link(&world, EMAIL).await;
    let (text, code) = (first.text(), first.code(keys));
    for (number, wrong) in others(&code, 4).iter().enumerate() {
        let payload = redeem_with(&world, &text, wrong).await;
        assert_eq!(refusal(&payload), ("INVALID".to_owned(), "code".to_owned()), "{payload}");
        let left = format!("code: is not the one that the mail shows (tries left: {}).", 4 - number);
        assert_eq!(payload["userErrors"][0]["message"], left);
    }
    // What is no code is no try.
    for none in ["", "1", "12345", "four"] {
        let payload = redeem_with(&world, &text, none).await;
        assert_eq!(refusal(&payload), ("INVALID".to_owned(), "code".to_owned()), "{none}: {payload}");
    }
    Opened::of(&world, &redeem_with(&world, &text, &format!(" {} {}", &code[..2], &code[2..])).await);
    // With a wrong one nobody learns more of a link that is used.
    for typed in [&code, &others(&code, 1)[0]] {
        let payload = redeem_with(&world, &text, typed).await;
        assert_eq!(refusal(&payload), ("INVALID_STATE".to_owned(), "token".to_owned()), "{payload}");
    }
    // Each link has its own; with the fifth wrong one it is over, the right one or not, and says so.
    let (second, third) = (link(&world, EMAIL).await, link(&world, EMAIL).await);
    let (text, code) = (second.text(), second.code(keys));
    let wrong = others(&code, 8);
    let at_once = wrong.iter().map(|wrong| redeem_with(&world, &text, wrong));
    let answers = futures_util::future::join_all(at_once).await;
    let tried = answers.iter().filter(|payload| refusal(payload).0 == "INVALID").count();
    assert_eq!(tried, 4, "{answers:?}");
    let over = "A wrong code was entered too often. Ask for another link.";
    for payload in answers.iter().filter(|payload| refusal(payload).0 != "INVALID") {
        assert_eq!(refusal(payload), ("INVALID_STATE".to_owned(), "token".to_owned()), "{payload}");
        assert_eq!(payload["userErrors"][0]["message"], over);
    }
    assert_eq!(redeem(&world, &text).await["userErrors"][0]["message"], over);
    let nobody = world.anonymous();
    let (status, page) = nobody.open(&nobody.url(&second.path())).await;
    assert!(status == 200 && page.contains("A wrong code was entered too often."), "{page}");
    assert!(!page.contains("<form"), "{page}");
    let rows = links(&world, EMAIL).await;
    let counts: Vec<i64> = rows.iter().map(|row| row.wrong_codes).collect();
    assert_eq!(counts, [4, 5, 0]);
    assert!(rows[1].used_at.is_none());
    // The person's other link is good.
    Opened::of(&world, &redeem(&world, &third.text()).await);
    assert_eq!(world.database.rows::<session::Entity>().await.len(), 2);
    // What was tried is recorded, and never what was typed.
    let events = refusals(&world).await;
    let counted: BTreeSet<i64> =
        events.iter().filter_map(|event| event["after"]["wrongCodes"].as_i64()).collect();
    assert_eq!(counted, (1..=5).collect());
    // Four and five wrong ones, two of a used link, and four of one that is over.
    assert_eq!(events.len(), 4 + 5 + 2 + 4, "{events:?}");
    for event in &events {
        assert_eq!(event["actor"]["kind"], "SYSTEM", "{event}");
        assert_eq!(event["personal"], json!([{ "name": "address" }]), "{event}");
        let named: Vec<&String> = event["after"].as_object().unwrap().keys().collect();
        assert!(named.iter().all(|name| ["link", "wrongCodes"].contains(&name.as_str())), "{event}");
    }
}
