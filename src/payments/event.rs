//! What a provider tells: facts about payments, refunds and disputes, in the provider's own names and in minor units.

use bursar_domain::reversal::ReversalState;

/// Why a message is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// It lacks its proof, or the proof is not good, or too old. Nothing more is said to whoever sent it.
    #[error("the signature is not good")]
    Signature,
    /// It is proven, and cannot be understood.
    #[error("the message cannot be understood: {0}")]
    Malformed(&'static str),
}

/// Where a payment stands at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaidState {
    /// The money is there.
    Paid,
    /// It is under way, and may take days.
    Pending,
    /// It has finally failed, and why, in the provider's word.
    Failed(String),
    /// The checkout has run out, or was given up.
    Expired,
    /// Nobody has paid yet.
    Unpaid,
}

/// A payment, or the checkout of one, as the provider tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderPayment {
    /// The provider's own name of the payment; none: there is only the checkout yet.
    pub payment: Option<String>,
    /// The provider's own name of the checkout.
    pub session: Option<String>,
    /// Where it stands.
    pub state: PaidState,
    /// How much, in minor units.
    pub amount: i64,
    /// The currency, in capitals.
    pub currency: String,
    /// The organization that it names: our global id.
    pub organization: Option<String>,
    /// The purchase that it names.
    pub purchase: Option<String>,
    /// The payment that it names.
    pub ours: Option<String>,
}

impl ProviderPayment {
    /// What it is known by, wherever it is told of: the payment's name, or else the checkout's.
    pub fn reference(&self) -> &str {
        self.payment.as_deref().or(self.session.as_deref()).unwrap_or("")
    }
}

/// A refund, as the provider tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRefund {
    /// The provider's own name of it.
    pub refund: String,
    /// Of which payment.
    pub payment: String,
    /// Where it stands: [`ReversalState::Pending`], [`ReversalState::Succeeded`] or [`ReversalState::Failed`].
    pub state: ReversalState,
    /// How much, in minor units.
    pub amount: i64,
    /// The currency, in capitals.
    pub currency: String,
    /// The reversal of ours that asked for it.
    pub ours: Option<String>,
}

/// A dispute, as the provider tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderDispute {
    /// The provider's own name of it.
    pub dispute: String,
    /// Of which payment.
    pub payment: String,
    /// Where it stands: [`ReversalState::Open`], [`ReversalState::Won`] or [`ReversalState::Lost`].
    pub state: ReversalState,
    /// How much, in minor units.
    pub amount: i64,
    /// The currency, in capitals.
    pub currency: String,
}

/// A way of paying that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The provider's own name of the checkout in which it was given.
    pub session: String,
    /// The organization that it names.
    pub organization: Option<String>,
    /// The way of paying of ours that it names.
    pub ours: Option<String>,
    /// The provider's own name of the customer.
    pub customer: String,
    /// The provider's own name of the way of paying.
    pub method: String,
    /// What people know it by.
    pub label: String,
}

/// Something that a provider tells, and that is not understood: a state that is new, or an object of another shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUnderstood {
    /// The provider's own name of what it is about, with the state in which that is; else of the message.
    pub reference: String,
    /// Why it is not understood, and what is known of it. Bounded, and without anything about people.
    pub detail: String,
    /// Over how much it is, in minor units, as far as that can be read.
    pub amount: i64,
    /// The currency, in capitals when it is one of ours.
    pub currency: String,
    /// The organization that it names.
    pub organization: Option<String>,
    /// The reversal or payment of ours that it names.
    pub ours: Option<String>,
}

/// What a provider tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderEvent {
    /// About a payment.
    Payment(ProviderPayment),
    /// That money came at a checkout of a kind that Bursar does not open, a subscription's for one. The payment may be
    /// known to the bill only that the provider has made of it: then it has to be asked for.
    Foreign {
        /// What the checkout tells.
        told: ProviderPayment,
        /// The provider's own name of the bill.
        invoice: Option<String>,
    },
    /// About a refund.
    Refund(ProviderRefund),
    /// That something of a payment was returned, without saying what: its refunds have to be asked for.
    Refunded {
        /// Which payment.
        payment: String,
    },
    /// About a dispute.
    Dispute(ProviderDispute),
    /// A setup session has come to its end: what was given has to be asked for by its name.
    SetUp {
        /// The provider's own name of the session.
        session: String,
        /// The organization that it names.
        organization: Option<String>,
        /// The way of paying of ours that it names.
        ours: Option<String>,
        /// The provider's own name of what was set up.
        intent: String,
    },
    /// Something that may matter to us, and is not understood.
    NotUnderstood(NotUnderstood),
    /// Something that does not matter to us.
    Other,
}
