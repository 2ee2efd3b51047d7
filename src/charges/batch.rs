//! Many charges in one call, and in one commit.
//!
//! Each item is authorized like a charge of its own and keeps a key of its own. With `EACH` an item that
//! cannot be carried out leaves the others alone; with `ATOMIC` it takes them with it. All items belong to one
//! organization, which is what a commit belongs to.

use std::collections::BTreeMap;

use bursar_domain::id::MembershipId;
use bursar_domain::ledger::Refusal;

use super::create::submission;
use super::request::{Allowed, ChargeRequest};
use crate::auth::{Caller, PoolDirectory};
use crate::db::{Snapshots, Tenant};
use crate::error::{Conflict, Error, Result};
use crate::ledger::{Ledger, Receipt, Submission, Together};

/// The most items of a batch.
pub const MAX_ITEMS: usize = 500;

/// How often items are tried again that came too late to count on whom they are on behalf of.
const ROUNDS: usize = 3;

/// One charge of a batch.
#[derive(Debug)]
pub struct BatchItem {
    /// What is to be charged, as far as it could be read.
    pub charge: Result<ChargeRequest>,
    /// Its key: of the same name space as that of a charge that comes alone.
    pub key: String,
}

/// Several charges.
#[derive(Debug)]
pub struct Batch {
    /// The charges.
    pub items: Vec<BatchItem>,
    /// What becomes of them when one is refused.
    pub together: Together,
    /// Whether they are only rehearsed.
    pub dry_run: bool,
}

/// Makes the charges of a batch, and answers for each in their order.
///
/// # Errors
/// When nothing was carried out for a reason that is not one item's own.
pub async fn batch(
    ledger: &Ledger,
    snapshots: &Snapshots,
    directory: &PoolDirectory,
    caller: &Caller,
    batch: Batch,
) -> Result<Vec<Result<Receipt>>> {
    let Batch { items, together, dry_run } = batch;
    if items.is_empty() {
        return Err(Error::invalid("items", "must not be empty"));
    }
    if items.len() > MAX_ITEMS {
        return Err(Error::invalid("items", format!("must be at most {MAX_ITEMS}")));
    }
    let count = items.len();
    let mut outcomes: BTreeMap<usize, Result<Receipt>> = BTreeMap::new();
    let mut asked: BTreeMap<usize, (ChargeRequest, String)> = BTreeMap::new();
    for (index, item) in items.into_iter().enumerate() {
        match item.charge {
            Ok(charge) => _ = asked.insert(index, (charge, item.key)),
            Err(error) => _ = outcomes.insert(index, Err(error)),
        }
    }
    for round in 0..ROUNDS {
        let pending = asked.iter().filter(|(index, _)| !outcomes.contains_key(*index));
        let mut prepared = Prepared::default();
        for (index, (charge, key)) in pending {
            let allowed = Allowed::check(snapshots, directory, caller, charge.clone()).await;
            prepared.add(ledger, *index, allowed, key)?;
        }
        outcomes.extend(prepared.failed.into_iter().map(|(index, error)| (index, Err(error))));
        if together == Together::Atomic && !outcomes.is_empty() {
            return Ok(aborted(outcomes, count));
        }
        let Some(tenant) = prepared.tenant else { break };
        // As for a charge: nobody waits for the writer while holding a reader.
        snapshots.close().await;
        let submitted = match dry_run {
            true => ledger.rehearse_all(tenant, prepared.submissions, together).await,
            false => ledger.submit_all(tenant, prepared.submissions, together).await,
        };
        let Sorted { done, stale } = sorted(submitted, &prepared.places)?;
        for (_, member) in &stale {
            member.iter().for_each(|member| directory.forget_member(tenant.id(), *member));
        }
        // Who asks may no longer be allowed to: nothing was done, and it has to be asked again.
        if !stale.is_empty() && (together == Together::Atomic || (round == 0 && done.is_empty())) {
            return Err(Error::Stale);
        }
        outcomes.extend(done);
        if stale.is_empty() {
            break;
        }
    }
    let unsettled = || {
        let reason = "People of the organization are being changed. This was not charged; try again.";
        Err(Error::conflict(Conflict::State, "onBehalfOfId", reason))
    };
    Ok((0..count).map(|index| outcomes.remove(&index).unwrap_or_else(unsettled)).collect())
}

/// The items that go to the ledger together.
#[derive(Default)]
struct Prepared {
    tenant: Option<Tenant>,
    submissions: Vec<Submission>,
    /// Where each stands in the batch, and on whose behalf it is.
    places: Vec<(usize, Option<MembershipId>)>,
    /// Those that do not go there.
    failed: Vec<(usize, Error)>,
}

impl Prepared {
    fn add(&mut self, ledger: &Ledger, index: usize, allowed: Result<Allowed>, key: &str) -> Result<()> {
        let allowed = match allowed {
            Ok(allowed) => allowed,
            Err(error) if is_own(&error) => {
                self.failed.push((index, error));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let tenant = allowed.pool.tenant();
        if self.tenant.is_some_and(|known| known != tenant) {
            let field = format!("items.{index}.poolId");
            return Err(Error::invalid(field, "must belong to the organization of the items before it"));
        }
        self.tenant = Some(tenant);
        self.places.push((index, allowed.member));
        self.submissions.push(submission(&ledger.context().clock, allowed, key));
        Ok(())
    }
}

/// Whether an error is about one item and leaves the others alone.
fn is_own(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound { .. }
            | Error::Forbidden
            | Error::Invalid { .. }
            | Error::Conflict { .. }
            | Error::Refused(_)
            | Error::IdempotencyConflict
    )
}

/// What the ledger has answered.
struct Sorted {
    done: Vec<(usize, Result<Receipt>)>,
    /// Those whose permission was read too early.
    stale: Vec<(usize, Option<MembershipId>)>,
}

fn sorted(
    submitted: Result<Vec<Result<Receipt>>>,
    places: &[(usize, Option<MembershipId>)],
) -> Result<Sorted> {
    let submitted = match submitted {
        Ok(submitted) => submitted,
        Err(Error::Stale) => return Ok(Sorted { done: Vec::new(), stale: places.to_vec() }),
        Err(error) => return Err(error),
    };
    let mut sorted = Sorted { done: Vec::new(), stale: Vec::new() };
    for (outcome, place) in submitted.into_iter().zip(places) {
        match outcome {
            Err(Error::Stale) => sorted.stale.push(*place),
            Err(error) if !is_own(&error) => return Err(error),
            outcome => sorted.done.push((place.0, outcome)),
        }
    }
    Ok(sorted)
}

/// What an atomic batch answers when items were found wrong before it came to the ledger.
fn aborted(mut outcomes: BTreeMap<usize, Result<Receipt>>, count: usize) -> Vec<Result<Receipt>> {
    let index = outcomes.keys().next().copied().unwrap_or_default();
    let because = || Err(Error::Refused(Refusal::BatchAborted { index }));
    (0..count).map(|index| outcomes.remove(&index).unwrap_or_else(because)).collect()
}
