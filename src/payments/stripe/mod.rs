//! Stripe: its hosted checkout, by plain HTTP.
//!
//! The names of ours travel with every object as its metadata, and whatever must happen once is asked for with the global
//! id of our own row as key. What Stripe tells is believed once its signature is good.

mod amount;
mod client;
mod events;
mod objects;
mod odd;
mod off_session;
mod refund;
mod session;
mod signature;

use bursar_domain::Timestamp;
use bursar_domain::purchase::PaymentProvider;

use super::provider::Provider;
use super::{
    Answer, EventError, OffSession, OpenedCheckout, Order, Page, ProviderDispute, ProviderEvent,
    ProviderPayment, ProviderRefund, RefundOrder, Setup, SetupOrder,
};
use crate::config::StripeSettings;
use crate::error::Result;

use client::Client;
use signature::Signatures;

/// Stripe, with the key of an account.
pub struct Stripe {
    client: Client,
    signatures: Signatures,
}

impl Stripe {
    /// Stripe with these settings.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(settings: &StripeSettings) -> Result<Stripe> {
        let signatures = Signatures::new(settings.webhook_secrets.clone());
        Ok(Stripe { client: Client::new(settings)?, signatures })
    }
}

impl Provider for Stripe {
    fn kind(&self) -> PaymentProvider {
        PaymentProvider::Stripe
    }

    fn open_checkout<'a>(&'a self, order: &'a Order) -> Answer<'a, OpenedCheckout> {
        Box::pin(session::open(&self.client, order))
    }

    fn reopen_checkout<'a>(&'a self, order: &'a Order) -> Answer<'a, OpenedCheckout> {
        Box::pin(session::reopen(&self.client, order))
    }

    fn close_checkout<'a>(&'a self, session: &'a str) -> Answer<'a, ()> {
        Box::pin(session::close(&self.client, session))
    }

    fn find_checkout<'a>(&'a self, session: &'a str) -> Answer<'a, ProviderPayment> {
        Box::pin(session::find(&self.client, session))
    }

    fn open_setup<'a>(&'a self, order: &'a SetupOrder) -> Answer<'a, OpenedCheckout> {
        Box::pin(session::open_setup(&self.client, order))
    }

    fn find_setup<'a>(&'a self, session: &'a str, intent: &'a str) -> Answer<'a, Setup> {
        Box::pin(session::find_setup(&self.client, session, intent))
    }

    fn charge_off_session<'a>(&'a self, charge: &'a OffSession) -> Answer<'a, ProviderPayment> {
        Box::pin(off_session::charge(&self.client, charge))
    }

    fn refund<'a>(&'a self, order: &'a RefundOrder) -> Answer<'a, ProviderRefund> {
        Box::pin(refund::refund(&self.client, order))
    }

    fn find_payment<'a>(&'a self, payment: &'a str) -> Answer<'a, ProviderPayment> {
        Box::pin(refund::find_payment(&self.client, payment))
    }

    fn checkout_of<'a>(&'a self, payment: &'a str) -> Answer<'a, Option<ProviderPayment>> {
        Box::pin(session::of_payment(&self.client, payment))
    }

    fn payer_of<'a>(&'a self, invoice: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(session::payer_of(&self.client, invoice))
    }

    fn refunds_of<'a>(&'a self, payment: &'a str) -> Answer<'a, Page<ProviderRefund>> {
        Box::pin(refund::refunds_of(&self.client, payment))
    }

    fn find_refund<'a>(&'a self, refund: &'a str) -> Answer<'a, Page<ProviderRefund>> {
        Box::pin(refund::find_refund(&self.client, refund))
    }

    fn find_dispute<'a>(&'a self, dispute: &'a str) -> Answer<'a, Page<ProviderDispute>> {
        Box::pin(refund::find_dispute(&self.client, dispute))
    }

    fn payments_since<'a>(
        &'a self,
        since: Timestamp,
        after: Option<&'a str>,
    ) -> Answer<'a, Page<ProviderPayment>> {
        Box::pin(refund::payments_since(&self.client, since, after))
    }

    fn refunds_since<'a>(
        &'a self,
        since: Timestamp,
        after: Option<&'a str>,
    ) -> Answer<'a, Page<ProviderRefund>> {
        Box::pin(refund::refunds_since(&self.client, since, after))
    }

    fn disputes_since<'a>(
        &'a self,
        since: Timestamp,
        after: Option<&'a str>,
    ) -> Answer<'a, Page<ProviderDispute>> {
        Box::pin(refund::disputes_since(&self.client, since, after))
    }

    fn verify_event(
        &self,
        signature: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<ProviderEvent, EventError> {
        self.signatures.check(signature, body, now)?;
        events::read(body)
    }
}
