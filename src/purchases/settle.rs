//! Settling: the payment is in, the purchase is complete and the lot is issued, in one transaction.
//!
//! Money that arrives for a pool that is frozen, or in an organization that is suspended, is taken all the same. Its
//! lot is issued in the transaction that lifts what stands in the way (see `waiting`).

use bursar_domain::id::{EntryId, LotId, PaymentId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{Command, CommandId, Instruction, IssueCredits, LotClass, LotSource};
use bursar_domain::purchase::{PaymentState, PurchaseEvent, PurchaseState};
use bursar_entity::{payment, purchase};
use serde_json::json;

use super::checkout::{Checkout, CheckoutLink, lock_checkout, read};
use super::waiting::{is_for_later, lock_head};
use super::{write_payment, write_purchase};
use crate::audit;
use crate::auth::{Actor, Keys, Standing};
use crate::changes::{Change, Subject};
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::global_id;
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Submission};
use crate::pools::PAID_PRIORITY;

/// A settled checkout.
#[derive(Clone, Debug)]
pub struct Settled {
    /// What its page shows now.
    pub checkout: Checkout,
    /// Whether it had been paid before.
    pub already: bool,
}

/// Pays at the sandbox checkout. Paying again, from another tab or by a reload, finds it paid.
pub async fn pay_sandbox(
    ledger: &Ledger,
    keys: &Keys,
    link: &CheckoutLink,
    origin: Option<String>,
) -> Result<Settled> {
    let (tenant, id) = link.resolve(keys)?;
    let books = ledger.clone();
    let work = db::work(move |txn| {
        let (books, actor) = (books.clone(), Actor::system(origin.clone()));
        Box::pin(async move {
            let (purchase, payment) = lock_checkout(txn, tenant, id).await?;
            if payment.state == PaymentState::Paid {
                let checkout = read(txn, tenant, id).await?;
                return Ok((Settled { checkout, already: true }, Vec::new()));
            }
            // The sandbox takes no money that has not been agreed on: a checkout that is closed, or
            // whose price is no longer valid, is refused before it is paid.
            let now = books.context().clock.now();
            if payment.state != PaymentState::Open || purchase.state != PurchaseState::AwaitingPayment {
                return Err(Error::conflict(Conflict::State, None, "This checkout is closed."));
            }
            if purchase.valid_until <= now {
                return Err(Error::conflict(Conflict::QuoteExpired, None, "The price is no longer valid."));
            }
            let name = global_id::encode(payment.id);
            let committed = settle(txn, &books, tenant, (purchase, payment), &name, &actor).await?;
            let checkout = read(txn, tenant, id).await?;
            Ok((Settled { checkout, already: false }, committed))
        })
    });
    let (settled, committed) = ledger.context().db.write(tenant, work).await?;
    ledger.context().changes.announce(&committed);
    Ok(settled)
}

/// Books a payment that has arrived: payment, purchase and, unless something stands in the way, lot. The purchase is
/// locked.
async fn settle(
    txn: &Txn,
    ledger: &Ledger,
    tenant: Tenant,
    (purchase, payment): (purchase::Model, payment::Model),
    provider_payment: &str,
    actor: &Actor,
) -> Result<Vec<Change>> {
    let clock = &ledger.context().clock;
    let now = clock.now();
    let state = purchase.state.after(PurchaseEvent::Paid);
    let state =
        state.ok_or_else(|| Error::conflict(Conflict::State, None, "The purchase cannot be paid."))?;
    write_payment(
        txn,
        &payment::Model {
            state: PaymentState::Paid,
            provider_payment: Some(provider_payment.to_owned()),
            paid_at: Some(now),
            ..payment.clone()
        },
    )
    .await?;
    write_purchase(txn, &purchase::Model { state, completed_at: Some(now), ..purchase.clone() }).await?;
    let was = json!({ "state": purchase.state.as_str() });
    let is = json!({ "state": state.as_str(), "paidPayment": global_id::encode(payment.id) });
    // Before the ledger looks at the organization: it does so in one statement, as of the instant at which that began
    // to wait for the head, and somebody who lets the organization act again may hold it just now.
    lock_head(txn, tenant, purchase.pool_id).await?;
    let issued = issue(txn, ledger, tenant, (&purchase, payment.id), actor).await;
    let mut committed = match issued {
        // The refusal has left no trace: what has been written above stands.
        Err(error) if is_for_later(&error) => Vec::new(),
        issued => issued?,
    };
    // Last, because the log's head is locked after everything else.
    let change = audit::Change::updated("payPurchase", purchase.id, was, is);
    audit::record(txn, tenant, clock, actor, change).await?;
    committed.push(Change { organization: tenant.id(), subject: Subject::Purchase(purchase.id) });
    Ok(committed)
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
