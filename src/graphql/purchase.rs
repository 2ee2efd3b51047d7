//! Purchases and payments.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use bursar_domain::Money;
use bursar_domain::id::{PaymentId, PurchaseId};
use bursar_domain::permission::Action;
use bursar_domain::purchase as states;
use bursar_entity::{lot, payment, purchase};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::catalog::Package;
use super::credit_request::CreditRequest;
use super::errors::{ApiError, UserError, user_error};
use super::lot::Lot;
use super::member::User;
use super::node::{decode, found};
use super::pool::{self, Pool, pool_of};
use super::scalars::{CreditsScalar, DateTime, IdempotencyKey, MoneyObject};
use super::{Request, request, signed_in};
use crate::auth::Authorized;
use crate::db::Tenant;
use crate::error::Error;
use crate::purchases::{self, CheckoutLink, PurchaseRequest, StartCheckout};
use crate::{catalog, global_id};

/// Where a purchase stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::PurchaseState")]
pub enum PurchaseState {
    /// Waits for the people whom the approval policy names.
    PendingApproval,
    /// May be paid.
    Approved,
    /// A checkout is open, or an invoice is out.
    AwaitingPayment,
    /// Paid, and the credits are in the pool, or come into it when it is opened again.
    Completed,
    /// An approver said no.
    Rejected,
    /// Withdrawn before it was paid.
    Cancelled,
    /// Not paid while its price was valid.
    Expired,
    /// The payment provider reported a final failure.
    PaymentFailed,
    /// The payment was returned.
    Refunded,
}

/// Why a purchase counts as approved.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::ApprovalBasis")]
pub enum ApprovalBasis {
    /// No rule of an approval policy asked for anybody's consent.
    Automatic,
}

/// Who takes the money.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::PaymentProvider")]
pub enum PaymentProvider {
    /// The embedded checkout page, which moves no real money.
    Sandbox,
}

/// Where an attempt at paying stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::PaymentState")]
pub enum PaymentState {
    /// The checkout page can be paid or cancelled.
    Open,
    /// The money is there.
    Paid,
    /// Given up, or replaced by another attempt.
    Cancelled,
}

/// A purchase of credits.
pub struct Purchase(pub purchase::Model);

impl Purchase {
    /// The purchase with a global id, when the caller may see purchases of the pool.
    pub async fn find(request: &Request, id: &str) -> Result<Purchase, Error> {
        Ok(Purchase(authorized(request, id, Action::ReadPurchases).await?.into_value()))
    }

    fn tenant(&self) -> Tenant {
        // Only purchases that the caller may see become objects.
        Tenant::vouched(self.0.organization_id)
    }
}

/// A purchase by its global id, for an action on it.
async fn authorized(
    request: &Request,
    id: &str,
    action: Action,
) -> Result<Authorized<purchase::Model>, Error> {
    let id: PurchaseId = decode(id, "purchase")?;
    request.caller()?.purchase(&request.snapshots, id, action).await
}

/// A purchase of credits.
#[Object]
impl Purchase {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The pool that the credits are for.
    async fn pool(&self, ctx: &Context<'_>) -> Option<Result<Pool, ApiError>> {
        pool_of(ctx, self.0.pool_id).await
    }

    /// What is bought, in the version that was requested.
    async fn package(&self, ctx: &Context<'_>) -> Option<Result<Package, ApiError>> {
        let find = Box::pin(async {
            let snapshot = request(ctx)?.snapshots.open(self.tenant()).await?;
            Ok(catalog::package_of_version(&snapshot, self.0.package_version_id).await?.map(Package))
        });
        find.await.transpose()
    }

    /// Where it stands.
    async fn state(&self) -> PurchaseState {
        self.0.state.into()
    }

    /// Why it counts as approved. Null while it does not.
    async fn approval_basis(&self) -> Option<ApprovalBasis> {
        self.0.approval_basis.map(ApprovalBasis::from)
    }

    /// How many credits, as requested.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.0.credits)
    }

    /// The price, as requested.
    async fn total(&self) -> MoneyObject {
        Money { minor: self.0.total, currency: self.0.currency }.into()
    }

    /// Who asked for it, as long as they belong to the organization.
    async fn requested_by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load = Box::pin(async {
            let request = signed_in(ctx)?;
            super::member::person(request, self.0.organization_id, self.0.requested_by).await
        });
        load.await.transpose()
    }

    /// Why it is wanted.
    async fn note(&self) -> Option<&str> {
        self.0.note.as_deref()
    }

    /// The credit request that it answers. Null for those who may not see it.
    async fn credit_request(&self, ctx: &Context<'_>) -> Option<Result<CreditRequest, ApiError>> {
        let find = Box::pin(async {
            let Some(id) = self.0.credit_request_id else { return Ok(None) };
            found(CreditRequest::find(request(ctx)?, &global_id::encode(id)).await)
        });
        find.await.transpose()
    }

    /// Until when the price holds.
    async fn valid_until(&self) -> DateTime {
        DateTime(self.0.valid_until)
    }

    /// When it was asked for.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was paid and the credits came in.
    async fn completed_at(&self) -> Option<DateTime> {
        self.0.completed_at.map(DateTime)
    }

    /// The credits that came in with it.
    async fn lot(&self, ctx: &Context<'_>) -> Option<Result<Lot, ApiError>> {
        let find = Box::pin(async {
            let request = signed_in(ctx)?;
            if !request.caller()?.may_read_ledger(self.0.organization_id, self.0.pool_id) {
                return Ok(None);
            }
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let row = self.tenant().find::<lot::Entity>().filter(lot::Column::PurchaseId.eq(self.0.id));
            Ok(row.one(&*snapshot).await.map_err(Error::from)?.map(Lot))
        });
        find.await.transpose()
    }

    /// The attempts at paying it, newest first.
    async fn payments(&self, ctx: &Context<'_>) -> Option<Result<Vec<Payment>, ApiError>> {
        let list = Box::pin(async {
            let snapshot = request(ctx)?.snapshots.open(self.tenant()).await?;
            let rows = self
                .tenant()
                .find::<payment::Entity>()
                .filter(payment::Column::PurchaseId.eq(self.0.id))
                .order_by_desc(payment::Column::Id);
            let rows = rows.all(&*snapshot).await.map_err(Error::from)?;
            Ok(rows.into_iter().map(Payment).collect())
        });
        Some(list.await)
    }
}

/// An attempt at paying a purchase.
pub struct Payment(pub payment::Model);

impl Payment {
    /// The payment with a global id, when the caller may see the purchase.
    pub async fn find(request: &Request, id: &str) -> Result<Payment, Error> {
        let (caller, id) = (request.caller()?, decode::<PaymentId>(id, "payment")?);
        let condition = payment::Column::Id.eq(id);
        let organization = |row: &payment::Model| row.organization_id;
        let found =
            caller.row::<payment::Entity>(&request.snapshots, condition, organization, "payment").await?;
        let (_, row) = found;
        let purchase = caller.purchase(&request.snapshots, row.purchase_id, Action::ReadPurchases).await;
        match purchase {
            Ok(_) => Ok(Payment(row)),
            Err(_) => Err(Error::not_found("payment")),
        }
    }
}

/// An attempt at paying a purchase.
#[Object]
impl Payment {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The purchase.
    async fn purchase(&self, ctx: &Context<'_>) -> Option<Result<Purchase, ApiError>> {
        let find =
            async { found(Purchase::find(request(ctx)?, &global_id::encode(self.0.purchase_id)).await) };
        find.await.transpose()
    }

    /// Who takes the money.
    async fn provider(&self) -> PaymentProvider {
        self.0.provider.into()
    }

    /// Where it stands.
    async fn state(&self) -> PaymentState {
        self.0.state.into()
    }

    /// How much.
    async fn amount(&self) -> MoneyObject {
        Money { minor: self.0.amount, currency: self.0.currency }.into()
    }

    /// When it was started.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When the money arrived.
    async fn paid_at(&self) -> Option<DateTime> {
        self.0.paid_at.map(DateTime)
    }
}

/// What is to be bought.
#[derive(InputObject)]
pub struct RequestPurchaseInput {
    /// For which pool.
    pool_id: ID,
    /// The package's code.
    package: String,
    /// Why it is wanted.
    note: Option<String>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A purchase to be paid.
#[derive(InputObject)]
pub struct StartCheckoutInput {
    /// Which purchase.
    purchase_id: ID,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A purchase to be withdrawn.
#[derive(InputObject)]
pub struct CancelPurchaseInput {
    /// Which purchase.
    purchase_id: ID,
}

/// A purchase that was requested.
#[derive(SimpleObject, Default)]
pub struct RequestPurchasePayload {
    /// The purchase.
    purchase: Option<Purchase>,
    /// Whether it had been requested before, under the same key.
    replayed: bool,
    /// Why it was not requested. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A checkout that was started.
#[derive(SimpleObject, Default)]
pub struct StartCheckoutPayload {
    /// The purchase.
    purchase: Option<Purchase>,
    /// The attempt at paying it.
    payment: Option<Payment>,
    /// Where the purchase can be paid. Whoever has this address may pay or cancel. Null in a dry run.
    checkout_url: Option<String>,
    /// Whether it had been started before, under the same key.
    replayed: bool,
    /// Why it was not started. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A purchase that was withdrawn.
#[derive(SimpleObject)]
pub struct CancelPurchasePayload {
    /// The purchase.
    purchase: Option<Purchase>,
    /// Why it was not withdrawn. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that buys.
#[derive(Default)]
pub struct PurchaseMutation;

#[Object]
impl PurchaseMutation {
    /// Requests a package for a pool: pins what is bought and for how much.
    async fn request_purchase(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to buy.")] input: RequestPurchaseInput,
    ) -> Option<Result<RequestPurchasePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let pool = pool::authorized(request, &input.pool_id, Action::ManagePurchases).await;
            let pool = pool.map_err(|error| error.at("poolId"))?;
            let wanted = PurchaseRequest {
                package: input.package,
                note: input.note,
                key: input.idempotency_key.0,
                dry_run: input.dry_run,
            };
            request.snapshots.close().await;
            purchases::request(&request.services.context, &pool, wanted).await
        });
        Some(match outcome.await {
            Ok(requested) => Ok(RequestPurchasePayload {
                purchase: Some(Purchase(requested.purchase)),
                replayed: requested.replayed,
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| RequestPurchasePayload { user_errors: vec![error], ..Default::default() }),
        })
    }

    /// Starts a checkout of a purchase and answers the address of its page. An earlier one that is still
    /// open is closed.
    async fn start_checkout(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to pay.")] input: StartCheckoutInput,
    ) -> Option<Result<StartCheckoutPayload, ApiError>> {
        let dry_run = input.dry_run;
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let purchase = managed(request, &input.purchase_id).await?;
            let start = StartCheckout { key: input.idempotency_key.0, dry_run };
            let started = purchases::start_checkout(&request.services.context, &purchase, start).await?;
            let services = &request.services;
            let link = CheckoutLink::new(&services.keys, &started.payment);
            Ok((started, services.config.link(&link.path())))
        });
        Some(match outcome.await {
            Ok((started, url)) => Ok(StartCheckoutPayload {
                purchase: Some(Purchase(started.purchase)),
                payment: Some(Payment(started.payment)),
                checkout_url: (!dry_run).then_some(url),
                replayed: started.replayed,
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| StartCheckoutPayload { user_errors: vec![error], ..Default::default() }),
        })
    }

    /// Withdraws a purchase before it is paid.
    async fn cancel_purchase(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: CancelPurchaseInput,
    ) -> Option<Result<CancelPurchasePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let purchase = managed(request, &input.purchase_id).await?;
            purchases::cancel(&request.services.context, &purchase).await
        });
        Some(match outcome.await {
            Ok(value) => {
                Ok(CancelPurchasePayload { purchase: Some(Purchase(value)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| CancelPurchasePayload { purchase: None, user_errors: vec![error] }),
        })
    }
}

/// A purchase for a change; the snapshot is closed, since what comes next is a write.
async fn managed(request: &Request, id: &str) -> Result<Authorized<purchase::Model>, Error> {
    let purchase = authorized(request, id, Action::ManagePurchases).await;
    let purchase = purchase.map_err(|error| error.at("purchaseId"))?;
    request.snapshots.close().await;
    Ok(purchase)
}
