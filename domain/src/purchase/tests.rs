//! The table of states and events, and what follows from it.

use super::*;

const EVENTS: [PurchaseEvent; 13] = [
    PurchaseEvent::Approved,
    PurchaseEvent::Rejected,
    PurchaseEvent::CheckoutStarted,
    PurchaseEvent::CheckoutCancelled,
    PurchaseEvent::Invoiced,
    PurchaseEvent::PaymentUnderWay,
    PurchaseEvent::Paid,
    PurchaseEvent::PaymentFailed,
    PurchaseEvent::Cancelled,
    PurchaseEvent::Expired,
    PurchaseEvent::PartlyReturned,
    PurchaseEvent::Returned,
    PurchaseEvent::ReturnFailed,
];

fn after(state: PurchaseState, events: &[PurchaseEvent]) -> Result<PurchaseState, PurchaseRefusal> {
    events.iter().try_fold(state, |state, event| Ok(apply(state, false, *event)?.to))
}

#[test]
fn a_completed_purchase_is_only_returned() {
    for event in EVENTS {
        let end = apply(PurchaseState::Completed, false, event).map(|transition| transition.to);
        let expected = match event {
            PurchaseEvent::PartlyReturned | PurchaseEvent::ReturnFailed => Some(PurchaseState::Completed),
            PurchaseEvent::Returned => Some(PurchaseState::Refunded),
            _ => None,
        };
        assert_eq!(end.ok(), expected, "{event:?}");
        for end in [PurchaseState::Cancelled, PurchaseState::Expired, PurchaseState::Rejected] {
            assert!(apply(end, false, event).is_err(), "{end} {event:?}");
        }
    }
}

#[test]
fn the_way_to_credits() {
    use PurchaseEvent::*;
    let way = [CheckoutStarted, CheckoutCancelled, CheckoutStarted, CheckoutStarted, Paid];
    assert_eq!(after(PurchaseState::Approved, &way), Ok(PurchaseState::Completed));
    assert_eq!(after(PurchaseState::PendingApproval, &[Paid]), Err(PurchaseRefusal::NotApproved));
    // It was given up, and had been paid by a way that takes days.
    let slow = [CheckoutStarted, CheckoutCancelled, PaymentUnderWay];
    assert_eq!(after(PurchaseState::Approved, &slow), Ok(PurchaseState::AwaitingPayment));
    let late = [CheckoutStarted, PaymentFailed, Paid];
    assert_eq!(after(PurchaseState::Approved, &late), Ok(PurchaseState::Completed));
    let state = PurchaseState::Completed;
    assert_eq!(after(state, &[Paid]), Err(PurchaseRefusal::AlreadyPaid { state }));
}

#[test]
fn credits_are_issued_exactly_where_money_or_an_invoice_comes_in() {
    for state in PurchaseState::ALL {
        for invoiced in [false, true] {
            for event in EVENTS {
                let Ok(transition) = apply(*state, invoiced, event) else { continue };
                // What is paid after it was invoiced has its credits.
                let comes_in = matches!(event, PurchaseEvent::Invoiced | PurchaseEvent::ReturnFailed)
                    || event == PurchaseEvent::Paid && !invoiced;
                assert_eq!(transition.effect.issues(), comes_in, "{state} {event:?}");
                let ends = matches!(event, PurchaseEvent::Cancelled | PurchaseEvent::Expired);
                let replaces =
                    matches!(event, PurchaseEvent::CheckoutStarted | PurchaseEvent::PaymentUnderWay);
                assert_eq!(
                    transition.effect.closes_checkouts(),
                    comes_in || ends || replaces,
                    "{state} {event:?}"
                );
            }
        }
    }
}

#[test]
fn a_refusal_says_what_stands_in_the_way() {
    use PurchaseEvent::*;
    use PurchaseRefusal::*;
    for state in PurchaseState::ALL.iter().copied() {
        for event in EVENTS {
            let Err(refusal) = apply(state, false, event) else { continue };
            assert_eq!(refusal.state(), state);
            let expected = match event {
                Approved | Rejected => AlreadyDecided { state },
                PartlyReturned | Returned | ReturnFailed => NothingToReturn { state },
                Cancelled | Expired => NotWithdrawable { state, invoiced: false },
                CheckoutStarted | Invoiced | PaymentUnderWay | Paid => match state {
                    PurchaseState::PendingApproval => NotApproved,
                    PurchaseState::Completed | PurchaseState::Refunded => AlreadyPaid { state },
                    _ => NotPayable { state, invoiced: false },
                },
                CheckoutCancelled | PaymentFailed => NotPayable { state, invoiced: false },
            };
            assert_eq!(refusal, expected, "{state} {event:?}");
        }
        // Nothing happens any more to what has come to its end, but that a payment is returned, or is not after all.
        let goes_on = EVENTS.iter().filter(|event| apply(state, false, **event).is_ok());
        let returned = |event: &&PurchaseEvent| !matches!(event, PartlyReturned | Returned | ReturnFailed);
        assert_eq!(state.is_final(), goes_on.filter(returned).count() == 0, "{state}");
    }
}

#[test]
fn what_is_neither_paid_nor_given_up_begins_again() {
    use PurchaseState::{
        AwaitingPayment, Cancelled, Completed, Expired, PendingApproval, Refunded, Rejected,
    };
    for state in PurchaseState::ALL.iter().copied() {
        let again = resubmit(state, false);
        match state {
            Completed | Refunded | Rejected | Cancelled => {
                let refusal = PurchaseRefusal::NotChangeable { state, invoiced: false };
                assert_eq!((again, refusal.state()), (Err(refusal), state));
                assert_eq!(refusal.to_string(), format!("A purchase that is {state} cannot be changed."));
            }
            _ => assert_eq!(again.map(|again| again.to), Ok(PendingApproval), "{state}"),
        }
    }
    let invoiced = PurchaseRefusal::NotChangeable { state: AwaitingPayment, invoiced: true };
    assert_eq!(resubmit(AwaitingPayment, true), Err(invoiced));
    assert!(invoiced.to_string().contains("on invoice") && invoiced.to_string().contains("changed"));
    assert!(resubmit(Expired, false).is_ok());
}

#[test]
fn what_was_returned_and_did_not_arrive_can_be_returned_again() {
    use PurchaseEvent::*;
    let way = [Paid, Returned, ReturnFailed, PartlyReturned, Returned];
    assert_eq!(after(PurchaseState::Approved, &way), Ok(PurchaseState::Refunded));
    assert_eq!(after(PurchaseState::Approved, &way[..3]), Ok(PurchaseState::Completed));
}

#[test]
fn what_is_invoiced_stays() {
    for event in [
        PurchaseEvent::Cancelled,
        PurchaseEvent::Expired,
        PurchaseEvent::CheckoutCancelled,
        PurchaseEvent::PaymentUnderWay,
    ] {
        assert!(apply(PurchaseState::AwaitingPayment, true, event).is_err(), "{event:?}");
    }
    let paid = apply(PurchaseState::AwaitingPayment, true, PurchaseEvent::Paid);
    assert_eq!(paid.map(|transition| transition.to), Ok(PurchaseState::Completed));
}
