//! Billing details, the terms that an organization buys on, and what it owes.

use async_graphql::{Context, Object, SimpleObject};
use bursar_domain::{Currency, Money};
use bursar_entity::{billing_profile, organization};

use super::auto_top_up::{self, AutoTopUp};
use super::connection::{NodeConnection, PageArgs};
use super::errors::ApiError;
use super::invoice::{self, Invoice};
use super::numbered_document::{self, Document};
use super::organization::PaymentTerms;
use super::reversal::{self, Reconciliation};
use super::scalars::{Decimal, MoneyObject};
use super::{Request, request, signed_in};
use crate::billing::{self, DUE_DAYS};
use crate::db::Tenant;
use crate::error::Error;

/// The billing of an organization.
pub struct Billing {
    organization: organization::Model,
    profile: Option<billing_profile::Model>,
}

impl Billing {
    /// The billing of an organization of which the caller sees all purchases.
    pub async fn of(request: &Request, organization: &organization::Model) -> Result<Billing, Error> {
        // The caller sees all its purchases.
        let tenant = Tenant::vouched(organization.id);
        let snapshot = request.snapshots.open(tenant).await?;
        let profile = tenant.find::<billing_profile::Entity>().one(&*snapshot).await?;
        Ok(Billing { organization: organization.clone(), profile })
    }

    fn tenant(&self) -> Tenant {
        // Only those who see all purchases of the organization come here.
        Tenant::vouched(self.organization.id)
    }

    fn money(&self, minor: i64) -> MoneyObject {
        Money { minor, currency: self.organization.currency.unwrap_or(Currency::USD) }.into()
    }
}

/// The billing of an organization: what documents say of it, the terms that it buys on, and what it owes.
#[Object]
impl Billing {
    /// What documents say of it. Null: its name alone.
    async fn profile(&self) -> Option<BillingProfile> {
        self.profile.clone().map(BillingProfile)
    }

    /// How it pays.
    async fn payment_terms(&self) -> PaymentTerms {
        self.organization.payment_terms.into()
    }

    /// What it may owe on invoice. Null: as much as it likes.
    async fn credit_limit(&self) -> Option<MoneyObject> {
        self.organization.credit_limit.map(|minor| self.money(minor))
    }

    /// What it owes on invoices.
    async fn owed(&self, ctx: &Context<'_>) -> Result<MoneyObject, ApiError> {
        let find = Box::pin(async {
            let request = request(ctx)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let owed = billing::owed(&snapshot, self.tenant(), request.now()).await?;
            Ok(self.money(owed.minor))
        });
        find.await
    }

    /// In how many days its invoices are to be paid: by the end of the last of them.
    async fn due_days(&self) -> i32 {
        let days = self.profile.as_ref().map_or(DUE_DAYS, |row| row.due_days);
        i32::try_from(days).unwrap_or(i32::MAX)
    }

    /// Its invoices, newest first.
    async fn invoices(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Invoice>, ApiError>> {
        let args = PageArgs { first, after, last, before };
        Some(Box::pin(invoice::of_organization(ctx, self.tenant(), args)).await)
    }

    /// Its receipts, invoices and credit notes, newest first.
    async fn documents(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Document>, ApiError>> {
        let args = PageArgs { first, after, last, before };
        Some(Box::pin(numbered_document::of_organization(ctx, self.tenant(), args)).await)
    }

    /// The pools that are filled up by themselves.
    async fn auto_top_ups(&self, ctx: &Context<'_>) -> Option<Result<Vec<AutoTopUp>, ApiError>> {
        let list = Box::pin(async { Ok(auto_top_up::all(signed_in(ctx)?, self.tenant()).await?) });
        Some(list.await)
    }

    /// Whether what was paid is what has become of the credits that it bought. Null before anything was bought.
    async fn reconciliation(&self, ctx: &Context<'_>) -> Option<Result<Reconciliation, ApiError>> {
        let find = Box::pin(async { Ok(reversal::reconciliation(signed_in(ctx)?, self.tenant()).await?) });
        find.await.transpose()
    }
}

/// What documents say of an organization.
pub struct BillingProfile(pub billing_profile::Model);

/// What documents say of an organization.
#[Object]
impl BillingProfile {
    /// The name of the company.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The postal address, in lines.
    async fn address(&self) -> &str {
        &self.0.address
    }

    /// The country, as ISO 3166-1 alpha-2 names it.
    async fn country(&self) -> Option<&str> {
        self.0.country.as_deref()
    }

    /// The number that tax offices know it by.
    async fn tax_id(&self) -> Option<&str> {
        self.0.tax_id.as_deref()
    }

    /// What is to be seen on each document: a cost centre, say.
    async fn reference(&self) -> Option<&str> {
        self.0.reference.as_deref()
    }

    /// What documents say of tax. Prices have it in them.
    async fn tax_lines(&self) -> Result<Vec<TaxLine>, ApiError> {
        let lines = billing::decode_tax_lines(&self.0.tax_lines)?;
        let line = |line: billing::TaxLine| TaxLine {
            label: line.label,
            percent: Decimal(rust_decimal::Decimal::new(line.hundredths, 2).normalize()),
        };
        Ok(lines.into_iter().map(line).collect())
    }
}

/// A tax that prices have in them.
#[derive(SimpleObject)]
pub struct TaxLine {
    /// What it is called.
    label: String,
    /// Its rate, in percent.
    percent: Decimal,
}
