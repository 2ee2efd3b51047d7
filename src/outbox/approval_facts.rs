//! What mails about requests for approval say in particular. As stored: numbers as numbers, money as written, people by
//! their names and, so that they can be forgotten, by their ids.

use bursar_domain::Timestamp;
use bursar_domain::approval::{EscalationReason, Language, RoundCause};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What all of them say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Matter {
    /// The language.
    #[serde(with = "language")]
    pub language: Language,
    /// The name of the organization.
    pub organization: String,
    /// The name of whoever asks; none: nobody who belongs to the organization.
    pub requester: Option<String>,
    /// Whether it is the pool that buys, by itself.
    pub by_itself: bool,
    /// The name of the pool.
    pub pool: String,
    /// What is bought.
    pub title: String,
    /// For how much, with the currency.
    pub total: String,
    /// Which round it is, from 1.
    pub round: i64,
    /// The global ids of those whom the mail names.
    pub people: Vec<String>,
}

/// Why somebody is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Because {
    /// It is their turn.
    Asked,
    /// They have not decided.
    Reminder(i64),
    /// They have not decided, and the link that they had is over or soon will be.
    Renewed,
    /// It has taken too long, so owners may decide as well.
    Overdue,
    /// So many as have to agree there are no more, so an owner decides.
    Unreachable,
    /// Some of those who were asked stand in for whoever asks, so owners may decide as well.
    Barred,
    /// They stand in for somebody with this name.
    StandIn(Option<String>),
}

impl From<EscalationReason> for Because {
    fn from(reason: EscalationReason) -> Because {
        match reason {
            EscalationReason::Overdue => Because::Overdue,
            EscalationReason::Unreachable => Because::Unreachable,
            EscalationReason::Barred => Because::Barred,
        }
    }
}

/// The stage whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StageFacts {
    /// Which one, from 1.
    pub number: i64,
    /// How many there are.
    pub of: i64,
    /// What it is called.
    pub name: String,
    /// How many have to agree.
    pub quorum: i64,
    /// How many have.
    pub approved: i64,
    /// Whether one owner decides instead.
    pub alone: bool,
}

/// What the pool has and uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolFacts {
    /// How much can be spent.
    pub available: i64,
    /// How much it owes.
    pub debt: i64,
    /// How much was used in the last 90 days.
    pub used_90_days: i64,
    /// For how many days it lasts; none: nothing was used.
    pub runway_days: Option<i64>,
    /// For how many days it lasts with what is asked for.
    pub runway_with: Option<i64>,
}

/// What a mail that asks for a decision says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalFacts {
    /// What is asked for.
    pub matter: Matter,
    /// Why this person is asked.
    pub because: Because,
    /// Why owners may decide who were not asked first, whatever this mail comes by. Mails of before do not say.
    pub escalated: Option<Because>,
    /// What the round was opened by.
    #[serde(with = "cause")]
    pub cause: RoundCause,
    /// Why it is wanted, in the requester's words.
    pub reason: Option<String>,
    /// Whose turn it is.
    pub stage: StageFacts,
    /// What there is.
    pub figures: PoolFacts,
    /// In whose name the person decides, when not in their own.
    pub in_name_of: Option<String>,
    /// Until when the link is good.
    #[serde(with = "instant")]
    pub expires_at: Timestamp,
    /// Until when it has to be decided.
    #[serde(with = "instant")]
    pub decide_by: Timestamp,
    /// Whether one has to be signed in to decide about so much.
    pub sign_in: bool,
    /// Whether the person is the only owner and has asked for it.
    pub sole_owner: bool,
}

/// What has become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Became {
    /// Everybody who had to has agreed.
    Approved,
    /// The same, and it was bought on invoice: the credits are in.
    Invoiced,
    /// Somebody has said no.
    Rejected,
    /// Nobody has decided in time.
    Expired,
    /// It was agreed to, and not paid as long as the price held.
    Lapsed,
    /// It is not wanted any more, or needs nobody's consent.
    Withdrawn,
    /// It is asked for anew.
    NewRound,
    /// Nobody can decide as things stand.
    Stuck,
    /// It was agreed to, and paying it cannot begin by itself.
    Unpaid,
    /// It was agreed to, and the way of paying that is kept was declined: it is not bought.
    Declined,
}

/// What a mail about what has become of a request says. It leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalDecidedFacts {
    /// What was asked for.
    pub matter: Matter,
    /// What has become of it.
    pub became: Became,
    /// What the newest round was opened by.
    #[serde(with = "cause")]
    pub cause: RoundCause,
    /// Who has said no, if somebody has who belongs to the organization.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Until when it has to be decided.
    #[serde(with = "instant")]
    pub decide_by: Timestamp,
    /// When the invoice is due, if there is one.
    #[serde(with = "some_instant")]
    pub due_at: Option<Timestamp>,
    /// By which time zone that is a day's end, as the invoice says it. Mails of before have none.
    pub time_zone: Option<String>,
}

/// Why whoever pays gets a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ToPay {
    /// Everybody who had to has agreed.
    #[default]
    First,
    /// The link from before leads to no payment any more.
    Again,
    /// It was not paid as long as the price held: the link leads to where it is asked for anew.
    Lapsed,
}

/// What a mail to whoever pays for what was agreed to says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToPayFacts {
    /// What was asked for.
    pub matter: Matter,
    /// Why the link is sent. Mails from before this was written down are the first ones.
    #[serde(default)]
    pub why: ToPay,
    /// Whether the organization buys on invoice, and could not this time.
    pub not_on_invoice: bool,
    /// Until when the price holds.
    #[serde(with = "instant")]
    pub pay_by: Timestamp,
    /// Until when the link is good.
    #[serde(with = "instant")]
    pub expires_at: Timestamp,
}

impl From<ApprovalFacts> for Value {
    fn from(facts: ApprovalFacts) -> Value {
        json!(facts)
    }
}

impl From<ApprovalDecidedFacts> for Value {
    fn from(facts: ApprovalDecidedFacts) -> Value {
        json!(facts)
    }
}

impl From<ToPayFacts> for Value {
    fn from(facts: ToPayFacts) -> Value {
        json!(facts)
    }
}

/// Instants, in microseconds.
mod instant {
    use bursar_domain::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.micros())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(from).map(Timestamp::from_micros)
    }
}

/// Instants that may be missing.
mod some_instant {
    use bursar_domain::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        at.map(Timestamp::micros).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<i64>::deserialize(from)?.map(Timestamp::from_micros))
    }
}

/// Languages, by their words.
mod language {
    use bursar_domain::approval::Language;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(language: &Language, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(language.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Language, D::Error> {
        let word = String::deserialize(from)?;
        Language::parse(&word).ok_or_else(|| D::Error::custom("there is no such language"))
    }
}

/// What a round was opened by, by its word.
mod cause {
    use bursar_domain::approval::RoundCause;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(cause: &RoundCause, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(cause.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RoundCause, D::Error> {
        let word = String::deserialize(from)?;
        RoundCause::parse(&word).ok_or_else(|| D::Error::custom("there is no such cause"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::outbox::{Facts, Template};

    /// A request for 500 credits.
    pub(crate) fn matter(language: Language) -> Matter {
        Matter {
            language,
            organization: "A <b>".to_owned(),
            requester: Some("Ada & Co".to_owned()),
            by_itself: false,
            pool: "Marketing".to_owned(),
            title: "500 credits".to_owned(),
            total: "USD 899.00".to_owned(),
            round: 1,
            people: vec!["user_1".to_owned()],
        }
    }

    /// What a mail says that asks for a decision about it.
    pub(crate) fn wanted(language: Language) -> ApprovalFacts {
        ApprovalFacts {
            matter: matter(language),
            because: Because::Asked,
            escalated: None,
            cause: RoundCause::Requested,
            reason: Some("For the <fair>\nhttps://evil.test/".to_owned()),
            stage: StageFacts {
                number: 1,
                of: 2,
                name: "Department".to_owned(),
                quorum: 2,
                approved: 1,
                alone: false,
            },
            figures: PoolFacts {
                available: 1_234,
                debt: 0,
                used_90_days: 90,
                runway_days: Some(1_234),
                runway_with: Some(1_734),
            },
            in_name_of: None,
            expires_at: Timestamp::from_micros(7),
            decide_by: Timestamp::from_micros(8),
            sign_in: false,
            sole_owner: false,
        }
    }

    #[test]
    fn facts_come_back_and_others_are_refused() {
        let all = [
            Because::Asked,
            Because::Reminder(2),
            Because::Renewed,
            Because::Overdue,
            Because::Unreachable,
            Because::Barred,
            Because::StandIn(Some("Bob".to_owned())),
            Because::StandIn(None),
        ];
        for because in all {
            let facts = ApprovalFacts { because, ..wanted(Language::German) };
            let mut stored = Value::from(facts.clone());
            stored.as_object_mut().unwrap().remove("escalated");
            let read = Facts::read(Template::ApprovalWanted, &stored).unwrap();
            assert_eq!(read.expires_at(), facts.expires_at);
            assert_eq!(read, Facts::Approval(Box::new(facts)));
            assert!(Facts::read(Template::ApprovalDecided, &stored).is_err());
            stored["more"] = json!(1);
            assert!(Facts::read(Template::ApprovalWanted, &stored).is_err());
        }
        for (field, bad) in [("cause", json!("WHIM")), ("expiresAt", json!("7")), ("because", json!("WHIM"))]
        {
            let mut stored = Value::from(wanted(Language::English));
            stored[field] = bad;
            assert!(Facts::read(Template::ApprovalWanted, &stored).is_err(), "{field}");
        }
        let mut stored = Value::from(wanted(Language::English));
        stored["matter"]["language"] = json!("XX");
        assert!(Facts::read(Template::ApprovalWanted, &stored).is_err());
        let decided = ApprovalDecidedFacts {
            matter: matter(Language::English),
            became: Became::NewRound,
            cause: RoundCause::PriceExpired,
            by: None,
            reason: None,
            decide_by: Timestamp::from_micros(8),
            due_at: Some(Timestamp::from_micros(9)),
            time_zone: None,
        };
        let mut stored = Value::from(decided.clone());
        stored.as_object_mut().unwrap().remove("timeZone");
        assert_eq!(stored["became"], json!("NEW_ROUND"));
        let read = Facts::read(Template::ApprovalDecided, &stored).unwrap();
        assert_eq!(read, Facts::ApprovalDecided(Box::new(decided)));
        let to_pay = ToPayFacts {
            matter: matter(Language::English),
            why: ToPay::Again,
            not_on_invoice: true,
            pay_by: Timestamp::from_micros(10),
            expires_at: Timestamp::from_micros(9),
        };
        let mut stored = Value::from(to_pay.clone());
        let read = Facts::read(Template::PurchaseToPay, &stored).unwrap();
        assert_eq!((read.expires_at(), read), (to_pay.expires_at, Facts::ToPay(Box::new(to_pay.clone()))));
        stored.as_object_mut().unwrap().remove("why");
        let read = Facts::read(Template::PurchaseToPay, &stored).unwrap();
        assert_eq!(read, Facts::ToPay(Box::new(ToPayFacts { why: ToPay::First, ..to_pay })));
    }
}
