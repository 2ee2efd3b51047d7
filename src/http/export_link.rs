//! Everything that is kept of an organization as an archive, by the link that was made for somebody who may have it:
//! `GET /export/organization/LINK`. For browsers, which send no token with a download.
//!
//! Each download is recorded under the name of the person whom the link was made for, with where it went. Whether that
//! person still may is asked before it begins and before each part, as with a token; that the link expires meanwhile
//! cuts nothing off.
//!
//! Addresses that Bursar has not made are counted by client, as those of other links are.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Extension, Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use bursar_domain::permission::Action;
use bursar_entity::organization;
use serde_json::json;

use super::State;
use super::export_organization::{FORMAT, Proof, begin};
use super::page::{self, Failure};
use super::request_id::RequestId;
use crate::audit::Change;
use crate::auth::{Authorized, Caller};
use crate::db::Snapshots;
use crate::error::{Conflict, Error, Result};
use crate::organizations::ExportLink;
use crate::sign_in::Client;

/// The last part of a link's address.
type Last = Result<Path<String>, PathRejection>;

/// Sends everything that is kept of the organization.
pub async fn download(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    last: Last,
) -> Response {
    let client = Client { address: peer.ip(), origin: Some(origin) };
    match Box::pin(open(state, client, last)).await {
        Ok(response) => response,
        Err(error) => failed(&error),
    }
}

async fn open(state: Arc<State>, client: Client, last: Last) -> Result<Response> {
    let link = find(&state, &client, last).await?;
    link.require_good(state.server.services().context.clock.now())?;
    let facts = json!({ "format": FORMAT, "link": link.name() });
    let change = Change::created("downloadOrganization", link.organization(), facts);
    let proof = Proof::Link(link.clone(), client);
    let caller = proof.caller(&state).await?;
    let organization = authorized(&state, &caller, &link).await?;
    let Some(place) = state.server.place(caller.id()) else {
        return Ok(page::message(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many downloads",
            "Too much is being sent for this person already. Please try again when that has ended.",
        ));
    };
    begin(state, proof, organization, place, change).await
}

/// The link of an address. Those that Bursar has not made are counted.
async fn find(state: &State, sender: &Client, last: Last) -> Result<ExportLink> {
    let services = state.server.services();
    // What is not even text is the address of nothing, like any other that Bursar did not make.
    let text = last.map(|Path(text)| text).unwrap_or_default();
    match ExportLink::read(&services.keys, &text) {
        Ok(link) => Ok(link),
        Err(error) => {
            sender.count_link(&services.attempts).await?;
            Err(error)
        }
    }
}

/// The organization, when the person whom the link was made for still may take everything out.
async fn authorized(
    state: &State,
    caller: &Caller,
    link: &ExportLink,
) -> Result<Authorized<organization::Model>> {
    let snapshots = Snapshots::new(state.server.services().context.db.clone());
    caller.organization(&snapshots, link.organization(), Action::ExportOrganization).await
}

/// What is said when something fails.
const FAILURE: Failure = Failure {
    absent: ("No such archive", "This address belongs to nothing. Please ask for another link."),
    tried: "Too many addresses that belong to nothing were opened from here.",
    uncertain: "Please open this address again.",
    again: None,
    fault: "an export could not begin",
};

fn failed(error: &Error) -> Response {
    match error {
        Error::Conflict { kind: Conflict::State, reason, .. } => {
            page::message(StatusCode::GONE, "This link has expired", reason)
        }
        // Of the organization, or of the person who has left it.
        Error::NotFound { what: "organization", .. } | Error::Forbidden | Error::Unauthenticated(_) => {
            page::message(
                StatusCode::FORBIDDEN,
                "Not any more",
                "Whoever asked for this link has signed out meanwhile, or may not do this any more.",
            )
        }
        error => page::failed(error, &FAILURE),
    }
}
