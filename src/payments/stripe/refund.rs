//! Money that goes back, and what can be read of payments, refunds and disputes at Stripe.

use bursar_domain::Timestamp;
use serde::de::DeserializeOwned;

use super::amount::to_stripe;
use super::client::{Client, word};
use super::objects::{Dispute, Disputed, Intent, List, Refund};
use super::session::not_chargeable;
use crate::payments::{Page, ProviderDispute, ProviderError, ProviderPayment, ProviderRefund, RefundOrder};

/// How many objects are asked for at once: the most that Stripe answers.
const AT_ONCE: &str = "100";

/// Gives money back.
pub(super) async fn refund(client: &Client, order: &RefundOrder) -> Result<ProviderRefund, ProviderError> {
    let amount = to_stripe(order.amount).ok_or_else(not_chargeable)?;
    let form = vec![
        ("payment_intent", order.payment.clone()),
        ("amount", amount.to_string()),
        ("metadata[bursar_reversal]", order.reversal.clone()),
    ];
    told(client.post(&["refunds"], Some(&order.reversal), &form).await?)
}

fn told(refund: Refund) -> Result<ProviderRefund, ProviderError> {
    let status = refund.status.as_deref().map(word).unwrap_or_default();
    refund.told().ok_or(ProviderError::Refused { code: status })
}

/// A payment.
pub(super) async fn find_payment(client: &Client, payment: &str) -> Result<ProviderPayment, ProviderError> {
    let intent: Intent = client.get(&["payment_intents", payment], &[]).await?;
    Ok(intent.into())
}

/// The refunds of a payment, the oldest first: so earlier ones are booked before later ones.
pub(super) async fn refunds_of(client: &Client, payment: &str) -> Result<Vec<ProviderRefund>, ProviderError> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("payment_intent", payment), ("limit", AT_ONCE)];
        query.extend(after.as_deref().map(|after| ("starting_after", after)));
        let list: List<Refund> = client.get(&["refunds"], &query).await?;
        let next = list.data.last().filter(|_| list.has_more).map(|last| last.id.clone());
        all.extend(list.data);
        match next {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    all.into_iter().rev().map(told).collect()
}

/// A part of a list of what was made since an instant, the newest first.
async fn since<T: DeserializeOwned>(
    client: &Client,
    list: &str,
    since: Timestamp,
    after: Option<&str>,
) -> Result<List<T>, ProviderError> {
    let since = since.micros().div_euclid(1_000_000).to_string();
    let mut query = vec![("created[gte]", since.as_str()), ("limit", AT_ONCE)];
    query.extend(after.map(|after| ("starting_after", after)));
    client.get(&[list], &query).await
}

/// Payments since an instant.
pub(super) async fn payments_since(
    client: &Client,
    from: Timestamp,
    after: Option<&str>,
) -> Result<Page<ProviderPayment>, ProviderError> {
    let list: List<Intent> = since(client, "payment_intents", from, after).await?;
    let next = list.data.last().filter(|_| list.has_more).map(|last| last.id.clone());
    Ok(Page { items: list.data.into_iter().map(ProviderPayment::from).collect(), next })
}

/// Refunds since an instant.
pub(super) async fn refunds_since(
    client: &Client,
    from: Timestamp,
    after: Option<&str>,
) -> Result<Page<ProviderRefund>, ProviderError> {
    let list: List<Refund> = since(client, "refunds", from, after).await?;
    let next = list.data.last().filter(|_| list.has_more).map(|last| last.id.clone());
    let items: Result<Vec<ProviderRefund>, ProviderError> = list.data.into_iter().map(told).collect();
    Ok(Page { items: items?, next })
}

/// Disputes since an instant, without inquiries.
pub(super) async fn disputes_since(
    client: &Client,
    from: Timestamp,
    after: Option<&str>,
) -> Result<Page<ProviderDispute>, ProviderError> {
    let list: List<Dispute> = since(client, "disputes", from, after).await?;
    let next = list.data.last().filter(|_| list.has_more).map(|last| last.id.clone());
    let mut items = Vec::with_capacity(list.data.len());
    for dispute in list.data {
        let status = word(&dispute.status);
        match dispute.told() {
            Disputed::Dispute(dispute) => items.push(dispute),
            Disputed::Inquiry => {}
            Disputed::Unknown => return Err(ProviderError::Refused { code: status }),
        }
    }
    Ok(Page { items, next })
}
