//! What the mail to whoever pays says.

use super::about;
use crate::delivery::sheet::{Button, Code, Sheet, row};
use crate::delivery::templates::Words as Letter;
use crate::outbox::{ToPay, ToPayFacts};
use crate::words::Words;

/// A mail to whoever pays for what was agreed to, or has it asked for anew once its price has run out.
pub(in crate::delivery) fn to_pay(
    facts: &ToPayFacts,
    (link, code): (&str, &str),
    logo: bool,
) -> Result<Letter, String> {
    let (words, matter) = (Words::of(facts.matter.language), &facts.matter);
    let until = [("date", words.date(facts.expires_at))];
    let lapsed = facts.why == ToPay::Lapsed;
    let [subject, heading, lead] = match lapsed {
        true => ["mail-lapsed-subject", "mail-lapsed-heading", "mail-lapsed-pay-text"],
        false => ["mail-pay-subject", "mail-pay-heading", "mail-pay-text"],
    };
    let [button, note] = match lapsed {
        true => ["mail-ask-anew", "mail-link-until"],
        false => ["mail-pay", "mail-pay-link-until"],
    };
    let button = Button {
        text: words.say(button),
        link: link.to_owned(),
        code: Some(Code { label: words.say("mail-code"), digits: code.to_owned() }),
        notes: vec![words.say_with(note, &until)],
        plain: words.say("mail-plain-link"),
    };
    let again = (facts.why == ToPay::Again).then(|| words.say("mail-pay-again"));
    let late = (facts.not_on_invoice && !lapsed).then(|| words.say("mail-not-on-invoice"));
    let mut rows = vec![
        row(words.say("mail-label-order"), matter.title.clone()),
        row(words.say("mail-label-pool"), matter.pool.clone()),
        row(words.say("mail-label-total"), matter.total.clone()),
    ];
    if !lapsed {
        rows.push(row(words.say("mail-label-pay-until"), words.date(facts.pay_by)));
    }
    let mail = Sheet {
        subject: about(words, subject, matter),
        organization: matter.organization.clone(),
        heading: words.say(heading),
        lead: about(words, lead, matter),
        more: again.into_iter().chain(late).collect(),
        rows,
        button: Some(button),
        foot: about(words, "mail-sent-by", matter),
    };
    mail.letter(words, logo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::approval_examples::matter;
    use bursar_domain::Timestamp;
    use bursar_domain::approval::Language;

    const LINK: &str = "https://credits.test/approval/d.x";

    #[test]
    fn whoever_pays_is_told_why_there_is_a_link() {
        let facts = ToPayFacts {
            matter: matter(Language::English),
            why: ToPay::First,
            not_on_invoice: false,
            pay_by: Timestamp::EPOCH.plus_days(10),
            expires_at: Timestamp::EPOCH.plus_days(3),
        };
        let letter = to_pay(&facts, (LINK, "0042"), false).unwrap();
        for said in [
            format!("Go to payment:\n{LINK}\n").as_str(),
            "The page asks for this code: 0042\n",
            "works until 4 January 1970, 00:00 UTC",
            "To be paid by: 11 January 1970, 00:00 UTC",
        ] {
            assert!(letter.text.contains(said), "{said}: {}", letter.text);
        }
        assert!(!letter.text.contains("invoice"), "{}", letter.text);
        let late = ToPayFacts { not_on_invoice: true, ..facts };
        let refused = to_pay(&late, (LINK, "0042"), false).unwrap();
        assert!(refused.text.contains("could not be bought on invoice"), "{}", refused.text);
        assert!(!refused.text.contains("sent for it before"), "{}", refused.text);
        let again = to_pay(&ToPayFacts { why: ToPay::Again, ..late.clone() }, (LINK, "0042"), false).unwrap();
        assert!(again.text.contains("sent for it before"), "{}", again.text);
        let lapsed = to_pay(&ToPayFacts { why: ToPay::Lapsed, ..late }, (LINK, "0042"), false).unwrap();
        for said in [
            format!("Ask again:\n{LINK}\n").as_str(),
            "code: 0042\n",
            "works once, until 4 January 1970",
            "The button pays nothing",
        ] {
            assert!(lapsed.text.contains(said), "{said}: {}", lapsed.text);
        }
        assert!(lapsed.html.contains(">Agreed to, and not paid in time</h1>"), "{}", lapsed.html);
        for not in ["To be paid by", "on invoice", "Go to payment"] {
            assert!(!lapsed.text.contains(not), "{not}: {}", lapsed.text);
        }
    }
}
