//! The same schema behind the library's stock handler, as its documentation shows it.

use std::sync::Arc;

use async_graphql_axum::{GraphQLRequest, GraphQLResponse};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::routing::post;
use bursar::app::App;
use bursar::clock::Clock;
use bursar::config::Config;
use bursar::graphql::{self, ApiSchema, Server, Session};

struct Stock {
    schema: ApiSchema,
    server: Server,
}

async fn handle(
    State(stock): State<Arc<Stock>>,
    headers: HeaderMap,
    request: GraphQLRequest,
) -> GraphQLResponse {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
    let bearer = bearer.map(|(_, token)| token.to_owned());
    let session = Session { bearer, origin: None, address: [127, 0, 0, 1].into() };
    let operation = stock.server.equip(request.into_inner(), &session).await.unwrap();
    stock.schema.execute(operation).await.into()
}

/// Serves until the process is asked to stop.
pub async fn serve() {
    let config = Config::load().unwrap();
    let listen = config.listen;
    let app = App::open(config, Clock::system()).await.unwrap();
    let server = Server::new(app.services().clone()).await.unwrap();
    let stock = Stock { schema: graphql::schema(true), server };
    let router = Router::new().route("/graphql", post(handle)).with_state(Arc::new(stock));
    let listener = tokio::net::TcpListener::bind(listen).await.unwrap();
    println!("explorer: there is none");
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served.unwrap(),
        _ = terminate.recv() => {}
    }
    app.close().await.unwrap();
}
