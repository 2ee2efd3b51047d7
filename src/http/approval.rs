//! The page that an approval's mail leads to: plain HTML, without scripts, where somebody decides about a purchase.
//!
//! Opening it changes nothing, whatever comes along: machines that look for viruses open links, run scripts and press
//! buttons. A decision is a POST with the page's nonce and the four digits that the mail shows and the link does not
//! carry, for a yes and for a no. About much money one has to have signed in with the same browser as well: by the
//! organization's own identity provider, when that is believed about the person's address; else by mail.
//!
//! # Order
//! Whose browser it is, whether there is something to decide, the nonce, whether one has signed in, what was filled in;
//! then `purchases` decides, where the link and the code are looked at again with everything locked.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Extension, Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bursar_domain::approval::{Choice, Language, LinkKind, LinkOver, NotApprovable};
use bursar_domain::organization::OrganizationState;

use super::State;
use super::approval_page::{self, DecideForm, Notice, Said};
use super::approval_pay;
use super::body::{self, Unreadable};
use super::page;
use super::person_cookie::{self, LeaveForm};
use super::request_id::RequestId;
use super::sso;
use crate::approvals::{self, ApprovalLink, By, Decide, Decided, FoundApproval, Standing};
use crate::auth::Actor;
use crate::error::Result;
use crate::purchases;
use crate::sign_in::{Client, typed_code};
use crate::text;
use crate::words::Words;

/// The most characters of a reason.
const MOST_OF_REASON: usize = 500;

/// The last part of a link's address.
type Last = Result<Path<String>, PathRejection>;

/// What the forms send.
#[derive(Default)]
pub(super) struct Form {
    /// The page's nonce.
    pub nonce: String,
    /// The digits that were entered.
    pub code: String,
    choice: String,
    reason: String,
    sole_owner: bool,
    /// Whether the browser is to forget who has signed in.
    leave: bool,
}

impl Form {
    fn read(body: &[u8]) -> Form {
        let mut form = Form::default();
        for (name, value) in url::form_urlencoded::parse(body) {
            match name.as_ref() {
                "nonce" => form.nonce = value.into_owned(),
                "code" => form.code = value.into_owned(),
                "choice" => form.choice = value.into_owned(),
                "reason" => form.reason = reason(&value),
                "sole_owner" => form.sole_owner = value == "yes",
                "leave" => form.leave = value == "yes",
                _ => {}
            }
        }
        form
    }
}

/// A reason as somebody has typed it: its lines end as browsers do not end them.
fn reason(typed: &str) -> String {
    typed.trim().chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Who has signed in with the browser that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visitor {
    /// Nobody, as far as it is known, or somebody who may not act in this organization by that.
    Nobody,
    /// Whose link it is.
    Addressee,
    /// Somebody else.
    Another,
}

/// A link that was opened.
pub(super) struct Opened {
    /// The link.
    pub link: ApprovalLink,
    /// What it leads to.
    pub found: FoundApproval,
    /// Who has signed in.
    pub visitor: Visitor,
    /// Where one signs in to decide.
    sign_in: String,
    /// The language of the answer.
    pub words: Words,
}

/// The request that sends a form.
pub(super) struct Sent {
    /// Its id.
    pub origin: String,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// What it sends; nothing, when that cannot be read.
    pub form: Form,
    /// Whether it is more than a form may send.
    is_too_large: bool,
}

/// Shows the page.
pub async fn show(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    last: Last,
) -> Response {
    match open(&state, &Client { address: peer.ip(), origin: Some(origin) }, &headers, last).await {
        Ok(opened) if opened.visitor == Visitor::Another => another(&state, &opened),
        Ok(opened) => opened_page(&state, &opened),
        Err(error) => approval_page::failed(approval_page::words(&headers, Language::English), &error),
    }
}

/// Takes what its form sends.
pub async fn answer(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    last: Last,
    body: Body,
) -> Response {
    let words = approval_page::words(&headers, Language::English);
    if page::is_foreign(&headers) {
        return approval_page::foreign(words);
    }
    let client = Client { address: peer.ip(), origin: Some(origin.clone()) };
    let opened = match open(&state, &client, &headers, last).await {
        Ok(opened) => opened,
        Err(error) => return approval_page::failed(words, &error),
    };
    let body = body::read(&headers, body).await;
    let is_too_large = body == Err(Unreadable::TooLarge);
    let form = body.map(|body| Form::read(&body)).unwrap_or_default();
    let sent = Sent { origin, peer, form, is_too_large };
    if opened.visitor == Visitor::Another {
        if sent.form.leave && has_nonce(&state, &opened, &sent.form) {
            return leave(&state, &opened);
        }
        note(&state, &opened, &sent, "OTHER_PERSON");
        return another(&state, &opened);
    }
    match opened.link.kind() {
        LinkKind::Decide => decide(&state, opened, sent).await,
        LinkKind::Pay => approval_pay::pay(&state, &opened, &sent).await,
    }
}

/// Finds what a link leads to. Those that Bursar has not made are counted.
async fn open(state: &State, client: &Client, headers: &HeaderMap, last: Last) -> Result<Opened> {
    let services = state.server.services();
    // What is not even text is the address of nothing, like any other that Bursar did not make.
    let text = last.map(|Path(text)| text).unwrap_or_default();
    let link = match ApprovalLink::read(&services.keys, &text) {
        Ok(link) => link,
        Err(error) => {
            client.count_link(&services.attempts).await?;
            return Err(error);
        }
    };
    let found = approvals::find(&services.context, &link).await?;
    let way = match found.needs_sign_in {
        true => sso::way_into(state, link.tenant(), &found.person.email).await?,
        false => None,
    };
    let visitor = match person_cookie::session(state, headers).await? {
        Some(session) if session.user_id != link.user() => Visitor::Another,
        // Whom an organization's provider vouches for has signed in for that organization only; and where it vouches for
        // the person, nothing else is as good.
        Some(session) => match session.organization_id {
            Some(only) if only == link.tenant().id() && way.is_some() => Visitor::Addressee,
            None if way.is_none() => Visitor::Addressee,
            Some(_) | None => Visitor::Nobody,
        },
        None => Visitor::Nobody,
    };
    let sign_in = way.unwrap_or_else(|| "/sign-in".to_owned());
    let words = approval_page::words(headers, found.language);
    Ok(Opened { link, found, visitor, sign_in, words })
}

/// The page as it is when it is opened.
fn opened_page(state: &State, opened: &Opened) -> Response {
    let (words, found) = (opened.words, &opened.found);
    let is_open = matches!(found.standing, Standing::Open { .. }) || approval_pay::goes_on(&found.standing);
    if is_open && found.organization.state == OrganizationState::Suspended {
        return approval_page::show(words, StatusCode::OK, found, Said::Suspended, None);
    }
    match &found.standing {
        Standing::Open { .. } if found.needs_sign_in && opened.visitor != Visitor::Addressee => {
            approval_page::show(words, StatusCode::OK, found, Said::SignIn(opened.sign_in.clone()), None)
        }
        Standing::Open { .. } => form_page(state, opened, StatusCode::OK, None, Form::default()),
        standing if approval_pay::goes_on(standing) => {
            approval_pay::form_page(state, opened, StatusCode::OK, None)
        }
        standing => approval_page::refused(words, status(standing, false), found),
    }
}

/// The page with the form to decide with.
fn form_page(
    state: &State,
    opened: &Opened,
    code: StatusCode,
    notice: Option<Notice>,
    form: Form,
) -> Response {
    let form = DecideForm::new(opened.link.path(), nonce(state, opened), form.reason, form.sole_owner);
    approval_page::show(opened.words, code, &opened.found, Said::Decide(form), notice)
}

/// A nonce for the page of a link.
pub(super) fn nonce(state: &State, opened: &Opened) -> String {
    let services = state.server.services();
    services.keys.page_nonce(opened.link.about(), services.context.clock.now())
}

/// Whether a form was on the page of a link.
pub(super) fn has_nonce(state: &State, opened: &Opened, form: &Form) -> bool {
    let services = state.server.services();
    services.keys.is_page_nonce(opened.link.about(), &form.nonce, services.context.clock.now())
}

/// The page of whoever has signed in as somebody else. The link is as good as it was.
fn another(state: &State, opened: &Opened) -> Response {
    let form = LeaveForm { path: opened.link.path(), nonce: nonce(state, opened) };
    let said = Said::OtherPerson(form);
    approval_page::show(opened.words, StatusCode::FORBIDDEN, &opened.found, said, None)
}

/// Has the browser forget who has signed in, and open the link again.
fn leave(state: &State, opened: &Opened) -> Response {
    let mut response = page::elsewhere(&opened.link.path());
    person_cookie::forget(state, &mut response);
    response
}

/// Has it recorded that nothing was decided or paid, and why.
pub(super) fn note(state: &State, opened: &Opened, sent: &Sent, reason: &'static str) {
    let attempts = &state.server.services().attempts;
    approvals::note_refusal(attempts, &opened.link, (sent.origin.clone(), sent.peer.ip()), reason);
}

/// Decides, or says why nothing was decided.
async fn decide(state: &State, opened: Opened, sent: Sent) -> Response {
    let (words, found) = (opened.words, &opened.found);
    match &found.standing {
        Standing::Open { .. } => {}
        standing => {
            note(state, &opened, &sent, word(standing));
            return approval_page::refused(words, status(standing, true), found);
        }
    }
    if found.organization.state == OrganizationState::Suspended {
        return approval_page::show(words, StatusCode::CONFLICT, found, Said::Suspended, None);
    }
    if found.needs_sign_in && opened.visitor != Visitor::Addressee {
        note(state, &opened, &sent, NotApprovable::SignInRequired.as_str());
        let said = Said::SignIn(opened.sign_in.clone());
        return approval_page::show(words, StatusCode::FORBIDDEN, found, said, None);
    }
    if sent.is_too_large {
        // Of all that it sends only a reason can be so long.
        let code = StatusCode::PAYLOAD_TOO_LARGE;
        return form_page(state, &opened, code, Some(too_long(words)), sent.form);
    }
    // Only now: whoever may not have the form does not get it again.
    if !has_nonce(state, &opened, &sent.form) {
        let notice = Some(Notice { text: words.say("page-notice-again"), field: "" });
        return form_page(state, &opened, StatusCode::CONFLICT, notice, sent.form);
    }
    let wanted = match wanted(&opened, &sent.form) {
        Ok(wanted) => wanted,
        Err(notice) => return form_page(state, &opened, StatusCode::BAD_REQUEST, Some(notice), sent.form),
    };
    let selling = &state.server.services().selling;
    let actor = Actor::user(opened.link.user(), Some(sent.origin.clone())).at_address(Some(sent.peer.ip()));
    match purchases::decide(selling, opened.link.tenant(), &actor, opened.link.user(), wanted).await {
        Ok(decided) => decided_page(state, opened, sent, decided).await,
        Err(error) => approval_page::failed(words, &error),
    }
}

/// What a form asks for, or what is missing in it.
fn wanted(opened: &Opened, form: &Form) -> Result<Decide, Notice> {
    let (words, link) = (opened.words, &opened.found.link);
    let wrong = |field: &'static str, key: &str| Notice { text: words.say(key), field };
    let choice = Choice::parse(&form.choice).ok_or_else(|| wrong("", "page-notice-choice"))?;
    let code = typed_code(&form.code).ok_or_else(|| wrong("code", "page-notice-code"))?;
    if form.reason.chars().count() > MOST_OF_REASON {
        return Err(too_long(words));
    }
    if !text::is_seen(&form.reason) {
        return Err(wrong("reason", "page-notice-hidden"));
    }
    let reason = Some(form.reason.clone()).filter(|reason| !reason.is_empty());
    if choice == Choice::Reject && reason.is_none() {
        return Err(wrong("reason", "page-notice-reason"));
    }
    // Nobody has to know of an exception to say no to what they have asked for.
    let sole_owner = form.sole_owner || choice == Choice::Reject;
    if matches!(opened.found.standing, Standing::Open { sole_owner: true, .. }) && !sole_owner {
        return Err(wrong("sole_owner", "page-notice-sole-owner"));
    }
    let session = opened.visitor == Visitor::Addressee;
    let by = By::Link { link: link.id, code, session };
    Ok(Decide { request: link.request_id, round: link.round, choice, reason, sole_owner, by })
}

/// That a reason is longer than it may be.
fn too_long(words: Words) -> Notice {
    let text = words.say_with("page-notice-long", &[("most", MOST_OF_REASON.to_string())]);
    Notice { text, field: "reason" }
}

/// The page of what has come of a form. What it shows is read again: others may have decided meanwhile.
async fn decided_page(state: &State, opened: Opened, sent: Sent, decided: Decided) -> Response {
    let words = opened.words;
    let found = match approvals::find(&state.server.services().context, &opened.link).await {
        Ok(found) => found,
        Err(error) => return approval_page::failed(words, &error),
    };
    let opened = Opened { found, ..opened };
    let found = &opened.found;
    match decided {
        Decided::Taken(taken) => {
            approval_page::show(words, StatusCode::OK, found, Said::Decided(taken.outcome), None)
        }
        // Whoever sends it again is told that it counts once.
        Decided::Replayed(_) => {
            let reason = NotApprovable::DecidedByYou;
            approval_page::not_approvable(words, refusal(reason, true), found, reason)
        }
        Decided::Refused(reason @ NotApprovable::SignInRequired) => {
            note(state, &opened, &sent, reason.as_str());
            let said = Said::SignIn(opened.sign_in.clone());
            approval_page::show(words, StatusCode::FORBIDDEN, found, said, None)
        }
        Decided::Refused(reason) => {
            note(state, &opened, &sent, reason.as_str());
            approval_page::not_approvable(words, refusal(reason, true), found, reason)
        }
        Decided::WrongCode { left } => {
            note(state, &opened, &sent, "WRONG_CODE");
            if left <= 0 {
                let over = LinkOver::TriedTooOften;
                return approval_page::link_over(words, link_status(over, true), over, found);
            }
            if !matches!(found.standing, Standing::Open { .. }) {
                return approval_page::refused(words, status(&found.standing, true), found);
            }
            let text = words.say_with("page-notice-wrong", &[("left", left.to_string())]);
            let notice = Notice { text, field: "code" };
            form_page(state, &opened, StatusCode::BAD_REQUEST, Some(notice), sent.form)
        }
        Decided::LinkOver(over) => {
            note(state, &opened, &sent, over.as_str());
            approval_page::link_over(words, link_status(over, true), over, found)
        }
    }
}

/// Why nothing can be done, in a word for the log.
pub(super) const fn word(standing: &Standing) -> &'static str {
    match standing {
        Standing::Open { .. } | Standing::Pay => "OPEN",
        Standing::Cannot(reason) => reason.as_str(),
        Standing::Over(over) => over.as_str(),
        Standing::Lapsed | Standing::AskAnew => "LAPSED",
        Standing::Paid => "PAID",
        Standing::Left => "LEFT",
    }
}

/// The status of a page that is opened, or that a form was sent from.
pub(super) const fn status(standing: &Standing, sent: bool) -> StatusCode {
    match standing {
        Standing::Cannot(reason) => refusal(*reason, sent),
        Standing::Over(over) => link_status(*over, sent),
        Standing::Left => StatusCode::FORBIDDEN,
        Standing::Paid | Standing::Lapsed if sent => StatusCode::CONFLICT,
        Standing::Lapsed => StatusCode::GONE,
        Standing::Open { .. } | Standing::Pay | Standing::AskAnew if sent => StatusCode::CONFLICT,
        Standing::Open { .. } | Standing::Pay | Standing::AskAnew | Standing::Paid => StatusCode::OK,
    }
}

const fn refusal(reason: NotApprovable, sent: bool) -> StatusCode {
    match reason {
        NotApprovable::Expired | NotApprovable::Withdrawn | NotApprovable::StaleRound if !sent => {
            StatusCode::GONE
        }
        NotApprovable::Approved | NotApprovable::Rejected | NotApprovable::DecidedByYou if !sent => {
            StatusCode::OK
        }
        NotApprovable::Expired
        | NotApprovable::Withdrawn
        | NotApprovable::StaleRound
        | NotApprovable::Approved
        | NotApprovable::Rejected
        | NotApprovable::DecidedByYou => StatusCode::CONFLICT,
        NotApprovable::SoleOwnerUnconfirmed if sent => StatusCode::BAD_REQUEST,
        NotApprovable::SoleOwnerUnconfirmed => StatusCode::OK,
        NotApprovable::SignInRequired if !sent => StatusCode::OK,
        NotApprovable::SignInRequired
        | NotApprovable::SeatUsed
        | NotApprovable::Requester
        | NotApprovable::StandsInForRequester
        | NotApprovable::NotAsked
        | NotApprovable::NoLongerEligible
        | NotApprovable::DelegationEnded
        | NotApprovable::OtherStage => StatusCode::FORBIDDEN,
    }
}

pub(super) const fn link_status(over: LinkOver, sent: bool) -> StatusCode {
    match over {
        LinkOver::Used if sent => StatusCode::CONFLICT,
        LinkOver::Used => StatusCode::OK,
        LinkOver::Withdrawn | LinkOver::TriedTooOften | LinkOver::Expired => StatusCode::GONE,
    }
}

#[cfg(test)]
mod tests;
