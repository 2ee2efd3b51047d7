//! Trying again what was given up, when somebody asks for it.

use bursar_domain::delivery::DeliveryState;
use bursar_entity::{delivery, organization};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::json;

use crate::audit::{self, Change};
use crate::auth::Authorized;
use crate::context::Context;
use crate::db;
use crate::error::{Conflict, Error, Result};

/// Has a delivery tried again at once that was given up, with as many tries as a new one. A conflict when it was
/// not given up. How it failed last stays to be seen.
pub async fn replay(context: &Context, delivery: &Authorized<delivery::Model>) -> Result<delivery::Model> {
    let (id, tenant, actor) = (delivery.id, delivery.tenant(), delivery.actor().clone());
    let clock = context.clock.clone();
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            // The vendor's are of no organization.
            let organization = tenant.find::<organization::Entity>().lock_exclusive().one(txn).await?;
            if let Some(organization) = organization {
                actor.require_standing(txn, &organization).await?;
            }
            let row = tenant.find::<delivery::Entity>().filter(delivery::Column::Id.eq(id));
            let row = row.lock_exclusive().one(txn).await?;
            let before = row.ok_or(Error::not_found("delivery").at("deliveryId"))?;
            if before.state != DeliveryState::Dead {
                let reason = "Only what was given up can be tried again.";
                return Err(Error::conflict(Conflict::State, "deliveryId", reason));
            }
            if before.recipient.is_empty() {
                let reason = "To whom it was is no longer kept.";
                return Err(Error::conflict(Conflict::State, "deliveryId", reason));
            }
            let after = delivery::Model {
                state: DeliveryState::Pending,
                attempts: 0,
                due_at: clock.now(),
                ..before.clone()
            };
            let row = delivery::ActiveModel {
                organization_id: Unchanged(after.organization_id),
                id: Unchanged(id),
                state: Set(after.state),
                attempts: Set(after.attempts),
                due_at: Set(after.due_at),
                ..Default::default()
            };
            delivery::Entity::update(row).exec_without_returning(txn).await?;
            let facts =
                |row: &delivery::Model| json!({ "state": row.state.as_str(), "attempts": row.attempts });
            let change = Change::updated("replayDelivery", id, facts(&before), facts(&after));
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    let row = context.db.write(tenant, work).await?;
    context.changes.announce_mail();
    Ok(row)
}
