//! A caller: a person with memberships and grants.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

use bursar_domain::Timestamp;
use bursar_domain::id::{DepartmentId, MembershipId, OrganizationId, PoolId, UserId};
use bursar_domain::organization::Role;
use bursar_entity::{department_member, membership, pool_administrator, shared_revision, user};
use quick_cache::sync::Cache;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::{Actor, Keys, Standing, token};
use crate::context::Context;
use crate::db::scope::{find_organizations, find_own, find_people};
use crate::db::{Database, Scope, padded};
use crate::error::{Error, Result};

/// Somebody who calls: who it is, and with which request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    identity: Arc<Identity>,
    /// From when on the proof of who it is is no longer good.
    pub expires_at: Timestamp,
    /// The id of the request.
    pub origin: Option<String>,
}

/// A person, with all that decides about permissions, as of one instant.
#[derive(Debug, PartialEq)]
pub struct Identity {
    /// The person.
    pub user: user::Model,
    /// What the person is in which organization.
    pub memberships: BTreeMap<OrganizationId, Member>,
    /// The revision of the vendor's staff.
    staff: i64,
}

/// What a person is in one organization.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The membership.
    pub id: MembershipId,
    /// The role.
    pub role: Role,
    /// The pools that the person administers.
    pub pools: BTreeSet<PoolId>,
    /// The departments that the person is in, and whether as manager.
    pub departments: BTreeMap<DepartmentId, bool>,
    /// The revision of the organization that this was read at.
    pub revision: i64,
}

/// People as they were when they were last read. Only for what compares the revisions later (see
/// [`Standing`]); everybody else reads them anew.
#[derive(Clone)]
pub struct Callers(Arc<Cache<UserId, Arc<Identity>>>);

/// How many people are kept.
const CAPACITY: usize = 50_000;

impl Default for Callers {
    fn default() -> Callers {
        Callers(Arc::new(Cache::new(CAPACITY)))
    }
}

impl Callers {
    /// The caller who bears a token, as things stand now.
    pub async fn read(
        &self,
        context: &Context,
        keys: &Keys,
        bearer: &str,
        origin: Option<String>,
    ) -> Result<Caller> {
        let (user, expires_at) = proven(context, keys, bearer)?;
        let identity = self.keep(Identity::read(&context.db, user).await?);
        Ok(Caller { identity, expires_at, origin })
    }

    /// Keeps a person as just read; one who is as before is the same in memory as before.
    fn keep(&self, identity: Identity) -> Arc<Identity> {
        if let Some(known) = self.0.get(&identity.user.id)
            && *known == identity
        {
            return known;
        }
        let (user, identity) = (identity.user.id, Arc::new(identity));
        self.0.insert(user, Arc::clone(&identity));
        identity
    }

    /// The caller who bears a token, as things stood when they were last read, if they were.
    pub fn recall(
        &self,
        context: &Context,
        keys: &Keys,
        bearer: &str,
        origin: Option<String>,
    ) -> Result<Option<Caller>> {
        let (user, expires_at) = proven(context, keys, bearer)?;
        Ok(self.0.get(&user).map(|identity| Caller { identity, expires_at, origin }))
    }

    /// The person who bears a token, without a look at what that person may do, or whether it is still there.
    pub fn prove(&self, context: &Context, keys: &Keys, bearer: &str) -> Result<UserId> {
        proven(context, keys, bearer).map(|(user, _)| user)
    }

    /// The same caller as things stood when the person was last read.
    pub fn remembered(&self, caller: &Caller) -> Option<Caller> {
        self.0.get(&caller.user.id).map(|identity| Caller { identity, ..caller.clone() })
    }

    /// The same caller as things stand now.
    pub async fn reread(&self, context: &Context, caller: &Caller) -> Result<Caller> {
        let identity = self.keep(Identity::read(&context.db, caller.user.id).await?);
        Ok(Caller { identity, ..caller.clone() })
    }
}

/// Who bears a token, and until when it is good.
fn proven(context: &Context, keys: &Keys, bearer: &str) -> Result<(UserId, Timestamp)> {
    let claims = token::verify(keys, bearer, context.clock.now())?;
    let user = claims.user().ok_or(Error::Unauthenticated("The token is not valid."))?;
    Ok((user, claims.expires_at()))
}

impl Identity {
    /// Reads a person's memberships and grants as they are now.
    async fn read(db: &Database, id: UserId) -> Result<Identity> {
        let snapshot = db.read(Scope::Person(id)).await?;
        let user = find_people().filter(user::Column::Id.eq(id)).one(&snapshot).await?;
        // Whoever is gone is told the same as whoever never was.
        let user = user.ok_or(Error::Unauthenticated("The token is not valid."))?;
        let staff = shared_revision::Entity::find().one(&snapshot).await?;
        let staff = staff.ok_or_else(|| Error::internal("there are no shared revisions"))?.staff;
        let memberships = find_own::<membership::Entity>(id).all(&snapshot).await?;
        let organizations = padded(memberships.iter().map(|row| row.organization_id).collect());
        let mut revisions = BTreeMap::new();
        if !organizations.is_empty() {
            revisions = find_organizations(organizations)
                .all(&snapshot)
                .await?
                .into_iter()
                .map(|row| (row.id, row.revision))
                .collect();
        }
        let mut memberships: BTreeMap<OrganizationId, Member> = memberships
            .into_iter()
            .map(|row| {
                let revision = revisions.get(&row.organization_id).copied().unwrap_or_default();
                let (id, role) = (row.id, row.role);
                let (pools, departments) = (BTreeSet::new(), BTreeMap::new());
                (row.organization_id, Member { id, role, pools, departments, revision })
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
        Ok(Identity { user, memberships, staff })
    }
}

impl Deref for Caller {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl Caller {
    /// A person, without a proof that has been looked at here.
    pub async fn person(
        db: &Database,
        id: UserId,
        expires_at: Timestamp,
        origin: Option<String>,
    ) -> Result<Caller> {
        Ok(Caller { identity: Arc::new(Identity::read(db, id).await?), expires_at, origin })
    }

    /// The same caller with another role in an organization, or with none.
    pub fn with_role(&self, organization: OrganizationId, role: Option<Role>) -> Caller {
        let mut memberships = self.memberships.clone();
        match (memberships.get_mut(&organization), role) {
            (Some(member), Some(role)) => member.role = role,
            (_, None) => _ = memberships.remove(&organization),
            (None, Some(_)) => {}
        }
        let identity = Identity { user: self.user.clone(), memberships, staff: self.staff };
        Caller { identity: Arc::new(identity), ..self.clone() }
    }

    /// When the caller's permissions in an organization were read.
    pub fn standing(&self, organization: OrganizationId) -> Standing {
        Standing {
            organization: self.memberships.get(&organization).map(|member| member.revision),
            staff: self.user.operator.then_some(self.staff),
        }
    }

    /// The caller as the author of a change.
    pub fn actor(&self) -> Actor {
        Actor::user(self.user.id, self.origin.clone())
    }
}
