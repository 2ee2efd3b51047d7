//! What the server tells about itself, for Prometheus. Numbers only: no tenant, no person.

use axum::http::header;
use axum::response::IntoResponse;

use crate::telemetry;

/// All metrics in the text format of Prometheus.
pub async fn show() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, telemetry::metrics())
}
