//! Founding an organization, with its first owner.

use bursar_domain::Currency;
use bursar_domain::id::{MembershipId, OrganizationId};
use bursar_domain::organization::{OrganizationState, PaymentTerms, Role, valid_slug};
use bursar_entity::{membership, organization};
use sea_orm::{EntityTrait, IntoActiveModel};
use serde_json::json;

use super::{person, still_known, time_zone};
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::context::Context;
use crate::db::{self, Fault, Scope, Tenant, fault};
use crate::error::{Conflict, Error, Result};
use crate::{global_id, text};

/// What a new organization is to be.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    /// Its short name in addresses, unique among all.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// The IANA zone in which its months begin.
    pub time_zone: String,
    /// What it pays in; none: what its first quote is in.
    pub currency: Option<Currency>,
    /// The address of its first owner.
    pub owner_email: String,
    /// What to call the owner, when Bursar does not know the person yet.
    pub owner_name: Option<String>,
}

/// Founds an organization. The caller has been found to be allowed to.
pub async fn create(context: &Context, actor: &Actor, new: NewOrganization) -> Result<organization::Model> {
    if !valid_slug(&new.slug) {
        let reason = "must have 1 to 63 lower-case letters, digits or inner hyphens";
        return Err(Error::invalid("slug", reason));
    }
    let owner = text::email("ownerEmail", &new.owner_email)?;
    let row = organization::Model {
        id: context.clock.new_id::<OrganizationId>(),
        slug: new.slug,
        name: text::name_in_mail("name", &new.name)?,
        time_zone: time_zone(&new.time_zone)?,
        currency: new.currency,
        state: OrganizationState::Active,
        payment_terms: PaymentTerms::Prepaid,
        credit_limit: None,
        created_at: context.clock.now(),
        revision: 1,
        sandbox_of: None,
    };
    // It is being made here; nobody else can know it yet.
    let tenant = Tenant::vouched(row.id);
    let (clock, actor, name) = (context.clock.clone(), actor.clone(), new.owner_name);
    let (made, address) = (row.clone(), owner.clone());
    let work = db::work(move |txn| {
        let (clock, actor, row) = (clock.clone(), actor.clone(), made.clone());
        let (address, name) = (address.clone(), name.clone());
        Box::pin(async move {
            organization::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
            let user = person(txn, &clock, &address, name.as_deref()).await?;
            let member = membership::Model {
                organization_id: row.id,
                id: clock.new_id::<MembershipId>(),
                user_id: user,
                role: Role::Owner,
                created_at: clock.now(),
            };
            let id = member.id;
            membership::Entity::insert(member.into_active_model()).exec_without_returning(txn).await?;
            still_known(txn, user).await?;
            let facts = json!({ "slug": row.slug, "timeZone": row.time_zone });
            audit::record(txn, tenant, &clock, &actor, Change::created("createOrganization", row.id, facts))
                .await?;
            let facts = json!({ "user": global_id::encode(user), "role": Role::Owner.as_str() });
            let change = Change::created("addMember", id, facts).about(Some(user), "email", address);
            audit::record(txn, tenant, &clock, &actor, change).await
        })
    });
    match context.db.write(Scope::TenantAndEmail(tenant, owner), work).await {
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            Err(Error::conflict(Conflict::Taken, "slug", "Another organization has this slug."))
        }
        outcome => outcome.map(|()| row),
    }
}
