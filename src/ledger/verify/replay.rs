//! The replay of a pool: fed with its transfers in order, it recomputes everything that they say.
//!
//! The order of the checks decides which row is named. Whoever changes one field of a cause or a lot breaks
//! its seal; so when the seals fit and a link does not, it is the transfer that was changed.

use bursar_domain::Timestamp;
use bursar_domain::id::{ChargeId, HoldId, Id, LotId};
use bursar_domain::ledger::chain::ORIGIN;
use bursar_domain::ledger::{AccountKind, CauseKind, HoldState, TransferKind};
use bursar_entity::{charge, hold, journal_entry, lot, transfer};

use super::balances::Balances;
use super::causes::{self, Because, Cause, check_lot, link};
use super::group::{Group, mismatch};
use super::holds::Holds;
use super::page::Page;
use super::{Place, Stop, uuid};

/// What the transfers of a pool up to a version have made of it.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    pub place: Place,
    /// The version of the last transfer.
    pub version: i64,
    /// When it was created; none before the first.
    pub clock: Option<Timestamp>,
    /// Its link.
    pub link: [u8; 32],
    pub balances: Balances,
    pub holds: Holds,
    pub seen: Seen,
    group: Option<Group>,
}

/// How many rows there must be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub charges: u64,
    pub entries: u64,
    pub holds: u64,
    pub lots: u64,
}

/// A transfer with what has caused it.
struct Joined {
    cause: Option<Cause>,
    because: Because,
    digest: [u8; 32],
    /// What is wrong between the two.
    problem: Option<String>,
}

impl Replay {
    /// A pool before its first transfer.
    pub fn new(place: Place) -> Replay {
        Replay {
            place,
            version: 0,
            clock: None,
            link: ORIGIN,
            balances: Balances::default(),
            holds: Holds::default(),
            seen: Seen::default(),
            group: None,
        }
    }

    /// Goes on with the transfers of a page, which follow those before.
    pub fn feed(&mut self, page: &Page) -> Result<(), Stop> {
        for (index, row) in page.transfers.iter().enumerate() {
            let rest = page.transfers.get(index..).unwrap_or_default();
            self.transfer(row, rest, page)?;
        }
        Ok(())
    }

    /// Whether nothing is missing at the end.
    pub fn check_end(&self) -> Result<(), Stop> {
        if self.group.is_some() || !self.balances.is_settled() {
            let next = self.version.saturating_add(1);
            return Err(self.place.wrong("transfer", next, "it is missing: the transfer before it goes on"));
        }
        Ok(())
    }

    /// How many rows are kept.
    pub fn weight(&self) -> usize {
        self.balances.weight() + self.holds.weight()
    }

    fn transfer(&mut self, row: &transfer::Model, rest: &[transfer::Model], page: &Page) -> Result<(), Stop> {
        let place = self.place;
        let next = self.version.saturating_add(1);
        if row.version != next {
            let what = format!("it is missing: {} comes next", row.version);
            return Err(place.wrong("transfer", next, what));
        }
        let joined = self.join(row, rest, page)?;
        let lot = page.lots.get(&row.lot_id);
        if let Some(lot) = lot {
            check_lot(place, lot)?;
        }
        let booked = match lot {
            Some(lot) => self.balances.post(row, lot.expires_at, joined.because),
            None => Ok(()),
        };
        let right = link(place, &self.link, row, &joined.digest);
        if right.as_slice() != row.hash.as_slice() {
            return Err(self.blame(row, &joined, booked.is_ok(), page));
        }
        if lot.is_none() {
            let what = format!("it is missing: transfer {next} is of it");
            return Err(place.wrong("lot", uuid(row.lot_id), what));
        }
        if let Some(problem) = joined.problem.clone().or(booked.err()).or(self.time(row, &joined)) {
            return Err(place.wrong("transfer", next, problem));
        }
        self.check_other(row, page)?;
        (self.version, self.clock, self.link) = (next, Some(row.created_at), right);
        self.follow_hold(row, &joined, page)?;
        self.add(row, page)?;
        if self.group.is_none() {
            self.balances.close_receivable();
        }
        Ok(())
    }

    /// Finds what has caused a transfer, and whether that is what it says.
    fn join(&mut self, row: &transfer::Model, rest: &[transfer::Model], page: &Page) -> Result<Joined, Stop> {
        let place = self.place;
        if let Some(group) = &self.group {
            if !group.cause.is_named_by(row) {
                let what = format!("it belongs to {}, and names something else", group.cause.id());
                return Err(place.wrong("transfer", row.version, what));
            }
            let (cause, because, digest) = (group.cause.clone(), group.cause.because(), group.digest);
            let problem = mismatch(&cause, row, true);
            return Ok(Joined { cause: Some(cause), because, digest, problem });
        }
        if row.cause_kind == CauseKind::Clock {
            let problem = match (row.cause_id, row.kind) {
                (None, TransferKind::Lapse) => None,
                _ => Some("it was caused by time alone, and is no lapse or names something else".to_owned()),
            };
            return Ok(Joined { cause: None, because: Because::Clock, digest: [0; 32], problem });
        }
        let Some(cause) = page.cause(row) else { return Err(self.without_cause(row, page)) };
        if !cause.seal_fits() {
            return Err(cause.wrong(place, "its seal does not fit its row"));
        }
        let lots = self.lots_of(&cause, rest, page)?;
        let digest = cause.digest(&lots);
        let (left, problem) = match (cause.versions(place.pool), &cause) {
            (Some((first, last)), _) if first == row.version => (Some(last - first), None),
            // What ends a hold.
            (Some((_, last)), Cause::Hold(_)) if row.version > last => (None, None),
            (None, Cause::Entry(entry)) if entry.to_pool_id == Some(place.pool) => {
                (Some(cause.slices() - 1), None)
            }
            _ => (None, Some("what it says has caused it says otherwise".to_owned())),
        };
        let problem = problem.or_else(|| mismatch(&cause, row, left.is_some()));
        let because = match cause.because() {
            Because::Hold if left.is_none() => Because::HoldEnd,
            because => because,
        };
        if let Some(left) = left {
            if let Cause::Entry(entry) = &cause
                && entry.kind == TransferKind::Revoke
            {
                self.balances.give_back(entry.cost);
            }
            self.group = Some(Group::new(cause.clone(), digest, left, lots));
        }
        Ok(Joined { because, cause: Some(cause), digest, problem })
    }

    /// The lots that came in with a cause, whose seals fit, and so do those of all lots that its transfers
    /// name.
    fn lots_of(&self, cause: &Cause, rest: &[transfer::Model], page: &Page) -> Result<Vec<lot::Model>, Stop> {
        let Cause::Entry(entry) = cause else { return Ok(Vec::new()) };
        let named = rest.iter().take_while(|next| cause.is_named_by(next)).map(|next| next.lot_id);
        let came_in = page.came_in.get(&entry.id).into_iter().flatten().copied();
        for id in named.chain(came_in.clone()) {
            if let Some(lot) = page.lots.get(&id) {
                check_lot(self.place, lot)?;
            }
        }
        Ok(came_in.filter_map(|id| page.lots.get(&id).cloned()).collect())
    }

    /// The cause of a transfer is not there: either it was taken away, or the transfer names another.
    fn without_cause(&self, row: &transfer::Model, page: &Page) -> Stop {
        let (place, pool) = (self.place, self.place.pool);
        for cause in &page.candidates {
            let made =
                cause.versions(pool).is_some_and(|(first, last)| (first..=last).contains(&row.version));
            if made && !cause.seal_fits() {
                return cause.wrong(place, "its seal does not fit its row");
            }
        }
        let fits = |digest: &[u8; 32]| link(place, &self.link, row, digest).as_slice() == row.hash.as_slice();
        let lots = |cause: &Cause| self.lots_of(cause, &[], page).unwrap_or_default();
        let known = row.cause_id.map(|id| HoldId::from_u128(id.as_u128()));
        let never_made = row.cause_kind == CauseKind::Hold
            && row.kind != TransferKind::Hold
            && known.is_none_or(|id| !self.holds.open.contains_key(&id));
        if page.candidates.iter().any(|cause| fits(&cause.digest(&lots(cause))))
            || fits(&[0; 32])
            || never_made
        {
            return place.wrong("transfer", row.version, "it does not name what has caused it");
        }
        match (causes::table(row.cause_kind), row.cause_id) {
            (Some(table), Some(id)) => {
                place.wrong(table, id, format!("it is missing: transfer {} names it", row.version))
            }
            _ => place.wrong("transfer", row.version, "it names nothing that has caused it"),
        }
    }

    /// A link is not what follows from its transfer and cause; `booked` says whether the transfer's amounts
    /// are right. Names the row that was changed.
    fn blame(&self, row: &transfer::Model, joined: &Joined, booked: bool, page: &Page) -> Stop {
        let place = self.place;
        if let Some(cause) = &joined.cause {
            let lots = self.group.as_ref().map(|group| group.lots.as_slice()).unwrap_or_default();
            if !cause.is_sealed() {
                let sealed = link(place, &self.link, row, &cause.as_sealed().digest(lots));
                if sealed.as_slice() == row.hash.as_slice() {
                    return cause.wrong(place, "its seal was taken away");
                }
                if booked {
                    let what = format!("it, or transfer {}, is not what the hash chain says", row.version);
                    return cause.wrong(place, what);
                }
            }
            if let Cause::Entry(entry) = cause
                && entry.lot_id == Some(row.lot_id)
                && !page.lots.contains_key(&row.lot_id)
            {
                let what = format!("it is missing: transfer {} is of it", row.version);
                return place.wrong("lot", uuid(row.lot_id), what);
            }
        }
        place.wrong("transfer", row.version, "it is not what the hash chain says")
    }

    /// What is wrong with the times of a transfer.
    fn time(&self, row: &transfer::Model, joined: &Joined) -> Option<String> {
        let at_once =
            self.group.is_some() && joined.cause.as_ref().map(Cause::created_at) != Some(row.created_at);
        if at_once {
            return Some("it was not created when its cause was".to_owned());
        }
        if self.clock.is_some_and(|clock| row.created_at < clock) {
            return Some("it was created before the transfer before it".to_owned());
        }
        let early = row.effective_at.is_none_or(|at| at < row.created_at);
        (!early).then(|| "it took effect after it was created, or says so without need".to_owned())
    }

    /// The other half of a movement to or from another pool is there, and says the same.
    fn check_other(&self, row: &transfer::Model, page: &Page) -> Result<(), Stop> {
        let place = self.place;
        let (Some(pool), Some(version)) = (row.counterpart_pool_id, row.counterpart_version) else {
            return Ok(());
        };
        if pool == place.pool {
            return Ok(());
        }
        let there = Place { pool, ..place };
        let Some(other) = page.others.get(&(pool, version)) else {
            let what =
                format!("it is missing: it is the other half of {} of {}", row.version, uuid(place.pool));
            return Err(there.wrong("transfer", version, what));
        };
        let names =
            other.counterpart_pool_id.zip(other.counterpart_version) == Some((place.pool, row.version));
        let sides = [row.debit_kind, other.debit_kind];
        let through = match row.kind {
            TransferKind::Assign => AccountKind::Debt,
            _ => AccountKind::Clearing,
        };
        let halves = sides.iter().filter(|kind| **kind == through).count() == 1;
        let same = (other.kind, other.lot_id, other.credits, other.cost, other.created_at)
            == (row.kind, row.lot_id, row.credits, row.cost, row.created_at);
        if names && halves && same {
            return Ok(());
        }
        let what = format!("it is not the other half of {} of {}", row.version, uuid(place.pool));
        Err(there.wrong("transfer", version, what))
    }

    /// Follows what a transfer does to a hold.
    fn follow_hold(&mut self, row: &transfer::Model, joined: &Joined, page: &Page) -> Result<(), Stop> {
        let place = self.place;
        let wrong = |what: String| place.wrong("transfer", row.version, what);
        let caused = match &joined.cause {
            Some(Cause::Hold(hold)) => Some(hold.id),
            _ => None,
        };
        self.holds.pass(row, caused);
        match (row.kind, &joined.cause) {
            (TransferKind::Capture, Some(Cause::Charge(charge))) => {
                let id = charge.hold_id.ok_or_else(|| wrong("it captures no hold".to_owned()))?;
                self.holds.take(id, row, false).map_err(wrong)
            }
            (TransferKind::Release, Some(Cause::Hold(hold))) => {
                self.holds.take(hold.id, row, true).map_err(wrong)?;
                self.close_hold(hold.id, self.holds.let_go(hold.id), page)
            }
            (TransferKind::Release, Some(Cause::Entry(entry))) if entry.kind == TransferKind::Release => {
                let id = entry.hold_id.ok_or_else(|| wrong("it lets no hold go".to_owned()))?;
                self.holds.take(id, row, true).map_err(wrong)?;
                self.close_hold(id, &[HoldState::Voided], page)
            }
            _ => Ok(()),
        }
    }

    /// When a hold has come to its end, its row must say so.
    fn close_hold(&mut self, id: HoldId, states: &[HoldState], page: &Page) -> Result<(), Stop> {
        let Some(kept) = self.holds.open.get(&id).filter(|kept| kept.is_over()) else { return Ok(()) };
        let place = self.place;
        let Some(row) = page.holds.get(&id) else {
            return Err(place.wrong("hold", uuid(id), "it is missing: transfers are of it"));
        };
        let cause = Cause::Hold(row.clone());
        if !cause.seal_fits() {
            return Err(cause.wrong(place, "its seal does not fit its row"));
        }
        if let Some(difference) = kept.difference(row, states) {
            return Err(cause.wrong(place, difference));
        }
        self.holds.open.remove(&id);
        Ok(())
    }

    /// Adds a transfer to its group, which may be complete with it.
    fn add(&mut self, row: &transfer::Model, page: &Page) -> Result<(), Stop> {
        let Some(mut group) = self.group.take() else { return Ok(()) };
        group.add(row);
        if group.left > 0 {
            group.left -= 1;
            self.group = Some(group);
            return Ok(());
        }
        match &group.cause {
            Cause::Charge(charge) => self.finish_charge(charge, &group, page),
            Cause::Hold(hold) => self.finish_hold(hold, &group, page),
            Cause::Entry(entry) if entry.pool_id == self.place.pool => {
                self.finish_entry(entry, row.lot_id, &group)
            }
            // Its own pool counts it.
            Cause::Entry(_) => Ok(()),
        }
    }

    fn finish_charge(&mut self, charge: &charge::Model, group: &Group, page: &Page) -> Result<(), Stop> {
        let (place, cause) = (self.place, &group.cause);
        self.seen.charges += 1;
        cause.check_credits(place, charge.credits.get(), group.credits)?;
        if !self.balances.learn(charge.account_id, charge.department_id) {
            return Err(cause.wrong(place, "its department is not that of its account"));
        }
        match charge.hold_id {
            Some(id) => {
                self.holds.capture(id, charge).map_err(|what| cause.wrong(place, what))?;
                self.close_hold(id, &[HoldState::Captured], page)
            }
            None => self.check_reference(charge.reference.as_ref(), (Some(charge.id), None), page),
        }
    }

    fn finish_hold(&mut self, hold: &hold::Model, group: &Group, page: &Page) -> Result<(), Stop> {
        let (place, cause) = (self.place, &group.cause);
        self.seen.holds += 1;
        cause.check_credits(place, hold.credits.get(), group.credits)?;
        if !self.balances.learn(hold.account_id, hold.department_id) {
            return Err(cause.wrong(place, "its department is not that of its account"));
        }
        self.holds.open(hold, group.slices.clone()).map_err(|what| cause.wrong(place, what))?;
        self.check_reference(hold.reference.as_ref(), (None, Some(hold.id)), page)
    }

    fn finish_entry(&mut self, entry: &journal_entry::Model, lot: LotId, group: &Group) -> Result<(), Stop> {
        let (place, cause) = (self.place, &group.cause);
        self.seen.entries += 1;
        self.seen.lots += u64::try_from(group.lots.len()).unwrap_or(u64::MAX);
        for lot in &group.lots {
            let came = group.coming.get(&lot.id).copied().unwrap_or_default();
            if came != (lot.credits.get(), lot.cost) {
                let what = format!("{} credits for {} came in with it, not what it says", came.0, came.1);
                return Err(place.wrong("lot", uuid(lot.id), what));
            }
            if lot.seal.is_some() != cause.is_sealed() {
                return Err(place.wrong("lot", uuid(lot.id), "its seal was taken away, or put there"));
            }
        }
        let credits = entry.credits.get();
        match entry.kind {
            TransferKind::Revoke => {
                // What is held of a lot that is taken back follows when it is let go.
                let held = credits.saturating_sub(group.revoked);
                if held < 0 || self.balances.revoke_held(lot, held) != 0 {
                    return Err(cause.wrong(place, "its credits are not what was taken back"));
                }
            }
            TransferKind::Restore if group.restores(entry, lot, &mut self.balances) => {}
            TransferKind::Restore => return Err(cause.wrong(place, "it gives back what was not taken")),
            TransferKind::Dispute => {
                let held = credits.saturating_sub(group.held);
                if group.held < 0 || held < 0 {
                    return Err(cause.wrong(place, "it is about less than it holds"));
                }
                self.balances.contest_held(lot, held);
            }
            TransferKind::Reinstate => {
                // What holds hold comes last, when nothing is held for a dispute any more.
                let left = credits.saturating_add(group.held);
                if left < 0 || group.held > 0 || left > 0 && self.balances.disputed(lot) != 0 {
                    return Err(cause.wrong(place, "its credits are not what was let go"));
                }
                self.balances.uncontest(lot, left);
            }
            _ => return cause.check_credits(place, credits, group.own),
        }
        if !self.balances.marks_fit(lot) {
            return Err(cause.wrong(place, "it leaves less of the lot held than is spoken for"));
        }
        Ok(())
    }

    /// A reference belongs to whoever used it first.
    fn check_reference(
        &self,
        reference: Option<&String>,
        owner: (Option<ChargeId>, Option<HoldId>),
        page: &Page,
    ) -> Result<(), Stop> {
        let Some(reference) = reference else { return Ok(()) };
        let what = match page.references.get(reference) {
            Some(row) if (row.charge_id, row.hold_id) == owner => return Ok(()),
            Some(_) => "it does not belong to the charge or hold that has it",
            None => "it is missing: a charge or a hold has it",
        };
        Err(self.place.wrong("claimed_reference", reference, what))
    }
}
