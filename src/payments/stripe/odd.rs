//! What Stripe says that is not understood: a state that is new, an object of another shape. What matters of it is kept for
//! people, and what stands beside it goes on.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::amount::from_stripe;
use super::objects::List;
use crate::payments::{NotUnderstood, Page};

/// What is kept of an object: what it is, where it stands, how much, and what it belongs to. Nothing about people, and no
/// secret: everything else is looked up at Stripe.
const KEPT: [&str; 14] = [
    "id",
    "object",
    "status",
    "payment_status",
    "mode",
    "reason",
    "amount",
    "amount_total",
    "currency",
    "payment_intent",
    "setup_intent",
    "charge",
    "invoice",
    "created",
];
/// The names of ours that are kept of its metadata.
const NAMES: [&str; 5] =
    ["bursar_organization", "bursar_purchase", "bursar_payment", "bursar_method", "bursar_reversal"];
/// The most characters that are kept of a value: more than any of Stripe's names has.
const MOST: usize = 120;
/// What an object is told of as that cannot be read.
pub(super) const LACKS: &str = "its object lacks what it should have";

fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MOST).collect()
}

/// A value that is kept: a word or a number, and of what stands there as a whole its id.
fn value(of: &Value) -> Option<Value> {
    match of {
        Value::String(text) => Some(Value::String(bounded(text))),
        Value::Number(_) | Value::Bool(_) => Some(of.clone()),
        Value::Object(whole) => whole.get("id").filter(|id| id.is_string()).and_then(value),
        Value::Null | Value::Array(_) => None,
    }
}

/// What is kept of an object that is not understood, and why it is not. The same object in the same state has the same
/// reference, whatever tells of it; `message` names what has no name.
pub(super) fn not_understood(why: &str, object: &Value, message: &str) -> NotUnderstood {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let state = text("payment_status").or_else(|| text("status")).map_or_else(|| "?".to_owned(), bounded);
    let reference = match text("id") {
        Some(id) => format!("{} {state}", bounded(id)),
        None => bounded(message),
    };
    let metadata = object.get("metadata");
    let named = |name: &str| metadata.and_then(|names| names.get(name)).and_then(value);
    let mut facts: Map<String, Value> = KEPT
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), object.get(name).and_then(value)?)))
        .collect();
    facts.extend(NAMES.iter().filter_map(|name| Some(((*name).to_owned(), named(name)?))));
    let amount = ["amount", "amount_total"].iter().find_map(|name| object.get(name)?.as_i64());
    let (amount, currency) = from_stripe(amount.unwrap_or_default(), text("currency").unwrap_or("xxx"));
    let ours = |name: &str| named(name)?.as_str().map(str::to_owned);
    NotUnderstood {
        reference,
        detail: format!("{why}: {}", Value::Object(facts)),
        amount,
        currency: bounded(&currency),
        organization: ours("bursar_organization"),
        ours: ours("bursar_reversal").or_else(|| ours("bursar_payment")),
    }
}

/// A part of a list, with what is not understood of it beside the rest. `read` answers nothing of what does not matter, and
/// why it does not understand the others.
pub(super) fn page<T: DeserializeOwned, U>(
    list: List<Value>,
    read: impl Fn(T) -> Result<Option<U>, &'static str>,
) -> Page<U> {
    let id = |object: &Value| object.get("id").and_then(Value::as_str).map(str::to_owned);
    let next = list.data.last().filter(|_| list.has_more).and_then(id);
    let mut page = Page { items: Vec::with_capacity(list.data.len()), odd: Vec::new(), next };
    for object in list.data {
        let parsed = serde_json::from_value::<T>(object.clone()).map_err(|_| LACKS);
        match parsed.and_then(&read) {
            Ok(Some(item)) => page.items.push(item),
            Ok(None) => {}
            Err(why) => page.odd.push(not_understood(why, &object, "")),
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::objects::Refund;
    use super::*;

    #[test]
    fn what_matters_is_kept_and_nothing_about_people() {
        let object = json!({ "id": "cs_1", "object": "checkout.session", "payment_status": "odd\u{7}", "status": "complete",
            "amount_total": 500, "currency": "jpy", "payment_intent": { "id": "pi_1", "client_secret": "secret" },
            "customer_details": { "email": "ada@example.test" }, "customer_email": "ada@example.test",
            "reason": "x".repeat(10_000),
            "metadata": { "bursar_payment": "payment_1", "bursar_organization": "org_1", "note": "secret" } });
        let kept = not_understood("why", &object, "evt_1");
        assert_eq!((kept.reference.as_str(), kept.amount, kept.currency.as_str()), ("cs_1 odd", 500, "JPY"));
        assert_eq!((kept.ours.as_deref(), kept.organization.as_deref()), (Some("payment_1"), Some("org_1")));
        assert!(kept.detail.starts_with("why: {") && kept.detail.contains("\"payment_intent\":\"pi_1\""));
        for hidden in ["secret", "ada@"] {
            assert!(!kept.detail.contains(hidden), "{}", kept.detail);
        }
        assert!(kept.detail.len() < 1_000);
        // What is nothing at all is known by its message.
        let kept = not_understood("why", &json!(5), "evt_1");
        assert_eq!((kept.reference.as_str(), kept.amount, kept.currency.as_str()), ("evt_1", 0, "xxx"));
    }

    #[test]
    fn a_list_goes_on_beside_what_is_odd() {
        let refund = |id: &str, status: &str| json!({ "id": id, "payment_intent": "pi_1", "amount": 5, "currency": "usd", "status": status });
        let data = vec![refund("re_1", "succeeded"), refund("re_2", "odd"), json!({ "id": "re_3" })];
        let page = page(List { data, has_more: true }, |refund: Refund| refund.told().map(Some));
        assert_eq!(page.items.iter().map(|refund| refund.refund.as_str()).collect::<Vec<_>>(), ["re_1"]);
        let odd: Vec<&str> = page.odd.iter().map(|odd| odd.reference.as_str()).collect();
        assert_eq!((odd, page.next.as_deref()), (vec!["re_2 odd", "re_3 ?"], Some("re_3")));
    }
}
