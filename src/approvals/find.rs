//! What the page of a link shows: read in one snapshot, and nothing is changed by it.
//!
//! Names are those of members only: whoever has left is nobody here.

use std::collections::HashMap;

use bursar_domain::approval::{
    Choice, DecisionException, Escalation, Language, LinkKind, LinkOver, NotApprovable, Round, Situation,
};
use bursar_domain::id::UserId;
use bursar_domain::{Money, Timestamp};
use bursar_entity::{
    approval_decision, approval_link, approval_request, approval_round, brand, organization, pool, purchase,
    user,
};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::decide::{ended, needs_sign_in};
use super::link::ApprovalLink;
use super::links::state_of;
use super::pay::{has_lapsed, is_checkout_open, standing_to_pay};
use super::reasons::{Reasons, reasons_in};
use super::{delegations, load_round, people, policy_of_round};
use crate::context::Context;
use crate::db::scope::find_people;
use crate::db::{Scope, Tenant, Txn};
use crate::error::{Error, Result};
use crate::ledger::{self, Figures};
use crate::words::Words;

/// A request, as the page of somebody's link shows it.
#[derive(Clone, Debug)]
pub struct FoundApproval {
    /// The link.
    pub link: approval_link::Model,
    /// The request.
    pub request: approval_request::Model,
    /// The round that the link is about.
    pub round: approval_round::Model,
    /// Why it is wanted, as long as nobody is forgotten whose words these are.
    pub reason: Option<String>,
    /// How many rounds there are.
    pub rounds: i64,
    /// What is to be bought.
    pub purchase: purchase::Model,
    /// Who buys.
    pub organization: organization::Model,
    /// For which pool.
    pub pool: pool::Model,
    /// The organization's logo, a PNG image.
    pub logo: Option<Vec<u8>>,
    /// Who asks.
    pub requester: Option<String>,
    /// Whose link it is.
    pub person: user::Model,
    /// Whether that person belongs to the organization: nobody else is shown what it has and does.
    pub is_member: bool,
    /// What the pool has and uses.
    pub figures: Figures,
    /// The language of the organization's mails.
    pub language: Language,
    /// Whether one has to be signed in to decide about so much.
    pub needs_sign_in: bool,
    /// Whose turn it is; none: nobody's.
    pub stage: Option<FoundStage>,
    /// What was decided in the round, in order.
    pub decisions: Vec<FoundDecision>,
    /// What the person can do.
    pub standing: Standing,
}

/// A stage whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundStage {
    /// Which one, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// What it is called.
    pub name: String,
    /// How many have to agree.
    pub quorum: i64,
    /// How many have.
    pub approved: usize,
    /// Whether an owner may decide alone instead.
    pub is_alone: bool,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundDecision {
    /// Who has decided; none: somebody who has left.
    pub by: Option<String>,
    /// In whose name, when not in their own: none inside is somebody who has left.
    pub in_name_of: Option<Option<String>>,
    /// What.
    pub choice: Choice,
    /// By which exception it counts.
    pub exception: Option<DecisionException>,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Whether they still could.
    pub is_still_eligible: bool,
}

/// What the person of a link can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Decide.
    Open {
        /// Whose seat.
        seat: UserId,
        /// Whose name that is, when it is not their own.
        in_name_of: Option<String>,
        /// Whether they are the only owner and have asked for it themselves.
        sole_owner: bool,
    },
    /// Nothing, because of the request or the person.
    Cannot(NotApprovable),
    /// Nothing, because of the link.
    Over(LinkOver),
    /// Pay.
    Pay,
    /// Nothing: everybody had agreed, and nobody has paid before the price ran out.
    Lapsed,
    /// Have it asked for anew, after that.
    AskAnew,
    /// Nothing: it is paid.
    Paid,
    /// Nothing: whoever pays has to belong to the organization, and may have to be allowed to buy.
    Left,
}

impl FoundApproval {
    /// What is asked for costs so much; on the way to pay for it, what it costs by now.
    pub fn total(&self) -> Money {
        match self.link.kind {
            LinkKind::Decide => Money { minor: self.round.total, currency: self.round.currency },
            LinkKind::Pay => Money { minor: self.purchase.total, currency: self.purchase.currency },
        }
    }

    /// What is asked for, in a language.
    pub fn title(&self, words: Words) -> String {
        super::title::title(words, &self.round.title, self.round.credits)
    }

    /// For how many days the pool would last with what is asked for, as it was used lately; none: it was not used.
    pub fn runway_with_purchase(&self) -> Option<i64> {
        self.figures.runway_with(self.round.credits)
    }
}

/// Looks up what a link leads to. Changes nothing.
///
/// # Errors
/// [`Error::NotFound`] when there is no such link, or its person was forgotten; what the database answers.
pub async fn find(context: &Context, link: &ApprovalLink) -> Result<FoundApproval> {
    let (tenant, person) = (link.tenant(), link.user());
    // Whoever has left the organization is told so: their own row is read as theirs.
    let txn = context.db.read(Scope::TenantAndPerson(tenant, person)).await?;
    read(&txn, tenant, link, context.clock.now()).await
}

async fn read(txn: &Txn, tenant: Tenant, link: &ApprovalLink, now: Timestamp) -> Result<FoundApproval> {
    let missing = || Error::not_found("approval request");
    let row = tenant.find::<approval_link::Entity>().filter(approval_link::Column::Id.eq(link.id()));
    let row = row.one(txn).await?.ok_or_else(missing)?;
    let person = find_people().filter(user::Column::Id.eq(row.user_id)).one(txn).await?;
    let person = person.filter(|person| person.erased_at.is_none()).ok_or_else(missing)?;
    let request = tenant.find::<approval_request::Entity>();
    let request = request.filter(approval_request::Column::Id.eq(row.request_id)).one(txn).await?;
    let request = request.ok_or_else(missing)?;
    let purchase = tenant
        .find::<purchase::Entity>()
        .filter(purchase::Column::Id.eq(request.purchase_id))
        .one(txn)
        .await?;
    let purchase = purchase.ok_or_else(missing)?;
    let organization = tenant.find::<organization::Entity>().one(txn).await?.ok_or_else(missing)?;
    let (round_row, round) = load_round(txn, tenant, request.id, row.round).await?;
    let pool = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(round_row.pool_id)).one(txn).await?;
    let pool = pool.ok_or_else(missing)?;
    let logo = tenant.find::<brand::Entity>().one(txn).await?.map(|brand| brand.logo);
    let policy = policy_of_round(txn, tenant, &round_row).await?;
    let (people, delegations) =
        (people(txn, tenant).await?, delegations(txn, tenant, round.opened_at).await?);
    let situation = Situation { people: &people, delegations: &delegations, now };
    let names = names(txn, &situation, &round).await?;
    let reasons = reasons_in(txn, tenant, request.id, row.round).await?;
    let standing = match row.kind {
        LinkKind::Decide if !has_lapsed(&row, &request, &round) => {
            standing(&row, &request, &round, &situation, &names)
        }
        LinkKind::Decide => Standing::Lapsed,
        LinkKind::Pay => {
            let is_open = is_checkout_open(txn, tenant, &purchase).await?;
            standing_to_pay(&row, (&request, &purchase), &round, is_open, (&people, now))
        }
    };
    Ok(FoundApproval {
        rounds: request.round,
        requester: names.get(&round.requester).cloned(),
        is_member: people.roles.contains_key(&row.user_id),
        figures: ledger::figures(txn, tenant, pool.id, now).await?,
        language: policy.language,
        needs_sign_in: needs_sign_in(&policy, &round_row),
        stage: stage(&round, &situation),
        decisions: decisions(txn, tenant, (&row, &round, &reasons), &situation, &names).await?,
        // What a pool buys by itself has no words of anybody's.
        reason: reasons.of_round().filter(|_| !round_row.by_itself).map(str::to_owned),
        link: row,
        request,
        round: round_row,
        purchase,
        organization,
        pool,
        logo,
        person,
        standing,
    })
}

/// The names of those who have to do with a round, as far as they are members.
async fn names(txn: &Txn, situation: &Situation<'_>, round: &Round) -> Result<HashMap<UserId, String>> {
    let seats = round.stages.iter().flat_map(|stage| stage.eligible.iter().copied());
    let owners = round.escalations.iter().flat_map(|escalation| escalation.owners.iter().copied());
    let decided = round.decisions.iter().flat_map(|decision| [decision.by, decision.seat]);
    let mut ids: Vec<UserId> = seats.chain(owners).chain(decided).chain([round.requester]).collect();
    ids.retain(|id| situation.people.roles.contains_key(id));
    ids.sort_unstable();
    ids.dedup();
    let rows = find_people().filter(user::Column::Id.is_in(ids)).all(txn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

fn standing(
    link: &approval_link::Model,
    request: &approval_request::Model,
    round: &Round,
    situation: &Situation<'_>,
    names: &HashMap<UserId, String>,
) -> Standing {
    let person = link.user_id;
    if link.round != request.round {
        return Standing::Cannot(NotApprovable::StaleRound);
    }
    let has_decided = round.decisions.iter().any(|decision| decision.by == person);
    // Whoever has decided by this very link is told that first, whatever has come of it.
    if has_decided && link.used_at.is_some() {
        return Standing::Cannot(NotApprovable::DecidedByYou);
    }
    if let Some(ended) = ended(request.state) {
        return Standing::Cannot(ended);
    }
    if round.expires_at <= situation.now {
        return Standing::Cannot(NotApprovable::Expired);
    }
    if has_decided {
        return Standing::Cannot(NotApprovable::DecidedByYou);
    }
    if let Some(over) = state_of(link, situation.now) {
        // A link that was withdrawn because its person can no longer decide: why not says more.
        return match (over, round.seat_of(person, situation)) {
            (LinkOver::Withdrawn, Err(reason)) => Standing::Cannot(reason),
            (over, _) => Standing::Over(over),
        };
    }
    match round.seat_of(person, situation) {
        Ok(seat) => Standing::Open {
            seat: seat.seat,
            in_name_of: names.get(&seat.seat).filter(|_| seat.seat != person).cloned(),
            sole_owner: seat.exception == Some(DecisionException::SoleOwner),
        },
        Err(reason) => Standing::Cannot(reason),
    }
}

fn stage(round: &Round, situation: &Situation<'_>) -> Option<FoundStage> {
    let index = round.stage()?;
    let stage = round.stages.get(index)?;
    let agreed = round.decisions.iter().filter(|by| by.stage == index && by.choice == Choice::Approve);
    Some(FoundStage {
        number: index + 1,
        of: round.stages.len(),
        name: stage.name.clone(),
        quorum: stage.quorum,
        approved: agreed.count(),
        is_alone: round.handed(index, situation).is_some_and(Escalation::is_to_somebody),
    })
}

/// What was decided, with the words and names that its page shows.
async fn decisions(
    txn: &Txn,
    tenant: Tenant,
    (link, round, reasons): (&approval_link::Model, &Round, &Reasons),
    situation: &Situation<'_>,
    names: &HashMap<UserId, String>,
) -> Result<Vec<FoundDecision>> {
    let rows = tenant
        .find::<approval_decision::Entity>()
        .filter(approval_decision::Column::RequestId.eq(link.request_id))
        .filter(approval_decision::Column::Round.eq(link.round))
        .order_by_asc(approval_decision::Column::Id);
    // In the order of the round, from the same snapshot.
    let pairs = rows.all(txn).await?.into_iter().zip(&round.decisions);
    let found = pairs.map(|(row, decision)| FoundDecision {
        by: names.get(&row.decided_by).cloned(),
        in_name_of: (row.seat != row.decided_by).then(|| names.get(&row.seat).cloned()),
        choice: row.choice,
        exception: row.exception,
        reason: reasons.of_decision(row.decided_by).map(str::to_owned),
        at: row.created_at,
        is_still_eligible: round.still_eligible(decision, situation),
    });
    Ok(found.collect())
}
