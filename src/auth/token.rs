//! Session tokens: JSON Web Tokens that Bursar issues itself, signed with HMAC-SHA-256 and nothing else.

use bursar_domain::Timestamp;
use bursar_domain::id::{Id, UserId};
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
}

impl Claims {
    /// The person.
    pub fn user(&self) -> Option<UserId> {
        self.sub.parse::<Uuid>().ok().map(|uuid| UserId::from_u128(uuid.as_u128()))
    }

    /// From when on the token is no longer good.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::EPOCH.plus_seconds(self.exp)
    }
}

/// Issues a token for a person, good for `lifetime` seconds from `now`.
pub fn issue(keys: &Keys, user: UserId, now: Timestamp, lifetime: i64) -> Result<String> {
    let seconds = now.micros().div_euclid(1_000_000);
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: Uuid::from_u128(user.as_u128()).to_string(),
        iat: seconds,
        nbf: seconds,
        exp: seconds.saturating_add(lifetime),
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
    if claims.nbf.saturating_sub(LEEWAY) > now { Err(invalid) } else { Ok(claims) }
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
