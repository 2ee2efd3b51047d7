//! Charging, and quoting a charge: inputs, payloads, root fields.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::ledger::{LineRequest, ReferenceOwner, Refusal};
use bursar_entity::{account, pool};
use sea_orm::{ColumnTrait, QueryFilter};

use super::balance::{Balance, BalanceOf};
use super::charge::{Charge, ChargeLine};
use super::errors::{ApiError, UserError, refused, user_error};
use super::node::decode;
use super::pool::Pool;
use super::scalars::{CreditsScalar, IdempotencyKey, Json};
use super::{Request, signed_in};
use crate::auth::{Authorized, Caller};
use crate::charges::{self, ChargeRequest};
use crate::error::Error;
use crate::ledger::{Receipt, ReceiptRow};
use crate::{global_id, ledger};

/// A line of a charge.
#[derive(InputObject)]
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
    /// What would be done: 1 to 100 lines.
    lines: Vec<ChargeLineInput>,
}

/// A charge that was made.
#[derive(SimpleObject, Default)]
pub struct ChargeCreditsPayload {
    /// The charge.
    charge: Option<Charge>,
    /// What the pool had after it, as of its commit.
    balance: Option<Balance>,
    /// What the department (or unallocated) had after it, as of its commit.
    account_balance: Option<Balance>,
    /// Whether it had been made before, under the same key.
    replayed: bool,
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

/// The part of the root that quotes charges.
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
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let charge = ChargeRequest {
                pool: decode(&input.pool_id, "pool").map_err(|error: Error| error.at("poolId"))?,
                department: department(input.department_id.as_ref())?,
                on_behalf_of: None,
                lines: input.lines.into_iter().map(LineRequest::from).collect(),
                reference: None,
                subject: None,
                metadata: None,
            };
            quote(request, charge).await
        });
        Some(match outcome.await {
            Ok(quote) => Ok(quote),
            Err(error) => {
                user_error(error).map(|error| ChargeQuote { user_errors: vec![error], ..Default::default() })
            }
        })
    }
}

async fn quote(request: &Request, charge: ChargeRequest) -> Result<ChargeQuote, Error> {
    let services = &request.services;
    let department = charge.department;
    let caller = request.caller()?;
    let (pool, quote) =
        charges::quote(&services.ledger, &request.snapshots, &services.directory, &caller, charge).await?;
    let priced = !quote.lines.is_empty();
    let available = available(request, &pool, department).await?;
    Ok(ChargeQuote {
        pool: Some(Pool(pool.into_value())),
        lines: quote.lines.into_iter().map(ChargeLine::from).collect(),
        credits: priced.then_some(CreditsScalar(quote.credits)),
        affordable: quote.refusal.is_none(),
        available: Some(CreditsScalar(available)),
        user_errors: quote.refusal.as_ref().map(refused).into_iter().collect(),
    })
}

/// What is available to a charge of a department (or of unallocated credits).
async fn available(
    request: &Request,
    pool: &Authorized<pool::Model>,
    department: Option<bursar_domain::id::DepartmentId>,
) -> Result<bursar_domain::Credits, Error> {
    let tenant = pool.tenant();
    let snapshot = request.snapshots.open(tenant).await?;
    let owner = match department {
        Some(department) => account::Column::DepartmentId.eq(department),
        None => account::Column::DepartmentId.is_null(),
    };
    let account = tenant.find::<account::Entity>().filter(account::Column::PoolId.eq(pool.id)).filter(owner);
    let Some(account) = account.one(&*snapshot).await? else { return Ok(bursar_domain::Credits::ZERO) };
    let balance = ledger::account_balance(&snapshot, tenant, &account, request.now()).await?;
    Ok(balance.available())
}

fn department(id: Option<&ID>) -> Result<Option<bursar_domain::id::DepartmentId>, Error> {
    let decoded = id.map(|id| decode(id, "department")).transpose();
    decoded.map_err(|error: Error| error.at("departmentId"))
}

/// The mutations whose caller's permissions the ledger compares with what holds when it books.
pub(super) const COMPARED: &[&str] = &["chargeCredits"];

/// The part of the root that charges.
#[derive(Default)]
pub struct ChargeMutation;

#[Object]
impl ChargeMutation {
    /// Charges credits for services: prices the lines at the prices of this moment, checks service and
    /// balance, and books, all or nothing.
    async fn charge_credits(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to charge.")] input: ChargeCreditsInput,
    ) -> Option<Result<ChargeCreditsPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let on_behalf_of = input.on_behalf_of_id.as_ref().map(|id| decode(id, "member")).transpose();
            let charge = ChargeRequest {
                pool: decode(&input.pool_id, "pool").map_err(|error: Error| error.at("poolId"))?,
                department: department(input.department_id.as_ref())?,
                on_behalf_of: on_behalf_of.map_err(|error: Error| error.at("onBehalfOfId"))?,
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
        let error = match outcome.await.and_then(charged) {
            Ok(payload) => return Some(Ok(payload)),
            Err(error) => error,
        };
        let taken = match &error {
            Error::Refused(Refusal::ReferenceTaken { owner: ReferenceOwner::Charge(charge) }) => {
                Some(global_id::encode(*charge))
            }
            _ => None,
        };
        let shown = match (taken, signed_in(ctx)) {
            (Some(id), Ok(request)) => Charge::find(request, &id).await.is_ok().then_some(ID(id)),
            _ => None,
        };
        let named = |mut error| {
            if let UserError::Reference(taken) = &mut error {
                taken.charge_id = shown;
            }
            ChargeCreditsPayload { user_errors: vec![error], ..Default::default() }
        };
        Some(user_error(error).map(named))
    }
}

fn charged(receipt: Receipt) -> Result<ChargeCreditsPayload, Error> {
    let (balance, account_balance) = (receipt.pool_balance()?, receipt.charged_balance()?);
    let ReceiptRow::Charge(row) = receipt.row else {
        return Err(Error::internal("a charge was answered by something else"));
    };
    let (organization, pool, account) = (row.organization_id, row.pool_id, row.account_id);
    Ok(ChargeCreditsPayload {
        charge: Some(Charge::booked(row, receipt.transfers)),
        balance: Some(Balance::new(balance, BalanceOf::Pools(organization, vec![pool]))),
        account_balance: Some(Balance::new(account_balance, BalanceOf::Account(organization, pool, account))),
        replayed: receipt.replayed,
        user_errors: Vec::new(),
    })
}
