//! Rules for texts that people type in: one place, so that every name is checked alike.

use bursar_domain::organization::normal_email;
use url::Host;

use crate::error::{Error, Result};

/// The most characters of a name, reference or subject.
pub const MAX_NAME: usize = 255;
/// The most characters of a reason or note.
pub const MAX_NOTE: usize = 2_000;

/// A name without white space around it: 1 to [`MAX_NAME`] characters that are seen where they stand. Two names that look
/// the same are the same but for letters that look the same, and no name turns round what stands beside it.
pub fn name(field: &'static str, value: &str) -> Result<String> {
    seen(field, bounded(field, value, MAX_NAME)?)
}

/// A name that stands in mail to people who may know neither who has it nor us: no address of a page, which mail
/// programs would make a link of.
pub fn name_in_mail(field: &'static str, value: &str) -> Result<String> {
    let value = name(field, value)?;
    let small = value.to_ascii_lowercase();
    if small.contains("://") || small.contains("www.") {
        return Err(Error::invalid(field, "must not contain the address of a page"));
    }
    Ok(value)
}

/// What somebody else calls something, kept as it is: a reference, a subject. May be left out.
pub fn optional_reference(field: &'static str, value: Option<&str>) -> Result<Option<String>> {
    value.map(|value| bounded(field, value, MAX_NAME)).transpose()
}

/// A name that may be left out; an empty one is an error, not a missing one.
pub fn optional_name(field: &'static str, value: Option<&str>) -> Result<Option<String>> {
    value.map(|value| name(field, value)).transpose()
}

/// A reason or note without white space around it: 1 to [`MAX_NOTE`] characters, which are seen where they stand.
pub fn note(field: &'static str, value: &str) -> Result<String> {
    seen(field, bounded(field, value, MAX_NOTE)?)
}

/// A reason or note that may be left out.
pub fn optional_note(field: &'static str, value: Option<&str>) -> Result<Option<String>> {
    value.map(|value| note(field, value)).transpose()
}

/// An address in the form in which it is stored and compared (see [`normal_email`]), with the name that servers have for
/// a domain in another script (`xn--...`, IDNA). `None` when it is none.
pub fn address(value: &str) -> Option<String> {
    let (local, domain) = value.trim().rsplit_once('@')?;
    if domain.is_ascii() {
        return normal_email(value);
    }
    match Host::parse(domain) {
        Ok(Host::Domain(domain)) => normal_email(&format!("{local}@{domain}")),
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => None,
    }
}

/// An address in its normal form, as a field has to have it.
pub fn email(field: &'static str, value: &str) -> Result<String> {
    address(value).ok_or_else(|| Error::invalid(field, "is not an e-mail address"))
}

fn seen(field: &'static str, value: String) -> Result<String> {
    if !is_seen(&value) {
        let reason = "must not contain invisible characters, or marks of the direction that text runs in";
        return Err(Error::invalid(field, reason));
    }
    Ok(value)
}

/// Whether all of a text is seen where it stands.
pub fn is_seen(text: &str) -> bool {
    // Indian scripts, Persian and composed emoji need joiners, between two characters; beside letters of ASCII they do
    // nothing that could be seen.
    let joins = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && !c.is_whitespace() && !is_hidden(c));
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let seen = match c {
            '\u{200c}' | '\u{200d}' => joins(before) && joins(rest.peek().copied()),
            // What chooses how the character before it looks.
            c if is_selector(c) => before.is_some_and(|c| !c.is_whitespace() && !is_selector(c)),
            c => !is_hidden(c),
        };
        if !seen {
            return false;
        }
        before = Some(c);
    }
    true
}

/// Whether a character only says how the one before it looks.
fn is_selector(c: char) -> bool {
    matches!(c, '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Whether a character is not seen itself: it has no width, looks like nothing, or says in which direction others run.
fn is_hidden(c: char) -> bool {
    matches!(c,
        // The hyphen that is only seen at the end of a line, and the mark that joins combining characters.
        '\u{ad}' | '\u{34f}'
        // Marks and overrides of direction.
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Nothing, with a meaning for those who set type.
        | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        // Ends of lines and of paragraphs.
        | '\u{2028}' | '\u{2029}'
        // Letters that look like a space, or like nothing: fillers of Korean, vowels of Khmer, an empty cell of Braille.
        | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{17b4}' | '\u{17b5}' | '\u{2800}'
        // Letters of labels on other characters.
        | '\u{e0000}'..='\u{e007f}')
}

fn bounded(field: &'static str, value: &str, most: usize) -> Result<String> {
    let value = value.trim();
    if value.is_empty() {
        return Err(Error::invalid(field, "must not be empty"));
    }
    if value.chars().count() > most {
        return Err(Error::invalid(field, format!("must have at most {most} characters")));
    }
    if value.chars().any(|c| c.is_control() && !(most == MAX_NOTE && matches!(c, '\n' | '\t'))) {
        return Err(Error::invalid(field, "must not contain control characters"));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_of_other_scripts_have_one_name() {
        let one = address("A@D\u{f6}m\u{f6}.test").unwrap();
        assert_eq!(one, "a@xn--dm-fkab.test");
        // Composed or not, small or not, and with the dot of another script.
        for same in ["a@xn--DM-fkab.test", "a@do\u{308}mo\u{308}.test", "a@D\u{d6}M\u{d6}\u{3002}test"] {
            assert_eq!(address(same).as_ref(), Some(&one), "{same:?}");
        }
        for bad in [
            "\u{f6}@d\u{f6}m.test",
            "a@b@d\u{f6}m.test",
            "a@\u{202e}test",
            "a@d\u{f6}m..test",
            "a@\u{ff11}.\u{ff12}",
        ] {
            assert_eq!(address(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(name("name", "  Sales ").unwrap(), "Sales");
        assert_eq!(name("name", &"ü".repeat(255)).unwrap().chars().count(), 255);
        for bad in ["", "  ", &"x".repeat(256), "a\nb", "a\0b"] {
            assert!(matches!(name("name", bad), Err(Error::Invalid { .. })), "{bad:?}");
        }
        assert!(optional_note("note", Some("a\nb")).is_ok());
        assert!(optional_note("note", Some("a\0b")).is_err());
        assert_eq!(note("note", " a\n\n\tb \n").unwrap(), "a\n\n\tb");
        assert_eq!(optional_name("name", None).unwrap(), None);
    }

    #[test]
    fn names_are_seen() {
        for good in [
            "Z\u{fc}rich 3\u{a0}b",
            // Persian, Hindi, and a family.
            "\u{645}\u{6cc}\u{200c}\u{631}\u{648}\u{645}",
            "\u{915}\u{94d}\u{200d}\u{937}",
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
            "\u{2764}\u{fe0f}",
            "\u{2764}\u{fe0f}\u{200d}\u{1f525} 1\u{fe0f}\u{20e3}",
            "\u{5e9}\u{5dc}\u{5d5}\u{5dd} Ltd.",
        ] {
            assert_eq!(name("name", good).unwrap(), good);
            assert_eq!(note("note", good).unwrap(), good);
        }
        for bad in [
            "evil \u{202e}rebmem",
            "\u{2066}a\u{2069}",
            "a\u{200b}b",
            "a\u{200d}b",
            "\u{645}\u{200c}",
            "\u{645}\u{200c}\u{200d}\u{631}",
            "\u{200b}",
            "a\u{2028}b",
            "a\u{feff}b",
            "so\u{ad}ft",
            "\u{3164}",
            "a\u{e0041}",
            "a\u{200f}b",
            "\u{2800}",
            "\u{17b5}",
            "\u{fe0f}",
            "a \u{fe0f}",
            "a\u{fe0f}\u{fe0f}",
        ] {
            let error = name("name", bad).unwrap_err();
            assert!(matches!(&error, Error::Invalid { field, .. } if field == "name"), "{bad:?}: {error}");
            for error in [note("note", bad).unwrap_err(), optional_note("note", Some(bad)).unwrap_err()] {
                assert!(
                    matches!(&error, Error::Invalid { field, .. } if field == "note"),
                    "{bad:?}: {error}"
                );
            }
            assert!(optional_reference("reference", Some(bad)).is_ok(), "{bad:?}");
        }
    }

    #[test]
    fn names_in_mail_are_no_links() {
        assert_eq!(name_in_mail("name", "Acme: Sons/Daughters").unwrap(), "Acme: Sons/Daughters");
        for bad in ["Click https://evil.test", "HTTP://x", "see WWW.evil.test", "a\u{202e}b"] {
            assert!(name_in_mail("name", bad).is_err(), "{bad:?}");
        }
    }
}
