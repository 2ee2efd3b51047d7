//! Charges.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::Money;
use bursar_domain::id::ChargeId;
use bursar_domain::ledger::{LineRequest, PricedLine, Refusal};
use bursar_domain::permission::Action;
use bursar_entity::{account, charge, pool, transfer};
use sea_orm::{ColumnTrait, QueryFilter};

use super::audit::Actor;
use super::balance::{Balance, BalanceOf};
use super::department::Department;
use super::errors::{ApiError, UserError, refused, user_error};
use super::loaders::{Key, MemberOf};
use super::lot::Lot;
use super::member::Member;
use super::node::decode;
use super::pool::{Pool, pool_of};
use super::scalars::{CreditsScalar, DateTime, IdempotencyKey, Json, MoneyObject, Version};
use super::{Request, request, signed_in};
use crate::auth::Authorized;
use crate::charges::{self, ChargeRequest};
use crate::db::Tenant;
use crate::error::Error;
use crate::ledger::{Line, Receipt, ReceiptRow};
use crate::{global_id, ledger};

/// A charge.
pub struct Charge {
    row: charge::Model,
    /// Its transfers, when they are known already: a rehearsed charge's are nowhere else.
    transfers: Option<Vec<transfer::Model>>,
}

impl From<charge::Model> for Charge {
    fn from(row: charge::Model) -> Charge {
        Charge { row, transfers: None }
    }
}

impl Charge {
    /// The charge with a global id, when the caller may see the pool's movements or the department's
    /// charges.
    pub async fn find(request: &Request, id: &str) -> Result<Charge, Error> {
        let (caller, id) = (request.caller()?, decode::<ChargeId>(id, "charge")?);
        let condition = charge::Column::Id.eq(id);
        let organization = |row: &charge::Model| row.organization_id;
        let found =
            caller.row::<charge::Entity>(&request.snapshots, condition, organization, "charge").await?;
        let (organization, row) = found;
        let own =
            |department| caller.may_in_department(organization, department, Action::ReadDepartmentCharges);
        let seen = caller.may_read_ledger(organization, row.pool_id) || row.department_id.is_some_and(own);
        if seen { Ok(row.into()) } else { Err(Error::not_found("charge")) }
    }

    fn tenant(&self) -> Tenant {
        // Only charges that the caller may see become objects.
        Tenant::vouched(self.row.organization_id)
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
        let load = async {
            let Some(department) = self.row.department_id else { return Ok(None) };
            let key = Key(self.row.organization_id, department);
            Ok(request(ctx)?.rows.load_one(key).await?.map(Department))
        };
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

    /// The job's id at the caller's, unique in the organization.
    async fn reference(&self) -> Option<&str> {
        self.row.reference.as_deref()
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
        let load = async {
            let Some(user) = self.row.on_behalf_of else { return Ok(None) };
            let key = Key(self.row.organization_id, MemberOf(user));
            Ok(request(ctx)?.rows.load_one(key).await?.map(Member))
        };
        load.await.transpose()
    }

    /// The lots that it took credits of, in the order of use.
    async fn slices(&self, ctx: &Context<'_>) -> Option<Result<Vec<LotSlice>, ApiError>> {
        let list = async {
            let request = signed_in(ctx)?;
            let transfers = match &self.transfers {
                Some(transfers) => transfers.clone(),
                None => {
                    let snapshot = request.snapshots.open(self.tenant()).await?;
                    ledger::charge_transfers(&snapshot, self.tenant(), &self.row).await?
                }
            };
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
        };
        Some(list.await)
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
        let credits = |value| CreditsScalar(bursar_domain::Credits::new(value).unwrap_or_default());
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
        let outcome = async {
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
        };
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
        charges::quote(&services.ledger, &request.snapshots, &services.directory, caller, charge).await?;
    let available = available(request, &pool, department).await?;
    Ok(ChargeQuote {
        pool: Some(Pool(pool.into_value())),
        lines: quote.lines.into_iter().map(ChargeLine::from).collect(),
        credits: Some(CreditsScalar(quote.credits)),
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
        let outcome = async {
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
            charges::create(
                &services.ledger,
                &request.snapshots,
                &services.directory,
                request.caller()?,
                charge,
                (&input.idempotency_key.0, input.dry_run),
            )
            .await
        };
        let error = match outcome.await.and_then(charged) {
            Ok(payload) => return Some(Ok(payload)),
            Err(error) => error,
        };
        let taken = match &error {
            Error::Refused(Refusal::ReferenceTaken { charge }) => Some(global_id::encode(*charge)),
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
        charge: Some(Charge { row, transfers: Some(receipt.transfers) }),
        balance: Some(Balance::new(balance, BalanceOf::Pools(organization, vec![pool]))),
        account_balance: Some(Balance::new(account_balance, BalanceOf::Account(organization, pool, account))),
        replayed: receipt.replayed,
        user_errors: Vec::new(),
    })
}
