//! Debts go home: what was captured of credits that were to be taken back becomes the debt of the pool of their purchase.
//!
//! Timed work that the capture's own transaction has written does it, within seconds: a capture waits for no other pool. Each
//! transfer by which something is owed is the key of one command, so whoever does it a second time finds it done.

use bursar_domain::Credits;
use bursar_domain::id::{ChargeId, EntryId, LotId, PoolId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{AssignDebt, CauseKind, Command, CommandId, Instruction, Refusal, TransferKind};
use bursar_entity::{charge, lot, purchase, transfer};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::auth::{Actor, Standing};
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::global_id;
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Submission};

/// What a pool owes for another pool's purchase.
struct Away {
    /// The transfer by which it is owed.
    pool: PoolId,
    version: i64,
    lot: LotId,
    credits: Credits,
    home: PoolId,
}

/// Makes what a capture has left its pool to owe the debt of the pools of purchase. What is their own, or has been settled,
/// stays.
///
/// # Errors
/// [`Error::Refused`] while one of the pools is frozen: it has to be tried again.
pub async fn bring_debt_home(ledger: &Ledger, tenant: Tenant, capture: ChargeId) -> Result<()> {
    let snapshot = ledger.context().db.read(tenant).await?;
    let away = debts_away(&snapshot, tenant, capture).await?;
    drop(snapshot);
    for debt in away {
        match ledger.submit(tenant, submission(ledger, &debt)).await {
            // Nothing of it is owed any more.
            Ok(_) | Err(Error::Refused(Refusal::AmountNotPositive)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a capture has left its pool to owe for purchases of other pools.
async fn debts_away(txn: &Txn, tenant: Tenant, capture: ChargeId) -> Result<Vec<Away>> {
    let row = tenant.find::<charge::Entity>().filter(charge::Column::Id.eq(capture)).one(txn).await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    // It stands right behind the slices, and there is no more of it than of them.
    let behind = tenant
        .find::<transfer::Entity>()
        .filter(transfer::Column::PoolId.eq(row.pool_id))
        .filter(transfer::Column::Version.gt(row.version))
        .order_by_asc(transfer::Column::Version)
        .limit(u64::try_from(row.slices).unwrap_or_default());
    let owed = |next: &transfer::Model| {
        next.kind == TransferKind::Owe
            && next.cause_kind == CauseKind::Hold
            && next.created_at == row.created_at
    };
    let mut away = Vec::new();
    for next in behind.all(txn).await?.into_iter().take_while(owed) {
        if let Some(home) = home_of(txn, tenant, next.lot_id).await?
            && home != next.pool_id
        {
            let (pool, version, lot, credits) = (next.pool_id, next.version, next.lot_id, next.credits);
            away.push(Away { pool, version, lot, credits, home });
        }
    }
    Ok(away)
}

/// The pool of the purchase that a lot came with, or the one that it goes on for.
async fn home_of(txn: &Txn, tenant: Tenant, lot: LotId) -> Result<Option<PoolId>> {
    let mut next = Some(lot);
    // A lot goes on for one that is older, so this comes to an end.
    while let Some(id) = next {
        let row = tenant.find::<lot::Entity>().filter(lot::Column::Id.eq(id)).one(txn).await?;
        let row = row.ok_or_else(|| Error::internal("a transfer of no lot"))?;
        if let Some(purchase) = row.purchase_id {
            let of = purchase::Column::Id.eq(purchase);
            let purchase = tenant.find::<purchase::Entity>().filter(of).one(txn).await?;
            return Ok(purchase.map(|purchase| purchase.pool_id));
        }
        next = row.replaces;
    }
    Ok(None)
}

fn submission(ledger: &Ledger, debt: &Away) -> Submission {
    let mut form = Canonical::of("debt of another pool's purchase");
    form.id(debt.pool).number(debt.version);
    let transfer = global_id::encode_transfer(debt.pool, debt.version);
    let idempotency = Idempotency::new("assignDebt", &transfer, &form);
    let clock = &ledger.context().clock;
    let assign = AssignDebt { lot: debt.lot, to_pool: debt.home, credits: debt.credits };
    Submission {
        command: Command {
            id: CommandId::Entry(clock.new_id::<EntryId>()),
            pool: debt.pool,
            key: idempotency.key,
            request: idempotency.request,
            now: clock.now(),
            instruction: Instruction::Assign(assign),
        },
        actor: Actor::system(None),
        standing: Standing::default(),
        subject: None,
        metadata: None,
        reason: None,
    }
}
