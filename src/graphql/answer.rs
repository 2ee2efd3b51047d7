//! Answers: how far an operation came, and what is said about that.

use std::time::Duration;

use async_graphql::{Response, ServerError, Value};

use super::parameters::BadParameters;
use super::refusal::{self, Bill, Refusal};

/// The answer to an operation.
#[derive(Debug)]
pub struct Answered {
    /// How far the operation came.
    pub outcome: Outcome,
    pub(super) answer: Answer,
}

#[derive(Debug)]
pub(super) enum Answer {
    /// What was executed, as JSON.
    Written(String),
    /// Why nothing was executed.
    Errors(Vec<ServerError>, Option<Bill>),
}

impl Answered {
    /// The answer, as JSON.
    pub fn body(self) -> String {
        match self.answer {
            Answer::Written(body) => body,
            Answer::Errors(errors, bill) => refusal::write_refused(&errors, bill),
        }
    }

    /// The errors, as a JSON list.
    pub fn errors(self) -> String {
        match self.answer {
            Answer::Written(_) => "[]".to_owned(),
            // Values of GraphQL are values of JSON.
            Answer::Errors(errors, _) => serde_json::to_string(&errors).unwrap_or_default(),
        }
    }
}

/// How far an operation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was executed; fields may have failed.
    Executed,
    /// It could not be executed as it stands.
    Refused,
    /// The request itself is not one of GraphQL over HTTP.
    Malformed,
    /// It cannot be executed by the way that it came.
    NotThisWay,
    /// The caller's proof of who it is was not good.
    Unauthenticated,
    /// Too much within too short a time: wait so long.
    Throttled(Duration),
    /// It could not be executed by a fault of ours.
    Failed,
}

/// The code of what is not a query and came by GET.
pub const NOT_BY_GET: &str = "METHOD_NOT_ALLOWED";
/// The code of a request that is not one.
pub const MALFORMED: &str = "BAD_REQUEST";

/// Parameters that are none.
pub fn malformed(error: BadParameters) -> Refusal {
    Refusal::new(MALFORMED, error.0)
}

/// The answer to what is not executed.
pub fn refused(refusal: Refusal) -> Answered {
    let outcome = match refusal.code {
        "UNAUTHENTICATED" => Outcome::Unauthenticated,
        "INTERNAL_SERVER_ERROR" | "UNAVAILABLE" => Outcome::Failed,
        "THROTTLED" => Outcome::Throttled(refusal.wait.unwrap_or_default()),
        NOT_BY_GET => Outcome::NotThisWay,
        MALFORMED => Outcome::Malformed,
        _ => Outcome::Refused,
    };
    let bill = refusal.bill;
    let refusal = match outcome {
        // The contract has one code for what is wrong with a request; the status says more.
        Outcome::Malformed | Outcome::NotThisWay => refusal.with_code("BAD_USER_INPUT"),
        _ => refusal,
    };
    Answered { outcome, answer: Answer::Errors(vec![refusal.into_error()], bill) }
}

/// Whether execution has begun: errors without a path, and no data, are from before the first field.
pub fn was_executed(response: &Response) -> bool {
    response.data != Value::Null
        || response.errors.is_empty()
        || response.errors.iter().any(|error| !error.path.is_empty())
}

/// Gives a code to errors that have none: those of validation, which come before any field, and those
/// of arguments whose values are found wrong at their field. Faults of ours get the id of the request.
pub fn add_codes(response: &mut Response, origin: Option<&str>) {
    let before_execution = response.data == Value::Null;
    for error in &mut response.errors {
        let of_input = error.message.starts_with("Invalid value for argument");
        let validation = before_execution && error.path.is_empty() && !of_input;
        let extensions = error.extensions.get_or_insert_with(Default::default);
        if extensions.get("code").is_none() {
            extensions.set("code", if validation { "GRAPHQL_VALIDATION_FAILED" } else { "BAD_USER_INPUT" });
        }
        if extensions.get("code") == Some(&"INTERNAL_SERVER_ERROR".into())
            && let Some(origin) = origin
        {
            extensions.set("requestId", origin);
        }
    }
}
