//! The link by which everything that is kept of an organization can be fetched without a token: a browser sends none with
//! a download. The last part of its address says of which organization and for whom it was made, how they had shown who
//! they are, and until when it is good; and it proves that Bursar has made it.
//!
//! `<organization>.<person>.<session>.<reach>.<expiry>.<name>.<proof>`: the proof is a MAC over the rest, and is kept
//! nowhere. The name is random; it stands in the organization's log where the link was made and where it was used, and
//! proves nothing.
//!
//! Whoever has a link may use it, as often as they like until it expires: a download that was cut off has to be begun
//! anew. What it is good for depends on the person it was made for: it is asked each time whether they still may, and
//! whether the session that they had then is still open.

use bursar_domain::Timestamp;
use bursar_domain::id::OrganizationId;
use bursar_entity::organization;
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use crate::audit::{self, Change};
use crate::auth::{Authorized, Caller, Keys, Proven};
use crate::context::Context;
use crate::db::Tenant;
use crate::error::{Conflict, Error, Result};
use crate::global_id;

/// For how long a link is good, in seconds: as long as it takes to press it, and to begin again when that failed.
pub const EXPORT_LINK_SECONDS: i64 = 10 * 60;
/// The longest text that can be the last part of an address.
const LENGTH: usize = 256;
/// What stands where there is no session.
const NO_SESSION: &str = "-";
/// How far the proof of who the person is reaches.
const EVERYWHERE: &str = "everywhere";
const HERE: &str = "here";

/// The address of an organization's archive, below the server's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportLink {
    organization: OrganizationId,
    proven: Proven,
    expires_at: Timestamp,
    name: String,
    token: String,
}

impl ExportLink {
    fn new(
        keys: &Keys,
        organization: OrganizationId,
        proven: Proven,
        expires_at: Timestamp,
        name: String,
    ) -> ExportLink {
        let link = ExportLink { organization, proven, expires_at, name, token: String::new() };
        let token = keys.link_token(&about(&link.unproven()));
        ExportLink { token, ..link }
    }

    /// The link whose address ends with a text, when Bursar has made it. Of any other, nothing is found.
    ///
    /// # Errors
    /// Not found.
    pub fn read(keys: &Keys, text: &str) -> Result<ExportLink> {
        let not_found = || Error::not_found("link");
        if text.len() > LENGTH {
            return Err(not_found());
        }
        let (unproven, token) = text.rsplit_once('.').ok_or_else(not_found)?;
        if !keys.is_link_token(&about(unproven), token) {
            return Err(not_found());
        }
        let parts: Vec<&str> = unproven.split('.').collect();
        let [organization, user, session, reach, expires_at, name] = parts.as_slice() else {
            return Err(not_found());
        };
        let organization = global_id::decode(organization).ok_or_else(not_found)?;
        let session = match *session {
            NO_SESSION => None,
            session => Some(global_id::decode(session).ok_or_else(not_found)?),
        };
        let within = match *reach {
            EVERYWHERE => None,
            // The address proves that Bursar gave it out for this organization.
            HERE => Some(Tenant::vouched(organization)),
            _ => return Err(not_found()),
        };
        let user = global_id::decode(user).ok_or_else(not_found)?;
        Ok(ExportLink {
            organization,
            proven: Proven { user, within, session },
            expires_at: Timestamp::from_micros(expires_at.parse().map_err(|_| not_found())?),
            name: (*name).to_owned(),
            token: token.to_owned(),
        })
    }

    /// The path.
    pub fn path(&self) -> String {
        format!("/export/organization/{}.{}", self.unproven(), self.token)
    }

    /// Of which organization.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// For whom it was made.
    pub fn proven(&self) -> Proven {
        self.proven
    }

    /// From when on it is no longer good.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// How it is called in the organization's log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Refuses a link whose time is over.
    ///
    /// # Errors
    /// A conflict.
    pub fn require_good(&self, now: Timestamp) -> Result<()> {
        if now < self.expires_at {
            return Ok(());
        }
        Err(Error::conflict(Conflict::State, None, "This link has expired. Ask for another one."))
    }

    /// All of the last part of the address but the proof.
    fn unproven(&self) -> String {
        let Proven { user, within, session } = self.proven;
        let (organization, user) = (global_id::encode(self.organization), global_id::encode(user));
        let session = session.map_or_else(|| NO_SESSION.to_owned(), global_id::encode);
        let reach = if within.is_some() { HERE } else { EVERYWHERE };
        format!("{organization}.{user}.{session}.{reach}.{}.{}", self.expires_at.micros(), self.name)
    }
}

/// What the proof of a link is about.
fn about(unproven: &str) -> String {
    format!("export {unproven}")
}

/// Makes a link for somebody who may take everything out of an organization, and records that. Nothing else is changed,
/// so it can be done in an organization that is suspended as well: whoever leaves takes along what is theirs.
///
/// # Errors
/// Keys get none: they bear themselves with every request. What the database answers.
pub async fn export(
    context: &Context,
    keys: &Keys,
    caller: &Caller,
    organization: &Authorized<organization::Model>,
) -> Result<ExportLink> {
    let proven = caller.proven().ok_or(Error::Forbidden)?;
    let until = context.clock.now().plus_seconds(EXPORT_LINK_SECONDS);
    let expires_at = match proven.session {
        // Whether it is still open is asked when the link is used.
        Some(_) => until,
        // Nothing can be asked of a token without a session: the link does not outlive it.
        None => until.min(caller.expires_at),
    };
    let link = ExportLink::new(keys, organization.id, proven, expires_at, random()?);
    let facts = json!({ "link": link.name, "expiresAt": expires_at.micros() });
    let change = Change::created("exportOrganization", organization.id, facts);
    audit::note(context, organization.tenant(), organization.actor(), change).await?;
    Ok(link)
}

fn random() -> Result<String> {
    let mut random = [0u8; 12];
    getrandom::fill(&mut random).map_err(|error| Error::internal(format!("no randomness: {error}")))?;
    Ok(BASE64URL_NOPAD.encode(&random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::{Id, SessionId, UserId};
    use secrecy::SecretString;

    fn link(keys: &Keys, organization: u128, session: Option<u128>, here: bool) -> ExportLink {
        let organization = OrganizationId::from_u128(organization);
        let proven = Proven {
            user: UserId::from_u128(2),
            within: here.then(|| Tenant::vouched(organization)),
            session: session.map(SessionId::from_u128),
        };
        ExportLink::new(keys, organization, proven, Timestamp::from_micros(1_000), "name".to_owned())
    }

    fn text(link: &ExportLink) -> String {
        link.path().strip_prefix("/export/organization/").unwrap().to_owned()
    }

    #[test]
    fn links_prove_themselves() {
        let keys = Keys::derive(&SecretString::from("a".repeat(32)));
        for (session, here) in [(None, false), (None, true), (Some(3), false), (Some(3), true)] {
            let link = link(&keys, 1, session, here);
            assert_eq!(ExportLink::read(&keys, &text(&link)).unwrap(), link);
        }
        let good = text(&link(&keys, 1, Some(3), true));
        let (rest, token) = good.rsplit_once('.').unwrap();
        let foreign = text(&link(&keys, 4, Some(3), true));
        let (foreign, _) = foreign.rsplit_once('.').unwrap();
        for bad in [
            "",
            "......",
            rest,
            token,
            &format!("{rest}."),
            &format!("{foreign}.{token}"),
            &format!("{}.{token}", rest.replace(".1000.", ".2000.")),
            &format!("{}.{token}", rest.replace(".here.", ".everywhere.")),
            &format!("{good}.x"),
            &good[1..],
            &good.to_uppercase(),
            &"é".repeat(128),
            &"x.".repeat(5_000),
        ] {
            let refused = ExportLink::read(&keys, bad);
            assert!(matches!(refused, Err(Error::NotFound { what: "link", .. })), "{bad}");
        }
        let other = Keys::derive(&SecretString::from("b".repeat(32)));
        assert!(ExportLink::read(&other, &good).is_err());
        // The proof of something else is none of a link's, whatever it says.
        let page = format!("{rest}.{}", keys.link_token(&format!("page 1 export {rest}")));
        assert!(ExportLink::read(&keys, &page).is_err());
        // A proof of nothing that a link says is none either.
        let empty = format!("x.{}", keys.link_token(&about("x")));
        assert!(ExportLink::read(&keys, &empty).is_err());
    }

    #[test]
    fn links_are_good_for_a_while() {
        let keys = Keys::derive(&SecretString::from("a".repeat(32)));
        let link = link(&keys, 1, None, false);
        assert!(link.require_good(Timestamp::from_micros(999)).is_ok());
        assert!(link.require_good(Timestamp::from_micros(1_000)).is_err());
    }
}
