//! Receipts, invoices and credit notes, by the address that proves itself: a page that works without scripts, and the
//! same as a PDF. For browsers, which send no token with a download. Opening changes nothing.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;

use super::State;
use super::attachment::attachment;
use super::page::{self, Failure};
use crate::billing::{self, Content, DocumentLink};
use crate::error::{Error, Result};

/// The page.
#[derive(Template)]
#[template(path = "document.html")]
struct DocumentPage {
    path: String,
    document: Content,
}

/// The three parts of a document's address.
type Parts = std::result::Result<Path<(String, String, String)>, PathRejection>;

fn link(parts: Parts) -> DocumentLink {
    // What is not even text is the address of nothing, like any other that Bursar did not make.
    let (organization, document, token) = parts.map(|Path(parts)| parts).unwrap_or_default();
    DocumentLink { organization, document, token }
}

/// Shows the page.
pub async fn show(Shared(state): Shared<Arc<State>>, parts: Parts) -> Response {
    let link = link(parts);
    match find(&state, &link).await {
        Ok(document) => page::render(StatusCode::OK, &DocumentPage { path: link.path(), document }),
        Err(error) => page::failed(&error, &FAILURE),
    }
}

/// Sends the PDF.
pub async fn download(Shared(state): Shared<Arc<State>>, parts: Parts) -> Response {
    match file(&state, &link(parts)).await {
        Ok((name, file)) => attachment(Body::from(file), "application/pdf", &name),
        Err(error) => page::failed(&error, &FAILURE),
    }
}

async fn find(state: &State, link: &DocumentLink) -> Result<Content> {
    let services = state.server.services();
    let row = billing::find_document(&services.context, &services.keys, link).await?;
    Content::of(&row)
}

/// Name and content of the PDF.
async fn file(state: &State, link: &DocumentLink) -> Result<(String, Vec<u8>)> {
    let content = find(state, link).await?;
    let name = format!("{}.pdf", content.number);
    let written = tokio::task::spawn_blocking(move || billing::pdf(&content)).await;
    let file = written.map_err(|error| Error::internal(format!("a PDF could not be written: {error}")))??;
    Ok((name, file))
}

/// What is said when something fails.
const FAILURE: Failure = Failure {
    absent: ("No such document", "This address belongs to no document. Please open it from your account."),
    tried: "Too many addresses that belong to nothing were opened from here.",
    uncertain: "Please open this address again.",
    again: None,
    fault: "a document could not be shown",
};
