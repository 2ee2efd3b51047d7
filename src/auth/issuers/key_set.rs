//! The keys that a provider signs with, as it has published them.
//!
//! Only public keys for signatures are taken; a symmetric key in the set is nobody's, so that no public text can
//! ever become the secret of a signature. Keys that cannot be read stand in nobody's way.

use bursar_domain::sign_on::SigningAlgorithm;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// The most keys of a set that are looked at.
const KEYS: usize = 100;
/// The most keys that are tried for one token.
const TRIED: usize = 4;

/// A set of keys as it is published.
#[derive(Deserialize)]
pub(super) struct Published {
    keys: Vec<Value>,
}

/// The keys of a provider.
#[derive(Default)]
pub(super) struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    /// The only algorithm that it is for; none: it does not say.
    only: Option<String>,
    decoding: DecodingKey,
}

impl KeySet {
    /// The keys of a published set that can be used.
    pub(super) fn read(published: Published) -> KeySet {
        let usable = |value: Value| {
            let key: Jwk = serde_json::from_value(value).ok()?;
            let common = &key.common;
            let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
            let decoding = DecodingKey::from_jwk(&key).ok()?;
            if !signs || decoding.family() == AlgorithmFamily::Hmac {
                return None;
            }
            let only = common.key_algorithm.map(|algorithm| algorithm.to_string());
            Some(Key { id: common.key_id.clone(), only, decoding })
        };
        KeySet(published.keys.into_iter().take(KEYS).filter_map(usable).collect())
    }

    /// The keys that can have signed a token with an algorithm: those of the name that it gives, or of any name when it
    /// gives none. There are several while a provider changes its key that names none, or all of them alike.
    pub(super) fn fitting(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &DecodingKey> {
        let name = format!("{algorithm:?}");
        let fits = move |key: &&Key| {
            let named = id.is_none_or(|id| key.id.as_deref() == Some(id));
            let only = key.only.as_ref().is_none_or(|only| *only == name);
            named && only && key.decoding.family() == algorithm.family()
        };
        self.0.iter().filter(fits).take(TRIED).map(|key| &key.decoding)
    }
}

/// The algorithm, as the library calls it.
pub(super) const fn algorithm(of: SigningAlgorithm) -> Algorithm {
    match of {
        SigningAlgorithm::Rs256 => Algorithm::RS256,
        SigningAlgorithm::Rs384 => Algorithm::RS384,
        SigningAlgorithm::Rs512 => Algorithm::RS512,
        SigningAlgorithm::Ps256 => Algorithm::PS256,
        SigningAlgorithm::Ps384 => Algorithm::PS384,
        SigningAlgorithm::Ps512 => Algorithm::PS512,
        SigningAlgorithm::Es256 => Algorithm::ES256,
        SigningAlgorithm::Es384 => Algorithm::ES384,
        SigningAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rsa(id: &str) -> Value {
        json!({ "kty": "RSA", "kid": id, "use": "sig", "alg": "RS256", "n": "AQAB", "e": "AQAB" })
    }

    fn set(keys: Value) -> KeySet {
        KeySet::read(serde_json::from_value(json!({ "keys": keys })).unwrap())
    }

    #[test]
    fn keys_are_found_by_name_and_algorithm() {
        let keys = set(json!([rsa("a"), rsa("b"), rsa("b")]));
        let fitting = |id, algorithm| keys.fitting(id, algorithm).count();
        assert_eq!(fitting(Some("a"), Algorithm::RS256), 1);
        assert_eq!(fitting(Some("b"), Algorithm::RS256), 2);
        assert_eq!(fitting(Some("c"), Algorithm::RS256), 0);
        assert_eq!(fitting(Some("a"), Algorithm::RS384), 0);
        assert_eq!(fitting(Some("a"), Algorithm::ES256), 0);
        assert_eq!(fitting(None, Algorithm::RS256), 3);
        let many = set(json!(["a"; 9].map(rsa)));
        assert_eq!(many.fitting(None, Algorithm::RS256).count(), TRIED);
    }

    #[test]
    fn what_is_not_for_signatures_is_left_out() {
        let secret = json!({ "kty": "oct", "kid": "s", "alg": "HS256", "k": "c2VjcmV0" });
        let mut encrypts = rsa("e");
        encrypts["use"] = json!("enc");
        let strange = json!({ "kty": "XYZ", "kid": "x" });
        let keys = set(json!([secret, encrypts, strange, 7, rsa("a")]));
        assert_eq!(keys.0.len(), 1);
        assert_eq!(keys.fitting(Some("s"), Algorithm::HS256).count(), 0);
    }
}
