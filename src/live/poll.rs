//! A look at everything that is watched here, every two seconds: it finds what hints have missed, and the
//! changes of people and grants that nobody hints at.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bursar_domain::id::{OrganizationId, PoolId};
use bursar_entity::{organization, pool_head, shared_revision};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::feed::Feed;
use super::{Hub, Of};
use crate::auth::Standing;
use crate::context::Context;
use crate::db::scope::find_across;
use crate::db::{Scope, padded};
use crate::error::{Error, Result};

/// How often.
const INTERVAL: Duration = Duration::from_secs(2);
/// How many feeds one statement asks for.
const AT_ONCE: usize = 500;

/// Looks until the hub ends.
pub(super) async fn run(hub: Hub, context: Context) {
    while !hub.ends_within(INTERVAL).await {
        for feeds in hub.watched().chunks(AT_ONCE) {
            if let Err(error) = look(&context, feeds).await {
                tracing::warn!(%error, "what is watched cannot be looked at");
            }
        }
    }
}

async fn look(context: &Context, feeds: &[Arc<Feed>]) -> Result<()> {
    let organizations: Vec<OrganizationId> = feeds.iter().map(|feed| feed.topic().tenant.id()).collect();
    let organizations = padded(organizations);
    // Versions and revisions of many organizations at once, which nobody is shown.
    let snapshot = context.db.read(Scope::Operator).await?;
    let shared = shared_revision::Entity::find().one(&snapshot).await?;
    let staff = shared.ok_or_else(|| Error::internal("there are no shared revisions"))?.staff;
    let revisions: Vec<(OrganizationId, i64)> = find_across::<organization::Entity>()
        .select_only()
        .column(organization::Column::Id)
        .column(organization::Column::Revision)
        .filter(organization::Column::Id.is_in(organizations.iter().copied()))
        .into_tuple()
        .all(&snapshot)
        .await?;
    let revisions: HashMap<OrganizationId, i64> = revisions.into_iter().collect();
    let heads = find_across::<pool_head::Entity>()
        .select_only()
        .column(pool_head::Column::OrganizationId)
        .column(pool_head::Column::PoolId)
        .column(pool_head::Column::Version);
    let pools: Vec<PoolId> = feeds.iter().filter_map(|feed| pool_of(feed)).collect();
    let mut versions: HashMap<PoolId, i64> = HashMap::new();
    if !pools.is_empty() {
        let heads = heads
            .clone()
            .filter(pool_head::Column::OrganizationId.is_in(organizations.iter().copied()))
            .filter(pool_head::Column::PoolId.is_in(padded(pools)));
        let rows: Vec<(OrganizationId, PoolId, i64)> = heads.into_tuple().all(&snapshot).await?;
        versions.extend(rows.into_iter().map(|(_, pool, version)| (pool, version)));
    }
    let whole = |feed: &&Arc<Feed>| feed.topic().of == Of::Pools;
    let whole: Vec<OrganizationId> =
        feeds.iter().filter(whole).map(|feed| feed.topic().tenant.id()).collect();
    let mut sums: HashMap<OrganizationId, i64> = HashMap::new();
    if !whole.is_empty() {
        let heads = heads.filter(pool_head::Column::OrganizationId.is_in(padded(whole)));
        let rows: Vec<(OrganizationId, PoolId, i64)> = heads.into_tuple().all(&snapshot).await?;
        for (organization, _, version) in rows {
            *sums.entry(organization).or_default() += version;
        }
    }
    for feed in feeds {
        let (topic, Some(newest)) = (feed.topic(), feed.newest()) else { continue };
        let version = match topic.of {
            Of::Pool(pool) => versions.get(&pool),
            Of::Pools => sums.get(&topic.tenant.id()),
            // They have no version; few are watched, and each is a few rows. Time alone changes who may decide.
            Of::Purchase(_) | Of::Approvals => None,
        };
        let standing =
            Standing { organization: revisions.get(&topic.tenant.id()).copied(), staff: Some(staff) };
        if version != Some(&newest.version) || newest.standing != standing {
            feed.touch();
        }
    }
    Ok(())
}

fn pool_of(feed: &Feed) -> Option<PoolId> {
    match feed.topic().of {
        Of::Pool(pool) => Some(pool),
        Of::Pools | Of::Purchase(_) | Of::Approvals => None,
    }
}
