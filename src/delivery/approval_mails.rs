//! What mails about requests for approval say, in the language of the organization's policy.

mod pay;

use bursar_domain::approval::RoundCause;
use chrono_tz::Tz;

use super::sheet::{Button, Code, Row, Sheet, quoted, row};
use super::templates::Words as Letter;
use crate::outbox::{ApprovalDecidedFacts, ApprovalFacts, Became, Because, Matter, PoolFacts, StageFacts};
use crate::words::Words;

pub(super) use pay::to_pay;

/// A mail that asks for a decision.
pub(super) fn wanted(
    facts: &ApprovalFacts,
    (link, code): (&str, &str),
    logo: bool,
) -> Result<Letter, String> {
    let words = Words::of(facts.matter.language);
    let subject = match facts.because {
        Because::Reminder(_) | Because::Renewed => about(words, "mail-reminder-subject", &facts.matter),
        _ => about(words, "mail-wanted-subject", &facts.matter),
    };
    let mut rows = vec![row(words.say("mail-label-total"), facts.matter.total.clone())];
    let set_by = facts.matter.requester.clone().filter(|_| facts.matter.by_itself);
    rows.extend(set_by.map(|name| row(words.say("mail-label-set-by"), name)));
    rows.extend(facts.reason.as_deref().map(|reason| quoted(words.say("mail-label-reason"), reason)));
    rows.extend(figures(words, &facts.figures));
    rows.extend(stage(words, &facts.stage));
    let in_name_of = facts.in_name_of.clone();
    rows.extend(in_name_of.map(|name| row(words.say("mail-label-name-of"), name)));
    rows.push(row(words.say("mail-label-until"), words.date(facts.decide_by)));
    let code = Code { label: words.say("mail-code"), digits: code.to_owned() };
    let until = words.say_with("mail-link-until", &[("date", words.date(facts.expires_at))]);
    let button = Button {
        text: words.say("mail-decide"),
        link: link.to_owned(),
        code: Some(code),
        notes: vec![words.say("mail-opens-nothing"), until],
        plain: words.say("mail-plain-link"),
    };
    let mail = Sheet {
        subject,
        organization: facts.matter.organization.clone(),
        heading: words.say("mail-wanted-heading"),
        lead: lead(words, &facts.matter),
        more: notes(words, facts),
        rows,
        button: Some(button),
        foot: about(words, "mail-sent-by", &facts.matter),
    };
    mail.letter(words, logo)
}

/// A mail about what has become of a request.
pub(super) fn decided(facts: &ApprovalDecidedFacts, logo: bool) -> Result<Letter, String> {
    let (words, matter) = (Words::of(facts.matter.language), &facts.matter);
    let (subject, heading, lead) = match facts.became {
        Became::Approved => (
            about(words, "mail-approved-subject", matter),
            words.say("mail-approved-heading"),
            // What a pool buys by itself is charged; else somebody else has been sent to the checkout.
            match matter.by_itself {
                true => about(words, "mail-approved-text", matter),
                false => about(words, "mail-approved-unpaid-text", matter),
            },
        ),
        Became::Invoiced => (
            about(words, "mail-approved-subject", matter),
            words.say("mail-invoiced-heading"),
            about(words, "mail-invoiced-text", matter),
        ),
        Became::Rejected => (
            about(words, "mail-rejected-subject", matter),
            words.say("mail-rejected-heading"),
            about(words, "mail-rejected-text", matter),
        ),
        Became::Expired => (
            about(words, "mail-expired-subject", matter),
            words.say("mail-expired-heading"),
            about(words, "mail-expired-text", matter),
        ),
        Became::Lapsed => (
            about(words, "mail-lapsed-subject", matter),
            words.say("mail-lapsed-heading"),
            about(words, "mail-lapsed-text", matter),
        ),
        Became::Withdrawn => (
            about(words, "mail-withdrawn-subject", matter),
            words.say("mail-withdrawn-heading"),
            about(words, "mail-withdrawn-text", matter),
        ),
        Became::NewRound => (
            about(words, "mail-new-round-subject", matter),
            words.say("mail-new-round-heading"),
            about(words, "mail-new-round-text", matter),
        ),
        Became::Stuck => (
            about(words, "mail-stuck-subject", matter),
            words.say("mail-stuck-heading"),
            about(words, "mail-stuck-text", matter),
        ),
        Became::Unpaid => (
            about(words, "mail-unpaid-subject", matter),
            words.say("mail-unpaid-heading"),
            about(words, "mail-unpaid-text", matter),
        ),
        Became::Declined => (
            about(words, "mail-declined-subject", matter),
            words.say("mail-declined-heading"),
            about(words, "mail-declined-text", matter),
        ),
    };
    let mut rows = vec![row(words.say("mail-label-total"), matter.total.clone())];
    rows.extend(facts.by.clone().map(|name| row(words.say("mail-label-by"), name)));
    rows.extend(facts.reason.as_deref().map(|reason| quoted(words.say("mail-label-why-not"), reason)));
    rows.extend(due(words, facts).map(|day| row(words.say("mail-label-pay-until"), day)));
    let mut more = Vec::new();
    if matches!(facts.became, Became::NewRound | Became::Stuck) {
        more.extend(opened_by(words, facts.cause, matter.round));
        rows.push(row(words.say("mail-label-until"), words.date(facts.decide_by)));
    }
    let foot = about(words, "mail-sent-by", matter);
    let organization = matter.organization.clone();
    Sheet { subject, organization, heading, lead, more, rows, button: None, foot }.letter(words, logo)
}

/// When an invoice is due, as it says itself: the day of the organization's time zone.
fn due(words: Words, facts: &ApprovalDecidedFacts) -> Option<String> {
    let zone: Option<Tz> = facts.time_zone.as_deref().and_then(|zone| zone.parse().ok());
    facts.due_at.map(|at| zone.map_or_else(|| words.date(at), |zone| words.day(at, zone)))
}

/// A text about what is asked for.
fn about(words: Words, key: &str, matter: &Matter) -> String {
    let args = [
        ("title", matter.title.clone()),
        ("total", matter.total.clone()),
        ("organization", matter.organization.clone()),
        ("pool", matter.pool.clone()),
    ];
    words.say_with(key, &args)
}

/// Who asks for what.
fn lead(words: Words, matter: &Matter) -> String {
    let mut args = vec![("title", matter.title.clone()), ("pool", matter.pool.clone())];
    match &matter.requester {
        _ if matter.by_itself => words.say_with("mail-buys-itself", &args),
        Some(requester) => {
            args.push(("requester", requester.clone()));
            words.say_with("mail-asks", &args)
        }
        None => words.say_with("mail-nobody-asks", &args),
    }
}

/// What whoever decides should know before everything else.
fn notes(words: Words, facts: &ApprovalFacts) -> Vec<String> {
    let escalated = facts.escalated.as_ref().filter(|escalated| **escalated != facts.because);
    let whys = [Some(&facts.because), escalated].into_iter().flatten();
    let mut notes: Vec<String> = whys.filter_map(|why| because(words, why, facts.sole_owner)).collect();
    notes.extend(opened_by(words, facts.cause, facts.matter.round));
    if facts.sole_owner {
        notes.push(words.say("mail-sole-owner"));
    }
    if facts.sign_in {
        notes.push(words.say("mail-sign-in"));
    }
    notes
}

/// Why somebody is asked.
fn because(words: Words, why: &Because, sole_owner: bool) -> Option<String> {
    match why {
        Because::Asked | Because::StandIn(None) => None,
        // How many there were may not be what this person has had.
        Because::Reminder(_) => Some(words.say("mail-because-reminder")),
        Because::Renewed => Some(words.say("mail-because-renewed")),
        Because::Overdue => Some(words.say("mail-because-overdue")),
        // Why it is the only owner who decides is said below.
        Because::Unreachable if sole_owner => None,
        Because::Unreachable => Some(words.say("mail-because-unreachable")),
        Because::Barred => Some(words.say("mail-because-barred")),
        Because::StandIn(Some(name)) => {
            Some(words.say_with("mail-because-stand-in", &[("name", name.clone())]))
        }
    }
}

/// What a round after the first was opened by.
fn opened_by(words: Words, cause: RoundCause, round: i64) -> Option<String> {
    let args = [("round", round.to_string())];
    match cause {
        RoundCause::Requested => None,
        RoundCause::Edited => Some(words.say_with("mail-because-edited", &args)),
        RoundCause::PriceExpired => Some(words.say_with("mail-because-price-expired", &args)),
    }
}

fn figures(words: Words, figures: &PoolFacts) -> Vec<Row> {
    let credits = |credits: i64| counted(words, "mail-credits", credits);
    let balance = match figures.debt {
        0 => credits(figures.available),
        debt => {
            let args = [("credits", credits(figures.available)), ("number", words.number(debt))];
            words.say_with("mail-owed", &args)
        }
    };
    let lasts = |days: Option<i64>| match days {
        Some(days) => counted(words, "mail-days", days),
        None => words.say("mail-unused"),
    };
    let mut rows = vec![
        row(words.say("mail-label-balance"), balance),
        row(words.say("mail-label-used"), credits(figures.used_90_days)),
        row(words.say("mail-label-lasts"), lasts(figures.runway_days)),
    ];
    let with = figures.runway_with.map(|days| row(words.say("mail-label-lasts-with"), lasts(Some(days))));
    rows.extend(with);
    rows
}

fn stage(words: Words, stage: &StageFacts) -> [Row; 2] {
    let which =
        [("number", stage.number.to_string()), ("of", stage.of.to_string()), ("name", stage.name.clone())];
    let needed = if stage.alone {
        words.say("mail-alone")
    } else {
        let args = [("quorum", stage.quorum.to_string()), ("approved", stage.approved.to_string())];
        words.say_with("mail-needed", &args)
    };
    [
        row(words.say("mail-label-stage"), words.say_with("mail-stage", &which)),
        row(words.say("mail-label-needed"), needed),
    ]
}

/// A number of something.
fn counted(words: Words, key: &str, count: i64) -> String {
    words.say_with(key, &[("count", count.to_string()), ("number", words.number(count))])
}

#[cfg(test)]
mod tests;
