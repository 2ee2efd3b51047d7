//! What the table must never allow.

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
fn only_who_is_asked_decides_and_only_owners_say_who_is() {
    for grant in Grant::ALL {
        let decides = permits(*grant, Action::DecideApprovals);
        assert_eq!(decides, *grant == Grant::Approver, "{grant:?}");
        let manages = permits(*grant, Action::ManageApprovalPolicy);
        assert_eq!(manages, *grant == Grant::Owner, "{grant:?}");
    }
}

#[test]
fn only_the_vendor_suspends_has_people_forgotten_and_adds_them_unasked() {
    for grant in Grant::ALL {
        for action in [Action::SuspendOrganization, Action::ErasePeople, Action::AddMembers] {
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
            (Action::AddMembers, Action::ManageMembers),
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
            (Action::DecideApprovals, Action::ReadApprovals),
            (Action::ManagePurchases, Action::ReadApprovals),
            (Action::ManageApprovalPolicy, Action::ReadApprovalPolicy),
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
