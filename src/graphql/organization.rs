//! Organizations.

use async_graphql::{Context, Enum, ID, Object};
use bursar_domain::organization::{OrganizationState as State, PaymentTerms as Terms};
use bursar_domain::permission::Action;
use bursar_entity::{department, hold, membership, organization, pool, purchase};
use sea_orm::{Order, QueryFilter};

use super::api_key::{self, ApiKey};
use super::approval_delegation::ApprovalDelegation;
use super::approval_policy::{self, ApprovalPolicy};
use super::approval_request::{self, ApprovalRequest, ApprovalRequestFilter};
use super::audit::{self, AuditEvent, AuditFilter};
use super::balance::Balance;
use super::billing::Billing;
use super::brand;
use super::catalog::{self, Package, Service};
use super::charge::{self, Charge};
use super::connection::{NodeConnection, PageArgs, connection};
use super::credit_request::{self, CreditRequest, CreditRequestFilter};
use super::delivery::{self, Delivery, DeliveryFilter};
use super::department::Department;
use super::errors::ApiError;
use super::hold::{Hold, HoldFilter, filtered};
use super::invitation::{self, Invitation, InvitationFilter};
use super::member::Member;
use super::node::{decode, found};
use super::pool::Pool;
use super::price::OrganizationPrices;
use super::purchase::Purchase;
use super::scalars::{CurrencyCode, DateTime, TimeZone};
use super::single_sign_on::{self, SingleSignOn};
use super::{Request, signed_in};
use crate::auth::Authorized;
use crate::error::Error;
use crate::{global_id, ledger};

/// Whether an organization may act.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum OrganizationState {
    /// Everything is allowed.
    Active,
    /// Everything may be read, nothing changed.
    Suspended,
}

/// How an organization pays.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Terms")]
pub enum PaymentTerms {
    /// Credits are there once they are paid.
    Prepaid,
    /// Credits are there at once, within a credit limit.
    Invoice,
}

/// An organization: a tenant.
pub struct Organization(pub organization::Model);

impl Organization {
    /// The organization with a global id, when the caller may see it.
    pub async fn find(request: &Request, id: &str) -> Result<Organization, Error> {
        let found = authorized(request, id, Action::ReadOrganization).await?;
        Ok(Organization(found.into_value()))
    }
}

/// An organization by its global id, for an action on it.
pub async fn authorized(
    request: &Request,
    id: &str,
    action: Action,
) -> Result<Authorized<organization::Model>, Error> {
    let id = decode(id, "organization")?;
    request.caller()?.organization(&request.snapshots, id, action).await
}

/// An organization: a tenant. It holds credits in pools and gives them to departments.
#[Object]
impl Organization {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// Its short name in addresses.
    async fn slug(&self) -> &str {
        &self.0.slug
    }

    /// Its name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The zone in which its months and quarters begin.
    async fn time_zone(&self) -> TimeZone {
        TimeZone(self.0.time_zone.clone())
    }

    /// What it pays in. Null until its first quote fixes it.
    async fn currency(&self) -> Option<CurrencyCode> {
        self.0.currency.map(CurrencyCode)
    }

    /// Whether it may act.
    async fn state(&self) -> OrganizationState {
        self.0.state.into()
    }

    /// Whether it is a sandbox, where the test keys of another organization act and nothing is real.
    async fn sandbox(&self) -> bool {
        self.0.sandbox_of.is_some()
    }

    /// The organization that it is the sandbox of. Null when it is none, or the caller does not see that one.
    async fn sandbox_of(&self, ctx: &Context<'_>) -> Option<Result<Organization, ApiError>> {
        let find = Box::pin(async {
            let Some(id) = self.0.sandbox_of else { return Ok(None) };
            found(Organization::find(signed_in(ctx)?, &global_id::encode(id)).await)
        });
        find.await.transpose()
    }

    /// How it pays.
    async fn payment_terms(&self) -> PaymentTerms {
        self.0.payment_terms.into()
    }

    /// When it was founded.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// What the caller may do with the organization as a whole: names of rows of the permission table.
    async fn viewer_permissions(&self, ctx: &Context<'_>) -> Result<Vec<String>, ApiError> {
        let request = signed_in(ctx)?;
        let mut allowed = Vec::new();
        for action in Action::ALL {
            if self.allows(request, *action)? {
                allowed.push(action.name().to_owned());
            }
        }
        Ok(allowed)
    }

    /// What all its pools have together, as far as the caller sees them.
    async fn balance(&self, ctx: &Context<'_>) -> Result<Balance, ApiError> {
        let request = signed_in(ctx)?;
        let snapshot = request.snapshots.open(self.tenant()).await?;
        let visible = self.visible_pools(request, &snapshot).await?;
        let pools = self.tenant().find::<pool::Entity>().filter(visible).all(&*snapshot).await;
        let pools: Vec<_> = pools.map_err(Error::from)?.into_iter().map(|pool| pool.id).collect();
        let now = request.now();
        let balances = ledger::pool_balances(&snapshot, self.tenant(), Some(&pools), now).await?;
        Balance::sum(self.0.id, now, balances.into_iter().collect())
    }

    /// Its pools, as far as the caller sees them, oldest first.
    async fn pools(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Pool>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let visible = self.visible_pools(request, &snapshot).await?;
            let select = self.tenant().find::<pool::Entity>().filter(visible);
            let order = (pool::Column::Id, Order::Asc);
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.id, Pool).await
        });
        Some(list.await)
    }

    /// Its departments, as far as the caller sees them, oldest first.
    async fn departments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Department>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let select = self.tenant().find::<department::Entity>().filter(self.seen_departments(request)?);
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let order = (department::Column::Id, Order::Asc);
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.id, Department).await
        });
        Some(list.await)
    }

    /// Who belongs to it, longest first.
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Member>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            self.require(request, Action::ReadMembers)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let select = self.tenant().find::<membership::Entity>();
            let order = (membership::Column::Id, Order::Asc);
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.id, Member).await
        });
        Some(list.await)
    }

    /// Who was asked to join it, newest first. For those who see its members.
    async fn invitations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which of them. Left out: all.")] filter: Option<InvitationFilter>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Invitation>, ApiError>> {
        let args = PageArgs { first, after, last, before };
        Some(Box::pin(invitation::of_organization(ctx, self.tenant(), filter, args)).await)
    }

    /// The services that credits are charged for, at the prices that hold now.
    async fn services(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Service>, ApiError>> {
        let args = PageArgs { first, after, last, before };
        Some(Box::pin(catalog::services_of(ctx, self.tenant(), args)).await)
    }

    /// The packages of credits that can be bought, at the prices that hold now.
    async fn packages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Package>, ApiError>> {
        let args = PageArgs { first, after, last, before };
        Some(Box::pin(catalog::packages_for(ctx, self.tenant(), args)).await)
    }

    /// What credits cost it. For those who see all of its purchases.
    async fn prices(&self, ctx: &Context<'_>) -> Option<Result<OrganizationPrices, ApiError>> {
        let prices = signed_in(ctx).and_then(|request| OrganizationPrices::of(request, self));
        Some(prices.map_err(ApiError::from))
    }

    /// Its purchases, newest first. Administrators of pools see those for their pools.
    async fn purchases(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Purchase>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let select = self.tenant().find::<purchase::Entity>().filter(self.seen_purchases(request)?);
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let order = (purchase::Column::Id, Order::Desc);
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.id, Purchase::stored).await
        });
        Some(list.await)
    }

    /// Which of its purchases need whose consent: the version that is in force. Null: none was ever saved.
    async fn approval_policy(&self, ctx: &Context<'_>) -> Option<Result<ApprovalPolicy, ApiError>> {
        let find = Box::pin(async {
            let request = signed_in(ctx)?;
            self.require(request, Action::ReadApprovalPolicy)?;
            approval_policy::in_force(request, self.tenant()).await
        });
        find.await.map_err(ApiError::from).transpose()
    }

    /// Who was asked to agree to its purchases, newest first. Who does not see all of them sees those for the own pools,
    /// the own ones, and those that they are asked about or have decided about.
    async fn approval_requests(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones. Left out: all.")] filter: Option<ApprovalRequestFilter>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<ApprovalRequest>, ApiError>> {
        let args = PageArgs { first, after, last, before };
        Some(Box::pin(approval_request::of_organization(ctx, self.tenant(), filter, args)).await)
    }

    /// Its charges, newest first. Who does not see all of them sees those of the own pools and
    /// departments.
    async fn charges(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Charge>, ApiError>> {
        let args = PageArgs { first, after, last, before };
        Some(Box::pin(charge::of_organization(ctx, self, args)).await)
    }

    /// Its holds, newest first. Who does not see all of them sees those of the own pools and departments.
    async fn holds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which of them. Left out: all.")] filter: Option<HoldFilter>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Hold>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let seen = self.seen_uses(request)?;
            let seen = seen.condition(hold::Column::PoolId, hold::Column::DepartmentId);
            let select = self.tenant().find::<hold::Entity>().filter(seen);
            let select = filtered(select, filter, request.now());
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let order = (hold::Column::Id, Order::Desc);
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.id, Hold).await
        });
        Some(list.await)
    }

    /// Who has asked its pools for credits, newest first. Who does not see all of them sees those to the own
    /// pools and the own ones.
    async fn credit_requests(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones. Left out: all.")] filter: Option<CreditRequestFilter>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<CreditRequest>, ApiError>> {
        let args = PageArgs { first, after, last, before };
        Some(Box::pin(credit_request::of_organization(ctx, self.tenant(), filter, args)).await)
    }

    /// What has left or is to leave Bursar for somebody on its account, newest first.
    async fn deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones. Left out: all.")] filter: Option<DeliveryFilter>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Delivery>, ApiError>> {
        let args = PageArgs { first, after, last, before };
        Some(Box::pin(delivery::of_organization(ctx, self.tenant(), filter, args)).await)
    }

    /// Who decides in whose name about purchases, those that end last first, at most 100, those that are over among them. Who
    /// does not see all that people are asked there sees their own.
    async fn approval_delegations(
        &self,
        ctx: &Context<'_>,
    ) -> Option<Result<Vec<ApprovalDelegation>, ApiError>> {
        let list = Box::pin(async { ApprovalDelegation::of_organization(signed_in(ctx)?, self.0.id).await });
        Some(list.await.map_err(ApiError::from))
    }

    /// Its API keys, oldest first: those that are no longer good as well, but never the keys themselves.
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<ApiKey>, ApiError>> {
        let list = Box::pin(async {
            self.require(signed_in(ctx)?, Action::ReadApiKeys)?;
            api_key::of_tenant(ctx, self.tenant(), PageArgs { first, after, last, before }).await
        });
        Some(list.await)
    }

    /// Whose word is taken for who somebody is, beside a mail. Null: nobody's.
    async fn single_sign_on(&self, ctx: &Context<'_>) -> Option<Result<SingleSignOn, ApiError>> {
        Box::pin(single_sign_on::of_organization(ctx, &self.0)).await.transpose()
    }

    /// The audit log, newest first: every change, those of the ledger among them.
    async fn audit_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which entries. Left out: all.")] filter: Option<AuditFilter>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<AuditEvent>, ApiError>> {
        let args = PageArgs { first, after, last, before };
        Some(Box::pin(audit::of_organization(ctx, self.tenant(), filter, args)).await)
    }

    /// Its logo, as mails and pages show it: a PNG image as a data URL. Null: it has none.
    async fn logo(&self, ctx: &Context<'_>) -> Option<Result<String, ApiError>> {
        Box::pin(brand::logo_of(ctx, &self.0)).await.transpose()
    }

    /// Its billing details, the terms that it buys on, its invoices and documents. For those who see all its purchases.
    async fn billing(&self, ctx: &Context<'_>) -> Option<Result<Billing, ApiError>> {
        let find = Box::pin(async {
            let request = signed_in(ctx)?;
            self.require(request, Action::ReadPurchases)?;
            Billing::of(request, &self.0).await
        });
        Some(find.await.map_err(ApiError::from))
    }
}
