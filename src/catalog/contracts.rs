//! Contract prices: what a credit costs an organization from so many credits on, as agreed on with it.
//!
//! Of those that begin at the same quantity the one counts that has begun last. A new one ends its predecessor.

use std::collections::BTreeMap;

use bursar_domain::id::ContractPriceId;
use bursar_domain::pricing::{MAX_PURCHASE, UnitPrice, versions_at};
use bursar_domain::{Credits, Currency, Timestamp};
use bursar_entity::{contract_price, organization};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Set, Unchanged,
};
use serde_json::{Value, json};

use super::{begins, currency, lifetime};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::text;

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
/// ends.
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
    let currency = currency(&organization, terms.currency)?;
    let now = clock.now();
    let from = begins(terms.effective_from, now)?;
    if terms.ends_at.is_some_and(|end| end <= from) {
        return Err(Error::invalid("endsAt", "must come after effectiveFrom"));
    }
    let rows = tenant
        .find::<contract_price::Entity>()
        .filter(contract_price::Column::Currency.eq(currency))
        .filter(contract_price::Column::FromCredits.eq(terms.from_credits))
        .order_by_asc(contract_price::Column::Id);
    let running = rows.all(txn).await?.into_iter();
    let running: Vec<contract_price::Model> =
        running.filter(|row| row.ends_at.is_none_or(|end| end > from)).collect();
    let Some(unit_price) = terms.unit_price else {
        return end(txn, (tenant, actor), clock, (running, from)).await;
    };
    // What begins later takes over when it does.
    for row in running.iter().filter(|row| row.effective_from <= from) {
        ends(txn, row, from).await?;
    }
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

/// Ends all prices of a quantity at an instant, those that have not begun by then before they do.
async fn end(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    (running, at): (Vec<contract_price::Model>, Timestamp),
) -> Result<contract_price::Model> {
    let first = running.first().cloned();
    let before = first.ok_or_else(|| Error::not_found("contract price").at("fromCredits"))?;
    for row in &running {
        ends(txn, row, at.max(row.effective_from)).await?;
    }
    let after = contract_price::Model { ends_at: Some(at.max(before.effective_from)), ..before.clone() };
    let change = Change::updated("setContractPrice", after.id, facts(&before), facts(&after));
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

/// The contract prices of an organization in a currency that hold at an instant, from the smallest quantity up.
pub(super) async fn holding(
    txn: &Txn,
    tenant: Tenant,
    currency: Currency,
    at: Timestamp,
) -> Result<Vec<contract_price::Model>> {
    let rows = tenant.find::<contract_price::Entity>();
    let rows = rows.filter(contract_price::Column::Currency.eq(currency)).all(txn).await?;
    let rows = rows.into_iter().filter(|row| row.ends_at.is_none_or(|end| end > at));
    let holding: BTreeMap<Credits, contract_price::Model> =
        versions_at(rows, |row| row.from_credits, |row| row.effective_from, at);
    Ok(holding.into_values().collect())
}
