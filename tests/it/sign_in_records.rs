//! Signing in and out leaves its record, in the log of whoever it concerns, or does not happen.

use bursar::clock::Clock;
use bursar_entity::session;
use serde_json::json;

use crate::on_both_databases;
use crate::support::sign_in::{Opened, link, links, redeem, sign_in};
use crate::support::{Backend, World};

on_both_databases!(nothing_without_its_record, records_of_those_who_belong_to_none);

async fn nothing_without_its_record(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let good = link(&world, "member@demo.test").await;
    let (make, drop) = match backend {
        Backend::Postgres => (
            "CREATE FUNCTION no_event() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'no event'; END $$;
             CREATE TRIGGER no_event BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION no_event();",
            "DROP TRIGGER no_event ON audit_event; DROP FUNCTION no_event();",
        ),
        Backend::Sqlite => (
            "CREATE TRIGGER no_event BEFORE INSERT ON audit_event BEGIN SELECT RAISE(ABORT, 'no event'); END;",
            "DROP TRIGGER no_event;",
        ),
    };
    world.sql(make).await;
    let query =
        "mutation R($i: RedeemSignInLinkInput!) { redeemSignInLink(input: $i) { userErrors { code } } }";
    let input = json!({ "token": good.text(), "code": good.code(&world.services().keys) });
    let body = world.anonymous().raw(query, json!({ "i": input })).await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{body}");
    assert_eq!(world.number("SELECT count(*) AS n FROM session").await, 0);
    assert!(links(&world, "member@demo.test").await[0].used_at.is_none());
    world.sql(drop).await;
    let opened = Opened::of(&world, &redeem(&world, &good.text()).await);
    world.sql(make).await;
    for (mutation, input) in [("signOut", json!({})), ("revokeSession", json!({ "sessionId": opened.id }))] {
        let input_type = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
        let query =
            format!("mutation M($i: {input_type}!) {{ {mutation}(input: $i) {{ userErrors {{ code }} }} }}");
        let body = opened.client.raw(&query, json!({ "i": input })).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{mutation}: {body}");
    }
    let rows = world.database.rows::<session::Entity>().await;
    assert!(rows.len() == 1 && rows[0].revoked_at.is_none(), "{rows:?}");
    world.sql(drop).await;
}

async fn records_of_those_who_belong_to_none(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let vendors = "SELECT count(*) AS n FROM audit_event e JOIN audit_head h ON h.organization_id = e.organization_id
        WHERE e.action = 'redeemSignInLink' AND NOT EXISTS (SELECT 1 FROM organization o WHERE o.id = e.organization_id)";
    let all = "SELECT count(*) AS n FROM audit_event WHERE action = 'redeemSignInLink'";
    // The vendor's staff is in no organization of its customers.
    sign_in(&world, "operator@bursar.test").await;
    assert_eq!((world.number(vendors).await, world.number(all).await), (1, 1));
    sign_in(&world, "member@demo.test").await;
    assert_eq!((world.number(vendors).await, world.number(all).await), (1, 2));
    // Who belongs to two is recorded in both.
    world.found("rival").await;
    let operator = world.client("operator@bursar.test").await;
    let query = r#"{ organization(by: { slug: "rival" }) { id } }"#;
    let rival = operator.query(query, json!({})).await["organization"]["id"].clone();
    let input = json!({ "organizationId": rival, "email": "member@demo.test", "role": "MEMBER" });
    operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
    sign_in(&world, "member@demo.test").await;
    assert_eq!((world.number(vendors).await, world.number(all).await), (1, 4));
    // Two who belong to the same two at once: nobody waits for the other for ever.
    let input = json!({ "organizationId": rival, "email": "admin@demo.test", "role": "MEMBER" });
    operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
    let (one, two) = (link(&world, "member@demo.test").await, link(&world, "admin@demo.test").await);
    let (one, two) = (one.text(), two.text());
    let (one, two) = tokio::join!(redeem(&world, &one), redeem(&world, &two));
    assert_eq!((&one["userErrors"], &two["userErrors"]), (&json!([]), &json!([])));
    assert_eq!((world.number(vendors).await, world.number(all).await), (1, 8));
}
