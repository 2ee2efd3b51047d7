//! Stripe's objects, as far as they are read.

use bursar_domain::reversal::ReversalState;
use serde::Deserialize;
use serde_json::Value;

use super::amount::from_stripe;
use super::client::word;
use crate::payments::{PaidState, ProviderDispute, ProviderPayment, ProviderRefund};

/// Our word for a payment that was under way for some days and has come to nothing.
pub(super) const NOT_ARRIVED: &str = "async_payment_failed";

/// What is named by another object: its id, or all of it when that was asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Named {
    /// Its id.
    Id(String),
    /// All of it.
    Whole {
        /// Its id.
        id: String,
        /// Where it stands, when it says that.
        status: Option<String>,
    },
}

impl Named {
    /// The id.
    pub(super) fn id(&self) -> &str {
        match self {
            Named::Id(id) | Named::Whole { id, .. } => id,
        }
    }

    /// Where it stands, when that was asked for.
    pub(super) fn status(&self) -> Option<&str> {
        match self {
            Named::Id(_) => None,
            Named::Whole { status, .. } => status.as_deref(),
        }
    }
}

/// Names of ours that travel with an object.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Names {
    #[serde(rename = "bursar_organization")]
    pub(super) organization: Option<String>,
    #[serde(rename = "bursar_purchase")]
    pub(super) purchase: Option<String>,
    #[serde(rename = "bursar_payment")]
    pub(super) payment: Option<String>,
    #[serde(rename = "bursar_method")]
    pub(super) method: Option<String>,
    #[serde(rename = "bursar_reversal")]
    pub(super) reversal: Option<String>,
    /// There when nobody was there to pay.
    #[serde(rename = "bursar_off_session")]
    pub(super) off_session: Option<String>,
}

/// Why something was not done.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Reason {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) code: Option<String>,
    pub(super) decline_code: Option<String>,
    pub(super) payment_intent: Option<Named>,
}

impl Reason {
    /// Whether the bank wants the owner of the card to be there.
    pub(super) fn wants_authentication(&self) -> bool {
        let asks = |code: &Option<String>| code.as_deref() == Some("authentication_required");
        asks(&self.code) || asks(&self.decline_code)
    }

    /// The most exact word for it.
    pub(super) fn word(&self) -> String {
        let code = self.decline_code.as_deref().or(self.code.as_deref()).or(self.kind.as_deref());
        word(code.unwrap_or("declined"))
    }
}

/// An answer that is no success.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    pub(super) error: Reason,
}

/// A message.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) id: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) data: Data,
}

/// What a message is about.
#[derive(Debug, Deserialize)]
pub(super) struct Data {
    pub(super) object: Value,
}

/// A part of a list.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    pub(super) has_more: bool,
}

/// A checkout.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) url: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) status: Option<String>,
    pub(super) payment_status: Option<String>,
    pub(super) amount_total: Option<i64>,
    pub(super) currency: Option<String>,
    pub(super) payment_intent: Option<Named>,
    pub(super) setup_intent: Option<Named>,
    pub(super) invoice: Option<Named>,
    pub(super) metadata: Option<Names>,
}

impl Session {
    /// Whether money has come at it. A trial, or a price of nothing, asks for none.
    pub(super) fn is_paid(&self) -> bool {
        self.payment_status.as_deref() == Some("paid") && self.amount_total.is_some_and(|amount| amount > 0)
    }

    /// Where its payment stands, whatever was told of that. The payment itself has been asked for with it.
    pub(super) fn state(&self) -> PaidState {
        let intent = self.payment_intent.as_ref().and_then(Named::status);
        match (self.status.as_deref(), self.payment_status.as_deref(), intent) {
            (_, Some("paid"), _) | (Some("complete"), Some("no_payment_required"), _) => PaidState::Paid,
            (Some("expired"), _, _) => PaidState::Expired,
            // It was under way for some days, and has come to nothing: the buyer cannot try again there.
            (Some("complete"), _, Some("requires_payment_method" | "canceled")) => {
                PaidState::Failed(NOT_ARRIVED.to_owned())
            }
            (Some("complete"), _, _) => PaidState::Pending,
            _ => PaidState::Unpaid,
        }
    }

    /// As a payment that stands so.
    pub(super) fn payment(self, state: PaidState) -> ProviderPayment {
        let names = self.metadata.unwrap_or_default();
        let currency = self.currency.unwrap_or_default();
        let (amount, currency) = from_stripe(self.amount_total.unwrap_or_default(), &currency);
        ProviderPayment {
            payment: self.payment_intent.map(|intent| intent.id().to_owned()),
            session: Some(self.id),
            state,
            amount,
            currency,
            organization: names.organization,
            purchase: names.purchase,
            ours: names.payment,
        }
    }
}

/// A payment.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) amount: i64,
    pub(super) amount_received: Option<i64>,
    pub(super) currency: String,
    pub(super) metadata: Option<Names>,
    pub(super) last_payment_error: Option<Reason>,
}

impl Intent {
    /// Whether nobody was there to pay: then a failed try is the end of it. At a checkout the buyer can try again.
    pub(super) fn is_off_session(&self) -> bool {
        self.metadata.as_ref().is_some_and(|names| names.off_session.is_some())
    }

    /// Where it stands.
    pub(super) fn state(&self) -> PaidState {
        match (self.status.as_str(), self.is_off_session()) {
            ("succeeded", _) => PaidState::Paid,
            ("processing", _) => PaidState::Pending,
            ("canceled", false) => PaidState::Expired,
            ("canceled", true) => PaidState::Failed("canceled".to_owned()),
            (_, true) => match &self.last_payment_error {
                Some(reason) => PaidState::Failed(reason.word()),
                None => PaidState::Unpaid,
            },
            (_, false) => PaidState::Unpaid,
        }
    }
}

impl From<Intent> for ProviderPayment {
    fn from(intent: Intent) -> ProviderPayment {
        let state = intent.state();
        let received = intent.amount_received.filter(|_| state == PaidState::Paid);
        let (amount, currency) = from_stripe(received.unwrap_or(intent.amount), &intent.currency);
        let names = intent.metadata.unwrap_or_default();
        ProviderPayment {
            payment: Some(intent.id),
            session: None,
            state,
            amount,
            currency,
            organization: names.organization,
            purchase: names.purchase,
            ours: names.payment,
        }
    }
}

/// A refund.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Refund {
    pub(super) id: String,
    pub(super) payment_intent: Option<Named>,
    pub(super) charge: Option<Named>,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) status: Option<String>,
    pub(super) metadata: Option<Names>,
}

/// What is of a payment is named by it; what is of an older kind, by its charge, which is no payment of ours.
fn payment_of(intent: Option<Named>, charge: Option<Named>) -> String {
    intent.or(charge).map(|named| named.id().to_owned()).unwrap_or_default()
}

impl Refund {
    /// As Bursar knows refunds; else why it is not understood.
    pub(super) fn told(self) -> Result<ProviderRefund, &'static str> {
        let state = match self.status.as_deref() {
            None | Some("pending" | "requires_action") => ReversalState::Pending,
            Some("succeeded") => ReversalState::Succeeded,
            Some("failed" | "canceled") => ReversalState::Failed,
            Some(_) => return Err("the refund's status is not known"),
        };
        let (amount, currency) = from_stripe(self.amount, &self.currency);
        Ok(ProviderRefund {
            refund: self.id,
            payment: payment_of(self.payment_intent, self.charge),
            state,
            amount,
            currency,
            ours: self.metadata.and_then(|names| names.reversal),
        })
    }
}

/// A dispute.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Dispute {
    pub(super) id: String,
    pub(super) payment_intent: Option<Named>,
    pub(super) charge: Option<Named>,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) status: String,
}

impl Dispute {
    /// As Bursar knows disputes; none: somebody inquires, or a dispute was prevented, and no money is taken. Else why it is
    /// not understood.
    pub(super) fn told(self) -> Result<Option<ProviderDispute>, &'static str> {
        let state = match self.status.as_str() {
            "needs_response" | "under_review" => ReversalState::Open,
            "won" => ReversalState::Won,
            "lost" => ReversalState::Lost,
            "warning_needs_response" | "warning_under_review" | "warning_closed" | "prevented" => {
                return Ok(None);
            }
            _ => return Err("the dispute's status is not known"),
        };
        let (amount, currency) = from_stripe(self.amount, &self.currency);
        Ok(Some(ProviderDispute {
            dispute: self.id,
            payment: payment_of(self.payment_intent, self.charge),
            state,
            amount,
            currency,
        }))
    }
}

/// A charge: what of it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Charge {
    pub(super) id: String,
    pub(super) payment_intent: Option<Named>,
}

impl Charge {
    /// The payment that it is of.
    pub(super) fn payment(self) -> String {
        payment_of(self.payment_intent, Some(Named::Id(self.id)))
    }
}

/// A bill that Stripe has made by itself.
#[derive(Debug, Deserialize)]
pub(super) struct Bill {
    pub(super) payment_intent: Option<Named>,
}

/// A way of paying that was set up.
#[derive(Debug, Deserialize)]
pub(super) struct SetupIntent {
    pub(super) status: String,
    pub(super) customer: Option<Named>,
    pub(super) payment_method: Option<Method>,
    pub(super) metadata: Option<Names>,
}

/// A way of paying.
#[derive(Debug, Deserialize)]
pub(super) struct Method {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) card: Option<Card>,
}

/// A card.
#[derive(Debug, Deserialize)]
pub(super) struct Card {
    pub(super) brand: String,
    pub(super) last4: String,
}

impl Method {
    /// What people know it by: "Visa ending in 4242".
    pub(super) fn label(&self) -> String {
        let Some(card) = &self.card else {
            return word(self.kind.as_deref().unwrap_or("card")).replace('_', " ");
        };
        let brand = word(&card.brand).replace('_', " ");
        let mut letters = brand.chars();
        let brand: String =
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect();
        format!("{brand} ending in {}", word(&card.last4))
    }
}

/// Something of which only the id matters.
#[derive(Debug, Deserialize)]
pub(super) struct Made {
    pub(super) id: String,
}
