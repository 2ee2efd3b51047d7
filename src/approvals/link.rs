//! The link of a mail about a request: the last part of its address says what it leads to, of which request and round,
//! whose it is and which one it is; and it proves that Bursar has made it.
//!
//! `<d|p>.<organization>.<request>.<round>.<person>.<link>.<proof>`: the proof is a MAC over the rest. It is made when
//! the mail is written; neither the database nor a log has it. A mail that asks for a decision shows four digits
//! besides, which the address does not have: machines that open what they find in a mail, and send its forms, do not
//! know them.

use bursar_domain::approval::LinkKind;
use bursar_domain::id::{ApprovalId, ApprovalLinkId, OrganizationId, UserId};
use bursar_entity::approval_link;

use crate::auth::Keys;
use crate::db::Tenant;
use crate::error::{Error, Result};
use crate::global_id;
use crate::outbox::Link;

/// The longest text that can be the last part of an address.
const LENGTH: usize = 320;

/// The address of the page where somebody decides or pays, below the server's own.
#[derive(Clone, PartialEq, Eq)]
pub struct ApprovalLink {
    /// What the proof is about.
    about: String,
    kind: LinkKind,
    organization: OrganizationId,
    request: ApprovalId,
    round: i64,
    user: UserId,
    id: ApprovalLinkId,
    token: String,
}

/// Without the proof.
impl std::fmt::Debug for ApprovalLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApprovalLink({})", self.about)
    }
}

impl ApprovalLink {
    /// The address of a link.
    pub fn new(keys: &Keys, row: &approval_link::Model) -> ApprovalLink {
        let about = about(row.kind, &parts(row));
        let token = keys.link_token(&about);
        ApprovalLink {
            about,
            kind: row.kind,
            organization: row.organization_id,
            request: row.request_id,
            round: row.round,
            user: row.user_id,
            id: row.id,
            token,
        }
    }

    /// The link whose address ends with a text, when Bursar has made it. Of any other, nothing is found.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn read(keys: &Keys, text: &str) -> Result<ApprovalLink> {
        let not_found = || Error::not_found("link").at("token");
        if text.len() > LENGTH {
            return Err(not_found());
        }
        let all: Vec<&str> = text.split('.').collect();
        let [kind, organization, request, round, user, id, token] = all.as_slice() else {
            return Err(not_found());
        };
        let kind = LinkKind::ALL.iter().copied().find(|known| letter(*known) == *kind);
        let kind = kind.ok_or_else(not_found)?;
        let about = about(kind, &[*organization, *request, *round, *user, *id]);
        if !keys.is_link_token(&about, token) {
            return Err(not_found());
        }
        Ok(ApprovalLink {
            about,
            kind,
            organization: global_id::decode(organization).ok_or_else(not_found)?,
            request: global_id::decode(request).ok_or_else(not_found)?,
            round: round.parse().map_err(|_| not_found())?,
            user: global_id::decode(user).ok_or_else(not_found)?,
            id: global_id::decode(id).ok_or_else(not_found)?,
            token: (*token).to_owned(),
        })
    }

    /// The last part of the address, which proves the rest.
    pub fn text(&self) -> String {
        let (organization, request) = (global_id::encode(self.organization), global_id::encode(self.request));
        let (user, id) = (global_id::encode(self.user), global_id::encode(self.id));
        let kind = letter(self.kind);
        format!("{kind}.{organization}.{request}.{}.{user}.{id}.{}", self.round, self.token)
    }

    /// The path.
    pub fn path(&self) -> String {
        format!("/approval/{}", self.text())
    }

    /// What the proof is about.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// The code that the mail shows and the page asks for.
    pub fn code(&self, keys: &Keys) -> String {
        keys.link_code(&self.about)
    }

    /// The link of a mail, without its proof.
    pub(super) fn unproven(row: &approval_link::Model) -> Link {
        let parts = parts(row);
        let path = format!("/approval/{}.{}.{}", letter(row.kind), parts.join("."), Link::PLACE);
        Link { about: about(row.kind, &parts), path }
    }

    /// Whose organization's rows it leads to.
    pub fn tenant(&self) -> Tenant {
        // The address proves that Bursar gave it out for this organization's request.
        Tenant::vouched(self.organization)
    }

    /// What it leads to.
    pub fn kind(&self) -> LinkKind {
        self.kind
    }

    /// Of which request.
    pub fn request(&self) -> ApprovalId {
        self.request
    }

    /// In which round.
    pub fn round(&self) -> i64 {
        self.round
    }

    /// Whose it is.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Which one.
    pub fn id(&self) -> ApprovalLinkId {
        self.id
    }
}

/// What stands in an address for what it leads to.
const fn letter(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Decide => "d",
        LinkKind::Pay => "p",
    }
}

/// Organization, request, round, person and link, as they stand in an address.
fn parts(row: &approval_link::Model) -> [String; 5] {
    [
        global_id::encode(row.organization_id),
        global_id::encode(row.request_id),
        row.round.to_string(),
        global_id::encode(row.user_id),
        global_id::encode(row.id),
    ]
}

/// What the proof of a link is about.
fn about<T: AsRef<str>>(kind: LinkKind, parts: &[T; 5]) -> String {
    let mut about = format!("approval {kind}");
    for part in parts {
        about.push(' ');
        about.push_str(part.as_ref());
    }
    about
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::Timestamp;
    use bursar_domain::id::Id;
    use secrecy::SecretString;

    fn row(kind: LinkKind, id: u128) -> approval_link::Model {
        approval_link::Model {
            organization_id: OrganizationId::from_u128(1),
            id: ApprovalLinkId::from_u128(id),
            kind,
            request_id: ApprovalId::from_u128(2),
            round: 7,
            user_id: UserId::from_u128(3),
            expires_at: Timestamp::EPOCH,
            used_at: None,
            withdrawn_at: None,
            wrong_codes: 0,
            created_at: Timestamp::EPOCH,
        }
    }

    fn keys(letter: &str) -> Keys {
        Keys::derive(&SecretString::from(letter.repeat(32)))
    }

    #[test]
    fn links_prove_themselves() {
        let keys_a = keys("a");
        for kind in [LinkKind::Decide, LinkKind::Pay] {
            let link = ApprovalLink::new(&keys_a, &row(kind, 4));
            assert_eq!(ApprovalLink::read(&keys_a, &link.text()).unwrap(), link);
            assert!(link.text().len() <= LENGTH, "{}", link.text().len());
            let unproven = ApprovalLink::unproven(&row(kind, 4));
            assert_eq!(unproven.about, link.about());
            assert_eq!(unproven.path.replace(Link::PLACE, &keys_a.link_token(&unproven.about)), link.path());
            assert!(!link.about().contains(&link.token) && !format!("{link:?}").contains(&link.token));
            assert_eq!(link.code(&keys_a), keys_a.link_code(&unproven.about));
            assert_eq!((link.kind(), link.round()), (kind, 7));
        }
        let text = ApprovalLink::new(&keys_a, &row(LinkKind::Decide, 4)).text();
        let (rest, token) = text.rsplit_once('.').unwrap();
        let another = ApprovalLink::new(&keys_a, &row(LinkKind::Decide, 5)).text();
        let (another, _) = another.rsplit_once('.').unwrap();
        for bad in [
            "",
            "......",
            rest,
            token,
            &format!("{rest}."),
            &format!("{another}.{token}"),
            // Of another round, and to pay with.
            &text.replacen(".7.", ".8.", 1),
            &text.replacen(".7.", ".07.", 1),
            &text.replacen("d.", "p.", 1),
            &text.replacen("d.", "DECIDE.", 1),
            &format!("{text}.x"),
            &format!("{text}x"),
            &text[1..],
            &text.to_uppercase(),
            &"é".repeat(160),
            &"x.".repeat(5_000),
        ] {
            let refused = ApprovalLink::read(&keys_a, bad);
            assert!(matches!(refused, Err(Error::NotFound { what: "link", .. })), "{bad}");
        }
        assert!(ApprovalLink::read(&keys("b"), &text).is_err());
    }
}
