//! Organizations that name the same identity provider and the same audience: each one's people go on coming in to it, whoever
//! else names them.

use bursar::clock::Clock;
use serde_json::json;

use crate::on_both_databases;
use crate::single_sign_on::{configure, is, who};
use crate::support::issuer::Issuer;
use crate::support::{Backend, Client, World, acts};

on_both_databases!(nobody_stands_in_anothers_way);

async fn nobody_stands_in_anothers_way(backend: Backend) {
    let clock = Clock::set(acts::at("2026-06-01T12:00:00Z"));
    let world = World::start_untimed(backend, clock.clone()).await;
    let issuer = Issuer::start(&clock).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    issuer.trusted_by(&owner, &demo.organization, json!({})).await;
    let come = async |subject: &str, email: Option<&str>| {
        let mut claims = issuer.claims(subject, email.unwrap_or_default());
        if email.is_none() {
            claims.as_object_mut().unwrap().retain(|name, _| !name.starts_with("email"));
        }
        // A token of its own each time, so that none is remembered.
        claims["jti"] = json!(uuid::Uuid::now_v7().to_string());
        who(&Client::new(&world.base, Some(issuer.token(&claims)))).await
    };
    let as_ever = is("member@demo.test", "demo", "MEMBER");
    assert_eq!(come("s1", Some("member@demo.test")).await, as_ever);
    assert_eq!(come("s1", None).await, as_ever);
    // Issuer and audience are no secrets.
    let rival = world.found("rival").await;
    let query = r#"{ organization(by: { slug: "rival" }) { id } }"#;
    let theirs = rival.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    let input = issuer.settings(&theirs, json!({ "domains": ["rival.test"], "joinsJustInTime": true }));
    assert_eq!(configure(&rival, input).await["userErrors"], json!([]));
    // Whose domain the address has goes there; of whom no address says anything, where they have come before.
    for email in [None, Some("member@demo.test"), Some("member@elsewhere.test"), Some("no address")] {
        assert_eq!(come("s1", email).await, as_ever, "{email:?}");
    }
    let theirs = is("new@rival.test", "rival", "MEMBER");
    assert_eq!(come("s2", Some("new@rival.test")).await, theirs);
    assert_eq!(come("s2", None).await, theirs);
    for email in [None, Some("new@elsewhere.test")] {
        assert_eq!(come("s3", email).await, Err("The token is not valid.".to_owned()), "{email:?}");
    }
}
