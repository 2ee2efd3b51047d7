//! Which action each field of the schema takes, and where. Whether somebody may is not said here: that is asked of the
//! domain's permission table.

use bursar_domain::permission::Action::*;

use super::needs::At::*;
use super::needs::Need::{self, *};

/// One of the things that an input names: the field that names it, and what is needed of it. Without a field: what is
/// needed before anything is looked up.
pub type Step = (&'static str, &'static [Need]);

/// What a field shows, and to whom of those who see the object that it is of.
#[derive(Clone, Copy, Debug)]
pub enum Take {
    /// All of them.
    Free,
    /// What it leads to is shown to those who see that by its id, and left out for others without a word.
    Leads,
    /// Those who meet one of the needs. Others are told that they may not.
    Takes(&'static [Need]),
    /// The same, of those to whom people are named.
    Named(&'static [Need]),
    /// Those who meet one of the needs. To others it is null, without a word.
    Hides(&'static [Need]),
}

use Take::{Free, Hides, Leads, Named, Takes};

const MEMBERS: &[Need] = &[May(ReadMembers, Whole)];
const LEDGER: &[Need] = &[May(ReadLedger, PoolAlone)];
const OF_DEPARTMENT: &[Need] = &[
    May(ReadLedger, PoolAlone),
    May(ReadDepartmentCharges, EveryDepartment),
    May(ReadDepartmentCharges, DepartmentHere),
];
const USES: &[Need] = &[May(ReadDepartmentCharges, Somewhere), May(ReadLedger, Somewhere)];
const PURCHASES: &[Need] = &[May(ReadPurchases, PoolAlone)];

/// Who sees a thing by its id: for each type that has one.
pub const SIGHT: &[(&str, &[Need])] = &[
    ("Allocation", OF_DEPARTMENT),
    ("ApiKey", &[May(ReadApiKeys, Whole)]),
    ("AuditEvent", &[May(ReadAudit, Whole)]),
    ("Charge", OF_DEPARTMENT),
    ("CreditPool", &[May(ReadPool, Pool)]),
    ("CreditRequest", &[Own, May(ReadLedger, PoolAlone)]),
    ("Delivery", &[May(ReadDeliveries, Whole)]),
    ("Department", &[May(ReadDepartment, Department)]),
    ("Hold", OF_DEPARTMENT),
    ("Invitation", MEMBERS),
    ("Lot", LEDGER),
    ("Member", &[Own, May(ReadMembers, Whole)]),
    ("Organization", &[May(ReadOrganization, Whole)]),
    ("Package", &[SignedIn]),
    ("Payment", PURCHASES),
    ("Purchase", PURCHASES),
    ("Refund", OF_DEPARTMENT),
    ("Service", &[SignedIn]),
    // Of no type of `Node`: it is found by nobody but whose it is.
    ("Session", &[Own]),
    (
        "SpendingCap",
        &[
            Own,
            May(ReadLedger, PoolAlone),
            May(ReadDepartmentCharges, EveryDepartment),
            May(ReadDepartmentCharges, DepartmentHere),
        ],
    ),
    ("Transfer", LEDGER),
    ("User", &[Own, May(ReadMembers, Whole)]),
];

/// Every field that leads from something that can be found by id to something with fields, and the values that not all
/// see who see the object.
pub const FIELDS: &[(&str, &str, Take)] = &[
    ("Actor", "apiKey", Leads),
    ("Actor", "user", Leads),
    ("Allocation", "balance", Free),
    ("Allocation", "department", Leads),
    ("Allocation", "pool", Leads),
    ("Allocation", "refill", Free),
    ("ApiKey", "createdBy", Leads),
    ("ApiKey", "departments", Leads),
    ("ApiKey", "organization", Leads),
    ("ApiKey", "pools", Leads),
    ("ApiKey", "replaces", Leads),
    ("AuditEvent", "actor", Free),
    ("AuditEvent", "onBehalfOf", Leads),
    ("AuditEvent", "personal", Free),
    ("Charge", "actor", Free),
    ("Charge", "department", Leads),
    ("Charge", "explanation", Free),
    ("Charge", "hold", Leads),
    ("Charge", "lines", Free),
    ("Charge", "onBehalfOf", Leads),
    ("Charge", "pool", Leads),
    ("Charge", "refunds", Leads),
    ("Charge", "slices", Free),
    ("ChargeExplanation", "limits", Free),
    ("ChargeExplanation", "lines", Free),
    ("ChargeExplanation", "slices", Free),
    ("ChargeExplanation", "userErrors", Free),
    ("CreditPool", "administrators", Named(LEDGER)),
    ("CreditPool", "allocations", Leads),
    ("CreditPool", "allowedServices", Leads),
    ("CreditPool", "balance", Free),
    ("CreditPool", "balanceAt", Free),
    ("CreditPool", "caps", Leads),
    ("CreditPool", "charges", Leads),
    ("CreditPool", "creditRequests", Leads),
    ("CreditPool", "frozenReason", Hides(LEDGER)),
    ("CreditPool", "holds", Leads),
    ("CreditPool", "lots", Takes(LEDGER)),
    ("CreditPool", "organization", Leads),
    ("CreditPool", "transfers", Takes(LEDGER)),
    ("CreditPool", "unallocated", Free),
    ("CreditPool", "verification", Hides(LEDGER)),
    ("CreditRequest", "allocation", Leads),
    ("CreditRequest", "department", Leads),
    ("CreditRequest", "pool", Leads),
    ("CreditRequest", "purchase", Leads),
    ("CreditRequest", "raise", Free),
    ("CreditRequest", "requestedBy", Leads),
    ("CreditRequest", "resolvedBy", Leads),
    ("Department", "allocations", Leads),
    ("Department", "members", Named(&[SignedIn])),
    ("Department", "organization", Leads),
    ("DepartmentMember", "member", Leads),
    ("DepartmentPlace", "department", Leads),
    ("ExplainedLine", "priceVersion", Free),
    ("ExplainedSlice", "allocation", Leads),
    ("ExplainedSlice", "lot", Leads),
    ("Hold", "actor", Free),
    ("Hold", "charges", Leads),
    ("Hold", "department", Leads),
    ("Hold", "lines", Free),
    ("Hold", "onBehalfOf", Leads),
    ("Hold", "pool", Leads),
    ("Invitation", "acceptedBy", Leads),
    ("Invitation", "invitedBy", Leads),
    ("Invitation", "organization", Leads),
    ("Lot", "cost", Free),
    ("Lot", "pool", Leads),
    ("Lot", "purchase", Leads),
    ("Lot", "replaces", Leads),
    ("Lot", "uses", Takes(LEDGER)),
    ("LotSlice", "cost", Free),
    ("LotSlice", "lot", Leads),
    ("Member", "administeredPools", Takes(&[Own, May(ReadMembers, Whole)])),
    ("Member", "departments", Takes(&[Own, May(ReadMembers, Whole)])),
    ("Member", "organization", Leads),
    ("Member", "user", Leads),
    ("Organization", "apiKeys", Takes(&[May(ReadApiKeys, Whole)])),
    ("Organization", "auditEvents", Takes(&[May(ReadAudit, Whole)])),
    ("Organization", "balance", Free),
    ("Organization", "charges", Takes(USES)),
    ("Organization", "creditRequests", Leads),
    ("Organization", "deliveries", Takes(&[May(ReadDeliveries, Whole)])),
    ("Organization", "departments", Leads),
    ("Organization", "holds", Takes(USES)),
    ("Organization", "invitations", Takes(MEMBERS)),
    ("Organization", "members", Takes(MEMBERS)),
    ("Organization", "packages", Leads),
    ("Organization", "pools", Leads),
    ("Organization", "purchases", Takes(&[May(ReadPurchases, Whole), May(ReadPurchases, SomePool)])),
    ("Organization", "sandboxOf", Leads),
    ("Organization", "services", Leads),
    ("Organization", "singleSignOn", Takes(&[May(ReadSingleSignOn, Whole)])),
    // What it says is compared with the permission table.
    ("Organization", "viewerPermissions", Free),
    ("Package", "prices", Free),
    ("Payment", "amount", Free),
    ("Payment", "purchase", Leads),
    ("Purchase", "creditRequest", Leads),
    ("Purchase", "lot", Leads),
    ("Purchase", "package", Leads),
    ("Purchase", "payments", Leads),
    ("Purchase", "pool", Leads),
    ("Purchase", "requestedBy", Leads),
    ("Purchase", "total", Free),
    ("Refund", "actor", Free),
    ("Refund", "charge", Leads),
    ("Refund", "cost", Free),
    ("Refund", "slices", Free),
    ("RefundSlice", "cost", Free),
    ("RefundSlice", "lot", Leads),
    ("RefundSlice", "replacement", Leads),
    ("SingleSignOn", "groupRoles", Free),
    ("SpendingCap", "department", Leads),
    ("SpendingCap", "member", Leads),
    ("SpendingCap", "pool", Leads),
    ("SpendingCap", "raises", Free),
    ("SpendingCap", "service", Leads),
    ("SpendingCapRaise", "actor", Free),
    ("SpendingCapRaise", "cap", Leads),
    ("Transfer", "actor", Free),
    ("Transfer", "charge", Leads),
    ("Transfer", "cost", Free),
    ("Transfer", "counterpart", Leads),
    ("Transfer", "credit", Free),
    ("Transfer", "debit", Free),
    ("Transfer", "hold", Leads),
    ("Transfer", "lot", Leads),
    ("Transfer", "pool", Leads),
    ("Transfer", "purchase", Leads),
    ("TransferSide", "allocation", Leads),
];

/// Fields that show nothing to anybody here: nobody verifies books in passing.
pub const EMPTY: &[(&str, &str)] = &[("CreditPool", "verification")];

const CHARGE: &[Step] = &[
    ("poolId", &[May(ReadPool, Pool)]),
    ("departmentId", &[May(ChargeDepartment, PoolAlone), May(ChargeDepartment, DepartmentHere)]),
];

/// Fields of the root of reads. Without steps: what is found by ids, or is of the caller's own, which has a case of its
/// own.
pub const QUERIES: &[(&str, &[Step])] = &[
    ("deliveries", &[("", &[May(ReadDeliveries, Vendor)])]),
    ("explainCharge", CHARGE),
    ("node", &[]),
    ("nodes", &[]),
    ("operatorApiKeys", &[("", &[May(ReadApiKeys, Vendor)])]),
    ("organization", &[]),
    ("organizations", &[]),
    ("pool", &[]),
    ("quoteCharge", CHARGE),
    ("viewer", &[]),
];

/// Fields of the root of streams, with the argument that names what is watched, and the field of inputs that names the
/// same.
pub const STREAMS: &[(&str, &str, Step)] = &[
    ("organizationBalance", "organizationId", ("organizationId", &[May(ReadOrganization, Whole)])),
    ("poolBalance", "poolId", ("poolId", &[May(ReadPool, Pool)])),
    ("purchase", "id", ("purchaseId", PURCHASES)),
];

/// Mutations that need no token: who calls does not matter to them.
pub const FOR_ANYBODY: &[Step] = &[("", &[Nothing])];

const ANY_PERSON: &[Step] = &[("", &[Person])];
const ALLOCATE: &[Step] = &[("poolId", &[May(AllocateCredits, Pool)])];
const CORRECT: &[Step] = &[("poolId", &[May(CorrectLedger, Pool)])];
const HELD: &[Step] =
    &[("holdId", &[May(ChargeDepartment, PoolAlone), May(ChargeDepartment, DepartmentHere)])];
const CAP: &[Step] = &[("capId", &[May(ManageSpendingCaps, PoolAlone)])];
const PURCHASE: &[Step] = &[("purchaseId", &[May(ManagePurchases, PoolAlone)])];
const KEY: &[Step] = &[("keyId", &[May(ManageApiKeys, Whole)])];
const MEMBER: &[Step] = &[("memberId", &[May(ManageMembers, Whole)])];
const NEW_MEMBER: &[Step] = &[("organizationId", &[May(ManageMembers, Whole)])];
const INVITATION: &[Step] = &[("invitationId", &[May(ManageMembers, Whole)])];
const POOL: &[Step] = &[("poolId", &[May(ManagePools, Pool)])];
const ADMINISTRATOR: &[Step] = &[("poolId", &[May(ManagePoolAdministrators, Pool)])];
const FREEZE: &[Step] = &[("poolId", &[May(FreezePools, Pool)])];
const DEPARTMENT: &[Step] = &[("departmentId", &[May(ManageDepartments, Department)])];
const PLACE: &[Step] = &[("departmentId", &[May(ManageDepartmentMembers, Department)])];
const SUSPEND: &[Step] = &[("organizationId", &[May(SuspendOrganization, Whole)])];

/// What each mutation takes.
pub const MUTATIONS: &[(&str, &[Step])] = &[
    // Without what a mail proves, nobody may: see `invitations`.
    ("acceptInvitation", ANY_PERSON),
    ("addDepartmentMember", PLACE),
    ("addMember", NEW_MEMBER),
    ("addPoolAdministrator", ADMINISTRATOR),
    ("allocateCredits", ALLOCATE),
    ("archiveDepartment", DEPARTMENT),
    ("archivePool", POOL),
    ("cancelPurchase", PURCHASE),
    ("captureHold", HELD),
    ("chargeCredits", CHARGE),
    ("chargeCreditsBatch", CHARGE),
    ("configureSingleSignOn", &[("organizationId", &[May(ManageSingleSignOn, Whole)])]),
    ("correctBalance", CORRECT),
    ("createApiKey", &[("organizationId", &[May(ManageApiKeys, Whole)])]),
    ("createDepartment", &[("organizationId", &[May(ManageDepartments, Whole)])]),
    ("createOrganization", &[("", &[May(CreateOrganization, Vendor)])]),
    ("createPool", &[("organizationId", &[May(ManagePools, Whole)])]),
    ("createSpendingCap", &[("poolId", &[May(ManageSpendingCaps, Pool)])]),
    ("erasePerson", &[("userId", &[May(ErasePeople, Vendor)])]),
    ("exportOrganization", &[("organizationId", &[May(ExportOrganization, Whole)])]),
    ("extendLot", &[("lotId", &[May(CorrectLedger, PoolAlone)])]),
    ("freezePool", FREEZE),
    ("grantCredits", CORRECT),
    ("holdCredits", CHARGE),
    ("importBalances", &[("organizationId", &[May(CorrectLedger, Whole)])]),
    ("inviteMember", NEW_MEMBER),
    ("raiseSpendingCap", CAP),
    ("reclaimCredits", ALLOCATE),
    // What a mail or a session proves decides: see `sign_in` and `sessions`.
    ("redeemSignInLink", FOR_ANYBODY),
    ("refreshSession", FOR_ANYBODY),
    // Asked for under a guarantee, which more people may.
    (
        "refundCharge",
        &[(
            "chargeId",
            &[
                May(RefundCharges, PoolAlone),
                May(RefundUnderGuarantee, PoolAlone),
                May(RefundUnderGuarantee, DepartmentHere),
            ],
        )],
    ),
    ("removeDepartmentMember", PLACE),
    ("removeMember", MEMBER),
    ("removePoolAdministrator", ADMINISTRATOR),
    ("removeSpendingCap", CAP),
    ("replayDelivery", &[("deliveryId", &[May(ManageDeliveries, Whole)])]),
    (
        "requestCredits",
        &[
            ("poolId", &[May(ReadPool, Pool)]),
            ("departmentId", &[May(RequestCredits, PoolAlone), May(RequestCredits, Department)]),
        ],
    ),
    ("requestPurchase", &[("poolId", &[May(ManagePurchases, Pool)])]),
    ("requestSignInLink", FOR_ANYBODY),
    ("resendInvitation", INVITATION),
    ("resolveCreditRequest", &[("requestId", &[May(AnswerCreditRequests, PoolAlone)])]),
    ("resumeOrganization", SUSPEND),
    ("revokeApiKey", KEY),
    ("revokeInvitation", INVITATION),
    ("revokeSession", &[("", &[Person]), ("sessionId", &[Own])]),
    ("rotateApiKey", KEY),
    ("setAllocationRefill", ALLOCATE),
    // Without a session there is none to end.
    ("signOut", ANY_PERSON),
    ("startCheckout", PURCHASE),
    ("suspendOrganization", SUSPEND),
    ("transferCredits", ALLOCATE),
    ("unfreezePool", FREEZE),
    ("updateDepartment", DEPARTMENT),
    ("updateMemberRole", MEMBER),
    ("updateOrganization", &[("organizationId", &[May(UpdateOrganization, Whole)])]),
    ("updatePool", POOL),
    ("updateSpendingCap", CAP),
    ("voidHold", HELD),
    ("withdrawCreditRequest", &[("requestId", &[Own])]),
];

const UNALLOCATED: &[Step] = &[("poolId", &[May(ChargeUnallocated, Pool)])];
const NEW_OWNER: &[Step] =
    &[("organizationId", &[May(ManageMembers, Whole)]), ("organizationId", &[May(ManageOwners, Whole)])];

/// What takes something else when a field of the input is left out, or says something else: the field of the root, the
/// field of the input, and what that says.
pub const OTHERWISE: &[(&str, &str, Option<&str>, &[Step])] = &[
    ("addMember", "role", Some("OWNER"), NEW_OWNER),
    ("chargeCredits", "departmentId", None, UNALLOCATED),
    ("chargeCreditsBatch", "departmentId", None, UNALLOCATED),
    ("explainCharge", "departmentId", None, UNALLOCATED),
    ("holdCredits", "departmentId", None, UNALLOCATED),
    ("inviteMember", "role", Some("OWNER"), NEW_OWNER),
    ("quoteCharge", "departmentId", None, UNALLOCATED),
];

/// Mutations that nothing else goes on after: they come last, and one after another.
pub const LAST: &[&str] = &["freezePool", "unfreezePool", "suspendOrganization", "resumeOrganization"];

/// Who sees a thing of a type by its id.
pub fn sight(kind: &str) -> &'static [Need] {
    let entry = SIGHT.iter().find(|(known, _)| *known == kind);
    entry.unwrap_or_else(|| panic!("who sees a {kind}? Say so in SIGHT.")).1
}
