//! The floor: one transaction a charge, which writes the same kind of rows, keys included.
//!
//! On PostgreSQL a function on the server, so that a charge is a single journey, run by pgbench, on tables
//! like Bursar's without row-level security. On SQLite the same statements from one connection. Neither
//! parses a request, proves who asks, or prices from more than one row.

use std::process::Stdio;
use std::time::{Duration, Instant};

use bursar_domain::id::Id;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, Connection, Row, SqliteConnection};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use uuid::Uuid;

use crate::support::Measured;
use crate::support::load::summary;
use crate::support::process::tree;
use crate::support::setting::Setting;

/// pgbench on a server-side function.
pub struct Postgres<'a> {
    setting: &'a Setting,
    database: DatabaseConnection,
}

const TABLES: [&str; 5] = ["charge", "transfer", "pool_head", "account", "lot_position"];

const FUNCTION: &str = r#"
CREATE FUNCTION floor.charge(wanted_kind text, wanted int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    t floor.target; h floor.pool_head; a floor.account; p floor.lot_position; price bigint;
    now bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
    id uuid := (lpad(to_hex(now / 1000), 12, '0') || '7' || substr(md5(random()::text), 1, 3) || '8'
        || substr(md5(random()::text), 1, 15))::uuid;
    key bytea := decode(md5(id::text), 'hex');
BEGIN
    SELECT * INTO t FROM floor.target WHERE target.kind = wanted_kind AND target.number = wanted;
    SELECT * INTO h FROM floor.pool_head
        WHERE organization_id = t.organization_id AND pool_id = t.pool_id FOR UPDATE;
    PERFORM 1 FROM floor.charge c WHERE c.organization_id = t.organization_id AND c.idempotency_key = key;
    IF FOUND THEN RETURN 0; END IF;
    SELECT v.credits INTO price FROM service_version v JOIN service s ON s.id = v.service_id
        WHERE s.code = 'FURNITURE_REMOVAL' AND v.effective_from <= now ORDER BY v.effective_from DESC LIMIT 1;
    SELECT * INTO a FROM floor.account
        WHERE organization_id = t.organization_id AND pool_id = t.pool_id AND department_id IS NULL;
    SELECT * INTO p FROM floor.lot_position l WHERE l.organization_id = t.organization_id
        AND l.pool_id = t.pool_id AND l.account_id = a.id AND l.open LIMIT 1;
    IF p.credits < price THEN RAISE 'not enough credits'; END IF;
    INSERT INTO floor.charge (organization_id, id, pool_id, account_id, actor_kind, actor_id, origin, lines, credits,
            idempotency_key, request_hash, version, slices, created_at)
        VALUES (t.organization_id, id, t.pool_id, a.id, 1, id, id::text,
            '[{"service":"019ab000-0000-7000-8000-000000000000","version":"019ab000-0000-7000-8000-000000000000","code":"FURNITURE_REMOVAL","quantity":1,"each":1,"credits":1}]',
            price, key, key, h.version + 1, 1, now);
    INSERT INTO floor.transfer (organization_id, pool_id, version, kind, debit_kind, credit_kind, debit_id, lot_id,
            credits, cost, debit_after, credit_after, held_after, pool_posted_after, pool_held_after, debt_after,
            cause_kind, cause_id, created_at, hash)
        VALUES (t.organization_id, t.pool_id, h.version + 1, 4, 1, 4, a.id, p.lot_id, price, 0, a.posted - price,
            h.consumed + price, 0, h.posted - price, 0, 0, 1, id, now, sha256(h.hash || key));
    UPDATE floor.lot_position l SET credits = l.credits - price WHERE l.organization_id = t.organization_id
        AND l.pool_id = t.pool_id AND l.account_id = a.id AND l.lot_id = p.lot_id;
    UPDATE floor.account SET posted = posted - price
        WHERE organization_id = t.organization_id AND pool_id = t.pool_id AND account.id = a.id;
    UPDATE floor.pool_head SET version = version + 1, clock = now, posted = posted - price,
            consumed = consumed + price, hash = sha256(h.hash || key)
        WHERE organization_id = t.organization_id AND pool_id = t.pool_id;
    RETURN h.version + 1;
END $$;
"#;

impl<'a> Postgres<'a> {
    /// Makes tables like Bursar's with the same pools in them.
    pub async fn prepare(setting: &'a Setting) -> Postgres<'a> {
        let database = setting.superuser().await;
        let mut statements = vec!["CREATE SCHEMA floor".to_owned()];
        for table in TABLES {
            statements.push(format!("CREATE TABLE floor.{table} (LIKE public.{table} INCLUDING ALL)"));
        }
        for table in ["pool_head", "account", "lot_position"] {
            statements.push(format!("INSERT INTO floor.{table} SELECT * FROM public.{table}"));
        }
        statements.push(
            "CREATE TABLE floor.target (kind text, number int, organization_id uuid, pool_id uuid,
             PRIMARY KEY (kind, number))"
                .to_owned(),
        );
        for kind in ["hot", "pools", "organizations"] {
            let rows = setting.of_kind(kind).iter().enumerate().map(|(number, (organization, pool))| {
                let [organization, pool] = [organization.as_u128(), pool.as_u128()].map(Uuid::from_u128);
                format!("('{kind}', {}, '{organization}', '{pool}')", number + 1)
            });
            let rows: Vec<String> = rows.collect();
            statements.push(format!("INSERT INTO floor.target VALUES {}", rows.join(", ")));
        }
        statements.push(FUNCTION.to_owned());
        let role = crate::support::postgres::APPLICATION;
        statements.push(format!(
            "GRANT USAGE ON SCHEMA floor TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA floor TO {role}"
        ));
        for sql in &statements {
            database.execute_unprepared(sql).await.unwrap();
        }
        for kind in ["hot", "pools", "organizations"] {
            let count = setting.of_kind(kind).len();
            let script = format!("\\set n random(1, {count})\nSELECT floor.charge('{kind}', :n);\n");
            std::fs::write(setting.file(&format!("{kind}.sql")), script).unwrap();
        }
        Postgres { setting, database }
    }

    /// Lets clients charge pools of a kind, one transaction a charge.
    pub fn run(&self, kind: &str, clients: usize, seconds: usize) -> Measured {
        let _ = &self.database;
        let root = self.setting.database_process().unwrap();
        let (before, began) = (tree(root), Instant::now());
        let output = self
            .setting
            .pgbench()
            .args([
                "-n",
                "-M",
                "prepared",
                "-l",
                "--log-prefix=floor",
                "-j",
                if clients > 1 { "2" } else { "1" },
            ])
            .args([
                "-c",
                &clients.to_string(),
                "-T",
                &seconds.to_string(),
                "-f",
                &format!("{kind}.sql"),
                "bursar",
            ])
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let took = began.elapsed();
        let mut times = Vec::new();
        for entry in std::fs::read_dir(self.setting.dir()).unwrap().flatten() {
            if !entry.file_name().to_string_lossy().starts_with("floor.") {
                continue;
            }
            let log = std::fs::read_to_string(entry.path()).unwrap();
            // Client, transaction, time in microseconds, ...
            let time = |line: &str| line.split(' ').nth(2)?.parse().ok().map(Duration::from_micros);
            times.extend(log.lines().filter_map(time));
            std::fs::remove_file(entry.path()).unwrap();
        }
        let count = times.len() as f64;
        let database = (tree(root) - before) / count;
        // Its own duration: connecting is not part of it.
        let measured = summary(times, Duration::from_secs(seconds as u64).min(took));
        Measured { database, ..measured }
    }
}

/// One connection that makes one charge in each transaction.
pub struct Sqlite {
    connection: SqliteConnection,
    organization: Vec<u8>,
    pool: Vec<u8>,
    number: u128,
}

impl Sqlite {
    /// A copy of the setting's file.
    pub async fn prepare(setting: &Setting) -> Sqlite {
        let copy = setting.file("floor.db");
        let options = SqliteConnectOptions::new().filename(setting.file("bursar.db"));
        let mut source = SqliteConnection::connect_with(&options).await.unwrap();
        let sql = format!("VACUUM INTO '{}'", copy.display());
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut source).await.unwrap();
        source.close().await.unwrap();
        let options = SqliteConnectOptions::new()
            .filename(&copy)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let connection = SqliteConnection::connect_with(&options).await.unwrap();
        let (organization, pool) = setting.of_kind("hot")[0];
        let bytes = |id: u128| Uuid::from_u128(id).as_bytes().to_vec();
        let (organization, pool) = (bytes(organization.as_u128()), bytes(pool.as_u128()));
        Sqlite { connection, organization, pool, number: 0 }
    }

    /// Charges the pool for some seconds.
    pub async fn run(&mut self, seconds: usize) -> Measured {
        let (began, mut times) = (Instant::now(), Vec::new());
        while began.elapsed() < Duration::from_secs(seconds as u64) {
            let charge = Instant::now();
            self.charge().await.unwrap();
            times.push(charge.elapsed());
        }
        summary(times, began.elapsed())
    }

    async fn charge(&mut self) -> Result<(), sqlx::Error> {
        self.number += 1;
        let (id, organization, pool) = (self.number.to_be_bytes().to_vec(), &self.organization, &self.pool);
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        macro_rules! sql {
            ($sql:literal $(, $value:expr)*) => { sqlx::query($sql)$(.bind($value))* };
        }
        let head = sql!(
            "SELECT version, consumed, posted, hash FROM pool_head WHERE organization_id = ? AND pool_id = ?",
            organization,
            pool
        );
        let head = head.fetch_one(&mut *transaction).await?;
        let (version, consumed, posted): (i64, i64, i64) = (head.get(0), head.get(1), head.get(2));
        let hash: Vec<u8> = head.get(3);
        let known =
            sql!("SELECT 1 FROM charge WHERE organization_id = ? AND idempotency_key = ?", organization, &id);
        assert!(known.fetch_optional(&mut *transaction).await?.is_none());
        let price = sql!(
            "SELECT v.credits FROM service_version v JOIN service s ON s.id = v.service_id WHERE s.code = 'FURNITURE_REMOVAL' ORDER BY v.effective_from DESC LIMIT 1"
        );
        let price: i64 = price.fetch_one(&mut *transaction).await?.get(0);
        let account = sql!(
            "SELECT id, posted FROM account WHERE organization_id = ? AND pool_id = ? AND department_id IS NULL",
            organization,
            pool
        );
        let account = account.fetch_one(&mut *transaction).await?;
        let (account, has): (Vec<u8>, i64) = (account.get(0), account.get(1));
        let lot = sql!(
            "SELECT lot_id FROM lot_position WHERE organization_id = ? AND pool_id = ? AND account_id = ? AND open LIMIT 1",
            organization,
            pool,
            &account
        );
        let lot: Vec<u8> = lot.fetch_one(&mut *transaction).await?.get(0);
        let lines = r#"[{"service":"019ab000-0000-7000-8000-000000000000","version":"019ab000-0000-7000-8000-000000000000","code":"FURNITURE_REMOVAL","quantity":1,"each":1,"credits":1}]"#;
        sql!("INSERT INTO charge (organization_id, id, pool_id, account_id, actor_kind, actor_id, origin, lines, credits, idempotency_key, request_hash, version, slices, created_at) VALUES (?, ?, ?, ?, 1, ?, 'origin of the request, as long as one', ?, ?, ?, ?, ?, 1, 1)",
            organization, &id, pool, &account, &id, lines, price, &id, &id, version + 1)
            .execute(&mut *transaction).await?;
        sql!("INSERT INTO transfer (organization_id, pool_id, version, kind, debit_kind, credit_kind, debit_id, lot_id, credits, cost, debit_after, credit_after, held_after, pool_posted_after, pool_held_after, debt_after, cause_kind, cause_id, created_at, hash) VALUES (?, ?, ?, 4, 1, 4, ?, ?, ?, 0, ?, ?, 0, ?, 0, 0, 1, ?, 1, ?)",
            organization, pool, version + 1, &account, &lot, price, has - price, consumed + price, posted - price, &id, &hash)
            .execute(&mut *transaction).await?;
        sql!("UPDATE lot_position SET credits = credits - ? WHERE organization_id = ? AND pool_id = ? AND account_id = ? AND lot_id = ?", price, organization, pool, &account, &lot)
            .execute(&mut *transaction).await?;
        sql!(
            "UPDATE account SET posted = posted - ? WHERE organization_id = ? AND pool_id = ? AND id = ?",
            price,
            organization,
            pool,
            &account
        )
        .execute(&mut *transaction)
        .await?;
        sql!("UPDATE pool_head SET version = version + 1, posted = posted - ?, consumed = consumed + ? WHERE organization_id = ? AND pool_id = ?", price, price, organization, pool)
            .execute(&mut *transaction).await?;
        transaction.commit().await
    }
}
