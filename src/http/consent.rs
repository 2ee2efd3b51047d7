//! The page on which somebody agrees that a way of paying is used without anybody being there: plain HTML, works without
//! scripts. Opening it changes nothing; agreeing and withdrawing are POSTs from its forms.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State as Shared};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use bursar_domain::ledger::Refusal;
use bursar_domain::purchase::PaymentProvider;

use super::State;
use super::body;
use super::page::{self, Failure};
use super::request_id::RequestId;
use crate::error::{Conflict, Error};
use crate::purchases::{self, Consent, ConsentLink, SandboxMethod};

/// The page.
#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage {
    path: String,
    organization: String,
    pool: String,
    words: String,
    label: String,
    consented_at: String,
    status: Status,
    /// Whether the sandbox takes the money, and so gives the way of paying.
    sandbox: bool,
    /// Where the way of paying is given; empty: not yet, or nowhere.
    continue_at: String,
    /// Whether a wrong code was given.
    wrong_code: bool,
}

/// What the page says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    /// It can be agreed to.
    Open,
    /// It was agreed to here, and the provider asks for the way of paying.
    Continue,
    /// It was agreed to.
    Agreed,
    /// A wrong code was given too often.
    Spent,
    /// It was withdrawn, or replaced by another.
    Closed,
}

impl Status {
    fn of(consent: &Consent) -> Status {
        match (consent.method.removed_at, consent.method.consented_at) {
            (Some(_), _) => Status::Closed,
            (None, Some(_)) => Status::Agreed,
            (None, None) if consent.is_open() => Status::Open,
            (None, None) if consent.is_spent() => Status::Spent,
            (None, None) => Status::Closed,
        }
    }
}

/// What the forms send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Agree(SandboxMethod),
    Withdraw,
}

impl Choice {
    fn read(body: &[u8]) -> Option<Choice> {
        let choice = url::form_urlencoded::parse(body).find(|(name, _)| name == "choice");
        match choice.as_ref().map(|(_, value)| value.as_ref()) {
            Some("agree" | "pays") => Some(Choice::Agree(SandboxMethod::Pays)),
            Some("declines") => Some(Choice::Agree(SandboxMethod::Declines)),
            Some("asks") => Some(Choice::Agree(SandboxMethod::Asks)),
            Some("withdraw") => Some(Choice::Withdraw),
            _ => None,
        }
    }
}

/// The code that was typed in; empty: none was.
fn code(body: &[u8]) -> String {
    let code = url::form_urlencoded::parse(body).find(|(name, _)| name == "code");
    code.map(|(_, code)| code.into_owned()).unwrap_or_default()
}

/// The three parts of the address.
type Parts = Result<Path<(String, String, String)>, PathRejection>;

fn link(parts: Parts) -> ConsentLink {
    // What is not even text is the address of nothing, like any other that Bursar did not make.
    let (organization, method, token) = parts.map(|Path(parts)| parts).unwrap_or_default();
    ConsentLink { organization, method, token }
}

/// Shows the page.
pub async fn show(Shared(state): Shared<Arc<State>>, parts: Parts) -> Response {
    let link = link(parts);
    match purchases::find_consent(&state.server.services().selling, &link).await {
        Ok(consent) => show_page(StatusCode::OK, &link, &consent, (None, false)),
        Err(error) => failed(&error),
    }
}

/// Leads back to the page from where the provider leads to.
pub async fn back(uri: Uri) -> Response {
    page::elsewhere(uri.path().rsplit_once('/').map_or("/", |(page, _)| page))
}

/// Agrees, or withdraws.
pub async fn answer(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    headers: HeaderMap,
    parts: Parts,
    body: Body,
) -> Response {
    if page::is_foreign(&headers) {
        return page::foreign();
    }
    let link = link(parts);
    let selling = &state.server.services().selling;
    let body = body::read(&headers, body).await.ok();
    let choice = body.as_ref().and_then(|body| Choice::read(body));
    let code = body.as_ref().map(|body| code(body)).unwrap_or_default();
    let answered = match choice {
        Some(Choice::Agree(chosen)) => purchases::agree(selling, &link, (chosen, &code), Some(origin))
            .await
            .map(|agreed| (agreed.consent, agreed.continue_at)),
        Some(Choice::Withdraw) => {
            purchases::withdraw(selling, &link, Some(origin)).await.map(|consent| (consent, None))
        }
        // Nothing was chosen: nothing is done.
        None => purchases::find_consent(selling, &link).await.map(|consent| (consent, None)),
    };
    match answered {
        Ok((consent, continue_at)) => show_page(StatusCode::OK, &link, &consent, (continue_at, false)),
        // The page itself says best why not.
        Err(error @ (Error::Conflict { kind: Conflict::State, .. } | Error::Invalid { .. })) => {
            let wrong_code = matches!(error, Error::Invalid { .. });
            let status = if wrong_code { StatusCode::FORBIDDEN } else { StatusCode::CONFLICT };
            match purchases::find_consent(selling, &link).await {
                Ok(consent) => show_page(status, &link, &consent, (None, wrong_code)),
                Err(error) => failed(&error),
            }
        }
        Err(error) => failed(&error),
    }
}

fn show_page(
    code: StatusCode,
    link: &ConsentLink,
    consent: &Consent,
    (continue_at, wrong_code): (Option<String>, bool),
) -> Response {
    let status = if continue_at.is_some() { Status::Continue } else { Status::of(consent) };
    let page = ConsentPage {
        path: link.path(),
        organization: consent.organization.name.clone(),
        pool: consent.pool.name.clone(),
        words: consent.method.consent.clone(),
        label: consent.method.label.clone().unwrap_or_default(),
        consented_at: consent.method.consented_at.map(page::date).unwrap_or_default(),
        status,
        sandbox: consent.method.provider == PaymentProvider::Sandbox,
        continue_at: continue_at.unwrap_or_default(),
        wrong_code,
    };
    page::render(code, &page)
}

/// What is said when something fails.
const FAILURE: Failure = Failure {
    absent: (
        "No such agreement",
        "This address belongs to no agreement. Nothing was agreed to. Please start again from your account.",
    ),
    tried: "This was tried too often.",
    uncertain: "Open this page again to see what has been agreed to.",
    again: None,
    fault: "an agreement about a way of paying failed",
};

fn failed(error: &Error) -> Response {
    match error {
        Error::Refused(Refusal::OrganizationSuspended) => page::message(
            StatusCode::CONFLICT,
            "Not possible now",
            "The organization is suspended at the moment. Nothing was changed. Please try again later.",
        ),
        Error::Unavailable(_) => page::message(
            StatusCode::SERVICE_UNAVAILABLE,
            "Not possible now",
            "The payment provider cannot do this at the moment. Nothing was agreed to. Please try again shortly.",
        ),
        error => page::failed(error, &FAILURE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_say_what_is_chosen() {
        let agree = |method| Some(Choice::Agree(method));
        assert_eq!(Choice::read(b"choice=agree"), agree(SandboxMethod::Pays));
        assert_eq!(Choice::read(b"x=1&choice=declines"), agree(SandboxMethod::Declines));
        assert_eq!(Choice::read(b"choice=asks"), agree(SandboxMethod::Asks));
        assert_eq!(Choice::read(b"choice=withdraw"), Some(Choice::Withdraw));
        for nothing in ["", "choice=", "choice=AGREE", "agree=choice"] {
            assert_eq!(Choice::read(nothing.as_bytes()), None, "{nothing}");
        }
    }
}
