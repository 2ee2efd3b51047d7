//! A person or a key, with all that decides about permissions, as of one instant.
//!
//! Each is read in one snapshot, with the revisions that its permissions are compared at later.
//!
//! A person for whom only an organization's own provider vouches is read as a member of that organization, and as
//! nothing else: whatever the person is elsewhere, and to the vendor, does not follow from it.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::Timestamp;
use bursar_domain::id::{ApiKeyId, DepartmentId, MembershipId, OrganizationId, PoolId, SessionId, UserId};
use bursar_domain::organization::Role;
use bursar_entity::{
    department_member, identity_provider, membership, organization, pool_administrator, shared_revision, user,
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::Standing;
use super::key::{KeyHash, KeyIdentity, RefusedKey};
use super::sessions;
use crate::db::scope::{find_organizations, find_own, find_people};
use crate::db::{Database, Scope, Tenant, Txn, padded};
use crate::error::{Error, Result};

/// Who calls, with all that decides about permissions, as of one instant.
#[derive(Debug, PartialEq)]
pub struct Identity {
    /// A person or a key.
    pub principal: Principal,
    /// What a person is in which organization. A key is in none.
    pub memberships: BTreeMap<OrganizationId, Member>,
    /// Whose provider vouches for the person; none: the person has shown it to Bursar itself.
    pub through: Option<Through>,
    /// The revision of the vendor's staff and keys.
    staff: i64,
}

/// The organization whose provider vouches for a person, and in which alone that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Through {
    /// The organization.
    pub tenant: Tenant,
    /// The revision of what is set of its provider.
    pub revision: i64,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq)]
pub enum Principal {
    /// A person.
    Person(user::Model),
    /// A key.
    Key(KeyIdentity),
}

/// Which person or key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalId {
    /// A person.
    Person(UserId),
    /// A key.
    Key(ApiKeyId),
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

impl Identity {
    /// Reads a person's memberships and grants as they are now. A session, with the instant to look at it, has to
    /// be good.
    pub(super) async fn of_person(
        db: &Database,
        id: UserId,
        session: Option<(SessionId, Timestamp)>,
    ) -> Result<Identity> {
        let snapshot = db.read(Scope::Person(id)).await?;
        let user = find_people().filter(user::Column::Id.eq(id)).one(&snapshot).await?;
        // Whoever is gone is told the same as whoever never was.
        let user = user.filter(|user| user.erased_at.is_none());
        let user = user.ok_or(Error::Unauthenticated("The token is not valid."))?;
        if let Some((session, now)) = session {
            sessions::require_live(&snapshot, id, session, now).await?;
        }
        let staff = staff(&snapshot).await?;
        let memberships = find_own::<membership::Entity>(id).all(&snapshot).await?;
        let organizations = padded(memberships.iter().map(|row| row.organization_id).collect());
        let revisions = revisions(&snapshot, organizations).await?;
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
        Ok(Identity { principal: Principal::Person(user), memberships, through: None, staff })
    }

    /// Reads what a person is in one organization whose provider vouches for them. A session, with the instant to
    /// look at it, has to be good.
    pub(super) async fn of_visitor(
        db: &Database,
        tenant: Tenant,
        id: UserId,
        session: Option<(SessionId, Timestamp)>,
    ) -> Result<Identity> {
        let opened_at = match session {
            Some((session, now)) => {
                let own = db.read(Scope::Person(id)).await?;
                Some(sessions::require_live(&own, id, session, now).await?.provider_revision)
            }
            None => None,
        };
        // Whoever is not vouched for any more, or is no member, is told the same as whoever never was.
        let gone = || Error::Unauthenticated("The token is not valid.");
        let snapshot = db.read(tenant).await?;
        let provider = tenant.find::<identity_provider::Entity>().one(&snapshot).await?;
        let provider = provider.filter(|provider| provider.enabled).ok_or_else(gone)?;
        // Whom another provider has let in, or this one before it was switched off and on, signs in again.
        if opened_at.is_some_and(|revision| revision != Some(provider.revision)) {
            return Err(sessions::ended());
        }
        let own = tenant.find::<membership::Entity>().filter(membership::Column::UserId.eq(id));
        let own = own.one(&snapshot).await?.ok_or_else(gone)?;
        let user = find_people().filter(user::Column::Id.eq(id)).one(&snapshot).await?.ok_or_else(gone)?;
        let organization = tenant.find::<organization::Entity>().one(&snapshot).await?.ok_or_else(gone)?;
        let pools =
            tenant.find::<pool_administrator::Entity>().filter(pool_administrator::Column::UserId.eq(id));
        let pools = pools.all(&snapshot).await?.into_iter().map(|row| row.pool_id).collect();
        let departments =
            tenant.find::<department_member::Entity>().filter(department_member::Column::UserId.eq(id));
        let departments = departments.all(&snapshot).await?;
        let departments = departments.into_iter().map(|row| (row.department_id, row.manager)).collect();
        let revision = organization.revision;
        let member = Member { id: own.id, role: own.role, pools, departments, revision };
        Ok(Identity {
            // An organization makes nobody one of the vendor's staff.
            principal: Principal::Person(user::Model { operator: false, ..user }),
            memberships: BTreeMap::from([(tenant.id(), member)]),
            through: Some(Through { tenant, revision: provider.revision }),
            staff: staff(&snapshot).await?,
        })
    }

    /// Reads what the key with a digest may do now, when it is good at an instant; otherwise what is to be recorded.
    pub(super) async fn of_key(
        db: &Database,
        hash: KeyHash,
        now: Timestamp,
    ) -> Result<Result<Identity, RefusedKey>> {
        let snapshot = db.read(Scope::ApiKey(hash.0)).await?;
        let mut key = match KeyIdentity::find(&snapshot, hash, now).await? {
            Ok(key) => key,
            Err(refused) => return Ok(Err(refused)),
        };
        let staff = staff(&snapshot).await?;
        if let Some(organization) = key.acts_in {
            let revision = revisions(&snapshot, vec![organization]).await?.get(&organization).copied();
            key.revision = revision.ok_or_else(|| Error::internal("a key acts in no organization"))?;
        }
        let memberships = BTreeMap::new();
        Ok(Ok(Identity { principal: Principal::Key(key), memberships, through: None, staff }))
    }

    /// The same with another role in an organization, or with none.
    pub(super) fn with_role(&self, organization: OrganizationId, role: Option<Role>) -> Identity {
        let mut memberships = self.memberships.clone();
        match (memberships.get_mut(&organization), role) {
            (Some(member), Some(role)) => member.role = role,
            (_, None) => _ = memberships.remove(&organization),
            (None, Some(_)) => {}
        }
        Identity { principal: self.principal.clone(), memberships, through: self.through, staff: self.staff }
    }

    /// Which person or key.
    pub fn id(&self) -> PrincipalId {
        match &self.principal {
            Principal::Person(person) => PrincipalId::Person(person.id),
            Principal::Key(key) => PrincipalId::Key(key.id),
        }
    }

    /// The person, when it is one.
    pub fn person(&self) -> Option<&user::Model> {
        match &self.principal {
            Principal::Person(person) => Some(person),
            Principal::Key(_) => None,
        }
    }

    /// The key, when it is one.
    pub fn key(&self) -> Option<&KeyIdentity> {
        match &self.principal {
            Principal::Person(_) => None,
            Principal::Key(key) => Some(key),
        }
    }

    /// Whether it is this person.
    pub fn is_person(&self, id: UserId) -> bool {
        self.person().is_some_and(|person| person.id == id)
    }

    /// Whether it is a person of the vendor's staff.
    pub fn is_staff(&self) -> bool {
        self.person().is_some_and(|person| person.operator)
    }

    /// Whether it is the vendor's: a person of the staff, or a key that acts in all organizations.
    pub fn is_vendors(&self) -> bool {
        self.is_staff() || self.key().is_some_and(|key| key.acts_in.is_none())
    }

    /// The organizations that it belongs to. What is the vendor's reaches the others too.
    pub fn organizations(&self) -> impl Iterator<Item = OrganizationId> + '_ {
        let own = self.key().and_then(|key| key.acts_in);
        self.memberships.keys().copied().chain(own)
    }

    /// Whether it has anything to do with an organization at all.
    pub fn belongs_to(&self, organization: OrganizationId) -> bool {
        self.is_vendors() || self.organizations().any(|own| own == organization)
    }

    /// A scope in which the organizations that it belongs to can be read, and the catalog.
    pub fn scope(&self) -> Scope {
        match &self.principal {
            _ if self.is_vendors() => Scope::Operator,
            Principal::Person(person) if self.through.is_none() => Scope::Person(person.id),
            // The one organization that the person is read in.
            Principal::Person(_) => {
                Scope::Tenant(self.through.map_or_else(Tenant::vendor, |through| through.tenant))
            }
            // The key acts there.
            Principal::Key(key) => Scope::Tenant(key.acts_in.map_or_else(Tenant::vendor, Tenant::vouched)),
        }
    }

    /// When the permissions in an organization were read.
    pub fn standing(&self, organization: OrganizationId) -> Standing {
        let of_key = self.key().filter(|key| key.acts_in == Some(organization)).map(|key| key.revision);
        Standing {
            organization: self.memberships.get(&organization).map(|member| member.revision).or(of_key),
            staff: self.is_vendors().then_some(self.staff),
        }
    }
}

/// The revision of the vendor's staff and keys.
pub(super) async fn staff(snapshot: &Txn) -> Result<i64> {
    let shared = shared_revision::Entity::find().one(snapshot).await?;
    Ok(shared.ok_or_else(|| Error::internal("there are no shared revisions"))?.staff)
}

/// The revisions of some organizations.
async fn revisions(
    snapshot: &Txn,
    organizations: Vec<OrganizationId>,
) -> Result<BTreeMap<OrganizationId, i64>> {
    if organizations.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = find_organizations(organizations).all(snapshot).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.revision)).collect())
}
