//! Reversals: what is given back or disputed takes its credits along, wherever they lie, once, whatever is told how often
//! and in which order; and the money adds up to the cent.

use bursar::db::Tenant;
use bursar::global_id;
use bursar::ledger::verify::{Selection, verify};
use bursar::payments::{ProviderDispute, ProviderEvent, ProviderRefund};
use bursar::purchases::{self, Outcome};
use bursar_domain::purchase::PaymentProvider;
use bursar_domain::reversal::ReversalState;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::debts::{
    debts_go_home, debts_go_home_at_the_unfreeze, refunds_reduce_debt_first, what_comes_free_is_taken,
};
use crate::on_both_databases;
use crate::support::acts::{hold, holder, pool, refusal, transfer};
use crate::support::client::Demo;
use crate::support::laws::books_are_right;
use crate::support::{Backend, Client, World, rows, uses};
use crate::undone::refunds_that_fail_are_undone;

on_both_databases!(
    money_goes_back_in_parts,
    credits_go_back_wherever_they_lie,
    what_stands_in_the_way_is_waited_for,
    disputes_hold_and_let_go,
    what_is_told_twice_or_late_happens_once
);

const FIELDS: &str = "reversal { id kind state credits heldCredits reason bookedAt amount { amount currency }
        payment { state } creditNote { kind number } }
    purchase { id state } balance { posted held available debt } replayed";

/// The demonstration with those who act in it.
pub struct Scene {
    /// The server.
    pub world: World,
    /// The owner of the organization.
    pub owner: Client,
    /// The vendor's staff.
    pub operator: Client,
    /// Where it takes place.
    pub demo: Demo,
}

impl Scene {
    /// A server with the demonstration.
    pub async fn set(backend: Backend) -> Scene {
        let world = World::start(backend).await;
        let owner = world.client("owner@demo.test").await;
        let operator = world.client("operator@bursar.test").await;
        let demo = owner.demo().await;
        Scene { world, owner, operator, demo }
    }

    /// An empty pool.
    pub async fn pool(&self, name: &str) -> String {
        pool(&self.owner, &self.demo.organization, name).await
    }

    /// Buys 100 credits for 199.00, and answers the purchase and its payment.
    pub async fn bought(&self, pool: &str, key: &str) -> (String, String) {
        let (purchase, url) = self.owner.checkout(pool, key).await;
        assert_eq!(self.owner.submit(&format!("{url}/pay")).await.0, 200);
        let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { payments { id } } } }";
        let data = self.owner.query(query, json!({ "id": purchase })).await;
        let payment = data["node"]["payments"][0]["id"].as_str().unwrap().to_owned();
        (purchase, payment)
    }

    async fn try_refund(&self, purchase: &str, amount: Option<&str>, more: Value, key: &str) -> Value {
        let amount = amount.map(|amount| json!({ "amount": amount, "currency": "USD" }));
        let mut input = json!({ "purchaseId": purchase, "amount": amount, "reason": "Not needed", "idempotencyKey": key });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.operator.try_mutate("refundPurchase", "RefundPurchaseInput", input, FIELDS).await
    }

    /// Gives money of a purchase back, all that is left of it when no amount is said.
    pub async fn refund(&self, purchase: &str, amount: Option<&str>, key: &str) -> Value {
        let payload = self.try_refund(purchase, amount, json!({}), key).await;
        assert_eq!(payload["userErrors"], json!([]), "{payload}");
        payload
    }

    /// Takes what a provider tells.
    pub async fn tell(&self, event: ProviderEvent) -> Outcome {
        let selling = &self.world.services().selling;
        let origin = Some("told".to_owned());
        purchases::settle(selling, PaymentProvider::Sandbox, event, origin).await.unwrap()
    }

    /// Tells of a dispute of a payment.
    pub async fn dispute(&self, payment: &str, name: &str, state: ReversalState, amount: i64) -> Outcome {
        let (dispute, payment, currency) = (name.to_owned(), payment.to_owned(), "USD".to_owned());
        self.tell(ProviderEvent::Dispute(ProviderDispute { dispute, payment, state, amount, currency })).await
    }

    /// Freezes a pool, or opens it again.
    pub async fn freeze(&self, pool: &str, mutation: &str, kind: &str) {
        let input = json!({ "poolId": pool, "reason": "x" });
        self.operator.mutate(mutation, kind, input, "pool { id }").await;
    }

    async fn suspend(&self, mutation: &str, kind: &str) {
        let input = json!({ "organizationId": self.demo.organization, "reason": "x" });
        self.operator.mutate(mutation, kind, input, "organization { id }").await;
    }

    /// What a pool has, has held, and owes.
    pub async fn has(&self, pool: &str) -> (i64, i64, i64) {
        let query = "query P($id: ID!) { pool(id: $id) { balance { posted held debt } } }";
        let balance = self.owner.query(query, json!({ "id": pool })).await["pool"]["balance"].clone();
        let number = |name: &str| balance[name].as_i64().unwrap();
        (number("posted"), number("held"), number("debt"))
    }

    /// Whether the end of a reversal is booked.
    pub async fn is_booked(&self, reversal: &Value) -> bool {
        let query = "query N($id: ID!) { node(id: $id) { ... on Reversal { bookedAt } } }";
        self.owner.query(query, json!({ "id": reversal })).await["node"]["bookedAt"].is_string()
    }

    /// Where a purchase stands.
    pub async fn state(&self, purchase: &str) -> Value {
        let query = "query N($id: ID!) { node(id: $id) { ... on Purchase { state } } }";
        self.owner.query(query, json!({ "id": purchase })).await["node"]["state"].clone()
    }

    async fn charge(&self, pool: &str, credits: i64, key: &str) -> String {
        refusal(&self.owner.charge(uses::of(pool, key, credits)).await).0
    }

    /// The books are right, and paid is what became of it.
    pub async fn adds_up(&self) {
        books_are_right(&self.world).await;
        let tenant = Tenant::vouched(global_id::decode(&self.demo.organization).unwrap());
        let snapshot = self.world.services().context.db.read(tenant).await.unwrap();
        let money = purchases::reconciliation(&snapshot, tenant).await.unwrap();
        assert!(money.paid > 0);
        assert_eq!(money.difference(), 0, "{money:?}");
    }

    /// The books are what their chains make of them.
    pub async fn verifies(&self) {
        let context = &self.world.services().context;
        let report = verify(context, &Selection::default(), |_| ()).await.unwrap();
        assert_eq!(report.findings().count(), 0, "{report:?}");
    }
}

async fn money_goes_back_in_parts(backend: Backend) {
    let scene = Scene::set(backend).await;
    let pool = scene.pool("Parts").await;
    let (purchase, _) = scene.bought(&pool, "k").await;
    let organization = global_id::decode(&scene.demo.organization).unwrap();
    let db = &scene.world.services().context.db;
    let before = rows::of(db, organization).await;
    let dry = scene.try_refund(&purchase, Some("49.75"), json!({ "dryRun": true }), "part").await;
    assert_eq!(before, rows::of(db, organization).await, "a dry run wrote something");
    let part = scene.refund(&purchase, Some("49.75"), "part").await;
    let reversal = &part["reversal"];
    for payload in [&dry, &part] {
        assert_eq!(payload["reversal"]["heldCredits"], 0);
        assert_eq!(payload["balance"], json!({ "posted": 75, "held": 0, "available": 75, "debt": 0 }));
        assert_eq!(
            (&payload["reversal"]["state"], &payload["reversal"]["credits"], &payload["purchase"]["state"]),
            (&json!("SUCCEEDED"), &json!(25), &json!("COMPLETED")),
            "{payload}"
        );
    }
    assert_eq!(reversal["amount"], json!({ "amount": "49.75", "currency": "USD" }));
    assert_eq!(
        (&reversal["kind"], &reversal["reason"], &reversal["payment"]["state"]),
        (&json!("REFUND"), &json!("Not needed"), &json!("PAID"))
    );
    assert_eq!(reversal["creditNote"]["kind"], "CREDIT_NOTE");
    // The smallest part takes a whole credit.
    assert_eq!(scene.refund(&purchase, Some("0.01"), "cent").await["balance"]["posted"], 74);
    let again = scene.refund(&purchase, Some("49.75"), "part").await;
    assert_eq!((&again["replayed"], &again["reversal"]["id"]), (&json!(true), &reversal["id"]));
    assert_eq!(again["balance"], part["balance"], "as of its commit");
    for (amount, more, code, field) in [
        (Some("10.00"), json!({ "idempotencyKey": "part" }), "IDEMPOTENCY_CONFLICT", "idempotencyKey"),
        (Some("149.25"), json!({}), "INVALID", "amount"),
        (Some("0.00"), json!({}), "INVALID", "amount"),
        (None, json!({ "amount": { "amount": "1.00", "currency": "EUR" } }), "INVALID", "amount.currency"),
        (None, json!({ "reason": " " }), "INVALID", "reason"),
        (None, json!({ "purchaseId": "purchase_x" }), "NOT_FOUND", "purchaseId"),
    ] {
        let payload = scene.try_refund(&purchase, amount, more, "no").await;
        assert_eq!(refusal(&payload), (code.to_owned(), field.to_owned()), "{payload}");
    }
    let input = json!({ "purchaseId": purchase, "reason": "Mine", "idempotencyKey": "mine" });
    let own = scene.owner.try_mutate("refundPurchase", "RefundPurchaseInput", input, "").await;
    assert_eq!(own["userErrors"][0]["code"], "FORBIDDEN");
    let rest = scene.refund(&purchase, None, "rest").await;
    assert_eq!(rest["reversal"]["amount"]["amount"], "149.24");
    assert_eq!(
        (&rest["reversal"]["credits"], &rest["balance"]["posted"], &rest["purchase"]["state"]),
        (&json!(74), &json!(0), &json!("REFUNDED"))
    );
    let none = scene.try_refund(&purchase, None, json!({}), "none").await;
    assert_eq!(refusal(&none), ("INVALID_STATE".to_owned(), "purchaseId".to_owned()));
    let (unpaid, _) = scene.owner.checkout(&pool, "unpaid").await;
    let none = scene.try_refund(&unpaid, None, json!({}), "none").await;
    assert_eq!(refusal(&none), ("INVALID_STATE".to_owned(), "purchaseId".to_owned()));
    let notes = "SELECT count(*) AS n FROM document WHERE kind = 'CREDIT_NOTE'";
    assert_eq!(scene.world.number(notes).await, 3);
    scene.adds_up().await;
}

async fn credits_go_back_wherever_they_lie(backend: Backend) {
    let scene = Scene::set(backend).await;
    let (owner, sales) = (&scene.owner, scene.demo.sales.as_str());
    let (home, other) = (scene.pool("Home").await, scene.pool("Other").await);
    let (purchase, _) = scene.bought(&home, "k").await;
    owner.allocate(&home, sales, 30, "a").await;
    let moved = transfer(owner, holder(&home, None), holder(&other, Some(sales)), 20, "m").await;
    assert_eq!(moved["userErrors"], json!([]));
    let held = hold(owner, &home, Some(sales), 10, 3_600).await;
    assert_eq!(scene.charge(&home, 15, "used").await, "none");
    let all = scene.refund(&purchase, None, "all").await;
    assert_eq!((&all["reversal"]["credits"], &all["reversal"]["heldCredits"]), (&json!(100), &json!(10)));
    // What is held stays for what it is held for; what has been used is owed.
    assert_eq!(all["balance"], json!({ "posted": 10, "held": 10, "available": 0, "debt": 15 }));
    assert_eq!((scene.has(&home).await, scene.has(&other).await), ((10, 10, 15), (0, 0, 0)));
    scene.adds_up().await;
    assert_eq!(scene.charge(&home, 1, "blocked").await, "POOL_IN_DEBT");
    // Of what is held, what is used is owed as well, and the rest goes.
    let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": 4 }]);
    let input = json!({ "holdId": held, "lines": lines, "final": true, "idempotencyKey": "c" });
    owner.mutate("captureHold", "CaptureHoldInput", input, "charge { id }").await;
    assert_eq!(scene.has(&home).await, (0, 0, 19));
    scene.adds_up().await;
    scene.bought(&home, "next").await;
    assert_eq!(scene.has(&home).await, (81, 0, 0), "the next purchase settles it first");
    assert_eq!(scene.charge(&home, 1, "again").await, "none");
    scene.adds_up().await;
    // And so does one that comes in smaller parts of what was used: half of the next one goes back.
    let (third, _) = scene.bought(&other, "third").await;
    assert_eq!(scene.charge(&other, 90, "most").await, "none");
    scene.refund(&third, Some("99.50"), "half").await;
    assert_eq!(scene.has(&other).await, (0, 0, 40));
    scene.bought(&other, "fourth").await;
    assert_eq!(scene.has(&other).await, (60, 0, 0));
    scene.adds_up().await;
    debts_go_home(&scene).await;
    debts_go_home_at_the_unfreeze(&scene).await;
    refunds_reduce_debt_first(&scene).await;
}

async fn what_stands_in_the_way_is_waited_for(backend: Backend) {
    let scene = Scene::set(backend).await;
    let pool = scene.pool("Closed").await;
    let (whole, _) = scene.bought(&pool, "whole").await;
    let (disputed, payment) = scene.bought(&pool, "disputed").await;
    scene.freeze(&pool, "freezePool", "FreezePoolInput").await;
    let (late, _) = scene.bought(&pool, "late").await;
    let made = scene.refund(&whole, None, "whole").await;
    let part = scene.refund(&late, Some("49.75"), "part").await;
    assert_eq!(scene.dispute(&payment, "dp", ReversalState::Open, 9_950).await, Outcome::Recorded);
    assert_eq!(
        (&made["reversal"]["state"], &made["reversal"]["bookedAt"]),
        (&json!("SUCCEEDED"), &Value::Null)
    );
    assert_eq!(made["purchase"]["state"], "REFUNDED");
    assert_eq!(scene.has(&pool).await, (200, 0, 0));
    scene.adds_up().await;
    scene.freeze(&pool, "unfreezePool", "UnfreezePoolInput").await;
    // What was paid came in, less what went back, and half of the other purchase is held.
    assert_eq!(scene.has(&pool).await, (175, 50, 0));
    for reversal in [&made["reversal"]["id"], &part["reversal"]["id"]] {
        assert!(scene.is_booked(reversal).await);
    }
    scene.adds_up().await;

    scene.suspend("suspendOrganization", "SuspendOrganizationInput").await;
    assert_eq!(scene.dispute(&payment, "dp", ReversalState::Lost, 9_950).await, Outcome::Recorded);
    let rest = scene.refund(&disputed, None, "rest").await;
    assert_eq!(rest["reversal"]["amount"]["amount"], "99.50");
    assert_eq!(scene.has(&pool).await, (175, 50, 0));
    scene.suspend("resumeOrganization", "ResumeOrganizationInput").await;
    assert_eq!(scene.has(&pool).await, (75, 0, 0));
    assert_eq!(scene.state(&disputed).await, "REFUNDED");
    scene.adds_up().await;

    // Paid and returned before it could come in: it never does.
    scene.freeze(&pool, "freezePool", "FreezePoolInput").await;
    let (never, _) = scene.bought(&pool, "never").await;
    scene.refund(&never, None, "never").await;
    scene.freeze(&pool, "unfreezePool", "UnfreezePoolInput").await;
    assert_eq!(scene.has(&pool).await, (75, 0, 0));
    scene.adds_up().await;

    // A pool that is not used any more owes what was used there; what was moved away waits for its own pool.
    let (gone, other) = (scene.pool("Gone").await, scene.pool("Away").await);
    let (purchase, payment) = scene.bought(&gone, "gone").await;
    assert_eq!(scene.charge(&gone, 60, "gone").await, "none");
    let moved = transfer(&scene.owner, holder(&gone, None), holder(&other, None), 40, "away").await;
    assert_eq!(moved["userErrors"], json!([]));
    let input = json!({ "poolId": gone });
    scene.owner.mutate("archivePool", "ArchivePoolInput", input, "pool { id }").await;
    scene.freeze(&other, "freezePool", "FreezePoolInput").await;
    let part = scene.refund(&purchase, Some("99.50"), "gone").await;
    assert_eq!(part["reversal"]["bookedAt"], Value::Null);
    scene.freeze(&other, "unfreezePool", "UnfreezePoolInput").await;
    assert!(scene.is_booked(&part["reversal"]["id"]).await);
    assert_eq!((scene.has(&gone).await, scene.has(&other).await), ((0, 0, 10), (0, 0, 0)));
    assert_eq!(scene.dispute(&payment, "dp_gone", ReversalState::Lost, 9_950).await, Outcome::Booked);
    assert_eq!(scene.has(&gone).await, (0, 0, 60));
    scene.adds_up().await;
}

async fn disputes_hold_and_let_go(backend: Backend) {
    use ReversalState::{Lost, Open, Won};
    let scene = Scene::set(backend).await;
    let pool = scene.pool("Disputed").await;
    let (purchase, payment) = scene.bought(&pool, "k").await;
    assert_eq!(scene.charge(&pool, 10, "used").await, "none");
    let held = hold(&scene.owner, &pool, None, 20, 3_600).await;
    assert_eq!(scene.dispute(&payment, "dp_1", Open, 19_900).await, Outcome::Booked);
    assert_eq!(scene.dispute(&payment, "dp_1", Open, 19_900).await, Outcome::Already);
    assert_eq!(scene.has(&pool).await, (90, 90, 0), "nothing is owed before it is lost");
    assert_eq!(scene.charge(&pool, 1, "no").await, "INSUFFICIENT_CREDITS");
    scene.adds_up().await;
    // What a hold lets go is held for the dispute.
    let let_go = uses::void(&scene.owner, &json!(held), "v").await;
    assert_eq!(let_go["userErrors"], json!([]));
    assert_eq!(scene.has(&pool).await, (90, 90, 0));
    scene.adds_up().await;
    assert_eq!(scene.dispute(&payment, "dp_1", Won, 19_900).await, Outcome::Booked);
    assert_eq!(scene.has(&pool).await, (90, 0, 0));
    assert_eq!(scene.dispute(&payment, "dp_1", Open, 19_900).await, Outcome::Already);
    assert!(matches!(scene.dispute(&payment, "dp_1", Lost, 19_900).await, Outcome::Parked(_)));
    assert_eq!(scene.has(&pool).await, (90, 0, 0));

    // Two at once: each holds its part, and keeps it when the other one ends.
    scene.dispute(&payment, "dp_2", Open, 4_975).await;
    scene.dispute(&payment, "dp_3", Open, 4_975).await;
    assert_eq!(scene.has(&pool).await, (90, 50, 0));
    scene.dispute(&payment, "dp_2", Won, 4_975).await;
    assert_eq!(scene.has(&pool).await, (90, 25, 0));
    // A refund of another part waits for nothing.
    let part = scene.refund(&purchase, Some("49.75"), "part").await;
    assert!(part["reversal"]["bookedAt"].is_string());
    assert_eq!(scene.has(&pool).await, (65, 25, 0));
    scene.adds_up().await;
    assert_eq!(scene.dispute(&payment, "dp_3", Lost, 4_975).await, Outcome::Booked);
    assert_eq!(scene.has(&pool).await, (40, 0, 0));
    scene.adds_up().await;
    // More is lost than was left: somebody is told, and no more than was paid counts.
    assert!(matches!(scene.dispute(&payment, "dp_4", Lost, 19_900).await, Outcome::Parked(_)));
    assert_eq!(scene.has(&pool).await, (0, 0, 10));
    assert_eq!(scene.state(&purchase).await, "REFUNDED");
    assert!(matches!(scene.dispute(&payment, "dp_5", Lost, 19_901).await, Outcome::Parked(_)));
    let query = format!("{{ node(id: \"{purchase}\") {{ ... on Purchase {{ reversals {{ state }} }} }} }}");
    let reversals = scene.owner.query(&query, json!({})).await["node"]["reversals"].clone();
    let states: Vec<&str> =
        reversals.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["LOST", "SUCCEEDED", "LOST", "WON", "WON"]);
    scene.adds_up().await;
    refunds_wait_for_what_is_disputed(&scene).await;
    what_comes_free_is_taken(&scene).await;
    scene.verifies().await;
}

/// Of a refund that takes more than is free only that waits which the end of a dispute might give free.
async fn refunds_wait_for_what_is_disputed(scene: &Scene) {
    use ReversalState::{Lost, Open, Won};
    let pool = scene.pool("Waits").await;
    let (purchase, payment) = scene.bought(&pool, "waits").await;
    assert_eq!(scene.charge(&pool, 50, "half").await, "none");
    scene.dispute(&payment, "dp_6", Open, 7_960).await;
    assert_eq!(scene.has(&pool).await, (50, 40, 0));
    let part = scene.refund(&purchase, Some("59.70"), "thirty").await;
    assert_eq!((&part["reversal"]["credits"], &part["reversal"]["bookedAt"]), (&json!(30), &Value::Null));
    assert_eq!(scene.has(&pool).await, (40, 40, 0), "ten go at once, twenty wait");
    scene.adds_up().await;
    // What is told of it again takes nothing more.
    scene.dispute(&payment, "dp_6", Open, 7_960).await;
    assert_eq!(scene.refund(&purchase, Some("59.70"), "thirty").await["replayed"], true);
    assert_eq!(scene.has(&pool).await, (40, 40, 0));
    assert_eq!(scene.dispute(&payment, "dp_6", Won, 7_960).await, Outcome::Booked);
    assert_eq!(scene.has(&pool).await, (20, 0, 0));
    assert!(scene.is_booked(&part["reversal"]["id"]).await);
    scene.adds_up().await;
    // All of it waits, and the dispute is lost: what is missing then is owed.
    scene.dispute(&payment, "dp_7", Open, 3_980).await;
    let rest = scene.refund(&purchase, Some("19.90"), "ten").await;
    assert_eq!((scene.has(&pool).await, &rest["reversal"]["bookedAt"]), ((20, 20, 0), &Value::Null));
    scene.adds_up().await;
    assert_eq!(scene.dispute(&payment, "dp_7", Lost, 3_980).await, Outcome::Booked);
    assert_eq!(scene.has(&pool).await, (0, 0, 10));
    assert!(scene.is_booked(&rest["reversal"]["id"]).await);
    scene.adds_up().await;
}

async fn what_is_told_twice_or_late_happens_once(backend: Backend) {
    use ReversalState::{Failed, Lost, Open, Pending, Succeeded, Won};
    let scene = Scene::set(backend).await;
    let pool = scene.pool("Told").await;
    let (_, payment) = scene.bought(&pool, "k").await;
    let told = |refund: &str, state: ReversalState, amount: i64, currency: &str| {
        ProviderEvent::Refund(ProviderRefund {
            refund: refund.to_owned(),
            payment: payment.clone(),
            state,
            amount,
            currency: currency.to_owned(),
            ours: None,
        })
    };
    let all = join_all((0..10).map(|_| scene.tell(told("re_1", Succeeded, 1_990, "USD")))).await;
    let booked = all.iter().filter(|outcome| **outcome == Outcome::Booked).count();
    let already = all.iter().filter(|outcome| **outcome == Outcome::Already).count();
    assert_eq!((booked, already), (1, 9));
    assert_eq!(scene.has(&pool).await, (90, 0, 0));
    assert_eq!(scene.tell(told("re_1", Pending, 1_990, "USD")).await, Outcome::Already);
    for event in [
        told("re_1", Succeeded, 1_991, "USD"),
        told("re_2", Succeeded, 1_990, "EUR"),
        told("re_3", Succeeded, 19_901, "USD"),
    ] {
        assert!(matches!(scene.tell(event.clone()).await, Outcome::Parked(_)), "{event:?}");
    }
    assert_eq!(scene.has(&pool).await, (90, 0, 0));
    assert_eq!(scene.tell(told("re_4", Pending, 1_990, "USD")).await, Outcome::Recorded);
    assert_eq!(scene.has(&pool).await, (90, 0, 0));
    assert_eq!(scene.tell(told("re_4", Succeeded, 1_990, "USD")).await, Outcome::Booked);
    assert_eq!(scene.tell(told("re_5", Failed, 1_990, "USD")).await, Outcome::Recorded);
    assert_eq!(scene.tell(told("re_5", Pending, 1_990, "USD")).await, Outcome::Already);
    assert_eq!(scene.has(&pool).await, (80, 0, 0));
    // The end before the beginning.
    assert_eq!(scene.dispute(&payment, "dp_1", Lost, 1_990).await, Outcome::Booked);
    assert_eq!(scene.dispute(&payment, "dp_1", Open, 1_990).await, Outcome::Already);
    assert_eq!(scene.dispute(&payment, "dp_2", Won, 1_990).await, Outcome::Booked);
    assert_eq!(scene.dispute(&payment, "dp_2", Open, 1_990).await, Outcome::Already);
    assert_eq!(scene.has(&pool).await, (70, 0, 0));
    // What was refunded did not arrive: it is undone.
    assert!(matches!(scene.tell(told("re_1", Failed, 1_990, "USD")).await, Outcome::Parked(_)));
    assert_eq!(scene.has(&pool).await, (80, 0, 0));
    scene.adds_up().await;
    refunds_that_fail_are_undone(&scene).await;
}
