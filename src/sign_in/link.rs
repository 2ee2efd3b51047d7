//! The link to sign in with: the last part of its address says whom and which, and proves that Bursar has made it.
//!
//! `<person>.<link>.<proof>`: the proof is a MAC over the rest. It is made when the mail is written; neither the
//! database nor a log has it. The mail shows four digits besides, which the address does not have: machines that open
//! what they find in a mail, and send its forms, do not know them.

use bursar_domain::id::{SignInLinkId, UserId};
use bursar_entity::sign_in_link;

use crate::auth::Keys;
use crate::error::{Error, Result};
use crate::global_id;
use crate::outbox::Link;

/// The longest text that can be the last part of an address.
const LENGTH: usize = 192;

/// The address of the page where somebody signs in, below the server's own.
#[derive(Clone, PartialEq, Eq)]
pub struct SignInLink {
    /// What the proof is about.
    about: String,
    user: UserId,
    id: SignInLinkId,
    token: String,
}

/// Without the proof.
impl std::fmt::Debug for SignInLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignInLink({})", self.about)
    }
}

impl SignInLink {
    /// The address of a link.
    pub fn new(keys: &Keys, row: &sign_in_link::Model) -> SignInLink {
        let about = about(row);
        let token = keys.link_token(&about);
        SignInLink { about, user: row.user_id, id: row.id, token }
    }

    /// The link whose address ends with a text, when Bursar has made it. Of any other, nothing is found.
    pub fn read(keys: &Keys, text: &str) -> Result<SignInLink> {
        let not_found = || Error::not_found("link").at("token");
        if text.len() > LENGTH {
            return Err(not_found());
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [user, id, token] = parts.as_slice() else { return Err(not_found()) };
        let about = named(user, id);
        if !keys.is_link_token(&about, token) {
            return Err(not_found());
        }
        Ok(SignInLink {
            about,
            user: global_id::decode(user).ok_or_else(not_found)?,
            id: global_id::decode(id).ok_or_else(not_found)?,
            token: (*token).to_owned(),
        })
    }

    /// The last part of the address, which proves the rest.
    pub fn text(&self) -> String {
        format!("{}.{}.{}", global_id::encode(self.user), global_id::encode(self.id), self.token)
    }

    /// The path.
    pub fn path(&self) -> String {
        format!("/sign-in/{}", self.text())
    }

    /// The code that the mail shows and the page asks for.
    pub fn code(&self, keys: &Keys) -> String {
        keys.link_code(&self.about)
    }

    /// What the proof is about.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// The link of a mail, without its proof.
    pub(super) fn unproven(row: &sign_in_link::Model) -> Link {
        let (user, id) = (global_id::encode(row.user_id), global_id::encode(row.id));
        Link { about: about(row), path: format!("/sign-in/{user}.{id}.{}", Link::PLACE) }
    }

    pub(super) fn user(&self) -> UserId {
        self.user
    }

    pub(super) fn id(&self) -> SignInLinkId {
        self.id
    }
}

/// What the proof of a link is about.
fn about(row: &sign_in_link::Model) -> String {
    named(&global_id::encode(row.user_id), &global_id::encode(row.id))
}

fn named(user: &str, id: &str) -> String {
    format!("sign-in {user} {id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::Timestamp;
    use bursar_domain::id::Id;
    use secrecy::SecretString;

    fn row(id: u128) -> sign_in_link::Model {
        sign_in_link::Model {
            user_id: UserId::from_u128(1),
            id: SignInLinkId::from_u128(id),
            created_at: Timestamp::EPOCH,
            expires_at: Timestamp::EPOCH,
            used_at: None,
            wrong_codes: 0,
        }
    }

    #[test]
    fn links_prove_themselves() {
        let keys = Keys::derive(&SecretString::from("a".repeat(32)));
        let link = SignInLink::new(&keys, &row(2));
        assert_eq!(SignInLink::read(&keys, &link.text()).unwrap(), link);
        let unproven = SignInLink::unproven(&row(2));
        assert_eq!(unproven.path.replace(Link::PLACE, &keys.link_token(&unproven.about)), link.path());
        assert!(link.path().ends_with(&link.text()) && !link.about().contains(&link.token));
        assert_eq!(link.code(&keys), keys.link_code(&unproven.about));
        let text = link.text();
        let (rest, token) = text.rsplit_once('.').unwrap();
        let another = SignInLink::new(&keys, &row(3)).text();
        let (another, _) = another.rsplit_once('.').unwrap();
        for bad in [
            "",
            "..",
            rest,
            token,
            &format!("{rest}."),
            &format!("{another}.{token}"),
            &format!("{text}.x"),
            &format!("{text}x"),
            &text[1..],
            &"é".repeat(90),
            &"x.".repeat(5_000),
        ] {
            let refused = SignInLink::read(&keys, bad);
            assert!(matches!(refused, Err(Error::NotFound { what: "link", .. })), "{bad}");
        }
        let other = Keys::derive(&SecretString::from("b".repeat(32)));
        assert!(SignInLink::read(&other, &text).is_err());
    }
}
