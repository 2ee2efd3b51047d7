//! Charging, and quoting or explaining a charge: inputs, payloads, root fields.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::Credits;
use bursar_domain::id::{DepartmentId, MembershipId, PoolId};
use bursar_domain::ledger::{Explanation, LineRequest, Overflow};
use bursar_entity::{account, pool};
use sea_orm::{ColumnTrait, Condition, QueryFilter};

use super::balance::Balance;
use super::charge::{Charge, ChargeLine};
use super::errors::{ApiError, UserError, user_error};
use super::explanation::{self, ChargeExplanation};
use super::node::decode;
use super::pool::Pool;
use super::refused::{refused, with_owner};
use super::scalars::{CreditsScalar, IdempotencyKey, Json};
use super::{Request, signed_in};
use crate::auth::{Authorized, Caller};
use crate::charges::{self, ChargeRequest};
use crate::error::Error;
use crate::ledger::{self, Receipt, ReceiptRow};

/// A line of a charge.
#[derive(InputObject, Clone)]
pub struct ChargeLineInput {
    /// The service's code.
    service: String,
    /// How many units, from 1 to 1,000,000.
    #[graphql(default = 1)]
    quantity: i32,
}

impl From<ChargeLineInput> for LineRequest {
    fn from(line: ChargeLineInput) -> LineRequest {
        LineRequest { service: line.service, quantity: i64::from(line.quantity) }
    }
}

/// What is to be charged.
#[derive(InputObject)]
pub struct ChargeCreditsInput {
    /// Whose pool.
    pool_id: ID,
    /// Whose credits. Left out: those that no department has.
    department_id: Option<ID>,
    /// On which member's behalf.
    on_behalf_of_id: Option<ID>,
    /// What was done: 1 to 100 lines.
    lines: Vec<ChargeLineInput>,
    /// The job's id at the caller's, unique in the organization for ever.
    reference: Option<String>,
    /// The property or listing.
    subject: Option<String>,
    /// What the caller attaches: a JSON object of at most 8 KiB.
    metadata: Option<Json>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// What a charge is to be quoted for.
#[derive(InputObject)]
pub struct QuoteChargeInput {
    /// Whose pool.
    pool_id: ID,
    /// Whose credits. Left out: those that no department has.
    department_id: Option<ID>,
    /// On which member's behalf.
    on_behalf_of_id: Option<ID>,
    /// What would be done: 1 to 100 lines.
    lines: Vec<ChargeLineInput>,
}

/// A charge that was made.
#[derive(SimpleObject, Default)]
pub struct ChargeCreditsPayload {
    /// The charge.
    pub(super) charge: Option<Charge>,
    /// What the pool had after it, as of its commit.
    pub(super) balance: Option<Balance>,
    /// What the department (or unallocated) had after it, as of its commit.
    pub(super) account_balance: Option<Balance>,
    /// Whether it had been made before, under the same key.
    pub(super) replayed: bool,
    /// Why nothing was charged. Empty when it was.
    user_errors: Vec<UserError>,
}

/// What a charge would cost, and whether it would be accepted.
#[derive(SimpleObject, Default)]
pub struct ChargeQuote {
    /// The pool. Null when it is not there, or not for the caller.
    pool: Option<Pool>,
    /// The lines with the prices that hold now. Empty when they cannot be priced.
    lines: Vec<ChargeLine>,
    /// What they cost together. Null when they cannot be priced.
    credits: Option<CreditsScalar>,
    /// Whether the charge would be accepted now.
    affordable: bool,
    /// What is available now where the credits would come from.
    available: Option<CreditsScalar>,
    /// Why the charge would be refused now. Empty when it would be accepted.
    user_errors: Vec<UserError>,
}

/// The ids that say whose credits are used, and on whose behalf.
pub(super) struct Named<'i> {
    pub pool: &'i ID,
    pub department: Option<&'i ID>,
    pub on_behalf_of: Option<&'i ID>,
}

impl Named<'_> {
    /// What they name. An id that cannot be one names nothing that is there.
    pub fn decode(&self) -> Result<(PoolId, Option<DepartmentId>, Option<MembershipId>), Error> {
        let pool = decode(self.pool, "pool").map_err(|error: Error| error.at("poolId"))?;
        let department = self.department.map(|id| decode(id, "department")).transpose();
        let department = department.map_err(|error: Error| error.at("departmentId"))?;
        let on_behalf_of = self.on_behalf_of.map(|id| decode(id, "member")).transpose();
        Ok((pool, department, on_behalf_of.map_err(|error: Error| error.at("onBehalfOfId"))?))
    }
}

impl QuoteChargeInput {
    fn request(self) -> Result<ChargeRequest, Error> {
        let named = Named {
            pool: &self.pool_id,
            department: self.department_id.as_ref(),
            on_behalf_of: self.on_behalf_of_id.as_ref(),
        };
        let (pool, department, on_behalf_of) = named.decode()?;
        let lines = self.lines.into_iter().map(LineRequest::from).collect();
        let (reference, subject, metadata) = (None, None, None);
        Ok(ChargeRequest { pool, department, on_behalf_of, lines, reference, subject, metadata })
    }
}

/// The part of the root that quotes and explains charges.
#[derive(Default)]
pub struct ChargeQuery;

#[Object]
impl ChargeQuery {
    /// What a charge would cost now, and whether it would be accepted. Writes nothing.
    async fn quote_charge(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What would be charged.")] input: QuoteChargeInput,
    ) -> Option<Result<ChargeQuote, ApiError>> {
        let outcome = Box::pin(async { quote(signed_in(ctx)?, input.request()?).await });
        let failed = |error| ChargeQuote { user_errors: vec![error], ..Default::default() };
        Some(outcome.await.or_else(|error| user_error(error).map(failed)))
    }

    /// How a charge would be decided now: which version of each price, which lots and why, which spending caps
    /// with what headroom. Writes nothing.
    async fn explain_charge(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What would be charged.")] input: QuoteChargeInput,
    ) -> Option<Result<ChargeExplanation, ApiError>> {
        let explained = Box::pin(async {
            let request = signed_in(ctx)?;
            let charge = input.request()?;
            let of_department = charge.department.is_some();
            let (pool, explanation) = explain(request, charge).await?;
            Ok((request, pool, explanation, of_department))
        });
        Some(match explained.await {
            Ok((request, pool, explanation, of_department)) => {
                Box::pin(explanation::of_request(request, &pool, explanation, of_department)).await
            }
            Err(error) => user_error(error).map(ChargeExplanation::refused),
        })
    }
}

async fn explain(
    request: &Request,
    charge: ChargeRequest,
) -> Result<(Authorized<pool::Model>, Explanation), Error> {
    let (ledger, directory) = (&request.services.ledger, &request.services.directory);
    charges::explain(ledger, &request.snapshots, directory, &request.caller()?, charge).await
}

async fn quote(request: &Request, charge: ChargeRequest) -> Result<ChargeQuote, Error> {
    let department = charge.department;
    let (pool, explained) = explain(request, charge).await?;
    let available = available(request, &pool, department).await?;
    let priced = !explained.lines.is_empty();
    Ok(ChargeQuote {
        pool: Some(Pool(pool.into_value())),
        lines: explained.lines.into_iter().map(ChargeLine::from).collect(),
        credits: priced.then_some(CreditsScalar(explained.credits)),
        affordable: explained.refusal.is_none(),
        available: Some(CreditsScalar(available)),
        user_errors: explained.refusal.as_ref().map(refused).into_iter().collect(),
    })
}

/// What is available to a charge of a department (or of unallocated credits): with what unallocated has, when
/// the department draws on that.
async fn available(
    request: &Request,
    pool: &Authorized<pool::Model>,
    department: Option<DepartmentId>,
) -> Result<Credits, Error> {
    let tenant = pool.tenant();
    let snapshot = request.snapshots.open(tenant).await?;
    let unallocated = account::Column::DepartmentId.is_null();
    let owners = match department {
        Some(department) => {
            Condition::any().add(account::Column::DepartmentId.eq(department)).add(unallocated)
        }
        None => Condition::all().add(unallocated),
    };
    let accounts =
        tenant.find::<account::Entity>().filter(account::Column::PoolId.eq(pool.id)).filter(owners);
    let accounts = accounts.all(&*snapshot).await?;
    let Some(own) = accounts.iter().find(|row| row.department_id == department) else {
        return Ok(Credits::ZERO);
    };
    let mut sum = Credits::ZERO;
    for account in &accounts {
        let drawn = own.overflow == Overflow::Unallocated && account.department_id.is_none();
        if account.id == own.id || drawn {
            let balance = ledger::account_balance(&snapshot, tenant, account, request.now()).await?;
            sum = sum.saturating_add(balance.available());
        }
    }
    Ok(sum)
}

/// The mutations whose caller's permissions the ledger compares with what holds when it books. A batch is not
/// among them: what it answers about single items is not asked again.
pub(super) const COMPARED: &[&str] =
    &["chargeCredits", "holdCredits", "captureHold", "voidHold", "refundCharge"];

/// The part of the root that charges.
#[derive(Default)]
pub struct ChargeMutation;

#[Object]
impl ChargeMutation {
    /// Charges credits for services: prices the lines at the prices of this moment, checks service, spending
    /// caps and balance, and books, all or nothing.
    async fn charge_credits(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to charge.")] input: ChargeCreditsInput,
    ) -> Option<Result<ChargeCreditsPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let named = Named {
                pool: &input.pool_id,
                department: input.department_id.as_ref(),
                on_behalf_of: input.on_behalf_of_id.as_ref(),
            };
            let (pool, department, on_behalf_of) = named.decode()?;
            let charge = ChargeRequest {
                pool,
                department,
                on_behalf_of,
                lines: input.lines.into_iter().map(LineRequest::from).collect(),
                reference: input.reference,
                subject: input.subject,
                metadata: input.metadata.map(|json| json.0),
            };
            let services = &request.services;
            let (key, dry_run) = (input.idempotency_key.0.as_str(), input.dry_run);
            let create = |caller: Caller| {
                let charge = charge.clone();
                async move {
                    let (ledger, directory) = (&services.ledger, &services.directory);
                    charges::create(ledger, &request.snapshots, directory, &caller, charge, (key, dry_run))
                        .await
                }
            };
            request.as_things_stand(create).await
        });
        let failed = |error| ChargeCreditsPayload { user_errors: vec![error], ..Default::default() };
        Some(match outcome.await.and_then(charged) {
            Ok(payload) => Ok(payload),
            Err(error) => Box::pin(with_owner(ctx, error)).await.map(failed),
        })
    }
}

/// What a charge answers that was made.
pub(super) fn charged(receipt: Receipt) -> Result<ChargeCreditsPayload, Error> {
    let (balance, account_balance) = Balance::after(&receipt)?;
    let ReceiptRow::Charge(row) = receipt.row else {
        return Err(Error::internal("a charge was answered by something else"));
    };
    Ok(ChargeCreditsPayload {
        charge: Some(Charge::booked(row, receipt.transfers)),
        balance: Some(balance),
        account_balance: Some(account_balance),
        replayed: receipt.replayed,
        user_errors: Vec::new(),
    })
}
