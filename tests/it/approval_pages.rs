//! What the page of an approval's link says in each state that there is, when it is opened and when its form is sent: of a
//! link that is tampered with, over, of a round that is past, of somebody else, of whoever has asked, and of whoever can no
//! longer decide.

mod strangers;

use bursar::clock::Clock;
use bursar::schedule;
use bursar_domain::Timestamp;
use bursar_domain::approval::LinkKind;
use bursar_domain::delivery::MailTemplate;
use bursar_domain::id::Id;
use bursar_entity::delivery;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::on_both_databases;
use crate::support::acts::at;
use crate::support::approvals::{self, Asked, Browser, Letter, managers_and_owners, newest, professional};
use crate::support::client::Demo;
use crate::support::{Backend, Client, World};
use strangers::who_may_not_decide_is_told_why;

on_both_databases!(
    each_state_has_its_page,
    who_may_not_decide_is_told_why,
    time_and_people_change_what_it_says,
    what_was_not_paid_in_time_goes_on
);

const MARCH: &str = "2026-03-10T12:00:00Z";
const MANAGER: &str = "manager@demo.test";

/// A server with a clock of the test's own, where managers of Sales and then two of three owners have to agree to the
/// Professional package.
struct Office {
    backend: Backend,
    world: World,
    clock: Clock,
    owner: Client,
    admin: Client,
    demo: Demo,
    nobody: Browser,
}

impl Office {
    async fn open(backend: Backend) -> Office {
        let clock = Clock::set(at(MARCH));
        let world = World::start_untimed(backend, clock.clone()).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let operator = world.client("operator@bursar.test").await;
        for email in ["second@demo.test", "third@demo.test"] {
            approvals::add(&operator, &demo.organization, email, "OWNER").await;
        }
        let rule = professional(managers_and_owners(&demo.sales, 2));
        approvals::save(&owner, &demo.organization, rule, json!({})).await;
        let admin = world.client("admin@demo.test").await;
        Office { backend, world, clock, owner, admin, demo, nobody: Browser::nobody() }
    }

    /// Asks for something, as the admin, and answers it with the link of the manager.
    async fn ask(&self, key: &str) -> (Asked, Letter) {
        let asked = approvals::requested(&self.admin, &self.demo.pool, "PROFESSIONAL", key).await;
        (asked, self.letter(MANAGER).await)
    }

    async fn letter(&self, email: &str) -> Letter {
        newest(&self.world, email, LinkKind::Decide).await
    }

    /// Makes a link somebody else's: as if the page had been asked for in their name.
    async fn give(&self, letter: &Letter, email: &str) -> Letter {
        let id = Uuid::from_u128(letter.row.id.as_u128());
        let id = match self.backend {
            Backend::Sqlite => format!("X'{}'", id.simple()),
            Backend::Postgres => format!("'{id}'"),
        };
        let person = format!("(SELECT id FROM \"user\" WHERE email = '{email}')");
        let sql = format!("UPDATE approval_link SET user_id = {person} WHERE id = {id}");
        assert_eq!(self.world.sql(&sql).await, 1);
        self.letter(email).await
    }

    /// The pages of a letter without a sign-in: opened, and sent.
    async fn both(&self, letter: &Letter) -> [(u16, String); 2] {
        self.nobody.both(letter).await
    }

    async fn update(&self, client: &Client, asked: &Asked, note: &str) {
        let input = json!({ "purchaseId": asked.purchase, "round": 1, "note": note });
        let fields = "purchase { state }";
        client.mutate("updatePurchase", "UpdatePurchaseInput", input, fields).await;
    }

    async fn cancel(&self, asked: &Asked) {
        let input = json!({ "purchaseId": asked.purchase });
        self.admin.mutate("cancelPurchase", "CancelPurchaseInput", input, "purchase { state }").await;
    }
}

/// The pages of a letter: the status and the word of each.
fn pages(opened: (u16, &str), sent: (u16, &str)) -> [(u16, String); 2] {
    [(opened.0, opened.1.to_owned()), (sent.0, sent.1.to_owned())]
}

async fn each_state_has_its_page(backend: Backend) {
    let office = Office::open(backend).await;
    let Office { world, nobody, owner, .. } = &office;
    // What is wrong with a form decides nothing, and says so where it stands.
    let (asked, letter) = office.ask("first").await;
    let open = nobody.open(&letter.url).await;
    assert_eq!(open.state(), (200, "OPEN"));
    for text in ["USD 899.00", "Ada Admin", "A house at the lake", "Main", "1 of 2: Department"] {
        assert!(open.body.contains(text), "no {text}: {}", open.body);
    }
    assert!(!open.body.contains("<script") && open.body.contains("lang=\"en\""), "{}", open.body);
    let (nonce, code) = (open.nonce(), letter.code.as_str());
    let wrong = if code == "0000" { "1111" } else { "0000" };
    for (form, status) in [
        (vec![("code", code), ("choice", "APPROVE")], 409),
        (vec![("nonce", "old"), ("code", code), ("choice", "APPROVE")], 409),
        (vec![("nonce", nonce), ("code", code)], 400),
        (vec![("nonce", nonce), ("code", code), ("choice", "MAYBE")], 400),
        (vec![("nonce", nonce), ("choice", "APPROVE")], 400),
        (vec![("nonce", nonce), ("code", "12"), ("choice", "APPROVE")], 400),
        (vec![("nonce", nonce), ("code", "abcd"), ("choice", "REJECT"), ("reason", "No")], 400),
        (vec![("nonce", nonce), ("code", code), ("choice", "REJECT")], 400),
        (vec![("nonce", nonce), ("code", code), ("choice", "REJECT"), ("reason", "  ")], 400),
        (vec![("nonce", nonce), ("code", code), ("choice", "REJECT"), ("reason", "\u{200b}")], 400),
        (vec![("nonce", nonce), ("code", code), ("choice", "REJECT"), ("reason", "\u{2800}")], 400),
        (vec![("nonce", nonce), ("code", code), ("choice", "APPROVE"), ("reason", "Not \u{202e}thgir")], 400),
        (vec![("nonce", nonce), ("code", wrong), ("choice", "APPROVE")], 400),
        (vec![("nonce", nonce), ("code", wrong), ("choice", "REJECT"), ("reason", "No")], 400),
    ] {
        let page = nobody.send(&letter.url, &form).await;
        assert_eq!(page.state(), (status, "OPEN"), "{form:?}");
        assert!(page.body.contains("role=\"alert\""), "{form:?}: {}", page.body);
    }
    // A notice belongs to the one field that it is about; a form that is too large has too long a reason.
    let long = "a".repeat(2 * 1024 * 1024);
    for (form, status, field) in [
        (vec![("nonce", nonce), ("code", "12"), ("choice", "APPROVE")], 400, "code"),
        (vec![("nonce", nonce), ("code", code), ("choice", "REJECT")], 400, "reason"),
        (
            vec![("nonce", nonce), ("code", code), ("choice", "REJECT"), ("reason", long.as_str())],
            413,
            "reason",
        ),
    ] {
        let page = nobody.send(&letter.url, &form).await;
        assert_eq!(page.state(), (status, "OPEN"), "{field}");
        let wrong = format!("aria-describedby=\"{field}-hint notice\" aria-invalid=\"true\"");
        assert!(
            page.body.contains(&wrong) && page.body.matches("aria-invalid").count() == 1,
            "{}",
            page.body
        );
    }
    assert_eq!(office.letter(MANAGER).await.row.wrong_codes, 2, "what is no code is no try");
    assert_eq!(approvals::decisions(world).await, 0);
    // Nobody's link, and another one's proof.
    let last = if letter.url.ends_with('A') { 'B' } else { 'A' };
    let tampered = format!("{}{last}", &letter.url[..letter.url.len() - 1]);
    for url in [&tampered, &letter.url.replacen("/d.", "/p.", 1), &format!("{}/approval/x", world.base)] {
        assert_eq!(nobody.open(url).await.state(), (404, "NO_SUCH"), "{url}");
        assert_eq!(nobody.send(url, &[("nonce", nonce)]).await.state(), (404, "NO_SUCH"), "{url}");
    }
    // Somebody else has signed in with this browser: the link stays good.
    let another = Browser::of(world, "member@demo.test").await;
    let other = pages((403, "OTHER_PERSON"), (403, "OTHER_PERSON"));
    assert_eq!(another.both(&letter).await, other);
    let page = another.open(&letter.url).await.body;
    for text in ["899", "Demo", MANAGER, "demo.test"] {
        assert!(!page.contains(text), "nothing of it is shown, nor whose it is: {text}: {page}");
    }
    // As long as an organization is suspended, it is only looked at.
    let operator = world.client("operator@bursar.test").await;
    let input = json!({ "organizationId": office.demo.organization, "reason": "For a test" });
    let fields = "organization { state }";
    operator.mutate("suspendOrganization", "SuspendOrganizationInput", input.clone(), fields).await;
    assert_eq!(office.both(&letter).await, pages((200, "SUSPENDED"), (409, "SUSPENDED")));
    let looked = nobody.open(&letter.url).await;
    assert!(!looked.has_form() && looked.body.contains("USD 899.00"), "{}", looked.body);
    operator.mutate("resumeOrganization", "ResumeOrganizationInput", input.clone(), fields).await;
    assert_eq!(nobody.open(&letter.url).await.state(), (200, "OPEN"));
    // The browser of whoever else has signed in can forget that, and the link opens.
    assert_eq!(another.send(&letter.url, &[("leave", "yes")]).await.state(), (403, "OTHER_PERSON"));
    let left = another.fill(&letter.url, &[("leave", "yes")]).await;
    let cookie = left.cookie.as_deref().unwrap();
    assert!(cookie.starts_with("bursar-person=; Path=/approval; Max-Age=0;"), "{cookie}");
    let place = format!("{}{}", world.base, left.location.as_deref().unwrap());
    assert_eq!((left.status, place.as_str()), (303, letter.url.as_str()));
    assert_eq!(
        nobody.send(&letter.url, &[("leave", "yes")]).await.cookie,
        None,
        "there is nothing to forget"
    );
    // Decided once.
    let form = [("nonce", nonce), ("code", code), ("choice", "APPROVE")];
    assert_eq!(nobody.send(&letter.url, &form).await.state(), (200, "DECIDED"));
    assert_eq!(nobody.send(&letter.url, &form).await.state(), (409, "DECIDED_BY_YOU"), "sent again");
    assert_eq!(office.both(&letter).await, pages((200, "DECIDED_BY_YOU"), (409, "DECIDED_BY_YOU")));
    let [first, second, third] = [
        office.letter("owner@demo.test").await,
        office.letter("second@demo.test").await,
        office.letter("third@demo.test").await,
    ];
    assert_eq!(nobody.approve(&first).await.state(), (200, "DECIDED"));
    assert_eq!(nobody.approve(&second).await.state(), (200, "DECIDED"));
    assert_eq!(office.both(&third).await, pages((200, "APPROVED"), (409, "APPROVED")));
    assert_eq!(approvals::shown(owner, &asked.purchase).await["approvalRequest"]["state"], "APPROVED");
    // Whoever has asked is sent to the checkout. The link may be opened again, and pays once.
    let pay = newest(world, "admin@demo.test", LinkKind::Pay).await;
    let mails = world.database.rows::<delivery::Entity>().await;
    let decided = mails.iter().filter(|row| row.template == Some(MailTemplate::ApprovalDecided)).count();
    let to_pay = mails.iter().filter(|row| row.template == Some(MailTemplate::PurchaseToPay)).count();
    assert_eq!((decided, to_pay), (0, 1), "that it is approved is in the mail about paying");
    assert_eq!(nobody.open(&pay.url).await.state(), (200, "PAY"));
    assert_eq!(nobody.send(&pay.url, &[]).await.state(), (409, "PAY"), "without a nonce");
    let wrong = if pay.code == "0000" { "1111" } else { "0000" };
    for code in ["", "12", "abcd", wrong] {
        let page = nobody.fill(&pay.url, &[("code", code)]).await;
        assert_eq!(page.state(), (400, "PAY"), "{code}");
        assert!(page.body.contains("role=\"alert\""), "{code}: {}", page.body);
    }
    let row = newest(world, "admin@demo.test", LinkKind::Pay).await.row;
    assert_eq!((row.wrong_codes, row.used_at), (1, None), "what is no code is no try");
    let led = nobody.pay(&pay).await;
    let (status, location) = (led.status, led.location.unwrap());
    assert!(status == 303 && location.starts_with("/checkout/"), "{status} {location}");
    assert_eq!(nobody.pay(&pay).await.location, Some(location.clone()), "it is the same checkout");
    let checkout = format!("{}{location}", world.base);
    assert_eq!(owner.submit(&format!("{checkout}/pay")).await.0, 200);
    assert_eq!(office.both(&pay).await, pages((200, "PAID"), (409, "PAID")));
    // One no ends it for everybody.
    let (asked, letter) = office.ask("rejected").await;
    let no = [("code", letter.code.as_str()), ("choice", "REJECT"), ("reason", "There are <b>enough</b>.")];
    let page = nobody.fill(&letter.url, &no).await;
    assert_eq!(page.state(), (200, "DECIDED"));
    assert!(!page.body.contains("<b>enough") && page.body.contains("enough"), "{}", page.body);
    assert_eq!(approvals::shown(owner, &asked.purchase).await["state"], "REJECTED");
    // Withdrawn.
    let (asked, letter) = office.ask("withdrawn").await;
    office.cancel(&asked).await;
    let mails = world.database.rows::<delivery::Entity>().await;
    let told = mails.iter().filter(|row| row.facts.contains("\"WITHDRAWN\""));
    assert_eq!(told.count(), 2, "whoever has asked, and whoever had a mail to decide by");
    assert_eq!(office.both(&letter).await, pages((410, "WITHDRAWN"), (409, "WITHDRAWN")));
    let page = nobody.open(&letter.url).await.body;
    assert!(
        page.contains("USD 899.00") && !page.contains("A house at the lake"),
        "what it was about: {page}"
    );
    // Changed.
    let (asked, letter) = office.ask("changed").await;
    office.update(&office.admin, &asked, "Another house").await;
    assert_eq!(office.both(&letter).await, pages((410, "STALE_ROUND"), (409, "STALE_ROUND")));
    assert_eq!(nobody.open(&office.letter(MANAGER).await.url).await.state(), (200, "OPEN"));
    // A wrong code too often.
    let letter = office.letter(MANAGER).await;
    let wrong = if letter.code == "0000" { "1111" } else { "0000" };
    let mut said = Vec::new();
    for _ in 0..5 {
        let page = nobody.fill(&letter.url, &[("code", wrong), ("choice", "APPROVE")]).await;
        said.push(page.state().0);
    }
    assert_eq!(said, [400, 400, 400, 400, 410]);
    assert_eq!(office.both(&letter).await, pages((410, "TRIED_TOO_OFTEN"), (410, "TRIED_TOO_OFTEN")));
    let page = nobody.open(&letter.url).await.body;
    assert!(page.contains("USD 899.00"), "what it is about: {page}");
    assert!(page.contains("if the time to decide is not over by then"), "no mail is promised: {page}");
    // What a round was opened by is said to whoever is asked again, not to whoever has decided or pays.
    let (asked, _) = office.ask("asked again").await;
    office.update(&office.admin, &asked, "A third house").await;
    let letter = office.letter(MANAGER).await;
    let again = "Why you are asked again";
    let open = nobody.open(&letter.url).await;
    assert!(open.body.contains(again) && open.body.contains("This is round 2."), "{}", open.body);
    let decided = nobody.approve(&letter).await;
    assert!(decided.state() == (200, "DECIDED") && !decided.body.contains(again), "{}", decided.body);
    let decided = nobody.open(&letter.url).await;
    assert!(decided.state() == (200, "DECIDED_BY_YOU") && !decided.body.contains(again), "{}", decided.body);
    for email in ["second@demo.test", "third@demo.test"] {
        let letter = office.letter(email).await;
        assert!(nobody.open(&letter.url).await.body.contains(again), "{email}");
        assert_eq!(nobody.approve(&letter).await.state(), (200, "DECIDED"));
    }
    let pay = newest(world, "admin@demo.test", LinkKind::Pay).await;
    let opened = nobody.open(&pay.url).await;
    assert!(opened.state() == (200, "PAY") && !opened.body.contains(again), "{}", opened.body);
    // As long as the organization is suspended, there is nothing to press either.
    operator.mutate("suspendOrganization", "SuspendOrganizationInput", input.clone(), fields).await;
    let looked = nobody.open(&pay.url).await;
    assert!(looked.state() == (200, "SUSPENDED") && !looked.has_form(), "{}", looked.body);
    operator.mutate("resumeOrganization", "ResumeOrganizationInput", input, fields).await;
    // What is bought is said in the reader's language, whichever the request was written in.
    let rule = professional(managers_and_owners(&office.demo.sales, 2));
    approvals::save(owner, &office.demo.organization, rule, json!({ "language": "DE" })).await;
    let (_, letter) = office.ask("in German").await;
    let page = nobody.open(&letter.url).await;
    assert!(
        page.body.contains("lang=\"de\"") && page.body.contains("Professional: 500 Credits"),
        "{}",
        page.body
    );
}

async fn what_was_not_paid_in_time_goes_on(backend: Backend) {
    let office = Office::open(backend).await;
    let Office { world, nobody, clock, .. } = &office;
    let (asked, decided) = office.ask("unpaid").await;
    assert_eq!(nobody.approve(&decided).await.state(), (200, "DECIDED"));
    let third = office.letter("third@demo.test").await;
    for email in ["owner@demo.test", "second@demo.test"] {
        assert_eq!(nobody.approve(&office.letter(email).await).await.state(), (200, "DECIDED"));
    }
    let pay = newest(world, "admin@demo.test", LinkKind::Pay).await;
    assert_eq!(nobody.open(&pay.url).await.state(), (200, "PAY"));
    clock.turn(clock.now().plus_days(11));
    assert_eq!(nobody.open(&pay.url).await.state(), (410, "EXPIRED"), "before that is written");
    schedule::run_once(&world.services().selling).await.unwrap();
    // It is not said that nobody had decided, to whomever; and whoever has asked and is to pay has one mail about it.
    for letter in [&decided, &third, &pay] {
        assert_eq!(office.both(letter).await, pages((410, "LAPSED"), (409, "LAPSED")));
        let page = nobody.open(&letter.url).await;
        assert!(page.body.contains("not paid in time") && !page.has_form(), "{}", page.body);
    }
    let mails = world.database.rows::<delivery::Entity>().await;
    let about = |word: &str| mails.iter().filter(|row| row.facts.contains(word)).count();
    assert_eq!((about("\"LAPSED\""), about("\"EXPIRED\"")), (1, 0));
    let owner = world.client("owner@demo.test").await;
    assert_eq!(approvals::shown(&owner, &asked.purchase).await["state"], "EXPIRED");
    // What was sent to pay by acts no more. That mail has a link of its own, good for 72 hours, by which those who had agreed
    // are asked anew.
    let fresh = newest(world, "admin@demo.test", LinkKind::Pay).await;
    assert!(fresh.row.id != pay.row.id && fresh.row.expires_at == clock.now().plus_days(3), "{fresh:?}");
    let until = |at: Timestamp, was: Timestamp| {
        format!("UPDATE approval_link SET expires_at = {} WHERE expires_at = {}", at.micros(), was.micros())
    };
    let lasts = fresh.row.expires_at;
    assert_eq!(world.sql(&until(clock.now(), lasts)).await, 1);
    assert_eq!(office.both(&fresh).await, pages((410, "LAPSED"), (409, "LAPSED")), "it is over");
    assert_eq!(world.sql(&until(lasts, clock.now())).await, 1);
    assert_eq!(nobody.open(&fresh.url).await.state(), (200, "LAPSED"));
    assert_eq!(nobody.send(&fresh.url, &[]).await.state(), (409, "LAPSED"), "without a nonce");
    assert_eq!(nobody.fill(&fresh.url, &[]).await.state(), (400, "LAPSED"), "without the digits");
    let again = nobody.fill(&fresh.url, &[("code", &fresh.code)]).await;
    assert_eq!(again.state(), (200, "PRICE_EXPIRED"));
    assert!(again.body.contains("<h1 class=\"good\">"), "it was to do exactly that: {}", again.body);
    let again = approvals::shown(&owner, &asked.purchase).await;
    let request = &again["approvalRequest"];
    assert_eq!(
        (&again["state"], &request["round"], &request["cause"]),
        (&json!("PENDING_APPROVAL"), &json!(2), &json!("PRICE_EXPIRED"))
    );
    for letter in [&pay, &fresh] {
        assert_eq!(office.both(letter).await, pages((410, "STALE_ROUND"), (409, "STALE_ROUND")));
    }
    assert_eq!(nobody.open(&office.letter(MANAGER).await.url).await.state(), (200, "OPEN"));
}

/// How somebody has decided last.
async fn way(client: &Client, purchase: &str) -> Value {
    let shown = approvals::shown(client, purchase).await;
    shown["approvalRequest"]["decisions"].as_array().unwrap().last().unwrap()["way"].clone()
}

async fn time_and_people_change_what_it_says(backend: Backend) {
    let office = Office::open(backend).await;
    let Office { world, nobody, owner, demo, clock, .. } = &office;
    let selling = world.services().selling.clone();
    // Above the policy's limit one signs in first; what is exactly the limit needs no sign-in.
    let rule = || professional(managers_and_owners(&demo.sales, 2));
    let limit = |amount: &str| json!({ "signInAbove": { "amount": amount, "currency": "USD" } });
    approvals::save(owner, &demo.organization, rule(), limit("898.99")).await;
    let (asked, letter) = office.ask("signs in").await;
    assert_eq!(office.both(&letter).await, pages((200, "SIGN_IN"), (403, "SIGN_IN")));
    assert!(!nobody.open(&letter.url).await.has_form());
    let signed_in = Browser::of(world, MANAGER).await;
    assert_eq!(signed_in.open(&letter.url).await.state(), (200, "OPEN"));
    assert_eq!(signed_in.approve(&letter).await.state(), (200, "DECIDED"));
    assert_eq!(way(owner, &asked.purchase).await, "SIGNED_IN_LINK");
    approvals::save(owner, &demo.organization, rule(), limit("899.00")).await;
    let (asked, letter) = office.ask("does not sign in").await;
    assert_eq!(nobody.approve(&letter).await.state(), (200, "DECIDED"));
    assert_eq!(way(owner, &asked.purchase).await, "LINK");
    // A reminder brings another link, and takes the one before back.
    let (_, letter) = office.ask("reminded").await;
    clock.turn(at("2026-03-11T12:00:00Z"));
    schedule::run_once(&selling).await.unwrap();
    assert_eq!(office.both(&letter).await, pages((410, "WITHDRAWN"), (410, "WITHDRAWN")));
    let letter = office.letter(MANAGER).await;
    assert_eq!(nobody.open(&letter.url).await.state(), (200, "OPEN"));
    // After 72 hours it is over; and so is the request after seven days.
    clock.turn(at("2026-03-14T11:59:59Z"));
    assert_eq!(nobody.open(&letter.url).await.state(), (200, "OPEN"));
    clock.turn(at("2026-03-14T12:00:00Z"));
    assert_eq!(office.both(&letter).await, pages((410, "EXPIRED"), (410, "EXPIRED")));
    assert!(nobody.open(&letter.url).await.body.contains("This link has expired."));
    clock.turn(at("2026-03-17T12:00:00Z"));
    assert_eq!(office.both(&letter).await, pages((410, "EXPIRED"), (409, "EXPIRED")), "at its very instant");
    assert!(nobody.open(&letter.url).await.body.contains("The time to decide is over."));
    schedule::run_once(&selling).await.unwrap();
    assert_eq!(office.both(&letter).await, pages((410, "EXPIRED"), (409, "EXPIRED")));
    // Somebody is forgotten: nobody is told that there was such a person. The tokens of before have run out.
    let operator = world.client("operator@bursar.test").await;
    let owner = world.client("owner@demo.test").await;
    let query =
        r#"{ organization(by: { slug: "demo" }) { members(first: 20) { nodes { user { id email } } } } }"#;
    let data = owner.query(query, json!({})).await;
    let people = data["organization"]["members"]["nodes"].as_array().unwrap();
    let person = people.iter().find(|place| place["user"]["email"] == MANAGER).unwrap();
    let input = json!({ "userId": person["user"]["id"] });
    operator.mutate("erasePerson", "ErasePersonInput", input, "user { id }").await;
    assert_eq!(nobody.open(&letter.url).await.state(), (404, "NO_SUCH"));
}
