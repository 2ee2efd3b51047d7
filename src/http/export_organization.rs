//! Everything that is kept of an organization as an archive: `GET /export/organization?organization=ID-OR-SLUG`, with
//! the bearer token of an owner or of the vendor's staff.
//!
//! A `tar` archive with files of JSON lines, `TABLE/000001.jsonl` and on, at least one for each table, and at the end
//! `manifest.json`: what it is of, which files there are with their lengths and SHA-256, how many rows each table has,
//! and what was left out. It is written while it is read: a part from a snapshot of its own, and the next one when the
//! client has taken it, so that memory holds a part, however large the organization is. Before each part it is asked
//! again whether the caller may have it; when that has ended, or the database fails, the connection is cut off, and
//! without manifest and end the archive is known to be incomplete.
//!
//! That everything was taken out is recorded in the organization's log, before it begins.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bursar_domain::Timestamp;
use bursar_domain::id::OrganizationId;
use bursar_domain::permission::Action;
use bursar_entity::organization;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::State;
use super::export::answer;
use super::graphql::{refused, session, unauthenticated};
use super::request_id::RequestId;
use super::tar;
use crate::audit::{self, Change};
use crate::auth::{Authorized, Caller};
use crate::db::Snapshots;
use crate::error::{Error, Result};
use crate::global_id;
use crate::graphql::{Place, Session};
use crate::organizations::{Part, TABLES, WITHHELD, Walk};

/// The version of the archive's form, which rises when somebody who reads it has to know.
const FORMAT: u32 = 1;

/// Sends everything that is kept of an organization.
pub async fn everything(
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
    let caller = authenticated(&state, &session).await?;
    let organization = authorized(&state, &caller, &wanted(query)?).await?;
    let Some(place) = state.server.place(caller.id()) else {
        let message = "One person has too many streams open.";
        return Ok(refused(StatusCode::TOO_MANY_REQUESTS, "THROTTLED", message));
    };
    let context = &state.server.services().context;
    let facts = json!({ "format": FORMAT });
    let change = Change::created("exportOrganization", organization.id, facts);
    audit::note(context, organization.tenant(), organization.actor(), change).await?;
    let began_at = context.clock.now();
    let name = format!("bursar-{}.tar", organization.slug);
    let export = Export {
        state: Arc::clone(&state),
        session,
        organization,
        began_at,
        walk: Walk::default(),
        files: Vec::new(),
        rows: BTreeMap::new(),
        ended: false,
        _place: place,
    };
    Ok(file(export, &name))
}

async fn authenticated(state: &State, session: &Session) -> Result<Caller> {
    let caller = state.server.authenticate(session).await?;
    caller.ok_or(Error::Unauthenticated("This needs a bearer token."))
}

/// Which organization the address names: once, and nothing else.
fn wanted(query: &str) -> Result<String> {
    let mut organization = None;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name != "organization" {
            return Err(Error::invalid("query", "has a parameter that is not known"));
        }
        if organization.replace(value.into_owned()).is_some() {
            return Err(Error::invalid("query", "a parameter comes twice"));
        }
    }
    organization.ok_or_else(|| Error::invalid("organization", "must be an id or a short name"))
}

/// The organization by its id or short name, when the caller may take everything out.
async fn authorized(state: &State, caller: &Caller, name: &str) -> Result<Authorized<organization::Model>> {
    let snapshots = Snapshots::new(state.server.services().context.db.clone());
    match global_id::decode::<OrganizationId>(name) {
        Some(id) => caller.organization(&snapshots, id, Action::ExportOrganization).await,
        None => caller.organization_by_slug(&snapshots, name, Action::ExportOrganization).await,
    }
}

fn file(export: Export, name: &str) -> Response {
    let body = stream::unfold(Some(export), |export| async move {
        let mut export = export?;
        match export.next().await {
            Ok(Some(bytes)) => Some((Ok::<Bytes, io::Error>(bytes.into()), Some(export))),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "an export of an organization was cut off");
                Some((Err(io::Error::other("cut off")), None))
            }
        }
    });
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    // Short names have letters, digits and hyphens only.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An archive on its way to a client.
struct Export {
    state: Arc<State>,
    session: Session,
    organization: Authorized<organization::Model>,
    began_at: Timestamp,
    walk: Walk,
    /// What the manifest says of the files that have been sent.
    files: Vec<Value>,
    /// How many files each table has, and how many rows.
    rows: BTreeMap<&'static str, (u64, u64)>,
    ended: bool,
    _place: Place,
}

impl Export {
    /// The next bytes, when there are more.
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let (tenant, services) = (self.organization.tenant(), Arc::clone(self.state.server.services()));
        let caller = authenticated(&self.state, &self.session).await?;
        if !caller.may_in_organization(tenant.id(), Action::ExportOrganization) {
            return Err(Error::Forbidden);
        }
        let snapshot = services.context.db.read(tenant).await?;
        let part = self.walk.next(&snapshot, tenant).await?;
        drop(snapshot);
        if let Some(part) = part {
            return self.part(part).map(Some);
        }
        self.ended = true;
        let manifest = self.manifest(services.context.clock.now()).to_string() + "\n";
        let mut bytes = self.archived("manifest.json", manifest.as_bytes())?;
        bytes.extend(tar::end());
        Ok(Some(bytes))
    }

    /// A part of a table as a file of its own.
    fn part(&mut self, part: Part) -> Result<Vec<u8>> {
        let (files, rows) = self.rows.entry(part.table).or_default();
        *files += 1;
        *rows += part.rows;
        let name = format!("{}/{files:06}.jsonl", part.table);
        let bytes = self.archived(&name, part.lines.as_bytes())?;
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(part.lines.as_bytes()));
        self.files.push(json!({
            "name": name,
            "table": part.table,
            "rows": part.rows,
            "bytes": part.lines.len(),
            "sha256": digest,
        }));
        Ok(bytes)
    }

    /// A file with what stands around it.
    fn archived(&self, name: &str, content: &[u8]) -> Result<Vec<u8>> {
        let seconds = self.began_at.micros().div_euclid(1_000_000);
        let around = tar::around(name, content.len(), seconds);
        let (header, rest) = around.ok_or_else(|| Error::internal("a part is too long for an archive"))?;
        let mut bytes = Vec::with_capacity(header.len() + content.len() + rest.len());
        bytes.extend(header);
        bytes.extend(content);
        bytes.extend(rest);
        Ok(bytes)
    }

    fn manifest(&self, now: Timestamp) -> Value {
        let table = |name: &&'static str| {
            let (files, rows) = self.rows.get(name).copied().unwrap_or_default();
            json!({ "name": name, "files": files, "rows": rows })
        };
        let withheld: Vec<String> = WITHHELD
            .iter()
            .flat_map(|(table, columns)| columns.iter().map(move |column| format!("{table}.{column}")))
            .collect();
        json!({
            "format": FORMAT,
            "organization": {
                "id": global_id::encode(self.organization.id),
                "slug": self.organization.slug,
                "name": self.organization.name,
                "state": self.organization.state.as_str(),
            },
            "software": env!("CARGO_PKG_VERSION"),
            "beganAtMicros": self.began_at.micros(),
            "endedAtMicros": now.micros(),
            "reading": "Each file was read at an instant of its own between these two.",
            "tables": TABLES.iter().map(table).collect::<Vec<_>>(),
            "files": self.files,
            "withheld": withheld,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_one_organization() {
        assert_eq!(wanted("organization=demo").unwrap(), "demo");
        for bad in ["", "organisation=demo", "organization=a&organization=b", "organization=a&format=zip"] {
            assert!(wanted(bad).is_err(), "{bad}");
        }
    }
}
