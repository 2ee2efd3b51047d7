//! Checkouts at Stripe: of purchases, and of ways of paying that are kept.

use bursar_domain::Timestamp;
use bursar_domain::id::{Id, PaymentId};

use super::amount::{from_stripe, to_stripe};
use super::client::{Client, Form, word};
use super::objects::{Bill, List, Made, Session, SetupIntent};
use crate::global_id;
use crate::payments::{OpenedCheckout, Order, PaidState, ProviderError, ProviderPayment, Setup, SetupOrder};

/// How long a checkout may be open at least, in seconds. Stripe's bound is half an hour, by its own clock.
const LEAST: i64 = 31 * 60;
/// How long a checkout may be open at most. Stripe's bound is a day, by its own clock.
const MOST: i64 = 23 * 3_600;

/// Why an amount is not asked for.
pub(super) fn not_chargeable() -> ProviderError {
    ProviderError::Refused { code: "amount_not_chargeable".to_owned() }
}

/// The names of ours that travel with a payment, below a part of a form.
pub(super) fn names<'a>(order: &Order, [organization, purchase, payment]: [&'a str; 3]) -> Form<'a> {
    vec![
        (organization, order.organization.clone()),
        (purchase, order.purchase.clone()),
        (payment, order.payment.clone()),
    ]
}

/// Opens a checkout. The same order has the same form, whenever it is asked for: Stripe refuses a key that comes with
/// another one.
pub(super) async fn open(client: &Client, order: &Order) -> Result<OpenedCheckout, ProviderError> {
    let form = form(order).ok_or_else(not_chargeable)?;
    opened(client.post(&["checkout", "sessions"], Some(&order.payment), &form).await?)
}

/// Opens a checkout whose key came with another form before. The answer to that may have got lost, so what was opened is
/// looked for: when it takes the same money, it is gone on with; else it is closed.
pub(super) async fn reopen(client: &Client, order: &Order) -> Result<OpenedCheckout, ProviderError> {
    let form = form(order).ok_or_else(not_chargeable)?;
    // While one may be open that is not known, nothing is refused for good.
    let unsure = |error: ProviderError| ProviderError::Unreachable(error.to_string());
    let mut found = None;
    for session in sessions_of(client, order).await.map_err(unsure)? {
        let status = session.status.clone();
        match status.as_deref() {
            // What has become of the payment is told of by itself.
            Some("complete") => {
                return Err(ProviderError::Unreachable("its checkout is complete already".to_owned()));
            }
            Some("open") if found.is_none() && asks_for(&session, order) => found = Some(session),
            Some("open") => close(client, &session.id).await.map_err(unsure)?,
            _ => {}
        }
    }
    match found {
        Some(session) => opened(session),
        None => {
            // Whoever does the same at the same time has the same key.
            let key = format!("{}-again", order.payment);
            opened(client.post(&["checkout", "sessions"], Some(&key), &form).await?)
        }
    }
}

/// All checkouts that were opened for an order, the newest first.
async fn sessions_of(client: &Client, order: &Order) -> Result<Vec<Session>, ProviderError> {
    // Clocks differ.
    let since = (made(order) - 3_600).to_string();
    let is_its = |session: &Session| {
        let names = session.metadata.as_ref();
        names.and_then(|names| names.payment.as_deref()) == Some(order.payment.as_str())
    };
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("created[gte]", since.as_str()), ("limit", "100")];
        query.extend(after.as_deref().map(|after| ("starting_after", after)));
        let list: List<Session> = client.get(&["checkout", "sessions"], &query).await?;
        let next = list.data.last().filter(|_| list.has_more).map(|last| last.id.clone());
        all.extend(list.data.into_iter().filter(is_its));
        after = next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Whether a checkout takes what an order is over.
fn asks_for(session: &Session, order: &Order) -> bool {
    let (Some(amount), Some(currency)) = (session.amount_total, session.currency.as_deref()) else {
        return false;
    };
    from_stripe(amount, currency) == (order.price.minor, order.price.currency.code().to_owned())
}

fn form(order: &Order) -> Option<Form<'static>> {
    let amount = to_stripe(order.price)?;
    let mut form: Form<'static> = vec![
        ("mode", "payment".to_owned()),
        ("line_items[0][quantity]", "1".to_owned()),
        ("line_items[0][price_data][currency]", order.price.currency.code().to_lowercase()),
        ("line_items[0][price_data][unit_amount]", amount.to_string()),
        ("line_items[0][price_data][product_data][name]", order.description.clone()),
        ("client_reference_id", order.payment.clone()),
        ("success_url", format!("{}/done", order.page)),
        ("cancel_url", format!("{}/back", order.page)),
        ("expires_at", expiry(order).to_string()),
    ];
    form.extend(names(
        order,
        ["metadata[bursar_organization]", "metadata[bursar_purchase]", "metadata[bursar_payment]"],
    ));
    form.extend(names(
        order,
        [
            "payment_intent_data[metadata][bursar_organization]",
            "payment_intent_data[metadata][bursar_purchase]",
            "payment_intent_data[metadata][bursar_payment]",
        ],
    ));
    Some(form)
}

/// Until when a checkout is open, in seconds since 1970: as long as its price holds, within Stripe's bounds, counted from
/// when the payment was made. Whoever asks again later asks for the same.
fn expiry(order: &Order) -> i64 {
    let made = made(order);
    seconds(order.valid_until).clamp(made + LEAST, made + MOST)
}

/// When the payment was made, which its id knows, in seconds since 1970.
fn made(order: &Order) -> i64 {
    let made = global_id::decode::<PaymentId>(&order.payment);
    // The first 48 bits of a UUID of version 7 are its milliseconds.
    let made = made.and_then(|id| i64::try_from(id.as_u128() >> 80).ok()).map(|millis| millis / 1_000);
    made.unwrap_or_else(|| seconds(order.now))
}

fn seconds(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

fn opened(session: Session) -> Result<OpenedCheckout, ProviderError> {
    // One that was opened by an earlier try, and is closed by now, has no address any more.
    let url = session.url.ok_or(ProviderError::Refused { code: "session_closed".to_owned() })?;
    Ok(OpenedCheckout { session: Some(session.id), url })
}

/// Closes a checkout. One that is closed or paid stays so.
pub(super) async fn close(client: &Client, session: &str) -> Result<(), ProviderError> {
    let path = ["checkout", "sessions", session];
    let closed: Result<Session, _> = client.post(&[path[0], path[1], path[2], "expire"], None, &[]).await;
    match closed {
        Ok(_) => Ok(()),
        Err(ProviderError::Refused { code }) => {
            let session: Session = client.get(&path, &[]).await?;
            let open = session.status.as_deref() == Some("open");
            if open { Err(ProviderError::Refused { code }) } else { Ok(()) }
        }
        Err(error) => Err(error),
    }
}

/// A checkout as it stands now, with its payment.
pub(super) async fn find(client: &Client, session: &str) -> Result<ProviderPayment, ProviderError> {
    let query = [("expand[]", "payment_intent")];
    let found: Session = client.get(&["checkout", "sessions", session], &query).await?;
    let state = found.state();
    Ok(found.payment(state))
}

/// A payment as its checkout tells of it; none: it was made at no checkout.
pub(super) async fn of_payment(
    client: &Client,
    payment: &str,
) -> Result<Option<ProviderPayment>, ProviderError> {
    let query = [("payment_intent", payment), ("limit", "1")];
    let list: List<Session> = client.get(&["checkout", "sessions"], &query).await?;
    let told = |session: Session| {
        let state = if session.is_paid() { PaidState::Paid } else { PaidState::Unpaid };
        session.payment(state)
    };
    Ok(list.data.into_iter().next().map(told))
}

/// The payment that has paid a bill of Stripe's own; none: no payment has.
pub(super) async fn payer_of(client: &Client, invoice: &str) -> Result<Option<String>, ProviderError> {
    let bill: Bill = client.get(&["invoices", invoice], &[]).await?;
    Ok(bill.payment_intent.map(|intent| intent.id().to_owned()))
}

/// Opens a page on which a way of paying is given.
pub(super) async fn open_setup(client: &Client, order: &SetupOrder) -> Result<OpenedCheckout, ProviderError> {
    let form = vec![
        ("name", order.name.clone()),
        ("metadata[bursar_organization]", order.organization.clone()),
        ("metadata[bursar_method]", order.method.clone()),
    ];
    let customer: Made =
        client.post(&["customers"], Some(&format!("{}-customer", order.method)), &form).await?;
    let form = vec![
        ("mode", "setup".to_owned()),
        ("currency", order.currency.code().to_lowercase()),
        ("customer", customer.id),
        // Others cannot be charged at once while nobody is there.
        ("payment_method_types[0]", "card".to_owned()),
        ("success_url", order.page.clone()),
        ("cancel_url", order.page.clone()),
        ("metadata[bursar_organization]", order.organization.clone()),
        ("metadata[bursar_method]", order.method.clone()),
        ("setup_intent_data[metadata][bursar_organization]", order.organization.clone()),
        ("setup_intent_data[metadata][bursar_method]", order.method.clone()),
    ];
    opened(client.post(&["checkout", "sessions"], Some(&order.method), &form).await?)
}

/// What was given in a setup session.
pub(super) async fn find_setup(client: &Client, session: &str, intent: &str) -> Result<Setup, ProviderError> {
    let query = [("expand[]", "payment_method")];
    let found: SetupIntent = client.get(&["setup_intents", intent], &query).await?;
    let (Some(customer), Some(method)) = (found.customer, found.payment_method) else {
        return Err(ProviderError::Refused { code: word(&found.status) });
    };
    if found.status != "succeeded" {
        return Err(ProviderError::Refused { code: word(&found.status) });
    }
    let names = found.metadata.unwrap_or_default();
    Ok(Setup {
        session: session.to_owned(),
        organization: names.organization,
        ours: names.method,
        customer: customer.id().to_owned(),
        label: method.label(),
        method: method.id,
    })
}

#[cfg(test)]
mod tests {
    use bursar_domain::{Credits, Currency, Money};
    use uuid::Uuid;

    use super::*;

    /// An order that was made at a second, valid until another, and asked for at a third.
    fn order(made: i64, valid_until: i64, now: i64) -> Order {
        let stamp = uuid::Timestamp::from_unix(uuid::NoContext, u64::try_from(made).unwrap(), 0);
        let id = PaymentId::from_u128(Uuid::new_v7(stamp).as_u128());
        Order {
            payment: global_id::encode(id),
            purchase: "purchase_1".to_owned(),
            organization: "org_1".to_owned(),
            description: "Starter: 100 credits".to_owned(),
            credits: Credits::new(100).unwrap(),
            price: Money { minor: 19_900, currency: Currency::USD },
            page: "http://bursar.test/checkout/a/b/c".to_owned(),
            valid_until: Timestamp::EPOCH.plus_seconds(valid_until),
            now: Timestamp::EPOCH.plus_seconds(now),
        }
    }

    #[test]
    fn an_order_asks_for_the_same_whenever_it_asks() {
        let first = order(1_700_000_000, 1_800_000_000, 1_700_000_000);
        let later = Order { now: Timestamp::EPOCH.plus_seconds(1_700_005_000), ..first.clone() };
        assert_eq!(form(&first), form(&later));
        let form = form(&first).unwrap();
        let value =
            |name: &str| form.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        assert_eq!(value("line_items[0][price_data][unit_amount]"), Some("19900"));
        assert_eq!(value("line_items[0][price_data][currency]"), Some("usd"));
        assert_eq!(value("payment_intent_data[metadata][bursar_payment]"), Some(first.payment.as_str()));
        assert_eq!(value("success_url"), Some("http://bursar.test/checkout/a/b/c/done"));
    }

    #[test]
    fn a_checkout_says_where_its_payment_stands() {
        let failed = PaidState::Failed("async_payment_failed".to_owned());
        for (status, paid, intent, expected) in [
            ("open", "unpaid", None, PaidState::Unpaid),
            ("open", "unpaid", Some("requires_payment_method"), PaidState::Unpaid),
            ("expired", "unpaid", Some("canceled"), PaidState::Expired),
            ("complete", "paid", Some("succeeded"), PaidState::Paid),
            ("complete", "no_payment_required", None, PaidState::Paid),
            ("complete", "unpaid", Some("processing"), PaidState::Pending),
            // A slip that the buyer has not paid yet.
            ("complete", "unpaid", Some("requires_action"), PaidState::Pending),
            ("complete", "unpaid", Some("requires_payment_method"), failed.clone()),
            ("complete", "unpaid", Some("canceled"), failed),
        ] {
            let intent = intent.map(|status| serde_json::json!({ "id": "pi_1", "status": status }));
            let session = serde_json::json!({ "id": "cs_1", "status": status, "payment_status": paid,
                "payment_intent": intent });
            let session: Session = serde_json::from_value(session).unwrap();
            assert_eq!(session.state(), expected, "{status} {paid}");
        }
    }

    #[test]
    fn a_checkout_is_open_within_stripes_bounds() {
        let made = 1_700_000_000;
        for (valid_until, expected) in
            [(made + 864_000, made + 23 * 3_600), (made + 7_200, made + 7_200), (made + 60, made + 31 * 60)]
        {
            assert_eq!(expiry(&order(made, valid_until, made)), expected);
        }
    }

    #[test]
    fn what_cannot_be_charged_is_not_asked_for() {
        let order = order(1_700_000_000, 1_800_000_000, 1_700_000_000);
        let price = Money { minor: 5_124, currency: Currency::parse("KWD").unwrap() };
        assert_eq!(form(&Order { price, ..order }), None);
    }
}
