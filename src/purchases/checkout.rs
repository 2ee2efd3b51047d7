//! Checkouts: the page where a purchase is paid. Its address is its proof: whoever has it may pay or
//! give up, as with the hosted checkouts of payment providers.

use bursar_domain::id::{OrganizationId, PaymentId};
use bursar_domain::purchase::{PaymentProvider, PaymentState, PurchaseEvent, PurchaseState, apply};
use bursar_domain::{Credits, Money};
use bursar_entity::{organization, payment, pool, purchase};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::json;

use super::book::settled_debt;
use super::closing::{be_closed, close_sessions};
use super::pay_again::checkout_failed;
use super::{Selling, lock, write_payment, write_purchase};
use crate::audit::{self, Change};
use crate::auth::{Actor, Keys};
use crate::catalog::{self, Package};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::global_id;
use crate::payments::Order;

/// Whether a whole package is bought, at whatever price. Else the package only says which is nearest.
pub fn is_package(purchase: &purchase::Model, package: &Package) -> bool {
    package.is_bought(purchase.price_basis, purchase.credits, purchase.lifetime_days)
}

/// What is bought, in words.
pub fn title(purchase: &purchase::Model, package: &Package) -> String {
    let credits = match purchase.credits.get() {
        1 => "1 credit".to_owned(),
        n => format!("{n} credits"),
    };
    if is_package(purchase, package) { format!("{}: {credits}", package.row.name) } else { credits }
}

/// What a payment provider is asked to take. The same for a payment whenever it is made, so that the provider sees that
/// it is asked for the same again: in the words that were written with the payment, or else in `title`. Only other
/// settings of this server make another one of it.
pub(super) fn order(
    selling: &Selling,
    organization: &organization::Model,
    purchase: &purchase::Model,
    payment: &payment::Model,
    title: &str,
) -> Order {
    Order {
        payment: global_id::encode(payment.id),
        purchase: global_id::encode(purchase.id),
        organization: global_id::encode(organization.id),
        description: payment.title.clone().unwrap_or_else(|| title.to_owned()),
        credits: purchase.credits,
        price: Money { minor: payment.amount, currency: payment.currency },
        page: page(selling, payment),
        valid_until: purchase.valid_until,
        now: payment.created_at,
    }
}

/// The address of our own page of a payment.
pub(super) fn page(selling: &Selling, payment: &payment::Model) -> String {
    selling.link(&CheckoutLink::new(&selling.keys, payment).path())
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
    /// What is bought, in words.
    pub title: String,
    /// The package, when what is bought is one.
    pub package: Option<Package>,
    /// Who buys.
    pub organization: organization::Model,
    /// For which pool.
    pub pool: pool::Model,
    /// Whether the credits are in it: how many of them settled what it owed. None: those that were paid for while it was
    /// frozen come in when it is opened.
    pub settled: Option<Credits>,
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
    let settled = settled_debt(txn, tenant, purchase.id).await?;
    let title = title(&purchase, &package);
    let package = Some(package).filter(|package| is_package(&purchase, package));
    Ok(Checkout { payment, purchase, title, package, organization, pool, settled })
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
///
/// # Errors
/// Not found when there is no such checkout; what the database answers.
pub async fn cancel_checkout(
    selling: &Selling,
    link: &CheckoutLink,
    origin: Option<String>,
) -> Result<Checkout> {
    let (tenant, id) = link.resolve(&selling.keys)?;
    let context = selling.context();
    let clock = context.clock.clone();
    let work = db::work(move |txn| {
        let (clock, actor) = (clock.clone(), Actor::system(origin.clone()));
        Box::pin(async move {
            let (purchase, payment) = lock_checkout(txn, tenant, id).await?;
            let open = is_open_checkout(&payment);
            if open {
                be_closed(txn, tenant, &clock, &payment).await?;
                give_up_in(txn, (tenant, &actor), &clock, (purchase, payment)).await?;
            }
            Ok((read(txn, tenant, id).await?, open))
        })
    });
    let (checkout, given_up) = context.db.write(tenant, work).await?;
    context.changes.announce_purchase(tenant.id(), checkout.purchase.id);
    if given_up {
        close_sessions(selling, tenant, &[global_id::encode(id)]).await;
    }
    Ok(checkout)
}

/// Whether somebody may give it up: nobody is there when a way of paying that is kept is charged.
fn is_open_checkout(payment: &payment::Model) -> bool {
    payment.state == PaymentState::Open
        && payment.provider != PaymentProvider::Invoice
        && payment.payment_method_id.is_none()
}

/// Closes a checkout that is open. The purchase is locked.
pub(super) async fn give_up_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    (purchase, payment): (purchase::Model, payment::Model),
) -> Result<()> {
    let id = payment.id;
    write_payment(txn, &payment::Model { state: PaymentState::Cancelled, ..payment }).await?;
    let given_up = apply(purchase.state, purchase.invoiced, PurchaseEvent::CheckoutCancelled);
    // What has come to its end otherwise stays so.
    let Ok(state) = given_up.map(|transition| transition.to) else { return Ok(()) };
    let was = json!({ "state": purchase.state.as_str() });
    let is = json!({ "state": state.as_str(), "closedPayments": [global_id::encode(id)] });
    let change = Change::updated("cancelCheckout", purchase.id, was, is);
    checkout_failed(txn, tenant, clock, purchase.id).await?;
    write_purchase(txn, &purchase::Model { state, ..purchase }).await?;
    audit::record(txn, tenant, clock, actor, change).await
}
