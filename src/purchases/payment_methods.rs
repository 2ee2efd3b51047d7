//! Ways of paying that are used without anybody being there, and the consent that this takes.
//!
//! Somebody who may set the automatic top-up gets the address of our page, as with a checkout, and a mail with a code. The
//! page shows what is agreed to, word for word; agreeing is a POST with that code, so that it is they who agree (see
//! `consent_code`). In the sandbox that is all; elsewhere it leads on to the provider, where the way of paying is given, and
//! counts from when the provider tells ([`method_told`]). One that was withdrawn, or replaced by another, is never charged
//! again.
//!
//! # Order of locks
//! The row of the top-up, then its ways of paying by their ids, whoever writes one ([`lock_methods`]).

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, PaymentMethodId};
use bursar_domain::ledger::Refusal;
use bursar_domain::purchase::PaymentProvider;
use bursar_entity::{auto_top_up, organization, payment_method, pool};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set, Unchanged};
use serde_json::json;

use super::Selling;
use super::consent_code::{WRONG_CODES, show_code};
use super::settle::Outcome;
use super::timed::{TOP_UP, be_due};
use super::top_up_settings::{find_top_up, lock_top_up, with_consent, write_top_up};
use crate::audit::{self, Change};
use crate::auth::{Actor, Keys};
use crate::catalog;
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::global_id;
use crate::payments::{ASKS, DECLINES, ProviderError, SetupOrder};

/// The customer of the sandbox.
const SANDBOX: &str = "sandbox";
/// The way of paying of the sandbox that pays.
const PAYS: &str = "sandbox_pays";

/// The address of a page on which somebody agrees, below the server's own.
#[derive(Clone, PartialEq, Eq)]
pub struct ConsentLink {
    /// The organization.
    pub organization: String,
    /// The way of paying.
    pub method: String,
    /// The proof that Bursar made the address: a MAC over the two.
    pub token: String,
}

/// Without the proof.
impl std::fmt::Debug for ConsentLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConsentLink({})", about(&self.organization, &self.method))
    }
}

impl ConsentLink {
    /// The address of the page of a way of paying.
    pub fn new(keys: &Keys, method: &payment_method::Model) -> ConsentLink {
        let (organization, id) = (global_id::encode(method.organization_id), global_id::encode(method.id));
        let token = keys.link_token(&about(&organization, &id));
        ConsentLink { organization, method: id, token }
    }

    /// The path.
    pub fn path(&self) -> String {
        format!("/consent/{}/{}/{}", self.organization, self.method, self.token)
    }

    /// The organization and way of paying of an address that Bursar made; of any other, nothing is found.
    fn resolve(&self, keys: &Keys) -> Result<(Tenant, PaymentMethodId)> {
        let not_found = || Error::not_found("agreement");
        if !keys.is_link_token(&about(&self.organization, &self.method), &self.token) {
            return Err(not_found());
        }
        let organization: OrganizationId = global_id::decode(&self.organization).ok_or_else(not_found)?;
        let method = global_id::decode(&self.method).ok_or_else(not_found)?;
        // The address proves that Bursar gave it out for this organization's way of paying.
        Ok((Tenant::vouched(organization), method))
    }
}

/// What an address is about: its proof, and the code of its mail, are made of that.
pub(super) fn about(organization: &str, method: &str) -> String {
    format!("consent {organization} {method}")
}

/// What the page shows.
#[derive(Clone, Debug)]
pub struct Consent {
    /// The way of paying, and what is agreed to.
    pub method: payment_method::Model,
    /// How the pool buys by itself.
    pub top_up: auto_top_up::Model,
    /// The pool.
    pub pool: pool::Model,
    /// The organization.
    pub organization: organization::Model,
    /// Whether the provider that takes the money now is the one that it is for.
    pub current_provider: bool,
}

impl Consent {
    /// Whether a wrong code was given too often.
    pub fn is_spent(&self) -> bool {
        self.method.wrong_codes >= WRONG_CODES
    }

    /// Whether it can be agreed to.
    pub fn is_open(&self) -> bool {
        let asked =
            self.method.consented_at.is_none() && self.method.removed_at.is_none() && !self.is_spent();
        asked && self.top_up.payment_method_id == Some(self.method.id) && self.current_provider
    }
}

/// The ways of paying of the sandbox, so that each of them can be tried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxMethod {
    /// It pays.
    Pays,
    /// It is declined.
    Declines,
    /// The bank wants its owner to be there.
    Asks,
}

impl SandboxMethod {
    /// The sandbox's own name of it, and what people know it by.
    fn named(self) -> (&'static str, &'static str) {
        match self {
            SandboxMethod::Pays => (PAYS, "Sandbox card that pays"),
            SandboxMethod::Declines => (DECLINES, "Sandbox card that is declined"),
            SandboxMethod::Asks => (ASKS, "Sandbox card whose bank asks"),
        }
    }
}

/// What has come of agreeing.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// What the page shows now.
    pub consent: Consent,
    /// Where the way of paying is given; none: it is given.
    pub continue_at: Option<String>,
}

/// What a provider has said of a way of paying that was given.
#[derive(Clone, Debug)]
struct Given {
    customer: String,
    method: String,
    label: String,
    session: Option<String>,
}

/// A way of paying.
pub(super) async fn find_method(
    txn: &Txn,
    tenant: Tenant,
    id: PaymentMethodId,
) -> Result<Option<payment_method::Model>> {
    let row = tenant.find::<payment_method::Entity>().filter(payment_method::Column::Id.eq(id));
    Ok(row.one(txn).await?)
}

/// A way of paying that is to be written, with what has to be locked for that, in this order: the row of the top-up, then
/// the ways of paying of its pool by their ids. Those that nobody may use any more are left out, but for the one itself.
pub(super) struct LockedMethods {
    pub(super) top_up: auto_top_up::Model,
    pub(super) method: payment_method::Model,
    /// The others of the pool that may still be used.
    others: Vec<payment_method::Model>,
}

/// Locks them.
///
/// # Errors
/// [`Error::NotFound`] when there is no such way of paying; what the database answers.
pub(super) async fn lock_methods(txn: &Txn, tenant: Tenant, id: PaymentMethodId) -> Result<LockedMethods> {
    let missing = || Error::not_found("agreement");
    // Of which pool it is never changes; everything else is read with the locks.
    let pool = find_method(txn, tenant, id).await?.ok_or_else(missing)?.pool_id;
    let top_up = lock_top_up(txn, tenant, pool).await?.ok_or_else(missing)?;
    let of_use = Condition::any()
        .add(payment_method::Column::RemovedAt.is_null())
        .add(payment_method::Column::Id.eq(id));
    let rows = tenant
        .find::<payment_method::Entity>()
        .filter(payment_method::Column::PoolId.eq(pool))
        .filter(of_use)
        .order_by_asc(payment_method::Column::Id)
        .lock_exclusive();
    let (own, others) = rows.all(txn).await?.into_iter().partition::<Vec<_>, _>(|row| row.id == id);
    let method = own.into_iter().next().ok_or_else(missing)?;
    Ok(LockedMethods { top_up, method, others })
}

/// What is said when a way of paying has been agreed to, withdrawn or replaced meanwhile.
fn closed() -> Error {
    Error::conflict(Conflict::State, None, "Nothing can be agreed to here any more.")
}

/// Whether it may be charged: somebody has agreed, and nobody has withdrawn that.
pub(super) fn is_usable(method: &payment_method::Model) -> bool {
    method.consented_at.is_some() && method.removed_at.is_none()
}

/// Does not let it be used any more. The row of its top-up is locked.
pub(super) async fn remove(txn: &Txn, method: &payment_method::Model, now: Timestamp) -> Result<()> {
    write(txn, &payment_method::Model { removed_at: Some(now), ..method.clone() }).await
}

/// Writes what can change of a way of paying. The row of its top-up is locked.
async fn write(txn: &Txn, row: &payment_method::Model) -> Result<()> {
    let row = payment_method::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        customer: Set(row.customer.clone()),
        method: Set(row.method.clone()),
        session: Set(row.session.clone()),
        label: Set(row.label.clone()),
        consented_at: Set(row.consented_at),
        removed_at: Set(row.removed_at),
        ..Default::default()
    };
    payment_method::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Looks up what the page of an address shows. Changes nothing.
pub async fn find_consent(selling: &Selling, link: &ConsentLink) -> Result<Consent> {
    let (tenant, id) = link.resolve(&selling.keys)?;
    let snapshot = selling.context().db.read(tenant).await?;
    read(&snapshot, selling, tenant, id).await
}

async fn read(txn: &Txn, selling: &Selling, tenant: Tenant, id: PaymentMethodId) -> Result<Consent> {
    let missing = || Error::not_found("agreement");
    let method = find_method(txn, tenant, id).await?.ok_or_else(missing)?;
    let top_up = find_top_up(txn, tenant, method.pool_id).await?.ok_or_else(missing)?;
    let pool = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(method.pool_id)).one(txn).await?;
    let pool = pool.ok_or_else(missing)?;
    let organization = tenant.find::<organization::Entity>().one(txn).await?.ok_or_else(missing)?;
    let current_provider = method.provider == selling.taker(&organization);
    Ok(Consent { method, top_up, pool, organization, current_provider })
}

/// Agrees. `chosen` is the way of paying of the sandbox; elsewhere the provider asks for one. `code` is the one of the mail
/// to whoever was asked. Agreeing again, from another tab or by a reload, finds it done.
///
/// # Errors
/// [`Error::Invalid`] at `code` when it is wrong, [`Error::NotFound`] for an address that Bursar did not make,
/// [`Error::Conflict`] when it cannot be agreed to any more, [`Error::Unavailable`] when the provider cannot be asked; what
/// the database answers.
pub async fn agree(
    selling: &Selling,
    link: &ConsentLink,
    (chosen, code): (SandboxMethod, &str),
    origin: Option<String>,
) -> Result<Agreed> {
    let (tenant, id) = link.resolve(&selling.keys)?;
    let consent = find_consent(selling, link).await?;
    if consent.method.consented_at.is_some() {
        return Ok(Agreed { consent, continue_at: None });
    }
    if !consent.is_open() {
        return Err(closed());
    }
    show_code(selling, link, (tenant, id), code, origin.clone()).await?;
    if consent.method.provider == PaymentProvider::Sandbox {
        let (method, label) = chosen.named();
        let (customer, method, label) = (SANDBOX.to_owned(), method.to_owned(), label.to_owned());
        give(selling, tenant, id, Given { customer, method, label, session: None }, origin).await?;
        return Ok(Agreed { consent: find_consent(selling, link).await?, continue_at: None });
    }
    let order = SetupOrder {
        method: link.method.clone(),
        organization: link.organization.clone(),
        name: consent.organization.name.clone(),
        currency: catalog::currency(&consent.organization, None)?,
        page: selling.link(&link.path()),
    };
    let opened = selling.payments.active().open_setup(&order).await.map_err(unreachable)?;
    let session = opened.session;
    let work = db::work(move |txn| {
        let session = session.clone();
        Box::pin(async move {
            let LockedMethods { top_up, method, .. } = lock_methods(txn, tenant, id).await?;
            if method.consented_at.is_some() {
                // By another tab, while the provider was asked.
                return Ok(false);
            }
            if method.removed_at.is_some() || top_up.payment_method_id != Some(id) {
                return Err(closed());
            }
            write(txn, &payment_method::Model { session, ..method }).await?;
            Ok(true)
        })
    });
    let asks = selling.context().db.write(tenant, work).await?;
    Ok(Agreed { consent: find_consent(selling, link).await?, continue_at: asks.then_some(opened.url) })
}

/// Withdraws what was agreed to, or says no: the way of paying is not charged any more. Doing it again changes nothing.
pub async fn withdraw(selling: &Selling, link: &ConsentLink, origin: Option<String>) -> Result<Consent> {
    let (tenant, id) = link.resolve(&selling.keys)?;
    let clock = selling.context().clock.clone();
    let work = db::work(move |txn| {
        let (clock, actor) = (clock.clone(), Actor::system(origin.clone()));
        Box::pin(async move {
            let now = clock.now();
            let LockedMethods { top_up, method, .. } = lock_methods(txn, tenant, id).await?;
            if method.removed_at.is_some() {
                return Ok(());
            }
            remove(txn, &method, now).await?;
            if top_up.payment_method_id == Some(id) {
                write_top_up(txn, &with_consent(top_up, false, now)).await?;
            }
            let (was, is) = (json!({ "removed": false }), json!({ "removed": true }));
            let change = Change::updated("withdrawTopUpConsent", id, was, is);
            audit::record(txn, tenant, &clock, &actor, change).await
        })
    });
    selling.context().db.write(tenant, work).await?;
    find_consent(selling, link).await
}

/// A provider tells that a way of paying was given in a session of ours. What was given is asked for by its name.
///
/// # Errors
/// [`Error::Unavailable`] when the provider cannot be asked now; what the database answers. Then it is told again.
pub(super) async fn method_told(
    selling: &Selling,
    provider: PaymentProvider,
    session: String,
    organization: Option<String>,
    ours: Option<String>,
    intent: String,
    origin: Option<String>,
) -> Result<Outcome> {
    let ids = organization.as_deref().and_then(global_id::decode::<OrganizationId>);
    let ids = ids.zip(ours.as_deref().and_then(global_id::decode::<PaymentMethodId>));
    let (Some((owner, id)), Some(asked)) = (ids, selling.payments.of(provider)) else {
        // It is not from here.
        return Ok(Outcome::Ignored);
    };
    let setup = match asked.find_setup(&session, &intent).await {
        Ok(setup) => setup,
        Err(error @ ProviderError::Unreachable(_)) => return Err(unreachable(error)),
        Err(error) => {
            tracing::warn!(%error, "a way of paying was told of that the provider does not know");
            return Ok(Outcome::Ignored);
        }
    };
    if setup.organization != organization || setup.ours != ours {
        tracing::warn!("a way of paying names something else than the message about it");
        return Ok(Outcome::Ignored);
    }
    // The provider, which signs what it tells, has the names from us.
    let tenant = Tenant::vouched(owner);
    let (customer, method, label) = (setup.customer, setup.method, setup.label);
    let given = Given { customer, method, label, session: Some(setup.session) };
    match give(selling, tenant, id, given, origin).await {
        Ok(true) => Ok(Outcome::Recorded),
        Ok(false) => Ok(Outcome::Already),
        // Nothing has been paid, so nothing is lost: it is asked for again when the organization may act again.
        Err(
            Error::NotFound { .. } | Error::Conflict { .. } | Error::Refused(Refusal::OrganizationSuspended),
        ) => Ok(Outcome::Ignored),
        Err(error) => Err(error),
    }
}

/// Writes down a way of paying that was agreed to and given; others of the pool are not used any more. Answers whether
/// that is new.
async fn give(
    selling: &Selling,
    tenant: Tenant,
    id: PaymentMethodId,
    given: Given,
    origin: Option<String>,
) -> Result<bool> {
    let own = selling.clone();
    let work = db::work(move |txn| {
        let (own, given, actor) = (own.clone(), given.clone(), Actor::system(origin.clone()));
        Box::pin(async move { give_in(txn, (tenant, &actor), &own, id, given).await })
    });
    selling.context().db.write(tenant, work).await
}

async fn give_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    selling: &Selling,
    id: PaymentMethodId,
    given: Given,
) -> Result<bool> {
    let clock = &selling.context().clock;
    let organization = tenant.find::<organization::Entity>().one(txn).await?;
    let taker = selling.taker(&organization.ok_or(Error::not_found("organization"))?);
    let now = clock.now();
    let LockedMethods { top_up, method: before, others } = lock_methods(txn, tenant, id).await?;
    let pool = before.pool_id;
    if before.consented_at.is_some() {
        return Ok(false);
    }
    if before.removed_at.is_some() || before.provider != taker || top_up.payment_method_id != Some(id) {
        return Err(closed());
    }
    for other in &others {
        remove(txn, other, now).await?;
    }
    let Given { customer, method, label, session } = given;
    let by = before.consented_by;
    let after = payment_method::Model {
        customer: Some(customer),
        method: Some(method),
        label: Some(label),
        session: session.or_else(|| before.session.clone()),
        consented_at: Some(now),
        ..before
    };
    write(txn, &after).await?;
    write_top_up(txn, &with_consent(top_up, true, now)).await?;
    be_due(txn, tenant, TOP_UP, pool, now).await?;
    let is = json!({ "consented": true, "label": after.label, "provider": after.provider.as_str() });
    let change = Change::updated("agreeToTopUp", id, json!({ "consented": false }), is);
    audit::record(txn, tenant, clock, actor, change.on_behalf_of(Some(by))).await?;
    Ok(true)
}

/// A provider's refusal, for who waits for it.
fn unreachable(error: ProviderError) -> Error {
    tracing::warn!(%error, "a way of paying cannot be set up");
    Error::Unavailable("The payment provider cannot do this now.")
}
