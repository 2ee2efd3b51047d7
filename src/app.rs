//! The composition root: the only file that sees all rooms. It opens the database, makes the rooms and
//! gives them to the web server.

use std::sync::{Arc, OnceLock};

use bursar_domain::id::UserId;
use bursar_entity::user;
use sea_orm::{ColumnTrait, QueryFilter};
use secrecy::{ExposeSecret, SecretString};

use crate::auth::{
    self, Attempts, Callers, HeldSessions, Issuers, Keys, PoolDirectory, TOKEN_LIFETIME_SECONDS,
};
use crate::changes::Changes;
use crate::clock::Clock;
use crate::config::{BusAddress, Config, Environment, make_data_dir};
use crate::context::Context;
use crate::db::scope::find_people;
use crate::db::{Database, Options, Scope, migrate};
use crate::delivery::Courier;
use crate::error::{Error, Result};
use crate::graphql::{Server, Services};
use crate::http::Web;
use crate::ledger::verify::{Pace, Verifications, Watching};
use crate::ledger::{Ledger, Settings};
use crate::live::{Bus, Hub};
use crate::payments::Payments;
use crate::purchases::Selling;
use crate::schedule::{Scheduler, TopUpTrigger};
use crate::sign_in::LinkRequests;
use crate::{seed, telemetry, text};

/// Bursar with everything that it is made of.
pub struct App {
    services: Arc<Services>,
    schedule: Scheduler,
    /// The verification in the background, once it has begun.
    watching: OnceLock<Watching>,
}

impl App {
    /// Opens the database and makes the rooms. The schema must be the newest.
    pub async fn open(config: Config, clock: Clock) -> Result<App> {
        let options = Options { connections: config.connections, ..Options::default() };
        App::open_with(config, clock, options, None).await
    }

    /// Opens it with other bounds of the ledger, and the database in another way, than the settings say.
    pub async fn open_with(
        config: Config,
        clock: Clock,
        options: Options,
        settings: Option<Settings>,
    ) -> Result<App> {
        telemetry::measure();
        let keys = Keys::derive(&signing_secret(&config)?);
        let db = Database::open(&config.database, options).await?;
        let settings = settings.unwrap_or_else(|| Settings::fitting(db.backend()));
        let hub = Hub::new(bus(&config.bus));
        let trigger = TopUpTrigger::default();
        let changes = {
            let (hub, trigger) = (hub.clone(), trigger.clone());
            Changes::to(move |changes| {
                hub.committed(changes);
                trigger.committed(changes);
            })
        };
        let context = Context { db, clock, changes };
        hub.start(&context).await?;
        let ledger = Ledger::new(context.clone(), settings);
        let issuers = Issuers::new(config.environment)?;
        let (callers, directory) = (Callers::new(issuers.clone()), PoolDirectory::default());
        let (verifications, sessions) = (Verifications::default(), HeldSessions::default());
        sessions.start(&context);
        let attempts = Attempts::new(context.clone(), keys.clone());
        let courier = Courier::new(&context, &keys, &config)?;
        let selling = Selling {
            ledger: ledger.clone(),
            payments: Payments::open(&config.payments)?,
            keys: keys.clone(),
            settings: Arc::new(config.payments.clone()),
            public_url: config.public_url.clone(),
        };
        let schedule = Scheduler::new(selling.clone(), trigger);
        let links = LinkRequests::start(&context, &attempts, config.mail.pace);
        let services = Services {
            context,
            ledger,
            hub,
            keys,
            callers,
            issuers,
            sessions,
            attempts,
            links,
            directory,
            verifications,
            courier,
            selling,
            config,
        };
        Ok(App { services: Arc::new(services), schedule, watching: OnceLock::new() })
    }

    /// Makes the database ready: runs migrations in development (in production they are a step of their
    /// own) and refuses what production must not have.
    pub async fn prepare(config: &Config) -> Result<()> {
        if !config.database.is_postgres() {
            create_directory(config)?;
        }
        if config.environment == Environment::Development {
            migrate::up(&config.database).await?;
            let db = Database::connect(&config.database).await?;
            if let Some(fault) = migrate::role_too_strong(&db).await? {
                tracing::warn!("row-level security does not stand behind the application: its role {fault}");
            }
            return db.close().await;
        }
        let db = Database::connect(&config.database).await?;
        let outcome = async {
            if let Some(fault) = migrate::role_too_strong(&db).await? {
                return Err(Error::invalid(
                    "DATABASE_URL",
                    format!("the role {fault}, which production refuses"),
                ));
            }
            match migrate::pending(&db).await? {
                0 => Ok(()),
                n => Err(Error::internal(format!("{n} migrations are pending: run `bursar migrate` first"))),
            }
        };
        let outcome = outcome.await;
        db.close().await?;
        outcome
    }

    /// What the rooms work with.
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// Puts demonstration data into an empty database; one that is not empty stays as it is.
    pub async fn seed(&self) -> Result<seed::Seeded> {
        seed::demonstration(&self.services.selling).await
    }

    /// A token for the person with an address. It belongs to no session.
    pub async fn token(&self, email: &str) -> Result<String> {
        let person = self.person(email).await?;
        let now = self.services.context.clock.now();
        auth::issue(&self.services.keys, person, now, TOKEN_LIFETIME_SECONDS)
    }

    /// Whether the database has the newest schema.
    pub async fn is_ready(&self) -> Result<bool> {
        Ok(migrate::pending(&self.services.context.db).await? == 0)
    }

    async fn person(&self, email: &str) -> Result<UserId> {
        let email = text::email("email", email)?;
        let snapshot = self.services.context.db.read(Scope::Email(email.clone())).await?;
        let row = find_people().filter(user::Column::Email.eq(email)).one(&snapshot).await?;
        Ok(row.ok_or(Error::not_found("person"))?.id)
    }

    /// Binds the web server.
    pub async fn bind(&self) -> Result<Web> {
        let (server, listen) = (Server::new(self.services.clone()).await?, self.services.config.listen);
        let bound = Web::bind(listen, server).await;
        bound.map_err(|error| Error::invalid("BURSAR_LISTEN", format!("{listen} cannot be bound: {error}")))
    }

    /// Begins to do what time brings (see `schedule`), to deliver what is in the outbox, and to verify the books in
    /// the background.
    pub fn keep_time(&self) {
        self.schedule.start();
        self.services.courier.start();
        let Services { context, verifications, config, .. } = &*self.services;
        if let Some(interval) = config.verify {
            let begin = || Watching::start(context.clone(), verifications.clone(), Pace::every(interval));
            self.watching.get_or_init(begin);
        }
    }

    /// Finishes the sign-in links that were asked for, the timed work and the deliveries that are under way, the commands that wait and the writes that have
    /// begun, and closes the database.
    pub async fn close(&self) -> Result<()> {
        self.services.links.stop().await;
        self.schedule.stop().await;
        self.services.courier.stop().await;
        if let Some(watching) = self.watching.get() {
            watching.stop().await;
        }
        self.services.ledger.drain().await;
        self.services.hub.end();
        self.services.sessions.stop();
        self.services.context.db.close().await
    }
}

fn bus(address: &BusAddress) -> Bus {
    match address {
        BusAddress::Process => Bus::Process,
        BusAddress::Postgres => Bus::postgres(),
        BusAddress::Nats(url) => Bus::nats(url.expose_secret().to_owned()),
    }
}

fn signing_secret(config: &Config) -> Result<SecretString> {
    match &config.signing_secret {
        Some(secret) => Ok(secret.clone()),
        None => auth::load_or_create_secret(&config.data_dir),
    }
}

/// Makes the directory of a SQLite file in the data directory.
fn create_directory(config: &Config) -> Result<()> {
    make_data_dir(&config.data_dir)
        .map_err(|error| Error::invalid("BURSAR_DATA_DIR", format!("cannot be made: {error}")))
}
