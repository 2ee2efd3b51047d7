//! That mails about requests say what they should, in whichever language, and lead nowhere else.

use bursar_domain::Timestamp;
use bursar_domain::approval::Language;

use super::*;
use crate::outbox::approval_examples::{matter, wanted as example};

const LINK: &str = "https://credits.test/approval/d.x";

fn written(facts: &ApprovalFacts, logo: bool) -> Result<Letter, String> {
    wanted(facts, (LINK, "0042"), logo)
}

#[test]
fn whoever_decides_is_told_everything() -> Result<(), String> {
    let letter = written(&example(Language::English), false)?;
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
    for said in ["Ada &#38; Co asks", "For the &#60;fair&#62;</bdi><br><bdi>", ">0042</p>", "lang=\"en\""] {
        assert!(letter.html.contains(said), "{said}: {}", letter.html);
    }
    assert_eq!(letter.html.matches(&format!("href=\"{LINK}\"")).count(), 2);
    assert_eq!(letter.html.matches("<a ").count(), 2);
    // Nothing is fetched from anywhere, and nothing runs.
    for bad in ["<script", "<b>", "<fair>", "src=", "cid:", "url("] {
        assert!(!letter.html.contains(bad), "{bad}: {}", letter.html);
    }
    let branded = written(&example(Language::English), true)?;
    assert_eq!(branded.html.matches("src=").count(), 1);
    assert!(branded.html.contains("src=\"cid:logo\""));
    Ok(())
}

#[test]
fn it_speaks_the_language_of_the_policy() -> Result<(), String> {
    let letter = written(&example(Language::German), false)?;
    assert!(letter.subject.starts_with("Entscheidung gefragt: 500 credits"), "{}", letter.subject);
    for said in ["Jetzt im Pool: 1.234 Credits", "Die Seite fragt nach diesem Code: 0042"] {
        assert!(letter.text.contains(said), "{said}: {}", letter.text);
    }
    assert!(letter.html.contains("lang=\"de\""));
    Ok(())
}

#[test]
fn why_it_comes_is_said() -> Result<(), String> {
    let plain = written(&example(Language::English), false)?.text;
    for (facts, said) in [
        (
            ApprovalFacts { because: Because::Reminder(3), ..example(Language::English) },
            "You have not decided yet. Links",
        ),
        (
            ApprovalFacts {
                because: Because::Reminder(3),
                escalated: Some(Because::Overdue),
                ..example(Language::English)
            },
            "taken too long",
        ),
        (ApprovalFacts { because: Because::Overdue, ..example(Language::English) }, "taken too long"),
        (ApprovalFacts { because: Because::Unreachable, ..example(Language::English) }, "may decide alone"),
        (
            ApprovalFacts { because: Because::Barred, ..example(Language::English) },
            "stand in for whoever asks",
        ),
        (
            ApprovalFacts { because: Because::StandIn(Some("Bob".into())), ..example(Language::English) },
            "stand in for Bob",
        ),
        (ApprovalFacts { cause: RoundCause::Edited, ..example(Language::English) }, "was changed"),
        (ApprovalFacts { cause: RoundCause::PriceExpired, ..example(Language::English) }, "price of the day"),
        (ApprovalFacts { sole_owner: true, ..example(Language::English) }, "the only owner"),
        (
            ApprovalFacts { because: Because::Unreachable, sole_owner: true, ..example(Language::English) },
            "You are the only owner",
        ),
        (ApprovalFacts { sign_in: true, ..example(Language::English) }, "have to sign in"),
        (ApprovalFacts { in_name_of: Some("Eve".into()), ..example(Language::English) }, "name of: Eve"),
    ] {
        let text = written(&facts, false)?.text;
        assert!(text.contains(said) && !plain.contains(said), "{said}: {text}");
        assert!(!text.contains("reminder 3"), "this person may have had none: {text}");
        // Whether there were once more people is not known.
        assert!(!text.contains("no longer are"), "{text}");
        assert!(!facts.sole_owner || !text.contains("fewer people"), "{text}");
    }
    let mut facts = example(Language::English);
    facts.matter.by_itself = true;
    let text = written(&facts, false)?.text;
    for said in ["The pool Marketing buys by itself: 500 credits.", "Set up by: Ada & Co\n"] {
        assert!(text.contains(said) && !plain.contains(said), "{said}: {text}");
    }
    facts.figures =
        PoolFacts { available: 1, debt: 7, used_90_days: 0, runway_days: None, runway_with: None };
    facts.stage.alone = true;
    let text = written(&facts, false)?.text;
    for said in ["now: 1 credit; 7 owed", "Lasts at this rate: nothing was used", "agree: one owner, alone"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("with this purchase"), "{text}");
    Ok(())
}

#[test]
fn what_has_become_of_it_leads_nowhere() -> Result<(), String> {
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
        (Became::Declined, "Agreed to, and the payment was declined"),
    ] {
        let (rejected, again) = (became == Became::Rejected, became == Became::NewRound);
        let facts = ApprovalDecidedFacts {
            matter: matter(Language::English),
            became,
            cause: if again { RoundCause::Edited } else { RoundCause::Requested },
            by: rejected.then(|| "Eve".to_owned()),
            reason: rejected.then(|| "Too dear".to_owned()),
            decide_by: Timestamp::EPOCH,
            due_at: (became == Became::Invoiced).then_some(Timestamp::EPOCH),
            time_zone: Some("America/New_York".to_owned()),
        };
        let letter = decided(&facts, false)?;
        assert!(letter.html.contains(&format!(">{said}</h1>")), "{said}: {}", letter.html);
        assert!(letter.subject.contains("500 credits for USD 899.00"), "{}", letter.subject);
        assert!(!letter.html.contains("<a ") && !letter.text.contains("://"), "{}", letter.text);
        // The cause of the round says it, once.
        assert_eq!(letter.text.matches("no longer counts").count(), usize::from(again));
        let due = letter.text.contains("To be paid by: 31 December 1969\n");
        assert_eq!(due, became == Became::Invoiced, "{}", letter.text);
        let unpaid = "whoever is to pay has a mail about that";
        assert_eq!(letter.text.contains(unpaid), became == Became::Approved, "{}", letter.text);
        // A pool that buys by itself pays without anybody.
        let by_itself = Matter { by_itself: true, ..facts.matter.clone() };
        let itself = decided(&ApprovalDecidedFacts { matter: by_itself, ..facts.clone() }, false)?;
        assert!(!itself.text.contains(unpaid), "{}", itself.text);
        assert_eq!(letter.text.contains("Rejected by: Eve\nReason:\n> Too dear\n"), rejected);
    }
    Ok(())
}
