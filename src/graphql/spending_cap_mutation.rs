//! Making, changing, raising and removing spending caps.

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use bursar_domain::period::PeriodKind as Kind;
use bursar_domain::permission::Action;
use bursar_entity::spending_cap;

use super::errors::{ApiError, UserError, user_error};
use super::node::decode;
use super::period::PeriodKind;
use super::pool_mutation;
use super::scalars::{CreditsScalar, DateTime};
use super::spending_cap::{SpendingCap, SpendingCapRaise};
use super::{Request, signed_in};
use crate::auth::Authorized;
use crate::error::Error;
use crate::pools::{self, NewCap, NewCapScope, NewRaise};

/// Whose use a new cap is to limit: exactly one of these.
#[derive(OneofObject)]
pub enum SpendingCapScope {
    /// A department's.
    DepartmentId(ID),
    /// A member's.
    MemberId(ID),
    /// That of the service with this code, by whomever.
    Service(String),
}

/// What a new cap is to be.
#[derive(InputObject)]
pub struct CreateSpendingCapInput {
    /// The pool.
    pool_id: ID,
    /// Whose use it limits.
    scope: SpendingCapScope,
    /// How much may be used in a period; 0 for nothing at all.
    credits: CreditsScalar,
    /// The kind of its periods, the current one included. Left out: one that never ends.
    period: Option<PeriodKind>,
}

/// A new limit for a cap.
#[derive(InputObject)]
pub struct UpdateSpendingCapInput {
    /// Which cap.
    cap_id: ID,
    /// How much may be used in a period; 0 for nothing at all. What has been used stays used.
    credits: CreditsScalar,
}

/// A cap to be removed.
#[derive(InputObject)]
pub struct RemoveSpendingCapInput {
    /// Which cap.
    cap_id: ID,
}

/// A cap to be raised for a time.
#[derive(InputObject)]
pub struct RaiseSpendingCapInput {
    /// Which cap.
    cap_id: ID,
    /// By how much.
    credits: CreditsScalar,
    /// Until when: in the future, and within 366 days.
    until: DateTime,
    /// Why.
    reason: Option<String>,
}

/// A cap that was made.
#[derive(SimpleObject)]
pub struct CreateSpendingCapPayload {
    /// The cap.
    cap: Option<SpendingCap>,
    /// Why it was not made. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A cap that was changed.
#[derive(SimpleObject)]
pub struct UpdateSpendingCapPayload {
    /// The cap.
    cap: Option<SpendingCap>,
    /// Why it was not changed. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A cap that was removed.
#[derive(SimpleObject)]
pub struct RemoveSpendingCapPayload {
    /// The cap.
    cap: Option<SpendingCap>,
    /// Why it was not removed. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A cap that was raised.
#[derive(SimpleObject, Default)]
pub struct RaiseSpendingCapPayload {
    /// The cap.
    cap: Option<SpendingCap>,
    /// The raise.
    raise: Option<SpendingCapRaise>,
    /// Why it was not raised. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that changes spending caps.
#[derive(Default)]
pub struct SpendingCapMutation;

#[Object]
impl SpendingCapMutation {
    /// Makes a spending cap. What has been used in the current period so far counts.
    async fn create_spending_cap(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: CreateSpendingCapInput,
    ) -> Option<Result<CreateSpendingCapPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let pool =
                    pool_mutation::managed(request, &input.pool_id, Action::ManageSpendingCaps).await?;
                let new = NewCap {
                    scope: scope(&input.scope)?,
                    credits: input.credits.0,
                    period: input.period.map(Kind::from),
                };
                pools::create_cap(&request.services.context, &pool, new).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(row) => Ok(CreateSpendingCapPayload { cap: Some(row.into()), user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| CreateSpendingCapPayload { cap: None, user_errors: vec![error] }),
        })
    }

    /// Changes how much may be used.
    async fn update_spending_cap(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateSpendingCapInput,
    ) -> Option<Result<UpdateSpendingCapPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let cap = managed(request, &input.cap_id).await?;
                pools::update_cap(&request.services.context, &cap, input.credits.0).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(row) => Ok(UpdateSpendingCapPayload { cap: Some(row.into()), user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| UpdateSpendingCapPayload { cap: None, user_errors: vec![error] }),
        })
    }

    /// Removes a spending cap: from now on it limits nothing.
    async fn remove_spending_cap(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: RemoveSpendingCapInput,
    ) -> Option<Result<RemoveSpendingCapPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let cap = managed(request, &input.cap_id).await?;
                pools::remove_cap(&request.services.context, &cap).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(row) => Ok(RemoveSpendingCapPayload { cap: Some(row.into()), user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| RemoveSpendingCapPayload { cap: None, user_errors: vec![error] }),
        })
    }

    /// Raises a spending cap for a time. Raises that hold at the same time add up.
    async fn raise_spending_cap(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, by how much, and until when.")] input: RaiseSpendingCapInput,
    ) -> Option<Result<RaiseSpendingCapPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let cap = managed(request, &input.cap_id).await?;
                let new =
                    NewRaise { credits: input.credits.0, until: input.until.0, reason: input.reason.clone() };
                pools::raise_cap(&request.services.context, &cap, new).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok((row, raise)) => Ok(RaiseSpendingCapPayload {
                cap: Some(row.into()),
                raise: Some(SpendingCapRaise(raise)),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| RaiseSpendingCapPayload { user_errors: vec![error], ..Default::default() }),
        })
    }
}

fn scope(scope: &SpendingCapScope) -> Result<NewCapScope, Error> {
    Ok(match scope {
        SpendingCapScope::DepartmentId(id) => NewCapScope::Department(
            decode(id, "department").map_err(|error: Error| error.at("scope.departmentId"))?,
        ),
        SpendingCapScope::MemberId(id) => {
            NewCapScope::Member(decode(id, "member").map_err(|error: Error| error.at("scope.memberId"))?)
        }
        SpendingCapScope::Service(code) => NewCapScope::Service(code.clone()),
    })
}

/// A cap for a change; the snapshot is closed, since what comes next is a write.
async fn managed(request: &Request, id: &str) -> Result<Authorized<spending_cap::Model>, Error> {
    let find = async {
        let (caller, id) = (request.caller()?, decode(id, "cap")?);
        caller.spending_cap(&request.snapshots, id, Action::ManageSpendingCaps).await
    };
    let cap = find.await.map_err(|error: Error| error.at("capId"))?;
    request.snapshots.close().await;
    Ok(cap)
}
