//! Deciding about a purchase that somebody has asked for.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::approval::Choice;
use bursar_domain::id::ApprovalId;

use super::approval_refused::not_approvable;
use super::approval_request::{ApprovalChoice, ApprovalRequest};
use super::approval_sign_in::is_vouched_for;
use super::errors::{ApiError, UserError, user_error};
use super::node::{decode, found};
use super::purchase::Purchase;
use super::scalars::IdempotencyKey;
use super::{Request, signed_in};
use crate::approvals::{self, By, Decide, Decided, Taken};
use crate::error::Error;
use crate::{global_id, purchases};

/// A decision.
#[derive(InputObject)]
pub struct DecideApprovalInput {
    /// About which request.
    request_id: ID,
    /// About which round of it: what you have seen.
    round: i32,
    /// What you decide.
    choice: ApprovalChoice,
    /// Why. Needed to reject.
    reason: Option<String>,
    /// That you know that you agree to what you have asked for yourself, as the only owner, because nobody else can.
    #[graphql(default = false)]
    sole_owner: bool,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A decision that was taken.
#[derive(SimpleObject, Default)]
pub struct DecideApprovalPayload {
    /// The request, as it is now.
    request: Option<ApprovalRequest>,
    /// The purchase. Null for those who may not see it.
    purchase: Option<Purchase>,
    /// Whether it had been taken before, under the same key.
    replayed: bool,
    /// Why it was not taken. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that decides about purchases.
#[derive(Default)]
pub struct ApprovalMutation;

#[Object]
impl ApprovalMutation {
    /// Agrees to a purchase, or rejects it. Who may is fixed when the request is opened; whoever was asked has to be still
    /// what they were asked as. One rejection ends it. When the last of those has agreed who have to, paying begins.
    async fn decide_approval(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to decide.")] input: DecideApprovalInput,
    ) -> Option<Result<DecideApprovalPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let decided = request.as_things_stand(|_| decide(request, &input)).await?;
            Ok::<_, Error>((request, decided))
        });
        Some(match outcome.await {
            Ok((request, decided)) => Box::pin(payload(request, decided)).await,
            Err(error) => user_error(error)
                .map(|error| DecideApprovalPayload { user_errors: vec![error], ..Default::default() }),
        })
    }
}

async fn decide(request: &Request, input: &DecideApprovalInput) -> Result<Decided, Error> {
    let id: Result<ApprovalId, Error> = decode(&input.request_id, "approval request");
    let id = id.map_err(|error| error.at("requestId"))?;
    let caller = request.caller()?;
    let known = caller.approval_to_decide(&request.snapshots, id).await;
    let (known, person) = known.map_err(|error| error.at("requestId"))?;
    let vouched = is_vouched_for(request, known.tenant()).await?;
    request.snapshots.close().await;
    let decide = Decide {
        request: id,
        round: i64::from(input.round),
        choice: Choice::from(input.choice),
        reason: input.reason.clone(),
        sole_owner: input.sole_owner,
        by: By::Api { key: input.idempotency_key.0.clone(), vouched },
    };
    let (selling, tenant, actor) = (&request.services.selling, known.tenant(), known.actor());
    if input.dry_run {
        return purchases::rehearse_decision(selling, tenant, actor, person, decide).await;
    }
    let round = decide.round;
    let decided = purchases::decide(selling, tenant, actor, person, decide).await?;
    if let Decided::Refused(reason) = &decided {
        let attempts = &request.services.attempts;
        approvals::note_refused_decision(attempts, (tenant, actor), (id, round, person), *reason);
    }
    Ok(decided)
}

async fn payload(request: &Request, decided: Decided) -> Result<DecideApprovalPayload, ApiError> {
    let (taken, replayed) = match decided {
        Decided::Taken(taken) => (taken, false),
        Decided::Replayed(taken) => (taken, true),
        Decided::Refused(reason) => {
            let user_errors = vec![not_approvable(reason)];
            return Ok(DecideApprovalPayload { user_errors, ..Default::default() });
        }
        Decided::WrongCode { .. } | Decided::LinkOver(_) => {
            return Err(Error::internal("a decision through the API was taken for one by a link").into());
        }
    };
    let Taken { request: row, tried, .. } = *taken;
    // Whoever decides need not see the purchases of the pool.
    let purchase = match Purchase::find(request, &global_id::encode(row.purchase_id)).await {
        Err(Error::Forbidden) => None,
        outcome => found(outcome)?,
    };
    let purchase = purchase.map(|stored| match &tried {
        Some(tried) => Purchase(tried.purchase.clone(), Some(tried.clone()), None),
        None => stored,
    });
    Ok(DecideApprovalPayload {
        request: Some(ApprovalRequest(row, tried)),
        purchase,
        replayed,
        user_errors: Vec::new(),
    })
}
