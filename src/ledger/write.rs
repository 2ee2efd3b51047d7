//! Phase three: the rows of a decided batch, many at once (see `db::Rows`). The only file that writes
//! ledger tables.

use std::collections::BTreeMap;

use bursar_domain::Timestamp;
use bursar_domain::id::{AccountId, Id, LotId, PoolId};
use bursar_domain::ledger::chain::{self, ORIGIN};
use bursar_domain::ledger::{Applied, CauseKind, CommandId, Instruction, Pool, Transfer};
use bursar_entity::{account, charge, journal_entry, lot, lot_position, pool_head, transfer};
use sea_orm::{EntityTrait, IntoActiveModel, Iterable};
use uuid::Uuid;

use super::digest::{self, Line};
use super::load::Loaded;
use super::{Receipt, ReceiptRow, Submission};
use crate::db::{Rows, Tenant, Txn};
use crate::error::{Error, Result};

/// Opens the books of a new pool: an empty head and an empty account of unallocated credits.
pub async fn open_pool(
    txn: &Txn,
    tenant: Tenant,
    pool: PoolId,
    account: AccountId,
    now: Timestamp,
) -> Result<()> {
    let head = pool_head::Model {
        organization_id: tenant.id(),
        pool_id: pool,
        version: 0,
        clock: now,
        posted: 0,
        held: 0,
        issued: 0,
        consumed: 0,
        expired: 0,
        revoked: 0,
        debt: 0,
        clearing: 0,
        hash: ORIGIN.to_vec(),
        revision: 1,
    };
    pool_head::Entity::insert(head.into_active_model()).exec_without_returning(txn).await?;
    let account = account::Model {
        organization_id: tenant.id(),
        pool_id: pool,
        id: account,
        department_id: None,
        posted: bursar_domain::Credits::ZERO,
        held: bursar_domain::Credits::ZERO,
        created_at: now,
    };
    account::Entity::insert(account.into_active_model()).exec_without_returning(txn).await?;
    Ok(())
}

/// What a batch leaves to be written.
#[derive(Default)]
pub(super) struct Booked {
    charges: Vec<charge::Model>,
    entries: Vec<journal_entry::Model>,
    lots: Vec<lot::Model>,
    transfers: Vec<transfer::Model>,
}

impl Booked {
    /// Links and keeps transfers that time alone has caused.
    pub fn lapses(&mut self, tenant: Tenant, lapses: Vec<Transfer>, links: &mut BTreeMap<PoolId, [u8; 32]>) {
        for lapse in lapses {
            let row = link(tenant, &lapse, (CauseKind::Clock, None), &[0; 32], links);
            self.transfers.push(row);
        }
    }

    /// Makes the rows of an accepted command, and its receipt.
    pub fn applied(
        &mut self,
        tenant: Tenant,
        submission: &Submission,
        applied: Applied,
        links: &mut BTreeMap<PoolId, [u8; 32]>,
    ) -> Result<Receipt> {
        let last = applied.transfers.last().ok_or_else(|| Error::internal("a command moved nothing"))?;
        let (version, slices) = (last.version, i64::try_from(applied.transfers.len()).unwrap_or(i64::MAX));
        let (row, lot, cause, digest) = match applied.command.id {
            CommandId::Charge(id) => {
                let row = charge_row(tenant, submission, &applied, (id, version, slices))?;
                let (cause, digest) = ((CauseKind::Charge, Some(id.as_u128())), digest::of_charge(&row));
                self.charges.push(row.clone());
                (ReceiptRow::Charge(row), None, cause, digest)
            }
            CommandId::Entry(id) => {
                let row = entry_row(tenant, submission, &applied, (id, version, slices))?;
                let lot = lot_row(tenant, &applied, id);
                let (cause, digest) =
                    ((CauseKind::Entry, Some(id.as_u128())), digest::of_entry(&row, lot.as_ref()));
                self.entries.push(row.clone());
                self.lots.extend(lot.clone());
                (ReceiptRow::Entry(row), lot, cause, digest)
            }
        };
        let transfers: Vec<transfer::Model> = applied
            .transfers
            .iter()
            .map(|transfer| link(tenant, transfer, (cause.0, cause.1.map(Uuid::from_u128)), &digest, links))
            .collect();
        self.transfers.extend(transfers.iter().cloned());
        Ok(Receipt { row, transfers, lot, replayed: false })
    }

    /// Writes everything: new rows, and the new balances of what the state has changed.
    pub async fn write<'l>(
        self,
        txn: &Txn,
        loaded: impl Iterator<Item = (Tenant, &'l Loaded)>,
    ) -> Result<()> {
        let (mut heads, mut accounts, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let pools = loaded
            .flat_map(|(tenant, loaded)| loaded.state.pools.values().map(move |pool| (tenant, loaded, pool)));
        for (tenant, loaded, pool) in pools.filter(|(_, _, pool)| pool.changed) {
            heads.push(head_row(tenant, pool, loaded)?);
            for (id, account) in pool.accounts.iter().filter(|(_, account)| account.changed) {
                accounts.push(account::Model {
                    organization_id: tenant.id(),
                    pool_id: pool.id,
                    id: *id,
                    department_id: account.department,
                    posted: account.posted,
                    held: account.held,
                    created_at: pool.head.clock,
                });
                for (burn, position) in account.positions.iter().filter(|(_, position)| position.changed) {
                    positions.push(lot_position::Model {
                        organization_id: tenant.id(),
                        pool_id: pool.id,
                        account_id: *id,
                        lot_id: burn.lot,
                        credits: position.credits,
                        held: position.held,
                        cost: position.cost,
                        open: !position.credits.is_zero(),
                    });
                }
            }
        }
        use {account::Column as A, lot_position::Column as P, pool_head::Column as H};
        let values = |column: &H| !matches!(column, H::OrganizationId | H::PoolId | H::Revision);
        let values: Vec<H> = H::iter().filter(values).collect();
        let (account_key, account_values) = ([A::PoolId, A::Id], [A::Posted, A::Held]);
        let (position_key, position_values) =
            ([P::PoolId, P::AccountId, P::LotId], [P::Credits, P::Held, P::Cost, P::Open]);
        let tables = vec![
            Rows::insert::<charge::Entity>(self.charges)?,
            Rows::insert::<journal_entry::Entity>(self.entries)?,
            Rows::insert::<lot::Entity>(self.lots)?,
            Rows::insert::<transfer::Entity>(self.transfers)?,
            Rows::upsert::<pool_head::Entity>(heads, &[H::PoolId], &values)?,
            Rows::upsert::<account::Entity>(accounts, &account_key, &account_values)?,
            Rows::upsert::<lot_position::Entity>(positions, &position_key, &position_values)?,
        ];
        txn.write_rows(tables).await
    }
}

fn head_row(tenant: Tenant, pool: &Pool, loaded: &Loaded) -> Result<pool_head::Model> {
    let link = loaded.links.get(&pool.id).zip(loaded.margins.get(&pool.id));
    let (link, margin) = link.ok_or_else(|| Error::internal("a pool without the end of its chain"))?;
    let (head, contra) = (pool.head, pool.head.contra);
    Ok(pool_head::Model {
        organization_id: tenant.id(),
        pool_id: pool.id,
        version: head.version,
        clock: head.clock,
        posted: head.posted,
        held: head.held,
        issued: contra.issued,
        consumed: contra.consumed,
        expired: contra.expired,
        revoked: contra.revoked,
        debt: contra.debt,
        clearing: contra.clearing,
        hash: link.to_vec(),
        revision: margin.revision,
    })
}

/// The row of a transfer, with its link, which becomes the pool's last.
fn link(
    tenant: Tenant,
    transfer: &Transfer,
    (cause_kind, cause_id): (CauseKind, Option<Uuid>),
    cause: &[u8; 32],
    links: &mut BTreeMap<PoolId, [u8; 32]>,
) -> transfer::Model {
    let previous = links.get(&transfer.pool).copied().unwrap_or(ORIGIN);
    let hash = chain::link(&previous, tenant.id(), transfer, cause, digest::sha256);
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
    }
}

fn holder(applied: &Applied) -> Result<AccountId> {
    applied.account.id.ok_or_else(|| Error::internal("a command is about no holder"))
}

fn charge_row(
    tenant: Tenant,
    submission: &Submission,
    applied: &Applied,
    (id, version, slices): (bursar_domain::id::ChargeId, i64, i64),
) -> Result<charge::Model> {
    let command = &applied.command;
    let Instruction::Charge(charge) = &command.instruction else {
        return Err(Error::internal("a charge's id on another command"));
    };
    let lines: Vec<Line> = applied.lines.iter().map(Line::from).collect();
    let lines = serde_json::to_string(&lines)
        .map_err(|error| Error::internal(format!("lines cannot be written: {error}")))?;
    Ok(charge::Model {
        organization_id: tenant.id(),
        id,
        pool_id: command.pool,
        account_id: holder(applied)?,
        department_id: charge.department,
        on_behalf_of: charge.on_behalf_of,
        actor_kind: submission.actor.kind,
        actor_id: submission.actor.id,
        origin: submission.actor.origin.clone(),
        lines,
        credits: applied.credits,
        reference: charge.reference.clone(),
        subject: submission.subject.clone(),
        metadata: submission.metadata.clone(),
        idempotency_key: command.key,
        request_hash: command.request,
        version,
        slices,
        created_at: applied.created_at,
    })
}

fn entry_row(
    tenant: Tenant,
    submission: &Submission,
    applied: &Applied,
    (id, version, slices): (bursar_domain::id::EntryId, i64, i64),
) -> Result<journal_entry::Model> {
    let command = &applied.command;
    let kind = applied.transfers.first().map(|transfer| transfer.kind);
    let issue = match &command.instruction {
        Instruction::Issue(issue) => Some(issue),
        _ => None,
    };
    Ok(journal_entry::Model {
        organization_id: tenant.id(),
        id,
        pool_id: command.pool,
        kind: kind.ok_or_else(|| Error::internal("a command moved nothing"))?,
        account_id: holder(applied)?,
        lot_id: issue.map(|issue| issue.lot),
        purchase_id: issue.and_then(|issue| issue.purchase),
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
    })
}

fn lot_row(tenant: Tenant, applied: &Applied, entry: bursar_domain::id::EntryId) -> Option<lot::Model> {
    let new = applied.lot.as_ref()?;
    let id: LotId = new.issue.lot;
    Some(lot::Model {
        organization_id: tenant.id(),
        id,
        pool_id: applied.command.pool,
        source: new.issue.source,
        class: new.issue.class,
        priority: new.issue.priority,
        credits: new.issue.credits,
        cost: new.issue.cost,
        currency: new.issue.currency,
        expires_at: new.issue.expires_at,
        purchase_id: new.issue.purchase,
        entry_id: entry,
        created_at: new.created_at,
    })
}
