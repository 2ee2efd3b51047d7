//! What the ledger refuses, as user errors, each with what a caller can act on.

use async_graphql::{ComplexObject, Context, Enum, ID, SimpleObject};
use bursar_domain::ledger::{MAX_HOLD_SECONDS, ReferenceOwner, Refusal, Scope, Uncovered};
use bursar_domain::pricing::{MAX_LINES, MAX_QUANTITY};

use super::charge::Charge;
use super::errors::{
    ApiError, ConflictError, ErrorCode, InputError, NotFoundError, UserError, idempotency_conflict,
    user_error,
};
use super::hold::{Hold, HoldState};
use super::node::found;
use super::scalars::CreditsScalar;
use super::signed_in;
use super::spending_cap::SpendingCap;
use crate::error::Error;
use crate::global_id;

/// Whose credits did not suffice.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreditScope {
    /// Credits of the pool that no department has.
    Unallocated,
    /// The department's allocation.
    Department,
}

/// Why a refund is not covered by a guarantee.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "Uncovered")]
pub enum GuaranteeReason {
    /// There is no guarantee for the service.
    NotOffered,
    /// The charge is older than the guarantee lasts.
    TooLate,
    /// The month's number of refunds has been reached.
    QuotaReached,
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

/// A spending cap does not leave enough.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(complex)]
pub struct CapExceededError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// Which cap.
    pub cap_id: ID,
    /// How many credits it leaves for the rest of its period.
    pub headroom: CreditsScalar,
}

#[ComplexObject]
impl CapExceededError {
    /// The cap. Null for those who may not see it.
    async fn cap(&self, ctx: &Context<'_>) -> Option<Result<SpendingCap, ApiError>> {
        let find = Box::pin(async { found(SpendingCap::find(signed_in(ctx)?, &self.cap_id).await) });
        find.await.transpose()
    }
}

/// Another charge or hold of the organization has this reference.
#[derive(SimpleObject, Clone, Debug)]
pub struct ReferenceTakenError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// The charge that has it. Null when a hold has it, and for those who may not see it.
    pub charge_id: Option<ID>,
    /// The hold that has it. Null when a charge has it, and for those who may not see it.
    pub hold_id: Option<ID>,
}

/// The hold has come to its end.
#[derive(SimpleObject, Clone, Debug)]
pub struct HoldClosedError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// What has become of it.
    pub state: HoldState,
}

/// More is to be captured than is held.
#[derive(SimpleObject, Clone, Debug)]
pub struct CaptureExceedsHoldError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// The service's code.
    pub service: Option<String>,
    /// Which line of the capture, from 0.
    pub line: i32,
    /// How many units of the service are still held for it.
    pub held: i32,
}

/// More is to be refunded than is left of the charge.
#[derive(SimpleObject, Clone, Debug)]
pub struct RefundExceedsChargeError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// How many credits are left of it.
    pub refundable: CreditsScalar,
}

/// No guarantee covers the refund; the operator decides.
#[derive(SimpleObject, Clone, Debug)]
pub struct GuaranteeError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// Why not.
    pub reason: GuaranteeReason,
}

/// Another item of the same atomic batch was refused, so nothing was carried out.
#[derive(SimpleObject, Clone, Debug)]
pub struct BatchAbortedError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// Which item, from 0.
    pub item: i32,
}

fn field(name: &str) -> Option<Vec<String>> {
    Some(vec![name.to_owned()])
}

fn of_line(line: usize, name: &str) -> Option<Vec<String>> {
    Some(vec!["lines".to_owned(), line.to_string(), name.to_owned()])
}

fn input(code: ErrorCode, message: &str, field: Option<Vec<String>>) -> UserError {
    InputError { code, message: message.to_owned(), field }.into()
}

fn missing(message: &str, name: &str) -> UserError {
    NotFoundError { code: ErrorCode::NotFound, message: message.to_owned(), field: field(name) }.into()
}

fn conflict(code: ErrorCode, message: &str, field: Option<Vec<String>>) -> UserError {
    ConflictError { code, message: message.to_owned(), field }.into()
}

/// A refusal of the ledger as a user error.
pub fn refused(refusal: &Refusal) -> UserError {
    match refusal {
        Refusal::PoolNotFound => missing("pool was not found.", "poolId"),
        Refusal::DepartmentNotFound => missing("department was not found.", "departmentId"),
        Refusal::HoldNotFound => missing("hold was not found.", "holdId"),
        Refusal::ChargeNotFound => missing("charge was not found.", "chargeId"),
        Refusal::LotNotFound => missing("lot was not found.", "lotId"),
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
        Refusal::ServiceUnknown { line } => {
            input(ErrorCode::ServiceUnknown, "There is no such service.", of_line(*line, "service"))
        }
        Refusal::ServiceNotAllowed { line } => {
            let message = "The pool does not pay for this service.";
            input(ErrorCode::ServiceNotAllowed, message, of_line(*line, "service"))
        }
        Refusal::QuantityOutOfRange { line } => {
            let message = format!("A quantity must be from 1 to {MAX_QUANTITY}.");
            input(ErrorCode::QuantityOutOfRange, &message, of_line(*line, "quantity"))
        }
        Refusal::AmountNotPositive => {
            input(ErrorCode::AmountOutOfRange, "The amount must be at least 1.", field("credits"))
        }
        Refusal::AmountTooLarge => {
            input(ErrorCode::AmountOutOfRange, "The amount is too large.", field("credits"))
        }
        Refusal::LifetimeOutOfRange => {
            let message = format!("A hold lives from 1 to {MAX_HOLD_SECONDS} seconds.");
            input(ErrorCode::Invalid, &message, field("ttlSeconds"))
        }
        Refusal::ExpiryNotLater => {
            input(ErrorCode::Invalid, "The new expiry must be later than the old one.", field("expiresAt"))
        }
        Refusal::ExpiryPast => input(ErrorCode::Invalid, "The expiry lies in the past.", field("expiresAt")),
        Refusal::SamePlace => input(ErrorCode::Invalid, "Credits cannot be moved to where they are.", None),
        Refusal::NothingToRefill => {
            conflict(ErrorCode::InvalidState, "The allocation is not refilled now.", field("departmentId"))
        }
        // The fields that say where credits go.
        Refusal::Target(inner) => {
            refused(inner).renamed(&[("poolId", "toPoolId"), ("departmentId", "toDepartmentId")])
        }
        Refusal::IdempotencyConflict { .. } => idempotency_conflict(Error::IdempotencyConflict.to_string()),
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
        Refusal::CapExceeded { cap, headroom } => CapExceededError {
            code: ErrorCode::CapExceeded,
            message: format!("A spending cap leaves {headroom} credits for the rest of its period."),
            field: field("lines"),
            cap_id: ID(global_id::encode(*cap)),
            headroom: CreditsScalar(*headroom),
        }
        .into(),
        Refusal::ReferenceTaken { .. } => ReferenceTakenError {
            code: ErrorCode::ReferenceTaken,
            message: "Another charge or hold has this reference.".to_owned(),
            field: field("reference"),
            // Who may see it is told by the mutation, which knows who asks.
            charge_id: None,
            hold_id: None,
        }
        .into(),
        Refusal::HoldClosed { state } => HoldClosedError {
            code: ErrorCode::HoldClosed,
            message: format!("The hold has come to its end: it is {state}."),
            field: field("holdId"),
            state: (*state).into(),
        }
        .into(),
        Refusal::CaptureExceedsHold { line, held } => CaptureExceedsHoldError {
            code: ErrorCode::CaptureExceedsHold,
            message: format!("Only {held} units of this service are still held."),
            field: of_line(*line, "quantity"),
            // The mutation knows the lines.
            service: None,
            line: number(*line),
            held: i32::try_from(*held).unwrap_or(i32::MAX),
        }
        .into(),
        Refusal::RefundExceedsCharge { refundable } => RefundExceedsChargeError {
            code: ErrorCode::RefundExceedsCharge,
            message: format!("{refundable} credits of the charge can still be refunded."),
            field: field("credits"),
            refundable: CreditsScalar(*refundable),
        }
        .into(),
        Refusal::GuaranteeDoesNotCover(why) => {
            let message = match why {
                Uncovered::NotOffered => "There is no guarantee for this service.",
                Uncovered::TooLate => "The charge is older than the guarantee lasts.",
                Uncovered::QuotaReached => "The guarantee covers no more refunds this month.",
            };
            GuaranteeError {
                code: ErrorCode::GuaranteeDoesNotCover,
                message: message.to_owned(),
                field: field("guaranteed"),
                reason: (*why).into(),
            }
            .into()
        }
        Refusal::BatchAborted { index } => BatchAbortedError {
            code: ErrorCode::BatchAborted,
            message: format!("Item {index} of the batch was refused, so nothing was carried out."),
            field: None,
            item: number(*index),
        }
        .into(),
    }
}

fn number(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

/// What a charge or a hold could not do; when its reference is taken, with what has it, for those who may see
/// that.
pub async fn with_owner(ctx: &Context<'_>, error: Error) -> Result<UserError, ApiError> {
    let owner = match &error {
        Error::Refused(Refusal::ReferenceTaken { owner }) => Some(*owner),
        _ => None,
    };
    let mut error = user_error(error)?;
    if let (Some(owner), UserError::Reference(taken), Ok(request)) = (owner, &mut error, signed_in(ctx)) {
        match owner {
            ReferenceOwner::Charge(id) => {
                let id = global_id::encode(id);
                taken.charge_id = Charge::find(request, &id).await.is_ok().then_some(ID(id));
            }
            ReferenceOwner::Hold(id) => {
                let id = global_id::encode(id);
                taken.hold_id = Hold::find(request, &id).await.is_ok().then_some(ID(id));
            }
        }
    }
    Ok(error)
}
