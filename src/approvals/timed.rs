//! What approvals leave for later, as timed work. What is to be done then is in the rooms' own files; who does it, and when,
//! is in `schedule`.

/// Somebody is to be reminded, the owners may decide as well, or a round is over. The subject is the request.
pub const APPROVAL_DUE: &str = "APPROVAL_DUE";
/// What was agreed to is to be paid, or comes in on invoice; or whoever pays may need another link. The subject is the
/// purchase.
pub const PURCHASE_APPROVED: &str = "PURCHASE_APPROVED";
/// Somebody stands in for somebody from now on. The subject is the delegation.
pub const DELEGATION_BEGINS: &str = "DELEGATION_BEGINS";
