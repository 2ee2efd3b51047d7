//! What is bought, in the words of a mail's or page's reader.
//!
//! A round keeps it as it was asked for, in English: `Professional: 500 credits`, or `500 credits` alone. The name of the
//! package is its own in every language; the rest is said anew.

use bursar_domain::Credits;

use crate::words::Words;

/// What stands between a package and its credits.
const BETWEEN: &str = ": ";

/// What a round has kept about so many credits, in a language. What is not in that form is said as it is.
pub(super) fn title(words: Words, kept: &str, credits: Credits) -> String {
    let credits = credits.get();
    let last = match credits {
        1 => "1 credit".to_owned(),
        number => format!("{number} credits"),
    };
    let count = [("count", credits.to_string()), ("number", words.number(credits))];
    let said = words.say_with("order-credits", &count);
    match kept.strip_suffix(&last) {
        Some("") => said,
        Some(before) if before.ends_with(BETWEEN) => format!("{before}{said}"),
        Some(_) | None => kept.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::approval::Language;

    #[test]
    fn what_is_bought_is_said_in_each_language() {
        for (kept, credits, english, german) in [
            ("Professional: 500 credits", 500, "Professional: 500 credits", "Professional: 500 Credits"),
            ("2500 credits", 2_500, "2,500 credits", "2.500 Credits"),
            ("1 credit", 1, "1 credit", "1 Credit"),
            // A package may be called anything.
            ("A: 7 credits: 7 credits", 7, "A: 7 credits: 7 credits", "A: 7 credits: 7 Credits"),
            // What is not known to be credits stays as it is.
            ("17 credits", 7, "17 credits", "17 credits"),
            ("Anything", 7, "Anything", "Anything"),
        ] {
            let credits = Credits::new(credits).unwrap();
            assert_eq!(title(Words::of(Language::English), kept, credits), english);
            assert_eq!(title(Words::of(Language::German), kept, credits), german);
        }
    }
}
