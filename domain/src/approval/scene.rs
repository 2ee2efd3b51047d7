//! A small organization and a round in it, for the tests of this room.

use std::collections::BTreeSet;

use super::{
    Approvers, Choice, Conditions, Decision, Delegation, NotApprovable, Outcome, People, Round, Rule,
    Situation, Stage, seats,
};
use crate::Timestamp;
use crate::id::{DelegationId, Id, PoolId, UserId};
use crate::organization::Role;

pub(super) const OWNERS: Approvers = Approvers::Role(Role::Owner);
pub(super) const ADMINS: Approvers = Approvers::Role(Role::Admin);
pub(super) const MEMBERS: Approvers = Approvers::Role(Role::Member);
/// When rounds are opened and when they are over.
pub(super) const OPENED: i64 = 100;
pub(super) const OVER: i64 = 1_000;

pub(super) fn user(number: u128) -> UserId {
    UserId::from_u128(number)
}

pub(super) fn users(numbers: &[u128]) -> BTreeSet<UserId> {
    numbers.iter().copied().map(user).collect()
}

pub(super) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// Owners 1 and 2, administrators 3 and 4, members 5, 6 and 7, of whom 5 administers the pool; the auditor 8.
pub(super) struct Scene {
    pub(super) people: People,
    pub(super) delegations: Vec<Delegation>,
    pub(super) round: Round,
    pub(super) now: i64,
}

impl Scene {
    /// Nobody has asked for anything yet.
    pub(super) fn new() -> Scene {
        let roles = [
            (1, Role::Owner),
            (2, Role::Owner),
            (3, Role::Admin),
            (4, Role::Admin),
            (5, Role::Member),
            (6, Role::Member),
            (7, Role::Member),
            (8, Role::Auditor),
        ];
        let pool = PoolId::from_u128(1);
        let people = People {
            roles: roles.into_iter().map(|(number, role)| (user(number), role)).collect(),
            pool_administrators: BTreeSet::from([(pool, user(5))]),
            department_managers: BTreeSet::new(),
        };
        let round = Round {
            number: 1,
            requester: user(0),
            askers: BTreeSet::new(),
            only_owner: None,
            pool,
            opened_at: at(OPENED),
            expires_at: at(OVER),
            stages: Vec::new(),
            decisions: Vec::new(),
            escalations: Vec::new(),
        };
        Scene { people, delegations: Vec::new(), round, now: OPENED }
    }

    /// Somebody asks, and these stages have to agree.
    pub(super) fn ask(&mut self, requester: u128, stages: &[(&[Approvers], i64)]) {
        let stage = |(approvers, quorum): &(&[Approvers], i64)| Stage {
            name: "Stage".to_owned(),
            approvers: approvers.to_vec(),
            quorum: *quorum,
        };
        let stages = stages.iter().map(stage).collect();
        let rule = Rule { name: "Rule".to_owned(), conditions: Conditions::default(), stages };
        self.round.requester = user(requester);
        self.round.askers.insert(user(requester));
        self.round.only_owner = self.people.only_owner();
        self.round.opened_at = at(self.now);
        self.round.stages = seats(&rule, self.round.pool, &self.round.askers, &self.people);
        self.reconsider();
    }

    /// Somebody has asked, and these stages have to agree.
    pub(super) fn asked(requester: u128, stages: &[(&[Approvers], i64)]) -> Scene {
        let mut scene = Scene::new();
        scene.ask(requester, stages);
        scene
    }

    pub(super) fn situation(&self) -> Situation<'_> {
        Situation { people: &self.people, delegations: &self.delegations, now: at(self.now) }
    }

    /// Writes that the stage whose turn it is lacks somebody. Answers which one.
    pub(super) fn reconsider(&mut self) -> Option<usize> {
        let found = self.round.lacking(&self.situation());
        let stage = found.as_ref().map(|escalation| escalation.stage);
        self.round.escalations.extend(found);
        stage
    }

    pub(super) fn decide(
        &mut self,
        person: u128,
        choice: Choice,
        sole_owner: bool,
    ) -> Result<(Decision, Outcome), NotApprovable> {
        let verdict = self.round.decide(user(person), choice, sole_owner, &self.situation())?;
        self.round.decisions.push(verdict.decision);
        Ok((verdict.decision, verdict.outcome))
    }

    pub(super) fn approve(&mut self, person: u128) -> Result<Outcome, NotApprovable> {
        Ok(self.decide(person, Choice::Approve, false)?.1)
    }

    /// In whose name somebody can decide.
    pub(super) fn seat_of(&self, person: u128) -> Result<u128, NotApprovable> {
        Ok(self.round.seat_of(user(person), &self.situation())?.seat.as_u128())
    }

    pub(super) fn may_decide(&self) -> Vec<u128> {
        self.round.may_decide_now(&self.situation()).into_iter().map(Id::as_u128).collect()
    }

    pub(super) fn role(&mut self, person: u128, role: Role) {
        self.people.roles.insert(user(person), role);
    }

    pub(super) fn leave(&mut self, person: u128) {
        self.people.roles.remove(&user(person));
        self.people.pool_administrators.retain(|(_, administrator)| *administrator != user(person));
    }

    /// One stands in for another from one instant until before another.
    pub(super) fn delegate(&mut self, delegator: u128, delegate: u128, (from, until): (i64, i64)) {
        let id = DelegationId::from_u128(self.delegations.len() as u128);
        self.delegations.push(Delegation {
            id,
            delegator: user(delegator),
            delegate: user(delegate),
            starts_at: at(from),
            ends_at: at(until),
            revoked_at: None,
        });
    }
}
