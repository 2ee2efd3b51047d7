//! Booking: the payment is in, the purchase is complete and the lot is issued, in one transaction. Or it has failed.
//!
//! Money that arrives for a pool that is frozen, or in an organization that is suspended, is taken all the same. Its
//! lot is issued in the transaction that lifts what stands in the way (see `waiting`).

use bursar_domain::Credits;
use bursar_domain::id::{EntryId, LotId, PaymentId, PurchaseId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{
    Command, CommandId, Instruction, IssueCredits, LotClass, LotSource, TransferKind,
};
use bursar_domain::purchase::{Effect, PaymentState, PurchaseEvent, apply};
use bursar_entity::{journal_entry, payment, purchase};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::json;

use super::agreed::is_superseded;
use super::closing::close_checkouts;
use super::documents::{issue_invoice_receipt, issue_receipt};
use super::pay_again::checkout_failed;
use super::top_up::{Ended, ended_in};
use super::waiting::{is_for_later, lock_head};
use super::{Selling, refused, write_payment, write_purchase};
use crate::auth::{Actor, Standing};
use crate::billing::Instalment;
use crate::changes::{Change, Subject};
use crate::db::{Tenant, Txn};
use crate::error::Result;
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Submission, transfers_after};
use crate::pools::PAID_PRIORITY;
use crate::{approvals, audit, global_id};

/// The most characters that are kept of a provider's word for a failure.
const MOST_OF_REASON: usize = 255;

/// How the money of a payment came in.
#[derive(Clone, Copy)]
pub(super) enum Came<'m> {
    /// A provider took all of it. This is its own name of the payment.
    Taken(&'m str),
    /// It came for an invoice: this much in the end, and what came before has its receipts. The invoice is locked and
    /// written.
    ForInvoice(i64, Instalment<'m>),
}

/// What a payment that was booked leaves to be done after the commit.
#[derive(Debug)]
pub(super) struct Booked {
    /// What is to be announced.
    pub changes: Vec<Change>,
    /// The checkouts that were closed, since nobody is to pay again.
    pub closed: Vec<String>,
}

/// Books a payment that has arrived: payment, purchase, receipt, other checkouts and, unless something stands in the way,
/// lot. The purchase is locked.
///
/// # Errors
/// [`Conflict::Purchase`](crate::error::Conflict::Purchase) when the purchase cannot be paid any more; what the ledger
/// refuses for good; what the database answers.
pub(super) async fn book_payment(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    (purchase, payment): (purchase::Model, payment::Model),
    came: Came<'_>,
    actor: &Actor,
) -> Result<Booked> {
    let clock = &selling.context().clock;
    let now = clock.now();
    let moved = apply(purchase.state, purchase.invoiced, PurchaseEvent::Paid);
    let moved = moved.map_err(|refusal| refused(refusal, None))?;
    let state = moved.to;
    let name = match came {
        Came::Taken(name) => name,
        Came::ForInvoice(_, instalment) => instalment.document.written_number.as_str(),
    };
    let paid = payment::Model {
        state: PaymentState::Paid,
        provider_payment: Some(name.to_owned()),
        paid_at: Some(now),
        failure: None,
        ..payment
    };
    write_payment(txn, &paid).await?;
    let closed = close_checkouts(txn, tenant, clock, purchase.id, moved.effect).await?;
    let after = purchase::Model { state, completed_at: Some(now), ..purchase.clone() };
    write_purchase(txn, &after).await?;
    // What was bought on invoice has used the approval when its credits came in.
    let used = match after.invoiced {
        true => None,
        false => approvals::mark_used(txn, tenant, after.id, now).await?,
    };
    // Its row is locked before a pool's head.
    ended_in(txn, tenant, clock, after.id, Ended::Paid).await?;
    let mut changes = issue_as_asked(txn, selling, tenant, (&after, paid.id, moved.effect), actor).await?;
    match came {
        Came::Taken(_) => issue_receipt(txn, selling, tenant, (&after, &paid)).await?,
        Came::ForInvoice(amount, instalment) => {
            issue_invoice_receipt(txn, selling, tenant, &after, (amount, instalment)).await?
        }
    };
    // Last, because the log's head is locked after everything else.
    let was = json!({ "state": purchase.state.as_str() });
    let mut is = json!({ "state": state.as_str(), "paidPayment": global_id::encode(paid.id) });
    if !closed.is_empty() {
        is["closedPayments"] = json!(closed);
    }
    if let Some(round) = used {
        is["approvalRound"] = round.into();
    }
    let change = audit::Change::updated("payPurchase", after.id, was, is);
    audit::record(txn, tenant, clock, actor, change).await?;
    changes.push(Change { organization: tenant.id(), subject: Subject::Purchase(after.id) });
    Ok(Booked { changes, closed })
}

/// Issues the lot of a purchase when what has become of it asks for that and nothing stands in the way. The purchase is
/// locked, and what else is written of it has been written before. Answers what is to be announced.
pub(super) async fn issue_as_asked(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    (purchase, payment, effect): (&purchase::Model, PaymentId, Effect),
    actor: &Actor,
) -> Result<Vec<Change>> {
    if !effect.issues() {
        return Ok(Vec::new());
    }
    // Before the ledger looks at the organization: it does so in one statement, as of the instant at which that began
    // to wait for the head, and somebody who lets the organization act again may hold it just now.
    lock_head(txn, tenant, purchase.pool_id).await?;
    match issue(txn, &selling.ledger, tenant, (purchase, payment), actor).await {
        // The refusal has left no trace: the lot comes in when nothing stands in the way any more.
        Err(error) if is_for_later(&error) => Ok(Vec::new()),
        issued => issued,
    }
}

/// Books that a payment has failed: the purchase can be paid by another one, unless that is under way already. The
/// purchase is locked. `reason` is the provider's own word. A top-up finds by itself what has become of its charge.
///
/// # Errors
/// What the database answers.
pub(super) async fn book_failure(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    (purchase, payment): (purchase::Model, payment::Model),
    reason: &str,
    actor: &Actor,
) -> Result<()> {
    let clock = &selling.context().clock;
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(MOST_OF_REASON).collect();
    let (id, failed) = (payment.id, PaymentState::Failed);
    // Should its money come all the same, it is known by our own word that it is for something else.
    let superseded = is_superseded(&payment);
    let failure = if superseded { payment.failure.clone() } else { Some(reason.clone()) };
    write_payment(txn, &payment::Model { state: failed, failure, ..payment }).await?;
    let event = PurchaseEvent::PaymentFailed;
    let state = match apply(purchase.state, purchase.invoiced, event) {
        Ok(transition) if !superseded && !is_paid_otherwise(txn, tenant, purchase.id).await? => transition.to,
        // It has come to its end otherwise, or begun again, or somebody is paying it in another way.
        Ok(_) | Err(_) => purchase.state,
    };
    let was = json!({ "state": purchase.state.as_str() });
    let is =
        json!({ "state": state.as_str(), "failedPayment": global_id::encode(id), "reason": reason.as_str() });
    let change = audit::Change::updated("failPayment", purchase.id, was, is);
    if state != purchase.state {
        checkout_failed(txn, tenant, clock, purchase.id).await?;
        write_purchase(txn, &purchase::Model { state, ..purchase }).await?;
    }
    audit::record(txn, tenant, clock, actor, change).await
}

/// Whether another payment of a purchase is open, under way or parked.
pub(super) async fn is_paid_otherwise(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<bool> {
    let others = tenant.find::<payment::Entity>().filter(payment::Column::PurchaseId.eq(purchase)).filter(
        payment::Column::State.is_in([PaymentState::Open, PaymentState::Pending, PaymentState::Parked]),
    );
    Ok(others.one(txn).await?.is_some())
}

/// The key of a purchase's lot: there is one for each purchase, so the purchase is the key.
fn lot_key(purchase: PurchaseId, form: &Canonical) -> Idempotency {
    Idempotency::new("issuePurchasedCredits", &global_id::encode(purchase), form)
}

/// How many of the credits of a purchase settled what its pool owed when they came in: those could never be used. None:
/// they have not come in.
///
/// # Errors
/// What the database answers.
pub async fn settled_debt(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<Option<Credits>> {
    let key = lot_key(purchase, &Canonical::of("issue")).key;
    let entry = tenant.find::<journal_entry::Entity>();
    let entry = entry.filter(journal_entry::Column::IdempotencyKey.eq(key)).one(txn).await?;
    let Some(entry) = entry else { return Ok(None) };
    let (before, slices) = (entry.version - entry.slices, u64::try_from(entry.slices).unwrap_or(0));
    let transfers = transfers_after(txn, tenant, entry.pool_id, before, slices).await?;
    let settled = transfers.iter().filter(|row| row.kind == TransferKind::Settle);
    Ok(Some(settled.fold(Credits::ZERO, |sum, row| sum.saturating_add(row.credits))))
}

/// Issues the lot of a purchase that is paid.
pub(super) async fn issue(
    txn: &Txn,
    ledger: &Ledger,
    tenant: Tenant,
    (purchase, payment): (&purchase::Model, PaymentId),
    actor: &Actor,
) -> Result<Vec<Change>> {
    let clock = &ledger.context().clock;
    let now = clock.now();
    let mut form = Canonical::of("issue");
    form.id(purchase.id).id(payment);
    let idempotency = lot_key(purchase.id, &form);
    let issue = IssueCredits {
        lot: clock.new_id::<LotId>(),
        source: LotSource::Purchase,
        class: LotClass::Paid,
        priority: PAID_PRIORITY,
        credits: purchase.credits,
        cost: purchase.total,
        currency: Some(purchase.currency),
        // The lifetime is that of credits that can be used: it begins when they come in.
        expires_at: purchase.lifetime_days.map(|days| now.plus_days(days)),
        purchase: Some(purchase.id),
        department: None,
        new_account: clock.new_id(),
    };
    let command = Command {
        id: CommandId::Entry(clock.new_id::<EntryId>()),
        pool: purchase.pool_id,
        key: idempotency.key,
        request: idempotency.request,
        now,
        instruction: Instruction::Issue(issue),
    };
    let (actor, standing) = (actor.clone(), Standing::default());
    let submission = Submission { command, actor, standing, subject: None, metadata: None, reason: None };
    let (_, committed) = ledger.apply(txn, tenant, submission).await?;
    Ok(committed)
}
