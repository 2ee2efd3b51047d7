//! Asking Stripe: forms there, JSON back, bounded in time and size, with one key for what must happen once.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use super::objects::{Reason, Refusal};
use crate::config::StripeSettings;
use crate::error::{Error, Result};
use crate::payments::ProviderError;

/// The version of the API whose answers are understood here.
const VERSION: &str = "2024-06-20";
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take altogether.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer, in bytes: a hundred payments with all that Stripe says of each.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The longest of Stripe's words for a reason.
const WORD: usize = 64;

/// A form: names with brackets, and values.
pub(super) type Form<'a> = Vec<(&'a str, String)>;

/// Asks Stripe with the key of the account.
pub(super) struct Client {
    http: reqwest::Client,
    key: SecretString,
    url: Url,
}

impl Client {
    /// A client with these settings.
    pub(super) fn new(settings: &StripeSettings) -> Result<Client> {
        let http = reqwest::Client::builder()
            // The key goes nowhere else.
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .user_agent("bursar")
            .build();
        let http = http.map_err(|error| Error::internal(format!("no HTTP client: {error}")))?;
        Ok(Client { http, key: settings.secret_key.clone(), url: settings.url.clone() })
    }

    /// Reads.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ProviderError> {
        let mut url = self.address(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(self.http.get(url)).await
    }

    /// Has something done; with a key it is done once, however often it is asked for.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        key: Option<&str>,
        form: &[(&str, String)],
    ) -> Result<T, ProviderError> {
        let mut request = self.http.post(self.address(path)?).form(form);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(request).await
    }

    /// An address below the API's own. Names from outside stay within their part of the path.
    fn address(&self, path: &[&str]) -> Result<Url, ProviderError> {
        let mut url = self.url.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().push("v1").extend(path);
            }
            Err(()) => return Err(ProviderError::Unreachable("its address has no path".to_owned())),
        }
        Ok(url)
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ProviderError> {
        // The address may name what is asked for; it is known to whoever asks.
        let broken = |error: reqwest::Error| ProviderError::Unreachable(error.without_url().to_string());
        let request = request.bearer_auth(self.key.expose_secret()).header("stripe-version", VERSION);
        let mut response = request.send().await.map_err(broken)?;
        let (status, mut body) = (response.status(), Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > ANSWER_BYTES {
                return Err(ProviderError::Unreachable("its answer is too long".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            // What a parser says of it may repeat parts.
            return serde_json::from_slice(&body).map_err(|error| {
                ProviderError::Unreachable(format!("its answer has a fault of {:?}", error.classify()))
            });
        }
        Err(failure(status, &body))
    }
}

/// What an answer says that is no success.
fn failure(status: StatusCode, body: &[u8]) -> ProviderError {
    let reason = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.error).unwrap_or_default();
    let transient = [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
    // A key that is not taken is a fault of the settings: once they are right, the same can be asked again.
    let locked = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
    if locked {
        tracing::error!(status = status.as_u16(), "Stripe does not take the key of the account");
    }
    if locked || status.is_server_error() || transient.contains(&status) {
        return ProviderError::Unreachable(format!("it answers {}", status.as_u16()));
    }
    if status == StatusCode::NOT_FOUND || reason.code.as_deref() == Some("resource_missing") {
        return ProviderError::NotFound;
    }
    if reason.kind.as_deref() == Some("card_error") || status == StatusCode::PAYMENT_REQUIRED {
        return declined(reason);
    }
    let code = reason.code.or(reason.kind).unwrap_or_else(|| format!("status {}", status.as_u16()));
    ProviderError::Refused { code: word(&code) }
}

/// A payment that the buyer's bank has declined.
pub(super) fn declined(reason: Reason) -> ProviderError {
    let authentication = reason.wants_authentication();
    let payment = reason.payment_intent.as_ref().map(|intent| intent.id().to_owned());
    ProviderError::Declined { code: reason.word(), authentication, payment }
}

/// One of Stripe's words, as far as it is one. Those of messages have dots.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ' ' | '.');
    text.chars().filter(|c| plain(*c)).take(WORD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> ProviderError {
        failure(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn what_may_be_asked_again_is_told_from_what_may_not() {
        for status in [401, 403, 408, 409, 429, 500, 502, 503] {
            assert!(matches!(said(status, "{}"), ProviderError::Unreachable(_)), "{status}");
        }
        let body = r#"{"error": {"type": "idempotency_error", "message": "Keys for idempotent requests"}}"#;
        assert_eq!(said(400, body), ProviderError::Refused { code: "idempotency_error".to_owned() });
        assert_eq!(said(400, "<html>"), ProviderError::Refused { code: "status 400".to_owned() });
        assert_eq!(said(404, "{}"), ProviderError::NotFound);
        let body = r#"{"error": {"type": "invalid_request_error", "code": "resource_missing"}}"#;
        assert_eq!(said(400, body), ProviderError::NotFound);
    }

    #[test]
    fn declines_say_why() {
        let body = r#"{"error": {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds",
                       "payment_intent": {"id": "pi_1", "object": "payment_intent", "amount": 5}}}"#;
        let (code, payment) = ("insufficient_funds".to_owned(), Some("pi_1".to_owned()));
        assert_eq!(said(402, body), ProviderError::Declined { code, authentication: false, payment });
        let body = r#"{"error": {"type": "card_error", "code": "authentication_required"}}"#;
        let code = "authentication_required".to_owned();
        assert_eq!(said(402, body), ProviderError::Declined { code, authentication: true, payment: None });
    }

    #[test]
    fn names_stay_in_their_part_of_the_path() {
        let settings = StripeSettings {
            secret_key: SecretString::from("sk_1"),
            webhook_secrets: Vec::new(),
            url: "http://127.0.0.1:1/".parse().unwrap(),
        };
        let client = Client::new(&settings).unwrap();
        let url = client.address(&["payment_intents", "a/../b?c"]).unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:1/v1/payment_intents/a%2F..%2Fb%3Fc");
    }
}
