//! What was decided about a request, as its page says it: a line for each decision, in its reader's language.

use bursar_domain::approval::{Choice, DecisionException};

use crate::approvals::{FoundApproval, FoundDecision};
use crate::words::Words;

/// One thing that was decided.
pub struct Line {
    /// Who has decided what, and when.
    pub line: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// What else has to be known of it.
    pub notes: Vec<String>,
}

/// What was decided, in words.
pub fn decisions(words: Words, found: &FoundApproval) -> Vec<Line> {
    found.decisions.iter().map(|decision| line(words, decision)).collect()
}

fn line(words: Words, decision: &FoundDecision) -> Line {
    // Set apart (Unicode's isolates): a name that is written from the right does not pull the date across.
    let name = |name: &Option<String>| {
        let name = name.clone().unwrap_or_else(|| words.say("page-former"));
        format!("\u{2068}{name}\u{2069}")
    };
    let mut args = vec![("who", name(&decision.by)), ("date", words.date(decision.at))];
    if let Some(seat) = &decision.in_name_of {
        args.push(("seat", name(seat)));
    }
    let line = match (decision.choice, &decision.in_name_of) {
        (Choice::Approve, None) => words.say_with("page-decision-approve", &args),
        (Choice::Approve, Some(_)) => words.say_with("page-decision-approve-for", &args),
        (Choice::Reject, None) => words.say_with("page-decision-reject", &args),
        (Choice::Reject, Some(_)) => words.say_with("page-decision-reject-for", &args),
    };
    let mut notes = Vec::new();
    match decision.exception {
        Some(DecisionException::SoleOwner) => notes.push(words.say("page-decision-sole-owner")),
        Some(DecisionException::OwnerAlone) => notes.push(words.say("page-decision-owner-alone")),
        None => {}
    }
    if !decision.is_still_eligible {
        notes.push(words.say("page-decision-former"));
    }
    Line { line, reason: decision.reason.clone(), notes }
}

#[cfg(test)]
mod tests {
    use bursar_domain::Timestamp;
    use bursar_domain::approval::Language;

    use super::*;

    fn decision() -> FoundDecision {
        FoundDecision {
            by: Some("Mona".to_owned()),
            in_name_of: None,
            choice: Choice::Approve,
            exception: None,
            reason: Some("No:\nnot now".to_owned()),
            at: Timestamp::EPOCH,
            is_still_eligible: true,
        }
    }

    #[test]
    fn names_do_not_mix_with_what_stands_beside_them() {
        let words = Words::of(Language::English);
        let shown = line(words, &decision()).line;
        assert!(shown.starts_with("\u{2068}Mona\u{2069} has agreed. 1 January"), "{shown}");
        let stood_in = FoundDecision { in_name_of: Some(None), ..decision() };
        let shown = line(words, &stood_in).line;
        assert!(shown.contains("in the name of \u{2068}somebody who has left\u{2069}. 1 January"), "{shown}");
    }

    #[test]
    fn exceptions_are_said() {
        for words in Language::ALL.iter().map(|language| Words::of(*language)) {
            let mut all = Vec::new();
            for exception in DecisionException::ALL {
                let notes = line(words, &FoundDecision { exception: Some(*exception), ..decision() }).notes;
                assert_eq!(notes.len(), 1, "{exception:?}");
                all.extend(notes);
            }
            all.dedup();
            assert_eq!(all.len(), DecisionException::ALL.len());
        }
        assert!(line(Words::of(Language::English), &decision()).notes.is_empty());
    }
}
