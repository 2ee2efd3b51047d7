//! What a payment provider tells of payments, said to a server by hand.

use bursar::global_id;
use bursar::payments::{PaidState, ProviderEvent, ProviderPayment};
use bursar::purchases::{self, Outcome};
use bursar_domain::purchase::PaymentProvider;
use bursar_entity::payment;

use super::World;

/// That a payment of ours was paid, by the provider's payment with a name.
pub fn paid(payment: &payment::Model, reference: &str) -> ProviderPayment {
    ProviderPayment {
        payment: Some(reference.to_owned()),
        session: None,
        state: PaidState::Paid,
        amount: payment.amount,
        currency: payment.currency.code().to_owned(),
        organization: Some(global_id::encode(payment.organization_id)),
        purchase: Some(global_id::encode(payment.purchase_id)),
        ours: Some(global_id::encode(payment.id)),
    }
}

/// The row of a payment with a global id.
pub async fn row(world: &World, payment: &str) -> payment::Model {
    let rows = world.database.rows::<payment::Entity>().await;
    rows.into_iter().find(|row| global_id::encode(row.id) == payment).unwrap()
}

/// Tells the server, as the sandbox would if it told anything.
pub async fn tell(world: &World, told: ProviderPayment) -> Outcome {
    let selling = &world.services().selling;
    let event = ProviderEvent::Payment(told);
    purchases::settle(selling, PaymentProvider::Sandbox, event, None).await.unwrap()
}

/// Parks money that names nothing of ours, and answers its global id.
pub async fn park(world: &World, reference: &str) -> String {
    let told = ProviderPayment {
        payment: Some(reference.to_owned()),
        session: None,
        state: PaidState::Paid,
        amount: 1_234,
        currency: "USD".to_owned(),
        organization: None,
        purchase: None,
        ours: None,
    };
    match tell(world, told).await {
        Outcome::Parked(id) => global_id::encode(id),
        other => panic!("{other:?}"),
    }
}
