//! What stands for the database: the rows that commands have left, of which each batch loads what its
//! commands name.

use std::collections::BTreeMap;

use bursar_domain::id::{ChargeId, DepartmentId, HoldId, LotId, PoolId, ServiceId, UserId};
use bursar_domain::ledger::{
    Applied, BurnKey, Charged, ChargedSlice, Command, CommandId, Instruction, Key, LotTerms, Prior,
    ReferenceOwner, State, TransferKind,
};
use bursar_domain::{Credits, Timestamp};

use crate::world;

/// A hold, with what its captures have to know of it.
#[derive(Clone, Copy, Debug)]
pub struct HoldRow {
    pub id: HoldId,
    pub pool: PoolId,
    pub department: Option<DepartmentId>,
    spender: Option<UserId>,
    created_at: Timestamp,
}

#[derive(Debug, Default)]
pub struct Rows {
    /// All accepted commands that have left a row, oldest first.
    pub accepted: Vec<Command>,
    pub holds: Vec<HoldRow>,
    pub charges: BTreeMap<ChargeId, (PoolId, Charged)>,
    pub lots: BTreeMap<LotId, LotTerms>,
    /// How many refunds guarantees have covered, by service and month.
    pub covered: BTreeMap<(ServiceId, i64), i64>,
    keys: BTreeMap<Key, Prior>,
    references: BTreeMap<String, ReferenceOwner>,
}

impl Rows {
    /// Leaves in the state only what commands at an instant name.
    pub fn load(&self, state: &mut State, commands: &[&Command], at: i64) {
        state.keys.clear();
        state.references.clear();
        state.charges.clear();
        state.lots.clear();
        state.guarantees.clear();
        for command in commands {
            state.keys.extend(self.keys.get(&command.key).map(|prior| (command.key, *prior)));
            let reference = command.instruction.reference();
            let taken = reference.and_then(|reference| self.references.get_key_value(reference));
            state.references.extend(taken.map(|(reference, owner)| (reference.clone(), *owner)));
            match &command.instruction {
                Instruction::Refund(refund) => {
                    let Some((_, charge)) = self.charges.get(&refund.charge) else { continue };
                    charge.slices.iter().for_each(|slice| self.load_lot(state, slice.lot, at));
                    state.charges.insert(refund.charge, charge.clone());
                    for index in 0..world::SERVICES.len() {
                        let service = world::service(index);
                        let month = world::period_start(1, at);
                        let used = self.covered.get(&(service, month)).copied().unwrap_or(0);
                        let guarantee = world::guarantee(index, at, used).filter(|_| refund.guaranteed);
                        state.guarantees.extend(guarantee.map(|guarantee| (service, guarantee)));
                    }
                }
                Instruction::Extend(extend) => self.load_lot(state, extend.lot, at),
                Instruction::Revoke(revoke) => self.load_lot(state, revoke.lot, at),
                Instruction::Dispute(dispute) | Instruction::Reinstate(dispute) => {
                    self.load_lot(state, dispute.lot, at);
                }
                _ => {}
            }
        }
    }

    /// A lot and, where it has lapsed, those that it was extended by.
    fn load_lot(&self, state: &mut State, lot: LotId, at: i64) {
        let mut next = Some(lot);
        while let Some((id, terms)) = next.and_then(|id| self.lots.get_key_value(&id)) {
            next = terms.successor.filter(|_| terms.burn.has_lapsed(world::at(at)));
            state.lots.insert(*id, LotTerms { successor: next, ..terms.clone() });
        }
    }

    /// Writes what a command has left.
    pub fn write(&mut self, state: &State, applied: &Applied) {
        let command = &applied.command;
        if !matches!(command.instruction, Instruction::BookDue) {
            let prior = Prior { id: command.id, request: command.request };
            assert!(self.keys.insert(command.key, prior).is_none(), "a key was used twice");
            self.accepted.push(command.clone());
        }
        for lot in &applied.lots {
            let burn = BurnKey::new(lot.priority, lot.expires_at, lot.created_at, lot.id);
            let (source, class, currency) = (lot.source, lot.class, lot.currency);
            let before = lot.replaces.and_then(|before| self.lots.get(&before));
            let (origin, reversed) = before.map_or((lot.id, false), |terms| (terms.origin, terms.reversed));
            let terms = LotTerms { burn, source, class, currency, origin, reversed, successor: None };
            assert!(self.lots.insert(lot.id, terms).is_none(), "a lot came in twice");
        }
        match (&command.instruction, command.id) {
            (Instruction::Charge(request), CommandId::Charge(id)) => {
                self.refer(request.reference.as_ref(), ReferenceOwner::Charge(id));
                self.charged(id, applied, (request.department, request.spender), applied.created_at);
            }
            (Instruction::Hold(request), CommandId::Hold(id)) => {
                self.refer(request.charge.reference.as_ref(), ReferenceOwner::Hold(id));
                let (department, spender) = (request.charge.department, request.charge.spender);
                let (pool, created_at) = (command.pool, applied.created_at);
                self.holds.push(HoldRow { id, pool, department, spender, created_at });
            }
            (Instruction::Capture(request), CommandId::Charge(id)) => {
                let hold = *self.holds.iter().find(|hold| hold.id == request.hold).unwrap();
                self.charged(id, applied, (hold.department, hold.spender), hold.created_at);
            }
            (Instruction::Refund(request), _) => {
                let (_, charge) = self.charges.get_mut(&request.charge).unwrap();
                charge.refunded = charge.refunded.checked_add(applied.credits).unwrap();
                charge.refunded_cost += applied.cost;
                for (service, guarantee) in state.guarantees.iter().filter(|(_, g)| g.changed) {
                    self.covered.insert((*service, guarantee.month.start.micros()), guarantee.used);
                }
            }
            (Instruction::Extend(request), _) => {
                self.lots.get_mut(&request.lot).unwrap().successor = Some(request.new_lot);
            }
            (Instruction::Revoke(request), _) => {
                let origin = self.lots[&request.lot].origin;
                let family = self.lots.values_mut().filter(|terms| terms.origin == origin);
                family.for_each(|terms| terms.reversed = true);
            }
            _ => {}
        }
    }

    fn refer(&mut self, reference: Option<&String>, owner: ReferenceOwner) {
        if let Some(reference) = reference {
            let before = self.references.insert(reference.clone(), owner);
            assert_eq!(before, None, "a reference was used twice");
        }
    }

    fn charged(
        &mut self,
        id: ChargeId,
        applied: &Applied,
        (department, spender): (Option<DepartmentId>, Option<UserId>),
        counts_at: Timestamp,
    ) {
        let own = [TransferKind::Charge, TransferKind::Capture];
        let used = applied.transfers.iter().filter(|transfer| own.contains(&transfer.kind));
        let slices = used.map(|transfer| {
            let account = transfer.debit.id.unwrap();
            ChargedSlice { account, lot: transfer.lot, credits: transfer.credits, cost: transfer.cost }
        });
        let charged = Charged {
            department,
            spender,
            lines: applied.lines.clone(),
            credits: applied.credits,
            slices: slices.collect(),
            refunded: Credits::ZERO,
            refunded_cost: 0,
            created_at: applied.created_at,
            counts_at,
        };
        self.charges.insert(id, (applied.command.pool, charged));
    }
}
