//! An acknowledged charge is on the disk: counted by the system calls of whoever writes it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use bursar::clock::Clock;
use bursar::db::Options;
use serde_json::json;
use tokio::process::{Child, Command};

use crate::support::postgres::{Instance, children};
use crate::support::{Backend, DEADLINE, Process, TestDatabase, World, run};

/// How many charges are made, one after the other.
const CHARGES: usize = 25;

/// Somebody who counts how often processes sync a file.
struct Watch {
    strace: Child,
    file: tempfile::NamedTempFile,
}

impl Watch {
    /// Watches processes, and all that they start from now on.
    async fn begin(processes: &[u32]) -> Watch {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("strace");
        command.args(["-f", "-q", "-e", "trace=fsync,fdatasync", "-o"]).arg(file.path());
        for id in processes {
            command.args(["-p", &id.to_string()]);
        }
        let strace = command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
        let strace = strace.expect("strace is missing; install it with: apt-get install strace");
        let began = Instant::now();
        for id in processes {
            while !traced(*id) {
                assert!(began.elapsed() < DEADLINE, "strace does not watch {id}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Watch { strace, file }
    }

    /// How many syncs there have been.
    async fn end(mut self) -> usize {
        let id = self.strace.id().unwrap().to_string();
        // It lets go of what it watches, and writes what it has seen.
        assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
        self.strace.wait().await.unwrap();
        let seen = std::fs::read_to_string(self.file.path()).unwrap();
        let done =
            |line: &&str| line.contains("sync(") && line.ends_with("= 0") || line.contains("sync resumed");
        seen.lines().filter(done).count()
    }
}

/// Whether somebody watches a process.
fn traced(id: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
}

/// Makes charges one after the other, and compares their number with the syncs meanwhile.
async fn syncs_per_charge(world: &World, server: &Process, writers: &[u32]) {
    let owner = server.client(world, "owner@demo.test").await;
    let demo = owner.demo().await;
    let charge = |key: String| json!({ "poolId": demo.pool, "lines": [{ "service": "FURNITURE_REMOVAL" }], "idempotencyKey": key });
    owner.charge(charge("warm".to_owned())).await;
    let watch = Watch::begin(writers).await;
    for number in 0..CHARGES {
        let answer = owner.charge(charge(format!("key-{number}"))).await;
        assert_eq!(answer["userErrors"], json!([]));
    }
    let syncs = watch.end().await;
    assert!(syncs >= CHARGES, "{syncs} syncs for {CHARGES} charges that were acknowledged");
}

#[test]
fn sqlite_syncs_every_serial_charge() {
    run(async {
        let world = World::start(Backend::Sqlite).await;
        let server = Process::start(&world.database).await;
        syncs_per_charge(&world, &server, &[server.id()]).await;
    });
}

#[test]
fn postgres_syncs_every_serial_charge() {
    run(async {
        let instance = Instance::start(&["log_min_messages=fatal"]);
        let database = TestDatabase::on(&instance).await;
        let world = World::start_on(database, Clock::system(), Options::default(), None).await;
        let server = Process::start(&world.database).await;
        let postmaster = instance.process_id();
        let mut writers = children(postmaster);
        writers.push(postmaster);
        syncs_per_charge(&world, &server, &writers).await;
    });
}
