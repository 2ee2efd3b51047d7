//! Thousands of watchers on one server: memory a connection, CPU a pushed event, and the time from commit to
//! receipt, against the library's stock handler.
//!
//! Bursar and the stock handler are processes of their own; watchers are bare sockets of this process that read
//! everything and answer pings. Twenty commits a second, for SECONDS seconds. WATCHERS chooses other numbers than
//! 1000,5000,18000.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_arithmetic,
    missing_docs
)]

mod stock;
#[path = "../support/mod.rs"]
mod support;
mod watcher;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::load::Client;
use support::process::Server;
use support::setting::Setting;
use support::{at_least, at_most, number};
use tokio::sync::Semaphore;
use watcher::{Seen, Watcher};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The time between two commits.
const INTERVAL: Duration = Duration::from_millis(50);
/// How many watchers the stock handler has: it takes too much memory for more.
const STOCK: usize = 1_000;
/// How many watchers connect at a time.
const AT_ONCE: usize = 64;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("stock") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(stock::serve());
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if runtime.block_on(measure()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What was measured with some watchers.
struct Figures {
    /// Bytes of the server for each connection.
    memory: f64,
    /// CPU-microseconds of the server for each event, commits aside.
    event: f64,
    /// The 99th percentile of the time from commit to receipt, in milliseconds.
    p99: f64,
    /// Events that one watcher got, on average, for each commit.
    share: f64,
}

async fn measure() -> bool {
    let seconds = number("SECONDS", 10);
    let watchers = std::env::var("WATCHERS").unwrap_or_else(|_| "1000,5000,18000".to_owned());
    let watchers: Vec<usize> = watchers.split(',').map(|number| number.parse().unwrap()).collect();
    let setting = Setting::postgres(1, 0).await;
    let mut met = true;
    let stock = of_stock(&setting, STOCK, seconds).await;
    show("stock", STOCK, &stock);
    for (at, count) in watchers.iter().enumerate() {
        let shared = of_ours(&setting, *count, seconds, false).await;
        show("one view", *count, &shared);
        met &=
            at_most(&format!("{count} watchers, one view: KiB a connection"), shared.memory / 1024.0, 12.0);
        met &=
            at_most(&format!("{count} watchers, one view: CPU-us an event (stretch 8)"), shared.event, 15.0);
        if at == 0 {
            met &= at_most(
                &format!("{count} watchers, one view: p99 in ms from commit to receipt"),
                shared.p99,
                150.0,
            );
            met &= at_least("memory a connection, stock / ours", stock.memory / shared.memory, 1.0, "");
            met &= at_least("CPU an event, stock / ours", stock.event / shared.event, 1.0, "");
            let distinct = of_ours(&setting, *count, seconds, true).await;
            show("distinct views", *count, &distinct);
            met &= at_most(&format!("{count} watchers, distinct views: p99 in ms"), distinct.p99, 150.0);
        }
    }
    met
}

fn show(name: &str, count: usize, figures: &Figures) {
    println!(
        "{name}, {count} watchers: {:.1} KiB a connection, {:.1} CPU-us an event, p99 {:.1} ms, {:.2} events a commit (no aim)",
        figures.memory / 1024.0,
        figures.event,
        figures.p99,
        figures.share,
    );
}

/// Watches with Bursar, while one client charges.
async fn of_ours(setting: &Setting, count: usize, seconds: usize, distinct: bool) -> Figures {
    let server = Server::start(setting).await;
    let pool = setting.hot().remove(0).pool;
    let mut client = Client::open(&server.address, &server.token).await;
    // What the commits cost by themselves, once what is kept is warm.
    commits(&mut client, &pool, 2).await;
    let before = server.cpu();
    let alone = commits(&mut client, &pool, seconds).await.len() as f64;
    let a_commit = (server.cpu() - before) / alone;
    let empty = server.memory();
    let documents = (0..count).map(|number| {
        let version = if distinct { format!("version{number}: version") } else { "version".to_owned() };
        format!(
            r#"{{"query":"subscription W($id: ID!) {{ poolBalance(poolId: $id) {{ kind {version} balance {{ available }} pool {{ name }} transfers {{ id credits }} }} }}","variables":{{"id":"{pool}"}}}}"#
        )
    });
    let (stop, tasks) = watch(&server.address, &server.token, documents).await;
    let full = server.memory();
    // The first connection has been idle for too long.
    let mut client = Client::open(&server.address, &server.token).await;
    let before = server.cpu();
    let told = commits(&mut client, &pool, seconds).await;
    // The last events are on their way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = server.cpu() - before;
    let seen = gather(stop, tasks).await;
    let events: usize = seen.iter().map(Vec::len).sum();
    let mut times: Vec<f64> = Vec::new();
    for seen in &seen {
        assert!(
            seen.last().is_some_and(|(version, _)| *version == told.last().unwrap().0),
            "a watcher is behind"
        );
        let mut events = seen.iter().peekable();
        for (version, at) in &told {
            while events.next_if(|(seen, _)| seen < version).is_some() {}
            let (_, received) = events.peek().unwrap();
            times.push(received.saturating_duration_since(*at).as_secs_f64() * 1_000.0);
        }
    }
    times.sort_by(f64::total_cmp);
    server.stop().await;
    Figures {
        memory: (full - empty) / count as f64,
        event: (used - a_commit * told.len() as f64) / events as f64,
        p99: times[(times.len() - 1) * 99 / 100],
        share: events as f64 / (count * told.len()) as f64,
    }
}

/// Watches with the stock handler, whose server makes its events by itself.
async fn of_stock(setting: &Setting, count: usize, seconds: usize) -> Figures {
    let server = Server::stock(setting).await;
    let empty = server.memory();
    let document = r#"{"query":"subscription W($id: ID!) { poolBalance(poolId: $id) { kind version balance { available } pool { name } transfers { id credits } } }","variables":{"id":"pool_01h455vb4pex5vsknk084sn02q"}}"#;
    let documents = (0..count).map(|_| document.to_owned());
    let (stop, tasks) = watch(&server.address, &server.token, documents).await;
    let full = server.memory();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, began) = (server.cpu(), Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
    let (used, until) = (server.cpu() - before, Instant::now());
    let seen = gather(stop, tasks).await;
    let events = seen.iter().flatten().filter(|(_, at)| *at > began && *at <= until).count();
    server.stop().await;
    let memory = (full - empty) / count as f64;
    Figures { memory, event: used / events as f64, p99: f64::NAN, share: f64::NAN }
}

/// Charges at the interval; answers the versions and when each was acknowledged.
async fn commits(client: &mut Client, pool: &str, seconds: usize) -> Vec<(i64, Instant)> {
    let mut interval = tokio::time::interval(INTERVAL);
    let until = Instant::now() + Duration::from_secs(seconds as u64);
    let mut told = Vec::new();
    while Instant::now() < until {
        interval.tick().await;
        let key = format!("{:?}", Instant::now());
        let key: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
        let body = client.charge(pool, &key).await;
        let at = Instant::now();
        let body = String::from_utf8_lossy(&body);
        let balance = &body[body.find("\"balance\":").unwrap()..];
        let version = watcher::number_after(balance, "\"version");
        told.push((version.unwrap(), at));
    }
    told
}

type Watching = (tokio::sync::watch::Sender<bool>, Vec<tokio::task::JoinHandle<Seen>>);

/// Connects watchers, each of which watches from then on; answers when all have their first event.
async fn watch(address: &str, token: &str, documents: impl Iterator<Item = String>) -> Watching {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (places, all) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(0)));
    let tasks: Vec<_> = documents
        .map(|document| {
            let (places, all, stopped) = (places.clone(), all.clone(), stopped.clone());
            let (address, token) = (address.to_owned(), token.to_owned());
            tokio::spawn(async move {
                let place = places.acquire().await.unwrap();
                let watcher = Watcher::open(&address, &token, &document).await;
                drop((place, document, address, token));
                all.add_permits(1);
                watcher.watch(stopped).await
            })
        })
        .collect();
    let _ = all.acquire_many(u32::try_from(tasks.len()).unwrap()).await.unwrap();
    (stop, tasks)
}

async fn gather(
    stop: tokio::sync::watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<Seen>>,
) -> Vec<Seen> {
    stop.send(true).unwrap();
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(task.await.unwrap());
    }
    seen
}
