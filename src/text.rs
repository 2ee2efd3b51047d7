//! Rules for texts that people type in: one place, so that every name is checked alike.

use crate::error::{Error, Result};

/// The most characters of a name, reference or subject.
pub const MAX_NAME: usize = 255;
/// The most characters of a reason or note.
pub const MAX_NOTE: usize = 2_000;

/// A name without white space around it: 1 to [`MAX_NAME`] characters, no control characters.
pub fn name(field: &'static str, value: &str) -> Result<String> {
    bounded(field, value, MAX_NAME)
}

/// A name that may be left out; an empty one is an error, not a missing one.
pub fn optional_name(field: &'static str, value: Option<&str>) -> Result<Option<String>> {
    value.map(|value| name(field, value)).transpose()
}

/// A reason or note without white space around it: 1 to [`MAX_NOTE`] characters.
pub fn note(field: &'static str, value: &str) -> Result<String> {
    bounded(field, value, MAX_NOTE)
}

/// A reason or note that may be left out.
pub fn optional_note(field: &'static str, value: Option<&str>) -> Result<Option<String>> {
    value.map(|value| bounded(field, value, MAX_NOTE)).transpose()
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
    fn names_are_trimmed_and_bounded() {
        assert_eq!(name("name", "  Sales ").unwrap(), "Sales");
        assert_eq!(name("name", &"ü".repeat(255)).unwrap().chars().count(), 255);
        for bad in ["", "  ", &"x".repeat(256), "a\nb", "a\0b"] {
            assert!(matches!(name("name", bad), Err(Error::Invalid { .. })), "{bad:?}");
        }
        assert!(optional_note("note", Some("a\nb")).is_ok());
        assert!(optional_note("note", Some("a\0b")).is_err());
        assert_eq!(optional_name("name", None).unwrap(), None);
    }
}
