//! Who is what in an organization, and who stands in for whom, as the rules want to know it.

use bursar_domain::Timestamp;
use bursar_domain::approval::{Delegation, People};
use bursar_entity::{approval_delegation, department_member, membership, pool_administrator};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use crate::db::{Tenant, Txn};
use crate::error::Result;

/// Everybody's roles and grants. With the organization locked they stay as they are until the commit.
///
/// # Errors
/// What the database answers.
pub async fn people(txn: &Txn, tenant: Tenant) -> Result<People> {
    let members = tenant.find::<membership::Entity>().all(txn).await?;
    let administrators = tenant.find::<pool_administrator::Entity>().all(txn).await?;
    let managers =
        tenant.find::<department_member::Entity>().filter(department_member::Column::Manager.eq(true));
    let managers = managers.all(txn).await?;
    Ok(People {
        roles: members.into_iter().map(|row| (row.user_id, row.role)).collect(),
        pool_administrators: administrators.into_iter().map(|row| (row.pool_id, row.user_id)).collect(),
        department_managers: managers.into_iter().map(|row| (row.department_id, row.user_id)).collect(),
    })
}

/// The delegations that count at `since` or later, oldest first.
///
/// # Errors
/// What the database answers.
pub async fn delegations(txn: &Txn, tenant: Tenant, since: Timestamp) -> Result<Vec<Delegation>> {
    let rows = tenant
        .find::<approval_delegation::Entity>()
        .filter(approval_delegation::Column::EndsAt.gt(since))
        .order_by_asc(approval_delegation::Column::Id);
    let of = |row: approval_delegation::Model| Delegation {
        id: row.id,
        delegator: row.delegator,
        delegate: row.delegate,
        starts_at: row.starts_at,
        ends_at: row.ends_at,
        revoked_at: row.revoked_at,
    };
    let counts = |delegation: &Delegation| delegation.end() > since;
    Ok(rows.all(txn).await?.into_iter().map(of).filter(counts).collect())
}
