//! What Stripe's messages mean. Each tells of one object as it stood when the message was made, so that their order does
//! not matter to whoever knows where things stand.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client::word;
use super::objects::{Charge, Dispute, Event, Intent, NOT_ARRIVED, Named, Refund, Session};
use super::odd::{LACKS, not_understood};
use crate::payments::{EventError, PaidState, ProviderEvent, ProviderPayment};

/// Reads a message whose signature is good. One that is not understood is told of as that: refused, it would come again
/// and again for some days, and then be gone.
pub(super) fn read(body: &[u8]) -> Result<ProviderEvent, EventError> {
    let event: Event =
        serde_json::from_slice(body).map_err(|_| EventError::Malformed("it is not an event"))?;
    match (tell(&event.kind, event.data.object.clone()), event.id) {
        (Ok(told), _) => Ok(told),
        (Err(why), Some(id)) => {
            let why = format!("{}: {why}", word(&event.kind));
            Ok(ProviderEvent::NotUnderstood(not_understood(&why, &event.data.object, &id)))
        }
        // All of Stripe's have a name.
        (Err(why), None) => Err(EventError::Malformed(why)),
    }
}

/// What a message of a kind says of its object; else why that is not understood.
fn tell(kind: &str, object: Value) -> Result<ProviderEvent, &'static str> {
    match kind {
        "checkout.session.completed" => completed(parse(object)?),
        "checkout.session.async_payment_succeeded" => Ok(checkout(parse(object)?, PaidState::Paid)),
        "checkout.session.async_payment_failed" => {
            Ok(checkout(parse(object)?, PaidState::Failed(NOT_ARRIVED.to_owned())))
        }
        "checkout.session.expired" => Ok(checkout(parse(object)?, PaidState::Expired)),
        "payment_intent.succeeded" | "payment_intent.payment_failed" => Ok(intent(parse(object)?)),
        "charge.refunded" => Ok(ProviderEvent::Refunded { payment: parse::<Charge>(object)?.payment() }),
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            parse::<Refund>(object)?.told().map(ProviderEvent::Refund)
        }
        "charge.dispute.created" | "charge.dispute.updated" | "charge.dispute.closed" => {
            let dispute = parse::<Dispute>(object)?.told()?;
            Ok(dispute.map_or(ProviderEvent::Other, ProviderEvent::Dispute))
        }
        _ => Ok(ProviderEvent::Other),
    }
}

fn parse<T: DeserializeOwned>(object: Value) -> Result<T, &'static str> {
    serde_json::from_value(object).map_err(|_| LACKS)
}

/// A checkout that has come to its end: paid, or paid by a way that takes days, or a way of paying was given.
fn completed(session: Session) -> Result<ProviderEvent, &'static str> {
    if session.mode.as_deref() == Some("setup") {
        let intent = session.setup_intent.as_ref().map(Named::id).map(str::to_owned);
        let intent = intent.ok_or("the setup session names no intent")?;
        let names = session.metadata.unwrap_or_default();
        let (organization, ours) = (names.organization, names.method);
        return Ok(ProviderEvent::SetUp { session: session.id, organization, ours, intent });
    }
    let state = match session.payment_status.as_deref() {
        Some("paid" | "no_payment_required") => PaidState::Paid,
        Some("unpaid") => PaidState::Pending,
        _ => return Err("the session's payment status is not known"),
    };
    Ok(checkout(session, state))
}

/// What a checkout tells. Of those that are no purchase's it matters only that money has come.
fn checkout(session: Session, state: PaidState) -> ProviderEvent {
    match session.mode.as_deref() {
        Some("payment") | None => ProviderEvent::Payment(session.payment(state)),
        Some("setup") => ProviderEvent::Other,
        Some(_) if state == PaidState::Paid && session.is_paid() => {
            let invoice = session.invoice.as_ref().map(|invoice| invoice.id().to_owned());
            ProviderEvent::Foreign { told: session.payment(state), invoice }
        }
        Some(_) => ProviderEvent::Other,
    }
}

/// What a payment tells by itself. Money that has come is told of whosever it is; of what has not, only that a charge of
/// ours has failed: a try that failed at a checkout is not the end of it.
fn intent(intent: Intent) -> ProviderEvent {
    let named = intent.metadata.as_ref().is_some_and(|names| names.payment.is_some());
    match intent.state() {
        PaidState::Paid => ProviderEvent::Payment(ProviderPayment::from(intent)),
        PaidState::Failed(_) if named => ProviderEvent::Payment(ProviderPayment::from(intent)),
        _ => ProviderEvent::Other,
    }
}

#[cfg(test)]
mod tests {
    use bursar_domain::reversal::ReversalState;
    use serde_json::json;

    use super::*;

    fn said(kind: &str, object: Value) -> Result<ProviderEvent, EventError> {
        read(json!({ "id": "evt_1", "type": kind, "data": { "object": object } }).to_string().as_bytes())
    }

    fn session(more: Value) -> Value {
        let mut session = json!({ "id": "cs_1", "mode": "payment", "payment_status": "paid", "amount_total": 19_900,
            "currency": "usd", "payment_intent": "pi_1",
            "metadata": { "bursar_organization": "org_1", "bursar_purchase": "purchase_1", "bursar_payment": "payment_1", "else": "x" } });
        session.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        session
    }

    /// The reference of what is not understood.
    fn odd(event: Result<ProviderEvent, EventError>) -> String {
        match event {
            Ok(ProviderEvent::NotUnderstood(odd)) => odd.reference,
            other => panic!("{other:?}"),
        }
    }

    fn payment(event: Result<ProviderEvent, EventError>) -> ProviderPayment {
        match event {
            Ok(ProviderEvent::Payment(payment)) => payment,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn checkouts_tell_of_payments() {
        let told = payment(said("checkout.session.completed", session(json!({}))));
        assert_eq!((told.payment.as_deref(), told.session.as_deref()), (Some("pi_1"), Some("cs_1")));
        assert_eq!((told.amount, told.currency.as_str(), told.state), (19_900, "USD", PaidState::Paid));
        assert_eq!((told.organization.as_deref(), told.ours.as_deref()), (Some("org_1"), Some("payment_1")));
        let unpaid =
            session(json!({ "payment_status": "unpaid", "payment_intent": { "id": "pi_2", "amount": 1 } }));
        let told = payment(said("checkout.session.completed", unpaid));
        assert_eq!((told.payment.as_deref(), told.state), (Some("pi_2"), PaidState::Pending));
        for (kind, state) in [
            ("checkout.session.async_payment_succeeded", PaidState::Paid),
            ("checkout.session.async_payment_failed", PaidState::Failed("async_payment_failed".to_owned())),
            ("checkout.session.expired", PaidState::Expired),
        ] {
            assert_eq!(payment(said(kind, session(json!({})))).state, state, "{kind}");
        }
        let foreign = payment(said("checkout.session.completed", session(json!({ "metadata": null }))));
        assert_eq!((foreign.ours, foreign.amount), (None, 19_900));
    }

    #[test]
    fn money_at_checkouts_of_other_kinds_is_told_of() {
        let names = |more: Value| {
            let of_a_plan =
                json!({ "mode": "subscription", "payment_intent": null, "invoice": "in_1", "metadata": {} });
            let mut session = session(of_a_plan);
            session.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            said("checkout.session.completed", session)
        };
        let Ok(ProviderEvent::Foreign { told, invoice }) = names(json!({})) else { panic!("nothing came") };
        assert_eq!((told.payment.as_deref(), told.reference(), told.ours.as_deref()), (None, "cs_1", None));
        assert_eq!((told.amount, invoice.as_deref()), (19_900, Some("in_1")));
        // No money: a trial, what costs nothing, and what is still to come.
        for no_money in [
            json!({ "payment_status": "no_payment_required" }),
            json!({ "amount_total": 0 }),
            json!({ "payment_status": "unpaid" }),
        ] {
            assert_eq!(names(no_money.clone()), Ok(ProviderEvent::Other), "{no_money}");
        }
    }

    #[test]
    fn a_setup_session_tells_what_to_ask_for() {
        let setup = session(
            json!({ "mode": "setup", "setup_intent": "seti_1", "payment_status": "no_payment_required",
            "metadata": { "bursar_organization": "org_1", "bursar_method": "method_1" } }),
        );
        let Ok(ProviderEvent::SetUp { session: id, ours, intent, .. }) =
            said("checkout.session.completed", setup.clone())
        else {
            panic!("no setup")
        };
        assert_eq!((id.as_str(), ours.as_deref(), intent.as_str()), ("cs_1", Some("method_1"), "seti_1"));
        assert_eq!(said("checkout.session.expired", setup), Ok(ProviderEvent::Other));
    }

    #[test]
    fn a_failed_try_at_a_checkout_is_not_the_end() {
        let intent = |more: Value| {
            let mut intent = json!({ "id": "pi_1", "status": "requires_payment_method", "amount": 500, "currency": "jpy",
                "metadata": { "bursar_payment": "payment_1" }, "last_payment_error": { "code": "card_declined" } });
            intent.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            intent
        };
        assert_eq!(said("payment_intent.payment_failed", intent(json!({}))), Ok(ProviderEvent::Other));
        let names = json!({ "bursar_payment": "payment_1", "bursar_off_session": "true" });
        let told = payment(said("payment_intent.payment_failed", intent(json!({ "metadata": names }))));
        assert_eq!(told.state, PaidState::Failed("card_declined".to_owned()));
        let paid = intent(json!({ "status": "succeeded", "amount_received": 499 }));
        let told = payment(said("payment_intent.succeeded", paid));
        assert_eq!((told.state, told.amount), (PaidState::Paid, 499));
        // Money is told of whosever it is; a foreign try is not.
        let foreign = intent(json!({ "status": "succeeded", "metadata": {} }));
        let told = payment(said("payment_intent.succeeded", foreign));
        assert_eq!((told.state, told.ours), (PaidState::Paid, None));
        let foreign = intent(json!({ "metadata": { "bursar_off_session": "true" } }));
        assert_eq!(said("payment_intent.payment_failed", foreign), Ok(ProviderEvent::Other));
    }

    #[test]
    fn refunds_and_disputes_say_where_they_stand() {
        let refund = |status: &str| {
            json!({ "id": "re_1", "payment_intent": "pi_1", "amount": 100, "currency": "usd", "status": status,
                "metadata": { "bursar_reversal": "reversal_1" } })
        };
        for (status, state) in [
            ("pending", ReversalState::Pending),
            ("requires_action", ReversalState::Pending),
            ("succeeded", ReversalState::Succeeded),
            ("failed", ReversalState::Failed),
            ("canceled", ReversalState::Failed),
        ] {
            let Ok(ProviderEvent::Refund(told)) = said("refund.updated", refund(status)) else {
                panic!("{status}")
            };
            assert_eq!((told.state, told.ours.as_deref()), (state, Some("reversal_1")), "{status}");
        }
        assert_eq!(odd(said("refund.updated", refund("odd"))), "re_1 odd");
        let charge = json!({ "id": "ch_1", "payment_intent": "pi_1", "refunded": true });
        assert_eq!(
            said("charge.refunded", charge),
            Ok(ProviderEvent::Refunded { payment: "pi_1".to_owned() })
        );
        let dispute = |status: &str| {
            json!({ "id": "dp_1", "charge": "ch_1", "payment_intent": null, "amount": 100, "currency": "usd",
                "status": status })
        };
        for (status, state) in [
            ("needs_response", ReversalState::Open),
            ("under_review", ReversalState::Open),
            ("won", ReversalState::Won),
            ("lost", ReversalState::Lost),
        ] {
            let Ok(ProviderEvent::Dispute(told)) = said("charge.dispute.updated", dispute(status)) else {
                panic!("{status}")
            };
            assert_eq!((told.state, told.payment.as_str()), (state, "ch_1"), "{status}");
        }
        let inquiry = said("charge.dispute.created", dispute("warning_needs_response"));
        assert_eq!(inquiry, Ok(ProviderEvent::Other));
        assert_eq!(odd(said("charge.dispute.closed", dispute("odd"))), "dp_1 odd");
        assert_eq!(
            odd(said("checkout.session.completed", session(json!({ "payment_status": "odd" })))),
            "cs_1 odd"
        );
        // What has no shape that is known is kept as well, and what has no name by that of its message.
        assert_eq!(odd(said("payment_intent.succeeded", json!({ "id": "pi_1" }))), "pi_1 ?");
        assert_eq!(odd(said("charge.refunded", json!(5))), "evt_1");
    }

    #[test]
    fn what_is_no_event_is_said_to_be_none() {
        for body in
            ["", "[]", "{}", "{\"type\": 5}", "{\"type\": \"charge.refunded\", \"data\": {\"object\": 5}}"]
        {
            assert!(matches!(read(body.as_bytes()), Err(EventError::Malformed(_))), "{body}");
        }
        assert_eq!(said("customer.created", json!({ "id": "cus_1" })), Ok(ProviderEvent::Other));
    }
}
