//! Who is told of quotes by mail: the vendor when one is asked for, whoever asked when it is answered.

use bursar_domain::Money;
use bursar_entity::{membership, organization, pool, quote, user};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::Value;

use crate::clock::Clock;
use crate::db::scope::find_people;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::global_id;
use crate::outbox::{self, Mail, QuoteAnsweredFacts, QuoteRequestedFacts, Template, UserOrAddress};

/// Tells the vendor that a price is asked for. The transaction turns to the vendor, and back.
pub(super) async fn tell_vendor(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    alerts: Option<&str>,
    (organization, pool, quote): (&organization::Model, &pool::Model, &quote::Model),
) -> Result<()> {
    let requester = find_people().filter(user::Column::Id.eq(quote.requested_by)).one(txn).await?;
    let facts = QuoteRequestedFacts {
        id: global_id::encode(quote.id),
        organization: organization.name.clone(),
        requester: requester.map(|person| person.name).unwrap_or_default(),
        pool: pool.name.clone(),
        credits: quote.credits.get(),
        currency: quote.currency.code().to_owned(),
        note: quote.note.clone(),
    };
    txn.turn_to(Tenant::vendor()).await?;
    outbox::append_to_vendor(txn, clock, alerts, Template::QuoteRequested, &Value::from(facts)).await?;
    txn.turn_to(tenant).await?;
    Ok(())
}

/// Tells whoever asked for a price what the answer is, as long as they belong to the organization. In a sandbox nobody is
/// told of anything.
pub(super) async fn tell_requester(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    quote: &quote::Model,
) -> Result<()> {
    let organization = tenant.find::<organization::Entity>().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let member = tenant
        .find::<membership::Entity>()
        .filter(membership::Column::UserId.eq(quote.requested_by))
        .one(txn)
        .await?;
    if member.is_none() || organization.sandbox_of.is_some() {
        return Ok(());
    }
    let facts = QuoteAnsweredFacts {
        id: global_id::encode(quote.id),
        organization: organization.name,
        credits: quote.credits.get(),
        total: quote.total.map(|minor| Money { minor, currency: quote.currency }.to_string()),
        valid_until: quote.valid_until,
        answer: quote.answer.clone(),
    };
    let to = UserOrAddress::User(quote.requested_by);
    let mail = Mail { to, template: Template::QuoteAnswered, facts: Value::from(facts), link: None };
    outbox::append(txn, tenant, clock, mail).await?;
    Ok(())
}
