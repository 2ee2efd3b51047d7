//! Sealing: what Bursar has to show to others again (a client's secret, the state of a sign-in that a browser
//! carries) is encrypted and bound to what it is about. Moved elsewhere, or changed, it does not open.
//!
//! AES-256-GCM with a random nonce for each sealing: nonce, then the encrypted text with its tag.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use secrecy::SecretString;

use super::Keys;
use crate::error::{Error, Result};

impl Keys {
    /// Seals a text, bound to what it is about.
    pub fn seal(&self, about: &str, text: &str) -> Result<Vec<u8>> {
        let failed = |_| Error::internal("a text could not be sealed");
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.sealing()).map_err(failed)?;
        let mut body = text.as_bytes().to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(about.as_bytes()), &mut body).map_err(failed)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// Opens what was sealed about the same thing; `None`: it was not, or not with this server's secret.
    pub fn unseal(&self, about: &str, sealed: &[u8]) -> Option<SecretString> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.sealing()).ok()?;
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let text = key.open_in_place(nonce, Aad::from(about.as_bytes()), &mut body).ok()?;
        let text = std::str::from_utf8(text).ok()?;
        Some(SecretString::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn what_is_sealed_opens_where_it_belongs() {
        let keys = Keys::derive(&SecretString::from("a".repeat(32)));
        let other = Keys::derive(&SecretString::from("b".repeat(32)));
        let sealed = keys.seal("a thing", "swordfish").unwrap();
        assert_eq!(keys.unseal("a thing", &sealed).unwrap().expose_secret(), "swordfish");
        assert!(!sealed.windows(9).any(|part| part == b"swordfish"));
        assert_ne!(sealed, keys.seal("a thing", "swordfish").unwrap());
        assert!(keys.unseal("another thing", &sealed).is_none());
        assert!(other.unseal("a thing", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys.unseal("a thing", &changed).is_none(), "{at}");
            assert!(keys.unseal("a thing", &sealed[..at]).is_none(), "{at}");
        }
    }
}
