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
        /// Add and remove members below owner, and change their roles.
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
        // What the vendor alone does with an organization's books is out of its own hands.
        Grant::Owner => !matches!(
            action,
            CreateOrganization
                | SuspendOrganization
                | ErasePeople
                | RefundCharges
                | CorrectLedger
                | FreezePools
                | SaveCatalog
                | SetPrices
                | SettlePayments
        ),
        Grant::Admin => {
            !matches!(action, UpdateOrganization | ExportOrganization | ManageOwners | ManageSingleSignOn)
                && permits(Grant::Owner, action)
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
            ReadOrganization | ReadDepartment | ReadPool | ReadDepartmentCharges | ReadPurchases
        ),
        Grant::ScopePurchasesWrite => {
            matches!(action, ReadOrganization | ReadPool | ReadPurchases | ManagePurchases)
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
mod tests {
    use super::*;

    #[test]
    fn auditors_change_nothing() {
        for action in Action::ALL {
            assert!(!permits(Grant::Auditor, *action) || action.name().starts_with("Read"), "{action:?}");
        }
    }

    #[test]
    fn only_the_vendor_corrects_books() {
        for grant in Grant::ALL {
            for action in [
                Action::RefundCharges,
                Action::CorrectLedger,
                Action::FreezePools,
                Action::SaveCatalog,
                Action::SetPrices,
                Action::SettlePayments,
            ] {
                assert_eq!(permits(*grant, action), *grant == Grant::Operator, "{grant:?} {action:?}");
            }
        }
    }

    #[test]
    fn only_the_vendor_suspends_and_has_people_forgotten() {
        for grant in Grant::ALL {
            for action in [Action::SuspendOrganization, Action::ErasePeople] {
                assert_eq!(permits(*grant, action), *grant == Grant::Operator, "{grant:?} {action:?}");
            }
            let takes_out = matches!(grant, Grant::Owner | Grant::Operator);
            assert_eq!(permits(*grant, Action::ExportOrganization), takes_out, "{grant:?}");
        }
    }

    #[test]
    fn nobody_below_owner_makes_owners_or_says_who_vouches_for_people() {
        for grant in Grant::ALL {
            for action in [Action::ManageOwners, Action::ManageSingleSignOn] {
                let may = permits(*grant, action);
                assert_eq!(may, matches!(grant, Grant::Owner | Grant::Operator), "{grant:?} {action:?}");
            }
        }
    }

    #[test]
    fn keys_manage_neither_people_nor_keys_nor_settings() {
        for scope in crate::scope::Scope::ALL {
            for action in Action::ALL {
                let given = permits(scope.grant(), *action);
                let managing = action.name().starts_with("Manage") && *action != Action::ManagePurchases;
                assert!(!given || !managing, "{scope} {action:?}");
                // What ends with `:read` changes nothing.
                let reads = action.name().starts_with("Read");
                assert!(!given || reads || scope.as_str().ends_with(":write"), "{scope} {action:?}");
                // An owner has whatever a key can be given.
                assert!(!given || permits(Grant::Owner, *action), "{scope} {action:?}");
            }
            assert!(permits(scope.grant(), Action::ReadOrganization), "{scope}");
        }
    }

    #[test]
    fn only_refunds_are_covered_by_more() {
        for grant in Grant::ALL {
            for action in Action::ALL {
                let more = *grant == Grant::Operator && *action == Action::RefundUnderGuarantee;
                assert_eq!(covers(*grant, *action), permits(*grant, *action) || more, "{grant:?} {action:?}");
            }
        }
    }

    #[test]
    fn whoever_changes_also_sees() {
        for grant in Grant::ALL {
            for (change, see) in [
                (Action::ManageMembers, Action::ReadMembers),
                (Action::SuspendOrganization, Action::ReadOrganization),
                (Action::ErasePeople, Action::ReadMembers),
                (Action::ExportOrganization, Action::ReadAudit),
                (Action::ExportOrganization, Action::ReadLedger),
                (Action::ManageDepartments, Action::ReadDepartment),
                (Action::ManagePools, Action::ReadPool),
                (Action::AllocateCredits, Action::ReadLedger),
                (Action::ChargeDepartment, Action::ReadDepartmentCharges),
                (Action::ManageSpendingCaps, Action::ReadLedger),
                (Action::AnswerCreditRequests, Action::ReadLedger),
                (Action::RequestCredits, Action::ReadPool),
                (Action::AnswerCreditRequests, Action::AllocateCredits),
                (Action::AnswerCreditRequests, Action::ManageSpendingCaps),
                (Action::AnswerCreditRequests, Action::ManagePurchases),
                (Action::RefundUnderGuarantee, Action::ReadDepartmentCharges),
                (Action::RefundCharges, Action::ReadLedger),
                (Action::CorrectLedger, Action::ReadLedger),
                (Action::FreezePools, Action::ReadPool),
                (Action::ManagePurchases, Action::ReadPurchases),
                (Action::ManageBilling, Action::ReadPurchases),
                (Action::SetPrices, Action::ReadPurchases),
                (Action::SettlePayments, Action::ReadPurchases),
                (Action::ManageDeliveries, Action::ReadDeliveries),
                (Action::ManageApiKeys, Action::ReadApiKeys),
                (Action::ManageSingleSignOn, Action::ReadSingleSignOn),
                // Members show their departments and pools.
                (Action::ReadMembers, Action::ReadDepartment),
                (Action::ReadMembers, Action::ReadPool),
            ] {
                assert!(!permits(*grant, change) || permits(*grant, see), "{grant:?} {change:?}");
            }
        }
    }
}
