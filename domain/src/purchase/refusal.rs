//! Why something cannot happen to a purchase, and where it stands.

use super::PurchaseState;

/// Why an event cannot happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurchaseRefusal {
    /// It has to be approved first.
    NotApproved,
    /// It cannot be approved or rejected any more.
    AlreadyDecided {
        /// Where it stands.
        state: PurchaseState,
    },
    /// It cannot be paid any more. Money that arrives all the same is for the vendor's staff to decide about.
    NotPayable {
        /// Where it stands.
        state: PurchaseState,
        /// Whether it was bought on invoice. As long as that is to be paid, this is the reason.
        invoiced: bool,
    },
    /// It has been paid: what arrives now is paid twice.
    AlreadyPaid {
        /// Where it stands.
        state: PurchaseState,
    },
    /// Its state allows it, but a payment of it is under way, as its payments say.
    UnderWay {
        /// Where it stands.
        state: PurchaseState,
    },
    /// Money has come for it that is not as agreed on, as its payments say, and the vendor has not decided about that.
    Parked {
        /// Where it stands.
        state: PurchaseState,
    },
    /// It cannot be withdrawn or run out any more.
    NotWithdrawable {
        /// Where it stands.
        state: PurchaseState,
        /// Whether it was bought on invoice. As long as that is to be paid, this is the reason.
        invoiced: bool,
    },
    /// What is bought cannot be changed any more, nor be asked for anew.
    NotChangeable {
        /// Where it stands.
        state: PurchaseState,
        /// Whether it was bought on invoice. As long as that is to be paid, this is the reason.
        invoiced: bool,
    },
    /// Nothing has been paid that could be returned, or all of it has been.
    NothingToReturn {
        /// Where it stands.
        state: PurchaseState,
    },
}

impl PurchaseRefusal {
    /// Where the purchase stands.
    pub const fn state(self) -> PurchaseState {
        match self {
            PurchaseRefusal::NotApproved => PurchaseState::PendingApproval,
            PurchaseRefusal::AlreadyDecided { state }
            | PurchaseRefusal::NotPayable { state, .. }
            | PurchaseRefusal::AlreadyPaid { state }
            | PurchaseRefusal::UnderWay { state }
            | PurchaseRefusal::Parked { state }
            | PurchaseRefusal::NotWithdrawable { state, .. }
            | PurchaseRefusal::NotChangeable { state, .. }
            | PurchaseRefusal::NothingToReturn { state } => state,
        }
    }
}

impl std::fmt::Display for PurchaseRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PurchaseRefusal::NotApproved => f.write_str("The purchase has to be approved first."),
            PurchaseRefusal::AlreadyDecided { state } => {
                write!(f, "A purchase that is {state} cannot be approved or rejected.")
            }
            PurchaseRefusal::NotPayable { state, invoiced: true } if !state.is_final() => {
                f.write_str("The purchase has been bought on invoice: it is paid by that invoice.")
            }
            PurchaseRefusal::NotPayable { state, .. } => write!(f, "A purchase that is {state} cannot be paid."),
            PurchaseRefusal::AlreadyPaid { .. } => f.write_str("The purchase has been paid already."),
            PurchaseRefusal::UnderWay { .. } => f.write_str(
                "A payment of this purchase is under way. It takes until its bank says yes or no.",
            ),
            PurchaseRefusal::Parked { .. } => f.write_str(
                "Money has come for this purchase that is not as agreed on. The vendor decides what becomes of it; \
                 do not pay again.",
            ),
            PurchaseRefusal::NotWithdrawable { state, invoiced: true } if !state.is_final() => {
                f.write_str("The purchase has been bought on invoice. It cannot be cancelled any more.")
            }
            PurchaseRefusal::NotWithdrawable { state, .. } => {
                write!(f, "A purchase that is {state} cannot be cancelled.")
            }
            PurchaseRefusal::NotChangeable { state, invoiced: true } if !state.is_final() => {
                f.write_str("The purchase has been bought on invoice. It cannot be changed any more.")
            }
            PurchaseRefusal::NotChangeable { state, .. } => {
                write!(f, "A purchase that is {state} cannot be changed.")
            }
            PurchaseRefusal::NothingToReturn { state: PurchaseState::Refunded } => {
                f.write_str("Nothing is left to be given back: all of the purchase has been returned.")
            }
            PurchaseRefusal::NothingToReturn { state } => {
                write!(f, "Nothing has been paid of a purchase that is {state}.")
            }
        }
    }
}
