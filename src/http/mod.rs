//! The web server: the GraphQL endpoint, the pages of approvals, checkouts, invitations, mail and signing in, exports, health. The only
//! room that sees axum.

mod accept;
mod approval;
mod approval_decisions;
mod approval_page;
mod approval_pay;
mod attachment;
mod body;
mod checkout;
mod client_address;
mod consent;
mod document;
mod explorer;
mod export;
mod export_link;
mod export_organization;
mod graphql;
mod health;
mod invitation;
mod mailbox;
mod metrics;
mod negotiate;
mod page;
mod payment_hook;
mod person_cookie;
mod rebinding;
mod request_id;
mod sign_in;
mod sso;
mod sso_cookie;
mod stalled;
mod stream;
mod tar;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Method, header};
use axum::middleware;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::graphql::Server;
use crate::telemetry;

/// How long open connections may take to end once the server is told to stop.
const GRACE: Duration = Duration::from_secs(20);

/// What the handlers share.
#[derive(Clone)]
struct State {
    server: Server,
    /// Ends when the server is told to stop: streams end, the server is no longer ready.
    stop: CancellationToken,
    /// The WebSockets that are open.
    sockets: TaskTracker,
}

/// A web server that is bound to its address and not yet serving.
pub struct Web {
    listener: tokio::net::TcpListener,
    state: State,
}

impl Web {
    /// Binds the address.
    pub async fn bind(address: std::net::SocketAddr, server: Server) -> std::io::Result<Web> {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let state = State { server, stop: CancellationToken::new(), sockets: TaskTracker::new() };
        Ok(Web { listener, state })
    }

    /// The address, with the port that the system chose when 0 was asked for.
    pub fn address(&self) -> std::io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` says so; then finishes what has begun, within a bound.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
        let (state, token) = (self.state.clone(), self.state.stop.clone());
        let stopped = {
            let token = token.clone();
            async move {
                stop.await;
                token.cancel();
            }
        };
        tokio::spawn(stopped);
        let proxies = state.server.services().config.trusted_proxies.clone().into();
        tokio::select! {
            ended = accept::serve((self.listener, proxies), router(state), token, GRACE) => if !ended {
                tracing::warn!("connections were still open at the end of the grace period");
            },
            () = telemetry::sum_up() => {},
        }
        self.state.sockets.close();
        // Upgraded connections are not axum's any more.
        let _ = tokio::time::timeout(GRACE, self.state.sockets.wait()).await;
        Ok(())
    }
}

fn router(state: State) -> Router {
    let state = Arc::new(state);
    Router::new()
        .route("/", get(explorer::home))
        .merge(api(&state))
        .route("/graphql/ws", get(websocket::upgrade))
        .route("/approval/{link}", get(approval::show).post(approval::answer))
        .route("/checkout/{organization}/{payment}/{token}", get(checkout::show))
        .route("/checkout/{organization}/{payment}/{token}/pay", get(checkout::back).post(checkout::pay))
        .route(
            "/checkout/{organization}/{payment}/{token}/cancel",
            get(checkout::back).post(checkout::cancel),
        )
        .route("/checkout/{organization}/{payment}/{token}/done", get(checkout::done))
        .route("/checkout/{organization}/{payment}/{token}/back", get(checkout::back))
        .merge(mail(&state))
        .route("/invitation/{link}", get(invitation::show).post(invitation::accept))
        .route("/sso", get(sso::show).post(sso::find))
        .route("/sso/{organization}", get(sso::begin))
        .route("/sso/{organization}/callback", get(sso::finish))
        .route("/sign-in", get(sign_in::show).post(sign_in::ask))
        .route("/sign-in/{link}", get(sign_in::show_link).post(sign_in::redeem))
        .route("/export/audit", get(export::audit_log))
        .route("/export/organization", get(export_organization::everything))
        .route("/export/organization/{link}", get(export_link::download))
        .route("/document/{organization}/{document}/{token}", get(document::show))
        .route("/document/{organization}/{document}/{token}/pdf", get(document::download))
        .route("/consent/{organization}/{method}/{token}", get(consent::show).post(consent::answer))
        .route("/consent/{organization}/{method}/{token}/{end}", get(consent::back))
        .route("/payments/stripe", post(payment_hook::stripe))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::show))
        .fallback(page::not_found)
        .method_not_allowed_fallback(page::not_allowed)
        .with_state(state)
}

/// The mailbox of a development server: nobody signs in to read it, so it is shown under the server's own names only.
fn mail(state: &Arc<State>) -> Router<Arc<State>> {
    Router::new()
        .route("/mailbox", get(mailbox::list))
        .route("/mailbox/{id}", get(mailbox::show))
        .method_not_allowed_fallback(page::not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(state), rebinding::own_names_only))
}

/// The endpoints that pages of other origins may use, as far as the settings name them.
fn api(state: &State) -> Router<Arc<State>> {
    let origins = &state.server.services().config.allowed_origins;
    let mut api = Router::new()
        .route("/graphql", post(graphql::post).get(graphql::get))
        .route("/graphql/stream", post(stream::post).get(stream::get))
        // Before the layer, which has to be around it: a browser's preflight is a method that is not allowed.
        .method_not_allowed_fallback(page::not_allowed);
    // Without other origins browsers need not be told about them, with every answer.
    if !origins.is_empty() {
        let origins = origins.iter().map(|origin| HeaderValue::from_str(&origin.ascii_serialization()));
        let cors = CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins.flatten()))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::ACCEPT])
            .expose_headers([request_id::HEADER.clone(), header::RETRY_AFTER])
            .max_age(Duration::from_secs(3_600));
        api = api.layer(cors);
    }
    api.route("/assets/explorer/{*path}", get(explorer::asset))
}
