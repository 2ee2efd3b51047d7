//! Mails about requests: to those who are to decide, each with a link of their own; to those who have asked; to
//! whoever pays.
//!
//! A mail is a row of the outbox in the transaction of its cause, and so is the row of its link. The proof in the link
//! and its code are made when the mail is written; neither is stored. Whoever does not belong to the organization gets
//! none.

mod pay;

use std::collections::{BTreeSet, HashMap};

use bursar_domain::approval::{
    Choice, Decision, DecisionException, Delegation, EscalationReason, NotApprovable, People, Policy, Round,
    Seat, Situation,
};
use bursar_domain::id::UserId;
use bursar_domain::{Money, Timestamp};
use bursar_entity::{approval_decision, approval_request, approval_round, organization, pool, user};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::Value;

use super::decide::needs_sign_in;
use super::link::ApprovalLink;
use super::links::decide_link;
use super::reasons::{Reasons, reasons_in};
use super::title::title;
use super::{delegations, load_round, people, policy_of_round, requesters};
use crate::clock::Clock;
use crate::db::scope::find_people;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::global_id;
use crate::ledger::{self, Figures};
use crate::outbox::{
    self, ApprovalDecidedFacts, ApprovalFacts, Became, Because, Mail, Matter, PoolFacts, StageFacts,
    Template, ToPay, UserOrAddress,
};
use crate::words::Words;

/// Why somebody gets a mail about a request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailCause {
    /// It is their turn.
    Asked,
    /// They have not decided.
    Reminder {
        /// Which one it is, from 1.
        number: i64,
    },
    /// The link that they had is over, or soon will be.
    Renewed,
    /// They are owners, and may decide by now.
    Escalated(EscalationReason),
    /// They stand in for somebody.
    StandIn {
        /// For whom.
        for_whom: UserId,
    },
    /// Nobody can decide. The mail leads nowhere.
    Stuck,
}

/// What is said of a request that does not wait for whoever is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Everybody who had to has agreed: to those who have asked.
    Approved,
    /// The same, and it was bought on invoice: to the same.
    Invoiced {
        /// For how much.
        total: Money,
        /// When that is due.
        due_at: Timestamp,
    },
    /// Somebody has said no: to the same.
    Rejected,
    /// Nobody has decided in time: to the same.
    Expired,
    /// It was agreed to, and not paid as long as the price held: to the same, and to whoever was sent to pay.
    Lapsed,
    /// The same, with a link by which it can be asked for anew.
    AskAnew {
        /// To whom.
        to: UserId,
    },
    /// It is not wanted any more, or needs nobody's consent: to the same, and to those who have a mail to decide by.
    Withdrawn,
    /// It is asked for anew: to the same, and to whoever was asked before and is not now.
    NewRound,
    /// Paying what was agreed to cannot begin by itself: to the same.
    Unpaid,
    /// The way of paying that is kept was declined, and nothing is bought: to the same.
    Declined,
    /// It can be paid.
    Pay {
        /// By whom.
        to: UserId,
    },
    /// It can be paid still, by another link.
    PayAgain {
        /// By whom.
        to: UserId,
    },
}

/// Mails a link to decide by to each of some people, and takes their earlier ones back. Whoever cannot decide gets none.
/// The request is locked, and written as it is now.
///
/// # Errors
/// What the database answers.
pub async fn ask(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    request: &approval_request::Model,
    to: &BTreeSet<UserId>,
    cause: MailCause,
) -> Result<()> {
    if to.is_empty() {
        return Ok(());
    }
    let about = Background::read(txn, tenant, request, clock.now()).await?;
    if cause == MailCause::Stuck {
        for person in about.members(to) {
            about.tell(txn, tenant, clock, (person, Became::Stuck), None, None).await?;
        }
        return Ok(());
    }
    let figures = ledger::figures(txn, tenant, about.row.pool_id, about.now).await?;
    for person in about.members(to) {
        let Ok(seat) = about.seat_of(person) else { continue };
        let link = decide_link(txn, tenant, clock, (request, person), about.row.expires_at).await?;
        let facts = about.wanted((person, seat), cause, &figures, link.expires_at);
        let mail = Mail {
            to: UserOrAddress::User(person),
            template: Template::ApprovalWanted,
            facts: Value::from(facts),
            link: Some(ApprovalLink::unproven(&link)),
        };
        outbox::append(txn, tenant, clock, mail).await?;
    }
    Ok(())
}

/// Tells those who have asked what has become of a request, or sends somebody a link to pay by. The request is locked, and
/// written as it is now.
///
/// # Errors
/// What the database answers.
pub async fn tell(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    request: &approval_request::Model,
    told: Told,
) -> Result<()> {
    let nobody = BTreeSet::new();
    tell_all(txn, tenant, clock, (request, told), (&nobody, &nobody)).await
}

/// The same, and tells some others what those are told who have asked.
///
/// # Errors
/// What the database answers.
pub(super) async fn tell_also(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    what: (&approval_request::Model, Told),
    others: &BTreeSet<UserId>,
) -> Result<()> {
    tell_all(txn, tenant, clock, what, (others, &BTreeSet::new())).await
}

/// The same, but does not tell some of those who have asked: they know.
///
/// # Errors
/// What the database answers.
pub async fn tell_but(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    what: (&approval_request::Model, Told),
    but: &BTreeSet<UserId>,
) -> Result<()> {
    tell_all(txn, tenant, clock, what, (&BTreeSet::new(), but)).await
}

/// The same, with both.
///
/// # Errors
/// What the database answers.
pub(super) async fn tell_all(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    (request, told): (&approval_request::Model, Told),
    (others, but): (&BTreeSet<UserId>, &BTreeSet<UserId>),
) -> Result<()> {
    let about = Background::read(txn, tenant, request, clock.now()).await?;
    let became = match told {
        Told::Approved => Became::Approved,
        Told::Invoiced { .. } => Became::Invoiced,
        Told::Rejected => Became::Rejected,
        Told::Expired => Became::Expired,
        Told::Lapsed => Became::Lapsed,
        Told::Withdrawn => Became::Withdrawn,
        Told::NewRound => Became::NewRound,
        Told::Unpaid => Became::Unpaid,
        Told::Declined => Became::Declined,
        Told::Pay { to } => return about.send_to_pay(txn, tenant, clock, (request, to), ToPay::First).await,
        Told::PayAgain { to } => {
            return about.send_to_pay(txn, tenant, clock, (request, to), ToPay::Again).await;
        }
        Told::AskAnew { to } => {
            return about.send_to_pay(txn, tenant, clock, (request, to), ToPay::Lapsed).await;
        }
    };
    let no = match became {
        Became::Rejected => rejection(txn, tenant, request).await?,
        _ => None,
    };
    let owed = match told {
        Told::Invoiced { total, due_at } => Some((total, due_at)),
        _ => None,
    };
    let to = &(&requesters(txn, tenant, request).await? | others) - but;
    for person in about.members(&to) {
        about.tell(txn, tenant, clock, (person, became), no.as_ref(), owed).await?;
    }
    Ok(())
}

/// The decision by which the newest round of a request was rejected.
async fn rejection(
    txn: &Txn,
    tenant: Tenant,
    request: &approval_request::Model,
) -> Result<Option<approval_decision::Model>> {
    let no = tenant
        .find::<approval_decision::Entity>()
        .filter(approval_decision::Column::RequestId.eq(request.id))
        .filter(approval_decision::Column::Round.eq(request.round))
        .filter(approval_decision::Column::Choice.eq(Choice::Reject));
    Ok(no.one(txn).await?)
}

/// What the mails about the newest round of a request are written from.
struct Background {
    organization: organization::Model,
    pool: pool::Model,
    row: approval_round::Model,
    round: Round,
    policy: Policy,
    people: People,
    delegations: Vec<Delegation>,
    reasons: Reasons,
    /// What the members are called who have to do with it.
    names: HashMap<UserId, String>,
    now: Timestamp,
}

impl Background {
    async fn read(
        txn: &Txn,
        tenant: Tenant,
        request: &approval_request::Model,
        now: Timestamp,
    ) -> Result<Background> {
        let lost = || Error::internal("a request for approval without what it is about");
        let organization = tenant.find::<organization::Entity>().one(txn).await?.ok_or_else(lost)?;
        let (row, round) = load_round(txn, tenant, request.id, request.round).await?;
        let pool = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(row.pool_id));
        let pool = pool.one(txn).await?.ok_or_else(lost)?;
        let policy = policy_of_round(txn, tenant, &row).await?;
        let people = people(txn, tenant).await?;
        let delegations = delegations(txn, tenant, round.opened_at).await?;
        let names = names(txn, &people, &round).await?;
        let reasons = reasons_in(txn, tenant, request.id, request.round).await?;
        Ok(Background { organization, pool, row, round, policy, people, delegations, reasons, names, now })
    }

    /// Those of some people who belong to the organization: nobody else is told anything.
    fn members(&self, of: &BTreeSet<UserId>) -> Vec<UserId> {
        of.iter().copied().filter(|person| self.people.roles.contains_key(person)).collect()
    }

    fn seat_of(&self, person: UserId) -> Result<Seat, NotApprovable> {
        self.round.seat_of(person, &self.situation())
    }

    fn situation(&self) -> Situation<'_> {
        Situation { people: &self.people, delegations: &self.delegations, now: self.now }
    }

    fn name(&self, person: UserId) -> Option<String> {
        self.names.get(&person).cloned()
    }

    /// What all mails say of it, and whom they name beside whoever asks.
    fn matter(&self, named: impl IntoIterator<Item = UserId>) -> Matter {
        let words = Words::of(self.policy.language);
        let total = Money { minor: self.row.total, currency: self.row.currency };
        let people: BTreeSet<UserId> = named
            .into_iter()
            .chain([self.row.requester])
            // What the mail says may be in another's words.
            .chain(self.reasons.people())
            .collect();
        Matter {
            language: self.policy.language,
            organization: self.organization.name.clone(),
            requester: self.name(self.row.requester),
            by_itself: self.row.by_itself,
            pool: self.pool.name.clone(),
            title: title(words, &self.row.title, self.row.credits),
            total: words.money(total),
            round: self.row.round,
            people: people.into_iter().map(global_id::encode).collect(),
        }
    }

    /// What a mail to somebody says who is to decide.
    fn wanted(
        &self,
        (person, seat): (UserId, Seat),
        cause: MailCause,
        figures: &Figures,
        expires_at: Timestamp,
    ) -> ApprovalFacts {
        let in_name_of = Some(seat.seat).filter(|seat| *seat != person);
        // Whoever is left in a stage that is handed to owners is asked like before.
        let escalated = self.round.in_force(seat.stage, &self.situation()).filter(|one| one.is_to_somebody());
        let as_before = |reason| reason == EscalationReason::Unreachable && seat.exception.is_none();
        let why = |reason| if as_before(reason) { Because::Asked } else { Because::from(reason) };
        let (because, for_whom) = match cause {
            MailCause::Asked | MailCause::Stuck => (Because::Asked, None),
            MailCause::Reminder { number } => (Because::Reminder(number), None),
            MailCause::Renewed => (Because::Renewed, None),
            MailCause::Escalated(reason) => (why(reason), None),
            MailCause::StandIn { for_whom } => (Because::StandIn(self.name(for_whom)), Some(for_whom)),
        };
        ApprovalFacts {
            matter: self.matter(in_name_of.into_iter().chain(for_whom)),
            because,
            escalated: escalated.map(|one| why(one.reason)).filter(|why| *why != Because::Asked),
            cause: self.row.cause,
            reason: self.reasons.of_round().filter(|_| !self.row.by_itself).map(str::to_owned),
            stage: self.stage(seat),
            figures: PoolFacts {
                available: figures.balance.available().get(),
                debt: figures.balance.debt.get(),
                used_90_days: figures.used_90_days.get(),
                runway_days: figures.runway_days,
                runway_with: figures.runway_with(self.row.credits),
            },
            in_name_of: in_name_of.and_then(|seat| self.name(seat)),
            expires_at,
            decide_by: self.row.expires_at,
            sign_in: needs_sign_in(&self.policy, &self.row),
            sole_owner: seat.exception == Some(DecisionException::SoleOwner),
        }
    }

    fn stage(&self, Seat { stage: index, exception, .. }: Seat) -> StageFacts {
        let agreed = |by: &&Decision| by.stage == index && by.choice == Choice::Approve;
        let stage = self.round.stages.get(index);
        StageFacts {
            number: count(index).saturating_add(1),
            of: count(self.round.stages.len()),
            name: stage.map(|stage| stage.name.clone()).unwrap_or_default(),
            quorum: stage.map_or(1, |stage| stage.quorum),
            approved: count(self.round.decisions.iter().filter(agreed).count()),
            alone: exception.is_some(),
        }
    }

    /// Tells somebody what has become of it.
    async fn tell(
        &self,
        txn: &Txn,
        tenant: Tenant,
        clock: &Clock,
        (person, became): (UserId, Became),
        no: Option<&approval_decision::Model>,
        owed: Option<(Money, Timestamp)>,
    ) -> Result<()> {
        let mut matter = self.matter(no.map(|no| no.decided_by));
        if let Some((total, _)) = owed {
            matter.total = Words::of(self.policy.language).money(total);
        }
        let facts = ApprovalDecidedFacts {
            matter,
            became,
            cause: self.row.cause,
            by: no.and_then(|no| self.name(no.decided_by)),
            reason: no.and_then(|no| self.reasons.of_decision(no.decided_by)).map(str::to_owned),
            decide_by: self.row.expires_at,
            due_at: owed.map(|(_, due_at)| due_at),
            time_zone: Some(self.organization.time_zone.clone()),
        };
        let mail = Mail {
            to: UserOrAddress::User(person),
            template: Template::ApprovalDecided,
            facts: Value::from(facts),
            link: None,
        };
        outbox::append(txn, tenant, clock, mail).await?;
        Ok(())
    }
}

/// What the members are called who have to do with a round.
async fn names(txn: &Txn, people: &People, round: &Round) -> Result<HashMap<UserId, String>> {
    let seats = round.stages.iter().flat_map(|stage| stage.eligible.iter().copied());
    let decided = round.decisions.iter().flat_map(|decision| [decision.by, decision.seat]);
    let owners = round.escalations.iter().flat_map(|escalation| escalation.owners.iter().copied());
    let all: BTreeSet<UserId> = seats.chain(decided).chain(owners).chain([round.requester]).collect();
    let members = all.into_iter().filter(|person| people.roles.contains_key(person));
    let rows = find_people().filter(user::Column::Id.is_in(members)).all(txn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
