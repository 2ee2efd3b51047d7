//! Pools that buy by themselves: only once somebody has agreed, at the threshold, one purchase at a time whatever nodes do,
//! never more in a month than was set; declines wait, what a bank asks about is paid by hand, what was cut off goes on.

mod agreed_to;
mod at_once;
mod at_stripe;
mod halted;

use bursar::clock::Clock;
use bursar::db::Tenant;
use bursar::purchases::{self, Selling};
use bursar::{global_id, schedule};
use bursar_domain::id::{OrganizationId, PoolId};
use bursar_domain::purchase::{PaymentState, PurchaseState};
use bursar_domain::top_up::TopUpState;
use bursar_entity::{auto_top_up, payment, payment_method, purchase};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{at, balances_are_right, node, refusal};
use crate::support::client::Demo;
use crate::support::{Backend, Client, World, consent};

on_both_databases!(
    a_pool_buys_by_itself,
    settings_are_checked_and_agreed_to,
    declines_wait_and_end,
    what_a_bank_asks_about_is_paid_by_hand,
    what_was_cut_off_goes_on,
);

const MARCH: &str = "2026-03-10T12:00:00Z";

/// A server that does no timed work by itself, what it sells by, and a pool of it.
struct Shop {
    world: World,
    selling: Selling,
    clock: Clock,
    owner: Client,
    demo: Demo,
    tenant: Tenant,
    pool: PoolId,
}

impl Shop {
    async fn open(backend: Backend) -> Shop {
        let clock = Clock::set(at(MARCH));
        let world = World::start_untimed(backend, clock.clone()).await;
        Shop::of(world, clock).await
    }

    async fn of(world: World, clock: Clock) -> Shop {
        let selling = world.services().selling.clone();
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let organization: OrganizationId = global_id::decode(&demo.organization).unwrap();
        let pool = global_id::decode(&demo.pool).unwrap();
        Shop { world, selling, clock, owner, demo, tenant: Tenant::vouched(organization), pool }
    }

    /// Sets the top-up, and answers the payload whatever it says.
    async fn set(&self, more: Value) -> Value {
        let mut input = json!({ "poolId": self.demo.pool, "threshold": 20, "package": "STARTER" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let fields = "setupUrl autoTopUp { enabled threshold state declines retryAt lastError monthlyMaximum { amount currency }
            spentThisMonth { amount } package { code } pool { id } purchase { id state }
            paymentMethod { label consent consentedAt consentedBy { email } } setBy { email } }";
        self.owner.try_mutate("setAutoTopUp", "SetAutoTopUpInput", input, fields).await
    }

    /// Sets it, and agrees to a card of the sandbox.
    async fn agreed(&self, more: Value, card: &str) -> String {
        let set = self.set(more).await;
        assert_eq!(set["userErrors"], json!([]), "{set}");
        let url = self.url(&set);
        let (status, page) = self.answer(&url, card).await;
        assert!(status == 200 && page.contains("This is agreed."), "{page}");
        url
    }

    /// The address of the page on which somebody agrees.
    fn url(&self, set: &Value) -> String {
        let url = set["setupUrl"].as_str().unwrap_or_else(|| panic!("nobody has to agree: {set}"));
        url.replace("http://bursar.test", self.owner.base())
    }

    /// Sends the page's form.
    async fn answer(&self, url: &str, choice: &str) -> (u16, String) {
        let code = consent::code(&self.selling.keys, url);
        let form = [("choice", choice), ("code", code.as_str())];
        let response = self.owner.http().post(url).form(&form).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn row(&self) -> auto_top_up::Model {
        self.world.database.rows::<auto_top_up::Entity>().await.pop().unwrap()
    }

    /// The purchases that pools have made by themselves, the oldest first.
    async fn bought(&self) -> Vec<PurchaseState> {
        let mut rows = self.world.database.rows::<purchase::Entity>().await;
        rows.retain(|row| row.note.as_deref() == Some("Automatic top-up"));
        rows.sort_by_key(|row| row.id);
        rows.into_iter().map(|row| row.state).collect()
    }

    /// Their payments, the oldest first.
    async fn payments(&self) -> Vec<payment::Model> {
        let mut rows = self.world.database.rows::<payment::Entity>().await;
        rows.retain(|row| row.payment_method_id.is_some());
        rows.sort_by_key(|row| row.id);
        rows
    }

    async fn methods(&self) -> Vec<payment_method::Model> {
        let mut rows = self.world.database.rows::<payment_method::Entity>().await;
        rows.sort_by_key(|row| row.id);
        rows
    }

    /// Uses credits.
    async fn spend(&self, credits: i64) {
        let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": credits }]);
        let key = uuid::Uuid::now_v7().to_string();
        let input = json!({ "poolId": self.demo.pool, "lines": lines, "idempotencyKey": key });
        let owner = self.world.client("owner@demo.test").await;
        let charged = owner.charge(input).await;
        assert_eq!(charged["userErrors"], json!([]), "{charged}");
    }

    async fn look(&self) {
        purchases::top_up(&self.selling, self.tenant, self.pool).await.unwrap();
    }

    async fn available(&self) -> i64 {
        self.world.client("owner@demo.test").await.balance(&self.demo.pool).await.0
    }
}

fn most(amount: &str) -> Value {
    json!({ "monthlyMaximum": { "amount": amount, "currency": "USD" } })
}

async fn a_pool_buys_by_itself(backend: Backend) {
    let shop = Shop::open(backend).await;
    let set = shop.set(most("500.00")).await;
    let shown = &set["autoTopUp"];
    assert_eq!((&shown["state"], &shown["enabled"]), (&json!("AWAITING_CONSENT"), &json!(true)), "{set}");
    assert_eq!(shown["monthlyMaximum"], json!({ "amount": "500.00", "currency": "USD" }));
    assert_eq!((&shown["package"]["code"], &shown["threshold"]), (&json!("STARTER"), &json!(20)));
    assert_eq!((&shown["setBy"]["email"], &shown["purchase"]), (&json!("owner@demo.test"), &Value::Null));
    assert_eq!(shown["paymentMethod"]["consentedAt"], Value::Null);
    shop.spend(79).await;
    shop.spend(1).await;
    shop.look().await;
    assert!(shop.bought().await.is_empty(), "nobody has agreed");

    // Opening the page changes nothing; it says what is agreed to.
    let url = shop.url(&set);
    let (status, page) = shop.owner.open(&url).await;
    assert!(status == 200 && page.contains("at most USD 500.00 in a calendar month"), "{page}");
    let said =
        "has 20 credits available or fewer, for the package Starter of 100 credits, which costs USD 199";
    assert!(page.contains(said), "{page}");
    let (status, _) = shop.answer(&url, "nothing").await;
    assert_eq!((status, shop.row().await.state), (200, TopUpState::AwaitingConsent));
    let forged =
        shop.owner.http().post(&url).header("sec-fetch-site", "cross-site").form(&[("choice", "pays")]);
    assert_eq!(forged.send().await.unwrap().status(), 403);
    let (path, token) = url.rsplit_once('/').unwrap();
    for bad in [format!("{path}/x"), format!("{path}/{}", &token[1..]), shop.owner.url("/consent/a/b/%FF")] {
        assert_eq!(shop.owner.open(&bad).await.0, 404, "{bad}");
        assert_eq!(shop.answer(&bad, "pays").await.0, 404, "{bad}");
    }
    for _ in 0..2 {
        let (status, page) = shop.answer(&url, "pays").await;
        assert!(status == 200 && page.contains("This is agreed.") && page.contains("Sandbox card"), "{page}");
    }
    assert_eq!((shop.row().await.state, shop.methods().await.len()), (TopUpState::Ready, 1));

    // At the threshold, by the timed work that agreeing has asked for.
    assert!(schedule::run_once(&shop.selling).await.unwrap() >= 1);
    assert_eq!(shop.bought().await, [PurchaseState::Completed]);
    assert_eq!(shop.available().await, 120);
    let row = shop.row().await;
    assert_eq!((row.state, row.purchase_id, row.revision), (TopUpState::Ready, None, 1));
    // Above it, nothing, however often it is looked at.
    shop.spend(99).await;
    shop.clock.turn(at(MARCH).plus_seconds(60));
    assert!(schedule::run_once(&shop.selling).await.unwrap() >= 1);
    assert_eq!((shop.bought().await.len(), shop.available().await), (1, 21));

    // Two nodes look at once, several times each: one purchase, one charge, one lot.
    shop.spend(1).await;
    let other = node(&shop.world, shop.clock.clone()).await;
    let there = other.services().selling.clone();
    let looks = (0..8).map(|n| {
        let selling = if n % 2 == 0 { &shop.selling } else { &there };
        purchases::top_up(selling, shop.tenant, shop.pool)
    });
    for looked in join_all(looks).await {
        looked.unwrap();
    }
    assert_eq!(shop.bought().await, [PurchaseState::Completed; 2]);
    assert_eq!((shop.payments().await.len(), shop.available().await), (2, 120));

    // A third one would be 597.00 in March. The month is New York's.
    shop.spend(110).await;
    shop.look().await;
    let row = shop.row().await;
    assert_eq!((shop.bought().await.len(), row.state), (2, TopUpState::Ready));
    assert_eq!(row.retry_at, Some(at("2026-04-01T04:00:00Z")));
    assert!(row.last_error.unwrap().contains("maximum of this month"));
    shop.clock.turn(at("2026-04-01T03:59:59Z"));
    shop.look().await;
    assert_eq!(shop.bought().await.len(), 2);
    shop.clock.turn(at("2026-04-01T04:00:00Z"));
    shop.look().await;
    assert_eq!((shop.bought().await.len(), shop.available().await), (3, 110));
    assert_eq!(shop.row().await.last_error, None);

    // A price that has risen above the maximum is said, and when it falls again the pool buys.
    let costs = async |amount: &str| {
        let operator = shop.world.client("operator@bursar.test").await;
        let price = json!({ "amount": amount, "currency": "USD" });
        let input = json!({ "code": "STARTER", "credits": 100, "prices": [price] });
        operator.mutate("savePackage", "SavePackageInput", input, "package { code }").await;
    };
    let operator = shop.world.client("operator@bursar.test").await;
    let input = json!({ "currency": "USD", "tiers": [] });
    operator.mutate("saveVolumeTiers", "SaveVolumeTiersInput", input, "tiers { fromCredits }").await;
    costs("500.01").await;
    shop.spend(100).await;
    shop.look().await;
    let (row, bought) = (shop.row().await, shop.bought().await.len());
    assert_eq!((row.state, row.retry_at), (TopUpState::Ready, Some(shop.clock.now().plus_seconds(3_600))));
    let why = row.last_error.unwrap();
    assert!(why.contains("USD 500.01") && why.contains("maximum of a month"), "{why}");
    shop.clock.turn(shop.clock.now().plus_seconds(3_600));
    costs("150.00").await;
    shop.look().await;
    assert_eq!((shop.bought().await.len(), shop.available().await), (bought + 1, 110));
    other.close().await.unwrap();
    balances_are_right(&shop.world).await;
}

async fn settings_are_checked_and_agreed_to(backend: Backend) {
    let shop = Shop::open(backend).await;
    let euros = json!({ "monthlyMaximum": { "amount": "500.00", "currency": "EUR" } });
    let refused = |code: &str, field: &str| (code.to_owned(), field.to_owned());
    assert_eq!(refusal(&shop.set(euros).await), refused("INVALID", "monthlyMaximum.currency"));
    // A maximum that no package ever fits is refused, unless it says that nothing is to be bought.
    let too_low = shop.set(most("198.99")).await;
    assert_eq!(refusal(&too_low), refused("INVALID", "monthlyMaximum.amount"));
    let why = too_low["userErrors"][0]["message"].as_str().unwrap();
    assert!(why.contains("at least USD 199.00") && why.contains("STARTER"), "{why}");
    for (maximum, enabled) in [("199.00", true), ("0.00", true), ("198.99", false)] {
        let mut more = most(maximum);
        (more["enabled"], more["dryRun"]) = (json!(enabled), json!(true));
        let set = shop.set(more).await;
        assert_eq!(set["userErrors"], json!([]), "{maximum}: {set}");
    }
    let nothing = json!({ "package": "NOTHING" });
    assert_eq!(refusal(&shop.set(nothing).await), refused("NOT_FOUND", "package"));
    let rehearsed = shop.set(json!({ "dryRun": true })).await;
    assert_eq!(
        (&rehearsed["autoTopUp"]["state"], &rehearsed["setupUrl"]),
        (&json!("AWAITING_CONSENT"), &Value::Null)
    );
    assert!(shop.world.database.rows::<auto_top_up::Entity>().await.is_empty());
    let member = shop.world.client("member@demo.test").await;
    let input = json!({ "poolId": shop.demo.pool, "threshold": 20, "package": "STARTER" });
    let theirs = member.try_mutate("setAutoTopUp", "SetAutoTopUpInput", input, "").await;
    assert_ne!(refusal(&theirs).0, "none");

    let first = shop.agreed(most("500.00"), "pays").await;
    // What takes no more is covered; so is to switch it off and on.
    for more in
        [most("400.00"), json!({ "monthlyMaximum": most("400.00")["monthlyMaximum"], "threshold": 5 })]
    {
        let set = shop.set(more).await;
        assert_eq!((&set["autoTopUp"]["state"], &set["setupUrl"]), (&json!("READY"), &Value::Null), "{set}");
    }
    // To buy earlier, or something else, is not; and no threshold is far above what is bought.
    for (threshold, package, state) in [
        (20, "STARTER", "READY"),
        (21, "STARTER", "AWAITING_CONSENT"),
        (20, "PROFESSIONAL", "AWAITING_CONSENT"),
        (1_001, "STARTER", "threshold"),
    ] {
        let more = json!({ "monthlyMaximum": most("0.00")["monthlyMaximum"], "threshold": threshold,
            "package": package, "dryRun": true });
        let set = shop.set(more).await;
        let stands = set["autoTopUp"]["state"].as_str().map_or(refusal(&set).1, str::to_owned);
        assert_eq!(stands, state, "{set}");
    }
    shop.spend(95).await;
    for (enabled, state) in [(true, "READY"), (false, "PAUSED"), (true, "READY"), (false, "PAUSED")] {
        let mut more = most("400.00");
        more["enabled"] = json!(enabled);
        let set = shop.set(more).await;
        assert_eq!((&set["autoTopUp"]["state"], &set["setupUrl"]), (&json!(state), &Value::Null), "{set}");
    }
    shop.look().await;
    assert!(shop.bought().await.is_empty(), "it is switched off");
    // Nor does it take more when that is set while it is switched off.
    let widened = shop.set(json!({ "enabled": false })).await;
    assert_eq!(
        (&widened["autoTopUp"]["state"], &widened["autoTopUp"]["paymentMethod"]),
        (&json!("PAUSED"), &Value::Null)
    );
    // What may take more is not: nothing is bought until somebody has agreed to that.
    let more = shop.set(json!({})).await;
    assert_eq!(more["autoTopUp"]["state"], "AWAITING_CONSENT");
    let second = shop.url(&more);
    assert_ne!(first, second);
    shop.look().await;
    assert!(shop.bought().await.is_empty());
    let (_, page) = shop.answer(&second, "pays").await;
    assert!(page.contains("without a limit by the month"), "{page}");
    let methods = shop.methods().await;
    assert!(methods[0].removed_at.is_some() && methods[1].removed_at.is_none());
    let (_, page) = shop.owner.open(&first).await;
    assert!(page.contains("This agreement is closed.") && !page.contains("<form"), "{page}");
    let (status, _) = shop.answer(&first, "pays").await;
    assert_eq!((status, shop.methods().await), (200, methods), "what is closed stays so");

    // Withdrawn it is never charged again, and says so.
    let (_, page) = shop.answer(&second, "withdraw").await;
    assert!(page.contains("This agreement is closed."), "{page}");
    shop.look().await;
    assert_eq!((shop.bought().await.len(), shop.row().await.state), (0, TopUpState::AwaitingConsent));
    let actions =
        "SELECT count(*) AS n FROM audit_event WHERE action IN ('agreeToTopUp', 'withdrawTopUpConsent')";
    assert_eq!(shop.world.number(actions).await, 3);
}

async fn declines_wait_and_end(backend: Backend) {
    let shop = Shop::open(backend).await;
    shop.agreed(json!({}), "declines").await;
    shop.spend(90).await;
    let mut now = at(MARCH);
    for (number, hours) in [(1, 1), (2, 4), (3, 16), (4, 48)] {
        shop.look().await;
        let row = shop.row().await;
        let next = now.plus_seconds(hours * 3_600);
        assert_eq!((row.state, row.declines), (TopUpState::BackingOff, number));
        assert_eq!((row.retry_at, row.last_error.as_deref()), (Some(next), Some("card_declined")));
        shop.clock.turn(next.plus_seconds(-1));
        shop.look().await;
        assert_eq!(shop.row().await.declines, number, "not before its time");
        now = next;
        shop.clock.turn(now);
    }
    shop.look().await;
    let row = shop.row().await;
    assert_eq!((row.state, row.declines, row.retry_at), (TopUpState::Paused, 5, None));
    shop.clock.turn(now.plus_days(3));
    shop.look().await;
    assert_eq!(shop.bought().await, [PurchaseState::Cancelled; 5]);
    let payments = shop.payments().await;
    let failed = |row: &payment::Model| {
        (row.state, row.failure.as_deref()) == (PaymentState::Failed, Some("card_declined"))
    };
    assert!(payments.len() == 5 && payments.iter().all(failed), "{payments:?}");
    assert_eq!(shop.available().await, 10);
    // What was not paid counts for nothing, and to set it again lets it go on. It is agreed to already.
    let shop = Shop { owner: shop.world.client("owner@demo.test").await, ..shop };
    let set = shop.set(json!({})).await;
    assert_eq!((&set["autoTopUp"]["state"], &set["setupUrl"]), (&json!("READY"), &Value::Null), "{set}");
    assert_eq!(set["autoTopUp"]["spentThisMonth"], json!({ "amount": "0.00" }));
    shop.look().await;
    assert_eq!((shop.row().await.declines, shop.bought().await.len()), (1, 6));
}

async fn what_a_bank_asks_about_is_paid_by_hand(backend: Backend) {
    let shop = Shop::open(backend).await;
    shop.agreed(json!({}), "asks").await;
    shop.spend(90).await;
    for _ in 0..3 {
        shop.look().await;
    }
    let row = shop.row().await;
    assert_eq!(
        (row.state, row.last_error.as_deref()),
        (TopUpState::AuthenticationRequired, Some("authentication_required"))
    );
    assert_eq!(shop.bought().await, [PurchaseState::PaymentFailed], "one, which waits");
    // Setting it meanwhile leaves what is under way.
    let set = shop.set(json!({ "threshold": 15 })).await;
    let waiting = &set["autoTopUp"];
    assert_eq!(
        (&waiting["state"], &waiting["purchase"]["state"]),
        (&json!("AUTHENTICATION_REQUIRED"), &json!("PAYMENT_FAILED"))
    );
    assert_eq!(waiting["spentThisMonth"], json!({ "amount": "199.00" }));
    let purchase = global_id::encode(row.purchase_id.unwrap());
    let input = json!({ "purchaseId": purchase, "idempotencyKey": "by hand" });
    let started = shop.owner.mutate("startCheckout", "StartCheckoutInput", input, "checkoutUrl").await;
    let url = started["checkoutUrl"].as_str().unwrap().replace("http://bursar.test", shop.owner.base());
    shop.look().await;
    assert_eq!(shop.row().await.state, TopUpState::AuthenticationRequired);
    let (status, page) = shop.owner.submit(&format!("{url}/pay")).await;
    assert!(status == 200 && page.contains("Paid. Thank you."), "{page}");
    let row = shop.row().await;
    assert_eq!((row.state, row.purchase_id, row.declines), (TopUpState::Ready, None, 0));
    assert_eq!((shop.bought().await, shop.available().await), (vec![PurchaseState::Completed], 110));
    balances_are_right(&shop.world).await;
}

/// The charge is made, and what it brings cannot be written: whoever comes next asks with the same key.
async fn what_was_cut_off_goes_on(backend: Backend) {
    let shop = Shop::open(backend).await;
    shop.agreed(json!({}), "pays").await;
    shop.spend(90).await;
    match backend {
        Backend::Sqlite => {
            shop.world.sql("CREATE TRIGGER poison BEFORE INSERT ON lot BEGIN SELECT RAISE(ABORT, 'poisoned'); END").await
        }
        Backend::Postgres => {
            shop.world.sql("CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'poisoned'; END $$; CREATE TRIGGER poison BEFORE INSERT ON lot FOR EACH ROW EXECUTE FUNCTION poison()").await
        }
    };
    for _ in 0..3 {
        purchases::top_up(&shop.selling, shop.tenant, shop.pool).await.unwrap_err();
        let row = shop.row().await;
        assert!(row.state == TopUpState::Charging && row.purchase_id.is_some());
    }
    assert_eq!((shop.bought().await, shop.available().await), (vec![PurchaseState::AwaitingPayment], 10));
    // Nobody withdraws it, or pays it in another way, while its charge may have been made.
    let purchase = global_id::encode(shop.row().await.purchase_id.unwrap());
    let input = json!({ "purchaseId": purchase });
    let cancelled = shop.owner.try_mutate("cancelPurchase", "CancelPurchaseInput", input, "").await;
    assert_eq!(refusal(&cancelled).0, "INVALID_STATE");
    match backend {
        Backend::Sqlite => shop.world.sql("DROP TRIGGER poison").await,
        Backend::Postgres => shop.world.sql("DROP TRIGGER poison ON lot").await,
    };
    // Another node finds it.
    let other = node(&shop.world, shop.clock.clone()).await;
    purchases::top_up(&other.services().selling, shop.tenant, shop.pool).await.unwrap();
    shop.look().await;
    assert_eq!((shop.bought().await, shop.available().await), (vec![PurchaseState::Completed], 110));
    let payments = shop.payments().await;
    assert!(payments.len() == 1 && payments[0].state == PaymentState::Paid, "{payments:?}");
    assert_eq!(shop.row().await.state, TopUpState::Ready);
    other.close().await.unwrap();
    balances_are_right(&shop.world).await;
}
