//! What one charge, journal entry or hold makes: the transfers that follow each other and belong together.

use std::collections::BTreeMap;

use bursar_domain::id::{AccountId, LotId};
use bursar_domain::ledger::{AccountKind, TransferKind};
use bursar_entity::{journal_entry, lot, transfer};

use super::balances::Balances;
use super::causes::Cause;
use super::{Place, Stop, holds};

/// The transfers of one charge, journal entry or hold, as long as not all of them have come.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub cause: Cause,
    pub digest: [u8; 32],
    /// How many are still to come after the next.
    pub left: i64,
    /// Credits of all of its transfers so far.
    pub credits: i64,
    /// Credits of those that are what the entry is about, not what followed from it.
    pub own: i64,
    /// Credits that were taken back.
    pub revoked: i64,
    /// Credits that were given back after they had been taken back, and what they cost.
    pub restored: (i64, i64),
    /// Credits that were held less those that were let go.
    pub held: i64,
    /// The lots that came in with it, and what came in of each.
    pub lots: Vec<lot::Model>,
    pub coming: BTreeMap<LotId, (i64, i64)>,
    pub slices: Vec<(AccountId, LotId, i64)>,
}

impl Group {
    pub fn new(cause: Cause, digest: [u8; 32], left: i64, lots: Vec<lot::Model>) -> Group {
        let (coming, slices) = (BTreeMap::new(), Vec::new());
        let restored = (0, 0);
        Group { cause, digest, left, credits: 0, own: 0, revoked: 0, restored, held: 0, lots, coming, slices }
    }

    pub fn add(&mut self, row: &transfer::Model) {
        let credits = row.credits.get();
        self.credits = self.credits.saturating_add(credits);
        if let Cause::Entry(entry) = &self.cause {
            let own = row.kind == entry.kind && row.debit_kind != AccountKind::Clearing;
            self.own = self.own.saturating_add(if own { credits } else { 0 });
        }
        if [TransferKind::Revoke, TransferKind::Owe].contains(&row.kind) {
            self.revoked = self.revoked.saturating_add(credits);
        }
        if row.kind == TransferKind::Restore && row.debit_kind == AccountKind::Revoked {
            let (so_far, cost) = self.restored;
            self.restored = (so_far.saturating_add(credits), cost.saturating_add(row.cost));
        }
        match row.kind {
            TransferKind::Hold => {
                self.slices.push(holds::slice(row));
                self.held = self.held.saturating_add(credits);
            }
            TransferKind::Release => self.held = self.held.saturating_sub(credits),
            _ => {}
        }
        let into = [AccountKind::Issued, AccountKind::Clearing].contains(&row.debit_kind);
        if into && self.lots.iter().any(|lot| lot.id == row.lot_id) {
            let came = self.coming.entry(row.lot_id).or_default();
            *came = (came.0.saturating_add(credits), came.1.saturating_add(row.cost));
        }
    }
}

impl Group {
    /// Whether a complete entry gives back what it says: credits that holds keep, or others, and no more of them than were
    /// taken back.
    pub fn restores(&self, entry: &journal_entry::Model, lot: LotId, balances: &mut Balances) -> bool {
        let (restored, cost) = self.restored;
        let (held, value) = (entry.credits.get().saturating_sub(restored), entry.cost.saturating_sub(cost));
        let mixed = held > 0 && restored > 0;
        held >= 0 && value >= 0 && !mixed && balances.restore(lot, value, held) == 0
    }
}

impl Cause {
    /// Whether it says as many credits as its transfers have moved.
    pub fn check_credits(&self, place: Place, said: i64, moved: i64) -> Result<(), Stop> {
        match said == moved {
            true => Ok(()),
            false => Err(self.wrong(place, format!("it says {said} credits, and its transfers {moved}"))),
        }
    }
}

/// How the kind of a transfer is not what its cause makes; `made` says whether it is one of those that the
/// cause has made at first.
pub(super) fn mismatch(cause: &Cause, row: &transfer::Model, made: bool) -> Option<String> {
    use TransferKind::{
        Capture, Charge, Dispute, Hold, Lapse, Owe, Reinstate, Release, Restore, Revoke, Settle,
    };
    let fits = match cause {
        Cause::Charge(charge) => row.kind == if charge.hold_id.is_some() { Capture } else { Charge },
        Cause::Hold(_) if made => row.kind == Hold,
        Cause::Hold(_) => [Release, Revoke, Hold, Lapse, Owe].contains(&row.kind),
        Cause::Entry(entry) => match entry.kind {
            Release => [Release, Revoke, Hold, Lapse].contains(&row.kind),
            // Where holds hold all that it is about, only marks change: a pair that moves nothing.
            Revoke => [Revoke, Owe, Hold, Release].contains(&row.kind),
            Restore => [Restore, Hold, Release].contains(&row.kind),
            Dispute => [Hold, Release].contains(&row.kind),
            Reinstate => [Release, Lapse, Hold].contains(&row.kind),
            TransferKind::Issue | TransferKind::Correct => row.kind == entry.kind || row.kind == Settle,
            kind => row.kind == kind,
        },
    };
    (!fits).then(|| format!("it is {:?}, which its cause does not make", row.kind))
}
