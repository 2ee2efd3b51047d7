//! Why somebody's decision is not taken, and what is wrong with a policy, as user errors.

use async_graphql::{Enum, SimpleObject};
use bursar_domain::approval::{
    self as domain, Conditions, NotApprovable, Policy, PolicyFault, PolicyFaultKind, PolicyWarning,
    PolicyWarningKind,
};

use super::errors::{ErrorCode, UserError};

/// Why somebody's decision cannot be taken.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "domain::NotApprovable")]
pub enum NotApprovableReason {
    /// It has been approved.
    Approved,
    /// It has been rejected.
    Rejected,
    /// Its time is over.
    Expired,
    /// It was withdrawn, or needs nobody's consent any more.
    Withdrawn,
    /// It has changed since: there is a newer round.
    StaleRound,
    /// You have decided.
    DecidedByYou,
    /// Somebody has decided in your name, or in the name that you decide in.
    SeatUsed,
    /// Nobody agrees to what they have asked for themselves.
    Requester,
    /// You stand in for whoever has asked, or did since.
    StandsInForRequester,
    /// You were not asked.
    NotAsked,
    /// You were asked, and are no longer what you were asked as.
    NoLongerEligible,
    /// You no longer stand in for anybody who was asked.
    DelegationEnded,
    /// It is another stage's turn.
    OtherStage,
    /// The only owner has to say that they know what they do.
    SoleOwnerUnconfirmed,
    /// One has to be signed in to decide about so much.
    SignInRequired,
}

/// What is wrong with an approval policy.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "PolicyFaultKind")]
pub enum ApprovalPolicyFault {
    /// A rule or stage has no name, or one that cannot stand in a mail.
    Unnamed,
    /// A rule has no stages.
    NoStages,
    /// A stage names nobody.
    EmptyStage,
    /// A stage names people, and none of them can decide.
    NobodyEligible,
    /// More have to agree than there are who may; counted over all stages, since nobody decides twice.
    UnreachableQuorum,
    /// Nobody has to agree in a stage, or more than a hundred.
    BadQuorum,
    /// A bound is above its counterpart, or a list is empty.
    NeverMatches,
    /// Earlier rules, one or several together, fit whatever this one fits.
    Shadowed,
    /// Auditors are named, who change nothing.
    AuditorNamed,
    /// There are amounts of money, and the organization has no currency yet.
    NoCurrency,
    /// An amount is negative.
    BadAmount,
    /// There is more than there may be of something.
    TooMany,
    /// A time is too short or too long, or what it is for would come after the end.
    BadTiming,
}

/// What should be known of an approval policy that can be saved.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "PolicyWarningKind")]
pub enum ApprovalPolicyWarningKind {
    /// Some who may ask are needed to agree: when they ask, an owner decides instead.
    RequesterShort,
    /// There is one owner only: what nobody else can decide waits for them, or is theirs alone.
    OneOwner,
}

/// Something that should be known of an approval policy that was saved.
#[derive(SimpleObject, Clone, Debug)]
pub struct ApprovalPolicyWarning {
    /// What.
    kind: ApprovalPolicyWarningKind,
    /// The same as a sentence for people.
    message: String,
    /// Of which rule, from 0. Null: of the organization.
    rule: Option<i64>,
    /// Of which of its stages, from 0.
    stage: Option<i64>,
}

/// Somebody's decision cannot be taken.
#[derive(SimpleObject, Clone, Debug)]
pub struct NotApprovableError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// Why not.
    pub reason: NotApprovableReason,
}

/// Something is wrong with an approval policy.
#[derive(SimpleObject, Clone, Debug)]
pub struct ApprovalPolicyError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong, as a sentence for people.
    pub message: String,
    /// The part of the input that led to it.
    pub field: Option<Vec<String>>,
    /// In which rule, from 0. Null: in no particular one.
    pub rule: Option<i64>,
    /// In which of its stages, from 0. Null: in no particular one.
    pub stage: Option<i64>,
    /// What is wrong.
    pub fault: ApprovalPolicyFault,
}

/// Why a decision was not taken, as a user error.
pub fn not_approvable(reason: NotApprovable) -> UserError {
    let field = match reason {
        NotApprovable::StaleRound => "round",
        NotApprovable::SoleOwnerUnconfirmed => "soleOwner",
        _ => "requestId",
    };
    NotApprovableError {
        code: ErrorCode::NotApprovable,
        message: reason.sentence().to_owned(),
        field: Some(vec![field.to_owned()]),
        reason: reason.into(),
    }
    .into()
}

/// What is wrong with a policy, as user errors.
pub fn policy_errors(faults: Vec<PolicyFault>, policy: &Policy) -> Vec<UserError> {
    faults.into_iter().map(|fault| policy_error(fault, policy)).collect()
}

fn policy_error(fault: PolicyFault, policy: &Policy) -> UserError {
    let PolicyFault { kind, rule, stage } = fault;
    ApprovalPolicyError {
        code: ErrorCode::Invalid,
        message: said(rule, stage, fault_sentence(kind)),
        field: Some(field(fault, policy)),
        rule: number(rule),
        stage: number(stage),
        fault: kind.into(),
    }
    .into()
}

/// What should be known of a policy.
pub fn policy_warning(warning: PolicyWarning) -> ApprovalPolicyWarning {
    let PolicyWarning { kind, rule, stage } = warning;
    let sentence = match kind {
        PolicyWarningKind::RequesterShort => {
            "somebody who may ask is needed to agree. When they ask, an owner decides instead."
        }
        PolicyWarningKind::OneOwner => {
            "the organization has one owner only. What nobody else can decide waits for them, or is theirs alone."
        }
    };
    ApprovalPolicyWarning {
        kind: kind.into(),
        message: said(rule, stage, sentence),
        rule: number(rule),
        stage: number(stage),
    }
}

fn number(index: Option<usize>) -> Option<i64> {
    index.and_then(|index| i64::try_from(index).ok())
}

/// A sentence with where it belongs, counted as people count.
fn said(rule: Option<usize>, stage: Option<usize>, sentence: &str) -> String {
    match (rule, stage) {
        (Some(rule), Some(stage)) => format!("Rule {}, stage {}: {sentence}", rule + 1, stage + 1),
        (Some(rule), None) => format!("Rule {}: {sentence}", rule + 1),
        (None, _) => format!("The policy: {sentence}"),
    }
}

const fn fault_sentence(kind: PolicyFaultKind) -> &'static str {
    match kind {
        PolicyFaultKind::Unnamed => {
            "needs a name of 1 to 255 characters that are all seen, without the address of a page."
        }
        PolicyFaultKind::NoStages => "needs a stage at least.",
        PolicyFaultKind::EmptyStage => "names nobody who may decide.",
        PolicyFaultKind::NobodyEligible => "nobody of those who are named can decide.",
        PolicyFaultKind::UnreachableQuorum => {
            "more have to agree than there are who may. Nobody decides in two stages of a rule."
        }
        PolicyFaultKind::BadQuorum => "the quorum must be from 1 to 100.",
        PolicyFaultKind::NeverMatches => {
            "its conditions can never hold: a lower bound is above its upper one, or a list is empty."
        }
        PolicyFaultKind::Shadowed => "is never reached: earlier rules fit whatever this one fits.",
        PolicyFaultKind::AuditorNamed => "names auditors, who change nothing.",
        PolicyFaultKind::NoCurrency => {
            "has amounts, and the organization has no currency yet: its first purchase or quote request fixes it."
        }
        PolicyFaultKind::BadAmount => "an amount is below zero.",
        PolicyFaultKind::TooMany => {
            "there are too many of something: a policy has at most 50 rules, a rule 5 stages and 1000 pools, a stage \
             20 approvers."
        }
        PolicyFaultKind::BadTiming => {
            "each time must be from an hour to 30 days, and reminding and escalating must come before the end."
        }
    }
}

/// The part of the input that a fault is in.
fn field(fault: PolicyFault, policy: &Policy) -> Vec<String> {
    let mut path = vec!["policy".to_owned()];
    let Some(index) = fault.rule else {
        let name = match fault.kind {
            PolicyFaultKind::BadTiming => "expireAfterHours",
            PolicyFaultKind::NoCurrency | PolicyFaultKind::BadAmount => "signInAbove",
            _ => "rules",
        };
        path.push(name.to_owned());
        return path;
    };
    path.extend(["rules".to_owned(), index.to_string()]);
    if let Some(stage) = fault.stage {
        path.extend(["stages".to_owned(), stage.to_string()]);
    }
    let name = match fault.kind {
        PolicyFaultKind::Unnamed => Some("name"),
        PolicyFaultKind::NoStages => Some("stages"),
        PolicyFaultKind::EmptyStage | PolicyFaultKind::NobodyEligible | PolicyFaultKind::AuditorNamed => {
            Some("approvers")
        }
        PolicyFaultKind::UnreachableQuorum | PolicyFaultKind::BadQuorum => Some("quorum"),
        PolicyFaultKind::NeverMatches
        | PolicyFaultKind::Shadowed
        | PolicyFaultKind::NoCurrency
        | PolicyFaultKind::BadAmount => Some("conditions"),
        PolicyFaultKind::TooMany => fault.stage.map(|_| "approvers"),
        PolicyFaultKind::BadTiming => None,
    };
    path.extend(name.map(str::to_owned));
    if matches!(fault.kind, PolicyFaultKind::NoCurrency | PolicyFaultKind::BadAmount) {
        let conditions = policy.rules.get(index).map(|rule| &rule.conditions);
        path.extend(conditions.and_then(|conditions| amount(conditions, fault.kind)).map(str::to_owned));
    }
    path
}

/// The first of a rule's amounts that a fault is about.
fn amount(conditions: &Conditions, kind: PolicyFaultKind) -> Option<&'static str> {
    let amounts = [
        ("totalFrom", conditions.total_from),
        ("totalTo", conditions.total_to),
        ("monthToDateFrom", conditions.month_to_date_from),
    ];
    let is_meant = |amount: i64| kind != PolicyFaultKind::BadAmount || amount < 0;
    amounts.into_iter().find(|(_, amount)| amount.is_some_and(is_meant)).map(|(name, _)| name)
}
