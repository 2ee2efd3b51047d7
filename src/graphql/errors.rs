//! Errors as clients see them: top-level errors with a code, and the user errors of mutations.
//!
//! [`ApiError`] has no `Display`: nothing becomes a top-level error by its text, only through the
//! conversion here, which keeps what is internal to the log.

use async_graphql::{Enum, Error as GraphqlError, ErrorExtensions, Interface, SimpleObject};

use super::approval_refused::{ApprovalPolicyError, NotApprovableError};
use super::purchase_refused::{InvoiceRefusalReason, InvoiceRefusedError, PurchaseStateError};
use super::refused::{
    BatchAbortedError, CapExceededError, CaptureExceedsHoldError, GuaranteeError, HoldClosedError,
    InsufficientCreditsError, ReferenceTakenError, RefundExceedsChargeError, refused,
};
use super::scalars::MoneyObject;
use crate::db::{Fault, fault};
use crate::error::{Conflict, Error};

/// A top-level error.
#[derive(Clone)]
pub struct ApiError(GraphqlError);

impl ApiError {
    /// An error with a code of the contract.
    pub fn coded(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError(GraphqlError::new(message).extend_with(|_, extensions| extensions.set("code", code)))
    }

    /// Something in the arguments is wrong.
    pub fn bad_input(message: impl Into<String>) -> ApiError {
        ApiError::coded("BAD_USER_INPUT", message)
    }
}

impl From<ApiError> for GraphqlError {
    fn from(error: ApiError) -> GraphqlError {
        error.0
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> ApiError {
        let (code, message) = top_level(&error);
        let coded = ApiError::coded(code, message);
        let Error::Throttled { seconds } = error else { return coded };
        let wait = seconds.saturating_mul(1_000);
        ApiError(coded.0.extend_with(|_, extensions| extensions.set("retryAfterMilliseconds", wait)))
    }
}

/// Code and message of a top-level error. What is internal goes to the log.
pub fn top_level(error: &Error) -> (&'static str, String) {
    if let Error::Database(cause) = error
        && matches!(fault(cause), Fault::Lost | Fault::Unavailable | Fault::Contention)
    {
        tracing::error!(%error, "the database cannot be reached, or somebody holds on to a row");
        let message = "The database cannot do this now. Try again shortly: a mutation with the same \
                       idempotency key, which tells whether it has been carried out already.";
        return ("UNAVAILABLE", message.to_owned());
    }
    if error.is_internal() {
        // The request's id is in the span.
        tracing::error!(%error, "a field failed");
        return ("INTERNAL_SERVER_ERROR", "Something went wrong on our side.".to_owned());
    }
    let code = match error {
        Error::Unauthenticated(_) => "UNAUTHENTICATED",
        Error::Forbidden => "FORBIDDEN",
        Error::UnknownOutcome(_) => "UNKNOWN_OUTCOME",
        Error::Overloaded => "OVERLOADED",
        Error::Throttled { .. } => "THROTTLED",
        Error::Unavailable(_) | Error::UnderWay(_) | Error::Stale => "UNAVAILABLE",
        _ => "BAD_USER_INPUT",
    };
    (code, error.to_string())
}

/// Why a mutation was not carried out, or which part of its input is wrong.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// There is no such thing, or you may not know of it.
    NotFound,
    /// You may not do this.
    Forbidden,
    /// The value cannot be accepted; the message says why.
    Invalid,
    /// Something else has this name already.
    Taken,
    /// The state of the thing does not allow it.
    InvalidState,
    /// The organization would be left without an owner.
    LastOwner,
    /// It still has credits, holds, debt or a purchase under way.
    NotEmpty,
    /// There is no price in the organization's currency.
    PriceNotAvailable,
    /// The price is no longer valid.
    QuoteExpired,
    /// What is handed back as a quote was not told to this organization, was changed, or is not in its currency.
    QuoteInvalid,
    /// It does not cost what was expected.
    TotalChanged,
    /// More would be owed on invoice than may be.
    CreditLimit,
    /// So many credits are sold at a price that the vendor has to be asked for.
    QuoteRequired,
    /// A credit would cost more than it costs whoever buys fewer.
    PriceRises,
    /// There are not enough credits.
    InsufficientCredits,
    /// There is no such service.
    ServiceUnknown,
    /// The pool does not pay for this service.
    ServiceNotAllowed,
    /// The quantity is out of range.
    QuantityOutOfRange,
    /// The amount is out of range.
    AmountOutOfRange,
    /// Another charge or hold has this reference.
    ReferenceTaken,
    /// A spending cap does not leave enough.
    CapExceeded,
    /// The hold has come to its end.
    HoldClosed,
    /// More is to be captured than is held.
    CaptureExceedsHold,
    /// More is to be refunded than is left of the charge.
    RefundExceedsCharge,
    /// No guarantee covers the refund.
    GuaranteeDoesNotCover,
    /// Another item of the same atomic batch was refused.
    BatchAborted,
    /// The idempotency key was used with different input before.
    IdempotencyConflict,
    /// The pool is closed to writing.
    PoolFrozen,
    /// The pool has been archived.
    PoolArchived,
    /// The pool owes credits, which have to be settled first.
    PoolInDebt,
    /// The department has been archived.
    DepartmentArchived,
    /// The organization may only read.
    OrganizationSuspended,
    /// You cannot decide about this. The reason says why.
    NotApprovable,
}

/// Something that the caller can do something about. Its data says what.
#[derive(Interface, Clone, Debug)]
#[graphql(
    field(name = "code", ty = "&ErrorCode", desc = "What kind of error it is."),
    field(name = "message", ty = "&String", desc = "What is wrong, as a sentence for people."),
    field(name = "field", ty = "&Option<Vec<String>>", desc = "The part of the input that led to it.")
)]
pub enum UserError {
    /// A part of the input that cannot be accepted.
    Input(InputError),
    /// A thing that is not there.
    NotFound(NotFoundError),
    /// Something that the caller may not do.
    Forbidden(ForbiddenError),
    /// Something else stands in the way.
    Conflict(ConflictError),
    /// Not enough credits.
    Insufficient(InsufficientCreditsError),
    /// A reference that is taken.
    Reference(ReferenceTakenError),
    /// A key that was used before.
    Idempotency(IdempotencyConflictError),
    /// A spending cap that does not leave enough.
    Cap(CapExceededError),
    /// A hold that has come to its end.
    HoldClosed(HoldClosedError),
    /// More than is held.
    Capture(CaptureExceedsHoldError),
    /// More than is left of a charge.
    Refund(RefundExceedsChargeError),
    /// A guarantee that does not cover a refund.
    Guarantee(GuaranteeError),
    /// An item of a batch that was not carried out because of another.
    Aborted(BatchAbortedError),
    /// More than may be owed.
    CreditLimit(CreditLimitError),
    /// A purchase whose state does not allow it.
    Purchase(PurchaseStateError),
    /// Nothing that may be bought on invoice.
    Invoice(InvoiceRefusedError),
    /// A dearer credit than whoever buys fewer pays for.
    PriceRises(PriceRisesError),
    /// Another total than was expected.
    TotalChanged(TotalChangedError),
    /// A decision that cannot be taken.
    NotApprovable(NotApprovableError),
    /// Something that is wrong with an approval policy.
    Policy(ApprovalPolicyError),
}

impl UserError {
    fn field_mut(&mut self) -> &mut Option<Vec<String>> {
        match self {
            UserError::Input(error) => &mut error.field,
            UserError::NotFound(error) => &mut error.field,
            UserError::Forbidden(error) => &mut error.field,
            UserError::Conflict(error) => &mut error.field,
            UserError::Insufficient(error) => &mut error.field,
            UserError::Reference(error) => &mut error.field,
            UserError::Idempotency(error) => &mut error.field,
            UserError::Cap(error) => &mut error.field,
            UserError::HoldClosed(error) => &mut error.field,
            UserError::Capture(error) => &mut error.field,
            UserError::Refund(error) => &mut error.field,
            UserError::Guarantee(error) => &mut error.field,
            UserError::Aborted(error) => &mut error.field,
            UserError::CreditLimit(error) => &mut error.field,
            UserError::Purchase(error) => &mut error.field,
            UserError::Invoice(error) => &mut error.field,
            UserError::PriceRises(error) => &mut error.field,
            UserError::TotalChanged(error) => &mut error.field,
            UserError::NotApprovable(error) => &mut error.field,
            UserError::Policy(error) => &mut error.field,
        }
    }

    /// The same error, of a part of a larger input.
    pub fn within(mut self, way: &[String]) -> UserError {
        let field = self.field_mut();
        let inner = field.take().unwrap_or_default();
        *field = Some(way.iter().cloned().chain(inner).collect());
        self
    }

    /// The same error, with the part of the input that led to it said in another way.
    pub fn moved(mut self, say: impl FnOnce(Vec<String>) -> Vec<String>) -> UserError {
        let field = self.field_mut();
        *field = field.take().map(say);
        self
    }

    /// The same error, of an input whose fields have other names: for each, the name that stands for it.
    pub fn renamed(mut self, names: &[(&str, &str)]) -> UserError {
        for part in self.field_mut().iter_mut().flatten() {
            if let Some((_, name)) = names.iter().find(|(known, _)| *known == part.as_str()) {
                *part = (*name).to_owned();
            }
        }
        self
    }
}

/// A part of the input cannot be accepted.
#[derive(SimpleObject, Clone, Debug)]
pub struct InputError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
}

/// What the input names is not there, or the caller may not know of it.
#[derive(SimpleObject, Clone, Debug)]
pub struct NotFoundError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
}

/// The caller may not do this.
#[derive(SimpleObject, Clone, Debug)]
pub struct ForbiddenError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
}

/// Something else stands in the way.
#[derive(SimpleObject, Clone, Debug)]
pub struct ConflictError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
}

/// The organization would owe more on invoice than it may.
#[derive(SimpleObject, Clone, Debug)]
pub struct CreditLimitError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// How much more it may owe.
    pub available: MoneyObject,
}

/// What is to be bought does not cost what the buyer expects.
#[derive(SimpleObject, Clone, Debug)]
pub struct TotalChangedError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// What was expected.
    pub expected: MoneyObject,
    /// What it costs now.
    pub total: MoneyObject,
}

/// A credit would cost more than it costs whoever buys fewer: the price of a credit never rises with the quantity.
#[derive(SimpleObject, Clone, Debug)]
pub struct PriceRisesError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// The most that all of the credits may cost together.
    pub highest: MoneyObject,
}

/// The idempotency key was used with different input before.
#[derive(SimpleObject, Clone, Debug)]
pub struct IdempotencyConflictError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
}

/// What a mutation could not do, as a user error; internal errors go on as top-level errors.
pub fn user_error(error: Error) -> Result<UserError, ApiError> {
    let path = |field: &str| Some(field.split('.').map(str::to_owned).collect());
    let message = error.to_string();
    Ok(match error {
        Error::NotFound { field, .. } => {
            let field = field.as_deref().and_then(path);
            NotFoundError { code: ErrorCode::NotFound, message, field }.into()
        }
        Error::Invalid { field, reason } => {
            let message = format!("{}: {reason}.", words(&field));
            InputError { code: ErrorCode::Invalid, message, field: path(&field) }.into()
        }
        Error::Forbidden => ForbiddenError { code: ErrorCode::Forbidden, message, field: None }.into(),
        Error::Conflict { kind, field, .. } => {
            let code = match kind {
                Conflict::Taken => ErrorCode::Taken,
                Conflict::State => ErrorCode::InvalidState,
                Conflict::Purchase(refusal) => {
                    return Ok(PurchaseStateError::new(refusal, message, field.and_then(path)).into());
                }
                Conflict::Prepaid => {
                    let (reason, field) = (InvoiceRefusalReason::Prepaid, field.and_then(path));
                    return Ok(InvoiceRefusedError::new(reason, message, field).into());
                }
                Conflict::InvoiceOverdue => {
                    let (reason, field) = (InvoiceRefusalReason::Overdue, field.and_then(path));
                    return Ok(InvoiceRefusedError::new(reason, message, field).into());
                }
                Conflict::LastOwner => ErrorCode::LastOwner,
                Conflict::NotEmpty => ErrorCode::NotEmpty,
                Conflict::PriceNotAvailable => ErrorCode::PriceNotAvailable,
                Conflict::QuoteExpired => ErrorCode::QuoteExpired,
                Conflict::QuoteInvalid => ErrorCode::QuoteInvalid,
                Conflict::TotalChanged { expected, total } => {
                    let (code, field) = (ErrorCode::TotalChanged, field.and_then(path));
                    let (expected, total) = (expected.into(), total.into());
                    return Ok(TotalChangedError { code, message, field, expected, total }.into());
                }
                Conflict::CreditLimit { available } => {
                    let (code, field) = (ErrorCode::CreditLimit, field.and_then(path));
                    return Ok(CreditLimitError { code, message, field, available: available.into() }.into());
                }
                Conflict::QuoteRequired => ErrorCode::QuoteRequired,
                Conflict::PriceRises { highest } => {
                    let (code, field) = (ErrorCode::PriceRises, field.and_then(path));
                    return Ok(PriceRisesError { code, message, field, highest: highest.into() }.into());
                }
            };
            ConflictError { code, message, field: field.and_then(path) }.into()
        }
        Error::IdempotencyConflict => idempotency_conflict(message),
        Error::Refused(refusal) => refused(&refusal),
        error @ (Error::Unauthenticated(_)
        | Error::UnknownOutcome(_)
        | Error::Overloaded
        | Error::Throttled { .. }
        | Error::Unavailable(_)
        | Error::UnderWay(_)
        | Error::Stale
        | Error::Database(_)
        | Error::Internal(_)) => return Err(error.into()),
    })
}

/// A path into the input as a person says it: `items 3 quantity`. The amount of an amount of money is the amount.
fn words(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('.').collect();
    parts.dedup();
    parts.join(" ")
}

/// A key that was used with different input before.
pub fn idempotency_conflict(message: String) -> UserError {
    let field = Some(vec!["idempotencyKey".to_owned()]);
    IdempotencyConflictError { code: ErrorCode::IdempotencyConflict, message, field }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_says_the_name_of_a_field_twice() {
        for (path, said) in [
            ("amount", "amount"),
            ("amount.amount", "amount"),
            ("amount.currency", "amount currency"),
            ("answer.price.total.amount", "answer price total amount"),
            ("items.3.lines.3.quantity", "items 3 lines 3 quantity"),
        ] {
            assert_eq!(words(path), said);
            let error = user_error(Error::invalid(path, "must be above zero")).ok().unwrap();
            let UserError::Input(InputError { message, field, .. }) = error else { panic!("{path}") };
            assert_eq!(message, format!("{said}: must be above zero."));
            // The path itself stays whole, for programs.
            assert_eq!(field.unwrap().join("."), path);
        }
    }
}
