//! Mails about approvals: whom they reach and what they say, that each has a link of its own which is stored nowhere,
//! whose logo they show, and what they tell of a pool's use.

mod case;

use bursar::approvals::{ApprovalLink, MailCause, Told};
use bursar::{db, global_id, ledger};
use bursar_domain::approval::{Choice, DecisionWay, EscalationReason, Language, LinkKind};
use bursar_domain::delivery::{DeliveryState, MailTemplate};
use bursar_domain::id::{ApprovalId, DecisionId, DelegationId, Id};
use bursar_domain::ledger::{Key, RequestHash};
use bursar_domain::{Currency, Money};
use bursar_entity::{
    approval_decision, approval_delegation, approval_reason, approval_request, delivery, pool_head,
};
use sea_orm::{EntityTrait, IntoActiveModel};
use serde_json::json;

use crate::on_both_databases;
use crate::support::acts::{at, refusal};
use crate::support::approvals::code_of;
use crate::support::smtp::Came;
use crate::support::{Backend, dump, uses};
use case::Case;

on_both_databases!(mails_reach_whom_they_are_for);

const MARCH: &str = "2026-03-10T12:00:00Z";
const HOUR: i64 = 3_600;
/// A PNG image of one pixel.
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A letter's texts, however its lines were cut.
fn plain(letter: &Came) -> String {
    letter.data.replace("=\r\n", "").replace("=3D", "=")
}

/// The letter to somebody.
fn to<'l>(letters: &'l [Came], name: &str) -> &'l Came {
    letters.iter().find(|letter| letter.to.contains(name)).unwrap_or_else(|| panic!("no letter to {name}"))
}

/// The last part of the address in a letter.
fn address(letter: &Came) -> String {
    let beginning = "http://bursar.test/approval/";
    letter.link(beginning).strip_prefix(beginning).unwrap().to_owned()
}

async fn mails_reach_whom_they_are_for(backend: Backend) {
    let case = Case::start(backend).await;
    let request = case.open(1, "owner", Language::English).await;
    let first = asked(&case, &request).await;
    reminded(&case, &request, &first).await;
    stood_in_for(&case, &request).await;
    branded(&case, &request).await;
    told(&case, &request).await;
    changed(&case).await;
    forgotten(&case).await;
    owed(&case, &request).await;
    used(&case).await;
}

/// Each is sent a link of their own; whoever cannot decide gets none. Answers the address in the letter to one.
async fn asked(case: &Case, request: &approval_request::Model) -> String {
    case.ask(request, &["owner", "auditor", "operator"], MailCause::Asked).await;
    assert_eq!((case.sent(0).await.len(), case.links().await.len()), (0, 0));
    case.ask(request, &["admin", "manager"], MailCause::Asked).await;
    let letters = case.sent(0).await;
    assert_eq!(letters.len(), 2);
    let letter = to(&letters, "admin@demo.test");
    let subject = "Decision wanted: 500 credits for USD 899.00 (Demo Realty)";
    assert_eq!(letter.header("Subject").unwrap(), subject);
    assert_eq!(letter.header("Auto-Submitted").unwrap(), "auto-generated");
    let text = plain(letter);
    for said in [
        "Owen Owner asks for 500 credits for the pool Main.",
        "Total: USD 899.00",
        "> For the fair\r\n> in Lyon",
        "In the pool now: 100 credits",
        "Lasts at this rate: nothing was used",
        "Step: 1 of 2: Managers",
        "To be decided by: 17 March 2026, 12:00 UTC",
        "until 13 March 2026, 12:00 UTC",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // What equals the limit needs no sign-in.
    assert!(!text.contains("sign in") && !text.contains("image/png"), "{text}");
    let keys = &case.world.services().keys;
    let stored = String::from_utf8_lossy(&dump::rows(&case.world.database).await).into_owned();
    let mut addresses = Vec::new();
    for (letter, name) in [(letter, "admin"), (to(&letters, "manager@demo.test"), "manager")] {
        let address = address(letter);
        let link = ApprovalLink::read(keys, &address).unwrap();
        assert_eq!((link.user(), link.round(), link.kind()), (case.person(name), 1, LinkKind::Decide));
        assert_eq!((link.request(), letter.code()), (request.id, link.code(keys)));
        let token = address.rsplit_once('.').unwrap().1;
        assert!(stored.contains(link.about()) && !stored.contains(token), "{address}");
        let row = case.links().await.into_iter().find(|row| row.id == link.id()).unwrap();
        assert_eq!((row.user_id, row.expires_at), (link.user(), at(MARCH).plus_seconds(72 * HOUR)));
        addresses.push(address);
    }
    assert_ne!(addresses[0], addresses[1]);
    addresses.swap_remove(0)
}

/// A reminder brings a fresh link, and takes the one before back, and nobody else's.
async fn reminded(case: &Case, request: &approval_request::Model, first: &str) {
    let now = at(MARCH).plus_seconds(144 * HOUR);
    case.clock.turn(now);
    case.ask(request, &["admin"], MailCause::Reminder { number: 2 }).await;
    let letters = case.sent(2).await;
    let letter = to(&letters, "admin@demo.test");
    assert!(letter.header("Subject").unwrap().starts_with("Reminder: "), "{:?}", letter.header("Subject"));
    assert!(plain(letter).contains("You have not decided yet."), "{}", plain(letter));
    let second = address(letter);
    assert_ne!(second, first);
    let keys = &case.world.services().keys;
    let id = |text: &str| ApprovalLink::read(keys, text).unwrap().id();
    for row in case.links().await {
        let withdrawn = (row.id == id(first)).then_some(now);
        assert_eq!(row.withdrawn_at, withdrawn, "{row:?}");
        if row.id == id(&second) {
            // The round is over before the link would be.
            assert_eq!(row.expires_at, at(MARCH).plus_days(7));
        }
    }
    case.ask(request, &["admin"], MailCause::Escalated(EscalationReason::Overdue)).await;
    let letters = case.sent(3).await;
    assert!(plain(&letters[0]).contains("the owners may decide as well"), "{}", plain(&letters[0]));
}

/// Whoever stands in for somebody is told for whom.
async fn stood_in_for(case: &Case, request: &approval_request::Model) {
    let now = case.clock.now();
    let row = approval_delegation::Model {
        organization_id: case.organization,
        id: DelegationId::from_u128(1),
        delegator: case.person("manager"),
        delegate: case.person("member"),
        starts_at: now,
        ends_at: now.plus_days(1),
        reason: None,
        revoked_at: None,
        revoked_by: None,
        created_at: now,
    };
    let work = db::work(move |txn| {
        let row = row.clone().into_active_model();
        Box::pin(async move {
            approval_delegation::Entity::insert(row).exec_without_returning(txn).await?;
            Ok(())
        })
    });
    case.world.services().context.db.write(case.tenant(), work).await.unwrap();
    let for_whom = case.person("manager");
    case.ask(request, &["member"], MailCause::StandIn { for_whom }).await;
    let letters = case.sent(4).await;
    let text = plain(to(&letters, "member@demo.test"));
    for said in ["you stand in for Mona Manager.", "You decide in the name of: Mona Manager"] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

/// An organization's own logo comes with its mails.
async fn branded(case: &Case, request: &approval_request::Model) {
    let owner = case.world.client("owner@demo.test").await;
    let organization = global_id::encode(case.organization);
    let set = async |logo: Option<&str>| {
        let input = json!({ "organizationId": organization, "logo": logo });
        owner
            .try_mutate("setOrganizationLogo", "SetOrganizationLogoInput", input, "organization { logo }")
            .await
    };
    let payload = set(Some("R0lGODlh")).await;
    assert_eq!(refusal(&payload), ("INVALID".to_owned(), "logo".to_owned()), "{payload}");
    let payload = set(Some(PIXEL)).await;
    let shown = format!("data:image/png;base64,{PIXEL}");
    assert_eq!(payload["organization"]["logo"], json!(shown), "{payload}");
    case.ask(request, &["manager"], MailCause::Asked).await;
    let letter = case.sent(5).await.remove(0);
    for said in ["multipart/related", "Content-ID: <logo>", "Content-Type: image/png", &PIXEL[..40]] {
        assert!(letter.data.contains(said), "{said}: {}", letter.data);
    }
    assert!(plain(&letter).contains("src=\"cid:logo\""), "{}", plain(&letter));
    assert_eq!(set(None).await["organization"]["logo"], json!(null));
    assert_eq!(set(None).await["organization"]["logo"], json!(null));
    // The last one changed nothing.
    let events = "SELECT count(*) AS n FROM audit_event WHERE action = 'setOrganizationLogo'";
    assert_eq!(case.world.number(events).await, 2);
}

/// Those who have asked learn what has become of it, and whoever pays where.
async fn told(case: &Case, request: &approval_request::Model) {
    case.tell(request, Told::Approved).await;
    case.ask(request, &["owner", "operator"], MailCause::Stuck).await;
    let links = case.links().await.len();
    case.tell(request, Told::Pay { to: case.person("owner") }).await;
    case.tell(request, Told::Pay { to: case.person("operator") }).await;
    let letters = case.sent(6).await;
    assert_eq!(letters.len(), 3);
    assert!(letters.iter().all(|letter| letter.to.contains("owner@demo.test")));
    let about = |subject: &str| {
        let named = |letter: &&Came| letter.header("Subject").unwrap().starts_with(subject);
        letters.iter().find(named).unwrap_or_else(|| panic!("no {subject}"))
    };
    for subject in ["Approved: ", "Nobody can decide: "] {
        assert!(!about(subject).data.contains("/approval/"), "{}", about(subject).data);
    }
    let letter = about("To be paid: ");
    let link = ApprovalLink::read(&case.world.services().keys, &address(letter)).unwrap();
    assert_eq!((link.kind(), link.user()), (LinkKind::Pay, case.person("owner")));
    let row = case.links().await.into_iter().find(|row| row.id == link.id()).unwrap();
    assert_eq!(code_of(letter), link.code(&case.world.services().keys));
    // The price holds for longer than the link.
    assert_eq!((row.expires_at, case.links().await.len()), (case.clock.now().plus_days(3), links + 1));
}

/// Another round: in the language of its policy, asked for by somebody who does not belong to the organization.
async fn changed(case: &Case) {
    let request = case.open(2, "operator", Language::German).await;
    case.tell(&request, Told::NewRound).await;
    case.ask(&request, &["manager"], MailCause::Asked).await;
    let letters = case.sent(9).await;
    assert_eq!(letters.len(), 2);
    assert!(letters.iter().all(|letter| !letter.to.contains("operator")));
    let text = plain(to(&letters, "manager@demo.test"));
    for said in
        ["Die Seite fragt nach diesem Code: ", "Dies ist Runde 2", "500 Credits", "899,00 USD", "lang=\"de\""]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("500 credits"), "{text}");
    assert!(!text.contains("Olga") && !text.contains("Owen"), "{text}");
}

/// Whoever has said no is named, until they are forgotten: then a mail that waits is not sent any more.
async fn forgotten(case: &Case) {
    let now = case.clock.now();
    let row = approval_decision::Model {
        organization_id: case.organization,
        id: DecisionId::from_u128(1),
        request_id: ApprovalId::from_u128(7),
        round: 2,
        stage: 0,
        choice: Choice::Reject,
        decided_by: case.person("admin"),
        seat: case.person("admin"),
        exception: None,
        way: DecisionWay::Api,
        link_id: None,
        reason_hash: Some(vec![6; 32]),
        idempotency_key: Key([1; 16]),
        request_hash: RequestHash([2; 16]),
        created_at: now,
    };
    let reason = approval_reason::Model {
        organization_id: case.organization,
        request_id: ApprovalId::from_u128(7),
        round: 2,
        name: "DECISION".into(),
        written_by: case.person("admin"),
        about: None,
        salt: Some(vec![5; 32]),
        value: Some("Too dear".into()),
        erased_at: None,
    };
    let work = db::work(move |txn| {
        let (row, reason) = (row.clone().into_active_model(), reason.clone().into_active_model());
        Box::pin(async move {
            approval_decision::Entity::insert(row).exec_without_returning(txn).await?;
            approval_reason::Entity::insert(reason).exec_without_returning(txn).await?;
            Ok(())
        })
    });
    case.world.services().context.db.write(case.tenant(), work).await.unwrap();
    case.world.sql("UPDATE approval_request SET state = 'REJECTED', ended_at = stage_since").await;
    let requests = case.world.database.rows::<approval_request::Entity>().await;
    case.tell(&requests[0], Told::Rejected).await;
    let letter = case.sent(11).await.remove(0);
    assert!(letter.to.contains("owner@demo.test"), "{}", letter.to);
    for said in ["Abgelehnt von: Ada Admin", "> Too dear"] {
        assert!(plain(&letter).contains(said), "{said}: {}", plain(&letter));
    }
    case.tell(&requests[0], Told::Rejected).await;
    let operator = case.world.client("operator@bursar.test").await;
    let input = json!({ "userId": global_id::encode(case.person("admin")) });
    operator.mutate("erasePerson", "ErasePersonInput", input, "user { id }").await;
    assert_eq!(case.sent(12).await.len(), 0);
    let rows = case.world.database.rows::<delivery::Entity>().await;
    let decided = rows.iter().filter(|row| row.template == Some(MailTemplate::ApprovalDecided));
    assert!(decided.clone().any(|row| row.state == DeliveryState::Dead && row.facts == "{}"));
    assert!(rows.iter().all(|row| !row.facts.contains("Ada Admin")));
    // Of others nothing is lost.
    assert!(decided.clone().any(|row| row.state == DeliveryState::Delivered && row.facts != "{}"));
}

/// What was bought on invoice is due by the day that the invoice names.
async fn owed(case: &Case, request: &approval_request::Model) {
    let total = Money { minor: 91_200, currency: Currency::USD };
    // The demonstration's clocks go by New York.
    let due_at = at("2026-04-12T03:59:59Z");
    case.tell(request, Told::Invoiced { total, due_at }).await;
    let text = plain(&case.sent(12).await[0]);
    for said in ["Total: USD 912.00", "To be paid by: 11 April 2026\r\n"] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

/// What charges have used counts for 90 days, to the instant.
async fn used(case: &Case) {
    let (owner, pool) = (case.world.client("owner@demo.test").await, global_id::encode(case.pool));
    for (key, credits) in [("a", 12), ("b", 6)] {
        let payload = owner.charge(uses::of(&pool, key, credits)).await;
        assert_eq!(payload["userErrors"], json!([]), "{payload}");
    }
    // What is held is not used.
    let payload = uses::hold(&owner, uses::of(&pool, "c", 10)).await;
    assert_eq!(payload["userErrors"], json!([]), "{payload}");
    let charged = case.clock.now();
    let heads = case.world.database.rows::<pool_head::Entity>().await;
    let head = heads.into_iter().find(|row| row.pool_id == case.pool).unwrap();
    assert_eq!(head.consumed, 18);
    for (days, used) in [(0, 18_i64), (89, 18), (90, 0)] {
        let now = charged.plus_days(days);
        let snapshot = case.world.services().context.db.read(case.tenant()).await.unwrap();
        let figures = ledger::figures(&snapshot, case.tenant(), case.pool, now).await.unwrap();
        assert_eq!(figures.used_90_days.get(), used, "{days}");
        let has = figures.balance.available().get();
        assert_eq!(figures.runway_days, (used > 0).then(|| has * 90 / used.max(1)), "{days}");
        if days == 0 {
            assert_eq!((has, figures.runway_days), (72, Some(360)));
        }
    }
}
