//! Asking for credits, taking that back, and answering it.

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use bursar_domain::id::CreditRequestId;
use bursar_domain::permission::Action;

use super::balance::{Balance, BalanceOf};
use super::credit_request::CreditRequest;
use super::errors::{ApiError, UserError, user_error};
use super::node::decode;
use super::pool_mutation;
use super::purchase::Purchase;
use super::scalars::{CreditsScalar, DateTime, IdempotencyKey};
use super::spending_cap::SpendingCapRaise;
use super::transfer::Transfer;
use super::{Request, signed_in};
use crate::error::Error;
use crate::ledger;
use crate::pools::{self, NewCreditRequest};
use crate::purchases::{self, Answer, Resolution, Resolved};

/// What somebody asks for.
#[derive(InputObject)]
pub struct RequestCreditsInput {
    /// Which pool is asked.
    pool_id: ID,
    /// For which department.
    department_id: ID,
    /// How many.
    credits: CreditsScalar,
    /// Why.
    reason: Option<String>,
}

/// A request to be taken back.
#[derive(InputObject)]
pub struct WithdrawCreditRequestInput {
    /// Which request.
    request_id: ID,
}

/// An answer to a credit request: exactly one of these.
#[derive(OneofObject)]
pub enum CreditRequestAnswer {
    /// Credits are allocated to the department.
    Allocate(AllocateAnswer),
    /// A spending cap of the pool is raised for a time: the department's, that of whoever asks, or a
    /// service's.
    RaiseCap(RaiseCapAnswer),
    /// A package is requested for the pool.
    Purchase(PurchaseAnswer),
    /// The answer is no; must be true.
    Decline(bool),
}

/// Credits to be allocated to the department.
#[derive(InputObject)]
pub struct AllocateAnswer {
    /// How many. Left out: as many as were asked for.
    credits: Option<CreditsScalar>,
}

/// A spending cap to be raised.
#[derive(InputObject)]
pub struct RaiseCapAnswer {
    /// Which cap.
    cap_id: ID,
    /// By how much.
    credits: CreditsScalar,
    /// Until when: in the future, and within 366 days.
    until: DateTime,
}

/// A package to be requested.
#[derive(InputObject)]
pub struct PurchaseAnswer {
    /// The package's code.
    package: String,
}

/// An answer to a credit request.
#[derive(InputObject)]
pub struct ResolveCreditRequestInput {
    /// Which request.
    request_id: ID,
    /// What the answer is.
    answer: CreditRequestAnswer,
    /// What whoever asked is told with it.
    note: Option<String>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A request for credits that was made.
#[derive(SimpleObject)]
pub struct RequestCreditsPayload {
    /// The request.
    credit_request: Option<CreditRequest>,
    /// Why it was not made. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A request for credits that was taken back.
#[derive(SimpleObject)]
pub struct WithdrawCreditRequestPayload {
    /// The request.
    credit_request: Option<CreditRequest>,
    /// Why it was not taken back. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A request for credits that was answered.
#[derive(SimpleObject, Default)]
pub struct ResolveCreditRequestPayload {
    /// The request.
    credit_request: Option<CreditRequest>,
    /// What was moved. Empty unless the answer was an allocation.
    transfers: Vec<Transfer>,
    /// What the pool had after this, as of its commit. Null unless the answer was an allocation.
    balance: Option<Balance>,
    /// The raise. Null unless that was the answer.
    raise: Option<SpendingCapRaise>,
    /// The purchase. Null unless that was the answer.
    purchase: Option<Purchase>,
    /// Whether it had been answered so before, under the same key.
    replayed: bool,
    /// Why it was not answered. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that asks for credits, and answers.
#[derive(Default)]
pub struct CreditRequestMutation;

#[Object]
impl CreditRequestMutation {
    /// Asks a pool's administrators for credits for a department.
    async fn request_credits(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to ask for.")] input: RequestCreditsInput,
    ) -> Option<Result<RequestCreditsPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let pool = pool_mutation::managed(request, &input.pool_id, Action::ReadPool).await?;
                let department = decode(&input.department_id, "department");
                let new = NewCreditRequest {
                    department: department.map_err(|error: Error| error.at("departmentId"))?,
                    credits: input.credits.0,
                    reason: input.reason.clone(),
                };
                pools::request_credits(&request.services.context, &request.caller()?, &pool, new).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(row) => Ok(RequestCreditsPayload {
                credit_request: Some(CreditRequest(row)),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| RequestCreditsPayload { credit_request: None, user_errors: vec![error] }),
        })
    }

    /// Takes a request back that nobody has answered yet. Only whoever asked can.
    async fn withdraw_credit_request(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: WithdrawCreditRequestInput,
    ) -> Option<Result<WithdrawCreditRequestPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let find = async {
                    let caller = request.caller()?;
                    let id: CreditRequestId = decode(&input.request_id, "credit request")?;
                    caller.own_credit_request(&request.snapshots, id).await
                };
                let own = find.await.map_err(|error: Error| error.at("requestId"))?;
                request.snapshots.close().await;
                pools::withdraw_credit_request(&request.services.context, &own).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(row) => Ok(WithdrawCreditRequestPayload {
                credit_request: Some(CreditRequest(row)),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| WithdrawCreditRequestPayload { credit_request: None, user_errors: vec![error] }),
        })
    }

    /// Answers a request for credits: with an allocation, a raise of a spending cap, a request for a
    /// purchase, or no. The answer and what it gives happen together. Nobody but an owner answers an own
    /// request.
    async fn resolve_credit_request(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, and the answer.")] input: ResolveCreditRequestInput,
    ) -> Option<Result<ResolveCreditRequestPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let resolution = Resolution {
                answer: answer(input.answer)?,
                note: input.note,
                key: input.idempotency_key.0,
                dry_run: input.dry_run,
            };
            let resolved = |_| resolve(request, &input.request_id, resolution.clone());
            request.as_things_stand(resolved).await
        });
        // What the ledger refuses it names by the fields of an allocation.
        let names = [("poolId", "requestId"), ("departmentId", "requestId")];
        let refused = |error: UserError| ResolveCreditRequestPayload {
            user_errors: vec![error.renamed(&names)],
            ..Default::default()
        };
        Some(outcome.await.or_else(|error| user_error(error).map(refused)))
    }
}

fn answer(answer: CreditRequestAnswer) -> Result<Answer, Error> {
    Ok(match answer {
        CreditRequestAnswer::Allocate(AllocateAnswer { credits }) => {
            Answer::Allocate { credits: credits.map(|credits| credits.0) }
        }
        CreditRequestAnswer::RaiseCap(RaiseCapAnswer { cap_id, credits, until }) => Answer::RaiseCap {
            cap: decode(&cap_id, "cap").map_err(|error: Error| error.at("answer.raiseCap.capId"))?,
            credits: credits.0,
            until: until.0,
        },
        CreditRequestAnswer::Purchase(PurchaseAnswer { package }) => Answer::Purchase { package },
        CreditRequestAnswer::Decline(true) => Answer::Decline,
        CreditRequestAnswer::Decline(false) => {
            return Err(Error::invalid("answer.decline", "must be true"));
        }
    })
}

/// What an answer takes beside the permission to answer: the permission to give it without being asked.
fn action(answer: &Answer) -> Action {
    match answer {
        Answer::Allocate { .. } => Action::AllocateCredits,
        Answer::RaiseCap { .. } => Action::ManageSpendingCaps,
        Answer::Purchase { .. } => Action::ManagePurchases,
        Answer::Decline => Action::AnswerCreditRequests,
    }
}

async fn resolve(
    request: &Request,
    id: &str,
    resolution: Resolution,
) -> Result<ResolveCreditRequestPayload, Error> {
    let (caller, rehearsed) = (request.caller()?, resolution.dry_run);
    let find = async {
        let id: CreditRequestId = decode(id, "credit request")?;
        caller.credit_request(&request.snapshots, id, Action::AnswerCreditRequests).await
    };
    let asked = find.await.map_err(|error: Error| error.at("requestId"))?;
    let (organization, pool) = (asked.organization_id, asked.pool_id);
    if !caller.may_in_pool(organization, pool, std::iter::empty(), action(&resolution.answer)) {
        return Err(Error::Forbidden);
    }
    // What comes next is a write.
    request.snapshots.close().await;
    let resolved = purchases::resolve_credit_request(&request.services.ledger, &asked, resolution).await?;
    let Resolved { request: row, given, replayed } = resolved;
    let balance = given.transfers.last().map(ledger::Balance::of_pool_after).transpose()?;
    let balance = balance.map(|balance| Balance::new(balance, BalanceOf::Pools(organization, vec![pool])));
    Ok(ResolveCreditRequestPayload {
        credit_request: Some(CreditRequest(row)),
        transfers: given.transfers.into_iter().map(|row| Transfer::of(row, rehearsed && !replayed)).collect(),
        balance,
        raise: given.raise.map(SpendingCapRaise),
        purchase: given.purchase.map(|row| Purchase(row, given.tried, None)),
        replayed,
        user_errors: Vec::new(),
    })
}
