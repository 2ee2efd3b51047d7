//! The sandbox of an organization: another organization, in which its test keys act. Nothing there is real: its
//! credits are given, nobody belongs to it, and nothing of it touches the organization's own books.
//!
//! Its id follows from the organization's, so there is one, and whoever acts in it needs not look for it. It is made
//! in one transaction, with one pool and some promotional credits. It has its organization's prices, as they are at each
//! moment, and no own ones.

use bursar_domain::Credits;
use bursar_domain::id::PoolId;
use bursar_domain::ledger::{LotClass, Refusal};
use bursar_domain::organization::{OrganizationState, PaymentTerms};
use bursar_entity::organization;
use sea_orm::{EntityTrait, IntoActiveModel};
use serde_json::json;

use crate::audit::{self, Change};
use crate::auth::{Actor, sandbox_id};
use crate::changes;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::ledger::Ledger;
use crate::pools::{self, NewCredits, NewPool};

/// How many credits a sandbox begins with.
pub const SANDBOX_CREDITS: i64 = 1_000;
/// The most characters of a slug that another one is made of: with what follows it is still one.
const SLUG: usize = 55;

/// The sandbox of an organization, made when it is not there.
///
/// # Errors
/// [`Conflict::Taken`] when another organization has the short name that the sandbox would have.
pub async fn sandbox_of(ledger: &Ledger, organization: Tenant, actor: &Actor) -> Result<Tenant> {
    // It belongs to the organization that has been vouched for.
    let sandbox = Tenant::vouched(sandbox_id(organization.id()));
    if exists(ledger, sandbox).await? {
        return Ok(sandbox);
    }
    let snapshot = ledger.context().db.read(organization).await?;
    let row = organization.find::<organization::Entity>().one(&snapshot).await?;
    drop(snapshot);
    let row = row.ok_or(Error::not_found("organization"))?;
    if row.state == OrganizationState::Suspended {
        return Err(Error::Refused(Refusal::OrganizationSuspended));
    }
    if row.sandbox_of.is_some() {
        return Err(Error::conflict(Conflict::State, "mode", "A sandbox has no sandbox."));
    }
    let (books, actor, row) = (ledger.clone(), actor.clone(), of(ledger, &row, sandbox));
    let work = db::work(move |txn| {
        let (books, actor, row) = (books.clone(), actor.clone(), row.clone());
        Box::pin(async move { make(txn, &books, (sandbox, &actor), row).await })
    });
    match ledger.context().db.write(sandbox, work).await {
        Ok(committed) => {
            ledger.context().changes.announce(&committed);
            Ok(sandbox)
        }
        // Somebody else may have made it at the same time.
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            match exists(ledger, sandbox).await? {
                true => Ok(sandbox),
                false => {
                    let reason = "Another organization has the short name that the sandbox would have.";
                    Err(Error::conflict(Conflict::Taken, "mode", reason))
                }
            }
        }
        Err(error) => Err(error),
    }
}

async fn exists(ledger: &Ledger, sandbox: Tenant) -> Result<bool> {
    let snapshot = ledger.context().db.read(sandbox).await?;
    Ok(sandbox.find::<organization::Entity>().one(&snapshot).await?.is_some())
}

/// What the sandbox of an organization is to be.
fn of(ledger: &Ledger, row: &organization::Model, sandbox: Tenant) -> organization::Model {
    let begin: String = row.slug.chars().take(SLUG).collect();
    let clock = &ledger.context().clock;
    organization::Model {
        id: sandbox.id(),
        slug: format!("{begin}-sandbox"),
        name: row.name.clone(),
        time_zone: row.time_zone.clone(),
        currency: row.currency,
        state: OrganizationState::Active,
        payment_terms: PaymentTerms::Prepaid,
        credit_limit: None,
        created_at: clock.now(),
        revision: 1,
        sandbox_of: Some(row.id),
    }
}

/// Makes the organization, its pool, and what is in it. Answers what is to be announced.
async fn make(
    txn: &Txn,
    books: &Ledger,
    (sandbox, actor): (Tenant, &Actor),
    row: organization::Model,
) -> Result<Vec<changes::Change>> {
    let clock = &books.context().clock;
    let facts = json!({ "slug": row.slug, "timeZone": row.time_zone });
    let id = row.id;
    organization::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
    audit::record(txn, sandbox, clock, actor, Change::created("createOrganization", id, facts)).await?;
    let new = NewPool { name: "Sandbox".to_owned(), allowed_services: None };
    let pool: PoolId = pools::create_in(txn, (sandbox, actor), clock, new).await?.id;
    let credits = Credits::new(SANDBOX_CREDITS).ok_or_else(|| Error::internal("a sandbox of no credits"))?;
    let credits = NewCredits {
        department: None,
        credits,
        class: LotClass::Promotional,
        priority: None,
        expires_at: None,
        cost: None,
    };
    let given = pools::grant_in(books, txn, (sandbox, actor), pool, (credits, "sandbox")).await?;
    Ok(given.1)
}
