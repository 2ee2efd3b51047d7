//! What forms send, as browsers do, and that nothing in vain looks like a success.

use super::*;

#[test]
fn reasons_as_people_type_them() {
    let form = Form::read(b"reason=+Too%0D%0Adear%00.+&choice=REJECT&code=0420&sole_owner=yes&x=y");
    assert_eq!(form.reason, "Too\ndear.");
    assert_eq!((form.choice.as_str(), form.code.as_str(), form.sole_owner), ("REJECT", "0420", true));
    assert!(!form.leave && Form::read(b"leave=yes").leave);
    assert!(!Form::read(b"sole_owner=no").sole_owner);
}

#[test]
fn what_was_sent_in_vain_is_never_a_success() {
    let reasons = NotApprovable::ALL.iter().map(|reason| refusal(*reason, true));
    let over = LinkOver::ALL.iter().map(|over| link_status(*over, true));
    assert!(reasons.chain(over).all(|status| status.is_client_error()));
}
