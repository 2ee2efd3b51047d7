//! The page of an invitation: plain HTML, works without scripts. Opening it changes nothing, whoever opens it and
//! however often; accepting is a POST from its form, which carries a nonce that the page has given it.
//!
//! Addresses that Bursar has not made are counted by client, and after too many of them there is no answer but that
//! for a while. An address that is good always opens.

use std::net::SocketAddr;
use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Extension, Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bursar_domain::invitation::InvitationState;
use bursar_domain::ledger::Refusal;
use bursar_domain::organization::Role;

use super::State;
use super::body;
use super::page::{self, Failure};
use super::request_id::RequestId;
use crate::error::{Conflict, Error, Result};
use crate::organizations::{self, InvitationLink, Invited};
use crate::sign_in::Client;

/// The page.
#[derive(Template)]
#[template(path = "invitation.html")]
struct InvitationPage {
    path: String,
    organization: String,
    inviter: Option<String>,
    email: String,
    role: &'static str,
    expires_at: String,
    nonce: String,
    status: Status,
    /// What was wrong with the form that was sent.
    notice: Option<String>,
}

/// What the page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// It can be accepted.
    Open,
    /// It has just been accepted.
    Joined,
    /// It had been accepted before.
    Accepted,
    /// It was taken back.
    Revoked,
    /// Its time is over.
    Expired,
    /// A newer mail has another link.
    Replaced,
}

impl Status {
    fn of(invited: &Invited) -> Status {
        match invited.state {
            InvitationState::Accepted => Status::Accepted,
            InvitationState::Revoked => Status::Revoked,
            _ if invited.replaced => Status::Replaced,
            InvitationState::Expired => Status::Expired,
            InvitationState::Pending => Status::Open,
        }
    }
}

/// The last part of an invitation's address.
type Last = Result<Path<String>, PathRejection>;

/// What the form sends.
#[derive(Debug, Default)]
struct Form {
    nonce: String,
    name: String,
}

impl Form {
    fn read(body: &[u8]) -> Form {
        let mut form = Form::default();
        for (name, value) in url::form_urlencoded::parse(body) {
            match name.as_ref() {
                "nonce" => form.nonce = value.into_owned(),
                "name" => form.name = value.into_owned(),
                _ => {}
            }
        }
        form
    }
}

/// Shows the page.
pub async fn show(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    last: Last,
) -> Response {
    let client = Client { address: peer.ip(), origin: Some(origin) };
    match find(&state, &client, last).await {
        Ok((link, invited)) => {
            let status = Status::of(&invited);
            show_page(&state, StatusCode::OK, &link, &invited, status, None)
        }
        Err(error) => failed(&error),
    }
}

/// Accepts.
pub async fn accept(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    last: Last,
    body: Body,
) -> Response {
    if page::is_foreign(&headers) {
        return page::foreign();
    }
    let client = Client { address: peer.ip(), origin: Some(origin.clone()) };
    let (link, invited) = match find(&state, &client, last).await {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    let form = body::read(&headers, body).await.map(|body| Form::read(&body)).unwrap_or_default();
    let services = state.server.services();
    let (context, status) = (&services.context, Status::of(&invited));
    if !services.keys.is_page_nonce(link.about(), &form.nonce, context.clock.now()) {
        let notice = (status == Status::Open).then(|| "Please press the button once more.".to_owned());
        return show_page(&state, StatusCode::CONFLICT, &link, &invited, status, notice);
    }
    let name = Some(form.name.trim()).filter(|name| !name.is_empty());
    match organizations::accept_by_mailbox(context, &link, name, Some(origin), peer.ip()).await {
        Ok(accepted) => {
            let status = if accepted.already { Status::Accepted } else { Status::Joined };
            show_page(&state, StatusCode::OK, &link, &invited, status, None)
        }
        Err(Error::Invalid { reason, .. }) => {
            let notice = Some(format!("The name {reason}."));
            show_page(&state, StatusCode::BAD_REQUEST, &link, &invited, status, notice)
        }
        // The page itself says best why it cannot be accepted.
        Err(Error::Conflict { kind: Conflict::State, .. }) => {
            match organizations::find_invitation(context, &link).await {
                Ok(now) => show_page(&state, StatusCode::CONFLICT, &link, &now, Status::of(&now), None),
                Err(error) => failed(&error),
            }
        }
        Err(error) => failed(&error),
    }
}

/// The invitation of an address. Those that Bursar has not made are counted.
async fn find(state: &State, client: &Client, last: Last) -> Result<(InvitationLink, Invited)> {
    let services = state.server.services();
    // What is not even text is the address of nothing, like any other that Bursar did not make.
    let text = last.map(|Path(text)| text).unwrap_or_default();
    match InvitationLink::read(&services.keys, &text) {
        Ok(link) => {
            let invited = organizations::find_invitation(&services.context, &link).await?;
            Ok((link, invited))
        }
        Err(error) => {
            client.count_link(&services.attempts).await?;
            Err(error)
        }
    }
}

fn show_page(
    state: &State,
    code: StatusCode,
    link: &InvitationLink,
    invited: &Invited,
    status: Status,
    notice: Option<String>,
) -> Response {
    let services = state.server.services();
    let page = InvitationPage {
        path: link.path(),
        organization: invited.organization.name.clone(),
        inviter: invited.inviter.clone(),
        email: invited.invitation.email.clone(),
        role: match invited.invitation.role {
            Role::Owner => "Owner",
            Role::Admin => "Administrator",
            Role::Auditor => "Auditor",
            Role::Member => "Member",
        },
        expires_at: page::date(invited.invitation.expires_at),
        nonce: services.keys.page_nonce(link.about(), services.context.clock.now()),
        status,
        notice,
    };
    page::render(code, &page)
}

/// What is said when something fails.
const FAILURE: Failure = Failure {
    absent: (
        "No such invitation",
        "This address belongs to no invitation. Please open the link exactly as it is in the mail.",
    ),
    tried: "Too many addresses that belong to nothing were opened from here.",
    uncertain: "Open this page again to see whether you have joined.",
    again: None,
    fault: "an invitation failed",
};

fn failed(error: &Error) -> Response {
    match error {
        Error::Refused(Refusal::OrganizationSuspended) => page::message(
            StatusCode::CONFLICT,
            "Not possible now",
            "The organization is suspended at the moment. Nothing was changed. Please try again later.",
        ),
        error => page::failed(error, &FAILURE),
    }
}
