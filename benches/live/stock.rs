//! A subscription of the same shape behind the library's stock WebSocket handler: each subscriber's selection is
//! executed and written by itself. Its events come twenty times a second, out of memory.

use std::time::Duration;

use async_graphql::{EmptyMutation, ID, Object, Schema, SimpleObject, Subscription};
use async_graphql_axum::GraphQLSubscription;
use axum::Router;
use bursar::config::Config;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::broadcast;

#[derive(Clone, SimpleObject)]
struct PoolBalanceEvent {
    kind: &'static str,
    version: i64,
    balance: Balance,
    pool: Pool,
    transfers: Vec<Transfer>,
}

#[derive(Clone, SimpleObject)]
struct Balance {
    available: i64,
}

#[derive(Clone, SimpleObject)]
struct Pool {
    name: String,
}

#[derive(Clone, SimpleObject)]
struct Transfer {
    id: ID,
    credits: i64,
}

struct Query;

#[Object]
impl Query {
    async fn nothing(&self) -> bool {
        false
    }
}

struct Events(broadcast::Sender<PoolBalanceEvent>);

fn event(kind: &'static str, version: i64) -> PoolBalanceEvent {
    PoolBalanceEvent {
        kind,
        version,
        balance: Balance { available: 1_000_000_000 - version },
        pool: Pool { name: "Pool 0".to_owned() },
        transfers: vec![Transfer {
            id: ID(format!("transfer_01h455vb4pex5vsknk084sn02q_{version}")),
            credits: 1,
        }],
    }
}

#[Subscription]
impl Events {
    async fn pool_balance(&self, pool_id: ID) -> impl Stream<Item = PoolBalanceEvent> {
        assert!(!pool_id.is_empty());
        let events = stream::unfold(self.0.subscribe(), |mut events| async move {
            loop {
                match events.recv().await {
                    Ok(event) => return Some((event, events)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        stream::once(async { event("SNAPSHOT", 0) }).chain(events)
    }
}

/// Serves until the process is asked to stop.
pub async fn serve() {
    let listen = Config::load().unwrap().listen;
    let sender = broadcast::Sender::new(64);
    let schema = Schema::build(Query, EmptyMutation, Events(sender.clone())).finish();
    let router = Router::new().route_service("/graphql/ws", GraphQLSubscription::new(schema));
    let listener = tokio::net::TcpListener::bind(listen).await.unwrap();
    println!("explorer: there is none");
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(Duration::from_millis(50));
        for version in 1.. {
            interval.tick().await;
            // Nobody may be watching.
            let _ = sender.send(event("CHANGE", version));
        }
    });
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served.unwrap(),
        _ = terminate.recv() => {}
    }
}
