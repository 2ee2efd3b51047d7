//! Asking providers: bounded in time and size, without following them elsewhere.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use super::reach::{Reach, Resolver};
use crate::error::{Error, Result};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take altogether.
const PATIENCE: Duration = Duration::from_secs(8);
/// The longest answer, in bytes.
const ANSWER_BYTES: usize = 256 * 1024;

/// What a provider that does not answer as it should is called.
pub(super) fn unavailable(issuer: &str, what: &str, why: &dyn std::fmt::Display) -> Error {
    // Neither has a secret or a token in it: those are in bodies only.
    tracing::warn!(issuer, what, %why, "an identity provider cannot be asked");
    Error::Unavailable("The identity provider cannot be reached, or does not answer as it should.")
}

/// Asks providers.
pub(super) struct Fetcher {
    http: Client,
    pub(super) reach: Reach,
}

/// What a provider has answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Vec<u8>,
}

impl Answer {
    /// The answer as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        // What a parser says of it may repeat parts.
        serde_json::from_slice(&self.body).map_err(|error| format!("{:?} in its JSON", error.classify()))
    }
}

impl Fetcher {
    /// Makes a client that goes so far.
    pub(super) fn new(reach: Reach) -> Result<Fetcher> {
        let http = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .user_agent("bursar")
            .dns_resolver(Arc::new(Resolver(reach)))
            .build();
        let http = http.map_err(|error| Error::internal(format!("no HTTP client: {error}")))?;
        Ok(Fetcher { http, reach })
    }

    /// A request that reads.
    pub(super) fn get(&self, url: &Url) -> RequestBuilder {
        self.http.get(url.clone())
    }

    /// A request that sends a form.
    pub(super) fn post(&self, url: &Url, form: &[(&str, &str)]) -> RequestBuilder {
        self.http.post(url.clone()).form(form)
    }

    /// Sends a request and takes its answer, whatever it says.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, String> {
        let asked = request.header("accept", "application/json").send().await;
        // The address is known, and may have a query.
        let mut response = asked.map_err(|error| error.without_url().to_string())?;
        let (status, mut body) = (response.status(), Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| error.without_url().to_string())? {
            if body.len() + chunk.len() > ANSWER_BYTES {
                return Err("its answer is too long".to_owned());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }

    /// Reads a document.
    pub(super) async fn document<T: DeserializeOwned>(&self, url: &Url) -> Result<T, String> {
        let answer = self.send(self.get(url)).await?;
        if answer.status != StatusCode::OK {
            return Err(format!("it answers {}", answer.status));
        }
        answer.json()
    }
}
