//! What each mutation leaves in the audit log.

/// What a mutation leaves in the log.
#[derive(Clone, Copy, Debug)]
pub enum Leaves {
    /// An event with its own name.
    Event,
    /// Two events: what it did was two things.
    Events([&'static str; 2]),
    /// Several entries, by their names in the log.
    All(&'static [&'static str]),
    /// A row of the ledger, by its name in the log.
    Row(&'static str),
    /// Nothing: it only looks.
    Nothing,
}

/// The table. `importBalances` corrects what was not there.
pub fn leaves(mutation: &str) -> Leaves {
    match mutation {
        // The organization, and its first owner.
        "createOrganization" => Leaves::Events(["addMember", "createOrganization"]),
        // What the organization forgets of the person, and that the person is no member any more.
        "erasePerson" => Leaves::Events(["erasePerson", "removeMember"]),
        // The old key, which ends, and the new one.
        "rotateApiKey" => Leaves::Events(["rotateApiKey", "rotateApiKey"]),
        // That it was asked for, and that the provider has done it; and the credits that were taken back.
        "refundPurchase" => Leaves::All(&["refundPurchase", "refundPurchase", "revokeLot"]),
        // What was decided, by what it was.
        "decideApproval" => Leaves::All(&["approvePurchase"]),
        "simulateApprovalPolicy" => Leaves::Nothing,
        "chargeCredits" | "chargeCreditsBatch" => Leaves::Row("chargeCredits"),
        "holdCredits" => Leaves::Row("holdCredits"),
        "captureHold" => Leaves::Row("captureHold"),
        "voidHold" => Leaves::Row("voidHold"),
        "refundCharge" => Leaves::Row("refundCharge"),
        "allocateCredits" => Leaves::Row("allocateCredits"),
        "reclaimCredits" => Leaves::Row("reclaimCredits"),
        "transferCredits" => Leaves::Row("transferCredits"),
        "grantCredits" => Leaves::Row("grantCredits"),
        "extendLot" => Leaves::Row("extendLot"),
        "correctBalance" | "importBalances" => Leaves::Row("correctBalance"),
        "addDepartmentMember"
        | "addMember"
        | "addPoolAdministrator"
        | "answerQuote"
        | "archiveDepartment"
        | "archivePool"
        | "cancelPurchase"
        | "configureSingleSignOn"
        | "createApiKey"
        | "createDepartment"
        | "createPool"
        | "createSpendingCap"
        | "delegateApprovals"
        | "exportOrganization"
        | "freezePool"
        | "inviteMember"
        | "raiseSpendingCap"
        | "recordInvoicePayment"
        | "removeDepartmentMember"
        | "removeMember"
        | "removePoolAdministrator"
        | "removeSpendingCap"
        | "replayDelivery"
        | "resendInvitation"
        | "revokeApiKey"
        | "revokeDelegation"
        | "revokeInvitation"
        | "requestCredits"
        | "requestPurchase"
        | "requestQuote"
        | "resolveCreditRequest"
        | "resumeOrganization"
        | "saveApprovalPolicy"
        | "setAllocationRefill"
        | "setBillingProfile"
        | "setPaymentTerms"
        | "setAutoTopUp"
        | "setContractPrice"
        | "setOrganizationLogo"
        | "setOrganizationPrice"
        | "startCheckout"
        | "suspendOrganization"
        | "unfreezePool"
        | "updateDepartment"
        | "updateMemberRole"
        | "updateOrganization"
        | "updatePool"
        | "updatePurchase"
        | "updateSpendingCap"
        | "withdrawCreditRequest"
        | "withdrawQuote" => Leaves::Event,
        other => panic!("{other} leaves what in the audit log? Say so here."),
    }
}

/// Mutations that the vendor's staff alone may carry out, or may do so without more ado.
pub const VENDORS: [&str; 18] = [
    "addMember",
    "answerQuote",
    "setContractPrice",
    "setOrganizationPrice",
    "createOrganization",
    "erasePerson",
    "resumeOrganization",
    "suspendOrganization",
    "grantCredits",
    "correctBalance",
    "extendLot",
    "importBalances",
    "freezePool",
    "unfreezePool",
    "refundCharge",
    "recordInvoicePayment",
    "setPaymentTerms",
    "refundPurchase",
];

/// Mutations of people without an organization: they are recorded in all organizations of the person, some of them
/// after the answer; see `sign_in` and `sessions`. To accept an invitation takes what a mail proves; see `invitations`.
/// What is decided about the vendor's money is recorded at the vendor; see `parked`.
pub const ASIDE: [&str; 10] = [
    "acceptInvitation",
    "requestSignInLink",
    "redeemSignInLink",
    "refreshSession",
    "signOut",
    "revokeSession",
    "resolveParkedPayment",
    // In the log of the vendor, which has no list: see `prices`.
    "savePackage",
    "saveService",
    "saveVolumeTiers",
];
