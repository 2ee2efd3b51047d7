//! Links to pay by that lead nowhere any more: whoever pays for what was agreed to gets another one, as long as it can be
//! paid. Who that is and how often stands in `approvals`; here it is known whether money is on its way already.
//!
//! It is timed work (`PURCHASE_APPROVED`): whoever closes a checkout has the purchase locked, and not the organization. When
//! it is to be looked at again is written in the transaction that looks, so a checkout that is closed right afterwards is not
//! forgotten.

use bursar_domain::Timestamp;
use bursar_domain::approval::RequestState;
use bursar_domain::id::PurchaseId;
use bursar_domain::organization::OrganizationState;
use bursar_domain::purchase::PurchaseState;
use bursar_entity::purchase;
use sea_orm::{ColumnTrait, QueryFilter};

use super::timed::{be_due, is_done};
use super::{Selling, has_parked, is_under_way, lock};
use crate::approvals::{self, PURCHASE_APPROVED};
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::clock::Clock;
use crate::db::{self, Tenant, Txn};
use crate::error::Result;
use crate::organizations::lock_organization;

/// In how many seconds it is looked again where nothing can be paid now.
const AGAIN_SECONDS: i64 = 24 * 3_600;

/// Has it looked at whether whoever pays needs another link, since a checkout has come to nothing. The purchase is locked.
pub(super) async fn checkout_failed(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    purchase: PurchaseId,
) -> Result<()> {
    if !approvals::is_sent_to_pay(txn, tenant, purchase).await? {
        return Ok(());
    }
    be_due(txn, tenant, PURCHASE_APPROVED, purchase, clock.now()).await
}

/// Sends whoever pays another link when none is good any more. Answers when to look again.
///
/// # Errors
/// What the database answers.
pub(super) async fn pay_again(
    selling: &Selling,
    tenant: Tenant,
    id: PurchaseId,
) -> Result<Option<Timestamp>> {
    let clock = selling.context().clock.clone();
    let work = db::work(move |txn| {
        let clock = clock.clone();
        Box::pin(async move { see_to(txn, tenant, &clock, id).await })
    });
    let again = selling.context().db.write(tenant, work).await?;
    selling.context().changes.announce_mail();
    Ok(again)
}

async fn see_to(txn: &Txn, tenant: Tenant, clock: &Clock, id: PurchaseId) -> Result<Option<Timestamp>> {
    let (again, change) = look(txn, tenant, clock, id).await?;
    is_done(txn, tenant, PURCHASE_APPROVED, id).await?;
    if let Some(at) = again {
        be_due(txn, tenant, PURCHASE_APPROVED, id, at).await?;
    }
    if let Some(change) = change {
        audit::record(txn, tenant, clock, &Actor::system(None), change).await?;
    }
    Ok(again)
}

/// Answers when to look again, and what is to be recorded.
async fn look(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    id: PurchaseId,
) -> Result<(Option<Timestamp>, Option<Change>)> {
    let found = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id)).one(txn).await?;
    let known = approvals::find_of_purchase(txn, tenant, id).await?;
    let Some(known) = known.filter(|_| found.is_some()) else { return Ok((None, None)) };
    let organization = lock_organization(txn, tenant).await?;
    let bought = lock(txn, tenant, id).await?;
    let request = approvals::lock_request(txn, tenant, known.id).await?;
    // A newer round than the one that was looked at is still to be begun.
    let is_new = request.state == RequestState::Approved
        && request.used_at.is_none()
        && bought.state == PurchaseState::Approved
        && bought.valid_until > clock.now()
        && !approvals::is_sent_to_pay(txn, tenant, id).await?;
    if is_new {
        return Ok((Some(clock.now()), None));
    }
    let waits = organization.state == OrganizationState::Suspended
        || is_under_way(txn, tenant, id).await?
        || has_parked(txn, tenant, id).await?;
    if waits {
        let at = clock.now().plus_seconds(AGAIN_SECONDS);
        return Ok(((at < bought.valid_until).then_some(at), None));
    }
    approvals::pay_again(txn, tenant, clock, (&request, &bought)).await
}
