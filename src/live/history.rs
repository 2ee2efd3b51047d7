//! The latest transfers of a watched pool, for events and for those who come back after a short while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bursar_entity::transfer;

/// The most transfers of one event. Who is further behind gets a fresh snapshot, marked as such.
pub const MAX_TRANSFERS: i64 = 1_000;
/// How long a transfer is kept.
const KEPT: Duration = Duration::from_secs(60);

/// Transfers that events share.
pub type Transfers = Vec<Arc<transfer::Model>>;

/// Transfers without a gap, the newest last.
#[derive(Default)]
pub struct History(VecDeque<(Arc<transfer::Model>, Instant)>);

impl History {
    /// Takes what followed the newest transfer. `None`: there is a gap, and what was before is forgotten.
    pub fn push(&mut self, transfers: Option<Vec<transfer::Model>>) {
        let now = Instant::now();
        match transfers {
            Some(transfers) => {
                let next = self.0.back().map(|(row, _)| row.version + 1);
                if transfers.first().is_some_and(|row| next.is_some_and(|next| row.version != next)) {
                    self.0.clear();
                }
                self.0.extend(transfers.into_iter().map(|row| (Arc::new(row), now)));
            }
            None => self.0.clear(),
        }
        let most = usize::try_from(MAX_TRANSFERS).unwrap_or(usize::MAX);
        while self.0.len() > most || self.0.front().is_some_and(|(_, at)| now - *at > KEPT) {
            self.0.pop_front();
        }
        if self.0.is_empty() {
            // What a busy minute took is given back.
            self.0.shrink_to_fit();
        }
    }

    /// Takes older transfers, which end right before the oldest one here, or at `version` when there is none.
    pub fn prepend(&mut self, transfers: Vec<transfer::Model>, version: i64) {
        let oldest = self.0.front().map_or(version + 1, |(row, _)| row.version);
        if transfers.last().is_some_and(|row| row.version + 1 == oldest) {
            let now = Instant::now();
            for row in transfers.into_iter().rev() {
                self.0.push_front((Arc::new(row), now));
            }
        }
    }

    /// The version that the oldest transfer here has made.
    pub fn oldest(&self) -> Option<i64> {
        self.0.front().map(|(row, _)| row.version)
    }

    /// The transfers of the versions in `(after, until]`, when they are all here and not too many.
    pub fn between(&self, after: i64, until: i64) -> Option<Transfers> {
        if after == until {
            return Some(Vec::new());
        }
        if !(1..=MAX_TRANSFERS).contains(&(until - after)) {
            return None;
        }
        let first = usize::try_from(after + 1 - self.oldest()?).ok()?;
        let count = usize::try_from(until - after).ok()?;
        let found: Transfers =
            self.0.iter().skip(first).take(count).map(|(row, _)| Arc::clone(row)).collect();
        (found.len() == count).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::{Id, LotId, OrganizationId, PoolId};
    use bursar_domain::ledger::{AccountKind, CauseKind, TransferKind};
    use bursar_domain::{Credits, Timestamp};

    fn rows(versions: std::ops::RangeInclusive<i64>) -> Vec<transfer::Model> {
        let row = |version| transfer::Model {
            organization_id: OrganizationId::from_u128(1),
            pool_id: PoolId::from_u128(2),
            version,
            kind: TransferKind::Issue,
            debit_kind: AccountKind::Issued,
            credit_kind: AccountKind::Unallocated,
            debit_id: None,
            credit_id: None,
            lot_id: LotId::from_u128(3),
            credits: Credits::ZERO,
            cost: 0,
            debit_after: 0,
            credit_after: 0,
            held_after: 0,
            pool_posted_after: 0,
            pool_held_after: 0,
            debt_after: 0,
            cause_kind: CauseKind::Entry,
            cause_id: None,
            created_at: Timestamp::EPOCH,
            effective_at: None,
            hash: Vec::new(),
            counterpart_pool_id: None,
            counterpart_version: None,
        };
        versions.map(row).collect()
    }

    fn versions(history: &History, after: i64, until: i64) -> Option<Vec<i64>> {
        history.between(after, until).map(|rows| rows.iter().map(|row| row.version).collect())
    }

    #[test]
    fn what_is_between_two_versions_is_whole_or_not_told() {
        let mut history = History::default();
        assert_eq!(versions(&history, 7, 7), Some(vec![]));
        assert_eq!(versions(&history, 6, 7), None);
        history.push(Some(rows(8..=10)));
        assert_eq!(versions(&history, 7, 10), Some(vec![8, 9, 10]));
        assert_eq!(versions(&history, 8, 9), Some(vec![9]));
        assert_eq!(versions(&history, 6, 10), None);
        assert_eq!(versions(&history, 9, 11), None);
        assert_eq!(versions(&history, 10, 9), None);
        history.prepend(rows(5..=6), 10);
        assert_eq!(versions(&history, 6, 10), None);
        history.prepend(rows(5..=7), 10);
        assert_eq!(versions(&history, 4, 8), Some(vec![5, 6, 7, 8]));
        history.push(Some(rows(11..=1_100)));
        assert_eq!(versions(&history, 99, 1_100), None);
        assert_eq!(history.between(100, 1_100).unwrap().len(), 1_000);
        history.push(None);
        assert_eq!(history.oldest(), None);
        history.prepend(rows(1..=3), 3);
        assert_eq!(versions(&history, 0, 3), Some(vec![1, 2, 3]));
        history.push(Some(rows(6..=7)));
        assert_eq!((versions(&history, 0, 7), versions(&history, 5, 7)), (None, Some(vec![6, 7])));
    }
}
