//! The office: carries steps out with the machine as the server does, and lets the judge see everything.

use std::collections::BTreeSet;

use bursar_domain::approval::delegation::check;
use bursar_domain::approval::policy::PRICE_OUTLIVES;
use bursar_domain::approval::{
    Asked, Choice, Content, DecisionException, EscalationReason, NotApprovable, NotUsable, Outcome, Policy,
    RequestState, Round, Situation, Use, seats,
};
use bursar_domain::id::{Id, PackageVersionId};
use bursar_domain::{Credits, Currency};

use crate::facts::{Deputy, Facts, PEOPLE, at, person, persons, pool, user};
use crate::judge::{Sheet, deputies_are_in_order, first_rule};
use crate::steps::{Case, Step};

const HOUR: i64 = 3_600;

/// A request, its newest round, and what the judge has written down of it.
struct Request {
    state: RequestState,
    used: bool,
    /// How often something was bought by it, in whichever round.
    bought: usize,
    round: Round,
    sheet: Sheet,
    content: Content,
    stage_since: i64,
    /// The content that was agreed to.
    agreed: Option<Content>,
}

pub struct Office {
    facts: Facts,
    policies: Vec<Policy>,
    policy: usize,
    request: Option<Request>,
    pub approved: usize,
    pub rejected: usize,
    pub handed: usize,
    pub barred: usize,
    pub used: usize,
}

fn form(content: &Content) -> Vec<u8> {
    content.canonical().as_bytes().to_vec()
}

impl Office {
    pub fn new(case: &Case) -> Office {
        let mut facts = Facts {
            roles: [None; PEOPLE],
            administers: [false; PEOPLE],
            manages: [false; PEOPLE],
            deputies: Vec::new(),
            now: 1_000 * HOUR,
        };
        facts.roles.copy_from_slice(&case.roles);
        facts.roles[0] = Some(bursar_domain::organization::Role::Owner);
        (facts.administers[1], facts.manages[2]) = (true, true);
        Office {
            facts,
            policies: case.policies.clone(),
            policy: 0,
            request: None,
            approved: 0,
            rejected: 0,
            handed: 0,
            barred: 0,
            used: 0,
        }
    }

    /// Carries a step out, and has everything looked at.
    pub fn take(&mut self, step: &Step) {
        let before = self.request.as_ref().map(|request| (request.state, request.round.number));
        match *step {
            Step::Ask { by, credits, total, euros } => self.ask(by, credits, total, euros),
            Step::PriceExpires { total } => self.price_expires(total),
            Step::Cancel => self.conclude(RequestState::Withdrawn),
            Step::Decide { by, approve, knows } => self.decide(by, approve, knows),
            Step::Delegate { of, by, wait, hours } => self.delegate(of, by, wait, hours),
            Step::Enlist { by, hours } => {
                if let Some(of) = self.request.as_ref().map(|request| person(request.round.requester)) {
                    self.delegate(of, by, 0, hours);
                }
            }
            Step::Revoke { recent } => {
                let now = self.facts.now;
                if let Some(deputy) = self.facts.deputies.iter_mut().rev().nth(recent) {
                    deputy.ended = Some(deputy.end().min(now));
                }
            }
            Step::Become { person, role } => {
                let mut facts = self.facts.clone();
                facts.roles[person] = role;
                // An organization always keeps an owner.
                if !facts.owners().is_empty() {
                    self.facts = facts;
                    self.end_deputies();
                }
            }
            Step::Administer { person } => self.facts.administers[person] ^= true,
            Step::Manage { person } => self.facts.manages[person] ^= true,
            Step::Policy { which } => self.policy = which,
            Step::Wait { hours } => self.wait(hours),
            Step::Use => self.make_use(),
        }
        self.reconsider();
        self.look(step, before);
    }

    /// Whoever is no member, or an auditor, stands in for nobody, and nobody for them.
    fn end_deputies(&mut self) {
        let facts = self.facts.clone();
        for deputy in &mut self.facts.deputies {
            if !facts.may_act(deputy.of) || !facts.may_act(deputy.by) {
                deputy.ended = Some(deputy.end().min(facts.now));
            }
        }
    }

    /// Asks for something: anew when the last request has come to its end, else what it asks for is changed.
    fn ask(&mut self, by: usize, credits: i64, total: i64, euros: bool) {
        let currency = if euros { Currency::parse("EUR").unwrap() } else { Currency::USD };
        let credits = Credits::new(credits).unwrap();
        self.open(by, |content| Content { credits, total, currency, ..content });
    }

    fn price_expires(&mut self, total: i64) {
        let Some(request) = self.request.as_ref().filter(|request| request.state.may_reopen(request.used))
        else {
            return;
        };
        let by = person(request.round.requester);
        self.open(by, |content| Content { total, ..content });
    }

    fn open(&mut self, by: usize, change: impl FnOnce(Content) -> Content) {
        let last = self.request.take().filter(|request| request.state.may_reopen(request.used));
        let policy = &self.policies[self.policy];
        let now = self.facts.now;
        let over = now + policy.timing.expire_after;
        let blank = Content {
            pool: pool(),
            package_version: PackageVersionId::from_u128(1),
            credits: Credits::ZERO,
            total: 0,
            currency: Currency::USD,
            lifetime_days: None,
            requester: user(by),
            valid_until: at(over + PRICE_OUTLIVES),
        };
        let content = change(last.as_ref().map_or(blank, |last| Content {
            requester: blank.requester,
            valid_until: blank.valid_until,
            ..last.content
        }));
        if let Some(last) = &last {
            assert_eq!(form(&last.content) == form(&content), last.content == content);
        }
        let asked = Asked {
            pool: content.pool,
            credits: content.credits,
            total: content.total,
            currency: content.currency,
            role: self.facts.roles[by],
            month_to_date: content.total,
        };
        let rule = policy.rule_for(&asked);
        assert_eq!(rule, first_rule(policy, &asked));
        let Some(rule) = rule.map(|rule| policy.rules[rule].clone()) else {
            // Nobody has to be asked any more.
            self.request = last;
            self.conclude(RequestState::Withdrawn);
            return;
        };
        assert!(last.as_ref().is_none_or(|last| last.bought == 0), "what was used is asked anew");
        let (number, mut askers) =
            last.map_or((1, BTreeSet::new()), |last| (last.round.number + 1, last.round.askers));
        askers.insert(user(by));
        let sheet = Sheet::open(&self.facts, &rule, persons(&askers), over);
        let stages = seats(&rule, pool(), &askers, &self.facts.people());
        sheet.compare(&stages);
        let round = Round {
            number,
            requester: user(by),
            askers,
            only_owner: self.facts.people().only_owner(),
            pool: pool(),
            opened_at: at(now),
            expires_at: at(over),
            stages,
            decisions: Vec::new(),
            escalations: Vec::new(),
        };
        let state = RequestState::Pending;
        let request =
            Request { state, used: false, bought: 0, round, sheet, content, stage_since: now, agreed: None };
        self.request = Some(request);
    }

    /// Brings the request to an end, if it can come to that one.
    fn conclude(&mut self, to: RequestState) {
        if let Some(request) =
            self.request.as_mut().filter(|request| request.state.may_become(to, request.used))
        {
            request.state = to;
        }
    }

    fn decide(&mut self, by: usize, approve: bool, knows: bool) {
        let facts = &self.facts;
        let Some(request) = self.request.as_mut().filter(|request| request.state == RequestState::Pending)
        else {
            return;
        };
        let (people, delegations) =
            (facts.people(), facts.delegations(request.round.opened_at.micros() / 1_000_000));
        let situation = Situation { people: &people, delegations: &delegations, now: at(facts.now) };
        let choice = if approve { Choice::Approve } else { Choice::Reject };
        let verdict = match request.round.decide(user(by), choice, knows, &situation) {
            Ok(verdict) => verdict,
            Err(NotApprovable::SoleOwnerUnconfirmed) => {
                assert!(
                    !knows
                        && request.sheet.could(facts, by) == Some((by, Some(DecisionException::SoleOwner)))
                );
                return;
            }
            Err(refused) => {
                assert_eq!(request.sheet.could(facts, by), None, "{refused}: {:#?}", request.round);
                return;
            }
        };
        assert_eq!((verdict.decision.by, verdict.decision.choice), (user(by), choice));
        assert!(verdict.decision.exception != Some(DecisionException::SoleOwner) || knows);
        let turn = request.sheet.turn().unwrap();
        request.sheet.vote(facts, &verdict.decision);
        request.round.decisions.push(verdict.decision);
        let to = match (choice, request.sheet.turn()) {
            (Choice::Reject, _) => {
                assert_eq!(verdict.outcome, Outcome::Rejected);
                self.rejected += 1;
                RequestState::Rejected
            }
            (Choice::Approve, None) => {
                let excepted = Some(DecisionException::SoleOwner);
                let sole_owner = request.round.decisions.iter().any(|one| one.exception == excepted);
                assert_eq!(verdict.outcome, Outcome::Approved { sole_owner });
                self.approved += 1;
                request.agreed = Some(request.content);
                RequestState::Approved
            }
            (Choice::Approve, Some(next)) => {
                let same = next == turn;
                let expected = if same { Outcome::Recorded } else { Outcome::StageDone { next } };
                assert_eq!(verdict.outcome, expected);
                if !same {
                    request.stage_since = facts.now;
                }
                return;
            }
        };
        assert!(request.state.may_become(to, request.used));
        request.state = to;
    }

    fn delegate(&mut self, of: usize, by: usize, wait: i64, hours: i64) {
        let facts = &mut self.facts;
        let from = facts.now + wait * HOUR;
        let deputy = Deputy { of, by, from, until: from + hours * HOUR, ended: None };
        let known: Vec<_> =
            facts.deputies.iter().enumerate().map(|(number, known)| known.delegation(number)).collect();
        let new = deputy.delegation(known.len());
        if facts.may_act(of) && facts.may_act(by) && check(&new, &known, at(facts.now)).is_ok() {
            facts.deputies.push(deputy);
            deputies_are_in_order(facts);
        }
    }

    /// Time passes, and what is due is done: it is over, or the owners join.
    fn wait(&mut self, hours: i64) {
        self.facts.now += hours * HOUR;
        let facts = &self.facts;
        let Some(request) = self.request.as_mut().filter(|request| request.state == RequestState::Pending)
        else {
            return;
        };
        let now = at(facts.now);
        if now >= request.round.expires_at {
            self.conclude(RequestState::Expired);
            return;
        }
        let timing = self.policies[self.policy].timing;
        if facts.now < request.stage_since + timing.escalate_after {
            return;
        }
        let (people, delegations) =
            (facts.people(), facts.delegations(request.round.opened_at.micros() / 1_000_000));
        let overdue = request.round.overdue(&Situation { people: &people, delegations: &delegations, now });
        if let Some(overdue) = overdue {
            request.sheet.hand(facts, &overdue);
            request.round.escalations.push(overdue);
        }
    }

    /// A checkout is paid, an invoice is asked for, and a card is charged, all for the same.
    fn make_use(&mut self) {
        let Some(request) = self.request.as_mut() else { return };
        for way in ["checkout", "invoice", "charge"] {
            match request.state.buy(request.used) {
                Ok(Use::Once) => {
                    assert_eq!(request.state, RequestState::Approved, "by {way}");
                    assert_eq!(request.agreed.as_ref().map(form), Some(form(&request.content)));
                    request.used = true;
                    request.bought += 1;
                    self.used += 1;
                }
                Ok(Use::Unneeded) => assert_eq!(request.state, RequestState::Withdrawn, "by {way}"),
                Err(NotUsable::Used) => assert_eq!(request.bought, 1, "by {way}"),
                Err(NotUsable::NotAgreed) => assert!(request.agreed.is_none(), "by {way}: {}", request.state),
            }
        }
        assert!(request.bought <= 1, "bought {} times", request.bought);
        for to in RequestState::ALL {
            let stays = !request.state.may_become(*to, request.used);
            assert!(request.bought == 0 || stays, "used, and yet it becomes {to}");
        }
    }

    /// What a stage lacks comes from the owners; once that is written there is no more of it.
    fn reconsider(&mut self) {
        let facts = &self.facts;
        let Some(request) = self.request.as_mut().filter(|request| request.state == RequestState::Pending)
        else {
            return;
        };
        let (people, delegations) =
            (facts.people(), facts.delegations(request.round.opened_at.micros() / 1_000_000));
        let situation = Situation { people: &people, delegations: &delegations, now: at(facts.now) };
        if let Some(escalation) = request.round.lacking(&situation) {
            request.sheet.hand(facts, &escalation);
            match escalation.reason {
                EscalationReason::Barred => self.barred += 1,
                EscalationReason::Unreachable | EscalationReason::Overdue => self.handed += 1,
            }
            request.round.escalations.push(escalation);
        }
        assert_eq!(request.round.lacking(&situation), None);
        request.sheet.is_not_stuck_unsaid(facts);
    }

    /// What must hold after every step.
    fn look(&self, step: &Step, before: Option<(RequestState, i64)>) {
        let Some(request) = &self.request else { return };
        let (round, sheet, facts) = (&request.round, &request.sheet, &self.facts);
        let (was, number) = before.unwrap_or((RequestState::Withdrawn, 0));
        let decided = matches!(step, Step::Decide { .. });
        if request.state == RequestState::Approved {
            sheet.is_well_approved();
            assert!(decided || was == RequestState::Approved && number == round.number, "by {step:?}");
            assert_eq!(request.agreed, Some(request.content), "an edit needs a new round");
        }
        if was == RequestState::Rejected && request.state != RequestState::Rejected {
            assert_eq!(round.number, 1, "one rejection ends it: only another request can follow");
        }
        if round.number != number || was != RequestState::Pending && request.state == RequestState::Pending {
            assert!(round.decisions.is_empty(), "a new round begins from nothing");
        }
        let (people, delegations) = (facts.people(), facts.delegations(round.opened_at.micros() / 1_000_000));
        let situation = Situation { people: &people, delegations: &delegations, now: at(facts.now) };
        assert_eq!(round.stage(), sheet.turn());
        let mut may = BTreeSet::new();
        for who in 0..PEOPLE {
            let seat = round.seat_of(user(who), &situation).ok();
            let found = seat.map(|seat| (person(seat.seat), seat.exception));
            assert_eq!(found, sheet.could(facts, who), "{who}: {round:#?} {sheet:#?} {facts:?}");
            may.extend(seat.map(|_| user(who)));
        }
        assert_eq!(round.may_decide_now(&situation), may);
        sheet.nobody_is_shut_out(facts, &persons(&may));
        assert!(round.seated(&situation).is_subset(&may), "{round:#?}");
    }
}
