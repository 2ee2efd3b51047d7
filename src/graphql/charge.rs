//! Charges.

use async_graphql::{Context, ID, Object, SimpleObject};
use bursar_domain::id::ChargeId;
use bursar_domain::ledger::PricedLine;
use bursar_domain::{Credits, Money};
use bursar_entity::{charge, hold, journal_entry, transfer};
use sea_orm::{ColumnTrait, Order, QueryFilter};

use super::audit::Actor;
use super::connection::{NodeConnection, PageArgs, connection};
use super::department::Department;
use super::errors::ApiError;
use super::explanation::{self, ChargeExplanation};
use super::hold::Hold;
use super::loaders::{Key, RefundsOf};
use super::lot::Lot;
use super::member::{Member, member};
use super::node::decode;
use super::organization::Organization;
use super::pool::{Pool, pool_of};
use super::refund::Refund;
use super::scalars::{CreditsScalar, DateTime, Json, MoneyObject, Version};
use super::{Request, request, signed_in};
use crate::db::Tenant;
use crate::error::Error;
use crate::ledger::Line;
use crate::{global_id, ledger};

/// The most refunds of a charge that are listed.
const MOST_REFUNDS: usize = 100;

/// A charge.
pub struct Charge {
    row: charge::Model,
    /// Its transfers, when they are known already: a rehearsed charge's are nowhere else.
    transfers: Option<Vec<transfer::Model>>,
    /// A refund of it that was rehearsed, which is nowhere else either.
    rehearsed_refund: Option<journal_entry::Model>,
}

impl From<charge::Model> for Charge {
    fn from(row: charge::Model) -> Charge {
        Charge { row, transfers: None, rehearsed_refund: None }
    }
}

impl Charge {
    /// A charge that has just been booked, or rehearsed, with its transfers.
    pub fn booked(row: charge::Model, mut transfers: Vec<transfer::Model>) -> Charge {
        // What followed from it, as the end of a hold follows from its last capture, is not its own.
        transfers.retain(|transfer| (row.version - row.slices + 1..=row.version).contains(&transfer.version));
        Charge { row, transfers: Some(transfers), rehearsed_refund: None }
    }

    /// The same charge with a refund that was rehearsed.
    pub fn refunding(self, refund: journal_entry::Model) -> Charge {
        Charge { rehearsed_refund: Some(refund), ..self }
    }

    /// The charge with a global id, when the caller may see the pool's movements or the department's
    /// charges.
    pub async fn find(request: &Request, id: &str) -> Result<Charge, Error> {
        let (caller, id) = (request.caller()?, decode::<ChargeId>(id, "charge")?);
        let condition = charge::Column::Id.eq(id);
        let organization = |row: &charge::Model| row.organization_id;
        let found =
            caller.row::<charge::Entity>(&request.snapshots, condition, organization, "charge").await?;
        let (organization, row) = found;
        let seen = caller.may_read_use(organization, row.pool_id, row.department_id);
        if seen { Ok(row.into()) } else { Err(Error::not_found("charge")) }
    }

    fn tenant(&self) -> Tenant {
        // Only charges that the caller may see become objects.
        Tenant::vouched(self.row.organization_id)
    }

    async fn own_transfers(&self, request: &Request) -> Result<Vec<transfer::Model>, Error> {
        if let Some(transfers) = &self.transfers {
            return Ok(transfers.clone());
        }
        let snapshot = request.snapshots.open(self.tenant()).await?;
        ledger::charge_transfers(&snapshot, self.tenant(), &self.row).await
    }

    async fn hold_row(&self, ctx: &Context<'_>) -> Result<Option<hold::Model>, ApiError> {
        let Some(hold) = self.row.hold_id else { return Ok(None) };
        Ok(request(ctx)?.rows.load_one(Key(self.row.organization_id, hold)).await?)
    }

    /// The rows of its refunds, oldest first.
    async fn refund_rows(&self, ctx: &Context<'_>) -> Result<Vec<journal_entry::Model>, ApiError> {
        let key = Key(self.row.organization_id, RefundsOf(self.row.id));
        let mut rows = request(ctx)?.rows.load_one(key).await?.unwrap_or_default();
        rows.extend(self.rehearsed_refund.clone());
        Ok(rows)
    }

    async fn refunded_credits(&self, ctx: &Context<'_>) -> Result<Credits, ApiError> {
        let rows = self.refund_rows(ctx).await?;
        Ok(rows.iter().fold(Credits::ZERO, |sum, row| sum.saturating_add(row.credits)))
    }
}

/// A charge: credits used for services.
#[Object]
impl Charge {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.row.id))
    }

    /// The pool.
    async fn pool(&self, ctx: &Context<'_>) -> Option<Result<Pool, ApiError>> {
        pool_of(ctx, self.row.pool_id).await
    }

    /// The department whose credits were used. Null: those that no department has.
    async fn department(&self, ctx: &Context<'_>) -> Option<Result<Department, ApiError>> {
        let load = Box::pin(async {
            let Some(department) = self.row.department_id else { return Ok(None) };
            let key = Key(self.row.organization_id, department);
            Ok(request(ctx)?.rows.load_one(key).await?.map(Department))
        });
        load.await.transpose()
    }

    /// What was done, with the prices of that moment.
    async fn lines(&self) -> Result<Vec<ChargeLine>, ApiError> {
        Ok(ledger::decode_lines(&self.row)?.into_iter().map(ChargeLine::from).collect())
    }

    /// What it cost.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.row.credits)
    }

    /// The job's id at the caller's, unique in the organization. The charges that capture a hold show the
    /// hold's.
    async fn reference(&self, ctx: &Context<'_>) -> Option<Result<String, ApiError>> {
        if let Some(reference) = &self.row.reference {
            return Some(Ok(reference.clone()));
        }
        Box::pin(self.hold_row(ctx)).await.map(|row| row.and_then(|row| row.reference)).transpose()
    }

    /// The hold that it captures.
    async fn hold(&self, ctx: &Context<'_>) -> Option<Result<Hold, ApiError>> {
        Box::pin(self.hold_row(ctx)).await.map(|row| row.map(Hold)).transpose()
    }

    /// The property or listing.
    async fn subject(&self) -> Option<&str> {
        self.row.subject.as_deref()
    }

    /// What the caller attached.
    async fn metadata(&self) -> Result<Option<Json>, ApiError> {
        let parse = |json: &str| serde_json::from_str(json).map(Json);
        let parsed = self.row.metadata.as_deref().map(parse).transpose();
        parsed.map_err(|error| Error::internal(format!("metadata of a charge: {error}")).into())
    }

    /// Who made it.
    async fn actor(&self) -> Actor {
        Actor::new(self.row.organization_id, self.row.actor_kind, self.row.actor_id)
    }

    /// On whose behalf.
    async fn on_behalf_of(&self, ctx: &Context<'_>) -> Option<Result<Member, ApiError>> {
        let load = Box::pin(async {
            let Some(user) = self.row.on_behalf_of else { return Ok(None) };
            member(signed_in(ctx)?, self.row.organization_id, user).await
        });
        load.await.transpose()
    }

    /// The lots that it took credits of, in the order of use.
    async fn slices(&self, ctx: &Context<'_>) -> Option<Result<Vec<LotSlice>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let transfers = self.own_transfers(request).await?;
            let keys = transfers.iter().map(|transfer| Key(self.row.organization_id, transfer.lot_id));
            let lots = request.rows.load_many(keys).await?;
            // What a department's people may see of a charge is not the whole lot.
            let shown = request.caller()?.may_read_ledger(self.row.organization_id, self.row.pool_id);
            let slice = |transfer: transfer::Model| {
                let lot = lots.get(&Key(self.row.organization_id, transfer.lot_id)).cloned();
                let currency = lot.as_ref().and_then(|lot| lot.currency);
                LotSlice {
                    lot: lot.filter(|_| shown).map(Lot),
                    credits: CreditsScalar(transfer.credits),
                    cost: currency.map(|currency| Money { minor: transfer.cost, currency }.into()),
                    version: Version(transfer.version),
                }
            };
            Ok(transfers.into_iter().map(slice).collect())
        });
        Some(list.await)
    }

    /// What has been given back of it, oldest first, at most 100.
    async fn refunds(&self, ctx: &Context<'_>) -> Option<Result<Vec<Refund>, ApiError>> {
        let list = Box::pin(async {
            let rows = self.refund_rows(ctx).await?;
            Ok(rows.into_iter().take(MOST_REFUNDS).map(Refund::from).collect())
        });
        Some(list.await)
    }

    /// How many of its credits have been given back.
    async fn refunded(&self, ctx: &Context<'_>) -> Result<CreditsScalar, ApiError> {
        Box::pin(self.refunded_credits(ctx)).await.map(CreditsScalar)
    }

    /// How many of its credits can still be given back.
    async fn refundable(&self, ctx: &Context<'_>) -> Result<CreditsScalar, ApiError> {
        let refunded = Box::pin(self.refunded_credits(ctx)).await?;
        Ok(CreditsScalar(self.row.credits.saturating_sub(refunded)))
    }

    /// Which prices it was made at, and which lots it took and why.
    async fn explanation(&self, ctx: &Context<'_>) -> Option<Result<ChargeExplanation, ApiError>> {
        let explain = Box::pin(async {
            let request = signed_in(ctx)?;
            let transfers = self.own_transfers(request).await?;
            explanation::of_charge(request, &self.row, transfers).await
        });
        Some(explain.await)
    }

    /// When it was booked.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// The version of the pool after its last slice.
    async fn version(&self) -> Version {
        Version(self.row.version)
    }
}

/// A line of a charge.
#[derive(SimpleObject)]
pub struct ChargeLine {
    /// The service's code.
    service: String,
    /// How many units.
    quantity: i32,
    /// Credits per unit.
    credits_each: CreditsScalar,
    /// Credits of the line.
    credits: CreditsScalar,
}

impl From<Line> for ChargeLine {
    fn from(line: Line) -> ChargeLine {
        let credits = |value| CreditsScalar(Credits::new(value).unwrap_or_default());
        ChargeLine {
            service: line.code,
            quantity: i32::try_from(line.quantity).unwrap_or(i32::MAX),
            credits_each: credits(line.each),
            credits: credits(line.credits),
        }
    }
}

impl From<PricedLine> for ChargeLine {
    fn from(line: PricedLine) -> ChargeLine {
        ChargeLine {
            service: line.code,
            quantity: i32::try_from(line.quantity).unwrap_or(i32::MAX),
            credits_each: CreditsScalar(line.credits_each),
            credits: CreditsScalar(line.credits),
        }
    }
}

/// Credits taken of one lot.
#[derive(SimpleObject)]
pub struct LotSlice {
    /// The lot. Null for those who do not see the pool's lots.
    lot: Option<Lot>,
    /// How many credits.
    credits: CreditsScalar,
    /// What they cost when they were bought. Null when nothing was paid for the lot.
    cost: Option<MoneyObject>,
    /// The version of the pool after this slice.
    version: Version,
}

/// The charges of an organization that the caller may see, newest first.
pub async fn of_organization(
    ctx: &Context<'_>,
    organization: &Organization,
    args: PageArgs,
) -> Result<NodeConnection<Charge>, ApiError> {
    let request = signed_in(ctx)?;
    let seen = organization.seen_uses(request)?;
    let seen = seen.condition(charge::Column::PoolId, charge::Column::DepartmentId);
    let (tenant, order) = (organization.tenant(), (charge::Column::Id, Order::Desc));
    let select = tenant.find::<charge::Entity>().filter(seen);
    let snapshot = request.snapshots.open(tenant).await?;
    connection(ctx, &snapshot, select, order, args, |row| row.id, Charge::from).await
}
