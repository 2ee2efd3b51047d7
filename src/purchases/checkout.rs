//! Checkouts: the page where a purchase is paid. Its address is its proof: whoever has it may pay or
//! give up, as with the hosted checkouts of payment providers.

use bursar_domain::id::{OrganizationId, PaymentId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::purchase::{PaymentProvider, PaymentState, PurchaseEvent, PurchaseState};
use bursar_entity::{lot, organization, payment, pool, purchase};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::json;

use super::{close_open_payments, lock, write_payment, write_purchase};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized, Keys};
use crate::catalog::{self, Package};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::global_id;
use crate::idempotency::Idempotency;

/// What is needed to start a checkout.
#[derive(Clone, Debug)]
pub struct StartCheckout {
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// A started checkout.
#[derive(Clone, Debug)]
pub struct Started {
    /// The purchase.
    pub purchase: purchase::Model,
    /// The attempt at paying it.
    pub payment: payment::Model,
    /// Whether it had been started before, under the same key.
    pub replayed: bool,
}

/// Starts a checkout of a purchase. An earlier one that is still open is closed: there is one at a time.
pub async fn start_checkout(
    context: &Context,
    purchase: &Authorized<purchase::Model>,
    request: StartCheckout,
) -> Result<Started> {
    let mut form = Canonical::of("checkout");
    form.id(purchase.id);
    let idempotency = Idempotency::new("startCheckout", &request.key, &form);
    let (tenant, purchase, clock) = (purchase.tenant(), purchase.clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (purchase, clock) = (purchase.clone(), clock.clone());
        Box::pin(async move { start(txn, &clock, &purchase, idempotency).await })
    });
    if request.dry_run {
        return context.db.rehearse(tenant, work).await;
    }
    let started = match context.db.write(tenant, work.clone()).await {
        // The same key at the same time, on another purchase: what it stands for can be seen now.
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            context.db.write(tenant, work).await
        }
        outcome => outcome,
    }?;
    context.changes.announce_purchase(tenant.id(), started.purchase.id);
    Ok(started)
}

async fn start(
    txn: &Txn,
    clock: &Clock,
    purchase: &Authorized<purchase::Model>,
    idempotency: Idempotency,
) -> Result<Started> {
    let tenant = purchase.tenant();
    let before = lock(txn, tenant, purchase.id).await?;
    let known = payment::Column::IdempotencyKey.eq(idempotency.key);
    if let Some(payment) = tenant.find::<payment::Entity>().filter(known).one(txn).await? {
        if payment.request_hash != idempotency.request {
            return Err(Error::IdempotencyConflict);
        }
        return Ok(Started { purchase: before, payment, replayed: true });
    }
    let state = before.state.after(PurchaseEvent::CheckoutStarted).ok_or_else(|| {
        let reason = format!("A purchase that is {} cannot be paid.", before.state);
        Error::conflict(Conflict::State, "purchaseId", reason)
    })?;
    let now = clock.now();
    if before.valid_until <= now {
        let reason = "The price was valid until then only; request the purchase again.";
        return Err(Error::conflict(Conflict::QuoteExpired, "purchaseId", reason));
    }
    let closed = close_open_payments(txn, tenant, before.id).await?;
    let payment = payment::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<PaymentId>(),
        purchase_id: before.id,
        provider: PaymentProvider::Sandbox,
        provider_payment: None,
        state: PaymentState::Open,
        amount: before.total,
        currency: before.currency,
        idempotency_key: idempotency.key,
        request_hash: idempotency.request,
        created_at: now,
        paid_at: None,
    };
    payment::Entity::insert(payment.clone().into_active_model()).exec_without_returning(txn).await?;
    let after = purchase::Model { state, ..before.clone() };
    write_purchase(txn, &after).await?;
    let was = json!({ "state": before.state.as_str() });
    let opened = global_id::encode(payment.id);
    let is = json!({ "state": state.as_str(), "openedPayment": opened, "closedPayments": closed });
    let change = Change::updated("startCheckout", before.id, was, is);
    audit::record(txn, tenant, clock, purchase.actor(), change).await?;
    Ok(Started { purchase: after, payment, replayed: false })
}

/// The address of a checkout page, below the server's own.
#[derive(Clone, PartialEq, Eq)]
pub struct CheckoutLink {
    /// The organization.
    pub organization: String,
    /// The payment.
    pub payment: String,
    /// The proof that Bursar made the address: a MAC over the two.
    pub token: String,
}

/// Without the proof.
impl std::fmt::Debug for CheckoutLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CheckoutLink({})", about(&self.organization, &self.payment))
    }
}

impl CheckoutLink {
    /// The address of a payment's page.
    pub fn new(keys: &Keys, payment: &payment::Model) -> CheckoutLink {
        let (organization, id) = (global_id::encode(payment.organization_id), global_id::encode(payment.id));
        let token = keys.link_token(&about(&organization, &id));
        CheckoutLink { organization, payment: id, token }
    }

    /// The path.
    pub fn path(&self) -> String {
        format!("/checkout/{}/{}/{}", self.organization, self.payment, self.token)
    }

    /// The organization and payment of an address that Bursar made; of any other, nothing is found.
    pub(super) fn resolve(&self, keys: &Keys) -> Result<(Tenant, PaymentId)> {
        let not_found = || Error::not_found("checkout");
        if !keys.is_link_token(&about(&self.organization, &self.payment), &self.token) {
            return Err(not_found());
        }
        let organization: OrganizationId = global_id::decode(&self.organization).ok_or_else(not_found)?;
        let payment = global_id::decode(&self.payment).ok_or_else(not_found)?;
        // The address proves that Bursar gave it out for this organization's payment.
        Ok((Tenant::vouched(organization), payment))
    }
}

fn about(organization: &str, payment: &str) -> String {
    format!("checkout {organization} {payment}")
}

/// What a checkout page shows.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// The attempt at paying.
    pub payment: payment::Model,
    /// What is paid.
    pub purchase: purchase::Model,
    /// What is bought.
    pub package: Package,
    /// Who buys.
    pub organization: organization::Model,
    /// For which pool.
    pub pool: pool::Model,
    /// Whether the credits are in it. Those that were paid for while it was frozen come in when it is opened.
    pub credited: bool,
}

impl Checkout {
    /// Whether it can be paid at `now`.
    pub fn is_payable(&self, now: bursar_domain::Timestamp) -> bool {
        self.payment.state == PaymentState::Open
            && self.purchase.state == PurchaseState::AwaitingPayment
            && self.purchase.valid_until > now
    }
}

/// Looks a checkout up. Changes nothing.
pub async fn find_checkout(context: &Context, keys: &Keys, link: &CheckoutLink) -> Result<Checkout> {
    let (tenant, id) = link.resolve(keys)?;
    let snapshot = context.db.read(tenant).await?;
    read(&snapshot, tenant, id).await
}

/// Reads all that a checkout page shows.
pub(super) async fn read(txn: &Txn, tenant: Tenant, id: PaymentId) -> Result<Checkout> {
    let missing = || Error::not_found("checkout");
    let payment = tenant.find::<payment::Entity>().filter(payment::Column::Id.eq(id)).one(txn).await?;
    let payment = payment.ok_or_else(missing)?;
    let purchase = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(payment.purchase_id));
    let purchase = purchase.one(txn).await?.ok_or_else(missing)?;
    let package = catalog::package_of_version(txn, purchase.package_version_id).await?.ok_or_else(missing)?;
    let organization = tenant.find::<organization::Entity>().one(txn).await?.ok_or_else(missing)?;
    let pool = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(purchase.pool_id)).one(txn).await?;
    let pool = pool.ok_or_else(missing)?;
    let lot = tenant.find::<lot::Entity>().filter(lot::Column::PurchaseId.eq(purchase.id));
    let credited = lot.one(txn).await?.is_some();
    Ok(Checkout { payment, purchase, package, organization, pool, credited })
}

/// Locks the purchase of a payment and answers both, as they are with the lock.
pub(super) async fn lock_checkout(
    txn: &Txn,
    tenant: Tenant,
    id: PaymentId,
) -> Result<(purchase::Model, payment::Model)> {
    let find = || tenant.find::<payment::Entity>().filter(payment::Column::Id.eq(id)).one(txn);
    let payment = find().await?.ok_or(Error::not_found("checkout"))?;
    let purchase = lock(txn, tenant, payment.purchase_id).await?;
    let payment = find().await?.ok_or(Error::not_found("checkout"))?;
    Ok((purchase, payment))
}

/// Gives a checkout up: the purchase can be paid by another one. A checkout that is no longer open stays
/// as it is.
pub async fn cancel_checkout(
    context: &Context,
    keys: &Keys,
    link: &CheckoutLink,
    origin: Option<String>,
) -> Result<Checkout> {
    let (tenant, id) = link.resolve(keys)?;
    let clock = context.clock.clone();
    let work = db::work(move |txn| {
        let (clock, actor) = (clock.clone(), Actor::system(origin.clone()));
        Box::pin(async move {
            let (purchase, payment) = lock_checkout(txn, tenant, id).await?;
            if payment.state == PaymentState::Open {
                write_payment(txn, &payment::Model { state: PaymentState::Cancelled, ..payment }).await?;
                if let Some(state) = purchase.state.after(PurchaseEvent::CheckoutCancelled) {
                    let was = json!({ "state": purchase.state.as_str() });
                    write_purchase(txn, &purchase::Model { state, ..purchase.clone() }).await?;
                    let change = Change::updated(
                        "cancelCheckout",
                        purchase.id,
                        was,
                        json!({ "state": state.as_str(), "closedPayments": [global_id::encode(id)] }),
                    );
                    audit::record(txn, tenant, &clock, &actor, change).await?;
                }
            }
            read(txn, tenant, id).await
        })
    });
    let checkout = context.db.write(tenant, work).await?;
    context.changes.announce_purchase(tenant.id(), checkout.purchase.id);
    Ok(checkout)
}
