//! The explorer: GraphiQL, built by npm from `console/` and embedded in the binary when it was there at build
//! time. Without it the page says how to build it; the server is the same.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use rust_embed::RustEmbed;

use super::{State, page};

/// What npm has built. In debug builds files are read from the folder when they are asked for.
#[derive(RustEmbed)]
#[folder = "console/dist"]
#[allow_missing = true]
struct Built;

/// What runs comes from this server and from nowhere else. The editor puts styles into the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src data:; font-src 'self'; connect-src 'self'; worker-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The way to the explorer.
pub async fn home() -> Response {
    page::secured(Redirect::temporary("/graphql").into_response(), page::REDIRECT_POLICY)
}

/// The page.
pub fn page(state: &State) -> Response {
    let config = &state.server.services().config;
    if let Some(file) = Built::get("index.html") {
        let mut response = (StatusCode::OK, file.data.into_owned()).into_response();
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        return page::secured(response, POLICY);
    }
    page::message(
        StatusCode::OK,
        "The explorer is not built in",
        &format!(
            "The API is here and works: send POST requests to {}. To have the explorer on this page, build it \
             with Node (in console: npm ci, then npm run build) and build the server again; scripts/run does \
             both.",
            config.link("/graphql"),
        ),
    )
}

/// What the explorer is made of. Names of scripts change with their content, so they may be kept for ever.
pub async fn asset(Path(path): Path<String>) -> Response {
    let Some(file) = Built::get(&path).filter(|_| path != "index.html") else {
        return page::not_found().await;
    };
    let kind = HeaderValue::from_str(file.metadata.mimetype());
    let mut response = file.data.into_owned().into_response();
    if let Ok(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    let mut response = page::secured(response, POLICY);
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, kept);
    response
}
