//! What somebody of the vendor's staff decides about money that could not be booked: it pays a purchase after all, or is
//! dismissed.

use bursar_domain::id::{ParkedPaymentId, PaymentId, PurchaseId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::pricing::UnitPrice;
use bursar_domain::purchase::{ParkedReason, ParkedState, PaymentState, PurchaseEvent, apply};
use bursar_entity::{parked_payment, payment, purchase};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::json;

use super::book::{Came, book_payment};
use super::claimed::{claimed_by, let_go_in, record_let_go};
use super::closing::close_sessions;
use super::settle::{is_bound, is_not_unique, settle};
use super::top_up::require_charged;
use super::{Selling, lock, nothing_pending, refused};
use crate::audit;
use crate::auth::Actor;
use crate::changes::{Change, Subject};
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::idempotency::Idempotency;
use crate::payments::ProviderEvent;
use crate::{approvals, global_id, text};

/// How many days before money was parked something may have become of it.
const LOOKS_BACK_DAYS: i64 = 35;

/// What is decided about parked money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkedResolution {
    /// It pays a purchase.
    Apply {
        /// Which one.
        purchase: PurchaseId,
        /// Whose that is: whoever decides has been authorized for it.
        tenant: Tenant,
    },
    /// It is given back, or dealt with elsewhere.
    Dismiss,
}

/// A decision about parked money.
#[derive(Clone, Debug)]
pub struct ResolveParked {
    /// What is decided.
    pub resolution: ParkedResolution,
    /// Why.
    pub note: String,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// Parked money that was decided about.
#[derive(Clone, Debug)]
pub struct ParkedResolved {
    /// The money.
    pub parked: parked_payment::Model,
    /// The purchase that it pays.
    pub purchase: Option<purchase::Model>,
    /// Whether it had been decided so before.
    pub replayed: bool,
}

/// What one transaction has left: the answer, what is to be announced, and which checkouts were closed.
type Resolving = (ParkedResolved, Vec<Change>, Vec<String>);

/// Decides about parked money: it pays a purchase after all, or is dismissed. Decided the same way again, it answers
/// what was decided; in another way, it is refused. A key that has come with another decision is refused first.
///
/// # Errors
/// [`Conflict::State`] when it is decided otherwise, or the purchase cannot be paid; [`Error::Invalid`] when the money
/// does not fit the purchase; [`Error::IdempotencyConflict`]; what the database answers.
pub async fn resolve_parked(
    selling: &Selling,
    actor: &Actor,
    id: ParkedPaymentId,
    decision: ResolveParked,
) -> Result<ParkedResolved> {
    let ResolveParked { resolution, note, key, dry_run } = decision;
    let note = text::note("note", &note)?;
    let mut form = Canonical::of("parked payment");
    form.id(id).text(&note);
    if let ParkedResolution::Apply { purchase, .. } = resolution {
        form.id(purchase);
    }
    let idempotency = Idempotency::new("resolveParkedPayment", &key, &form);
    let context = selling.context();
    // Which payment of ours it names never changes.
    let claimed = claimed_by(context, id).await?;
    let (own, actor) = (selling.clone(), actor.clone());
    let work = db::work(move |txn| {
        let (own, actor, note) = (own.clone(), actor.clone(), note.clone());
        let decision = (resolution, note, idempotency);
        Box::pin(async move { resolve_in(txn, &own, &actor, (id, claimed), decision).await })
    });
    let outcome = match dry_run {
        true => context.db.rehearse(Tenant::vendor(), work.clone()).await,
        false => context.db.write(Tenant::vendor(), work.clone()).await,
    };
    let outcome = match outcome {
        // The same key at the same time, for other money: what it stands for can be seen now.
        Err(error) if is_not_unique(&error) && !is_bound(&error) => match dry_run {
            true => context.db.rehearse(Tenant::vendor(), work).await,
            false => context.db.write(Tenant::vendor(), work).await,
        },
        outcome => outcome,
    };
    let (resolved, changes, closed) = match outcome {
        Err(error) if is_bound(&error) => {
            let reason = "Another payment has the provider's name of this money already.";
            return Err(Error::conflict(Conflict::State, "parkedPaymentId", reason));
        }
        outcome => outcome?,
    };
    if dry_run {
        return Ok(resolved);
    }
    context.changes.announce(&changes);
    if let ParkedResolution::Apply { tenant, .. } = resolution {
        close_sessions(selling, tenant, &closed).await;
        if let Err(error) = catch_up(selling, &resolved.parked).await {
            let parked = global_id::encode(resolved.parked.id);
            tracing::error!(%error, %parked, "what was told of parked money is to be found by a comparison of the books");
        }
    }
    Ok(resolved)
}

/// Books what has become of money at the provider while it was parked. Refunds and disputes that were told of then were
/// of nobody's payment, and are not told of again.
async fn catch_up(selling: &Selling, row: &parked_payment::Model) -> Result<()> {
    let (payment, kind) = (row.provider_reference.clone(), row.provider);
    let Some(provider) = selling.payments.of(kind) else { return Ok(()) };
    settle(selling, kind, ProviderEvent::Refunded { payment }, None).await?;
    let (since, mut after) = (row.created_at.plus_days(-LOOKS_BACK_DAYS), None::<String>);
    loop {
        let page = provider.disputes_since(since, after.as_deref()).await;
        let page = page.map_err(|_| Error::Unavailable("The payment provider cannot be reached."))?;
        for told in page.items.into_iter().filter(|told| told.payment == row.provider_reference) {
            settle(selling, kind, ProviderEvent::Dispute(told), None).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Decides inside a transaction. The money is locked first; the transaction turns to whose purchase it is, and back.
async fn resolve_in(
    txn: &Txn,
    selling: &Selling,
    actor: &Actor,
    (id, claimed): (ParkedPaymentId, Option<(Tenant, PaymentId)>),
    (resolution, note, idempotency): (ParkedResolution, String, Idempotency),
) -> Result<Resolving> {
    let (vendor, clock) = (Tenant::vendor(), &selling.context().clock);
    let row = vendor.find::<parked_payment::Entity>().filter(parked_payment::Column::Id.eq(id));
    let row = row.lock_exclusive().one(txn).await?;
    let row = row.ok_or(Error::not_found("parked payment").at("parkedPaymentId"))?;
    let by_key = parked_payment::Column::IdempotencyKey.eq(idempotency.key);
    if let Some(known) = vendor.find::<parked_payment::Entity>().filter(by_key).one(txn).await?
        && known.request_hash != Some(idempotency.request)
    {
        return Err(Error::IdempotencyConflict);
    }
    if row.state != ParkedState::Open {
        return decided(txn, row, (resolution, &note)).await;
    }
    let pays = match resolution {
        ParkedResolution::Dismiss => None,
        ParkedResolution::Apply { purchase, tenant } => Some((tenant, purchase)),
    };
    let freed = match claimed {
        Some(claimed) => let_go_in(txn, clock, &row, claimed, pays).await?,
        None => None,
    };
    let (state, applied) = match resolution {
        ParkedResolution::Dismiss => (ParkedState::Dismissed, None),
        ParkedResolution::Apply { purchase, tenant } => {
            txn.turn_to(tenant).await?;
            let applied = apply_in(txn, selling, (tenant, actor), (&row, purchase), idempotency).await?;
            txn.turn_to(vendor).await?;
            (ParkedState::Applied, Some(applied))
        }
    };
    let after = parked_payment::Model {
        state,
        resolution: Some(note),
        resolved_by: actor.answerable(),
        resolved_at: Some(clock.now()),
        idempotency_key: Some(idempotency.key),
        request_hash: Some(idempotency.request),
        ..row.clone()
    };
    let written = parked_payment::ActiveModel {
        organization_id: Unchanged(after.organization_id),
        id: Unchanged(after.id),
        state: Set(after.state),
        resolution: Set(after.resolution.clone()),
        resolved_by: Set(after.resolved_by),
        resolved_at: Set(after.resolved_at),
        idempotency_key: Set(after.idempotency_key),
        request_hash: Set(after.request_hash),
        ..Default::default()
    };
    parked_payment::Entity::update(written).exec_without_returning(txn).await?;
    let (purchase, mut changes, closed) = match applied {
        Some((purchase, changes, closed)) => (Some(purchase), changes, closed),
        None => (None, Vec::new(), Vec::new()),
    };
    if let Some(freed) = freed {
        let subject = Subject::Purchase(freed.purchase);
        changes.push(Change { organization: freed.tenant.id(), subject });
        record_let_go(txn, clock, actor, freed).await?;
    }
    let was = json!({ "state": row.state.as_str() });
    let paid = purchase.as_ref().map(|row| global_id::encode(row.id));
    let is = json!({ "state": after.state.as_str(), "purchase": paid, "note": after.resolution.as_deref() });
    let change = audit::Change::updated("resolveParkedPayment", after.id, was, is);
    audit::record(txn, vendor, clock, actor, change).await?;
    Ok((ParkedResolved { parked: after, purchase, replayed: false }, changes, closed))
}

/// What was decided before, when it was the same.
async fn decided(
    txn: &Txn,
    row: parked_payment::Model,
    (resolution, note): (ParkedResolution, &str),
) -> Result<Resolving> {
    let purchase = match resolution {
        ParkedResolution::Dismiss => None,
        ParkedResolution::Apply { purchase, tenant } => {
            txn.turn_to(tenant).await?;
            let paid = tenant
                .find::<payment::Entity>()
                .filter(payment::Column::PurchaseId.eq(purchase))
                .filter(payment::Column::Provider.eq(row.provider))
                .filter(payment::Column::ProviderPayment.eq(row.provider_reference.as_str()));
            match paid.one(txn).await? {
                Some(_) => Some(lock(txn, tenant, purchase).await?),
                None => None,
            }
        }
    };
    let same = match resolution {
        ParkedResolution::Dismiss => row.state == ParkedState::Dismissed,
        ParkedResolution::Apply { .. } => row.state == ParkedState::Applied && purchase.is_some(),
    };
    if !same || row.resolution.as_deref() != Some(note) {
        let reason = format!("Somebody has decided about it already: it is {}.", row.state);
        return Err(Error::conflict(Conflict::State, "parkedPaymentId", reason));
    }
    Ok((ParkedResolved { parked: row, purchase, replayed: true }, Vec::new(), Vec::new()))
}

/// Pays a purchase with parked money, in the purchase's organization. When it is less than agreed on, the vendor has
/// accepted it as the price.
async fn apply_in(
    txn: &Txn,
    selling: &Selling,
    (tenant, actor): (Tenant, &Actor),
    (row, purchase): (&parked_payment::Model, PurchaseId),
    idempotency: Idempotency,
) -> Result<(purchase::Model, Vec<Change>, Vec<String>)> {
    const FIELD: &str = "resolution.purchaseId";
    if matches!(row.reason, ParkedReason::ReversalMismatch | ParkedReason::NotUnderstood) {
        let reason = "The money is not known to have come in, so it pays for nothing.";
        return Err(Error::conflict(Conflict::State, "parkedPaymentId", reason));
    }
    let clock = &selling.context().clock;
    let before = lock(txn, tenant, purchase).await?;
    if row.reason == ParkedReason::ProviderGone {
        require_charged(txn, tenant, (purchase, &row.provider_reference), FIELD).await?;
    }
    let known = payment::Column::IdempotencyKey.eq(idempotency.key);
    if tenant.find::<payment::Entity>().filter(known).one(txn).await?.is_some() {
        // Of another decision: this money is open.
        return Err(Error::IdempotencyConflict);
    }
    if before.invoiced {
        return Err(Error::conflict(
            Conflict::State,
            FIELD,
            "The purchase is paid by its invoice. Record the payment there.",
        ));
    }
    apply(before.state, before.invoiced, PurchaseEvent::Paid).map_err(|refusal| refused(refusal, FIELD))?;
    nothing_pending(txn, tenant, &before).await?;
    if row.currency != before.currency.code() {
        return Err(Error::invalid(FIELD, format!("is of a purchase that is sold in {}", before.currency)));
    }
    if row.amount > before.total || row.amount < 1 {
        return Err(Error::invalid(FIELD, "is of a purchase that costs less than was paid"));
    }
    let unit_price = UnitPrice::of(row.amount, before.credits).unwrap_or(before.unit_price);
    let unit_price = if row.amount == before.total { before.unit_price } else { unit_price };
    let accepted = purchase::Model { total: row.amount, unit_price, ..before };
    // It completes the purchase as any other money does.
    if approvals::agreed_to(txn, tenant, &accepted).await?.is_some_and(|agreed| !agreed.is_it) {
        let reason = "The purchase is not what people have agreed to.";
        return Err(Error::conflict(Conflict::State, FIELD, reason));
    }
    let now = clock.now();
    let payment = payment::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<PaymentId>(),
        purchase_id: purchase,
        provider: row.provider,
        provider_payment: None,
        state: PaymentState::Open,
        amount: row.amount,
        currency: accepted.currency,
        idempotency_key: idempotency.key,
        request_hash: idempotency.request,
        created_at: now,
        paid_at: None,
        provider_session: None,
        provider_url: None,
        payment_method_id: None,
        failure: None,
        title: None,
    };
    payment::Entity::insert(payment.clone().into_active_model()).exec_without_returning(txn).await?;
    let came = Came::Taken(&row.provider_reference);
    let booked = book_payment(txn, selling, tenant, (accepted, payment), came, actor).await?;
    Ok((lock(txn, tenant, purchase).await?, booked.changes, booked.closed))
}
