//! A tenant of which the tests of the edges ask one thing after another, in few words. Each answer is still
//! compared with the model, and the laws hold after each. Credits are used for the service that costs one.

use bursar_domain::id::{AccountId, ChargeId, DepartmentId, HoldId, Id, LotId};
use bursar_domain::ledger::{
    AllocateCredits, Applied, CaptureHold, ChargeCredits, Command, CommandId, Contra, DisputeLot, ExtendLot,
    Head, HoldCredits, Instruction, IssueCredits, LineRequest, LotClass, LotSource, Position,
    RefillAllocation, RefundCharge, Refusal, RevokeLot, VoidHold,
};

use crate::laws;
use crate::tenant::Tenant;
use crate::world::{self, CapRow, SECOND, at, credits};

/// The service that costs one credit.
pub const STYLE: usize = 1;

pub struct Desk {
    pub tenant: Tenant,
    pub now: i64,
    number: u128,
}

impl Desk {
    pub fn new(caps: &[CapRow]) -> Desk {
        Desk { tenant: Tenant::new(1, caps), now: world::START, number: 1_000_000 }
    }

    pub fn command(&mut self, pool: usize, instruction: Instruction) -> Command {
        self.number += 1_000;
        world::command(self.number, world::pool(pool), self.now, instruction)
    }

    /// Asks a pool for something.
    pub fn ask(&mut self, pool: usize, instruction: Instruction) -> Result<Applied, Refusal> {
        let command = self.command(pool, instruction);
        self.tenant.carry_out(&command)
    }

    /// What a new lot of the first pool would be.
    pub fn lot(&self, n: i64, cost: i64, life: Option<i64>) -> IssueCredits {
        IssueCredits {
            lot: LotId::from_u128(self.number + 500),
            source: LotSource::Purchase,
            class: LotClass::Paid,
            priority: 0,
            credits: credits(n),
            cost,
            currency: None,
            expires_at: life.map(|seconds| at(self.now + seconds * SECOND)),
            purchase: None,
            department: None,
            new_account: self.account(),
        }
    }

    /// Credits that nobody has yet, for some seconds or for ever.
    pub fn issue(&mut self, n: i64, cost: i64, life: Option<i64>) -> LotId {
        let issue = self.lot(n, cost, life);
        let lot = issue.lot;
        self.ask(0, Instruction::Issue(issue)).unwrap();
        lot
    }

    /// The id of an account to come.
    pub fn account(&self) -> AccountId {
        AccountId::from_u128(self.number + 600)
    }

    pub fn allocate(&mut self, department: usize, n: i64) -> Result<Applied, Refusal> {
        let (department, new_account) = (world::department(department), self.account());
        let request = AllocateCredits { department, new_account, credits: credits(n) };
        self.ask(0, Instruction::Allocate(request))
    }

    pub fn charge_of(&self, department: Option<DepartmentId>, n: i64) -> ChargeCredits {
        ChargeCredits {
            department,
            on_behalf_of: None,
            spender: Some(world::member(0)),
            lines: units(n),
            reference: None,
        }
    }

    pub fn charge(&mut self, department: Option<usize>, n: i64) -> Result<ChargeId, Refusal> {
        let charge = self.charge_of(department.map(world::department), n);
        self.ask(0, Instruction::Charge(charge)).map(|applied| charge_id(&applied))
    }

    pub fn hold(&mut self, department: Option<usize>, n: i64, seconds: i64) -> Result<HoldId, Refusal> {
        let charge = self.charge_of(department.map(world::department), n);
        let applied = self.ask(0, Instruction::Hold(HoldCredits { charge, seconds }))?;
        match applied.command.id {
            CommandId::Hold(id) => Ok(id),
            other => panic!("{other:?} is no hold"),
        }
    }

    /// Captures some units, or all that are left.
    pub fn capture(&mut self, hold: HoldId, n: Option<i64>, last: bool) -> Result<ChargeId, Refusal> {
        let row = self.tenant.rows.holds.iter().find(|row| row.id == hold);
        let department = row.and_then(|row| row.department);
        let capture = CaptureHold { hold, department, lines: n.map(units), last };
        self.ask(0, Instruction::Capture(capture)).map(|applied| charge_id(&applied))
    }

    pub fn void(&mut self, hold: HoldId) -> Result<Applied, Refusal> {
        self.ask(0, Instruction::Void(VoidHold { hold, department: None }))
    }

    /// What a refund of some credits, or of all that are left, asks for.
    pub fn refund_of(&self, charge: ChargeId, n: Option<i64>, fault: bool) -> RefundCharge {
        RefundCharge {
            charge,
            department: None,
            credits: n.map(credits),
            provider_fault: fault,
            guaranteed: false,
            first_lot: LotId::from_u128(self.number + 700),
        }
    }

    pub fn refund(&mut self, charge: ChargeId, n: Option<i64>, fault: bool) -> Result<Applied, Refusal> {
        let refund = self.refund_of(charge, n, fault);
        self.ask(0, Instruction::Refund(refund))
    }

    pub fn extend(&mut self, lot: LotId, seconds: i64) -> Result<LotId, Refusal> {
        let new_lot = LotId::from_u128(self.number + 800);
        let expires_at = Some(at(self.now + seconds * SECOND));
        self.ask(0, Instruction::Extend(ExtendLot { lot, new_lot, expires_at })).map(|_| new_lot)
    }

    pub fn revoke(&mut self, lot: LotId, n: i64) -> Result<Applied, Refusal> {
        self.ask(0, Instruction::Revoke(RevokeLot { lot, credits: credits(n), value: 0, disputed: false }))
    }

    /// Takes credits of a lot back for which some money went back.
    pub fn reverse(&mut self, lot: LotId, n: i64, value: i64, disputed: bool) -> Result<Applied, Refusal> {
        self.ask(0, Instruction::Revoke(RevokeLot { lot, credits: credits(n), value, disputed }))
    }

    pub fn dispute(&mut self, lot: LotId, n: i64) -> Result<Applied, Refusal> {
        self.ask(0, Instruction::Dispute(DisputeLot { lot, credits: credits(n) }))
    }

    pub fn reinstate(&mut self, lot: LotId, n: i64) -> Result<Applied, Refusal> {
        self.ask(0, Instruction::Reinstate(DisputeLot { lot, credits: credits(n) }))
    }

    /// Begins the month of an instant for a department's allocation.
    pub fn refill(&mut self, department: usize, month_of: i64) -> Result<Applied, Refusal> {
        let (department, period) = (world::department(department), world::month(month_of));
        self.ask(0, Instruction::Refill(RefillAllocation { department, period }))
    }

    /// What was in the first pool at the end is booked, too.
    pub fn book_due(&mut self) {
        self.ask(0, Instruction::BookDue).unwrap();
    }

    pub fn head(&self) -> Head {
        self.tenant.state.pools[&world::pool(0)].head
    }

    pub fn contra(&self) -> Contra {
        self.head().contra
    }

    /// What somebody in a pool has of a lot.
    pub fn position(&self, pool: usize, department: Option<usize>, lot: LotId) -> Position {
        let department = department.map(world::department);
        let accounts = &self.tenant.state.pools[&world::pool(pool)].accounts;
        let own = accounts.values().find(|account| account.department == department);
        let of_lot = own.and_then(|own| own.positions.iter().find(|(burn, _)| burn.lot == lot));
        of_lot.map(|(_, position)| *position).unwrap_or_default()
    }

    /// How many credits somebody in the first pool has that are free.
    pub fn free(&self, department: Option<usize>) -> i64 {
        let department = department.map(world::department);
        let accounts = &self.tenant.state.pools[&world::pool(0)].accounts;
        let own = accounts.values().find(|account| account.department == department);
        own.map_or(0, |own| own.available().get())
    }

    /// The laws hold of all that has been done.
    pub fn done(self) {
        self.tenant.laws();
        laws::history(&self.tenant.journal);
    }
}

fn units(n: i64) -> Vec<LineRequest> {
    vec![LineRequest { service: world::code(STYLE), quantity: n }]
}

fn charge_id(applied: &Applied) -> ChargeId {
    match applied.command.id {
        CommandId::Charge(id) => id,
        other => panic!("{other:?} is no charge"),
    }
}
