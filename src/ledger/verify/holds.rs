//! Holds as the transfers make them. Open ones are kept; one that has come to its end is compared with its
//! row at once, since that does not change any more.

use std::collections::BTreeMap;

use bursar_domain::Timestamp;
use bursar_domain::id::{AccountId, HoldId, Id, LotId};
use bursar_domain::ledger::HoldState;
use bursar_entity::{charge, hold, transfer};
use uuid::Uuid;

use super::super::digest::Line;
use super::uuid;

/// The open holds of a pool.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds {
    pub open: BTreeMap<HoldId, Kept>,
    /// The hold that was captured last, and when, as long as nothing else has come since.
    captured: Option<(HoldId, Timestamp)>,
}

/// A hold as its transfers have left it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    lines: Vec<Line>,
    units: Vec<i64>,
    captured: i64,
    slices: Vec<(AccountId, LotId, i64)>,
    pub expires_at: Timestamp,
    /// When its last transfer was booked.
    at: Timestamp,
}

impl Kept {
    /// Whether it holds nothing any more.
    pub fn is_over(&self) -> bool {
        self.slices.is_empty()
    }

    /// How a row differs from it; `states` are what may have become of it.
    pub fn difference(&self, row: &hold::Model, states: &[HoldState]) -> Option<String> {
        if !states.contains(&row.state) {
            let states: Vec<&str> = states.iter().map(HoldState::as_str).collect();
            return Some(format!("it is {} and says {}", states.join(" or "), row.state));
        }
        if row.captured.get() != self.captured {
            return Some(format!(
                "{} credits of it were captured, and it says {}",
                self.captured, row.captured
            ));
        }
        let held: Vec<(Uuid, Uuid, i64)> = self
            .slices
            .iter()
            .map(|(account, lot, credits)| (uuid(*account), uuid(*lot), *credits))
            .collect();
        for (name, right, said) in [
            ("the units that were captured", serde_json::to_string(&self.units), &row.captured_units),
            ("what it still holds", serde_json::to_string(&held), &row.held_slices),
        ] {
            match right {
                Ok(right) if right == *said => {}
                Ok(right) => return Some(format!("{name} are {right}, and it says {said}")),
                Err(error) => return Some(format!("{name} cannot be written: {error}")),
            }
        }
        let ended = row.closed_at.is_some_and(|at| at >= self.at);
        let fits = if row.state == HoldState::Open { row.closed_at.is_none() } else { ended };
        (!fits).then(|| "it says the wrong time of its end".to_owned())
    }
}

impl Holds {
    /// A hold was made, of these slices.
    pub fn open(&mut self, row: &hold::Model, slices: Vec<(AccountId, LotId, i64)>) -> Result<(), String> {
        let lines: Vec<Line> =
            serde_json::from_str(&row.lines).map_err(|error| format!("its lines cannot be read: {error}"))?;
        let kept = Kept {
            units: vec![0; lines.len()],
            lines,
            captured: 0,
            slices,
            expires_at: row.expires_at,
            at: row.created_at,
        };
        self.open.insert(row.id, kept);
        Ok(())
    }

    /// A transfer was booked; `hold` is the hold that caused it.
    pub fn pass(&mut self, row: &transfer::Model, hold: Option<HoldId>) {
        let over = |(id, at): &mut (HoldId, Timestamp)| hold != Some(*id) || *at != row.created_at;
        self.captured.take_if(over);
    }

    /// A transfer captures a part of a hold, or lets a slice of it go.
    pub fn take(&mut self, id: HoldId, row: &transfer::Model, whole: bool) -> Result<(), String> {
        let kept = self.open.get_mut(&id).ok_or("the hold was not open")?;
        let first = kept.slices.first_mut().ok_or("the hold held nothing")?;
        let amount = row.credits.get();
        let fits = Some(first.0) == row.debit_id && first.1 == row.lot_id;
        if !fits || first.2 < amount || whole && first.2 != amount {
            return Err("the hold did not hold this next".to_owned());
        }
        first.2 -= amount;
        if first.2 == 0 {
            kept.slices.remove(0);
        }
        kept.at = row.created_at;
        Ok(())
    }

    /// A capture is complete.
    pub fn capture(&mut self, id: HoldId, charge: &charge::Model) -> Result<(), String> {
        let kept = self.open.get_mut(&id).ok_or("its hold was not open")?;
        let lines: Vec<Line> = serde_json::from_str(&charge.lines)
            .map_err(|error| format!("its lines cannot be read: {error}"))?;
        let mut next = 0;
        for line in lines {
            // The lines of a capture are in the order of the hold's, and what is named first is used first.
            let same = |(index, (held, units)): &(usize, (&Line, &mut i64))| {
                let (service, price) = (held.service == line.service, held.version == line.version);
                *index >= next && service && price && held.quantity - **units >= line.quantity
            };
            let mut held = kept.lines.iter().zip(&mut kept.units).enumerate();
            let (index, (_, units)) = held.find(same).ok_or("its lines are not those of its hold")?;
            *units += line.quantity;
            next = index + 1;
        }
        kept.captured = kept.captured.saturating_add(charge.credits.get());
        self.captured = Some((id, charge.created_at));
        Ok(())
    }

    /// What has become of a hold that a transfer lets go which it caused itself.
    pub fn let_go(&self, id: HoldId) -> &'static [HoldState] {
        let expires_at = self.open.get(&id).map(|kept| kept.expires_at);
        match self.captured {
            // By its last capture, of the same time.
            Some((captured, at)) if captured == id && expires_at.is_some_and(|end| at < end) => {
                &[HoldState::Captured]
            }
            // The pool's time may have been moved on by another pool's: then it cannot be told.
            Some((captured, _)) if captured == id => &[HoldState::Captured, HoldState::Expired],
            _ => &[HoldState::Expired],
        }
    }

    /// When the first open hold expires.
    pub fn first_expiry(&self) -> Option<Timestamp> {
        self.open.values().map(|kept| kept.expires_at).min()
    }

    /// How many rows are kept, a hold counting for several.
    pub fn weight(&self) -> usize {
        8 * self.open.len()
    }
}

/// The account, lot and credits of a transfer that holds.
pub(super) fn slice(row: &transfer::Model) -> (AccountId, LotId, i64) {
    (row.debit_id.unwrap_or(AccountId::from_u128(0)), row.lot_id, row.credits.get())
}
