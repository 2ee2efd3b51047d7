//! Links of approvals against machines and against haste: whatever opens them, however often and by whichever method, decides
//! nothing and pays nothing; of those who press the button at once with the same link, one decides. What proves a link is sent to nobody and
//! kept nowhere. A link to pay by leads to one checkout, and whoever pays gets another one when it is over.

use std::collections::BTreeMap;

use bursar::clock::Clock;
use bursar::schedule;
use bursar_domain::approval::LinkKind;
use bursar_entity::delivery;
use futures_util::future::join_all;
use serde_json::json;

use crate::on_both_databases;
use crate::support::acts::at;
use crate::support::approvals::{self, Asked, Browser, Letter, managers_and_owners, newest, professional};
use crate::support::caps::member;
use crate::support::{Backend, World, dump};

on_both_databases!(
    machines_decide_nothing,
    machines_pay_nothing,
    one_of_fifty_decides,
    another_link_comes_when_one_is_over,
);

const MARCH: &str = "2026-03-10T12:00:00Z";
const MANAGER: &str = "manager@demo.test";
const ADMIN: &str = "admin@demo.test";

/// A server where managers of Sales and one of the owners have to agree, and what the manager is asked there.
async fn asked(backend: Backend) -> (World, Asked, Letter) {
    let world = World::start_untimed(backend, Clock::set(at(MARCH))).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let rule = professional(managers_and_owners(&demo.sales, 1));
    approvals::save(&owner, &demo.organization, rule, json!({})).await;
    let admin = world.client(ADMIN).await;
    let asked = approvals::requested(&admin, &demo.pool, "PROFESSIONAL", "large").await;
    let letter = newest(&world, MANAGER, LinkKind::Decide).await;
    (world, asked, letter)
}

async fn machines_decide_nothing(backend: Backend) {
    let (world, asked, letter) = asked(backend).await;
    let browser = Browser::nobody();
    let filled = format!("{}?choice=APPROVE&code={}&reason=x&sole_owner=yes", letter.url, letter.code);
    for url in [&letter.url, &filled] {
        for method in ["GET", "HEAD", "OPTIONS", "GET", "PUT", "PATCH", "DELETE"] {
            let page = browser.ask(method, url).await;
            let status = if matches!(method, "GET" | "HEAD") { 200 } else { 405 };
            assert_eq!(page.status, status, "{method}");
        }
    }
    // Machines that send what they find, with what they make up: as scripts do, as forms of other pages do.
    let open = browser.open(&letter.url).await;
    let (nonce, http) = (open.nonce(), reqwest::Client::new());
    for fields in [
        vec![("nonce", nonce)],
        vec![("nonce", nonce), ("choice", "APPROVE"), ("code", ""), ("reason", "test")],
        vec![("nonce", nonce), ("choice", "REJECT"), ("code", ""), ("reason", "test")],
        vec![("nonce", nonce), ("choice", "APPROVE"), ("code", "test"), ("sole_owner", "yes")],
    ] {
        assert_eq!(browser.send(&letter.url, &fields).await.state(), (400, "OPEN"), "{fields:?}");
    }
    let good = [("nonce", nonce), ("choice", "APPROVE"), ("code", letter.code.as_str())];
    for (header, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://elsewhere.example")] {
        let sent = http.post(&letter.url).header(header, value).form(&good).send().await.unwrap();
        assert_eq!(sent.status().as_u16(), 403, "{header}");
        assert!(sent.text().await.unwrap().contains("data-state=\"FOREIGN\""));
    }
    // As a body of another kind nothing of it is read.
    let sent = http.post(&letter.url).json(&BTreeMap::from(good)).send().await.unwrap();
    assert_eq!(sent.status().as_u16(), 409);
    assert_eq!(approvals::decisions(&world).await, 0);
    let row = newest(&world, MANAGER, LinkKind::Decide).await.row;
    assert_eq!((row.used_at, row.withdrawn_at, row.wrong_codes), (None, None, 0));
    // What proves it, and the digits, are in none of the rows, and so in no file that is made of them.
    let proof = letter.url.rsplit('.').next().unwrap();
    let deliveries = world.database.rows::<delivery::Entity>().await;
    assert!(deliveries.iter().any(|row| format!("{row:?}").contains("approval")), "{deliveries:?}");
    let rows = String::from_utf8_lossy(&dump::rows(&world.database).await).into_owned();
    let link = bursar::global_id::encode(row.id);
    assert!(rows.contains(&link) && !rows.contains(proof), "the link is known by its name alone");
    let owner = world.client("owner@demo.test").await;
    for path in ["/export/organization?organization=demo", "/export/audit?organization=demo&format=jsonl"] {
        let file = owner.http().get(owner.url(path)).bearer_auth(owner.token()).send().await.unwrap();
        assert_eq!(file.status().as_u16(), 200, "{path}");
        let text = String::from_utf8_lossy(&file.bytes().await.unwrap()).into_owned();
        assert!(text.contains(&asked.request) && !text.contains(proof), "{path}");
    }
    // It was as good as ever all the while.
    assert_eq!(browser.approve(&letter).await.state(), (200, "DECIDED"));
}

/// Everybody agrees, by mail; answers the link of whoever pays.
async fn agreed(world: &World, manager: &Letter) -> Letter {
    let browser = Browser::nobody();
    assert_eq!(browser.approve(manager).await.state(), (200, "DECIDED"));
    let owner = newest(world, "owner@demo.test", LinkKind::Decide).await;
    assert_eq!(browser.approve(&owner).await.state(), (200, "DECIDED"));
    newest(world, ADMIN, LinkKind::Pay).await
}

async fn machines_pay_nothing(backend: Backend) {
    let (world, asked, letter) = asked(backend).await;
    let (browser, http) = (Browser::nobody(), reqwest::Client::new());
    let (owner, admin) = (world.client("owner@demo.test").await, world.client(ADMIN).await);
    let pay = agreed(&world, &letter).await;
    let payments = async || world.number("SELECT count(*) AS n FROM payment").await;
    let row = async || newest(&world, ADMIN, LinkKind::Pay).await.row;
    let (begun, place) = (payments().await, member(&owner, ADMIN).await);
    assert_eq!(row().await.expires_at, at("2026-03-13T12:00:00Z"), "as long as other links");
    for url in [&pay.url, &format!("{}?code={}", pay.url, pay.code)] {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"] {
            let status = if matches!(method, "GET" | "HEAD") { 200 } else { 405 };
            assert_eq!(browser.ask(method, url).await.status, status, "{method}");
        }
    }
    let nonce = browser.open(&pay.url).await.nonce().to_owned();
    for code in ["", "test", "12", "12345"] {
        let fields = [("nonce", nonce.as_str()), ("code", code)];
        assert_eq!(browser.send(&pay.url, &fields).await.state(), (400, "PAY"), "{code}");
    }
    assert_eq!(browser.send(&pay.url, &[("code", &pay.code)]).await.state(), (409, "PAY"), "no nonce");
    let good = [("nonce", nonce.as_str()), ("code", pay.code.as_str())];
    for (header, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://elsewhere.example")] {
        let sent = http.post(&pay.url).header(header, value).form(&good).send().await.unwrap();
        assert_eq!(sent.status().as_u16(), 403, "{header}");
    }
    let sent = http.post(&pay.url).json(&BTreeMap::from(good)).send().await.unwrap();
    assert_eq!(sent.status().as_u16(), 409, "as a body of another kind nothing of it is read");
    let untouched = row().await;
    assert_eq!((untouched.used_at, untouched.wrong_codes, payments().await), (None, 0, begun));
    // Whoever may no longer buy pays nothing, with the right digits either.
    let takes = async |role: &str| {
        let input = json!({ "memberId": place, "role": role });
        owner.mutate("updateMemberRole", "UpdateMemberRoleInput", input, "member { role }").await;
    };
    for role in ["AUDITOR", "MEMBER"] {
        takes(role).await;
        assert_eq!(browser.open(&pay.url).await.state(), (403, "NO_LONGER_ELIGIBLE"), "{role}");
        assert_eq!(browser.send(&pay.url, &good).await.state(), (403, "NO_LONGER_ELIGIBLE"), "{role}");
    }
    takes("ADMIN").await;
    assert_eq!((row().await.used_at, payments().await), (None, begun));
    // However often it is pressed at once, it leads to the checkout that is open.
    let led = join_all((0..5).map(|_| browser.send(&pay.url, &good))).await;
    let checkout = led[0].location.clone().unwrap_or_else(|| panic!("{}", led[0].body));
    for page in &led {
        assert_eq!((page.status, page.location.as_ref()), (303, Some(&checkout)), "{}", page.body);
    }
    assert!(row().await.used_at.is_some() && payments().await == begun);
    // Wrong digits end it, also when it was used.
    assert_eq!(guessed(&browser, &pay).await, [400, 400, 400, 400, 410]);
    let ended = "SELECT count(*) AS n FROM audit_event WHERE action = 'endApprovalLink'";
    assert_eq!(world.number(ended).await, 1, "its end is on record");
    let guessed = [(410, "TRIED_TOO_OFTEN".to_owned()), (410, "TRIED_TOO_OFTEN".to_owned())];
    assert_eq!(browser.both(&pay).await, guessed);
    // It leads to no other checkout when that is closed, and says the same of when another link comes.
    assert_eq!(owner.submit(&format!("{}{checkout}/cancel", world.base)).await.0, 200);
    assert_eq!(browser.both(&pay).await, guessed);
    assert_eq!(payments().await, begun, "a link that was used begins nothing");
    // Whoever may buy can still pay without it.
    let input = json!({ "purchaseId": asked.purchase, "idempotencyKey": "without the link" });
    let begun = admin.mutate("startCheckout", "StartCheckoutInput", input, "checkoutUrl").await;
    assert!(begun["checkoutUrl"].is_string(), "{begun}");
    // Its time is over before that of the price.
    let demo = owner.demo().await;
    approvals::requested(&admin, &demo.pool, "PROFESSIONAL", "another").await;
    let pay = agreed(&world, &newest(&world, MANAGER, LinkKind::Decide).await).await;
    world.clock.turn(at("2026-03-13T11:59:59Z"));
    assert_eq!(browser.open(&pay.url).await.state(), (200, "PAY"));
    world.clock.turn(at("2026-03-13T12:00:00Z"));
    assert_eq!(browser.pay(&pay).await.state(), (410, "EXPIRED"));
}

/// Enters wrong digits five times; answers the statuses.
async fn guessed(browser: &Browser, letter: &Letter) -> Vec<u16> {
    let wrong = if letter.code == "0000" { "1111" } else { "0000" };
    let mut said = Vec::new();
    for _ in 0..5 {
        said.push(browser.fill(&letter.url, &[("code", wrong)]).await.status);
    }
    said
}

/// The pages of a link that was used, and whose checkout is closed: opened and sent.
fn used() -> [(u16, String); 2] {
    [(200, "USED".to_owned()), (409, "USED".to_owned())]
}

/// How many links to pay by somebody was sent.
async fn sent_to_pay(world: &World, email: &str) -> usize {
    approvals::links(world, email).await.iter().filter(|row| row.kind == LinkKind::Pay).count()
}

/// Does what is due so many hours from now.
async fn later(world: &World, hours: i64) {
    world.clock.turn(world.clock.now().plus_seconds(hours * 3_600));
    schedule::run_once(&world.services().selling).await.unwrap();
}

/// Gives up the checkout that a link leads to; whether it has led to one.
async fn given_up(world: &World, browser: &Browser, letter: &Letter) -> bool {
    let Some(checkout) = browser.pay(letter).await.location else { return false };
    let owner = world.client("owner@demo.test").await;
    assert_eq!(owner.submit(&format!("{}{checkout}/cancel", world.base)).await.0, 200);
    assert_eq!(browser.both(letter).await, used());
    later(world, 0).await;
    true
}

async fn another_link_comes_when_one_is_over(backend: Backend) {
    let world = World::start_untimed(backend, Clock::set(at(MARCH))).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    // Whoever agrees pays: a member, who may begin no checkout otherwise.
    let managers = json!([{ "name": "Department", "approvers": [{ "departmentManagersOf": demo.sales }] }]);
    let more = json!({ "payer": "APPROVER" });
    approvals::save(&owner, &demo.organization, professional(managers), more).await;
    let (admin, browser) = (world.client(ADMIN).await, Browser::nobody());
    let agreed = async |key: &str| {
        let asked = approvals::requested(&admin, &demo.pool, "PROFESSIONAL", key).await;
        let letter = newest(&world, MANAGER, LinkKind::Decide).await;
        assert_eq!(browser.approve(&letter).await.state(), (200, "DECIDED"));
        later(&world, 0).await;
        asked
    };
    let to_pay = async |email: &str| newest(&world, email, LinkKind::Pay).await;
    // However often somebody begins to pay and gives it up, their mails have an end.
    agreed("given up").await;
    let mut times = 0;
    while given_up(&world, &browser, &to_pay(MANAGER).await).await {
        times += 1;
        assert!(times < 20, "it has no end");
    }
    assert_eq!((times, sent_to_pay(&world, MANAGER).await), (11, 11));
    // One that has led to a checkout is replaced when that is closed, and leads to that of the next one neither.
    let asked = agreed("paid in the end").await;
    let (first, before) = (to_pay(MANAGER).await, sent_to_pay(&world, MANAGER).await);
    assert_eq!(before, 12, "one link, however often it is looked");
    assert!(given_up(&world, &browser, &first).await);
    let second = to_pay(MANAGER).await;
    assert_eq!(sent_to_pay(&world, MANAGER).await, before + 1);
    let again = "SELECT count(*) AS n FROM delivery WHERE facts LIKE '%\"why\":\"AGAIN\"%'";
    assert_eq!(world.number(again).await, 11);
    assert_eq!(browser.open(&second.url).await.state(), (200, "PAY"));
    let checkout = browser.pay(&second).await.location.unwrap();
    assert_eq!(browser.open(&first.url).await.state(), (410, "WITHDRAWN"));
    assert_eq!(owner.submit(&format!("{}{checkout}/cancel", world.base)).await.0, 200);
    later(&world, 0).await;
    // One that wrong digits have ended is replaced after a day, and one that is over at once.
    let third = to_pay(MANAGER).await;
    assert_eq!(guessed(&browser, &third).await, [400, 400, 400, 400, 410]);
    later(&world, 23).await;
    assert_eq!(sent_to_pay(&world, MANAGER).await, before + 2);
    later(&world, 1).await;
    let fourth = to_pay(MANAGER).await;
    assert_eq!(sent_to_pay(&world, MANAGER).await, before + 3);
    world.clock.turn(fourth.row.expires_at);
    assert_eq!(browser.pay(&fourth).await.state(), (410, "EXPIRED"));
    later(&world, 0).await;
    let fifth = to_pay(MANAGER).await;
    assert_eq!(
        (fifth.row.expires_at, browser.open(&fifth.url).await.state()),
        (at("2026-03-17T12:00:00Z"), (200, "PAY"))
    );
    // Who has left pays no more: whoever has asked does, and when that is nobody who may buy, the owners.
    let owner = world.client("owner@demo.test").await;
    let input = json!({ "memberId": member(&owner, MANAGER).await });
    owner.mutate("removeMember", "RemoveMemberInput", input, "removedMemberId").await;
    assert_eq!(browser.pay(&fifth).await.state(), (403, "NO_LONGER_ELIGIBLE"));
    later(&world, 24).await;
    let asker = to_pay(ADMIN).await;
    assert_eq!(browser.open(&asker.url).await.state(), (200, "PAY"));
    let owner = world.client("owner@demo.test").await;
    let input = json!({ "memberId": member(&owner, ADMIN).await, "role": "MEMBER" });
    owner.mutate("updateMemberRole", "UpdateMemberRoleInput", input, "member { role }").await;
    later(&world, 24).await;
    let last = to_pay("owner@demo.test").await;
    let checkout = browser.pay(&last).await.location.unwrap();
    let owner = world.client("owner@demo.test").await;
    assert_eq!(owner.submit(&format!("{}{checkout}/pay", world.base)).await.0, 200);
    assert_eq!(approvals::shown(&owner, &asked.purchase).await["state"], "COMPLETED");
    let renewed = "SELECT count(*) AS n FROM audit_event WHERE action = 'renewApprovalLinks'";
    assert_eq!(world.number(renewed).await, 16);
    later(&world, 24).await;
    assert_eq!(world.number(renewed).await, 16, "it is paid");
    // Whoever has left learns nothing more of it than that.
    for (letter, shows) in [(&last, true), (&asker, true), (&first, false), (&fifth, false)] {
        let page = browser.open(&letter.url).await;
        assert_eq!(page.state(), (200, "PAID"));
        for text in ["USD 899.00", "A house at the lake", "Main"] {
            assert_eq!(page.body.contains(text), shows, "{text}: {}", page.body);
        }
    }
}

async fn one_of_fifty_decides(backend: Backend) {
    let (world, asked, letter) = asked(backend).await;
    let browser = Browser::nobody();
    let nonce = browser.open(&letter.url).await.nonce().to_owned();
    let fields = [("nonce", nonce.as_str()), ("code", letter.code.as_str()), ("choice", "APPROVE")];
    let sent = join_all((0..50).map(|_| browser.send(&letter.url, &fields))).await;
    let mut said: BTreeMap<(u16, &str), usize> = BTreeMap::new();
    for page in &sent {
        *said.entry(page.state()).or_default() += 1;
    }
    assert_eq!(said, BTreeMap::from([((200, "DECIDED"), 1), ((409, "DECIDED_BY_YOU"), 49)]));
    assert_eq!(approvals::decisions(&world).await, 1);
    let recorded = "SELECT count(*) AS n FROM audit_event WHERE action = 'approvePurchase'";
    assert_eq!(world.number(recorded).await, 1);
    // The last one who has to agree, by mail and by the API at once: it is used once.
    let owner = world.client("owner@demo.test").await;
    let letter = newest(&world, "owner@demo.test", LinkKind::Decide).await;
    let nonce = browser.open(&letter.url).await.nonce().to_owned();
    let fields = [("nonce", nonce.as_str()), ("code", letter.code.as_str()), ("choice", "APPROVE")];
    let pages = join_all((0..10).map(|_| browser.send(&letter.url, &fields)));
    let calls = join_all((0..10).map(|_| approvals::decide(&owner, &asked.request, 1, "APPROVE", json!({}))));
    let (pages, calls) = tokio::join!(pages, calls);
    let taken = pages.iter().filter(|page| page.status == 200).count()
        + calls.iter().filter(|call| call["userErrors"] == json!([])).count();
    assert_eq!((taken, approvals::decisions(&world).await), (1, 2));
    let shown = approvals::shown(&owner, &asked.purchase).await;
    assert_eq!(
        (&shown["state"], &shown["payments"][0]["state"]),
        (&json!("AWAITING_PAYMENT"), &json!("OPEN"))
    );
    assert_eq!(shown["payments"].as_array().unwrap().len(), 1, "one checkout was begun");
    assert_eq!(world.number("SELECT count(*) AS n FROM approval_link WHERE kind = 'PAY'").await, 1);
}
