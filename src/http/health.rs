//! Health: whether the process lives, and whether it can serve.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::State;
use crate::db::migrate;

/// The process lives.
pub async fn live() -> Json<serde_json::Value> {
    Json(json!({ "status": "live" }))
}

/// The server can serve: it is not stopping, its database answers and has the newest schema.
pub async fn ready(Shared(state): Shared<Arc<State>>) -> Response {
    let not = |reason: &str| {
        let body = Json(json!({ "status": "not ready", "reason": reason }));
        (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
    };
    if state.stop.is_cancelled() {
        return not("stopping");
    }
    let db = &state.server.services().context.db;
    if let Err(error) = db.ping().await {
        tracing::warn!(%error, "the database does not answer");
        return not("database");
    }
    match migrate::pending(db).await {
        Ok(0) => Json(json!({ "status": "ready" })).into_response(),
        Ok(_) => not("migrations are pending"),
        Err(error) => {
            tracing::warn!(%error, "migrations cannot be read");
            not("database")
        }
    }
}
