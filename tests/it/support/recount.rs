//! What holds hold and what caps count, counted again from the rows of charges, holds and refunds.

use std::collections::BTreeMap;

use bursar::ledger::Line;
use bursar_domain::Timestamp;
use bursar_domain::actor::ActorKind;
use bursar_domain::id::{AccountId, ChargeId, DepartmentId, HoldId, Id, LotId, PoolId, ServiceId, UserId};
use bursar_domain::ledger::{HoldState, TransferKind};
use bursar_entity::{charge, hold, journal_entry, lot_position, spending_cap, spending_cap_period};
use uuid::Uuid;

use super::TestDatabase;

/// Positions that do not hold what the slices of open holds say.
pub async fn positions(database: &TestDatabase) -> Vec<String> {
    let mut held: BTreeMap<(AccountId, LotId), i64> = BTreeMap::new();
    let open = "SELECT count(*) AS n FROM hold WHERE state = 'OPEN'";
    if database.number(open).await > 0 {
        let holds = database.rows::<hold::Entity>().await;
        for hold in holds.into_iter().filter(|hold| hold.state == HoldState::Open) {
            let slices: Vec<(Uuid, Uuid, i64)> = serde_json::from_str(&hold.held_slices).unwrap();
            for (account, lot, credits) in slices {
                let place = (AccountId::from_u128(account.as_u128()), LotId::from_u128(lot.as_u128()));
                *held.entry(place).or_default() += credits;
            }
        }
    }
    let mut wrong = Vec::new();
    for row in database.rows::<lot_position::Entity>().await {
        let counted = held.remove(&(row.account_id, row.lot_id)).unwrap_or_default();
        // What a dispute holds, no hold does.
        if counted + row.disputed.get() != row.held.get() {
            wrong.push(format!("{row:?} holds what open holds say: they say {counted}"));
        }
    }
    wrong.extend(held.iter().map(|place| format!("open holds are of positions: {place:?}")));
    wrong
}

/// A use of credits, as caps look at it.
struct Use {
    pool: PoolId,
    department: Option<DepartmentId>,
    spender: Option<UserId>,
    service: ServiceId,
    at: Timestamp,
    used: i64,
    held: i64,
}

impl Use {
    fn counts(&self, cap: &spending_cap::Model) -> bool {
        self.pool == cap.pool_id
            && cap.department_id.is_none_or(|department| self.department == Some(department))
            && cap.user_id.is_none_or(|person| self.spender == Some(person))
            && cap.service_id.is_none_or(|service| self.service == service)
    }
}

/// Periods of caps whose counts are not what charges, holds and refunds add up to.
pub async fn caps(database: &TestDatabase) -> Vec<String> {
    let caps = database.rows::<spending_cap::Entity>().await;
    let caps: BTreeMap<_, _> =
        caps.into_iter().filter(|cap| cap.removed_at.is_none()).map(|cap| (cap.id, cap)).collect();
    if caps.is_empty() {
        return Vec::new();
    }
    let uses = uses(database).await;
    let mut wrong = Vec::new();
    for period in database.rows::<spending_cap_period::Entity>().await {
        let Some(cap) = caps.get(&period.cap_id) else { continue };
        let within = |at: Timestamp| period.period_start <= at && at < period.period_end;
        let of_cap = uses.iter().filter(|one| within(one.at) && one.counts(cap));
        let (used, held) = of_cap.fold((0, 0), |(used, held), one| (used + one.used, held + one.held));
        if (used, held) != (period.used.get(), period.held.get()) {
            wrong.push(format!("caps count what is used: {period:?}, but used {used}, held {held}"));
        }
    }
    wrong
}

/// All that has been used or is held, line by line.
async fn uses(database: &TestDatabase) -> Vec<Use> {
    let mut refunded: BTreeMap<ChargeId, i64> = BTreeMap::new();
    for entry in database.rows::<journal_entry::Entity>().await {
        if let Some(charge) = entry.charge_id.filter(|_| entry.kind == TransferKind::Refund) {
            *refunded.entry(charge).or_default() += entry.credits.get();
        }
    }
    let holds = database.rows::<hold::Entity>().await;
    let holds: BTreeMap<HoldId, hold::Model> = holds.into_iter().map(|hold| (hold.id, hold)).collect();
    let mut uses = Vec::new();
    for charge in database.rows::<charge::Entity>().await {
        // A capture counts where and when its hold does.
        let hold = charge.hold_id.map(|hold| &holds[&hold]);
        let asker = charge.actor_id.filter(|_| charge.actor_kind == ActorKind::User);
        let asker = asker.map(|id| UserId::from_u128(id.as_u128()));
        let spender = hold.map_or(charge.on_behalf_of.or(asker), |hold| hold.spender);
        let at = hold.map_or(charge.created_at, |hold| hold.created_at);
        let mut back = refunded.remove(&charge.id).unwrap_or_default();
        let lines: Vec<Line> = serde_json::from_str(&charge.lines).unwrap();
        // A refund gives the last lines back first.
        for line in lines.iter().rev() {
            let gone = line.credits.min(back);
            back -= gone;
            uses.push(Use {
                pool: charge.pool_id,
                department: charge.department_id,
                spender,
                service: line.service(),
                at,
                used: line.credits - gone,
                held: 0,
            });
        }
    }
    for hold in holds.into_values().filter(|hold| hold.state == HoldState::Open) {
        let lines: Vec<Line> = serde_json::from_str(&hold.lines).unwrap();
        let captured: Vec<i64> = serde_json::from_str(&hold.captured_units).unwrap();
        for (line, captured) in lines.iter().zip(captured) {
            uses.push(Use {
                pool: hold.pool_id,
                department: hold.department_id,
                spender: hold.spender,
                service: line.service(),
                at: hold.created_at,
                used: 0,
                held: line.each * (line.quantity - captured),
            });
        }
    }
    uses
}
