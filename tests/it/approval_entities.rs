//! The tables of approvals hold and give back their entities. See `entities`.

use bursar::db::Txn;
use bursar_domain::approval::{
    Choice, DecisionException, DecisionWay, EscalationReason, Language, LinkKind, Payer, RequestState,
    RoundCause,
};
use bursar_domain::id::*;
use bursar_domain::ledger::{Key, RequestHash};
use bursar_domain::{Credits, Currency, Timestamp};
use bursar_entity::*;

use crate::entities::round_trip;

/// A row of each. The organization, the pool, the purchase and the version of the package are there.
pub async fn insert_all(
    txn: &Txn,
    organization_id: OrganizationId,
    (pool_id, purchase_id, package_version_id): (PoolId, PurchaseId, PackageVersionId),
) {
    let at = Timestamp::from_micros(1_234_567_890_123_456);
    let (request_id, policy_id) = (ApprovalId::from_u128(200), PolicyId::from_u128(201));
    let (link_id, user) = (ApprovalLinkId::from_u128(202), UserId::from_u128(2));
    let row = approval_policy::Model {
        organization_id,
        id: policy_id,
        version: 1,
        rules: "[]".into(),
        currency: Some(Currency::USD),
        remind_after: 1,
        escalate_after: 2,
        expire_after: 3,
        sign_in_above: Some(0),
        payer: Payer::Approver,
        language: Language::German,
        saved_by: user,
        created_at: at,
    };
    round_trip::<approval_policy::Entity, _>(txn, row).await;
    let row = approval_request::Model {
        organization_id,
        id: request_id,
        purchase_id,
        pool_id,
        requested_by: user,
        state: RequestState::Approved,
        round: 1,
        stage: 1,
        stage_since: at,
        reminders: 2,
        ended_at: Some(at),
        used_at: Some(at),
        created_at: at,
    };
    round_trip::<approval_request::Entity, _>(txn, row).await;
    let row = approval_round::Model {
        organization_id,
        request_id,
        round: 1,
        cause: RoundCause::PriceExpired,
        policy_id,
        rule: 0,
        rule_name: "r".into(),
        stages: "[]".into(),
        pool_id,
        package_version_id,
        credits: Credits::new(1).unwrap(),
        total: 1,
        currency: Currency::USD,
        lifetime_days: Some(365),
        requester: user,
        only_owner: Some(user),
        by_itself: true,
        valid_until: at,
        content_hash: vec![7; 32],
        title: "t".into(),
        reason_hash: Some(vec![5; 32]),
        expires_at: at,
        created_at: at,
    };
    round_trip::<approval_round::Entity, _>(txn, row).await;
    let row = approval_decision::Model {
        organization_id,
        id: DecisionId::from_u128(203),
        request_id,
        round: 1,
        stage: 0,
        choice: Choice::Reject,
        decided_by: user,
        seat: user,
        exception: Some(DecisionException::SoleOwner),
        way: DecisionWay::SignedInLink,
        link_id: Some(link_id),
        reason_hash: Some(vec![6; 32]),
        idempotency_key: Key([8; 16]),
        request_hash: RequestHash([9; 16]),
        created_at: at,
    };
    round_trip::<approval_decision::Entity, _>(txn, row).await;
    let kept = approval_reason::Model {
        organization_id,
        request_id,
        round: 1,
        name: "DECISION".into(),
        written_by: user,
        about: Some(user),
        salt: Some(vec![4; 32]),
        value: Some("it's dear".into()),
        erased_at: None,
    };
    round_trip::<approval_reason::Entity, _>(txn, kept.clone()).await;
    let name = "ROUND".into();
    let emptied = approval_reason::Model { name, salt: None, value: None, erased_at: Some(at), ..kept };
    round_trip::<approval_reason::Entity, _>(txn, emptied).await;
    let row = approval_escalation::Model {
        organization_id,
        request_id,
        round: 1,
        number: 1,
        stage: 0,
        reason: EscalationReason::Unreachable,
        owners: "[]".into(),
        sole_owner: true,
        created_at: at,
    };
    round_trip::<approval_escalation::Entity, _>(txn, row).await;
    let row = approval_delegation::Model {
        organization_id,
        id: DelegationId::from_u128(204),
        delegator: user,
        delegate: UserId::from_u128(3),
        starts_at: at,
        ends_at: at.plus_seconds(1),
        reason: Some("r".into()),
        revoked_at: Some(at),
        revoked_by: Some(user),
        created_at: at,
    };
    round_trip::<approval_delegation::Entity, _>(txn, row).await;
    let row = brand::Model { organization_id, logo: vec![1, 2, 3], updated_at: at };
    round_trip::<brand::Entity, _>(txn, row).await;
    let row = approval_link::Model {
        organization_id,
        id: link_id,
        kind: LinkKind::Pay,
        request_id,
        round: 1,
        user_id: user,
        expires_at: at,
        used_at: Some(at),
        withdrawn_at: Some(at),
        wrong_codes: 5,
        created_at: at,
    };
    round_trip::<approval_link::Entity, _>(txn, row).await;
}
