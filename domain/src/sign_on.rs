//! Single sign-on: whom an organization's identity provider may vouch for, and as what.
//!
//! A provider is believed about addresses of the organization's domains only. A domain that everybody can have an
//! address in belongs to nobody, so it cannot be an organization's.

use crate::organization::{Role, normal_email};
use crate::public_mail::is_public;

string_enum! {
    /// How a provider signs its tokens. One for each provider: a token with another one is not its.
    SigningAlgorithm {
        /// RSA (PKCS #1) with SHA-256.
        Rs256 = "RS256",
        /// RSA (PKCS #1) with SHA-384.
        Rs384 = "RS384",
        /// RSA (PKCS #1) with SHA-512.
        Rs512 = "RS512",
        /// RSA (PSS) with SHA-256.
        Ps256 = "PS256",
        /// RSA (PSS) with SHA-384.
        Ps384 = "PS384",
        /// RSA (PSS) with SHA-512.
        Ps512 = "PS512",
        /// ECDSA on P-256.
        Es256 = "ES256",
        /// ECDSA on P-384.
        Es384 = "ES384",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

/// Why a domain cannot be an organization's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDomain {
    /// It is no domain.
    Malformed,
    /// Everybody can have an address there.
    Public,
}

/// A domain in the form in which it is stored and compared: in lower case, without a dot at the end.
pub fn domain(text: &str) -> Result<String, BadDomain> {
    let domain = text.trim().trim_end_matches('.').to_ascii_lowercase();
    // A domain is whatever an address can have after its @.
    let of_an_address = normal_email(&format!("a@{domain}")).is_some();
    match of_an_address && domain.contains('.') {
        false => Err(BadDomain::Malformed),
        true if is_public(&domain) => Err(BadDomain::Public),
        true => Ok(domain),
    }
}

/// The domain of an address in normal form.
pub fn domain_of(email: &str) -> Option<&str> {
    email.split_once('@').map(|(_, domain)| domain)
}

/// Whether a provider can give a role. Owners are made by owners, never by a provider.
pub const fn can_be_given(role: Role) -> bool {
    !matches!(role, Role::Owner)
}

/// What somebody is to be who is in some groups: the highest role of them; when none of them has one, what everybody
/// is.
pub fn role_of<'g>(
    everybody: Role,
    roles: &[(String, Role)],
    groups: impl IntoIterator<Item = &'g str>,
) -> Role {
    let of = |group: &str| {
        roles.iter().filter(|(name, role)| name == group && can_be_given(*role)).map(|(_, role)| *role).min()
    };
    // Roles are declared from the highest down.
    groups.into_iter().filter_map(of).min().unwrap_or(everybody)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_of_organizations() {
        assert_eq!(domain(" Demo.Test. "), Ok("demo.test".to_owned()));
        assert_eq!(domain("a.b-c.example"), Ok("a.b-c.example".to_owned()));
        for bad in [
            "", "test", ".test", "a..test", "a@b.test", "-a.test", "a-.test", "a b.test", "ä.test",
            "a.test/x",
        ] {
            assert_eq!(domain(bad), Err(BadDomain::Malformed), "{bad}");
        }
        assert_eq!(domain(&format!("{}.test", "a".repeat(64))), Err(BadDomain::Malformed));
        for public in ["GMail.com", "yahoo.co.jp.", " web.de"] {
            assert_eq!(domain(public), Err(BadDomain::Public), "{public}");
        }
        assert_eq!(domain_of("a@b.test"), Some("b.test"));
    }

    #[test]
    fn the_highest_group_counts_and_none_makes_owners() {
        let roles = [
            ("staff".to_owned(), Role::Member),
            ("audit".to_owned(), Role::Auditor),
            ("admins".to_owned(), Role::Admin),
            ("bosses".to_owned(), Role::Owner),
        ];
        let of = |groups: &[&str]| role_of(Role::Member, &roles, groups.iter().copied());
        assert_eq!(of(&[]), Role::Member);
        assert_eq!(of(&["staff", "audit"]), Role::Auditor);
        assert_eq!(of(&["admins", "audit", "staff"]), Role::Admin);
        assert_eq!(of(&["bosses"]), Role::Member);
        assert_eq!(of(&["ADMINS", "admins "]), Role::Member);
        assert_eq!(role_of(Role::Auditor, &roles, ["staff"]), Role::Member);
    }
}
