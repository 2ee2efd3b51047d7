//! The pages to sign in with: a form that asks for a link, and the page that a link leads to. Plain HTML, without
//! scripts. Opening them changes nothing; their forms carry a nonce that the page has given them.
//!
//! The page of a link that was redeemed shows the tokens, in its body and nowhere else: not in an address, not in a
//! header, and it is not kept by anybody between. The browser keeps, sealed, who has signed in, for the pages where
//! somebody decides about a purchase (see `person_cookie`); nothing here reads that.

use std::net::SocketAddr;
use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Extension, Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::ExposeSecret;

use super::State;
use super::body;
use super::mailbox::mailbox;
use super::page::{self, Failure};
use super::person_cookie;
use super::request_id::RequestId;
use crate::auth::SignedIn;
use crate::error::{Conflict, Error, Result};
use crate::sign_in::{self, Client, FoundLink, LinkState, SignInLink};

/// What the nonce of the form is about that asks for a link.
const FORM: &str = "sign-in form";

/// The page with the form.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct FormPage {
    nonce: String,
    /// What was typed before.
    email: String,
    /// Whether the question was taken.
    asked: bool,
    /// Whether mail can be read at this server.
    mailbox: bool,
    /// What was wrong with the form that was sent.
    notice: Option<String>,
}

/// The page of a link.
#[derive(Template)]
#[template(path = "sign_in_link.html")]
struct LinkPage {
    path: String,
    email: String,
    expires_at: String,
    nonce: String,
    state: LinkState,
    /// What was wrong with the form that was sent.
    notice: Option<String>,
}

/// The page of a link that has just been redeemed.
#[derive(Template)]
#[template(path = "signed_in.html")]
struct SignedInPage {
    email: String,
    token: String,
    token_expires_at: String,
    refresh_token: String,
    expires_at: String,
}

/// The last part of a link's address.
type Last = Result<Path<String>, PathRejection>;

/// A field of a form; empty when it was not sent.
fn field(body: &[u8], name: &str) -> String {
    let found = url::form_urlencoded::parse(body).find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Shows the form.
pub async fn show(Shared(state): Shared<Arc<State>>) -> Response {
    form(&state, StatusCode::OK, String::new(), None)
}

/// Asks for a link.
pub async fn ask(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if page::is_foreign(&headers) {
        return page::foreign();
    }
    let body = body::read(&headers, body).await.unwrap_or_default();
    let (services, email) = (state.server.services(), field(&body, "email"));
    let now = services.context.clock.now();
    if !services.keys.is_page_nonce(FORM, &field(&body, "nonce"), now) {
        let notice = "Please press the button once more.".to_owned();
        return form(&state, StatusCode::CONFLICT, email, Some(notice));
    }
    let client = Client { address: peer.ip(), origin: Some(origin) };
    match services.links.request(&client, &email).await {
        Ok(()) => {
            let mailbox = mailbox(&state).is_some();
            let page = FormPage { nonce: String::new(), email, asked: true, mailbox, notice: None };
            page::render(StatusCode::OK, &page)
        }
        Err(Error::Invalid { reason, .. }) => {
            let notice = format!("This {reason}.");
            form(&state, StatusCode::BAD_REQUEST, email, Some(notice))
        }
        Err(error) => page::failed(&error, &NOT_ASKED),
    }
}

/// Shows the page of a link.
pub async fn show_link(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    last: Last,
) -> Response {
    let client = Client { address: peer.ip(), origin: Some(origin) };
    match find(&state, &client, &text(last)).await {
        Ok((link, found)) => link_page(&state, StatusCode::OK, &link, found, None),
        Err(error) => failed(&error),
    }
}

/// Redeems a link.
pub async fn redeem(
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
    let client = Client { address: peer.ip(), origin: Some(origin) };
    let (link, found) = match find(&state, &client, &text(last)).await {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    let body = body::read(&headers, body).await.unwrap_or_default();
    let services = state.server.services();
    let (context, keys) = (&services.context, &services.keys);
    if !keys.is_page_nonce(link.about(), &field(&body, "nonce"), context.clock.now()) {
        let notice = "Please press the button once more.".to_owned();
        return link_page(&state, StatusCode::CONFLICT, &link, found, Some(notice));
    }
    let code = field(&body, "code");
    match sign_in::redeem(context, &services.attempts, keys, &client, &link.text(), &code).await {
        Ok(signed_in) => {
            let mut response = signed_in_page(found.email, &signed_in);
            person_cookie::keep(&state, &mut response, &signed_in.session);
            response
        }
        Err(Error::Invalid { reason, .. }) => {
            let notice = format!("The code {reason}.");
            as_it_is(&state, StatusCode::BAD_REQUEST, &link, Some(notice)).await
        }
        // The page itself says best why it is not good.
        Err(Error::Conflict { kind: Conflict::State, .. }) => {
            as_it_is(&state, StatusCode::CONFLICT, &link, None).await
        }
        Err(error) => failed(&error),
    }
}

/// The page of a link as it is after a form was sent.
async fn as_it_is(state: &State, code: StatusCode, link: &SignInLink, notice: Option<String>) -> Response {
    match sign_in::find(&state.server.services().context, link).await {
        Ok(found) => link_page(state, code, link, found, notice),
        Err(error) => failed(&error),
    }
}

/// The last part of an address. What is not even text is the address of nothing, like any other that Bursar did not
/// make.
fn text(last: Last) -> String {
    last.map(|Path(text)| text).unwrap_or_default()
}

/// The link of an address. Those that Bursar has not made are counted.
async fn find(state: &State, client: &Client, text: &str) -> Result<(SignInLink, FoundLink)> {
    let services = state.server.services();
    match SignInLink::read(&services.keys, text) {
        Ok(link) => {
            let found = sign_in::find(&services.context, &link).await?;
            Ok((link, found))
        }
        Err(error) => {
            client.count_failure(&services.attempts).await?;
            Err(error)
        }
    }
}

fn form(state: &State, code: StatusCode, email: String, notice: Option<String>) -> Response {
    let services = state.server.services();
    let nonce = services.keys.page_nonce(FORM, services.context.clock.now());
    page::render(code, &FormPage { nonce, email, asked: false, mailbox: false, notice })
}

fn link_page(
    state: &State,
    code: StatusCode,
    link: &SignInLink,
    found: FoundLink,
    notice: Option<String>,
) -> Response {
    let services = state.server.services();
    let page = LinkPage {
        path: link.path(),
        email: found.email,
        expires_at: page::date(found.expires_at),
        nonce: services.keys.page_nonce(link.about(), services.context.clock.now()),
        state: found.state,
        notice,
    };
    page::render(code, &page)
}

/// The page that shows the tokens of a session that has just been opened.
pub(super) fn signed_in_page(email: String, signed_in: &SignedIn) -> Response {
    let page = SignedInPage {
        email,
        token: signed_in.token.expose_secret().to_owned(),
        token_expires_at: page::date(signed_in.token_expires_at),
        refresh_token: signed_in.refresh_token.expose_secret().to_owned(),
        expires_at: page::date(signed_in.session.expires_at),
    };
    page::render(StatusCode::OK, &page)
}

/// What is said when something fails.
const FAILURE: Failure = Failure {
    absent: (
        "No such link",
        "This address signs nobody in. Please open the link exactly as it is in the mail, or ask for another one.",
    ),
    tried: "This was tried too often.",
    uncertain: "Please ask for another link.",
    again: Some(("/sign-in", "Ask for a link")),
    fault: "somebody could not sign in",
};

/// What is said when asking for a link fails. Whether one was sent is not said.
const NOT_ASKED: Failure = Failure {
    tried: "A link was asked for too often. One may have been sent a short while ago: please look into your mailbox. \
            Each is good for 15 minutes.",
    ..FAILURE
};

fn failed(error: &Error) -> Response {
    page::failed(error, &FAILURE)
}
