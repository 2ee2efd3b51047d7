//! The keys that everything secret is derived from: one secret, one key for each purpose.

use std::io::Write;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::config::make_data_dir;
use crate::error::{Error, Result};

/// Keys by purpose, derived from the signing secret by HMAC-SHA-256 with the purpose as message.
#[derive(Clone)]
pub struct Keys {
    token: [u8; 32],
    link: [u8; 32],
    seal: [u8; 32],
    quote: [u8; 32],
}

impl Keys {
    /// The keys of a signing secret.
    pub fn derive(secret: &SecretString) -> Keys {
        let secret = secret.expose_secret().as_bytes();
        Keys {
            token: mac(secret, b"bursar token v1"),
            link: mac(secret, b"bursar link v1"),
            seal: mac(secret, b"bursar seal v1"),
            quote: mac(secret, b"bursar quote v1"),
        }
    }

    /// The key of session tokens.
    pub(super) fn token(&self) -> &[u8] {
        &self.token
    }

    /// The key of what is sealed.
    pub(super) fn sealing(&self) -> &[u8] {
        &self.seal
    }

    /// The proof that a link was made here: HMAC-SHA-256 of what it is about, as unpadded base64url.
    pub fn link_token(&self, about: &str) -> String {
        data_encoding::BASE64URL_NOPAD.encode(&mac(&self.link, about.as_bytes()))
    }

    /// Whether `token` is the proof for `about`, in constant time.
    pub fn is_link_token(&self, about: &str, token: &str) -> bool {
        self.link_token(about).as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// The proof that a quote was written here: HMAC-SHA-256 of its content, as unpadded base64url.
    pub fn quote_proof(&self, content: &str) -> String {
        data_encoding::BASE64URL_NOPAD.encode(&mac(&self.quote, content.as_bytes()))
    }

    /// Whether `proof` is the one of a quote's content, in constant time.
    pub fn is_quote_proof(&self, content: &str, proof: &str) -> bool {
        self.quote_proof(content).as_bytes().ct_eq(proof.as_bytes()).into()
    }

    /// The four digits that a mail shows beside its link and the link does not carry: of a MAC of what the link is
    /// about, which is no proof of any link. Whoever has the link alone can only guess them.
    pub fn link_code(&self, about: &str) -> String {
        let [a, b, c, d, ..] = mac(&self.link, format!("code {about}").as_bytes());
        format!("{:04}", u32::from_be_bytes([a, b, c, d]) % 10_000)
    }

    /// Whether `code` are the digits for `about`, in constant time.
    pub fn is_link_code(&self, about: &str, code: &str) -> bool {
        self.link_code(about).as_bytes().ct_eq(code.as_bytes()).into()
    }
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac.chain_update(message).finalize().into_bytes().into(),
        // HMAC takes keys of every length (RFC 2104, section 2).
        Err(_) => unreachable!("HMAC takes keys of every length"),
    }
}

/// The signing secret of a development server: 256 random bits in a file that only its owner can read,
/// made when it is missing.
pub fn load_or_create_secret(data_dir: &Path) -> Result<SecretString> {
    let path = data_dir.join("signing-secret");
    let unreadable = |error: std::io::Error| Error::internal(format!("{}: {error}", path.display()));
    match std::fs::read_to_string(&path) {
        Ok(secret) if secret.trim().len() >= 32 => return Ok(SecretString::from(secret.trim())),
        Ok(_) => return Err(Error::internal(format!("{}: holds no secret; delete it", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(error)),
    }
    make_data_dir(data_dir).map_err(unreadable)?;
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).map_err(|error| Error::internal(format!("no randomness: {error}")))?;
    let secret = data_encoding::BASE64URL_NOPAD.encode(&random);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&path) {
        Ok(mut file) => {
            file.write_all(secret.as_bytes()).and_then(|()| file.sync_all()).map_err(unreadable)?;
            Ok(SecretString::from(secret))
        }
        // Another process was faster: its secret counts.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => load_or_create_secret(data_dir),
        Err(error) => Err(unreadable(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_tokens_prove_what_they_are_about() {
        let keys = Keys::derive(&SecretString::from("a".repeat(32)));
        let other = Keys::derive(&SecretString::from("b".repeat(32)));
        let token = keys.link_token("checkout 1");
        assert!(keys.is_link_token("checkout 1", &token));
        assert!(!keys.is_link_token("checkout 2", &token));
        assert!(!keys.is_link_token("checkout 1", &token[1..]));
        assert!(!other.is_link_token("checkout 1", &token));
    }

    #[test]
    fn codes_are_four_digits_of_each_link() {
        let keys = Keys::derive(&SecretString::from("a".repeat(32)));
        let codes: Vec<String> = (0..100).map(|n| keys.link_code(&format!("sign-in {n}"))).collect();
        assert!(codes.iter().all(|code| code.len() == 4 && code.chars().all(|c| c.is_ascii_digit())));
        let distinct: std::collections::BTreeSet<&String> = codes.iter().collect();
        assert!(distinct.len() > 90, "{codes:?}");
        assert!(keys.is_link_code("sign-in 1", &codes[1]));
        for bad in ["", &codes[1][1..], &format!("{}0", codes[1])] {
            assert!(!keys.is_link_code("sign-in 1", bad), "{bad}");
        }
        // With another secret they are others, and what proves a link says nothing of them.
        let other = Keys::derive(&SecretString::from("b".repeat(32)));
        let others: Vec<String> = (0..100).map(|n| other.link_code(&format!("sign-in {n}"))).collect();
        assert_ne!(codes, others);
        assert!(!keys.is_link_token("sign-in 1", &codes[1]));
    }

    #[test]
    fn the_secret_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_create_secret(dir.path()).unwrap();
        let second = load_or_create_secret(dir.path()).unwrap();
        assert_eq!(first.expose_secret(), second.expose_secret());
        assert!(first.expose_secret().len() >= 43);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(dir.path().join("signing-secret")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
