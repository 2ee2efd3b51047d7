//! What each kind of mail says in particular: one type for each template, stored as JSON.
//!
//! Names in them come from people. They are text, and nothing else, wherever they are shown.

use bursar_domain::Timestamp;
use bursar_domain::organization::Role;
use bursar_domain::purchase::{ParkedReason, PaymentProvider};
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::{Value, json};

use super::Template;
use super::approval_facts::{ApprovalDecidedFacts, ApprovalFacts, ToPayFacts};

/// The facts of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Facts {
    /// Of a request for approval.
    Approval(Box<ApprovalFacts>),
    /// Of what has become of one.
    ApprovalDecided(Box<ApprovalDecidedFacts>),
    /// Of an invitation.
    Invitation(InvitationFacts),
    /// Of money that could not be booked.
    Parked(ParkedFacts),
    /// Of a price that is asked for.
    QuoteRequested(QuoteRequestedFacts),
    /// Of the answer to that.
    QuoteAnswered(QuoteAnsweredFacts),
    /// Of an agreement that is asked for.
    Consent(ConsentFacts),
    /// Of a link to sign in with.
    SignIn(SignInFacts),
    /// Of what is to be paid.
    ToPay(Box<ToPayFacts>),
}

/// What an invitation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationFacts {
    /// The name of the organization.
    pub organization: String,
    /// The name of whoever invites.
    pub inviter: String,
    /// What the invited person is to be.
    pub role: Role,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
}

/// What a mail about money that could not be booked says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedFacts {
    /// The global id of it.
    pub id: String,
    /// Who has taken it.
    pub provider: PaymentProvider,
    /// The provider's own name of it.
    pub reference: String,
    /// Why it could not be booked.
    pub reason: ParkedReason,
    /// What was expected and what came, in words.
    pub detail: String,
    /// How much, with the currency.
    pub money: String,
}

/// What a mail about a price that is asked for says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuoteRequestedFacts {
    /// The global id of the quote.
    pub id: String,
    /// The name of the organization that asks.
    pub organization: String,
    /// The name of whoever asks; empty when that cannot be seen.
    pub requester: String,
    /// The name of the pool that the credits are for.
    pub pool: String,
    /// How many credits.
    pub credits: i64,
    /// In which currency.
    pub currency: String,
    /// Why they are wanted.
    pub note: Option<String>,
}

/// What a mail about an answer to a quote request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteAnsweredFacts {
    /// The global id of the quote.
    pub id: String,
    /// The name of the organization that asked.
    pub organization: String,
    /// How many credits.
    pub credits: i64,
    /// What they cost together, with the currency; none: the answer is no.
    pub total: Option<String>,
    /// Until when the price holds.
    pub valid_until: Option<Timestamp>,
    /// What the vendor says with it.
    pub answer: Option<String>,
}

/// What a mail about an agreement to be charged says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConsentFacts {
    /// The name of the organization.
    pub organization: String,
    /// The name of the pool.
    pub pool: String,
    /// What is agreed to, word for word.
    pub words: String,
}

/// What a mail with a link to sign in with says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInFacts {
    /// Until when the link is good.
    pub expires_at: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredInvitation {
    organization: String,
    inviter: String,
    role: String,
    expires_at: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredParked {
    id: String,
    provider: String,
    reference: String,
    reason: String,
    detail: String,
    money: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredAnswer {
    id: String,
    organization: String,
    credits: i64,
    total: Option<String>,
    valid_until: Option<i64>,
    answer: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredSignIn {
    expires_at: i64,
}

impl From<InvitationFacts> for Value {
    fn from(facts: InvitationFacts) -> Value {
        json!({
            "organization": facts.organization,
            "inviter": facts.inviter,
            "role": facts.role.as_str(),
            "expiresAt": facts.expires_at.micros(),
        })
    }
}

impl From<ParkedFacts> for Value {
    fn from(facts: ParkedFacts) -> Value {
        json!({
            "id": facts.id,
            "provider": facts.provider.as_str(),
            "reference": facts.reference,
            "reason": facts.reason.as_str(),
            "detail": facts.detail,
            "money": facts.money,
        })
    }
}

impl From<QuoteRequestedFacts> for Value {
    fn from(facts: QuoteRequestedFacts) -> Value {
        json!({
            "id": facts.id,
            "organization": facts.organization,
            "requester": facts.requester,
            "pool": facts.pool,
            "credits": facts.credits,
            "currency": facts.currency,
            "note": facts.note,
        })
    }
}

impl From<QuoteAnsweredFacts> for Value {
    fn from(facts: QuoteAnsweredFacts) -> Value {
        json!({
            "id": facts.id,
            "organization": facts.organization,
            "credits": facts.credits,
            "total": facts.total,
            "validUntil": facts.valid_until.map(Timestamp::micros),
            "answer": facts.answer,
        })
    }
}

impl From<ConsentFacts> for Value {
    fn from(facts: ConsentFacts) -> Value {
        json!({ "organization": facts.organization, "pool": facts.pool, "words": facts.words })
    }
}

impl From<SignInFacts> for Value {
    fn from(facts: SignInFacts) -> Value {
        json!({ "expiresAt": facts.expires_at.micros() })
    }
}

impl Facts {
    /// The facts that a template needs. An error when something is missing, too much or of another kind.
    pub fn read(template: Template, stored: &Value) -> Result<Facts, serde_json::Error> {
        match template {
            Template::ApprovalWanted => {
                ApprovalFacts::deserialize(stored).map(|facts| Facts::Approval(Box::new(facts)))
            }
            Template::ApprovalDecided => {
                ApprovalDecidedFacts::deserialize(stored).map(|facts| Facts::ApprovalDecided(Box::new(facts)))
            }
            Template::PurchaseToPay => {
                ToPayFacts::deserialize(stored).map(|facts| Facts::ToPay(Box::new(facts)))
            }
            Template::Invitation => {
                let stored = StoredInvitation::deserialize(stored)?;
                let role = Role::parse(&stored.role);
                Ok(Facts::Invitation(InvitationFacts {
                    organization: stored.organization,
                    inviter: stored.inviter,
                    role: role.ok_or_else(|| serde_json::Error::custom("there is no such role"))?,
                    expires_at: Timestamp::from_micros(stored.expires_at),
                }))
            }
            Template::PaymentParked => {
                let stored = StoredParked::deserialize(stored)?;
                let provider = PaymentProvider::parse(&stored.provider);
                let reason = ParkedReason::parse(&stored.reason);
                Ok(Facts::Parked(ParkedFacts {
                    id: stored.id,
                    provider: provider.ok_or_else(|| serde_json::Error::custom("no such provider"))?,
                    reference: stored.reference,
                    reason: reason.ok_or_else(|| serde_json::Error::custom("there is no such reason"))?,
                    detail: stored.detail,
                    money: stored.money,
                }))
            }
            Template::TopUpConsent => ConsentFacts::deserialize(stored).map(Facts::Consent),
            Template::QuoteRequested => QuoteRequestedFacts::deserialize(stored).map(Facts::QuoteRequested),
            Template::QuoteAnswered => {
                let stored = StoredAnswer::deserialize(stored)?;
                Ok(Facts::QuoteAnswered(QuoteAnsweredFacts {
                    id: stored.id,
                    organization: stored.organization,
                    credits: stored.credits,
                    total: stored.total,
                    valid_until: stored.valid_until.map(Timestamp::from_micros),
                    answer: stored.answer,
                }))
            }
            Template::SignInLink => {
                let stored = StoredSignIn::deserialize(stored)?;
                Ok(Facts::SignIn(SignInFacts { expires_at: Timestamp::from_micros(stored.expires_at) }))
            }
        }
    }
}

impl Facts {
    /// Until when what the mail leads to is good.
    pub fn expires_at(&self) -> Timestamp {
        match self {
            Facts::Approval(facts) => facts.expires_at,
            Facts::Invitation(facts) => facts.expires_at,
            // They lead nowhere: what they say is true however late they come.
            Facts::ApprovalDecided(_)
            | Facts::Parked(_)
            | Facts::QuoteRequested(_)
            | Facts::QuoteAnswered(_) => Timestamp::from_micros(i64::MAX),
            // The page itself says when nothing can be agreed to any more.
            Facts::Consent(_) => Timestamp::from_micros(i64::MAX),
            Facts::SignIn(facts) => facts.expires_at,
            Facts::ToPay(facts) => facts.expires_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_back_and_others_are_refused() {
        let expires_at = Timestamp::from_micros(7);
        let invitation = InvitationFacts {
            organization: "A <b>".to_owned(),
            inviter: "Ä".to_owned(),
            role: Role::Admin,
            expires_at,
        };
        let stored = Value::from(invitation.clone());
        assert_eq!(Facts::read(Template::Invitation, &stored).unwrap(), Facts::Invitation(invitation));
        assert!(Facts::read(Template::SignInLink, &stored).is_err());
        let sign_in = SignInFacts { expires_at };
        let stored = Value::from(sign_in.clone());
        assert_eq!(Facts::read(Template::SignInLink, &stored).unwrap(), Facts::SignIn(sign_in));
        for bad in [json!(null), json!({}), json!({ "expiresAt": "7" }), json!({ "expiresAt": 7, "more": 1 })]
        {
            assert!(Facts::read(Template::SignInLink, &bad).is_err(), "{bad}");
        }
        let parked = ParkedFacts {
            id: "parked_1".to_owned(),
            provider: PaymentProvider::Stripe,
            reference: "pi_1".to_owned(),
            reason: ParkedReason::PaidTwice,
            detail: "<b>".to_owned(),
            money: "USD 1.00".to_owned(),
        };
        let mut stored = Value::from(parked.clone());
        assert_eq!(Facts::read(Template::PaymentParked, &stored).unwrap(), Facts::Parked(parked));
        stored["reason"] = json!("BECAUSE");
        assert!(Facts::read(Template::PaymentParked, &stored).is_err());
        let asked = QuoteRequestedFacts {
            id: "quote_1".to_owned(),
            organization: "A".to_owned(),
            requester: "Ada".to_owned(),
            pool: "Pool".to_owned(),
            credits: 2_000,
            currency: "USD".to_owned(),
            note: None,
        };
        let stored = Value::from(asked.clone());
        assert_eq!(Facts::read(Template::QuoteRequested, &stored).unwrap(), Facts::QuoteRequested(asked));
        assert!(Facts::read(Template::QuoteAnswered, &stored).is_err());
        let answered = QuoteAnsweredFacts {
            id: "quote_1".to_owned(),
            organization: "A".to_owned(),
            credits: 2_000,
            total: Some("USD 3000.00".to_owned()),
            valid_until: Some(expires_at),
            answer: Some("Welcome".to_owned()),
        };
        let stored = Value::from(answered.clone());
        assert_eq!(Facts::read(Template::QuoteAnswered, &stored).unwrap(), Facts::QuoteAnswered(answered));
        let bad = json!({ "organization": "A", "inviter": "B", "role": "KING", "expiresAt": 7 });
        assert!(Facts::read(Template::Invitation, &bad).is_err());
    }
}
