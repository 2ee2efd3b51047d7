//! The chain of the audit log: every edit is found at the row that was edited; nothing can be changed by who serves;
//! values about people can be erased, and the chain holds; the command and the background verification say what is
//! wrong.

use std::process::Command;
use std::time::{Duration, Instant};

use bursar::audit::{self, Change, Finding};
use bursar::auth::Actor;
use bursar::clock::Clock;
use bursar::db::{self, Database, Options, Tenant, migrate};
use bursar::global_id;
use bursar_domain::id::{Id, OrganizationId, UserId};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::on_both_databases;
use crate::support::tamper::{Tamperer, columns};
use crate::support::{Backend, DEADLINE, World};

on_both_databases!(
    every_edit_is_found_at_its_row,
    rows_that_are_missing_or_too_many_are_found,
    nothing_is_changed_by_who_serves,
    people_are_erased_and_the_chain_holds,
    events_at_once_make_one_chain,
    events_from_before_are_counted,
    the_command_names_the_row,
    the_background_names_the_row,
);

/// How many edits, on each of the two databases.
const EDITS: usize = 120;

async fn findings(world: &World) -> Vec<Finding> {
    let (mut found, mut events) = (Vec::new(), 0);
    let wrong = audit::verify(&world.services().context, None, |checked| {
        events += checked.events;
        found.extend(checked.finding.clone());
    });
    assert_eq!(wrong.await.unwrap(), found.len());
    assert!(events > 0 || !found.is_empty(), "nothing was verified");
    found
}

/// A world with a log of some length, and with values about people in it. Answers the tenant, too.
async fn with_log(backend: Backend) -> (World, Tenant) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    for number in 0..6 {
        let email = format!("person-{number}@chain.test");
        let input = json!({ "organizationId": demo.organization, "email": email, "role": "MEMBER" });
        let added = operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
        let input = json!({ "memberId": added["member"]["id"], "role": "AUDITOR" });
        owner.mutate("updateMemberRole", "UpdateMemberRoleInput", input, "member { id }").await;
    }
    // Another chain, which stays right.
    world.found("beside").await;
    let tenant = Tenant::vouched(global_id::decode::<OrganizationId>(&demo.organization).unwrap());
    (world, tenant)
}

async fn every_edit_is_found_at_its_row(backend: Backend) {
    let seed = u64::try_from(Clock::system().now().micros()).unwrap() | 1;
    println!("the edits come from the seed {seed}");
    let (world, tenant) = with_log(backend).await;
    assert_eq!(findings(&world).await, []);
    let db = Database::connect(&world.database.addresses).await.unwrap();
    let mut tamperer = Tamperer::open(&world.database, seed).await;
    let mut rows = Vec::new();
    for table in ["audit_event", "audit_event", "audit_event", "audit_head", "personal_value"] {
        rows.push(tamperer.rows(&db, tenant, table).await);
    }
    assert!(rows[0].len() > 20 && rows[3].len() == 1 && rows[4].len() > 5);
    db.close().await.unwrap();
    let (mut done, mut tries) = (0, 0);
    while done < EDITS {
        tries += 1;
        assert!(tries < 50 * EDITS, "most edits are refused");
        let of_table = &rows[tamperer.below(rows.len())];
        let row = of_table[tamperer.below(of_table.len())].clone();
        let columns = columns(row.table);
        let (column, edit) = columns[tamperer.below(columns.len())];
        if !tamperer.edit(&row, (column, edit)).await {
            continue;
        }
        let found = findings(&world).await;
        let named: Vec<_> = found.iter().map(|finding| (finding.table, finding.key.clone())).collect();
        assert_eq!(
            named,
            [(row.table, row.key.clone())],
            "{column} of {} {} was edited ({edit:?}), and this was found: {found:?}",
            row.table,
            row.key
        );
        tamperer.restore(&row, column).await;
        assert_eq!(findings(&world).await, [], "{column} of {} {} is as it was", row.table, row.key);
        done += 1;
    }
}

async fn rows_that_are_missing_or_too_many_are_found(backend: Backend) {
    let (world, tenant) = with_log(backend).await;
    let tamperer = Tamperer::open(&world.database, 1).await;
    let organization = literal(backend, Uuid::from(tenant));
    let end = format!("SELECT position AS n FROM audit_head WHERE organization_id = {organization}");
    let end = world.number(&end).await;
    for (table, gone, named) in [
        ("audit_event", format!("position = {end}"), end.to_string()),
        ("audit_event", "position = 7".to_owned(), "7".to_owned()),
        ("audit_event", "position = 1".to_owned(), "1".to_owned()),
        ("audit_head", "position > 0".to_owned(), Uuid::from(tenant).to_string()),
    ] {
        let gone = format!("organization_id = {organization} AND {gone}");
        tamperer.run(&format!("CREATE TEMPORARY TABLE gone AS SELECT * FROM {table} WHERE {gone}")).await;
        tamperer.run(&format!("DELETE FROM {table} WHERE {gone}")).await;
        let found = findings(&world).await;
        assert_eq!((found.len(), found[0].table), (1, table), "{found:?}");
        assert_eq!(found[0].key, named, "{found:?}");
        tamperer.run(&format!("INSERT INTO {table} SELECT * FROM gone")).await;
        tamperer.run("DROP TABLE gone").await;
        assert_eq!(findings(&world).await, [], "{table} is as it was");
    }
    // The whole end of a log, and the events after a place moved up to hide that one is gone.
    let of = format!("organization_id = {organization}");
    let keep = format!("CREATE TEMPORARY TABLE kept_log AS SELECT * FROM audit_event WHERE {of}");
    for cut in [
        format!("DELETE FROM audit_event WHERE {of} AND position > 9"),
        // Downwards one by one: a position is taken once.
        format!("DELETE FROM audit_event WHERE {of} AND position = 9"),
    ] {
        tamperer.run(&keep).await;
        tamperer.run(&cut).await;
        for position in 10..=end {
            let there = format!("{of} AND position = {position}");
            let up = format!("UPDATE audit_event SET position = position - 1 WHERE {there}");
            tamperer.run(&up).await;
        }
        let found = findings(&world).await;
        assert_eq!((found.len(), found[0].table), (1, "audit_event"), "{found:?}");
        tamperer.run(&format!("DELETE FROM audit_event WHERE {of}")).await;
        tamperer.run("INSERT INTO audit_event SELECT * FROM kept_log").await;
        tamperer.run("DROP TABLE kept_log").await;
        assert_eq!(findings(&world).await, []);
    }
    // A value that no event knows, and one that is gone.
    let event = format!("(SELECT event_id FROM personal_value WHERE {of} ORDER BY event_id LIMIT 1)");
    for sql in [
        format!(
            "INSERT INTO personal_value (organization_id, event_id, name, erased_at)
             VALUES ({organization}, {event}, 'more', 0)"
        ),
        format!("DELETE FROM personal_value WHERE {of} AND event_id = {event} AND name = 'email'"),
    ] {
        tamperer.run(&sql).await;
        let found = findings(&world).await;
        assert_eq!((found.len(), found[0].table), (1, "personal_value"), "{found:?}");
        tamperer.run(&format!("DELETE FROM personal_value WHERE {of} AND name = 'more'")).await;
    }
}

async fn nothing_is_changed_by_who_serves(backend: Backend) {
    let (world, _) = with_log(backend).await;
    let application = sea_orm::Database::connect(&world.database.addresses.application).await.unwrap();
    for sql in [
        "UPDATE audit_event SET action = 'nothing'",
        "DELETE FROM audit_event",
        "UPDATE audit_event SET link = link",
        "DELETE FROM personal_value",
    ] {
        let refused = application.execute_unprepared(sql).await.unwrap_err().to_string();
        let expected = match backend {
            Backend::Postgres => "permission denied",
            Backend::Sqlite if sql.contains("personal_value") => "can only be emptied",
            Backend::Sqlite => "append-only",
        };
        assert!(refused.contains(expected), "{sql}: {refused}");
    }
    application.close().await.unwrap();
    // Nor by who owns the tables; and a value is emptied, and never another.
    let superuser = sea_orm::Database::connect(&world.database.superuser).await.unwrap();
    let emptied = "UPDATE personal_value SET value = NULL, salt = NULL, erased_at = 1";
    for (sql, expected) in [
        ("UPDATE audit_event SET action = 'nothing'", "append-only"),
        ("DELETE FROM audit_event", "append-only"),
        ("UPDATE personal_value SET value = 'somebody else'", "can only be emptied"),
        (
            "UPDATE personal_value SET name = 'other', value = NULL, salt = NULL, erased_at = 1",
            "can only be emptied",
        ),
        ("DELETE FROM personal_value", "can only be emptied"),
    ] {
        let refused = superuser.execute_unprepared(sql).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{sql}: {refused}");
    }
    assert!(superuser.execute_unprepared(emptied).await.unwrap().rows_affected() > 0);
    assert!(superuser.execute_unprepared(emptied).await.is_err(), "what is empty stays as it is");
    superuser.close().await.unwrap();
    assert_eq!(findings(&world).await, []);
}

async fn people_are_erased_and_the_chain_holds(backend: Backend) {
    let (world, tenant) = with_log(backend).await;
    let owner = world.client("owner@demo.test").await;
    let query = r#"{ organization(by: { slug: "demo" }) {
        members(last: 1) { nodes { id user { id email } } }
        auditEvents(first: 100, filter: { action: "addMember" }) { nodes { subjectId after personal { name value } } } } }"#;
    let seen = owner.query(query, json!({})).await["organization"].clone();
    let member = &seen["members"]["nodes"][0];
    let entry = |seen: &Value| {
        let nodes = seen["auditEvents"]["nodes"].as_array().unwrap().clone();
        nodes.into_iter().find(|node| node["subjectId"] == member["id"]).unwrap()
    };
    let email = member["user"]["email"].as_str().unwrap();
    // Where the request came from is about whoever sent it, and stays when the other is erased.
    let from = json!({ "name": "address", "value": "127.0.0.1" });
    assert_eq!(entry(&seen)["personal"], json!([from, { "name": "email", "value": email }]));
    assert!(!entry(&seen)["after"].to_string().contains(email));
    let address = "SELECT count(*) AS n FROM audit_event WHERE before LIKE '%@chain.test%' OR after LIKE '%@chain.test%'
        OR personal LIKE '%@chain.test%'";
    assert_eq!(world.number(address).await, 0, "events hold no addresses");
    let user: UserId = global_id::decode(member["user"]["id"].as_str().unwrap()).unwrap();
    let now = world.clock.now();
    let work = db::work(move |txn| Box::pin(async move { audit::erase(txn, tenant, user, now).await }));
    assert_eq!(world.services().context.db.write(tenant, work).await.unwrap(), 1);
    assert_eq!(world.services().context.db.write(tenant, work).await.unwrap(), 0);
    let gone = owner.query(query, json!({})).await["organization"].clone();
    assert_eq!(entry(&gone)["personal"], json!([from, { "name": "email", "value": null }]));
    assert_eq!(entry(&gone)["after"], entry(&seen)["after"]);
    let kept = format!("SELECT count(*) AS n FROM personal_value WHERE value = '{email}'");
    assert_eq!(world.number(&kept).await, 0);
    let others = "SELECT count(*) AS n FROM personal_value WHERE value LIKE '%@chain.test'";
    assert_eq!(world.number(others).await, 5);
    assert_eq!(findings(&world).await, []);
}

async fn events_at_once_make_one_chain(backend: Backend) {
    let (world, tenant) = with_log(backend).await;
    let context = &world.services().context;
    let actor = Actor::system(None).at_address(Some("192.0.2.7".parse().unwrap()));
    let notes = (0..40).map(|number| {
        let change = Change::created("noted", tenant.id(), json!({ "number": number }));
        let (actor, tenant) = (actor.clone(), tenant);
        async move { audit::note(context, tenant, &actor, change).await }
    });
    for outcome in futures_util::future::join_all(notes).await {
        outcome.unwrap();
    }
    // Those of nobody's organization have a chain of their own.
    let vendor = Tenant::vouched(OrganizationId::from_u128(0));
    for _ in 0..2 {
        let change = Change::created("noted", vendor.id(), json!({}));
        audit::note(context, vendor, &actor, change).await.unwrap();
    }
    let right = "SELECT count(*) AS n FROM audit_head h WHERE position <>
        (SELECT count(*) FROM audit_event e WHERE e.organization_id = h.organization_id)";
    assert_eq!(world.number(right).await, 0);
    assert_eq!(world.number("SELECT count(*) AS n FROM audit_event WHERE action = 'noted'").await, 42);
    let places = "SELECT count(*) AS n FROM personal_value WHERE name = 'address' AND value = '192.0.2.7'";
    assert_eq!(world.number(places).await, 42);
    assert_eq!(findings(&world).await, []);
    // Without its end the vendor's is still looked at.
    let tamperer = Tamperer::open(&world.database, 1).await;
    let own = literal(backend, Uuid::from(vendor));
    tamperer.run(&format!("DELETE FROM audit_head WHERE organization_id = {own}")).await;
    let found = findings(&world).await;
    assert_eq!((found.len(), found[0].table), (1, "audit_head"), "{found:?}");
}

/// The migration finds events: they get positions, and the chain begins after them.
async fn events_from_before_are_counted(backend: Backend) {
    let (mut world, tenant) = with_log(backend).await;
    world.stop().await;
    let World { database, .. } = world;
    let count = "SELECT count(*) AS n FROM audit_event";
    let events = database.number(count).await;
    let newer = "SELECT count(*) AS n FROM seaql_migrations WHERE version >= 'm20261126_000014_audit_chain'";
    let steps = u32::try_from(database.number(newer).await).unwrap();
    migrate::down(&database.addresses, Some(steps)).await.unwrap();
    assert_eq!(database.number(count).await, events);
    migrate::up(&database.addresses).await.unwrap();
    let world = World::start_on(database, Clock::system(), Options::default(), None).await;
    let numbered = "SELECT count(*) AS n FROM audit_event WHERE position > 0 AND link IS NULL";
    assert_eq!(world.number(numbered).await, events);
    assert_eq!(findings(&world).await, []);
    for number in 0..3 {
        let change = Change::created("noted", tenant.id(), json!({ "number": number }));
        audit::note(&world.services().context, tenant, &Actor::system(None), change).await.unwrap();
    }
    assert_eq!(findings(&world).await, []);
    let chained = "SELECT count(*) AS n FROM audit_event WHERE link IS NOT NULL";
    assert_eq!(world.number(chained).await, 3);
    let tamperer = Tamperer::open(&world.database, 1).await;
    let of = format!("organization_id = {}", literal(backend, Uuid::from(tenant)));
    // Who says that younger events are from before is found, and so is whose old ones are fewer.
    tamperer.run(&format!("UPDATE audit_head SET unchained = unchained + 1 WHERE {of}")).await;
    assert_eq!(findings(&world).await[0].table, "audit_head");
    tamperer.run(&format!("UPDATE audit_head SET unchained = unchained - 1 WHERE {of}")).await;
    tamperer.run(&format!("DELETE FROM audit_event WHERE {of} AND position = 2")).await;
    let found = findings(&world).await;
    assert_eq!((found[0].table, found[0].key.as_str()), ("audit_event", "2"));
}

async fn the_command_names_the_row(backend: Backend) {
    let (world, tenant) = with_log(backend).await;
    let dir = tempfile::tempdir().unwrap();
    let bursar = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
        command.arg("verify").args(arguments).env_clear().current_dir(dir.path());
        command.env("BURSAR_DATA_DIR", dir.path()).env("DATABASE_URL", &world.database.addresses.application);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (status, said, error) = bursar(&[]);
    assert_eq!(status, Some(0), "{said}{error}");
    assert!(said.contains("demo audit log: ") && said.contains("beside audit log: "), "{said}");
    let of = format!("organization_id = {} AND position = 5", literal(backend, Uuid::from(tenant)));
    let tamperer = Tamperer::open(&world.database, 1).await;
    tamperer.run(&format!("UPDATE audit_event SET action = 'nothing' WHERE {of}")).await;
    let (status, said, error) = bursar(&[]);
    assert_eq!(status, Some(1), "{said}{error}");
    let wrong = said.lines().find(|line| line.starts_with("demo audit log: ")).unwrap();
    assert!(wrong.contains("right up to event 4, then wrong: audit_event "), "{wrong}");
    assert!(said.lines().any(|line| line.starts_with("beside audit log: ") && line.ends_with("all right")));
    assert!(error.contains("0 pools and 1 audit logs are wrong"), "{error}");
    assert_eq!(bursar(&["--organization", "beside"]).0, Some(0));
}

async fn the_background_names_the_row(backend: Backend) {
    let world = World::start_as(backend, |config| config.verify = Some(Duration::from_millis(20))).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let organization: OrganizationId = global_id::decode(&demo.organization).unwrap();
    let verified = |wrong: bool, position: i64| {
        let verifications = world.services().verifications.clone();
        async move {
            let began = Instant::now();
            loop {
                let known = verifications.of_log(organization);
                match known.clone().filter(|known| known.finding.is_some() == wrong) {
                    Some(known) if known.position >= position => return known,
                    _ => assert!(began.elapsed() < DEADLINE, "{known:?}"),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    let before = verified(false, 5).await.position;
    // What is new is looked at by the next round.
    let input = json!({ "organizationId": demo.organization, "name": "More" });
    owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await;
    verified(false, before + 1).await;
    // Of what is old, the head is; the rest is a walk from the first event, once a day.
    let tamperer = Tamperer::open(&world.database, 1).await;
    let of = format!("organization_id = {}", literal(backend, Uuid::from_u128(organization.as_u128())));
    tamperer.run(&format!("UPDATE audit_head SET position = position + 1 WHERE {of}")).await;
    let found = verified(true, 0).await.finding.unwrap();
    assert!(found.starts_with("audit_head "), "{found}");
    let metrics = owner.http().get(owner.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("bursar_audit_differences_total"), "{metrics}");
    tamperer.run(&format!("UPDATE audit_head SET position = position - 1 WHERE {of}")).await;
    let end = verified(false, before + 1).await.position;
    // Without its last event, and with the head set back, the log is right in itself; who has seen the rest goes on
    // saying that it is gone.
    let last = format!("{of} AND position = {end}");
    let values = format!("{of} AND event_id IN (SELECT id FROM audit_event WHERE {last})");
    for (table, gone) in [("personal_value", &values), ("audit_event", &last), ("audit_head", &of)] {
        let kept = format!("CREATE TEMPORARY TABLE gone_{table} AS SELECT * FROM {table} WHERE {gone}");
        tamperer.run(&kept).await;
    }
    tamperer.run(&format!("DELETE FROM personal_value WHERE {values}")).await;
    tamperer.run(&format!("DELETE FROM audit_event WHERE {last}")).await;
    let link = format!("SELECT link FROM audit_event WHERE {of} AND position = {}", end - 1);
    tamperer.run(&format!("UPDATE audit_head SET position = {}, link = ({link}) WHERE {of}", end - 1)).await;
    let began = Instant::now();
    let mut told = Vec::new();
    while told.len() < 3 {
        assert!(began.elapsed() < DEADLINE, "{told:?}");
        let known = verified(true, 0).await;
        let said = known.finding.is_some_and(|finding| finding.contains("was seen to go on to"));
        if said && !told.contains(&known.at) {
            told.push(known.at);
        }
    }
    assert_eq!(findings(&world).await, [], "whoever has not seen the rest finds nothing");
    for table in ["audit_event", "personal_value"] {
        tamperer.run(&format!("INSERT INTO {table} SELECT * FROM gone_{table}")).await;
    }
    let link = "SELECT link FROM gone_audit_head";
    tamperer.run(&format!("UPDATE audit_head SET position = {end}, link = ({link}) WHERE {of}")).await;
    verified(false, end).await;
    let mut world = world;
    world.stop().await;
}

/// An identifier as the database reads it.
fn literal(backend: Backend, id: Uuid) -> String {
    match backend {
        Backend::Postgres => format!("'{id}'::uuid"),
        Backend::Sqlite => format!("X'{}'", id.simple()),
    }
}
