//! What mails about requests for approval say, in the language of the organization's policy.

use bursar_domain::approval::RoundCause;

use super::sheet::{Button, Code, Row, Sheet, quoted, row};
use super::templates::Words as Letter;
use crate::outbox::{
    ApprovalDecidedFacts, ApprovalFacts, Became, Because, Matter, PoolFacts, StageFacts, ToPayFacts,
};
use crate::words::Words;

/// A mail that asks for a decision.
pub(super) fn wanted(
    facts: &ApprovalFacts,
    (link, code): (&str, &str),
    logo: bool,
) -> Result<Letter, String> {
    let words = Words::of(facts.matter.language);
    let subject = match facts.because {
        Because::Reminder(_) | Because::Renewed => about(words, "mail-reminder-subject", &facts.matter),
        _ => about(words, "mail-wanted-subject", &facts.matter),
    };
    let mut rows = vec![row(words.say("mail-label-total"), facts.matter.total.clone())];
    rows.extend(facts.reason.as_deref().map(|reason| quoted(words.say("mail-label-reason"), reason)));
    rows.extend(figures(words, &facts.figures));
    rows.extend(stage(words, &facts.stage));
    let in_name_of = facts.in_name_of.clone();
    rows.extend(in_name_of.map(|name| row(words.say("mail-label-name-of"), name)));
    rows.push(row(words.say("mail-label-until"), words.date(facts.decide_by)));
    let code = Code { label: words.say("mail-code"), digits: code.to_owned() };
    let until = words.say_with("mail-link-until", &[("date", words.date(facts.expires_at))]);
    let button = Button {
        text: words.say("mail-decide"),
        link: link.to_owned(),
        code: Some(code),
        notes: vec![words.say("mail-opens-nothing"), until],
        plain: words.say("mail-plain-link"),
    };
    let mail = Sheet {
        subject,
        organization: facts.matter.organization.clone(),
        heading: words.say("mail-wanted-heading"),
        lead: lead(words, &facts.matter),
        more: notes(words, facts),
        rows,
        button: Some(button),
        foot: about(words, "mail-sent-by", &facts.matter),
    };
    mail.letter(words, logo)
}

/// A mail about what has become of a request.
pub(super) fn decided(facts: &ApprovalDecidedFacts, logo: bool) -> Result<Letter, String> {
    let (words, matter) = (Words::of(facts.matter.language), &facts.matter);
    let (subject, heading, lead) = match facts.became {
        Became::Approved => (
            about(words, "mail-approved-subject", matter),
            words.say("mail-approved-heading"),
            about(words, "mail-approved-text", matter),
        ),
        Became::Invoiced => (
            about(words, "mail-approved-subject", matter),
            words.say("mail-invoiced-heading"),
            about(words, "mail-invoiced-text", matter),
        ),
        Became::Rejected => (
            about(words, "mail-rejected-subject", matter),
            words.say("mail-rejected-heading"),
            about(words, "mail-rejected-text", matter),
        ),
        Became::Expired => (
            about(words, "mail-expired-subject", matter),
            words.say("mail-expired-heading"),
            about(words, "mail-expired-text", matter),
        ),
        Became::Lapsed => (
            about(words, "mail-lapsed-subject", matter),
            words.say("mail-lapsed-heading"),
            about(words, "mail-lapsed-text", matter),
        ),
        Became::Withdrawn => (
            about(words, "mail-withdrawn-subject", matter),
            words.say("mail-withdrawn-heading"),
            about(words, "mail-withdrawn-text", matter),
        ),
        Became::NewRound => (
            about(words, "mail-new-round-subject", matter),
            words.say("mail-new-round-heading"),
            about(words, "mail-new-round-text", matter),
        ),
        Became::Stuck => (
            about(words, "mail-stuck-subject", matter),
            words.say("mail-stuck-heading"),
            about(words, "mail-stuck-text", matter),
        ),
        Became::Unpaid => (
            about(words, "mail-unpaid-subject", matter),
            words.say("mail-unpaid-heading"),
            about(words, "mail-unpaid-text", matter),
        ),
    };
    let mut rows = vec![row(words.say("mail-label-total"), matter.total.clone())];
    rows.extend(facts.by.clone().map(|name| row(words.say("mail-label-by"), name)));
    rows.extend(facts.reason.as_deref().map(|reason| quoted(words.say("mail-label-reason"), reason)));
    rows.extend(facts.due_at.map(|due| row(words.say("mail-label-pay-until"), words.date(due))));
    let mut more = Vec::new();
    if matches!(facts.became, Became::NewRound | Became::Stuck) {
        more.extend(opened_by(words, facts.cause, matter.round));
        rows.push(row(words.say("mail-label-until"), words.date(facts.decide_by)));
    }
    let foot = about(words, "mail-sent-by", matter);
    let organization = matter.organization.clone();
    Sheet { subject, organization, heading, lead, more, rows, button: None, foot }.letter(words, logo)
}

/// A mail to whoever pays for what was agreed to.
pub(super) fn to_pay(facts: &ToPayFacts, (link, code): (&str, &str), logo: bool) -> Result<Letter, String> {
    let (words, matter) = (Words::of(facts.matter.language), &facts.matter);
    let until = [("date", words.date(facts.expires_at))];
    let button = Button {
        text: words.say("mail-pay"),
        link: link.to_owned(),
        code: Some(Code { label: words.say("mail-code"), digits: code.to_owned() }),
        notes: vec![words.say_with("mail-pay-link-until", &until)],
        plain: words.say("mail-plain-link"),
    };
    let mail = Sheet {
        subject: about(words, "mail-pay-subject", matter),
        organization: matter.organization.clone(),
        heading: words.say("mail-pay-heading"),
        lead: about(words, "mail-pay-text", matter),
        more: facts.not_on_invoice.then(|| words.say("mail-not-on-invoice")).into_iter().collect(),
        rows: vec![
            row(words.say("mail-label-order"), matter.title.clone()),
            row(words.say("mail-label-pool"), matter.pool.clone()),
            row(words.say("mail-label-total"), matter.total.clone()),
            row(words.say("mail-label-pay-until"), words.date(facts.pay_by)),
        ],
        button: Some(button),
        foot: about(words, "mail-sent-by", matter),
    };
    mail.letter(words, logo)
}

/// A text about what is asked for.
fn about(words: Words, key: &str, matter: &Matter) -> String {
    let args = [
        ("title", matter.title.clone()),
        ("total", matter.total.clone()),
        ("organization", matter.organization.clone()),
        ("pool", matter.pool.clone()),
    ];
    words.say_with(key, &args)
}

/// Who asks for what.
fn lead(words: Words, matter: &Matter) -> String {
    let mut args = vec![("title", matter.title.clone()), ("pool", matter.pool.clone())];
    match &matter.requester {
        _ if matter.by_itself => words.say_with("mail-buys-itself", &args),
        Some(requester) => {
            args.push(("requester", requester.clone()));
            words.say_with("mail-asks", &args)
        }
        None => words.say_with("mail-nobody-asks", &args),
    }
}

/// What whoever decides should know before everything else.
fn notes(words: Words, facts: &ApprovalFacts) -> Vec<String> {
    let mut notes = Vec::new();
    match &facts.because {
        Because::Asked | Because::StandIn(None) => {}
        Because::Reminder(number) => {
            notes.push(words.say_with("mail-because-reminder", &[("number", number.to_string())]));
        }
        Because::Renewed => notes.push(words.say("mail-because-renewed")),
        Because::Overdue => notes.push(words.say("mail-because-overdue")),
        // Why it is the only owner who decides is said below.
        Because::Unreachable if facts.sole_owner => {}
        Because::Unreachable => notes.push(words.say("mail-because-unreachable")),
        Because::Barred => notes.push(words.say("mail-because-barred")),
        Because::StandIn(Some(name)) => {
            notes.push(words.say_with("mail-because-stand-in", &[("name", name.clone())]));
        }
    }
    notes.extend(opened_by(words, facts.cause, facts.matter.round));
    if facts.sole_owner {
        notes.push(words.say("mail-sole-owner"));
    }
    if facts.sign_in {
        notes.push(words.say("mail-sign-in"));
    }
    notes
}

/// What a round after the first was opened by.
fn opened_by(words: Words, cause: RoundCause, round: i64) -> Option<String> {
    let args = [("round", round.to_string())];
    match cause {
        RoundCause::Requested => None,
        RoundCause::Edited => Some(words.say_with("mail-because-edited", &args)),
        RoundCause::PriceExpired => Some(words.say_with("mail-because-price-expired", &args)),
    }
}

fn figures(words: Words, figures: &PoolFacts) -> Vec<Row> {
    let credits = |credits: i64| counted(words, "mail-credits", credits);
    let balance = match figures.debt {
        0 => credits(figures.available),
        debt => {
            let args = [("credits", credits(figures.available)), ("number", words.number(debt))];
            words.say_with("mail-owed", &args)
        }
    };
    let lasts = |days: Option<i64>| match days {
        Some(days) => counted(words, "mail-days", days),
        None => words.say("mail-unused"),
    };
    let mut rows = vec![
        row(words.say("mail-label-balance"), balance),
        row(words.say("mail-label-used"), credits(figures.used_90_days)),
        row(words.say("mail-label-lasts"), lasts(figures.runway_days)),
    ];
    let with = figures.runway_with.map(|days| row(words.say("mail-label-lasts-with"), lasts(Some(days))));
    rows.extend(with);
    rows
}

fn stage(words: Words, stage: &StageFacts) -> [Row; 2] {
    let which =
        [("number", stage.number.to_string()), ("of", stage.of.to_string()), ("name", stage.name.clone())];
    let needed = if stage.alone {
        words.say("mail-alone")
    } else {
        let args = [("quorum", stage.quorum.to_string()), ("approved", stage.approved.to_string())];
        words.say_with("mail-needed", &args)
    };
    [
        row(words.say("mail-label-stage"), words.say_with("mail-stage", &which)),
        row(words.say("mail-label-needed"), needed),
    ]
}

/// A number of something.
fn counted(words: Words, key: &str, count: i64) -> String {
    words.say_with(key, &[("count", count.to_string()), ("number", words.number(count))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::approval_examples::{matter, wanted as example};
    use bursar_domain::Timestamp;
    use bursar_domain::approval::Language;

    const LINK: &str = "https://credits.test/approval/d.x";

    fn written(facts: &ApprovalFacts, logo: bool) -> Letter {
        wanted(facts, (LINK, "0042"), logo).unwrap()
    }

    #[test]
    fn whoever_decides_is_told_everything() {
        let letter = written(&example(Language::English), false);
        assert_eq!(letter.subject, "Decision wanted: 500 credits for USD 899.00 (A <b>)");
        for said in [
            "A <b>\n",
            "Ada & Co asks for 500 credits for the pool Marketing.",
            "Total: USD 899.00",
            "Why:\n> For the <fair>\n> https://evil.test/\n",
            "In the pool now: 1,234 credits",
            "Used in the last 90 days: 90 credits",
            "Lasts at this rate: about 1,234 days",
            "Lasts with this purchase: about 1,734 days",
            "Step: 1 of 2: Department",
            "Have to agree: 2 (so far: 1)",
            "To be decided by: 1 January 1970, 00:00 UTC",
            "Decide:\nhttps://credits.test/approval/d.x\n",
            "The page asks for this code: 0042\n",
            "Opening the page decides nothing.",
        ] {
            assert!(letter.text.contains(said), "{said}: {}", letter.text);
        }
        for said in ["Ada &#38; Co asks", "For the &#60;fair&#62;<br>", ">0042</p>", "lang=\"en\""] {
            assert!(letter.html.contains(said), "{said}: {}", letter.html);
        }
        assert_eq!(letter.html.matches(&format!("href=\"{LINK}\"")).count(), 2);
        assert_eq!(letter.html.matches("<a ").count(), 2);
        // Nothing is fetched from anywhere, and nothing runs.
        for bad in ["<script", "<b>", "<fair>", "src=", "cid:", "url("] {
            assert!(!letter.html.contains(bad), "{bad}: {}", letter.html);
        }
        let branded = written(&example(Language::English), true);
        assert_eq!(branded.html.matches("src=").count(), 1);
        assert!(branded.html.contains("src=\"cid:logo\""));
    }

    #[test]
    fn it_speaks_the_language_of_the_policy() {
        let letter = written(&example(Language::German), false);
        assert!(letter.subject.starts_with("Entscheidung gefragt: 500 credits"), "{}", letter.subject);
        for said in ["Jetzt im Pool: 1.234 Credits", "Die Seite fragt nach diesem Code: 0042"] {
            assert!(letter.text.contains(said), "{said}: {}", letter.text);
        }
        assert!(letter.html.contains("lang=\"de\""));
    }

    #[test]
    fn why_it_comes_is_said() {
        let plain = written(&example(Language::English), false).text;
        for (facts, said) in [
            (ApprovalFacts { because: Because::Reminder(3), ..example(Language::English) }, "reminder 3"),
            (ApprovalFacts { because: Because::Overdue, ..example(Language::English) }, "taken too long"),
            (ApprovalFacts { because: Because::Unreachable, ..example(Language::English) }, "decides alone"),
            (
                ApprovalFacts { because: Because::Barred, ..example(Language::English) },
                "stand in for whoever asks",
            ),
            (
                ApprovalFacts { because: Because::StandIn(Some("Bob".into())), ..example(Language::English) },
                "stand in for Bob",
            ),
            (ApprovalFacts { cause: RoundCause::Edited, ..example(Language::English) }, "was changed"),
            (
                ApprovalFacts { cause: RoundCause::PriceExpired, ..example(Language::English) },
                "price of the day",
            ),
            (ApprovalFacts { sole_owner: true, ..example(Language::English) }, "the only owner"),
            (
                ApprovalFacts {
                    because: Because::Unreachable,
                    sole_owner: true,
                    ..example(Language::English)
                },
                "You are the only owner",
            ),
            (ApprovalFacts { sign_in: true, ..example(Language::English) }, "have to sign in"),
            (ApprovalFacts { in_name_of: Some("Eve".into()), ..example(Language::English) }, "name of: Eve"),
        ] {
            let text = written(&facts, false).text;
            assert!(text.contains(said) && !plain.contains(said), "{said}: {text}");
            // Whether there were once more people is not known.
            assert!(!text.contains("no longer are"), "{text}");
            assert!(!facts.sole_owner || !text.contains("fewer people"), "{text}");
        }
        let mut facts = example(Language::English);
        facts.matter.by_itself = true;
        assert!(written(&facts, false).text.contains("The pool Marketing buys by itself: 500 credits."));
        facts.figures =
            PoolFacts { available: 1, debt: 7, used_90_days: 0, runway_days: None, runway_with: None };
        facts.stage.alone = true;
        let text = written(&facts, false).text;
        for said in
            ["now: 1 credit; 7 owed", "Lasts at this rate: nothing was used", "agree: one owner, alone"]
        {
            assert!(text.contains(said), "{said}: {text}");
        }
        assert!(!text.contains("with this purchase"), "{text}");
    }

    #[test]
    fn what_has_become_of_it_leads_nowhere() {
        for (became, said) in [
            (Became::Approved, "Approved"),
            (Became::Invoiced, "Approved and bought"),
            (Became::Rejected, "Rejected"),
            (Became::Expired, "Nobody decided in time"),
            (Became::Lapsed, "Agreed to, and not paid in time"),
            (Became::Withdrawn, "No longer to be decided"),
            (Became::NewRound, "A new round has begun"),
            (Became::Stuck, "Nobody can decide"),
            (Became::Unpaid, "Agreed to, and not paid"),
        ] {
            let rejected = became == Became::Rejected;
            let facts = ApprovalDecidedFacts {
                matter: matter(Language::English),
                became,
                cause: RoundCause::Requested,
                by: rejected.then(|| "Eve".to_owned()),
                reason: rejected.then(|| "Too dear".to_owned()),
                decide_by: Timestamp::EPOCH,
                due_at: (became == Became::Invoiced).then_some(Timestamp::EPOCH),
            };
            let letter = decided(&facts, false).unwrap();
            assert!(letter.html.contains(&format!(">{said}</h1>")), "{said}: {}", letter.html);
            assert!(letter.subject.contains("500 credits for USD 899.00"), "{}", letter.subject);
            assert!(!letter.html.contains("<a ") && !letter.text.contains("://"), "{}", letter.text);
            assert_eq!(letter.text.contains("Rejected by: Eve\nWhy:\n> Too dear\n"), rejected);
        }
    }

    #[test]
    fn whoever_pays_needs_no_code() {
        let facts = ToPayFacts {
            matter: matter(Language::English),
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
    }
}
