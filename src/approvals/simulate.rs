//! What a policy would have asked about: an organization's past purchases, each met with the rules as if they had been in
//! force when it was asked for. Nothing is written.
//!
//! Whoever has asked counts with the role that they have now: what they were then is not kept. So do the ends of purchases:
//! what has come to its end unpaid since does not count in its month.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::approval::{Asked, Policy, PolicyFault};
use bursar_domain::id::PurchaseId;
use bursar_domain::period::Period;
use bursar_domain::{Currency, Timestamp};
use bursar_entity::{approval_request, organization, purchase};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use super::month::{bought_in, counts, month_of};
use super::people;
use super::policies::check;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// The most purchases that are looked at.
const MOST_PURCHASES: u64 = 1_000;
/// The most days that are looked back.
const MOST_DAYS: i64 = 366;

/// What a policy would have asked about.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// How many purchases were looked at.
    pub considered: u64,
    /// Those of them that somebody would have been asked about, newest first.
    pub sent: Vec<SimulatedPurchase>,
    /// Whether there are more in these days: the oldest were left out.
    pub truncated: bool,
}

/// A purchase that somebody would have been asked about.
#[derive(Clone, Debug)]
pub struct SimulatedPurchase {
    /// The purchase.
    pub purchase: purchase::Model,
    /// By which rule, from 0.
    pub rule: usize,
    /// Whether somebody was asked about it.
    pub was_asked: bool,
}

/// What a policy would have asked about in the last days, or what is wrong with it.
///
/// # Errors
/// [`Error::Invalid`] at `days`; what the database answers.
pub async fn simulate(
    txn: &Txn,
    tenant: Tenant,
    policy: &Policy,
    days: i64,
    now: Timestamp,
) -> Result<Result<Simulated, Vec<PolicyFault>>> {
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Error::invalid("days", format!("must be from 1 to {MOST_DAYS}")));
    }
    let organization = tenant.find::<organization::Entity>().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let (faults, _) = check(txn, tenant, &organization, policy).await?;
    if !faults.is_empty() {
        return Ok(Err(faults));
    }
    let (purchases, truncated) = newest(txn, tenant, now.plus_days(-days)).await?;
    let roles = people(txn, tenant).await?.roles;
    let mut months = Months::default();
    let mut found = Vec::new();
    // Oldest first, as their months went.
    for purchase in purchases.iter().rev() {
        let month_to_date = months.with(txn, tenant, &organization, purchase).await?;
        let asked = Asked {
            pool: purchase.pool_id,
            credits: purchase.credits,
            total: purchase.total,
            currency: purchase.currency,
            role: roles.get(&purchase.requested_by).copied(),
            month_to_date,
        };
        if let Some(rule) = policy.rule_for(&asked) {
            found.push((purchase, rule));
        }
    }
    let ids: Vec<PurchaseId> = found.iter().map(|(purchase, _)| purchase.id).collect();
    let asked = asked_about(txn, tenant, ids).await?;
    let sent = found.into_iter().rev().map(|(purchase, rule)| SimulatedPurchase {
        purchase: purchase.clone(),
        rule,
        was_asked: asked.contains(&purchase.id),
    });
    let considered = u64::try_from(purchases.len()).unwrap_or(u64::MAX);
    Ok(Ok(Simulated { considered, sent: sent.collect(), truncated }))
}

/// The newest purchases since an instant, newest first, and whether there are more.
async fn newest(txn: &Txn, tenant: Tenant, since: Timestamp) -> Result<(Vec<purchase::Model>, bool)> {
    let rows = tenant
        .find::<purchase::Entity>()
        .filter(purchase::Column::CreatedAt.gte(since))
        .order_by_desc(purchase::Column::CreatedAt)
        .order_by_desc(purchase::Column::Id)
        .limit(MOST_PURCHASES + 1);
    let mut rows = rows.all(txn).await?;
    let most = usize::try_from(MOST_PURCHASES).unwrap_or(usize::MAX);
    let truncated = rows.len() > most;
    rows.truncate(most);
    Ok((rows, truncated))
}

/// Those of some purchases that somebody was asked about.
async fn asked_about(txn: &Txn, tenant: Tenant, purchases: Vec<PurchaseId>) -> Result<BTreeSet<PurchaseId>> {
    let column = approval_request::Column::PurchaseId;
    let rows = tenant.lookup::<approval_request::Entity, _>(txn, column, purchases).await?;
    Ok(rows.into_iter().map(|row| row.purchase_id).collect())
}

/// What the month comes to that purchases are gone through in, one after another.
#[derive(Default)]
struct Months {
    month: Option<Period>,
    /// Where the first one began to be looked at: what came before in its month is asked of the database.
    first: Option<Timestamp>,
    sums: BTreeMap<Currency, i64>,
}

impl Months {
    /// What the month of a purchase came to with it. It counts for those after it when it has not ended unpaid.
    async fn with(
        &mut self,
        txn: &Txn,
        tenant: Tenant,
        organization: &organization::Model,
        purchase: &purchase::Model,
    ) -> Result<i64> {
        let at = purchase.created_at;
        let begins_another = !self.month.is_some_and(|month| month.contains(at));
        if begins_another {
            if self.month.is_none() {
                self.first = Some(at);
            }
            self.month = Some(month_of(organization, at)?);
            self.sums.clear();
        }
        let before = match (self.sums.get(&purchase.currency), self.month, self.first) {
            (Some(sum), ..) => *sum,
            (None, Some(month), Some(first)) if month.start < first => {
                let earlier = Period { start: month.start, end: first };
                bought_in(txn, tenant, purchase.currency, None, earlier).await?
            }
            _ => 0,
        };
        let with_it = before.saturating_add(purchase.total);
        let after = if counts(purchase.state) { with_it } else { before };
        self.sums.insert(purchase.currency, after);
        Ok(with_it)
    }
}
