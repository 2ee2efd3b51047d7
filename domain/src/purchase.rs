//! The life of a purchase as one explicit state machine.
//!
//! ```text
//! request ─► PENDING_APPROVAL ─► APPROVED ─► AWAITING_PAYMENT ─► COMPLETED ─► REFUNDED
//!                 │  │              ▲              │ │
//!                 │  └─► REJECTED   └─ checkout ───┘ └─► PAYMENT_FAILED
//!                 └────► EXPIRED         given up
//! ```
//! From every state before payment a purchase can be cancelled or can expire.

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
    }
}

string_enum! {
    /// Who takes the money.
    PaymentProvider {
        /// The embedded checkout page, which moves no real money.
        Sandbox = "SANDBOX",
    }
}

string_enum! {
    /// Where one attempt at paying a purchase stands.
    PaymentState {
        /// The checkout page can be paid or cancelled.
        Open = "OPEN",
        /// The money is there. Final.
        Paid = "PAID",
        /// Given up at the checkout page, or replaced by the purchase's end. Final.
        Cancelled = "CANCELLED",
    }
}

/// What can happen to a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurchaseEvent {
    /// A checkout is started (or found open).
    CheckoutStarted,
    /// The buyer gave the checkout up.
    CheckoutCancelled,
    /// The payment arrived.
    Paid,
    /// The purchase is withdrawn.
    Cancelled,
}

impl PurchaseState {
    /// The state after `event`, or `None` when it cannot happen in this state.
    ///
    /// Money that arrives is honoured in every state before the end, and also after the buyer gave
    /// the checkout up: the payment is the truth.
    pub const fn after(self, event: PurchaseEvent) -> Option<PurchaseState> {
        use PurchaseState::{Approved, AwaitingPayment, Cancelled, Completed, PendingApproval};
        match (event, self) {
            (PurchaseEvent::CheckoutStarted, Approved | AwaitingPayment) => Some(AwaitingPayment),
            (PurchaseEvent::CheckoutCancelled, AwaitingPayment) => Some(Approved),
            (PurchaseEvent::Paid, AwaitingPayment | Approved) => Some(Completed),
            (PurchaseEvent::Cancelled, PendingApproval | Approved | AwaitingPayment) => Some(Cancelled),
            _ => None,
        }
    }

    /// Whether nothing can happen to the purchase before it is paid any more.
    pub const fn is_final(self) -> bool {
        !matches!(
            self,
            PurchaseState::PendingApproval | PurchaseState::Approved | PurchaseState::AwaitingPayment
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completed_purchase_stays_completed() {
        use PurchaseEvent::*;
        for event in [CheckoutStarted, CheckoutCancelled, Paid, Cancelled] {
            assert_eq!(PurchaseState::Completed.after(event), None);
            assert_eq!(PurchaseState::Cancelled.after(event), None);
        }
    }

    #[test]
    fn the_way_to_credits() {
        use PurchaseEvent::*;
        let end = [CheckoutStarted, CheckoutCancelled, CheckoutStarted, CheckoutStarted, Paid]
            .into_iter()
            .try_fold(PurchaseState::Approved, PurchaseState::after);
        assert_eq!(end, Some(PurchaseState::Completed));
        assert_eq!(PurchaseState::PendingApproval.after(Paid), None);
    }
}
