//! Extending a lot. A lot is never changed: what is left of it and not held goes on in new lots with the later
//! expiry, one in each pool where some of it lies, all in one commit.
//!
//! Each pool takes a command and a key of its own. The first command has the client's key, so that whatever else
//! is asked for by the same key is found to be something else; the others have keys that follow from it and from
//! their pools. A request that comes again goes to the pools that it went to, where nothing of the lot may be
//! left by now.

use std::collections::BTreeSet;

use bursar_domain::Timestamp;
use bursar_domain::id::{LotId, PoolId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{ExtendLot, Instruction, Refusal};
use bursar_entity::{journal_entry, lot, lot_position, pool};
use sea_orm::{ColumnTrait, QueryFilter};

use super::entry::{Misfit, carry_out_all, command};
use crate::auth::Authorized;
use crate::db::{Tenant, Txn, padded};
use crate::error::{Error, Result};
use crate::global_id;
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Receipt, Submission};
use crate::text;

/// How often it is tried when somebody uses or moves the lot's last credits in a pool meanwhile.
const ATTEMPTS: u32 = 3;

/// A later expiry.
#[derive(Clone, Debug)]
pub struct Extension {
    /// Which lot.
    pub lot: LotId,
    /// The new expiry; none: never.
    pub expires_at: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// The keys of a request.
struct Keys<'r> {
    client: &'r str,
    form: Canonical,
}

impl Keys<'_> {
    /// The client's.
    fn first(&self) -> Idempotency {
        Idempotency::new("extendLot", self.client, &self.form)
    }

    /// That of another pool.
    fn of(&self, pool: PoolId) -> Idempotency {
        let key = format!("{} {}", global_id::encode(pool), self.client);
        Idempotency::new("extendLot, pool", &key, &self.form)
    }
}

/// Extends a lot of a pool, wherever its credits lie. Answers a receipt for each pool.
pub async fn extend(
    ledger: &Ledger,
    pool: &Authorized<pool::Model>,
    request: Extension,
) -> Result<Vec<Receipt>> {
    let reason = text::optional_note("reason", Some(&request.reason))?;
    let mut form = Canonical::of("extension");
    form.id(request.lot).option(request.expires_at, |form, at| _ = form.number(at.micros()));
    form.option(reason.as_deref(), |form, reason| _ = form.text(reason));
    let keys = Keys { client: &request.key, form };
    let (context, tenant) = (ledger.context(), pool.tenant());
    let mut attempt = 1;
    loop {
        let snapshot = context.db.read(tenant).await?;
        let pools = match earlier(&snapshot, tenant, request.lot, &keys).await? {
            Some(pools) => pools,
            None => places(&snapshot, tenant, request.lot, pool.id).await?,
        };
        // Nobody waits for the writer while holding a reader.
        drop(snapshot);
        let submission = |(index, id): (usize, PoolId)| {
            let extend = ExtendLot {
                lot: request.lot,
                new_lot: context.clock.new_id(),
                expires_at: request.expires_at,
            };
            let idempotency = if index == 0 { keys.first() } else { keys.of(id) };
            Submission {
                command: command(&context.clock, id, idempotency, Instruction::Extend(extend)),
                actor: pool.actor().clone(),
                standing: pool.standing(),
                subject: None,
                metadata: None,
                reason: reason.clone(),
            }
        };
        let submissions = pools.into_iter().enumerate().map(submission).collect();
        match carry_out_all(ledger, tenant, submissions, request.dry_run).await? {
            Ok(receipts) => return Ok(receipts),
            Err(Misfit { error: Error::Refused(Refusal::LotNotFound), .. }) if attempt < ATTEMPTS => {
                attempt += 1;
            }
            Err(Misfit { error, .. }) => return Err(error),
        }
    }
}

/// The pools where unheld credits of a lot lie, its own first. When there are none, its own, whose refusal says so.
async fn places(txn: &Txn, tenant: Tenant, lot: LotId, own: PoolId) -> Result<Vec<PoolId>> {
    let positions = tenant
        .find::<lot_position::Entity>()
        .filter(lot_position::Column::LotId.eq(lot))
        .filter(lot_position::Column::Open.eq(true));
    let free = |row: &lot_position::Model| row.credits > row.held;
    let positions = positions.all(txn).await?;
    let pools: BTreeSet<PoolId> = positions.iter().filter(|row| free(row)).map(|row| row.pool_id).collect();
    let first = pools.contains(&own) || pools.is_empty();
    Ok(first.then_some(own).into_iter().chain(pools.into_iter().filter(|pool| *pool != own)).collect())
}

/// The pools that a request went to that has been carried out; none when it has not.
async fn earlier(txn: &Txn, tenant: Tenant, lot: LotId, keys: &Keys<'_>) -> Result<Option<Vec<PoolId>>> {
    let first = journal_entry::Column::IdempotencyKey.eq(keys.first().key);
    let Some(first) = tenant.find::<journal_entry::Entity>().filter(first).one(txn).await? else {
        return Ok(None);
    };
    let mut pools = vec![first.pool_id];
    let made = tenant.find::<lot::Entity>().filter(lot::Column::Replaces.eq(lot)).all(txn).await?;
    let others: BTreeSet<PoolId> = made.into_iter().map(|row| row.pool_id).collect();
    let others = others.into_iter().filter(|pool| *pool != first.pool_id).map(|pool| keys.of(pool).key);
    let others: Vec<_> = others.collect();
    if !others.is_empty() {
        let known = journal_entry::Column::IdempotencyKey.is_in(padded(others));
        let entries = tenant.find::<journal_entry::Entity>().filter(known).all(txn).await?;
        pools.extend(entries.into_iter().map(|row| row.pool_id).collect::<BTreeSet<_>>());
    }
    Ok(Some(pools))
}
