//! Idempotency keys and the digests that tell a retry from another request.

use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{Key, RequestHash};
use sha2::{Digest, Sha256};

/// A client's key and the digest of what it asked for, as they are stored.
#[derive(Clone, Copy, Debug)]
pub struct Idempotency {
    /// The key, as unique in the organization.
    pub key: Key,
    /// What was asked for.
    pub request: RequestHash,
}

impl Idempotency {
    /// The key `client_key` of a mutation, with the request in canonical form.
    pub fn new(mutation: &str, client_key: &str, request: &Canonical) -> Idempotency {
        let mut key = Canonical::of(mutation);
        key.text(client_key);
        Idempotency { key: Key(digest(key.as_bytes())), request: RequestHash(digest(request.as_bytes())) }
    }
}

/// The first half of SHA-256.
fn digest(bytes: &[u8]) -> [u8; 16] {
    let full: [u8; 32] = Sha256::digest(bytes).into();
    let mut half = [0; 16];
    half.copy_from_slice(&full[..16]);
    half
}
