//! Accepting connections, with bounds on what one may take: a client that never finishes its headers, or never
//! takes its answer, is let go.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stalled::Unstalled;

/// How long a client may take for the headers of a request, or keep a connection without one.
const HEADERS: Duration = Duration::from_secs(30);
/// How long a client may take nothing of what is sent to it.
const STALLED: Duration = Duration::from_secs(12);
/// How much of a request's head is read at most, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// How long to wait when the system has no more sockets.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Serves connections until `stop` says so; then waits for those with a request under way, at most for `grace`.
/// Answers whether all have ended by themselves.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken, grace: Duration) -> bool {
    let connections = TaskTracker::new();
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
        let service = TowerToHyperService::new(tower_service(router.clone(), peer));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(HEAD_BYTES);
        let io = TokioIo::new(Unstalled::new(socket, STALLED));
        let connection = builder.serve_connection(io, service).with_upgrades();
        let stop = stop.clone();
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let outcome = tokio::select! {
                outcome = connection.as_mut() => outcome,
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

/// The router, told who the client is.
fn tower_service(
    router: Router,
    peer: SocketAddr,
) -> impl tower_service::Service<
    hyper::Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send,
> + Clone {
    tower::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut router = router.clone();
        async move { tower_service::Service::call(&mut router, request).await }
    })
}
