//! Lots: credits that came in together.

use async_graphql::{Context, Enum, ID, Object};
use bursar_domain::id::{LotId, PoolId};
use bursar_domain::ledger::{LotClass as Class, LotSource as Source};
use bursar_domain::permission::Action;
use bursar_domain::{Credits, Money};
use bursar_entity::{lot, lot_position, transfer};
use sea_orm::{ColumnTrait, Order, QueryFilter};

use super::connection::{NodeConnection, PageArgs, connection};
use super::errors::ApiError;
use super::node::{decode, found};
use super::pool::{Pool, pool_of};
use super::purchase::Purchase;
use super::scalars::{CreditsScalar, DateTime, MoneyObject};
use super::transfer::Transfer;
use super::{Request, request, signed_in};
use crate::db::Tenant;
use crate::error::Error;
use crate::global_id;

/// Where a lot came from.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Source")]
pub enum LotSource {
    /// Bought.
    Purchase,
    /// Given by the operator.
    Grant,
    /// Put in by the operator to correct a balance.
    Correction,
}

/// Whether money was paid for a lot.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Class")]
pub enum LotClass {
    /// Paid for.
    Paid,
    /// Given away.
    Promotional,
}

/// Credits that came in together.
pub struct Lot(pub lot::Model);

impl Lot {
    /// The lot with a global id, when the caller may see the movements of the pool that it came into, or of
    /// one that credits of it have been moved to.
    pub async fn find(request: &Request, id: &str) -> Result<Lot, Error> {
        let (caller, id) = (request.caller()?, decode::<LotId>(id, "lot")?);
        let condition = lot::Column::Id.eq(id);
        let organization = |row: &lot::Model| row.organization_id;
        let found = caller.row::<lot::Entity>(&request.snapshots, condition, organization, "lot").await?;
        let (organization, row) = found;
        if caller.may_read_ledger(organization, row.pool_id) {
            return Ok(Lot(row));
        }
        let administered: Vec<PoolId> = caller.own_pools(organization, Action::ReadLedger).collect();
        let tenant = Tenant::vouched(organization); // the caller belongs to it, or nothing is asked
        let snapshot = request.snapshots.open(tenant).await?;
        let moved = tenant
            .find::<lot_position::Entity>()
            .filter(lot_position::Column::PoolId.is_in(administered))
            .filter(lot_position::Column::LotId.eq(id));
        let moved = moved.one(&*snapshot).await?;
        moved.map(|_| Lot(row)).ok_or(Error::not_found("lot"))
    }

    /// The pools whose part of it the caller sees: the one that it came into, or else those that they
    /// administer.
    fn seen_in(&self, request: &Request) -> Result<Vec<PoolId>, Error> {
        let (caller, organization) = (request.caller()?, self.0.organization_id);
        if caller.may_read_ledger(organization, self.0.pool_id) {
            return Ok(vec![self.0.pool_id]);
        }
        Ok(caller.own_pools(organization, Action::ReadLedger).collect())
    }
}

/// Credits that came in together: bought in one purchase, or given at once.
#[Object]
impl Lot {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The pool that it came into.
    async fn pool(&self, ctx: &Context<'_>) -> Option<Result<Pool, ApiError>> {
        pool_of(ctx, self.0.pool_id).await
    }

    /// Where it came from.
    async fn source(&self) -> LotSource {
        self.0.source.into()
    }

    /// Whether it was paid for.
    async fn class(&self) -> LotClass {
        self.0.class.into()
    }

    /// Its place in the order of use: lower numbers first, then what expires sooner, then the older.
    async fn priority(&self) -> i32 {
        i32::from(self.0.priority)
    }

    /// How many credits it had.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.0.credits)
    }

    /// How many of them are left in the pool that it came into; for who does not see that one, in those that
    /// they administer.
    async fn remaining(&self, ctx: &Context<'_>) -> Result<CreditsScalar, ApiError> {
        let request = signed_in(ctx)?;
        // Only lots that the caller may see become objects.
        let tenant = Tenant::vouched(self.0.organization_id);
        let snapshot = request.snapshots.open(tenant).await?;
        let positions = tenant
            .find::<lot_position::Entity>()
            .filter(lot_position::Column::PoolId.is_in(self.seen_in(request)?))
            .filter(lot_position::Column::LotId.eq(self.0.id));
        let positions = positions.all(&*snapshot).await.map_err(Error::from)?;
        let left: i64 = positions.iter().map(|position| position.credits.get()).sum();
        let left = Credits::new(left).ok_or_else(|| Error::internal("a lot has more than there can be"))?;
        Ok(CreditsScalar(left))
    }

    /// What it cost as a whole. Null when nothing was paid for it.
    async fn cost(&self) -> Option<MoneyObject> {
        self.0.currency.map(|currency| Money { minor: self.0.cost, currency }.into())
    }

    /// From when on it cannot be used. Null: it does not expire.
    async fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }

    /// The purchase that it came with.
    async fn purchase(&self, ctx: &Context<'_>) -> Option<Result<Purchase, ApiError>> {
        let find = Box::pin(async {
            let Some(purchase) = self.0.purchase_id else { return Ok(None) };
            found(Purchase::find(request(ctx)?, &global_id::encode(purchase)).await)
        });
        find.await.transpose()
    }

    /// The lot whose credits go on in it: one that was extended, or that lapsed before a refund.
    async fn replaces(&self, ctx: &Context<'_>) -> Option<Result<Lot, ApiError>> {
        let find = Box::pin(async {
            let Some(lot) = self.0.replaces else { return Ok(None) };
            found(Lot::find(signed_in(ctx)?, &global_id::encode(lot)).await)
        });
        find.await.transpose()
    }

    /// Every movement of its credits in a pool, newest first.
    async fn uses(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "In which pool. Left out: in the one that it came into.")] pool_id: Option<ID>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Transfer>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let pool = pool_id.as_ref().map_or(Ok(self.0.pool_id), |id| decode(id, "pool"))?;
            if !request.caller()?.may_read_ledger(self.0.organization_id, pool) {
                let known = pool == self.0.pool_id;
                return Err(if known { Error::Forbidden } else { Error::not_found("pool") }.into());
            }
            // Only lots that the caller may see become objects.
            let tenant = Tenant::vouched(self.0.organization_id);
            let snapshot = request.snapshots.open(tenant).await?;
            let select = tenant
                .find::<transfer::Entity>()
                .filter(transfer::Column::LotId.eq(self.0.id))
                .filter(transfer::Column::PoolId.eq(pool));
            let order = (transfer::Column::Version, Order::Desc);
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.version, Transfer::from).await
        });
        Some(list.await)
    }

    /// When it came in.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}
