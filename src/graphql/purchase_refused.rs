//! Why a purchase cannot go on, or nothing be bought on invoice, with what clients need to tell the reasons apart.

use async_graphql::{Enum, SimpleObject};
use bursar_domain::purchase::PurchaseRefusal;

use super::errors::ErrorCode;
use super::purchase::PurchaseState;

/// Why something cannot happen to a purchase.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurchaseRefusalReason {
    /// It has to be approved first.
    NotApproved,
    /// It cannot be approved or rejected any more.
    AlreadyDecided,
    /// It cannot be paid any more.
    NotPayable,
    /// It has been paid.
    AlreadyPaid,
    /// A payment of it is under way: wait until that has come or failed.
    PaymentUnderWay,
    /// Money has come for it that is not as agreed on: wait until the vendor has decided about that, and do not pay again.
    PaymentParked,
    /// It cannot be withdrawn any more.
    NotWithdrawable,
    /// What is bought cannot be changed any more.
    NotChangeable,
    /// Nothing has been paid that could be returned, or all of it has been.
    NothingToReturn,
}

impl From<PurchaseRefusal> for PurchaseRefusalReason {
    fn from(refusal: PurchaseRefusal) -> PurchaseRefusalReason {
        match refusal {
            PurchaseRefusal::NotApproved => PurchaseRefusalReason::NotApproved,
            PurchaseRefusal::AlreadyDecided { .. } => PurchaseRefusalReason::AlreadyDecided,
            PurchaseRefusal::NotPayable { .. } => PurchaseRefusalReason::NotPayable,
            PurchaseRefusal::AlreadyPaid { .. } => PurchaseRefusalReason::AlreadyPaid,
            PurchaseRefusal::UnderWay { .. } => PurchaseRefusalReason::PaymentUnderWay,
            PurchaseRefusal::Parked { .. } => PurchaseRefusalReason::PaymentParked,
            PurchaseRefusal::NotWithdrawable { .. } => PurchaseRefusalReason::NotWithdrawable,
            PurchaseRefusal::NotChangeable { .. } => PurchaseRefusalReason::NotChangeable,
            PurchaseRefusal::NothingToReturn { .. } => PurchaseRefusalReason::NothingToReturn,
        }
    }
}

/// Where a purchase stands does not allow it.
#[derive(SimpleObject, Clone, Debug)]
pub struct PurchaseStateError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// Where the purchase stands.
    pub state: PurchaseState,
    /// Why that does not allow it.
    pub reason: PurchaseRefusalReason,
}

impl PurchaseStateError {
    /// A refusal of the purchase's state machine, as an error.
    pub fn new(refusal: PurchaseRefusal, message: String, field: Option<Vec<String>>) -> PurchaseStateError {
        let (state, reason) = (refusal.state().into(), refusal.into());
        PurchaseStateError { code: ErrorCode::InvalidState, message, field, state, reason }
    }
}

/// Why nothing may be bought on invoice.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvoiceRefusalReason {
    /// The organization pays before it gets credits.
    Prepaid,
    /// An invoice is overdue, and has to be paid first.
    Overdue,
}

/// Nothing may be bought on invoice now.
#[derive(SimpleObject, Clone, Debug)]
pub struct InvoiceRefusedError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// Why not.
    pub reason: InvoiceRefusalReason,
}

impl InvoiceRefusedError {
    /// The error with a reason.
    pub fn new(
        reason: InvoiceRefusalReason,
        message: String,
        field: Option<Vec<String>>,
    ) -> InvoiceRefusedError {
        InvoiceRefusedError { code: ErrorCode::InvalidState, message, field, reason }
    }
}
