//! Whether whoever calls has signed in as a decision about so much asks for: where the organization's own provider signs people
//! with their address in, by that, and not by a mail.

use bursar_entity::approval_round;

use super::Request;
use crate::db::Tenant;
use crate::error::Error;
use crate::{approvals, organizations};

/// Whether the caller has signed in to an organization by what it has for them.
pub async fn is_vouched_for(request: &Request, tenant: Tenant) -> Result<bool, Error> {
    let caller = request.caller()?;
    if caller.within().is_some_and(|within| within.id() == tenant.id()) {
        return Ok(true);
    }
    let Some(person) = caller.person() else { return Ok(false) };
    let snapshot = request.snapshots.open(tenant).await?;
    Ok(!organizations::signs_in(&snapshot, tenant, &person.email).await?)
}

/// Whether the caller would have to sign in otherwise to decide in a round.
pub async fn is_missing(
    request: &Request,
    tenant: Tenant,
    round: &approval_round::Model,
) -> Result<bool, Error> {
    let policy = {
        let snapshot = request.snapshots.open(tenant).await?;
        approvals::policy_of_round(&snapshot, tenant, round).await?
    };
    Ok(approvals::needs_sign_in(&policy, round) && !is_vouched_for(request, tenant).await?)
}
