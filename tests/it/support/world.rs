//! A server with its database, and people to call it as.

use std::sync::Arc;

use bursar::app::App;
use bursar::auth;
use bursar::clock::Clock;
use bursar::config::{Config, Environment, LogFormat, Payments};
use bursar::graphql::Services;
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
    Config {
        environment: Environment::Development,
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: std::env::temp_dir(),
        database: database.addresses.clone(),
        connections: 16,
        public_url: "http://bursar.test".parse().unwrap(),
        signing_secret: Some(SecretString::from("a secret for tests, 32 bytes long")),
        payments: Payments::Sandbox,
        log: "warn".to_owned(),
        log_format: LogFormat::Text,
    }
}

impl World {
    /// Starts a server with demonstration data.
    pub async fn start(backend: Backend) -> World {
        World::start_at(backend, Clock::system()).await
    }

    /// Starts a server with a clock of the test's own.
    pub async fn start_at(backend: Backend, clock: Clock) -> World {
        let database = TestDatabase::migrated(backend).await;
        let app = App::open(config(&database), clock.clone()).await.unwrap();
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
