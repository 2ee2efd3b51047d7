//! The tables of prices, payments, documents and top-ups hold and give back their entities. See `entities`.

use bursar_domain::id::*;
use bursar_domain::invoice::{DocumentKind, InvoiceState};
use bursar_domain::ledger::{Key, RequestHash};
use bursar_domain::pricing::{QuoteState, UnitPrice};
use bursar_domain::purchase::{ParkedReason, ParkedState, PaymentProvider, PurchaseState};
use bursar_domain::reversal::{ReversalKind, ReversalState};
use bursar_domain::top_up::TopUpState;
use bursar_domain::{Credits, Currency, Timestamp};
use bursar_entity::*;

use crate::entities::round_trip;
use bursar::db::Txn;

/// A row of each. The pool, the purchase, its payment (17), the service (11) and the package (13) are there.
pub async fn insert_all(
    txn: &Txn,
    organization_id: OrganizationId,
    (pool_id, purchase_id): (PoolId, PurchaseId),
) {
    let at = Timestamp::from_micros(1_234_567_890_123_456);
    let credits = |n| Credits::new(n).unwrap();
    let (key, hash, unit_price) = (Key([8; 16]), RequestHash([9; 16]), UnitPrice::new(7).unwrap());
    let (currency, user, payment_id) = (Currency::USD, UserId::from_u128(2), PaymentId::from_u128(17));
    let price_list_id = PriceListId::from_u128(90);
    let row = price_list::Model { id: price_list_id, currency, effective_from: at, created_at: at };
    round_trip::<price_list::Entity, _>(txn, row).await;
    let row =
        price_tier::Model { price_list_id, from_credits: credits(5), unit_price, lifetime_days: Some(9) };
    round_trip::<price_tier::Entity, _>(txn, row).await;
    let row = organization_price::Model {
        organization_id,
        id: ServiceVersionId::from_u128(91),
        service_id: ServiceId::from_u128(11),
        credits: None,
        effective_from: at,
        created_at: at,
    };
    round_trip::<organization_price::Entity, _>(txn, row).await;
    let row = contract_price::Model {
        organization_id,
        id: ContractPriceId::from_u128(92),
        from_credits: credits(1_000),
        unit_price,
        currency,
        lifetime_days: None,
        effective_from: at,
        ends_at: Some(at),
        reason: Some("r".into()),
        created_at: at,
    };
    round_trip::<contract_price::Entity, _>(txn, row).await;
    let row = quote::Model {
        organization_id,
        id: QuoteId::from_u128(80),
        pool_id,
        requested_by: user,
        state: QuoteState::Answered,
        credits: credits(2_000),
        currency,
        unit_price: Some(unit_price),
        total: Some(1),
        lifetime_days: Some(1),
        valid_until: Some(at),
        note: Some("n".into()),
        answer: None,
        answered_at: Some(at),
        idempotency_key: key,
        request_hash: hash,
        answer_key: Some(key),
        answer_hash: Some(hash),
        created_at: at,
        expires_at: Some(at),
    };
    round_trip::<quote::Entity, _>(txn, row).await;
    let row = quote_answer::Model {
        organization_id,
        quote_id: QuoteId::from_u128(80),
        number: 1,
        state: QuoteState::Answered,
        unit_price: Some(unit_price),
        total: Some(1),
        lifetime_days: None,
        valid_until: Some(at),
        answer: Some("a".into()),
        answered_at: at,
        answer_key: Key([7; 16]),
        answer_hash: hash,
    };
    round_trip::<quote_answer::Entity, _>(txn, row).await;
    let row = parked_payment::Model {
        organization_id,
        id: ParkedPaymentId::from_u128(93),
        provider: PaymentProvider::Stripe,
        provider_reference: "pi_1".into(),
        reason: ParkedReason::AmountMismatch,
        detail: "d".into(),
        amount: 1,
        currency: "usd".into(),
        claimed_organization: Some("o".into()),
        claimed_payment: None,
        state: ParkedState::Dismissed,
        resolution: Some("r".into()),
        resolved_by: Some(user),
        resolved_at: Some(at),
        created_at: at,
        idempotency_key: Some(key),
        request_hash: Some(hash),
    };
    round_trip::<parked_payment::Entity, _>(txn, row).await;
    let row = reversal::Model {
        organization_id,
        id: ReversalId::from_u128(94),
        purchase_id,
        payment_id,
        kind: ReversalKind::Dispute,
        state: ReversalState::Lost,
        provider_reference: Some("dp_1".into()),
        amount: 1,
        currency,
        credits: credits(1),
        held_credits: credits(0),
        held_at: Some(at),
        booked_at: None,
        taken_credits: credits(1),
        taken_value: 1,
        for_nothing: 1,
        reason: Some("r".into()),
        idempotency_key: Some(key),
        request_hash: Some(hash),
        created_at: at,
    };
    round_trip::<reversal::Entity, _>(txn, row).await;
    billing(txn, organization_id, (purchase_id, payment_id)).await;
    let payment_method_id = PaymentMethodId::from_u128(81);
    let row = payment_method::Model {
        organization_id,
        id: payment_method_id,
        pool_id,
        provider: PaymentProvider::Stripe,
        customer: Some("cus_1".into()),
        method: Some("pm_1".into()),
        session: Some("cs_1".into()),
        label: Some("Visa 4242".into()),
        consent: "c".into(),
        consented_by: user,
        consented_at: Some(at),
        removed_at: None,
        created_at: at,
        wrong_codes: 3,
        threshold: Some(credits(20)),
        package_id: Some(PackageId::from_u128(13)),
        monthly_maximum: Some(0),
    };
    round_trip::<payment_method::Entity, _>(txn, row).await;
    let row = auto_top_up::Model {
        organization_id,
        pool_id,
        enabled: true,
        threshold: credits(20),
        package_id: PackageId::from_u128(13),
        monthly_maximum: Some(0),
        payment_method_id: Some(payment_method_id),
        set_by: user,
        state: TopUpState::Charging,
        purchase_id: Some(purchase_id),
        declines: 1,
        retry_at: Some(at),
        last_error: Some("e".into()),
        revision: 3,
        updated_at: at,
    };
    round_trip::<auto_top_up::Entity, _>(txn, row).await;
}

async fn billing(
    txn: &Txn,
    organization_id: OrganizationId,
    (purchase_id, payment_id): (PurchaseId, PaymentId),
) {
    let at = Timestamp::from_micros(1_234_567_890_123_456);
    let (key, hash, currency) = (Key([8; 16]), RequestHash([9; 16]), Currency::USD);
    let row = billing_profile::Model {
        organization_id,
        name: "A".into(),
        address: "B\nC".into(),
        country: Some("DE".into()),
        tax_id: None,
        reference: Some("r".into()),
        tax_lines: "[]".into(),
        due_days: 30,
        updated_at: at,
    };
    round_trip::<billing_profile::Entity, _>(txn, row).await;
    let kind = DocumentKind::Invoice;
    let row = document_series::Model { organization_id, kind, last: 1 };
    round_trip::<document_series::Entity, _>(txn, row).await;
    let document_id = DocumentId::from_u128(95);
    let row = document::Model {
        organization_id,
        id: document_id,
        kind,
        number: 1,
        written_number: "INV-A-000001".into(),
        purchase_id,
        corrects_id: Some(document_id),
        total: 1,
        currency,
        content: "{}".into(),
        created_at: at,
    };
    round_trip::<document::Entity, _>(txn, row).await;
    let invoice_id = InvoiceId::from_u128(96);
    let row = invoice::Model {
        organization_id,
        id: invoice_id,
        purchase_id,
        payment_id,
        document_id,
        purchase_order: "PO".into(),
        state: InvoiceState::PartlyPaid,
        total: 2,
        credited: 0,
        paid: 1,
        currency,
        due_at: at,
        created_at: at,
    };
    round_trip::<invoice::Entity, _>(txn, row).await;
    let row = invoice_payment::Model {
        organization_id,
        id: InvoicePaymentId::from_u128(97),
        invoice_id,
        amount: 1,
        received_at: at,
        reference: Some("r".into()),
        recorded_by: Some(UserId::from_u128(2)),
        idempotency_key: key,
        request_hash: hash,
        created_at: at,
        state_after: Some(InvoiceState::PartlyPaid),
        paid_after: Some(1),
        credited_after: Some(0),
        purchase_state_after: Some(PurchaseState::AwaitingPayment),
    };
    round_trip::<invoice_payment::Entity, _>(txn, row).await;
}
