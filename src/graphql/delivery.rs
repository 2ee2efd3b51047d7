//! Deliveries: what has left or is to leave Bursar, and what has become of it. What it says is shown to nobody but its
//! recipient.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use bursar_domain::delivery::{
    DeliveryFault, DeliveryKind as Kind, DeliveryState as State, MailTemplate as Template,
};
use bursar_domain::permission::Action;
use bursar_entity::delivery;
use sea_orm::{ColumnTrait, Order, QueryFilter, Select};

use super::connection::{NodeConnection, PageArgs, connection};
use super::errors::{ApiError, UserError, user_error};
use super::node::decode;
use super::scalars::DateTime;
use super::{Request, signed_in};
use crate::db::scope::find_across;
use crate::db::{Scope, Tenant};
use crate::error::Error;
use crate::{global_id, outbox};

/// How something is delivered.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Kind")]
pub enum DeliveryKind {
    /// By e-mail.
    Mail,
}

/// What has become of a delivery.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum DeliveryState {
    /// It is to be delivered, now or when it is due again.
    Pending,
    /// Whoever takes it on has taken it.
    Delivered,
    /// It was refused, or tried too often: nothing more is done until somebody asks for it.
    Dead,
}

/// What a mail says.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Template")]
pub enum MailTemplate {
    /// Somebody is asked whether something may be bought.
    ApprovalWanted,
    /// What has become of a request for approval.
    ApprovalDecided,
    /// Somebody is asked into an organization.
    Invitation,
    /// Money arrived that could not be booked.
    PaymentParked,
    /// What was agreed to can be paid.
    PurchaseToPay,
    /// An organization asks for a price.
    QuoteRequested,
    /// The vendor has answered a quote request.
    QuoteAnswered,
    /// Somebody has to agree that a way of paying is charged.
    TopUpConsent,
    /// A person asked for a link to sign in with.
    SignInLink,
}

/// Which deliveries are wanted.
#[derive(InputObject)]
pub struct DeliveryFilter {
    /// Only those in this state.
    state: Option<DeliveryState>,
}

/// Something that has left or is to leave Bursar.
pub struct Delivery(pub delivery::Model);

impl Delivery {
    /// The delivery with a global id, when the caller may see it.
    pub async fn find(request: &Request, id: &str) -> Result<Delivery, Error> {
        let (caller, id) = (request.caller()?, decode(id, "delivery")?);
        let found = caller.delivery(&request.snapshots, id, Action::ReadDeliveries).await?;
        Ok(Delivery(found.into_value()))
    }
}

/// Something that has left or is to leave Bursar for somebody. Its id is also the id of the event that it tells of:
/// whoever gets it twice sees that it is the same.
#[Object]
impl Delivery {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// How it is delivered.
    async fn kind(&self) -> DeliveryKind {
        self.0.kind.into()
    }

    /// What a mail says. Null for other kinds.
    async fn template(&self) -> Option<MailTemplate> {
        self.0.template.map(Into::into)
    }

    /// To whom: an address. Empty when it is no longer kept.
    async fn recipient(&self) -> &str {
        &self.0.recipient
    }

    /// What has become of it.
    async fn state(&self) -> DeliveryState {
        self.0.state.into()
    }

    /// How often it has been tried since it was made, or asked for again.
    async fn attempts(&self) -> i64 {
        self.0.attempts
    }

    /// When it is tried next. Null when it is not.
    async fn due_at(&self) -> Option<DateTime> {
        (self.0.state == State::Pending).then_some(DateTime(self.0.due_at))
    }

    /// How it failed last. In a mail server's own words for the vendor's staff alone.
    async fn last_error(&self, ctx: &Context<'_>) -> Option<Result<String, ApiError>> {
        let error = self.0.last_error.as_deref()?;
        Some(shown(ctx, error).map(str::to_owned))
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was taken on.
    async fn delivered_at(&self) -> Option<DateTime> {
        self.0.delivered_at.map(DateTime)
    }
}

/// What of an error is shown to the caller.
fn shown<'e>(ctx: &Context<'_>, error: &'e str) -> Result<&'e str, ApiError> {
    if signed_in(ctx)?.caller()?.may_read_all_deliveries().is_ok() {
        return Ok(error);
    }
    Ok(DeliveryFault::of(error).map_or("it could not be delivered", |fault| fault.as_str()))
}

/// The deliveries of an organization, newest first.
pub async fn of_organization(
    ctx: &Context<'_>,
    tenant: Tenant,
    filter: Option<DeliveryFilter>,
    args: PageArgs,
) -> Result<NodeConnection<Delivery>, ApiError> {
    if !signed_in(ctx)?.caller()?.may_in_organization(tenant.id(), Action::ReadDeliveries) {
        return Err(Error::Forbidden.into());
    }
    page(ctx, tenant.into(), tenant.find::<delivery::Entity>(), filter, args).await
}

async fn page(
    ctx: &Context<'_>,
    scope: Scope,
    mut select: Select<delivery::Entity>,
    filter: Option<DeliveryFilter>,
    args: PageArgs,
) -> Result<NodeConnection<Delivery>, ApiError> {
    if let Some(state) = filter.and_then(|filter| filter.state) {
        select = select.filter(delivery::Column::State.eq(State::from(state)));
    }
    let snapshot = signed_in(ctx)?.snapshots.open(scope).await?;
    let order = (delivery::Column::Id, Order::Desc);
    connection(ctx, &snapshot, select, order, args, |row| row.id, Delivery).await
}

/// The part of the root that lists deliveries.
#[derive(Default)]
pub struct DeliveryQuery;

#[Object]
impl DeliveryQuery {
    /// The deliveries of all organizations, and the vendor's own, newest first. For the vendor's staff.
    async fn deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones. Left out: all.")] filter: Option<DeliveryFilter>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Delivery>, ApiError>> {
        let list = Box::pin(async {
            signed_in(ctx)?.caller()?.may_read_all_deliveries()?;
            let args = PageArgs { first, after, last, before };
            page(ctx, Scope::Operator, find_across::<delivery::Entity>(), filter, args).await
        });
        Some(list.await)
    }
}

/// A delivery that is to be tried again.
#[derive(InputObject)]
pub struct ReplayDeliveryInput {
    /// Which delivery.
    delivery_id: ID,
}

/// A delivery that is tried again.
#[derive(SimpleObject)]
pub struct ReplayDeliveryPayload {
    /// The delivery.
    delivery: Option<Delivery>,
    /// Why it is not tried again. Empty when it is.
    user_errors: Vec<UserError>,
}

/// The part of the root that changes deliveries.
#[derive(Default)]
pub struct DeliveryMutation;

#[Object]
impl DeliveryMutation {
    /// Has a delivery tried again, at once, that was given up.
    async fn replay_delivery(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ReplayDeliveryInput,
    ) -> Option<Result<ReplayDeliveryPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let at = |error: Error| error.at("deliveryId");
                let id = decode(&input.delivery_id, "delivery").map_err(at)?;
                let caller = request.caller()?;
                let found = caller.delivery(&request.snapshots, id, Action::ManageDeliveries).await;
                let delivery = found.map_err(at)?;
                request.snapshots.close().await;
                outbox::replay(&request.services.context, &delivery).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => {
                Ok(ReplayDeliveryPayload { delivery: Some(Delivery(value)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| ReplayDeliveryPayload { delivery: None, user_errors: vec![error] }),
        })
    }
}
