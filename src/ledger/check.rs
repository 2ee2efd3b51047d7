//! The first statement of a transaction: locks the heads and tells what of the memory still holds.
//!
//! What stands on a head is read with its lock, as the last writer has left it. The rest is read from the
//! statement's snapshot: a change that is committed before the batch begins is seen. That a key or a
//! reference is used while the batch waits for a lock is not seen here; the unique indexes find it, and
//! the batch is run again.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::id::{Id, OrganizationId};
use bursar_domain::ledger::{Command, CommandId};
use bursar_domain::organization::OrganizationState;
use bursar_entity::pool_head;
use sea_orm::{ConnectionTrait, DatabaseBackend, FromQueryResult, QueryResult, Statement, Value};
use uuid::Uuid;

use super::load::Locking;
use crate::auth::Standing;
use crate::db::{Tenant, Txn};
use crate::error::Result;

/// What the first statement has told of one organization.
#[derive(Default)]
pub(super) struct Checked {
    /// The heads of the pools that the commands name.
    pub heads: Vec<pool_head::Model>,
    /// The organization; none when there is no head.
    pub organization: Option<Revisions>,
    /// Whether a key of the commands has been used, in whichever of the organizations.
    pub keys_used: bool,
    /// Whether a reference of the commands has been used, in whichever of the organizations.
    pub references_used: bool,
}

/// The state of an organization and the revisions that what is kept in memory must have.
#[derive(FromQueryResult)]
pub(super) struct Revisions {
    /// The organization's state.
    pub state: OrganizationState,
    /// Where its periods begin.
    pub time_zone: String,
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

/// Commands of several organizations, each in the order that it came in.
pub(super) type Commands<'c> = [(Tenant, Vec<&'c Command>)];

/// Locks the heads of the pools that commands name, in the order of organizations and pools.
pub(super) async fn check(
    txn: &Txn,
    commands: &Commands<'_>,
    locking: Locking,
) -> Result<BTreeMap<OrganizationId, Checked>> {
    let backend = txn.get_database_backend();
    let wanted = Wanted::of(commands);
    let one = match (backend, commands) {
        (DatabaseBackend::Postgres, [(tenant, _)]) => Some(Uuid::from(*tenant)),
        _ => None,
    };
    let values = match backend {
        DatabaseBackend::Postgres => wanted.arrays(one),
        _ => wanted.json(),
    };
    let sql = statement(backend, one.is_some(), locking);
    let rows = txn.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let mut checked: BTreeMap<OrganizationId, Checked> = BTreeMap::new();
    for row in &rows {
        let head = pool_head::Model::from_query_result(row, "")?;
        let entry = checked.entry(head.organization_id).or_default();
        entry.heads.push(head);
        entry.organization = Some(Revisions::from_query_result(row, "")?);
        let used = |name: &str| -> Result<bool> { Ok(QueryResult::try_get::<bool>(row, "", name)?) };
        entry.keys_used = used("charge_keys_used")? || used("entry_keys_used")? || used("hold_keys_used")?;
        entry.references_used = used("references_used")?;
    }
    Ok(checked)
}

/// What is looked up: pools, keys and references, each with its organization.
struct Wanted {
    /// In order, each once.
    pools: BTreeSet<(Uuid, Uuid)>,
    charge_keys: Vec<(Uuid, Vec<u8>)>,
    entry_keys: Vec<(Uuid, Vec<u8>)>,
    references: Vec<(Uuid, String)>,
    hold_keys: Vec<(Uuid, Vec<u8>)>,
}

impl Wanted {
    fn of(commands: &Commands<'_>) -> Wanted {
        let mut wanted = Wanted {
            pools: BTreeSet::new(),
            charge_keys: Vec::new(),
            entry_keys: Vec::new(),
            references: Vec::new(),
            hold_keys: Vec::new(),
        };
        for (tenant, commands) in commands {
            let organization = Uuid::from(*tenant);
            for command in commands {
                for pool in std::iter::once(command.pool).chain(command.instruction.other_pool()) {
                    wanted.pools.insert((organization, Uuid::from_u128(pool.as_u128())));
                }
                let key = (organization, command.key.0.to_vec());
                match command.id {
                    CommandId::Charge(_) => wanted.charge_keys.push(key),
                    CommandId::Hold(_) => wanted.hold_keys.push(key),
                    CommandId::Entry(_) => wanted.entry_keys.push(key),
                }
                let reference = command.instruction.reference().cloned();
                wanted.references.extend(reference.map(|reference| (organization, reference)));
            }
        }
        wanted
    }

    /// As arrays: for one organization that, then a list for each kind; else two lists for each kind.
    fn arrays(self, one: Option<Uuid>) -> Vec<Value> {
        fn lists<T>(pairs: impl IntoIterator<Item = (Uuid, T)>, one: Option<Uuid>, values: &mut Vec<Value>)
        where
            Value: From<Vec<T>>,
        {
            let (organizations, list): (Vec<Uuid>, Vec<T>) = pairs.into_iter().unzip();
            if one.is_none() {
                values.push(organizations.into());
            }
            values.push(list.into());
        }
        let mut values: Vec<Value> = one.map(Value::from).into_iter().collect();
        lists(self.pools, one, &mut values);
        lists(self.charge_keys, one, &mut values);
        lists(self.entry_keys, one, &mut values);
        lists(self.references, one, &mut values);
        lists(self.hold_keys, one, &mut values);
        values
    }

    /// As JSON, for SQLite, which has no arrays: lists of pairs, bytes in hexadecimal digits.
    fn json(self) -> Vec<Value> {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let list = |pairs: Vec<(Uuid, String)>| {
            let pairs: Vec<[String; 2]> = pairs
                .into_iter()
                .map(|(organization, value)| [hex(organization.as_bytes()), value])
                .collect();
            Value::from(serde_json::json!(pairs).to_string())
        };
        let digits = |pairs: Vec<(Uuid, Vec<u8>)>| -> Vec<(Uuid, String)> {
            pairs.into_iter().map(|(organization, bytes)| (organization, hex(&bytes))).collect()
        };
        let pools = self.pools.into_iter().map(|(organization, id)| (organization, hex(id.as_bytes())));
        vec![
            list(pools.collect()),
            list(digits(self.charge_keys)),
            list(digits(self.entry_keys)),
            list(self.references),
            list(digits(self.hold_keys)),
        ]
    }
}

/// The statement. Each head, key and reference is looked up by itself, in the order of its list: so the
/// heads are locked in the order of organizations and pools, and it is not left to the planner, who knows
/// little of a table that has just been filled, whether to go through all rows of an organization.
fn statement(backend: DatabaseBackend, one: bool, locking: Locking) -> String {
    let list = |kind: usize| list(backend, one, kind);
    let used = |kind: usize, table: &str, column: &str| {
        let List { from, organization, value } = list(kind);
        match backend {
            DatabaseBackend::Postgres => format!(
                "EXISTS (SELECT 1 FROM {from} CROSS JOIN LATERAL (SELECT 1 FROM {table} r
                     WHERE r.organization_id = {organization} AND r.{column} = {value} OFFSET 0) r)"
            ),
            _ => format!(
                "EXISTS (SELECT 1 FROM {from} CROSS JOIN {table} r
                     WHERE r.organization_id = {organization} AND r.{column} = {value})"
            ),
        }
    };
    let List { from, organization, value } = list(0);
    let heads = match backend {
        DatabaseBackend::Postgres => {
            let lock = if locking == Locking::Exclusive { "FOR UPDATE" } else { "OFFSET 0" };
            format!(
                "{from} CROSS JOIN LATERAL (SELECT * FROM pool_head p
                     WHERE p.organization_id = {organization} AND p.pool_id = {value} {lock}) h
                 CROSS JOIN LATERAL (SELECT o.state, o.revision, o.time_zone FROM organization o
                     WHERE o.id = {organization} OFFSET 0) o"
            )
        }
        _ => format!(
            "{from} CROSS JOIN pool_head h ON h.organization_id = {organization} AND h.pool_id = {value}
             CROSS JOIN organization o ON o.id = h.organization_id"
        ),
    };
    format!(
        "SELECT h.*, o.state, o.revision AS organization_revision, o.time_zone, s.catalog, s.staff,
            {} AS charge_keys_used, {} AS entry_keys_used, {} AS references_used, {} AS hold_keys_used
         FROM {heads} CROSS JOIN (SELECT catalog, staff FROM shared_revision WHERE id = 1) s",
        used(1, "charge", "idempotency_key"),
        used(2, "journal_entry", "idempotency_key"),
        used(3, "claimed_reference", "reference"),
        used(4, "hold", "idempotency_key"),
    )
}

/// One of the lists of the statement: where its rows come from, and what organization and value they have.
struct List {
    from: String,
    organization: String,
    value: String,
}

/// The list of a kind: 0 pools, 1 keys of charges, 2 keys of entries, 3 references, 4 keys of holds.
fn list(backend: DatabaseBackend, one: bool, kind: usize) -> List {
    if backend != DatabaseBackend::Postgres {
        let (from, organization) =
            (format!("json_each(${}) wanted", kind + 1), "unhex(wanted.value ->> 0)".to_owned());
        let value = if kind == 3 { "wanted.value ->> 1" } else { "unhex(wanted.value ->> 1)" };
        return List { from, organization, value: value.to_owned() };
    }
    let of = ["uuid", "bytea", "bytea", "text", "bytea"].get(kind).copied().unwrap_or("text");
    let value = "wanted.value".to_owned();
    if one {
        let from = format!("unnest(${}::{of}[]) AS wanted (value)", kind + 2);
        return List { from, organization: "$1".to_owned(), value };
    }
    let (first, second) = (2 * kind + 1, 2 * kind + 2);
    let from = format!("unnest(${first}::uuid[], ${second}::{of}[]) AS wanted (organization, value)");
    List { from, organization: "wanted.organization".to_owned(), value }
}
