//! Edits of single fields by a superuser whom no trigger binds, and the way back.

use bursar::db::{Database, Tenant};
use bursar_domain::id::Id;
use bursar_entity::*;
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, Statement};
use uuid::Uuid;

use super::{Backend, TestDatabase};

/// How a field is changed.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    /// One more.
    Add,
    /// Another identifier.
    Uuid,
    /// A letter more.
    Text,
    /// As many other bytes.
    Bytes(usize),
    /// Nothing.
    Null,
    /// The opposite.
    Not,
    /// One of these codes.
    Code(&'static [i16]),
    /// One of these words.
    Word(&'static [&'static str]),
}

use Edit::{Add, Bytes, Code, Not, Null, Text, Word};

const KINDS: &[i16] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 99];
const ACCOUNTS: &[i16] = &[1, 2, 10, 11, 12, 13, 14, 15];

/// The columns of a table that can be edited, and how. (Keys are left as they are: a row with another key is
/// another row.)
pub fn columns(table: &str) -> &'static [(&'static str, Edit)] {
    match table {
        "charge" => &[
            ("pool_id", Edit::Uuid),
            ("account_id", Edit::Uuid),
            ("department_id", Edit::Uuid),
            ("on_behalf_of", Edit::Uuid),
            ("actor_kind", Code(&[1, 2])),
            ("actor_id", Edit::Uuid),
            ("origin", Text),
            ("lines", Text),
            ("credits", Add),
            ("reference", Text),
            ("subject", Text),
            ("metadata", Text),
            ("idempotency_key", Bytes(16)),
            ("request_hash", Bytes(16)),
            ("version", Add),
            ("slices", Add),
            ("created_at", Add),
            ("hold_id", Edit::Uuid),
            ("seal", Bytes(32)),
            ("seal", Null),
        ],
        "transfer" => &[
            ("kind", Code(KINDS)),
            ("debit_kind", Code(ACCOUNTS)),
            ("credit_kind", Code(ACCOUNTS)),
            ("debit_id", Edit::Uuid),
            ("credit_id", Edit::Uuid),
            ("lot_id", Edit::Uuid),
            ("credits", Add),
            ("cost", Add),
            ("debit_after", Add),
            ("credit_after", Add),
            ("held_after", Add),
            ("pool_posted_after", Add),
            ("pool_held_after", Add),
            ("debt_after", Add),
            ("cause_kind", Code(&[1, 2, 3, 4])),
            ("cause_id", Edit::Uuid),
            ("created_at", Add),
            ("effective_at", Add),
            ("hash", Bytes(32)),
            ("counterpart_pool_id", Edit::Uuid),
            ("counterpart_version", Add),
        ],
        "lot" => &[
            ("pool_id", Edit::Uuid),
            ("source", Word(&["PURCHASE", "GRANT", "CORRECTION"])),
            ("class", Word(&["PAID", "PROMOTIONAL"])),
            ("priority", Add),
            ("credits", Add),
            ("cost", Add),
            ("currency", Word(&["USD", "EUR", "XXX"])),
            ("expires_at", Add),
            ("purchase_id", Edit::Uuid),
            ("entry_id", Edit::Uuid),
            ("created_at", Add),
            ("replaces", Edit::Uuid),
            ("seal", Bytes(32)),
            ("seal", Null),
        ],
        "lot_position" => &[
            ("credits", Add),
            ("held", Add),
            ("cost", Add),
            ("open", Not),
            ("revoking", Add),
            ("disputed", Add),
            ("contested", Add),
        ],
        "account" => &[
            ("department_id", Edit::Uuid),
            ("posted", Add),
            ("held", Add),
            ("created_at", Add),
            ("seal", Bytes(32)),
            ("seal", Null),
        ],
        "pool" => &[
            ("name", Text),
            ("allowed_services", Text),
            ("frozen_at", Add),
            ("frozen_reason", Text),
            ("archived_at", Add),
            ("created_at", Add),
            ("seal", Bytes(32)),
            ("seal", Null),
        ],
        "pool_head" => &[
            ("version", Add),
            ("clock", Add),
            ("held", Add),
            ("hash", Bytes(32)),
            ("receivable", Add),
            ("adjusted", Add),
            ("revoking", Add),
        ],
        "journal_entry" => &[
            ("pool_id", Edit::Uuid),
            ("kind", Code(KINDS)),
            ("account_id", Edit::Uuid),
            ("lot_id", Edit::Uuid),
            ("purchase_id", Edit::Uuid),
            ("actor_id", Edit::Uuid),
            ("credits", Add),
            ("reason", Text),
            ("version", Add),
            ("slices", Add),
            ("created_at", Add),
            ("department_id", Edit::Uuid),
            ("to_pool_id", Edit::Uuid),
            ("charge_id", Edit::Uuid),
            ("hold_id", Edit::Uuid),
            ("cost", Add),
            ("seal", Bytes(32)),
            ("seal", Null),
        ],
        "hold" => &[
            ("account_id", Edit::Uuid),
            ("spender", Edit::Uuid),
            ("lines", Text),
            ("reference", Text),
            ("version", Add),
            ("expires_at", Add),
            ("seal", Null),
            ("state", Word(&["OPEN", "CAPTURED", "VOIDED", "EXPIRED"])),
            ("captured", Add),
            ("captured_units", Text),
            ("held_slices", Text),
        ],
        "claimed_reference" => &[("charge_id", Edit::Uuid), ("hold_id", Edit::Uuid)],
        "audit_event" => &[
            ("actor_kind", Code(&[1, 2, 99])),
            ("actor_id", Edit::Uuid),
            ("origin", Text),
            ("action", Text),
            ("subject", Text),
            ("before", Text),
            ("after", Text),
            ("created_at", Add),
            ("position", Add),
            ("on_behalf_of", Edit::Uuid),
            ("personal", Text),
            ("link", Bytes(32)),
            ("link", Null),
        ],
        "audit_head" => &[("position", Add), ("unchained", Add), ("link", Bytes(32))],
        "personal_value" => &[("value", Text), ("salt", Bytes(32)), ("user_id", Edit::Uuid)],
        other => panic!("{other} has no columns here"),
    }
}

/// A row that can be edited.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its table.
    pub table: &'static str,
    /// What names it in a finding.
    pub key: String,
    condition: String,
}

/// A superuser's connection, on which nothing is refused that the tables' own checks admit.
pub struct Tamperer {
    connection: DatabaseConnection,
    backend: Backend,
    state: u64,
}

impl Tamperer {
    /// Opens it, with the triggers out of the way.
    pub async fn open(database: &TestDatabase, seed: u64) -> Tamperer {
        let mut options = ConnectOptions::new(&database.superuser);
        // One connection: settings and temporary tables are of a connection.
        options.max_connections(1).sqlx_logging(false);
        let connection = sea_orm::Database::connect(options).await.unwrap();
        match database.backend {
            Backend::Postgres => {
                connection.execute_unprepared("SET session_replication_role = replica").await.unwrap();
            }
            Backend::Sqlite => {
                let sql = "SELECT name FROM sqlite_master WHERE type = 'trigger'
                           AND (name LIKE '%_no_UPDATE' OR name LIKE '%_no_DELETE')";
                let backend = connection.get_database_backend();
                for row in connection.query_all_raw(Statement::from_string(backend, sql)).await.unwrap() {
                    let name: String = row.try_get("", "name").unwrap();
                    connection.execute_unprepared(&format!("DROP TRIGGER \"{name}\"")).await.unwrap();
                }
                connection.execute_unprepared("PRAGMA foreign_keys = OFF").await.unwrap();
            }
        }
        Tamperer { connection, backend: database.backend, state: seed }
    }

    /// A number below another.
    pub fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % u64::try_from(bound).unwrap()).unwrap()
    }

    fn uuid(&self, id: Uuid) -> String {
        match self.backend {
            Backend::Postgres => format!("'{id}'::uuid"),
            Backend::Sqlite => format!("X'{}'", id.simple()),
        }
    }

    /// All rows of a table that belong to an organization.
    pub async fn rows(&self, db: &Database, tenant: Tenant, table: &'static str) -> Vec<Row> {
        let txn = db.read(tenant).await.unwrap();
        let organization = format!("organization_id = {}", self.uuid(Uuid::from(tenant)));
        let row =
            |key: String, more: String| Row { table, key, condition: format!("{organization} AND {more}") };
        let plain = |id: u128| Uuid::from_u128(id);
        macro_rules! by_id {
            ($table:ident, $key:ident) => {{
                let rows = tenant.find::<$table::Entity>().all(&txn).await.unwrap();
                let ids = rows.iter().map(|row| plain(row.$key.as_u128()));
                ids.map(|id| row(id.to_string(), format!("{} = {}", stringify!($key), self.uuid(id))))
                    .collect()
            }};
        }
        match table {
            "charge" => by_id!(charge, id),
            "lot" => by_id!(lot, id),
            "account" => by_id!(account, id),
            "pool" => by_id!(pool, id),
            "pool_head" => by_id!(pool_head, pool_id),
            "journal_entry" => by_id!(journal_entry, id),
            "hold" => by_id!(hold, id),
            "transfer" => {
                let rows = tenant.find::<transfer::Entity>().all(&txn).await.unwrap();
                let of = |r: &transfer::Model| {
                    let pool = plain(r.pool_id.as_u128());
                    let condition = format!("pool_id = {} AND version = {}", self.uuid(pool), r.version);
                    row(format!("{pool} {}", r.version), condition)
                };
                rows.iter().map(of).collect()
            }
            "lot_position" => {
                let rows = tenant.find::<lot_position::Entity>().all(&txn).await.unwrap();
                let of = |r: &lot_position::Model| {
                    let (account, lot) = (plain(r.account_id.as_u128()), plain(r.lot_id.as_u128()));
                    let condition =
                        format!("account_id = {} AND lot_id = {}", self.uuid(account), self.uuid(lot));
                    row(format!("{account}/{lot}"), condition)
                };
                rows.iter().map(of).collect()
            }
            "audit_event" => by_id!(audit_event, id),
            "audit_head" => by_id!(audit_head, organization_id),
            "personal_value" => {
                let rows = tenant.find::<personal_value::Entity>().all(&txn).await.unwrap();
                let of = |r: &personal_value::Model| {
                    let event = plain(r.event_id.as_u128());
                    let condition = format!("event_id = {} AND name = '{}'", self.uuid(event), r.name);
                    row(format!("{event}/{}", r.name), condition)
                };
                rows.iter().map(of).collect()
            }
            "claimed_reference" => {
                let rows = tenant.find::<claimed_reference::Entity>().all(&txn).await.unwrap();
                let of = |r: &claimed_reference::Model| {
                    row(r.reference.clone(), format!("reference = '{}'", r.reference))
                };
                rows.iter().map(of).collect()
            }
            other => panic!("{other} has no rows here"),
        }
    }

    /// The expression of a field's new value.
    fn value(&mut self, column: &str, edit: Edit) -> String {
        let random = Uuid::from_u128(u128::from(self.state) << 64 | 0xbad);
        match edit {
            Add => format!("COALESCE({column}, 0) + 1"),
            Edit::Uuid => self.uuid(random),
            Text => format!("COALESCE({column}, '') || 'x'"),
            Bytes(length) => {
                let twice = format!("{0}{0}", random.simple());
                let digits = &twice[..2 * length];
                match self.backend {
                    Backend::Postgres => format!("'\\x{digits}'::bytea"),
                    Backend::Sqlite => format!("X'{digits}'"),
                }
            }
            Null => "NULL".to_owned(),
            Not => format!("NOT {column}"),
            Code(codes) => codes[self.below(codes.len())].to_string(),
            Word(words) => format!("'{}'", words[self.below(words.len())]),
        }
    }

    /// Edits a field of a row; answers whether it has become another, which a check may refuse.
    pub async fn edit(&mut self, row: &Row, (column, edit): (&str, Edit)) -> bool {
        let Row { table, condition, .. } = row;
        let value = self.value(column, edit);
        let keep =
            format!("CREATE TEMPORARY TABLE kept AS SELECT {column} AS v FROM \"{table}\" WHERE {condition}");
        self.connection.execute_unprepared(&keep).await.unwrap();
        let update = format!(
            "UPDATE \"{table}\" SET {column} = {value} WHERE {condition}
             AND {column} IS DISTINCT FROM {value}"
        );
        match self.connection.execute_unprepared(&update).await {
            Ok(done) if done.rows_affected() == 1 => true,
            _ => {
                self.connection.execute_unprepared("DROP TABLE kept").await.unwrap();
                false
            }
        }
    }

    /// Takes the last edit back.
    pub async fn restore(&self, row: &Row, column: &str) {
        let Row { table, condition, .. } = row;
        let sql = format!("UPDATE \"{table}\" SET {column} = (SELECT v FROM kept) WHERE {condition}");
        assert_eq!(self.connection.execute_unprepared(&sql).await.unwrap().rows_affected(), 1);
        self.connection.execute_unprepared("DROP TABLE kept").await.unwrap();
    }

    /// Runs a statement.
    pub async fn run(&self, sql: &str) {
        self.connection.execute_unprepared(sql).await.unwrap();
    }
}
