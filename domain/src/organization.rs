//! Organizations (the tenants) and what people are in them.

string_enum! {
    /// Whether an organization may act.
    OrganizationState {
        /// Everything is allowed.
        Active = "ACTIVE",
        /// Everything may be read, nothing changed.
        Suspended = "SUSPENDED",
    }
}

string_enum! {
    /// How an organization pays.
    PaymentTerms {
        /// Credits are there once they are paid.
        Prepaid = "PREPAID",
        /// Credits are there at once, within a credit limit; the invoice is paid later.
        Invoice = "INVOICE",
    }
}

string_enum! {
    /// What a person is in an organization; each membership has exactly one role.
    Role {
        /// Everything, including who else is an owner. An organization always keeps one.
        Owner = "OWNER",
        /// Everything but owners and the organization's own settings of trust.
        Admin = "ADMIN",
        /// Reads everything, changes nothing.
        Auditor = "AUDITOR",
        /// Sees and uses what departments and grants give.
        Member = "MEMBER",
    }
}

/// Whether `slug` can name an organization: 1 to 63 lower-case letters, digits and inner hyphens,
/// as in a DNS label (RFC 1123).
pub fn valid_slug(slug: &str) -> bool {
    let bytes = slug.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

/// Whether `code` can name a department, service or package: 1 to 64 upper-case letters, digits and
/// underscores, beginning with a letter.
pub fn valid_code(code: &str) -> bool {
    let bytes = code.as_bytes();
    (1..=64).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
        && bytes.first().is_some_and(u8::is_ascii_uppercase)
}

/// `email` in the form in which it is stored and compared: trimmed, and its letters small. `None` when no mail server
/// takes it for an address (RFC 5321): words with dots between them before an `@`, a name of a host after it, at most 64
/// and 254 bytes.
///
/// There are no letters but those of ASCII. A person is known by the address, and so two addresses must not look the same
/// (a Cyrillic а and a Latin a, a letter with its accent and one that is composed) and none must become another's by
/// being written small (the sign of Kelvin becomes a k). Domains in other scripts have a form in ASCII; few servers take
/// anything else before the `@`.
pub fn normal_email(email: &str) -> Option<String> {
    let email = email.trim();
    let (local, host) = email.split_once('@')?;
    let shaped = email.len() <= 254 && is_local_part(local) && is_host(host);
    shaped.then(|| email.to_ascii_lowercase())
}

/// The address of the mailbox that an address in normal form leads to with most mail servers: without what follows a plus
/// sign. For counting mails alone: with some servers it is somebody else's.
pub fn mailbox(email: &str) -> String {
    match email.split_once('@') {
        Some((local, host)) => match local.split_once('+') {
            Some((name, _)) if !name.is_empty() => format!("{name}@{host}"),
            _ => email.to_owned(),
        },
        None => email.to_owned(),
    }
}

/// Whether a text can stand before the `@`: a dot-string of RFC 5321. What would need quotes is nobody's address.
fn is_local_part(text: &str) -> bool {
    let of_a_word = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    text.len() <= 64 && text.split('.').all(|word| !word.is_empty() && word.bytes().all(of_a_word))
}

/// Whether a text can be the name of a host: labels of letters, digits and inner hyphens (RFC 1123). The last one is not
/// a number, or it would be the address of a machine.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    text.split('.').all(is_label) && !text.rsplit('.').next().is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slugs_codes_and_addresses() {
        assert!(valid_slug("demo") && valid_slug("a-1"));
        for bad in ["", "-a", "a-", "A", "a b", "ä", &"a".repeat(64)] {
            assert!(!valid_slug(bad), "{bad}");
        }
        assert!(valid_code("SALES") && valid_code("A_1"));
        for bad in ["", "1A", "sales", "A-B", &"A".repeat(65)] {
            assert!(!valid_code(bad), "{bad}");
        }
        assert_eq!(normal_email(" Owner@Demo.Test ").as_deref(), Some("owner@demo.test"));
        assert_eq!(normal_email("O'Neil+x.y@a-1.b2").as_deref(), Some("o'neil+x.y@a-1.b2"));
        for bad in
            ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\r\nx", "a@.b", "<a>@b", "\"a b\"@c", "a@[::1]"]
        {
            assert_eq!(normal_email(bad), None, "{bad}");
        }
    }

    #[test]
    fn tags_lead_to_one_mailbox() {
        for (email, expected) in [("a@b", "a@b"), ("a+1@b", "a@b"), ("a+1+2@b", "a@b"), ("+1@b", "+1@b")] {
            assert_eq!(mailbox(email), expected, "{email}");
        }
    }

    #[test]
    fn what_no_server_takes_is_no_address() {
        for bad in ["a@x..y", ".a@x", "a.@x", "a..b@x", "a@x.", "a@-x", "a@x-.y", "a@x_y", "a@1.2.3.4", "a@7"]
        {
            assert_eq!(normal_email(bad), None, "{bad}");
        }
        let host = |label: usize, labels: usize| vec!["b".repeat(label); labels].join(".");
        assert!(normal_email(&format!("a@{}", host(63, 1))).is_some());
        assert_eq!(normal_email(&format!("a@{}", host(64, 1))), None);
        assert!(normal_email(&format!("{}@b", "a".repeat(64))).is_some());
        assert_eq!(normal_email(&format!("{}@b", "a".repeat(65))), None);
        // 254 bytes, and one more.
        assert!(normal_email(&format!("a@{}.bb", host(49, 5))).is_some());
        assert_eq!(normal_email(&format!("aa@{}.bb", host(49, 5))), None);
    }

    #[test]
    fn no_address_becomes_another_by_its_letters() {
        for bad in [
            "\u{212a}@demo.test",
            "kk@\u{212a}.test",
            "\u{430}@b",
            "a\u{301}@b",
            "a\u{200b}@b",
            "\u{202e}a@b",
        ] {
            assert_eq!(normal_email(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn normal_addresses_are_their_own(text in "[ \\t]?\\PC{0,12}@\\PC{0,12}|[ ]?[a-zA-Z.+\u{212a}-]{1,12}@[a-zA-Z0-9.-]{1,12}") {
            if let Some(email) = normal_email(&text) {
                prop_assert_eq!(normal_email(&email), Some(email.clone()));
                prop_assert!(email.is_ascii() && email.len() <= 254, "{}", email);
                // Nothing but the case of its letters and what is around it is another.
                prop_assert!(email.eq_ignore_ascii_case(text.trim()), "{}", email);
                prop_assert!(!email.bytes().any(|b| b.is_ascii_uppercase()), "{}", email);
            }
        }
    }
}
