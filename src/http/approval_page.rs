//! What the page of an approval's link says: the same one for all that can have become of it, in its reader's language.
//!
//! Whoever cannot decide is told why, and nothing of what the organization has and does, unless there was something to
//! decide once and they belong to it.

use askama::Template;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bursar_domain::approval::{
    Language, LinkKind, LinkOver, NotApprovable, Outcome, RequestState, RoundCause,
};

use super::approval_decisions::{Line, decisions};
use super::page;
use super::person_cookie::LeaveForm;
use crate::approvals::{FoundApproval, Standing};
use crate::error::Error;
use crate::words::Words;

/// Like every page's, and with the organization's logo, which is in the page itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// The page.
#[derive(Template)]
#[template(path = "approval.html")]
struct ApprovalPage {
    words: Words,
    /// What it says, in a word for programs.
    state: &'static str,
    /// How its title looks.
    tone: &'static str,
    title: String,
    text: String,
    /// What was wrong with the form that was sent.
    notice: Option<Notice>,
    organization: Option<String>,
    /// The logo, as an address that holds it.
    logo: Option<String>,
    /// Where one signs in, when that is to be done first.
    sign_in: Option<String>,
    facts: Vec<Fact>,
    decisions: Vec<Line>,
    decide: Option<DecideForm>,
    pay: Option<PayForm>,
    leave: Option<LeaveForm>,
}

impl ApprovalPage {
    /// Whether something was wrong with a field.
    fn is_wrong(&self, field: &str) -> bool {
        self.notice.as_ref().is_some_and(|notice| notice.field == field)
    }
}

/// What was wrong with a form that was sent.
pub struct Notice {
    /// In words.
    pub text: String,
    /// The field that it is about; empty: the form as a whole.
    pub field: &'static str,
}

/// One thing that is known.
struct Fact {
    label: String,
    value: String,
    /// How it looks.
    look: &'static str,
}

/// The form to decide with.
pub struct DecideForm {
    /// Where it is sent to.
    pub path: String,
    /// The page's nonce.
    pub nonce: String,
    /// What was typed before.
    pub reason: String,
    /// What was ticked before.
    pub sole_owner: bool,
    /// Whether one has to say that one knows of the exception. Filled in by the page.
    pub asks_sole_owner: bool,
    /// What whoever does not know what this is about is told. Filled in by the page.
    pub stranger: String,
}

impl DecideForm {
    /// The form as somebody has filled it in.
    pub fn new(path: String, nonce: String, reason: String, sole_owner: bool) -> DecideForm {
        DecideForm { path, nonce, reason, sole_owner, asks_sole_owner: false, stranger: String::new() }
    }
}

/// The form to pay with.
pub struct PayForm {
    /// Where it is sent to.
    pub path: String,
    /// The page's nonce.
    pub nonce: String,
    /// What its button says. Filled in by the page.
    pub button: String,
}

/// What is said, when it is not only that nothing can be done.
pub enum Said {
    /// That it can be decided.
    Decide(DecideForm),
    /// That one has to sign in first, and where.
    SignIn(String),
    /// What has come of a decision.
    Decided(Outcome),
    /// That it can be paid; or, when nobody has in time, that it can be asked for anew.
    Pay(PayForm),
    /// That it was not paid, because the price was no longer valid.
    Reopened,
    /// That it cannot be paid now.
    NotNow,
    /// That the link is another person's.
    OtherPerson(LeaveForm),
    /// That the organization is suspended, so that nothing can be decided or paid.
    Suspended,
}

/// The language of whoever asks; else the one that is given.
pub fn words(headers: &HeaderMap, otherwise: Language) -> Words {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    Words::accepted(accepted, otherwise)
}

/// The page of somebody who cannot decide or pay, which says why.
pub fn refused(words: Words, code: StatusCode, found: &FoundApproval) -> Response {
    refused_for(words, code, found, &found.standing)
}

/// The same for what was found out when a form was sent.
pub fn refused_for(words: Words, code: StatusCode, found: &FoundApproval, standing: &Standing) -> Response {
    match standing {
        Standing::Cannot(reason) => not_approvable(words, code, found, *reason),
        Standing::Over(over) => link_over(words, code, *over, found),
        Standing::Paid => {
            // Whoever has left keeps the link.
            let facts = if found.is_member { facts(words, found) } else { Vec::new() };
            render(code, ApprovalPage { facts, tone: "good", ..said(words, "PAID", "paid", Some(found)) })
        }
        Standing::Lapsed => {
            let page = said(words, "LAPSED", "lapsed", Some(found));
            if !found.is_member {
                return render(code, page);
            }
            let (facts, decisions) = (facts(words, found), decisions(words, found));
            render(code, ApprovalPage { facts, decisions, ..page })
        }
        Standing::Left => render(code, said(words, "NO_LONGER_ELIGIBLE", "pay-left", Some(found))),
        // There is something to be done; whoever comes here is to look again.
        Standing::Open { .. } | Standing::Pay | Standing::AskAnew => {
            render(code, said(words, "NOT_NOW", "busy", Some(found)))
        }
    }
}

/// The page of whoever cannot decide.
pub fn not_approvable(
    words: Words,
    code: StatusCode,
    found: &FoundApproval,
    reason: NotApprovable,
) -> Response {
    let page = said(words, reason.as_str(), &format!("no-{}", key(reason.as_str())), Some(found));
    let tone = match reason {
        NotApprovable::Approved | NotApprovable::DecidedByYou if found.is_member => "good",
        NotApprovable::Rejected if found.is_member => "warn",
        NotApprovable::Expired | NotApprovable::Withdrawn | NotApprovable::StaleRound => {
            return render(code, ApprovalPage { facts: of_what(words, found), ..page });
        }
        _ => return render(code, page),
    };
    let (facts, decisions) = (facts(words, found), decisions(words, found));
    render(code, ApprovalPage { tone, facts, decisions, ..page })
}

/// The page of a link that is no longer good.
pub fn link_over(words: Words, code: StatusCode, over: LinkOver, found: &FoundApproval) -> Response {
    let page = match found.link.kind {
        LinkKind::Decide => "over",
        LinkKind::Pay => "pay-over",
    };
    let page = said(words, over.as_str(), &format!("{page}-{}", key(over.as_str())), Some(found));
    render(code, ApprovalPage { facts: of_what(words, found), ..page })
}

/// A page about something that there is, with what was wrong about the form that was sent.
pub fn show(
    words: Words,
    code: StatusCode,
    found: &FoundApproval,
    what: Said,
    notice: Option<Notice>,
) -> Response {
    let of = |state, key| said(words, state, key, Some(found));
    let page = match what {
        Said::Decide(form) => {
            let stranger = [("date", words.date(found.link.expires_at))];
            let form = DecideForm {
                asks_sole_owner: matches!(found.standing, Standing::Open { sole_owner: true, .. }),
                stranger: words.say_with("page-stranger", &stranger),
                ..form
            };
            let (facts, decisions) = (facts(words, found), decisions(words, found));
            ApprovalPage { tone: "", facts, decisions, decide: Some(form), notice, ..of("OPEN", "open") }
        }
        Said::SignIn(way) => {
            let facts = facts(words, found);
            ApprovalPage { tone: "", sign_in: Some(way), facts, ..of("SIGN_IN", "sign-in") }
        }
        Said::Decided(outcome) => {
            let (key, tone) = match outcome {
                Outcome::Recorded => ("decided-recorded", "good"),
                Outcome::StageDone { .. } => ("decided-stage-done", "good"),
                Outcome::Approved { .. } => ("decided-approved", "good"),
                Outcome::Rejected => ("decided-rejected", "warn"),
            };
            let (facts, decisions) = (facts(words, found), decisions(words, found));
            ApprovalPage { tone, facts, decisions, ..of("DECIDED", key) }
        }
        Said::Pay(form) if found.standing != Standing::Pay => {
            let form = PayForm { button: words.say("page-lapsed-button"), ..form };
            let (facts, decisions) = (facts(words, found), decisions(words, found));
            ApprovalPage { facts, decisions, pay: Some(form), notice, ..of("LAPSED", "lapsed-pay") }
        }
        Said::Pay(form) => {
            let total = [("total", words.money(found.total()))];
            let form = PayForm { button: words.say_with("page-pay-button", &total), ..form };
            ApprovalPage { tone: "", facts: facts(words, found), pay: Some(form), notice, ..of("PAY", "pay") }
        }
        Said::Reopened => {
            let tone = if found.standing == Standing::AskAnew { "good" } else { "warn" };
            ApprovalPage { tone, ..of("PRICE_EXPIRED", "pay-reopened") }
        }
        Said::NotNow => of("NOT_NOW", "pay-not-now"),
        Said::OtherPerson(form) => {
            // Nothing of the organization, nor whose link it is: whoever asks may know neither.
            ApprovalPage { leave: Some(form), ..said(words, "OTHER_PERSON", "other-person", None) }
        }
        Said::Suspended => {
            // It can still be read.
            let (facts, decisions) = (facts(words, found), decisions(words, found));
            ApprovalPage { facts, decisions, ..of("SUSPENDED", "suspended") }
        }
    };
    render(code, page)
}

/// The answer to a form of another site's page.
pub fn foreign(words: Words) -> Response {
    render(StatusCode::FORBIDDEN, said(words, "FOREIGN", "foreign", None))
}

/// Says what went wrong, as far as it is anybody's business.
pub fn failed(words: Words, error: &Error) -> Response {
    let (code, state, key) = match error {
        Error::NotFound { .. } => (StatusCode::NOT_FOUND, "NO_SUCH", "no-such"),
        Error::Throttled { .. } => (StatusCode::TOO_MANY_REQUESTS, "THROTTLED", "throttled"),
        Error::UnknownOutcome(_) => (StatusCode::SERVICE_UNAVAILABLE, "UNCERTAIN", "uncertain"),
        Error::Unavailable(_) | Error::UnderWay(_) | Error::Overloaded | Error::Stale => {
            (StatusCode::SERVICE_UNAVAILABLE, "NOT_NOW", "busy")
        }
        Error::Refused(_) | Error::Conflict { .. } => (StatusCode::CONFLICT, "NOT_NOW", "busy"),
        error => {
            tracing::error!(%error, "an approval failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "FAULT", "fault")
        }
    };
    let mut response = render(code, said(words, state, key, None));
    if let Error::Throttled { seconds } = error {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
    }
    response
}

fn render(code: StatusCode, page: ApprovalPage) -> Response {
    page::render_under(code, &page, POLICY)
}

/// The key of a word's texts.
fn key(word: &str) -> String {
    word.to_ascii_lowercase().replace('_', "-")
}

/// A page that says one thing, under an organization's name and logo.
fn said(words: Words, state: &'static str, key: &str, found: Option<&FoundApproval>) -> ApprovalPage {
    let organization = found.map(|found| found.organization.name.clone());
    // Most texts name nobody.
    let named = [("organization", organization.clone().unwrap_or_default())];
    let logo = found.and_then(|found| found.logo.as_deref());
    ApprovalPage {
        words,
        state,
        tone: "warn",
        title: words.say(&format!("page-{key}-title")),
        text: words.say_with(&format!("page-{key}-text"), &named),
        notice: None,
        organization,
        logo: logo.map(|png| format!("data:image/png;base64,{}", data_encoding::BASE64.encode(png))),
        sign_in: None,
        facts: Vec::new(),
        decisions: Vec::new(),
        decide: None,
        pay: None,
        leave: None,
    }
}

/// What is asked for, and what it would mean for the pool.
fn facts(words: Words, found: &FoundApproval) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |label: &str, value: String| {
        let look = match label {
            "page-label-total" => "total",
            "page-label-reason" | "page-label-cause" => "long",
            _ => "",
        };
        facts.push(Fact { label: words.say(label), value, look });
    };
    let (round, figures) = (&found.round, &found.figures);
    let former = || words.say("page-former");
    let credits = |number: i64| {
        words.say_with("page-credits", &[("count", number.to_string()), ("number", words.number(number))])
    };
    let days = |days: Option<i64>| match days {
        Some(days) => {
            words.say_with("page-days", &[("count", days.to_string()), ("number", words.number(days))])
        }
        None => words.say("page-unused"),
    };
    add("page-label-order", found.title(words));
    add("page-label-pool", found.pool.name.clone());
    add("page-label-total", words.money(found.total()));
    let requester = found.requester.clone().unwrap_or_else(former);
    add(
        "page-label-requester",
        match round.by_itself {
            true => words.say_with("page-by-itself", &[("name", requester)]),
            false => requester,
        },
    );
    if let Some(reason) = &found.reason {
        add("page-label-reason", reason.clone());
    }
    let cause = match round.cause {
        RoundCause::Requested => None,
        RoundCause::Edited => Some("page-cause-edited"),
        RoundCause::PriceExpired => Some("page-cause-price-expired"),
    };
    // It is said to whoever is asked again, and to nobody who is not asked.
    if let (Standing::Open { .. }, Some(cause)) = (&found.standing, cause) {
        add("page-label-cause", words.say_with(cause, &[("round", round.round.to_string())]));
    }
    match &found.standing {
        Standing::Pay => add("page-label-pay-until", words.date(found.purchase.valid_until)),
        // What it would mean for the pool is of use as long as it is not decided.
        Standing::Open { in_name_of, .. } => {
            let debt = figures.balance.debt.get();
            let mut balance = credits(figures.balance.available().get());
            if debt > 0 {
                let owed = words.say_with("page-owed", &[("number", words.number(debt))]);
                balance = format!("{balance}, {owed}");
            }
            add("page-label-balance", balance);
            add("page-label-used", credits(figures.used_90_days.get()));
            add("page-label-lasts", days(figures.runway_days));
            if figures.runway_days.is_some() {
                add("page-label-lasts-with", days(found.runway_with_purchase()));
            }
            if let Some(name) = in_name_of {
                add("page-label-name-of", name.clone());
            }
        }
        Standing::Cannot(_)
        | Standing::Over(_)
        | Standing::Lapsed
        | Standing::AskAnew
        | Standing::Paid
        | Standing::Left => {}
    }
    let is_pending = found.request.state == RequestState::Pending && found.request.round == round.round;
    if let Some(stage) = found.stage.as_ref().filter(|_| is_pending) {
        let of = [
            ("number", stage.number.to_string()),
            ("of", stage.of.to_string()),
            ("name", stage.name.clone()),
        ];
        add("page-label-stage", words.say_with("page-stage", &of));
        let approved = [("approved", stage.approved.to_string()), ("quorum", stage.quorum.to_string())];
        let text = match stage.is_alone {
            true => words.say("page-alone"),
            false => words.say_with("page-approved", &approved),
        };
        add("page-label-approved", text);
        add("page-label-until", words.date(round.expires_at));
    }
    facts
}

/// What a link was about, so that several can be told apart, and no more: what is bought, where, and for how much.
fn of_what(words: Words, found: &FoundApproval) -> Vec<Fact> {
    if !found.is_member {
        return Vec::new();
    }
    facts(words, found).into_iter().take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_words() {
        for words in Language::ALL.iter().map(|language| Words::of(*language)) {
            let reasons = NotApprovable::ALL.iter().map(|reason| format!("no-{}", key(reason.as_str())));
            let over = LinkOver::ALL
                .iter()
                .flat_map(|over| ["over", "pay-over"].map(|page| format!("{page}-{}", key(over.as_str()))));
            for key in reasons.chain(over) {
                for part in ["title", "text"] {
                    let key = format!("page-{key}-{part}");
                    assert!(words.say(&key).ends_with(|c: char| c == '.' || c.is_alphabetic()), "{key}");
                    assert_ne!(words.say(&key), key);
                }
            }
        }
    }
}
