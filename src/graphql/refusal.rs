//! Requests that are not executed, and how an answer is written.

use std::ops::Deref;
use std::time::Duration;

use async_graphql::{ErrorExtensionValues, Response, ServerError, Value};
use serde::Serialize;

use super::errors;
use super::throttle::Status;
use crate::error::Error;

/// Why a request is not executed.
#[derive(Clone, Debug)]
pub struct Refusal(Box<Reason>);

/// The parts of a refusal.
#[derive(Clone, Debug)]
pub struct Reason {
    /// The code of the contract.
    pub code: &'static str,
    /// What to tell the client.
    pub message: String,
    /// How long to wait before it is tried again.
    pub wait: Option<Duration>,
    /// What it might have cost, and the bucket that has too little.
    pub bill: Option<Bill>,
    /// The part of the input that led to it.
    field: Option<Vec<String>>,
    /// The id of the request, for faults of ours.
    origin: Option<String>,
    /// Where in the document.
    at: Vec<async_graphql::Pos>,
}

impl Deref for Refusal {
    type Target = Reason;

    fn deref(&self) -> &Reason {
        &self.0
    }
}

impl Refusal {
    /// A refusal with a code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        let (message, wait, bill, field, origin, at) = (message.into(), None, None, None, None, Vec::new());
        Refusal(Box::new(Reason { code, message, wait, bill, field, origin, at }))
    }

    /// An error of ours or of whoever calls, which the request with an id has run into.
    pub fn failed(error: &Error, origin: Option<&str>) -> Refusal {
        let (code, message) = errors::top_level(error);
        let mut refusal = Refusal::new(code, message);
        refusal.0.origin = origin.map(str::to_owned);
        refusal
    }

    /// A document that is not GraphQL.
    pub fn unparsed(error: async_graphql::parser::Error) -> Refusal {
        let mut refusal = Refusal::new("GRAPHQL_PARSE_FAILED", error.to_string());
        refusal.0.at = error.positions().collect();
        refusal
    }

    /// A value in the input that cannot be accepted.
    pub fn input(field: Vec<String>, reason: &str) -> Refusal {
        let mut refusal = Refusal::new("BAD_USER_INPUT", format!("{} {reason}.", field.join(".")));
        refusal.0.field = Some(field);
        refusal
    }

    /// Too much within too short a time.
    pub fn throttled(wait: Duration, status: Status, requested: u64) -> Refusal {
        let message = format!(
            "This costs {requested} points and {} are left. They come back at {} a second: try again in {} ms.",
            status.available,
            status.restore,
            milliseconds(wait),
        );
        let mut refusal = Refusal::new("THROTTLED", message);
        refusal.0.wait = Some(wait);
        refusal.0.bill = Some(Bill { requested, actual: 0, status });
        refusal
    }

    /// Too many of something at a time.
    pub fn too_many(message: impl Into<String>) -> Refusal {
        let mut refusal = Refusal::new("THROTTLED", message);
        refusal.0.wait = Some(Duration::from_secs(1));
        refusal
    }

    /// The same with another code.
    pub fn with_code(mut self, code: &'static str) -> Refusal {
        self.0.code = code;
        self
    }

    /// As an error of GraphQL.
    pub fn into_error(self) -> ServerError {
        let reason = *self.0;
        let mut error = ServerError::new(reason.message, None);
        error.locations = reason.at;
        let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
        extensions.set("code", reason.code);
        if let Some(field) = reason.field {
            extensions.set("field", field);
        }
        if let Some(wait) = reason.wait {
            extensions.set("retryAfterMilliseconds", milliseconds(wait));
        }
        if let Some(origin) = reason.origin.filter(|_| reason.code == "INTERNAL_SERVER_ERROR") {
            extensions.set("requestId", origin);
        }
        error
    }

    /// As the errors of a message.
    pub fn into_json(self) -> String {
        // Values of GraphQL are values of JSON.
        serde_json::to_string(&[self.into_error()]).unwrap_or_default()
    }
}

/// Rounded up, so that whoever waits so long has waited long enough.
fn milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// What an operation has cost.
#[derive(Clone, Copy, Debug)]
pub struct Bill {
    /// What it might have cost.
    pub requested: u64,
    /// What it has cost.
    pub actual: u64,
    /// What is left.
    pub status: Status,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    /// When nothing was executed there is no data, not even null.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<Extensions>,
}

#[derive(Serialize)]
struct Extensions {
    cost: Cost,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cost {
    requested_query_cost: u64,
    actual_query_cost: u64,
    throttle_status: ThrottleStatus,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThrottleStatus {
    maximum_available: u32,
    currently_available: u32,
    restore_rate: u32,
}

/// Writes what was executed: its keys are in the order of the document.
pub fn write(response: &Response, bill: Option<Bill>) -> String {
    let body =
        Body { errors: &response.errors, data: Some(&response.data), extensions: bill.map(extensions) };
    written(&body)
}

/// Writes why nothing was executed.
pub fn write_refused(errors: &[ServerError], bill: Option<Bill>) -> String {
    written(&Body { errors, data: None, extensions: bill.map(extensions) })
}

fn extensions(bill: Bill) -> Extensions {
    let Bill { requested, actual, status } = bill;
    let throttle_status = ThrottleStatus {
        maximum_available: status.maximum,
        currently_available: status.available,
        restore_rate: status.restore,
    };
    let cost = Cost { requested_query_cost: requested, actual_query_cost: actual, throttle_status };
    Extensions { cost }
}

fn written(body: &Body<'_>) -> String {
    // Values of GraphQL are values of JSON: keys are names, numbers are finite.
    serde_json::to_string(body).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer could not be written");
        let text = "Something went wrong on our side.";
        let extensions = serde_json::json!({ "code": "INTERNAL_SERVER_ERROR" });
        serde_json::json!({ "errors": [{ "message": text, "extensions": extensions }] }).to_string()
    })
}
