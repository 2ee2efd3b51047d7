//! The billing details of an organization, and the terms that it buys on.

use bursar_domain::Money;
use bursar_domain::country::is_country;
use bursar_domain::organization::PaymentTerms;
use bursar_entity::{billing_profile, organization};
use sea_orm::{EntityTrait, IntoActiveModel, Set, Unchanged};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::audit::{self, Change};
use crate::auth::Authorized;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::organizations::lock_for;
use crate::text;

/// In how many days invoices are to be paid, unless something else was agreed on.
pub const DUE_DAYS: i64 = 30;
/// The most days that an invoice may be given.
const MAX_DUE_DAYS: i64 = 365;
/// The most lines about tax.
const MAX_TAX_LINES: usize = 10;
/// The highest rate of a tax, in hundredths of a percent.
const MAX_RATE: i64 = 10_000;

/// What documents say of tax: prices have it in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxLine {
    /// What it is called.
    pub label: String,
    /// Its rate, in hundredths of a percent.
    pub hundredths: i64,
}

/// The billing details of an organization, instead of those that it had.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The name of the company.
    pub name: String,
    /// The postal address, in lines.
    pub address: String,
    /// The country, as ISO 3166-1 alpha-2 names it.
    pub country: Option<String>,
    /// The number that tax offices know it by.
    pub tax_id: Option<String>,
    /// What the buyer wants to see on each document.
    pub reference: Option<String>,
    /// What documents say of tax.
    pub tax_lines: Vec<TaxLine>,
}

/// The terms that an organization buys on: what is none stays as it was.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How it pays.
    pub terms: PaymentTerms,
    /// What it may owe on invoice. Inside: none, as much as it likes.
    pub credit_limit: Option<Option<Money>>,
    /// In how many days invoices are to be paid, by the end of the day; 0: of that on which they are issued.
    pub due_days: Option<i64>,
}

/// Says what documents from now on say of an organization. Those that have been issued stay as they are.
///
/// # Errors
/// What cannot be accepted; what the database answers.
pub async fn set_billing_profile(
    context: &Context,
    organization: &Authorized<organization::Model>,
    profile: Profile,
) -> Result<billing_profile::Model> {
    let profile = checked(profile)?;
    let tax_lines = encode_tax_lines(&profile.tax_lines)?;
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (profile, tax_lines) = (profile.clone(), tax_lines.clone());
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            // Whoever else writes the row has locked the organization as well.
            lock_for(txn, tenant, &actor).await?;
            let before = find(txn, tenant).await?;
            let after = billing_profile::Model {
                organization_id: tenant.id(),
                name: profile.name,
                address: profile.address,
                country: profile.country,
                tax_id: profile.tax_id,
                reference: profile.reference,
                tax_lines,
                due_days: before.as_ref().map_or(DUE_DAYS, |row| row.due_days),
                updated_at: clock.now(),
            };
            put(txn, before.is_some(), &after).await?;
            // Where it is stays in the row: the log is for ever.
            let parts = |row: &billing_profile::Model| json!({ "name": row.name, "country": row.country, "taxLines": row.tax_lines });
            let change = match &before {
                Some(before) => {
                    Change::updated("setBillingProfile", tenant.id(), parts(before), parts(&after))
                }
                None => Change::created("setBillingProfile", tenant.id(), parts(&after)),
            };
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    context.db.write(tenant, work).await
}

/// Says how an organization pays. What is not said stays as it was. A limit fixes the currency of one that has none yet.
///
/// # Errors
/// What cannot be accepted; what the database answers.
pub async fn set_payment_terms(
    context: &Context,
    organization: &Authorized<organization::Model>,
    terms: Terms,
) -> Result<organization::Model> {
    if terms.due_days.is_some_and(|days| !(0..=MAX_DUE_DAYS).contains(&days)) {
        return Err(Error::invalid("dueDays", format!("must be from 0 to {MAX_DUE_DAYS}")));
    }
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            let before = lock_for(txn, tenant, &actor).await?;
            let limit = terms.credit_limit.flatten();
            if let (Some(fixed), Some(limit)) = (before.currency, limit)
                && fixed != limit.currency
            {
                return Err(Error::invalid("creditLimit.currency", format!("must be {fixed}")));
            }
            let after = organization::Model {
                payment_terms: terms.terms,
                credit_limit: terms
                    .credit_limit
                    .map_or(before.credit_limit, |limit| limit.map(|limit| limit.minor)),
                currency: before.currency.or(limit.map(|limit| limit.currency)),
                ..before.clone()
            };
            let row = organization::ActiveModel {
                id: Unchanged(tenant.id()),
                payment_terms: Set(after.payment_terms),
                credit_limit: Set(after.credit_limit),
                currency: Set(after.currency),
                ..Default::default()
            };
            organization::Entity::update(row).exec_without_returning(txn).await?;
            let known = find(txn, tenant).await?;
            let days = known.as_ref().map_or(DUE_DAYS, |row| row.due_days);
            let new_days = terms.due_days.unwrap_or(days);
            if new_days != days {
                let there = known.is_some();
                let unsaid = || billing_profile::Model {
                    organization_id: tenant.id(),
                    name: after.name.clone(),
                    address: String::new(),
                    country: None,
                    tax_id: None,
                    reference: None,
                    tax_lines: "[]".to_owned(),
                    due_days: new_days,
                    updated_at: clock.now(),
                };
                let row = known.map(|row| billing_profile::Model { due_days: new_days, ..row });
                put(txn, there, &row.unwrap_or_else(unsaid)).await?;
            }
            let facts = |row: &organization::Model, days: i64| {
                json!({
                    "terms": row.payment_terms.as_str(),
                    "creditLimitMinor": row.credit_limit,
                    "currency": row.currency.map(|currency| currency.code().to_owned()),
                    "dueDays": days,
                })
            };
            let (was, is) = (facts(&before, days), facts(&after, new_days));
            let change = Change::updated("setPaymentTerms", tenant.id(), was, is);
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    context.db.write(tenant, work).await
}

/// The billing details as they are stored.
pub(super) async fn find(txn: &Txn, tenant: Tenant) -> Result<Option<billing_profile::Model>> {
    Ok(tenant.find::<billing_profile::Entity>().one(txn).await?)
}

async fn put(txn: &Txn, there: bool, row: &billing_profile::Model) -> Result<()> {
    if there {
        let row = billing_profile::ActiveModel {
            organization_id: Unchanged(row.organization_id),
            name: Set(row.name.clone()),
            address: Set(row.address.clone()),
            country: Set(row.country.clone()),
            tax_id: Set(row.tax_id.clone()),
            reference: Set(row.reference.clone()),
            tax_lines: Set(row.tax_lines.clone()),
            due_days: Set(row.due_days),
            updated_at: Set(row.updated_at),
        };
        billing_profile::Entity::update(row).exec_without_returning(txn).await?;
    } else {
        billing_profile::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    }
    Ok(())
}

fn checked(profile: Profile) -> Result<Profile> {
    let country = profile.country.map(|country| country.trim().to_owned());
    if country.as_deref().is_some_and(|country| !is_country(country)) {
        let reason = "must be the two capital letters that ISO 3166-1 gives a country";
        return Err(Error::invalid("country", reason));
    }
    if profile.tax_lines.len() > MAX_TAX_LINES {
        return Err(Error::invalid("taxLines", format!("must be at most {MAX_TAX_LINES}")));
    }
    let tax_lines = profile.tax_lines.into_iter().map(|line| {
        if !(0..=MAX_RATE).contains(&line.hundredths) {
            return Err(Error::invalid("taxLines.percent", "must be from 0 to 100"));
        }
        Ok(TaxLine { label: text::name("taxLines.label", &line.label)?, hundredths: line.hundredths })
    });
    Ok(Profile {
        name: text::name("name", &profile.name)?,
        address: text::note("address", &profile.address)?,
        country,
        tax_id: text::optional_name("taxId", profile.tax_id.as_deref())?,
        reference: text::optional_name("reference", profile.reference.as_deref())?,
        tax_lines: tax_lines.collect::<Result<_>>()?,
    })
}

fn encode_tax_lines(lines: &[TaxLine]) -> Result<String> {
    serde_json::to_string(lines).map_err(|error| Error::internal(format!("tax lines: {error}")))
}

/// The lines about tax as they are stored.
///
/// # Errors
/// They cannot be read.
pub fn decode_tax_lines(stored: &str) -> Result<Vec<TaxLine>> {
    serde_json::from_str(stored).map_err(|error| Error::internal(format!("tax lines: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(country: Option<&str>, hundredths: i64) -> Result<Profile> {
        checked(Profile {
            name: " Acme ".to_owned(),
            address: "1 Road\nTown".to_owned(),
            country: country.map(str::to_owned),
            tax_id: None,
            reference: None,
            tax_lines: vec![TaxLine { label: "VAT".to_owned(), hundredths }],
        })
    }

    #[test]
    fn details_are_checked() {
        let good = profile(Some("DE"), 1_900).unwrap();
        assert_eq!((good.name.as_str(), good.country.as_deref()), ("Acme", Some("DE")));
        assert_eq!(decode_tax_lines(&encode_tax_lines(&good.tax_lines).unwrap()).unwrap(), good.tax_lines);
        for (country, hundredths) in
            [(Some("de"), 0), (Some("DEU"), 0), (Some("XX"), 0), (None, -1), (None, 10_001)]
        {
            let refused = profile(country, hundredths);
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{country:?} {hundredths}");
        }
    }
}
