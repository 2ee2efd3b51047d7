//! Services and packages.

use async_graphql::{Context, ID, Object};
use bursar_domain::Money;
use bursar_domain::id::{PackageId, ServiceId};

use super::connection::{NodeConnection, PageArgs, in_memory};
use super::errors::ApiError;
use super::node::decode;
use super::scalars::{CreditsScalar, DateTime, MoneyObject};
use super::{Request, signed_in};
use crate::db::Tenant;
use crate::error::Error;
use crate::{catalog, global_id};

/// A service with the price that holds now.
pub struct Service(pub catalog::Service);

impl Service {
    /// The service with a global id. Everybody who is signed in sees the catalog.
    pub async fn find(request: &Request, id: &str) -> Result<Service, Error> {
        let (caller, id) = (request.caller()?, decode::<ServiceId>(id, "service")?);
        let snapshot = request.snapshots.open(caller.scope()).await?;
        let all = catalog::services(&snapshot, None, request.now()).await?;
        all.into_iter().find(|item| item.row.id == id).map(Service).ok_or(Error::not_found("service"))
    }
}

/// A service that credits are charged for, at the price that holds now.
#[Object]
impl Service {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.row.id))
    }

    /// Its code, as lines of charges name it.
    async fn code(&self) -> &str {
        &self.0.row.code
    }

    /// Its name.
    async fn name(&self) -> &str {
        &self.0.row.name
    }

    /// Credits per unit: what the organization pays that this was asked of, and what everybody pays when it is found by
    /// its id.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.0.credits())
    }

    /// Credits per unit as the catalog has it for everybody.
    async fn catalog_credits(&self) -> CreditsScalar {
        CreditsScalar(self.0.version.credits)
    }

    /// From when this price holds.
    async fn effective_from(&self) -> DateTime {
        DateTime(self.0.effective_from())
    }
}

/// A package with the version that holds now.
pub struct Package(pub catalog::Package);

impl Package {
    /// The package with a global id. Everybody who is signed in sees the catalog.
    pub async fn find(request: &Request, id: &str) -> Result<Package, Error> {
        let (caller, id) = (request.caller()?, decode::<PackageId>(id, "package")?);
        let snapshot = request.snapshots.open(caller.scope()).await?;
        let all = catalog::packages(&snapshot, request.now()).await?;
        all.into_iter().find(|item| item.row.id == id).map(Package).ok_or(Error::not_found("package"))
    }
}

/// A package of credits that can be bought, as it is now.
#[Object]
impl Package {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.row.id))
    }

    /// Its code, as purchases name it.
    async fn code(&self) -> &str {
        &self.0.row.code
    }

    /// Its name.
    async fn name(&self) -> &str {
        &self.0.row.name
    }

    /// How many credits; the least, when the price is custom.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.0.version.credits)
    }

    /// Whether it is sold at a price agreed with each customer.
    async fn custom_price(&self) -> bool {
        self.0.version.custom_price
    }

    /// What it costs, in each currency that it is sold in. Empty when the price is custom.
    async fn prices(&self) -> Vec<MoneyObject> {
        let money = |price: &bursar_entity::package_price::Model| {
            MoneyObject::from(Money { minor: price.amount, currency: price.currency })
        };
        self.0.prices.iter().map(money).collect()
    }

    /// For how many days its credits can be used. Null: for ever.
    async fn lifetime_days(&self) -> Option<i64> {
        self.0.version.lifetime_days
    }

    /// From when this version holds.
    async fn effective_from(&self) -> DateTime {
        DateTime(self.0.version.effective_from)
    }
}

/// The services at the prices that hold now for an organization that the caller may see.
pub async fn services_of(
    ctx: &Context<'_>,
    tenant: Tenant,
    args: PageArgs,
) -> Result<NodeConnection<Service>, ApiError> {
    let request = signed_in(ctx)?;
    let snapshot = request.snapshots.open(tenant).await?;
    let services = catalog::services(&snapshot, Some(tenant), request.now()).await?;
    in_memory(services, args, |item| global_id::encode(item.row.id), Service)
}

/// The packages at the prices that hold now.
pub async fn packages_for(
    ctx: &Context<'_>,
    tenant: Tenant,
    args: PageArgs,
) -> Result<NodeConnection<Package>, ApiError> {
    let request = signed_in(ctx)?;
    let snapshot = request.snapshots.open(tenant).await?;
    let packages = catalog::packages(&snapshot, request.now()).await?;
    in_memory(packages, args, |item| global_id::encode(item.row.id), Package)
}
