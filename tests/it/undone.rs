//! Refunds that were reported as carried out and failed later: everything that they did is undone, once, and the payment
//! can be given back again.

use bursar::payments::{ProviderEvent, ProviderRefund};
use bursar::purchases::{self, Difference, Outcome};
use bursar_domain::reversal::ReversalState::{self, Failed, Succeeded};
use serde_json::{Value, json};

use crate::reversals::Scene;
use crate::support::acts::{hold, holder, transfer};
use crate::support::uses;

fn told(refund: &str, payment: &str, state: ReversalState) -> ProviderEvent {
    ProviderEvent::Refund(ProviderRefund {
        refund: refund.to_owned(),
        payment: payment.to_owned(),
        state,
        amount: 19_900,
        currency: "USD".to_owned(),
        ours: None,
    })
}

/// Free, held and used credits of a refund that has failed, in two pools, one of them frozen; and credits that had not come in.
pub async fn refunds_that_fail_are_undone(scene: &Scene) {
    let owner = &scene.owner;
    let (home, other) = (scene.pool("Undone").await, scene.pool("Elsewhere").await);
    let (purchase, payment) = scene.bought(&home, "undone").await;
    let moved = transfer(owner, holder(&home, None), holder(&other, None), 30, "undone").await;
    assert_eq!(moved["userErrors"], json!([]));
    owner.charge(uses::of(&home, "undone", 10)).await;
    let held = hold(owner, &home, None, 20, 3_600).await;
    assert_eq!(scene.tell(told("re_u", &payment, Succeeded)).await, Outcome::Booked);
    assert_eq!((scene.has(&home).await, scene.has(&other).await), ((20, 20, 10), (0, 0, 0)));
    assert_eq!(scene.state(&purchase).await, "REFUNDED");
    // Somebody of the vendor is told, and the purchase is paid again; credits come when their pool is open.
    let parked = "SELECT count(*) AS n FROM parked_payment";
    let before = scene.world.number(parked).await;
    scene.freeze(&home, "freezePool", "FreezePoolInput").await;
    assert!(matches!(scene.tell(told("re_u", &payment, Failed)).await, Outcome::Parked(_)));
    assert_eq!(scene.tell(told("re_u", &payment, Failed)).await, Outcome::Already);
    assert_eq!(scene.world.number(parked).await, before + 1);
    assert_eq!(scene.state(&purchase).await, "COMPLETED");
    assert_eq!((scene.has(&home).await, scene.has(&other).await), ((20, 20, 10), (0, 0, 0)));
    scene.adds_up().await;
    scene.freeze(&home, "unfreezePool", "UnfreezePoolInput").await;
    assert_eq!((scene.has(&home).await, scene.has(&other).await), ((60, 20, 0), (30, 0, 0)));
    scene.adds_up().await;
    // What is older changes nothing, and what the hold lets go stays.
    assert_eq!(scene.tell(told("re_u", &payment, Succeeded)).await, Outcome::Already);
    let let_go = uses::void(owner, &json!(held), "undone").await;
    assert_eq!(let_go["userErrors"], json!([]));
    assert_eq!(scene.has(&home).await, (60, 0, 0));
    // A receipt takes the credit note back.
    let sql = "SELECT count(*) AS n FROM document d JOIN document note ON note.organization_id = d.organization_id
        AND note.id = d.corrects_id WHERE d.kind = 'RECEIPT' AND note.kind = 'CREDIT_NOTE' AND d.total = 19900";
    assert_eq!(scene.world.number(sql).await, 1);
    let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { reversals { state bookedAt } } } }";
    let found = owner.query(query, json!({ "id": purchase })).await;
    let reversal = &found["node"]["reversals"][0];
    assert_eq!((&reversal["state"], reversal["bookedAt"] == Value::Null), (&json!("FAILED"), false));
    // It can be given back again, all of it.
    let again = scene.refund(&purchase, None, "undone again").await;
    assert_eq!(again["reversal"]["amount"]["amount"], "199.00");
    assert_eq!(
        (&again["reversal"]["credits"], &again["purchase"]["state"]),
        (&json!(100), &json!("REFUNDED"))
    );
    assert_eq!((scene.has(&home).await, scene.has(&other).await), ((0, 0, 10), (0, 0, 0)));
    scene.adds_up().await;

    // Paid, and returned before it could come in: it comes in when the refund fails.
    let late = scene.pool("Late").await;
    scene.freeze(&late, "freezePool", "FreezePoolInput").await;
    let (_, payment) = scene.bought(&late, "late").await;
    scene.tell(told("re_l", &payment, Succeeded)).await;
    scene.freeze(&late, "unfreezePool", "UnfreezePoolInput").await;
    assert_eq!(scene.has(&late).await, (0, 0, 0));
    assert!(matches!(scene.tell(told("re_l", &payment, Failed)).await, Outcome::Parked(_)));
    assert_eq!(scene.has(&late).await, (100, 0, 0));
    scene.adds_up().await;
    nothing_comes_into_what_is_archived(scene).await;
    scene.verifies().await;
}

/// Paid and returned before it could come in, and its pool was archived since: the refund's failure is heard all the same.
async fn nothing_comes_into_what_is_archived(scene: &Scene) {
    let gone = scene.pool("Archived").await;
    scene.freeze(&gone, "freezePool", "FreezePoolInput").await;
    let (purchase, payment) = scene.bought(&gone, "archived").await;
    scene.tell(told("re_a", &payment, Succeeded)).await;
    scene.freeze(&gone, "unfreezePool", "UnfreezePoolInput").await;
    scene.owner.mutate("archivePool", "ArchivePoolInput", json!({ "poolId": gone }), "pool { id }").await;
    assert!(matches!(scene.tell(told("re_a", &payment, Failed)).await, Outcome::Parked(_)));
    assert_eq!(scene.tell(told("re_a", &payment, Failed)).await, Outcome::Already);
    assert_eq!((scene.state(&purchase).await, scene.has(&gone).await), (json!("COMPLETED"), (0, 0, 0)));
    scene.adds_up().await;
    // That nothing came in is named until it is given back again.
    let selling = &scene.world.services().selling;
    let since = selling.context().clock.now().plus_days(-1);
    let lacking = async || {
        let mut found = 0;
        let count = |one: &Difference| found += usize::from(matches!(one, Difference::NoLot { .. }));
        purchases::reconcile(selling, since, false, count).await.unwrap();
        found
    };
    assert_eq!(lacking().await, 1);
    let again = scene.refund(&purchase, None, "archived again").await;
    assert_eq!(again["purchase"]["state"], "REFUNDED");
    assert_eq!(lacking().await, 0);
    scene.adds_up().await;
}
