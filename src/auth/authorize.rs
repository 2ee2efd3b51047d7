//! Looking things up is authorizing them: the only place that asks the permission table.

use std::collections::BTreeMap;

use bursar_domain::id::{CapId, CreditRequestId, DepartmentId, OrganizationId, PoolId, PurchaseId};
use bursar_domain::organization::valid_slug;
use bursar_domain::permission::{Action, Grant, permits};
use bursar_entity::{account, credit_request, department, organization, pool, purchase, spending_cap};
use sea_orm::sea_query::SimpleExpr;
use sea_orm::{ColumnTrait, QueryFilter, QuerySelect, Select};

use super::{Actor, Caller, Member, PoolDirectory, Standing};
use crate::db::scope::find_across;
use crate::db::{Scope, Snapshots, Tenant, TenantEntity};
use crate::error::{Error, Result};

/// A thing that the caller may do the asked-for action with. Only this room makes one.
#[derive(Clone, Debug)]
pub struct Authorized<T> {
    value: T,
    tenant: Tenant,
    actor: Actor,
    standing: Standing,
}

impl<T> Authorized<T> {
    /// The scope of the organization that the thing belongs to.
    pub fn tenant(&self) -> Tenant {
        self.tenant
    }

    /// Who was authorized.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// When the permission was read.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The thing itself.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> std::ops::Deref for Authorized<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Caller {
    /// Whether the caller may found organizations.
    pub fn may_create_organizations(&self) -> Result<()> {
        let allowed = self.user.operator && permits(Grant::Operator, Action::CreateOrganization);
        if allowed { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// The organization, for an action on it as a whole.
    pub async fn organization(
        &self,
        snapshots: &Snapshots,
        id: OrganizationId,
        action: Action,
    ) -> Result<Authorized<organization::Model>> {
        let row = self
            .find_row::<organization::Entity>(snapshots, Some(id), organization::Column::Id.eq(id))
            .await?;
        let row = row.ok_or(Error::not_found("organization"))?;
        self.check(row.id, action, |_, _| {}, Action::ReadOrganization, "organization")?;
        Ok(self.authorized(row.id, row))
    }

    /// The organization with a short name.
    pub async fn organization_by_slug(
        &self,
        snapshots: &Snapshots,
        slug: &str,
        action: Action,
    ) -> Result<Authorized<organization::Model>> {
        if !valid_slug(slug) {
            return Err(Error::not_found("organization"));
        }
        let row = self
            .find_row::<organization::Entity>(snapshots, None, organization::Column::Slug.eq(slug))
            .await?;
        let row = row.ok_or(Error::not_found("organization"))?;
        self.check(row.id, action, |_, _| {}, Action::ReadOrganization, "organization")?;
        Ok(self.authorized(row.id, row))
    }

    /// A pool, for an action on it.
    pub async fn pool(
        &self,
        snapshots: &Snapshots,
        directory: &PoolDirectory,
        id: PoolId,
        action: Action,
    ) -> Result<Authorized<pool::Model>> {
        let known = directory.organization(id);
        let row = self.find_row::<pool::Entity>(snapshots, known, pool::Column::Id.eq(id)).await?;
        let row = row.ok_or(Error::not_found("pool"))?;
        directory.remember(id, row.organization_id);
        let departments = self.departments_of_pool(snapshots, row.organization_id, id).await?;
        departments.keys().for_each(|department| directory.remember_account(id, *department));
        self.check(row.organization_id, action, on_pool(id, &departments), Action::ReadPool, "pool")?;
        Ok(self.authorized(row.organization_id, row))
    }

    /// The id of a pool, for an action on it, without a look into the database when what has to be known of
    /// it is known already and cannot change.
    pub async fn pool_id(
        &self,
        snapshots: &Snapshots,
        directory: &PoolDirectory,
        id: PoolId,
        action: Action,
    ) -> Result<Authorized<PoolId>> {
        if let Some(organization) = directory.organization(id) {
            let departments = self.memberships.get(&organization).map(|member| &member.departments);
            let departments = departments.into_iter().flatten();
            let known = departments.filter(|(department, _)| directory.has_account(id, **department));
            let known = known.map(|(department, manager)| (*department, *manager)).collect();
            if self.allowed(organization, action, on_pool(id, &known)) {
                return Ok(self.authorized(organization, id));
            }
        }
        let pool = self.pool(snapshots, directory, id, action).await?;
        Ok(self.authorized(pool.organization_id, id))
    }

    /// A department, for an action on it.
    pub async fn department(
        &self,
        snapshots: &Snapshots,
        id: DepartmentId,
        action: Action,
    ) -> Result<Authorized<department::Model>> {
        let row = self.find_row::<department::Entity>(snapshots, None, department::Column::Id.eq(id)).await?;
        let row = row.ok_or(Error::not_found("department"))?;
        self.check(row.organization_id, action, on_department(id), Action::ReadDepartment, "department")?;
        Ok(self.authorized(row.organization_id, row))
    }

    /// A purchase, for an action on it: the grants on its pool count.
    pub async fn purchase(
        &self,
        snapshots: &Snapshots,
        id: PurchaseId,
        action: Action,
    ) -> Result<Authorized<purchase::Model>> {
        let row = self.find_row::<purchase::Entity>(snapshots, None, purchase::Column::Id.eq(id)).await?;
        let row = row.ok_or(Error::not_found("purchase"))?;
        let none = BTreeMap::new();
        let grants = on_pool(row.pool_id, &none);
        self.check(row.organization_id, action, grants, Action::ReadPurchases, "purchase")?;
        Ok(self.authorized(row.organization_id, row))
    }

    /// A spending cap, for an action on it: the grants on its pool count.
    pub async fn spending_cap(
        &self,
        snapshots: &Snapshots,
        id: CapId,
        action: Action,
    ) -> Result<Authorized<spending_cap::Model>> {
        let condition = spending_cap::Column::Id.eq(id);
        let row = self.find_row::<spending_cap::Entity>(snapshots, None, condition).await?;
        let row = row.ok_or(Error::not_found("cap"))?;
        if self.may_in_pool(row.organization_id, row.pool_id, std::iter::empty(), action) {
            return Ok(self.authorized(row.organization_id, row));
        }
        Err(if self.sees_cap(&row) { Error::Forbidden } else { Error::not_found("cap") })
    }

    /// A credit request, for an action on the pool that is asked.
    pub async fn credit_request(
        &self,
        snapshots: &Snapshots,
        id: CreditRequestId,
        action: Action,
    ) -> Result<Authorized<credit_request::Model>> {
        let row = self.seen_credit_request(snapshots, id).await?;
        match self.may_in_pool(row.organization_id, row.pool_id, std::iter::empty(), action) {
            true => Ok(self.authorized(row.organization_id, row)),
            false => Err(Error::Forbidden),
        }
    }

    /// A credit request, for what only whoever asked may do with it.
    pub async fn own_credit_request(
        &self,
        snapshots: &Snapshots,
        id: CreditRequestId,
    ) -> Result<Authorized<credit_request::Model>> {
        let row = self.seen_credit_request(snapshots, id).await?;
        match row.requested_by == self.user.id {
            true => Ok(self.authorized(row.organization_id, row)),
            false => Err(Error::Forbidden),
        }
    }

    async fn seen_credit_request(
        &self,
        snapshots: &Snapshots,
        id: CreditRequestId,
    ) -> Result<credit_request::Model> {
        let condition = credit_request::Column::Id.eq(id);
        let row = self.find_row::<credit_request::Entity>(snapshots, None, condition).await?;
        row.filter(|row| self.sees_credit_request(row)).ok_or(Error::not_found("credit request"))
    }

    /// Another row of an organization the caller belongs to (any, for the operator), by a condition that
    /// names it. This checks no permission yet: whoever calls asks for the one that the row takes.
    pub async fn row<E: TenantEntity>(
        &self,
        snapshots: &Snapshots,
        condition: SimpleExpr,
        organization_of: impl Fn(&E::Model) -> OrganizationId,
        what: &'static str,
    ) -> Result<(OrganizationId, E::Model)>
    where
        E::Model: Send + Sync,
    {
        let row = self.find_row::<E>(snapshots, None, condition).await?;
        let row = row.ok_or(Error::not_found(what))?;
        Ok((organization_of(&row), row))
    }

    /// Whether the caller may do something with the organization as a whole.
    pub fn may_in_organization(&self, organization: OrganizationId, action: Action) -> bool {
        self.allowed(organization, action, |_, _| {})
    }

    /// Whether the caller may do something with a department.
    pub fn may_in_department(
        &self,
        organization: OrganizationId,
        department: DepartmentId,
        action: Action,
    ) -> bool {
        self.allowed(organization, action, on_department(department))
    }

    /// Whether the caller may do something with a pool where some departments have accounts.
    pub fn may_in_pool(
        &self,
        organization: OrganizationId,
        pool: PoolId,
        accounts: impl Iterator<Item = DepartmentId>,
        action: Action,
    ) -> bool {
        let own = self.memberships.get(&organization).map(|member| &member.departments);
        let own = accounts.filter_map(|department| Some((department, *own?.get(&department)?))).collect();
        self.allowed(organization, action, on_pool(pool, &own))
    }

    /// Whether the caller has anything to do with an organization at all.
    pub fn belongs_to(&self, organization: OrganizationId) -> bool {
        self.user.operator || self.memberships.contains_key(&organization)
    }

    /// Whether the caller may see all movements of a pool.
    pub fn may_read_ledger(&self, organization: OrganizationId, pool: PoolId) -> bool {
        self.allowed(organization, Action::ReadLedger, on_pool(pool, &BTreeMap::new()))
    }

    /// Whether the caller may charge the credits of every department in a pool.
    pub fn may_charge_all_departments(&self, organization: OrganizationId, pool: PoolId) -> bool {
        self.allowed(organization, Action::ChargeDepartment, on_pool(pool, &BTreeMap::new()))
    }

    /// Whether the caller may see a spending cap: who sees all of the pool sees all of them, and everybody those
    /// on the own departments and on oneself.
    pub fn sees_cap(&self, cap: &spending_cap::Model) -> bool {
        let organization = cap.organization_id;
        let own = self.memberships.contains_key(&organization) && cap.user_id == Some(self.user.id);
        let of_own = |id| self.may_in_department(organization, id, Action::ReadDepartmentCharges);
        own || cap.department_id.is_some_and(of_own) || self.may_read_ledger(organization, cap.pool_id)
    }

    /// Whether the caller may see a credit request: who sees all of the pool sees all of them, and everybody
    /// the own ones.
    pub fn sees_credit_request(&self, request: &credit_request::Model) -> bool {
        let organization = request.organization_id;
        let own = self.memberships.contains_key(&organization) && request.requested_by == self.user.id;
        own || self.may_read_ledger(organization, request.pool_id)
    }

    /// Vouches for a row that was found and checked.
    pub(super) fn authorized<T>(&self, organization: OrganizationId, value: T) -> Authorized<T> {
        // Every caller of this has asked the permission table before.
        let tenant = Tenant::vouched(organization);
        Authorized { value, tenant, actor: self.actor(), standing: self.standing(organization) }
    }

    /// Answers "not found" to those who may not even see it, "forbidden" to those who may not do it.
    fn check(
        &self,
        organization: OrganizationId,
        action: Action,
        more: impl Fn(&Member, &mut Vec<Grant>),
        see: Action,
        what: &'static str,
    ) -> Result<()> {
        if self.allowed(organization, action, &more) {
            return Ok(());
        }
        Err(if self.allowed(organization, see, &more) { Error::Forbidden } else { Error::not_found(what) })
    }

    fn allowed(
        &self,
        organization: OrganizationId,
        action: Action,
        more: impl Fn(&Member, &mut Vec<Grant>),
    ) -> bool {
        let mut grants = Vec::new();
        if self.user.operator {
            grants.push(Grant::Operator);
        }
        if let Some(member) = self.memberships.get(&organization) {
            grants.extend([Grant::Member, Grant::of(member.role)]);
            more(member, &mut grants);
        }
        grants.into_iter().any(|grant| permits(grant, action))
    }

    /// The caller's departments that have an account in a pool.
    async fn departments_of_pool(
        &self,
        snapshots: &Snapshots,
        organization: OrganizationId,
        pool: PoolId,
    ) -> Result<BTreeMap<DepartmentId, bool>> {
        let Some(member) = self.memberships.get(&organization) else { return Ok(BTreeMap::new()) };
        if member.departments.is_empty() {
            return Ok(BTreeMap::new());
        }
        // The caller is a member of the organization: see `memberships`.
        let tenant = Tenant::vouched(organization);
        let snapshot = snapshots.open(tenant).await?;
        let found: Vec<Option<DepartmentId>> = tenant
            .find::<account::Entity>()
            .select_only()
            .column(account::Column::DepartmentId)
            .filter(account::Column::PoolId.eq(pool))
            .filter(account::Column::DepartmentId.is_in(member.departments.keys().copied()))
            .into_tuple()
            .all(&*snapshot)
            .await?;
        let managers = |id: DepartmentId| member.departments.get(&id).map(|manager| (id, *manager));
        Ok(found.into_iter().flatten().filter_map(managers).collect())
    }

    /// Looks for a row in the organizations that the caller belongs to, one after another; the operator
    /// looks into all at once. What is in no organization of the caller's is not there.
    pub(super) async fn find_row<E: TenantEntity>(
        &self,
        snapshots: &Snapshots,
        known: Option<OrganizationId>,
        condition: SimpleExpr,
    ) -> Result<Option<E::Model>>
    where
        E::Model: Send + Sync,
    {
        for organization in self.memberships.keys() {
            if known.is_none_or(|known| known == *organization) {
                let tenant = Tenant::vouched(*organization); // the caller is a member
                let snapshot = snapshots.open(tenant).await?;
                let select: Select<E> = tenant.find::<E>();
                if let Some(row) = select.filter(condition.clone()).one(&*snapshot).await? {
                    return Ok(Some(row));
                }
            }
        }
        if self.user.operator {
            let snapshot = snapshots.open(Scope::Operator).await?;
            return Ok(find_across::<E>().filter(condition).one(&*snapshot).await?);
        }
        Ok(None)
    }
}

fn department_grant(manager: bool) -> Grant {
    if manager { Grant::DepartmentManager } else { Grant::DepartmentMember }
}

fn on_pool(id: PoolId, departments: &BTreeMap<DepartmentId, bool>) -> impl Fn(&Member, &mut Vec<Grant>) {
    move |member, grants| {
        if member.pools.contains(&id) {
            grants.push(Grant::PoolAdministrator);
        }
        grants.extend(departments.values().map(|manager| department_grant(*manager)));
    }
}

fn on_department(id: DepartmentId) -> impl Fn(&Member, &mut Vec<Grant>) {
    move |member, grants| {
        if !member.pools.is_empty() {
            grants.push(Grant::AnyPoolAdministrator);
        }
        grants.extend(member.departments.get(&id).map(|manager| department_grant(*manager)));
    }
}
