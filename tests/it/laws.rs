//! The ledger's laws on both databases: whatever commands come, several at a time, while time goes on and
//! months begin, the books are right after them, and repeating any of them does nothing.
//!
//! `COMMANDS` and `SEED` in the environment make a longer story of it, or another one.

use std::collections::BTreeMap;

use bursar::auth::{Actor, Standing};
use bursar::clock::Clock;
use bursar::db::Tenant;
use bursar::error::Error;
use bursar::global_id;
use bursar::ledger::{Receipt, ReceiptRow, Submission};
use bursar_domain::id::{ChargeId, DepartmentId, EntryId, HoldId, Id, LotId, PoolId, UserId};
use bursar_domain::ledger::*;
use bursar_domain::money::cost_share;
use bursar_domain::{Credits, Currency, Timestamp};
use bursar_entity::{charge, hold, lot, user};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::laws::books_are_right;
use crate::support::process::verify;
use crate::support::{Backend, Chance, Client, World, number, run_within};

/// How many commands are submitted at a time.
const AT_ONCE: u64 = 8;
/// The 20th of March 2026, in microseconds: a month begins soon after.
const START: i64 = 1_773_964_800_000_000;
/// How many of the commands are repeated at the end.
const REPEATED: usize = 60;

/// What has been done so far, for commands to come to be about.
struct Story<'w> {
    world: &'w World,
    chance: Chance,
    tenant: Tenant,
    pools: [PoolId; 2],
    departments: [DepartmentId; 2],
    person: UserId,
    charges: Vec<charge::Model>,
    holds: Vec<hold::Model>,
    lots: Vec<lot::Model>,
    /// Lots whose payments are disputed, with how many credits.
    disputed: Vec<(lot::Model, Credits)>,
    accepted: Vec<Submission>,
    /// How often each kind of command was accepted and refused.
    counts: BTreeMap<&'static str, (usize, usize)>,
}

/// The kind of a command.
fn kind(instruction: &Instruction) -> &'static str {
    match instruction {
        Instruction::Issue(_) => "issue",
        Instruction::Allocate(_) => "allocate",
        Instruction::Reclaim(_) => "reclaim",
        Instruction::Move(_) => "move",
        Instruction::Refill(_) => "refill",
        Instruction::Charge(_) => "charge",
        Instruction::Hold(_) => "hold",
        Instruction::Capture(_) => "capture",
        Instruction::Void(_) => "void",
        Instruction::Refund(_) => "refund",
        Instruction::TakeBack(_) => "take back",
        Instruction::Extend(_) => "extend",
        Instruction::Revoke(_) => "revoke",
        Instruction::Dispute(_) => "dispute",
        Instruction::Reinstate(_) => "reinstate",
        Instruction::Restore(_) => "restore",
        Instruction::Assign(_) => "assign",
        Instruction::BookDue => "book what is due",
    }
}

/// The reversal of a part of a payment.
fn revoke(row: &lot::Model, credits: Credits, disputed: bool) -> Instruction {
    let value = cost_share(row.cost, credits.get(), row.credits.get());
    Instruction::Revoke(RevokeLot { lot: row.id, credits, value, disputed })
}

/// The id of the row that a command leaves.
fn command_id(clock: &Clock, instruction: &Instruction) -> CommandId {
    match instruction {
        Instruction::Charge(_) | Instruction::Capture(_) => CommandId::Charge(clock.new_id::<ChargeId>()),
        Instruction::Hold(_) => CommandId::Hold(clock.new_id::<HoldId>()),
        _ => CommandId::Entry(clock.new_id::<EntryId>()),
    }
}

impl<'w> Story<'w> {
    /// Two pools, two departments with credits in the first, and three caps.
    async fn begin(world: &'w World, seed: u64) -> Story<'w> {
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let input = json!({ "organizationId": demo.organization, "name": "Second" });
        let second = owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await;
        let second = second["pool"]["id"].as_str().unwrap().to_owned();
        for (pool, credits) in [(&demo.pool, 2_000), (&second, 500)] {
            world.grant(&demo.organization, pool, credits).await;
        }
        owner.allocate(&demo.pool, &demo.sales, 400, "sales").await;
        owner.allocate(&demo.pool, &demo.marketing, 200, "marketing").await;
        let member = member(&owner, &demo.organization).await;
        // Nobody sets a cap on themselves.
        let admin = world.client("admin@demo.test").await;
        for (scope, credits) in [
            (json!({ "departmentId": demo.sales }), 150),
            (json!({ "memberId": member }), 120),
            (json!({ "service": "STYLE_CHANGE" }), 100),
        ] {
            let input = json!({ "poolId": demo.pool, "scope": scope, "credits": credits, "period": "MONTH" });
            admin.mutate("createSpendingCap", "CreateSpendingCapInput", input, "__typename").await;
        }
        let people = world.database.rows::<user::Entity>().await;
        let person = people.into_iter().find(|person| person.email == "owner@demo.test").unwrap().id;
        Story {
            world,
            chance: Chance::new(seed),
            tenant: Tenant::vouched(global_id::decode(&demo.organization).unwrap()),
            pools: [&demo.pool, &second].map(|pool| global_id::decode(pool).unwrap()),
            departments: [&demo.sales, &demo.marketing].map(|id| global_id::decode(id).unwrap()),
            person,
            charges: Vec::new(),
            holds: Vec::new(),
            lots: Vec::new(),
            disputed: Vec::new(),
            accepted: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    fn credits(&mut self, bound: u64) -> Credits {
        Credits::new(1 + self.chance.below(bound) as i64).unwrap()
    }

    /// More often the first pool than the second.
    fn pool(&mut self) -> PoolId {
        self.pools[usize::from(self.chance.below(4) == 0)]
    }

    fn department(&mut self) -> DepartmentId {
        self.departments[self.chance.below(2) as usize]
    }

    fn department_or_none(&mut self) -> Option<DepartmentId> {
        let department = self.department();
        (self.chance.below(3) > 0).then_some(department)
    }

    fn charge(&mut self, actor: &Actor) -> ChargeCredits {
        let services = ["FURNITURE_REMOVAL", "STYLE_CHANGE", "ADVANCED_STAGING"];
        let lines = (0..1 + self.chance.below(2)).map(|_| LineRequest {
            service: (*self.chance.pick(&services).unwrap()).to_owned(),
            quantity: 1 + self.chance.below(3) as i64,
        });
        let lines = lines.collect();
        let on_behalf_of = (self.chance.below(3) == 0).then_some(self.person);
        ChargeCredits {
            department: self.department_or_none(),
            on_behalf_of,
            spender: on_behalf_of.or(actor.user_id()),
            lines,
            reference: None,
        }
    }

    fn issue(&mut self) -> Instruction {
        let clock = self.world.clock.clone();
        let days = self.chance.below(40) as i64;
        let paid = self.chance.below(2) == 0;
        Instruction::Issue(IssueCredits {
            lot: clock.new_id::<LotId>(),
            source: if self.chance.below(5) == 0 { LotSource::Correction } else { LotSource::Grant },
            class: if paid { LotClass::Paid } else { LotClass::Promotional },
            priority: 100 + 100 * i16::from(!paid),
            credits: Credits::new(100 + self.chance.below(400) as i64).unwrap(),
            cost: if paid { self.chance.below(100_000) as i64 } else { 0 },
            currency: paid.then_some(Currency::USD),
            expires_at: (days < 25).then(|| self.now().plus_days(days).plus_seconds(60)),
            purchase: None,
            department: if self.chance.below(4) == 0 { Some(self.department()) } else { None },
            new_account: clock.new_id(),
        })
    }

    fn movement(&mut self, pool: PoolId) -> MoveCredits {
        let other = self.pools.into_iter().find(|other| *other != pool);
        MoveCredits {
            from: self.department_or_none(),
            to_pool: other.filter(|_| self.chance.below(2) == 0),
            to: self.department_or_none(),
            new_account: self.world.clock.new_id(),
            credits: self.credits(60),
        }
    }

    /// Something to do, if there is anything that it could be about.
    fn instruction(&mut self, actor: &Actor) -> Option<(PoolId, Instruction)> {
        let (pool, clock) = (self.pool(), self.world.clock.clone());
        Some(match self.chance.below(31) {
            0..=6 => (pool, Instruction::Charge(self.charge(actor))),
            7..=10 => {
                let seconds = 60 + self.chance.below(250_000) as i64;
                (pool, Instruction::Hold(HoldCredits { charge: self.charge(actor), seconds }))
            }
            11..=14 => {
                let row = self.chance.pick(&self.holds)?.clone();
                let line = |line: bursar::ledger::Line| LineRequest { service: line.code, quantity: 1 };
                let lines: Vec<bursar::ledger::Line> = serde_json::from_str(&row.lines).unwrap();
                let some = self.chance.below(3) > 0;
                let lines = some.then(|| lines.into_iter().take(1).map(line).collect());
                let (hold, department) = (row.id, row.department_id);
                let last = self.chance.below(2) == 0;
                (row.pool_id, Instruction::Capture(CaptureHold { hold, department, lines, last }))
            }
            15 => {
                let row = self.chance.pick(&self.holds)?;
                (row.pool_id, Instruction::Void(VoidHold { hold: row.id, department: row.department_id }))
            }
            16..=18 => {
                let row = self.chance.pick(&self.charges)?.clone();
                let part = self.chance.below(2) == 0;
                let refund = RefundCharge {
                    charge: row.id,
                    department: row.department_id,
                    credits: part.then(|| self.credits(3)),
                    provider_fault: self.chance.below(2) == 0,
                    guaranteed: false,
                    first_lot: clock.new_id(),
                };
                (row.pool_id, Instruction::Refund(refund))
            }
            number @ 19..=20 => {
                let department = self.department();
                let credits = self.credits(50);
                let move_to = AllocateCredits { department, new_account: clock.new_id(), credits };
                let back = number == 20;
                (pool, if back { Instruction::Reclaim(move_to) } else { Instruction::Allocate(move_to) })
            }
            21..=22 => (pool, Instruction::Move(self.movement(pool))),
            23..=25 => (pool, self.issue()),
            26 => {
                let (department, credits) = (self.department_or_none(), self.credits(20));
                (pool, Instruction::TakeBack(TakeBackCredits { department, credits, lot: None }))
            }
            27..=28 => {
                let expiring: Vec<lot::Model> =
                    self.lots.iter().filter(|lot| lot.expires_at.is_some()).cloned().collect();
                let row = self.chance.pick(&expiring)?;
                let later = row.expires_at?.plus_days(30).max(self.now().plus_days(1));
                let (new_lot, expires_at) = (clock.new_id(), Some(later));
                (row.pool_id, Instruction::Extend(ExtendLot { lot: row.id, new_lot, expires_at }))
            }
            _ => self.reversal()?,
        })
    }

    /// A payment is reversed or disputed, or the oldest dispute comes to its end.
    fn reversal(&mut self) -> Option<(PoolId, Instruction)> {
        let what = self.chance.below(6);
        if what > 3 && !self.disputed.is_empty() {
            let (row, credits) = self.disputed.remove(0);
            let end = match what {
                4 => Instruction::Reinstate(DisputeLot { lot: row.id, credits }),
                _ => revoke(&row, credits, true),
            };
            return Some((row.pool_id, end));
        }
        // A payment is reversed or disputed once.
        let index = self.chance.below(self.lots.len() as u64 + 1) as usize;
        let row = (index < self.lots.len()).then(|| self.lots.swap_remove(index))?;
        let credits = Credits::new(row.credits.get().min(1 + self.chance.below(80) as i64)).unwrap();
        if what < 3 {
            return Some((row.pool_id, revoke(&row, credits, false)));
        }
        let dispute = Instruction::Dispute(DisputeLot { lot: row.id, credits });
        let pool = row.pool_id;
        self.disputed.push((row, credits));
        Some((pool, dispute))
    }

    fn submission(&mut self) -> Submission {
        let person = self.chance.below(2) == 0;
        let actor = if person { Actor::user(self.person, None) } else { Actor::system(None) };
        let (pool, instruction) = match self.instruction(&actor) {
            Some(about) => about,
            None => (self.pool(), self.issue()),
        };
        self.of(pool, actor, instruction)
    }

    fn of(&self, pool: PoolId, actor: Actor, instruction: Instruction) -> Submission {
        let clock = &self.world.clock;
        let id = command_id(clock, &instruction);
        let bits = match id {
            CommandId::Charge(id) => id.as_u128(),
            CommandId::Hold(id) => id.as_u128(),
            CommandId::Entry(id) => id.as_u128(),
        };
        let (key, request) = (Key(bits.to_be_bytes()), RequestHash(bits.to_be_bytes()));
        let command = Command { id, pool, key, request, now: clock.now(), instruction };
        let standing = Standing::default();
        Submission { command, actor, standing, subject: None, metadata: None, reason: None }
    }

    /// Submits some commands at a time, and lets time go on.
    async fn wave(&mut self) {
        let submissions: Vec<Submission> = (0..AT_ONCE).map(|_| self.submission()).collect();
        let ledger = &self.world.services().ledger;
        let outcomes = join_all(submissions.iter().map(|one| ledger.submit(self.tenant, one.clone()))).await;
        for (submission, outcome) in submissions.into_iter().zip(outcomes) {
            let counts = self.counts.entry(kind(&submission.command.instruction)).or_default();
            match outcome {
                Ok(receipt) => {
                    counts.0 += 1;
                    // A dispute that finds nothing leaves no row, and does not use its key.
                    let nothing = matches!(receipt.row, ReceiptRow::Nothing);
                    self.remember(receipt);
                    if !nothing {
                        self.accepted.push(submission);
                    }
                }
                Err(Error::Refused(_)) => counts.1 += 1,
                Err(error) => panic!("{submission:?}: {error}"),
            }
        }
        let seconds = self.chance.below(36 * 3_600) as i64;
        self.world.clock.turn(self.now().plus_seconds(seconds));
    }

    fn remember(&mut self, receipt: Receipt) {
        assert!(!receipt.replayed);
        match receipt.row {
            ReceiptRow::Charge(row) => self.charges.push(row),
            ReceiptRow::Hold(row) => self.holds.push(row),
            ReceiptRow::Entry(_) | ReceiptRow::Nothing => {}
        }
        self.lots.extend(receipt.lots);
    }

    /// Books what is due in all pools: then nothing that has lapsed is free, and no hold that has expired is open.
    async fn book_what_is_due(&self) {
        for pool in self.pools {
            let submission = self.of(pool, Actor::system(None), Instruction::BookDue);
            self.world.services().ledger.submit(self.tenant, submission).await.unwrap();
        }
        let now = self.now().micros();
        let lapsed = format!(
            "SELECT count(*) AS n FROM lot_position p JOIN lot l ON l.organization_id = p.organization_id
                AND l.id = p.lot_id WHERE l.expires_at <= {now} AND p.credits > p.held"
        );
        assert_eq!(self.world.number(&lapsed).await, 0, "what has lapsed is free");
        let expired = format!("SELECT count(*) AS n FROM hold WHERE state = 'OPEN' AND expires_at <= {now}");
        assert_eq!(self.world.number(&expired).await, 0, "holds that have expired are open");
    }

    /// Submits some commands again, under other ids.
    async fn repeat(&mut self) {
        let transfers = "SELECT count(*) AS n FROM transfer";
        let before = self.world.number(transfers).await;
        for _ in 0..REPEATED {
            let mut again = self.chance.pick(&self.accepted).unwrap().clone();
            again.command.id = command_id(&self.world.clock, &again.command.instruction);
            again.command.now = self.now();
            let receipt = self.world.services().ledger.submit(self.tenant, again.clone()).await;
            let receipt = receipt.unwrap_or_else(|error| panic!("{again:?}: {error}"));
            assert!(receipt.replayed, "{again:?}");
        }
        assert_eq!(self.world.number(transfers).await, before, "repeating moves nothing");
    }
}

/// The membership of the owner.
async fn member(owner: &Client, organization: &str) -> String {
    let query =
        "query M($id: ID!) { organization(by: { id: $id }) { members { nodes { id user { email } } } } }";
    let data = owner.query(query, json!({ "id": organization })).await;
    let members = data["organization"]["members"]["nodes"].as_array().unwrap();
    let of_owner = |member: &&Value| member["user"]["email"] == "owner@demo.test";
    members.iter().find(of_owner).unwrap()["id"].as_str().unwrap().to_owned()
}

async fn keep_the_laws(backend: Backend) {
    let (seed, commands) = (Chance::seed(), number("COMMANDS", 400));
    println!("{backend:?}: seed {seed}");
    let world = World::start_at(backend, Clock::set(Timestamp::from_micros(START))).await;
    let mut story = Story::begin(&world, seed).await;
    let waves = commands / AT_ONCE;
    for wave in 1..=waves {
        story.wave().await;
        if wave % (waves / 5).max(1) == 0 {
            books_are_right(&world).await;
        }
    }
    for (kind, (accepted, refused)) in &story.counts {
        println!("{backend:?}: {kind}: accepted {accepted}, refused {refused}");
    }
    for kind in
        ["charge", "hold", "capture", "void", "refund", "allocate", "move", "issue", "extend", "revoke"]
    {
        assert!(story.counts.get(kind).is_some_and(|counts| counts.0 > 0), "no {kind} was accepted");
    }
    story.book_what_is_due().await;
    story.repeat().await;
    books_are_right(&world).await;
    let (clean, said) = verify(&world.database).await;
    assert!(clean, "{said}");
}

fn limit() -> std::time::Duration {
    std::time::Duration::from_secs(120 + number("COMMANDS", 400) / 10)
}

#[test]
fn random_commands_keep_them_on_sqlite() {
    run_within(limit(), keep_the_laws(Backend::Sqlite));
}

#[test]
fn random_commands_keep_them_on_postgres() {
    run_within(limit(), keep_the_laws(Backend::Postgres));
}
