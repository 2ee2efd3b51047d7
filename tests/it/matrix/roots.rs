//! Which action each field of the roots takes, and on which of the things that its input names.

use bursar_domain::permission::Action::*;

use super::expected::{APPROVALS, PURCHASES};
use super::needs::At::*;
use super::needs::Need::{self, *};

/// One of the things that an input names: the field that names it, and what is needed of it. Without a field: what is
/// needed before anything is looked up.
pub type Step = (&'static str, &'static [Need]);

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
    ("parkedPayments", &[("", &[May(SettlePayments, Vendor)])]),
    ("pool", &[]),
    ("quoteCharge", CHARGE),
    ("quotePurchase", &[("poolId", &[May(ReadPurchases, Pool)])]),
    ("quoteRequests", &[("", &[May(SetPrices, Vendor)])]),
    ("viewer", &[]),
];

/// Fields of the root of streams, with the argument that names what is watched, and the field of inputs that names the
/// same.
pub const STREAMS: &[(&str, &str, Step)] = &[
    // It is let in, and says nothing to whoever is not asked.
    ("approvalRequests", "organizationId", ("organizationId", &[May(ReadOrganization, Whole)])),
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
const CATALOG: &[Step] = &[("", &[May(SaveCatalog, Vendor)])];
const PRICES: &[Step] = &[("organizationId", &[May(SetPrices, Whole)])];
const SUSPEND: &[Step] = &[("organizationId", &[May(SuspendOrganization, Whole)])];

/// What each mutation takes.
pub const MUTATIONS: &[(&str, &[Step])] = &[
    // Without what a mail proves, nobody may: see `invitations`.
    ("acceptInvitation", ANY_PERSON),
    ("addDepartmentMember", PLACE),
    ("addMember", &[("organizationId", &[May(AddMembers, Whole)])]),
    ("addPoolAdministrator", ADMINISTRATOR),
    ("allocateCredits", ALLOCATE),
    ("answerQuote", &[("quoteId", &[May(SetPrices, PoolAlone)])]),
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
    // Whether somebody who belongs there and sees it is asked, the rules say.
    ("decideApproval", &[("approvalId", APPROVALS), ("approvalId", &[Colleague])]),
    (
        "delegateApprovals",
        &[("organizationId", &[May(ReadOrganization, Whole)]), ("organizationId", &[Voter])],
    ),
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
    ("recordInvoicePayment", &[("invoiceId", &[May(SettlePayments, PoolAlone)])]),
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
    ("refundPurchase", &[("purchaseId", &[May(SettlePayments, PoolAlone)])]),
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
    ("requestQuote", &[("poolId", &[May(ManagePurchases, Pool)])]),
    ("requestSignInLink", FOR_ANYBODY),
    ("resendInvitation", INVITATION),
    ("resolveCreditRequest", &[("requestId", &[May(AnswerCreditRequests, PoolAlone)])]),
    ("resolveParkedPayment", &[("", &[May(SettlePayments, Vendor)])]),
    ("resumeOrganization", SUSPEND),
    ("revokeApiKey", KEY),
    ("revokeDelegation", &[("delegationId", &[Own, May(ManageApprovalPolicy, Whole)])]),
    ("revokeInvitation", INVITATION),
    ("revokeSession", &[("", &[Person]), ("sessionId", &[Own])]),
    ("rotateApiKey", KEY),
    ("saveApprovalPolicy", &[("organizationId", &[May(ManageApprovalPolicy, Whole)])]),
    ("savePackage", CATALOG),
    ("saveService", CATALOG),
    ("saveVolumeTiers", CATALOG),
    ("setAllocationRefill", ALLOCATE),
    ("setBillingProfile", &[("organizationId", &[May(ManageBilling, Whole)])]),
    ("setPaymentTerms", &[("organizationId", &[May(SetPrices, Whole)])]),
    ("setAutoTopUp", &[("poolId", &[May(ManageBilling, PoolAlone)])]),
    ("setContractPrice", PRICES),
    ("setOrganizationLogo", &[("organizationId", &[May(UpdateOrganization, Whole)])]),
    ("setOrganizationPrice", PRICES),
    (
        "simulateApprovalPolicy",
        &[("organizationId", &[May(ReadApprovalPolicy, Whole), May(ManageApprovalPolicy, Whole)])],
    ),
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
    ("updatePurchase", PURCHASE),
    ("updateSpendingCap", CAP),
    ("voidHold", HELD),
    ("withdrawCreditRequest", &[("requestId", &[Own])]),
    ("withdrawQuote", &[("quoteId", &[May(ManagePurchases, PoolAlone)])]),
];

const UNALLOCATED: &[Step] = &[("poolId", &[May(ChargeUnallocated, Pool)])];
const NEW_OWNER: &[Step] =
    &[("organizationId", &[May(ManageMembers, Whole)]), ("organizationId", &[May(ManageOwners, Whole)])];

/// What takes something else when a field of the input is left out, or says something else: the field of the root, the
/// field of the input, and what that says.
pub const OTHERWISE: &[(&str, &str, Option<&str>, &[Step])] = &[
    (
        "addMember",
        "role",
        Some("OWNER"),
        &[("organizationId", &[May(AddMembers, Whole)]), ("organizationId", &[May(ManageOwners, Whole)])],
    ),
    ("chargeCredits", "departmentId", None, UNALLOCATED),
    ("chargeCreditsBatch", "departmentId", None, UNALLOCATED),
    ("explainCharge", "departmentId", None, UNALLOCATED),
    ("holdCredits", "departmentId", None, UNALLOCATED),
    ("inviteMember", "role", Some("OWNER"), NEW_OWNER),
    ("quoteCharge", "departmentId", None, UNALLOCATED),
];

/// Mutations that nothing else goes on after: they come last, and one after another.
pub const LAST: &[&str] = &["freezePool", "unfreezePool", "suspendOrganization", "resumeOrganization"];
