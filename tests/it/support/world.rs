//! A server with its database, and people to call it as.

use std::sync::Arc;
use std::time::Duration;

use bursar::app::App;
use bursar::auth::{self, Actor, Standing};
use bursar::clock::Clock;
use bursar::config::Config;
use bursar::db::{Options, Tenant};
use bursar::global_id;
use bursar::graphql::Services;
use bursar::ledger::{Settings, Submission};
use bursar_domain::Credits;
use bursar_domain::id::{EntryId, Id, LotId, OrganizationId};
use bursar_domain::ledger::{
    Command, CommandId, Instruction, IssueCredits, Key, LotClass, LotSource, RequestHash,
};
use sea_orm::ConnectionTrait;
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Backend, Client, TestDatabase};

/// A running server on a database of its own, with the demonstration data in it.
pub struct World {
    /// Its database.
    pub database: TestDatabase,
    /// Its address.
    pub base: String,
    /// What it is made of.
    pub app: App,
    /// Its clock.
    pub clock: Clock,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<std::io::Result<()>>>,
}

/// The settings of a test's server.
pub fn config(database: &TestDatabase) -> Config {
    let mut config = Config::for_database(database.addresses.clone(), "http://bursar.test".parse().unwrap());
    // Many tests wait for links to sign in with.
    config.mail.pace = Duration::from_millis(20);
    Config { signing_secret: Some(SecretString::from("a secret for tests, 32 bytes long")), ..config }
}

impl World {
    /// Starts a server with demonstration data.
    pub async fn start(backend: Backend) -> World {
        World::start_at(backend, Clock::system()).await
    }

    /// Starts a server with a clock of the test's own.
    pub async fn start_at(backend: Backend, clock: Clock) -> World {
        World::start_on(TestDatabase::migrated(backend).await, clock, Options::default(), None).await
    }

    /// Starts a server with a clock of the test's own that does no timed work and delivers nothing by itself.
    pub async fn start_untimed(backend: Backend, clock: Clock) -> World {
        World::start_untimed_as(backend, clock, |_| ()).await
    }

    /// Starts such a server with settings of the test's own.
    pub async fn start_untimed_as(backend: Backend, clock: Clock, change: impl FnOnce(&mut Config)) -> World {
        World::start_untimed_with(TestDatabase::migrated(backend).await, clock, change).await
    }

    /// The same on a database that is there.
    pub async fn start_untimed_with(
        database: TestDatabase,
        clock: Clock,
        change: impl FnOnce(&mut Config),
    ) -> World {
        let mut settings = config(&database);
        change(&mut settings);
        let app = App::open(settings, clock.clone()).await.unwrap();
        World::serve_untimed(database, clock, app).await
    }

    /// Starts a server with settings of the test's own.
    pub async fn start_as(backend: Backend, change: impl FnOnce(&mut Config)) -> World {
        let database = TestDatabase::migrated(backend).await;
        let mut settings = config(&database);
        change(&mut settings);
        let app = App::open(settings, Clock::system()).await.unwrap();
        World::serve(database, Clock::system(), app).await
    }

    /// Starts a server on a database that is opened in a way of the test's own.
    pub async fn start_on(
        database: TestDatabase,
        clock: Clock,
        options: Options,
        settings: Option<Settings>,
    ) -> World {
        let app = App::open_with(config(&database), clock.clone(), options, settings).await.unwrap();
        World::serve(database, clock, app).await
    }

    /// The same without timed work, without deliveries: nobody uses the database but whom the test sends.
    pub async fn start_untimed_on(database: TestDatabase, clock: Clock, options: Options) -> World {
        let app = App::open_with(config(&database), clock.clone(), options, None).await.unwrap();
        World::serve_untimed(database, clock, app).await
    }

    async fn serve(database: TestDatabase, clock: Clock, app: App) -> World {
        let world = World::serve_untimed(database, clock, app).await;
        world.app.keep_time();
        world
    }

    async fn serve_untimed(database: TestDatabase, clock: Clock, app: App) -> World {
        app.seed().await.unwrap();
        let web = app.bind().await.unwrap();
        let base = format!("http://{}", web.address().unwrap());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(web.serve(async {
            let _ = stopped.await;
        }));
        World { database, base, app, clock, stop: Some(stop), serving: Some(serving) }
    }

    /// What the server's rooms work with.
    pub fn services(&self) -> &Arc<Services> {
        self.app.services()
    }

    /// Gives a pool credits, as the operator does, and answers how many it has then.
    pub async fn grant(&self, organization: &str, pool: &str, credits: i64) -> i64 {
        let services = self.services();
        let clock = &services.context.clock;
        let organization: OrganizationId = global_id::decode(organization).unwrap();
        let issue = IssueCredits {
            lot: clock.new_id::<LotId>(),
            source: LotSource::Grant,
            class: LotClass::Promotional,
            priority: 200,
            credits: Credits::new(credits).unwrap(),
            cost: 0,
            currency: None,
            expires_at: None,
            purchase: None,
            department: None,
            new_account: clock.new_id(),
        };
        let id: EntryId = clock.new_id();
        let command = Command {
            id: CommandId::Entry(id),
            pool: global_id::decode(pool).unwrap(),
            key: Key(id.as_u128().to_be_bytes()),
            request: RequestHash([0; 16]),
            now: clock.now(),
            instruction: Instruction::Issue(issue),
        };
        let (actor, standing) = (Actor::system(None), Standing::default());
        let submission = Submission { command, actor, standing, subject: None, metadata: None, reason: None };
        let receipt = services.ledger.submit(Tenant::vouched(organization), submission).await.unwrap();
        receipt.pool_balance().unwrap().posted.get()
    }

    /// Runs a statement that nothing binds.
    pub async fn sql(&self, sql: &str) -> u64 {
        let superuser = sea_orm::Database::connect(&self.database.superuser).await.unwrap();
        let done = superuser.execute_unprepared(sql).await.unwrap();
        superuser.close().await.unwrap();
        done.rows_affected()
    }

    /// A number that a statement answers in its column `n`, whoever's rows it counts.
    pub async fn number(&self, sql: &str) -> i64 {
        self.database.number(sql).await
    }

    /// A client who is the person with an address.
    pub async fn client(&self, email: &str) -> Client {
        let token = self.app.token(email).await.unwrap();
        Client::new(&self.base, Some(token))
    }

    /// A client who is nobody.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.base, None)
    }

    /// A client with a token that has run out.
    pub async fn expired(&self, email: &str) -> Client {
        let client = self.client(email).await;
        let claims = auth::verify(&self.services().keys, client.token(), self.clock.now()).unwrap();
        let past = self.clock.now().plus_seconds(-3600);
        let token = auth::issue(&self.services().keys, claims.user().unwrap(), past, 60).unwrap();
        Client::new(&self.base, Some(token))
    }

    /// Founds another organization and answers its owner.
    pub async fn found(&self, slug: &str) -> Client {
        let operator = self.client("operator@bursar.test").await;
        let owner = format!("owner@{slug}.test");
        let input = json!({ "slug": slug, "name": slug, "timeZone": "UTC", "ownerEmail": owner });
        operator.mutate("createOrganization", "CreateOrganizationInput", input, "organization { id }").await;
        self.client(&owner).await
    }

    /// Stops the server as a signal would, and waits until it has.
    pub async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(serving) = self.serving.take() {
            serving.await.unwrap().unwrap();
        }
        self.app.close().await.unwrap();
    }
}
