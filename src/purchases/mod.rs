//! Buying credits: they are requested, a checkout is started, its page is paid, the credits are in.
//!
//! A purchase moves by the state machine in `bursar_domain::purchase`. Each step locks the purchase,
//! then its payments, then the pool's head, in that order, so that two tabs, two clicks and a reload
//! come one after another and the second finds what the first did.
//!
//! Payment providers are never asked inside a transaction: what is to be asked is a row first, whose id is the key
//! under which the provider does it once; then it is asked, and then its answer is written. Whoever repeats the
//! call goes the same way again. What providers tell comes in by `settle`, the one place where a payment becomes
//! credits.

mod after_approval;
mod agreed;
mod answer;
mod approval;
mod awaited;
mod book;
mod cancel;
mod checkout;
mod claimed;
mod closing;
mod consent_code;
mod debts;
mod disputes;
mod documents;
mod expire;
mod foreign;
mod forget;
mod invoice;
mod invoice_payment;
mod parked;
mod pay_again;
mod pay_approved;
mod payment_methods;
mod reconcile;
mod refund;
mod refund_order;
mod rehearsed;
mod reprice;
mod request;
mod resolve_parked;
mod resume;
mod reversals;
mod sandbox;
mod settle;
mod start;
mod timed;
mod top_up;
mod top_up_settings;
mod unfreeze;
mod update;
mod waiting;

pub use after_approval::after_approval;
pub use answer::{Answer, Given, Resolution, Resolved, resolve_credit_request};
pub use approval::{approval_due, decide, rehearse_decision};
pub use book::settled_debt;
pub use cancel::cancel;
pub use checkout::{Checkout, CheckoutLink, cancel_checkout, find_checkout, is_package, title};
pub use closing::close_checkout;
pub use debts::bring_debt_home;
pub use expire::expire;
pub use forget::forget_notes;
pub use invoice::{Invoiced, StartInvoice, invoice_due, start_invoice};
pub use invoice_payment::{InvoicePaid, Recorded, payments_of_invoice, record_invoice_payment};
pub use pay_approved::{ToPay, pay_approved};
pub use payment_methods::{Agreed, Consent, ConsentLink, SandboxMethod, agree, find_consent, withdraw};
pub use reconcile::{Compared, Difference, Reconciled, Told, reconcile};
pub use refund::{RefundRequest, Reversed, refund_purchase};
pub use refund_order::refund_due;
pub use rehearsed::Rehearsed;
pub use request::{PurchaseRequest, Requested, request};
pub use resolve_parked::{ParkedResolution, ParkedResolved, ResolveParked, resolve_parked};
pub use resume::resume;
pub use reversals::{reconciliation, reversal_due};
pub use sandbox::{Settled, pay_sandbox};
pub use settle::{Outcome, settle};
pub use start::{StartCheckout, Started, start_checkout};
pub use timed::{CLOSE_CHECKOUT, INVOICE_DUE, PURCHASE_DUE, REFUND_DUE, REVERSAL_DUE, TOP_UP};
pub use top_up::{Ended, has_fallen, spent_by_top_up, top_up};
pub use top_up_settings::{AutoTopUp, TopUpSet, find_top_up, set_auto_top_up};
pub use unfreeze::unfreeze;
pub use update::{PurchaseUpdate, update};

// Reversals, as the rest of the room knows them.
use reversals::{book_waiting, dispute_told, refund_told};

use std::sync::Arc;

use bursar_domain::id::PurchaseId;
use bursar_domain::purchase::{PaymentProvider, PaymentState, PurchaseRefusal};
use bursar_entity::{organization, payment, purchase};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect, Set, Unchanged};

use url::Url;

use crate::auth::Keys;
use crate::config::PaymentSettings;
use crate::context::Context;
use crate::db::{Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::ledger::Ledger;
use crate::payments::{Payments, Provider, Sandbox};
use crate::{catalog, global_id};

/// What selling takes: the books, who takes the money, and how our own pages are found. Cheap to clone.
#[derive(Clone)]
pub struct Selling {
    /// The ledger.
    pub ledger: Ledger,
    /// Who takes the money.
    pub payments: Payments,
    /// What links are signed with.
    pub keys: Keys,
    /// Who sells, and who is told when money could not be booked.
    pub settings: Arc<PaymentSettings>,
    /// The address of this server in links.
    pub public_url: Url,
}

impl Selling {
    /// Database, clock, and whom to tell of changes.
    pub fn context(&self) -> &Context {
        self.ledger.context()
    }

    /// Who takes the money of an organization's new checkouts. In a sandbox of one no money is real, whoever takes that
    /// of the others.
    pub fn taker(&self, organization: &organization::Model) -> PaymentProvider {
        match organization.sandbox_of {
            Some(_) => PaymentProvider::Sandbox,
            None => self.payments.kind(),
        }
    }

    /// The provider that charges what an organization has kept, when it is the one that takes its money now.
    fn charger(&self, organization: &organization::Model, kind: PaymentProvider) -> Option<&dyn Provider> {
        match (self.taker(organization), kind) {
            (PaymentProvider::Sandbox, PaymentProvider::Sandbox) => Some(&Sandbox),
            (_, kind) => self.payments.of(kind),
        }
    }

    /// The address of a page of this server.
    pub fn link(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }
}

/// Locks a purchase.
async fn lock(txn: &Txn, tenant: Tenant, id: PurchaseId) -> Result<purchase::Model> {
    let select = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id));
    select.lock_exclusive().one(txn).await?.ok_or(Error::not_found("purchase").at("purchaseId"))
}

/// Locks a purchase and, before it, the quote that it is bought by. The organization is locked: which quote that is does
/// not change.
async fn lock_with_quote(txn: &Txn, tenant: Tenant, id: PurchaseId) -> Result<purchase::Model> {
    let row = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id)).one(txn).await?;
    let row = row.ok_or(Error::not_found("purchase").at("purchaseId"))?;
    catalog::lock_quote(txn, tenant, row.quote_id).await?;
    lock(txn, tenant, id).await
}

/// A refusal of the state machine as an error of the field that named the purchase.
fn refused(refusal: PurchaseRefusal, field: impl Into<Option<&'static str>>) -> Error {
    Error::conflict(Conflict::Purchase(refusal), field, refusal.to_string())
}

/// Writes what can change of a purchase.
async fn write_purchase(txn: &Txn, row: &purchase::Model) -> Result<()> {
    let row = purchase::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        state: Set(row.state),
        approval_basis: Set(row.approval_basis),
        package_version_id: Set(row.package_version_id),
        credits: Set(row.credits),
        total: Set(row.total),
        currency: Set(row.currency),
        lifetime_days: Set(row.lifetime_days),
        valid_until: Set(row.valid_until),
        note: Set(row.note.clone()),
        quote_id: Set(row.quote_id),
        purchase_order: Set(row.purchase_order.clone()),
        unit_price: Set(row.unit_price),
        price_basis: Set(row.price_basis),
        completed_at: Set(row.completed_at),
        invoiced: Set(row.invoiced),
        returned: Set(row.returned),
        ..Default::default()
    };
    purchase::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Writes what can change of a payment.
async fn write_payment(txn: &Txn, row: &payment::Model) -> Result<()> {
    let row = payment::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        state: Set(row.state),
        provider_payment: Set(row.provider_payment.clone()),
        paid_at: Set(row.paid_at),
        provider_session: Set(row.provider_session.clone()),
        provider_url: Set(row.provider_url.clone()),
        failure: Set(row.failure.clone()),
        ..Default::default()
    };
    payment::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Gives back what was quoted for a purchase that has ended without having been paid, and adds that to what the audit log
/// says of it. Quote and purchase are locked.
async fn give_quote_back(
    txn: &Txn,
    tenant: Tenant,
    purchase: &purchase::Model,
    facts: &mut serde_json::Value,
) -> Result<()> {
    let Some(quote) = purchase.quote_id else { return Ok(()) };
    catalog::release_quote(txn, tenant, quote).await?;
    facts["releasedQuote"] = global_id::encode(quote).into();
    Ok(())
}

/// Refuses what must not happen to a purchase while its buyer's money is under way or parked. The purchase is locked.
async fn nothing_under_way(txn: &Txn, tenant: Tenant, purchase: &purchase::Model) -> Result<()> {
    nothing_parked(txn, tenant, purchase).await?;
    nothing_pending(txn, tenant, purchase).await
}

/// Refuses what must not happen to a purchase while the vendor has not decided about money that has come for it. The
/// purchase is locked.
async fn nothing_parked(txn: &Txn, tenant: Tenant, purchase: &purchase::Model) -> Result<()> {
    if !has_parked(txn, tenant, purchase.id).await? {
        return Ok(());
    }
    Err(refused(PurchaseRefusal::Parked { state: purchase.state }, "purchaseId"))
}

/// Whether money has come for a purchase that could not be booked, and nobody has decided about it. The purchase is locked.
async fn has_parked(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<bool> {
    let parked = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PurchaseId.eq(purchase))
        .filter(payment::Column::State.eq(PaymentState::Parked));
    Ok(parked.one(txn).await?.is_some())
}

/// Refuses what must not happen to a purchase while its buyer's money is under way. The purchase is locked.
async fn nothing_pending(txn: &Txn, tenant: Tenant, purchase: &purchase::Model) -> Result<()> {
    if !is_under_way(txn, tenant, purchase.id).await? {
        return Ok(());
    }
    Err(refused(PurchaseRefusal::UnderWay { state: purchase.state }, "purchaseId"))
}

/// Whether the buyer has paid by a way that takes days and the money is not there yet, or a way of paying that is kept is
/// being charged. The purchase is locked.
async fn is_under_way(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<bool> {
    let state = payment::Column::State;
    let charging = Condition::all()
        .add(state.eq(PaymentState::Open))
        .add(payment::Column::PaymentMethodId.is_not_null());
    let pending = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PurchaseId.eq(purchase))
        .filter(Condition::any().add(state.eq(PaymentState::Pending)).add(charging));
    Ok(pending.one(txn).await?.is_some())
}
