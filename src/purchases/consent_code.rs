//! Who agrees that a way of paying is charged: the person who was asked, shown by the code that the mail to them has and the
//! page's address does not carry.

use bursar_entity::{auto_top_up, membership, organization, payment_method, pool};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Set, Unchanged};
use serde_json::{Value, json};

use super::Selling;
use super::payment_methods::{ConsentLink, LockedMethods, about, lock_methods};
use super::top_up_settings::write_top_up;
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::clock::Clock;
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::global_id;
use crate::outbox::{self, ConsentFacts, Link, Mail, Template, UserOrAddress};

/// How many wrong codes are taken; then it has to be asked for anew.
pub(super) const WRONG_CODES: i64 = 5;

/// Puts the mail with the page's address and its code into the outbox, for whoever is asked to agree: a member, or
/// somebody of the vendor's staff, whose mail is the vendor's.
pub(super) async fn ask(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    (organization, pool, method): (&organization::Model, &pool::Model, &payment_method::Model),
) -> Result<()> {
    let (owner, id) = (global_id::encode(method.organization_id), global_id::encode(method.id));
    let facts = ConsentFacts {
        organization: organization.name.clone(),
        pool: pool.name.clone(),
        words: method.consent.clone(),
    };
    let mail = Mail {
        to: UserOrAddress::User(method.consented_by),
        template: Template::TopUpConsent,
        facts: Value::from(facts),
        link: Some(Link {
            about: about(&owner, &id),
            path: format!("/consent/{owner}/{id}/{}", Link::PLACE),
        }),
    };
    let member = tenant
        .find::<membership::Entity>()
        .filter(membership::Column::UserId.eq(method.consented_by))
        .one(txn)
        .await?;
    if member.is_some() {
        outbox::append(txn, tenant, clock, mail).await?;
        return Ok(());
    }
    txn.turn_to(Tenant::vendor()).await?;
    outbox::append(txn, Tenant::vendor(), clock, mail).await?;
    txn.turn_to(tenant).await?;
    Ok(())
}

/// What is said once it has been wrong too often.
const SPENT: &str = "A wrong code was given too often. Set the automatic top-up again.";

/// Takes the code that the page was given. A wrong one is counted and recorded, whatever becomes of the rest; none at all is
/// no guess. After the last one the top-up says why nobody can agree.
///
/// # Errors
/// [`Error::Invalid`] at `code`; [`Conflict::State`] when it was wrong too often; what the database answers.
pub(super) async fn show_code(
    selling: &Selling,
    link: &ConsentLink,
    (tenant, id): (Tenant, bursar_domain::id::PaymentMethodId),
    code: &str,
    origin: Option<String>,
) -> Result<()> {
    let wrong = || Error::invalid("code", "is not the code of the mail about this agreement");
    if code.trim().is_empty() {
        return Err(wrong());
    }
    let clock = selling.context().clock.clone();
    let is_good = selling.keys.is_link_code(&about(&link.organization, &link.method), code.trim());
    let work = db::work(move |txn| {
        let (clock, actor) = (clock.clone(), Actor::system(origin.clone()));
        Box::pin(async move {
            let LockedMethods { top_up, method, .. } = lock_methods(txn, tenant, id).await?;
            if method.wrong_codes >= WRONG_CODES {
                return Err(Error::conflict(Conflict::State, None, SPENT));
            }
            if is_good {
                return Ok(());
            }
            let wrong_codes = method.wrong_codes + 1;
            let counted = payment_method::ActiveModel {
                organization_id: Unchanged(method.organization_id),
                id: Unchanged(method.id),
                wrong_codes: Set(wrong_codes),
                ..Default::default()
            };
            payment_method::Entity::update(counted).exec_without_returning(txn).await?;
            if wrong_codes >= WRONG_CODES && top_up.payment_method_id == Some(id) {
                let last_error = Some(SPENT.to_owned());
                write_top_up(txn, &auto_top_up::Model { last_error, ..top_up }).await?;
            }
            let change = Change::created("refuseTopUpConsent", id, json!({ "wrongCodes": wrong_codes }));
            audit::record(txn, tenant, &clock, &actor, change).await
        })
    });
    selling.context().db.write(tenant, work).await?;
    match is_good {
        true => Ok(()),
        false => Err(wrong()),
    }
}
