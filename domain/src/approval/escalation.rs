//! When owners may decide in a stage that does not name them: it takes too long, or those it names cannot give what it
//! needs.

use std::collections::BTreeSet;

use super::policy::People;
use super::round::{Escalation, EscalationReason, Round, Situation};
use crate::id::UserId;

impl Round {
    /// What is to be written now since the stage whose turn it is lacks somebody. None: it lacks nobody, or nothing would
    /// be different.
    ///
    /// So many as have to agree there are no more: an owner may decide for all, as long as that is so, and those who are
    /// left may as before. They are there, and some of them may not decide since they stand in for whoever asks, or have
    /// decided in somebody's name: the owners join the others, and as many have to agree as before. Nobody makes that number
    /// smaller by a delegation.
    pub fn lacking(&self, situation: &Situation<'_>) -> Option<Escalation> {
        let stage = self.open_stage(situation.now).ok()?;
        let excluded = self.excluded(situation);
        let free = self.free(stage, situation, &excluded);
        let owners = self.free_owners(situation, &excluded);
        let because = |reason, owners, sole_owner| {
            Some(Escalation { stage, reason, owners, sole_owner, at: situation.now })
        };
        if self.has_enough(stage, situation) {
            if free.len() >= self.missing(stage) {
                return None;
            }
            let joining = &owners - &free;
            // That nobody joins is said once.
            let said = self.newest(stage, EscalationReason::Barred).is_some();
            if said && joining.is_empty() {
                return None;
            }
            return because(EscalationReason::Barred, joining, false);
        }
        let sole_owner = owners.is_empty() && self.alone(stage, situation).is_some();
        // Handed to owners once, it stays with them as long as one of them can decide.
        let stands = |before: &Escalation| {
            !before.owners.is_disjoint(&owners)
                || (before.owners == owners && before.sole_owner == sole_owner)
        };
        if self.newest(stage, EscalationReason::Unreachable).is_some_and(stands) {
            return None;
        }
        because(EscalationReason::Unreachable, owners, sole_owner)
    }

    /// To whom a stage is handed whose people could not give what it needs: one of them may decide for all. It was decided
    /// so, or could not be decided otherwise as things stand now: when people are there again, it is theirs alone again.
    pub fn handed(&self, stage: usize, situation: &Situation<'_>) -> Option<&Escalation> {
        let newest = self.newest(stage, EscalationReason::Unreachable)?;
        let is_decided_so = self.approvals(stage).any(|decision| decision.exception.is_some());
        (is_decided_so || !self.has_enough(stage, situation)).then_some(newest)
    }

    /// Why owners may decide in a stage as things stand. None: they may only where they are named.
    pub fn in_force(&self, stage: usize, situation: &Situation<'_>) -> Option<&Escalation> {
        let joins = |one: &&Escalation| one.stage == stage && one.reason != EscalationReason::Unreachable;
        self.handed(stage, situation).or_else(|| self.escalations.iter().rfind(joins))
    }

    /// Whether there are as many as have to agree in a stage, and have not. Only the people that there are count for it, and
    /// no delegation: neither one by which somebody is barred nor one by which somebody has decided.
    fn has_enough(&self, stage: usize, situation: &Situation<'_>) -> bool {
        self.left(stage, situation).len() >= self.missing(stage)
    }

    /// What is to be written since the stage whose turn it is takes too long: the owners join those who may decide there.
    /// None: nobody would join. Whether it is time is the caller's to say.
    pub fn overdue(&self, situation: &Situation<'_>) -> Option<Escalation> {
        let stage = self.open_stage(situation.now).ok()?;
        let is_said = self.newest(stage, EscalationReason::Overdue).is_some();
        if is_said || self.handed(stage, situation).is_some() {
            return None;
        }
        let excluded = self.excluded(situation);
        let seated = self.holders(stage, situation, &excluded);
        let owners = &self.free_owners(situation, &excluded) - &seated;
        let escalation = Escalation {
            stage,
            reason: EscalationReason::Overdue,
            owners,
            sole_owner: false,
            at: situation.now,
        };
        (!escalation.owners.is_empty()).then_some(escalation)
    }

    /// The only owner, where they may decide about what they have asked for themselves.
    pub(super) fn sole_owner(&self, stage: usize, situation: &Situation<'_>) -> Option<UserId> {
        let handed = self.handed(stage, situation)?;
        self.alone(stage, situation).filter(|_| handed.sole_owner)
    }

    /// The only owner, if it is them who ask, and nobody else is left in a stage. Whoever is barred is there.
    fn alone(&self, stage: usize, situation: &Situation<'_>) -> Option<UserId> {
        self.asking_owner(situation).filter(|_| self.left(stage, situation).is_empty())
    }

    /// What was written of a stage.
    pub(super) fn escalations_of(&self, stage: usize) -> impl Iterator<Item = &Escalation> {
        self.escalations.iter().filter(move |escalation| escalation.stage == stage)
    }

    /// What was written of a stage last, for a reason.
    fn newest(&self, stage: usize, reason: EscalationReason) -> Option<&Escalation> {
        self.escalations.iter().rfind(|escalation| escalation.stage == stage && escalation.reason == reason)
    }

    /// The owners who have joined those who may decide in a stage, and are owners still.
    pub(super) fn joined(&self, stage: usize, people: &People) -> BTreeSet<UserId> {
        let joining = self
            .escalations_of(stage)
            .filter(|escalation| escalation.reason != EscalationReason::Unreachable);
        let joined = joining.flat_map(|escalation| &escalation.owners);
        joined.copied().filter(|owner| people.is_owner(*owner)).collect()
    }

    /// The only owner, if it is them who ask, and they were the only one when it was opened.
    fn asking_owner(&self, situation: &Situation<'_>) -> Option<UserId> {
        let is_theirs = |owner: &UserId| self.only_owner == Some(*owner) && self.askers.contains(owner);
        situation.people.only_owner().filter(is_theirs)
    }

    /// The owners who can decide, and have taken part in no decision.
    fn free_owners(&self, situation: &Situation<'_>, excluded: &BTreeSet<UserId>) -> BTreeSet<UserId> {
        &(&situation.people.owners() - excluded) - &self.spent()
    }
}

#[cfg(test)]
mod tests;
