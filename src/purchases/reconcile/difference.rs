//! What the books and a provider say otherwise, in words.

use std::fmt;

use bursar_domain::id::{OrganizationId, PaymentId, PurchaseId, ReversalId};
use bursar_domain::purchase::{ParkedReason, PaymentState};

use crate::global_id;
use crate::payments::PaidState;

/// Something that the books and the provider say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It was paid there, and here it was not.
    PaidThere {
        /// The provider's own name of the payment.
        reference: String,
        /// How much, as the provider says.
        amount: i64,
        /// The currency.
        currency: String,
        /// The payment of ours that it names.
        ours: Option<String>,
    },
    /// It was paid here, and the provider knows nothing of it.
    PaidHereOnly {
        /// Whose it is.
        organization: OrganizationId,
        /// The payment.
        payment: PaymentId,
    },
    /// It is open or under way here, and stands otherwise there.
    Stands {
        /// Whose it is.
        organization: OrganizationId,
        /// The payment.
        payment: PaymentId,
        /// How it stands in the books.
        here: PaymentState,
        /// How it stands at the provider.
        there: PaidState,
    },
    /// It is open or under way here, and the provider knows nothing of its checkout.
    OpenHereOnly {
        /// Whose it is.
        organization: OrganizationId,
        /// The payment.
        payment: PaymentId,
    },
    /// It was returned there, or stands otherwise there than here.
    RefundThere {
        /// The provider's own name of the refund.
        reference: String,
        /// The provider's own name of the payment.
        payment: String,
        /// How much, as the provider says.
        amount: i64,
        /// The currency.
        currency: String,
    },
    /// It is disputed there, or stands otherwise there than here.
    DisputeThere {
        /// The provider's own name of the dispute.
        reference: String,
        /// The provider's own name of the payment.
        payment: String,
        /// How much, as the provider says.
        amount: i64,
        /// The currency.
        currency: String,
    },
    /// Both know of it, and another amount was paid there.
    Amount {
        /// Whose it is.
        organization: OrganizationId,
        /// The payment.
        payment: PaymentId,
        /// What is in the books.
        here: String,
        /// What the provider says.
        there: String,
    },
    /// Both know of a refund or a dispute, and it is over another amount there.
    ReturnAmount {
        /// Whose it is.
        organization: OrganizationId,
        /// The provider's own name of it.
        reference: String,
        /// What is in the books.
        here: String,
        /// What the provider says.
        there: String,
    },
    /// It was returned or is disputed here, and the provider knows nothing of it.
    ReturnedHereOnly {
        /// Whose it is.
        organization: OrganizationId,
        /// The reversal.
        reversal: ReversalId,
    },
    /// It was returned or is disputed, or was returned and has failed since; its credits were not moved for that, and nothing
    /// stands in the way.
    Unbooked {
        /// Whose it is.
        organization: OrganizationId,
        /// The reversal.
        reversal: ReversalId,
    },
    /// It is paid or bought on invoice, its credits did not come in, and nothing stands in their way.
    NoLot {
        /// Whose it is.
        organization: OrganizationId,
        /// The purchase.
        purchase: PurchaseId,
    },
    /// Other credits came in than were bought, or at another price than was paid.
    Lot {
        /// Whose it is.
        organization: OrganizationId,
        /// The purchase.
        purchase: PurchaseId,
        /// What came in.
        lot: String,
        /// What was bought.
        bought: String,
    },
    /// The provider says it in a way that is not known.
    NotUnderstood {
        /// The provider's own name, and the state.
        reference: String,
        /// Why, and what is known of it.
        detail: String,
    },
    /// It could not be booked, and nobody has decided yet.
    Parked {
        /// The provider's own name.
        reference: String,
        /// Why it could not be booked.
        reason: ParkedReason,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::PaidThere { reference, amount, currency, ours } => {
                let ours = ours.as_deref().unwrap_or("no payment of ours");
                write!(f, "{reference}: {amount} {currency} were paid for {ours}, and are not in the books")
            }
            Difference::PaidHereOnly { organization, payment } => {
                let (organization, payment) = (global_id::encode(*organization), global_id::encode(*payment));
                write!(f, "{payment} of {organization}: is paid here, and the provider does not say so")
            }
            Difference::Stands { organization, payment, here, there } => {
                let (organization, payment) = (global_id::encode(*organization), global_id::encode(*payment));
                let there = match there {
                    PaidState::Paid => "paid",
                    PaidState::Pending => "under way",
                    PaidState::Failed(_) => "failed",
                    PaidState::Expired => "run out",
                    PaidState::Unpaid => "not paid",
                };
                write!(f, "{payment} of {organization}: {here} in the books, {there} at the provider")
            }
            Difference::OpenHereOnly { organization, payment } => {
                let (organization, payment) = (global_id::encode(*organization), global_id::encode(*payment));
                write!(
                    f,
                    "{payment} of {organization}: is not at its end here, and the provider knows no such checkout"
                )
            }
            Difference::RefundThere { reference, payment, amount, currency } => {
                write!(f, "{reference}: a refund of {amount} {currency} of {payment} is not in the books")
            }
            Difference::DisputeThere { reference, payment, amount, currency } => {
                write!(f, "{reference}: a dispute over {amount} {currency} of {payment} is not in the books")
            }
            Difference::Amount { organization, payment, here, there } => {
                let (organization, payment) = (global_id::encode(*organization), global_id::encode(*payment));
                write!(f, "{payment} of {organization}: {here} in the books, {there} at the provider")
            }
            Difference::ReturnAmount { organization, reference, here, there } => {
                let organization = global_id::encode(*organization);
                write!(f, "{reference} of {organization}: {here} in the books, {there} at the provider")
            }
            Difference::ReturnedHereOnly { organization, reversal } => {
                let (organization, reversal) =
                    (global_id::encode(*organization), global_id::encode(*reversal));
                write!(f, "{reversal} of {organization}: is returned here, and the provider does not say so")
            }
            Difference::Unbooked { organization, reversal } => {
                let (organization, reversal) =
                    (global_id::encode(*organization), global_id::encode(*reversal));
                write!(
                    f,
                    "{reversal} of {organization}: its credits have not been moved, and nothing stands in the way"
                )
            }
            Difference::NoLot { organization, purchase } => {
                let organization = global_id::encode(*organization);
                let purchase = global_id::encode(*purchase);
                write!(
                    f,
                    "{purchase} of {organization}: is paid or invoiced, and its credits have not come in"
                )
            }
            Difference::Lot { organization, purchase, lot, bought } => {
                let (organization, purchase) =
                    (global_id::encode(*organization), global_id::encode(*purchase));
                write!(f, "{purchase} of {organization}: {lot} came in, {bought} were bought")
            }
            Difference::NotUnderstood { reference, detail } => {
                write!(f, "{reference}: is not understood ({detail})")
            }
            Difference::Parked { reference, reason } => {
                write!(f, "{reference}: is parked ({reason}), and nobody has decided")
            }
        }
    }
}
