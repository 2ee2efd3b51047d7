//! Accepting connections, with bounds on what one may take: a client that never finishes its headers, or never
//! takes its answer, is let go.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, header};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::trace::TraceLayer;

use super::client_address::client_address;
use super::page;
use super::request_id::{self, Log, RequestId};
use super::stalled::Unstalled;
use crate::config::Network;

/// How long a connection may be of no use.
const USE: Use = Use { first: Duration::from_secs(30), next: Duration::from_secs(120) };
/// How long a client may take nothing of what is sent to it.
const STALLED: Duration = Duration::from_secs(12);
/// How much of a request's head is read at most, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// The shortest answer that is compressed, in bytes.
const COMPRESSED_BYTES: u64 = 1_024;
/// How long to wait when the system has no more sockets.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// How long a connection may be of no use.
#[derive(Clone, Copy)]
struct Use {
    /// From its beginning to the headers of its first request.
    first: Duration,
    /// From an answer to the headers of the next request. Whoever keeps connections for later must let go of them
    /// first, or its next request meets a closed one: 90 s are usual for clients, and 60 s for proxies.
    next: Duration,
}

/// Serves connections until `stop` says so; then waits for those with a request under way, at most for `grace`.
/// Answers whether all have ended by themselves. What the proxies say of where a request comes from is believed.
pub async fn serve(
    (listener, proxies): (TcpListener, Arc<[Network]>),
    router: Router,
    stop: CancellationToken,
    grace: Duration,
) -> bool {
    serve_within(USE, (listener, proxies), router, stop, grace).await
}

/// Serves as [`serve`] does, with bounds of the caller's.
async fn serve_within(
    patience: Use,
    (listener, proxies): (TcpListener, Arc<[Network]>),
    router: Router,
    stop: CancellationToken,
    grace: Duration,
) -> bool {
    let connections = TaskTracker::new();
    // Around all of the router at once: a layer of the router would box each of its routes once more.
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http().make_span_with(Log).on_request(()).on_response(Log))
        // Short answers are longer compressed, and events would wait for each other.
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(COMPRESSED_BYTES).and(NotEvents)))
        .layer(CatchPanicLayer::custom(page::panicked))
        .service(router);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // One connection that is gone already, or no more file descriptors: the others go on.
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(EXHAUSTED).await;
                continue;
            }
        };
        // Events and answers are small, and waited for.
        let _ = socket.set_nodelay(true);
        let asked = Arc::new(AtomicBool::new(false));
        let service = TowerToHyperService::new(Entry {
            peer,
            proxies: Arc::clone(&proxies),
            asked: Arc::clone(&asked),
            inner: service.clone(),
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(patience.next).max_buf_size(HEAD_BYTES);
        let io = TokioIo::new(Unstalled::new(socket, STALLED));
        let connection = builder.serve_connection(io, service).with_upgrades();
        let stop = stop.clone();
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let outcome = tokio::select! {
                outcome = connection.as_mut() => outcome,
                () = never_asked(&asked, patience.first) => Ok(()),
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = outcome {
                tracing::debug!(%error, "a connection has failed");
            }
        });
    }
    drop(listener);
    connections.close();
    tokio::time::timeout(grace, connections.wait()).await.is_ok()
}

/// Ends when there was no request within so long, and else never.
async fn never_asked(asked: &AtomicBool, patience: Duration) {
    tokio::time::sleep(patience).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Whether an answer may be gathered before it is sent on.
#[derive(Clone, Copy)]
struct NotEvents;

impl Predicate for NotEvents {
    fn should_compress<B: Body>(&self, response: &Response<B>) -> bool {
        let kind = response.headers().get(header::CONTENT_TYPE);
        !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
    }
}

/// What a request meets first: it learns who the client is, and gets its id.
#[derive(Clone)]
struct Entry<S> {
    peer: SocketAddr,
    proxies: Arc<[Network]>,
    /// Whether there was a request on this connection.
    asked: Arc<AtomicBool>,
    inner: S,
}

impl<S, B> Service<Request<Incoming>> for Entry<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        let id = RequestId::new();
        let value = id.header();
        // Handlers are told who the client is, not by which proxy it has come.
        let client = client_address(request.headers(), self.peer.ip(), &self.proxies);
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(SocketAddr::new(client, self.peer.port())));
        extensions.insert(id);
        let answered = self.inner.call(request);
        Box::pin(async move {
            let mut response = answered.await?;
            response.headers_mut().insert(request_id::HEADER.clone(), value);
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const BOUNDS: Use = Use { first: Duration::from_secs(1), next: Duration::from_secs(3_600) };

    /// A connection to a server that answers, within its bounds.
    async fn connected(patience: Use) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        let stop = CancellationToken::new();
        tokio::spawn(serve_within(patience, (listener, Arc::new([])), router, stop, Duration::ZERO));
        TcpStream::connect(address).await.unwrap()
    }

    /// What the server says next; empty when it has closed the connection.
    async fn heard(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = vec![0; 4_096];
        let count =
            tokio::time::timeout(Duration::from_secs(60), stream.read(&mut bytes)).await.unwrap().unwrap();
        bytes.truncate(count);
        bytes
    }

    #[tokio::test]
    async fn a_connection_that_asks_nothing_is_let_go() {
        let mut silent = connected(BOUNDS).await;
        assert!(heard(&mut silent).await.is_empty());
        let mut slow = connected(BOUNDS).await;
        slow.write_all(&REQUEST[..20]).await.unwrap();
        assert!(heard(&mut slow).await.is_empty());
    }

    #[tokio::test]
    async fn a_connection_that_has_asked_is_kept_for_later() {
        let mut kept = connected(BOUNDS).await;
        for _ in 0..2 {
            kept.write_all(REQUEST).await.unwrap();
            let answer = heard(&mut kept).await;
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
            tokio::time::sleep(BOUNDS.first * 2).await;
        }
        let mut idle = connected(Use { next: BOUNDS.first, ..BOUNDS }).await;
        idle.write_all(REQUEST).await.unwrap();
        assert!(!heard(&mut idle).await.is_empty());
        assert!(heard(&mut idle).await.is_empty());
    }
}
