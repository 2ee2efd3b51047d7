//! Payment providers: who takes the money, behind one small trait.
//!
//! This room knows nothing of purchases and writes nothing. It opens checkouts, gives money back, charges without anybody
//! there, and understands what providers tell ([`ProviderEvent`]); what that means for a purchase is decided in one
//! place, `purchases::settle`. Nothing here is called inside a transaction.

mod event;
mod provider;
mod sandbox;
mod stripe;

pub use event::{
    EventError, NotUnderstood, PaidState, ProviderDispute, ProviderEvent, ProviderPayment, ProviderRefund,
    Setup,
};
pub use provider::{
    Answer, Customer, OffSession, OpenedCheckout, Order, Page, Provider, ProviderError, REUSED, RefundOrder,
    SetupOrder,
};
pub use sandbox::{ASKS, DECLINES, Sandbox};
pub use stripe::Stripe;

use std::sync::Arc;

use bursar_domain::purchase::PaymentProvider;

use crate::config::{PaymentSettings, Payments as Kind};
use crate::error::{Error, Result};

/// The provider that the settings name. Cheap to clone.
#[derive(Clone)]
pub struct Payments(Arc<dyn Provider>);

impl Payments {
    /// The provider that the settings name.
    ///
    /// # Errors
    /// When it cannot be made ready.
    pub fn open(settings: &PaymentSettings) -> Result<Payments> {
        match settings.provider {
            Kind::Sandbox => Ok(Payments(Arc::new(Sandbox))),
            Kind::Stripe => {
                let stripe = settings.stripe.as_ref();
                let stripe = stripe.ok_or_else(|| Error::internal("there are no settings for Stripe"))?;
                Ok(Payments(Arc::new(Stripe::new(stripe)?)))
            }
        }
    }

    /// Who takes the money of new checkouts.
    pub fn kind(&self) -> PaymentProvider {
        self.0.kind()
    }

    /// The provider, when it is the one that a payment names: another one, of earlier settings, cannot be asked any more.
    pub fn of(&self, kind: PaymentProvider) -> Option<&dyn Provider> {
        (self.0.kind() == kind).then_some(&*self.0)
    }

    /// The provider of new checkouts.
    pub fn active(&self) -> &dyn Provider {
        &*self.0
    }
}
