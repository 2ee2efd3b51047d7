//! The first statement of a batch: locks the heads and tells what of the memory still holds.
//!
//! What stands on a head is read with its lock, as the last writer has left it. The rest is read from the
//! statement's snapshot: a change that is committed before the batch begins is seen. That a key or a
//! reference is used while the batch waits for a lock is not seen here; the unique indexes find it, and
//! the batch is run again.

use bursar_domain::id::Id;
use bursar_domain::ledger::Command;
use bursar_domain::organization::OrganizationState;
use bursar_entity::pool_head;
use sea_orm::{ConnectionTrait, DatabaseBackend, FromQueryResult, QueryResult, Statement};
use uuid::Uuid;

use super::load::Locking;
use crate::auth::Standing;
use crate::db::{Tenant, Txn};
use crate::error::Result;

/// What the first statement has told.
pub(super) struct Checked {
    /// The heads of the pools that the commands name.
    pub heads: Vec<pool_head::Model>,
    /// The organization; none when there is no head.
    pub organization: Option<Revisions>,
    /// Whether one of the commands' keys has been used.
    pub keys_used: bool,
    /// Whether one of the commands' references has been used.
    pub references_used: bool,
}

/// The state of an organization and the revisions that what is kept in memory must have.
#[derive(FromQueryResult)]
pub(super) struct Revisions {
    /// The organization's state.
    pub state: OrganizationState,
    /// Of the organization: its people, grants and departments.
    #[sea_orm(alias = "organization_revision")]
    pub revision: i64,
    /// Of the catalog.
    pub catalog: i64,
    /// Of the vendor's staff.
    pub staff: i64,
}

impl Revisions {
    /// What a caller's permission must have been read at.
    pub fn standing(&self) -> Standing {
        Standing { organization: Some(self.revision), staff: Some(self.staff) }
    }
}

/// Locks the heads of the pools that commands name, in the order of their ids.
pub(super) async fn check(
    txn: &Txn,
    tenant: Tenant,
    commands: &[&Command],
    locking: Locking,
) -> Result<Checked> {
    let (backend, organization) = (txn.get_database_backend(), Uuid::from(tenant));
    let mut pools: Vec<Uuid> =
        commands.iter().map(|command| Uuid::from_u128(command.pool.as_u128())).collect();
    pools.sort_unstable();
    pools.dedup();
    let keys: Vec<Vec<u8>> = commands.iter().map(|command| command.key.0.to_vec()).collect();
    let references: Vec<String> =
        commands.iter().filter_map(|command| command.instruction.reference()).cloned().collect();
    let values = match backend {
        DatabaseBackend::Postgres => {
            vec![organization.into(), pools.into(), keys.into(), references.into()]
        }
        // SQLite has no arrays, but reads JSON.
        _ => {
            let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
            let pools: Vec<String> = pools.iter().map(|id| hex(id.as_bytes())).collect();
            let keys: Vec<String> = keys.iter().map(|key| hex(key)).collect();
            let (pools, keys) = (serde_json::json!(pools).to_string(), serde_json::json!(keys).to_string());
            let references = serde_json::json!(references).to_string();
            vec![organization.into(), pools.into(), keys.into(), references.into()]
        }
    };
    let sql = statement(backend, locking);
    let rows = txn.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let heads = rows.iter().map(|row| pool_head::Model::from_query_result(row, ""));
    let flag = |name| -> Result<bool> {
        let used = |row: &QueryResult| row.try_get::<bool>("", name);
        Ok(rows.iter().map(used).collect::<Result<Vec<_>, _>>()?.contains(&true))
    };
    Ok(Checked {
        heads: heads.collect::<Result<_, _>>()?,
        organization: rows.first().map(|row| Revisions::from_query_result(row, "")).transpose()?,
        keys_used: flag("keys_used")?,
        references_used: flag("references_used")?,
    })
}

fn statement(backend: DatabaseBackend, locking: Locking) -> String {
    let (pools, keys, references) = match backend {
        DatabaseBackend::Postgres => ("= ANY($2)", "= ANY($3)", "= ANY($4)"),
        _ => (
            "IN (SELECT unhex(value) FROM json_each($2))",
            "IN (SELECT unhex(value) FROM json_each($3))",
            "IN (SELECT value FROM json_each($4))",
        ),
    };
    let lock = match (backend, locking) {
        (DatabaseBackend::Postgres, Locking::Exclusive) => "FOR UPDATE OF h",
        _ => "",
    };
    format!(
        "SELECT h.*, o.state, o.revision AS organization_revision, s.catalog, s.staff,
            EXISTS (SELECT 1 FROM charge c WHERE c.organization_id = $1 AND c.idempotency_key {keys})
                OR EXISTS (SELECT 1 FROM journal_entry e WHERE e.organization_id = $1 AND e.idempotency_key {keys})
                AS keys_used,
            EXISTS (SELECT 1 FROM charge c WHERE c.organization_id = $1 AND c.reference {references})
                AS references_used
         FROM pool_head h JOIN organization o ON o.id = h.organization_id CROSS JOIN shared_revision s
         WHERE h.organization_id = $1 AND h.pool_id {pools}
         ORDER BY h.pool_id {lock}"
    )
}
