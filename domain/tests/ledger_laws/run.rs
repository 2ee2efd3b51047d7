//! Makes commands of steps and has tenants carry them out.

use bursar_domain::Currency;
use bursar_domain::id::{AccountId, ChargeId, HoldId, Id, LotId, PoolId};
use bursar_domain::ledger::{
    AllocateCredits, CaptureHold, ChargeCredits, Command, DisputeLot, ExtendLot, HoldCredits, Instruction,
    IssueCredits, LineRequest, LotClass, LotSource, MoveCredits, RefillAllocation, RefundCharge, RevokeLot,
    TakeBackCredits, VoidHold,
};

use crate::laws;
use crate::rows::Rows;
use crate::steps::{Act, Closing, Order, Setting, Step, Tick, Use, What};
use crate::tenant::Tenant;
use crate::world::{self, DAY, MONTH, SECOND, at, credits, department};

/// The laws that take long are asserted after so many steps.
const SEVERAL: usize = 25;

struct World {
    tenants: Vec<Tenant>,
    now: i64,
    /// The number of the last command. Between two numbers there is room for what a command makes.
    number: u128,
    /// What is closed, of which tenant, and until which step.
    closed: Vec<(usize, usize, Closing)>,
}

/// Runs a sequence, and answers how many commands were decided.
pub fn run(steps: &[Step]) -> usize {
    let caps = world::caps();
    let tenants = (1..=2).map(|organization| Tenant::new(organization, &caps)).collect();
    let mut world = World { tenants, now: world::START, number: 1_000_000, closed: Vec::new() };
    for (index, step) in steps.iter().enumerate() {
        world.reopen(index);
        world.step(index, step);
        if index % SEVERAL == SEVERAL - 1 {
            world.tenants.iter().for_each(Tenant::laws);
        }
    }
    for tenant in &world.tenants {
        tenant.laws();
        laws::history(&tenant.journal);
    }
    world.tenants.iter().map(|tenant| tenant.commands).sum()
}

/// One of some things, counted from the newest.
fn recent<T>(things: impl DoubleEndedIterator<Item = T> + ExactSizeIterator, back: usize) -> Option<T> {
    let count = things.len();
    if count == 0 { None } else { things.rev().nth(back % count) }
}

impl World {
    /// Opens what has been closed long enough.
    fn reopen(&mut self, index: usize) {
        for (until, tenant, closing) in &self.closed {
            if *until <= index {
                self.tenants[*tenant].close(*closing, false);
            }
        }
        self.closed.retain(|(until, _, _)| *until > index);
    }

    fn step(&mut self, index: usize, step: &Step) {
        match &step.act {
            Act::Order(order) => {
                let command = self.command(step.tenant, order);
                // Whether it is accepted is compared with the model.
                let _ = self.tenants[step.tenant].carry_out(&command);
            }
            Act::Together(orders) => {
                let mut commands: Vec<Command> =
                    orders.iter().map(|order| self.command(step.tenant, order)).collect();
                let tenant = &mut self.tenants[step.tenant];
                let time = tenant.common_time(&commands, self.now);
                // What they name is named before any of them: lives and periods are of the same time, too.
                commands.iter_mut().for_each(|command| command.now = at(time));
                let _ = tenant.together(&commands);
            }
            Act::Replay { recent: back, changed } => {
                let tenant = &mut self.tenants[step.tenant];
                if let Some(command) = recent(tenant.rows.accepted.iter(), *back).cloned() {
                    tenant.replay(&command, *changed);
                }
            }
            Act::Clock(tick) => self.tick(step.tenant, *tick),
            Act::Restart => self.tenants[step.tenant].restart(),
            Act::Set(setting) => self.set(index, step.tenant, setting),
        }
    }

    fn tick(&mut self, tenant: usize, tick: Tick) {
        let now = match tick {
            Tick::By(seconds) => self.now + seconds * SECOND,
            Tick::Days(days) => self.now + days * DAY,
            Tick::ToDue(beside) => self.tenants[tenant].model.next_due(self.now).unwrap_or(self.now) + beside,
            Tick::ToMonth(beside) => world::period_start(1, self.now) + MONTH + beside,
        };
        self.now = now.clamp(world::FIRST, world::LAST);
    }

    fn set(&mut self, index: usize, tenant: usize, setting: &Setting) {
        self.number += 1_000;
        let (account, now) = (AccountId::from_u128(self.number), self.now);
        let own = &mut self.tenants[tenant];
        match *setting {
            Setting::Close(closing, steps) => {
                own.close(closing, true);
                // Of two closings of one thing the later decides when it is opened.
                self.closed.retain(|(_, of, other)| (*of, *other) != (tenant, closing));
                self.closed.push((index + steps, tenant, closing));
            }
            Setting::Raise { pool, cap, credits, seconds } => {
                own.raise(pool, cap, credits, now + seconds * SECOND);
            }
            Setting::Limit { pool, cap, credits } => own.limit(pool, cap, credits),
            Setting::Allocation { pool, department, overflow, refill } => {
                own.set_allocation((pool, world::department(department)), account, (overflow, refill), now);
            }
        }
    }

    fn command(&mut self, tenant: usize, order: &Order) -> Command {
        self.number += 1_000;
        let (number, now, rows) = (self.number, self.now, &self.tenants[tenant].rows);
        let (pool, instruction) = instruction(number, now, rows, order);
        world::command(number, pool, now, instruction)
    }
}

/// What an order asks for, and in which pool: that of the hold or charge that it is about.
fn instruction(number: u128, now: i64, rows: &Rows, order: &Order) -> (PoolId, Instruction) {
    let (pool, other) = (world::pool(order.pool), world::pool(1 - order.pool));
    let new_account = AccountId::from_u128(number);
    let later = |seconds: i64| at(now + seconds * SECOND);
    let a_lot = |back: usize| recent(rows.lots.keys().copied(), back).unwrap_or(LotId::from_u128(1));
    let a_hold = |back: usize| match recent(rows.holds.iter(), back) {
        Some(hold) => (hold.id, hold.pool, hold.department),
        None => (HoldId::from_u128(1), pool, None),
    };
    let instruction = match &order.what {
        What::Issue { to, credits: n, cost, priority, life, source } => Instruction::Issue(IssueCredits {
            lot: LotId::from_u128(number),
            source: LotSource::ALL[source % LotSource::ALL.len()],
            class: LotClass::ALL[source % LotClass::ALL.len()],
            priority: *priority,
            credits: credits(*n),
            cost: *cost,
            currency: (*cost > 0).then_some(Currency::USD),
            expires_at: life.map(later),
            purchase: None,
            department: to.map(department),
            new_account,
        }),
        What::Allocate { department: to, credits: n } => {
            let (department, credits) = (department(*to), credits(*n));
            Instruction::Allocate(AllocateCredits { department, new_account, credits })
        }
        What::Reclaim { department: from, credits: n } => {
            let (department, credits) = (department(*from), credits(*n));
            Instruction::Reclaim(AllocateCredits { department, new_account, credits })
        }
        What::Move { from, elsewhere, to, credits: n } => Instruction::Move(MoveCredits {
            from: from.map(department),
            to_pool: elsewhere.then_some(other),
            to: to.map(department),
            new_account,
            credits: credits(*n),
        }),
        What::Refill { department: of, ahead } => {
            let period = world::month(if *ahead { now + MONTH } else { now });
            Instruction::Refill(RefillAllocation { department: department(*of), period })
        }
        What::Charge(wanted) => Instruction::Charge(charge(wanted)),
        What::Hold { most, seconds } => {
            Instruction::Hold(HoldCredits { charge: charge(most), seconds: *seconds })
        }
        What::Capture { hold, lines: named, last } => {
            let (hold, pool, department) = a_hold(*hold);
            let lines = named.as_ref().map(|named| lines(named));
            return (pool, Instruction::Capture(CaptureHold { hold, department, lines, last: *last }));
        }
        What::Void { hold } => {
            let (hold, pool, department) = a_hold(*hold);
            return (pool, Instruction::Void(VoidHold { hold, department }));
        }
        What::Refund { charge, credits: n, fault, guaranteed } => {
            let refund = |charge, department| {
                Instruction::Refund(RefundCharge {
                    charge,
                    department,
                    credits: n.map(credits),
                    provider_fault: *fault,
                    guaranteed: *guaranteed,
                    first_lot: LotId::from_u128(number),
                })
            };
            return match recent(rows.charges.iter(), *charge) {
                Some((id, (pool, row))) => (*pool, refund(*id, row.department)),
                None => (pool, refund(ChargeId::from_u128(1), None)),
            };
        }
        What::TakeBack { from, credits: n, lot } => Instruction::TakeBack(TakeBackCredits {
            department: from.map(department),
            credits: credits(*n),
            lot: lot.map(a_lot),
        }),
        What::Extend { lot, life } => Instruction::Extend(ExtendLot {
            lot: a_lot(*lot),
            new_lot: LotId::from_u128(number),
            expires_at: life.map(later),
        }),
        What::Revoke { lot, credits: n, value, disputed } => Instruction::Revoke(RevokeLot {
            lot: a_lot(*lot),
            credits: credits(*n),
            value: *value,
            disputed: *disputed,
        }),
        What::Dispute { lot, credits: n } => {
            Instruction::Dispute(DisputeLot { lot: a_lot(*lot), credits: credits(*n) })
        }
        What::Reinstate { lot, credits: n } => {
            Instruction::Reinstate(DisputeLot { lot: a_lot(*lot), credits: credits(*n) })
        }
        What::BookDue => Instruction::BookDue,
    };
    (pool, instruction)
}

fn charge(wanted: &Use) -> ChargeCredits {
    let spender = wanted.spender.map(world::member);
    ChargeCredits {
        department: wanted.department.map(department),
        on_behalf_of: spender,
        spender,
        lines: lines(&wanted.lines),
        reference: wanted.reference.map(|reference| format!("job {reference}")),
    }
}

fn lines(named: &[(usize, i64)]) -> Vec<LineRequest> {
    let line = |(service, quantity): &(usize, i64)| LineRequest {
        service: world::code(*service),
        quantity: *quantity,
    };
    named.iter().map(line).collect()
}
