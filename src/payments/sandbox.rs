//! The sandbox: our own page takes the money, and none moves. It remembers nothing: what was paid is in our own rows.

use bursar_domain::Timestamp;
use bursar_domain::purchase::PaymentProvider;
use bursar_domain::reversal::ReversalState;
use futures_util::future::ready;

use super::provider::Provider;
use super::{
    Answer, EventError, OffSession, OpenedCheckout, Order, Page, PaidState, ProviderDispute, ProviderError,
    ProviderEvent, ProviderPayment, ProviderRefund, RefundOrder, Setup, SetupOrder,
};

/// The ways of paying that decline, so that it can be tried out: the bank says no, or wants the owner to be there.
pub const DECLINES: &str = "sandbox_declines";
/// See [`DECLINES`].
pub const ASKS: &str = "sandbox_asks";

/// The sandbox.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sandbox;

fn at_once<'a, T: Send + 'a>(answer: Result<T, ProviderError>) -> Answer<'a, T> {
    Box::pin(ready(answer))
}

/// An empty list.
fn nothing<T>() -> Page<T> {
    Page { items: Vec::new(), odd: Vec::new(), next: None }
}

impl Provider for Sandbox {
    fn kind(&self) -> PaymentProvider {
        PaymentProvider::Sandbox
    }

    fn open_checkout<'a>(&'a self, order: &'a Order) -> Answer<'a, OpenedCheckout> {
        at_once(Ok(OpenedCheckout { session: None, url: order.page.clone() }))
    }

    fn reopen_checkout<'a>(&'a self, order: &'a Order) -> Answer<'a, OpenedCheckout> {
        self.open_checkout(order)
    }

    fn close_checkout<'a>(&'a self, _session: &'a str) -> Answer<'a, ()> {
        at_once(Ok(()))
    }

    fn find_checkout<'a>(&'a self, _session: &'a str) -> Answer<'a, ProviderPayment> {
        at_once(Err(ProviderError::NotFound))
    }

    fn open_setup<'a>(&'a self, order: &'a SetupOrder) -> Answer<'a, OpenedCheckout> {
        at_once(Ok(OpenedCheckout { session: None, url: order.page.clone() }))
    }

    fn find_setup<'a>(&'a self, _session: &'a str, _intent: &'a str) -> Answer<'a, Setup> {
        at_once(Err(ProviderError::NotFound))
    }

    fn charge_off_session<'a>(&'a self, charge: &'a OffSession) -> Answer<'a, ProviderPayment> {
        let declined = |code: &str, authentication| {
            Err(ProviderError::Declined { code: code.to_owned(), authentication, payment: None })
        };
        at_once(match charge.customer.method.as_str() {
            DECLINES => declined("card_declined", false),
            ASKS => declined("authentication_required", true),
            _ => Ok(ProviderPayment {
                payment: Some(charge.order.payment.clone()),
                session: None,
                state: PaidState::Paid,
                amount: charge.order.price.minor,
                currency: charge.order.price.currency.code().to_owned(),
                organization: Some(charge.order.organization.clone()),
                purchase: Some(charge.order.purchase.clone()),
                ours: Some(charge.order.payment.clone()),
            }),
        })
    }

    fn refund<'a>(&'a self, order: &'a RefundOrder) -> Answer<'a, ProviderRefund> {
        at_once(Ok(ProviderRefund {
            refund: order.reversal.clone(),
            payment: order.payment.clone(),
            state: ReversalState::Succeeded,
            amount: order.amount.minor,
            currency: order.amount.currency.code().to_owned(),
            ours: Some(order.reversal.clone()),
        }))
    }

    fn find_payment<'a>(&'a self, _payment: &'a str) -> Answer<'a, ProviderPayment> {
        at_once(Err(ProviderError::NotFound))
    }

    fn checkout_of<'a>(&'a self, _payment: &'a str) -> Answer<'a, Option<ProviderPayment>> {
        at_once(Ok(None))
    }

    fn payer_of<'a>(&'a self, _invoice: &'a str) -> Answer<'a, Option<String>> {
        at_once(Ok(None))
    }

    fn refunds_of<'a>(&'a self, _payment: &'a str) -> Answer<'a, Page<ProviderRefund>> {
        at_once(Ok(nothing()))
    }

    fn find_refund<'a>(&'a self, _refund: &'a str) -> Answer<'a, Page<ProviderRefund>> {
        at_once(Err(ProviderError::NotFound))
    }

    fn find_dispute<'a>(&'a self, _dispute: &'a str) -> Answer<'a, Page<ProviderDispute>> {
        at_once(Err(ProviderError::NotFound))
    }

    fn payments_since<'a>(
        &'a self,
        _since: Timestamp,
        _after: Option<&'a str>,
    ) -> Answer<'a, Page<ProviderPayment>> {
        at_once(Ok(nothing()))
    }

    fn refunds_since<'a>(
        &'a self,
        _since: Timestamp,
        _after: Option<&'a str>,
    ) -> Answer<'a, Page<ProviderRefund>> {
        at_once(Ok(nothing()))
    }

    fn disputes_since<'a>(
        &'a self,
        _since: Timestamp,
        _after: Option<&'a str>,
    ) -> Answer<'a, Page<ProviderDispute>> {
        at_once(Ok(nothing()))
    }

    fn verify_event(
        &self,
        _signature: &str,
        _body: &[u8],
        _now: Timestamp,
    ) -> Result<ProviderEvent, EventError> {
        Err(EventError::Signature)
    }
}
