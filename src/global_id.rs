//! Identifiers as clients see them: TypeIDs (type prefix and UUID in base32), opaque to clients.

use bursar_domain::id::{EntryId, Id, PoolId};
use type_safe_id::{DynamicType, TypeSafeId};
use uuid::Uuid;

/// The longest text that can be a global id, a transfer's.
const MAX_LENGTH: usize = 80;

/// The prefix of a transfer's id.
pub const TRANSFER_PREFIX: &str = "transfer";

/// The prefix of a refund's id: a journal entry that has a name of its own.
pub const REFUND_PREFIX: &str = "refund";

/// The global id of a thing.
pub fn encode<I: Id>(id: I) -> String {
    text(I::PREFIX, id.as_u128())
}

/// The thing that a global id names, when it is of the right type and well-formed.
pub fn decode<I: Id>(id: &str) -> Option<I> {
    let (prefix, bits) = parse(id)?;
    (prefix == I::PREFIX).then(|| I::from_u128(bits))
}

/// The global id of a refund.
pub fn encode_refund(entry: EntryId) -> String {
    text(REFUND_PREFIX, entry.as_u128())
}

/// The journal entry of a refund's global id.
pub fn decode_refund(id: &str) -> Option<EntryId> {
    let (prefix, bits) = parse(id)?;
    (prefix == REFUND_PREFIX).then(|| EntryId::from_u128(bits))
}

/// The type prefix of a global id, as far as it is well-formed.
pub fn prefix(id: &str) -> Option<String> {
    if decode_transfer(id).is_some() {
        return Some(TRANSFER_PREFIX.to_owned());
    }
    parse(id).map(|(prefix, _)| prefix)
}

/// The global id of a transfer, which is known by its pool and version.
pub fn encode_transfer(pool: PoolId, version: i64) -> String {
    format!("{}_{version}", text(TRANSFER_PREFIX, pool.as_u128()))
}

/// The id of a transfer that was only rehearsed: of its own, and of nothing that there is or will be.
pub fn encode_rehearsed_transfer(pool: PoolId, version: i64) -> String {
    // No version begins with a zero.
    format!("{}_0{version}", text(TRANSFER_PREFIX, pool.as_u128()))
}

/// The pool and version of a transfer's global id.
pub fn decode_transfer(id: &str) -> Option<(PoolId, i64)> {
    let (transfer, version) = id.rsplit_once('_')?;
    let digits =
        !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit()) && !version.starts_with('0');
    let (prefix, pool) = parse(transfer)?;
    let version = version.parse().ok().filter(|_| digits)?;
    (prefix == TRANSFER_PREFIX).then(|| (PoolId::from_u128(pool), version))
}

fn text(prefix: &str, bits: u128) -> String {
    match DynamicType::new(prefix) {
        Ok(kind) => TypeSafeId::from_type_and_uuid(kind, Uuid::from_u128(bits)).to_string(),
        // Prefixes are constants of the domain; a test encodes with each.
        Err(_) => unreachable!("{prefix} is a valid type prefix"),
    }
}

fn parse(id: &str) -> Option<(String, u128)> {
    // The length and alphabet are checked first: the parser cuts long texts at a byte.
    if id.len() > MAX_LENGTH || !id.is_ascii() {
        return None;
    }
    let id: TypeSafeId<DynamicType> = id.parse().ok()?;
    Some((id.type_prefix().to_owned(), id.uuid().as_u128()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::*;

    #[test]
    fn every_prefix_encodes_and_comes_back() {
        fn round<I: Id + PartialEq>() {
            let id = I::from_u128(0x0190_1234_5678_7abc_8def_0123_4567_89ab);
            assert_eq!(decode::<I>(&encode(id)), Some(id));
            assert!(encode(id).starts_with(I::PREFIX));
        }
        round::<OrganizationId>();
        round::<UserId>();
        round::<MembershipId>();
        round::<InvitationId>();
        round::<DepartmentId>();
        round::<PoolId>();
        round::<AccountId>();
        round::<LotId>();
        round::<ServiceId>();
        round::<ServiceVersionId>();
        round::<PackageId>();
        round::<PackageVersionId>();
        round::<PurchaseId>();
        round::<PaymentId>();
        round::<PolicyId>();
        round::<ApprovalId>();
        round::<DecisionId>();
        round::<DelegationId>();
        round::<ApprovalLinkId>();
        round::<ChargeId>();
        round::<HoldId>();
        round::<CapId>();
        round::<RaiseId>();
        round::<CreditRequestId>();
        round::<SessionId>();
        round::<SignInLinkId>();
        round::<TaskId>();
        round::<EntryId>();
        round::<DeliveryId>();
        round::<AuditEventId>();
    }

    #[test]
    fn a_refund_is_an_entry_with_another_name() {
        let entry = EntryId::from_u128(7);
        let id = encode_refund(entry);
        assert_eq!(decode_refund(&id), Some(entry));
        assert_eq!(prefix(&id).as_deref(), Some("refund"));
        assert_eq!((decode::<EntryId>(&id), decode_refund(&encode(entry))), (None, None));
    }

    #[test]
    fn a_transfer_is_a_pool_and_a_version() {
        let pool = PoolId::from_u128(7);
        let id = encode_transfer(pool, 42);
        assert_eq!(decode_transfer(&id), Some((pool, 42)));
        assert_eq!(prefix(&id).as_deref(), Some("transfer"));
        for bad in
            ["", "_", "transfer_", "transfer_1", &encode(pool), &format!("{id}x"), &id.replace("_42", "_042")]
        {
            assert_eq!(decode_transfer(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_id_is_refused_and_never_panics() {
        let good = encode(PoolId::from_u128(7));
        let long = "p".repeat(10_000);
        let wide = format!("{}é_{}", "p".repeat(62), "0".repeat(26));
        for bad in [
            "",
            "pool",
            "pool_",
            "pool_!",
            "dept_00000000000000000000000007",
            &good.to_uppercase(),
            &long,
            &wide,
        ] {
            assert_eq!(decode::<PoolId>(bad), None, "{bad}");
        }
    }
}
