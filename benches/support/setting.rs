//! What is charged: a database with tenants and pools that have more credits than can be used up.

use std::path::{Path, PathBuf};
use std::process::Command;

use bursar::app::App;
use bursar::auth::{Actor, Caller, Standing};
use bursar::clock::Clock;
use bursar::config::{Addresses, Config};
use bursar::db::{Snapshots, Tenant, migrate};
use bursar::global_id;
use bursar::ledger::Submission;
use bursar::organizations::{self, NewDepartment, NewMember, NewOrganization};
use bursar::pools::{self, NewPool};
use bursar_domain::id::{EntryId, Id, LotId, OrganizationId, PoolId, UserId};
use bursar_domain::ledger::{
    AllocateCredits, Command as LedgerCommand, CommandId, Instruction, IssueCredits, Key, LotClass,
    LotSource, RequestHash,
};
use bursar_domain::organization::Role;
use bursar_domain::permission::Action;
use bursar_domain::{Credits, Timestamp};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use secrecy::SecretString;
use serde_json::json;

use super::load::{Client, Target};
use super::postgres::{APPLICATION, Instance, OWNER};
use super::process::Server;

const SECRET: &str = "a secret for benches, 32 bytes ok";
/// More than any run uses up.
const CREDITS: i64 = 1_000_000_000;
/// How many lots the department of a furnished organization has credits of.
const LOTS: i16 = 8;

/// A database with tenants.
pub struct Setting {
    addresses: Addresses,
    instance: Option<Instance>,
    dir: tempfile::TempDir,
    token: String,
    pools: Vec<(OrganizationId, PoolId)>,
    organizations: Vec<(OrganizationId, PoolId)>,
}

impl Setting {
    /// A PostgreSQL server with its default settings, some pools of one organization, and organizations of
    /// one pool each.
    pub async fn postgres(pools: usize, organizations: usize) -> Setting {
        // To look into it: POSTGRES="shared_preload_libraries=auto_explain logging_collector=on ..."
        let more = std::env::var("POSTGRES").unwrap_or_default();
        let settings = ["max_connections=200"].into_iter().chain(more.split_whitespace());
        let instance = Instance::start(&settings.collect::<Vec<_>>());
        let admin = Database::connect(format!("{}/postgres", instance.superuser())).await.unwrap();
        for role in [OWNER, APPLICATION] {
            admin.execute_unprepared(&format!("CREATE ROLE {role} LOGIN")).await.unwrap();
        }
        admin.execute_unprepared(&format!("CREATE DATABASE bursar OWNER {OWNER}")).await.unwrap();
        let database = Database::connect(format!("{}/bursar", instance.superuser())).await.unwrap();
        database.execute_unprepared(&format!("ALTER SCHEMA public OWNER TO {OWNER}")).await.unwrap();
        let addresses = addresses(&instance.host(), "bursar");
        let dir = tempfile::tempdir().unwrap();
        Setting::filled(addresses, Some(instance), dir, (pools, organizations)).await
    }

    /// A SQLite file with one pool.
    pub async fn sqlite() -> Setting {
        let dir = tempfile::tempdir().unwrap();
        let addresses = Addresses::sqlite(&dir.path().join("bursar.db"));
        Setting::filled(addresses, None, dir, (1, 0)).await
    }

    async fn filled(
        addresses: Addresses,
        instance: Option<Instance>,
        dir: tempfile::TempDir,
        (pools, organizations): (usize, usize),
    ) -> Setting {
        migrate::up(&addresses).await.unwrap();
        let app = open(&addresses, dir.path()).await;
        app.seed().await.unwrap();
        let token = app.token("operator@bursar.test").await.unwrap();
        let filler = Filler::new(&app, &token).await;
        let (first, owner) = filler.organization("hot").await;
        let mut made = Vec::new();
        for number in 0..pools {
            made.push((first, filler.pool(first, &owner, number).await));
        }
        let mut tenants = Vec::new();
        for number in 0..organizations {
            let (organization, owner) = filler.organization(&format!("tenant-{number}")).await;
            tenants.push((organization, filler.pool(organization, &owner, 0).await));
        }
        app.close().await.unwrap();
        Setting { addresses, instance, dir, token, pools: made, organizations: tenants }
    }

    /// The same database once more on the same server, as it is now, with row-level security switched off. Nobody may
    /// use the database meanwhile. It goes with this setting.
    pub async fn without_row_level_security(&self) -> Setting {
        let (instance, name) = (self.instance.as_ref().unwrap(), "bursar_open");
        let admin = Database::connect(format!("{}/postgres", instance.superuser())).await.unwrap();
        // Connections that have been let go may still be known.
        let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'bursar'";
        admin.execute_unprepared(end).await.unwrap();
        let copy = format!("CREATE DATABASE {name} OWNER {OWNER} TEMPLATE bursar");
        admin.execute_unprepared(&copy).await.unwrap();
        admin.close().await.unwrap();
        let superuser = Database::connect(format!("{}/{name}", instance.superuser())).await.unwrap();
        superuser.execute_unprepared(WITHOUT_ROW_LEVEL_SECURITY).await.unwrap();
        superuser.close().await.unwrap();
        Setting {
            addresses: addresses(&instance.host(), name),
            instance: None,
            dir: tempfile::tempdir().unwrap(),
            token: self.token.clone(),
            pools: self.pools.clone(),
            organizations: self.organizations.clone(),
        }
    }

    /// Bursar within this process, on the same database. Whoever opens it closes it.
    pub async fn app(&self) -> App {
        open(&self.addresses, self.dir.path()).await
    }

    /// Makes an organization whose charges meet everything that there is: a department with credits of several
    /// lots, and somebody on whose behalf it is charged.
    pub async fn furnish(&self) -> Furnished {
        let app = self.app().await;
        let filler = Filler::new(&app, &self.token).await;
        let (organization, owner) = filler.organization("furnished").await;
        let pool = filler.empty_pool(organization, &owner, 0).await;
        let now = app.services().context.clock.now();
        for number in 0..LOTS {
            let expires_at = Some(now.plus_days(300 + i64::from(number)));
            filler.issue(organization, pool, (100 + number, CREDITS, expires_at)).await;
        }
        let snapshots = Snapshots::new(app.services().context.db.clone());
        let room = owner.organization(&snapshots, organization, Action::ManageDepartments).await.unwrap();
        snapshots.close().await;
        let new = NewDepartment { code: "SALES".to_owned(), name: "Sales".to_owned(), cost_center: None };
        let department =
            organizations::create_department(&app.services().context, &room, new).await.unwrap().id;
        let room = owner.organization(&snapshots, organization, Action::ManageMembers).await.unwrap();
        snapshots.close().await;
        let email = "worker@furnished.test".to_owned();
        let new = NewMember { email, name: None, role: Role::Member };
        let member = organizations::add_member(&app.services().context, &owner, &room, new).await.unwrap().id;
        // All but a half of the last lot.
        let credits = Credits::new(CREDITS * i64::from(LOTS) - CREDITS / 2).unwrap();
        let new_account = app.services().context.clock.new_id();
        let allocate = AllocateCredits { department, new_account, credits };
        filler.submit(organization, pool, Instruction::Allocate(allocate)).await;
        let furnished = Furnished {
            pool: global_id::encode(pool),
            department: global_id::encode(department),
            member: global_id::encode(member),
            owner: app.token("owner@furnished.test").await.unwrap(),
        };
        app.close().await.unwrap();
        furnished
    }

    /// One pool.
    pub fn hot(&self) -> Vec<Target> {
        self.pools[..1].iter().map(target).collect()
    }

    /// All pools of one organization.
    pub fn pools(&self) -> Vec<Target> {
        self.pools.iter().map(target).collect()
    }

    /// The pools of the organizations that have one each.
    pub fn organizations(&self) -> Vec<Target> {
        self.organizations.iter().map(target).collect()
    }

    /// Organizations and pools of a kind, by their names in the floor's scripts.
    pub fn of_kind(&self, kind: &str) -> &[(OrganizationId, PoolId)] {
        match kind {
            "hot" => &self.pools[..1],
            "pools" => &self.pools,
            _ => &self.organizations,
        }
    }

    /// What the server is started with.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("DATABASE_URL", self.addresses.application.clone()),
            ("BURSAR_SIGNING_SECRET", SECRET.to_owned()),
            // One caller does it all: what it may ask for is not what is measured.
            ("BURSAR_COST_MAXIMUM", u32::MAX.to_string()),
            ("BURSAR_COST_RESTORE", u32::MAX.to_string()),
            ("BURSAR_SOCKETS_PER_PERSON", "100000".to_owned()),
            // The verification in the background takes its share of time, whatever is measured beside it.
            ("BURSAR_VERIFY_SECONDS", "0".to_owned()),
        ];
        all.extend(self.addresses.migration.clone().map(|url| ("BURSAR_MIGRATE_DATABASE_URL", url)));
        all
    }

    /// A folder for the server.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The token of somebody who may charge every tenant.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The database as whom nothing binds.
    pub async fn superuser(&self) -> DatabaseConnection {
        let instance = self.instance.as_ref().unwrap();
        Database::connect(format!("{}/bursar", instance.superuser())).await.unwrap()
    }

    /// The process that all of the database's come from.
    pub fn database_process(&self) -> Option<u32> {
        self.instance.as_ref().map(Instance::process_id)
    }

    /// The load generator of PostgreSQL, ready to run against the database.
    pub fn pgbench(&self) -> Command {
        let instance = self.instance.as_ref().unwrap();
        let mut command = Command::new(instance.program("pgbench"));
        command.args(["-h", "127.0.0.1", "-p", &instance.port().to_string(), "-U", APPLICATION]);
        command.current_dir(self.dir.path());
        command
    }

    /// A file in the setting's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Switches row-level security off for all tables, of which there must be some.
const WITHOUT_ROW_LEVEL_SECURITY: &str = "DO $$
    DECLARE secured regclass;
    BEGIN
        FOR secured IN SELECT oid::regclass FROM pg_class WHERE relrowsecurity LOOP
            EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', secured);
            EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', secured);
        END LOOP;
        IF NOT FOUND THEN RAISE EXCEPTION 'no table has row-level security'; END IF;
    END $$";

/// The addresses of a database for the two roles.
fn addresses(host: &str, database: &str) -> Addresses {
    Addresses {
        application: format!("postgres://{APPLICATION}@{host}/{database}"),
        migration: Some(format!("postgres://{OWNER}@{host}/{database}")),
    }
}

async fn open(addresses: &Addresses, dir: &Path) -> App {
    let defaults = Config::for_database(addresses.clone(), "http://bursar.test".parse().unwrap());
    let signing_secret = Some(SecretString::from(SECRET));
    let config = Config { data_dir: dir.to_owned(), signing_secret, ..defaults };
    App::open(config, Clock::system()).await.unwrap()
}

/// What there is in an organization where a charge meets everything. All ids are global ones.
pub struct Furnished {
    /// The pool.
    pub pool: String,
    /// The department that is charged.
    pub department: String,
    /// The membership of the person on whose behalf.
    pub member: String,
    /// The token of the organization's owner.
    pub owner: String,
}

impl Furnished {
    /// Limits what the department, the person and the service may use, by caps that leave enough.
    pub async fn limit(&self, server: &Server) {
        let mut owner = Client::open(&server.address, &self.owner).await;
        let scopes = [
            json!({ "departmentId": self.department }),
            json!({ "memberId": self.member }),
            json!({ "service": "FURNITURE_REMOVAL" }),
        ];
        for scope in scopes {
            let input = json!({ "poolId": self.pool, "scope": scope, "credits": CREDITS, "period": "MONTH" });
            let query = "mutation Cap($input: CreateSpendingCapInput!) { createSpendingCap(input: $input) { \
                         __typename userErrors { __typename code message field } } }";
            let body = json!({ "query": query, "variables": { "input": input } }).to_string();
            owner.mutate(body, r#"{"data":{"createSpendingCap":{"#).await;
        }
    }
}

fn target((_, pool): &(OrganizationId, PoolId)) -> Target {
    Target { pool: global_id::encode(*pool) }
}

async fn person(app: &App, token: &str) -> Caller {
    let services = app.services();
    let now = services.context.clock.now();
    let user: UserId = bursar::auth::verify(&services.keys, token, now).unwrap().user().unwrap();
    Caller::of_person(&services.context.db, user, now, None).await.unwrap()
}

/// Makes tenants and pools by the rooms that make them for everybody.
struct Filler<'a> {
    app: &'a App,
    operator: Caller,
}

impl<'a> Filler<'a> {
    async fn new(app: &'a App, token: &str) -> Filler<'a> {
        Filler { app, operator: person(app, token).await }
    }

    async fn organization(&self, slug: &str) -> (OrganizationId, Caller) {
        let new = NewOrganization {
            slug: slug.to_owned(),
            name: slug.to_owned(),
            time_zone: "UTC".to_owned(),
            currency: None,
            owner_email: format!("owner@{slug}.test"),
            owner_name: None,
        };
        let (context, owner) = (&self.app.services().context, new.owner_email.clone());
        let made = organizations::create(context, &self.operator.actor(), new).await.unwrap();
        (made.id, person(self.app, &self.app.token(&owner).await.unwrap()).await)
    }

    async fn pool(&self, organization: OrganizationId, owner: &Caller, number: usize) -> PoolId {
        let pool = self.empty_pool(organization, owner, number).await;
        self.issue(organization, pool, (100, CREDITS, None)).await;
        pool
    }

    async fn empty_pool(&self, organization: OrganizationId, owner: &Caller, number: usize) -> PoolId {
        let services = self.app.services();
        let snapshots = Snapshots::new(services.context.db.clone());
        let room = owner.organization(&snapshots, organization, Action::ManagePools).await.unwrap();
        snapshots.close().await;
        let new = NewPool { name: format!("Pool {number}"), allowed_services: None };
        pools::create(&services.context, &room, new).await.unwrap().id
    }

    /// Brings a lot in: with a place in the burn order, and an expiry.
    async fn issue(
        &self,
        organization: OrganizationId,
        pool: PoolId,
        (priority, credits, expires_at): (i16, i64, Option<Timestamp>),
    ) {
        let clock = &self.app.services().context.clock;
        let issue = IssueCredits {
            lot: clock.new_id::<LotId>(),
            source: LotSource::Grant,
            class: LotClass::Promotional,
            priority,
            credits: Credits::new(credits).unwrap(),
            cost: 0,
            currency: None,
            expires_at,
            purchase: None,
            department: None,
            new_account: clock.new_id(),
        };
        self.submit(organization, pool, Instruction::Issue(issue)).await;
    }

    async fn submit(&self, organization: OrganizationId, pool: PoolId, instruction: Instruction) {
        let services = self.app.services();
        let id: EntryId = services.context.clock.new_id();
        let command = LedgerCommand {
            id: CommandId::Entry(id),
            pool,
            key: Key(id.as_u128().to_be_bytes()),
            request: RequestHash([0; 16]),
            now: Timestamp::EPOCH,
            instruction,
        };
        let (actor, standing) = (Actor::system(None), Standing::default());
        let submission = Submission { command, actor, standing, subject: None, metadata: None, reason: None };
        // The bench acts for itself here.
        services.ledger.submit(Tenant::vouched(organization), submission).await.unwrap();
    }
}
