//! Who knows a person: the organizations where something names the person, and those that could not do without.

use std::collections::BTreeSet;

use bursar_domain::id::OrganizationId;
use bursar_domain::organization::Role;
use bursar_entity::{
    api_key, approval_delegation, approval_reason, delivery, invitation, membership, personal_value, purchase,
};
use sea_orm::{ColumnTrait, Condition, QueryFilter, QuerySelect, Select};

use crate::db::scope::find_across;
use crate::db::{Tenant, TenantEntity, Txn};
use crate::error::{Conflict, Error, Result};
use crate::organizations::Person;

/// The organizations, the vendor among them, that something names a person in, in order. The snapshot shows everybody's
/// rows.
pub(super) async fn places(snapshot: &Txn, person: &Person) -> Result<Vec<Tenant>> {
    let mut found = BTreeSet::from([Tenant::vendor().id()]);
    let (id, email) = (person.id, person.email.as_str());
    let members = find_across::<membership::Entity>().filter(membership::Column::UserId.eq(id));
    found.extend(organizations(snapshot, members).await?);
    let (to_them, by_them) = (invitation::Column::Email.eq(email), invitation::Column::InvitedBy.eq(id));
    let invited = Condition::any().add(to_them).add(by_them);
    let invitations = find_across::<invitation::Entity>().filter(invited);
    found.extend(organizations(snapshot, invitations).await?);
    let keys = find_across::<api_key::Entity>()
        .filter(api_key::Column::CreatedBy.eq(id))
        .filter(api_key::Column::RevokedAt.is_null());
    found.extend(organizations(snapshot, keys).await?);
    let deliveries = find_across::<delivery::Entity>().filter(delivery::Column::Recipient.eq(email));
    found.extend(organizations(snapshot, deliveries).await?);
    let values = find_across::<personal_value::Entity>()
        .filter(personal_value::Column::UserId.eq(id))
        .filter(personal_value::Column::Value.is_not_null());
    found.extend(organizations(snapshot, values).await?);
    let noted = find_across::<purchase::Entity>()
        .filter(purchase::Column::RequestedBy.eq(id))
        .filter(purchase::Column::Note.is_not_null());
    found.extend(organizations(snapshot, noted).await?);
    let (by_them, about_them) =
        (approval_reason::Column::WrittenBy.eq(id), approval_reason::Column::About.eq(id));
    let said = find_across::<approval_reason::Entity>()
        .filter(Condition::any().add(by_them).add(about_them))
        .filter(approval_reason::Column::Value.is_not_null());
    found.extend(organizations(snapshot, said).await?);
    let (for_them, by_them) =
        (approval_delegation::Column::Delegator.eq(id), approval_delegation::Column::Delegate.eq(id));
    let stood_in = find_across::<approval_delegation::Entity>()
        .filter(Condition::any().add(for_them).add(by_them))
        .filter(approval_delegation::Column::Reason.is_not_null());
    found.extend(organizations(snapshot, stood_in).await?);
    // What names the person may be found there, and nothing else is touched.
    Ok(found.into_iter().map(Tenant::vouched).collect())
}

/// The organizations of some rows.
async fn organizations<E: TenantEntity>(snapshot: &Txn, rows: Select<E>) -> Result<Vec<OrganizationId>> {
    let ids = rows.select_only().column(E::organization_column()).distinct();
    Ok(ids.into_tuple::<OrganizationId>().all(snapshot).await?)
}

/// Refuses somebody who is the only owner of an organization, before anything is done. With the locks it is looked at
/// again.
pub(super) async fn no_sole_owner(snapshot: &Txn, person: &Person) -> Result<()> {
    let owners = || find_across::<membership::Entity>().filter(membership::Column::Role.eq(Role::Owner));
    for own in owners().filter(membership::Column::UserId.eq(person.id)).all(snapshot).await? {
        let others = owners()
            .filter(membership::Column::OrganizationId.eq(own.organization_id))
            .filter(membership::Column::UserId.ne(person.id));
        if others.one(snapshot).await?.is_none() {
            let reason = "This is the only owner of an organization. Make somebody else an owner first.";
            return Err(Error::conflict(Conflict::LastOwner, "userId", reason));
        }
    }
    Ok(())
}
