//! Who may decide in a round, by which seat, and what comes of it.
//!
//! Everybody takes part in at most one decision of a round: as whoever decides, or as the one in whose name somebody does.

use std::collections::BTreeSet;

use super::delegation::{Delegation, Way, reached};
use super::policy::{People, Rule, Stage};
use super::round::{
    Choice, Decision, DecisionException, NotApprovable, Outcome, Round, Seat, Seats, Situation, Verdict,
};
use crate::Timestamp;
use crate::id::{PoolId, UserId};

/// The stages of a round that is opened now: whoever is named and can decide, without those who ask. Whoever stands in for
/// one of them has a seat and may not decide: else whoever asks made the stage smaller by a delegation.
pub fn seats(rule: &Rule, pool: PoolId, askers: &BTreeSet<UserId>, people: &People) -> Vec<Seats> {
    let of = |stage: &Stage| Seats {
        name: stage.name.clone(),
        approvers: stage.approvers.clone(),
        quorum: stage.quorum,
        eligible: &people.named(&stage.approvers, pool) - askers,
    };
    rule.stages.iter().map(of).collect()
}

/// Those who ask, and whoever stands in for one of them or has since: ending it frees nobody within the round.
fn with_stand_ins(
    askers: &BTreeSet<UserId>,
    since: Timestamp,
    situation: &Situation<'_>,
) -> BTreeSet<UserId> {
    let counts = |one: &Delegation| one.touches(since, situation.now);
    reached(askers, situation.delegations, Way::Ahead, counts)
}

/// Whether somebody can stand in for somebody by a delegation as of now.
fn stands_in(one: &Delegation, situation: &Situation<'_>) -> bool {
    one.is_active(situation.now) && situation.people.may_decide(one.delegate)
}

impl Seats {
    /// How many have to agree: never nobody.
    pub(super) fn needed(&self) -> usize {
        usize::try_from(self.quorum.max(1)).unwrap_or(usize::MAX)
    }
}

impl Round {
    /// The stage whose turn it is, from 0: the first that is not satisfied. None: all are.
    pub fn stage(&self) -> Option<usize> {
        (0..self.stages.len()).find(|stage| !self.is_satisfied(*stage))
    }

    /// Whether those who have to agree in a stage have: as many as have to, or an owner instead of them, when so many there
    /// were not.
    pub fn is_satisfied(&self, stage: usize) -> bool {
        let Some(seats) = self.stages.get(stage) else { return false };
        self.approvals(stage).count() >= seats.needed()
            || self.approvals(stage).any(|decision| decision.exception.is_some())
    }

    /// Whether somebody has said no.
    pub fn is_rejected(&self) -> bool {
        self.decisions.iter().any(|decision| decision.choice == Choice::Reject)
    }

    /// Whoever cannot decide in this round: those who ask, and whoever stands in for one of them or has since it was opened.
    pub fn excluded(&self, situation: &Situation<'_>) -> BTreeSet<UserId> {
        with_stand_ins(&self.askers, self.opened_at, situation)
    }

    /// By which seat somebody may decide: their own before that of somebody for whom they stand in, and of those the
    /// lowest id's. The seat of an only owner who has asked is good only for whoever says that they know.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn seat_of(&self, person: UserId, situation: &Situation<'_>) -> Result<Seat, NotApprovable> {
        let stage = self.open_stage(situation.now)?;
        if self.decisions.iter().any(|decision| decision.by == person) {
            return Err(NotApprovable::DecidedByYou);
        }
        if self.sole_owner(stage, situation) == Some(person) {
            return Ok(Seat { stage, seat: person, exception: Some(DecisionException::SoleOwner) });
        }
        if self.askers.contains(&person) {
            return Err(NotApprovable::Requester);
        }
        let excluded = self.excluded(situation);
        if excluded.contains(&person) {
            return Err(NotApprovable::StandsInForRequester);
        }
        if self.decisions.iter().any(|decision| decision.seat == person) {
            return Err(NotApprovable::SeatUsed);
        }
        let free = self.free(stage, situation, &excluded);
        let by_seat = |seat: UserId| Seat { stage, seat, exception: self.exception(stage, seat, situation) };
        if free.contains(&person) {
            return Ok(by_seat(person));
        }
        let alone = BTreeSet::from([person]);
        let mut names = reached(&alone, situation.delegations, Way::Behind, |one| stands_in(one, situation));
        names.remove(&person);
        match free.intersection(&names).next() {
            Some(seat) => Ok(by_seat(*seat)),
            None => Err(self.why_not(person, &names, stage, situation)),
        }
    }

    /// What somebody's decision is, and what comes of it. `sole_owner`: they know that they agree to what they have asked
    /// for themselves.
    ///
    /// # Errors
    /// Why they cannot decide.
    pub fn decide(
        &self,
        person: UserId,
        choice: Choice,
        sole_owner: bool,
        situation: &Situation<'_>,
    ) -> Result<Verdict, NotApprovable> {
        let Seat { stage, seat, exception } = self.seat_of(person, situation)?;
        if exception == Some(DecisionException::SoleOwner) && !sole_owner {
            return Err(NotApprovable::SoleOwnerUnconfirmed);
        }
        let decision = Decision { stage, by: person, seat, choice, exception, at: situation.now };
        let mut after = self.clone();
        after.decisions.push(decision);
        let outcome = match (choice, after.stage()) {
            (Choice::Reject, _) => Outcome::Rejected,
            (Choice::Approve, None) => {
                let excepted = |one: &Decision| one.exception == Some(DecisionException::SoleOwner);
                Outcome::Approved { sole_owner: after.decisions.iter().any(excepted) }
            }
            (Choice::Approve, Some(next)) if next == stage => Outcome::Recorded,
            (Choice::Approve, Some(next)) => Outcome::StageDone { next },
        };
        Ok(Verdict { decision, outcome })
    }

    /// Everybody who may decide as of now: exactly those who have a seat by [`Round::seat_of`].
    pub fn may_decide_now(&self, situation: &Situation<'_>) -> BTreeSet<UserId> {
        let Ok(stage) = self.open_stage(situation.now) else { return BTreeSet::new() };
        let (excluded, spent) = (self.excluded(situation), self.spent());
        let free = self.free(stage, situation, &excluded);
        let mut people = reached(&free, situation.delegations, Way::Ahead, |one| stands_in(one, situation));
        people.retain(|person| !excluded.contains(person) && !spent.contains(person));
        people.extend(self.sole_owner(stage, situation).filter(|owner| !spent.contains(owner)));
        people
    }

    /// Whoever has a seat of their own in the stage whose turn it is, and it is free.
    pub fn seated(&self, situation: &Situation<'_>) -> BTreeSet<UserId> {
        let Ok(stage) = self.open_stage(situation.now) else { return BTreeSet::new() };
        let mut people = self.free(stage, situation, &self.excluded(situation));
        people.extend(self.sole_owner(stage, situation).filter(|owner| !self.spent().contains(owner)));
        people
    }

    /// By which exception a seat counts: that of an owner to whom the stage is handed, for the whole stage. The others who
    /// are left in it are asked like before, and one of many.
    fn exception(&self, stage: usize, seat: UserId, situation: &Situation<'_>) -> Option<DecisionException> {
        let handed = self.handed(stage, situation)?;
        let is_owners = handed.owners.contains(&seat) && situation.people.is_owner(seat);
        is_owners.then_some(DecisionException::OwnerAlone)
    }

    /// Whoever is asked in a stage as things stand, whether or not they have decided: but for the only owner, where they may
    /// decide about what they have asked for themselves.
    pub fn asked_in(&self, stage: usize, situation: &Situation<'_>) -> BTreeSet<UserId> {
        self.holders(stage, situation, &self.excluded(situation))
    }

    /// Whether a decision could be based on the same today: whose seat it was is named still, or an owner where it counted
    /// as one's; and whoever decided can decide about anything. It stands either way.
    pub fn still_eligible(&self, decision: &Decision, situation: &Situation<'_>) -> bool {
        let people = situation.people;
        let seat = decision.seat;
        let named = self.stages.get(decision.stage).is_some_and(|seats| {
            seats.eligible.contains(&seat) && people.is_named(seat, &seats.approvers, self.pool)
        });
        let as_owner = decision.exception.is_some()
            || self.escalations_of(decision.stage).any(|escalation| escalation.owners.contains(&seat));
        (named || as_owner && people.is_owner(seat)) && people.may_decide(decision.by)
    }

    /// The stage whose turn it is, while there is something to decide.
    pub(super) fn open_stage(&self, now: Timestamp) -> Result<usize, NotApprovable> {
        if now >= self.expires_at {
            return Err(NotApprovable::Expired);
        }
        if self.is_rejected() {
            return Err(NotApprovable::Rejected);
        }
        self.stage().ok_or(NotApprovable::Approved)
    }

    /// Those who have agreed in a stage.
    pub(super) fn approvals(&self, stage: usize) -> impl Iterator<Item = &Decision> {
        let counts = move |one: &&Decision| one.stage == stage && one.choice == Choice::Approve;
        self.decisions.iter().filter(counts)
    }

    /// Whoever has decided, and everybody in whose name somebody has.
    pub(super) fn spent(&self) -> BTreeSet<UserId> {
        self.decisions.iter().flat_map(|decision| [decision.by, decision.seat]).collect()
    }

    /// Whoever may decide in a stage by a seat of their own as of now, used or not: those who were named and still are, the
    /// owners who have joined them, and those to whom it is handed. That takes nobody's seat: who can say no goes on to.
    pub(super) fn holders(
        &self,
        stage: usize,
        situation: &Situation<'_>,
        excluded: &BTreeSet<UserId>,
    ) -> BTreeSet<UserId> {
        let mut holders = self.able(stage, situation);
        if let Some(handed) = self.handed(stage, situation) {
            holders.extend(handed.owners.intersection(&situation.people.owners()).copied());
        }
        holders.retain(|holder| !excluded.contains(holder));
        holders
    }

    /// Whom a stage counts on: those who were named and still are, and the owners who have joined them. Whoever stands in
    /// for somebody who asks is among them: that they may not decide says nothing of how many have to.
    pub(super) fn able(&self, stage: usize, situation: &Situation<'_>) -> BTreeSet<UserId> {
        let people = situation.people;
        let mut able = self.joined(stage, people);
        if let Some(seats) = self.stages.get(stage) {
            let still = |person: &&UserId| people.is_named(**person, &seats.approvers, self.pool);
            able.extend(seats.eligible.iter().filter(still).copied());
        }
        &able - &self.askers
    }

    /// Those on whom a stage counts whose own seat nobody has decided by. Whoever has decided in somebody's name is among
    /// them: that they may not decide again says nothing of how many have to.
    pub(super) fn left(&self, stage: usize, situation: &Situation<'_>) -> BTreeSet<UserId> {
        let used: BTreeSet<UserId> = self.decisions.iter().map(|decision| decision.seat).collect();
        &self.able(stage, situation) - &used
    }

    /// How many have to agree in a stage besides those who have.
    pub(super) fn missing(&self, stage: usize) -> usize {
        let needed = self.stages.get(stage).map_or(0, Seats::needed);
        needed.saturating_sub(self.approvals(stage).count())
    }

    /// The holders of a stage who have taken part in no decision.
    pub(super) fn free(
        &self,
        stage: usize,
        situation: &Situation<'_>,
        excluded: &BTreeSet<UserId>,
    ) -> BTreeSet<UserId> {
        &self.holders(stage, situation, excluded) - &self.spent()
    }

    /// Why somebody without a free seat has none. `names`: those for whom they stand in.
    fn why_not(
        &self,
        person: UserId,
        names: &BTreeSet<UserId>,
        stage: usize,
        situation: &Situation<'_>,
    ) -> NotApprovable {
        let excluded = self.excluded(situation);
        let held_elsewhere: BTreeSet<UserId> = (0..self.stages.len())
            .filter(|other| *other != stage)
            .flat_map(|other| self.holders(other, situation, &excluded))
            .collect();
        let asked_here = self.asked(stage);
        let asked: BTreeSet<UserId> = (0..self.stages.len()).flat_map(|stage| self.asked(stage)).collect();
        let spent = self.spent();
        if held_elsewhere.contains(&person) {
            return NotApprovable::OtherStage;
        }
        if asked.contains(&person) {
            return NotApprovable::NoLongerEligible;
        }
        if names.iter().any(|name| asked_here.contains(name) && spent.contains(name)) {
            return NotApprovable::SeatUsed;
        }
        if !names.is_disjoint(&held_elsewhere) {
            return NotApprovable::OtherStage;
        }
        if !names.is_disjoint(&asked) {
            return NotApprovable::NoLongerEligible;
        }
        let alone = BTreeSet::from([person]);
        let once = |one: &Delegation| one.touches(self.opened_at, situation.now);
        let names_since = reached(&alone, situation.delegations, Way::Behind, once);
        if names_since.is_disjoint(&asked) { NotApprovable::NotAsked } else { NotApprovable::DelegationEnded }
    }

    /// Everybody who has had a seat in a stage.
    fn asked(&self, stage: usize) -> BTreeSet<UserId> {
        let seats = self.stages.get(stage).into_iter().flat_map(|seats| &seats.eligible);
        let owners = self.escalations_of(stage).flat_map(|escalation| &escalation.owners);
        seats.chain(owners).copied().collect()
    }
}

impl NotApprovable {
    /// What is said to whoever wanted to decide.
    pub const fn sentence(self) -> &'static str {
        match self {
            NotApprovable::Approved => "It has been approved already.",
            NotApprovable::Rejected => "It has been rejected already.",
            NotApprovable::Expired => "The time for deciding is over.",
            NotApprovable::Withdrawn => "It is no longer wanted, or needs nobody's consent any more.",
            NotApprovable::StaleRound => "It has changed since: there is a newer round. Read it again.",
            NotApprovable::DecidedByYou => "You have decided already. Everybody decides once in a round.",
            NotApprovable::SeatUsed => "Somebody has decided in this name already.",
            NotApprovable::Requester => "Nobody decides about what they have asked for themselves.",
            NotApprovable::StandsInForRequester => {
                "Whoever stands in for the person who asks, or has since it was asked, cannot decide."
            }
            NotApprovable::NotAsked => "You were not asked to decide about this.",
            NotApprovable::NoLongerEligible => {
                "The person who was asked is no longer one of those who may decide about this."
            }
            NotApprovable::DelegationEnded => "You no longer stand in for anybody who was asked.",
            NotApprovable::OtherStage => "It is not your stage's turn.",
            NotApprovable::SoleOwnerUnconfirmed => {
                "You are the only owner and have asked for this yourself: say that you know that with soleOwner."
            }
            NotApprovable::SignInRequired => "One has to be signed in to decide about so much.",
        }
    }
}

#[cfg(test)]
mod tests;
