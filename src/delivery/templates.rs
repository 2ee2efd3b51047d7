//! What mails say. HTML is escaped by the templates themselves; plain text has nothing that could be.

use askama::Template;
use bursar_domain::Timestamp;
use bursar_domain::organization::Role;
use chrono::{DateTime, Utc};

use super::approval_mails;
use crate::outbox::Facts;

/// What a mail says.
pub struct Words {
    /// What it is about.
    pub subject: String,
    /// As plain text.
    pub text: String,
    /// As HTML.
    pub html: String,
}

struct Invitation<'a> {
    organization: &'a str,
    inviter: &'a str,
    role: &'static str,
    expires: String,
    link: &'a str,
}

#[derive(Template)]
#[template(path = "mail/invitation.html")]
struct InvitationHtml<'a> {
    mail: &'a Invitation<'a>,
}

#[derive(Template)]
#[template(path = "mail/invitation.txt")]
struct InvitationText<'a> {
    mail: &'a Invitation<'a>,
}

struct Parked<'a> {
    id: &'a str,
    provider: &'static str,
    reference: &'a str,
    reason: &'static str,
    detail: &'a str,
    money: &'a str,
}

#[derive(Template)]
#[template(path = "mail/payment_parked.html")]
struct ParkedHtml<'a> {
    mail: &'a Parked<'a>,
}

#[derive(Template)]
#[template(path = "mail/payment_parked.txt")]
struct ParkedText<'a> {
    mail: &'a Parked<'a>,
}

struct Asked<'a> {
    id: &'a str,
    organization: &'a str,
    requester: &'a str,
    pool: &'a str,
    credits: i64,
    currency: &'a str,
    note: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "mail/quote_requested.html")]
struct AskedHtml<'a> {
    mail: &'a Asked<'a>,
}

#[derive(Template)]
#[template(path = "mail/quote_requested.txt")]
struct AskedText<'a> {
    mail: &'a Asked<'a>,
}

struct Answered<'a> {
    id: &'a str,
    organization: &'a str,
    credits: i64,
    total: Option<&'a str>,
    until: Option<String>,
    answer: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "mail/quote_answered.html")]
struct AnsweredHtml<'a> {
    mail: &'a Answered<'a>,
}

#[derive(Template)]
#[template(path = "mail/quote_answered.txt")]
struct AnsweredText<'a> {
    mail: &'a Answered<'a>,
}

struct Consent<'a> {
    organization: &'a str,
    pool: &'a str,
    words: &'a str,
    link: &'a str,
    code: &'a str,
}

#[derive(Template)]
#[template(path = "mail/top_up_consent.html")]
struct ConsentHtml<'a> {
    mail: &'a Consent<'a>,
}

#[derive(Template)]
#[template(path = "mail/top_up_consent.txt")]
struct ConsentText<'a> {
    mail: &'a Consent<'a>,
}

struct SignIn<'a> {
    expires: String,
    link: &'a str,
    code: &'a str,
}

#[derive(Template)]
#[template(path = "mail/sign_in_link.html")]
struct SignInHtml<'a> {
    mail: &'a SignIn<'a>,
}

#[derive(Template)]
#[template(path = "mail/sign_in_link.txt")]
struct SignInText<'a> {
    mail: &'a SignIn<'a>,
}

/// Writes a mail, with its link and the code that goes with it, when it has them, and with the place of a logo when it
/// comes with one. An error says why it cannot be written.
pub fn write(facts: &Facts, link: Option<&str>, code: Option<&str>, logo: bool) -> Result<Words, String> {
    let link = || link.ok_or("it lacks its link");
    let code = || code.ok_or("it lacks its code");
    match facts {
        Facts::Approval(facts) => approval_mails::wanted(facts, (link()?, code()?), logo),
        Facts::ApprovalDecided(facts) => approval_mails::decided(facts, logo),
        Facts::ToPay(facts) => approval_mails::to_pay(facts, (link()?, code()?), logo),
        Facts::Invitation(facts) => {
            let mail = Invitation {
                organization: &facts.organization,
                inviter: &facts.inviter,
                role: called(facts.role),
                expires: written(facts.expires_at),
                link: link()?,
            };
            let subject = format!("Invitation to {}", facts.organization);
            words(subject, &InvitationText { mail: &mail }, &InvitationHtml { mail: &mail })
        }
        Facts::Parked(facts) => {
            let mail = Parked {
                id: &facts.id,
                provider: facts.provider.as_str(),
                reference: &facts.reference,
                reason: facts.reason.as_str(),
                detail: &facts.detail,
                money: &facts.money,
            };
            let subject = format!("{} could not be booked", facts.money);
            words(subject, &ParkedText { mail: &mail }, &ParkedHtml { mail: &mail })
        }
        Facts::QuoteRequested(facts) => {
            let mail = Asked {
                id: &facts.id,
                organization: &facts.organization,
                requester: &facts.requester,
                pool: &facts.pool,
                credits: facts.credits,
                currency: &facts.currency,
                note: facts.note.as_deref(),
            };
            let subject = format!("{} asks for a price of {} credits", facts.organization, facts.credits);
            words(subject, &AskedText { mail: &mail }, &AskedHtml { mail: &mail })
        }
        Facts::QuoteAnswered(facts) => {
            let mail = Answered {
                id: &facts.id,
                organization: &facts.organization,
                credits: facts.credits,
                total: facts.total.as_deref(),
                until: facts.valid_until.map(written),
                answer: facts.answer.as_deref(),
            };
            let subject = match &facts.total {
                Some(total) => format!("Your quote: {} credits for {total}", facts.credits),
                None => format!("Your request for {} credits was declined", facts.credits),
            };
            words(subject, &AnsweredText { mail: &mail }, &AnsweredHtml { mail: &mail })
        }
        Facts::Consent(facts) => {
            let mail = Consent {
                organization: &facts.organization,
                pool: &facts.pool,
                words: &facts.words,
                link: link()?,
                code: code()?,
            };
            let subject = format!("Automatic top-up for {}", facts.pool);
            words(subject, &ConsentText { mail: &mail }, &ConsentHtml { mail: &mail })
        }
        Facts::SignIn(facts) => {
            let mail = SignIn { expires: written(facts.expires_at), link: link()?, code: code()? };
            words("Your link to sign in".to_owned(), &SignInText { mail: &mail }, &SignInHtml { mail: &mail })
        }
    }
}

fn words(subject: String, text: &impl Template, html: &impl Template) -> Result<Words, String> {
    let failed = |error: askama::Error| format!("its template: {error}");
    Ok(Words { subject, text: text.render().map_err(failed)?, html: html.render().map_err(failed)? })
}

/// What somebody with a role is called.
fn called(role: Role) -> &'static str {
    match role {
        Role::Owner => "an owner",
        Role::Admin => "an administrator",
        Role::Auditor => "an auditor",
        Role::Member => "a member",
    }
}

/// An instant for people.
pub fn written(at: Timestamp) -> String {
    let at = DateTime::<Utc>::from_timestamp_micros(at.micros()).unwrap_or_default();
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}
