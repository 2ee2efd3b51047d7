//! What every provider can do.

use bursar_domain::purchase::PaymentProvider;
use bursar_domain::{Credits, Money, Timestamp};
use futures_util::future::BoxFuture;

use super::{
    EventError, NotUnderstood, ProviderDispute, ProviderEvent, ProviderPayment, ProviderRefund, Setup,
};

/// What a provider answers, later.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ProviderError>>;

/// A provider's word for a key that came with something else before.
pub const REUSED: &str = "idempotency_error";

/// Why a provider did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It cannot be reached, answers too late, or is not well itself. Whether it was done is not known: asked again with
    /// the same key it tells.
    #[error("the payment provider cannot be reached: {0}")]
    Unreachable(String),
    /// It does not do this, and will not do it when it is asked again.
    #[error("the payment provider refused: {code}")]
    Refused {
        /// Its own word for the reason. Nothing secret.
        code: String,
    },
    /// The buyer's bank declined.
    #[error("the payment was declined: {code}")]
    Declined {
        /// Its own word for the reason.
        code: String,
        /// Whether the bank wants the owner of the card to be there.
        authentication: bool,
        /// The provider's own name of the payment that was tried.
        payment: Option<String>,
    },
    /// It knows nothing of the kind.
    #[error("the payment provider knows no such thing")]
    NotFound,
}

/// A checkout to be opened. The names of ours travel with it, so that what the provider tells later can be compared.
#[derive(Clone, Debug)]
pub struct Order {
    /// The global id of the payment: the key under which the provider does this once, however often it is asked.
    pub payment: String,
    /// The global id of the purchase.
    pub purchase: String,
    /// The global id of the organization.
    pub organization: String,
    /// What is bought, in words.
    pub description: String,
    /// How many credits.
    pub credits: Credits,
    /// For how much.
    pub price: Money,
    /// The address of our own page of the payment: the buyer comes back to it.
    pub page: String,
    /// Until when the price holds.
    pub valid_until: Timestamp,
    /// Now.
    pub now: Timestamp,
}

/// A checkout that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedCheckout {
    /// The provider's own name of it; none: it is our own page.
    pub session: Option<String>,
    /// Where it can be paid.
    pub url: String,
}

/// Money to be given back.
#[derive(Clone, Debug)]
pub struct RefundOrder {
    /// The global id of the reversal: the key.
    pub reversal: String,
    /// The provider's own name of the payment.
    pub payment: String,
    /// How much.
    pub amount: Money,
}

/// A way of paying that is to be kept.
#[derive(Clone, Debug)]
pub struct SetupOrder {
    /// The global id of the way of paying: the key.
    pub method: String,
    /// The global id of the organization.
    pub organization: String,
    /// The name of the organization.
    pub name: String,
    /// The currency that will be charged.
    pub currency: bursar_domain::Currency,
    /// The address of our own page: the person comes back to it.
    pub page: String,
}

/// Whom to charge, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// The provider's own name of the customer.
    pub customer: String,
    /// The provider's own name of the way of paying.
    pub method: String,
}

/// A charge without anybody there.
#[derive(Clone, Debug)]
pub struct OffSession {
    /// What is bought. Its `payment` is the key.
    pub order: Order,
    /// Whom to charge.
    pub customer: Customer,
}

/// A part of a long list, or all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What else is on it, and is not understood.
    pub odd: Vec<NotUnderstood>,
    /// Where the next part begins; none: that was all.
    pub next: Option<String>,
}

/// Who takes money.
pub trait Provider: Send + Sync + 'static {
    /// Which one it is.
    fn kind(&self) -> PaymentProvider;

    /// Opens a checkout.
    fn open_checkout<'a>(&'a self, order: &'a Order) -> Answer<'a, OpenedCheckout>;

    /// Opens a checkout whose key came with something else before ([`REUSED`]). What was opened then is gone on with, or
    /// is closed before another one is opened: no more than one can be paid.
    fn reopen_checkout<'a>(&'a self, order: &'a Order) -> Answer<'a, OpenedCheckout>;

    /// Closes a checkout, so that it can no longer be paid. One that is closed or paid stays so.
    fn close_checkout<'a>(&'a self, session: &'a str) -> Answer<'a, ()>;

    /// A checkout, by the provider's own name of it, as its messages would tell of it now.
    fn find_checkout<'a>(&'a self, session: &'a str) -> Answer<'a, ProviderPayment>;

    /// Opens a page on which a way of paying is given, to be charged later without anybody there.
    fn open_setup<'a>(&'a self, order: &'a SetupOrder) -> Answer<'a, OpenedCheckout>;

    /// What was given in a setup session. `intent` is the provider's own name of it.
    fn find_setup<'a>(&'a self, session: &'a str, intent: &'a str) -> Answer<'a, Setup>;

    /// Charges without anybody there.
    fn charge_off_session<'a>(&'a self, charge: &'a OffSession) -> Answer<'a, ProviderPayment>;

    /// Gives money back.
    fn refund<'a>(&'a self, order: &'a RefundOrder) -> Answer<'a, ProviderRefund>;

    /// A payment, by the provider's own name of it.
    fn find_payment<'a>(&'a self, payment: &'a str) -> Answer<'a, ProviderPayment>;

    /// The payment as its checkout tells of it, with the names of ours that travel with that; none: it was made at no
    /// checkout.
    fn checkout_of<'a>(&'a self, payment: &'a str) -> Answer<'a, Option<ProviderPayment>>;

    /// The provider's own name of the payment that has paid a bill of its own; none: no payment has.
    fn payer_of<'a>(&'a self, invoice: &'a str) -> Answer<'a, Option<String>>;

    /// All refunds of a payment.
    fn refunds_of<'a>(&'a self, payment: &'a str) -> Answer<'a, Page<ProviderRefund>>;

    /// A refund, by the provider's own name of it.
    fn find_refund<'a>(&'a self, refund: &'a str) -> Answer<'a, Page<ProviderRefund>>;

    /// A dispute, by the provider's own name of it; nothing: no money is in question.
    fn find_dispute<'a>(&'a self, dispute: &'a str) -> Answer<'a, Page<ProviderDispute>>;

    /// Payments since an instant, the newest first, from `after` on: for the comparison of the books.
    fn payments_since<'a>(
        &'a self,
        since: Timestamp,
        after: Option<&'a str>,
    ) -> Answer<'a, Page<ProviderPayment>>;

    /// Refunds since an instant, in the same way.
    fn refunds_since<'a>(
        &'a self,
        since: Timestamp,
        after: Option<&'a str>,
    ) -> Answer<'a, Page<ProviderRefund>>;

    /// Disputes since an instant, in the same way.
    fn disputes_since<'a>(
        &'a self,
        since: Timestamp,
        after: Option<&'a str>,
    ) -> Answer<'a, Page<ProviderDispute>>;

    /// What a message says that claims to be from the provider, once that is proven. `signature` is the header that proves
    /// it, `body` are the bytes as they came.
    ///
    /// # Errors
    /// When it is not from the provider, or not to be understood.
    fn verify_event(&self, signature: &str, body: &[u8], now: Timestamp)
    -> Result<ProviderEvent, EventError>;
}
