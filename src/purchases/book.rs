//! Booking: the payment is in, the purchase is complete and the lot is issued, in one transaction. Or it has failed.
//!
//! Money that arrives for a pool that is frozen, or in an organization that is suspended, is taken all the same. Its
//! lot is issued in the transaction that lifts what stands in the way (see `waiting`).

use bursar_domain::id::{EntryId, LotId, PaymentId, PurchaseId};
use bursar_domain::invoice::DocumentKind;
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{Command, CommandId, Instruction, IssueCredits, LotClass, LotSource};
use bursar_domain::purchase::{PaymentState, PurchaseEvent, apply};
use bursar_entity::{payment, purchase};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::json;

use super::checkout::title;
use super::invoice::invoice_paid_in;
use super::top_up::{Ended, ended_in};
use super::waiting::{is_for_later, lock_head};
use super::{Selling, refused, write_payment, write_purchase};
use crate::auth::{Actor, Standing};
use crate::billing::{Issue, issue_document};
use crate::changes::{Change, Subject};
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Submission};
use crate::pools::PAID_PRIORITY;
use crate::{audit, catalog, global_id};

/// The most characters that are kept of a provider's word for a failure.
const MOST_OF_REASON: usize = 255;

/// Books a payment that has arrived: payment, purchase, receipt and, unless something stands in the way, lot. The
/// purchase is locked. `provider_payment` is the provider's own name of the payment. Answers what is to be announced.
///
/// # Errors
/// [`Conflict::State`](crate::error::Conflict::State) when the purchase cannot be paid any more; what the ledger refuses
/// for good; what the database answers.
pub(super) async fn book_payment(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    (purchase, payment): (purchase::Model, payment::Model),
    provider_payment: &str,
    actor: &Actor,
) -> Result<Vec<Change>> {
    let clock = &selling.context().clock;
    let now = clock.now();
    let paid = apply(purchase.state, purchase.invoiced, PurchaseEvent::Paid);
    let state = paid.map_err(|refusal| refused(refusal, None))?.to;
    let paid = payment::Model {
        state: PaymentState::Paid,
        provider_payment: Some(provider_payment.to_owned()),
        paid_at: Some(now),
        failure: None,
        ..payment
    };
    write_payment(txn, &paid).await?;
    let after = purchase::Model { state, completed_at: Some(now), ..purchase.clone() };
    write_purchase(txn, &after).await?;
    // Their rows are locked before a pool's head.
    if after.invoiced {
        invoice_paid_in(txn, tenant, after.id).await?;
    }
    ended_in(txn, tenant, clock, after.id, Ended::Paid).await?;
    // Before the ledger looks at the organization: it does so in one statement, as of the instant at which that began
    // to wait for the head, and somebody who lets the organization act again may hold it just now.
    lock_head(txn, tenant, after.pool_id).await?;
    let issued = issue(txn, &selling.ledger, tenant, (&after, paid.id), actor).await;
    let mut committed = match issued {
        // The refusal has left no trace: what has been written above stands.
        Err(error) if is_for_later(&error) => Vec::new(),
        issued => issued?,
    };
    // What is bought on invoice has its document already.
    if !after.invoiced {
        receipt(txn, selling, tenant, (&after, &paid)).await?;
    }
    // Last, because the log's head is locked after everything else.
    let was = json!({ "state": purchase.state.as_str() });
    let is = json!({ "state": state.as_str(), "paidPayment": global_id::encode(paid.id) });
    let change = audit::Change::updated("payPurchase", after.id, was, is);
    audit::record(txn, tenant, clock, actor, change).await?;
    committed.push(Change { organization: tenant.id(), subject: Subject::Purchase(after.id) });
    Ok(committed)
}

/// Issues the receipt of a payment.
async fn receipt(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    (purchase, payment): (&purchase::Model, &payment::Model),
) -> Result<()> {
    let package = catalog::package_of_version(txn, purchase.package_version_id).await?;
    let package = package.ok_or_else(|| Error::internal("a purchase without its package"))?;
    let title = title(purchase, &package);
    let receipt = Issue {
        kind: DocumentKind::Receipt,
        purchase,
        title: &title,
        total: payment.amount,
        corrects: None,
        purchase_order: None,
        due_at: None,
        note: None,
    };
    let clock = &selling.context().clock;
    issue_document(txn, (tenant, &selling.settings.seller), clock, receipt).await?;
    Ok(())
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
    write_payment(txn, &payment::Model { state: failed, failure: Some(reason.clone()), ..payment }).await?;
    let event = PurchaseEvent::PaymentFailed;
    let state = match apply(purchase.state, purchase.invoiced, event) {
        Ok(transition) if !is_paid_otherwise(txn, tenant, purchase.id).await? => transition.to,
        // It has come to its end otherwise, or somebody is paying it in another way.
        Ok(_) | Err(_) => purchase.state,
    };
    let was = json!({ "state": purchase.state.as_str() });
    let is =
        json!({ "state": state.as_str(), "failedPayment": global_id::encode(id), "reason": reason.as_str() });
    let change = audit::Change::updated("failPayment", purchase.id, was, is);
    if state != purchase.state {
        write_purchase(txn, &purchase::Model { state, ..purchase }).await?;
    }
    audit::record(txn, tenant, clock, actor, change).await
}

/// Whether another payment of a purchase is open or under way.
async fn is_paid_otherwise(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<bool> {
    let others = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PurchaseId.eq(purchase))
        .filter(payment::Column::State.is_in([PaymentState::Open, PaymentState::Pending]));
    Ok(others.one(txn).await?.is_some())
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
    // One lot for each purchase: the purchase is the key.
    let idempotency = Idempotency::new("issuePurchasedCredits", &global_id::encode(purchase.id), &form);
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
