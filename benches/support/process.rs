//! Processes: Bursar's own, what it and the database use of the CPU, and what the disk can do.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::Measured;
use super::setting::Setting;

/// A running server.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: String,
    /// The token of somebody who may charge every tenant.
    pub token: String,
}

impl Server {
    /// Starts the release build on the database of a setting.
    pub async fn start(setting: &Setting) -> Server {
        Server::run(Command::new(env!("CARGO_BIN_EXE_bursar")), &["serve"], setting).await
    }

    /// Starts this bench itself as a server, which it is when its first argument is `stock`.
    pub async fn stock(setting: &Setting) -> Server {
        Server::run(Command::new(std::env::current_exe().unwrap()), &["stock"], setting).await
    }

    async fn run(mut command: Command, arguments: &[&str], setting: &Setting) -> Server {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        command.args(arguments).env_clear().envs(setting.environment()).env("BURSAR_LISTEN", &address);
        let log = std::env::var("BURSAR_LOG").unwrap_or_else(|_| "warn".to_owned());
        command.env("BURSAR_LOG", log).current_dir(setting.dir());
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("explorer") {
                break;
            }
        }
        Server { child, address, token: setting.token().to_owned() }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// What it has used of the CPU, in microseconds.
    pub fn cpu(&self) -> f64 {
        stat(self.id()).map_or(0.0, |stat| stat.own)
    }

    /// What it has in memory, in bytes.
    pub fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
    }

    /// Stops it as a signal does.
    pub async fn stop(mut self) {
        let id = self.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
        assert!(self.child.wait().await.unwrap().success(), "the server did not stop well");
    }
}

/// The processes whose CPU is counted.
pub struct Cpu {
    /// Bursar.
    pub server: u32,
    /// The process that all of the database's come from.
    pub database: Option<u32>,
}

impl Cpu {
    /// Counts what the processes use while charges are made.
    pub async fn around(&self, charging: impl Future<Output = Measured>) -> Measured {
        let before = self.used();
        let began = Instant::now();
        let measured = charging.await;
        let (after, took) = (self.used(), began.elapsed());
        let each = |from: f64, to: f64| (to - from) / (measured.rate * took.as_secs_f64());
        let (server, database) = (each(before.0, after.0), each(before.1, after.1));
        Measured { server, database, ..measured }
    }

    fn used(&self) -> (f64, f64) {
        let server = stat(self.server).map_or(0.0, |stat| stat.own);
        (server, self.database.map_or(0.0, tree))
    }
}

/// What a process and its children that are gone have used, in microseconds, and its parent.
struct Stat {
    parent: u32,
    own: f64,
    gone: f64,
}

fn stat(id: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in brackets may have spaces in it.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    // A tick is a hundredth of a second.
    let micros = |from: usize| (ticks(from) + ticks(from + 1)) * 10_000.0;
    Some(Stat { parent: fields.get(1)?.parse().ok()?, own: micros(11), gone: micros(13) })
}

/// What a process and all its children have used.
pub fn tree(root: u32) -> f64 {
    let own = stat(root).map_or(0.0, |stat| stat.own + stat.gone);
    let children = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let stat = stat(entry.file_name().to_str()?.parse().ok()?)?;
        (stat.parent == root).then_some(stat.own)
    });
    own + children.sum::<f64>()
}

/// How often in a second 8 KiB can be written and synced, one after the other.
pub fn sync_rate() -> f64 {
    let mut file = tempfile::tempfile_in(std::env::temp_dir()).unwrap();
    let (began, mut count) = (Instant::now(), 0.0);
    while began.elapsed() < Duration::from_secs(2) {
        file.write_all(&[7; 8192]).unwrap();
        file.sync_data().unwrap();
        count += 1.0;
    }
    count / began.elapsed().as_secs_f64()
}
