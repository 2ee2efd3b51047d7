//! Requests for people's consent to a purchase.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object};
use bursar_domain::approval::{self as domain, NotApprovable, RequestState};
use bursar_domain::id::{ApprovalId, PoolId};
use bursar_domain::permission::Action;
use bursar_entity::{approval_decision, approval_request, approval_round, pool};
use sea_orm::{ColumnTrait, Condition, Order, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select};

use super::approval_decision::{
    ApprovalDecision, ApprovalRequestStage, ApprovalRound, decisions, judged_round, stages, total,
};
use super::approval_policy::ApprovalPolicy;
use super::approval_refused::NotApprovableReason;
use super::connection::{NodeConnection, PageArgs, connection};
use super::errors::ApiError;
use super::loaders::{JudgedRound, Key, ReasonsOf, RoundOf};
use super::member::{User, person};
use super::node::{decode, found};
use super::pool::{Pool, pool_of};
use super::purchase::Purchase;
use super::scalars::{CreditsScalar, DateTime, MoneyObject};
use super::{Request, approval_sign_in, request, signed_in};
use crate::approvals::{Reasons, SeenRound, Tried};
use crate::auth::Caller;
use crate::db::{Snapshot, Tenant};
use crate::error::Error;
use crate::{approvals, global_id};

/// Where a request for people's consent stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "RequestState")]
pub enum ApprovalRequestState {
    /// Somebody has to decide.
    Pending,
    /// Everybody who had to has agreed.
    Approved,
    /// Somebody has said no. Final.
    Rejected,
    /// Nobody has decided in time.
    Expired,
    /// What was asked for is not wanted any more, or needs nobody's consent as it is now.
    Withdrawn,
}

/// What a round of a request was opened by.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "domain::RoundCause")]
pub enum ApprovalRoundCause {
    /// The purchase was requested.
    Requested,
    /// What is to be bought was changed.
    Edited,
    /// The price was no longer valid.
    PriceExpired,
}

/// What somebody decides.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "domain::Choice")]
pub enum ApprovalChoice {
    /// Yes.
    Approve,
    /// No.
    Reject,
}

/// Which requests are wanted.
#[derive(InputObject)]
pub struct ApprovalRequestFilter {
    /// Only those in this state.
    state: Option<ApprovalRequestState>,
    /// Only those that the caller may decide about now, or only the others.
    decidable: Option<bool>,
}

/// A request for people's consent to a purchase.
pub struct ApprovalRequest(pub approval_request::Model, pub Option<Arc<Tried>>);

impl ApprovalRequest {
    /// The request with a global id, when the caller may see it.
    pub async fn find(request: &Request, id: &str) -> Result<ApprovalRequest, Error> {
        let id: ApprovalId = decode(id, "approval request")?;
        let seen = request.caller()?.approval(&request.snapshots, id, Action::ReadApprovals).await?;
        Ok(ApprovalRequest::stored(seen.into_value()))
    }

    /// One as it is stored, not as it was only tried.
    const fn stored(row: approval_request::Model) -> ApprovalRequest {
        ApprovalRequest(row, None)
    }

    /// What was only tried, when the caller may see it: whoever asks, or decides, does; a key as far as it goes.
    pub fn of_tried(request: &Request, tried: &Arc<Tried>) -> Result<Option<ApprovalRequest>, Error> {
        let caller = request.caller()?;
        let (of, none) = (&tried.request, std::iter::empty());
        let sees = caller.person().is_some()
            || caller.may_in_pool(of.organization_id, of.pool_id, none, Action::ReadApprovals);
        Ok(sees.then(|| ApprovalRequest(of.clone(), Some(tried.clone()))))
    }

    fn tenant(&self) -> Tenant {
        // Only requests that the caller may see become objects.
        Tenant::vouched(self.0.organization_id)
    }

    /// The newest round.
    async fn newest(&self, ctx: &Context<'_>) -> Result<approval_round::Model, ApiError> {
        if let Some(tried) = &self.1 {
            return Ok(tried.newest()?.row.clone());
        }
        let key = Key(self.0.organization_id, RoundOf(self.0.id, self.0.round));
        let row = signed_in(ctx)?.rows.load_one(key).await?;
        Ok(row.ok_or_else(|| Error::internal("a request without its round"))?)
    }

    /// The newest round, with what it is judged by.
    async fn judged(&self, request: &Request) -> Result<Arc<SeenRound>, ApiError> {
        if let Some(tried) = &self.1 {
            return Ok(tried.newest()?);
        }
        let round = JudgedRound(self.0.id, self.0.round);
        judged_round(request, self.0.organization_id, round).await
    }

    /// Why the caller cannot decide about it. None: they can.
    async fn refusal(&self, ctx: &Context<'_>) -> Result<Option<NotApprovable>, ApiError> {
        let request = signed_in(ctx)?;
        match self.0.state {
            RequestState::Pending => {}
            RequestState::Approved => return Ok(Some(NotApprovable::Approved)),
            RequestState::Rejected => return Ok(Some(NotApprovable::Rejected)),
            RequestState::Expired => return Ok(Some(NotApprovable::Expired)),
            RequestState::Withdrawn => return Ok(Some(NotApprovable::Withdrawn)),
        }
        let caller = request.caller()?;
        // A key was never asked.
        let Some(person) = caller.person() else { return Ok(Some(NotApprovable::NotAsked)) };
        let seen = self.judged(request).await?;
        if let Some(reason) = seen.why_not(person.id, request.now()) {
            return Ok(Some(reason));
        }
        let missing = approval_sign_in::is_missing(request, self.tenant(), &seen.row).await?;
        Ok(missing.then_some(NotApprovable::SignInRequired))
    }
}

/// A request for people's consent to a purchase. What is asked for is that of the newest round.
#[Object]
impl ApprovalRequest {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// What is to be bought. Null for those who do not see purchases for the pool.
    async fn purchase(&self, ctx: &Context<'_>) -> Option<Result<Purchase, ApiError>> {
        let find = Box::pin(async {
            let request = request(ctx)?;
            if let Some(tried) = &self.1 {
                let (of, none) = (&tried.purchase, std::iter::empty());
                let caller = request.caller()?;
                let sees = caller.may_in_pool(of.organization_id, of.pool_id, none, Action::ReadPurchases);
                return Ok(sees.then(|| Purchase(of.clone(), Some(tried.clone()), None)));
            }
            found(Purchase::find(request, &global_id::encode(self.0.purchase_id)).await)
        });
        find.await.transpose()
    }

    /// For which pool. Null for those who do not see it.
    async fn pool(&self, ctx: &Context<'_>) -> Option<Result<Pool, ApiError>> {
        pool_of(ctx, self.0.pool_id).await
    }

    /// Who has asked for the purchase, as long as they belong to the organization.
    async fn requested_by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load =
            Box::pin(async { person(signed_in(ctx)?, self.0.organization_id, self.0.requested_by).await });
        load.await.transpose()
    }

    /// Where it stands.
    async fn state(&self) -> ApprovalRequestState {
        self.0.state.into()
    }

    /// The newest round, from 1. Every change of what is asked for opens another one, in which everybody decides anew.
    async fn round(&self) -> i64 {
        self.0.round
    }

    /// What the newest round was opened by.
    async fn cause(&self, ctx: &Context<'_>) -> Result<ApprovalRoundCause, ApiError> {
        Box::pin(async { Ok(self.newest(ctx).await?.cause.into()) }).await
    }

    /// What is bought, in words.
    async fn title(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        Box::pin(async { Ok(self.newest(ctx).await?.title) }).await
    }

    /// How many credits.
    async fn credits(&self, ctx: &Context<'_>) -> Result<CreditsScalar, ApiError> {
        Box::pin(async { Ok(CreditsScalar(self.newest(ctx).await?.credits)) }).await
    }

    /// What is to be paid.
    async fn total(&self, ctx: &Context<'_>) -> Result<MoneyObject, ApiError> {
        Box::pin(async { Ok(total(&self.newest(ctx).await?)) }).await
    }

    /// Why it is wanted, in the words of whoever asks. Null: that was not said, or they have been forgotten.
    async fn reason(&self, ctx: &Context<'_>) -> Option<Result<String, ApiError>> {
        let load = Box::pin(async {
            if let Some(tried) = &self.1 {
                let newest = tried.newest()?;
                return Ok(newest.reasons.as_ref().and_then(Reasons::of_round).map(str::to_owned));
            }
            let key = Key(self.0.organization_id, ReasonsOf(self.0.id, self.0.round));
            let said = signed_in(ctx)?.rows.load_one(key).await?;
            Ok(said.and_then(|said| said.of_round().map(str::to_owned)))
        });
        load.await.transpose()
    }

    /// The SHA-256 of what is asked for (pool, version of the package, credits, total, currency, whoever asks, and until
    /// when the price holds), in hexadecimal digits. Decisions are about this and nothing else.
    async fn content_hash(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        Box::pin(async {
            let round = self.newest(ctx).await?;
            Ok(data_encoding::HEXLOWER.encode(&round.content_hash))
        })
        .await
    }

    /// Until when the price holds.
    async fn valid_until(&self, ctx: &Context<'_>) -> Result<DateTime, ApiError> {
        Box::pin(async { Ok(DateTime(self.newest(ctx).await?.valid_until)) }).await
    }

    /// When it is over unless it has been decided.
    async fn expires_at(&self, ctx: &Context<'_>) -> Result<DateTime, ApiError> {
        Box::pin(async { Ok(DateTime(self.newest(ctx).await?.expires_at)) }).await
    }

    /// Which stage's turn it is, from 0.
    async fn stage(&self) -> i64 {
        self.0.stage
    }

    /// The stages of the newest round, in order.
    async fn stages(&self, ctx: &Context<'_>) -> Result<Vec<ApprovalRequestStage>, ApiError> {
        Box::pin(async {
            let request = signed_in(ctx)?;
            let seen = self.judged(request).await?;
            stages(request, &seen).await
        })
        .await
    }

    /// What was decided in the newest round, in order.
    async fn decisions(&self, ctx: &Context<'_>) -> Result<Vec<ApprovalDecision>, ApiError> {
        Box::pin(async {
            let request = signed_in(ctx)?;
            let seen = self.judged(request).await?;
            Ok(decisions(request, &seen))
        })
        .await
    }

    /// All its rounds, oldest first. Every one but the newest was replaced.
    async fn rounds(&self, ctx: &Context<'_>) -> Result<Vec<ApprovalRound>, ApiError> {
        Box::pin(async {
            let request = signed_in(ctx)?;
            if let Some(tried) = &self.1 {
                let round = |seen: &Arc<SeenRound>| ApprovalRound(seen.row.clone(), Some(seen.clone()));
                return Ok(tried.rounds.iter().map(round).collect());
            }
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let rows = self
                .tenant()
                .find::<approval_round::Entity>()
                .filter(approval_round::Column::RequestId.eq(self.0.id))
                .filter(approval_round::Column::Round.lte(self.0.round))
                .order_by_asc(approval_round::Column::Round);
            let rows = rows.all(&*snapshot).await.map_err(Error::from)?;
            Ok(rows.into_iter().map(|row| ApprovalRound(row, None)).collect())
        })
        .await
    }

    /// The version of the policy that the newest round goes by. Null for those who do not see policies.
    async fn policy(&self, ctx: &Context<'_>) -> Option<Result<ApprovalPolicy, ApiError>> {
        let find = Box::pin(async {
            let round = self.newest(ctx).await?;
            Ok(ApprovalPolicy::of_organization(signed_in(ctx)?, self.tenant(), round.policy_id).await?)
        });
        find.await.transpose()
    }

    /// What the rule is called that has fitted.
    async fn rule_name(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        Box::pin(async { Ok(self.newest(ctx).await?.rule_name) }).await
    }

    /// Whether the caller may decide about it now.
    async fn can_decide(&self, ctx: &Context<'_>) -> Result<bool, ApiError> {
        Box::pin(async { Ok(self.refusal(ctx).await?.is_none()) }).await
    }

    /// Why the caller may not decide about it. Null when they may.
    async fn cannot_decide(&self, ctx: &Context<'_>) -> Option<Result<NotApprovableReason, ApiError>> {
        let load = Box::pin(async { Ok(self.refusal(ctx).await?.map(NotApprovableReason::from)) });
        load.await.transpose()
    }

    /// When the credits came in that were agreed to. An approval is used once.
    async fn used_at(&self) -> Option<DateTime> {
        self.0.used_at.map(DateTime)
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it came to its end. Null while it is pending.
    async fn ended_at(&self) -> Option<DateTime> {
        self.0.ended_at.map(DateTime)
    }
}

/// The requests about purchases for a pool, newest first.
pub async fn of_pool(
    ctx: &Context<'_>,
    pool: &pool::Model,
    filter: Option<ApprovalRequestFilter>,
    args: PageArgs,
) -> Result<NodeConnection<ApprovalRequest>, ApiError> {
    let request = signed_in(ctx)?;
    let (organization, none) = (pool.organization_id, std::iter::empty());
    if !request.caller()?.may_in_pool(organization, pool.id, none, Action::ReadApprovals) {
        return Err(Error::Forbidden.into());
    }
    // Only pools that the caller may see become objects.
    let tenant = Tenant::vouched(organization);
    let select =
        tenant.find::<approval_request::Entity>().filter(approval_request::Column::PoolId.eq(pool.id));
    let snapshot = request.snapshots.open(tenant).await?;
    let asked = asked(request, &snapshot, tenant, by_decidable(filter.as_ref())).await?;
    page(ctx, (&snapshot, select), filter, &asked, args).await
}

/// The requests of an organization that the caller may see, newest first: all; or those about purchases for the own pools,
/// the own ones, those that the caller is asked about, and those that they have decided about.
pub async fn of_organization(
    ctx: &Context<'_>,
    tenant: Tenant,
    filter: Option<ApprovalRequestFilter>,
    args: PageArgs,
) -> Result<NodeConnection<ApprovalRequest>, ApiError> {
    let request = signed_in(ctx)?;
    let caller = request.caller()?;
    let sees_all = caller.may_in_organization(tenant.id(), Action::ReadApprovals);
    let snapshot = request.snapshots.open(tenant).await?;
    let asked = asked(request, &snapshot, tenant, !sees_all || by_decidable(filter.as_ref())).await?;
    let mut select = tenant.find::<approval_request::Entity>();
    if !sees_all {
        select = select.filter(seen(&caller, tenant, &asked)?);
    }
    page(ctx, (&snapshot, select), filter, &asked, args).await
}

/// Whether it matters which requests the caller may decide about.
fn by_decidable(filter: Option<&ApprovalRequestFilter>) -> bool {
    filter.is_some_and(|filter| filter.decidable.is_some())
}

/// What the caller is asked about in an organization, when that matters. Keys are asked about nothing.
async fn asked(
    request: &Request,
    snapshot: &Snapshot,
    tenant: Tenant,
    matters: bool,
) -> Result<approvals::AskedAbout, Error> {
    let caller = request.caller()?;
    match caller.person().filter(|_| matters) {
        Some(person) => approvals::asked_of(snapshot, tenant, person.id, request.now()).await,
        None => Ok(approvals::AskedAbout::default()),
    }
}

/// The condition of the requests that somebody sees who does not see all.
fn seen(caller: &Caller, tenant: Tenant, asked: &approvals::AskedAbout) -> Result<Condition, Error> {
    let pools: Vec<PoolId> = caller.own_pools(tenant.id(), Action::ReadApprovals).collect();
    let Some(person) = caller.person() else {
        // A key without a pool of its own may not ask.
        return match pools.is_empty() {
            true => Err(Error::Forbidden),
            false => Ok(Condition::all().add(approval_request::Column::PoolId.is_in(pools))),
        };
    };
    let decided = tenant
        .find::<approval_decision::Entity>()
        .select_only()
        .column(approval_decision::Column::RequestId)
        .filter(approval_decision::Column::DecidedBy.eq(person.id));
    let has_asked = tenant
        .find::<approval_round::Entity>()
        .select_only()
        .column(approval_round::Column::RequestId)
        .filter(approval_round::Column::Requester.eq(person.id));
    let asked: Vec<ApprovalId> = asked.decidable.iter().chain(&asked.concerning).copied().collect();
    Ok(Condition::any()
        .add(approval_request::Column::PoolId.is_in(pools))
        .add(approval_request::Column::RequestedBy.eq(person.id))
        .add(approval_request::Column::Id.is_in(asked))
        .add(approval_request::Column::Id.in_subquery(has_asked.into_query()))
        .add(approval_request::Column::Id.in_subquery(decided.into_query())))
}

async fn page(
    ctx: &Context<'_>,
    (snapshot, mut select): (&Snapshot, Select<approval_request::Entity>),
    filter: Option<ApprovalRequestFilter>,
    asked: &approvals::AskedAbout,
    args: PageArgs,
) -> Result<NodeConnection<ApprovalRequest>, ApiError> {
    if let Some(ApprovalRequestFilter { state, decidable }) = filter {
        if let Some(state) = state {
            select = select.filter(approval_request::Column::State.eq(RequestState::from(state)));
        }
        let own = asked.decidable.iter().copied();
        select = match decidable {
            Some(true) => select.filter(approval_request::Column::Id.is_in(own)),
            Some(false) => select.filter(approval_request::Column::Id.is_not_in(own)),
            None => select,
        };
    }
    let order = (approval_request::Column::Id, Order::Desc);
    connection(ctx, snapshot, select, order, args, |row| row.id, ApprovalRequest::stored).await
}
