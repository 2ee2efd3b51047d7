//! The binary as a process of its own, beside the server that a test runs in itself.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{Client, TestDatabase, World};

/// A running `bursar serve`.
pub struct Process {
    child: Child,
    /// Its address.
    pub base: String,
    _dir: tempfile::TempDir,
}

/// The binary with the settings for a database; its tokens are those of the test's own servers.
fn bursar(database: &TestDatabase, dir: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
    command.env_clear().current_dir(dir.path()).stdin(Stdio::null());
    command.env("DATABASE_URL", &database.addresses.application);
    if let Some(migration) = &database.addresses.migration {
        command.env("BURSAR_MIGRATE_DATABASE_URL", migration);
    }
    command.env("BURSAR_SIGNING_SECRET", "a secret for tests, 32 bytes long").env("BURSAR_LOG", "off");
    command
}

/// Runs `bursar verify` on a database; whether its status was 0, and what it said.
pub async fn verify(database: &TestDatabase) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let output = bursar(database, &dir).arg("verify").output().await.unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.success(), said.concat())
}

impl Process {
    /// Starts the binary on a database.
    pub async fn start(database: &TestDatabase) -> Process {
        Process::start_with(database, &[]).await
    }

    /// Starts it with more settings.
    pub async fn start_with(database: &TestDatabase, settings: &[(&str, &str)]) -> Process {
        let dir = tempfile::tempdir().unwrap();
        let mut command = bursar(database, &dir);
        command.arg("serve");
        command.env("BURSAR_LISTEN", "127.0.0.1:0").env("BURSAR_PUBLIC_URL", "http://bursar.test");
        command.envs(settings.iter().copied());
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        while !said.contains("explorer") {
            said += &lines.next_line().await.unwrap().expect("the server does not start");
        }
        let base = said.split_whitespace().find(|word| word.starts_with("http://127.0.0.1:")).unwrap();
        Process { child, base: base.to_owned(), _dir: dir }
    }

    /// Whether it says that it can serve.
    pub async fn is_ready(&self) -> bool {
        let anonymous = Client::new(&self.base, None);
        anonymous.open(&anonymous.url("/health/ready")).await.0 == 200
    }

    /// Ends it at once, as a crash does.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// A client of it who is the person with an address.
    pub async fn client(&self, world: &World, email: &str) -> Client {
        Client::new(&self.base, Some(world.app.token(email).await.unwrap()))
    }
}
