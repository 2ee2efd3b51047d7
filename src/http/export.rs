//! The audit log as a file: `GET /export/audit?organization=ID-OR-SLUG&format=csv|jsonl`, with the bearer token of
//! somebody who may read the log, and the filters of the API: `from`, `to`, `actorId`, `action`, `subjectId`,
//! `source`.
//!
//! The file is written while it is read: a page from a snapshot of its own, and the next one when the client has
//! taken it, so that memory holds a page, however long the log is. It has what was recorded before it began,
//! oldest first. Before each page it is asked again whether the caller may read the log; when that has ended, or
//! the database fails, the connection is cut off, and the file is known to be incomplete.
//!
//! That a log was taken out is recorded in it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use bursar_domain::Timestamp;
use bursar_domain::id::{AuditEventId, OrganizationId};
use bursar_domain::permission::Action;
use bursar_entity::organization;
use bytes::Bytes;
use chrono::DateTime;
use futures_util::stream;
use serde_json::json;
use uuid::Uuid;

use super::State;
use super::attachment::attachment;
use super::graphql::{refused, session, throttled, unauthenticated};
use super::request_id::RequestId;
use crate::audit::{self, Change, Filter, Format, Source};
use crate::auth::{Authorized, Caller, SeenPeople};
use crate::db::page::{MAX_PAGE, PageRequest};
use crate::db::{Fault, Snapshots, Tenant, fault};
use crate::error::{Error, Result};
use crate::global_id;
use crate::graphql::{Place, Session};

/// What a request asks for.
struct Wanted {
    /// Id or short name.
    organization: String,
    format: Format,
    filter: Filter,
    /// The parameters that make the filter, as they came.
    said: Vec<(String, String)>,
}

/// Sends the log of an organization.
pub async fn audit_log(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let session = match session(&headers, origin, peer.ip()) {
        Ok(session) => session,
        Err(message) => return unauthenticated(message),
    };
    match Box::pin(open(state, session, uri.query().unwrap_or_default())).await {
        Ok(response) => response,
        Err(error) => answer(&error),
    }
}

async fn open(state: Arc<State>, session: Session, query: &str) -> Result<Response> {
    let caller = state.server.authenticate(&session).await?;
    let caller = caller.ok_or(Error::Unauthenticated("This needs a bearer token."))?;
    let wanted = Wanted::read(query)?;
    let organization = authorized(&state, &caller, &wanted.organization).await?;
    let Some(place) = state.server.place(caller.id()) else {
        let message = "One person has too many streams open.";
        return Ok(refused(StatusCode::TOO_MANY_REQUESTS, "THROTTLED", message));
    };
    let context = &state.server.services().context;
    let tenant = organization.tenant();
    let name = format!("audit-{}.{}", organization.slug, wanted.format.ending());
    // What is recorded from here on is not in the file, this among it.
    let before = context.clock.new_id();
    let filter: serde_json::Map<_, _> =
        wanted.said.into_iter().map(|(name, value)| (name, json!(value))).collect();
    let facts = json!({ "format": wanted.format.ending(), "filter": filter });
    let change = Change::created("exportAudit", organization.id, facts);
    audit::note(context, tenant, organization.actor(), change).await?;
    let export = Export {
        state: Arc::clone(&state),
        session,
        tenant,
        filter: wanted.filter,
        format: wanted.format,
        after: None,
        before,
        begun: false,
        _place: place,
    };
    Ok(file(export, &name, wanted.format))
}

/// The organization by its id or short name, when the caller may read its log.
async fn authorized(state: &State, caller: &Caller, name: &str) -> Result<Authorized<organization::Model>> {
    let snapshots = Snapshots::new(state.server.services().context.db.clone());
    match global_id::decode::<OrganizationId>(name) {
        Some(id) => caller.organization(&snapshots, id, Action::ReadAudit).await,
        None => caller.organization_by_slug(&snapshots, name, Action::ReadAudit).await,
    }
}

fn file(export: Export, name: &str, format: Format) -> Response {
    let body = stream::unfold(Some(export), |export| async move {
        let mut export = export?;
        match export.next().await {
            Ok(Some(text)) => Some((Ok::<Bytes, io::Error>(text.into()), Some(export))),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "an export of an audit log was cut off");
                Some((Err(io::Error::other("cut off")), None))
            }
        }
    });
    // Short names have letters, digits and hyphens only.
    attachment(Body::from_stream(body), format.media_type(), name)
}

/// A file on its way to a client.
struct Export {
    state: Arc<State>,
    session: Session,
    tenant: Tenant,
    filter: Filter,
    format: Format,
    /// The last entry that was sent.
    after: Option<AuditEventId>,
    /// What is not older than this is not sent.
    before: AuditEventId,
    /// Whether the first page has been sent; and then, whether there is another.
    begun: bool,
    _place: Place,
}

impl Export {
    /// The next text, when there is more.
    async fn next(&mut self) -> Result<Option<String>> {
        if self.begun && self.after.is_none() {
            return Ok(None);
        }
        let caller = self.state.server.authenticate(&self.session).await?;
        let caller = caller.ok_or(Error::Unauthenticated("This needs a bearer token."))?;
        if !caller.may_in_organization(self.tenant.id(), Action::ReadAudit) {
            return Err(Error::Forbidden);
        }
        let request =
            PageRequest { after: self.after, before: Some(self.before), limit: MAX_PAGE, from_end: false };
        let snapshot = self.state.server.services().context.db.read(self.tenant).await?;
        let page = audit::page(&snapshot, self.tenant, &self.filter, false, request).await?;
        // A key is told of people only when it may see who belongs to the organization.
        let told = caller.sees_people(self.tenant.id()) != SeenPeople::Nobody;
        let named = page.rows.iter().filter(|record| told && !record.personal.is_empty());
        let named: Vec<AuditEventId> = named.map(|record| record.id).collect();
        let values = audit::values(&snapshot, self.tenant, named).await?;
        drop(snapshot);
        let mut text = String::new();
        if !self.begun {
            text += &audit::header(self.format);
        }
        for record in &page.rows {
            let personal = values.get(&record.id).map(Vec::as_slice).unwrap_or_default();
            text += &audit::line(self.format, record, personal);
        }
        self.begun = true;
        // A page that is full has a last row; without another page nothing comes after it.
        self.after = page.rows.last().map(|record| record.id).filter(|_| page.has_next);
        Ok(Some(text))
    }
}

impl Wanted {
    /// Reads the parameters of the address. Each comes once, and none is unknown: a filter that is misspelt would
    /// show more than was asked for.
    fn read(query: &str) -> Result<Wanted> {
        let (mut organization, mut format, mut filter, mut said) =
            (None, None, Filter::default(), Vec::new());
        let mut seen = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let (name, value) = (name.into_owned(), value.into_owned());
            if seen.contains(&name) {
                return Err(Error::invalid("query", "a parameter comes twice"));
            }
            match name.as_str() {
                "organization" => organization = Some(value.clone()),
                "format" => {
                    let known = Format::parse(&value);
                    format = Some(known.ok_or_else(|| Error::invalid("format", "must be csv or jsonl"))?);
                }
                "from" => filter.from = Some(instant("from", &value)?),
                "to" => filter.to = Some(instant("to", &value)?),
                "actorId" => filter.actor = Some(actor(&value)?),
                "action" => filter.action = Some(value.clone()),
                "subjectId" => filter.subject = Some(value.clone()),
                "source" => filter.source = Some(source(&value)?),
                _ => return Err(Error::invalid("query", "has a parameter that is not known")),
            }
            if !["organization", "format"].contains(&name.as_str()) {
                said.push((name.clone(), value));
            }
            seen.push(name);
        }
        filter.check()?;
        let organization =
            organization.ok_or_else(|| Error::invalid("organization", "must be an id or a short name"))?;
        Ok(Wanted { organization, format: format.unwrap_or(Format::Csv), filter, said })
    }
}

fn instant(name: &'static str, text: &str) -> Result<Timestamp> {
    let instant = DateTime::parse_from_rfc3339(text);
    let instant = instant.map_err(|_| Error::invalid(name, "must be an instant as in RFC 3339"))?;
    Ok(Timestamp::from_micros(instant.timestamp_micros()))
}

fn actor(text: &str) -> Result<Uuid> {
    let wrong = || Error::invalid("actorId", "is not the id of a person or an API key");
    audit::actor_id(text).ok_or_else(wrong)
}

fn source(text: &str) -> Result<Source> {
    match text {
        "EVENT" => Ok(Source::Event),
        "LEDGER" => Ok(Source::Ledger),
        _ => Err(Error::invalid("source", "must be EVENT or LEDGER")),
    }
}

/// Why there is no file.
pub(super) fn answer(error: &Error) -> Response {
    let message = error.to_string();
    match error {
        Error::Unauthenticated(_) => unauthenticated(&message),
        Error::Forbidden => refused(StatusCode::FORBIDDEN, "FORBIDDEN", &message),
        Error::NotFound { .. } => refused(StatusCode::NOT_FOUND, "NOT_FOUND", &message),
        Error::Invalid { field, .. } => {
            refused(StatusCode::BAD_REQUEST, "BAD_USER_INPUT", &format!("{field}: {message}."))
        }
        Error::Throttled { seconds } => throttled(*seconds),
        Error::Conflict { .. } => refused(StatusCode::CONFLICT, "BAD_USER_INPUT", &message),
        Error::Overloaded => later(refused(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", &message), 1),
        Error::Stale | Error::Unavailable(_) => {
            later(refused(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", &message), 1)
        }
        // That it was begun may be recorded or not; nothing else was to be done.
        Error::UnknownOutcome(_) => {
            let message = "The database does not answer; try again shortly.";
            later(refused(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message), 1)
        }
        Error::Database(cause)
            if matches!(fault(cause), Fault::Lost | Fault::Unavailable | Fault::Contention) =>
        {
            let message = "The database does not answer; try again shortly.";
            later(refused(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message), 1)
        }
        error => {
            tracing::error!(%error, "an export could not begin");
            let message = "Something went wrong on our side.";
            refused(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR", message)
        }
    }
}

/// The same answer, with how long to wait.
fn later(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_tried_again_says_so() {
        for (error, status, wait) in [
            (Error::Throttled { seconds: 7 }, 429, Some("7")),
            (Error::Stale, 503, Some("1")),
            (Error::Unavailable("Not now."), 503, Some("1")),
            (Error::Overloaded, 503, Some("1")),
            (Error::Forbidden, 403, None),
            (Error::internal("a fault"), 500, None),
        ] {
            let response = answer(&error);
            let said = response.headers().get(header::RETRY_AFTER).map(|wait| wait.to_str().unwrap());
            assert_eq!((response.status().as_u16(), said), (status, wait), "{error}");
        }
    }
}
