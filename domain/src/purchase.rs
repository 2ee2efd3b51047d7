//! The life of a purchase as one explicit state machine: [`apply`] says what an event makes of a state, and what has to
//! be done with it, or why it cannot happen.
//!
//! ```text
//! request ─► PENDING_APPROVAL ─► APPROVED ─► AWAITING_PAYMENT ─► COMPLETED ◄─► REFUNDED
//!                 │  │              ▲              │ │
//!                 │  └─► REJECTED   └─ given up ───┘ └─► PAYMENT_FAILED ─► APPROVED by another checkout
//!                 └────► EXPIRED
//! ```
//! From every state before payment a purchase can be cancelled or can expire. What is bought on invoice has its credits
//! at once and waits for its payment in AWAITING_PAYMENT: then it can neither be given up nor expire.

mod refusal;

pub use refusal::PurchaseRefusal;

string_enum! {
    /// Where a purchase stands.
    PurchaseState {
        /// Waits for the people whom the approval policy names.
        PendingApproval = "PENDING_APPROVAL",
        /// May be paid.
        Approved = "APPROVED",
        /// A checkout is open, or an invoice is out.
        AwaitingPayment = "AWAITING_PAYMENT",
        /// Paid, and the credits are in the pool.
        Completed = "COMPLETED",
        /// An approver said no.
        Rejected = "REJECTED",
        /// Withdrawn before it was paid.
        Cancelled = "CANCELLED",
        /// Not paid while its price was valid.
        Expired = "EXPIRED",
        /// The payment provider reported a final failure.
        PaymentFailed = "PAYMENT_FAILED",
        /// The payment was returned.
        Refunded = "REFUNDED",
    }
}

string_enum! {
    /// Why a purchase counts as approved.
    ApprovalBasis {
        /// No rule of an approval policy asked for anybody's consent.
        Automatic = "AUTOMATIC",
        /// Everybody whom a rule names has agreed.
        People = "PEOPLE",
        /// The only owner has agreed to what they have asked for themselves, where nobody else could.
        SoleOwner = "SOLE_OWNER",
    }
}

string_enum! {
    /// Who takes the money.
    PaymentProvider {
        /// The embedded checkout page, which moves no real money.
        Sandbox = "SANDBOX",
        /// Stripe's hosted checkout.
        Stripe = "STRIPE",
        /// The vendor, by an invoice.
        Invoice = "INVOICE",
    }
}

string_enum! {
    /// Where one attempt at paying a purchase stands.
    PaymentState {
        /// The checkout can be paid or cancelled, or the invoice is out.
        Open = "OPEN",
        /// The buyer has paid by a way that takes days; the money is not there yet.
        Pending = "PENDING",
        /// Money has come for it that is not as agreed on, or comes too late: the vendor decides what becomes of that.
        Parked = "PARKED",
        /// The money is there. Final.
        Paid = "PAID",
        /// The provider reported a final failure. The money may still come: then it is paid.
        Failed = "FAILED",
        /// Given up at the checkout page, or replaced by the purchase's end.
        Cancelled = "CANCELLED",
    }
}

/// Why a payment has come to nothing whose money was parked.
pub const NOT_AS_AGREED: &str = "not_as_agreed";

string_enum! {
    /// Why money that arrived could not be booked.
    ParkedReason {
        /// It names no payment of ours.
        Unknown = "UNKNOWN",
        /// It is another amount than agreed on.
        AmountMismatch = "AMOUNT_MISMATCH",
        /// It is in another currency.
        CurrencyMismatch = "CURRENCY_MISMATCH",
        /// It names another organization than the one that buys.
        OrganizationMismatch = "ORGANIZATION_MISMATCH",
        /// It was paid already, by another payment.
        PaidTwice = "PAID_TWICE",
        /// The purchase had come to its end before.
        PurchaseClosed = "PURCHASE_CLOSED",
        /// A refund or dispute is of no payment of ours, or says something that cannot be.
        ReversalMismatch = "REVERSAL_MISMATCH",
        /// It may have been taken: the provider that was asked to is no longer set up.
        ProviderGone = "PROVIDER_GONE",
        /// It is said in a way that is not known: a state that is new, or something of another shape.
        NotUnderstood = "NOT_UNDERSTOOD",
    }
}

string_enum! {
    /// What has become of money that could not be booked.
    ParkedState {
        /// Nobody has decided yet.
        Open = "OPEN",
        /// It was booked for a purchase after all.
        Applied = "APPLIED",
        /// It was given back, or dealt with elsewhere.
        Dismissed = "DISMISSED",
    }
}

/// What can happen to a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurchaseEvent {
    /// Whoever has to has agreed.
    Approved,
    /// Somebody who was asked has said no.
    Rejected,
    /// A checkout is started (or found open).
    CheckoutStarted,
    /// The buyer gave the checkout up, or it has run out.
    CheckoutCancelled,
    /// An invoice goes out, and the credits come in.
    Invoiced,
    /// The buyer has paid, and the money does not count yet: nobody is to pay at another checkout meanwhile.
    PaymentUnderWay,
    /// The payment arrived.
    Paid,
    /// The provider reported that the payment has finally failed.
    PaymentFailed,
    /// The purchase is withdrawn.
    Cancelled,
    /// Its price is no longer valid.
    Expired,
    /// A part of the payment was returned.
    PartlyReturned,
    /// The whole payment was returned.
    Returned,
    /// What was returned did not reach the buyer: the money is the vendor's again.
    ReturnFailed,
}

/// What has to be done in the transaction that writes the new state, and nothing else is done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing more.
    None,
    /// The lot is issued, and checkouts that are open are closed: nobody is to pay again.
    Issue,
    /// Checkouts that are open are closed.
    CloseCheckouts,
}

impl Effect {
    /// Whether the lot is issued.
    pub const fn issues(self) -> bool {
        matches!(self, Effect::Issue)
    }

    /// Whether checkouts that are open are closed.
    pub const fn closes_checkouts(self) -> bool {
        matches!(self, Effect::Issue | Effect::CloseCheckouts)
    }
}

/// What an event has made of a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Where it stood.
    pub from: PurchaseState,
    /// Where it stands.
    pub to: PurchaseState,
    /// What has to be done.
    pub effect: Effect,
}

/// What `event` makes of a purchase in a state. `invoiced` says whether an invoice for it is out, so that its credits are
/// in already.
///
/// A refund that fails after it was reported as carried out makes a purchase complete again.
///
/// Money that arrives is honoured in every state before the end, and also after the buyer gave the checkout up or the
/// provider reported a failure: the payment is the truth.
///
/// # Errors
/// Why it cannot happen in this state.
pub const fn apply(
    from: PurchaseState,
    invoiced: bool,
    event: PurchaseEvent,
) -> Result<Transition, PurchaseRefusal> {
    use PurchaseState::{
        Approved, AwaitingPayment, Cancelled, Completed, Expired, PaymentFailed, PendingApproval, Refunded,
        Rejected,
    };
    let (to, effect) = match (event, from) {
        (PurchaseEvent::Approved, PendingApproval) => (Approved, Effect::None),
        (PurchaseEvent::Rejected, PendingApproval) => (Rejected, Effect::None),
        (PurchaseEvent::Approved | PurchaseEvent::Rejected, state) => {
            return Err(PurchaseRefusal::AlreadyDecided { state });
        }
        (
            PurchaseEvent::CheckoutStarted
            | PurchaseEvent::Invoiced
            | PurchaseEvent::PaymentUnderWay
            | PurchaseEvent::Paid,
            PendingApproval,
        ) => {
            return Err(PurchaseRefusal::NotApproved);
        }
        (
            PurchaseEvent::CheckoutStarted | PurchaseEvent::PaymentUnderWay,
            Approved | AwaitingPayment | PaymentFailed,
        ) if !invoiced => (AwaitingPayment, Effect::CloseCheckouts),
        (PurchaseEvent::Invoiced, Approved | AwaitingPayment | PaymentFailed) if !invoiced => {
            (AwaitingPayment, Effect::Issue)
        }
        (PurchaseEvent::CheckoutCancelled, AwaitingPayment) if !invoiced => (Approved, Effect::None),
        (PurchaseEvent::PaymentFailed, AwaitingPayment | Approved) if !invoiced => {
            (PaymentFailed, Effect::None)
        }
        // Its credits came with the invoice, or come when what stands in their way is lifted.
        (PurchaseEvent::Paid, Approved | AwaitingPayment | PaymentFailed) if invoiced => {
            (Completed, Effect::None)
        }
        (PurchaseEvent::Paid, Approved | AwaitingPayment | PaymentFailed) => (Completed, Effect::Issue),
        (
            PurchaseEvent::CheckoutStarted
            | PurchaseEvent::Invoiced
            | PurchaseEvent::PaymentUnderWay
            | PurchaseEvent::Paid,
            state @ (Completed | Refunded),
        ) => {
            return Err(PurchaseRefusal::AlreadyPaid { state });
        }
        (PurchaseEvent::Cancelled, PendingApproval | Approved | AwaitingPayment | PaymentFailed)
            if !invoiced =>
        {
            (Cancelled, Effect::CloseCheckouts)
        }
        (PurchaseEvent::Expired, PendingApproval | Approved | AwaitingPayment | PaymentFailed)
            if !invoiced =>
        {
            (Expired, Effect::CloseCheckouts)
        }
        (PurchaseEvent::Cancelled | PurchaseEvent::Expired, state) => {
            return Err(PurchaseRefusal::NotWithdrawable { state, invoiced });
        }
        (PurchaseEvent::PartlyReturned, Completed) => (Completed, Effect::None),
        // What was bought on invoice and not paid is credited.
        (PurchaseEvent::PartlyReturned, AwaitingPayment) if invoiced => (AwaitingPayment, Effect::None),
        (PurchaseEvent::Returned, Completed) => (Refunded, Effect::None),
        (PurchaseEvent::Returned, AwaitingPayment) if invoiced => (Refunded, Effect::None),
        // Credits that had not come in when the money went back have to come in now.
        (PurchaseEvent::ReturnFailed, Completed | Refunded) => (Completed, Effect::Issue),
        (PurchaseEvent::PartlyReturned | PurchaseEvent::Returned | PurchaseEvent::ReturnFailed, state) => {
            return Err(PurchaseRefusal::NothingToReturn { state });
        }
        (_, state) => return Err(PurchaseRefusal::NotPayable { state, invoiced }),
    };
    Ok(Transition { from, to, effect })
}

/// What becomes of a purchase that begins again: what is bought was changed, or its price had run out. Whoever has to agree
/// is asked anew, and checkouts that are open are closed.
///
/// # Errors
/// Why it cannot begin again.
pub const fn resubmit(from: PurchaseState, invoiced: bool) -> Result<Transition, PurchaseRefusal> {
    use PurchaseState::{
        Approved, AwaitingPayment, Cancelled, Completed, Expired, PaymentFailed, PendingApproval, Refunded,
        Rejected,
    };
    match from {
        PendingApproval | Approved | AwaitingPayment | PaymentFailed | Expired if !invoiced => {
            Ok(Transition { from, to: PendingApproval, effect: Effect::CloseCheckouts })
        }
        PendingApproval | Approved | AwaitingPayment | Completed | Rejected | Cancelled | Expired
        | PaymentFailed | Refunded => Err(PurchaseRefusal::NotChangeable { state: from, invoiced }),
    }
}

impl PurchaseState {
    /// The ends of purchases that were never paid. What was quoted for them can be bought by another one.
    pub const UNPAID_ENDS: [PurchaseState; 3] =
        [PurchaseState::Rejected, PurchaseState::Cancelled, PurchaseState::Expired];

    /// Whether nothing can happen to the purchase before it is paid any more.
    pub const fn is_final(self) -> bool {
        !matches!(
            self,
            PurchaseState::PendingApproval
                | PurchaseState::Approved
                | PurchaseState::AwaitingPayment
                | PurchaseState::PaymentFailed
        )
    }
}

#[cfg(test)]
mod tests;
