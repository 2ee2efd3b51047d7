//! The cookie of a sign-in at an organization's identity provider: what the browser carries until it comes back.
//!
//! It is sealed, so the browser can neither read nor change it, and of no use to anybody but who has begun: whoever
//! is sent an answer to a sign-in of somebody else has no cookie that fits. It proves nothing about who calls, and
//! nothing but the end of a sign-in reads it.

use axum::http::{HeaderMap, HeaderValue, header};
use secrecy::ExposeSecret;

use super::State;
use crate::auth::issuers::Flow;
use crate::error::{Error, Result};

/// What is sealed is about this.
const ABOUT: &str = "single sign-on";
/// For how long a browser keeps it, in seconds.
const SECONDS: u32 = 600;

/// Its name. With the prefix no other host, and no page without TLS, can have set it.
fn name(state: &State) -> &'static str {
    if is_secure(state) { "__Host-bursar-sso" } else { "bursar-sso" }
}

fn is_secure(state: &State) -> bool {
    state.server.services().config.public_url.scheme() == "https"
}

/// The header that has a browser keep a flow.
pub fn keep(state: &State, flow: &Flow) -> Result<HeaderValue> {
    let text = serde_json::to_string(flow)
        .map_err(|error| Error::internal(format!("a flow cannot be written: {error}")))?;
    let sealed = state.server.services().keys.seal(ABOUT, &text)?;
    set(state, &data_encoding::BASE64URL_NOPAD.encode(&sealed), SECONDS)
}

/// The header that has a browser forget it.
pub fn forget(state: &State) -> Result<HeaderValue> {
    set(state, "", 0)
}

fn set(state: &State, value: &str, seconds: u32) -> Result<HeaderValue> {
    // It has to come along when the provider's page leads back, so not Strict.
    let secure = if is_secure(state) { "; Secure" } else { "" };
    let text = format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", name(state));
    let value = HeaderValue::from_str(&text).map(|mut value| {
        value.set_sensitive(true);
        value
    });
    value.map_err(|_| Error::internal("a cookie that is no header"))
}

/// The flow that a browser has kept.
pub fn read(state: &State, headers: &HeaderMap) -> Option<Flow> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pair = |pair: &str| {
        let (name, value) = pair.trim().split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let mut found = pairs.flat_map(|pairs| pairs.split(';')).filter_map(pair);
    let (_, value) = found.find(|(known, _)| known == name(state))?;
    let sealed = data_encoding::BASE64URL_NOPAD.decode(value.as_bytes()).ok()?;
    let text = state.server.services().keys.unseal(ABOUT, &sealed)?;
    serde_json::from_str(text.expose_secret()).ok()
}
