//! What an organization forgets of a person: the membership with its grants, and the address in invitations.
//!
//! What else names the person does so by an id, which says nothing any more once the person's own row has been
//! emptied (see the room `people`).

use std::collections::HashSet;

use bursar_domain::id::{InvitationId, UserId};
use bursar_entity::{invitation, membership, user_identity};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect};

use super::invitation_link::beginning;
use super::{invitations, lock_organization, members};
use crate::approvals::{self, Touched};
use crate::audit::Change;
use crate::clock::Clock;
use crate::db::{Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::global_id;

/// Somebody who is to be forgotten, as they were known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The person.
    pub id: UserId,
    /// The address.
    pub email: String,
}

impl Person {
    /// What stands for the address from then on: the same every time, of nobody, and not to be reached.
    pub fn pseudonym(&self) -> String {
        format!("{}@erased.invalid", global_id::encode(self.id))
    }
}

/// What has been forgotten.
#[derive(Clone, Debug, Default)]
pub struct Forgotten {
    /// What is to be recorded of it.
    pub changes: Vec<Change>,
    /// What has become of requests that wait for decisions.
    pub touched: Touched,
    /// How many invitations had the person's address.
    pub invitations: u64,
    /// How what the links of invitations are about begins that the person has sent: their mails name the person.
    pub links: HashSet<String>,
}

/// Ends a person's membership, takes back the open invitations by and to the person, and empties the address of all. What
/// the person was asked to decide is looked at again. Locks the organization.
///
/// # Errors
/// [`Conflict::LastOwner`] at `userId` when nobody else is an owner.
pub async fn forget(txn: &Txn, tenant: Tenant, clock: &Clock, person: &Person) -> Result<Forgotten> {
    let now = clock.now();
    lock_organization(txn, tenant).await?;
    // First, so that no mail that is written now says any of it.
    approvals::forget_reasons(txn, tenant, person.id, now).await?;
    let member = tenant.find::<membership::Entity>().filter(membership::Column::UserId.eq(person.id));
    let member = member.lock_exclusive().one(txn).await?;
    let by_them = || invitation::Column::InvitedBy.eq(person.id);
    let to_them = || invitation::Column::Email.eq(person.email.as_str());
    let (mut changes, mut touched) = (Vec::new(), Touched::default());
    if let Some(row) = member {
        changes.push(members::end(txn, tenant, now, &row).await.map_err(of_user)?.0);
        touched = approvals::people_changed(txn, tenant, clock).await?;
    }
    let which = Condition::any().add(by_them()).add(to_them());
    changes.extend(invitations::revoke_open(txn, tenant, now, which).await?);
    let sent = tenant
        .find::<invitation::Entity>()
        .select_only()
        .column(invitation::Column::Id)
        .filter(by_them())
        .into_tuple::<InvitationId>();
    let organization = global_id::encode(tenant.id());
    let links = sent.all(txn).await?.into_iter().map(|id| beginning(&organization, &global_id::encode(id)));
    let links = links.collect();
    let emptied = invitation::Entity::update_many()
        .col_expr(invitation::Column::Email, Expr::value(person.pseudonym()))
        .filter(invitation::Column::OrganizationId.eq(tenant.id()))
        .filter(to_them())
        .exec(txn)
        .await?;
    forget_subjects(txn, tenant, person.id).await?;
    Ok(Forgotten { changes, touched, invitations: emptied.rows_affected, links })
}

/// Empties what an identity provider calls the person. That they have come by it stays known by their id.
async fn forget_subjects(txn: &Txn, tenant: Tenant, person: UserId) -> Result<()> {
    let known = tenant.find::<user_identity::Entity>().filter(user_identity::Column::UserId.eq(person));
    for (number, row) in known.all(txn).await?.into_iter().enumerate() {
        let nobody = format!("erased {} {number}", global_id::encode(person));
        user_identity::Entity::update_many()
            .col_expr(user_identity::Column::Subject, Expr::value(nobody))
            .filter(user_identity::Column::OrganizationId.eq(tenant.id()))
            .filter(user_identity::Column::Issuer.eq(row.issuer))
            .filter(user_identity::Column::Subject.eq(row.subject))
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// The same conflict, at the field that names the person.
fn of_user(error: Error) -> Error {
    match error {
        Error::Conflict { kind: Conflict::LastOwner, reason, .. } => {
            Error::conflict(Conflict::LastOwner, "userId", reason)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::Id;
    use bursar_domain::organization::normal_email;

    #[test]
    fn a_pseudonym_is_an_address_of_nobody() {
        let person = |id| Person { id: UserId::from_u128(id), email: "a@b.test".to_owned() };
        let one = person(1).pseudonym();
        assert_eq!(normal_email(&one).as_deref(), Some(one.as_str()));
        assert_eq!(one, Person { email: "c@d.test".to_owned(), ..person(1) }.pseudonym());
        assert_ne!(one, person(2).pseudonym());
        assert!(one.ends_with(".invalid"));
    }
}
