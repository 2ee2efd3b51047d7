//! Money that arrived and could not be booked, and what the vendor's staff decides about it. It is the vendor's: nobody
//! else is shown any of it.

use async_graphql::{Context, Enum, ID, InputObject, Object, OneofObject, SimpleObject};
use bursar_domain::Currency;
use bursar_domain::id::{ParkedPaymentId, PurchaseId};
use bursar_domain::permission::Action;
use bursar_domain::purchase as states;
use bursar_entity::{parked_payment, purchase};
use rust_decimal::Decimal as RustDecimal;
use sea_orm::{ColumnTrait, Order, QueryFilter};

use super::connection::{NodeConnection, PageArgs, connection};
use super::errors::{ApiError, UserError, user_error};
use super::member::User;
use super::node::{authorized, decode, found};
use super::payment::PaymentProvider;
use super::purchase::Purchase;
use super::scalars::{DateTime, Decimal, IdempotencyKey};
use super::{Request, request, signed_in};
use crate::db::Tenant;
use crate::error::Error;
use crate::global_id;
use crate::purchases::{self, ParkedResolution as Resolution, ResolveParked};

/// Why money that arrived could not be booked.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::ParkedReason")]
pub enum ParkedPaymentReason {
    /// It names no payment of ours.
    Unknown,
    /// It is another amount than agreed on.
    AmountMismatch,
    /// It is in another currency.
    CurrencyMismatch,
    /// It names another organization than the one that buys.
    OrganizationMismatch,
    /// It was paid already, by another payment.
    PaidTwice,
    /// The purchase had come to its end before.
    PurchaseClosed,
    /// A refund or dispute is of no payment of ours, or says something that cannot be.
    ReversalMismatch,
    /// It may have been taken: the provider that was asked to charge it is no longer set up. It is named by the id of the
    /// payment. When it was taken, it is booked for the purchase that was charged; else it is dismissed.
    ProviderGone,
    /// It is said in a way that is not known: a state that is new, or something of another shape. The detail says what.
    NotUnderstood,
}

/// What has become of money that could not be booked.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::ParkedState")]
pub enum ParkedPaymentState {
    /// Nobody has decided yet.
    Open,
    /// It was booked for a purchase after all.
    Applied,
    /// It was given back, or dealt with elsewhere.
    Dismissed,
}

/// Money that arrived and could not be booked.
pub struct ParkedPayment(pub parked_payment::Model);

impl ParkedPayment {
    /// The money with a global id, for the vendor's staff.
    pub async fn find(request: &Request, id: &str) -> Result<ParkedPayment, Error> {
        let missing = || Error::not_found("parked payment");
        let id: ParkedPaymentId = decode(id, "parked payment")?;
        // Nobody else may know that there is such a thing.
        let vendor = request.caller()?.vendor(Action::SettlePayments).map_err(|_| missing())?;
        let snapshot = request.snapshots.open(vendor.tenant()).await?;
        let rows = vendor.tenant().find::<parked_payment::Entity>();
        let row = rows.filter(parked_payment::Column::Id.eq(id)).one(&*snapshot).await?;
        Ok(ParkedPayment(row.ok_or_else(missing)?))
    }
}

/// Money that arrived and could not be booked: unknown, other than agreed on, or paid twice.
#[Object]
impl ParkedPayment {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// Who has taken it.
    async fn provider(&self) -> PaymentProvider {
        self.0.provider.into()
    }

    /// The provider's own name of the payment; of a refund or a dispute: of that. Behind the name of what is not
    /// understood stands the state in which it is.
    async fn provider_reference(&self) -> &str {
        &self.0.provider_reference
    }

    /// Why it could not be booked.
    async fn reason(&self) -> ParkedPaymentReason {
        self.0.reason.into()
    }

    /// What was expected and what came, in words.
    async fn detail(&self) -> &str {
        &self.0.detail
    }

    /// How much: in the currency when it is one that Bursar knows, else in its minor units.
    async fn amount(&self) -> Decimal {
        let exponent = Currency::parse(&self.0.currency).map_or(0, |currency| currency.exponent());
        Decimal(RustDecimal::new(self.0.amount, exponent))
    }

    /// The currency, as the provider names it.
    async fn currency(&self) -> &str {
        &self.0.currency
    }

    /// The organization that it names, as it does.
    async fn claimed_organization(&self) -> Option<&str> {
        self.0.claimed_organization.as_deref()
    }

    /// The payment that it names, as it does; or the one of ours that the provider's name of it is known by.
    async fn claimed_payment(&self) -> Option<&str> {
        self.0.claimed_payment.as_deref()
    }

    /// What has become of it.
    async fn state(&self) -> ParkedPaymentState {
        self.0.state.into()
    }

    /// What was decided about it, in words.
    async fn resolution(&self) -> Option<&str> {
        self.0.resolution.as_deref()
    }

    /// Who has decided.
    async fn resolved_by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let find = Box::pin(async {
            let Some(id) = self.0.resolved_by else { return Ok(None) };
            found(User::find(request(ctx)?, &global_id::encode(id)).await)
        });
        find.await.transpose()
    }

    /// When that was.
    async fn resolved_at(&self) -> Option<DateTime> {
        self.0.resolved_at.map(DateTime)
    }

    /// When it came.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

/// The part of the root that lists money that could not be booked.
#[derive(Default)]
pub struct ParkedPaymentQuery;

#[Object]
impl ParkedPaymentQuery {
    /// Money that arrived and could not be booked, newest first. For the vendor's staff.
    async fn parked_payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only what is in this state. Left out: all.")] state: Option<ParkedPaymentState>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<ParkedPayment>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let vendor = request.caller()?.vendor(Action::SettlePayments)?.tenant();
            let mut select = vendor.find::<parked_payment::Entity>();
            if let Some(state) = state {
                select = select.filter(parked_payment::Column::State.eq(states::ParkedState::from(state)));
            }
            let snapshot = request.snapshots.open(vendor).await?;
            let args = PageArgs { first, after, last, before };
            let order = (parked_payment::Column::Id, Order::Desc);
            connection(ctx, &snapshot, select, order, args, |row| row.id, ParkedPayment).await
        });
        Some(list.await)
    }
}

/// What is decided about money that could not be booked: exactly one of these.
#[derive(OneofObject)]
pub enum ParkedPaymentResolution {
    /// It pays this purchase, which is waiting to be paid. It must not be more than that costs; when it is less, the
    /// vendor accepts it as the price.
    PurchaseId(ID),
    /// It was given back, or dealt with elsewhere; must be true.
    Dismiss(bool),
}

/// A decision about money that could not be booked.
#[derive(InputObject)]
pub struct ResolveParkedPaymentInput {
    /// Which money.
    parked_payment_id: ID,
    /// What is decided.
    resolution: ParkedPaymentResolution,
    /// Why.
    note: String,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// Money about which somebody has decided.
#[derive(SimpleObject, Default)]
pub struct ResolveParkedPaymentPayload {
    /// The money.
    parked_payment: Option<ParkedPayment>,
    /// The purchase that it pays. Null when it pays none.
    purchase: Option<Purchase>,
    /// Whether it had been decided so before.
    replayed: bool,
    /// Why it was not decided. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that decides about money that could not be booked.
#[derive(Default)]
pub struct ParkedPaymentMutation;

#[Object]
impl ParkedPaymentMutation {
    /// Decides about money that arrived and could not be booked: it pays a purchase after all, or is dismissed. For the
    /// vendor's staff.
    async fn resolve_parked_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, and what is decided.")] input: ResolveParkedPaymentInput,
    ) -> Option<Result<ResolveParkedPaymentPayload, ApiError>> {
        let outcome = Box::pin(async { resolve(signed_in(ctx)?, input).await });
        Some(outcome.await.or_else(|error| {
            user_error(error)
                .map(|error| ResolveParkedPaymentPayload { user_errors: vec![error], ..Default::default() })
        }))
    }
}

async fn resolve(
    request: &Request,
    input: ResolveParkedPaymentInput,
) -> Result<ResolveParkedPaymentPayload, Error> {
    let vendor = request.caller()?.vendor(Action::SettlePayments)?;
    let id = decode(&input.parked_payment_id, "parked payment");
    let id: ParkedPaymentId = id.map_err(|error: Error| error.at("parkedPaymentId"))?;
    let resolution = match input.resolution {
        ParkedPaymentResolution::PurchaseId(purchase) => {
            let found = authorized::<purchase::Model>(request, &purchase, Action::SettlePayments).await;
            let found = found.map_err(|error| error.at("resolution.purchaseId"))?;
            let (purchase, tenant): (PurchaseId, Tenant) = (found.id, found.tenant());
            Resolution::Apply { purchase, tenant }
        }
        ParkedPaymentResolution::Dismiss(true) => Resolution::Dismiss,
        ParkedPaymentResolution::Dismiss(false) => {
            return Err(Error::invalid("resolution.dismiss", "must be true"));
        }
    };
    let key = input.idempotency_key.0;
    let decision = ResolveParked { resolution, note: input.note, key, dry_run: input.dry_run };
    // What comes next is a write.
    request.snapshots.close().await;
    let resolved = purchases::resolve_parked(&request.services.selling, vendor.actor(), id, decision).await?;
    Ok(ResolveParkedPaymentPayload {
        parked_payment: Some(ParkedPayment(resolved.parked)),
        purchase: resolved.purchase.map(Purchase::stored),
        replayed: resolved.replayed,
        user_errors: Vec::new(),
    })
}
