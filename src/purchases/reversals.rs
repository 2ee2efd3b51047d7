//! Reversals: what becomes of a purchase and of its credits when its payment is returned or disputed.
//!
//! A reversal is written when it is asked for or told of. From then on the purchase and its documents say so. What it
//! takes back is booked in the same transaction, unless something stands in the way: a pool is closed, the organization
//! is suspended, the credits have not come in yet. Then it waits, and whoever lifts what stands in the way books it (see
//! [`book_waiting`]). Of a refund only as much waits for an open dispute of the same payment as nothing but what the
//! dispute holds could be taken for: the rest is booked at once.
//!
//! Credits of one purchase may lie in several pools and in several lots: they are moved, and go on in new lots. The
//! heads of the organization's pools are locked, in order, before anything of a reversal is read that decides what is booked.

mod money;
mod places;
mod told;
mod undone;

pub use money::reconciliation;
pub(super) use places::{Places, Spot, lock_places, lots_of, reaches};
pub(super) use told::{Told, hear};
pub(super) use undone::is_to_be_undone;

pub(super) use super::disputes::dispute_told;
pub(super) use super::refund::refund_told;

use std::collections::BTreeSet;

use bursar_domain::id::{EntryId, PaymentId, PoolId, PurchaseId, ReversalId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{Command, CommandId, Instruction};
use bursar_domain::purchase::{PaymentProvider, PurchaseEvent, apply};
use bursar_domain::reversal::{ReversalKind, ReversalState, revoked_credits};
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{organization, payment, purchase, reversal};
use sea_orm::sea_query::ExprTrait;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Set,
    Unchanged,
};
use serde_json::{Value, json};

use super::documents::issue_credit_note;
use super::invoice::invoice_credited_in;
use super::{Selling, disputes, lock, refund, refused, write_purchase};
use crate::audit;
use crate::auth::{Actor, Standing};
use crate::changes::{Change, Subject};
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::global_id;
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Submission};

/// Who books, and where.
#[derive(Clone, Copy)]
pub(super) struct Desk<'d> {
    pub txn: &'d Txn,
    pub ledger: &'d Ledger,
    pub tenant: Tenant,
    pub actor: &'d Actor,
    /// Now, for all that is done together: what has lapsed by then is not there.
    pub now: Timestamp,
}

/// The reversals of a purchase, the oldest first.
pub(super) async fn of_purchase(
    txn: &Txn,
    tenant: Tenant,
    purchase: PurchaseId,
) -> Result<Vec<reversal::Model>> {
    let rows = tenant
        .find::<reversal::Entity>()
        .filter(reversal::Column::PurchaseId.eq(purchase))
        .order_by_asc(reversal::Column::Id);
    Ok(rows.all(txn).await?)
}

/// Whether the money is back at the buyer's.
pub(super) fn is_returned(row: &reversal::Model) -> bool {
    matches!(row.state, ReversalState::Succeeded | ReversalState::Lost)
}

/// Whether the money stays.
pub(super) fn is_void(row: &reversal::Model) -> bool {
    matches!(row.state, ReversalState::Failed | ReversalState::Won)
}

/// How many credits go back with so much money, beside those that other reversals of the purchase take.
pub(super) fn share_of(
    purchase: &purchase::Model,
    rows: &[reversal::Model],
    row: ReversalId,
    amount: i64,
) -> Credits {
    let others = rows.iter().filter(|other| other.id != row && !is_void(other));
    let left = others.fold(purchase.credits, |left, other| left.saturating_sub(other.credits));
    revoked_credits(purchase.credits, amount, purchase.total, left)
}

/// Whether something of a reversal is still to be booked.
pub(super) fn is_waiting(row: &reversal::Model) -> bool {
    match row.state {
        ReversalState::Open => row.held_at.is_none(),
        ReversalState::Succeeded | ReversalState::Lost | ReversalState::Won => row.booked_at.is_none(),
        ReversalState::Failed => is_to_be_undone(row),
        ReversalState::Pending => false,
    }
}

/// The same, of all reversals, in the database.
pub(super) fn all_waiting() -> Condition {
    let state = reversal::Column::State;
    let open = state.eq(ReversalState::Open).and(reversal::Column::HeldAt.is_null());
    let ended = [ReversalState::Succeeded, ReversalState::Lost, ReversalState::Won];
    let ended = state.is_in(ended).and(reversal::Column::BookedAt.is_null());
    let taken = Condition::any()
        .add(reversal::Column::TakenCredits.gt(0_i64))
        .add(reversal::Column::TakenValue.gt(0_i64));
    let failed = Condition::all().add(state.eq(ReversalState::Failed)).add(taken);
    Condition::any().add(open).add(ended).add(failed)
}

/// Books what is to be booked of a purchase's reversals, as far as nothing stands in the way. Answers all of them as
/// they are then, and what is to be announced.
pub(super) async fn book(
    desk: Desk<'_>,
    purchase: &purchase::Model,
) -> Result<(Vec<reversal::Model>, Vec<Change>)> {
    let mut rows = of_purchase(desk.txn, desk.tenant, purchase.id).await?;
    let (mut tried, mut committed) = (BTreeSet::new(), Vec::new());
    loop {
        // What is undone comes first, then disputes: a refund leaves them what they hold.
        let next = rows.iter().filter(|row| is_waiting(row) && !tried.contains(&row.id));
        let rank = |row: &&reversal::Model| {
            (row.state != ReversalState::Failed, row.kind == ReversalKind::Refund, row.id)
        };
        let next = next.min_by_key(rank).cloned();
        let Some(next) = next else { break };
        let (id, closing) = (next.id, matches!(next.state, ReversalState::Won | ReversalState::Lost));
        tried.insert(id);
        let places = lock_places(desk, purchase).await?;
        let booked = match next.state {
            ReversalState::Open => disputes::hold(desk, (purchase, &places), &rows, next).await?,
            _ if closing && !places.are_open(places.claimed().map(|(pool, ..)| pool)) => None,
            ReversalState::Won => Some((reversal::Model { booked_at: Some(desk.now), ..next }, Vec::new())),
            ReversalState::Failed => undone::give_again(desk, (purchase, &places), next).await?,
            _ => refund::take_back(desk, (purchase, &places), &rows, next).await?,
        };
        let Some((booked, changes)) = booked else { continue };
        write_reversal(desk.txn, &booked).await?;
        committed.extend(changes);
        rows.iter_mut().filter(|row| row.id == id).for_each(|row| *row = booked.clone());
        if booked.state == ReversalState::Failed {
            // No more counts of the others than was paid. Now more of them does.
            let capped = |row: &&mut reversal::Model| is_returned(row) && row.taken_value < row.amount;
            for other in rows.iter_mut().filter(capped) {
                other.booked_at = None;
                write_reversal(desk.txn, other).await?;
                tried.remove(&other.id);
            }
        }
        if closing {
            let changes = disputes::let_go(desk, purchase, &booked).await?;
            if changes.is_empty() {
                continue;
            }
            committed.extend(changes);
            // What another dispute held is free as well: it has to hold that again.
            for other in rows.iter_mut().filter(|row| row.state == ReversalState::Open) {
                (other.held_at, other.held_credits) = (None, Credits::ZERO);
                write_reversal(desk.txn, other).await?;
                tried.remove(&other.id);
            }
        }
    }
    Ok((rows, committed))
}

/// Has the ledger do something in a pool that a reversal asks for. `key` names it among all that is done for the reversal.
pub(super) async fn post(
    desk: Desk<'_>,
    reversal: &reversal::Model,
    (pool, key): (PoolId, Idempotency),
    instruction: Instruction,
) -> Result<Vec<Change>> {
    let clock = &desk.ledger.context().clock;
    let command = Command {
        id: CommandId::Entry(clock.new_id::<EntryId>()),
        pool,
        key: key.key,
        request: key.request,
        now: desk.now,
        instruction,
    };
    let submission = Submission {
        command,
        actor: desk.actor.clone(),
        standing: Standing::default(),
        subject: None,
        metadata: Some(json!({ "reversal": global_id::encode(reversal.id) }).to_string()),
        reason: reversal.reason.clone(),
    };
    let (_, committed) = desk.ledger.apply(desk.txn, desk.tenant, submission).await?;
    Ok(committed)
}

/// The key of what is done to a lot in a pool for a reversal.
pub(super) fn key_of(what: &str, reversal: ReversalId, (pool, lot): Spot) -> Idempotency {
    let mut form = Canonical::of("reversal");
    form.id(reversal).id(pool).id(lot);
    let [reversal, pool, lot] =
        [global_id::encode(reversal), global_id::encode(pool), global_id::encode(lot)];
    Idempotency::new(what, &format!("{reversal} {pool} {lot}"), &form)
}

/// Writes a reversal that is new, or has come to another state, does what follows from that, and writes it to the log.
/// Purchase and heads are locked. Answers the reversal and what is to be announced.
pub(super) async fn carry_on(
    desk: Desk<'_>,
    selling: &Selling,
    (purchase, payment): (purchase::Model, &payment::Model),
    (before, after): (Option<&reversal::Model>, reversal::Model),
) -> Result<(reversal::Model, Vec<Change>)> {
    match before {
        Some(_) => write_reversal(desk.txn, &after).await?,
        None => {
            let row = after.clone().into_active_model();
            reversal::Entity::insert(row).exec_without_returning(desk.txn).await?;
        }
    }
    let was = json!({ "state": before.map(|row| row.state.as_str()), "purchase": purchase.state.as_str() });
    let undone = before.is_some_and(is_returned) && after.state == ReversalState::Failed;
    let mut committed = Vec::new();
    let purchase = match (is_returned(&after), undone) {
        (true, _) => return_money(desk, selling, (purchase, payment), &after).await?,
        (false, true) => {
            let (purchase, changes) = undone::take_money(desk, selling, (purchase, payment), &after).await?;
            committed.extend(changes);
            purchase
        }
        (false, false) => purchase,
    };
    let (rows, changes) = book(desk, &purchase).await?;
    committed.extend(changes);
    let after = rows.into_iter().find(|row| row.id == after.id).unwrap_or(after);
    let action = match after.kind {
        ReversalKind::Refund => "refundPurchase",
        ReversalKind::Dispute => "disputePurchase",
    };
    let is = facts(&purchase, &after);
    let change = match before {
        Some(_) => audit::Change::updated(action, after.id, was, is),
        None => audit::Change::created(action, after.id, is),
    };
    // Last, because the log's head is locked after everything else.
    audit::record(desk.txn, desk.tenant, &desk.ledger.context().clock, desk.actor, change).await?;
    committed.push(Change { organization: desk.tenant.id(), subject: Subject::Purchase(purchase.id) });
    Ok((after, committed))
}

fn facts(purchase: &purchase::Model, row: &reversal::Model) -> Value {
    json!({
        "state": row.state.as_str(),
        "payment": global_id::encode(row.payment_id),
        "amountMinor": row.amount,
        "currency": row.currency.code(),
        "credits": row.credits.get(),
        "heldCredits": row.held_credits.get(),
        "booked": row.booked_at.is_some(),
        "reason": row.reason,
        "purchase": purchase.state.as_str(),
        "returnedMinor": purchase.returned,
    })
}

/// Writes to the purchase how much of its money is back at the buyer's, and issues the credit note. What is more than
/// was paid does not count: somebody is told of that elsewhere.
async fn return_money(
    desk: Desk<'_>,
    selling: &Selling,
    (purchase, payment): (purchase::Model, &payment::Model),
    row: &reversal::Model,
) -> Result<purchase::Model> {
    let Desk { txn, tenant, .. } = desk;
    let rows = of_purchase(txn, tenant, purchase.id).await?;
    let all =
        rows.iter().filter(|row| is_returned(row)).fold(0_i64, |sum, row| sum.saturating_add(row.amount));
    let returned = Ord::min(all, purchase.total);
    let more = returned - purchase.returned;
    if more <= 0 {
        return Ok(purchase);
    }
    let whole = returned == purchase.total;
    let event = if whole { PurchaseEvent::Returned } else { PurchaseEvent::PartlyReturned };
    let moved = apply(purchase.state, purchase.invoiced, event).map_err(|refusal| refused(refusal, None))?;
    let purchase = purchase::Model { state: moved.to, returned, ..purchase };
    write_purchase(txn, &purchase).await?;
    let clock = &desk.ledger.context().clock;
    if payment.provider == PaymentProvider::Invoice {
        invoice_credited_in(txn, tenant, clock, purchase.id, more).await?;
    }
    let credits = share_of(&purchase, &rows, row.id, more);
    issue_credit_note(txn, selling, tenant, (&purchase, row), (more, credits)).await?;
    Ok(purchase)
}

/// Writes what can change of a reversal.
pub(super) async fn write_reversal(txn: &Txn, row: &reversal::Model) -> Result<()> {
    let row = reversal::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        state: Set(row.state),
        provider_reference: Set(row.provider_reference.clone()),
        credits: Set(row.credits),
        held_credits: Set(row.held_credits),
        held_at: Set(row.held_at),
        booked_at: Set(row.booked_at),
        taken_credits: Set(row.taken_credits),
        taken_value: Set(row.taken_value),
        for_nothing: Set(row.for_nothing),
        idempotency_key: Set(row.idempotency_key),
        request_hash: Set(row.request_hash),
        ..Default::default()
    };
    reversal::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Locks the purchase of a payment, and keeps the organization as it is: nobody suspends it meanwhile. Answers both as
/// they are with the lock.
pub(super) async fn lock_payment(
    txn: &Txn,
    tenant: Tenant,
    id: PaymentId,
) -> Result<(purchase::Model, payment::Model)> {
    keep_organization(txn, tenant).await?;
    let find = || tenant.find::<payment::Entity>().filter(payment::Column::Id.eq(id)).one(txn);
    let payment = find().await?.ok_or(Error::not_found("payment"))?;
    let purchase = lock(txn, tenant, payment.purchase_id).await?;
    let payment = find().await?.ok_or(Error::not_found("payment"))?;
    Ok((purchase, payment))
}

/// Locks the organization against suspension: a part of a reversal must not be booked and the rest refused.
pub(super) async fn keep_organization(txn: &Txn, tenant: Tenant) -> Result<()> {
    let row = tenant.find::<organization::Entity>().lock_shared().one(txn).await?;
    row.map(|_| ()).ok_or(Error::not_found("organization"))
}

/// In how many seconds a refund of which a part waits for a dispute is looked at again.
pub(super) const LOOK_AGAIN_SECONDS: i64 = 60;

/// Books what can be booked now of a refund of which a part waits for a dispute: credits may have come free by other ways
/// than its end. Answers when to look again; none: nothing waits any more.
///
/// # Errors
/// What the database answers.
pub async fn reversal_due(selling: &Selling, tenant: Tenant, id: ReversalId) -> Result<Option<Timestamp>> {
    let own = selling.clone();
    let work = db::work(move |txn| {
        let own = own.clone();
        Box::pin(async move {
            let row = tenant.find::<reversal::Entity>().filter(reversal::Column::Id.eq(id)).one(txn).await?;
            let Some(row) = row.filter(is_waiting) else { return Ok((None, Vec::new())) };
            let (purchase, _) = lock_payment(txn, tenant, row.payment_id).await?;
            let (actor, now) = (Actor::system(None), own.context().clock.now());
            let desk = Desk { txn, ledger: &own.ledger, tenant, actor: &actor, now };
            let (rows, mut committed) = book(desk, &purchase).await?;
            if !committed.is_empty() {
                committed.push(Change { organization: tenant.id(), subject: Subject::Purchase(purchase.id) });
            }
            let waits = rows.iter().any(|row| row.id == id && is_waiting(row));
            Ok((waits.then(|| now.plus_seconds(LOOK_AGAIN_SECONDS)), committed))
        })
    });
    let (next, committed) = selling.context().db.write(tenant, work).await?;
    selling.context().changes.announce(&committed);
    Ok(next)
}

/// Books what waits of reversals and can be booked now, in all pools or, when one was opened, of those purchases that
/// have something to do with it. The heads of those pools are locked. Answers what is to be announced.
pub(super) async fn book_waiting(
    txn: &Txn,
    ledger: &Ledger,
    (tenant, actor): (Tenant, &Actor),
    pool: Option<PoolId>,
) -> Result<Vec<Change>> {
    let desk = Desk { txn, ledger, tenant, actor, now: ledger.context().clock.now() };
    let waiting = tenant.find::<reversal::Entity>().filter(all_waiting()).all(txn).await?;
    // What is to be given back may have been taken where nothing lies any more.
    let undone = waiting.iter().filter(|row| is_to_be_undone(row)).map(|row| row.purchase_id);
    let undone: BTreeSet<PurchaseId> = undone.collect();
    let purchases: BTreeSet<PurchaseId> = waiting.iter().map(|row| row.purchase_id).collect();
    let mut committed = Vec::new();
    for id in purchases {
        let row = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id)).one(txn).await?;
        let row = row.ok_or_else(|| Error::internal("a reversal of no purchase"))?;
        if let Some(pool) = pool
            && !undone.contains(&id)
            && !reaches(txn, tenant, &row, pool).await?
        {
            continue;
        }
        let (_, changes) = book(desk, &row).await?;
        if !changes.is_empty() {
            committed.extend(changes);
            committed.push(Change { organization: tenant.id(), subject: Subject::Purchase(id) });
        }
    }
    Ok(committed)
}
