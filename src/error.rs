//! What can go wrong, in the words of whoever asked, with what only we should know kept apart.
//!
//! Every function of the rooms answers [`Error`]. Its public side names a field and a reason; its
//! private side (the database's message, say) goes to the log under the request's id and nowhere
//! else.

use std::borrow::Cow;

use bursar_domain::Money;
use bursar_domain::ledger::Refusal;
use bursar_domain::purchase::PurchaseRefusal;
use sea_orm::DbErr;

/// The answer of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody has proven who they are, or the proof is no longer good.
    #[error("{0}")]
    Unauthenticated(&'static str),

    /// The caller sees the thing but may not do this to it.
    #[error("You may not do this.")]
    Forbidden,

    /// There is no such thing, or the caller may not know of it: the two are never told apart.
    #[error("{what} was not found.")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// The field of the input that named it.
        field: Option<Cow<'static, str>>,
    },

    /// A field of the input cannot be accepted.
    #[error("{reason}")]
    Invalid {
        /// Which field, as a path into the input.
        field: Cow<'static, str>,
        /// Why, as a sentence.
        reason: Cow<'static, str>,
    },

    /// Something else stands in the way.
    #[error("{reason}")]
    Conflict {
        /// Which kind of conflict.
        kind: Conflict,
        /// Which field of the input led to it.
        field: Option<&'static str>,
        /// Why, as a sentence.
        reason: Cow<'static, str>,
    },

    /// The ledger refused.
    #[error("the ledger refused: {0:?}")]
    Refused(Refusal),

    /// The idempotency key came with another request before.
    #[error("This idempotency key was used with different input before.")]
    IdempotencyConflict,

    /// The commit was cut off: it may or may not have happened. The same key will find out.
    #[error("The outcome is unknown. Repeat the request with the same idempotency key to learn it.")]
    UnknownOutcome(#[source] DbErr),

    /// Too many commands of the organization wait already. Nothing was done.
    #[error("Too much is under way for this organization. Nothing was done; try again shortly.")]
    Overloaded,

    /// It was tried too often. Nothing was done; in so many seconds it can be tried again.
    #[error("This was tried too often. Nothing was done; try again in {seconds} s.")]
    Throttled {
        /// How long to wait, in seconds.
        seconds: u64,
    },

    /// It cannot be done now. Nothing was done.
    #[error("{0} Nothing was done; try again shortly.")]
    Unavailable(&'static str),

    /// It is written down and not at its end yet: the same key goes on with it.
    #[error("{0} What was asked for is under way; repeat the request with the same idempotency key.")]
    UnderWay(&'static str),

    /// The caller's permission was read before people or grants of the organization changed; it has to be
    /// read again. Nothing was done.
    #[error("People or grants of the organization are being changed. Nothing was done; try again.")]
    Stale,

    /// The database failed.
    #[error("database: {0}")]
    Database(#[source] DbErr),

    /// Something is wrong on our side.
    #[error("internal: {0}")]
    Internal(Cow<'static, str>),
}

/// Kinds of conflicts that a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// A name, code, slug or membership is taken.
    Taken,
    /// The thing's state does not allow it.
    State,
    /// Where a purchase stands does not allow it.
    Purchase(PurchaseRefusal),
    /// Nothing can be bought on invoice: the organization pays first.
    Prepaid,
    /// Nothing more can be bought on invoice: one is overdue.
    InvoiceOverdue,
    /// The organization would be left without an owner.
    LastOwner,
    /// It still has credits, holds or debt.
    NotEmpty,
    /// There is no price in the organization's currency.
    PriceNotAvailable,
    /// The price is no longer valid.
    QuoteExpired,
    /// What is handed back as a quote is none of the organization's.
    QuoteInvalid,
    /// It does not cost what the buyer expects.
    TotalChanged {
        /// What the buyer expects.
        expected: Money,
        /// What it costs.
        total: Money,
    },
    /// More would be owed than may be.
    CreditLimit {
        /// How much more may be owed.
        available: Money,
    },
    /// So many credits are sold at a price that the vendor has to be asked for.
    QuoteRequired,
    /// A credit would cost more than it costs whoever buys fewer.
    PriceRises {
        /// The most that all of the credits may cost together.
        highest: Money,
    },
}

impl Error {
    /// Something that is not there, named by no field.
    pub const fn not_found(what: &'static str) -> Error {
        Error::NotFound { what, field: None }
    }

    /// A field that cannot be accepted.
    pub fn invalid(field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Error {
        Error::Invalid { field: field.into(), reason: reason.into() }
    }

    /// A conflict.
    pub fn conflict(
        kind: Conflict,
        field: impl Into<Option<&'static str>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Error {
        Error::Conflict { kind, field: field.into(), reason: reason.into() }
    }

    /// A fault of ours, with what the log should say.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Error {
        Error::Internal(message.into())
    }

    /// The same error, with the field that named what was not found.
    pub fn at(self, name: impl Into<Cow<'static, str>>) -> Error {
        match self {
            Error::NotFound { what, field: None } => Error::NotFound { what, field: Some(name.into()) },
            other => other,
        }
    }

    /// Whether the fault is ours and its text must not leave the server.
    pub fn is_internal(&self) -> bool {
        matches!(self, Error::Database(_) | Error::Internal(_))
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Error {
        Error::Database(error)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Refused(refusal)
    }
}
