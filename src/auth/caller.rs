//! A caller: a person with memberships and grants, read once for each request.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::Timestamp;
use bursar_domain::id::{DepartmentId, MembershipId, OrganizationId, PoolId, UserId};
use bursar_domain::organization::Role;
use bursar_entity::{department_member, membership, pool_administrator, user};
use sea_orm::{ColumnTrait, QueryFilter};

use super::{Actor, Keys, token};
use crate::context::Context;
use crate::db::scope::{find_own, find_people};
use crate::db::{Database, Scope};
use crate::error::{Error, Result};

/// Somebody who calls, with all that decides about permissions.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The person.
    pub user: user::Model,
    /// What the person is in which organization.
    pub memberships: BTreeMap<OrganizationId, Member>,
    /// From when on the proof of who it is is no longer good.
    pub expires_at: Timestamp,
    /// The id of the request.
    pub origin: Option<String>,
}

/// What a person is in one organization.
#[derive(Clone, Debug)]
pub struct Member {
    /// The membership.
    pub id: MembershipId,
    /// The role.
    pub role: Role,
    /// The pools that the person administers.
    pub pools: BTreeSet<PoolId>,
    /// The departments that the person is in, and whether as manager.
    pub departments: BTreeMap<DepartmentId, bool>,
}

impl Caller {
    /// The caller who bears a token.
    pub async fn from_token(
        context: &Context,
        keys: &Keys,
        bearer: &str,
        origin: Option<String>,
    ) -> Result<Caller> {
        let claims = token::verify(keys, bearer, context.clock.now())?;
        let user = claims.user().ok_or(Error::Unauthenticated("The token is not valid."))?;
        Caller::load(&context.db, user, claims.expires_at(), origin).await
    }

    /// Reads a person's memberships and grants as they are now.
    pub async fn load(
        db: &Database,
        id: UserId,
        expires_at: Timestamp,
        origin: Option<String>,
    ) -> Result<Caller> {
        let snapshot = db.read(Scope::Person(id)).await?;
        let user = find_people().filter(user::Column::Id.eq(id)).one(&snapshot).await?;
        // Whoever is gone is told the same as whoever never was.
        let user = user.ok_or(Error::Unauthenticated("The token is not valid."))?;
        let mut memberships: BTreeMap<OrganizationId, Member> = find_own::<membership::Entity>(id)
            .all(&snapshot)
            .await?
            .into_iter()
            .map(|row| {
                let (pools, departments) = (BTreeSet::new(), BTreeMap::new());
                (row.organization_id, Member { id: row.id, role: row.role, pools, departments })
            })
            .collect();
        for row in find_own::<pool_administrator::Entity>(id).all(&snapshot).await? {
            if let Some(member) = memberships.get_mut(&row.organization_id) {
                member.pools.insert(row.pool_id);
            }
        }
        for row in find_own::<department_member::Entity>(id).all(&snapshot).await? {
            if let Some(member) = memberships.get_mut(&row.organization_id) {
                member.departments.insert(row.department_id, row.manager);
            }
        }
        Ok(Caller { user, memberships, expires_at, origin })
    }

    /// The same person as things stand now.
    pub async fn reload(&self, db: &Database) -> Result<Caller> {
        Caller::load(db, self.user.id, self.expires_at, self.origin.clone()).await
    }

    /// The caller as the author of a change.
    pub fn actor(&self) -> Actor {
        Actor::user(self.user.id, self.origin.clone())
    }
}
