//! Errors as clients see them: top-level errors with a code, and the user errors of mutations.
//!
//! [`ApiError`] has no `Display`: nothing becomes a top-level error by its text, only through the
//! conversion here, which keeps what is internal to the log.

use async_graphql::{Enum, Error as GraphqlError, ErrorExtensions, ID, Interface, SimpleObject};
use bursar_domain::ledger::{Refusal, Scope};
use bursar_domain::pricing::{MAX_LINES, MAX_QUANTITY};

use super::scalars::CreditsScalar;
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
        ApiError::coded(code, message)
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
        Error::Unavailable(_) | Error::Stale => "UNAVAILABLE",
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
    /// Another charge has this reference.
    ReferenceTaken,
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
}

/// Whose credits did not suffice.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreditScope {
    /// Credits of the pool that no department has.
    Unallocated,
    /// The department's allocation.
    Department,
}

/// Something that the caller can do something about. Its data says what.
#[derive(Interface)]
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

/// There are not enough credits.
#[derive(SimpleObject, Clone, Debug)]
pub struct InsufficientCreditsError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// Whose credits did not suffice.
    pub scope: CreditScope,
    /// How many are available there.
    pub available: CreditsScalar,
    /// How many more are needed.
    pub short_by: CreditsScalar,
}

/// Another charge of the organization has this reference.
#[derive(SimpleObject, Clone, Debug)]
pub struct ReferenceTakenError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// That charge. Null for those who may not see it.
    pub charge_id: Option<ID>,
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
            let message = format!("{}: {reason}.", field.replace('.', " "));
            InputError { code: ErrorCode::Invalid, message, field: path(&field) }.into()
        }
        Error::Forbidden => ForbiddenError { code: ErrorCode::Forbidden, message, field: None }.into(),
        Error::Conflict { kind, field, .. } => {
            let code = match kind {
                Conflict::Taken => ErrorCode::Taken,
                Conflict::State => ErrorCode::InvalidState,
                Conflict::LastOwner => ErrorCode::LastOwner,
                Conflict::NotEmpty => ErrorCode::NotEmpty,
                Conflict::PriceNotAvailable => ErrorCode::PriceNotAvailable,
                Conflict::QuoteExpired => ErrorCode::QuoteExpired,
            };
            ConflictError { code, message, field: field.and_then(path) }.into()
        }
        Error::IdempotencyConflict => idempotency_conflict(message),
        Error::Refused(refusal) => refused(&refusal),
        error @ (Error::Unauthenticated(_)
        | Error::UnknownOutcome(_)
        | Error::Overloaded
        | Error::Unavailable(_)
        | Error::Stale
        | Error::Database(_)
        | Error::Internal(_)) => return Err(error.into()),
    })
}

fn idempotency_conflict(message: String) -> UserError {
    let field = Some(vec!["idempotencyKey".to_owned()]);
    IdempotencyConflictError { code: ErrorCode::IdempotencyConflict, message, field }.into()
}

/// A refusal of the ledger as a user error.
pub fn refused(refusal: &Refusal) -> UserError {
    let line = |line: &usize, field: &str| Some(vec!["lines".to_owned(), line.to_string(), field.to_owned()]);
    let field = |field: &str| Some(vec![field.to_owned()]);
    let input = |code, message: &str, field| InputError { code, message: message.to_owned(), field }.into();
    let missing = |message: &str, name: &str| {
        NotFoundError { code: ErrorCode::NotFound, message: message.to_owned(), field: field(name) }.into()
    };
    let conflict =
        |code, message: &str, field| ConflictError { code, message: message.to_owned(), field }.into();
    match refusal {
        Refusal::PoolNotFound => missing("pool was not found.", "poolId"),
        Refusal::DepartmentNotFound => missing("department was not found.", "departmentId"),
        Refusal::PoolArchived => {
            conflict(ErrorCode::PoolArchived, "The pool has been archived.", field("poolId"))
        }
        Refusal::PoolFrozen => {
            conflict(ErrorCode::PoolFrozen, "The pool is closed to writing.", field("poolId"))
        }
        Refusal::PoolInDebt { debt } => {
            let message = format!("The pool owes {debt} credits, which have to be settled first.");
            conflict(ErrorCode::PoolInDebt, &message, field("poolId"))
        }
        Refusal::OrganizationSuspended => {
            conflict(ErrorCode::OrganizationSuspended, "The organization is suspended.", None)
        }
        Refusal::DepartmentArchived => conflict(
            ErrorCode::DepartmentArchived,
            "The department has been archived.",
            field("departmentId"),
        ),
        Refusal::NoLines => input(ErrorCode::Invalid, "A charge needs at least one line.", field("lines")),
        Refusal::TooManyLines => {
            let message = format!("A charge has at most {MAX_LINES} lines.");
            input(ErrorCode::Invalid, &message, field("lines"))
        }
        Refusal::ServiceUnknown { line: index } => {
            input(ErrorCode::ServiceUnknown, "There is no such service.", line(index, "service"))
        }
        Refusal::ServiceNotAllowed { line: index } => {
            let message = "The pool does not pay for this service.";
            input(ErrorCode::ServiceNotAllowed, message, line(index, "service"))
        }
        Refusal::QuantityOutOfRange { line: index } => {
            let message = format!("A quantity must be from 1 to {MAX_QUANTITY}.");
            input(ErrorCode::QuantityOutOfRange, &message, line(index, "quantity"))
        }
        Refusal::AmountNotPositive => {
            input(ErrorCode::AmountOutOfRange, "The amount must be at least 1.", field("credits"))
        }
        Refusal::AmountTooLarge => {
            input(ErrorCode::AmountOutOfRange, "The amount is too large.", field("credits"))
        }
        Refusal::InsufficientCredits { scope, available, short_by } => {
            let (scope, whose, named) = match scope {
                Scope::Unallocated => (CreditScope::Unallocated, "The pool's unallocated credits", "poolId"),
                Scope::Department => (CreditScope::Department, "The department's credits", "departmentId"),
            };
            InsufficientCreditsError {
                code: ErrorCode::InsufficientCredits,
                message: format!(
                    "{whose} do not suffice: {available} are available, {short_by} more are needed."
                ),
                field: field(named),
                scope,
                available: CreditsScalar(*available),
                short_by: CreditsScalar(*short_by),
            }
            .into()
        }
        Refusal::ReferenceTaken { .. } => ReferenceTakenError {
            code: ErrorCode::ReferenceTaken,
            message: "Another charge has this reference.".to_owned(),
            field: field("reference"),
            // Who may see it is told by the mutation, which knows who asks.
            charge_id: None,
        }
        .into(),
        Refusal::IdempotencyConflict { .. } => idempotency_conflict(Error::IdempotencyConflict.to_string()),
        other => conflict(ErrorCode::InvalidState, &format!("{other:?}"), None),
    }
}
