//! Signing in at a provider: the authorization code flow with PKCE (RFC 7636, S256), state and nonce.
//!
//! What belongs to one sign-in ([`Flow`]) is kept by the browser that has begun it, sealed (see `http/sso.rs`), and
//! by nobody else. The code is redeemed with the verifier that only this flow has; the identity token has to carry
//! the flow's nonce. What the token does not tell of the person is asked for with the access token.

use bursar_domain::id::{Id, OrganizationId};
use bursar_entity::identity_provider;
use data_encoding::BASE64URL_NOPAD;
use reqwest::StatusCode;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Url;
use url::form_urlencoded::byte_serialize;
use uuid::Uuid;

use super::claims::{self, Person, Purpose, Unchecked, invalid};
use super::fetch::unavailable;
use super::source::Known;
use super::{Issuers, Vouched, groups, key_set, unstated_email};
use crate::auth::Keys;
use crate::context::Context;
use crate::error::{Error, Result};

/// For how long a sign-in may take, in seconds.
const FLOW_SECONDS: i64 = 600;
/// The longest code and state that come back.
const PARAMETER_BYTES: usize = 4_096;

/// One sign-in, from its beginning to its end. It has no `Debug`: it has the verifier.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Flow {
    organization: Uuid,
    /// The revision of what is set of the provider.
    revision: i64,
    state: String,
    nonce: String,
    verifier: String,
    /// When it has begun, in microseconds.
    began_at: i64,
}

/// Where the browser goes, and what it carries until it comes back.
#[derive(Clone)]
pub struct Way {
    /// The provider's page.
    pub url: Url,
    /// The flow.
    pub flow: Flow,
}

/// What a browser has brought back from a provider.
#[derive(Clone, Copy)]
pub struct Brought<'b> {
    /// The address of this server's that it came back to.
    pub back: &'b str,
    /// The code.
    pub code: &'b str,
    /// Who gave it, as far as the answer says so.
    pub named: Option<&'b str>,
}

/// What a provider gives for a code.
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

impl Flow {
    /// The organization whose provider is asked.
    pub fn organization(&self) -> OrganizationId {
        OrganizationId::from_u128(self.organization.as_u128())
    }

    /// Whether what has come back belongs to this flow, and in time.
    pub fn is_answered_by(&self, context: &Context, state: &str) -> bool {
        let age = context.clock.now().micros().saturating_sub(self.began_at);
        let same: bool = self.state.as_bytes().ct_eq(state.as_bytes()).into();
        same && (0..FLOW_SECONDS * 1_000_000).contains(&age)
    }
}

/// What a secret at a provider is bound to.
pub fn about_secret(organization: OrganizationId) -> String {
    format!("client secret {}", Uuid::from_u128(organization.as_u128()))
}

fn random() -> Result<String> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).map_err(|error| Error::internal(format!("no randomness: {error}")))?;
    Ok(BASE64URL_NOPAD.encode(&random))
}

impl Issuers {
    /// Begins to sign somebody in who will come back to an address of this server's.
    pub async fn begin(
        &self,
        context: &Context,
        provider: &identity_provider::Model,
        back: &str,
    ) -> Result<Way> {
        let known = self.source(&provider.issuer).known(&context.clock).await?;
        let page = known.authorization.clone();
        let mut url = page.ok_or_else(|| unavailable(&provider.issuer, "its page", &"it has none"))?;
        let (state, nonce, verifier) = (random()?, random()?, random()?);
        let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(verifier.as_bytes()));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", back)
            .append_pair("scope", "openid email profile")
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let flow = Flow {
            organization: Uuid::from_u128(provider.organization_id.as_u128()),
            revision: provider.revision,
            state,
            nonce,
            verifier,
            began_at: context.clock.now().micros(),
        };
        Ok(Way { url, flow })
    }

    /// Redeems the code that a flow has brought back.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the code or what it is redeemed for is not good, [`Error::Stale`] when the
    /// provider's settings have changed since the flow began, [`Error::Unavailable`] when the provider cannot be
    /// asked.
    pub async fn redeem(
        &self,
        context: &Context,
        keys: &Keys,
        provider: &identity_provider::Model,
        flow: &Flow,
        brought: Brought<'_>,
    ) -> Result<Vouched> {
        let Brought { back, code, named } = brought;
        if provider.revision != flow.revision || provider.organization_id != flow.organization() {
            return Err(Error::Stale);
        }
        let known = self.source(&provider.issuer).known(&context.clock).await?;
        // One who answers in the place of another says another name (RFC 9207).
        let other =
            named.is_some_and(|name| name != provider.issuer) || (named.is_none() && known.names_itself);
        if other || code.is_empty() || code.len() > PARAMETER_BYTES {
            return Err(invalid());
        }
        let tokens = self.exchange(keys, &known, provider, flow, back, code).await?;
        let unchecked = Unchecked::read(&tokens.id_token).ok_or_else(invalid)?;
        let purpose = Purpose::SignIn { client: &provider.client_id, nonce: &flow.nonce };
        if unchecked.issuer != provider.issuer
            || !claims::is_usable(&unchecked.header, key_set::algorithm(provider.algorithm), purpose)
        {
            return Err(invalid());
        }
        let checked = self.checked(context, provider, &tokens.id_token, &unchecked, purpose).await?;
        let mut vouched = Vouched::new(provider, &checked);
        let lacks = vouched.email.is_none() || (provider.group_claim.is_some() && vouched.groups.is_none());
        let asked = match (lacks, &tokens.access_token, &known.userinfo) {
            (true, Some(access), Some(userinfo)) => Some(self.person(provider, userinfo, access).await?),
            _ => None,
        };
        if let Some(person) = &asked {
            // The answer of somebody else's token is somebody else.
            if person.sub != vouched.subject {
                return Err(invalid());
            }
            vouched.email = vouched.email.or_else(|| person.proven_email());
            vouched.groups = vouched.groups.or_else(|| groups(provider, person));
            vouched.name = vouched.name.or_else(|| person.name.clone());
        }
        // Only now it is known that nothing is said of whose address it is.
        let told = std::iter::once(&checked.person).chain(&asked);
        vouched.email = vouched.email.or_else(|| unstated_email(provider, told));
        Ok(vouched)
    }

    /// Gives the code, and takes the tokens.
    async fn exchange(
        &self,
        keys: &Keys,
        known: &Known,
        provider: &identity_provider::Model,
        flow: &Flow,
        back: &str,
        code: &str,
    ) -> Result<Tokens> {
        let (issuer, fetcher) = (&provider.issuer, &self.0.fetcher);
        let url = known.token.as_ref().ok_or_else(|| unavailable(issuer, "for tokens", &"it gives none"))?;
        let about = about_secret(provider.organization_id);
        let secret = match &provider.client_secret {
            None => None,
            Some(sealed) => {
                let lost = || Error::internal("a client secret was sealed with another signing secret");
                Some(keys.unseal(&about, sealed).ok_or_else(lost)?)
            }
        };
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", back),
            ("code_verifier", flow.verifier.as_str()),
        ];
        let in_header = secret.as_ref().filter(|_| !known.secret_in_body);
        if in_header.is_none() {
            form.push(("client_id", provider.client_id.as_str()));
        }
        if let Some(secret) = secret.as_ref().filter(|_| known.secret_in_body) {
            form.push(("client_secret", secret.expose_secret()));
        }
        let mut request = fetcher.post(url, &form);
        if let Some(secret) = in_header {
            // Both are encoded as in a form first (RFC 6749, section 2.3.1).
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(encoded(&provider.client_id), Some(encoded(secret.expose_secret())));
        }
        let answer = fetcher.send(request).await.map_err(|why| unavailable(issuer, "for tokens", &why))?;
        match answer.status {
            StatusCode::OK => answer.json().map_err(|why| unavailable(issuer, "for tokens", &why)),
            // The code is used up or somebody else's, or the secret is another one: the log says that it was no.
            status if status.is_client_error() => {
                tracing::warn!(issuer, %status, "an identity provider does not take a code");
                Err(invalid())
            }
            status => Err(unavailable(issuer, "for tokens", &status)),
        }
    }

    /// Asks who somebody is.
    async fn person(&self, provider: &identity_provider::Model, at: &Url, access: &str) -> Result<Person> {
        let fetcher = &self.0.fetcher;
        let failed = |why: String| unavailable(&provider.issuer, "who somebody is", &why);
        let answer = fetcher.send(fetcher.get(at).bearer_auth(access)).await.map_err(failed)?;
        match answer.status {
            StatusCode::OK => {
                let told: Value = answer.json().map_err(failed)?;
                // It does answer, and will answer the same again.
                serde_json::from_value(told).map_err(|_| invalid())
            }
            status => Err(failed(format!("it answers {status}"))),
        }
    }
}
