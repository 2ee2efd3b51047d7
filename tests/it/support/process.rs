//! The binary as a process of its own, beside the server that a test runs in itself.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::{Client, DEADLINE, TestDatabase, World};

/// A running `bursar serve`.
pub struct Process {
    child: Child,
    /// Its address.
    pub base: String,
    _dir: tempfile::TempDir,
}

/// All that a process writes, to standard output and to standard error.
pub struct Recording([JoinHandle<Vec<u8>>; 2]);

impl Recording {
    /// Waits until nobody writes any more, and answers all that was written.
    pub async fn end(self) -> Vec<u8> {
        let mut all = Vec::new();
        for stream in self.0 {
            let written = tokio::time::timeout(DEADLINE, stream).await.expect("somebody goes on writing");
            all.extend(written.unwrap());
        }
        all
    }
}

/// What the servers of tests sign with.
pub const SIGNING_SECRET: &str = "a secret for tests, 32 bytes long";

/// The binary with the settings for a database; its tokens are those of the test's own servers.
fn bursar(database: &TestDatabase, dir: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
    command.env_clear().current_dir(dir.path()).stdin(Stdio::null());
    command.env("DATABASE_URL", &database.addresses.application);
    if let Some(migration) = &database.addresses.migration {
        command.env("BURSAR_MIGRATE_DATABASE_URL", migration);
    }
    command.env("BURSAR_SIGNING_SECRET", SIGNING_SECRET).env("BURSAR_LOG", "off");
    command
}

/// Runs `bursar token` on a database, and answers the token of the person with an address.
pub async fn token(database: &TestDatabase, email: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let output = bursar(database, &dir).args(["token", "--email", email]).output().await.unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs `bursar verify` on a database; whether its status was 0, and what it said.
pub async fn verify(database: &TestDatabase) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let output = bursar(database, &dir).arg("verify").output().await.unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.success(), said.concat())
}

/// Runs `bursar reconcile` on a database with more settings and arguments; its status, and what it said.
pub async fn reconcile(database: &TestDatabase, settings: &[(&str, &str)], more: &[&str]) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = bursar(database, &dir);
    let output = command.arg("reconcile").args(more).envs(settings.iter().copied()).output().await.unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.code().unwrap(), said.concat())
}

/// `bursar serve` on a database, with more settings.
fn serve(database: &TestDatabase, settings: &[(&str, &str)], dir: &tempfile::TempDir) -> Command {
    let mut command = bursar(database, dir);
    command.arg("serve");
    command.env("BURSAR_LISTEN", "127.0.0.1:0").env("BURSAR_PUBLIC_URL", "http://bursar.test");
    command.envs(settings.iter().copied());
    command.stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// Where a server says that it listens.
fn address(said: &str) -> String {
    said.split_whitespace().find(|word| word.starts_with("http://127.0.0.1:")).unwrap().to_owned()
}

impl Process {
    /// Starts the binary on a database.
    pub async fn start(database: &TestDatabase) -> Process {
        Process::start_with(database, &[]).await
    }

    /// Starts it with more settings.
    pub async fn start_with(database: &TestDatabase, settings: &[(&str, &str)]) -> Process {
        let dir = tempfile::tempdir().unwrap();
        let mut child = serve(database, settings, &dir).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        while !said.contains("explorer") {
            said += &lines.next_line().await.unwrap().expect("the server does not start");
        }
        Process { child, base: address(&said), _dir: dir }
    }

    /// Starts it with more settings, and keeps all that it writes.
    pub async fn start_recorded(database: &TestDatabase, settings: &[(&str, &str)]) -> (Process, Recording) {
        let dir = tempfile::tempdir().unwrap();
        let mut child = serve(database, settings, &dir).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = child.stderr.take().unwrap();
        // From the beginning: it waits when nobody reads.
        let errors = tokio::spawn(async move {
            let mut written = Vec::new();
            errors.read_to_end(&mut written).await.unwrap();
            written
        });
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("explorer") {
            assert_ne!(output.read_line(&mut said).await.unwrap(), 0, "the server does not start");
        }
        let base = address(&said);
        let output = tokio::spawn(async move {
            let mut written = said.into_bytes();
            output.read_to_end(&mut written).await.unwrap();
            written
        });
        (Process { child, base, _dir: dir }, Recording([output, errors]))
    }

    /// Ends it as an operator does, and waits until it has.
    pub async fn stop(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().await;
        assert!(asked.unwrap().success());
        let ended = tokio::time::timeout(DEADLINE, self.child.wait()).await.expect("it does not stop");
        assert!(ended.unwrap().success());
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
