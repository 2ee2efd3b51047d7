//! Money that goes back, and what can be read of payments, refunds and disputes at Stripe.

use bursar_domain::Timestamp;
use serde_json::Value;

use super::amount::to_stripe;
use super::client::Client;
use super::objects::{Dispute, Intent, List, Refund};
use super::odd::page;
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
    let refund: Refund = client.post(&["refunds"], Some(&order.reversal), &form).await?;
    // Nothing is known of it yet: asked again with the same key, it tells.
    refund.told().map_err(|why| ProviderError::Unreachable(why.to_owned()))
}

/// A payment.
pub(super) async fn find_payment(client: &Client, payment: &str) -> Result<ProviderPayment, ProviderError> {
    let intent: Intent = client.get(&["payment_intents", payment], &[]).await?;
    Ok(intent.into())
}

/// All refunds of a payment, the oldest first: so earlier ones are booked before later ones.
pub(super) async fn refunds_of(
    client: &Client,
    payment: &str,
) -> Result<Page<ProviderRefund>, ProviderError> {
    let mut all = Page { items: Vec::new(), odd: Vec::new(), next: None::<String> };
    loop {
        let mut query = vec![("payment_intent", payment), ("limit", AT_ONCE)];
        query.extend(all.next.as_deref().map(|after| ("starting_after", after)));
        let list: List<Value> = client.get(&["refunds"], &query).await?;
        let some = page(list, |refund: Refund| refund.told().map(Some));
        all.items.extend(some.items);
        all.odd.extend(some.odd);
        all.next = some.next;
        if all.next.is_none() {
            all.items.reverse();
            return Ok(all);
        }
    }
}

/// A list of one object.
fn alone(object: Value) -> List<Value> {
    List { data: vec![object], has_more: false }
}

/// A refund.
pub(super) async fn find_refund(
    client: &Client,
    refund: &str,
) -> Result<Page<ProviderRefund>, ProviderError> {
    let found = client.get(&["refunds", refund], &[]).await?;
    Ok(page(alone(found), |refund: Refund| refund.told().map(Some)))
}

/// A dispute, unless it is an inquiry.
pub(super) async fn find_dispute(
    client: &Client,
    dispute: &str,
) -> Result<Page<ProviderDispute>, ProviderError> {
    let found = client.get(&["disputes", dispute], &[]).await?;
    Ok(page(alone(found), Dispute::told))
}

/// A part of a list of what was made since an instant, the newest first.
async fn since(
    client: &Client,
    list: &str,
    since: Timestamp,
    after: Option<&str>,
) -> Result<List<Value>, ProviderError> {
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
    let list = since(client, "payment_intents", from, after).await?;
    Ok(page(list, |intent: Intent| Ok(Some(ProviderPayment::from(intent)))))
}

/// Refunds since an instant.
pub(super) async fn refunds_since(
    client: &Client,
    from: Timestamp,
    after: Option<&str>,
) -> Result<Page<ProviderRefund>, ProviderError> {
    let list = since(client, "refunds", from, after).await?;
    Ok(page(list, |refund: Refund| refund.told().map(Some)))
}

/// Disputes since an instant, without inquiries.
pub(super) async fn disputes_since(
    client: &Client,
    from: Timestamp,
    after: Option<&str>,
) -> Result<Page<ProviderDispute>, ProviderError> {
    let list = since(client, "disputes", from, after).await?;
    Ok(page(list, Dispute::told))
}
