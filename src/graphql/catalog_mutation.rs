//! What the vendor sells, and at which prices: for everybody, and for one organization.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use bursar_domain::permission::Action;
use bursar_entity::organization::Model as OrganizationRow;

use super::catalog::{Package, Service};
use super::errors::{ApiError, UserError, user_error};
use super::money::{MoneyInput, unit_price};
use super::price::{ContractPrice, VolumeTier};
use super::scalars::{CreditsScalar, CurrencyCode, DateTime, Decimal};
use super::{Request, organization, signed_in};
use crate::auth::Authorized;
use crate::catalog::{
    self, ContractTerms, OrganizationPrice, SavePackage, SaveService, SaveTiers, Tier, Tiers,
};
use crate::error::Error;

/// A service as it is to be. What is left out stays.
#[derive(InputObject)]
pub struct SaveServiceInput {
    /// Its code. One that is not known makes a new service, which needs a name and credits.
    code: String,
    /// Its name.
    name: Option<String>,
    /// Credits per unit.
    credits: Option<CreditsScalar>,
    /// From when on it costs that. Left out: at once.
    effective_from: Option<DateTime>,
    /// For how many days after a charge customers may refund it by themselves. Null: there is no guarantee.
    guarantee_days: MaybeUndefined<i32>,
    /// How many such refunds an organization has in a month. Null: any number.
    guarantee_quota: MaybeUndefined<i32>,
}

/// A package as it is to be.
#[derive(InputObject)]
pub struct SavePackageInput {
    /// Its code. One that is not known makes a new package, which needs a name.
    code: String,
    /// Its name. Left out: it stays.
    name: Option<String>,
    /// How many credits; the least, when the price is custom.
    credits: CreditsScalar,
    /// What it costs, once in each currency that it is sold in. Empty when the price is custom.
    prices: Vec<MoneyInput>,
    /// Whether it is sold at a price agreed on with each customer: then so many credits and more are sold by contract or
    /// quote only.
    #[graphql(default = false)]
    custom_price: bool,
    /// For how many days its credits can be used. Left out: for ever.
    lifetime_days: Option<i32>,
    /// From when on that is so. Left out: at once.
    effective_from: Option<DateTime>,
}

/// What a credit is to cost from so many credits on.
#[derive(InputObject)]
pub struct VolumeTierInput {
    /// From how many credits on: more than the tier before.
    from_credits: CreditsScalar,
    /// What a credit costs: less than in the tier before.
    unit_price: Decimal,
    /// For how many days the credits can be used. Left out: for ever.
    lifetime_days: Option<i32>,
}

/// The volume tiers in a currency, which take the place of all that there were.
#[derive(InputObject)]
pub struct SaveVolumeTiersInput {
    /// The currency.
    currency: CurrencyCode,
    /// The tiers, at most 50, from the smallest quantity up. Empty: there are none any more.
    tiers: Vec<VolumeTierInput>,
    /// From when on they hold. Left out: at once.
    effective_from: Option<DateTime>,
}

/// What a service is to cost an organization.
#[derive(InputObject)]
pub struct SetOrganizationPriceInput {
    /// Which organization.
    organization_id: ID,
    /// The service's code.
    service: String,
    /// Credits per unit. Left out: what the catalog says.
    credits: Option<CreditsScalar>,
    /// From when on. Left out: at once.
    effective_from: Option<DateTime>,
}

/// What a credit is to cost an organization from so many credits on.
#[derive(InputObject)]
pub struct SetContractPriceInput {
    /// Which organization.
    organization_id: ID,
    /// From how many credits on. Of the prices from the same quantity on that hold, the one counts that has begun last:
    /// one with an end is laid over those that began before it, which count again after it.
    from_credits: CreditsScalar,
    /// What a credit costs. Left out: all prices from that quantity on end at `effectiveFrom`, those to come as well.
    unit_price: Option<Decimal>,
    /// The currency. Left out: the organization's.
    currency: Option<CurrencyCode>,
    /// For how many days the credits can be used. Left out: for ever.
    lifetime_days: Option<i32>,
    /// From when on. Left out: at once.
    effective_from: Option<DateTime>,
    /// From when on no more. Left out: it goes on.
    ends_at: Option<DateTime>,
    /// Why.
    reason: Option<String>,
}

/// A service that was saved.
#[derive(SimpleObject)]
pub struct SaveServicePayload {
    /// The service, with the price that was saved.
    service: Option<Service>,
    /// Why it was not saved. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A package that was saved.
#[derive(SimpleObject)]
pub struct SavePackagePayload {
    /// The package, in the version that was saved.
    package: Option<Package>,
    /// Why it was not saved. Empty when it was.
    user_errors: Vec<UserError>,
}

/// Volume tiers that were saved.
#[derive(SimpleObject)]
pub struct SaveVolumeTiersPayload {
    /// The tiers.
    tiers: Option<Vec<VolumeTier>>,
    /// From when on they hold.
    effective_from: Option<DateTime>,
    /// Why they were not saved. Empty when they were.
    user_errors: Vec<UserError>,
}

/// A service at an organization's own price.
#[derive(SimpleObject)]
pub struct SetOrganizationPricePayload {
    /// The service, at the price that was set.
    service: Option<Service>,
    /// Why no price was set. Empty when one was.
    user_errors: Vec<UserError>,
}

/// A price agreed on with an organization.
#[derive(SimpleObject)]
pub struct SetContractPricePayload {
    /// The price, or the one that was in force when it ended.
    contract_price: Option<ContractPrice>,
    /// Why it was not set. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that sets prices.
#[derive(Default)]
pub struct CatalogMutation;

#[Object]
impl CatalogMutation {
    /// Saves a service: a new one, or a new version of its price. For the vendor's staff.
    async fn save_service(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: SaveServiceInput,
    ) -> Option<Result<SaveServicePayload, ApiError>> {
        let outcome = Box::pin(async {
            let (request, vendor) = vendor(ctx).await?;
            let save = SaveService {
                code: input.code,
                name: input.name,
                credits: input.credits.map(|credits| credits.0),
                effective_from: input.effective_from.map(|at| at.0),
                guarantee_days: patch(input.guarantee_days),
                guarantee_quota: patch(input.guarantee_quota),
            };
            catalog::save_service(&request.services.context, vendor.actor(), save).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(SaveServicePayload { service: Some(Service(value)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| SaveServicePayload { service: None, user_errors: vec![error] })
            }
        })
    }

    /// Saves a package: a new one, or a new version. Purchases keep the version that they were requested in. For the
    /// vendor's staff.
    async fn save_package(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: SavePackageInput,
    ) -> Option<Result<SavePackagePayload, ApiError>> {
        let outcome = Box::pin(async {
            let (request, vendor) = vendor(ctx).await?;
            let prices = input.prices.into_iter().enumerate();
            let prices = prices.map(|(index, price)| price.read(&format!("prices.{index}")));
            let save = SavePackage {
                code: input.code,
                name: input.name,
                credits: input.credits.0,
                prices: prices.collect::<Result<_, Error>>()?,
                custom_price: input.custom_price,
                lifetime_days: input.lifetime_days.map(i64::from),
                effective_from: input.effective_from.map(|at| at.0),
            };
            catalog::save_package(&request.services.context, vendor.actor(), save).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(SavePackagePayload { package: Some(Package(value)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| SavePackagePayload { package: None, user_errors: vec![error] })
            }
        })
    }

    /// Saves the volume tiers in a currency: what a credit costs anybody from so many credits on. For the vendor's
    /// staff.
    async fn save_volume_tiers(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What they are to be.")] input: SaveVolumeTiersInput,
    ) -> Option<Result<SaveVolumeTiersPayload, ApiError>> {
        let outcome = Box::pin(async {
            let (request, vendor) = vendor(ctx).await?;
            let currency = input.currency.0;
            let tier = |(index, tier): (usize, VolumeTierInput)| -> Result<Tier, Error> {
                Ok(Tier {
                    from_credits: tier.from_credits.0,
                    unit_price: unit_price(tier.unit_price, currency, &format!("tiers.{index}.unitPrice"))?,
                    lifetime_days: tier.lifetime_days.map(i64::from),
                })
            };
            let save = SaveTiers {
                currency,
                tiers: input.tiers.into_iter().enumerate().map(tier).collect::<Result<_, Error>>()?,
                effective_from: input.effective_from.map(|at| at.0),
            };
            catalog::save_tiers(&request.services.context, vendor.actor(), save).await
        });
        Some(match outcome.await {
            Ok(Tiers { list, tiers }) => {
                let tier = |row| VolumeTier::of(row, list.currency);
                Ok(SaveVolumeTiersPayload {
                    tiers: Some(tiers.into_iter().map(tier).collect()),
                    effective_from: Some(DateTime(list.effective_from)),
                    user_errors: Vec::new(),
                })
            }
            Err(error) => user_error(error).map(|error| SaveVolumeTiersPayload {
                tiers: None,
                effective_from: None,
                user_errors: vec![error],
            }),
        })
    }

    /// Sets what a service costs an organization, from the next charge on or later. For the vendor's staff.
    async fn set_organization_price(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose price, and what it is to be.")] input: SetOrganizationPriceInput,
    ) -> Option<Result<SetOrganizationPricePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let organization = priced(request, &input.organization_id).await?;
            let price = OrganizationPrice {
                service: input.service,
                credits: input.credits.map(|credits| credits.0),
                effective_from: input.effective_from.map(|at| at.0),
            };
            catalog::set_organization_price(&request.services.context, &organization, price).await
        });
        Some(match outcome.await {
            Ok(value) => {
                Ok(SetOrganizationPricePayload { service: Some(Service(value)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| SetOrganizationPricePayload { service: None, user_errors: vec![error] }),
        })
    }

    /// Sets what a credit costs an organization from so many credits on, or ends that. For the vendor's staff.
    async fn set_contract_price(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose price, and what it is to be.")] input: SetContractPriceInput,
    ) -> Option<Result<SetContractPricePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let organization = priced(request, &input.organization_id).await?;
            let wanted = input.currency.map(|currency| currency.0);
            let currency = catalog::currency(&organization, wanted)?;
            let unit = input.unit_price.map(|unit| unit_price(unit, currency, "unitPrice"));
            let terms = ContractTerms {
                from_credits: input.from_credits.0,
                unit_price: unit.transpose()?,
                currency: Some(currency),
                lifetime_days: input.lifetime_days.map(i64::from),
                effective_from: input.effective_from.map(|at| at.0),
                ends_at: input.ends_at.map(|at| at.0),
                reason: input.reason,
            };
            catalog::set_contract_price(&request.services.context, &organization, terms).await
        });
        Some(match outcome.await {
            Ok(row) => Ok(SetContractPricePayload {
                contract_price: Some(ContractPrice(row)),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| SetContractPricePayload { contract_price: None, user_errors: vec![error] }),
        })
    }
}

/// The vendor, for a change of the catalog; the snapshot is closed, since what comes next is a write.
async fn vendor<'c>(ctx: &Context<'c>) -> Result<(&'c Request, Authorized<()>), Error> {
    let request = signed_in(ctx)?;
    let vendor = request.caller()?.vendor(Action::SaveCatalog)?;
    request.snapshots.close().await;
    Ok((request, vendor))
}

/// An organization whose prices the caller sets; the snapshot is closed, since what comes next is a write.
async fn priced(request: &Request, id: &str) -> Result<Authorized<OrganizationRow>, Error> {
    let found = organization::authorized(request, id, Action::SetPrices).await;
    let found = found.map_err(|error| error.at("organizationId"))?;
    request.snapshots.close().await;
    Ok(found)
}

/// What is left out stays; null takes it away.
fn patch(value: MaybeUndefined<i32>) -> Option<Option<i64>> {
    value.map_value(i64::from).into()
}
