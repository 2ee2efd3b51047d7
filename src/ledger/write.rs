//! Phase three: the rows of a decided batch, many at once (see `db::Rows`). The only file that writes
//! ledger tables.

use std::collections::BTreeSet;

use bursar_domain::id::{AccountId, Id, PoolId, ServiceId};
use bursar_domain::ledger::chain::ORIGIN;
use bursar_domain::ledger::{Account, Pool, TransferKind};
use bursar_domain::period::Period;
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{
    account, charge, claimed_reference, guarantee_use, hold, journal_entry, lot, lot_position, pool_head,
    spending_cap, spending_cap_period, timed_task, transfer,
};
use sea_orm::{EntityTrait, IntoActiveModel, Iterable};
use uuid::Uuid;

use super::load::Loaded;
use super::rows::Booked;
use super::{digest, load_holds};
use crate::db::{Rows, Tenant, Txn};
use crate::error::{Error, Result};

/// The timed work that books what is due in a pool.
pub const BOOK_DUE: &str = "BOOK_DUE";
/// The timed work that refills an allocation.
pub const REFILL: &str = "REFILL";
/// The timed work that makes a debt that of the pool of purchase. The subject is the charge that made it.
pub const DEBT_HOME: &str = "DEBT_HOME";
/// When nothing is to be done.
const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

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
        due_at: None,
        revision: 1,
        receivable: 0,
        adjusted: 0,
        revoking: 0,
    };
    pool_head::Entity::insert(head.into_active_model()).exec_without_returning(txn).await?;
    let row = account_row(tenant, pool, account, &Account::empty(None), now);
    account::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
    Ok(())
}

/// Writes how an allocation overflows and is refilled, and when it is refilled next. Makes the account when
/// there is none. The pool's head has to be locked.
pub async fn set_allocation(txn: &Txn, row: &account::Model) -> Result<()> {
    use account::Column as A;
    let row = sealed(row.clone());
    let settings = [
        A::TermsSeal,
        A::Overflow,
        A::RefillAmount,
        A::RefillRollover,
        A::RefillPeriod,
        A::RefillStart,
        A::RefillEnd,
        A::RefillShortfall,
    ];
    let due = row.refill_end.unwrap_or(NEVER);
    let task = task(Tenant::vouched(row.organization_id), REFILL, row.id, due);
    let tables = vec![
        Rows::upsert::<account::Entity>(vec![row], &[A::PoolId, A::Id], &settings)?,
        schedule(vec![task])?,
    ];
    txn.write_rows(tables).await
}

/// Writes what has been used of a cap in a period so far. The pool's head has to be locked.
pub(super) async fn write_cap_period(
    txn: &Txn,
    cap: &spending_cap::Model,
    period: Period,
    (used, held): (Credits, Credits),
) -> Result<()> {
    let row = spending_cap_period::Model {
        organization_id: cap.organization_id,
        pool_id: cap.pool_id,
        cap_id: cap.id,
        period_start: period.start,
        period_end: period.end,
        used,
        held,
    };
    txn.write_rows(vec![cap_periods(vec![row])?]).await
}

/// Makes the rows that count what guarantees have covered, and locks them.
pub(super) async fn open_guarantees(
    txn: &Txn,
    tenant: Tenant,
    services: &[ServiceId],
    month_start: Timestamp,
) -> Result<()> {
    use guarantee_use::Column as G;
    let organization_id = tenant.id();
    let row = |service: &ServiceId| guarantee_use::Model {
        organization_id,
        service_id: *service,
        month_start,
        used: 0,
    };
    // Setting the key to itself locks a row that is there.
    let rows = services.iter().map(row).collect();
    let key = [G::ServiceId, G::MonthStart];
    txn.write_rows(vec![Rows::upsert::<guarantee_use::Entity>(rows, &key, &[G::MonthStart])?]).await
}

/// What of the machine's state has changed, as rows.
#[derive(Default)]
struct Changed {
    heads: Vec<pool_head::Model>,
    accounts: Vec<account::Model>,
    /// Accounts whose refill has begun a new period.
    refilled: Vec<account::Model>,
    positions: Vec<lot_position::Model>,
    holds: Vec<hold::Model>,
    cap_periods: Vec<spending_cap_period::Model>,
    guarantees: Vec<guarantee_use::Model>,
    tasks: Vec<timed_task::Model>,
}

impl Booked {
    /// Captures that have used what was to be taken back. Whose purchase that was is looked up later: a capture waits for
    /// no other pool.
    fn debts(&self) -> Vec<timed_task::Model> {
        let owed = self.transfers.iter().filter(|row| row.kind == TransferKind::Owe);
        let owed: BTreeSet<(PoolId, i64)> = owed.map(|row| (row.pool_id, row.version)).collect();
        let owes = |row: &&charge::Model| {
            // What is owed stands right behind what was captured.
            row.hold_id.is_some() && owed.contains(&(row.pool_id, row.version + 1))
        };
        let due = |row: &charge::Model| {
            task(Tenant::vouched(row.organization_id), DEBT_HOME, row.id, row.created_at)
        };
        self.charges.iter().filter(owes).map(due).collect()
    }

    /// Writes everything: new rows, and the new balances of what the state has changed.
    pub async fn write<'l>(
        self,
        txn: &Txn,
        loaded: impl Iterator<Item = (Tenant, &'l mut Loaded)>,
    ) -> Result<()> {
        let mut changed = Changed { tasks: self.debts(), ..Changed::default() };
        for (tenant, loaded) in loaded {
            changed.add(tenant, loaded)?;
        }
        use pool_head::Column as H;
        use {
            account::Column as A, guarantee_use::Column as G, hold::Column as O, lot_position::Column as P,
        };
        let values = |column: &H| !matches!(column, H::OrganizationId | H::PoolId | H::Revision);
        let values: Vec<H> = H::iter().filter(values).collect();
        let (account_key, account_values) = ([A::PoolId, A::Id], [A::Posted, A::Held]);
        let position_key = [P::PoolId, P::AccountId, P::LotId];
        let position_values = [P::Credits, P::Held, P::Cost, P::Open, P::Revoking, P::Disputed, P::Contested];
        let hold_values = [O::State, O::Captured, O::CapturedUnits, O::HeldSlices, O::ClosedAt];
        let refill_values = [A::RefillStart, A::RefillEnd, A::RefillShortfall, A::TermsSeal];
        let tables = vec![
            Rows::insert::<charge::Entity>(self.charges)?,
            Rows::insert::<journal_entry::Entity>(self.entries)?,
            Rows::insert::<lot::Entity>(self.lots)?,
            Rows::insert::<transfer::Entity>(self.transfers)?,
            Rows::insert::<claimed_reference::Entity>(self.references)?,
            Rows::upsert::<pool_head::Entity>(changed.heads, &[H::PoolId], &values)?,
            Rows::upsert::<account::Entity>(changed.accounts, &account_key, &account_values)?,
            Rows::upsert::<lot_position::Entity>(changed.positions, &position_key, &position_values)?,
            Rows::upsert::<hold::Entity>(changed.holds, &[O::Id], &hold_values)?,
            cap_periods(changed.cap_periods)?,
            Rows::upsert::<guarantee_use::Entity>(
                changed.guarantees,
                &[G::ServiceId, G::MonthStart],
                &[G::Used],
            )?,
            schedule(changed.tasks)?,
        ];
        txn.write_rows(tables).await?;
        // One statement changes a row once.
        let refilled = Rows::upsert::<account::Entity>(changed.refilled, &account_key, &refill_values)?;
        txn.write_rows(vec![refilled]).await
    }
}

impl Changed {
    fn add(&mut self, tenant: Tenant, loaded: &mut Loaded) -> Result<()> {
        for guarantee in loaded.state.guarantees.iter().filter(|(_, guarantee)| guarantee.changed) {
            self.guarantees.push(guarantee_use::Model {
                organization_id: tenant.id(),
                service_id: *guarantee.0,
                month_start: guarantee.1.month.start,
                used: guarantee.1.used,
            });
        }
        let (pools, margins, links) = (&loaded.state.pools, &mut loaded.margins, &loaded.links);
        for pool in pools.values().filter(|pool| pool.changed) {
            let found = links.get(&pool.id).zip(margins.get_mut(&pool.id));
            let (link, margin) =
                found.ok_or_else(|| Error::internal("a pool without the end of its chain"))?;
            self.heads.push(head_row(tenant, pool, link, margin.revision));
            if pool.due_changed {
                self.tasks.push(task(tenant, BOOK_DUE, pool.id, pool.head.due.unwrap_or(NEVER)));
            }
            for (id, hold) in pool.touched.iter().filter_map(|id| pool.holds.get_key_value(id)) {
                let row = margin.holds.get_mut(id);
                let row = row.ok_or_else(|| Error::internal("a hold without its row"))?;
                *row = load_holds::encode(row, hold, pool.head.clock)?;
                self.holds.push(row.clone());
            }
            self.add_accounts(tenant, pool);
            for cap in &pool.caps {
                for window in cap.windows.iter().filter(|window| window.changed) {
                    self.cap_periods.push(spending_cap_period::Model {
                        organization_id: tenant.id(),
                        pool_id: pool.id,
                        cap_id: cap.id,
                        period_start: window.period.start,
                        period_end: window.period.end,
                        used: window.used,
                        held: window.held,
                    });
                }
            }
        }
        // A refill may move nothing: then no transfer marks its pool as changed.
        for pool in pools.values() {
            for (id, account) in pool.accounts.iter().filter(|(_, account)| account.refilled) {
                self.refilled.push(account_row(tenant, pool.id, *id, account, pool.head.clock));
                let due = account.refill.map_or(NEVER, |refill| refill.current.end);
                self.tasks.push(task(tenant, REFILL, *id, due));
            }
        }
        Ok(())
    }

    fn add_accounts(&mut self, tenant: Tenant, pool: &Pool) {
        for (id, account) in &pool.accounts {
            if account.changed {
                let opened = account.opened_at.unwrap_or(pool.head.clock);
                self.accounts.push(account_row(tenant, pool.id, *id, account, opened));
            }
            for (burn, position) in account.positions.iter().filter(|(_, position)| position.changed) {
                self.positions.push(lot_position::Model {
                    organization_id: tenant.id(),
                    pool_id: pool.id,
                    account_id: *id,
                    lot_id: burn.lot,
                    credits: position.credits,
                    held: position.held,
                    cost: position.cost,
                    open: !position.credits.is_zero(),
                    revoking: position.revoking,
                    disputed: position.disputed,
                    contested: position.contested,
                });
            }
        }
    }
}

fn head_row(tenant: Tenant, pool: &Pool, link: &[u8; 32], revision: i64) -> pool_head::Model {
    let (head, contra) = (pool.head, pool.head.contra);
    pool_head::Model {
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
        due_at: head.due,
        revision,
        receivable: head.receivable,
        adjusted: head.adjusted,
        revoking: head.revoking,
    }
}

/// The row of an account. When there is one, only what has changed of it is written.
fn account_row(
    tenant: Tenant,
    pool: PoolId,
    id: AccountId,
    account: &Account,
    created_at: Timestamp,
) -> account::Model {
    let row = account::Model {
        organization_id: tenant.id(),
        pool_id: pool,
        id,
        department_id: account.department,
        posted: account.posted,
        held: account.held,
        created_at,
        overflow: account.overflow,
        refill_amount: account.refill.map(|refill| refill.amount),
        refill_rollover: account.refill.map(|refill| refill.rollover),
        refill_period: account.refill.map(|refill| refill.period),
        refill_start: account.refill.map(|refill| refill.current.start),
        refill_end: account.refill.map(|refill| refill.current.end),
        refill_shortfall: account.refill.map(|refill| refill.shortfall),
        seal: None,
        terms_seal: None,
    };
    sealed(row)
}

fn sealed(row: account::Model) -> account::Model {
    let seal = Some(digest::of_account(&row).to_vec());
    let terms_seal = Some(digest::of_account_terms(&row).to_vec());
    account::Model { seal, terms_seal, ..row }
}

fn cap_periods(rows: Vec<spending_cap_period::Model>) -> Result<Rows> {
    use spending_cap_period::Column as C;
    let key = [C::PoolId, C::CapId, C::PeriodStart];
    Rows::upsert::<spending_cap_period::Entity>(rows, &key, &[C::Used, C::Held])
}

fn task(tenant: Tenant, kind: &str, subject: impl Id, due_at: Timestamp) -> timed_task::Model {
    timed_task::Model {
        organization_id: tenant.id(),
        kind: kind.to_owned(),
        subject_id: Uuid::from_u128(subject.as_u128()),
        due_at,
        leased_until: None,
        lease: None,
        attempts: 0,
        last_error: None,
    }
}

fn schedule(rows: Vec<timed_task::Model>) -> Result<Rows> {
    use timed_task::Column as T;
    Rows::upsert::<timed_task::Entity>(rows, &[T::Kind, T::SubjectId], &[T::DueAt])
}
