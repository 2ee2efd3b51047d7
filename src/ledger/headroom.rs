//! What a spending cap says now: how much has been used, what is held, and what is left. Needs no lock.

use bursar_domain::Timestamp;
use bursar_domain::ledger::{Limit, Raise};
use bursar_entity::{organization, spending_cap, spending_cap_period, spending_cap_raise};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use super::load_pools::{cap, window};
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::periods;

/// How many of a cap's periods are read: the current one, and the one before, which says where it began when
/// the time zone has changed meanwhile.
const WINDOWS: u64 = 2;

/// What a cap says now, by the rule by which the ledger's decisions go.
pub async fn cap_limit(
    txn: &Txn,
    tenant: Tenant,
    row: &spending_cap::Model,
    now: Timestamp,
) -> Result<Limit> {
    let head = super::read::head(txn, tenant, row.pool_id).await?;
    let organization = tenant.find::<organization::Entity>().one(txn).await?;
    let zone = organization.ok_or_else(|| Error::internal("a cap of no organization"))?.time_zone;
    // In a pool time never runs back.
    let at = now.max(head.clock);
    let mut cap = cap(row)?;
    let raises = tenant
        .find::<spending_cap_raise::Entity>()
        .filter(spending_cap_raise::Column::CapId.eq(row.id))
        .filter(spending_cap_raise::Column::Until.gt(at));
    let raise = |row: spending_cap_raise::Model| Raise { credits: row.credits, until: row.until };
    cap.raises = raises.all(txn).await?.into_iter().map(raise).collect();
    let periods = tenant
        .find::<spending_cap_period::Entity>()
        .filter(spending_cap_period::Column::PoolId.eq(row.pool_id))
        .filter(spending_cap_period::Column::CapId.eq(row.id))
        .order_by_desc(spending_cap_period::Column::PeriodStart)
        .limit(WINDOWS);
    cap.windows = periods.all(txn).await?.iter().map(window).collect();
    let calendar = periods::calendar(&zone, at)?;
    cap.limit_now(&calendar, at).ok_or_else(|| Error::internal("no calendar covers the present"))
}
