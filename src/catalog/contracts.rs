//! Contract prices: what a credit costs an organization from so many credits on, as agreed on with it.
//!
//! Each holds from its beginning to its end, as agreed, whatever is agreed on before or after it. Of those that hold at the
//! same quantity the one counts that has begun last, so one with an end is laid over those that began before it, and they
//! count again when it is over. Of two that begin at the same instant the one counts that was set last.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use bursar_domain::id::ContractPriceId;
use bursar_domain::pricing::{MAX_PURCHASE, UnitPrice, versions_at};
use bursar_domain::{Credits, Currency, Timestamp};
use bursar_entity::{contract_price, organization};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Set, Unchanged,
};
use serde_json::{Value, json};

use super::{begins, currency, has_own, lifetime};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::{global_id, text};

/// What is agreed on.
#[derive(Clone, Debug)]
pub struct ContractTerms {
    /// From how many credits on.
    pub from_credits: Credits,
    /// What a credit costs; none: the price with this quantity ends.
    pub unit_price: Option<UnitPrice>,
    /// The currency; none: the organization's.
    pub currency: Option<Currency>,
    /// For how many days the credits can be used; none: for ever.
    pub lifetime_days: Option<i64>,
    /// From when on; none: at once.
    pub effective_from: Option<Timestamp>,
    /// From when on no more; none: it goes on.
    pub ends_at: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
}

/// Sets what a credit costs an organization from so many credits on, or ends that. Answers the new price, or the one that
/// was in force when it ended.
pub async fn set_contract_price(
    context: &Context,
    organization: &Authorized<organization::Model>,
    terms: ContractTerms,
) -> Result<contract_price::Model> {
    if terms.from_credits.is_zero() || terms.from_credits > MAX_PURCHASE {
        return Err(Error::invalid("fromCredits", format!("must be from 1 to {MAX_PURCHASE}")));
    }
    let terms = ContractTerms {
        reason: text::optional_note("reason", terms.reason.as_deref())?,
        lifetime_days: lifetime("lifetimeDays".to_owned(), terms.lifetime_days)?,
        ..terms
    };
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (terms, actor, clock) = (terms.clone(), actor.clone(), clock.clone());
        Box::pin(async move { set_in(txn, (tenant, &actor), &clock, terms).await })
    });
    context.db.write(tenant, work).await
}

async fn set_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    terms: ContractTerms,
) -> Result<contract_price::Model> {
    // Two at once come one after the other.
    let organization = tenant.find::<organization::Entity>().lock_exclusive().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization").at("organizationId"))?;
    actor.require_standing(txn, &organization).await?;
    has_own(&organization)?;
    let currency = currency(&organization, terms.currency)?;
    let now = clock.now();
    let from = begins(terms.effective_from, now)?;
    if terms.ends_at.is_some_and(|end| end <= from) {
        return Err(Error::invalid("endsAt", "must come after effectiveFrom"));
    }
    let Some(unit_price) = terms.unit_price else {
        return end(txn, (tenant, actor), clock, (currency, terms.from_credits, from)).await;
    };
    let row = contract_price::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<ContractPriceId>(),
        from_credits: terms.from_credits,
        unit_price,
        currency,
        lifetime_days: terms.lifetime_days,
        effective_from: from,
        ends_at: terms.ends_at,
        reason: terms.reason,
        created_at: now,
    };
    contract_price::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    let change = Change::created("setContractPrice", row.id, facts(&row));
    audit::record(txn, tenant, clock, actor, change).await?;
    Ok(row)
}

/// Ends all prices of a quantity at an instant, those that have not begun by then before they do. Answers the one that
/// would have been in force at that instant; when none would, the one that was to begin first.
async fn end(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    (currency, from_credits, at): (Currency, Credits, Timestamp),
) -> Result<contract_price::Model> {
    let mut running = rows(txn, tenant, currency).await?;
    // What has ended by then, or ended before it began, stays as it is.
    running.retain(|row| {
        row.from_credits == from_credits && row.ends_at.is_none_or(|end| end > at.max(row.effective_from))
    });
    let first = running.iter().min_by_key(|row| (row.effective_from, Reverse(row.id)));
    let before = in_force(running.clone(), at).remove(&from_credits).or_else(|| first.cloned());
    let before = before.ok_or_else(|| Error::not_found("contract price").at("fromCredits"))?;
    for row in &running {
        ends(txn, row, at.max(row.effective_from)).await?;
    }
    let after = contract_price::Model { ends_at: Some(at.max(before.effective_from)), ..before.clone() };
    let (was, mut is) = (facts(&before), facts(&after));
    let others = running.iter().filter(|row| row.id != before.id);
    is["endedWithIt"] = others.map(|row| global_id::encode(row.id)).collect();
    let change = Change::updated("setContractPrice", after.id, was, is);
    audit::record(txn, tenant, clock, actor, change).await?;
    Ok(after)
}

/// Writes when a price ends.
async fn ends(txn: &Txn, row: &contract_price::Model, at: Timestamp) -> Result<()> {
    let row = contract_price::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        ends_at: Set(Some(at)),
        ..Default::default()
    };
    contract_price::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

fn facts(row: &contract_price::Model) -> Value {
    json!({
        "fromCredits": row.from_credits.get(),
        "unitPriceMillionths": row.unit_price.get(),
        "currency": row.currency.code(),
        "lifetimeDays": row.lifetime_days,
        "effectiveFrom": row.effective_from.micros(),
        "endsAt": row.ends_at.map(Timestamp::micros),
    })
}

/// All contract prices of an organization in a currency, those that were set last first.
async fn rows(txn: &Txn, tenant: Tenant, currency: Currency) -> Result<Vec<contract_price::Model>> {
    let rows = tenant
        .find::<contract_price::Entity>()
        .filter(contract_price::Column::Currency.eq(currency))
        .order_by_desc(contract_price::Column::Id);
    Ok(rows.all(txn).await?)
}

/// Of prices of a currency, those that were set last first, the ones that are in force at an instant, by quantity.
fn in_force(rows: Vec<contract_price::Model>, at: Timestamp) -> BTreeMap<Credits, contract_price::Model> {
    let holding = rows.into_iter().filter(|row| row.ends_at.is_none_or(|end| end > at));
    versions_at(holding, |row| row.from_credits, |row| row.effective_from, at)
}

/// The contract prices of an organization in a currency that are in force at an instant, from the smallest quantity up. A
/// sandbox has its organization's.
pub(super) async fn holding(
    txn: &Txn,
    tenant: Tenant,
    currency: Currency,
    at: Timestamp,
) -> Result<Vec<contract_price::Model>> {
    let rows = rows(txn, db::priced_as(txn, tenant).await?, currency).await?;
    Ok(in_force(rows, at).into_values().collect())
}
