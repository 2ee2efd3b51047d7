//! Refunds: what has been given back of charges.

use async_graphql::{Context, ID, Object, SimpleObject};
use bursar_domain::Money;
use bursar_domain::ledger::{AccountKind as Account, TransferKind};
use bursar_entity::{journal_entry, lot, transfer};
use sea_orm::{ColumnTrait, ExprTrait};

use super::audit::Actor;
use super::charge::Charge;
use super::errors::ApiError;
use super::loaders::Key;
use super::lot::Lot;
use super::scalars::{CreditsScalar, DateTime, MoneyObject, Version};
use super::transfer::AccountKind;
use super::{Request, request, signed_in};
use crate::db::Tenant;
use crate::error::Error;
use crate::{global_id, ledger};

/// What has been given back of a charge: a journal entry.
pub struct Refund {
    row: journal_entry::Model,
    /// Its transfers, when they are known already.
    transfers: Option<Vec<transfer::Model>>,
    /// Whether it was rehearsed only: then its transfers are nowhere else, and its charge does not know of it.
    rehearsed: bool,
}

impl From<journal_entry::Model> for Refund {
    fn from(row: journal_entry::Model) -> Refund {
        Refund { row, transfers: None, rehearsed: false }
    }
}

impl Refund {
    /// A refund that has just been booked, or rehearsed, with its transfers.
    pub fn booked(row: journal_entry::Model, transfers: Vec<transfer::Model>, rehearsed: bool) -> Refund {
        Refund { row, transfers: Some(transfers), rehearsed }
    }

    /// The refund with a global id, when the caller may see the charge.
    pub async fn find(request: &Request, id: &str) -> Result<Refund, Error> {
        let absent = Error::not_found("refund");
        let caller = request.caller()?;
        let Some(entry) = global_id::decode_refund(id) else { return Err(absent) };
        let condition = journal_entry::Column::Id.eq(entry);
        let condition = condition.and(journal_entry::Column::Kind.eq(TransferKind::Refund));
        let organization = |row: &journal_entry::Model| row.organization_id;
        let found =
            caller.row::<journal_entry::Entity>(&request.snapshots, condition, organization, "refund");
        let (_, row) = found.await?;
        let Some(charge) = row.charge_id else { return Err(absent) };
        match Charge::find(request, &global_id::encode(charge)).await {
            Ok(_) => Ok(row.into()),
            Err(Error::NotFound { .. }) => Err(absent),
            Err(error) => Err(error),
        }
    }

    fn tenant(&self) -> Tenant {
        // Only refunds that the caller may see become objects.
        Tenant::vouched(self.row.organization_id)
    }

    /// Its transfers, and the lots that they are of.
    async fn parts(&self, request: &Request) -> Result<Vec<(transfer::Model, Option<lot::Model>)>, ApiError> {
        let transfers = match &self.transfers {
            Some(transfers) => transfers.clone(),
            None => {
                let (before, count) = (self.row.version - self.row.slices, self.row.slices);
                let limit = u64::try_from(count).unwrap_or(0);
                let (tenant, pool) = (self.tenant(), self.row.pool_id);
                let snapshot = request.snapshots.open(tenant).await?;
                ledger::transfers_after(&snapshot, tenant, pool, before, limit).await?
            }
        };
        let key = |row: &transfer::Model| Key(row.organization_id, row.lot_id);
        let lots = request.rows.load_many(transfers.iter().map(key)).await?;
        let part = |row: transfer::Model| {
            let lot = lots.get(&key(&row)).cloned();
            (row, lot)
        };
        Ok(transfers.into_iter().map(part).collect())
    }
}

/// A refund: credits of a charge that have been given back, the newest slices first.
#[Object]
impl Refund {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode_refund(self.row.id))
    }

    /// The charge.
    async fn charge(&self, ctx: &Context<'_>) -> Option<Result<Charge, ApiError>> {
        let load = Box::pin(async {
            let Some(charge) = self.row.charge_id else { return Ok(None) };
            let row = request(ctx)?.rows.load_one(Key(self.row.organization_id, charge)).await?;
            let charge = row.map(Charge::from);
            Ok(match self.rehearsed {
                true => charge.map(|charge| charge.refunding(self.row.clone())),
                false => charge,
            })
        });
        load.await.transpose()
    }

    /// How many credits.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.row.credits)
    }

    /// What they had cost when they were bought. Null when nothing was paid for them.
    async fn cost(&self, ctx: &Context<'_>) -> Option<Result<MoneyObject, ApiError>> {
        let load = Box::pin(async {
            let parts = self.parts(signed_in(ctx)?).await?;
            // An organization has one currency; lots that cost nothing have none.
            let currency = parts.iter().find_map(|(_, lot)| lot.as_ref()?.currency);
            Ok(currency.map(|currency| Money { minor: self.row.cost, currency }.into()))
        });
        load.await.transpose()
    }

    /// Whether the provider was at fault: then what would have lapsed was replaced.
    async fn provider_fault(&self) -> bool {
        self.row.provider_fault.unwrap_or(false)
    }

    /// Whether the guarantees of the services covered it.
    async fn guaranteed(&self) -> bool {
        self.row.guaranteed.unwrap_or(false)
    }

    /// Why, in the words of whoever gave it back.
    async fn reason(&self) -> Option<&str> {
        self.row.reason.as_deref()
    }

    /// Who gave it back.
    async fn actor(&self) -> Actor {
        Actor::new(self.row.organization_id, self.row.actor_kind, self.row.actor_id)
    }

    /// When it was booked.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// The version of the pool after its last slice.
    async fn version(&self) -> Version {
        Version(self.row.version)
    }

    /// What came back of which lot, and where it went.
    async fn slices(&self, ctx: &Context<'_>) -> Option<Result<Vec<RefundSlice>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let parts = self.parts(request).await?;
            // What a department's people may see of a charge is not the whole lot.
            let shown = request.caller()?.may_read_ledger(self.row.organization_id, self.row.pool_id);
            let of = |lot: &Option<lot::Model>| lot.clone().filter(|_| shown).map(Lot);
            let from_charge = parts.iter().filter(|(row, _)| row.debit_kind == Account::Consumed);
            let slice = |(row, lot): &(transfer::Model, Option<lot::Model>)| {
                // What goes on in another lot goes there through CLEARING, in the transfer that is the other half.
                let half = row.counterpart_version;
                let on = parts.iter().find(|(other, _)| Some(other.version) == half);
                let last = on.map_or(row, |(other, _)| other);
                let currency = lot.as_ref().and_then(|lot| lot.currency);
                RefundSlice {
                    lot: of(lot),
                    credits: CreditsScalar(row.credits),
                    cost: currency.map(|currency| Money { minor: row.cost, currency }.into()),
                    to: last.credit_kind.into(),
                    replacement: on.and_then(|(_, lot)| of(lot)),
                    version: Version(last.version),
                }
            };
            Ok(from_charge.map(slice).collect())
        });
        Some(list.await)
    }
}

/// Credits of one lot that came back.
#[derive(SimpleObject)]
pub struct RefundSlice {
    /// The lot that they were of. Null for those who do not see the pool's lots.
    lot: Option<Lot>,
    /// How many credits.
    credits: CreditsScalar,
    /// What they had cost when they were bought. Null when nothing was paid for the lot.
    cost: Option<MoneyObject>,
    /// Where they went: to whom they were taken from, to unallocated, against what the pool owes, or straight
    /// to what has lapsed.
    to: AccountKind,
    /// The lot that they go on in, because theirs has lapsed. Null when they came back to their own, and for
    /// those who do not see the pool's lots.
    replacement: Option<Lot>,
    /// The version of the pool after this slice.
    version: Version,
}
