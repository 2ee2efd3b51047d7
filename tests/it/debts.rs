//! Debts of purchases that were returned: captured credits are owed where they were held, and within seconds by the pool of
//! their purchase, once; and charges that are refunded reduce what is owed before anything is free.

use std::time::Instant;

use bursar::schedule;
use bursar_domain::reversal::ReversalState;
use serde_json::{Value, json};

use crate::reversals::Scene;
use crate::support::DEADLINE;
use crate::support::acts::{hold, holder, refusal, transfer};
use crate::support::uses;

/// What was held in another pool and is used after all is owed by the pool of purchase, once, even one that is not used any
/// more.
pub async fn debts_go_home(scene: &Scene) {
    let owner = &scene.owner;
    let (home, other) = (scene.pool("Bought").await, scene.pool("Holding").await);
    let (purchase, _) = scene.bought(&home, "fifth").await;
    let moved = transfer(owner, holder(&home, None), holder(&other, None), 40, "h").await;
    assert_eq!(moved["userErrors"], json!([]));
    let held = hold(owner, &other, None, 30, 3_600).await;
    let all = scene.refund(&purchase, None, "fifth").await;
    assert_eq!(all["reversal"]["heldCredits"], 30);
    assert_eq!((scene.has(&home).await, scene.has(&other).await), ((0, 0, 0), (30, 30, 0)));
    owner.mutate("archivePool", "ArchivePoolInput", json!({ "poolId": home }), "pool { id }").await;
    for (key, quantity, last) in [("c1", 4, false), ("c2", 6, true)] {
        let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": quantity }]);
        let input = json!({ "holdId": held, "lines": lines, "final": last, "idempotencyKey": key });
        owner.mutate("captureHold", "CaptureHoldInput", input, "charge { id }").await;
        scene.adds_up().await;
    }
    owes_nothing(scene, &other).await;
    assert_eq!((scene.has(&home).await, scene.has(&other).await), ((0, 0, 10), (0, 0, 0)));
    scene.adds_up().await;
    // Whoever does it once more finds it done.
    scene.world.sql("UPDATE timed_task SET due_at = 0 WHERE kind = 'DEBT_HOME'").await;
    schedule::run_once(&scene.world.services().selling).await.unwrap();
    assert_eq!((scene.has(&home).await, scene.has(&other).await), ((0, 0, 10), (0, 0, 0)));
    let moves = "SELECT count(*) AS n FROM transfer WHERE kind = 19";
    assert_eq!(scene.world.number(moves).await, 4, "both halves of two debts");
    scene.adds_up().await;
    scene.verifies().await;
}

/// A debt that a freeze keeps from going home goes there when the pool is opened, not an hour later.
pub async fn debts_go_home_at_the_unfreeze(scene: &Scene) {
    let owner = &scene.owner;
    let (home, other) = (scene.pool("Frozen home").await, scene.pool("Holder").await);
    let (purchase, _) = scene.bought(&home, "eighth").await;
    let moved = transfer(owner, holder(&home, None), holder(&other, None), 10, "eighth").await;
    assert_eq!(moved["userErrors"], json!([]));
    let held = hold(owner, &other, None, 10, 3_600).await;
    scene.refund(&purchase, None, "eighth").await;
    scene.freeze(&home, "freezePool", "FreezePoolInput").await;
    let input = json!({ "holdId": held, "final": true, "idempotencyKey": "eighth" });
    owner.mutate("captureHold", "CaptureHoldInput", input, "charge { id }").await;
    // It is tried, and put off for an hour.
    let micros = chrono::Utc::now().timestamp_micros();
    let off = format!(
        "SELECT count(*) AS n FROM timed_task WHERE kind = 'DEBT_HOME' AND due_at > {} AND due_at < {}",
        micros + 1_800_000_000,
        i64::MAX
    );
    let began = Instant::now();
    while scene.world.number(&off).await == 0 {
        assert!(began.elapsed() < DEADLINE, "it is not put off");
        schedule::run_once(&scene.world.services().selling).await.unwrap();
    }
    assert_eq!((scene.has(&home).await, scene.has(&other).await), ((0, 0, 0), (0, 0, 10)));
    scene.freeze(&home, "unfreezePool", "UnfreezePoolInput").await;
    owes_nothing(scene, &other).await;
    assert_eq!((scene.has(&home).await, scene.has(&other).await), ((0, 0, 10), (0, 0, 0)));
    scene.adds_up().await;
}

/// What comes back of a returned purchase reduces its debt before anything is free: also in lots that go on for it, and in
/// other pools than its own.
pub async fn refunds_reduce_debt_first(scene: &Scene) {
    let owner = &scene.owner;
    let (home, other) = (scene.pool("Buyer").await, scene.pool("User").await);
    // What expires can be extended.
    let input = json!({ "code": "STARTER", "credits": 100, "lifetimeDays": 30,
        "prices": [{ "amount": "199.00", "currency": "USD" }] });
    scene.operator.mutate("savePackage", "SavePackageInput", input, "package { code }").await;
    let (purchase, _) = scene.bought(&home, "sixth").await;
    let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { lot { id } } } }";
    let lot = owner.query(query, json!({ "id": purchase })).await["node"]["lot"]["id"].clone();
    let input = json!({ "lotId": lot, "expiresAt": null, "reason": "x", "idempotencyKey": "sixth" });
    scene.operator.mutate("extendLot", "ExtendLotInput", input, "replayed").await;
    let moved = transfer(owner, holder(&home, None), holder(&other, None), 30, "sixth").await;
    assert_eq!(moved["userErrors"], json!([]));
    let here = owner.charge(uses::of(&home, "used here", 70)).await["charge"]["id"].clone();
    let there = owner.charge(uses::of(&other, "used there", 20)).await["charge"]["id"].clone();
    scene.refund(&purchase, None, "sixth").await;
    assert_eq!((scene.has(&home).await, scene.has(&other).await), ((0, 0, 90), (0, 0, 0)));
    give_back(scene, &here, 40, "here", false).await;
    assert_eq!(scene.has(&home).await, (0, 0, 50), "into a lot that goes on for the one that was bought");
    // A rehearsal says what would be, and leaves nothing.
    assert_eq!(give_back(scene, &there, 15, "there", true).await["balance"]["posted"], 0);
    assert_eq!((scene.has(&home).await, scene.has(&other).await), ((0, 0, 50), (0, 0, 0)));
    scene.freeze(&home, "freezePool", "FreezePoolInput").await;
    let input = json!({ "chargeId": there, "credits": 15, "idempotencyKey": "there" });
    let closed = scene.operator.try_mutate("refundCharge", "RefundChargeInput", input, "replayed").await;
    assert_eq!(refusal(&closed).0, "POOL_FROZEN", "{closed}");
    scene.freeze(&home, "unfreezePool", "UnfreezePoolInput").await;
    for replayed in [false, true] {
        assert_eq!(give_back(scene, &there, 15, "there", false).await["replayed"], replayed);
        assert_eq!((scene.has(&home).await, scene.has(&other).await), ((0, 0, 35), (0, 0, 0)));
    }
    scene.adds_up().await;
    // When nothing is owed any more, what comes back is free.
    give_back(scene, &here, 30, "here again", false).await;
    assert_eq!(scene.has(&home).await, (0, 0, 5));
    scene.bought(&home, "seventh").await;
    give_back(scene, &there, 5, "there again", false).await;
    assert_eq!((scene.has(&home).await, scene.has(&other).await), ((95, 0, 0), (5, 0, 0)));
    scene.adds_up().await;
    scene.verifies().await;
}

/// What comes free while a part of a refund waits for a dispute is taken within a minute, and not at the dispute's end only.
pub async fn what_comes_free_is_taken(scene: &Scene) {
    use ReversalState::{Open, Won};
    let pool = scene.pool("Comes free").await;
    let (purchase, payment) = scene.bought(&pool, "free").await;
    let used = scene.owner.charge(uses::of(&pool, "free", 50)).await["charge"]["id"].clone();
    scene.dispute(&payment, "dp_w", Open, 7_960).await;
    let part = scene.refund(&purchase, Some("59.70"), "free").await;
    assert_eq!(scene.has(&pool).await, (40, 40, 0), "of thirty, twenty wait");
    give_back(scene, &used, 5, "free", false).await;
    assert_eq!(scene.has(&pool).await, (45, 40, 0));
    scene.world.sql("UPDATE timed_task SET due_at = 0 WHERE kind = 'REVERSAL_DUE'").await;
    let began = Instant::now();
    while scene.has(&pool).await != (40, 40, 0) {
        assert!(began.elapsed() < DEADLINE, "it is not taken");
        schedule::run_once(&scene.world.services().selling).await.unwrap();
    }
    assert!(!scene.is_booked(&part["reversal"]["id"]).await);
    scene.adds_up().await;
    scene.dispute(&payment, "dp_w", Won, 7_960).await;
    assert_eq!(scene.has(&pool).await, (25, 0, 0));
    assert!(scene.is_booked(&part["reversal"]["id"]).await);
    scene.adds_up().await;
}

/// Gives a charge back, or a part of it.
async fn give_back(scene: &Scene, charge: &Value, credits: i64, key: &str, dry_run: bool) -> Value {
    let input = json!({ "chargeId": charge, "credits": credits, "dryRun": dry_run, "idempotencyKey": key });
    let fields = "balance { posted } replayed";
    scene.operator.mutate("refundCharge", "RefundChargeInput", input, fields).await
}

/// Does timed work until a pool owes nothing, whoever else does some of it.
async fn owes_nothing(scene: &Scene, pool: &str) {
    let began = Instant::now();
    while scene.has(pool).await.2 > 0 {
        assert!(began.elapsed() < DEADLINE, "its debt does not go home");
        schedule::run_once(&scene.world.services().selling).await.unwrap();
    }
}
