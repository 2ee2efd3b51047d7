//! Clients: each has a connection of its own and charges one after the other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::Measured;
use super::process::Server;

/// A pool to charge.
#[derive(Clone)]
pub struct Target {
    /// Its global id.
    pub pool: String,
}

/// Whether a text is part of another.
fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

const DOCUMENT: &str = "mutation Charge($input: ChargeCreditsInput!) { chargeCredits(input: $input) { \
                        charge { id credits version createdAt } balance { available version } replayed \
                        userErrors { __typename code message field } } }";

/// A connection.
pub struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    address: String,
    bearer: String,
}

impl Client {
    /// Opens a connection. Without a token nobody calls.
    pub async fn open(address: &str, token: &str) -> Client {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Client { sender, address: address.to_owned(), bearer: format!("Bearer {token}") }
    }

    /// Sends a body; answers status and body.
    async fn post(&mut self, body: String) -> (u16, Bytes) {
        let mut request = hyper::Request::post("/graphql")
            .header("host", &self.address)
            .header("content-type", "application/json");
        if !self.bearer.ends_with(' ') {
            request = request.header("authorization", &self.bearer);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        // The last answer may have been read before the connection has noticed.
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    }

    /// Sends a mutation, which must be accepted: the body of the answer begins so, and has no user errors.
    pub async fn mutate(&mut self, body: String, begins: &str) -> Bytes {
        let (status, body) = self.post(body).await;
        let accepted =
            status == 200 && body.starts_with(begins.as_bytes()) && contains(&body, br#""userErrors":[]}}"#);
        assert!(accepted, "{status}: {}", String::from_utf8_lossy(&body));
        body
    }

    /// Sends a query, whose answer must contain some text; answers the body.
    pub async fn query(&mut self, query: &str, variables: &Value, expected: &str) -> Bytes {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let (status, body) = self.post(body).await;
        let answered =
            status == 200 && contains(&body, expected.as_bytes()) && !contains(&body, br#""errors""#);
        assert!(answered, "{query}: {status}: {}", String::from_utf8_lossy(&body));
        body
    }

    /// Makes one charge, which must be accepted; answers the body.
    pub async fn charge(&mut self, pool: &str, key: &str) -> Bytes {
        self.mutate(charge_body(pool, key), CHARGED).await
    }
}

/// How the answer to a charge begins that was accepted, up to the end of the prefix of its id.
const CHARGED: &str = r#"{"data":{"chargeCredits":{"charge":{"id":"charge_"#;

/// The body of a request for one charge. Nothing in it needs to be escaped.
fn charge_body(pool: &str, key: &str) -> String {
    format!(
        r#"{{"query":"{DOCUMENT}","variables":{{"input":{{"poolId":"{pool}","lines":[{{"service":"FURNITURE_REMOVAL"}}],"idempotencyKey":"{key}"}}}}}}"#
    )
}

/// What clients send in which turn; none when there is nothing left to do.
pub type Bodies = Arc<dyn Fn(usize) -> Option<String> + Send + Sync>;

/// Lets clients send one mutation after the other, for some seconds or until nothing is left to do. The ids of
/// what they have made are added to `made`: they follow `begins`, with which each answer must begin.
pub async fn mutate_for(
    server: &Server,
    (clients, seconds): (usize, usize),
    begins: &'static str,
    bodies: Bodies,
    made: &Mutex<Vec<String>>,
) -> Measured {
    let (stop, turn) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Client::open(&server.address, &server.token).await);
    }
    let began = Instant::now();
    let tasks = connections.into_iter().map(|mut client| {
        let (stop, turn, bodies) = (stop.clone(), turn.clone(), bodies.clone());
        tokio::spawn(async move {
            let (mut times, mut ids) = (Vec::new(), Vec::new());
            while !stop.load(Ordering::Relaxed) {
                let Some(body) = bodies(turn.fetch_add(1, Ordering::Relaxed)) else { break };
                let began = Instant::now();
                let answer = client.mutate(body, begins).await;
                times.push(began.elapsed());
                let rest = &answer[begins.len()..];
                let end = rest.iter().position(|byte| *byte == b'"').unwrap();
                ids.push(String::from_utf8_lossy(&rest[..end]).into_owned());
            }
            (times, ids)
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let until = began + Duration::from_secs(seconds as u64);
    // Whoever has nothing left to do is done earlier.
    while Instant::now() < until && tasks.iter().any(|task| !task.is_finished()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        let (of_one, ids) = task.await.unwrap();
        times.extend(of_one);
        made.lock().unwrap().extend(ids);
    }
    summary(times, began.elapsed())
}

/// Lets clients send the same body for some seconds; the answer must contain some text.
pub async fn send_for(
    server: &Server,
    token: &str,
    body: &'static str,
    expected: &'static str,
    (clients, seconds): (usize, usize),
) -> Measured {
    let stop = Arc::new(AtomicBool::new(false));
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Client::open(&server.address, token).await);
    }
    let began = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|mut client| {
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let (status, body) = client.post(body.to_owned()).await;
                    let answered = status == 200 && contains(&body, expected.as_bytes());
                    assert!(answered, "{status}: {}", String::from_utf8_lossy(&body));
                    times.push(began.elapsed());
                }
                times
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    summary(times, began.elapsed())
}

/// Lets clients charge the targets in turn for some seconds.
pub async fn charge_for(server: &Server, targets: &[Target], clients: usize, seconds: usize) -> Measured {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    let (stop, turn) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let targets: Arc<[Target]> = targets.into();
    let mut tasks = Vec::new();
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Client::open(&server.address, &server.token).await);
    }
    let began = Instant::now();
    for (number, mut client) in connections.into_iter().enumerate() {
        let (stop, turn, targets) = (stop.clone(), turn.clone(), targets.clone());
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let turn = turn.fetch_add(1, Ordering::Relaxed);
                let key = format!("{run}-{number}-{turn}");
                let began = Instant::now();
                // Spread without a pattern: a stride that shares no factor with their number.
                client.charge(&targets[turn.wrapping_mul(7_919) % targets.len()].pool, &key).await;
                times.push(began.elapsed());
            }
            times
        }));
    }
    tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    summary(times, began.elapsed())
}

/// One client charges one target, one after the other.
pub async fn charge_serially(server: &Server, target: &Target, seconds: usize) -> Measured {
    charge_for(server, std::slice::from_ref(target), 1, seconds).await
}

/// Rate and percentiles of what took these times within a time.
pub fn summary(mut times: Vec<Duration>, within: Duration) -> Measured {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1_000.0;
    let rate = times.len() as f64 / within.as_secs_f64();
    Measured { rate, p50: at(50), p99: at(99), ..Measured::default() }
}
