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

/// `email` in the form in which it is stored and compared: trimmed and in lower case. `None` when it
/// has not the shape of an address (one `@` with text on both sides, no white space or control
/// character, at most 254 bytes, the bound of RFC 5321).
pub fn normal_email(email: &str) -> Option<String> {
    let email = email.trim().to_lowercase();
    let (local, domain) = email.split_once('@')?;
    let shaped = !local.is_empty()
        && local.len() <= 64
        && !domain.is_empty()
        && !domain.contains('@')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && email.len() <= 254
        && !email.chars().any(|c| c.is_whitespace() || c.is_control() || "<>\",;:\\()[]".contains(c));
    shaped.then_some(email)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\r\nx", "a@.b", "<a>@b"] {
            assert_eq!(normal_email(bad), None, "{bad}");
        }
    }
}
