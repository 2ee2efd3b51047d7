//! Organizations that may only read: what is changed in one that is suspended is refused here, where every change
//! comes by before it is committed. The ledger's commands do not come by: they are refused by the ledger itself.
//!
//! The state is looked at with the head of the log locked, and whoever suspends an organization writes that to the
//! same log: what has its record before that one was done before, and what would come after it finds the state as it
//! is then. So nothing slips through in between, and no other lock is needed.

use bursar_domain::ledger::Refusal;
use bursar_domain::organization::OrganizationState;
use bursar_entity::organization;
use sea_orm::QuerySelect;

use super::Change;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// What goes on all the same, by the names of the changes.
const GOES_ON: &[&str] = &[
    // What the vendor's staff needs to get things straight.
    "suspendOrganization",
    "resumeOrganization",
    "freezePool",
    "unfreezePool",
    "erasePerson",
    // What only takes somebody's access away. To have a person forgotten takes some of it. A role that is lowered is
    // told from one that is raised by the change itself.
    "removeMember",
    "removeDepartmentMember",
    "removePoolAdministrator",
    "revokeInvitation",
    "revokeApiKey",
    "withdrawTopUpConsent",
    "revokeDelegation",
    // What follows when somebody is no longer there.
    "escalateApproval",
    // Who belongs to it comes in to read, and goes.
    "requestSignInLink",
    "redeemSignInLink",
    "refuseSignInLink",
    "refreshSession",
    "reuseRefreshToken",
    "signOut",
    "revokeSession",
    "refuseSession",
    "refuseApiKey",
    "refuseInvitation",
    "refuseTopUpConsent",
    "signInByProvider",
    "refuseSignInByProvider",
    "linkIdentity",
    // What has happened where money is paid is recorded, whether it is convenient or not.
    "payPurchase",
    "cancelCheckout",
    "awaitPayment",
    "failPayment",
    "namePayment",
    "parkPayment",
    "refundPurchase",
    "disputePurchase",
    "switchOffTopUp",
    "recordInvoicePayment",
    "overdueInvoice",
    "expirePurchase",
    // What time has ended.
    "expireQuote",
    "expireApproval",
];

/// Refuses a change in an organization that may only read. The head of its log is locked.
///
/// # Errors
/// [`Refusal::OrganizationSuspended`]; what the database answers.
pub(super) async fn require_open(txn: &Txn, tenant: Tenant, change: &Change) -> Result<()> {
    if tenant.is_vendor() || change.takes_access || GOES_ON.contains(&change.action) {
        return Ok(());
    }
    let state = tenant.find::<organization::Entity>().select_only().column(organization::Column::State);
    match state.into_tuple::<OrganizationState>().one(txn).await? {
        Some(OrganizationState::Suspended) => Err(Error::Refused(Refusal::OrganizationSuspended)),
        Some(OrganizationState::Active) | None => Ok(()),
    }
}
