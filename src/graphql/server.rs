//! The executor: what every operation passes through, whatever it came by.
//!
//! Limits first, then the parser, then what it may cost, then who calls and what that principal has left (`admission`),
//! then execution; afterwards every error gets a code and what was not used is given back.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::OperationType;
use async_graphql::{Request as Operation, ServerError, Variables};
use futures_util::StreamExt;

use super::admission::Admitted;
use super::answer::{
    Answer, Answered, MALFORMED, NOT_BY_GET, Outcome, add_codes, malformed, refused, was_executed,
};
use super::cost::Costs;
use super::documents::{Document, Documents, Facts, Found, Manifest};
use super::parameters::{BadParameters, Parameters};
use super::places::{Place, Places};
use super::refusal::{self, Bill, Refusal};
use super::render::Events;
use super::throttle::{Principal, Throttle};
use super::variables::{InputTypes, Malformed};
use super::views::Views;
use super::{ApiSchema, Request, Services};
use crate::auth::{Caller, PrincipalId};
use crate::error::Error;
use crate::sign_in::Client;

/// The way that an operation came, which decides what it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A GET: queries only, because browsers send GETs from anywhere.
    Get,
    /// A POST: queries and mutations.
    Post,
    /// A stream of events: anything.
    Stream,
    /// A stream of events that was asked for by a GET: anything but mutations.
    GetStream,
}

/// What it costs to read a document that is not known, and how many bytes of it cost a point more.
const READING: u64 = 5;
const BYTES_A_POINT: u64 = 50;
/// How many errors an answer has at most.
const ERRORS: usize = 20;
/// How long an operation may take before it is given up.
const DEADLINE: Duration = Duration::from_secs(30);

/// What is known of whoever sent an operation. It has no `Debug`: it has the token.
#[derive(Clone)]
pub struct Session {
    /// The bearer token.
    pub bearer: Option<String>,
    /// The id of the request.
    pub origin: Option<String>,
    /// The address of the client.
    pub address: IpAddr,
}

impl Session {
    /// Whoever sends it, before it is known who that is.
    pub(super) fn client(&self) -> Client {
        Client { address: self.address, origin: self.origin.clone() }
    }
}

/// An operation that can be executed, as far as can be told without knowing who calls.
pub(super) struct Reading {
    pub(super) found: Found,
    pub(super) operation_name: Option<String>,
    pub(super) variables: Variables,
    pub(super) facts: Facts,
    /// What it may cost.
    pub(super) requested: u64,
}

/// The schema with everything it works with. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<Parts>);

struct Parts {
    schema: ApiSchema,
    /// For documents that have been found valid before.
    schema_for_validated: ApiSchema,
    documents: Documents,
    types: Arc<InputTypes>,
    costs: Arc<Costs>,
    throttle: Throttle,
    views: Views,
    places: Places,
    services: Arc<Services>,
}

type Definitions = (Arc<InputTypes>, Arc<Costs>);

/// What the schema's own text says of its input types and of what fields cost. A process has one schema, so it is
/// read once, however many servers there are in it.
static DEFINITIONS: LazyLock<Result<Definitions, String>> = LazyLock::new(|| {
    let definitions =
        parse_schema(super::sdl()).map_err(|error| format!("the schema cannot be read: {error}"))?;
    Ok((Arc::new(InputTypes::read(&definitions)), Arc::new(Costs::read(&definitions))))
});

impl Server {
    /// A server of the API. Reads the manifest of trusted documents, when the settings name one.
    pub async fn new(services: Arc<Services>) -> Result<Server, Error> {
        let (types, costs) = DEFINITIONS.clone().map_err(Error::internal)?;
        let config = &services.config;
        let schema = super::schema(config.suggestions);
        let schema_for_validated = super::schema_for_validated();
        let manifest = match &config.documents {
            Some(path) => Some(load(path, &costs, &schema).await?),
            None => None,
        };
        let documents = Documents::new(Arc::clone(&costs), config.introspection, manifest);
        let throttle = Throttle::new(config.cost);
        let (views, places) = (Views::default(), Places::new(config.sockets_per_person));
        Ok(Server(Arc::new(Parts {
            schema,
            schema_for_validated,
            documents,
            types,
            costs,
            throttle,
            views,
            places,
            services,
        })))
    }

    /// What the resolvers work with.
    pub fn services(&self) -> &Arc<Services> {
        &self.0.services
    }

    /// What subscribers share.
    pub(super) fn views(&self) -> &Views {
        &self.0.views
    }

    /// The schema, for documents that have been validated or not.
    pub(super) fn schema(&self, valid: bool) -> &ApiSchema {
        if valid { &self.0.schema_for_validated } else { &self.0.schema }
    }

    /// A place for one more stream of a person or key.
    pub fn place(&self, caller: PrincipalId) -> Option<Place> {
        self.0.places.take(caller)
    }

    /// The points of all principals.
    pub(super) fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    /// What fields cost.
    pub(super) fn costs(&self) -> &Costs {
        &self.0.costs
    }

    /// Executes a query or a mutation.
    pub async fn answer(
        &self,
        parameters: Result<Parameters, BadParameters>,
        session: &Session,
        way: Way,
    ) -> Answered {
        match self.reading(parameters, session) {
            Ok(reading) => self.perform(reading, session, way).await,
            Err(refusal) => refused(refusal),
        }
    }

    /// Looks at a request before a stream is opened for it: whether it is one, and may come this way.
    pub fn preview(
        &self,
        parameters: &Result<Parameters, BadParameters>,
        session: &Session,
        way: Way,
    ) -> Result<(), Answered> {
        let reading = self.reading(parameters.clone(), session);
        let outcome = reading.and_then(|reading| passable(reading.facts.kind, way));
        match outcome {
            Err(refusal) if matches!(refusal.code, NOT_BY_GET | MALFORMED) => Err(refused(refusal)),
            _ => Ok(()),
        }
    }

    /// Executes an operation that has been read.
    pub(super) async fn perform(&self, reading: Reading, session: &Session, way: Way) -> Answered {
        if let Err(refusal) = passable(reading.facts.kind, way) {
            return refused(refusal);
        }
        match self.admit(&reading, session).await {
            Ok(admitted) => Box::pin(self.execute(reading, admitted, session)).await,
            Err(refusal) => refused(refusal),
        }
    }

    /// Reads the parameters of a request.
    pub(super) fn reading(
        &self,
        parameters: Result<Parameters, BadParameters>,
        session: &Session,
    ) -> Result<Reading, Refusal> {
        self.read(parameters.map_err(malformed)?, session)
    }

    /// Takes the points for reading a document that is not known, whatever comes of it.
    fn pay(&self, bytes: usize, session: &Session) -> Result<(), Refusal> {
        let Services { context, keys, callers, .. } = self.services().as_ref();
        let principal = session.bearer.as_deref().map(|bearer| callers.prove(context, keys, bearer));
        let principal = match principal {
            Some(Ok(Some(caller))) => Principal::Caller(caller),
            // Who brings a token that is no good is told so later; a key that is not known here may be none.
            Some(Ok(None) | Err(_)) | None => Principal::anonymous(session.address),
        };
        let points = READING + u64::try_from(bytes).unwrap_or(u64::MAX) / BYTES_A_POINT;
        let nobody = std::iter::empty();
        let draw = self.0.throttle.take(nobody, principal, points);
        draw.map(|draw| _ = draw.settle(points))
            .map_err(|(wait, status)| Refusal::throttled(wait, status, points))
    }

    /// Finds the document and the operation, and checks all that can be checked without knowing who calls.
    fn read(&self, mut parameters: Parameters, session: &Session) -> Result<Reading, Refusal> {
        let parts = &*self.0;
        let naming = parameters.take_naming().map_err(malformed)?;
        let found = parts.documents.find(naming, |bytes| self.pay(bytes, session))?;
        let Parameters { operation_name, variables, .. } = parameters;
        let mut variables = variables.unwrap_or_default();
        let invalid = |message: String| Refusal::new("GRAPHQL_VALIDATION_FAILED", message);
        let operation = found.document.operation(operation_name.as_deref());
        let (operation, facts) = operation
            .ok_or_else(|| invalid("operationName must name one of the document's operations.".to_owned()))?;
        // Others are of no use to anybody.
        let declared = |name: &str| {
            operation.variable_definitions.iter().any(|variable| variable.node.name.node == name)
        };
        variables.retain(|name, _| declared(name));
        let variables = Variables::from_json(serde_json::Value::Object(variables));
        let requested = match facts.points {
            Some(points) => points,
            None => {
                let requested = parts.costs.requested(&found.document.parsed, operation, &variables);
                requested
                    .and_then(|requested| requested.bounded())
                    .map_err(|excess| invalid(excess.message()))?
            }
        };
        parts
            .types
            .check(operation, &variables)
            .map_err(|Malformed { field, reason }| Refusal::input(field, &reason))?;
        let facts = *facts;
        Ok(Reading { found, operation_name, variables, facts, requested })
    }

    /// Executes a query or mutation within the deadline. A mutation that is given up may still take place:
    /// its writes cannot be cut off, and its key will tell.
    async fn execute(&self, reading: Reading, admitted: Admitted, session: &Session) -> Answered {
        let Reading { found, operation_name, variables, requested, .. } = reading;
        let Admitted { caller, recalled, draw } = admitted;
        let request = Request::new(self.services().clone(), caller, recalled).sent_by(session.client());
        let operation = operation(&found.document, operation_name.clone(), variables).data(request);
        let executed = Box::pin(self.schema(found.valid).execute(operation));
        let Ok(mut response) = tokio::time::timeout(DEADLINE, executed).await else {
            let message = "The operation took too long and was given up. A mutation may still take place; the \
                           same idempotency key will tell.";
            draw.settle(requested);
            return refused(Refusal::new("TIMEOUT", message));
        };
        add_codes(&mut response, session.origin.as_deref());
        if !was_executed(&response) {
            // Validation has done as much as it could.
            draw.settle(requested);
            response.errors.truncate(ERRORS);
            return Answered { outcome: Outcome::Refused, answer: Answer::Errors(response.errors, None) };
        }
        self.0.documents.keep(&found);
        let actual = match found.document.operation(operation_name.as_deref()) {
            Some((operation, _)) => self.0.costs.actual(&found.document.parsed, operation, &response.data),
            None => requested,
        };
        let bill = Bill { requested, actual, status: draw.settle(actual) };
        let body = refusal::write(&response, Some(bill));
        Answered { outcome: Outcome::Executed, answer: Answer::Written(body) }
    }

    /// Settles what a subscription costs: its selection once. Events are pushed at the server's own pace.
    pub(super) fn settle(&self, reading: &Reading, admitted: Admitted) -> Option<Caller> {
        admitted.draw.settle(reading.requested);
        admitted.caller
    }

    /// Validates the document of a subscription that has not been seen before.
    pub(super) async fn validate(&self, reading: &mut Reading) -> Result<(), Vec<ServerError>> {
        if reading.found.valid {
            return Ok(());
        }
        let operation =
            operation(&reading.found.document, reading.operation_name.clone(), reading.variables.clone());
        check(&self.0.schema, operation, reading.facts.kind).await?;
        self.0.documents.keep(&reading.found);
        reading.found.valid = true;
        Ok(())
    }
}

/// An operation of a document, ready to be executed.
pub(super) fn operation(document: &Document, name: Option<String>, variables: Variables) -> Operation {
    let mut operation = Operation::new(String::new()).variables(variables);
    operation.set_parsed_query(document.parsed.clone());
    match name {
        Some(name) => operation.operation_name(name),
        None => operation,
    }
}

/// Reads the manifest of trusted documents, each of which must be valid.
async fn load(path: &Path, costs: &Costs, schema: &ApiSchema) -> Result<Manifest, Error> {
    let valid = |document: Arc<Document>| async move {
        for (name, kind) in document.operations() {
            // Variables that are missing are no fault of the document.
            let checked = check(schema, operation(&document, name, Variables::default()), kind).await;
            checked
                .map_err(|errors| errors.into_iter().next().map(|error| error.message).unwrap_or_default())?;
        }
        Ok(())
    };
    let manifest = Manifest::load(path, costs, valid).await;
    manifest.map_err(|reason| Error::invalid("BURSAR_DOCUMENTS", format!("{}: {reason}", path.display())))
}

/// Validates without executing: when only introspection is allowed no resolver runs, and a subscription whose
/// events have ended before they begin shows none.
async fn check(
    schema: &ApiSchema,
    operation: Operation,
    kind: OperationType,
) -> Result<(), Vec<ServerError>> {
    let operation = match kind {
        OperationType::Subscription => operation.data(Events::ended()),
        OperationType::Query | OperationType::Mutation => operation.only_introspection(),
    };
    let mut stream = schema.execute_stream(operation);
    match stream.next().await {
        Some(mut response) if !was_executed(&response) => {
            add_codes(&mut response, None);
            Err(response.errors)
        }
        _ => Ok(()),
    }
}

/// Whether an operation may come by a way.
fn passable(kind: OperationType, way: Way) -> Result<(), Refusal> {
    let message = match (kind, way) {
        (_, Way::Stream) | (OperationType::Query, _) | (OperationType::Mutation, Way::Post) => return Ok(()),
        (OperationType::Subscription, Way::GetStream) => return Ok(()),
        (OperationType::Mutation, Way::Get | Way::GetStream) => "Mutations cannot be sent by GET.",
        (OperationType::Subscription, _) => {
            "Subscriptions need a stream: /graphql/ws (graphql-transport-ws) or /graphql/stream (server-sent \
             events)."
        }
    };
    let by_get = kind == OperationType::Mutation || way == Way::Get;
    Err(Refusal::new(if by_get { NOT_BY_GET } else { "BAD_USER_INPUT" }, message))
}
