//! Session tokens: JSON Web Tokens that Bursar issues itself, signed with HMAC-SHA-256 and nothing else.

use bursar_domain::Timestamp;
use bursar_domain::id::{Id, OrganizationId, SessionId, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Keys;
use crate::error::{Error, Result};

/// Who issues the tokens.
const ISSUER: &str = "bursar";
/// Whom they are for.
const AUDIENCE: &str = "bursar-api";
/// How far two clocks may be apart, in seconds.
const LEEWAY: i64 = 15;
/// For how long a token is good, in seconds.
pub const TOKEN_LIFETIME_SECONDS: i64 = 12 * 3600;

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    /// The session that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    /// The only organization that it is good in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    org: Option<String>,
}

impl Claims {
    /// The person.
    pub fn user(&self) -> Option<UserId> {
        self.sub.parse::<Uuid>().ok().map(|uuid| UserId::from_u128(uuid.as_u128()))
    }

    /// The session that it belongs to; none: it is good until it expires.
    pub fn session(&self) -> Option<SessionId> {
        let sid = self.sid.as_deref()?.parse::<Uuid>().ok()?;
        Some(SessionId::from_u128(sid.as_u128()))
    }

    /// The only organization that it is good in, because that organization's provider has said who it is; none: in
    /// all of the person's.
    pub fn within(&self) -> Option<OrganizationId> {
        let org = self.org.as_deref()?.parse::<Uuid>().ok()?;
        Some(OrganizationId::from_u128(org.as_u128()))
    }

    /// From when on the token is no longer good.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::EPOCH.plus_seconds(self.exp)
    }
}

/// Issues a token for a person, good for `lifetime` seconds from `now`, whatever becomes of the person's sessions:
/// for the command line of a development server.
pub fn issue(keys: &Keys, user: UserId, now: Timestamp, lifetime: i64) -> Result<String> {
    sign(keys, user, (None, None), now, now.plus_seconds(lifetime))
}

/// Issues a token of a session, good from `now` to `until` as long as the session is: in one organization only, or in
/// all of the person's.
pub(super) fn issue_for(
    keys: &Keys,
    user: UserId,
    (session, within): (SessionId, Option<OrganizationId>),
    now: Timestamp,
    until: Timestamp,
) -> Result<String> {
    sign(keys, user, (Some(session), within), now, until)
}

fn sign(
    keys: &Keys,
    user: UserId,
    (session, within): (Option<SessionId>, Option<OrganizationId>),
    now: Timestamp,
    until: Timestamp,
) -> Result<String> {
    let seconds = now.micros().div_euclid(1_000_000);
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: Uuid::from_u128(user.as_u128()).to_string(),
        iat: seconds,
        nbf: seconds,
        exp: until.micros().div_euclid(1_000_000),
        sid: session.map(|session| Uuid::from_u128(session.as_u128()).to_string()),
        org: within.map(|within| Uuid::from_u128(within.as_u128()).to_string()),
    };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(keys.token()))
        .map_err(|error| Error::internal(format!("a token could not be signed: {error}")))
}

/// Checks a token at an instant: signature, issuer, audience and times, all of which it must have.
pub fn verify(keys: &Keys, token: &str, now: Timestamp) -> Result<Claims> {
    let invalid = Error::Unauthenticated("The token is not valid.");
    let mut validation = Validation::new(Algorithm::HS256);
    // The library asks the machine's clock; times are checked below, against ours.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
    let decoded = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(keys.token()), &validation);
    let Ok(data) = decoded else { return Err(invalid) };
    let (claims, now) = (data.claims, now.micros().div_euclid(1_000_000));
    if claims.exp.saturating_add(LEEWAY) <= now {
        return Err(Error::Unauthenticated("The token has expired."));
    }
    // A session that cannot be read could not be asked for; nor could a bound that cannot be read bind.
    let unreadable = claims.sid.is_some() && claims.session().is_none()
        || claims.org.is_some() && claims.within().is_none();
    if claims.nbf.saturating_sub(LEEWAY) > now || unreadable { Err(invalid) } else { Ok(claims) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;
    use serde_json::json;

    fn keys() -> Keys {
        Keys::derive(&SecretString::from("k".repeat(32)))
    }

    fn check(token: &str) -> Result<Claims> {
        verify(&keys(), token, Timestamp::EPOCH.plus_seconds(now()))
    }

    fn now() -> i64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
    }

    fn signed(algorithm: Algorithm, claims: serde_json::Value) -> String {
        let key = EncodingKey::from_secret(keys().token());
        jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap()
    }

    #[test]
    fn a_token_comes_back_as_the_person() {
        let user = UserId::from_u128(42);
        let token = issue(&keys(), user, Timestamp::EPOCH.plus_seconds(now()), 60).unwrap();
        assert_eq!(check(&token).unwrap().user(), Some(user));
        let other = Keys::derive(&SecretString::from("x".repeat(32)));
        assert!(verify(&other, &token, Timestamp::EPOCH.plus_seconds(now())).is_err());
        assert!(check(&token[..token.len() - 2]).is_err());
    }

    #[test]
    fn a_token_says_its_session() {
        let (user, session) = (UserId::from_u128(42), SessionId::from_u128(7));
        let start = Timestamp::EPOCH.plus_seconds(now());
        let within = Some(OrganizationId::from_u128(8));
        let token = issue_for(&keys(), user, (session, within), start, start.plus_seconds(60)).unwrap();
        let claims = check(&token).unwrap();
        assert_eq!((claims.user(), claims.session(), claims.within()), (Some(user), Some(session), within));
        assert_eq!(claims.expires_at(), start.plus_seconds(60));
        let token = issue(&keys(), user, start, 60).unwrap();
        let claims = check(&token).unwrap();
        assert_eq!((claims.session(), claims.within()), (None, None));
    }

    #[test]
    fn every_claim_is_needed_and_checked() {
        let sub = Uuid::nil().to_string();
        let good = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": sub, "iat": now(), "nbf": now(), "exp": now() + 60 });
        assert!(check(&signed(Algorithm::HS256, good.clone())).is_ok());
        assert!(check(&signed(Algorithm::HS384, good.clone())).is_err());
        for claim in ["iss", "aud", "sub", "nbf", "exp"] {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().remove(claim);
            assert!(check(&signed(Algorithm::HS256, claims)).is_err(), "without {claim}");
        }
        for (claim, value) in [
            ("iss", json!("other")),
            ("aud", json!("other")),
            ("nbf", json!(now() + 120)),
            ("exp", json!(now() - 60)),
            ("exp", json!("soon")),
            ("sid", json!("x")),
            ("sid", json!(7)),
            ("org", json!("x")),
            ("org", json!(7)),
        ] {
            let mut claims = good.clone();
            claims[claim] = value;
            assert!(check(&signed(Algorithm::HS256, claims)).is_err(), "{claim}");
        }
        let header = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"none","typ":"JWT"}"#);
        let body = data_encoding::BASE64URL_NOPAD.encode(good.to_string().as_bytes());
        assert!(check(&format!("{header}.{body}.")).is_err());
    }
}
