//! Random sequences of everything that happens to purchases and their credits, through the server: bought, used, held, moved,
//! refunded, disputed, undone, in pools that are frozen and opened. After each step the books are right, the money adds up,
//! and what was told of reversals is what is booked.
//!
//! `SEED` in the environment says another sequence, `STEPS` a longer one.

use bursar::payments::{ProviderEvent, ProviderRefund};
use bursar::schedule;
use bursar_domain::reversal::ReversalState::{self, Failed, Lost, Open, Succeeded, Won};
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::reversals::Scene;
use crate::support::acts::{holder, transfer};
use crate::support::chance::Chance;
use crate::support::{Backend, number, uses};

on_both_databases!(purchases_add_up_whatever_happens);

/// Purchases that come in and have nothing waiting, and of which more or less was booked than was told.
const TOLD_IS_BOOKED: &str = "SELECT count(*) AS n FROM purchase p
    WHERE EXISTS (SELECT 1 FROM lot l WHERE l.organization_id = p.organization_id AND l.purchase_id = p.id)
    AND NOT EXISTS (SELECT 1 FROM reversal r WHERE r.organization_id = p.organization_id AND r.purchase_id = p.id
        AND (r.state = 'OPEN' AND r.held_at IS NULL
            OR r.state IN ('SUCCEEDED', 'LOST', 'WON') AND r.booked_at IS NULL
            OR r.state = 'FAILED' AND (r.taken_credits > 0 OR r.taken_value > 0)))
    AND p.returned <> (SELECT coalesce(sum(r.taken_value), 0) FROM reversal r
        WHERE r.organization_id = p.organization_id AND r.purchase_id = p.id)";

/// A refund or a dispute that the provider has told of.
#[derive(Clone)]
struct Told {
    name: String,
    payment: String,
    amount: i64,
}

/// What has happened so far.
#[derive(Default)]
struct Story {
    pools: Vec<(String, bool)>,
    bought: Vec<(String, String)>,
    charges: Vec<Value>,
    holds: Vec<Value>,
    refunds: Vec<Told>,
    disputes: Vec<Told>,
}

async fn purchases_add_up_whatever_happens(backend: Backend) {
    let scene = Scene::set(backend).await;
    let seed = Chance::seed();
    let (mut chance, mut story) = (Chance::new(seed), Story::default());
    for name in ["One", "Two"] {
        story.pools.push((scene.pool(name).await, false));
    }
    story.bought.push(scene.bought(&story.pools[0].0.clone(), "first").await);
    for step in 0..number("STEPS", 32) {
        let key = format!("s{step}");
        let what = story.goes_on(&scene, &mut chance, &key).await;
        println!("{seed} {step}: {what}");
        scene.adds_up().await;
        assert_eq!(scene.world.number(TOLD_IS_BOOKED).await, 0, "{step}: {what}");
    }
    // In the end nothing is frozen, and debts are at home.
    for (pool, frozen) in &story.pools {
        if *frozen {
            scene.freeze(pool, "unfreezePool", "UnfreezePoolInput").await;
        }
    }
    schedule::run_once(&scene.world.services().selling).await.unwrap();
    scene.adds_up().await;
    assert_eq!(scene.world.number(TOLD_IS_BOOKED).await, 0);
    scene.verifies().await;
}

impl Story {
    /// Lets one thing happen, or be refused; answers which.
    async fn goes_on(&mut self, scene: &Scene, chance: &mut Chance, key: &str) -> &'static str {
        let owner = &scene.owner;
        let place = usize::from(chance.below(2) == 1);
        let (pool, other) = (self.pools[place].0.clone(), self.pools[1 - place].0.clone());
        let credits = i64::try_from(chance.below(45)).unwrap() + 1;
        // A tenth of the price, several of them, or all of it, and a cent that is left over.
        let amount = [1_990, 4_975, 9_951, 19_900][usize::try_from(chance.below(4)).unwrap()];
        match chance.below(14) {
            0 => {
                self.bought.push(scene.bought(&pool, key).await);
                "bought"
            }
            1 | 2 => {
                let made = owner.charge(uses::of(&pool, key, credits)).await;
                self.charges.extend(made["charge"]["id"].is_string().then(|| made["charge"]["id"].clone()));
                "charged"
            }
            3 => {
                let Some(charge) = chance.pick(&self.charges) else { return "nothing to give back" };
                let input = json!({ "chargeId": charge, "credits": credits.min(12), "idempotencyKey": key });
                scene.operator.try_mutate("refundCharge", "RefundChargeInput", input, "replayed").await;
                "given back"
            }
            4 => {
                let made = uses::hold(owner, uses::of(&pool, key, credits)).await;
                self.holds.extend(made["hold"]["id"].is_string().then(|| made["hold"]["id"].clone()));
                "held"
            }
            5 => {
                let Some(hold) = chance.pick(&self.holds) else { return "nothing to capture" };
                let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": credits.min(9) }]);
                let last = chance.below(2) == 1;
                let input = json!({ "holdId": hold, "lines": lines, "final": last, "idempotencyKey": key });
                uses::capture(owner, input).await;
                "captured"
            }
            6 => {
                let Some(hold) = chance.pick(&self.holds) else { return "nothing to let go" };
                uses::void(owner, hold, key).await;
                "let go"
            }
            7 => {
                transfer(owner, holder(&pool, None), holder(&other, None), credits, key).await;
                "moved"
            }
            8 => {
                let Some((purchase, _)) = chance.pick(&self.bought) else { return "nothing to return" };
                let mut input = json!({ "purchaseId": purchase, "reason": "x", "idempotencyKey": key });
                if chance.below(2) == 1 {
                    input["amount"] = json!({ "amount": "49.76", "currency": "USD" });
                }
                let fields = "reversal { id }";
                scene.operator.try_mutate("refundPurchase", "RefundPurchaseInput", input, fields).await;
                "returned"
            }
            9 => {
                let Some((_, payment)) = chance.pick(&self.bought) else { return "nothing to refund" };
                let told = Told { name: format!("re_{key}"), payment: payment.clone(), amount };
                refund(scene, &told, Succeeded).await;
                self.refunds.push(told);
                "refunded by the provider"
            }
            10 => {
                let Some(told) = chance.pick(&self.refunds) else { return "no refund to fail" };
                refund(scene, told, Failed).await;
                "a refund has failed"
            }
            11 => {
                let Some((_, payment)) = chance.pick(&self.bought) else { return "nothing to dispute" };
                let told = Told { name: format!("dp_{key}"), payment: payment.clone(), amount };
                scene.dispute(&told.payment, &told.name, Open, told.amount).await;
                self.disputes.push(told);
                "disputed"
            }
            12 => {
                let end = if chance.below(2) == 1 { Won } else { Lost };
                let Some(told) = chance.pick(&self.disputes) else { return "no dispute to end" };
                scene.dispute(&told.payment, &told.name, end, told.amount).await;
                "a dispute has ended"
            }
            _ => {
                let (mutation, kind) = match self.pools[place].1 {
                    false => ("freezePool", "FreezePoolInput"),
                    true => ("unfreezePool", "UnfreezePoolInput"),
                };
                scene.freeze(&pool, mutation, kind).await;
                self.pools[place].1 = !self.pools[place].1;
                "frozen, or opened"
            }
        }
    }
}

/// The provider tells of a refund.
async fn refund(scene: &Scene, told: &Told, state: ReversalState) {
    scene
        .tell(ProviderEvent::Refund(ProviderRefund {
            refund: told.name.clone(),
            payment: told.payment.clone(),
            state,
            amount: told.amount,
            currency: "USD".to_owned(),
            ours: None,
        }))
        .await;
}
