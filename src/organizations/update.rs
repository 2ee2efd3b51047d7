//! Changing an organization's settings.

use bursar_entity::organization;
use sea_orm::{EntityTrait, Set, Unchanged};
use serde_json::json;

use super::{lock_for, time_zone};
use crate::audit::{self, Change};
use crate::auth::Authorized;
use crate::context::Context;
use crate::db;
use crate::error::Result;
use crate::text;

/// What to change; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct OrganizationPatch {
    /// A new name.
    pub name: Option<String>,
    /// A new IANA time zone, which counts from the next period on.
    pub time_zone: Option<String>,
}

/// Changes an organization's settings.
pub async fn update(
    context: &Context,
    organization: &Authorized<organization::Model>,
    patch: OrganizationPatch,
) -> Result<organization::Model> {
    let name = patch.name.as_deref().map(|name| text::name_in_mail("name", name)).transpose()?;
    let zone = patch.time_zone.as_deref().map(time_zone).transpose()?;
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (name, zone, actor, clock) = (name.clone(), zone.clone(), actor.clone(), clock.clone());
        Box::pin(async move {
            let before = lock_for(txn, tenant, &actor).await?;
            let after = organization::Model {
                name: name.unwrap_or_else(|| before.name.clone()),
                time_zone: zone.unwrap_or_else(|| before.time_zone.clone()),
                ..before.clone()
            };
            if after == before {
                return Ok(before);
            }
            let row = organization::ActiveModel {
                id: Unchanged(tenant.id()),
                name: Set(after.name.clone()),
                time_zone: Set(after.time_zone.clone()),
                ..Default::default()
            };
            organization::Entity::update(row).exec_without_returning(txn).await?;
            let facts = |row: &organization::Model| json!({ "name": row.name, "timeZone": row.time_zone });
            let change = Change::updated("updateOrganization", tenant.id(), facts(&before), facts(&after));
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    context.db.write(tenant, work).await
}
