//! Rows that cause transfers: their seals, and the links of the hash chain that cover them.

use std::sync::Arc;

use bursar_domain::Timestamp;
use bursar_domain::id::PoolId;
use bursar_domain::ledger::chain;
use bursar_domain::ledger::{AccountRef, CauseKind, Transfer, TransferKind};
use bursar_entity::{charge, hold, journal_entry, lot, transfer};
use uuid::Uuid;

use super::super::digest;
use super::{Place, Stop, uuid};

/// A row that has caused transfers.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    Charge(Arc<charge::Model>),
    Entry(Arc<journal_entry::Model>),
    Hold(Arc<hold::Model>),
}

/// What caused a transfer, as far as the books depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    Charge,
    /// A journal entry of a kind.
    Entry(TransferKind),
    /// A hold, when it was made.
    Hold,
    /// A hold that lets go of what it holds.
    HoldEnd,
    Clock,
}

impl Cause {
    fn kind(&self) -> CauseKind {
        match self {
            Cause::Charge(_) => CauseKind::Charge,
            Cause::Entry(_) => CauseKind::Entry,
            Cause::Hold(_) => CauseKind::Hold,
        }
    }

    pub fn because(&self) -> Because {
        match self {
            Cause::Charge(_) => Because::Charge,
            Cause::Entry(row) => Because::Entry(row.kind),
            Cause::Hold(_) => Because::Hold,
        }
    }

    pub fn id(&self) -> Uuid {
        match self {
            Cause::Charge(row) => uuid(row.id),
            Cause::Entry(row) => uuid(row.id),
            Cause::Hold(row) => uuid(row.id),
        }
    }

    fn table(&self) -> &'static str {
        table(self.kind()).unwrap_or_default()
    }

    /// Its row is wrong.
    pub fn wrong(&self, place: Place, what: impl Into<String>) -> Stop {
        place.wrong(self.table(), self.id(), what)
    }

    /// Whether a transfer says that this has caused it.
    pub fn is_named_by(&self, row: &transfer::Model) -> bool {
        row.cause_kind == self.kind() && row.cause_id == Some(self.id())
    }

    pub fn created_at(&self) -> Timestamp {
        match self {
            Cause::Charge(row) => row.created_at,
            Cause::Entry(row) => row.created_at,
            Cause::Hold(row) => row.created_at,
        }
    }

    /// Its pool, the version of the last transfer that it made there, and how many it made.
    fn made(&self) -> (PoolId, i64, i64) {
        match self {
            Cause::Charge(row) => (row.pool_id, row.version, row.slices),
            Cause::Entry(row) => (row.pool_id, row.version, row.slices),
            Cause::Hold(row) => (row.pool_id, row.version, row.slices),
        }
    }

    /// The first and the last version that it says it has made in a pool; none: it is of another pool.
    pub fn versions(&self, pool: PoolId) -> Option<(i64, i64)> {
        let (own, version, slices) = self.made();
        (own == pool).then(|| (version.saturating_sub(slices).saturating_add(1), version))
    }

    /// How many transfers it says it has made in its own pool.
    pub fn slices(&self) -> i64 {
        self.made().2
    }

    fn seal(&self) -> Option<&[u8]> {
        match self {
            Cause::Charge(row) => row.seal.as_deref(),
            Cause::Entry(row) => row.seal.as_deref(),
            Cause::Hold(row) => row.seal.as_deref(),
        }
    }

    /// Whether it has a seal. Rows from before there were any have none.
    pub fn is_sealed(&self) -> bool {
        self.seal().is_some()
    }

    /// Whether its seal is that of its row.
    pub fn seal_fits(&self) -> bool {
        let right = match self {
            Cause::Charge(row) => digest::of_charge(row),
            Cause::Entry(row) => digest::of_entry(row),
            Cause::Hold(row) => digest::of_hold(row),
        };
        match self.seal() {
            Some(seal) => seal == right.as_slice(),
            // There were seals before there were holds.
            None => !matches!(self, Cause::Hold(_)),
        }
    }

    /// The same row as if it had a seal.
    pub fn as_sealed(&self) -> Cause {
        let seal = Some(Vec::new());
        match self {
            Cause::Charge(row) => Cause::Charge(Arc::new(charge::Model { seal, ..(**row).clone() })),
            Cause::Entry(row) => Cause::Entry(Arc::new(journal_entry::Model { seal, ..(**row).clone() })),
            Cause::Hold(row) => Cause::Hold(Arc::new(hold::Model { seal, ..(**row).clone() })),
        }
    }

    /// What the chain covers of it; `lots` came in with it.
    pub fn digest(&self, lots: &[lot::Model]) -> [u8; 32] {
        match self {
            Cause::Charge(row) => digest::of_charge(row),
            Cause::Entry(row) => digest::of_entry_with_lots(row, lots),
            Cause::Hold(row) => digest::of_hold(row),
        }
    }
}

/// The table of a kind of cause.
pub(super) fn table(kind: CauseKind) -> Option<&'static str> {
    match kind {
        CauseKind::Charge => Some("charge"),
        CauseKind::Entry => Some("journal_entry"),
        CauseKind::Hold => Some("hold"),
        CauseKind::Clock => None,
    }
}

/// Checks the seal of a lot, if it has one. Whether it must have one is known where it came in.
pub(super) fn check_lot(place: Place, lot: &lot::Model) -> Result<(), Stop> {
    match &lot.seal {
        Some(seal) if seal.as_slice() != digest::of_lot(lot).as_slice() => {
            Err(place.wrong("lot", uuid(lot.id), "its seal does not fit its row"))
        }
        _ => Ok(()),
    }
}

/// The link of a transfer that follows another link, with the digest of its cause.
pub(super) fn link(place: Place, previous: &[u8; 32], row: &transfer::Model, cause: &[u8; 32]) -> [u8; 32] {
    let transfer = Transfer {
        pool: row.pool_id,
        version: row.version,
        kind: row.kind,
        debit: AccountRef { kind: row.debit_kind, id: row.debit_id },
        credit: AccountRef { kind: row.credit_kind, id: row.credit_id },
        lot: row.lot_id,
        credits: row.credits,
        cost: row.cost,
        debit_after: row.debit_after,
        credit_after: row.credit_after,
        held_after: row.held_after,
        pool_posted_after: row.pool_posted_after,
        pool_held_after: row.pool_held_after,
        debt_after: row.debt_after,
        counterpart: row.counterpart_pool_id.zip(row.counterpart_version),
        // The link covers the digest instead.
        cause: bursar_domain::ledger::Cause::Clock,
        created_at: row.created_at,
        effective_at: row.effective_at.unwrap_or(row.created_at),
    };
    chain::link(previous, place.tenant.id(), &transfer, cause, digest::sha256)
}
