//! The pages of single sign-on: from an address to the organization's identity provider, there and back.
//!
//! `/sso` asks for an address and says whose provider that is; `/sso/{organization}` leads to the provider's page;
//! `/sso/{organization}/callback` is where it leads back to, with a code. That page shows the tokens of the session, as
//! the one of a sign-in link does, in its body and nowhere else; and like there the browser keeps, sealed, who it is.
//!
//! Each organization has an address of its own to come back to. A provider that leads on to another organization's
//! gets no code of that one: the answer comes back to where the other's belong, and no sign-in there has begun
//! (RFC 9700, section 4.4.2.2). So it is known whose answer it is, also of a provider that does not name itself.
//!
//! An answer counts once, in the browser that has begun, within ten minutes. What does not is counted by client. What
//! a provider says goes nowhere: the only words on these pages are ours.

use std::net::SocketAddr;
use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Extension, Path, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bursar_domain::sign_on;
use bursar_entity::organization;

use super::State;
use super::body;
use super::page::{self, Failure, Way};
use super::person_cookie;
use super::request_id::RequestId;
use super::sign_in::signed_in_page;
use super::sso_cookie;
use crate::auth::SignedIn;
use crate::auth::issuers::{Brought, organization_of_domain};
use crate::db::Tenant;
use crate::error::{Error, Result};
use crate::organizations;
use crate::sign_in::{self, Client};
use crate::text;

/// What the nonce of the form is about.
const FORM: &str = "single sign-on form";

/// The page that asks for an address.
#[derive(Template)]
#[template(path = "sso.html")]
struct AskPage {
    nonce: String,
    email: String,
    /// Whose provider it is.
    found: Option<Found>,
    notice: Option<&'static str>,
}

/// An organization whose provider signs people in.
struct Found {
    name: String,
    /// Where that begins.
    way: String,
}

/// Where the provider of the organization with a short name leads back to.
fn back(state: &State, slug: &str) -> String {
    state.server.services().config.link(&organizations::sign_on_callback(slug))
}

/// A value of a form or query; empty when it was not sent.
fn value(pairs: &[u8], name: &str) -> String {
    let found = url::form_urlencoded::parse(pairs).find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Asks for an address.
pub async fn show(Shared(state): Shared<Arc<State>>) -> Response {
    ask(&state, StatusCode::OK, String::new(), None, None)
}

/// Says whose provider an address's is. Whether there is such a person is neither asked nor told.
pub async fn find(
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
    let (services, email) = (state.server.services(), value(&body, "email"));
    if !services.keys.is_page_nonce(FORM, &value(&body, "nonce"), services.context.clock.now()) {
        let notice = Some("Please press the button once more.");
        return ask(&state, StatusCode::CONFLICT, email, None, notice);
    }
    let Some(address) = text::address(&email) else {
        return ask(&state, StatusCode::BAD_REQUEST, email, None, Some("This is not an e-mail address."));
    };
    match of_address(&state, &address).await {
        Ok(Some(found)) => ask(&state, StatusCode::OK, email, Some(found), None),
        Ok(None) => {
            // Whoever asks for many wants to know whose providers there are.
            let client = Client { address: peer.ip(), origin: Some(origin) };
            if let Err(error) = client.count_failure(&services.attempts).await {
                return failed(&error);
            }
            let notice = Some("No organization signs people with this address in. Use a link by mail.");
            ask(&state, StatusCode::OK, email, None, notice)
        }
        Err(error) => failed(&error),
    }
}

/// The organization whose provider is believed about an address.
async fn of_address(state: &State, address: &str) -> Result<Option<Found>> {
    let found = believed_about(state, address).await?;
    Ok(found.map(|organization| Found { way: way_of(&organization), name: organization.name }))
}

/// Where somebody with an address signs in to an organization, when its own provider is believed about that; none: by mail.
pub(super) async fn way_into(state: &State, tenant: Tenant, address: &str) -> Result<Option<String>> {
    let found = believed_about(state, address).await?;
    Ok(found.filter(|organization| organization.id == tenant.id()).as_ref().map(way_of))
}

/// The organization that a provider of its own signs such people in to.
async fn believed_about(state: &State, address: &str) -> Result<Option<organization::Model>> {
    let context = &state.server.services().context;
    let domain = sign_on::domain_of(address).unwrap_or_default();
    let Some(organization) = organization_of_domain(context, domain).await? else { return Ok(None) };
    // What is public of the organization that the domain belongs to.
    match organizations::provider_of(context, Tenant::vouched(organization)).await {
        Ok((organization, _)) => Ok(Some(organization)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where signing in by an organization's provider begins.
fn way_of(organization: &organization::Model) -> String {
    format!("/sso/{}", organization.slug)
}

fn ask(
    state: &State,
    code: StatusCode,
    email: String,
    found: Option<Found>,
    notice: Option<&'static str>,
) -> Response {
    let services = state.server.services();
    let nonce = services.keys.page_nonce(FORM, services.context.clock.now());
    page::render(code, &AskPage { nonce, email, found, notice })
}

/// Leads to the page of an organization's provider.
pub async fn begin(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    organization: Result<Path<String>, PathRejection>,
) -> Response {
    // What is not even text is nobody's name.
    let slug = organization.map(|Path(slug)| slug).unwrap_or_default();
    let client = Client { address: peer.ip(), origin: Some(origin) };
    match way(&state, &client, &slug).await {
        Ok((url, cookie)) => {
            let response = (StatusCode::SEE_OTHER, [(header::LOCATION, url), (header::SET_COOKIE, cookie)]);
            page::secured(response.into_response(), page::REDIRECT_POLICY)
        }
        Err(error) => failed(&error),
    }
}

async fn way(state: &State, client: &Client, slug: &str) -> Result<(HeaderValue, HeaderValue)> {
    let services = state.server.services();
    let found = organizations::provider_by_slug(&services.context, slug).await;
    if matches!(found, Err(Error::NotFound { .. })) {
        client.count_failure(&services.attempts).await?;
    }
    let (organization, provider) = found?;
    let back = back(state, &organization.slug);
    let way = services.issuers.begin(&services.context, &provider, &back).await?;
    let url = HeaderValue::from_str(way.url.as_str());
    let url = url.map_err(|_| Error::internal("an address that is no header"))?;
    Ok((url, sso_cookie::keep(state, &way.flow)?))
}

/// Where a provider leads back to.
pub async fn finish(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    organization: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let client = Client { address: peer.ip(), origin: Some(origin) };
    let slug = organization.map(|Path(slug)| slug).unwrap_or_default();
    let query = uri.query().unwrap_or_default();
    let (mut response, session) = match enter(&state, &client, &headers, (slug.as_str(), query)).await {
        Ok((email, signed_in)) => (signed_in_page(email, &signed_in), Some(signed_in.session)),
        Err(error) => (failed(&error), None),
    };
    // It is over, one way or the other.
    if let Ok(cookie) = sso_cookie::forget(&state) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    if let Some(session) = session {
        person_cookie::keep(&state, &mut response, &session);
    }
    response
}

async fn enter(
    state: &State,
    client: &Client,
    headers: &HeaderMap,
    (slug, query): (&str, &str),
) -> Result<(String, SignedIn)> {
    let services = state.server.services();
    let context = &services.context;
    let parameter = |name: &str| value(query.as_bytes(), name);
    let flow = sso_cookie::read(state, headers);
    let Some(flow) = flow.filter(|flow| flow.is_answered_by(context, &parameter("state"))) else {
        client.count_failure(&services.attempts).await?;
        return Err(Error::not_found("sign-in"));
    };
    // The flow was sealed here, for this organization.
    let tenant = Tenant::vouched(flow.organization());
    let (organization, provider) = organizations::provider_of(context, tenant).await?;
    if organization.slug != slug {
        // Another organization's provider has answered: its code is nobody else's to see.
        client.count_failure(&services.attempts).await?;
        return Err(Error::not_found("sign-in"));
    }
    if !parameter("error").is_empty() {
        // Which of the provider's reasons it was is between it and the person.
        return Err(Error::Forbidden);
    }
    let (back, code, named) = (back(state, slug), parameter("code"), parameter("iss"));
    let named = Some(named.as_str()).filter(|named| !named.is_empty());
    let brought = Brought { back: &back, code: &code, named };
    match services.issuers.redeem(context, &services.keys, &provider, &flow, brought).await {
        Ok(vouched) => sign_in::enter_by_provider(context, &services.keys, client, &vouched).await,
        Err(error) => {
            if let Error::Unauthenticated(reason) = error {
                client.count_failure(&services.attempts).await?;
                sign_in::refuse_by_provider(context, client, tenant, reason).await?;
            }
            Err(error)
        }
    }
}

/// Where a sign-in by a provider begins.
const AGAIN: Way = ("/sso", "Begin with your e-mail address");

/// What is said when something fails that is not about the provider.
const FAILURE: Failure = Failure {
    absent: (
        "No single sign-on here",
        "No organization signs people in at this address. Your own e-mail address leads to your organization's.",
    ),
    tried: "This was tried too often.",
    uncertain: "Please begin again.",
    again: Some(AGAIN),
    fault: "somebody could not sign in by a provider",
};

fn failed(error: &Error) -> Response {
    match error {
        Error::NotFound { what: "sign-in", .. } => page::message_with_way(
            StatusCode::BAD_REQUEST,
            "Please begin again",
            "This sign-in was not begun in this browser, took too long, or is over already.",
            AGAIN,
        ),
        Error::Forbidden => page::message_with_way(
            StatusCode::FORBIDDEN,
            "Not signed in",
            "Your organization's identity provider did not sign you in. You can begin again.",
            AGAIN,
        ),
        Error::Unauthenticated("The token is not valid." | "The token has expired.") => {
            page::message_with_way(
                StatusCode::FORBIDDEN,
                "Not signed in",
                "What your organization's identity provider has sent is not valid. You can begin again.",
                AGAIN,
            )
        }
        Error::Unauthenticated(reason) => page::message(StatusCode::FORBIDDEN, "Not signed in", reason),
        Error::Unavailable(_) => page::message(
            StatusCode::BAD_GATEWAY,
            "Your identity provider does not answer",
            "Your organization's identity provider cannot be reached, or does not answer as it should. Please try \
             again shortly.",
        ),
        Error::Stale => page::message_with_way(
            StatusCode::CONFLICT,
            "Please begin again",
            "Your organization has just changed its single sign-on.",
            AGAIN,
        ),
        error => page::failed(error, &FAILURE),
    }
}
