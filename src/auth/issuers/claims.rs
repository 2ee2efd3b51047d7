//! What a token of a provider's has to be: signed as the provider signs, by it, for us, now, and of the right kind.
//!
//! The algorithm is the one that is set for the provider, never the one that the token asks for; keys come from the
//! provider's own set, whatever the token brings along. `iss`, `aud`, `sub`, `exp` and `iat` must be there (the last one
//! says which of two tokens is newer, and so which groups count); `nbf` holds when it is. What is made for other ends
//! (logout tokens, say, or tokens that are bound to a key that the bearer would have to prove) is not taken for a proof of
//! who somebody is.

use bursar_domain::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::text;

/// The longest token that is looked at, in bytes. Some providers put many groups into theirs.
pub(super) const TOKEN_BYTES: usize = 16 * 1024;
/// How far two clocks may be apart, in seconds.
const LEEWAY: i64 = 30;
/// The longest subject, in bytes (OpenID Connect Core, section 2).
const SUBJECT_BYTES: usize = 255;
/// The most groups of a person that are looked at.
const GROUPS: usize = 1_000;

/// What whoever bears no good token is told, whatever is wrong with it.
pub(super) fn invalid() -> Error {
    Error::Unauthenticated("The token is not valid.")
}

/// What a token is shown for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose<'p> {
    /// To use the API.
    Api {
        /// Whom it has to be for.
        audience: &'p str,
    },
    /// To sign in.
    SignIn {
        /// Bursar's name at the provider.
        client: &'p str,
        /// What this sign-in has sent along.
        nonce: &'p str,
    },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn has(&self, audience: &str) -> bool {
        match self {
            Audience::One(one) => one == audience,
            Audience::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

/// What is there, whatever it is: null is not nothing.
fn present<'d, D: Deserializer<'d>>(source: D) -> std::result::Result<Option<Value>, D::Error> {
    Value::deserialize(source).map(Some)
}

/// A text; of whatever is no text there is none.
fn only_text<'d, D: Deserializer<'d>>(source: D) -> std::result::Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(source)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

/// What a provider says of a person, in a token or when it is asked.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Person {
    pub(super) sub: String,
    #[serde(default, deserialize_with = "only_text")]
    email: Option<String>,
    /// Some providers say it as a text.
    #[serde(default, deserialize_with = "present")]
    email_verified: Option<Value>,
    #[serde(default, deserialize_with = "only_text")]
    pub(super) name: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Person {
    /// The address, when the provider says that it is the person's.
    pub(super) fn proven_email(&self) -> Option<String> {
        let proven = match self.email_verified.as_ref()? {
            Value::Bool(proven) => *proven,
            Value::String(text) => text == "true",
            _ => false,
        };
        self.email.as_deref().filter(|_| proven).and_then(text::address)
    }

    /// Whether the provider says anything of whether the address is the person's.
    pub(super) fn says_whose_address_it_is(&self) -> bool {
        self.email_verified.is_some()
    }

    /// The address, whosever it is.
    pub(super) fn stated_email(&self) -> Option<String> {
        self.email.as_deref().and_then(text::address)
    }

    /// The groups that a claim names; `None`: there is no such claim.
    pub(super) fn groups(&self, claim: &str) -> Option<Vec<String>> {
        match self.others.get(claim)? {
            Value::String(one) => Some(vec![one.clone()]),
            Value::Array(many) => {
                Some(many.iter().filter_map(Value::as_str).take(GROUPS).map(str::to_owned).collect())
            }
            _ => None,
        }
    }
}

/// What a token says.
#[derive(Clone, Debug, Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: i64,
    nbf: Option<i64>,
    iat: Option<i64>,
    azp: Option<String>,
    nonce: Option<String>,
    /// Of tokens that their bearer has to prove a key for.
    cnf: Option<Value>,
    /// Of tokens that tell of events, like that somebody has signed out.
    events: Option<Value>,
    #[serde(flatten)]
    person: Person,
}

/// A good token.
pub(super) struct Checked {
    pub(super) person: Person,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// A token before anything of it has been checked: only to find out who may have made it.
pub(super) struct Unchecked {
    pub(super) header: Header,
    pub(super) issuer: String,
    audience: Audience,
    /// What it calls the person, when that could be a subject.
    pub(super) subject: Option<String>,
    pub(super) email: Option<String>,
}

#[derive(Deserialize)]
struct Peek {
    iss: String,
    aud: Audience,
    #[serde(default, deserialize_with = "only_text")]
    sub: Option<String>,
    #[serde(default, deserialize_with = "only_text")]
    email: Option<String>,
}

impl Unchecked {
    /// Reads a token that names an issuer by an address; `None`: it is no such token.
    pub(super) fn read(token: &str) -> Option<Unchecked> {
        if token.len() > TOKEN_BYTES {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        let body = token.split('.').nth(1)?;
        let body = data_encoding::BASE64URL_NOPAD.decode(body.as_bytes()).ok()?;
        let Peek { iss: issuer, aud: audience, sub, email } = serde_json::from_slice(&body).ok()?;
        let named = issuer.starts_with("https://") || issuer.starts_with("http://");
        let plain = issuer.len() <= super::reach::ADDRESS_BYTES && !issuer.chars().any(char::is_control);
        let subject = sub.filter(|subject| is_subject(subject));
        (named && plain).then_some(Unchecked { header, issuer, audience, subject, email })
    }

    /// Whether it says that it is for somebody.
    pub(super) fn is_for(&self, audience: &str) -> bool {
        self.audience.has(audience)
    }
}

/// Whether a header is one of a token of the right kind that asks for nothing unheard of.
pub(super) fn is_usable(header: &Header, algorithm: Algorithm, purpose: Purpose<'_>) -> bool {
    let kind = header.typ.as_deref().map(|kind| kind.to_ascii_lowercase());
    let kind = kind.as_deref().map(|kind| kind.strip_prefix("application/").unwrap_or(kind));
    let right = match (kind, purpose) {
        (None | Some("jwt"), _) => true,
        (Some("at+jwt"), Purpose::Api { .. }) => true,
        (Some(_), _) => false,
    };
    right && header.alg == algorithm && header.crit.is_none() && header.zip.is_none() && header.enc.is_none()
}

/// Why a token is not good.
pub(super) enum Flaw {
    /// No key that is known has signed it.
    Signature,
    /// Something else, whoever has signed it.
    Other(Error),
}

impl Flaw {
    /// What is said of it.
    pub(super) fn into_error(self) -> Error {
        match self {
            Flaw::Signature => invalid(),
            Flaw::Other(error) => error,
        }
    }
}

/// Whether a text can be what a provider calls a person.
fn is_subject(text: &str) -> bool {
    (1..=SUBJECT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Checks a token whose header has been found usable.
pub(super) fn check(
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
    issuer: &str,
    purpose: Purpose<'_>,
    now: Timestamp,
) -> Result<Checked, Flaw> {
    let audience = match purpose {
        Purpose::Api { audience } => audience,
        Purpose::SignIn { client, .. } => client,
    };
    let mut validation = Validation::new(algorithm);
    // The library asks the machine's clock; times are checked below, against ours.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    let decoded = jsonwebtoken::decode::<Claims>(token, key, &validation);
    let decoded = decoded.map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => Flaw::Signature,
        _ => Flaw::Other(invalid()),
    })?;
    let (claims, now) = (decoded.claims, now.micros().div_euclid(1_000_000));
    let whole = claims.iss == issuer
        && claims.aud.has(audience)
        && is_subject(&claims.person.sub)
        && claims.cnf.is_none()
        && claims.events.is_none();
    let of_the_kind = match purpose {
        Purpose::Api { .. } => true,
        // Of several audiences, the one that has asked for it is named.
        Purpose::SignIn { client, nonce } => {
            let alone = !matches!(&claims.aud, Audience::Many(many) if many.len() > 1);
            let party = claims.azp.as_deref();
            claims.nonce.as_deref() == Some(nonce) && (party == Some(client) || (party.is_none() && alone))
        }
    };
    let ahead = |at: Option<i64>| at.is_some_and(|at| at.saturating_sub(LEEWAY) > now);
    if !whole || !of_the_kind || ahead(claims.nbf) || ahead(claims.iat) {
        return Err(Flaw::Other(invalid()));
    }
    let issued_at = claims.iat.ok_or_else(|| Flaw::Other(invalid()))?;
    if claims.exp.saturating_add(LEEWAY) <= now {
        return Err(Flaw::Other(Error::Unauthenticated("The token has expired.")));
    }
    let issued_at = Timestamp::EPOCH.plus_seconds(issued_at);
    // What ends later than time itself ends with it.
    let expires_at = Timestamp::EPOCH.plus_seconds(claims.exp.min(i64::MAX / 1_000_000));
    Ok(Checked { person: claims.person, issued_at, expires_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn person(value: Value) -> Person {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_address_has_to_be_proven() {
        let proven = |verified: Value| {
            person(json!({ "sub": "s", "email": "A@b.test", "email_verified": verified })).proven_email()
        };
        assert_eq!(proven(json!(true)).as_deref(), Some("a@b.test"));
        assert_eq!(proven(json!("true")).as_deref(), Some("a@b.test"));
        for not in [json!(false), json!("false"), json!(""), json!(1), json!([true]), Value::Null] {
            assert_eq!(proven(not.clone()), None, "{not}");
            // Nor is it left open.
            let person = person(json!({ "sub": "s", "email": "A@b.test", "email_verified": not }));
            assert!(person.says_whose_address_it_is(), "{person:?}");
        }
        let open = person(json!({ "sub": "s", "email": "A@b.test" }));
        assert!(open.proven_email().is_none() && !open.says_whose_address_it_is());
        assert_eq!(open.stated_email().as_deref(), Some("a@b.test"));
    }

    #[test]
    fn what_is_no_text_is_neither_name_nor_address() {
        for odd in [json!(5), json!(["a@b.test"]), json!({}), Value::Null] {
            let person = person(json!({ "sub": "s", "name": odd, "email": odd, "email_verified": true }));
            assert_eq!((&person.name, person.proven_email()), (&None, None), "{odd}");
        }
    }

    #[test]
    fn groups_are_texts() {
        let of = |value: Value| person(json!({ "sub": "s", "groups": value })).groups("groups");
        assert_eq!(of(json!(["a", 1, "b"])), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(of(json!("a")), Some(vec!["a".to_owned()]));
        assert_eq!(of(json!([])), Some(Vec::new()));
        assert_eq!(of(json!({ "a": 1 })), None);
        assert_eq!(person(json!({ "sub": "s" })).groups("groups"), None);
    }

    #[test]
    fn kinds_are_told_apart() {
        let api = Purpose::Api { audience: "a" };
        let sign_in = Purpose::SignIn { client: "c", nonce: "n" };
        let usable = |kind: Option<&str>, purpose| {
            let mut header = Header::new(Algorithm::RS256);
            header.typ = kind.map(str::to_owned);
            is_usable(&header, Algorithm::RS256, purpose)
        };
        for kind in [None, Some("JWT"), Some("application/jwt")] {
            assert!(usable(kind, api) && usable(kind, sign_in), "{kind:?}");
        }
        for kind in ["at+jwt", "application/at+JWT"] {
            assert!(usable(Some(kind), api) && !usable(Some(kind), sign_in), "{kind}");
        }
        for kind in ["logout+jwt", "secevent+jwt", "dpop+jwt", "JWE", ""] {
            assert!(!usable(Some(kind), api) && !usable(Some(kind), sign_in), "{kind}");
        }
        let mut critical = Header::new(Algorithm::RS256);
        critical.crit = Some(vec!["b64".to_owned()]);
        assert!(!is_usable(&critical, Algorithm::RS256, api));
        assert!(!is_usable(&Header::new(Algorithm::HS256), Algorithm::RS256, api));
    }
}
