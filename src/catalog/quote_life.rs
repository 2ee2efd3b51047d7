//! How quotes come to their end without being bought: nobody answers in time, the price holds no more, or the organization
//! wants none any longer.

use bursar_domain::Timestamp;
use bursar_domain::id::QuoteId;
use bursar_domain::pricing::QuoteState;
use bursar_entity::quote;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::json;

use super::quotes::lock;
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::organizations::lock_for;

/// A quote runs out. The subject is the quote.
pub const QUOTE_DUE: &str = "QUOTE_DUE";

/// Withdraws a quote that has not been bought. One that is withdrawn already stays so.
///
/// # Errors
/// [`Conflict::State`] when it has come to another end; what the database answers.
pub async fn withdraw_quote(context: &Context, quote: &Authorized<quote::Model>) -> Result<quote::Model> {
    let (tenant, actor, clock, id) = (quote.tenant(), quote.actor().clone(), context.clock.clone(), quote.id);
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            let before = lock(txn, tenant, id).await?;
            if before.state == QuoteState::Withdrawn {
                return Ok(before);
            }
            if !before.state.can_be_withdrawn() {
                let reason = format!("A quote that is {} cannot be withdrawn.", before.state);
                return Err(Error::conflict(Conflict::State, "quoteId", reason));
            }
            let change = end(txn, &before, QuoteState::Withdrawn, "withdrawQuote").await?;
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(quote::Model { state: QuoteState::Withdrawn, ..before })
        })
    });
    context.db.write(tenant, work).await
}

/// Lets a quote run out when its time has come: a request that nobody has answered, or a price that holds no more. Answers
/// when it has to be looked at again.
///
/// # Errors
/// What the database answers.
pub async fn quote_due(context: &Context, tenant: Tenant, id: QuoteId) -> Result<Option<Timestamp>> {
    let clock = context.clock.clone();
    let work = db::work(move |txn| {
        let clock = clock.clone();
        Box::pin(async move {
            let row = tenant.find::<quote::Entity>().filter(quote::Column::Id.eq(id));
            let Some(before) = row.lock_exclusive().one(txn).await? else { return Ok(None) };
            let due = match before.state {
                QuoteState::Requested => before.expires_at,
                QuoteState::Answered => before.valid_until,
                QuoteState::Declined | QuoteState::Used | QuoteState::Withdrawn | QuoteState::Expired => None,
            };
            let Some(due) = due else { return Ok(None) };
            if clock.now() < due {
                return Ok(Some(due));
            }
            let change = end(txn, &before, QuoteState::Expired, "expireQuote").await?;
            audit::record(txn, tenant, &clock, &Actor::system(None), change).await?;
            Ok(None)
        })
    });
    context.db.write(tenant, work).await
}

/// Writes the last state of a quote, which is locked, and answers what is to be recorded of it.
async fn end(txn: &Txn, before: &quote::Model, state: QuoteState, action: &'static str) -> Result<Change> {
    let row = quote::ActiveModel {
        organization_id: Unchanged(before.organization_id),
        id: Unchanged(before.id),
        state: Set(state),
        ..Default::default()
    };
    quote::Entity::update(row).exec_without_returning(txn).await?;
    let (was, is) = (json!({ "state": before.state.as_str() }), json!({ "state": state.as_str() }));
    Ok(Change::updated(action, before.id, was, is))
}
