//! Refunds: the vendor gives a payment back, in whole or in part, by a mutation or at the provider itself.
//!
//! A refund that is asked for is written first. Then the provider is asked (see [`super::refund_order`]), and what it answers is
//! taken like what it tells later. Whoever repeats the call goes the same way again, and so does timed work that is written with
//! the refund.

use std::sync::Arc;

use bursar_domain::id::{PaymentId, PurchaseId, ReversalId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{Instruction, RevokeLot};
use bursar_domain::money::cost_share;
use bursar_domain::purchase::{PaymentProvider, PaymentState, PurchaseEvent, PurchaseRefusal, apply};
use bursar_domain::reversal::{ReversalKind, ReversalState, from_holds, spread, waiting};
use bursar_domain::{Credits, Money};
use bursar_entity::{journal_entry, lot, payment, purchase, reversal, transfer};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::refund_order::{ASK_AGAIN_SECONDS, giver, is_to_be_asked, order};
use super::rehearsed::{Rehearsed, rehearsed};
use super::reversals::{
    Desk, LOOK_AGAIN_SECONDS, Places, Told, carry_on, hear, is_to_be_undone, is_void, keep_organization,
    key_of, lock_places, lots_of, of_purchase, post, share_of,
};
use super::settle::Outcome;
use super::timed::{REFUND_DUE, REVERSAL_DUE, be_due};
use super::top_up::halt_in;
use super::{Selling, lock, refused};
use crate::audit;
use crate::auth::{Actor, Authorized};
use crate::changes::Change;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger;
use crate::organizations::lock_for;
use crate::payments::ProviderRefund;
use crate::text;

/// What is done to a lot in a pool for a reversal, in the key of the first part of it.
const REVERSE: &str = "reversePayment";

/// Books what a provider tells of a refund of a payment that has been booked. News that is old, or comes again, changes
/// nothing; what cannot be is parked.
pub(super) async fn refund_told(
    selling: &Selling,
    tenant: Tenant,
    payment: PaymentId,
    refund: &ProviderRefund,
    origin: Option<String>,
) -> Result<Outcome> {
    hear(selling, (tenant, payment), told(refund), Actor::system(origin)).await
}

/// A refund as what is told of it.
pub(super) fn told(refund: &ProviderRefund) -> Told {
    Told {
        kind: ReversalKind::Refund,
        reference: refund.refund.clone(),
        state: refund.state,
        amount: refund.amount,
        currency: refund.currency.clone(),
        ours: refund.ours.clone(),
        frees_key: false,
    }
}

/// Takes credits back for money that is back at the buyer's: what a dispute holds of them, what is free, what holds keep
/// once they let it go; what has been used becomes debt of the purchase's pool. Of a refund, what could only be taken from
/// what an open dispute holds waits for its end. None: nothing can be done now.
pub(super) async fn take_back(
    desk: Desk<'_>,
    (purchase, places): (&purchase::Model, &Places),
    rows: &[reversal::Model],
    row: reversal::Model,
) -> Result<Option<(reversal::Model, Vec<Change>)>> {
    let Some(home) = places.home else { return Ok(None) };
    let disputed = row.kind == ReversalKind::Dispute;
    // What an open dispute is going to hold is not known before it does.
    if !disputed && rows.iter().any(|other| other.state == ReversalState::Open && other.held_at.is_none()) {
        return Ok(None);
    }
    // What is still to be given back counts as taken.
    if rows.iter().any(is_to_be_undone) {
        return Ok(None);
    }
    let taken = row.taken_credits;
    let (credits, value) = worth(purchase, rows, &row);
    let left = credits.saturating_sub(taken);
    let lying = if disputed { places.disputed() } else { places.unclaimed() };
    let may_come_free = !disputed && rows.iter().any(may_let_go);
    let waits = if may_come_free { waiting(&lying, left, places.in_dispute()) } else { Credits::ZERO };
    let now = left.saturating_sub(waits);
    if now.is_zero() && !waits.is_zero() {
        be_due(desk.txn, desk.tenant, REVERSAL_DUE, row.id, desk.now.plus_seconds(LOOK_AGAIN_SECONDS))
            .await?;
        return Ok(None);
    }
    let part = match waits.is_zero() {
        true => value - row.taken_value,
        false => cost_share(value - row.taken_value, now.get(), left.get()),
    };
    let shares = spread(&lying, home, now, part);
    if !places.are_open(shares.iter().map(|share| share.pool)) {
        return Ok(None);
    }
    // Each part is done once.
    let what = match taken.is_zero() {
        true => REVERSE.to_owned(),
        false => format!("{REVERSE} {taken}"),
    };
    let mut committed = Vec::new();
    for share in shares {
        let key = key_of(&what, row.id, (share.pool, share.lot));
        let revoke = RevokeLot { lot: share.lot, credits: share.credits, value: share.value, disputed };
        committed.extend(post(desk, &row, (share.pool, key), Instruction::Revoke(revoke)).await?);
    }
    let held = if disputed { Credits::ZERO } else { from_holds(&lying, now) };
    let row = reversal::Model {
        credits,
        held_credits: row.held_credits.saturating_add(held),
        booked_at: waits.is_zero().then_some(desk.now),
        taken_credits: taken.saturating_add(now),
        taken_value: row.taken_value + part,
        // All credits have been taken: none are left that the money could go with.
        for_nothing: row.for_nothing + if now.is_zero() { part } else { 0 },
        ..row
    };
    if row.booked_at.is_none() {
        // What comes free meanwhile by other ways than the dispute's end need not wait for that.
        be_due(desk.txn, desk.tenant, REVERSAL_DUE, row.id, desk.now.plus_seconds(LOOK_AGAIN_SECONDS))
            .await?;
    }
    Ok(Some((row, committed)))
}

/// Whether a reversal is a dispute that may let go of what it holds, or has been won and has not yet.
fn may_let_go(row: &reversal::Model) -> bool {
    row.booked_at.is_none() && matches!(row.state, ReversalState::Open | ReversalState::Won)
}

/// How many credits a reversal takes back in all, and how much money goes with them: never more than was paid, and not less
/// than has been booked of it.
fn worth(purchase: &purchase::Model, rows: &[reversal::Model], row: &reversal::Model) -> (Credits, i64) {
    let others = rows.iter().filter(|other| other.id != row.id);
    let left = others.fold(purchase.total, |left, other| left.saturating_sub(other.taken_value).max(0));
    let value = left.min(row.amount).max(row.taken_value);
    (share_of(purchase, rows, row.id, value).max(row.taken_credits), value)
}

/// A payment to be given back.
#[derive(Clone, Debug)]
pub struct RefundRequest {
    /// How much; none: all that is left.
    pub amount: Option<Money>,
    /// Why.
    pub reason: String,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// A payment that was given back, or is to be.
#[derive(Clone, Debug)]
pub struct Reversed {
    /// The reversal.
    pub reversal: reversal::Model,
    /// The purchase.
    pub purchase: purchase::Model,
    /// What the pool of the purchase has after it.
    pub balance: ledger::Balance,
    /// Whether it had been asked for before, under the same key.
    pub replayed: bool,
    /// What a rehearsal has left of the purchase.
    pub rehearsed: Option<Arc<Rehearsed>>,
}

/// A refund that is written down.
struct Begun {
    reversal: reversal::Model,
    payment: payment::Model,
    replayed: bool,
    committed: Vec<Change>,
}

/// Gives a payment back, or a part of it. What was bought on invoice and is not paid is credited instead. When the
/// provider takes its time, or cannot be reached, the reversal is pending when this answers: it is asked again by timed work
/// and by whoever repeats the call. What the provider refuses uses up no key: the failed reversal stays without one.
///
/// # Errors
/// [`Error::Invalid`] at `reason` and `amount`; [`Conflict::State`] when nothing has been paid, or the provider refuses or
/// is not set up any more.
pub async fn refund_purchase(
    selling: &Selling,
    purchase: &Authorized<purchase::Model>,
    request: RefundRequest,
) -> Result<Reversed> {
    let reason = text::note("reason", &request.reason)?;
    let mut form = Canonical::of("refund of a purchase");
    form.id(purchase.id).text(&reason);
    form.option(request.amount, |form, amount| _ = form.number(amount.minor).text(amount.currency.code()));
    let key = Idempotency::new("refundPurchase", &request.key, &form);
    let (tenant, actor, id, amount) =
        (purchase.tenant(), purchase.actor().clone(), purchase.id, request.amount);
    let (own, dry_run) = (selling.clone(), request.dry_run);
    let by = actor.clone();
    let work = db::work(move |txn| {
        let (own, actor, reason) = (own.clone(), by.clone(), reason.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            let now = own.context().clock.now();
            let desk = Desk { txn, ledger: &own.ledger, tenant, actor: &actor, now };
            let begun = begin(desk, &own, id, (amount, &reason), (key, dry_run)).await?;
            let (reversal, replayed) = (begun.reversal.id, begun.replayed);
            let mut answered = answer(txn, &own, tenant, reversal, replayed).await?;
            if dry_run && !replayed {
                answered.rehearsed = Some(rehearsed(txn, tenant, id).await?);
            }
            Ok((answered, begun))
        })
    });
    let context = selling.context();
    if dry_run {
        return Ok(context.db.rehearse(tenant, work).await?.0);
    }
    let (answered, begun) = match context.db.write(tenant, work.clone()).await {
        // The same key at the same time, on another purchase: what it stands for can be seen now.
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            context.db.write(tenant, work).await
        }
        outcome => outcome,
    }?;
    context.changes.announce(&begun.committed);
    let Begun { reversal, payment, replayed, .. } = begun;
    if !is_to_be_asked(&reversal) {
        return Ok(answered);
    }
    let refusal = match order(selling, (tenant, &payment), (&reversal, replayed), (actor, true)).await {
        // It is written, so the money goes back all the same.
        Err(Error::Unavailable(_)) => None,
        refusal => refusal?,
    };
    if let Some(code) = refusal {
        let reason = format!("The payment provider refused: {code}");
        return Err(Error::conflict(Conflict::State, "purchaseId", reason));
    }
    let snapshot = context.db.read(tenant).await?;
    answer(&snapshot, selling, tenant, reversal.id, replayed).await
}

/// Writes a refund down that is asked for; one that no provider has to be asked for is carried out at once. A rehearsal
/// carries out all of them.
async fn begin(
    desk: Desk<'_>,
    selling: &Selling,
    id: PurchaseId,
    (amount, reason): (Option<Money>, &str),
    (key, rehearsed): (Idempotency, bool),
) -> Result<Begun> {
    let Desk { txn, tenant, .. } = desk;
    keep_organization(txn, tenant).await?;
    let purchase = lock(txn, tenant, id).await?;
    let payments = tenant.find::<payment::Entity>().filter(payment::Column::PurchaseId.eq(id));
    let payments = payments.all(txn).await?;
    let by_key = reversal::Column::IdempotencyKey.eq(key.key);
    if let Some(reversal) = tenant.find::<reversal::Entity>().filter(by_key).one(txn).await? {
        if reversal.request_hash != Some(key.request) {
            return Err(Error::IdempotencyConflict);
        }
        let payment = payments.into_iter().find(|row| row.id == reversal.payment_id);
        let payment = payment.ok_or_else(|| Error::internal("a reversal of no payment"))?;
        return Ok(Begun { reversal, payment, replayed: true, committed: Vec::new() });
    }
    // The row of a top-up is locked before the heads.
    let clock = &desk.ledger.context().clock;
    let halted = halt_in(txn, tenant, clock, &purchase).await?;
    lock_places(desk, &purchase).await?;
    let rows = of_purchase(txn, tenant, id).await?;
    let returned = apply(purchase.state, purchase.invoiced, PurchaseEvent::PartlyReturned);
    returned.map_err(|refusal| refused(refusal, "purchaseId"))?;
    let counts = |row: &payment::Model| match row.provider {
        PaymentProvider::Invoice => matches!(row.state, PaymentState::Open | PaymentState::Paid),
        PaymentProvider::Sandbox | PaymentProvider::Stripe => row.state == PaymentState::Paid,
    };
    let payment = payments
        .into_iter()
        .find(counts)
        .ok_or_else(|| refused(PurchaseRefusal::NothingToReturn { state: purchase.state }, "purchaseId"))?;
    let others = rows.iter().filter(|row| row.payment_id == payment.id && !is_void(row));
    let left = others.fold(payment.amount, |left, row| left.saturating_sub(row.amount)).max(0);
    let amount = match amount {
        Some(money) if money.currency != payment.currency => {
            let reason = format!("must be {}, as the payment", payment.currency);
            return Err(Error::invalid("amount.currency", reason));
        }
        Some(money) => money.minor,
        None => left,
    };
    if amount <= 0 || amount > left {
        let exponent = payment.currency.exponent();
        let left = rust_decimal::Decimal::new(left, exponent);
        return Err(Error::invalid(
            "amount",
            format!("must be more than 0, and at most the {left} that are left"),
        ));
    }
    if payment.provider != PaymentProvider::Invoice {
        // What is written is carried out: it must not wait for somebody who is not there.
        giver(selling, payment.provider)?;
    }
    let reversal_id = clock.new_id::<ReversalId>();
    let reversal = reversal::Model {
        organization_id: tenant.id(),
        id: reversal_id,
        purchase_id: id,
        payment_id: payment.id,
        kind: ReversalKind::Refund,
        state: ReversalState::Pending,
        provider_reference: None,
        amount,
        currency: payment.currency,
        credits: share_of(&purchase, &rows, reversal_id, amount),
        held_credits: Credits::ZERO,
        held_at: None,
        booked_at: None,
        taken_credits: Credits::ZERO,
        taken_value: 0,
        for_nothing: 0,
        reason: Some(reason.to_owned()),
        idempotency_key: Some(key.key),
        request_hash: Some(key.request),
        created_at: desk.now,
    };
    let at_once = rehearsed || payment.provider == PaymentProvider::Invoice;
    let state = if at_once { ReversalState::Succeeded } else { ReversalState::Pending };
    let reversal = reversal::Model { state, ..reversal };
    if is_to_be_asked(&reversal) {
        // Should nobody be left to ask the provider, this is.
        let at = desk.now.plus_seconds(ASK_AGAIN_SECONDS);
        be_due(txn, tenant, REFUND_DUE, reversal_id, at).await?;
    }
    let (reversal, committed) = carry_on(desk, selling, (purchase, &payment), (None, reversal)).await?;
    if let Some(halted) = halted {
        audit::record(txn, tenant, clock, desk.actor, halted).await?;
    }
    Ok(Begun { reversal, payment, replayed: false, committed })
}

/// A reversal with its purchase, and what the purchase's pool had after it; while it is not booked there, what it has now.
async fn answer(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    id: ReversalId,
    replayed: bool,
) -> Result<Reversed> {
    let reversal = tenant.find::<reversal::Entity>().filter(reversal::Column::Id.eq(id)).one(txn).await?;
    let reversal = reversal.ok_or(Error::not_found("reversal"))?;
    let of = purchase::Column::Id.eq(reversal.purchase_id);
    let purchase = tenant.find::<purchase::Entity>().filter(of).one(txn).await?;
    let purchase = purchase.ok_or(Error::not_found("purchase"))?;
    let balance = match last_transfer(txn, tenant, &reversal, &purchase).await? {
        Some(transfer) => ledger::Balance::of_pool_after(&transfer)?,
        None => ledger::pool_balance(txn, tenant, purchase.pool_id, selling.context().clock.now()).await?,
    };
    Ok(Reversed { reversal, purchase, balance, replayed, rehearsed: None })
}

/// The last transfer in the purchase's own pool that a reversal has made.
async fn last_transfer(
    txn: &Txn,
    tenant: Tenant,
    reversal: &reversal::Model,
    purchase: &purchase::Model,
) -> Result<Option<transfer::Model>> {
    let lots = lots_of(txn, tenant, purchase.id).await?;
    let key = |lot: lot::Model| key_of(REVERSE, reversal.id, (purchase.pool_id, lot.id)).key;
    let keys: Vec<_> = lots.into_iter().map(key).collect();
    if keys.is_empty() {
        return Ok(None);
    }
    let entry = tenant
        .find::<journal_entry::Entity>()
        .filter(journal_entry::Column::IdempotencyKey.is_in(db::padded(keys)))
        .order_by_desc(journal_entry::Column::Version);
    let Some(entry) = entry.one(txn).await? else { return Ok(None) };
    let transfer = tenant
        .find::<transfer::Entity>()
        .filter(transfer::Column::PoolId.eq(entry.pool_id))
        .filter(transfer::Column::Version.eq(entry.version));
    Ok(transfer.one(txn).await?)
}
