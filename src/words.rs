//! What pages and mails say, in the language of their reader.
//!
//! The texts are Fluent resources (`texts/{language}/*.ftl`), which are part of the program. A text that a language does
//! not have is a fault of ours: the log says so, and the reader gets the English one. Another language is one more of
//! `Language` in the domain, its resources, and what the functions before [`Words`] say of it.

use std::sync::OnceLock;

use bursar_domain::approval::Language;
use bursar_domain::{Money, Timestamp};
use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use rust_decimal::Decimal;
use unic_langid::LanguageIdentifier;

/// The texts of one language.
type Bundle = FluentBundle<FluentResource>;

/// The resources of a language.
const fn texts(language: Language) -> &'static [&'static str] {
    match language {
        Language::English => &[
            include_str!("../texts/en/words.ftl"),
            include_str!("../texts/en/approval_mail.ftl"),
            include_str!("../texts/en/approval_page.ftl"),
        ],
        Language::German => &[
            include_str!("../texts/de/words.ftl"),
            include_str!("../texts/de/approval_mail.ftl"),
            include_str!("../texts/de/approval_page.ftl"),
        ],
    }
}

/// The tag of a language (BCP 47).
const fn tag(language: Language) -> &'static str {
    match language {
        Language::English => "en",
        Language::German => "de",
    }
}

/// What stands between groups of three digits, and before decimal digits.
const fn separators(language: Language) -> (char, char) {
    match language {
        Language::English => (',', '.'),
        Language::German => ('.', ','),
    }
}

/// The largest number that texts may choose a plural by. The library counts in floats, which are exact up to here.
const MOST_COUNTED: i64 = 1_000_000_000;

fn bundle(language: Language) -> &'static Bundle {
    static ENGLISH: OnceLock<Bundle> = OnceLock::new();
    static GERMAN: OnceLock<Bundle> = OnceLock::new();
    let made = match language {
        Language::English => &ENGLISH,
        Language::German => &GERMAN,
    };
    made.get_or_init(|| make(language))
}

fn make(language: Language) -> Bundle {
    let identifier: LanguageIdentifier = tag(language).parse().unwrap_or_default();
    let mut bundle = FluentBundle::new_concurrent(vec![identifier]);
    // Names are set apart by the pages; in a mail's plain text the marks would be seen.
    bundle.set_use_isolating(false);
    for text in texts(language) {
        let resource = FluentResource::try_new((*text).to_owned()).unwrap_or_else(|(resource, errors)| {
            tracing::error!(?errors, %language, "some texts cannot be read");
            resource
        });
        if let Err(errors) = bundle.add_resource(resource) {
            tracing::error!(?errors, %language, "some texts are there twice");
        }
    }
    bundle
}

/// The texts in one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words(Language);

impl Words {
    /// The texts in a language.
    pub const fn of(language: Language) -> Words {
        Words(language)
    }

    /// The texts in the language that a browser likes best of those that there are (RFC 9110, section 12.5.4).
    pub fn accepted(header: Option<&str>, otherwise: Language) -> Words {
        let mut best: Option<(u16, Language)> = None;
        for range in header.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let primary = parts.next().unwrap_or_default().split('-').next().unwrap_or_default();
            let known = Language::ALL.iter().find(|known| tag(**known).eq_ignore_ascii_case(primary));
            let Some(language) = known else { continue };
            let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            let weight = weight.map_or(Some(1_000), thousandths).unwrap_or(0);
            // Of those that are liked alike the first.
            if weight > best.map_or(0, |(most, _)| most) {
                best = Some((weight, *language));
            }
        }
        Words(best.map_or(otherwise, |(_, language)| language))
    }

    /// The tag of the language (BCP 47).
    pub const fn tag(self) -> &'static str {
        tag(self.0)
    }

    /// A text.
    pub fn say(self, key: &str) -> String {
        self.say_with(key, &[])
    }

    /// A text with something put in. What is a whole number can be counted by: a text may have a plural of it.
    pub fn say_with(self, key: &str, args: &[(&'static str, String)]) -> String {
        if let Some(text) = text(self.0, key, args) {
            return text;
        }
        tracing::error!(key, language = %self.0, "a text is missing");
        text(Language::English, key, args).unwrap_or_else(|| key.to_owned())
    }

    /// An instant.
    pub fn date(self, at: Timestamp) -> String {
        self.say_with("date", &self.parts(utc(at).naive_utc()))
    }

    /// The day of an instant where clocks go by a time zone.
    pub fn day(self, at: Timestamp, zone: Tz) -> String {
        self.say_with("day", &self.parts(utc(at).with_timezone(&zone).naive_local()))
    }

    /// What a date is written from.
    fn parts(self, at: NaiveDateTime) -> [(&'static str, String); 4] {
        let part = |format: &str| at.format(format).to_string();
        let month = self.say(&format!("month-{}", part("%-m")));
        [("day", part("%-d")), ("month", month), ("year", part("%Y")), ("time", part("%H:%M"))]
    }

    /// An amount of money.
    pub fn money(self, money: Money) -> String {
        let (group, point) = separators(self.0);
        let plain = Decimal::new(money.minor, money.currency.exponent()).to_string();
        let amount = match plain.split_once('.') {
            Some((whole, rest)) => format!("{}{point}{rest}", grouped(whole, group)),
            None => grouped(&plain, group),
        };
        match self.0 {
            Language::English => format!("{} {amount}", money.currency),
            Language::German => format!("{amount} {}", money.currency),
        }
    }

    /// A whole number.
    pub fn number(self, number: i64) -> String {
        grouped(&number.to_string(), separators(self.0).0)
    }
}

fn utc(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.micros()).unwrap_or_default()
}

/// A text of a language; none: it has no such text.
fn text(language: Language, key: &str, args: &[(&'static str, String)]) -> Option<String> {
    let bundle = bundle(language);
    let message = bundle.get_message(key)?;
    let pattern = message.value()?;
    let mut given = FluentArgs::with_capacity(args.len());
    for (name, value) in args {
        given.set(*name, argument(value));
    }
    let mut errors = Vec::new();
    let text = bundle.format_pattern(pattern, Some(&given), &mut errors).into_owned();
    if !errors.is_empty() {
        tracing::error!(?errors, key, %language, "a text lacks something");
    }
    Some(text)
}

/// What is put in: a number when it is written as one is, so that it looks the same either way.
fn argument(value: &str) -> FluentValue<'_> {
    match value.parse::<i64>() {
        Ok(number) if (0..=MOST_COUNTED).contains(&number) && number.to_string() == value => number.into(),
        _ => value.into(),
    }
}

/// A weight of a header in thousandths; none: it is no weight.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if !matches!(whole, "0" | "1") || rest.len() > 3 || !digits(rest) {
        return None;
    }
    let thousandths = format!("{rest:0<3}").parse::<u16>().ok()?;
    Some(whole.parse::<u16>().ok()? * 1_000 + thousandths).filter(|weight| *weight <= 1_000)
}

/// A number's digits, in groups of three.
fn grouped(plain: &str, separator: char) -> String {
    let (sign, digits) = plain.split_at(usize::from(plain.starts_with('-')));
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::Path;

    use bursar_domain::Currency;

    use super::*;

    /// The keys of a language's texts, and what each has put in.
    fn keys(language: Language) -> BTreeMap<String, BTreeSet<String>> {
        let mut found = BTreeMap::new();
        let mut last = String::new();
        for line in texts(language).iter().flat_map(|text| text.lines()) {
            let is_key = line.starts_with(|c: char| c.is_ascii_lowercase());
            if let Some((key, _)) = line.split_once('=').filter(|_| is_key) {
                last = key.trim().to_owned();
                assert!(found.insert(last.clone(), BTreeSet::new()).is_none(), "{last} is there twice");
            }
            for part in line.split('$').skip(1) {
                let name = part.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap();
                found.get_mut(&last).unwrap().insert(name.to_owned());
            }
        }
        found
    }

    #[test]
    fn all_languages_say_the_same_things() {
        let english = keys(Language::English);
        assert!(english.len() > 100);
        for language in Language::ALL {
            for text in texts(*language) {
                if let Err((_, errors)) = FluentResource::try_new((*text).to_owned()) {
                    panic!("{language}: {errors:?}");
                }
            }
            assert_eq!(keys(*language), english, "{language}");
            for key in english.keys() {
                assert!(
                    bundle(*language).get_message(key).is_some_and(|text| text.value().is_some()),
                    "{key}"
                );
            }
        }
    }

    #[test]
    fn german_has_one_word_for_a_thing() {
        for text in texts(Language::German) {
            for word in text.split(|c: char| !c.is_alphanumeric() && c != '-') {
                assert!(!["Mail", "Mails", "Anfrage", "Anfragen"].contains(&word), "{word}: {text}");
            }
        }
    }

    /// All files below a folder.
    fn walk(dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            if entry.path().is_dir() {
                walk(&entry.path(), found);
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                found.push(text);
            }
        }
    }

    #[test]
    fn whatever_is_said_is_there() {
        let (mut files, mut said) = (Vec::new(), 0);
        for dir in ["src", "templates"] {
            walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &mut files);
        }
        let english = keys(Language::English);
        for call in [".say(\"", ".say_with(\"", "\"page-"] {
            for part in files.iter().flat_map(|text| text.split(call).skip(1)) {
                let rest = part.split('"').next().unwrap();
                let key = if call.ends_with('-') { format!("page-{rest}") } else { rest.to_owned() };
                // But for keys that are put together, and for this file's own words for looking for them.
                let is_whole = !rest.is_empty() && !key.contains('{');
                if is_whole && key.starts_with(|c: char| c.is_ascii_lowercase()) {
                    assert!(english.contains_key(&key), "{key}");
                    said += 1;
                }
            }
        }
        assert!(said > 30);
    }

    #[test]
    fn browsers_are_given_what_they_like() {
        let of = |header: &str| Words::accepted(Some(header), Language::English).tag();
        for (header, expected) in [
            ("", "en"),
            ("de", "de"),
            ("DE-at", "de"),
            ("fr, de;q=0.5", "de"),
            ("de;q=0.8, en;q=0.9", "en"),
            ("en;q=0.8,de;q=0.8", "en"),
            ("de;q=0, fr", "en"),
            ("de;q=0.001", "de"),
            ("de;q=2", "en"),
            ("de;q=0.1234", "en"),
            ("de;q=", "en"),
            ("de;level=1;q=0.4", "de"),
            ("*", "en"),
            (";;,,=,de", "de"),
            ("den", "en"),
        ] {
            assert_eq!(of(header), expected, "{header}");
        }
        assert_eq!(Words::accepted(None, Language::German).tag(), "de");
        assert_eq!(Words::accepted(Some("fr"), Language::German).tag(), "de");
    }

    #[test]
    fn numbers_money_and_dates() {
        let (en, de) = (Words::of(Language::English), Words::of(Language::German));
        for (number, english, german) in [
            (0, "0", "0"),
            (999, "999", "999"),
            (1_000, "1,000", "1.000"),
            (-1_234_567, "-1,234,567", "-1.234.567"),
        ] {
            assert_eq!((en.number(number), de.number(number)), (english.to_owned(), german.to_owned()));
        }
        let dollars = Money { minor: 1_234_567, currency: Currency::USD };
        assert_eq!(en.money(dollars), "USD 12,345.67");
        assert_eq!(de.money(dollars), "12.345,67 USD");
        let yen = Money { minor: 1_500, currency: Currency::parse("JPY").unwrap() };
        assert_eq!((en.money(yen), de.money(yen)), ("JPY 1,500".to_owned(), "1.500 JPY".to_owned()));
        // 27 November 2026, 04:05:06 UTC.
        let at = Timestamp::EPOCH.plus_seconds(1_795_752_306);
        assert_eq!(en.date(at), "27 November 2026, 04:05 UTC");
        assert_eq!(de.date(at), "27. November 2026, 04:05 UTC");
        assert_eq!(en.day(at, Tz::America__New_York), "26 November 2026");
        assert_eq!(de.day(at, Tz::Asia__Tokyo), "27. November 2026");
    }

    #[test]
    fn what_is_put_in_looks_as_it_was_written() {
        for value in
            ["0", "7", "0042", "-1", "1000000000", "1000000001", "9007199254740993", "1e3", "1.50", "x"]
        {
            let text = match argument(value) {
                FluentValue::Number(number) => number.as_string().into_owned(),
                FluentValue::String(text) => text.into_owned(),
                other => panic!("{other:?}"),
            };
            assert_eq!(text, value);
        }
    }
}
