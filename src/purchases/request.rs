//! Requesting a package: pins what is bought and for how much.
//!
//! The organization is locked first, then the pool's head. [`request_in`] does it inside a transaction that
//! has locked the organization, and what comes between the two, before.

use bursar_domain::Currency;
use bursar_domain::id::{CreditRequestId, PoolId, PurchaseId};
use bursar_domain::ledger::Refusal;
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::organization::OrganizationState;
use bursar_domain::purchase::{ApprovalBasis, PurchaseState};
use bursar_entity::{organization, pool, pool_head, purchase};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::json;

use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::catalog;
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::idempotency::Idempotency;
use crate::{global_id, text};

/// For how many days a price holds: as long as an approval may take (7 days), and 72 hours more.
const VALID_DAYS: i64 = 10;

/// What is to be bought.
#[derive(Clone, Debug)]
pub struct PurchaseRequest {
    /// The package's code.
    pub package: String,
    /// Why it is wanted.
    pub note: Option<String>,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// A requested purchase.
#[derive(Clone, Debug)]
pub struct Requested {
    /// The purchase.
    pub purchase: purchase::Model,
    /// Whether it had been requested before, under the same key.
    pub replayed: bool,
}

/// Requests a package for a pool. No policy asks for anybody's consent yet, so the purchase is approved
/// automatically, and recorded so.
pub async fn request(
    context: &Context,
    pool: &Authorized<pool::Model>,
    request: PurchaseRequest,
) -> Result<Requested> {
    let note = text::optional_note("note", request.note.as_deref())?;
    let mut form = Canonical::of("purchase");
    form.id(pool.id).text(&request.package);
    form.option(note.as_deref(), |form, note| _ = form.text(note));
    let idempotency = Idempotency::new("requestPurchase", &request.key, &form);
    let (tenant, dry_run, clock) = (pool.tenant(), request.dry_run, context.clock.clone());
    let wanted = Wanted {
        pool: pool.id,
        package: request.package,
        field: "package",
        note,
        credit_request: None,
        idempotency,
    };
    let actor = pool.actor().clone();
    let work = db::work(move |txn| {
        let (clock, actor, wanted) = (clock.clone(), actor.clone(), wanted.clone());
        Box::pin(async move { request_in(txn, (tenant, &actor), &clock, wanted).await })
    });
    if dry_run {
        return context.db.rehearse(tenant, work).await;
    }
    match context.db.write(tenant, work.clone()).await {
        // The same key at the same time: the other one's purchase can be seen now.
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            context.db.write(tenant, work).await
        }
        outcome => outcome,
    }
}

/// What is to be bought, checked as far as that goes without looking anything up.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// For which pool.
    pub pool: PoolId,
    /// The package's code.
    pub package: String,
    /// The field of the input that names it.
    pub field: &'static str,
    /// Why it is wanted.
    pub note: Option<String>,
    /// The credit request that it answers.
    pub credit_request: Option<CreditRequestId>,
    /// Its key, and what came with it.
    pub idempotency: Idempotency,
}

/// Requests a package inside a transaction.
pub(super) async fn request_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    wanted: Wanted,
) -> Result<Requested> {
    let Wanted { pool, package, field, note, credit_request, idempotency } = wanted;
    let known = purchase::Column::IdempotencyKey.eq(idempotency.key);
    if let Some(purchase) = tenant.find::<purchase::Entity>().filter(known).one(txn).await? {
        if purchase.request_hash != idempotency.request {
            return Err(Error::IdempotencyConflict);
        }
        return Ok(Requested { purchase, replayed: true });
    }
    // A key asks in the name of whoever has made it.
    let Some(requested_by) = actor.answerable() else {
        return Err(Error::Forbidden);
    };
    let organization = tenant.find::<organization::Entity>().lock_exclusive().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    if organization.state == OrganizationState::Suspended {
        return Err(Error::Refused(Refusal::OrganizationSuspended));
    }
    not_archived(txn, tenant, pool).await?;
    let now = clock.now();
    let package = catalog::packages(txn, now).await?.into_iter().find(|known| known.row.code == package);
    let package = package.ok_or(Error::not_found("package").at(field))?;
    // The organization's currency is fixed by its first quote: the dollar, in which all is sold.
    let currency = organization.currency.unwrap_or(Currency::USD);
    let total = package.price(currency).filter(|_| !package.version.custom_price).ok_or_else(|| {
        let reason = format!("{} has no price in {currency}.", package.row.name);
        Error::conflict(Conflict::PriceNotAvailable, field, reason)
    })?;
    if organization.currency.is_none() {
        let row = organization::ActiveModel {
            id: Unchanged(tenant.id()),
            currency: Set(Some(currency)),
            ..Default::default()
        };
        organization::Entity::update(row).exec_without_returning(txn).await?;
    }
    let purchase = purchase::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<PurchaseId>(),
        pool_id: pool,
        package_version_id: package.version.id,
        requested_by,
        state: PurchaseState::Approved,
        approval_basis: Some(ApprovalBasis::Automatic),
        credits: package.version.credits,
        total,
        currency,
        lifetime_days: package.version.lifetime_days,
        valid_until: now.plus_days(VALID_DAYS),
        note,
        idempotency_key: idempotency.key,
        request_hash: idempotency.request,
        created_at: now,
        completed_at: None,
        credit_request_id: credit_request,
    };
    purchase::Entity::insert(purchase.clone().into_active_model()).exec_without_returning(txn).await?;
    let facts = json!({
        "pool": global_id::encode(pool),
        "package": package.row.code,
        "credits": purchase.credits.get(),
        "totalMinor": total,
        "currency": currency.code(),
        "state": purchase.state.as_str(),
        "approval": ApprovalBasis::Automatic.as_str(),
        "creditRequest": credit_request.map(global_id::encode),
    });
    if organization.currency.is_none() {
        let (was, is) = (json!({ "currency": null }), json!({ "currency": currency.code() }));
        let change = Change::updated("fixCurrency", tenant.id(), was, is);
        audit::record(txn, tenant, clock, actor, change).await?;
    }
    let change = Change::created("requestPurchase", purchase.id, facts);
    audit::record(txn, tenant, clock, actor, change).await?;
    Ok(Requested { purchase, replayed: false })
}

/// A pool that is being archived waits for this, or this finds it archived.
async fn not_archived(txn: &Txn, tenant: Tenant, pool: PoolId) -> Result<()> {
    let head = tenant.find::<pool_head::Entity>().filter(pool_head::Column::PoolId.eq(pool));
    head.lock_exclusive().one(txn).await?;
    let row = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(pool)).one(txn).await?;
    match row {
        Some(row) if row.archived_at.is_none() => Ok(()),
        Some(_) => Err(Error::conflict(Conflict::State, "poolId", "The pool has been archived.")),
        None => Err(Error::not_found("pool").at("poolId")),
    }
}
