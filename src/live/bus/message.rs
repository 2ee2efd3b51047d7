//! The texts that nodes send each other. What cannot be read is ignored: another version may have sent it.

use bursar_domain::id::{ApprovalId, Id, OrganizationId, PoolId, PurchaseId};

use crate::changes::{Change, Subject};

/// A change as a word: a letter that says what it is, the organization, the thing, and a pool's version.
pub fn word(change: &Change) -> String {
    let organization = change.organization.as_u128();
    match change.subject {
        Subject::Pool(pool, version) => format!("p{organization:032x}{:032x}{version:x}", pool.as_u128()),
        Subject::Purchase(purchase) => format!("u{organization:032x}{:032x}", purchase.as_u128()),
        Subject::Approval(request) => format!("a{organization:032x}{:032x}", request.as_u128()),
    }
}

/// The change that a word says.
pub fn read(word: &str) -> Option<Change> {
    let number = |range: std::ops::Range<usize>| u128::from_str_radix(word.get(range)?, 16).ok();
    let (organization, id) = (OrganizationId::from_u128(number(1..33)?), number(33..65)?);
    let subject = match word.get(..1)? {
        "p" => Subject::Pool(PoolId::from_u128(id), i64::from_str_radix(word.get(65..)?, 16).ok()?),
        "u" => Subject::Purchase(PurchaseId::from_u128(id)),
        "a" => Subject::Approval(ApprovalId::from_u128(id)),
        _ => return None,
    };
    Some(Change { organization, subject })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_were_written() {
        let organization = OrganizationId::from_u128(u128::MAX);
        for subject in [
            Subject::Pool(PoolId::from_u128(7), 0),
            Subject::Pool(PoolId::from_u128(7), i64::MAX),
            Subject::Purchase(PurchaseId::from_u128(8)),
            Subject::Approval(ApprovalId::from_u128(9)),
        ] {
            let change = Change { organization, subject };
            assert_eq!(read(&word(&change)), Some(change));
            assert!(word(&change).len() <= 81);
        }
        for wrong in ["", "p", "x", &"p0".repeat(40), &format!("p{}g", "0".repeat(64)), "pä", &"ä".repeat(40)]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
