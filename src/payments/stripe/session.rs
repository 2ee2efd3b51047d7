//! Checkouts at Stripe: of purchases, and of ways of paying that are kept.

use bursar_domain::Timestamp;
use bursar_domain::id::{Id, PaymentId};

use super::amount::to_stripe;
use super::client::{Client, Form, word};
use super::objects::{Made, Session, SetupIntent};
use crate::global_id;
use crate::payments::{OpenedCheckout, Order, ProviderError, Setup, SetupOrder};

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
/// when the payment was made, which its id knows. Whoever asks again later asks for the same.
fn expiry(order: &Order) -> i64 {
    let seconds = |at: Timestamp| at.micros().div_euclid(1_000_000);
    let made = global_id::decode::<PaymentId>(&order.payment);
    // The first 48 bits of a UUID of version 7 are its milliseconds.
    let made = made.and_then(|id| i64::try_from(id.as_u128() >> 80).ok()).map(|millis| millis / 1_000);
    let made = made.unwrap_or_else(|| seconds(order.now));
    seconds(order.valid_until).clamp(made + LEAST, made + MOST)
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
