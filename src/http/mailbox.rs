//! The mailbox of a development server: what would have been sent, to be read and clicked through. There is none in
//! production, nor where a mail server takes the letters.
//!
//! Nobody signs in to read it, so it is shown under the server's own names only (see `rebinding`).
//!
//! A letter's HTML is shown in a frame that runs no scripts and is of no origin; its links open a new page.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use bursar_domain::id::DeliveryId;
use data_encoding::BASE64;

use super::{State, page};
use crate::config::Environment;
use crate::delivery::{LOGO, Letter, Mailbox, written};
use crate::global_id;

/// As other pages, with frames that the page itself holds. What a frame holds is bound by the same policy.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The page with all letters.
#[derive(Template)]
#[template(path = "mailbox.html")]
struct MailboxPage {
    letters: Vec<Line>,
}

/// A letter in the list.
struct Line {
    id: String,
    to: String,
    subject: String,
    at: String,
}

/// The page with one letter.
#[derive(Template)]
#[template(path = "letter.html")]
struct LetterPage<'a> {
    letter: &'a Letter,
    /// Its HTML, with the logo in it that would come beside it.
    html: String,
    from: String,
    at: String,
}

/// Shows all letters.
pub async fn list(Shared(state): Shared<Arc<State>>) -> Response {
    let Some(mailbox) = mailbox(&state) else { return page::not_found().await };
    let line = |letter: &Arc<Letter>| Line {
        id: global_id::encode(letter.id),
        to: letter.to.clone(),
        subject: letter.subject.clone(),
        at: written(letter.date),
    };
    let letters = mailbox.letters().iter().map(line).collect();
    page::render_under(StatusCode::OK, &MailboxPage { letters }, POLICY)
}

/// Shows one letter.
pub async fn show(Shared(state): Shared<Arc<State>>, id: Result<Path<String>, PathRejection>) -> Response {
    let id = id.ok().and_then(|Path(id)| global_id::decode::<DeliveryId>(&id));
    let letter = id.and_then(|id| mailbox(&state)?.letter(id));
    let Some(letter) = letter else { return page::not_found().await };
    let from = match &letter.from.name {
        Some(name) => format!("{name} <{}>", letter.from.address),
        None => letter.from.address.clone(),
    };
    let shown = LetterPage { letter: &letter, html: whole(&letter), from, at: written(letter.date) };
    page::render_under(StatusCode::OK, &shown, POLICY)
}

/// The HTML of a letter, with its logo.
fn whole(letter: &Letter) -> String {
    let Some(logo) = &letter.logo else { return letter.html.clone() };
    let address = format!("src=\"data:image/png;base64,{}\"", BASE64.encode(logo));
    letter.html.replace(&format!("src=\"cid:{LOGO}\""), &address)
}

/// The mailbox, when the server has one.
pub fn mailbox(state: &State) -> Option<&Mailbox> {
    let services = state.server.services();
    let development = services.config.environment == Environment::Development;
    services.courier.mailbox().filter(|_| development)
}
