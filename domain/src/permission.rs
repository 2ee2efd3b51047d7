//! Who may do what: one pure table. The shell finds out which grants a caller has on a target and
//! asks [`permits`]; no other place decides about permissions.

use crate::organization::Role;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$item_doc])* $item),+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$item),+];

            /// The name as it stands in the printed table.
            pub const fn name(self) -> &'static str {
                match self { $($name::$item => stringify!($item)),+ }
            }
        }
    };
}

named! {
    /// What a caller is to the thing that an action is about.
    Grant {
        /// The vendor's staff.
        Operator,
        /// An owner of the organization.
        Owner,
        /// An administrator of the organization.
        Admin,
        /// An auditor of the organization.
        Auditor,
        /// A member of the organization, whatever the role.
        Member,
        /// An administrator of the pool.
        PoolAdministrator,
        /// An administrator of some pool of the organization, which may not be the one at hand.
        AnyPoolAdministrator,
        /// A manager of the department (or, for a pool, of a department that has credits there).
        DepartmentManager,
        /// A member of the department (or, for a pool, of a department that has credits there).
        DepartmentMember,
        /// Somebody who is asked to decide about the purchase at hand, or stands in for somebody who is.
        Approver,
        /// A key with the scope `charges:write`.
        ScopeChargesWrite,
        /// A key with the scope `balances:read`.
        ScopeBalancesRead,
        /// A key with the scope `reports:read`.
        ScopeReportsRead,
        /// A key with the scope `purchases:write`.
        ScopePurchasesWrite,
        /// A key with the scope `ledger:read`.
        ScopeLedgerRead,
        /// A key with the scope `allocations:write`.
        ScopeAllocationsWrite,
        /// A key with the scope `members:read`.
        ScopeMembersRead,
        /// A key with the scope `audit:read`.
        ScopeAuditRead,
    }
}

named! {
    /// What can be done.
    Action {
        /// Found an organization.
        CreateOrganization,
        /// See the organization, its name, state and catalog.
        ReadOrganization,
        /// Change the organization's name and time zone.
        UpdateOrganization,
        /// Have the organization do nothing but read, and let it act again.
        SuspendOrganization,
        /// Take out everything that is kept of the organization.
        ExportOrganization,
        /// Have a person forgotten, wherever they are named.
        ErasePeople,
        /// See who belongs to the organization.
        ReadMembers,
        /// Add people to the organization who have not agreed to it.
        AddMembers,
        /// Invite people, and remove members below owner and change their roles.
        ManageMembers,
        /// Make and unmake owners.
        ManageOwners,
        /// See a department and who is in it.
        ReadDepartment,
        /// Create, change and archive departments.
        ManageDepartments,
        /// Add and remove a department's members.
        ManageDepartmentMembers,
        /// See a pool and its balances.
        ReadPool,
        /// Create, change and archive pools.
        ManagePools,
        /// Name and dismiss a pool's administrators.
        ManagePoolAdministrators,
        /// See all movements and lots of a pool, and what every department has.
        ReadLedger,
        /// Move credits between unallocated and departments.
        AllocateCredits,
        /// Make, change, raise and remove the spending caps of a pool.
        ManageSpendingCaps,
        /// Answer those who ask a pool for credits.
        AnswerCreditRequests,
        /// Ask a pool for credits for a department.
        RequestCredits,
        /// Charge credits that no department has.
        ChargeUnallocated,
        /// See a department's allocations and charges.
        ReadDepartmentCharges,
        /// Charge a department's credits.
        ChargeDepartment,
        /// Refund charges of a pool as far as the services' guarantees go.
        RefundUnderGuarantee,
        /// Refund any charge.
        RefundCharges,
        /// Grant credits, correct balances, extend lots, import opening balances.
        CorrectLedger,
        /// Close a pool to writing, and open it again.
        FreezePools,
        /// See purchases.
        ReadPurchases,
        /// Ask for a purchase, start its checkout, withdraw it.
        ManagePurchases,
        /// Say what documents say of the organization, and let pools buy by themselves.
        ManageBilling,
        /// See who is asked to agree to a purchase, and what they have decided.
        ReadApprovals,
        /// Agree to a purchase, or reject it.
        DecideApprovals,
        /// See which purchases need whose consent.
        ReadApprovalPolicy,
        /// Say which purchases need whose consent, and end that somebody stands in for somebody.
        ManageApprovalPolicy,
        /// Add services and packages, new versions of them, and volume tiers.
        SaveCatalog,
        /// Agree on prices and terms of payment with an organization, and answer its quote requests.
        SetPrices,
        /// Give payments back, record those of invoices, decide about money that could not be booked.
        SettlePayments,
        /// See the audit log.
        ReadAudit,
        /// See what was sent to whom, and what has become of it.
        ReadDeliveries,
        /// Have sent again what was given up.
        ManageDeliveries,
        /// See which API keys there are, never the keys themselves.
        ReadApiKeys,
        /// Make, rotate and revoke API keys, with no more than one may do oneself.
        ManageApiKeys,
        /// See which identity provider is believed, and about whom.
        ReadSingleSignOn,
        /// Say which identity provider is believed, and about whom.
        ManageSingleSignOn,
    }
}

impl Grant {
    /// The grant that a role gives.
    pub const fn of(role: Role) -> Grant {
        match role {
            Role::Owner => Grant::Owner,
            Role::Admin => Grant::Admin,
            Role::Auditor => Grant::Auditor,
            Role::Member => Grant::Member,
        }
    }
}

/// Whether a grant on the target allows the action.
pub const fn permits(grant: Grant, action: Action) -> bool {
    use Action::*;
    match grant {
        Grant::Operator => matches!(
            action,
            CreateOrganization
                | ReadOrganization
                | UpdateOrganization
                | SuspendOrganization
                | ExportOrganization
                | ErasePeople
                | ReadMembers
                | AddMembers
                | ManageMembers
                | ManageOwners
                | ReadDepartment
                | ReadPool
                | ReadLedger
                | ChargeUnallocated
                | ReadDepartmentCharges
                | ChargeDepartment
                | RefundCharges
                | CorrectLedger
                | FreezePools
                | ReadPurchases
                | ReadApprovals
                | ReadApprovalPolicy
                | SaveCatalog
                | SetPrices
                | SettlePayments
                | ReadAudit
                | ReadDeliveries
                | ManageDeliveries
                | ReadApiKeys
                | ManageApiKeys
                | ReadSingleSignOn
                | ManageSingleSignOn
        ),
        // What the vendor alone does with an organization's books is out of its own hands; and people come in when they
        // have agreed to it.
        Grant::Owner => !matches!(
            action,
            CreateOrganization
                | SuspendOrganization
                | ErasePeople
                | AddMembers
                | RefundCharges
                | CorrectLedger
                | FreezePools
                | SaveCatalog
                | SetPrices
                | SettlePayments
                // Whoever is asked may; nobody is by being an owner alone.
                | DecideApprovals
        ),
        Grant::Admin => {
            !matches!(
                action,
                UpdateOrganization
                    | ExportOrganization
                    | ManageOwners
                    | ManageSingleSignOn
                    | ManageApprovalPolicy
            ) && permits(Grant::Owner, action)
        }
        Grant::Auditor => matches!(
            action,
            ReadOrganization
                | ReadMembers
                | ReadDepartment
                | ReadPool
                | ReadLedger
                | ReadDepartmentCharges
                | ReadPurchases
                | ReadApprovals
                | ReadApprovalPolicy
                | ReadAudit
                | ReadDeliveries
                | ReadApiKeys
                | ReadSingleSignOn
        ),
        Grant::Member => matches!(action, ReadOrganization),
        Grant::PoolAdministrator => matches!(
            action,
            ReadOrganization
                | ReadDepartment
                | ReadPool
                | ReadLedger
                | AllocateCredits
                | ManageSpendingCaps
                | AnswerCreditRequests
                | RequestCredits
                | ChargeUnallocated
                | ReadDepartmentCharges
                | ChargeDepartment
                | RefundUnderGuarantee
                | ReadPurchases
                | ReadApprovals
                | ManagePurchases
        ),
        // To allocate one has to know which departments there are; no more than that.
        Grant::AnyPoolAdministrator => matches!(action, ReadOrganization | ReadDepartment),
        Grant::DepartmentManager => matches!(
            action,
            ReadOrganization
                | ReadDepartment
                | ManageDepartmentMembers
                | ReadPool
                | ReadDepartmentCharges
                | ChargeDepartment
                | RequestCredits
                | RefundUnderGuarantee
        ),
        Grant::DepartmentMember => {
            matches!(
                action,
                ReadOrganization
                    | ReadDepartment
                    | ReadPool
                    | ReadDepartmentCharges
                    | ChargeDepartment
                    | RequestCredits
            )
        }
        Grant::Approver => matches!(action, ReadOrganization | ReadApprovals | DecideApprovals),
        Grant::ScopeChargesWrite => matches!(
            action,
            ReadOrganization
                | ReadDepartment
                | ReadPool
                | ChargeUnallocated
                | ReadDepartmentCharges
                | ChargeDepartment
                | RefundUnderGuarantee
        ),
        Grant::ScopeBalancesRead => matches!(action, ReadOrganization | ReadDepartment | ReadPool),
        Grant::ScopeReportsRead => matches!(
            action,
            ReadOrganization
                | ReadDepartment
                | ReadPool
                | ReadDepartmentCharges
                | ReadPurchases
                | ReadApprovals
        ),
        Grant::ScopePurchasesWrite => {
            matches!(action, ReadOrganization | ReadPool | ReadPurchases | ReadApprovals | ManagePurchases)
        }
        Grant::ScopeLedgerRead => matches!(
            action,
            ReadOrganization | ReadDepartment | ReadPool | ReadLedger | ReadDepartmentCharges
        ),
        Grant::ScopeAllocationsWrite => matches!(
            action,
            ReadOrganization
                | ReadDepartment
                | ReadPool
                | ReadLedger
                | ReadDepartmentCharges
                | AllocateCredits
        ),
        Grant::ScopeMembersRead => {
            matches!(action, ReadOrganization | ReadMembers | ReadDepartment | ReadPool)
        }
        Grant::ScopeAuditRead => matches!(action, ReadOrganization | ReadAudit),
    }
}

/// Whether a grant allows an action or one that is more than it: who may refund any charge may refund those
/// that a guarantee covers.
pub const fn covers(grant: Grant, action: Action) -> bool {
    let more = matches!(action, Action::RefundUnderGuarantee) && permits(grant, Action::RefundCharges);
    more || permits(grant, action)
}

/// The table as a Markdown document, checked in as `docs/permissions.md`.
pub fn table() -> String {
    let mut text = String::from(
        "# Permissions\n\nPrinted from `domain/src/permission.rs`; a test compares it. Rows are actions, columns \
         are what the\ncaller is to the thing that the action is about.\n\n| |",
    );
    for grant in Grant::ALL {
        text += &format!(" {} |", grant.name());
    }
    text += "\n|---|";
    text += &":-:|".repeat(Grant::ALL.len());
    for action in Action::ALL {
        text += &format!("\n| {} |", action.name());
        for grant in Grant::ALL {
            text += if permits(*grant, *action) { " yes |" } else { " |" };
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
