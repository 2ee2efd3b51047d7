//! What is agreed to is what is bought: a price that falls goes on, one that rises does not touch what was agreed to, one
//! that has run out is agreed to anew, and a checkout of before a change pays for nothing. Pools that buy by themselves ask
//! like everybody else.

use bursar::clock::Clock;
use bursar::db::Tenant;
use bursar::purchases;
use bursar::{global_id, schedule};
use bursar_domain::approval::LinkKind;
use bursar_domain::delivery::MailTemplate;
use bursar_domain::id::{OrganizationId, PoolId};
use bursar_domain::top_up::TopUpState;
use bursar_entity::{approval_request, auto_top_up, delivery, payment, purchase};
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{at, balances_are_right, refusal};
use crate::support::approvals::{self, Asked, Browser, newest, professional, shown};
use crate::support::client::Demo;
use crate::support::{Backend, Client, World, consent};

on_both_databases!(
    prices_fall_rise_and_run_out,
    a_pool_that_buys_by_itself_asks,
    what_stands_in_the_way_is_waited_for,
);

const MARCH: &str = "2026-03-10T12:00:00Z";
const MANAGER: &str = "manager@demo.test";

/// A server with a clock of the test's own, its owner, and the ids there.
async fn start(backend: Backend) -> (World, Clock, Client, Demo) {
    let clock = Clock::set(at(MARCH));
    let world = World::start_untimed(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    (world, clock, owner, demo)
}

/// The managers of Sales alone.
fn managers(demo: &Demo) -> Value {
    json!([{ "name": "Department", "approvers": [{ "departmentManagersOf": demo.sales }] }])
}

/// From a minute from now on the Professional package costs something else.
async fn costs(world: &World, price: &str) {
    package_costs(world, ("PROFESSIONAL", 500), price).await;
}

/// From a minute from now on a package of so many credits costs something else.
async fn package_costs(world: &World, (code, credits): (&str, i64), price: &str) {
    let clock = &world.clock;
    clock.turn(clock.now().plus_seconds(60));
    let operator = world.client("operator@bursar.test").await;
    let prices = json!([{ "amount": price, "currency": "USD" }]);
    let input = json!({ "code": code, "credits": credits, "prices": prices });
    operator.mutate("savePackage", "SavePackageInput", input, "package { id }").await;
    clock.turn(clock.now().plus_seconds(60));
}

/// Starts a checkout, and answers the payload whatever it says.
async fn begin(client: &Client, asked: &Asked, key: &str) -> Value {
    let input = json!({ "purchaseId": asked.purchase, "idempotencyKey": key });
    let fields = "checkoutUrl payment { amount { amount } } purchase { state total { amount } }";
    client.try_mutate("startCheckout", "StartCheckoutInput", input, fields).await
}

/// Pays at the page of a checkout that was begun; answers the status.
async fn pay(client: &Client, begun: &Value) -> u16 {
    let url = begun["checkoutUrl"].as_str().unwrap_or_else(|| panic!("no checkout: {begun}"));
    client.submit(&format!("{}/pay", url.replace("http://bursar.test", client.base()))).await.0
}

async fn prices_fall_rise_and_run_out(backend: Backend) {
    let (world, clock, owner, demo) = start(backend).await;
    approvals::save(&owner, &demo.organization, professional(managers(&demo)), json!({})).await;
    let (admin, manager) = (world.client("admin@demo.test").await, world.client(MANAGER).await);
    let before = owner.balance(&demo.pool).await.0;
    let agreed = async |key: &str| {
        let asked = approvals::requested(&admin, &demo.pool, "PROFESSIONAL", key).await;
        assert_eq!(approvals::approve(&manager, &asked.request, 1).await, "APPROVED");
        asked
    };
    // What was changed behind everybody's back is not paid for, be it at a checkout that was open already.
    let tampered = agreed("tampered").await;
    let open = begin(&admin, &tampered, "open").await;
    let kept = "lifetime_days = (SELECT lifetime_days FROM approval_round)";
    for (number, (change, back)) in [
        ("lifetime_days = 1", kept),
        ("credits = credits + 1", "credits = credits - 1"),
        ("valid_until = valid_until + 1", "valid_until = valid_until - 1"),
        ("total = total + 1", "total = total - 1"),
        (
            "package_version_id = (SELECT v.id FROM package_version v JOIN package p ON p.id = v.package_id
                WHERE p.code = 'STARTER')",
            kept,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let set = |what: &str| format!("UPDATE purchase SET {what} WHERE state = 'AWAITING_PAYMENT'");
        assert_eq!(world.sql(&set(change)).await, 1);
        let refused = begin(&admin, &tampered, &format!("tampered {number}")).await;
        assert_eq!(refusal(&refused).0, "INVALID_STATE", "{change}: {refused}");
        assert_eq!(world.sql(&set(back)).await, 1);
    }
    pay(&admin, &open).await;
    assert_eq!(owner.balance(&demo.pool).await.0, before);
    assert_eq!(shown(&admin, &tampered.purchase).await["approvalRequest"]["usedAt"], Value::Null);
    // It has fallen since: what was agreed to goes on, for less.
    let falls = agreed("falls").await;
    costs(&world, "799.00").await;
    // By whichever door: the checkout that was opened at the old price is not where the mail leads.
    let browser = Browser::nobody();
    let sent = newest(&world, "admin@demo.test", LinkKind::Pay).await;
    let led = browser.fill(&sent.url, &[("code", &sent.code)]).await.location;
    assert!(led.as_ref().is_some_and(|led| led.starts_with("/checkout/")), "{led:?}");
    let open = shown(&admin, &falls.purchase).await["payments"].as_array().unwrap().clone();
    let open: Vec<_> = open.into_iter().filter(|payment| payment["state"] == "OPEN").collect();
    assert_eq!(open, [json!({ "state": "OPEN", "amount": { "amount": "799.00" } })]);
    assert_eq!(
        browser.fill(&sent.url, &[("code", &sent.code)]).await.location,
        led,
        "it is the same checkout"
    );
    let begun = begin(&admin, &falls, "lower").await;
    assert_eq!(begun["payment"]["amount"]["amount"], "799.00", "{begun}");
    assert_eq!(pay(&admin, &begun).await, 200);
    let bought = shown(&admin, &falls.purchase).await;
    let request = &bought["approvalRequest"];
    assert_eq!((&bought["state"], &request["round"]), (&json!("COMPLETED"), &json!(1)));
    assert!(request["usedAt"].is_string() && request["total"]["amount"] == "899.00", "{bought}");
    // It has risen since: the price that was agreed to holds, as long as it is valid.
    let rises = agreed("rises").await;
    costs(&world, "999.00").await;
    let begun = begin(&admin, &rises, "higher").await;
    assert_eq!(begun["payment"]["amount"]["amount"], "799.00", "{begun}");
    assert_eq!(pay(&admin, &begun).await, 200);
    assert_eq!(owner.balance(&demo.pool).await.0, before + 1_000);
    // A checkout that was begun before a change pays for nothing any more.
    let changes = agreed("changes").await;
    let begun = begin(&admin, &changes, "before").await;
    let input = json!({ "purchaseId": changes.purchase, "round": 1, "note": "Another house" });
    admin.mutate("updatePurchase", "UpdatePurchaseInput", input, "purchase { state }").await;
    assert_eq!(pay(&admin, &begun).await, 409);
    let early = begin(&admin, &changes, "too early").await;
    assert_eq!(refusal(&early).0, "INVALID_STATE", "{early}");
    let asked = shown(&admin, &changes.purchase).await;
    assert_eq!(
        (&asked["state"], &asked["approvalRequest"]["round"]),
        (&json!("PENDING_APPROVAL"), &json!(2))
    );
    // It has run out: those who had agreed are asked again, at the price of that day, and nothing is paid meanwhile.
    costs(&world, "799.00").await;
    let late = agreed("late").await;
    let old = newest(&world, "admin@demo.test", LinkKind::Pay).await;
    costs(&world, "849.00").await;
    clock.turn(clock.now().plus_days(11));
    // The tokens of the first day have run out with the clock.
    let (admin, manager) = (world.client("admin@demo.test").await, world.client(MANAGER).await);
    // A dry run says which round would begin, and leaves none.
    let input = json!({ "purchaseId": late.purchase, "idempotencyKey": "too late", "dryRun": true });
    let fields = "purchase { state approvalRequest { round state total { amount } } }";
    let would = admin.try_mutate("startCheckout", "StartCheckoutInput", input, fields).await;
    assert_eq!(refusal(&would).0, "QUOTE_EXPIRED", "{would}");
    let said = would["userErrors"][0]["message"].as_str().unwrap();
    assert!(said.contains("A new round of approval would begin"), "{said}");
    let request = json!({ "round": 2, "state": "PENDING", "total": { "amount": "849.00" } });
    assert_eq!(would["purchase"], json!({ "state": "PENDING_APPROVAL", "approvalRequest": request }));
    assert_eq!(shown(&admin, &late.purchase).await["approvalRequest"]["round"], 1);
    let begun = begin(&admin, &late, "too late").await;
    assert_eq!(begun["userErrors"][0]["code"], "QUOTE_EXPIRED", "{begun}");
    let asked = shown(&admin, &late.purchase).await;
    let request = &asked["approvalRequest"];
    assert_eq!(
        (&asked["state"], &request["round"], &request["cause"], &request["total"]["amount"]),
        (&json!("PENDING_APPROVAL"), &json!(2), &json!("PRICE_EXPIRED"), &json!("849.00"))
    );
    let page = Browser::nobody().open(&old.url).await;
    assert_eq!(page.state(), (410, "STALE_ROUND"), "what was sent to pay by is of before");
    assert_eq!(approvals::why_not(&manager, &late.request, 1).await, "STALE_ROUND");
    assert_eq!(approvals::approve(&manager, &late.request, 2).await, "APPROVED");
    let begun = begin(&admin, &late, "in time").await;
    assert_eq!(begun["payment"]["amount"]["amount"], "849.00", "{begun}");
    assert_eq!(pay(&admin, &begun).await, 200);
    assert_eq!(pay(&admin, &begun).await, 200, "once more says that it is paid");
    let owner = world.client("owner@demo.test").await;
    assert_eq!(owner.balance(&demo.pool).await.0, before + 1_500);
    // It has run out, and by the policy of today nobody has to agree: it is paid at the price of today, as it is said.
    let asked = approvals::requested(&admin, &demo.pool, "PROFESSIONAL", "free by now").await;
    assert_eq!(approvals::approve(&manager, &asked.request, 1).await, "APPROVED");
    costs(&world, "869.00").await;
    let rule = json!({ "name": "Huge", "conditions": { "creditsFrom": 100_000 }, "stages": managers(&demo) });
    let owner = world.client("owner@demo.test").await;
    approvals::save(&owner, &demo.organization, rule, json!({})).await;
    clock.turn(clock.now().plus_days(11));
    schedule::run_once(&world.services().selling).await.unwrap();
    let admin = world.client("admin@demo.test").await;
    assert_eq!(shown(&admin, &asked.purchase).await["state"], "EXPIRED");
    let begun = begin(&admin, &asked, "at the price of today").await;
    assert_eq!(begun["userErrors"], json!([]), "{begun}");
    assert_eq!(begun["payment"]["amount"]["amount"], "869.00", "{begun}");
    let free = shown(&admin, &asked.purchase).await;
    assert_eq!(
        (&free["state"], &free["approvalBasis"], &free["approvalRequest"]["state"]),
        (&json!("AWAITING_PAYMENT"), &json!("AUTOMATIC"), &json!("WITHDRAWN"))
    );
    let owner = world.client("owner@demo.test").await;
    let had = owner.balance(&demo.pool).await.0;
    assert_eq!(pay(&admin, &begun).await, 200);
    assert_eq!(owner.balance(&demo.pool).await.0, had + 500);
    // Each was used once; what nobody had to agree to used nothing.
    let rows = world.database.rows::<approval_request::Entity>().await;
    assert_eq!(rows.iter().filter(|row| row.used_at.is_some()).count(), 3);
    balances_are_right(&world).await;
}

/// What was charged to ways of paying that are kept.
async fn charges(world: &World) -> Vec<i64> {
    let payments = world.database.rows::<payment::Entity>().await;
    let charged = payments.iter().filter(|payment| payment.payment_method_id.is_some());
    charged.map(|payment| payment.amount).collect()
}

async fn a_pool_that_buys_by_itself_asks(backend: Backend) {
    let (world, clock, owner, demo) = start(backend).await;
    let selling = world.services().selling.clone();
    let organization: OrganizationId = global_id::decode(&demo.organization).unwrap();
    let (tenant, pool): (_, PoolId) = (Tenant::vouched(organization), global_id::decode(&demo.pool).unwrap());
    let rule = json!({ "name": "All", "conditions": {}, "stages": managers(&demo) });
    approvals::save(&owner, &demo.organization, rule, json!({})).await;
    let input = json!({ "poolId": demo.pool, "threshold": 150, "package": "STARTER" });
    let set = owner.mutate("setAutoTopUp", "SetAutoTopUpInput", input, "setupUrl").await;
    let url = set["setupUrl"].as_str().unwrap().replace("http://bursar.test", owner.base());
    let code = consent::code(&selling.keys, &url);
    let form = [("choice", "pays"), ("code", code.as_str())];
    let consent = owner.http().post(&url).form(&form).send().await.unwrap();
    assert_eq!(consent.status().as_u16(), 200);
    let row = async || world.database.rows::<auto_top_up::Entity>().await.pop().unwrap();
    let waiting = async || {
        let rows = world.database.rows::<approval_request::Entity>().await;
        let row = rows.into_iter().find(|row| row.state.as_str() == "PENDING").expect("nobody is asked");
        global_id::encode(row.id)
    };
    let manager = world.client(MANAGER).await;
    let watch = "subscription W($id: ID!) { approvalRequests(organizationId: $id) { id state canDecide } }";
    let mut socket = manager.socket().await;
    socket.subscribe("1", watch, json!({ "id": demo.organization })).await;
    // Nothing is charged before somebody has agreed, however often the pool is looked at.
    for _ in 0..3 {
        purchases::top_up(&selling, tenant, pool).await.unwrap();
    }
    assert_eq!(owner.balance(&demo.pool).await.0, 100);
    let request = waiting().await;
    let seen = json!({ "id": request, "state": "PENDING", "canDecide": true });
    assert_eq!(socket.next("approvalRequests").await, seen, "whoever may decide sees it at once");
    drop(socket);
    assert_eq!(approvals::why_not(&owner, &request, 1).await, "REQUESTER", "who has set it asks");
    // Mail and page say that it is the pool that buys.
    let mails = world.database.rows::<delivery::Entity>().await;
    let asks: Vec<_> =
        mails.iter().filter(|row| row.template == Some(MailTemplate::ApprovalWanted)).collect();
    assert!(asks.len() == 1 && asks[0].facts.contains("\"byItself\":true"), "{asks:?}");
    let page = Browser::nobody().open(&newest(&world, MANAGER, LinkKind::Decide).await.url).await;
    assert!(page.body.contains("the pool, by itself (set by Owen Owner)"), "{}", page.body);
    for said in [&asks[0].facts, &page.body] {
        assert!(!said.contains("Automatic top-up"), "these are nobody's words: {said}");
    }
    assert_eq!(approvals::approve(&manager, &request, 1).await, "APPROVED");
    // The price that they have agreed to runs out before anything is charged: they are asked again, at that of the day.
    package_costs(&world, ("STARTER", 100), "209.00").await;
    clock.turn(clock.now().plus_days(11));
    for _ in 0..2 {
        purchases::top_up(&selling, tenant, pool).await.unwrap();
    }
    let (owner, manager) = (world.client("owner@demo.test").await, world.client(MANAGER).await);
    assert_eq!(owner.balance(&demo.pool).await.0, 100, "nothing is charged that nobody has agreed to");
    assert_eq!((row().await.state, row().await.purchase_id.is_some()), (TopUpState::Charging, true));
    assert!(charges(&world).await.is_empty());
    assert_eq!(waiting().await, request);
    assert_eq!(approvals::why_not(&manager, &request, 1).await, "STALE_ROUND");
    assert_eq!(approvals::approve(&manager, &request, 2).await, "APPROVED");
    // It has fallen since: that is charged.
    package_costs(&world, ("STARTER", 100), "189.00").await;
    schedule::run_once(&selling).await.unwrap();
    assert_eq!(owner.balance(&demo.pool).await.0, 200);
    assert_eq!((row().await.state, row().await.purchase_id), (TopUpState::Ready, None));
    assert_eq!(charges(&world).await, [18_900]);
    let mails = world.database.rows::<delivery::Entity>().await;
    let decided = mails.iter().filter(|row| row.template == Some(MailTemplate::ApprovalDecided));
    // It was agreed to, asked for anew, and agreed to again.
    assert!(
        decided.clone().count() == 3 && decided.clone().all(|row| row.facts.contains("\"byItself\":true"))
    );
    // A no stops the pool: the same would be asked again and again.
    let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": 60 }]);
    let input = json!({ "poolId": demo.pool, "lines": lines, "idempotencyKey": "spent" });
    assert_eq!(owner.charge(input).await["userErrors"], json!([]));
    purchases::top_up(&selling, tenant, pool).await.unwrap();
    let no = json!({ "reason": "There are enough." });
    let said = approvals::decide(&manager, &waiting().await, 1, "REJECT", no).await;
    assert_eq!((&said["userErrors"], &said["request"]["state"]), (&json!([]), &json!("REJECTED")), "{said}");
    for _ in 0..2 {
        purchases::top_up(&selling, tenant, pool).await.unwrap();
        schedule::run_once(&selling).await.unwrap();
    }
    assert_eq!((row().await.state, owner.balance(&demo.pool).await.0), (TopUpState::Paused, 140));
    let bought = world.database.rows::<purchase::Entity>().await;
    let by_itself = bought.iter().filter(|row| row.note.as_deref() == Some("Automatic top-up"));
    assert_eq!(by_itself.count(), 2);
    balances_are_right(&world).await;
}

/// A payment that a bank takes days for, of the purchase that nobody has decided about yet.
async fn is_being_paid(world: &World, was: &str) {
    let other = "UPDATE payment SET state = 'PENDING',
        purchase_id = (SELECT id FROM purchase WHERE state = 'PENDING_APPROVAL')";
    assert_eq!(world.sql(&format!("{other} WHERE state = '{was}'")).await, 1);
}

async fn what_stands_in_the_way_is_waited_for(backend: Backend) {
    let (world, clock, owner, demo) = start(backend).await;
    let selling = world.services().selling.clone();
    approvals::save(&owner, &demo.organization, professional(managers(&demo)), json!({})).await;
    let (admin, manager) = (world.client("admin@demo.test").await, world.client(MANAGER).await);
    let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": "small" });
    let small = admin.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
    let small = small["purchase"]["id"].as_str().unwrap().to_owned();
    begin(&admin, &Asked { purchase: small, request: String::new() }, "small").await;
    let sent = async || approvals::links(&world, "admin@demo.test").await.len();
    let told = "SELECT count(*) AS n FROM delivery WHERE facts LIKE '%\"UNPAID\"%'";
    let later = async |seconds: i64| {
        clock.turn(clock.now().plus_seconds(seconds));
        schedule::run_once(&selling).await.unwrap();
    };
    // A payment is under way: no checkout is begun beside it, and it is tried again when that has come to nothing.
    let waits = approvals::requested(&admin, &demo.pool, "PROFESSIONAL", "waits").await;
    is_being_paid(&world, "OPEN").await;
    assert_eq!(approvals::approve(&manager, &waits.request, 1).await, "APPROVED");
    for seconds in [0, 60, 120] {
        later(seconds).await;
        assert_eq!((sent().await, world.number(told).await), (0, 0), "{seconds}");
    }
    assert_eq!(world.sql("UPDATE payment SET state = 'CANCELLED' WHERE state = 'PENDING'").await, 1);
    later(3_600).await;
    assert_eq!((sent().await, world.number(told).await), (1, 0));
    // Nothing has come of it as long as the price holds: whoever has asked is told, once.
    let (admin, manager) = (world.client("admin@demo.test").await, world.client(MANAGER).await);
    let never = approvals::requested(&admin, &demo.pool, "PROFESSIONAL", "never").await;
    is_being_paid(&world, "CANCELLED").await;
    assert_eq!(approvals::approve(&manager, &never.request, 1).await, "APPROVED");
    later(0).await;
    assert_eq!((sent().await, world.number(told).await), (1, 0));
    for _ in 0..2 {
        later(10 * 86_400 - 1_800 - 60).await;
        // The first one has run out meanwhile: that mail has a link to ask anew by.
        assert_eq!((sent().await, world.number(told).await), (2, 1));
    }
    balances_are_right(&world).await;
}
