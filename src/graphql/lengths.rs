//! What costs less or more than its type tells: parts of objects that are there already, lists that may be long,
//! and fields whose value takes work to find.

/// Types whose objects are parts of what they stand in: no row of their own has to be read for them.
pub const PARTS: &[&str] = &[
    "Money",
    "PageInfo",
    "Balance",
    "ChargeLine",
    "HoldLine",
    "ExplainedLine",
    "ExplainedLimit",
    "PriceVersion",
    "ChargeBatchResult",
    "DepartmentBalance",
    "PoolBalance",
    "AllocationRefill",
    "Verification",
    "PersonalValue",
    "SingleSignOn",
    "GroupRole",
    "SessionTokens",
    "OrganizationExport",
    "ApprovalRule",
    "ApprovalConditions",
    "ApprovalStage",
    "ApprovalApprovers",
    "ApprovalPolicyWarning",
    "SimulatedPurchase",
];

/// How many keys whoever removes or lowers somebody is told of.
pub const ACTIVE_KEYS: u64 = 100;

/// Lists that are not connections and may be as long as this: type, field, how many.
const LONG: &[(&str, &str, u64)] = &[
    ("Organization", "approvalDelegations", super::approval_delegation::MOST),
    // One a pool.
    ("Billing", "autoTopUps", 100),
    ("SpendingCap", "raises", 100),
    ("Charge", "refunds", 100),
    ("Viewer", "sessions", 100),
    ("SignOutPayload", "sessions", 100),
    ("RemoveMemberPayload", "activeApiKeys", ACTIVE_KEYS),
    ("UpdateMemberRolePayload", "activeApiKeys", ACTIVE_KEYS),
    ("ImportBalancesPayload", "lots", 500),
    ("ImportBalancesPayload", "transfers", 500),
    ("ApprovalPolicy", "rules", 50),
    ("ApprovalConditions", "pools", 100),
    ("ApprovalStage", "approvers", 20),
    ("ApprovalRequestStage", "eligible", 20),
    ("ApprovalSimulation", "purchases", 1_000),
];

/// Fields that cost so many points by themselves: type, field, points.
const DEAR: &[(&str, &str, u64)] = &[
    // The charges of the month, and their purchases.
    ("AutoTopUp", "spentThisMonth", 4),
    // The entry of its lot, and what that moved.
    ("Purchase", "settledDebt", 4),
    // A round with all that has happened in it, and who is what in the organization.
    ("ApprovalRequest", "stages", 10),
    ("ApprovalRequest", "decisions", 10),
    ("ApprovalRequest", "canDecide", 10),
    ("ApprovalRequest", "cannotDecide", 10),
    ("ApprovalRound", "decisions", 10),
    // The same of every request that waits.
    ("Organization", "approvalRequests", 20),
    ("CreditPool", "approvalRequests", 20),
    // A thousand purchases.
    ("Mutation", "simulateApprovalPolicy", 100),
    // Some twenty lookups, one after another.
    ("CreditPool", "balanceAt", 20),
    // Half of what charging takes.
    ("Query", "explainCharge", 20),
    ("Query", "quoteCharge", 20),
    // The cap's head, periods and raises are read for each.
    ("SpendingCap", "used", 4),
    ("SpendingCap", "held", 4),
    ("SpendingCap", "raised", 4),
    ("SpendingCap", "headroom", 4),
    ("SpendingCap", "periodStart", 4),
    ("SpendingCap", "periodEnd", 4),
];

/// How long a list may be that is longer than others.
pub fn long(parent: &str, field: &str) -> Option<u64> {
    find(LONG, parent, field)
}

/// What a field costs that costs more than others.
pub fn dear(parent: &str, field: &str) -> Option<u64> {
    find(DEAR, parent, field)
}

fn find(table: &[(&str, &str, u64)], parent: &str, field: &str) -> Option<u64> {
    table.iter().find(|(of, name, _)| *of == parent && *name == field).map(|(_, _, number)| *number)
}
