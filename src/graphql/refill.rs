//! What people set of allocations: how they overflow and are refilled.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use bursar_domain::Credits;
use bursar_domain::ledger as rules;
use bursar_domain::permission::Action;
use bursar_entity::account;

use super::allocation::Allocation;
use super::errors::{ApiError, UserError, user_error};
use super::node::decode;
use super::period::PeriodKind;
use super::pool_mutation::managed;
use super::scalars::{CreditsScalar, DateTime};
use super::signed_in;
use crate::error::Error;
use crate::pools::{self, AllocationPatch, NewRefill};

/// What a department does that has not enough of its own.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "rules::Overflow")]
pub enum Overflow {
    /// It is refused.
    Deny,
    /// It draws on the pool's unallocated credits.
    Unallocated,
}

/// How an allocation is refilled when a period begins: what is left beyond the rollover goes back to
/// unallocated, then it is topped up with what unallocated has.
#[derive(SimpleObject)]
pub struct AllocationRefill {
    /// It is topped up to this.
    credits: CreditsScalar,
    /// At the beginning of each of these, in the organization's time zone.
    period: PeriodKind,
    /// What is left beyond this goes back first. Null: all of it stays.
    rollover_max: Option<CreditsScalar>,
    /// When it is refilled next.
    next_at: Option<DateTime>,
    /// How many credits it lacked when it was refilled last. Null: it has not been refilled yet.
    last_shortfall: Option<CreditsScalar>,
}

impl AllocationRefill {
    /// How an account is refilled, if it is.
    pub fn of(row: &account::Model) -> Option<AllocationRefill> {
        Some(AllocationRefill {
            credits: CreditsScalar(row.refill_amount?),
            period: row.refill_period?.into(),
            rollover_max: row.refill_rollover.filter(|most| *most != Credits::MAX).map(CreditsScalar),
            next_at: row.refill_end.map(DateTime),
            last_shortfall: row.refill_shortfall.map(CreditsScalar),
        })
    }
}

/// How an allocation is to be refilled.
#[derive(InputObject)]
pub struct AllocationRefillInput {
    /// It is topped up to this.
    credits: CreditsScalar,
    /// At the beginning of each of these, in the organization's time zone. The first is the one after the one
    /// that has begun.
    period: PeriodKind,
    /// What is left beyond this goes back first. Left out: all of it stays.
    rollover_max: Option<CreditsScalar>,
}

/// What to change of an allocation. What is left out stays.
#[derive(InputObject)]
pub struct SetAllocationRefillInput {
    /// In which pool.
    pool_id: ID,
    /// Of which department.
    department_id: ID,
    /// What the department does that has not enough of its own.
    overflow: Option<Overflow>,
    /// How it is refilled; null for not at all.
    refill: MaybeUndefined<AllocationRefillInput>,
}

/// An allocation that was changed.
#[derive(SimpleObject)]
pub struct SetAllocationRefillPayload {
    /// The allocation.
    allocation: Option<Allocation>,
    /// Why it was not changed. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that changes how allocations overflow and are refilled.
#[derive(Default)]
pub struct RefillMutation;

#[Object]
impl RefillMutation {
    /// Changes whether a department draws on the pool when it has used its own credits, and how its allocation is
    /// refilled.
    async fn set_allocation_refill(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: SetAllocationRefillInput,
    ) -> Option<Result<SetAllocationRefillPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let pool = managed(request, &input.pool_id, Action::AllocateCredits).await?;
                let department = decode(&input.department_id, "department");
                let department = department.map_err(|error: Error| error.at("departmentId"))?;
                let refill = match &input.refill {
                    MaybeUndefined::Undefined => None,
                    MaybeUndefined::Null => Some(None),
                    MaybeUndefined::Value(refill) => Some(Some(NewRefill {
                        credits: refill.credits.0,
                        period: refill.period.into(),
                        rollover: refill.rollover_max.as_ref().map(|most| most.0),
                    })),
                };
                let patch = AllocationPatch { overflow: input.overflow.map(rules::Overflow::from), refill };
                pools::set_refill(&request.services.context, &pool, department, patch).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(row) => {
                Ok(SetAllocationRefillPayload { allocation: Some(Allocation(row)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| SetAllocationRefillPayload { allocation: None, user_errors: vec![error] }),
        })
    }
}
