//! Holds: credits kept for charges to come.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use bursar_domain::id::HoldId;
use bursar_domain::ledger::HoldState as State;
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{charge, hold};
use sea_orm::{ColumnTrait, Condition, Order, QueryFilter, Select};

use super::audit::Actor;
use super::charge::Charge;
use super::connection::{NodeConnection, PageArgs, connection};
use super::department::Department;
use super::errors::ApiError;
use super::loaders::Key;
use super::member::{Member, member};
use super::node::decode;
use super::pool::{Pool, pool_of};
use super::scalars::{CreditsScalar, DateTime, Json, Version};
use super::{Request, request, signed_in};
use crate::charges::{self, HeldLine};
use crate::db::Tenant;
use crate::error::Error;
use crate::global_id;

/// What has become of a hold.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum HoldState {
    /// It holds credits.
    Open,
    /// It has been captured; what was left was let go.
    Captured,
    /// It was let go by whoever asked for that.
    Voided,
    /// Its time ran out.
    Expired,
}

/// Which holds of a list are wanted.
#[derive(InputObject, Clone, Copy, Debug)]
pub struct HoldFilter {
    /// Those that have become this. Left out: all.
    state: Option<HoldState>,
}

/// The part of a list of holds that is wanted, as things stand at an instant.
pub fn filtered(
    select: Select<hold::Entity>,
    filter: Option<HoldFilter>,
    now: Timestamp,
) -> Select<hold::Entity> {
    let Some(state) = filter.and_then(|filter| filter.state) else { return select };
    let is = |state: State| hold::Column::State.eq(state);
    // A hold expires at its very instant, whenever that is booked.
    select.filter(match State::from(state) {
        State::Open => Condition::all().add(is(State::Open)).add(hold::Column::ExpiresAt.gt(now)),
        State::Expired => {
            let unbooked = Condition::all().add(is(State::Open)).add(hold::Column::ExpiresAt.lte(now));
            Condition::any().add(is(State::Expired)).add(unbooked)
        }
        state @ (State::Captured | State::Voided) => Condition::all().add(is(state)),
    })
}

/// Credits kept for charges to come.
pub struct Hold(pub hold::Model);

impl Hold {
    /// The hold with a global id, when the caller may see the pool's movements or the department's charges.
    pub async fn find(request: &Request, id: &str) -> Result<Hold, Error> {
        let (caller, id) = (request.caller()?, decode::<HoldId>(id, "hold")?);
        let condition = hold::Column::Id.eq(id);
        let organization = |row: &hold::Model| row.organization_id;
        let found = caller.row::<hold::Entity>(&request.snapshots, condition, organization, "hold").await?;
        let (organization, row) = found;
        let seen = caller.may_read_use(organization, row.pool_id, row.department_id);
        if seen { Ok(Hold(row)) } else { Err(Error::not_found("hold")) }
    }

    fn tenant(&self) -> Tenant {
        // Only holds that the caller may see become objects.
        Tenant::vouched(self.0.organization_id)
    }
}

/// A hold: credits kept for charges to come, at the prices of the moment in which it was made.
#[Object]
impl Hold {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The pool.
    async fn pool(&self, ctx: &Context<'_>) -> Option<Result<Pool, ApiError>> {
        pool_of(ctx, self.0.pool_id).await
    }

    /// The department whose credits are held. Null: those that no department has.
    async fn department(&self, ctx: &Context<'_>) -> Option<Result<Department, ApiError>> {
        let load = Box::pin(async {
            let Some(department) = self.0.department_id else { return Ok(None) };
            let key = Key(self.0.organization_id, department);
            Ok(request(ctx)?.rows.load_one(key).await?.map(Department))
        });
        load.await.transpose()
    }

    /// What may be charged at most, with the prices that hold for it.
    async fn lines(&self) -> Result<Vec<HoldLine>, ApiError> {
        Ok(charges::held_lines(&self.0)?.into_iter().map(HoldLine::from).collect())
    }

    /// How many credits were held.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.0.credits)
    }

    /// How many of them have been charged.
    async fn captured(&self) -> CreditsScalar {
        CreditsScalar(self.0.captured)
    }

    /// How many of them are still held. None once it has come to its end.
    async fn remaining(&self, ctx: &Context<'_>) -> Result<CreditsScalar, ApiError> {
        Ok(CreditsScalar(charges::remaining(&self.0, request(ctx)?.now())))
    }

    /// What has become of it.
    async fn state(&self, ctx: &Context<'_>) -> Result<HoldState, ApiError> {
        Ok(charges::state_at(&self.0, request(ctx)?.now()).into())
    }

    /// The job's id at the caller's, unique in the organization. The charges that capture it show it too.
    async fn reference(&self) -> Option<&str> {
        self.0.reference.as_deref()
    }

    /// The property or listing.
    async fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// What the caller attached.
    async fn metadata(&self) -> Result<Option<Json>, ApiError> {
        let parse = |json: &str| serde_json::from_str(json).map(Json);
        let parsed = self.0.metadata.as_deref().map(parse).transpose();
        parsed.map_err(|error| Error::internal(format!("metadata of a hold: {error}")).into())
    }

    /// Who made it.
    async fn actor(&self) -> Actor {
        Actor::new(self.0.organization_id, self.0.actor_kind, self.0.actor_id)
    }

    /// On whose behalf.
    async fn on_behalf_of(&self, ctx: &Context<'_>) -> Option<Result<Member, ApiError>> {
        let load = Box::pin(async {
            let Some(user) = self.0.on_behalf_of else { return Ok(None) };
            member(signed_in(ctx)?, self.0.organization_id, user).await
        });
        load.await.transpose()
    }

    /// From when on it holds no more.
    async fn expires_at(&self) -> DateTime {
        DateTime(self.0.expires_at)
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it came to its end.
    async fn closed_at(&self, ctx: &Context<'_>) -> Result<Option<DateTime>, ApiError> {
        Ok(match charges::state_at(&self.0, request(ctx)?.now()) {
            State::Open => None,
            State::Expired => Some(DateTime(self.0.expires_at)),
            State::Captured | State::Voided => self.0.closed_at.map(DateTime),
        })
    }

    /// The version of the pool after it was made.
    async fn version(&self) -> Version {
        Version(self.0.version)
    }

    /// The charges that capture it, oldest first.
    async fn charges(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Charge>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let select = self.tenant().find::<charge::Entity>().filter(charge::Column::HoldId.eq(self.0.id));
            let (order, page) = ((charge::Column::Id, Order::Asc), PageArgs { first, after, last, before });
            connection(ctx, &snapshot, select, order, page, |row| row.id, Charge::from).await
        });
        Some(list.await)
    }
}

/// A line of a hold.
#[derive(SimpleObject)]
pub struct HoldLine {
    /// The service's code.
    service: String,
    /// How many units may be charged at most.
    quantity: i32,
    /// Credits per unit.
    credits_each: CreditsScalar,
    /// Credits of the line.
    credits: CreditsScalar,
    /// How many units have been charged.
    captured_quantity: i32,
}

impl From<HeldLine> for HoldLine {
    fn from(HeldLine { line, captured }: HeldLine) -> HoldLine {
        let credits = |value| CreditsScalar(Credits::new(value).unwrap_or_default());
        let units = |units| i32::try_from(units).unwrap_or(i32::MAX);
        HoldLine {
            service: line.code,
            quantity: units(line.quantity),
            credits_each: credits(line.each),
            credits: credits(line.credits),
            captured_quantity: units(captured),
        }
    }
}
