//! Whether what somebody may do in an organization is still what was looked up before: asked in the transaction that
//! changes something there, with the organization's row locked.
//!
//! Whoever gives or takes a role or a grant, or revokes a key, locks that row too, so the answer is true until the commit.

use bursar_domain::id::UserId;
use bursar_entity::{
    api_key, department_member, identity_provider, membership, organization, pool_administrator, user,
};
use sea_orm::{ColumnTrait, QueryFilter};

use super::identity::staff;
use super::key::KeyIdentity;
use super::{Actor, Identity, Member, Principal, Standing};
use crate::db::scope::find_people;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

impl Actor {
    /// Refuses whoever's permissions in an organization are no longer those that were looked up. Bursar itself needs
    /// none. The organization's row is locked, and nothing has been changed yet.
    ///
    /// # Errors
    /// [`Error::Stale`]: they have to be looked up again; what the database answers.
    pub async fn require_standing(&self, txn: &Txn, organization: &organization::Model) -> Result<()> {
        let Some(read) = &self.read_from.0 else { return Ok(()) };
        let now = Standing { organization: Some(organization.revision), staff: Some(staff(txn).await?) };
        let stands = read.standing(organization.id).holds(now) || read.stands(txn, organization, now).await?;
        if stands { Ok(()) } else { Err(Error::Stale) }
    }
}

impl Identity {
    /// Whether the grants themselves are as they were, where a revision is another one. What has raised that of the
    /// organization may be about others, and they do not make each other try again.
    async fn stands(&self, txn: &Txn, organization: &organization::Model, now: Standing) -> Result<bool> {
        let was = self.standing(organization.id);
        let tenant = Tenant::vouched(organization.id); // whose row it is that is locked
        let staff_changed = !(Standing { organization: None, ..was }).holds(now);
        if staff_changed && !self.is_the_vendors_still(txn, tenant).await? {
            return Ok(false);
        }
        match &self.principal {
            Principal::Person(person) => {
                if !self.is_let_in_still(txn, tenant).await? {
                    return Ok(false);
                }
                let Some(was) = self.memberships.get(&organization.id) else { return Ok(true) };
                let is = member(txn, tenant, person.id, was.revision).await?;
                Ok(is.as_ref() == Some(was))
            }
            // One of the vendor's, whose row is not in this organization.
            Principal::Key(was) if was.acts_in.is_none() => Ok(true),
            // The row of a test key is not seen from the sandbox that it acts in.
            Principal::Key(was) if was.home != tenant => Ok(false),
            Principal::Key(was) => {
                let row = tenant.find::<api_key::Entity>().filter(api_key::Column::Id.eq(was.id));
                let row = row.one(txn).await?.filter(|row| row.revoked_at.is_none());
                let Some(row) = row else { return Ok(false) };
                Ok(KeyIdentity { revision: was.revision, ..KeyIdentity::of(row, was.hash)? } == *was)
            }
        }
    }

    /// Whether somebody of the vendor's is so still, as they were. The transaction turns to the vendor's rows, and back.
    async fn is_the_vendors_still(&self, txn: &Txn, tenant: Tenant) -> Result<bool> {
        let vendor = Tenant::vendor();
        txn.turn_to(vendor).await?;
        let is = match &self.principal {
            Principal::Person(person) => {
                let row = find_people().filter(user::Column::Id.eq(person.id)).one(txn).await?;
                row.is_some_and(|row| row.operator && row.erased_at.is_none())
            }
            Principal::Key(was) => {
                let row = vendor.find::<api_key::Entity>().filter(api_key::Column::Id.eq(was.id));
                let row = row.one(txn).await?.filter(|row| row.revoked_at.is_none());
                match row {
                    Some(row) => {
                        KeyIdentity { revision: was.revision, ..KeyIdentity::of(row, was.hash)? } == *was
                    }
                    None => false,
                }
            }
        };
        txn.turn_to(tenant).await?;
        Ok(is)
    }

    /// Whether the provider that has let a person in is set as it was then. Whoever came otherwise needs none.
    async fn is_let_in_still(&self, txn: &Txn, tenant: Tenant) -> Result<bool> {
        let Some(through) = self.through else { return Ok(true) };
        let provider = tenant.find::<identity_provider::Entity>().one(txn).await?;
        Ok(provider.is_some_and(|row| row.enabled && row.revision == through.revision))
    }

    /// Refuses whom a provider has let in that is set otherwise since. The organization's row is locked.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]; what the database answers.
    pub async fn require_let_in(&self, txn: &Txn, tenant: Tenant) -> Result<()> {
        match self.is_let_in_still(txn, tenant).await? {
            true => Ok(()),
            false => Err(Error::Unauthenticated("The token is not valid.")),
        }
    }
}

/// What a person is in an organization, to be compared with what was read at a revision.
async fn member(txn: &Txn, tenant: Tenant, user: UserId, revision: i64) -> Result<Option<Member>> {
    let own = tenant.find::<membership::Entity>().filter(membership::Column::UserId.eq(user));
    let Some(own) = own.one(txn).await? else { return Ok(None) };
    let pools =
        tenant.find::<pool_administrator::Entity>().filter(pool_administrator::Column::UserId.eq(user));
    let pools = pools.all(txn).await?.into_iter().map(|row| row.pool_id).collect();
    let departments =
        tenant.find::<department_member::Entity>().filter(department_member::Column::UserId.eq(user));
    let departments = departments.all(txn).await?;
    let departments = departments.into_iter().map(|row| (row.department_id, row.manager)).collect();
    Ok(Some(Member { id: own.id, role: own.role, pools, departments, revision }))
}
