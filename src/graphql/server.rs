//! The executor: what every operation passes through, whatever it came by.
//!
//! Limits first, then the parser, then who calls, then execution; afterwards every error gets a code.

use std::any::TypeId;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
};
use async_graphql::{Data, Executor, Request as Operation, Response, ServerError, Value};
use futures_util::stream::{self, BoxStream, StreamExt};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::documents::Documents;
use super::variables::{InputTypes, Malformed};
use super::{ApiSchema, Request, Services, charge_root, limits};
use crate::auth::Caller;
use crate::db::Snapshots;
use crate::error::Error;

/// An operation as a client posts it. Members that are not known are not an error.
#[derive(Debug, Deserialize)]
pub struct Posted {
    query: String,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The answer to a posted operation.
#[derive(Debug)]
pub struct Answered {
    /// The body, as JSON.
    pub body: String,
    /// How far the operation came.
    pub outcome: Outcome,
}

/// How far an operation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was executed; fields may have failed.
    Executed,
    /// It could not be executed as it stands.
    Refused,
    /// The caller's proof of who it is was not good.
    Unauthenticated,
    /// It could not be executed by a fault of ours.
    Failed,
}

/// How long an operation may take before it is given up.
const DEADLINE: Duration = Duration::from_secs(30);

/// The most streams of one socket.
const STREAMS: usize = 64;

/// What is known of whoever sent an operation.
#[derive(Clone, Debug)]
pub struct Session {
    /// The bearer token.
    bearer: Option<String>,
    /// The id of the request.
    origin: Option<String>,
    /// The streams that may still be opened.
    streams: Arc<Semaphore>,
}

impl Session {
    /// Somebody with a token, or nobody; and the request that they came with.
    pub fn new(bearer: Option<String>, origin: Option<String>) -> Session {
        Session { bearer, origin, streams: Arc::new(Semaphore::new(STREAMS)) }
    }
}

/// An operation that is ready to be executed.
struct Prepared {
    operation: Operation,
    snapshots: Snapshots,
    streams: bool,
    /// The document, when it has not been found valid before.
    unseen: Option<(String, ExecutableDocument)>,
}

/// The schema with everything it works with.
#[derive(Clone)]
pub struct Server {
    schema: ApiSchema,
    /// For documents that have been found valid before.
    schema_for_validated: ApiSchema,
    documents: Documents,
    types: Arc<InputTypes>,
    services: Arc<Services>,
}

impl Server {
    /// A server of the API.
    pub fn new(services: Arc<Services>) -> Result<Server, Error> {
        let types = InputTypes::read(&super::sdl())
            .map_err(|error| Error::internal(format!("the schema cannot be read: {error}")))?;
        let (schema, schema_for_validated) = (super::schema(), super::schema_for_validated());
        let (documents, types) = (Documents::default(), Arc::new(types));
        Ok(Server { schema, schema_for_validated, documents, types, services })
    }

    /// What the resolvers work with.
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// Finds out who calls, as things stand now.
    pub async fn authenticate(&self, session: &Session) -> Result<Option<Caller>, Error> {
        let Some(bearer) = &session.bearer else { return Ok(None) };
        let Services { context, keys, callers, .. } = self.services.as_ref();
        callers.read(context, keys, bearer, session.origin.clone()).await.map(Some)
    }

    /// Finds out who calls, from memory when that is known.
    fn recall(&self, session: &Session) -> Result<Option<Caller>, Error> {
        let Some(bearer) = &session.bearer else { return Ok(None) };
        let Services { context, keys, callers, .. } = self.services.as_ref();
        callers.recall(context, keys, bearer, session.origin.clone())
    }

    /// Executes a posted operation.
    pub async fn answer(&self, posted: Posted, session: Session) -> Answered {
        let variables = serde_json::Value::Object(posted.variables.unwrap_or_default());
        let mut operation = Operation::new(posted.query)
            .variables(async_graphql::Variables::from_json(variables))
            .data(session);
        if let Some(name) = posted.operation_name {
            operation = operation.operation_name(name);
        }
        let response = self.execute(operation).await;
        let outcome = outcome(&response);
        // When nothing was executed there is no data, not even null. What was executed is written as it
        // is: its keys are in the order of the document.
        let body = match outcome {
            Outcome::Executed => serde_json::to_string(&response),
            Outcome::Refused | Outcome::Unauthenticated | Outcome::Failed => {
                serde_json::to_string(&serde_json::json!({ "errors": response.errors }))
            }
        };
        let body = body.unwrap_or_else(|error| {
            tracing::error!(%error, "an answer could not be written");
            let text = "Something went wrong on our side.";
            let extensions = serde_json::json!({ "code": "INTERNAL_SERVER_ERROR" });
            serde_json::json!({ "errors": [{ "message": text, "extensions": extensions }] }).to_string()
        });
        Answered { body, outcome }
    }

    /// Makes an operation ready to be executed, or says why it is not.
    async fn prepare(&self, mut operation: Operation, session: &Session) -> Result<Prepared, Box<Response>> {
        let seen = self.documents.find(&operation.query);
        match &seen {
            Some(document) => operation.set_parsed_query(ExecutableDocument::clone(document)),
            None => limits::scan(&operation.query)
                .map_err(|excess| refused("GRAPHQL_PARSE_FAILED", excess.message()))?,
        }
        let variables = operation.variables.clone();
        let name = operation.operation_name.clone();
        let document = operation.parsed_query().map_err(|error| coded(error, "GRAPHQL_PARSE_FAILED"))?;
        limits::weigh(document, &variables)
            .map_err(|excess| refused("GRAPHQL_VALIDATION_FAILED", excess.message()))?;
        let selected = selected(document, name.as_deref());
        let streams = selected.is_some_and(|operation| operation.ty == OperationType::Subscription);
        if let Some(Err(malformed)) = selected.map(|operation| self.types.check(operation, &variables)) {
            let Malformed { field, reason } = malformed;
            let mut error = ServerError::new(format!("{} {reason}.", field.join(".")), None);
            error.extensions.get_or_insert_with(Default::default).set("field", field);
            return Err(coded(error, "BAD_USER_INPUT"));
        }
        one_stream(document).map_err(|message| refused("GRAPHQL_VALIDATION_FAILED", message.to_owned()))?;
        let unseen = seen.is_none().then(|| document.clone());
        let recalled = match selected.is_some_and(compared) {
            true => self.recall(session),
            false => Ok(None),
        };
        let known = match recalled {
            Ok(Some(caller)) => Ok((Some(caller), true)),
            Ok(None) => self.authenticate(session).await.map(|caller| (caller, false)),
            Err(error) => Err(error),
        };
        let (caller, recalled) = match known {
            Ok(known) => known,
            Err(error) => {
                let error: async_graphql::Error = super::errors::ApiError::from(error).into();
                let response = Response::from_errors(vec![error.into_server_error(Default::default())]);
                return Err(Box::new(with_codes(response, session.origin.as_deref())));
            }
        };
        let request = Request::new(self.services.clone(), caller, recalled);
        let snapshots = request.snapshots.clone();
        let unseen = unseen.map(|document| (operation.query.clone(), document));
        Ok(Prepared { operation: operation.data(request), snapshots, streams, unseen })
    }

    /// Executes a query or mutation within the deadline. A mutation that is given up may still take place:
    /// its writes cannot be cut off, and its key will tell.
    async fn complete(&self, prepared: Prepared, origin: Option<&str>) -> Response {
        let schema = if prepared.unseen.is_none() { &self.schema_for_validated } else { &self.schema };
        let executed = Box::pin(schema.execute(prepared.operation));
        match tokio::time::timeout(DEADLINE, executed).await {
            Ok(response) => {
                let response = with_codes(response, origin);
                if let (Outcome::Executed, Some((text, document))) = (outcome(&response), prepared.unseen) {
                    self.documents.keep(&text, document);
                }
                response
            }
            Err(_) => {
                let message = "The operation took too long and was given up. A mutation may still take place; \
                               the same idempotency key will tell.";
                *refused("TIMEOUT", message.to_owned())
            }
        }
    }
}

/// How far an operation came: errors without a path, and no data, are from before the first field.
fn outcome(response: &Response) -> Outcome {
    let before = |code: &str| {
        let has = |error: &&ServerError| {
            let extensions = error.extensions.as_ref();
            extensions
                .and_then(|extensions| extensions.get("code"))
                .is_some_and(|known| *known == code.into())
        };
        response.errors.iter().filter(|error| error.path.is_empty()).any(|error| has(&error))
    };
    if response.data != Value::Null {
        Outcome::Executed
    } else if before("UNAUTHENTICATED") {
        Outcome::Unauthenticated
    } else if before("INTERNAL_SERVER_ERROR") {
        Outcome::Failed
    } else if REFUSALS.into_iter().any(before) {
        Outcome::Refused
    } else {
        Outcome::Executed
    }
}

/// Codes of operations that cannot be executed as they stand.
const REFUSALS: [&str; 4] =
    ["GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT", "TIMEOUT"];

/// The operation that is asked for. One that cannot be told is left to execution, which says so.
fn selected<'d>(document: &'d ExecutableDocument, name: Option<&str>) -> Option<&'d OperationDefinition> {
    let operation = match (&document.operations, name) {
        (DocumentOperations::Single(operation), _) => Some(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name),
        (DocumentOperations::Multiple(operations), None) => operations.values().next(),
    };
    operation.map(|operation| &operation.node)
}

/// A subscription has exactly one root field, and it stands in the operation itself.
fn one_stream(document: &ExecutableDocument) -> Result<(), &'static str> {
    let operations: Vec<_> = match &document.operations {
        DocumentOperations::Single(operation) => vec![&operation.node],
        DocumentOperations::Multiple(operations) => {
            operations.values().map(|operation| &operation.node).collect()
        }
    };
    for operation in operations.iter().filter(|operation| operation.ty == OperationType::Subscription) {
        let items = &operation.selection_set.node.items;
        if items.len() != 1 {
            return Err("A subscription has exactly one root field.");
        }
        if !items.iter().all(|item| matches!(item.node, Selection::Field(_))) {
            return Err("The root field of a subscription must not stand in a fragment.");
        }
    }
    Ok(())
}

/// Whether all that the operation does is compared by the ledger with what holds when it books.
fn compared(operation: &OperationDefinition) -> bool {
    let fields = &operation.selection_set.node.items;
    operation.ty == OperationType::Mutation
        && fields.iter().all(|field| match &field.node {
            Selection::Field(field) => charge_root::COMPARED.contains(&field.node.name.node.as_str()),
            Selection::FragmentSpread(_) | Selection::InlineFragment(_) => false,
        })
}

fn refused(code: &'static str, message: String) -> Box<Response> {
    coded(ServerError::new(message, None), code)
}

fn coded(mut error: ServerError, code: &'static str) -> Box<Response> {
    error.extensions.get_or_insert_with(Default::default).set("code", code);
    Box::new(Response::from_errors(vec![error]))
}

/// Gives a code to errors that have none: those of validation, which come before any field, and those
/// of arguments whose values are found wrong at their field. Faults of ours get the id of the request.
fn with_codes(mut response: Response, origin: Option<&str>) -> Response {
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
    response
}

impl Executor for Server {
    async fn execute(&self, operation: Operation) -> Response {
        let session = session_of(&operation.data).unwrap_or_else(|| Session::new(None, None));
        match self.prepare(operation, &session).await {
            Ok(prepared) => self.complete(prepared, session.origin.as_deref()).await,
            Err(response) => *response,
        }
    }

    fn execute_stream(
        &self,
        operation: Operation,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let server = self.clone();
        let session =
            session_data.as_deref().and_then(session_of).unwrap_or_else(|| Session::new(None, None));
        let begun = async move {
            let prepared = match server.prepare(operation, &session).await {
                Ok(prepared) => prepared,
                Err(response) => return stream::once(async move { *response }).boxed(),
            };
            if !prepared.streams {
                let response = server.complete(prepared, session.origin.as_deref()).await;
                return stream::once(async move { response }).boxed();
            }
            let Ok(place) = session.streams.clone().try_acquire_owned() else {
                let message = format!("A socket carries at most {STREAMS} streams.");
                return stream::once(async move { *refused("THROTTLED", message) }).boxed();
            };
            let Prepared { operation, snapshots, .. } = prepared;
            let responses = server.schema.execute_stream(operation);
            let finished = move |response| {
                let (snapshots, origin, _held) = (snapshots.clone(), session.origin.clone(), &place);
                async move {
                    // The event is complete. However slowly it is taken, no connection waits for it.
                    snapshots.close().await;
                    with_codes(response, origin.as_deref())
                }
            };
            responses.then(finished).boxed()
        };
        stream::once(begun).flatten().boxed()
    }
}

fn session_of(data: &Data) -> Option<Session> {
    data.get(&TypeId::of::<Session>()).and_then(|session| session.downcast_ref::<Session>()).cloned()
}
