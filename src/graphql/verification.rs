//! What the verification of a pool's books has found.

use async_graphql::SimpleObject;

use super::scalars::{DateTime, Version};
use crate::ledger::verify;

/// What a verification of a pool's books has found.
#[derive(SimpleObject)]
pub struct Verification {
    /// When it was made.
    at: DateTime,
    /// The version up to which all is right.
    version: Version,
    /// Whether all is right.
    clean: bool,
    /// The first row that is wrong, and how. Null when all is right.
    finding: Option<String>,
}

impl From<verify::Verification> for Verification {
    fn from(found: verify::Verification) -> Verification {
        Verification {
            at: DateTime(found.at),
            version: Version(found.version),
            clean: found.finding.is_none(),
            finding: found.finding,
        }
    }
}
