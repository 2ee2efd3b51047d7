//! Everything that is kept of an organization as an archive: `GET /export/organization?organization=ID-OR-SLUG`, with
//! the bearer token of an owner or of the vendor's staff. By a link it comes too: see `export_link`.
//!
//! A `tar` archive with files of JSON lines, `TABLE/000001.jsonl` and on, at least one for each table, and at the end
//! `manifest.json`: what it is of, which files there are with their lengths and SHA-256, how many rows each table has,
//! and what was left out. It is written while it is read: a part from a snapshot of its own, and the next one when the
//! client has taken it, so that memory holds a part, however large the organization is. Before each part it is asked
//! again whether the caller may have it; when that has ended, or the database fails, the connection is cut off, and
//! without manifest and end the archive is known to be incomplete.
//!
//! The sandbox that the organization's test keys act in is an organization of its own; it comes along in a folder of its
//! own, `sandbox/`, and the manifest tells of it apart.
//!
//! The manifest also says which version each pool had before anything of its organization was read, and when all was:
//! where they are the same, the pool's rows add up, and elsewhere whoever reads the archive knows that they need not.
//!
//! That everything was taken out is recorded in the organization's log, before it begins.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, State as Shared};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use bursar_domain::Timestamp;
use bursar_domain::id::{Id, OrganizationId, PoolId};
use bursar_domain::permission::Action;
use bursar_entity::organization;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::State;
use super::attachment::attachment;
use super::export::answer;
use super::graphql::{refused, session, unauthenticated};
use super::request_id::RequestId;
use super::tar;
use crate::audit::{self, Change};
use crate::auth::{Authorized, Caller};
use crate::db::{Database, Snapshots, Tenant};
use crate::error::{Error, Result};
use crate::global_id;
use crate::graphql::{Place, Session};
use crate::organizations::{self, ExportLink, TABLES, WITHHELD, Walk};
use crate::sign_in::Client;

/// The version of the archive's form, which rises when somebody who reads it has to know.
pub(super) const FORMAT: u32 = 1;
/// The folder of the sandbox.
const SANDBOX: &str = "sandbox/";
/// What the manifest says of when things were read.
const READING: &str = "Each file was read at an instant of its own between these two. Of a pool that has the same version \
                       before and after, all rows add up. Of another, account, hold, lot_position and pool_head are as \
                       of some version between, each part for itself; transfer has all up to the version before, at \
                       least, and what it says beyond has come meanwhile.";

/// By what it is known who may have it; asked again before each part.
pub(super) enum Proof {
    /// A bearer token.
    Token(Session),
    /// A link that was made for somebody, and who has used it.
    Link(ExportLink, Client),
}

impl Proof {
    /// Who it is, as things stand now.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the proof is no longer good; what the database answers.
    pub(super) async fn caller(&self, state: &State) -> Result<Caller> {
        match self {
            Proof::Token(session) => {
                let caller = state.server.authenticate(session).await?;
                caller.ok_or(Error::Unauthenticated("This needs a bearer token."))
            }
            Proof::Link(link, client) => {
                let (services, origin) = (state.server.services(), client.origin.clone());
                let caller =
                    services.callers.again(&services.context, link.proven(), link.expires_at(), origin);
                Ok(caller.await?.at_address(client.address))
            }
        }
    }
}

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
    let proof = Proof::Token(session);
    let caller = proof.caller(&state).await?;
    let organization = authorized(&state, &caller, &wanted(query)?).await?;
    let Some(place) = state.server.place(caller.id()) else {
        let message = "One person has too many streams open.";
        return Ok(refused(StatusCode::TOO_MANY_REQUESTS, "THROTTLED", message));
    };
    let facts = json!({ "format": FORMAT });
    let change = Change::created("exportOrganization", organization.id, facts);
    begin(state, proof, organization, place, change).await
}

/// Begins to send everything, once it is recorded.
///
/// # Errors
/// What the database answers.
pub(super) async fn begin(
    state: Arc<State>,
    proof: Proof,
    organization: Authorized<organization::Model>,
    place: Place,
    change: Change,
) -> Result<Response> {
    let context = &state.server.services().context;
    audit::note(context, organization.tenant(), organization.actor(), change).await?;
    let began_at = context.clock.now();
    let sandbox = organizations::sandbox_of(context, &organization).await?;
    let name = format!("bursar-{}.tar", organization.slug);
    let own = Tables::of(organization.tenant(), "");
    let sandbox = sandbox.map(|sandbox| Tables::of(sandbox, SANDBOX));
    let export = Export { state, proof, organization, began_at, own, sandbox, ended: false, _place: place };
    Ok(file(export, &name))
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
    // Short names have letters, digits and hyphens only.
    attachment(Body::from_stream(body), "application/x-tar", name)
}

/// An archive on its way to a client.
struct Export {
    state: Arc<State>,
    proof: Proof,
    organization: Authorized<organization::Model>,
    began_at: Timestamp,
    own: Tables,
    sandbox: Option<Tables>,
    ended: bool,
    _place: Place,
}

/// What is sent of an organization, the one that was asked for or its sandbox.
struct Tables {
    tenant: Tenant,
    /// What the names of its files begin with.
    folder: &'static str,
    walk: Walk,
    /// What the manifest says of the files that have been sent.
    files: Vec<Value>,
    /// How many files each table has, and how many rows.
    rows: BTreeMap<&'static str, (u64, u64)>,
    /// The versions of its pools before anything was read, and afterwards.
    versions: BTreeMap<PoolId, (i64, i64)>,
    begun: bool,
    ended: bool,
}

impl Export {
    /// The next bytes, when there are more.
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let (tenant, services) = (self.organization.tenant(), Arc::clone(self.state.server.services()));
        let caller = self.proof.caller(&self.state).await?;
        if !caller.may_in_organization(tenant.id(), Action::ExportOrganization) {
            return Err(Error::Forbidden);
        }
        let began_at = self.began_at;
        for tables in std::iter::once(&mut self.own).chain(self.sandbox.as_mut()) {
            if let Some((name, lines)) = tables.next(&services.context.db).await? {
                return archived(began_at, &name, lines.as_bytes()).map(Some);
            }
        }
        self.ended = true;
        let manifest = self.manifest(services.context.clock.now()).to_string() + "\n";
        let mut bytes = archived(began_at, "manifest.json", manifest.as_bytes())?;
        bytes.extend(tar::end());
        Ok(Some(bytes))
    }

    fn manifest(&self, now: Timestamp) -> Value {
        let withheld: Vec<String> = WITHHELD
            .iter()
            .flat_map(|(table, columns)| columns.iter().map(move |column| format!("{table}.{column}")))
            .collect();
        let sandbox = self.sandbox.as_ref().map(|sandbox| {
            json!({
                "id": global_id::encode(sandbox.tenant.id()),
                "folder": sandbox.folder,
                "tables": sandbox.tables(),
                "pools": sandbox.pools(),
                "files": sandbox.files,
            })
        });
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
            "reading": READING,
            "tables": self.own.tables(),
            "pools": self.own.pools(),
            "files": self.own.files,
            "sandbox": sandbox,
            "withheld": withheld,
        })
    }
}

impl Tables {
    /// Nothing of it has been read.
    fn of(tenant: Tenant, folder: &'static str) -> Tables {
        let (walk, files) = (Walk::default(), Vec::new());
        let (rows, versions) = (BTreeMap::new(), BTreeMap::new());
        Tables { tenant, folder, walk, files, rows, versions, begun: false, ended: false }
    }

    /// The next part of a table: the name of its file, and the lines. None: that was all.
    async fn next(&mut self, db: &Database) -> Result<Option<(String, String)>> {
        if self.ended {
            return Ok(None);
        }
        let snapshot = db.read(self.tenant).await?;
        if !self.begun {
            for (pool, version) in organizations::versions(&snapshot, self.tenant).await? {
                self.versions.insert(pool, (version, version));
            }
            self.begun = true;
        }
        let Some(part) = self.walk.next(&snapshot, self.tenant).await? else {
            for (pool, version) in organizations::versions(&snapshot, self.tenant).await? {
                // One that was not there before has begun with nothing.
                self.versions.entry(pool).or_default().1 = version;
            }
            self.ended = true;
            return Ok(None);
        };
        let (files, rows) = self.rows.entry(part.table).or_default();
        *files += 1;
        *rows += part.rows;
        let name = format!("{}{}/{files:06}.jsonl", self.folder, part.table);
        self.files.push(json!({
            "name": name,
            "table": part.table,
            "rows": part.rows,
            "bytes": part.lines.len(),
            "sha256": data_encoding::HEXLOWER.encode(&Sha256::digest(part.lines.as_bytes())),
        }));
        Ok(Some((name, part.lines)))
    }

    /// How many files and rows each table has.
    fn tables(&self) -> Vec<Value> {
        let table = |name: &&'static str| {
            let (files, rows) = self.rows.get(name).copied().unwrap_or_default();
            json!({ "name": name, "files": files, "rows": rows })
        };
        TABLES.iter().map(table).collect()
    }

    /// Which versions the pools had.
    fn pools(&self) -> Vec<Value> {
        let pool = |(id, (before, after)): (&PoolId, &(i64, i64))| json!({ "id": Uuid::from_u128(id.as_u128()).to_string(), "versionBefore": before, "versionAfter": after });
        self.versions.iter().map(pool).collect()
    }
}

/// A file with what stands around it.
fn archived(began_at: Timestamp, name: &str, content: &[u8]) -> Result<Vec<u8>> {
    let seconds = began_at.micros().div_euclid(1_000_000);
    let around = tar::around(name, content.len(), seconds);
    let (header, rest) = around.ok_or_else(|| Error::internal("a part is too long for an archive"))?;
    let mut bytes = Vec::with_capacity(header.len() + content.len() + rest.len());
    bytes.extend(header);
    bytes.extend(content);
    bytes.extend(rest);
    Ok(bytes)
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
