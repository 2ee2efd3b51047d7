//! Every table holds and gives back its entity, on both databases.

use bursar::db::{self, Database, Scope, Tenant, Txn};
use bursar_domain::actor::ActorKind;
use bursar_domain::api_key::KeyMode;
use bursar_domain::delivery::{DeliveryKind, DeliveryState, MailTemplate};
use bursar_domain::id::*;
use bursar_domain::ledger::{Key, RequestHash};
use bursar_domain::organization::{OrganizationState, PaymentTerms, Role};
use bursar_domain::pricing::{PriceBasis, UnitPrice};
use bursar_domain::purchase::{ApprovalBasis, PaymentProvider, PaymentState, PurchaseState};
use bursar_domain::scope::Scopes;
use bursar_domain::sign_on::SigningAlgorithm;
use bursar_domain::{Credits, Currency, Timestamp};
use bursar_entity::*;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel};

use crate::support::{Backend, TestDatabase};
use crate::{approval_entities, ledger_entities, on_both_databases, selling_entities};

on_both_databases!(every_entity_comes_back);

pub async fn round_trip<E, A>(txn: &Txn, row: E::Model)
where
    E: EntityTrait,
    E::Model: IntoActiveModel<A> + Clone + PartialEq + Send + Sync,
    A: ActiveModelTrait<Entity = E> + Send + Sync,
{
    E::insert(row.clone().into_active_model()).exec_without_returning(txn).await.unwrap();
    let found = E::find().all(txn).await.unwrap();
    assert!(found.contains(&row), "{row:?} is not among {found:?}");
}

async fn every_entity_comes_back(backend: Backend) {
    let database = TestDatabase::migrated(backend).await;
    let db = Database::connect(&database.addresses).await.unwrap();
    let organization_id = OrganizationId::from_u128(1);
    // The vendor alone makes somebody one of its staff.
    let email = "it's@example.test";
    let work = db::work(move |txn| {
        Box::pin(async move {
            let at = Timestamp::from_micros(1_234_567_890_123_456);
            let person = user::Model {
                id: UserId::from_u128(2),
                email: email.to_owned(),
                name: "Ä".into(),
                operator: true,
                created_at: at,
                erased_at: Some(at),
            };
            round_trip::<user::Entity, _>(txn, person).await;
            Ok(())
        })
    });
    db.write(Scope::TenantAndEmail(Tenant::vendor(), email.to_owned()), work).await.unwrap();
    let scope = Scope::TenantAndEmail(Tenant::vouched(organization_id), email.to_owned());
    let work = db::work(move |txn| {
        Box::pin(async move {
            insert_all(txn, organization_id).await;
            Ok(())
        })
    });
    db.write(scope, work).await.unwrap();
    // Counts of attempts are of no tenant.
    let work = db::work(|txn| {
        Box::pin(async move {
            let ends_at = Timestamp::from_micros(7);
            round_trip::<attempt::Entity, _>(txn, attempt::Model { bucket: "a".into(), tries: 3, ends_at })
                .await;
            Ok(())
        })
    });
    db.write(Scope::Attempts, work).await.unwrap();
    // So are a person's links and sessions.
    let user_id = UserId::from_u128(2);
    let work = db::work(move |txn| {
        Box::pin(async move {
            let at = Timestamp::from_micros(1_234_567_890_123_456);
            let id = SignInLinkId::from_u128(71);
            let link = sign_in_link::Model {
                user_id,
                id,
                created_at: at,
                expires_at: at,
                used_at: Some(at),
                wrong_codes: 2,
            };
            round_trip::<sign_in_link::Entity, _>(txn, link).await;
            let row = session::Model {
                user_id,
                id: SessionId::from_u128(72),
                generation: 3,
                created_at: at,
                last_used_at: at,
                expires_at: at,
                revoked_at: Some(at),
                organization_id: Some(OrganizationId::from_u128(73)),
                provider_revision: Some(74),
            };
            round_trip::<session::Entity, _>(txn, row).await;
            Ok(())
        })
    });
    db.write(Scope::SignIn(user_id), work).await.unwrap();
}

async fn insert_all(txn: &Txn, organization_id: OrganizationId) {
    let at = Timestamp::from_micros(1_234_567_890_123_456);
    let credits = |n| Credits::new(n).unwrap();
    let (user_id, pool_id, department_id) =
        (UserId::from_u128(2), PoolId::from_u128(3), DepartmentId::from_u128(4));
    let (key, hash) = (Key([8; 16]), RequestHash([9; 16]));
    round_trip::<organization::Entity, _>(
        txn,
        organization::Model {
            id: organization_id,
            slug: "a".into(),
            name: "A".into(),
            time_zone: "UTC".into(),
            currency: Some(Currency::USD),
            state: OrganizationState::Suspended,
            payment_terms: PaymentTerms::Invoice,
            credit_limit: Some(0),
            created_at: at,
            revision: 7,
            sandbox_of: Some(OrganizationId::from_u128(70)),
        },
    )
    .await;
    round_trip::<membership::Entity, _>(
        txn,
        membership::Model {
            organization_id,
            id: MembershipId::from_u128(10),
            user_id,
            role: Role::Auditor,
            created_at: at,
        },
    )
    .await;
    round_trip::<invitation::Entity, _>(
        txn,
        invitation::Model {
            organization_id,
            id: InvitationId::from_u128(70),
            email: "a@b.test".into(),
            role: Role::Owner,
            invited_by: user_id,
            round: 2,
            created_at: at,
            expires_at: at,
            accepted_at: Some(at),
            accepted_by: Some(user_id),
            revoked_at: None,
        },
    )
    .await;
    round_trip::<identity_provider::Entity, _>(
        txn,
        identity_provider::Model {
            organization_id,
            issuer: "https://login.example".into(),
            client_id: "c".into(),
            client_secret: Some(vec![0, 255]),
            audience: "a".into(),
            algorithm: SigningAlgorithm::EdDsa,
            joins: true,
            default_role: Role::Auditor,
            group_claim: Some("groups".into()),
            group_roles: "[]".into(),
            trusts_missing_email_verified: true,
            enabled: false,
            revision: 3,
            created_at: at,
            updated_at: at,
        },
    )
    .await;
    round_trip::<identity_provider_domain::Entity, _>(
        txn,
        identity_provider_domain::Model {
            organization_id,
            domain: "demo.test".into(),
            added_by: user_id,
            created_at: at,
        },
    )
    .await;
    round_trip::<user_identity::Entity, _>(
        txn,
        user_identity::Model {
            organization_id,
            issuer: "https://login.example".into(),
            subject: "s".into(),
            user_id,
            created_at: at,
            groups_as_of: Timestamp::EPOCH,
        },
    )
    .await;
    let left = departure::Model { organization_id, user_id, left_at: at };
    round_trip::<departure::Entity, _>(txn, left).await;
    round_trip::<department::Entity, _>(
        txn,
        department::Model {
            organization_id,
            id: department_id,
            code: "A".into(),
            name: "A".into(),
            cost_center: None,
            archived_at: Some(at),
            created_at: at,
        },
    )
    .await;
    round_trip::<department_member::Entity, _>(
        txn,
        department_member::Model { organization_id, department_id, user_id, manager: true, created_at: at },
    )
    .await;
    round_trip::<pool::Entity, _>(
        txn,
        pool::Model {
            organization_id,
            id: pool_id,
            name: "A".into(),
            allowed_services: Some("[]".into()),
            frozen_at: None,
            archived_at: None,
            created_at: at,
            frozen_reason: Some("f".into()),
            seal: Some(vec![4; 32]),
        },
    )
    .await;
    round_trip::<pool_administrator::Entity, _>(
        txn,
        pool_administrator::Model { organization_id, pool_id, user_id, created_at: at },
    )
    .await;
    let service_id = ServiceId::from_u128(11);
    round_trip::<service::Entity, _>(
        txn,
        service::Model {
            id: service_id,
            code: "X".into(),
            name: "X".into(),
            created_at: at,
            guarantee_days: Some(14),
            guarantee_quota: None,
        },
    )
    .await;
    round_trip::<service_version::Entity, _>(
        txn,
        service_version::Model {
            id: ServiceVersionId::from_u128(12),
            service_id,
            credits: credits(1),
            effective_from: at,
            created_at: at,
        },
    )
    .await;
    let (package_id, version) = (PackageId::from_u128(13), PackageVersionId::from_u128(14));
    round_trip::<package::Entity, _>(
        txn,
        package::Model { id: package_id, code: "X".into(), name: "X".into(), created_at: at },
    )
    .await;
    round_trip::<package_version::Entity, _>(
        txn,
        package_version::Model {
            id: version,
            package_id,
            credits: Credits::MAX,
            custom_price: true,
            lifetime_days: Some(1),
            effective_from: at,
            created_at: at,
        },
    )
    .await;
    round_trip::<package_price::Entity, _>(
        txn,
        package_price::Model { package_version_id: version, currency: Currency::USD, amount: 1 },
    )
    .await;
    ledger_entities::insert_all(txn, organization_id, service_id).await;
    let purchase_id = PurchaseId::from_u128(16);
    round_trip::<purchase::Entity, _>(
        txn,
        purchase::Model {
            organization_id,
            id: purchase_id,
            pool_id,
            package_version_id: version,
            requested_by: user_id,
            state: PurchaseState::Completed,
            approval_basis: Some(ApprovalBasis::Automatic),
            credits: credits(1),
            total: 1,
            currency: Currency::USD,
            lifetime_days: None,
            valid_until: at,
            note: None,
            idempotency_key: key,
            request_hash: hash,
            created_at: at,
            completed_at: Some(at),
            credit_request_id: Some(CreditRequestId::from_u128(62)),
            unit_price: UnitPrice::new(1).unwrap(),
            price_basis: PriceBasis::Quote,
            quote_id: Some(QuoteId::from_u128(80)),
            invoiced: true,
            returned: 1,
            purchase_order: Some("PO".into()),
        },
    )
    .await;
    round_trip::<payment::Entity, _>(
        txn,
        payment::Model {
            organization_id,
            id: PaymentId::from_u128(17),
            purchase_id,
            provider: PaymentProvider::Sandbox,
            provider_payment: Some("p".into()),
            state: PaymentState::Paid,
            amount: 1,
            currency: Currency::USD,
            idempotency_key: key,
            request_hash: hash,
            created_at: at,
            paid_at: None,
            provider_session: Some("s".into()),
            provider_url: Some("https://pay.test/s".into()),
            payment_method_id: Some(PaymentMethodId::from_u128(81)),
            failure: Some("f".into()),
            title: Some("t".into()),
        },
    )
    .await;
    selling_entities::insert_all(txn, organization_id, (pool_id, purchase_id)).await;
    approval_entities::insert_all(txn, organization_id, (pool_id, purchase_id, version)).await;
    round_trip::<delivery::Entity, _>(
        txn,
        delivery::Model {
            organization_id,
            id: DeliveryId::from_u128(19),
            kind: DeliveryKind::Mail,
            template: Some(MailTemplate::SignInLink),
            recipient: "it's@example.test".into(),
            facts: "{}".into(),
            link_about: Some("a".into()),
            link_path: Some("/a/{token}".into()),
            state: DeliveryState::Delivered,
            attempts: 2,
            due_at: at,
            leased_until: Some(at),
            lease: Some(uuid::Uuid::from_u128(20)),
            last_error: Some("e".into()),
            created_at: at,
            delivered_at: Some(at),
        },
    )
    .await;
    let (first, second) = (ApiKeyId::from_u128(19), ApiKeyId::from_u128(20));
    let old = api_key::Model {
        organization_id,
        id: first,
        name: "K".into(),
        hash: vec![1; 32],
        hint: "abcd".into(),
        mode: KeyMode::Test,
        scopes: Scopes::parse("charges:write,audit:read").unwrap(),
        pools: Some("[]".into()),
        departments: None,
        created_by: user_id,
        created_at: at,
        expires_at: Some(at),
        last_used_at: None,
        revoked_at: Some(at),
        replaces: None,
    };
    let new = api_key::Model { id: second, hash: vec![2; 32], replaces: Some(first), ..old.clone() };
    round_trip::<api_key::Entity, _>(txn, old).await;
    round_trip::<api_key::Entity, _>(txn, new).await;
    round_trip::<audit_event::Entity, _>(
        txn,
        audit_event::Model {
            organization_id,
            id: AuditEventId::from_u128(18),
            actor_kind: ActorKind::System,
            actor_id: None,
            origin: None,
            action: "a".into(),
            subject: "s".into(),
            before: None,
            after: Some("{}".into()),
            created_at: at,
            position: 1,
            on_behalf_of: Some(user_id),
            personal: Some("{}".into()),
            link: Some(vec![5; 32]),
        },
    )
    .await;
    round_trip::<audit_head::Entity, _>(
        txn,
        audit_head::Model { organization_id, position: 1, unchained: 0, link: vec![5; 32] },
    )
    .await;
    let event_id = AuditEventId::from_u128(18);
    let kept = personal_value::Model {
        organization_id,
        event_id,
        name: "email".into(),
        user_id: Some(user_id),
        salt: Some(vec![6; 32]),
        value: Some("it's@example.test".into()),
        erased_at: None,
    };
    round_trip::<personal_value::Entity, _>(txn, kept.clone()).await;
    let name = "address".into();
    let emptied = personal_value::Model { name, salt: None, value: None, erased_at: Some(at), ..kept };
    round_trip::<personal_value::Entity, _>(txn, emptied).await;
}
