//! Rounds of a request: what is asked for, who may decide about it, what was decided.

use std::collections::BTreeSet;

use super::delegation::Delegation;
use super::policy::{Approvers, People};
use crate::id::{PackageVersionId, PoolId, UserId};
use crate::{Credits, Currency, Timestamp};

/// How many wrong codes may be entered for one link: with the last of them it is over.
pub const WRONG_CODES: i64 = 5;
/// For how many seconds a link is good: 72 hours.
pub const LINK_SECONDS: i64 = 72 * 3_600;

string_enum! {
    /// Where a request stands.
    RequestState {
        /// Somebody has to decide.
        Pending = "PENDING",
        /// Everybody who had to has agreed.
        Approved = "APPROVED",
        /// Somebody has said no. Final.
        Rejected = "REJECTED",
        /// Nobody has decided in time.
        Expired = "EXPIRED",
        /// What was asked for is not wanted any more, or needs nobody's consent as it is now.
        Withdrawn = "WITHDRAWN",
    }
}

string_enum! {
    /// What a round was opened by.
    RoundCause {
        /// The purchase was requested.
        Requested = "REQUESTED",
        /// What is to be bought was changed.
        Edited = "EDITED",
        /// The price was no longer valid.
        PriceExpired = "PRICE_EXPIRED",
    }
}

string_enum! {
    /// What somebody decides.
    Choice {
        /// Yes.
        Approve = "APPROVE",
        /// No.
        Reject = "REJECT",
    }
}

string_enum! {
    /// How a decision came in.
    DecisionWay {
        /// By whoever had signed in, through the API.
        Api = "API",
        /// By the page that a mail leads to.
        Link = "LINK",
        /// By that page, signed in.
        SignedInLink = "SIGNED_IN_LINK",
    }
}

string_enum! {
    /// By which exception a decision counts.
    DecisionException {
        /// The only owner agrees to what they have asked for themselves.
        SoleOwner = "SOLE_OWNER",
        /// An owner decides for a whole stage, since so many as have to agree there were no more at that instant.
        OwnerAlone = "OWNER_ALONE",
    }
}

string_enum! {
    /// Why owners may decide in a stage that does not name them.
    EscalationReason {
        /// It has taken too long. The owners join those who may decide; as many have to agree as before.
        Overdue = "OVERDUE",
        /// So many of those who may decide as have to agree there are no more. An owner may decide, alone, as long as that is
        /// so. Those who are left may as before, by saying no as well.
        Unreachable = "UNREACHABLE",
        /// They are there, and too many of them stand in for whoever asks, or have since, or have decided in the name of
        /// somebody else. The owners join those who may decide; as many have to agree as before.
        Barred = "BARRED",
    }
}

string_enum! {
    /// What a link leads to.
    LinkKind {
        /// The page where a person decides.
        Decide = "DECIDE",
        /// The page where what was agreed to is paid.
        Pay = "PAY",
    }
}

string_enum! {
    /// Why somebody's decision cannot be taken.
    NotApprovable {
        /// It has been approved.
        Approved = "APPROVED",
        /// It has been rejected.
        Rejected = "REJECTED",
        /// Its time is over.
        Expired = "EXPIRED",
        /// It was withdrawn.
        Withdrawn = "WITHDRAWN",
        /// It has changed since: there is a newer round.
        StaleRound = "STALE_ROUND",
        /// This person has decided.
        DecidedByYou = "DECIDED_BY_YOU",
        /// Somebody has decided in this person's name, or in the name that this person decides in.
        SeatUsed = "SEAT_USED",
        /// Nobody agrees to what they have asked for themselves.
        Requester = "REQUESTER",
        /// This person stands in for whoever has asked, or did since.
        StandsInForRequester = "STANDS_IN_FOR_REQUESTER",
        /// This person was not asked.
        NotAsked = "NOT_ASKED",
        /// This person was asked, and is no longer what they were asked as.
        NoLongerEligible = "NO_LONGER_ELIGIBLE",
        /// This person no longer stands in for anybody who was asked.
        DelegationEnded = "DELEGATION_ENDED",
        /// It is another stage's turn.
        OtherStage = "OTHER_STAGE",
        /// The only owner has to say that they know what they do.
        SoleOwnerUnconfirmed = "SOLE_OWNER_UNCONFIRMED",
        /// One has to be signed in to decide about so much.
        SignInRequired = "SIGN_IN_REQUIRED",
    }
}

string_enum! {
    /// Why a link is no longer good.
    LinkOver {
        /// It was used.
        Used = "USED",
        /// A newer mail has another one, or what it leads to has come to its end.
        Withdrawn = "WITHDRAWN",
        /// A wrong code was entered too often.
        TriedTooOften = "TRIED_TOO_OFTEN",
        /// Its time is over.
        Expired = "EXPIRED",
    }
}

/// What is asked for. The digest of its canonical form stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// For which pool.
    pub pool: PoolId,
    /// What of.
    pub package_version: PackageVersionId,
    /// How many credits.
    pub credits: Credits,
    /// The total, in minor units.
    pub total: i64,
    /// Its currency.
    pub currency: Currency,
    /// For how many days the credits can be used; none: for ever.
    pub lifetime_days: Option<i64>,
    /// Who asks.
    pub requester: UserId,
    /// Until when the price holds.
    pub valid_until: Timestamp,
}

/// A stage as it was when the round was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seats {
    /// What it is called.
    pub name: String,
    /// Who may decide, in the words of the policy: whoever was named by them has to be so still when deciding.
    pub approvers: Vec<Approvers>,
    /// How many have to agree.
    pub quorum: i64,
    /// Who is named, without those who ask. Whoever stands in for one of them is here, and may not decide.
    pub eligible: BTreeSet<UserId>,
}

/// A decision that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// In which stage, from 0.
    pub stage: usize,
    /// Who has decided.
    pub by: UserId,
    /// In whose name: their own, or that of somebody for whom they stand in.
    pub seat: UserId,
    /// What.
    pub choice: Choice,
    /// By which exception it counts.
    pub exception: Option<DecisionException>,
    /// When.
    pub at: Timestamp,
}

/// Owners may decide in a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// In which stage, from 0.
    pub stage: usize,
    /// Why.
    pub reason: EscalationReason,
    /// The owners, as of then, without those who cannot decide.
    pub owners: BTreeSet<UserId>,
    /// Whether the only owner may decide about what they have asked for themselves.
    pub sole_owner: bool,
    /// When.
    pub at: Timestamp,
}

impl Escalation {
    /// Whether it lets anybody decide.
    pub fn is_to_somebody(&self) -> bool {
        self.sole_owner || !self.owners.is_empty()
    }
}

/// A round, with all that has happened in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Which one, from 1.
    pub number: i64,
    /// Who asks in this round.
    pub requester: UserId,
    /// Whoever has asked in any round until now, this one among them, and whoever wanted the credits: nobody agrees to what
    /// they had a hand in.
    pub askers: BTreeSet<UserId>,
    /// Who was the organization's only owner when it was opened; none: there were several. Whoever becomes the only one
    /// later, as by demoting the others, decides nothing about what they have asked for themselves.
    pub only_owner: Option<UserId>,
    /// For which pool.
    pub pool: PoolId,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it is over.
    pub expires_at: Timestamp,
    /// Its stages. Never empty.
    pub stages: Vec<Seats>,
    /// What was decided, in order.
    pub decisions: Vec<Decision>,
    /// Which stages owners may decide in, in order.
    pub escalations: Vec<Escalation>,
}

/// What somebody may decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// In which stage, from 0.
    pub stage: usize,
    /// Whose seat: their own, or that of somebody for whom they stand in.
    pub seat: UserId,
    /// By which exception.
    pub exception: Option<DecisionException>,
}

/// What has come of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Others have to agree in the same stage.
    Recorded,
    /// It is another stage's turn.
    StageDone {
        /// Which one's, from 0.
        next: usize,
    },
    /// Everybody who had to has agreed.
    Approved {
        /// Whether by the exception for an only owner.
        sole_owner: bool,
    },
    /// It is over.
    Rejected,
}

/// A decision that is to be written, and what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// What comes of it.
    pub outcome: Outcome,
}

/// What a round is judged by, as of one instant.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'s> {
    /// Who is what.
    pub people: &'s People,
    /// Who stands in for whom: all that count at some instant since the round was opened, or later.
    pub delegations: &'s [Delegation],
    /// The instant.
    pub now: Timestamp,
}
