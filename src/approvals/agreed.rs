//! What people have agreed to about a purchase, and whether the purchase is that: asked whenever money is to be taken for it,
//! or has come.

use bursar_domain::approval::RequestState;
use bursar_domain::id::{ApprovalId, PurchaseId};
use bursar_entity::{approval_round, purchase};
use sea_orm::{ColumnTrait, QueryFilter};

use super::submit::is_what_was_asked;
use super::{find_of_purchase, load_round};
use crate::db::{Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::global_id;

/// Refuses to pay what people have not agreed to. A lower price that was found at a checkout, which may be another
/// package's, needs no new round. The purchase is locked.
///
/// # Errors
/// [`Conflict::State`]; what the database answers.
pub async fn require_agreed(txn: &Txn, tenant: Tenant, purchase: &purchase::Model) -> Result<Option<i64>> {
    let Some(request) = find_of_purchase(txn, tenant, purchase.id).await? else { return Ok(None) };
    if request.state == RequestState::Withdrawn {
        // As it is now it needs nobody's consent.
        return Ok(None);
    }
    let round = round_row(txn, tenant, request.id, request.round).await?;
    let same = is_what_was_asked(&round, purchase);
    if same && request.state == RequestState::Approved && request.used_at.is_none() {
        return Ok(Some(round.round));
    }
    let (id, state) = (global_id::encode(request.id), request.state);
    tracing::error!(request = %id, %state, "a purchase is not what was agreed to");
    let reason = "This is not what was agreed to. Change the purchase, so that everybody is asked anew.";
    Err(Error::conflict(Conflict::State, "purchaseId", reason))
}

/// What people have agreed to about a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgreedTo {
    /// For which total.
    pub total: i64,
    /// Whether everybody who had to has agreed, nothing was bought by that, and it is the purchase as it is, or that costs
    /// less by now.
    pub is_it: bool,
}

/// What people have agreed to about a purchase, or were asked to. None: nobody's consent was needed.
///
/// # Errors
/// What the database answers.
pub async fn agreed_to(txn: &Txn, tenant: Tenant, purchase: &purchase::Model) -> Result<Option<AgreedTo>> {
    let Some(request) = find_of_purchase(txn, tenant, purchase.id).await? else { return Ok(None) };
    if request.state == RequestState::Withdrawn {
        return Ok(None);
    }
    let round = round_row(txn, tenant, request.id, request.round).await?;
    let is_good = request.state == RequestState::Approved && request.used_at.is_none();
    Ok(Some(AgreedTo { total: round.total, is_it: is_good && is_what_was_asked(&round, purchase) }))
}

/// Whether everybody who had to has agreed to the newest round about a purchase whose price has run out, and nothing was
/// bought by that: then it can be asked for anew at the price of today.
///
/// # Errors
/// What the database answers.
pub async fn was_agreed(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<bool> {
    let Some(request) = find_of_purchase(txn, tenant, purchase).await? else { return Ok(false) };
    let ended = matches!(request.state, RequestState::Approved | RequestState::Expired);
    if !ended || request.used_at.is_some() {
        return Ok(false);
    }
    let (_, round) = load_round(txn, tenant, request.id, request.round).await?;
    Ok(!round.is_rejected() && round.stage().is_none())
}

async fn round_row(
    txn: &Txn,
    tenant: Tenant,
    request: ApprovalId,
    number: i64,
) -> Result<approval_round::Model> {
    let row = tenant
        .find::<approval_round::Entity>()
        .filter(approval_round::Column::RequestId.eq(request))
        .filter(approval_round::Column::Round.eq(number));
    row.one(txn).await?.ok_or(Error::not_found("approval round"))
}
