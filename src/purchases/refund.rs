//! Refunds: the vendor gives a payment back, in whole or in part, by a mutation or at the provider itself.
//!
//! A refund that is asked for is written first. Then the provider is asked, with the reversal as the key, and what it
//! answers is taken like what it tells later. Whoever repeats the call goes the same way again.

use bursar_domain::id::{PaymentId, PurchaseId, ReversalId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{Instruction, RevokeLot};
use bursar_domain::purchase::{PaymentProvider, PaymentState, PurchaseEvent, PurchaseRefusal, apply};
use bursar_domain::reversal::{ReversalKind, ReversalState, spread};
use bursar_domain::{Credits, Money};
use bursar_entity::{journal_entry, lot, payment, purchase, reversal, transfer};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::reversals::{
    Desk, Places, Told, carry_on, hear, is_returned, is_void, keep_organization, key_of, lock_places,
    lots_of, of_purchase, post, share_of,
};
use super::settle::Outcome;
use super::{Selling, lock, refused};
use crate::auth::{Actor, Authorized};
use crate::changes::Change;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger;
use crate::payments::{Provider, ProviderError, ProviderRefund, RefundOrder, Sandbox};
use crate::{global_id, text};

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

fn told(refund: &ProviderRefund) -> Told {
    Told {
        kind: ReversalKind::Refund,
        reference: refund.refund.clone(),
        state: refund.state,
        amount: refund.amount,
        currency: refund.currency.clone(),
        ours: refund.ours.clone(),
    }
}

/// Takes credits back for money that is back at the buyer's: what a dispute holds of them, what is free, what holds keep
/// once they let it go; what has been used becomes debt of the purchase's pool. None: it cannot be done now.
pub(super) async fn take_back(
    desk: Desk<'_>,
    (purchase, places): (&purchase::Model, &Places),
    rows: &[reversal::Model],
    row: reversal::Model,
) -> Result<Option<(reversal::Model, Vec<Change>)>> {
    let Some(home) = places.home else { return Ok(None) };
    let disputed = row.kind == ReversalKind::Dispute;
    if !disputed && rows.iter().any(|other| other.state == ReversalState::Open) {
        return Ok(None);
    }
    let booked = rows.iter().filter(|other| other.id != row.id && is_returned(other));
    let booked = booked.filter(|other| other.booked_at.is_some()).map(|other| other.amount);
    // Never more than was paid.
    let value =
        booked.fold(purchase.total, |left, amount| left.saturating_sub(amount).max(0)).min(row.amount);
    let credits = share_of(purchase, rows, row.id, value);
    let lying = if disputed { places.disputed() } else { places.unclaimed() };
    let shares = spread(&lying, home, credits, value);
    if !places.are_open(shares.iter().map(|share| share.pool)) {
        return Ok(None);
    }
    let mut committed = Vec::new();
    for share in shares {
        let key = key_of("reversePayment", row.id, (share.pool, share.lot));
        let revoke = RevokeLot { lot: share.lot, credits: share.credits, value: share.value, disputed };
        committed.extend(post(desk, &row, (share.pool, key), Instruction::Revoke(revoke)).await?);
    }
    let row = reversal::Model { credits, booked_at: Some(desk.now), ..row };
    Ok(Some((row, committed)))
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
}

/// A refund that is written down.
struct Begun {
    reversal: reversal::Model,
    payment: payment::Model,
    replayed: bool,
    committed: Vec<Change>,
}

/// Gives a payment back, or a part of it. What was bought on invoice and is not paid is credited instead. When the
/// provider takes its time, the reversal is pending when this answers.
///
/// # Errors
/// [`Error::Invalid`] at `reason` and `amount`; [`Conflict::State`] when nothing has been paid, or the provider refuses;
/// [`Error::Unavailable`] when it cannot be reached: the same key goes on.
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
            let now = own.context().clock.now();
            let desk = Desk { txn, ledger: &own.ledger, tenant, actor: &actor, now };
            let begun = begin(desk, &own, id, (amount, &reason), (key, dry_run)).await?;
            let (reversal, replayed) = (begun.reversal.id, begun.replayed);
            Ok((answer(txn, &own, tenant, reversal, replayed).await?, begun))
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
    if reversal.state != ReversalState::Pending || reversal.provider_reference.is_some() {
        return Ok(answered);
    }
    let (refund, refusal) = match ask(selling, &payment, &reversal, replayed).await? {
        Ok(refund) => (told(&refund), None),
        Err(code) => {
            // It has no name at the provider.
            let ours = Some(global_id::encode(reversal.id));
            let failed = Told {
                kind: ReversalKind::Refund,
                reference: format!("refused {}", global_id::encode(reversal.id)),
                state: ReversalState::Failed,
                amount: reversal.amount,
                currency: reversal.currency.code().to_owned(),
                ours,
            };
            (failed, Some(code))
        }
    };
    hear(selling, (tenant, payment.id), refund, actor).await?;
    if let Some(code) = refusal {
        let reason = format!("The payment provider refused: {code}");
        return Err(Error::conflict(Conflict::State, "purchaseId", reason));
    }
    let snapshot = context.db.read(tenant).await?;
    answer(&snapshot, selling, tenant, reversal.id, replayed).await
}

/// Asks the provider for a refund. Inside: what it refused with. `again`: it may have been asked before. Providers forget
/// keys after a day, so what came of that is looked for first: else the money could go back a second time.
async fn ask(
    selling: &Selling,
    payment: &payment::Model,
    reversal: &reversal::Model,
    again: bool,
) -> Result<std::result::Result<ProviderRefund, String>> {
    let provider: &dyn Provider = match payment.provider {
        // It moves no money, whoever takes that of others.
        PaymentProvider::Sandbox => &Sandbox,
        kind => selling.payments.of(kind).ok_or_else(|| {
            let reason = "The payment was taken by a provider that is not set up any more.";
            Error::conflict(Conflict::State, "purchaseId", reason)
        })?,
    };
    let named = payment.provider_payment.clone();
    let order = RefundOrder {
        reversal: global_id::encode(reversal.id),
        payment: named.ok_or_else(|| Error::internal("a payment without its provider's name"))?,
        amount: Money { minor: reversal.amount, currency: reversal.currency },
    };
    let unreachable = |reason: String| {
        tracing::warn!(%reason, "a refund was not answered");
        Error::Unavailable("The payment provider cannot be reached.")
    };
    let made = if again { provider.refunds_of(&order.payment).await } else { Ok(Vec::new()) };
    let made = match made {
        Ok(made) => made.into_iter().find(|refund| refund.ours.as_ref() == Some(&order.reversal)),
        Err(ProviderError::Unreachable(reason)) => return Err(unreachable(reason)),
        // What it says to the refund itself says more.
        Err(_) => None,
    };
    if let Some(refund) = made {
        return Ok(Ok(refund));
    }
    match provider.refund(&order).await {
        Ok(refund) => Ok(Ok(refund)),
        Err(ProviderError::Unreachable(reason)) => Err(unreachable(reason)),
        Err(ProviderError::Refused { code } | ProviderError::Declined { code, .. }) => Ok(Err(code)),
        Err(ProviderError::NotFound) => Ok(Err("there is no such payment".to_owned())),
    }
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
    lock_places(desk, &purchase).await?;
    let rows = of_purchase(txn, tenant, id).await?;
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
    let reversal_id = desk.ledger.context().clock.new_id::<ReversalId>();
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
        reason: Some(reason.to_owned()),
        idempotency_key: Some(key.key),
        request_hash: Some(key.request),
        created_at: desk.now,
    };
    let at_once = rehearsed || payment.provider == PaymentProvider::Invoice;
    let state = if at_once { ReversalState::Succeeded } else { ReversalState::Pending };
    let reversal = reversal::Model { state, ..reversal };
    let (reversal, committed) = carry_on(desk, selling, (purchase, &payment), (None, reversal)).await?;
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
    Ok(Reversed { reversal, purchase, balance, replayed })
}

/// The last transfer in the purchase's own pool that a reversal has made.
async fn last_transfer(
    txn: &Txn,
    tenant: Tenant,
    reversal: &reversal::Model,
    purchase: &purchase::Model,
) -> Result<Option<transfer::Model>> {
    let lots = lots_of(txn, tenant, purchase.id).await?;
    let key = |lot: lot::Model| key_of("reversePayment", reversal.id, (purchase.pool_id, lot.id)).key;
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
