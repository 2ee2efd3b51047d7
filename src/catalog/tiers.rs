//! Volume tiers: what a credit costs anybody from so many credits on, in each currency. Each version is a whole list.

use bursar_domain::id::PriceListId;
use bursar_domain::pricing::{MAX_PURCHASE, UnitPrice};
use bursar_domain::{Credits, Currency, Timestamp};
use bursar_entity::{price_list, price_tier};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};
use serde_json::{Value, json};

use super::{begins, begins_already, lifetime, once};
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};

/// The most tiers of a list.
const MAX_TIERS: usize = 50;

/// What a credit costs from so many credits on.
#[derive(Clone, Debug)]
pub struct Tier {
    /// From how many credits on.
    pub from_credits: Credits,
    /// What a credit costs.
    pub unit_price: UnitPrice,
    /// For how many days the credits can be used; none: for ever.
    pub lifetime_days: Option<i64>,
}

/// The volume tiers in a currency.
#[derive(Clone, Debug)]
pub struct SaveTiers {
    /// The currency.
    pub currency: Currency,
    /// The tiers, from the smallest quantity up. None: there are no volume prices any more.
    pub tiers: Vec<Tier>,
    /// From when on; none: at once.
    pub effective_from: Option<Timestamp>,
}

/// A version of the volume tiers.
#[derive(Clone, Debug)]
pub struct Tiers {
    /// The version.
    pub list: price_list::Model,
    /// The tiers, from the smallest quantity up.
    pub tiers: Vec<price_tier::Model>,
}

/// Saves a new version of the volume tiers in a currency.
pub async fn save_tiers(context: &Context, actor: &Actor, save: SaveTiers) -> Result<Tiers> {
    let save = SaveTiers { tiers: checked(save.tiers)?, ..save };
    let (actor, clock) = (actor.clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (save, actor, clock) = (save.clone(), actor.clone(), clock.clone());
        Box::pin(async move { save_in(txn, &actor, &clock, save).await })
    });
    once(context, Tenant::vendor(), false, work).await
}

/// Each tier begins above the one before it, and costs less.
fn checked(tiers: Vec<Tier>) -> Result<Vec<Tier>> {
    if tiers.len() > MAX_TIERS {
        return Err(Error::invalid("tiers", format!("must be at most {MAX_TIERS}")));
    }
    let mut before: Option<&Tier> = None;
    for (index, tier) in tiers.iter().enumerate() {
        let field = |name: &str| format!("tiers.{index}.{name}");
        if tier.from_credits.is_zero() || tier.from_credits > MAX_PURCHASE {
            return Err(Error::invalid(field("fromCredits"), format!("must be from 1 to {MAX_PURCHASE}")));
        }
        if before.is_some_and(|before| before.from_credits >= tier.from_credits) {
            return Err(Error::invalid(field("fromCredits"), "must be more than that of the tier before it"));
        }
        if before.is_some_and(|before| before.unit_price <= tier.unit_price) {
            return Err(Error::invalid(field("unitPrice"), "must be less than that of the tier before it"));
        }
        lifetime(field("lifetimeDays"), tier.lifetime_days)?;
        before = Some(tier);
    }
    Ok(tiers)
}

async fn save_in(txn: &Txn, actor: &Actor, clock: &Clock, save: SaveTiers) -> Result<Tiers> {
    let now = clock.now();
    let from = begins(save.effective_from, now)?;
    let same = price_list::Entity::find()
        .filter(price_list::Column::Currency.eq(save.currency))
        .filter(price_list::Column::EffectiveFrom.eq(from));
    if same.one(txn).await?.is_some() {
        return Err(begins_already());
    }
    let before = tiers(txn, save.currency, from).await?;
    let list = price_list::Model {
        id: clock.new_id::<PriceListId>(),
        currency: save.currency,
        effective_from: from,
        created_at: now,
    };
    price_list::Entity::insert(list.clone().into_active_model()).exec_without_returning(txn).await?;
    let mut saved = Vec::with_capacity(save.tiers.len());
    for tier in save.tiers {
        let row = price_tier::Model {
            price_list_id: list.id,
            from_credits: tier.from_credits,
            unit_price: tier.unit_price,
            lifetime_days: tier.lifetime_days,
        };
        price_tier::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
        saved.push(row);
    }
    let is = json!({
        "currency": list.currency.code(),
        "tiers": facts(&saved),
        "effectiveFrom": from.micros(),
    });
    let was = json!({ "currency": list.currency.code(), "tiers": facts(&before) });
    let change = Change::updated("saveVolumeTiers", list.id, was, is);
    audit::record(txn, Tenant::vendor(), clock, actor, change).await?;
    Ok(Tiers { list, tiers: saved })
}

fn facts(tiers: &[price_tier::Model]) -> Vec<Value> {
    let tier = |row: &price_tier::Model| {
        json!({
            "fromCredits": row.from_credits.get(),
            "unitPriceMillionths": row.unit_price.get(),
            "lifetimeDays": row.lifetime_days,
        })
    };
    tiers.iter().map(tier).collect()
}

/// The volume tiers in a currency that hold at an instant, from the smallest quantity up.
pub async fn tiers(txn: &Txn, currency: Currency, at: Timestamp) -> Result<Vec<price_tier::Model>> {
    let list = price_list::Entity::find()
        .filter(price_list::Column::Currency.eq(currency))
        .filter(price_list::Column::EffectiveFrom.lte(at))
        .order_by_desc(price_list::Column::EffectiveFrom);
    let Some(list) = list.one(txn).await? else { return Ok(Vec::new()) };
    let tiers = price_tier::Entity::find()
        .filter(price_tier::Column::PriceListId.eq(list.id))
        .order_by_asc(price_tier::Column::FromCredits);
    Ok(tiers.all(txn).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tier_begins_above_the_one_before_and_costs_less() {
        let refused = |tiers: &[(i64, i64)]| {
            let tier = |(from, unit): &(i64, i64)| Tier {
                from_credits: Credits::new(*from).unwrap(),
                unit_price: UnitPrice::new(*unit).unwrap(),
                lifetime_days: None,
            };
            match checked(tiers.iter().map(tier).collect()) {
                Ok(_) => None,
                Err(Error::Invalid { field, .. }) => Some(field.into_owned()),
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(refused(&[]), None);
        assert_eq!(refused(&[(1, 30), (10, 20), (11, 19)]), None);
        assert_eq!(refused(&[(0, 30)]).as_deref(), Some("tiers.0.fromCredits"));
        assert_eq!(refused(&[(10, 30), (10, 20)]).as_deref(), Some("tiers.1.fromCredits"));
        assert_eq!(refused(&[(1, 30), (10, 30)]).as_deref(), Some("tiers.1.unitPrice"));
        assert_eq!(refused(&[(2_000_000_000, 30)]).as_deref(), Some("tiers.0.fromCredits"));
    }
}
