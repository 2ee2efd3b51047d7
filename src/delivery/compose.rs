//! Writing a letter: from a row of the outbox to what is sent, with the proof in its link, and the code that goes with it.
//!
//! Nothing that stands in a header may hold a line break or another control character, wherever it comes from: such a
//! letter is not written at all. Proof and code are in the letter alone: they are taken out of what a server says of it.

use bursar_domain::Timestamp;
use bursar_domain::id::DeliveryId;
use bursar_entity::delivery;

use super::templates::{self, Words};
use crate::auth::Keys;
use crate::config::{Config, Sender};
use crate::global_id;
use crate::outbox::{Facts, Link, Template};
use crate::text;

/// By which name a letter's HTML calls for the logo that comes with it.
pub const LOGO: &str = "logo";

/// A letter as it is sent. It has no `Debug`: there is a link in it that only the recipient may see.
#[derive(Clone)]
pub struct Letter {
    /// The delivery.
    pub id: DeliveryId,
    /// The same however often it is sent, with angle brackets.
    pub message_id: String,
    /// Whom it is from.
    pub from: Sender,
    /// To whom.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// What it says, as plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
    /// When its cause was.
    pub date: Timestamp,
    /// Until when its link is good.
    pub expires_at: Timestamp,
    /// The organization's logo, a PNG image, when the letter shows one.
    pub logo: Option<Vec<u8>>,
    /// The proof in its link.
    proof: Option<String>,
    /// The code that its link does not carry.
    code: Option<String>,
}

impl Letter {
    /// A text about the letter, without the proof and the code that may stand in it: servers repeat what they do not
    /// like.
    pub fn redact(&self, text: &str) -> String {
        let secrets = self.proof.iter().chain(&self.code);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "…"))
    }
}

/// Whether a mail shows the logo of the organization that it is about.
pub const fn is_branded(template: Template) -> bool {
    match template {
        Template::ApprovalWanted | Template::ApprovalDecided | Template::PurchaseToPay => true,
        Template::Invitation
        | Template::PaymentParked
        | Template::QuoteRequested
        | Template::QuoteAnswered
        | Template::SignInLink
        | Template::TopUpConsent => false,
    }
}

/// Writes the letter of a row, with the logo of its organization if it has one. An error says why it can never be
/// written.
pub fn compose(
    row: &delivery::Model,
    keys: &Keys,
    config: &Config,
    logo: Option<Vec<u8>>,
) -> Result<Letter, String> {
    let template = row.template.ok_or("it is no mail")?;
    let stored = serde_json::from_str(&row.facts).map_err(|error| format!("its facts: {error}"))?;
    let facts = Facts::read(template, &stored).map_err(|error| format!("its facts: {error}"))?;
    let proof = row.link_about.as_deref().map(|about| keys.link_token(about));
    let link = match (&proof, &row.link_path) {
        (Some(proof), Some(path)) => Some(config.link(&path.replace(Link::PLACE, proof))),
        _ => None,
    };
    let code = match template {
        Template::ApprovalWanted
        | Template::PurchaseToPay
        | Template::SignInLink
        | Template::TopUpConsent => row.link_about.as_deref().map(|about| keys.link_code(about)),
        Template::ApprovalDecided
        | Template::Invitation
        | Template::PaymentParked
        | Template::QuoteRequested
        | Template::QuoteAnswered => None,
    };
    let logo = logo.filter(|_| is_branded(template));
    let words = templates::write(&facts, link.as_deref(), code.as_deref(), logo.is_some())?;
    let Words { subject, text, html } = words;
    if text::address(&row.recipient).as_deref() != Some(row.recipient.as_str()) {
        return Err("its recipient is not an e-mail address".to_owned());
    }
    let host = config.public_url.host_str().unwrap_or("localhost");
    let message_id = format!("<{}@{host}>", global_id::encode(row.id));
    let from = config.mail.from.clone();
    let name = from.name.clone().unwrap_or_default();
    for (header, value) in [
        ("To", &row.recipient),
        ("Subject", &subject),
        ("Message-ID", &message_id),
        ("From", &name),
        ("From", &from.address),
    ] {
        if value.chars().any(char::is_control) {
            return Err(format!("its header {header} would hold a line break or another control character"));
        }
    }
    let to = row.recipient.clone();
    let (date, expires_at) = (row.created_at, facts.expires_at());
    Ok(Letter { id: row.id, message_id, from, to, subject, text, html, date, expires_at, logo, proof, code })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Addresses;
    use crate::outbox::approval_examples;
    use bursar_domain::approval::Language;
    use bursar_domain::delivery::{DeliveryKind, DeliveryState, MailTemplate};
    use bursar_domain::id::{Id, OrganizationId};
    use secrecy::SecretString;
    use serde_json::json;

    fn row(organization: &str) -> delivery::Model {
        let facts =
            json!({ "organization": organization, "inviter": "Ann", "role": "ADMIN", "expiresAt": 0 });
        delivery::Model {
            organization_id: OrganizationId::from_u128(1),
            id: DeliveryId::from_u128(2),
            kind: DeliveryKind::Mail,
            template: Some(MailTemplate::Invitation),
            recipient: "bob@example.test".to_owned(),
            facts: facts.to_string(),
            link_about: Some("invitation 1".to_owned()),
            link_path: Some("/invitation/1.{token}".to_owned()),
            state: DeliveryState::Pending,
            attempts: 1,
            due_at: Timestamp::EPOCH,
            leased_until: None,
            lease: None,
            last_error: None,
            created_at: Timestamp::EPOCH,
            delivered_at: None,
        }
    }

    fn written(row: &delivery::Model) -> Result<Letter, String> {
        let addresses = Addresses::sqlite(std::path::Path::new("x"));
        let config = Config::for_database(addresses, "https://credits.test".parse().unwrap());
        compose(row, &Keys::derive(&SecretString::from("a".repeat(32))), &config, Some(vec![1, 2, 3]))
    }

    #[test]
    fn a_letter_has_a_stable_name_and_a_link_with_a_proof() {
        let (first, second) = (written(&row("A")).ok().unwrap(), written(&row("A")).ok().unwrap());
        assert_eq!(first.message_id, "<delivery_00000000000000000000000002@credits.test>");
        assert_eq!((&first.message_id, &first.text), (&second.message_id, &second.text));
        let link = first.text.split_whitespace().find(|word| word.starts_with("https://")).unwrap();
        let proof = link.strip_prefix("https://credits.test/invitation/1.").unwrap();
        assert_eq!(proof.len(), 43);
        assert!(first.html.contains(link));
        assert_eq!(
            first.redact(&format!("554 spam: {link}")),
            "554 spam: https://credits.test/invitation/1.…"
        );
    }

    #[test]
    fn a_letter_to_sign_in_with_shows_a_code_that_its_link_does_not_carry() {
        let mail = delivery::Model {
            template: Some(MailTemplate::SignInLink),
            facts: json!({ "expiresAt": 0 }).to_string(),
            link_about: Some("sign-in a b".to_owned()),
            link_path: Some("/sign-in/a.b.{token}".to_owned()),
            ..row("A")
        };
        let letter = written(&mail).ok().unwrap();
        let code = Keys::derive(&SecretString::from("a".repeat(32))).link_code("sign-in a b");
        assert!(letter.text.contains(&format!("this code: {code}")), "{}", letter.text);
        assert!(letter.html.contains(&format!(">{code}</p>")), "{}", letter.html);
        let link = letter.text.split_whitespace().find(|word| word.starts_with("https://")).unwrap();
        let proof = link.strip_prefix("https://credits.test/sign-in/a.b.").unwrap();
        assert_eq!(proof.len(), 43);
        assert_eq!(letter.redact(&format!("554 spam: {code} {proof}")), "554 spam: … …");
        // No code has anything to do with an invitation, and no logo.
        let invitation = written(&row("A")).ok().unwrap();
        assert!(invitation.code.is_none() && invitation.logo.is_none());
    }

    #[test]
    fn a_letter_that_asks_for_a_decision_has_link_code_and_logo() {
        let facts = serde_json::Value::from(approval_examples::wanted(Language::English));
        let mail = delivery::Model {
            template: Some(MailTemplate::ApprovalWanted),
            facts: facts.to_string(),
            link_about: Some("approval DECIDE a b".to_owned()),
            link_path: Some("/approval/d.a.b.{token}".to_owned()),
            ..row("A")
        };
        let letter = written(&mail).ok().unwrap();
        let code = Keys::derive(&SecretString::from("a".repeat(32))).link_code("approval DECIDE a b");
        assert!(letter.text.contains(&format!("this code: {code}\n")), "{}", letter.text);
        let link = letter.text.split_whitespace().find(|word| word.starts_with("https://credits.")).unwrap();
        let proof = link.strip_prefix("https://credits.test/approval/d.a.b.").unwrap();
        assert_eq!((proof.len(), letter.logo.as_deref()), (43, Some([1, 2, 3].as_slice())));
        assert!(letter.html.contains("cid:logo") && letter.html.contains(link));
        assert_eq!(letter.redact(&format!("554 spam: {code} {proof}")), "554 spam: … …");
        let lacking = delivery::Model { link_about: None, link_path: None, ..mail };
        assert!(written(&lacking).err().unwrap().contains("link"));
    }

    #[test]
    fn a_letter_about_money_needs_no_link() {
        let facts = json!({ "id": "parked_1", "provider": "STRIPE", "reference": "pi_1", "reason": "PAID_TWICE",
            "detail": "<i>It was paid before.</i>", "money": "USD 199.00" });
        let mail = delivery::Model {
            template: Some(MailTemplate::PaymentParked),
            facts: facts.to_string(),
            link_about: None,
            link_path: None,
            ..row("A")
        };
        let letter = written(&mail).ok().unwrap();
        for said in ["parked_1", "STRIPE", "pi_1", "PAID_TWICE", "USD 199.00"] {
            assert!(letter.text.contains(said) && letter.html.contains(said), "{said}: {}", letter.text);
        }
        assert!(letter.subject.contains("USD 199.00") && !letter.html.contains("<i>"), "{}", letter.html);
        assert!(letter.expires_at > Timestamp::from_micros(4_000_000_000_000_000));
    }

    #[test]
    fn letters_about_quotes_say_what_is_asked_and_answered() {
        let mail = |template, facts: serde_json::Value| delivery::Model {
            template: Some(template),
            facts: facts.to_string(),
            link_about: None,
            link_path: None,
            ..row("A")
        };
        let asked = json!({ "id": "quote_1", "organization": "<b>A</b>", "requester": "Ann", "pool": "Main",
            "credits": 2_000, "currency": "USD", "note": "A new region" });
        let letter = written(&mail(MailTemplate::QuoteRequested, asked)).ok().unwrap();
        for said in ["quote_1", "Ann", "Main", "2000", "USD", "A new region", "answerQuote"] {
            assert!(letter.text.contains(said) && letter.html.contains(said), "{said}: {}", letter.text);
        }
        assert!(letter.subject.contains("2000") && !letter.html.contains("<b>A"), "{}", letter.html);
        let priced = json!({ "id": "quote_1", "organization": "A", "credits": 2_000, "total": "USD 3000.00",
            "validUntil": 0, "answer": "Welcome" });
        let letter = written(&mail(MailTemplate::QuoteAnswered, priced)).ok().unwrap();
        for said in ["quote_1", "2000", "USD 3000.00", "1 January 1970", "Welcome"] {
            assert!(letter.text.contains(said) && letter.html.contains(said), "{said}: {}", letter.text);
        }
        let no = json!({ "id": "quote_1", "organization": "A", "credits": 2_000, "total": null,
            "validUntil": null, "answer": null });
        let letter = written(&mail(MailTemplate::QuoteAnswered, no)).ok().unwrap();
        assert!(letter.subject.contains("declined") && letter.text.contains("declined"), "{}", letter.text);
    }

    #[test]
    fn names_are_text() {
        let letter = written(&row("<script>\"&'")).ok().unwrap();
        assert!(letter.text.contains("<script>\"&'") && letter.subject.contains("<script>"));
        assert!(!letter.html.contains("<script"), "{}", letter.html);
    }

    #[test]
    fn no_header_holds_a_line_break() {
        for bad in ["A\r\nBcc: x@y.test", "A\nB", "A\rB", "A\0"] {
            let error = written(&row(bad)).err().unwrap();
            assert!(error.contains("Subject"), "{error}");
        }
        for bad in ["a@b.test\r\nBcc: x@y.test", "a@b.test, c@d.test", "nobody", "A@b.test"] {
            let bad = delivery::Model { recipient: bad.to_owned(), ..row("A") };
            assert!(written(&bad).err().unwrap().contains("recipient"));
        }
        let lacking = delivery::Model { link_about: None, link_path: None, ..row("A") };
        assert!(written(&lacking).err().unwrap().contains("link"));
    }
}
