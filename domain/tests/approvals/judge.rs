//! The judge: what a round may come to, worked out from the facts and from what has happened, in the plainest way and
//! without asking the machine.

use std::collections::BTreeSet;

use bursar_domain::approval::{
    Approvers, Asked, Choice, Conditions, Decision, DecisionException, Escalation, EscalationReason, Policy,
    Rule, Seats,
};

use crate::facts::{Deputy, Facts, PEOPLE, person, persons, user};

/// How many may stand in for one another in a row.
const LINKS: usize = 3;

#[derive(Clone, Debug)]
struct Vote {
    stage: usize,
    by: usize,
    seat: usize,
    approve: bool,
    exception: Option<DecisionException>,
}

/// Owners may decide in a stage, and why.
#[derive(Clone, Debug)]
struct Handed {
    stage: usize,
    reason: EscalationReason,
    owners: BTreeSet<usize>,
    sole: bool,
}

/// All that has happened in a round.
#[derive(Clone, Debug)]
pub struct Sheet {
    askers: BTreeSet<usize>,
    /// Who was the only owner when it was opened.
    only: Option<usize>,
    opened: i64,
    over: i64,
    stages: Vec<(Vec<Approvers>, usize, BTreeSet<usize>)>,
    votes: Vec<Vote>,
    handed: Vec<Handed>,
}

/// The rule that has to be taken.
pub fn first_rule(policy: &Policy, asked: &Asked) -> Option<usize> {
    let money = policy.currency == Some(asked.currency);
    let fits = |conditions: &Conditions| {
        let Conditions { credits_from, credits_to, total_from, total_to, pools, roles, month_to_date_from } =
            conditions;
        let mut fits = true;
        if let Some(from) = credits_from {
            fits &= asked.credits.get() >= from.get();
        }
        if let Some(to) = credits_to {
            fits &= asked.credits.get() <= to.get();
        }
        if let Some(pools) = pools {
            fits &= pools.contains(&asked.pool);
        }
        if let (Some(roles), Some(role)) = (roles, asked.role) {
            fits &= roles.contains(&role);
        }
        if money {
            fits &= asked.total >= total_from.unwrap_or(i64::MIN);
            fits &= asked.total <= total_to.unwrap_or(i64::MAX);
            fits &= asked.month_to_date >= month_to_date_from.unwrap_or(i64::MIN);
        }
        fits
    };
    policy.rules.iter().position(|rule| fits(&rule.conditions))
}

/// At no instant does anybody stand in for two, for themselves by way of others, or for more than three in a row.
pub fn deputies_are_in_order(facts: &Facts) {
    for instant in facts.deputies.iter().map(|deputy| deputy.from) {
        let counting: Vec<&Deputy> =
            facts.deputies.iter().filter(|deputy| deputy.counts_at(instant)).collect();
        for start in 0..PEOPLE {
            let (mut links, mut at) = (0, start);
            loop {
                let next: Vec<usize> =
                    counting.iter().filter(|deputy| deputy.of == at).map(|deputy| deputy.by).collect();
                assert!(next.len() <= 1, "two stand in for {at} at {instant}: {:?}", facts.deputies);
                let Some(next) = next.first() else { break };
                (links, at) = (links + 1, *next);
                assert!(at != start && links <= LINKS, "{start} at {instant}: {:?}", facts.deputies);
            }
        }
    }
}

fn is_named(facts: &Facts, who: usize, approvers: &[Approvers]) -> bool {
    facts.may_act(who)
        && approvers.iter().any(|by| match by {
            Approvers::Member(member) => *member == user(who),
            Approvers::Role(role) => facts.roles[who] == Some(*role),
            Approvers::PoolAdministrators => facts.administers[who],
            Approvers::DepartmentManagers(_) => facts.manages[who],
        })
}

/// Whether there is a chain from one to another, of so many links at most.
fn leads(facts: &Facts, from: usize, to: usize, links: usize, counts: &dyn Fn(&Deputy) -> bool) -> bool {
    links > 0
        && facts.deputies.iter().any(|deputy| {
            deputy.of == from
                && counts(deputy)
                && (deputy.by == to || leads(facts, deputy.by, to, links - 1, counts))
        })
}

impl Sheet {
    /// A round that is opened now.
    pub fn open(facts: &Facts, rule: &Rule, askers: BTreeSet<usize>, over: i64) -> Sheet {
        let (opened, votes, handed) = (facts.now, Vec::new(), Vec::new());
        let owners = facts.owners();
        let only = owners.iter().copied().find(|_| owners.len() == 1);
        let mut sheet = Sheet { askers, only, opened, over, stages: Vec::new(), votes, handed };
        for stage in &rule.stages {
            let seated = |who: &usize| is_named(facts, *who, &stage.approvers) && !sheet.askers.contains(who);
            let seated: BTreeSet<usize> = (0..PEOPLE).filter(seated).collect();
            sheet.stages.push((stage.approvers.clone(), usize::try_from(stage.quorum).unwrap(), seated));
        }
        sheet
    }

    /// The machine has seated the same people.
    pub fn compare(&self, seats: &[Seats]) {
        let theirs: Vec<BTreeSet<usize>> = seats.iter().map(|seats| persons(&seats.eligible)).collect();
        let ours: Vec<BTreeSet<usize>> = self.stages.iter().map(|(_, _, seated)| seated.clone()).collect();
        assert_eq!(theirs, ours);
    }

    /// Whoever asks, or stands in for somebody who does, or did at some instant since the round was opened.
    fn is_barred(&self, facts: &Facts, who: usize) -> bool {
        let since = |deputy: &Deputy| {
            let first = deputy.from.max(self.opened);
            first <= facts.now && deputy.counts_at(first)
        };
        self.askers.contains(&who) || self.askers.iter().any(|asker| leads(facts, *asker, who, LINKS, &since))
    }

    fn approvals(&self, stage: usize) -> usize {
        self.votes.iter().filter(|vote| vote.stage == stage && vote.approve).count()
    }

    fn is_satisfied(&self, stage: usize) -> bool {
        self.is_decided_by_owner(stage) || self.approvals(stage) >= self.stages[stage].1
    }

    fn is_decided_by_owner(&self, stage: usize) -> bool {
        self.votes.iter().any(|vote| vote.stage == stage && vote.approve && vote.exception.is_some())
    }

    /// Whose turn it is.
    pub fn turn(&self) -> Option<usize> {
        (0..self.stages.len()).find(|stage| !self.is_satisfied(*stage))
    }

    fn is_rejected(&self) -> bool {
        self.votes.iter().any(|vote| !vote.approve)
    }

    fn is_spent(&self, who: usize) -> bool {
        self.votes.iter().any(|vote| vote.by == who || vote.seat == who)
    }

    fn row(&self, stage: usize, reason: EscalationReason) -> Option<&Handed> {
        self.handed.iter().rfind(|row| row.stage == stage && row.reason == reason)
    }

    /// Whether somebody is one of those on whom a stage counts, whether or not a delegation keeps them from deciding.
    fn is_counted_on(&self, facts: &Facts, stage: usize, who: usize) -> bool {
        let (approvers, _, seated) = &self.stages[stage];
        let named = seated.contains(&who) && is_named(facts, who, approvers);
        let joined = self.handed.iter().any(|row| {
            row.stage == stage && row.reason != EscalationReason::Unreachable && row.owners.contains(&who)
        });
        named || joined && facts.owners().contains(&who)
    }

    /// How many are missing in a stage.
    fn missing(&self, stage: usize) -> usize {
        self.stages[stage].1.saturating_sub(self.approvals(stage))
    }

    /// Those of a stage who are there and have not been decided for by anybody, whatever delegations say.
    fn left(&self, facts: &Facts, stage: usize) -> BTreeSet<usize> {
        let there = |who: &usize| {
            self.is_counted_on(facts, stage, *who) && !self.votes.iter().any(|vote| vote.seat == *who)
        };
        (0..PEOPLE).filter(there).collect()
    }

    /// Whether so many are there, whatever delegations say.
    fn has_enough(&self, facts: &Facts, stage: usize) -> bool {
        self.left(facts, stage).len() >= self.missing(stage)
    }

    /// To which owners a stage is given as things stand.
    fn given_to(&self, facts: &Facts, stage: usize) -> Option<&Handed> {
        let row = self.row(stage, EscalationReason::Unreachable)?;
        (self.is_decided_by_owner(stage) || !self.has_enough(facts, stage)).then_some(row)
    }

    /// Whether somebody is an owner to whom a stage is given.
    fn is_given(&self, facts: &Facts, stage: usize, who: usize) -> bool {
        let given = self.given_to(facts, stage).is_some_and(|row| row.owners.contains(&who));
        given && facts.owners().contains(&who)
    }

    /// Whether somebody has a seat, free or not.
    fn holds(&self, facts: &Facts, stage: usize, who: usize) -> bool {
        let holds = self.is_counted_on(facts, stage, who) || self.is_given(facts, stage, who);
        holds && !self.is_barred(facts, who)
    }

    fn free(&self, facts: &Facts, stage: usize) -> BTreeSet<usize> {
        (0..PEOPLE).filter(|who| self.holds(facts, stage, *who) && !self.is_spent(*who)).collect()
    }

    fn asking_owner(&self, facts: &Facts) -> Option<usize> {
        let owners = facts.owners();
        let owner = owners.iter().copied().find(|owner| owners.len() == 1 && self.askers.contains(owner));
        owner.filter(|owner| self.only == Some(*owner))
    }

    /// The only owner who asks, where nobody else is left in a stage.
    fn alone(&self, facts: &Facts, stage: usize) -> Option<usize> {
        self.asking_owner(facts).filter(|_| self.left(facts, stage).is_empty())
    }

    /// The owners who could decide, if they had a seat.
    fn able_owners(&self, facts: &Facts) -> BTreeSet<usize> {
        let can = |who: &usize| !self.is_barred(facts, *who) && !self.is_spent(*who);
        facts.owners().into_iter().filter(can).collect()
    }

    /// In whose name somebody could decide now, and by which exception.
    pub fn could(&self, facts: &Facts, who: usize) -> Option<(usize, Option<DecisionException>)> {
        let stage = self.turn().filter(|_| facts.now < self.over && !self.is_rejected())?;
        if self.votes.iter().any(|vote| vote.by == who) {
            return None;
        }
        let given = self.given_to(facts, stage);
        if given.is_some_and(|row| row.sole) && self.alone(facts, stage) == Some(who) {
            return Some((who, Some(DecisionException::SoleOwner)));
        }
        if self.is_barred(facts, who) || self.is_spent(who) {
            return None;
        }
        let now = |deputy: &Deputy| deputy.counts_at(facts.now) && facts.may_act(deputy.by);
        let free = self.free(facts, stage);
        let own = free.contains(&who).then_some(who);
        let other = || free.into_iter().find(|seat| leads(facts, *seat, who, LINKS, &now));
        let exception = |seat| self.is_given(facts, stage, seat).then_some(DecisionException::OwnerAlone);
        own.or_else(other).map(|seat| (seat, exception(seat)))
    }

    /// Somebody has decided, and the machine has taken it.
    pub fn vote(&mut self, facts: &Facts, decision: &Decision) {
        let (by, seat) = (person(decision.by), person(decision.seat));
        let exception = decision.exception;
        assert_eq!(self.could(facts, by), Some((seat, exception)), "{by} for {seat}: {self:#?} {facts:?}");
        assert_eq!(self.turn(), Some(decision.stage));
        if exception.is_some() {
            self.nobody_is_passed_over(facts, decision.stage, exception);
        }
        let approve = decision.choice == Choice::Approve;
        self.votes.push(Vote { stage: decision.stage, by, seat, approve, exception });
    }

    /// Owners may decide in a stage, the machine says.
    pub fn hand(&mut self, facts: &Facts, escalation: &Escalation) {
        let (stage, reason) = (escalation.stage, escalation.reason);
        assert_eq!(self.turn(), Some(stage), "only the stage whose turn it is");
        let mut owners = self.able_owners(facts);
        let (free, before) = (self.free(facts, stage), self.row(stage, reason));
        let mut sole = false;
        match reason {
            EscalationReason::Unreachable => {
                sole = owners.is_empty() && self.alone(facts, stage).is_some();
                assert!(!self.has_enough(facts, stage), "{stage} is in reach: {self:#?}");
                if let Some(before) = before {
                    assert!(before.owners.is_disjoint(&owners), "an owner is left: {self:#?}");
                    let same = before.owners == owners && before.sole == sole;
                    assert!(!same, "nothing is different: {self:#?}");
                }
            }
            EscalationReason::Barred => {
                assert!(self.has_enough(facts, stage) && free.len() < self.missing(stage), "{self:#?}");
                owners.retain(|owner| !free.contains(owner));
                assert!(before.is_none() || !owners.is_empty(), "nothing is different: {self:#?}");
            }
            EscalationReason::Overdue => {
                owners.retain(|owner| !self.holds(facts, stage, *owner));
                assert!(!owners.is_empty() && self.given_to(facts, stage).is_none());
                assert!(before.is_none(), "once a stage");
            }
        }
        assert_eq!((persons(&escalation.owners), escalation.sole_owner), (owners.clone(), sole));
        self.handed.push(Handed { stage, reason, owners, sole });
    }

    /// The stage whose turn it is waits for nobody who cannot come, unless that was said.
    pub fn is_not_stuck_unsaid(&self, facts: &Facts) {
        let Some(turn) = self.turn() else { return };
        let free = self.free(facts, turn).len();
        let is_said = match self.given_to(facts, turn) {
            Some(row) => {
                let owners = self.able_owners(facts);
                let sole = owners.is_empty() && self.alone(facts, turn).is_some();
                !row.owners.is_disjoint(&owners) || owners.is_empty() && row.sole == sole
            }
            None => free >= self.missing(turn) || self.row(turn, EscalationReason::Barred).is_some(),
        };
        assert!(is_said, "{self:#?} {facts:?}");
    }

    /// One decides for a whole stage only where those who are missing have gone, and not since somebody has been asked to
    /// stand in: so many would be missing as well if everybody had decided in person, and nobody stood in for anybody. And
    /// the only owner who asks passes over nobody who could say no.
    fn nobody_is_passed_over(&self, facts: &Facts, stage: usize, exception: Option<DecisionException>) {
        let mut in_person = self.clone();
        for vote in &mut in_person.votes {
            vote.by = vote.seat;
        }
        let there = |who: &usize| in_person.is_counted_on(facts, stage, *who) && !in_person.is_spent(*who);
        let there: Vec<usize> = (0..PEOPLE).filter(there).collect();
        assert!(there.len() < self.missing(stage), "one for all, and nobody is missing: {self:#?}");
        let alone = exception != Some(DecisionException::SoleOwner) || there.is_empty();
        assert!(alone, "{there:?} could still say no: {self:#?}");
    }

    /// Whoever was named when it was opened, and still is, decides in person when it is their stage's turn: whatever else
    /// has become of it, if they had no hand in it, and nobody has decided by them or for them.
    pub fn nobody_is_shut_out(&self, facts: &Facts, may: &BTreeSet<usize>) {
        let Some(turn) = self.turn().filter(|_| facts.now < self.over && !self.is_rejected()) else { return };
        let (approvers, _, seated) = &self.stages[turn];
        for who in seated {
            let counts = is_named(facts, *who, approvers) && !self.is_barred(facts, *who);
            assert!(!counts || self.is_spent(*who) || may.contains(who), "{who} is shut out: {self:#?}");
        }
    }

    /// What is approved was agreed to in every stage, by as many different people in as many different names as had to,
    /// none of whom had a hand in it.
    pub fn is_well_approved(&self) {
        assert!(!self.is_rejected() && self.turn().is_none(), "{self:#?}");
        let mut seen = BTreeSet::new();
        for vote in &self.votes {
            assert!(seen.insert(vote.by), "twice: {self:#?}");
            assert!(vote.by == vote.seat || seen.insert(vote.seat), "in one name twice: {self:#?}");
            let hand = self.askers.contains(&vote.by) || self.askers.contains(&vote.seat);
            assert_eq!(hand, vote.exception == Some(DecisionException::SoleOwner), "{self:#?}");
            assert!(!hand || self.only == Some(vote.by), "alone only since: {self:#?}");
        }
        for (stage, (_, quorum, _)) in self.stages.iter().enumerate() {
            assert!(self.approvals(stage) >= *quorum || self.is_decided_by_owner(stage), "{self:#?}");
        }
    }
}
