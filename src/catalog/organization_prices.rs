//! What services cost an organization, when that is not what they cost everybody.
//!
//! The database raises the organization's revision with each new price, so that the next batch of the ledger reads them
//! again.

use std::collections::BTreeMap;

use bursar_domain::id::{ServiceId, ServiceVersionId};
use bursar_domain::pricing::versions_at;
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{organization, organization_price};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect};
use serde_json::json;

use super::{Service, begins, begins_already, has_own, once, services};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};

/// What a service is to cost an organization.
#[derive(Clone, Debug)]
pub struct OrganizationPrice {
    /// The service's code.
    pub service: String,
    /// Credits per unit; none: what the catalog says.
    pub credits: Option<Credits>,
    /// From when on; none: at once.
    pub effective_from: Option<Timestamp>,
}

/// Sets what a service costs an organization, and answers the service at that price.
pub async fn set_organization_price(
    context: &Context,
    organization: &Authorized<organization::Model>,
    price: OrganizationPrice,
) -> Result<Service> {
    if price.credits.is_some_and(Credits::is_zero) {
        return Err(Error::invalid("credits", "must be at least 1"));
    }
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (price, actor, clock) = (price.clone(), actor.clone(), clock.clone());
        Box::pin(async move { set_in(txn, (tenant, &actor), &clock, price).await })
    });
    once(context, tenant, false, work).await
}

async fn set_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    price: OrganizationPrice,
) -> Result<Service> {
    // Its revision rises with the new row.
    let locked = tenant.find::<organization::Entity>().lock_exclusive().one(txn).await?;
    let organization = locked.ok_or(Error::not_found("organization").at("organizationId"))?;
    actor.require_standing(txn, &organization).await?;
    has_own(&organization)?;
    let now = clock.now();
    let from = begins(price.effective_from, now)?;
    let known = services(txn, Some(tenant), from).await?;
    let service = known.into_iter().find(|known| known.row.code == price.service);
    let service = service.ok_or_else(|| Error::not_found("service").at("service"))?;
    let rows = tenant
        .find::<organization_price::Entity>()
        .filter(organization_price::Column::ServiceId.eq(service.row.id));
    let rows = rows.all(txn).await?;
    if service.own.as_ref().and_then(|own| own.credits) == price.credits {
        return Ok(service);
    }
    if rows.iter().any(|row| row.effective_from == from) {
        return Err(begins_already());
    }
    let row = organization_price::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<ServiceVersionId>(),
        service_id: service.row.id,
        credits: price.credits,
        effective_from: from,
        created_at: now,
    };
    organization_price::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    let facts = |credits: Option<Credits>, from: Timestamp| {
        json!({
            "service": service.row.code,
            "credits": credits.map(Credits::get),
            "effectiveFrom": from.micros(),
        })
    };
    let was = service.own.as_ref().map(|own| facts(own.credits, own.effective_from));
    let is = facts(row.credits, row.effective_from);
    let change = match was {
        Some(was) => Change::updated("setOrganizationPrice", tenant.id(), was, is),
        None => Change::created("setOrganizationPrice", tenant.id(), is),
    };
    audit::record(txn, tenant, clock, actor, change).await?;
    Ok(Service { own: row.credits.is_some().then_some(row), ..service })
}

/// What services cost an organization at an instant, by service, as far as it has prices of its own. A sandbox has its
/// organization's.
pub(super) async fn own_prices(
    txn: &Txn,
    tenant: Tenant,
    at: Timestamp,
) -> Result<BTreeMap<ServiceId, organization_price::Model>> {
    let priced = db::priced_as(txn, tenant).await?;
    let rows = priced.find::<organization_price::Entity>().all(txn).await?;
    let mut own = versions_at(rows, |row| row.service_id, |row| row.effective_from, at);
    own.retain(|_, row| row.credits.is_some());
    Ok(own)
}
