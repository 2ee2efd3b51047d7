//! The hash chain of a pool: what is hashed, in which order, byte for byte. The hash function itself
//! is the shell's.
//!
//! A link is `H(previous link || canonical form of the transfer || digest of what caused it)`. The
//! digest of the cause covers the row of the charge or journal entry (with its lot), so that no
//! field of any of them can be changed without breaking the chain. The first link follows
//! [`ORIGIN`].

use super::account::AccountRef;
use super::effects::Transfer;
use crate::id::{Id, OrganizationId};

/// What the first link of every pool follows.
pub const ORIGIN: [u8; 32] = [0; 32];

/// The version of the canonical form, the first byte of each.
const FORM: u8 = 1;

/// Writes values in canonical form: fixed-width numbers big-endian, texts and byte strings behind
/// their length, options behind a byte that says whether there is a value.
#[derive(Debug, Default)]
pub struct Canonical(Vec<u8>);

impl Canonical {
    /// An empty form of a thing, named so that forms of different things are never equal.
    pub fn of(thing: &str) -> Canonical {
        let mut form = Canonical(vec![FORM]);
        form.text(thing);
        form
    }

    /// Appends a number.
    pub fn number(&mut self, value: i64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends an identifier.
    pub fn id(&mut self, id: impl Id) -> &mut Self {
        self.0.extend_from_slice(&id.as_u128().to_be_bytes());
        self
    }

    /// Appends a byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Appends a value that may be missing.
    pub fn option<T>(&mut self, value: Option<T>, append: impl FnOnce(&mut Self, T)) -> &mut Self {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            append(self, value);
        }
        self
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The link that follows `previous`.
pub fn link(
    previous: &[u8; 32],
    organization: OrganizationId,
    transfer: &Transfer,
    cause: &[u8; 32],
    hash: impl FnOnce(&[u8]) -> [u8; 32],
) -> [u8; 32] {
    let mut form = Canonical::of("transfer");
    let side = |form: &mut Canonical, side: AccountRef| {
        form.number(i64::from(side.kind.code())).option(side.id, |form, id| {
            form.id(id);
        });
    };
    form.bytes(previous).id(organization).id(transfer.pool).number(transfer.version);
    form.number(i64::from(transfer.kind.code()));
    side(&mut form, transfer.debit);
    side(&mut form, transfer.credit);
    form.id(transfer.lot)
        .number(transfer.credits.get())
        .number(transfer.cost)
        .number(transfer.debit_after)
        .number(transfer.credit_after)
        .number(transfer.held_after)
        .number(transfer.pool_posted_after)
        .number(transfer.pool_held_after)
        .number(transfer.debt_after)
        .number(transfer.created_at.micros())
        .number(transfer.effective_at.micros())
        .bytes(cause);
    if let Some((pool, version)) = transfer.counterpart {
        form.id(pool).number(version);
    }
    hash(form.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_different_content_differ() {
        let form = |a: &str, b: Option<&str>| {
            let mut form = Canonical::of("x");
            form.text(a).option(b, |form, b| {
                form.text(b);
            });
            form.as_bytes().to_vec()
        };
        let all = [form("ab", None), form("a", Some("b")), form("", Some("ab")), form("ab", Some(""))];
        for (i, one) in all.iter().enumerate() {
            for other in &all[i + 1..] {
                assert_ne!(one, other);
            }
        }
    }
}
