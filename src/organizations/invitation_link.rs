//! The link of an invitation: the last part of its address says which one and which round, and proves that Bursar
//! has made it.
//!
//! `<organization>.<invitation>.<round>.<proof>`: the proof is a MAC over the rest. It is made when the mail is
//! written; neither the database nor a log has it.

use bursar_domain::id::{InvitationId, OrganizationId};
use bursar_entity::invitation;

use crate::auth::Keys;
use crate::db::Tenant;
use crate::error::{Error, Result};
use crate::global_id;
use crate::outbox::Link;

/// The longest text that can be the last part of an invitation's address.
const LINK_LENGTH: usize = 256;

/// The address of the page where an invitation is accepted, below the server's own.
#[derive(Clone, PartialEq, Eq)]
pub struct InvitationLink {
    /// What the proof is about.
    about: String,
    organization: OrganizationId,
    invitation: InvitationId,
    round: i64,
    token: String,
}

/// Without the proof.
impl std::fmt::Debug for InvitationLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InvitationLink({})", self.about)
    }
}

impl InvitationLink {
    /// The address of an invitation's page, as of its last mail.
    pub fn new(keys: &Keys, row: &invitation::Model) -> InvitationLink {
        let about = about(row);
        let token = keys.link_token(&about);
        let (organization, invitation, round) = (row.organization_id, row.id, row.round);
        InvitationLink { about, organization, invitation, round, token }
    }

    /// The link whose address ends with a text, when Bursar has made it. Of any other, nothing is found.
    pub fn read(keys: &Keys, text: &str) -> Result<InvitationLink> {
        let not_found = || Error::not_found("invitation").at("token");
        let parts: Vec<&str> =
            text.get(..LINK_LENGTH.min(text.len())).unwrap_or_default().split('.').collect();
        let [organization, invitation, round, token] = parts.as_slice() else { return Err(not_found()) };
        let about = named(organization, invitation, round);
        if text.len() > LINK_LENGTH || !keys.is_link_token(&about, token) {
            return Err(not_found());
        }
        Ok(InvitationLink {
            about,
            organization: global_id::decode(organization).ok_or_else(not_found)?,
            invitation: global_id::decode(invitation).ok_or_else(not_found)?,
            round: round.parse().map_err(|_| not_found())?,
            token: (*token).to_owned(),
        })
    }

    /// The last part of the address, which proves the rest.
    pub fn text(&self) -> String {
        let (organization, invitation) =
            (global_id::encode(self.organization), global_id::encode(self.invitation));
        format!("{organization}.{invitation}.{}.{}", self.round, self.token)
    }

    /// The path.
    pub fn path(&self) -> String {
        format!("/invitation/{}", self.text())
    }

    /// What the proof is about.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// The link of a mail, without its proof.
    pub(super) fn unproven(row: &invitation::Model) -> Link {
        let (organization, id) = (global_id::encode(row.organization_id), global_id::encode(row.id));
        let path = format!("/invitation/{organization}.{id}.{}.{}", row.round, Link::PLACE);
        Link { about: about(row), path }
    }

    pub(super) fn tenant(&self) -> Tenant {
        // The address proves that Bursar gave it out for this organization's invitation.
        Tenant::vouched(self.organization)
    }

    pub(super) fn invitation(&self) -> InvitationId {
        self.invitation
    }

    pub(super) fn round(&self) -> i64 {
        self.round
    }
}

/// What the proof of an invitation's link is about.
fn about(row: &invitation::Model) -> String {
    let (organization, id) = (global_id::encode(row.organization_id), global_id::encode(row.id));
    named(&organization, &id, &row.round.to_string())
}

fn named(organization: &str, invitation: &str, round: &str) -> String {
    format!("{} {round}", beginning(organization, invitation))
}

/// How what the proofs of all links of an invitation are about begins: only the round follows.
pub(super) fn beginning(organization: &str, invitation: &str) -> String {
    format!("invitation {organization} {invitation}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::Timestamp;
    use bursar_domain::id::{Id, UserId};
    use bursar_domain::organization::Role;
    use secrecy::SecretString;

    fn row(round: i64) -> invitation::Model {
        invitation::Model {
            organization_id: OrganizationId::from_u128(1),
            id: InvitationId::from_u128(2),
            email: "a@b.test".to_owned(),
            role: Role::Member,
            invited_by: UserId::from_u128(3),
            round,
            created_at: Timestamp::EPOCH,
            expires_at: Timestamp::EPOCH,
            accepted_at: None,
            accepted_by: None,
            revoked_at: None,
        }
    }

    #[test]
    fn links_prove_themselves() {
        let keys = Keys::derive(&SecretString::from("a".repeat(32)));
        let link = InvitationLink::new(&keys, &row(7));
        assert_eq!(InvitationLink::read(&keys, &link.text()).unwrap(), link);
        let unproven = InvitationLink::unproven(&row(7));
        assert_eq!(unproven.path.replace(Link::PLACE, &keys.link_token(&unproven.about)), link.path());
        assert!(link.path().ends_with(&link.text()) && !link.about().contains(&link.token));
        let text = link.text();
        let (rest, token) = text.rsplit_once('.').unwrap();
        let eighth = InvitationLink::new(&keys, &row(8)).text();
        let (eighth, _) = eighth.rsplit_once('.').unwrap();
        for bad in [
            "",
            "...",
            rest,
            token,
            &format!("{rest}."),
            &format!("{eighth}.{token}"),
            &format!("{text}.x"),
            &format!("{text}x"),
            &text[1..],
            &"é".repeat(200),
            &"x.".repeat(5_000),
        ] {
            let refused = InvitationLink::read(&keys, bad);
            assert!(matches!(refused, Err(Error::NotFound { what: "invitation", .. })), "{bad}");
        }
        let other = Keys::derive(&SecretString::from("b".repeat(32)));
        assert!(InvitationLink::read(&other, &text).is_err());
    }
}
