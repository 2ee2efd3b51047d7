//! The page where somebody pays what was agreed to: it shows what, and its button leads on to the checkout, for whoever
//! knows the digits that the mail shows and the link does not carry. Machines that press buttons begin nothing. The link of
//! the mail that says that the price has run out has a button by which those who had agreed are asked anew.
//!
//! The mail that leads here may be opened again as long as its checkout is open: paying counts once there. The way leads to
//! our own checkout page and from there to the payment provider's: browsers follow no form to another site whose page
//! allows forms to its own only.

use axum::http::StatusCode;
use axum::response::Response;
use bursar_domain::approval::LinkOver;
use bursar_domain::organization::OrganizationState;

use super::State;
use super::approval::{Opened, Sent, has_nonce, link_status, nonce, note, status, word};
use super::approval_page::{self, Notice, PayForm, Said};
use super::page;
use crate::approvals::Standing;
use crate::auth::Actor;
use crate::error::Error;
use crate::purchases::{self, ToPay};
use crate::sign_in::typed_code;

/// Whether a link leads on: to the checkout, or to where what was not paid in time is asked for anew.
pub(super) fn goes_on(standing: &Standing) -> bool {
    matches!(standing, Standing::Pay | Standing::AskAnew)
}

/// The page with the button.
pub(super) fn form_page(
    state: &State,
    opened: &Opened,
    code: StatusCode,
    notice: Option<String>,
) -> Response {
    let form = PayForm { path: opened.link.path(), nonce: nonce(state, opened), button: String::new() };
    // It has no other field.
    let notice = notice.map(|text| Notice { text, field: "code" });
    approval_page::show(opened.words, code, &opened.found, Said::Pay(form), notice)
}

/// Leads on to the checkout, or says why not.
pub(super) async fn pay(state: &State, opened: &Opened, sent: &Sent) -> Response {
    let (words, found) = (opened.words, &opened.found);
    if !goes_on(&found.standing) {
        return refused(state, opened, sent, &found.standing);
    }
    let say = |what| approval_page::show(words, StatusCode::CONFLICT, found, what, None);
    if found.organization.state == OrganizationState::Suspended {
        return say(Said::Suspended);
    }
    if !has_nonce(state, opened, &sent.form) {
        let notice = Some(words.say("page-notice-pay"));
        return form_page(state, opened, StatusCode::CONFLICT, notice);
    }
    let Some(code) = typed_code(&sent.form.code) else {
        let notice = Some(words.say("page-notice-pay-code"));
        return form_page(state, opened, StatusCode::BAD_REQUEST, notice);
    };
    let actor = Actor::user(opened.link.user(), Some(sent.origin.clone())).at_address(Some(sent.peer.ip()));
    let selling = &state.server.services().selling;
    match purchases::pay_approved(selling, &actor, &opened.link, &code).await {
        Ok(ToPay::Checkout(link)) => page::elsewhere(&link.path()),
        // Once it has lapsed the button is for exactly that; before, it was pressed to pay.
        Ok(ToPay::AskedAgain) if found.standing == Standing::AskAnew => {
            approval_page::show(words, StatusCode::OK, found, Said::Reopened, None)
        }
        Ok(ToPay::AskedAgain) => say(Said::Reopened),
        Ok(ToPay::WrongCode { left }) => wrong_code(state, opened, sent, left),
        Ok(ToPay::Refused(standing)) => refused(state, opened, sent, &standing),
        // Among them that it is not sold any more.
        Err(Error::Conflict { .. } | Error::Refused(_) | Error::Invalid { .. } | Error::NotFound { .. }) => {
            say(Said::NotNow)
        }
        Err(error) => approval_page::failed(words, &error),
    }
}

/// Says that these are not the digits of the mail.
fn wrong_code(state: &State, opened: &Opened, sent: &Sent, left: i64) -> Response {
    note(state, opened, sent, "WRONG_CODE");
    if left <= 0 {
        let over = LinkOver::TriedTooOften;
        return approval_page::link_over(opened.words, link_status(over, true), over, &opened.found);
    }
    let notice = opened.words.say_with("page-notice-pay-wrong", &[("left", left.to_string())]);
    form_page(state, opened, StatusCode::BAD_REQUEST, Some(notice))
}

/// Says why nothing can be paid by the link.
fn refused(state: &State, opened: &Opened, sent: &Sent, standing: &Standing) -> Response {
    if !matches!(standing, Standing::Paid) {
        note(state, opened, sent, word(standing));
    }
    approval_page::refused_for(opened.words, status(standing, true), &opened.found, standing)
}
