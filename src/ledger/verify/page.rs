//! A page of transfers with all rows that they name, read from one snapshot with a few statements.
//!
//! A row that cannot be read (an amount or a code that there is not) is a wrong row, and is named.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bursar_domain::id::{ChargeId, EntryId, HoldId, Id, LotId, PoolId};
use bursar_domain::ledger::{CauseKind, TransferKind};
use bursar_entity::{charge, claimed_reference, hold, journal_entry, lot, transfer};
use sea_orm::sqlx;
use sea_orm::{ColumnTrait, DbErr, QueryFilter, QueryOrder, QuerySelect, RuntimeErr, Select, Value};

use super::causes::Cause;
use super::{Place, Stop, uuid};
use crate::db::{TenantEntity, Txn, padded};

/// How many transfers a page has.
pub(super) const PAGE: u64 = 1_000;
/// The most ids of one list in a statement.
const LIST: usize = 1_000;
/// The most transfers of one journal entry that are added to a page.
const GROUP: i64 = 100_000;

/// Transfers in order, with what they name.
#[derive(Default)]
pub(super) struct Page {
    pub transfers: Vec<transfer::Model>,
    pub charges: HashMap<ChargeId, Arc<charge::Model>>,
    pub entries: HashMap<EntryId, Arc<journal_entry::Model>>,
    pub holds: HashMap<HoldId, Arc<hold::Model>>,
    pub lots: HashMap<LotId, lot::Model>,
    /// The lots that say they came in with an entry.
    pub came_in: HashMap<EntryId, Vec<LotId>>,
    pub references: HashMap<String, claimed_reference::Model>,
    /// The other halves of movements, in other pools.
    pub others: HashMap<(PoolId, i64), transfer::Model>,
    /// When the cause of a transfer is not there: rows that it may have meant.
    pub candidates: Vec<Cause>,
    /// Whether nothing follows.
    pub last: bool,
}

impl Page {
    /// Reads the transfers that follow a version.
    pub async fn load(txn: &Txn, place: Place, after: i64) -> Result<Page, Stop> {
        let transfers = transfers(txn, place, (after, i64::MAX)).await?;
        let last = u64::try_from(transfers.len()).unwrap_or(u64::MAX) < PAGE;
        let mut page = Page { transfers, last, ..Page::default() };
        if page.transfers.is_empty() {
            return Ok(page);
        }
        page.load_entries(txn, place).await?;
        page.load_charges_and_holds(txn, place).await?;
        page.load_lots(txn, place).await?;
        page.load_references(txn, place).await?;
        page.load_others(txn, place).await?;
        page.load_candidates(txn, place).await?;
        Ok(page)
    }

    /// The row that a transfer says has caused it, if it is there.
    pub fn cause(&self, row: &transfer::Model) -> Option<Cause> {
        let id = row.cause_id?.as_u128();
        match row.cause_kind {
            CauseKind::Charge => self.charges.get(&ChargeId::from_u128(id)).cloned().map(Cause::Charge),
            CauseKind::Entry => self.entries.get(&EntryId::from_u128(id)).cloned().map(Cause::Entry),
            CauseKind::Hold => self.holds.get(&HoldId::from_u128(id)).cloned().map(Cause::Hold),
            CauseKind::Clock => None,
        }
    }

    fn caused<I: Id>(&self, kind: CauseKind) -> BTreeSet<I> {
        let by = self.transfers.iter().filter(|row| row.cause_kind == kind);
        by.filter_map(|row| row.cause_id).map(|id| I::from_u128(id.as_u128())).collect()
    }

    /// Journal entries; the last one is completed, since its link depends on lots that all of its transfers
    /// name.
    async fn load_entries(&mut self, txn: &Txn, place: Place) -> Result<(), Stop> {
        let ids = self.caused::<EntryId>(CauseKind::Entry);
        let rows =
            by_key::<journal_entry::Entity, _>(txn, place, journal_entry::Column::Id, ids, shown).await?;
        self.entries = rows.into_iter().map(|row| (row.id, Arc::new(row))).collect();
        let Some(last) = self.transfers.last() else { return Ok(()) };
        let until = match self.cause(last) {
            Some(Cause::Entry(row)) if row.pool_id == place.pool => row.version,
            _ => return Ok(()),
        };
        let until = until.min(last.version.saturating_add(GROUP));
        let mut after = last.version;
        while after < until {
            let more = transfers(txn, place, (after, until)).await?;
            let Some(last) = more.last() else { break };
            after = last.version;
            self.transfers.extend(more);
        }
        Ok(())
    }

    async fn load_charges_and_holds(&mut self, txn: &Txn, place: Place) -> Result<(), Stop> {
        let ids = self.caused::<ChargeId>(CauseKind::Charge);
        let rows = by_key::<charge::Entity, _>(txn, place, charge::Column::Id, ids, shown).await?;
        self.charges = rows.into_iter().map(|row| (row.id, Arc::new(row))).collect();
        let mut ids = self.caused::<HoldId>(CauseKind::Hold);
        ids.extend(self.charges.values().filter_map(|row| row.hold_id));
        ids.extend(self.entries.values().filter_map(|row| row.hold_id));
        let rows = by_key::<hold::Entity, _>(txn, place, hold::Column::Id, ids, shown).await?;
        self.holds = rows.into_iter().map(|row| (row.id, Arc::new(row))).collect();
        Ok(())
    }

    /// The lots that transfers name, and those that came in with entries, however they are named.
    async fn load_lots(&mut self, txn: &Txn, place: Place) -> Result<(), Stop> {
        let mut ids: BTreeSet<LotId> = self.transfers.iter().map(|row| row.lot_id).collect();
        ids.extend(self.entries.values().filter_map(|row| row.lot_id));
        let wanted = ids.len();
        let replaced: BTreeSet<LotId> = if self.has_replacements() { ids.clone() } else { BTreeSet::new() };
        let mut rows = by_key::<lot::Entity, _>(txn, place, lot::Column::Id, ids, shown).await?;
        let missing = rows.len() < wanted;
        rows.extend(by_key::<lot::Entity, _>(txn, place, lot::Column::Replaces, replaced, shown).await?);
        if missing {
            let entries: BTreeSet<EntryId> = self.entries.keys().copied().collect();
            rows.extend(by_key::<lot::Entity, _>(txn, place, lot::Column::EntryId, entries, shown).await?);
        }
        self.lots = rows.into_iter().map(|row| (row.id, row)).collect();
        for lot in self.lots.values() {
            self.came_in.entry(lot.entry_id).or_default().push(lot.id);
        }
        Ok(())
    }

    /// Whether lots may have come in that go on for others.
    fn has_replacements(&self) -> bool {
        let replace = |row: &Arc<journal_entry::Model>| {
            row.kind == TransferKind::Extend || row.kind == TransferKind::Refund
        };
        self.entries.values().any(replace)
    }

    async fn load_references(&mut self, txn: &Txn, place: Place) -> Result<(), Stop> {
        let charges = self.charges.values().filter_map(|row| row.reference.clone());
        let holds = self.holds.values().filter_map(|row| row.reference.clone());
        let names: BTreeSet<String> = charges.chain(holds).collect();
        let column = claimed_reference::Column::Reference;
        let rows = by_key::<claimed_reference::Entity, _>(txn, place, column, names, String::clone).await?;
        self.references = rows.into_iter().map(|row| (row.reference.clone(), row)).collect();
        Ok(())
    }

    async fn load_others(&mut self, txn: &Txn, place: Place) -> Result<(), Stop> {
        let mut wanted: BTreeMap<PoolId, BTreeSet<i64>> = BTreeMap::new();
        for row in &self.transfers {
            if let (Some(pool), Some(version)) = (row.counterpart_pool_id, row.counterpart_version)
                && pool != place.pool
            {
                wanted.entry(pool).or_default().insert(version);
            }
        }
        for (pool, versions) in wanted {
            let there = Place { pool, ..place };
            for row in some_transfers(txn, there, versions).await? {
                self.others.insert((pool, row.version), row);
            }
        }
        Ok(())
    }

    /// What the first transfer whose cause is not there may have meant: a row that has made its version, a
    /// row of its id in another table, or what has caused its other half.
    async fn load_candidates(&mut self, txn: &Txn, place: Place) -> Result<(), Stop> {
        let lost = |row: &&transfer::Model| row.cause_kind != CauseKind::Clock && self.cause(row).is_none();
        let Some(row) = self.transfers.iter().find(lost) else { return Ok(()) };
        let (tenant, pool, version) = (place.tenant, place.pool, row.version);
        let other = row.counterpart_pool_id.zip(row.counterpart_version);
        let other = other.and_then(|other| self.others.get(&other)).and_then(|other| other.cause_id);
        let mut found = Vec::new();
        macro_rules! look {
            ($table:ident, $variant:ident) => {{
                let all = || tenant.find::<$table::Entity>();
                let made = all()
                    .filter($table::Column::PoolId.eq(pool))
                    .filter($table::Column::Version.gte(version))
                    .order_by_asc($table::Column::Version);
                let mut selects = vec![made];
                for id in [row.cause_id, other].into_iter().flatten() {
                    selects.push(all().filter($table::Column::Id.eq(id)));
                }
                for select in selects {
                    match select.one(txn).await {
                        Ok(row) => found.extend(row.map(|row| Cause::$variant(Arc::new(row)))),
                        Err(error) if unreadable(&error) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }};
        }
        look!(charge, Charge);
        look!(journal_entry, Entry);
        look!(hold, Hold);
        self.candidates = found;
        Ok(())
    }
}

/// The transfers of a pool that follow a version, up to another, at most a page of them.
async fn transfers(
    txn: &Txn,
    place: Place,
    (after, until): (i64, i64),
) -> Result<Vec<transfer::Model>, Stop> {
    let select = place
        .tenant
        .find::<transfer::Entity>()
        .filter(transfer::Column::PoolId.eq(place.pool))
        .filter(transfer::Column::Version.gt(after))
        .filter(transfer::Column::Version.lte(until))
        .order_by_asc(transfer::Column::Version)
        .limit(PAGE);
    match select.clone().all(txn).await {
        Ok(rows) => Ok(rows),
        Err(error) if unreadable(&error) => {
            let versions = select.select_only().column(transfer::Column::Version);
            let versions: Vec<i64> = versions.into_tuple().all(txn).await?;
            some_transfers(txn, place, versions.into_iter().collect()).await?;
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// The transfers of some versions of a pool.
async fn some_transfers(
    txn: &Txn,
    place: Place,
    versions: BTreeSet<i64>,
) -> Result<Vec<transfer::Model>, Stop> {
    let of_pool = place.tenant.find::<transfer::Entity>().filter(transfer::Column::PoolId.eq(place.pool));
    rows_of(txn, place, (of_pool, transfer::Column::Version), versions, i64::to_string).await
}

/// Rows of a table by the values of a column.
pub(super) async fn by_key<E, K>(
    txn: &Txn,
    place: Place,
    column: E::Column,
    keys: BTreeSet<K>,
    show: fn(&K) -> String,
) -> Result<Vec<E::Model>, Stop>
where
    E: TenantEntity,
    K: Into<Value> + Clone + Ord,
{
    rows_of::<E, K>(txn, place, (place.tenant.find::<E>(), column), keys, show).await
}

/// Rows of a selection by the values of a column. One that cannot be read is named by its value.
async fn rows_of<E, K>(
    txn: &Txn,
    place: Place,
    (select, column): (Select<E>, E::Column),
    keys: BTreeSet<K>,
    show: fn(&K) -> String,
) -> Result<Vec<E::Model>, Stop>
where
    E: TenantEntity,
    K: Into<Value> + Clone + Ord,
{
    let keys: Vec<K> = keys.into_iter().collect();
    let mut rows = Vec::with_capacity(keys.len());
    for some in keys.chunks(LIST) {
        match select.clone().filter(column.is_in(padded(some.to_vec()))).all(txn).await {
            Ok(found) => rows.extend(found),
            Err(error) if unreadable(&error) => {
                for key in some {
                    if let Err(error) = select.clone().filter(column.eq(key.clone())).all(txn).await {
                        return Err(not_read(place, E::default().table_name(), show(key), error));
                    }
                }
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(rows)
}

/// A row could not be read: because of what it says, or because of the database.
pub(super) fn not_read(place: Place, table: &'static str, key: String, error: DbErr) -> Stop {
    match unreadable(&error) {
        true => place.wrong(table, key, format!("it cannot be read: {error}")),
        false => error.into(),
    }
}

/// Whether the database has answered, with values that there are not.
pub(super) fn unreadable(error: &DbErr) -> bool {
    match error {
        DbErr::Type(_) | DbErr::TryIntoErr { .. } => true,
        DbErr::Query(RuntimeErr::SqlxError(error)) => {
            matches!(error.as_ref(), sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
        }
        _ => false,
    }
}

/// An identifier as the database shows it.
pub(super) fn shown<I: Id>(id: &I) -> String {
    uuid(*id).to_string()
}
