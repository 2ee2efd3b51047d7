//! Invitations: somebody is asked to join an organization, and for how long the question stands.

use crate::Timestamp;

/// For how many days an invitation can be accepted after it was last sent: long enough for a holiday, short enough
/// that a mail that lies about is soon worth nothing.
pub const LIFETIME_DAYS: i64 = 7;

string_enum! {
    /// What has become of an invitation.
    InvitationState {
        /// It can be accepted.
        Pending = "PENDING",
        /// It was accepted.
        Accepted = "ACCEPTED",
        /// It was taken back.
        Revoked = "REVOKED",
        /// Its time is over. Sent again, it can be accepted again.
        Expired = "EXPIRED",
    }
}

/// What has become of an invitation at `now`: what people did to it counts before what time did.
pub const fn state(accepted: bool, revoked: bool, expires_at: Timestamp, now: Timestamp) -> InvitationState {
    if accepted {
        InvitationState::Accepted
    } else if revoked {
        InvitationState::Revoked
    } else if now.micros() >= expires_at.micros() {
        InvitationState::Expired
    } else {
        InvitationState::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_did_counts_before_what_time_did() {
        let end = Timestamp::from_micros(10);
        let (before, after) = (Timestamp::from_micros(9), Timestamp::from_micros(11));
        assert_eq!(state(false, false, end, before), InvitationState::Pending);
        assert_eq!(state(false, false, end, end), InvitationState::Expired);
        for now in [before, end, after] {
            assert_eq!(state(true, false, end, now), InvitationState::Accepted);
            assert_eq!(state(false, true, end, now), InvitationState::Revoked);
        }
    }
}
