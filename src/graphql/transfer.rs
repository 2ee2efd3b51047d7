//! Transfers: the movements of the ledger.

use async_graphql::{Context, Enum, ID, Object};
use bursar_domain::id::{AccountId, ChargeId, EntryId, HoldId, Id};
use bursar_domain::ledger::{AccountKind as Account, CauseKind, HoldState, TransferKind as Kind};
use bursar_domain::permission::Action;
use bursar_entity::{charge, hold, journal_entry, transfer};
use sea_orm::{ColumnTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect};

use super::allocation::Allocation;
use super::audit::Actor;
use super::charge::Charge;
use super::errors::ApiError;
use super::hold::Hold;
use super::loaders::Key;
use super::lot::Lot;
use super::node::found;
use super::pool::{Pool, pool_of};
use super::purchase::Purchase;
use super::scalars::{CreditsScalar, DateTime, Json, MoneyObject, SignedCredits, Version};
use super::{Request, request, signed_in};
use crate::db::Tenant;
use crate::error::Error;
use crate::global_id;

/// Why credits moved.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Kind")]
pub enum TransferKind {
    /// A lot came in.
    Issue,
    /// To a department.
    Allocate,
    /// Back from a department.
    Reclaim,
    /// Used for services.
    Charge,
    /// Expired.
    Lapse,
    /// Used for services, of credits that were held for it.
    Capture,
    /// Held for charges to come: nothing but what is held changes.
    Hold,
    /// No longer held: nothing but what is held changes.
    Release,
    /// Given back.
    Refund,
    /// From one holder to another.
    Move,
    /// Between the pool and a department, when a period begins.
    Refill,
    /// A balance was corrected.
    Correct,
    /// What was left of a lot goes on in another with a later expiry.
    Extend,
    /// Taken back, because the payment was reversed.
    Revoke,
    /// Was to be taken back and had been used: the pool owes it.
    Owe,
    /// What the pool owed was settled.
    Settle,
    /// Not a movement of its own: the payment is disputed, and what is free of the lot is held.
    Dispute,
    /// Not a movement of its own: the dispute was won, and what was held for it is free again.
    Reinstate,
    /// What was owed where credits were used that were to be taken back is owed by the pool of their purchase.
    Assign,
    /// Given back, because the money of a payment that was returned did not reach the buyer.
    Restore,
}

/// What an account is for.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Account")]
pub enum AccountKind {
    /// Credits that no department has.
    Unallocated,
    /// Credits of a department.
    Allocation,
    /// Where credits come from.
    Issued,
    /// Credits used by charges.
    Consumed,
    /// Credits that lapsed.
    Expired,
    /// Credits taken back because their payment was reversed.
    Revoked,
    /// Credits that the pool owes.
    Debt,
    /// Credits on their way to or from another pool of the organization.
    Clearing,
}

/// One movement of credits of one lot.
pub struct Transfer {
    row: transfer::Model,
    /// Whether it was rehearsed only: then its id names nothing, now and later.
    rehearsed: bool,
}

impl From<transfer::Model> for Transfer {
    fn from(row: transfer::Model) -> Transfer {
        Transfer { row, rehearsed: false }
    }
}

impl Transfer {
    /// A transfer that was rehearsed, or one that stands.
    pub fn of(row: transfer::Model, rehearsed: bool) -> Transfer {
        Transfer { row, rehearsed }
    }

    /// The transfer with a global id, when the caller may see the pool's movements.
    pub async fn find(request: &Request, id: &str) -> Result<Transfer, Error> {
        let caller = request.caller()?;
        let (pool, version) = global_id::decode_transfer(id).ok_or(Error::not_found("transfer"))?;
        let condition = transfer::Column::PoolId.eq(pool).and(transfer::Column::Version.eq(version));
        let organization = |row: &transfer::Model| row.organization_id;
        let found =
            caller.row::<transfer::Entity>(&request.snapshots, condition, organization, "transfer").await?;
        let (organization, row) = found;
        let seen = caller.may_read_ledger(organization, pool);
        if seen { Ok(row.into()) } else { Err(Error::not_found("transfer")) }
    }

    async fn charge_row(&self, ctx: &Context<'_>) -> Result<Option<charge::Model>, ApiError> {
        let Some(id) = self.caused_by(CauseKind::Charge) else { return Ok(None) };
        let key = Key(self.row.organization_id, ChargeId::from_u128(id));
        Ok(request(ctx)?.rows.load_one(key).await?)
    }

    async fn entry_row(&self, ctx: &Context<'_>) -> Result<Option<journal_entry::Model>, ApiError> {
        let Some(id) = self.caused_by(CauseKind::Entry) else { return Ok(None) };
        let key = Key(self.row.organization_id, EntryId::from_u128(id));
        Ok(request(ctx)?.rows.load_one(key).await?)
    }

    /// The hold that caused it, or that what caused it is about.
    async fn hold_row(&self, ctx: &Context<'_>) -> Result<Option<hold::Model>, ApiError> {
        let own = self.caused_by(CauseKind::Hold).map(HoldId::from_u128);
        let id = match (own, self.row.cause_kind) {
            (Some(id), _) => Some(id),
            (None, CauseKind::Charge) => self.charge_row(ctx).await?.and_then(|row| row.hold_id),
            (None, CauseKind::Entry) => self.entry_row(ctx).await?.and_then(|row| row.hold_id),
            (None, CauseKind::Hold | CauseKind::Clock) => None,
        };
        let Some(id) = id else { return Ok(None) };
        Ok(request(ctx)?.rows.load_one(Key(self.row.organization_id, id)).await?)
    }

    /// The row of a cause of a kind.
    fn caused_by(&self, kind: CauseKind) -> Option<u128> {
        self.row.cause_id.filter(|_| self.row.cause_kind == kind).map(|id| id.as_u128())
    }

    /// Who caused what a hold has done: whoever made it, or captured it; nobody, when its time ran out.
    async fn actor_of_hold(&self, ctx: &Context<'_>, hold: hold::Model) -> Result<Option<Actor>, ApiError> {
        let organization = self.row.organization_id;
        // What it lets go may be held again, for a dispute: that comes later.
        if self.row.kind == Kind::Hold && self.row.version <= hold.version {
            return Ok(Some(Actor::new(organization, hold.actor_kind, hold.actor_id)));
        }
        if hold.state == HoldState::Expired && self.row.kind != Kind::Owe {
            return Ok(None);
        }
        // What a capture brings follows upon it in the pool's versions.
        let tenant = Tenant::vouched(organization); // the transfer has been shown to the caller
        let snapshot = request(ctx)?.snapshots.open(tenant).await?;
        let capture = tenant
            .find::<charge::Entity>()
            .filter(charge::Column::HoldId.eq(hold.id))
            .filter(charge::Column::Version.lt(self.row.version))
            .order_by_desc(charge::Column::Version)
            .limit(1);
        let capture = capture.one(&*snapshot).await.map_err(Error::from)?;
        Ok(capture.map(|row| Actor::new(organization, row.actor_kind, row.actor_id)))
    }
}

/// One movement of credits of one lot from one account of a pool to another. Never changed, never taken
/// away: corrections are further transfers.
#[Object]
impl Transfer {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        let encode =
            if self.rehearsed { global_id::encode_rehearsed_transfer } else { global_id::encode_transfer };
        ID(encode(self.row.pool_id, self.row.version))
    }

    /// The pool.
    async fn pool(&self, ctx: &Context<'_>) -> Option<Result<Pool, ApiError>> {
        pool_of(ctx, self.row.pool_id).await
    }

    /// The version of the pool that it made: 1, 2, 3, ... without a gap.
    async fn version(&self) -> Version {
        Version(self.row.version)
    }

    /// Why credits moved.
    async fn kind(&self) -> TransferKind {
        self.row.kind.into()
    }

    /// Where they came from.
    async fn debit(&self) -> TransferSide {
        TransferSide { kind: self.row.debit_kind, id: self.row.debit_id, row: self.row.clone() }
    }

    /// Where they went.
    async fn credit(&self) -> TransferSide {
        TransferSide { kind: self.row.credit_kind, id: self.row.credit_id, row: self.row.clone() }
    }

    /// How many.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.row.credits)
    }

    /// What they cost when they were bought. Null when nothing was paid for the lot.
    async fn cost(&self, ctx: &Context<'_>) -> Option<Result<MoneyObject, ApiError>> {
        let load = Box::pin(async {
            let lot = request(ctx)?.rows.load_one(Key(self.row.organization_id, self.row.lot_id)).await?;
            let currency = lot.and_then(|lot| lot.currency);
            Ok(currency.map(|currency| bursar_domain::Money { minor: self.row.cost, currency }.into()))
        });
        load.await.transpose()
    }

    /// The balance of the debited account after it.
    async fn debit_balance_after(&self) -> SignedCredits {
        SignedCredits(self.row.debit_after)
    }

    /// The balance of the credited account after it.
    async fn credit_balance_after(&self) -> SignedCredits {
        SignedCredits(self.row.credit_after)
    }

    /// What was held after it in the holder that it debits, or credits when it debits no holder.
    async fn held_after(&self) -> SignedCredits {
        SignedCredits(self.row.held_after)
    }

    /// What the whole pool had after it.
    async fn pool_balance_after(&self) -> SignedCredits {
        SignedCredits(self.row.pool_posted_after)
    }

    /// The lot.
    async fn lot(&self, ctx: &Context<'_>) -> Option<Result<Lot, ApiError>> {
        let load = Box::pin(async {
            let key = Key(self.row.organization_id, self.row.lot_id);
            Ok(request(ctx)?.rows.load_one(key).await?.map(Lot))
        });
        load.await.transpose()
    }

    /// The charge that it belongs to.
    async fn charge(&self, ctx: &Context<'_>) -> Option<Result<Charge, ApiError>> {
        self.charge_row(ctx).await.map(|row| row.map(Charge::from)).transpose()
    }

    /// The hold that it made, captured or let go.
    async fn hold(&self, ctx: &Context<'_>) -> Option<Result<Hold, ApiError>> {
        Box::pin(self.hold_row(ctx)).await.map(|row| row.map(Hold)).transpose()
    }

    /// The other half of the movement, between pools or from one lot to another. Null when there is none, and
    /// for those who do not see the movements of the other pool.
    async fn counterpart(&self, ctx: &Context<'_>) -> Option<Result<Transfer, ApiError>> {
        let find = Box::pin(async {
            let other = self.row.counterpart_pool_id.zip(self.row.counterpart_version);
            let Some((pool, version)) = other.filter(|_| !self.rehearsed) else { return Ok(None) };
            found(Transfer::find(signed_in(ctx)?, &global_id::encode_transfer(pool, version)).await)
        });
        find.await.transpose()
    }

    /// The purchase that it came with. Null for those who do not see purchases for the pool.
    async fn purchase(&self, ctx: &Context<'_>) -> Option<Result<Purchase, ApiError>> {
        let load = Box::pin(async {
            let Some(purchase) = self.entry_row(ctx).await?.and_then(|entry| entry.purchase_id) else {
                return Ok(None);
            };
            let request = signed_in(ctx)?;
            let row = request.rows.load_one(Key(self.row.organization_id, purchase)).await?;
            let caller = request.caller()?;
            // Who sees movements need not see what was paid for them.
            let (organization, action) = (self.row.organization_id, Action::ReadPurchases);
            let seen = |pool| caller.may_in_pool(organization, pool, std::iter::empty(), action);
            Ok(row.filter(|row| seen(row.pool_id)).map(Purchase::stored))
        });
        load.await.transpose()
    }

    /// Who caused it. Null when time alone did.
    async fn actor(&self, ctx: &Context<'_>) -> Option<Result<Actor, ApiError>> {
        let load = Box::pin(async {
            let organization = self.row.organization_id;
            if let Some(row) = self.charge_row(ctx).await? {
                return Ok(Some(Actor::new(organization, row.actor_kind, row.actor_id)));
            }
            if let Some(row) = self.entry_row(ctx).await? {
                return Ok(Some(Actor::new(organization, row.actor_kind, row.actor_id)));
            }
            match self.hold_row(ctx).await? {
                Some(hold) => self.actor_of_hold(ctx, hold).await,
                None => Ok(None),
            }
        });
        load.await.transpose()
    }

    /// The reference of what caused it, or of the hold that that is about.
    async fn reference(&self, ctx: &Context<'_>) -> Option<Result<String, ApiError>> {
        let load = Box::pin(async {
            let own = match self.row.cause_kind {
                CauseKind::Charge => self.charge_row(ctx).await?.and_then(|row| row.reference),
                CauseKind::Entry => self.entry_row(ctx).await?.and_then(|row| row.reference),
                CauseKind::Hold | CauseKind::Clock => None,
            };
            if own.is_some() {
                return Ok(own);
            }
            Ok(self.hold_row(ctx).await?.and_then(|row| row.reference))
        });
        load.await.transpose()
    }

    /// Why, in the words of whoever caused it.
    async fn reason(&self, ctx: &Context<'_>) -> Option<Result<String, ApiError>> {
        self.entry_row(ctx).await.map(|row| row.and_then(|row| row.reason)).transpose()
    }

    /// What was attached to what caused it.
    async fn metadata(&self, ctx: &Context<'_>) -> Option<Result<Json, ApiError>> {
        let load = Box::pin(async {
            let json = match self.row.cause_kind {
                CauseKind::Charge => self.charge_row(ctx).await?.and_then(|row| row.metadata),
                CauseKind::Entry => self.entry_row(ctx).await?.and_then(|row| row.metadata),
                CauseKind::Hold => self.hold_row(ctx).await?.and_then(|row| row.metadata),
                CauseKind::Clock => None,
            };
            let parsed = json.map(|json| serde_json::from_str(&json).map(Json)).transpose();
            parsed.map_err(|error| ApiError::from(Error::internal(format!("metadata: {error}"))))
        });
        load.await.transpose()
    }

    /// When it was booked.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// When it took effect: the expiry, for what lapsed and for holds whose time ran out; otherwise when it was
    /// booked.
    async fn effective_at(&self) -> DateTime {
        DateTime(self.row.effective_at.unwrap_or(self.row.created_at))
    }

    /// Its link of the pool's hash chain, SHA-256 in hexadecimal.
    async fn hash(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.row.hash)
    }
}

/// One side of a transfer.
pub struct TransferSide {
    kind: Account,
    id: Option<AccountId>,
    row: transfer::Model,
}

/// One side of a transfer: an account of the pool.
#[Object]
impl TransferSide {
    /// What the account is for.
    async fn kind(&self) -> AccountKind {
        self.kind.into()
    }

    /// The department's credits in the pool. Null for accounts that belong to no department.
    async fn allocation(&self, ctx: &Context<'_>) -> Option<Result<Allocation, ApiError>> {
        let load = Box::pin(async {
            let Some(id) = self.id.filter(|_| self.kind == Account::Allocation) else { return Ok(None) };
            Ok(request(ctx)?.rows.load_one(Key(self.row.organization_id, id)).await?.map(Allocation))
        });
        load.await.transpose()
    }
}
