//! Refresh tokens: what a client shows to go on with a session whose token has run out.
//!
//! `bursar_refresh.<person>.<session>.<generation>.<proof>`: the proof is a MAC over the rest, so nothing of a token
//! has to be stored but which generation is the good one. That also makes it certain, of whatever age a token is,
//! that Bursar has given it out once: one that is used again later is known as that.

use bursar_domain::id::{SessionId, UserId};
use secrecy::SecretString;

use super::Keys;
use crate::error::{Error, Result};
use crate::global_id;

/// What every refresh token begins with, so that it can be found where it should not be.
const PREFIX: &str = "bursar_refresh";
/// The longest text that can be one.
const LENGTH: usize = 256;

/// A refresh token that Bursar has made. Whether it is the good one says the session's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    user: UserId,
    session: SessionId,
    generation: i64,
}

impl RefreshToken {
    /// The text of a session's token of a generation.
    pub(super) fn text(keys: &Keys, user: UserId, session: SessionId, generation: i64) -> SecretString {
        let (user, session) = (global_id::encode(user), global_id::encode(session));
        let proof = keys.link_token(&about(&user, &session, &generation.to_string()));
        SecretString::from(format!("{PREFIX}.{user}.{session}.{generation}.{proof}"))
    }

    /// The token with a text.
    ///
    /// # Errors
    /// Not found, when Bursar has not made it.
    pub fn read(keys: &Keys, text: &str) -> Result<RefreshToken> {
        let not_found = || Error::not_found("refresh token").at("refreshToken");
        if text.len() > LENGTH {
            return Err(not_found());
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [PREFIX, user, session, generation, proof] = parts.as_slice() else { return Err(not_found()) };
        if !keys.is_link_token(&about(user, session, generation), proof) {
            return Err(not_found());
        }
        Ok(RefreshToken {
            user: global_id::decode(user).ok_or_else(not_found)?,
            session: global_id::decode(session).ok_or_else(not_found)?,
            generation: generation.parse().map_err(|_| not_found())?,
        })
    }

    /// Whose session it belongs to.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    pub(super) fn generation(&self) -> i64 {
        self.generation
    }
}

/// What the proof is about.
fn about(user: &str, session: &str, generation: &str) -> String {
    format!("refresh {user} {session} {generation}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::Id;
    use secrecy::ExposeSecret;

    #[test]
    fn tokens_prove_themselves() {
        let keys = Keys::derive(&SecretString::from("a".repeat(32)));
        let (user, session) = (UserId::from_u128(1), SessionId::from_u128(2));
        let text =
            |generation| RefreshToken::text(&keys, user, session, generation).expose_secret().to_owned();
        let third = text(3);
        assert_eq!(RefreshToken::read(&keys, &third).unwrap(), RefreshToken { user, session, generation: 3 });
        let (rest, proof) = third.rsplit_once('.').unwrap();
        let fourth = text(4);
        let (fourth, _) = fourth.rsplit_once('.').unwrap();
        for bad in [
            "",
            "....",
            rest,
            proof,
            &format!("{rest}."),
            &format!("{fourth}.{proof}"),
            &format!("{third}.x"),
            &third[1..],
            &third.to_uppercase(),
            &"é".repeat(200),
            &"x.".repeat(5_000),
        ] {
            let refused = RefreshToken::read(&keys, bad);
            assert!(matches!(refused, Err(Error::NotFound { what: "refresh token", .. })), "{bad}");
        }
        let other = Keys::derive(&SecretString::from("b".repeat(32)));
        assert!(RefreshToken::read(&other, &third).is_err());
        // A link's proof is none of a token's.
        let link =
            keys.link_token(&format!("sign-in {} {}", global_id::encode(user), global_id::encode(session)));
        assert!(RefreshToken::read(&keys, &format!("{rest}.{link}")).is_err());
    }
}
