//! Forgetting: a person whom nothing names any more, in books and logs that are as valid as before; and mail that is
//! kept whole for a while only.

use bursar::audit::{self, Change};
use bursar::auth::Actor;
use bursar::clock::Clock;
use bursar::db::{Scope, Tenant};
use bursar::delivery::{KEPT_DAYS, empty_old, run_once};
use bursar::global_id;
use bursar::ledger::verify::{Selection, verify};
use bursar::people;
use bursar_domain::Timestamp;
use bursar_domain::delivery::DeliveryState;
use bursar_domain::id::UserId;
use bursar_entity::{delivery, invitation, membership, personal_value, session, user};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::on_both_databases;
use crate::support::acts::{at, refusal};
use crate::support::mail::{invitation as letter, post, row, tenant};
use crate::support::sign_in::{link, links, redeem, refresh, sign_in};
use crate::support::{Backend, Client, World, keys, rows};

on_both_databases!(
    nothing_names_the_person_any_more,
    who_is_forgotten_is_signed_out,
    the_only_owner_stays,
    who_may_have_people_forgotten,
    what_failed_on_the_way_is_done_later,
    old_mail_is_emptied,
);

/// Of whom no trace may be left.
const EMAIL: &str = "wanda.weg@forgotten.test";
const NAME: &str = "Wanda Weg";

/// Has the vendor add the person, and answers the id of the membership and of the person.
async fn added(operator: &Client, organization: &str, role: &str) -> (String, String) {
    let input = json!({ "organizationId": organization, "email": EMAIL, "name": NAME, "role": role });
    let made = operator.mutate("addMember", "AddMemberInput", input, "member { id user { id } }").await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made["member"]["id"]), text(&made["member"]["user"]["id"]))
}

/// Asks for the person to be forgotten, and answers the payload whatever it says.
async fn erase(client: &Client, user: &str) -> Value {
    client
        .try_mutate("erasePerson", "ErasePersonInput", json!({ "userId": user }), "user { id email name }")
        .await
}

async fn invite(client: &Client, organization: &str, email: &str) -> String {
    let input = json!({ "organizationId": organization, "email": email, "role": "MEMBER" });
    let made = client.mutate("inviteMember", "InviteMemberInput", input, "invitation { id }").await;
    made["invitation"]["id"].as_str().unwrap().to_owned()
}

/// Whether books and logs verify.
async fn everything_is_valid(world: &World) {
    let context = &world.services().context;
    let report = verify(context, &Selection::default(), |_| ()).await.unwrap();
    assert_eq!(report.findings().count(), 0);
    assert_eq!(audit::verify(context, None, |_| ()).await.unwrap(), 0);
}

/// How many rows of a table say a text in one of its columns.
async fn saying(world: &World, table: &str, columns: &[&str], text: &str) -> i64 {
    let each: Vec<String> =
        columns.iter().map(|column| format!("lower({column}) LIKE '%{}%'", text.to_lowercase())).collect();
    world.number(&format!("SELECT count(*) AS n FROM \"{table}\" WHERE {}", each.join(" OR "))).await
}

/// The columns that people are named in.
const COLUMNS: [(&str, &[&str]); 5] = [
    ("user", &["email", "name"]),
    ("invitation", &["email"]),
    ("delivery", &["recipient", "facts", "last_error"]),
    ("personal_value", &["value"]),
    ("audit_event", &["before", "after", "personal"]),
];

async fn nothing_names_the_person_any_more(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let (member, person) = added(&operator, &demo.organization, "ADMIN").await;
    let input = json!({ "departmentId": demo.sales, "memberId": member });
    owner.mutate("addDepartmentMember", "AddDepartmentMemberInput", input, "department { id }").await;
    // In two organizations, and asked into a third.
    let rival = world.found("rival").await;
    let of = |slug: &str| format!("{{ organization(by: {{ slug: \"{slug}\" }}) {{ id }} }}");
    let theirs =
        rival.query(&of("rival"), json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    added(&operator, &theirs, "MEMBER").await;
    let third = world.found("third").await;
    let thirds =
        third.query(&of("third"), json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    invite(&third, &thirds, EMAIL).await;
    // With what people do: charges, keys, invitations; and mail to the person, sent and not.
    let wanda = world.client(EMAIL).await;
    let key = keys::make(&world, &wanda, Some(&demo.organization), &["CHARGES_WRITE"], json!({})).await;
    let kept = keys::make(&world, &owner, Some(&demo.organization), &["CHARGES_WRITE"], json!({})).await;
    assert_eq!(keys::charge(&wanda, &demo.pool, None, "by-wanda").await, None);
    assert_eq!(keys::charge(&key.client, &demo.pool, None, "by-her-key").await, None);
    assert_eq!(run_once(&world.services().courier).await.unwrap(), 1);
    let asked = invite(&wanda, &demo.organization, "friend@elsewhere.test").await;
    let to_wanda = post(&world, tenant(&demo.organization), letter(EMAIL, "Demo")).await.unwrap();
    let others =
        post(&world, tenant(&demo.organization), letter("other@elsewhere.test", "Demo")).await.unwrap();
    for (table, columns) in COLUMNS {
        let found = saying(&world, table, columns, "wanda").await;
        assert_eq!(found > 0, table != "audit_event", "{table}: {found}");
    }
    let balance = owner.balance(&demo.pool).await;

    let payload = erase(&operator, &person).await;
    let pseudonym = format!("{person}@erased.invalid");
    let expected = json!({ "id": person, "email": pseudonym, "name": people::NAME });
    assert_eq!((refusal(&payload).0.as_str(), &payload["user"]), ("none", &expected), "{payload}");
    for (table, columns) in COLUMNS {
        assert_eq!(saying(&world, table, columns, "wanda").await, 0, "{table}");
    }
    // Membership, grants and rights are gone; keys that others have made go on.
    let id: UserId = global_id::decode(&person).unwrap();
    let members = world.database.rows::<membership::Entity>().await;
    assert!(members.iter().all(|row| row.user_id != id));
    assert_eq!(wanda.send("{ viewer { user { email } } }", json!({})).await.0, 401);
    let gone = Some("UNAUTHENTICATED".to_owned());
    assert_eq!(keys::charge(&wanda, &demo.pool, None, "afterwards").await, gone);
    assert_eq!(keys::charge(&key.client, &demo.pool, None, "afterwards").await, gone);
    assert_eq!(keys::charge(&kept.client, &demo.pool, None, "afterwards").await, None);
    // What waited for the person, or named the person, is not sent; what did neither is.
    let forgotten = row(&world, to_wanda).await;
    assert_eq!((forgotten.state, forgotten.facts.as_str()), (DeliveryState::Dead, "{}"));
    assert_eq!((forgotten.recipient.as_str(), forgotten.link_about), (pseudonym.as_str(), None));
    let left = row(&world, others).await;
    assert!(left.state == DeliveryState::Pending && left.facts.contains("Olive Owner"), "{left:?}");
    assert_eq!(run_once(&world.services().courier).await.unwrap(), 1);
    let invitations = world.database.rows::<invitation::Entity>().await;
    let asked = invitations.iter().find(|row| global_id::encode(row.id) == asked).unwrap();
    assert!(asked.revoked_at.is_some() && asked.email == "friend@elsewhere.test" && asked.invited_by == id);
    let values = world.database.rows::<personal_value::Entity>().await;
    let of_person = |row: &&personal_value::Model| row.user_id == Some(id);
    assert!(values.iter().filter(of_person).count() >= 2);
    assert!(values.iter().filter(of_person).all(|row| row.value.is_none() && row.salt.is_none()));
    assert!(values.iter().any(|row| row.value.is_some()), "those of others stay");
    // What was done stays, by somebody of whom there is an id.
    let charged = format!(
        "SELECT count(*) AS n FROM charge WHERE reference IS NULL AND actor_id = {}",
        literal(backend, id)
    );
    assert_eq!(world.number(&charged).await, 1);
    assert_eq!(owner.balance(&demo.pool).await.0, balance.0 - 1);
    everything_is_valid(&world).await;
    // It is recorded wherever something was done, and in the vendor's own log.
    for organization in ["demo", "rival", "third"] {
        let query = format!(
            "{{ organization(by: {{ slug: \"{organization}\" }}) {{ auditEvents(first: 1, filter: {{ action: \"erasePerson\" }}) {{ nodes {{ subjectId after }} }} }} }}"
        );
        let data = operator.query(&query, json!({})).await;
        let event = data["organization"]["auditEvents"]["nodes"][0].clone();
        assert_eq!(event["subjectId"], json!(person), "{organization}: {event}");
    }
    let own = "SELECT count(*) AS n FROM audit_event WHERE action = 'erasePerson'";
    assert_eq!(world.number(own).await, 4);
    // A second time nothing is done, and the address is somebody else's from now on.
    assert_eq!(erase(&operator, &person).await["user"], expected);
    assert_eq!(world.number(own).await, 4);
    let (_, somebody_else) = added(&operator, &demo.organization, "MEMBER").await;
    assert_ne!(somebody_else, person);
}

/// Sessions end and links are gone; who has one of them from before opens nothing, and leaves no trace of where that
/// came from.
async fn who_is_forgotten_is_signed_out(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let (_, person) = added(&operator, &demo.organization, "MEMBER").await;
    let opened = sign_in(&world, EMAIL).await;
    let unused = link(&world, EMAIL).await;
    assert_eq!(refusal(&erase(&operator, &person).await).0, "none");
    assert!(links(&world, &format!("{person}@erased.invalid")).await.is_empty());
    let id: UserId = global_id::decode(&person).unwrap();
    let mut sessions = world.database.rows::<session::Entity>().await;
    sessions.retain(|row| row.user_id == id);
    assert!(sessions.len() == 1 && sessions[0].revoked_at.is_some(), "{sessions:?}");
    assert_eq!(refusal(&redeem(&world, &unused.text()).await).0, "NOT_FOUND");
    assert_eq!(refusal(&refresh(&world, &opened.refresh).await).0, "INVALID_STATE");
    let values = world.database.rows::<personal_value::Entity>().await;
    assert!(values.iter().filter(|row| row.user_id == Some(id)).all(|row| row.value.is_none()));
    everything_is_valid(&world).await;
}

/// A person's id as the database takes it.
fn literal(backend: Backend, id: UserId) -> String {
    let uuid = uuid::Uuid::from_u128(bursar_domain::id::Id::as_u128(id));
    match backend {
        Backend::Postgres => format!("'{uuid}'::uuid"),
        Backend::Sqlite => format!("X'{}'", uuid.simple()),
    }
}

async fn the_only_owner_stays(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let (_, person) = added(&operator, &demo.organization, "MEMBER").await;
    // The only owner of another organization: nothing is done in the first one either.
    let input = json!({ "slug": "hers", "name": "Hers", "timeZone": "UTC", "ownerEmail": EMAIL });
    operator.mutate("createOrganization", "CreateOrganizationInput", input, "organization { id }").await;
    let organization = global_id::decode(&demo.organization).unwrap();
    let db = &world.services().context.db;
    let before = rows::of(db, organization).await;
    let refused = ("LAST_OWNER".to_owned(), "userId".to_owned());
    assert_eq!(refusal(&erase(&operator, &person).await), refused);
    assert_eq!(before, rows::of(db, organization).await);
    // With another owner it can be done.
    let query = r#"{ organization(by: { slug: "hers" }) { id } }"#;
    let hers = operator.query(query, json!({})).await["organization"]["id"].clone();
    let input = json!({ "organizationId": hers, "email": "second@hers.test", "role": "OWNER" });
    operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
    assert_eq!(refusal(&erase(&operator, &person).await).0, "none");
    everything_is_valid(&world).await;
}

async fn who_may_have_people_forgotten(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let (_, person) = added(&operator, &demo.organization, "MEMBER").await;
    let at_user = |code: &str| (code.to_owned(), "userId".to_owned());
    for caller in ["owner", "admin", "auditor"] {
        let client = world.client(&format!("{caller}@demo.test")).await;
        assert_eq!(refusal(&erase(&client, &person).await).0, "FORBIDDEN", "{caller}");
    }
    // Who does not see the person is told the same as of nobody.
    let rival = world.found("rival").await;
    let absent = "user_00000000000000000000000000";
    for client in [&rival, &world.client("member@demo.test").await] {
        let (one, other) = (erase(client, &person).await, erase(client, absent).await);
        assert_eq!((refusal(&one), &one), (at_user("NOT_FOUND"), &other));
    }
    assert_eq!(refusal(&erase(&operator, absent).await), at_user("NOT_FOUND"));
    let myself = operator.query("{ viewer { user { id } } }", json!({})).await;
    let myself = myself["viewer"]["user"]["id"].as_str().unwrap();
    assert_eq!(refusal(&erase(&operator, myself).await), at_user("INVALID_STATE"));
    let people = world.database.rows::<user::Entity>().await;
    assert!(people.iter().all(|row| row.erased_at.is_none()));
    // In a suspended organization as well.
    let input = json!({ "organizationId": demo.organization, "reason": "x" });
    let (name, kind) = ("suspendOrganization", "SuspendOrganizationInput");
    operator.mutate(name, kind, input, "organization { id }").await;
    assert_eq!(refusal(&erase(&operator, &person).await).0, "none");
    // The operator's scope still writes nothing.
    let work = bursar::db::work(|txn| {
        use sea_orm::ConnectionTrait;
        let sql = "UPDATE \"user\" SET name = 'x'";
        Box::pin(async move { Ok(txn.execute_unprepared(sql).await?.rows_affected()) })
    });
    if backend == Backend::Postgres {
        assert_eq!(world.services().context.db.write(Scope::Operator, work).await.unwrap(), 0);
    }
}

/// When the last step fails, the person is still known by the address, and the same again does what is left.
async fn what_failed_on_the_way_is_done_later(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let (_, person) = added(&operator, &demo.organization, "MEMBER").await;
    let (make, away) = match backend {
        Backend::Postgres => (
            "CREATE FUNCTION no_change() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'not now'; END $$;
             CREATE TRIGGER no_change BEFORE UPDATE ON \"user\" FOR EACH ROW EXECUTE FUNCTION no_change();",
            "DROP TRIGGER no_change ON \"user\"; DROP FUNCTION no_change();",
        ),
        Backend::Sqlite => (
            "CREATE TRIGGER no_change BEFORE UPDATE ON \"user\" BEGIN SELECT RAISE(ABORT, 'not now'); END;",
            "DROP TRIGGER no_change;",
        ),
    };
    world.sql(make).await;
    let query = "mutation E($i: ErasePersonInput!) { erasePerson(input: $i) { userErrors { code } } }";
    let body = operator.raw(query, json!({ "i": { "userId": person } })).await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{body}");
    everything_is_valid(&world).await;
    world.sql(away).await;
    assert_eq!(refusal(&erase(&operator, &person).await).0, "none");
    for (table, columns) in COLUMNS {
        assert_eq!(saying(&world, table, columns, "wanda").await, 0, "{table}");
    }
    everything_is_valid(&world).await;
}

async fn old_mail_is_emptied(backend: Backend) {
    let start = at("2026-03-10T12:00:00Z");
    let clock = Clock::set(start);
    let world = World::start_untimed(backend, clock.clone()).await;
    let organization = world.client("owner@demo.test").await.demo().await.organization;
    let mail = |name: &'static str| post(&world, tenant(&organization), letter(name, "Demo"));
    let (sent, dead) = (mail("sent@old.test").await.unwrap(), mail("dead@old.test").await.unwrap());
    assert_eq!(run_once(&world.services().courier).await.unwrap(), 2);
    world
        .sql("UPDATE delivery SET state = 'DEAD', delivered_at = NULL WHERE recipient = 'dead@old.test'")
        .await;
    let waiting = mail("waiting@old.test").await.unwrap();
    clock.turn(start.plus_days(1));
    let younger = mail("younger@old.test").await.unwrap();
    world.sql("UPDATE delivery SET state = 'DEAD' WHERE recipient = 'younger@old.test'").await;
    let own = |row: &delivery::Model| !row.recipient.is_empty() && row.facts != "{}";
    let end = CancellationToken::new();
    let context = &world.services().context;
    // Where somebody came from whom nobody knows is kept in the log as long, and what is of a person longer.
    let (of, nobody) =
        (tenant(&organization), "SELECT count(*) AS n FROM personal_value WHERE user_id IS NULL");
    let kept = |of_whom: &str| {
        format!("SELECT count(*) AS n FROM personal_value WHERE value IS NOT NULL AND {of_whom}")
    };
    let known = world.number(&kept("user_id IS NOT NULL")).await;
    for place in [of, Tenant::vendor()] {
        let actor = Actor::system(None).at_address(Some("192.0.2.9".parse().unwrap()));
        let change = Change::created("noted", place.id(), json!({}));
        audit::note(context, place, &actor, change).await.unwrap();
    }
    let before = |at: Timestamp| at.plus_days(-KEPT_DAYS);
    assert_eq!(audit::empty_old(context, before(clock.now()), &end).await.unwrap(), 0);
    let young = before(clock.now().plus_days(KEPT_DAYS));
    assert_eq!(audit::empty_old(context, young, &end).await.unwrap(), 0, "exactly so old is not too old");
    assert_eq!(world.number(&kept("user_id IS NULL")).await, 2);
    let old = before(clock.now().plus_days(KEPT_DAYS).plus_seconds(1));
    assert_eq!(audit::empty_old(context, old, &end).await.unwrap(), 2);
    assert_eq!(audit::empty_old(context, old, &end).await.unwrap(), 0);
    assert_eq!((world.number(&kept("user_id IS NULL")).await, world.number(nobody).await), (0, 2));
    assert!(known > 0 && world.number(&kept("user_id IS NOT NULL")).await == known);
    assert_eq!(audit::verify(context, None, |_| ()).await.unwrap(), 0, "the chains are as before");
    clock.turn(start.plus_days(KEPT_DAYS));
    assert_eq!(empty_old(context, &end).await.unwrap(), 0, "exactly so old is not too old");
    clock.turn(start.plus_days(KEPT_DAYS).plus_seconds(1));
    assert_eq!(empty_old(context, &end).await.unwrap(), 2);
    assert_eq!(empty_old(context, &end).await.unwrap(), 0);
    for (id, state) in [(sent, DeliveryState::Delivered), (dead, DeliveryState::Dead)] {
        let row = row(&world, id).await;
        assert_eq!((row.recipient.as_str(), row.facts.as_str(), row.state), ("", "{}", state));
        assert_eq!((row.link_about, row.link_path, row.created_at), (None, None, start));
    }
    // What waits is kept, however old it is, and what is younger.
    assert!(own(&row(&world, waiting).await) && own(&row(&world, younger).await));
    // Nobody can have it sent again to nobody.
    let owner = world.client("owner@demo.test").await;
    let input = json!({ "deliveryId": global_id::encode(dead) });
    let payload = owner.try_mutate("replayDelivery", "ReplayDeliveryInput", input, "").await;
    assert_eq!(refusal(&payload), ("INVALID_STATE".to_owned(), "deliveryId".to_owned()));
    // More than one transaction empties, and a worker does it by itself.
    for number in 0..520 {
        let mail = letter(&format!("{number}@many.test"), "Demo");
        post(&world, tenant(&organization), mail).await.unwrap();
    }
    world.sql("UPDATE delivery SET state = 'DEAD' WHERE state = 'PENDING'").await;
    clock.turn(start.plus_days(3 * KEPT_DAYS));
    world.services().courier.start();
    let left = "SELECT count(*) AS n FROM delivery WHERE recipient <> ''";
    let began = std::time::Instant::now();
    while world.number(left).await > 0 {
        assert!(began.elapsed() < crate::support::DEADLINE, "the worker empties nothing");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
