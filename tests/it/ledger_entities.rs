//! The ledger's tables hold and give back their entities: the second half of `entities`.

use bursar::db::Txn;
use bursar_domain::actor::ActorKind;
use bursar_domain::id::*;
use bursar_domain::ledger::{
    AccountKind, CauseKind, HoldState, Key, LotClass, LotSource, Overflow, RequestHash, TransferKind,
};
use bursar_domain::period::PeriodKind;
use bursar_domain::request::CreditRequestState;
use bursar_domain::{Credits, Timestamp};
use bursar_entity::*;

use crate::entities::round_trip;

/// The pool, the department and the person are there already.
pub async fn insert_all(txn: &Txn, organization_id: OrganizationId, service_id: ServiceId) {
    let at = Timestamp::from_micros(1_234_567_890_123_456);
    let credits = |n| Credits::new(n).unwrap();
    let (user_id, pool_id, department_id) =
        (UserId::from_u128(2), PoolId::from_u128(3), DepartmentId::from_u128(4));
    let (account_id, lot_id, entry_id) =
        (AccountId::from_u128(5), LotId::from_u128(6), EntryId::from_u128(7));
    let (key, hash) = (Key([8; 16]), RequestHash([9; 16]));
    round_trip::<pool_head::Entity, _>(
        txn,
        pool_head::Model {
            organization_id,
            pool_id,
            version: 1,
            clock: at,
            posted: 5,
            held: 2,
            issued: -9,
            consumed: 1,
            expired: 1,
            revoked: 1,
            debt: 0,
            clearing: 1,
            hash: vec![1; 32],
            revision: 3,
            due_at: Some(at),
            receivable: 7,
            adjusted: -8,
            revoking: 1,
        },
    )
    .await;
    round_trip::<account::Entity, _>(
        txn,
        account::Model {
            organization_id,
            pool_id,
            id: account_id,
            department_id: Some(department_id),
            posted: credits(5),
            held: credits(2),
            created_at: at,
            overflow: Overflow::Unallocated,
            refill_amount: Some(credits(10)),
            refill_rollover: Some(credits(0)),
            refill_period: Some(PeriodKind::Quarter),
            refill_start: Some(Timestamp::EPOCH),
            refill_end: Some(at),
            refill_shortfall: None,
            seal: None,
            terms_seal: None,
        },
    )
    .await;
    round_trip::<lot::Entity, _>(
        txn,
        lot::Model {
            organization_id,
            id: lot_id,
            pool_id,
            source: LotSource::Grant,
            class: LotClass::Promotional,
            priority: -1,
            credits: credits(9),
            cost: 0,
            currency: None,
            expires_at: Some(at),
            purchase_id: None,
            entry_id,
            created_at: at,
            replaces: Some(LotId::from_u128(60)),
            seal: None,
        },
    )
    .await;
    round_trip::<lot_position::Entity, _>(
        txn,
        lot_position::Model {
            organization_id,
            pool_id,
            account_id,
            lot_id,
            credits: credits(5),
            held: credits(2),
            cost: 7,
            open: true,
            revoking: credits(1),
            disputed: credits(1),
            contested: credits(0),
        },
    )
    .await;
    round_trip::<transfer::Entity, _>(
        txn,
        transfer::Model {
            organization_id,
            pool_id,
            version: 1,
            kind: TransferKind::Lapse,
            debit_kind: AccountKind::Allocation,
            credit_kind: AccountKind::Expired,
            debit_id: Some(account_id),
            credit_id: None,
            lot_id,
            credits: credits(1),
            cost: 1,
            debit_after: 5,
            credit_after: 1,
            held_after: 2,
            pool_posted_after: 5,
            pool_held_after: 2,
            debt_after: 0,
            cause_kind: CauseKind::Clock,
            cause_id: None,
            created_at: at,
            effective_at: Some(Timestamp::EPOCH),
            hash: vec![2; 32],
            counterpart_pool_id: Some(pool_id),
            counterpart_version: Some(2),
        },
    )
    .await;
    round_trip::<charge::Entity, _>(
        txn,
        charge::Model {
            organization_id,
            id: ChargeId::from_u128(15),
            pool_id,
            account_id,
            department_id: None,
            on_behalf_of: Some(user_id),
            actor_kind: ActorKind::System,
            actor_id: None,
            origin: None,
            lines: "[]".into(),
            credits: credits(1),
            reference: Some("r".into()),
            subject: None,
            metadata: Some("{}".into()),
            idempotency_key: key,
            request_hash: hash,
            version: 1,
            slices: 1,
            created_at: at,
            hold_id: Some(HoldId::from_u128(61)),
            seal: Some(vec![3; 32]),
        },
    )
    .await;
    round_trip::<journal_entry::Entity, _>(
        txn,
        journal_entry::Model {
            organization_id,
            id: entry_id,
            pool_id,
            kind: TransferKind::Issue,
            account_id,
            lot_id: Some(lot_id),
            purchase_id: None,
            actor_kind: ActorKind::User,
            actor_id: Some(uuid::Uuid::from_u128(2)),
            origin: Some("o".into()),
            credits: credits(9),
            reason: None,
            reference: None,
            metadata: None,
            idempotency_key: key,
            request_hash: hash,
            version: 1,
            slices: 1,
            created_at: at,
            department_id: Some(department_id),
            to_pool_id: Some(pool_id),
            to_account_id: Some(account_id),
            to_department_id: None,
            charge_id: Some(ChargeId::from_u128(15)),
            provider_fault: Some(true),
            guaranteed: Some(false),
            hold_id: None,
            cost: 3,
            seal: None,
        },
    )
    .await;
    round_trip::<hold::Entity, _>(
        txn,
        hold::Model {
            organization_id,
            id: HoldId::from_u128(61),
            pool_id,
            account_id,
            department_id: Some(department_id),
            on_behalf_of: None,
            spender: Some(user_id),
            actor_kind: ActorKind::User,
            actor_id: Some(uuid::Uuid::from_u128(2)),
            origin: None,
            lines: "[]".into(),
            credits: credits(3),
            reference: Some("h".into()),
            subject: None,
            metadata: None,
            idempotency_key: key,
            request_hash: hash,
            version: 2,
            slices: 1,
            created_at: at,
            expires_at: at,
            seal: Some(vec![5; 32]),
            state: HoldState::Captured,
            captured: credits(2),
            captured_units: "[1]".into(),
            held_slices: "[]".into(),
            closed_at: Some(at),
        },
    )
    .await;
    round_trip::<claimed_reference::Entity, _>(
        txn,
        claimed_reference::Model {
            organization_id,
            reference: "h".into(),
            charge_id: None,
            hold_id: Some(HoldId::from_u128(61)),
        },
    )
    .await;
    let cap_id = CapId::from_u128(63);
    round_trip::<spending_cap::Entity, _>(
        txn,
        spending_cap::Model {
            organization_id,
            id: cap_id,
            pool_id,
            department_id: None,
            user_id: None,
            service_id: Some(service_id),
            credits: credits(0),
            period: Some(PeriodKind::Month),
            removed_at: Some(at),
            created_at: at,
        },
    )
    .await;
    round_trip::<spending_cap_raise::Entity, _>(
        txn,
        spending_cap_raise::Model {
            organization_id,
            id: RaiseId::from_u128(64),
            pool_id,
            cap_id,
            credits: credits(4),
            until: at,
            actor_kind: ActorKind::System,
            actor_id: None,
            reason: Some("r".into()),
            created_at: at,
        },
    )
    .await;
    round_trip::<spending_cap_period::Entity, _>(
        txn,
        spending_cap_period::Model {
            organization_id,
            pool_id,
            cap_id,
            period_start: Timestamp::EPOCH,
            period_end: at,
            used: credits(1),
            held: credits(2),
        },
    )
    .await;
    round_trip::<guarantee_use::Entity, _>(
        txn,
        guarantee_use::Model { organization_id, service_id, month_start: at, used: 2 },
    )
    .await;
    round_trip::<credit_request::Entity, _>(
        txn,
        credit_request::Model {
            organization_id,
            id: CreditRequestId::from_u128(62),
            pool_id,
            department_id,
            requested_by: user_id,
            credits: credits(9),
            reason: None,
            state: CreditRequestState::CapRaised,
            resolved_by: Some(user_id),
            resolved_at: Some(at),
            note: Some("n".into()),
            entry_id: Some(entry_id),
            raise_id: None,
            purchase_id: None,
            idempotency_key: Some(key),
            request_hash: Some(hash),
            created_at: at,
        },
    )
    .await;
    round_trip::<timed_task::Entity, _>(
        txn,
        timed_task::Model {
            organization_id,
            kind: "BOOK_DUE".into(),
            subject_id: uuid::Uuid::from_u128(3),
            due_at: at,
            leased_until: Some(at),
            lease: Some(uuid::Uuid::from_u128(65)),
            attempts: 1,
            last_error: Some("e".into()),
        },
    )
    .await;
}
