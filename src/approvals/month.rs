//! What an organization's purchases of a month come to, by which rules can be bounded.

use bursar_domain::id::PurchaseId;
use bursar_domain::period::{Period, PeriodKind};
use bursar_domain::purchase::PurchaseState;
use bursar_domain::{Currency, Timestamp};
use bursar_entity::{organization, purchase};
use sea_orm::{ColumnTrait, QueryFilter, QuerySelect};

use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::periods;

/// What an organization's purchases in a currency come to, in minor units, from the beginning of its month that contains
/// an instant until that instant. Those that came to their end unpaid do not count; what was paid does, even if it was given
/// back. `except` is left out.
///
/// # Errors
/// What the database answers.
pub async fn month_to_date(
    txn: &Txn,
    tenant: Tenant,
    organization: &organization::Model,
    currency: Currency,
    except: Option<PurchaseId>,
    at: Timestamp,
) -> Result<i64> {
    let month = month_of(organization, at)?;
    let until_now = Period { start: month.start, end: Timestamp::from_micros(at.micros().saturating_add(1)) };
    bought_in(txn, tenant, currency, except, until_now).await
}

/// The month of an organization that contains an instant.
pub(super) fn month_of(organization: &organization::Model, at: Timestamp) -> Result<Period> {
    let month = periods::calendar(&organization.time_zone, at)?.period(PeriodKind::Month, at);
    month.ok_or_else(|| Error::internal("a calendar does not cover the time it is for"))
}

/// Whether a purchase counts in its month.
pub(super) fn counts(state: PurchaseState) -> bool {
    !PurchaseState::UNPAID_ENDS.contains(&state)
}

/// What the purchases that were asked for in a period come to, without one of them.
pub(super) async fn bought_in(
    txn: &Txn,
    tenant: Tenant,
    currency: Currency,
    except: Option<PurchaseId>,
    period: Period,
) -> Result<i64> {
    let mut select = tenant
        .find::<purchase::Entity>()
        .select_only()
        .column(purchase::Column::Total)
        .filter(purchase::Column::CreatedAt.gte(period.start))
        .filter(purchase::Column::CreatedAt.lt(period.end))
        .filter(purchase::Column::Currency.eq(currency))
        .filter(purchase::Column::State.is_not_in(PurchaseState::UNPAID_ENDS));
    if let Some(except) = except {
        select = select.filter(purchase::Column::Id.ne(except));
    }
    let totals: Vec<i64> = select.into_tuple().all(txn).await?;
    Ok(totals.into_iter().fold(0, i64::saturating_add))
}
