//! The rows that decided commands leave, made from what the machine says, each with its seal, and the
//! transfers with their links.

use std::collections::BTreeMap;

use bursar_domain::Credits;
use bursar_domain::actor::ActorKind;
use bursar_domain::id::{AccountId, EntryId, HoldId, Id, PoolId, UserId};
use bursar_domain::ledger::chain::{self, ORIGIN};
use bursar_domain::ledger::{
    Applied, Cause, CauseKind, CommandId, HoldState, Instruction, LotSource, PricedLine, Transfer,
    TransferKind,
};
use bursar_entity::{charge, claimed_reference, hold, journal_entry, lot, transfer};
use uuid::Uuid;

use super::digest::{self, Line};
use super::load::{Loaded, Margin};
use super::{Receipt, ReceiptRow, Submission};
use crate::db::Tenant;
use crate::error::{Error, Result};

/// What a batch leaves to be written, besides the balances in the machine's state.
#[derive(Default)]
pub(super) struct Booked {
    pub charges: Vec<charge::Model>,
    pub entries: Vec<journal_entry::Model>,
    pub lots: Vec<lot::Model>,
    pub transfers: Vec<transfer::Model>,
    pub references: Vec<claimed_reference::Model>,
}

/// A cause of transfers with its digest.
type Caused = (CauseKind, Option<Uuid>, [u8; 32]);

impl Booked {
    /// Links and keeps transfers that time alone has caused: lapses, and holds that have expired.
    pub fn due(&mut self, tenant: Tenant, transfers: Vec<Transfer>, loaded: &mut Loaded) {
        for transfer in transfers {
            let caused = match transfer.cause {
                Cause::Hold(id) => of_hold(id, &loaded.margins),
                Cause::Command | Cause::Clock => (CauseKind::Clock, None, [0; 32]),
            };
            self.transfers.push(link(tenant, &transfer, caused, &mut loaded.links));
        }
    }

    /// Makes the rows of an accepted command, and its receipt.
    pub fn applied(
        &mut self,
        tenant: Tenant,
        submission: &Submission,
        applied: Applied,
        loaded: &mut Loaded,
    ) -> Result<Receipt> {
        let mut own = applied.transfers.iter().filter(|transfer| {
            let by_hold = matches!(applied.command.id, CommandId::Hold(_));
            transfer.pool == applied.command.pool && (by_hold || transfer.cause == Cause::Command)
        });
        let slices = i64::try_from(own.clone().count()).unwrap_or(i64::MAX);
        let Some(version) = own.next_back().map(|transfer| transfer.version) else {
            return Ok(Receipt::nothing());
        };
        let (row, lots, caused) = match applied.command.id {
            CommandId::Charge(id) => {
                let row = charge_row(tenant, submission, &applied, (id, version, slices), loaded)?;
                self.claim(tenant, row.reference.as_ref(), CommandId::Charge(id));
                let digest = sealed(row.seal.as_deref())?;
                self.charges.push(row.clone());
                (ReceiptRow::Charge(row), Vec::new(), (CauseKind::Charge, Some(uuid(id)), digest))
            }
            CommandId::Hold(id) => {
                let row = hold_row(tenant, submission, &applied, (id, version, slices), loaded)?;
                self.claim(tenant, row.reference.as_ref(), CommandId::Hold(id));
                let digest = sealed(row.seal.as_deref())?;
                if let Some(margin) = loaded.margins.get_mut(&row.pool_id) {
                    margin.holds.insert(id, row.clone());
                }
                (ReceiptRow::Hold(row), Vec::new(), (CauseKind::Hold, Some(uuid(id)), digest))
            }
            CommandId::Entry(id) => {
                let row = entry_row(tenant, submission, &applied, (id, version, slices))?;
                let lots: Vec<lot::Model> =
                    applied.lots.iter().map(|new| lot_row(tenant, &applied, new, id)).collect();
                let digest = digest::of_entry_with_lots(&row, &lots);
                self.entries.push(row.clone());
                self.lots.extend(lots.iter().cloned());
                (ReceiptRow::Entry(row), lots, (CauseKind::Entry, Some(uuid(id)), digest))
            }
        };
        let (mut transfers, mut there) = (Vec::new(), Vec::new());
        for movement in &applied.transfers {
            let caused = match movement.cause {
                Cause::Hold(id) => of_hold(id, &loaded.margins),
                Cause::Command | Cause::Clock => caused,
            };
            let row = link(tenant, movement, caused, &mut loaded.links);
            if row.pool_id == applied.command.pool { transfers.push(row) } else { there.push(row) }
        }
        self.transfers.extend(transfers.iter().chain(&there).cloned());
        let hold = hold_after(&applied, loaded)?;
        let account_after = Some(applied.account_after);
        Ok(Receipt { row, transfers, there, lots, hold, account_after, replayed: false })
    }

    fn claim(&mut self, tenant: Tenant, reference: Option<&String>, owner: CommandId) {
        let Some(reference) = reference.cloned() else { return };
        let (charge_id, hold_id) = match owner {
            CommandId::Charge(id) => (Some(id), None),
            CommandId::Hold(id) => (None, Some(id)),
            CommandId::Entry(_) => return,
        };
        let organization_id = tenant.id();
        self.references.push(claimed_reference::Model { organization_id, reference, charge_id, hold_id });
    }
}

impl Receipt {
    /// Nothing had to be moved.
    fn nothing() -> Receipt {
        let (transfers, there, lots) = (Vec::new(), Vec::new(), Vec::new());
        Receipt {
            row: ReceiptRow::Nothing,
            transfers,
            there,
            lots,
            hold: None,
            account_after: None,
            replayed: false,
        }
    }
}

/// The hold that a command was about, as it has left it.
fn hold_after(applied: &Applied, loaded: &Loaded) -> Result<Option<hold::Model>> {
    let command = &applied.command;
    let Some(id) = command.instruction.hold() else { return Ok(None) };
    let hold = loaded.state.pools.get(&command.pool).and_then(|pool| pool.holds.get(&id));
    let row = loaded.margins.get(&command.pool).and_then(|margin| margin.holds.get(&id));
    let both = hold.zip(row).map(|(hold, row)| super::load_holds::encode(row, hold, applied.created_at));
    both.transpose()
}

/// The seal that a row has just been given.
fn sealed(seal: Option<&[u8]>) -> Result<[u8; 32]> {
    let seal = seal.and_then(|seal| seal.try_into().ok());
    seal.ok_or_else(|| Error::internal("a row was not sealed"))
}

fn uuid(id: impl Id) -> Uuid {
    Uuid::from_u128(id.as_u128())
}

/// A hold as a cause: its row has been loaded, or was made before in this batch.
fn of_hold(id: HoldId, margins: &BTreeMap<PoolId, Margin>) -> Caused {
    let row = margins.values().find_map(|margin| margin.holds.get(&id));
    (CauseKind::Hold, Some(uuid(id)), row.map_or([0; 32], digest::of_hold))
}

/// The row of a transfer, with its link, which becomes the pool's last.
fn link(
    tenant: Tenant,
    transfer: &Transfer,
    (cause_kind, cause_id, cause): Caused,
    links: &mut BTreeMap<PoolId, [u8; 32]>,
) -> transfer::Model {
    let previous = links.get(&transfer.pool).copied().unwrap_or(ORIGIN);
    let hash = chain::link(&previous, tenant.id(), transfer, &cause, digest::sha256);
    links.insert(transfer.pool, hash);
    transfer::Model {
        organization_id: tenant.id(),
        pool_id: transfer.pool,
        version: transfer.version,
        kind: transfer.kind,
        debit_kind: transfer.debit.kind,
        credit_kind: transfer.credit.kind,
        debit_id: transfer.debit.id,
        credit_id: transfer.credit.id,
        lot_id: transfer.lot,
        credits: transfer.credits,
        cost: transfer.cost,
        debit_after: transfer.debit_after,
        credit_after: transfer.credit_after,
        held_after: transfer.held_after,
        pool_posted_after: transfer.pool_posted_after,
        pool_held_after: transfer.pool_held_after,
        debt_after: transfer.debt_after,
        cause_kind,
        cause_id,
        created_at: transfer.created_at,
        effective_at: (transfer.effective_at != transfer.created_at).then_some(transfer.effective_at),
        hash: hash.to_vec(),
        counterpart_pool_id: transfer.counterpart.map(|(pool, _)| pool),
        counterpart_version: transfer.counterpart.map(|(_, version)| version),
    }
}

fn holder(account: bursar_domain::ledger::AccountRef) -> Result<AccountId> {
    account.id.ok_or_else(|| Error::internal("a command is about no holder"))
}

/// The person who acts, when it is one.
pub(super) fn person(kind: ActorKind, id: Option<Uuid>) -> Option<UserId> {
    id.filter(|_| kind == ActorKind::User).map(|id| UserId::from_u128(id.as_u128()))
}

fn lines(lines: &[PricedLine]) -> Result<String> {
    let lines: Vec<Line> = lines.iter().map(Line::from).collect();
    serde_json::to_string(&lines)
        .map_err(|error| Error::internal(format!("lines cannot be written: {error}")))
}

fn charge_row(
    tenant: Tenant,
    submission: &Submission,
    applied: &Applied,
    (id, version, slices): (bursar_domain::id::ChargeId, i64, i64),
    loaded: &Loaded,
) -> Result<charge::Model> {
    let command = &applied.command;
    let mut subject = submission.subject.clone();
    let (department_id, on_behalf_of, reference, hold_id) = match &command.instruction {
        Instruction::Charge(charge) => {
            (charge.department, charge.on_behalf_of, charge.reference.clone(), None)
        }
        Instruction::Capture(capture) => {
            let margin = loaded.margins.get(&command.pool);
            let hold = margin.and_then(|margin| margin.holds.get(&capture.hold));
            let hold = hold.ok_or_else(|| Error::internal("a hold was captured that is not there"))?;
            subject = subject.or_else(|| hold.subject.clone());
            // The hold owns its reference; its captures show it.
            (hold.department_id, hold.on_behalf_of, None, Some(capture.hold))
        }
        _ => return Err(Error::internal("a charge's id on another command")),
    };
    let row = charge::Model {
        organization_id: tenant.id(),
        id,
        pool_id: command.pool,
        account_id: holder(applied.account)?,
        department_id,
        on_behalf_of,
        actor_kind: submission.actor.kind,
        actor_id: submission.actor.id,
        origin: submission.actor.origin.clone(),
        lines: lines(&applied.lines)?,
        credits: applied.credits,
        reference,
        subject,
        metadata: submission.metadata.clone(),
        idempotency_key: command.key,
        request_hash: command.request,
        version,
        slices,
        created_at: applied.created_at,
        hold_id,
        seal: Some(Vec::new()),
    };
    let seal = Some(digest::of_charge(&row).to_vec());
    Ok(charge::Model { seal, ..row })
}

fn hold_row(
    tenant: Tenant,
    submission: &Submission,
    applied: &Applied,
    (id, version, slices): (HoldId, i64, i64),
    loaded: &Loaded,
) -> Result<hold::Model> {
    let command = &applied.command;
    let Instruction::Hold(request) = &command.instruction else {
        return Err(Error::internal("a hold's id on another command"));
    };
    let pool = loaded.state.pools.get(&command.pool);
    let hold = pool.and_then(|pool| pool.holds.get(&id));
    let hold = hold.ok_or_else(|| Error::internal("a hold was made that is not there"))?;
    let row = hold::Model {
        organization_id: tenant.id(),
        id,
        pool_id: command.pool,
        account_id: holder(applied.account)?,
        department_id: request.charge.department,
        on_behalf_of: request.charge.on_behalf_of,
        spender: request.charge.spender,
        actor_kind: submission.actor.kind,
        actor_id: submission.actor.id,
        origin: submission.actor.origin.clone(),
        lines: lines(&applied.lines)?,
        credits: applied.credits,
        reference: request.charge.reference.clone(),
        subject: submission.subject.clone(),
        metadata: submission.metadata.clone(),
        idempotency_key: command.key,
        request_hash: command.request,
        version,
        slices,
        created_at: applied.created_at,
        expires_at: hold.expires_at,
        seal: None,
        state: HoldState::Open,
        captured: Credits::ZERO,
        captured_units: String::new(),
        held_slices: String::new(),
        closed_at: None,
    };
    let row = super::load_holds::encode(&row, hold, applied.created_at)?;
    Ok(hold::Model { seal: Some(digest::of_hold(&row).to_vec()), ..row })
}

/// What a journal entry says that it did.
fn kind(instruction: &Instruction) -> Result<TransferKind> {
    Ok(match instruction {
        Instruction::Issue(issue) if issue.source == LotSource::Correction => TransferKind::Correct,
        Instruction::Issue(_) => TransferKind::Issue,
        Instruction::Allocate(_) => TransferKind::Allocate,
        Instruction::Reclaim(_) => TransferKind::Reclaim,
        Instruction::Move(_) => TransferKind::Move,
        Instruction::Refill(_) => TransferKind::Refill,
        Instruction::Void(_) => TransferKind::Release,
        Instruction::Refund(_) => TransferKind::Refund,
        Instruction::TakeBack(_) => TransferKind::Correct,
        Instruction::Extend(_) => TransferKind::Extend,
        Instruction::Revoke(_) => TransferKind::Revoke,
        Instruction::Dispute(_) => TransferKind::Dispute,
        Instruction::Reinstate(_) => TransferKind::Reinstate,
        Instruction::Restore(_) => TransferKind::Restore,
        Instruction::Assign(_) => TransferKind::Assign,
        Instruction::Charge(_) | Instruction::Hold(_) | Instruction::Capture(_) | Instruction::BookDue => {
            return Err(Error::internal("a journal entry's id on another command"));
        }
    })
}

fn entry_row(
    tenant: Tenant,
    submission: &Submission,
    applied: &Applied,
    (id, version, slices): (EntryId, i64, i64),
) -> Result<journal_entry::Model> {
    let command = &applied.command;
    let mut row = journal_entry::Model {
        organization_id: tenant.id(),
        id,
        pool_id: command.pool,
        kind: kind(&command.instruction)?,
        account_id: holder(applied.account)?,
        lot_id: None,
        purchase_id: None,
        actor_kind: submission.actor.kind,
        actor_id: submission.actor.id,
        origin: submission.actor.origin.clone(),
        credits: applied.credits,
        reason: submission.reason.clone(),
        reference: None,
        metadata: submission.metadata.clone(),
        idempotency_key: command.key,
        request_hash: command.request,
        version,
        slices,
        created_at: applied.created_at,
        department_id: command.instruction.departments().next(),
        to_pool_id: command.instruction.other_pool(),
        to_account_id: applied.other_account.and_then(|account| account.id),
        to_department_id: None,
        charge_id: None,
        provider_fault: None,
        guaranteed: None,
        hold_id: command.instruction.hold(),
        cost: applied.cost,
        seal: Some(Vec::new()),
    };
    match &command.instruction {
        Instruction::Issue(issue) => (row.lot_id, row.purchase_id) = (Some(issue.lot), issue.purchase),
        Instruction::Move(movement) => {
            (row.department_id, row.to_department_id) = (movement.from, movement.to);
        }
        Instruction::Refund(refund) => {
            row.charge_id = Some(refund.charge);
            (row.provider_fault, row.guaranteed) = (Some(refund.provider_fault), Some(refund.guaranteed));
        }
        Instruction::TakeBack(take) => row.lot_id = take.lot,
        Instruction::Extend(extend) => row.lot_id = Some(extend.lot),
        Instruction::Revoke(revoke) => row.lot_id = Some(revoke.lot),
        Instruction::Dispute(dispute) | Instruction::Reinstate(dispute) => row.lot_id = Some(dispute.lot),
        Instruction::Restore(restore) => row.lot_id = Some(restore.lot),
        Instruction::Assign(assign) => row.lot_id = Some(assign.lot),
        _ => {}
    }
    let seal = Some(digest::of_entry(&row).to_vec());
    Ok(journal_entry::Model { seal, ..row })
}

fn lot_row(
    tenant: Tenant,
    applied: &Applied,
    new: &bursar_domain::ledger::NewLot,
    entry_id: EntryId,
) -> lot::Model {
    let row = lot::Model {
        organization_id: tenant.id(),
        id: new.id,
        pool_id: applied.command.pool,
        source: new.source,
        class: new.class,
        priority: new.priority,
        credits: new.credits,
        cost: new.cost,
        currency: new.currency,
        expires_at: new.expires_at,
        purchase_id: new.purchase,
        entry_id,
        created_at: new.created_at,
        replaces: new.replaces,
        seal: Some(Vec::new()),
    };
    let seal = Some(digest::of_lot(&row).to_vec());
    lot::Model { seal, ..row }
}
