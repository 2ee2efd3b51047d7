//! What was decided about a request, and where each of its stages stands.

use std::sync::Arc;

use async_graphql::{Context, Enum, Object, SimpleObject};
use bursar_domain::Money;
use bursar_domain::approval as domain;
use bursar_domain::id::{OrganizationId, UserId};
use bursar_entity::{approval_decision, approval_round};

use super::approval_request::{ApprovalChoice, ApprovalRoundCause};
use super::errors::ApiError;
use super::loaders::{JudgedRound, Key, MemberOf, ReasonsOf};
use super::member::{User, person};
use super::scalars::{CreditsScalar, DateTime, MoneyObject};
use super::{Request, signed_in};
use crate::approvals::{Reasons, SeenRound};
use crate::auth::SeenPeople;
use crate::db::Tenant;
use crate::error::Error;

/// How a decision came in.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "domain::DecisionWay")]
pub enum DecisionWay {
    /// By whoever had signed in, through the API.
    Api,
    /// By the page that a mail leads to.
    Link,
    /// By that page, signed in.
    SignedInLink,
}

/// By which exception a decision counts.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "domain::DecisionException")]
pub enum DecisionException {
    /// The only owner has decided about what they have asked for themselves.
    SoleOwner,
    /// An owner has decided for a whole stage, since so many as have to agree there were no more at that instant.
    OwnerAlone,
}

/// Why owners may decide in a stage that does not name them.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "domain::EscalationReason")]
pub enum EscalationReason {
    /// It has taken too long. The owners join those who may decide; as many have to agree as before.
    Overdue,
    /// So many of those who may decide as have to agree there are no more. An owner may decide, alone, as long as that is so.
    /// Those who are left may as before, by saying no as well.
    Unreachable,
    /// They are there, and too many of them stand in for whoever asks, or have since, or have decided in the name of somebody
    /// else. The owners join those who may decide; as many have to agree as before.
    Barred,
}

/// A decision about a request.
pub struct ApprovalDecision {
    row: approval_decision::Model,
    still_eligible: bool,
    /// What was said in its round, where it was only tried.
    tried: Option<Reasons>,
}

/// A decision about a request. It stands whatever becomes of those who took it.
#[Object]
impl ApprovalDecision {
    /// In which stage, from 0.
    async fn stage(&self) -> i64 {
        self.row.stage
    }

    /// What.
    async fn choice(&self) -> ApprovalChoice {
        self.row.choice.into()
    }

    /// Who has decided, as long as they belong to the organization.
    async fn by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load =
            Box::pin(async { person(signed_in(ctx)?, self.row.organization_id, self.row.decided_by).await });
        load.await.transpose()
    }

    /// In whose name, as long as they belong to the organization. Null: in their own.
    async fn in_name_of(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load = Box::pin(async {
            if self.row.seat == self.row.decided_by {
                return Ok(None);
            }
            person(signed_in(ctx)?, self.row.organization_id, self.row.seat).await
        });
        load.await.transpose()
    }

    /// How it came in.
    async fn way(&self) -> DecisionWay {
        self.row.way.into()
    }

    /// By which exception it counts. Null: by none.
    async fn exception(&self) -> Option<DecisionException> {
        self.row.exception.map(DecisionException::from)
    }

    /// Why. Null: that was not said, or somebody has been forgotten whose words these were, or whom they were about.
    async fn reason(&self, ctx: &Context<'_>) -> Option<Result<String, ApiError>> {
        let load = Box::pin(async {
            if self.row.reason_hash.is_none() {
                return Ok(None);
            }
            if let Some(said) = &self.tried {
                return Ok(said.of_decision(self.row.decided_by).map(str::to_owned));
            }
            let key = Key(self.row.organization_id, ReasonsOf(self.row.request_id, self.row.round));
            let said = signed_in(ctx)?.rows.load_one(key).await?;
            Ok(said.and_then(|said| said.of_decision(self.row.decided_by).map(str::to_owned)))
        });
        load.await.transpose()
    }

    /// When.
    async fn decided_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// Whether whoever decided is still what they decided as. The decision stands either way.
    async fn still_eligible(&self) -> bool {
        self.still_eligible
    }
}

/// A stage of a request's newest round.
#[derive(SimpleObject)]
pub struct ApprovalRequestStage {
    /// What it is called.
    name: String,
    /// How many have to agree.
    quorum: i64,
    /// How many have agreed.
    approved: i64,
    /// Whether those who have to have agreed.
    satisfied: bool,
    /// Who is asked in it, those who have decided among them: whoever was named when the round was opened and still is,
    /// without those who ask and those who stand in for them, and owners since it was given to them. Those of them who are
    /// named to the caller.
    eligible: Vec<User>,
    /// Why owners may decide in it. Null: it was not given to them.
    escalation: Option<EscalationReason>,
    /// Since when they may.
    escalated_at: Option<DateTime>,
    /// Whether the only owner may decide in it about what they have asked for themselves, since nobody else is left in it.
    sole_owner: bool,
}

/// A round of a request; and what it is judged by, where it was only tried.
pub struct ApprovalRound(pub approval_round::Model, pub Option<Arc<SeenRound>>);

/// A round of a request: every content has its own, with its own decisions.
#[Object]
impl ApprovalRound {
    /// Which one, from 1.
    async fn round(&self) -> i64 {
        self.0.round
    }

    /// What it was opened by.
    async fn cause(&self) -> ApprovalRoundCause {
        self.0.cause.into()
    }

    /// What is to be paid.
    async fn total(&self) -> MoneyObject {
        total(&self.0)
    }

    /// How many credits.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.0.credits)
    }

    /// When it was opened.
    async fn opened_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// What was decided in it, in order.
    async fn decisions(&self, ctx: &Context<'_>) -> Result<Vec<ApprovalDecision>, ApiError> {
        Box::pin(async {
            let request = signed_in(ctx)?;
            let seen = match &self.1 {
                Some(tried) => tried.clone(),
                None => judged(request, &self.0).await?,
            };
            Ok(decisions(request, &seen))
        })
        .await
    }
}

/// What a round is about, in money.
pub fn total(round: &approval_round::Model) -> MoneyObject {
    Money { minor: round.total, currency: round.currency }.into()
}

/// A round with what it is judged by. The caller has been shown its request.
pub async fn judged(request: &Request, round: &approval_round::Model) -> Result<Arc<SeenRound>, ApiError> {
    judged_round(request, round.organization_id, JudgedRound(round.request_id, round.round)).await
}

/// The same of a round by its request and number.
pub async fn judged_round(
    request: &Request,
    organization: OrganizationId,
    round: JudgedRound,
) -> Result<Arc<SeenRound>, ApiError> {
    let seen = request.rows.load_one(Key(organization, round)).await?;
    Ok(seen.ok_or_else(|| Error::internal("a round that is gone"))?)
}

/// The decisions of a round.
pub fn decisions(request: &Request, seen: &SeenRound) -> Vec<ApprovalDecision> {
    let situation = seen.situation(request.now());
    // Both are in the order in which they were taken.
    let pairs = seen.decisions.iter().zip(&seen.round.decisions);
    let decision = |(row, decision): (&approval_decision::Model, &domain::Decision)| ApprovalDecision {
        row: row.clone(),
        still_eligible: seen.round.still_eligible(decision, &situation),
        tried: seen.reasons.clone(),
    };
    pairs.map(decision).collect()
}

/// The stages of a round.
pub async fn stages(request: &Request, seen: &SeenRound) -> Result<Vec<ApprovalRequestStage>, ApiError> {
    let now = request.now();
    let mut stages = Vec::with_capacity(seen.round.stages.len());
    for (index, seats) in seen.round.stages.iter().enumerate() {
        let escalated = seen.escalated(index, now);
        let approved = seen.round.decisions.iter();
        let approved =
            approved.filter(|one| one.stage == index && one.choice == domain::Choice::Approve).count();
        let asked = seen.asked_in(index, now).into_iter().collect();
        stages.push(ApprovalRequestStage {
            name: seats.name.clone(),
            quorum: seats.quorum,
            approved: i64::try_from(approved).unwrap_or(i64::MAX),
            satisfied: seen.round.is_satisfied(index),
            eligible: people(request, seen.row.organization_id, asked).await?,
            escalation: escalated.map(|one| one.reason.into()),
            escalated_at: escalated.map(|one| DateTime(one.at)),
            sole_owner: escalated.is_some_and(|one| one.sole_owner),
        });
    }
    Ok(stages)
}

/// Those of some people who are named to the caller where rows of an organization name them (see [`person`]).
async fn people(
    request: &Request,
    organization: OrganizationId,
    mut ids: Vec<UserId>,
) -> Result<Vec<User>, ApiError> {
    let sight = request.caller()?.sees_people(organization);
    let home = match sight {
        SeenPeople::Nobody => return Ok(Vec::new()),
        SeenPeople::Members => {
            let keys: Vec<_> = ids.iter().map(|id| Key(organization, MemberOf(*id))).collect();
            let members = request.rows.load_many(keys).await?;
            ids.retain(|id| members.contains_key(&Key(organization, MemberOf(*id))));
            organization
        }
        SeenPeople::Everybody => Tenant::vendor().id(),
    };
    let keys: Vec<_> = ids.iter().map(|id| Key(home, *id)).collect();
    let mut rows = request.rows.load_many(keys.clone()).await?;
    Ok(keys.iter().filter_map(|key| rows.remove(key)).map(User).collect())
}
