//! Looking things up is authorizing them.

use bursar_domain::id::{
    ApiKeyId, CapId, CreditRequestId, DepartmentId, Id, InvoiceId, OrganizationId, PoolId, PurchaseId,
    QuoteId, ReversalId,
};
use bursar_domain::organization::valid_slug;
use bursar_domain::permission::{Action, Grant, permits};
use bursar_entity::{
    account, api_key, credit_request, department, invoice, organization, pool, purchase, quote, reversal,
    spending_cap,
};
use sea_orm::sea_query::SimpleExpr;
use sea_orm::{ColumnTrait, QueryFilter, QuerySelect, Select};

use super::rights::Target;
use super::{Actor, Caller, PoolDirectory, Standing};
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

/// A row that belongs to a pool and is found by its own id: a purchase, or a price that the vendor was asked for. Whoever
/// may read the pool's purchases sees it.
pub trait OfPool: Sized {
    /// Its table.
    type Entity: TenantEntity<Model = Self>;
    /// Its id.
    type Id: Id;
    /// What it is called where it is not found.
    const WHAT: &'static str;

    /// The condition that it is the one with an id.
    fn is(id: Self::Id) -> SimpleExpr;

    /// Whose it is, and of which pool.
    fn place(&self) -> (OrganizationId, PoolId);
}

impl OfPool for purchase::Model {
    type Entity = purchase::Entity;
    type Id = PurchaseId;
    const WHAT: &'static str = "purchase";

    fn is(id: PurchaseId) -> SimpleExpr {
        purchase::Column::Id.eq(id)
    }

    fn place(&self) -> (OrganizationId, PoolId) {
        (self.organization_id, self.pool_id)
    }
}

impl OfPool for quote::Model {
    type Entity = quote::Entity;
    type Id = QuoteId;
    const WHAT: &'static str = "quote";

    fn is(id: QuoteId) -> SimpleExpr {
        quote::Column::Id.eq(id)
    }

    fn place(&self) -> (OrganizationId, PoolId) {
        (self.organization_id, self.pool_id)
    }
}

impl Caller {
    /// Whether the caller may found organizations.
    pub fn may_create_organizations(&self) -> Result<()> {
        let allowed = self.is_staff() && permits(Grant::Operator, Action::CreateOrganization);
        if allowed { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// The vendor, for an action on what belongs to no organization. Nobody else may know of that.
    pub fn vendor(&self, action: Action) -> Result<Authorized<()>> {
        let allowed = self.is_staff() && permits(Grant::Operator, action);
        let vendor = Tenant::vendor().id();
        if allowed { Ok(self.authorized(vendor, ())) } else { Err(Error::Forbidden) }
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
        self.check(row.id, action, Target::Organization, Action::ReadOrganization, "organization")?;
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
        self.check(row.id, action, Target::Organization, Action::ReadOrganization, "organization")?;
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
        departments.iter().for_each(|(department, _)| directory.remember_account(id, *department));
        let target = Target::Pool(id, &departments);
        self.check(row.organization_id, action, target, Action::ReadPool, "pool")?;
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
            let departments = self.departments(organization);
            let known: Vec<_> =
                departments.filter(|(department, _)| directory.has_account(id, *department)).collect();
            if self.belongs_to(organization) && self.allowed(organization, action, Target::Pool(id, &known)) {
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
        let target = Target::Department(id);
        self.check(row.organization_id, action, target, Action::ReadDepartment, "department")?;
        Ok(self.authorized(row.organization_id, row))
    }

    /// What belongs to a pool and its purchases, for an action on it: the grants on the pool count.
    pub async fn of_pool<R: OfPool + Send + Sync>(
        &self,
        snapshots: &Snapshots,
        id: R::Id,
        action: Action,
    ) -> Result<Authorized<R>> {
        let row = self.find_row::<R::Entity>(snapshots, None, R::is(id)).await?;
        let row = row.ok_or(Error::not_found(R::WHAT))?;
        let (organization, pool) = row.place();
        self.check(organization, action, Target::Pool(pool, &[]), Action::ReadPurchases, R::WHAT)?;
        Ok(self.authorized(organization, row))
    }

    /// A purchase, for an action on it.
    pub async fn purchase(
        &self,
        snapshots: &Snapshots,
        id: PurchaseId,
        action: Action,
    ) -> Result<Authorized<purchase::Model>> {
        self.of_pool(snapshots, id, action).await
    }

    /// An invoice, for an action on it: the grants on the pool of its purchase count.
    pub async fn invoice(
        &self,
        snapshots: &Snapshots,
        id: InvoiceId,
        action: Action,
    ) -> Result<Authorized<invoice::Model>> {
        let row = self.find_row::<invoice::Entity>(snapshots, None, invoice::Column::Id.eq(id)).await?;
        let row = row.ok_or(Error::not_found("invoice"))?;
        let (known, purchase) = (Some(row.organization_id), purchase::Column::Id.eq(row.purchase_id));
        let purchase = self.find_row::<purchase::Entity>(snapshots, known, purchase).await?;
        let purchase = purchase.ok_or(Error::not_found("invoice"))?;
        let target = Target::Pool(purchase.pool_id, &[]);
        self.check(row.organization_id, action, target, Action::ReadPurchases, "invoice")?;
        Ok(self.authorized(row.organization_id, row))
    }

    /// A reversal of a payment, for an action on the purchase.
    pub async fn reversal(
        &self,
        snapshots: &Snapshots,
        id: ReversalId,
        action: Action,
    ) -> Result<Authorized<reversal::Model>> {
        let row = self.find_row::<reversal::Entity>(snapshots, None, reversal::Column::Id.eq(id)).await?;
        let row = row.ok_or(Error::not_found("reversal"))?;
        match self.purchase(snapshots, row.purchase_id, action).await {
            Ok(_) => Ok(self.authorized(row.organization_id, row)),
            Err(Error::NotFound { .. }) => Err(Error::not_found("reversal")),
            Err(error) => Err(error),
        }
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
        match self.is_person(row.requested_by) {
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

    /// An API key, of an organization's or of the vendor's, for an action on it.
    pub async fn api_key(
        &self,
        snapshots: &Snapshots,
        id: ApiKeyId,
        action: Action,
    ) -> Result<Authorized<api_key::Model>> {
        let row = self.find_row::<api_key::Entity>(snapshots, None, api_key::Column::Id.eq(id)).await?;
        let row = row.ok_or(Error::not_found("key"))?;
        self.check(row.organization_id, action, Target::Organization, Action::ReadApiKeys, "key")?;
        Ok(self.authorized(row.organization_id, row))
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
        target: Target<'_>,
        see: Action,
        what: &'static str,
    ) -> Result<()> {
        if self.allowed(organization, action, target) {
            return Ok(());
        }
        Err(if self.allowed(organization, see, target) { Error::Forbidden } else { Error::not_found(what) })
    }

    /// The caller's departments that have an account in a pool.
    async fn departments_of_pool(
        &self,
        snapshots: &Snapshots,
        organization: OrganizationId,
        pool: PoolId,
    ) -> Result<Vec<(DepartmentId, bool)>> {
        let own: Vec<_> = self.departments(organization).collect();
        if own.is_empty() {
            return Ok(own);
        }
        // The caller belongs to the organization, or its departments would not be known.
        let tenant = Tenant::vouched(organization);
        let snapshot = snapshots.open(tenant).await?;
        let found: Vec<Option<DepartmentId>> = tenant
            .find::<account::Entity>()
            .select_only()
            .column(account::Column::DepartmentId)
            .filter(account::Column::PoolId.eq(pool))
            .filter(account::Column::DepartmentId.is_in(own.iter().map(|(id, _)| *id)))
            .into_tuple()
            .all(&*snapshot)
            .await?;
        Ok(own.into_iter().filter(|(id, _)| found.contains(&Some(*id))).collect())
    }

    /// Looks for a row in the organizations that the caller belongs to, one after another; what is the vendor's
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
        for organization in self.organizations() {
            if known.is_none_or(|known| known == organization) {
                let tenant = Tenant::vouched(organization); // the caller belongs to it
                let snapshot = snapshots.open(tenant).await?;
                let select: Select<E> = tenant.find::<E>();
                if let Some(row) = select.filter(condition.clone()).one(&*snapshot).await? {
                    return Ok(Some(row));
                }
            }
        }
        if self.is_vendors() {
            let snapshot = snapshots.open(Scope::Operator).await?;
            return Ok(find_across::<E>().filter(condition).one(&*snapshot).await?);
        }
        Ok(None)
    }
}
