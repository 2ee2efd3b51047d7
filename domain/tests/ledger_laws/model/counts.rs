//! Caps in the model: for each period one count of what was used and one of what is held.

use std::collections::BTreeMap;

use bursar_domain::id::{DepartmentId, ServiceId, UserId};
use bursar_domain::ledger::CapScope;
use bursar_domain::period::PeriodKind;

use super::{No, Purse};
use crate::world::{CapRow, period_start};

#[derive(Clone, Debug)]
pub struct CapCounts {
    scope: CapScope,
    pub limit: i64,
    /// How many months a period has; none: it never ends.
    months: Option<i64>,
    /// Amount and end.
    pub raises: Vec<(i64, i64)>,
    /// Used and held, by the beginning of the period.
    pub counts: BTreeMap<i64, (i64, i64)>,
}

/// A use of coins: who, and for each coin the service that it pays for.
#[derive(Clone, Debug)]
pub struct Usage<'u> {
    pub department: Option<DepartmentId>,
    pub spender: Option<UserId>,
    pub services: &'u [ServiceId],
}

impl CapCounts {
    pub fn new((_, scope, period, limit): &CapRow) -> CapCounts {
        let months = period.map(|kind| match kind {
            PeriodKind::Month => 1,
            PeriodKind::Quarter => 3,
            PeriodKind::Year => 12,
        });
        CapCounts { scope: *scope, limit: *limit, months, raises: Vec::new(), counts: BTreeMap::new() }
    }

    fn period(&self, at: i64) -> i64 {
        self.months.map_or(i64::MIN, |months| period_start(months, at))
    }

    /// How many coins of a use it limits.
    fn covers(&self, usage: &Usage<'_>) -> i64 {
        let all_if = |own: bool| if own { usage.services.len() as i64 } else { 0 };
        match self.scope {
            CapScope::Department(department) => all_if(usage.department == Some(department)),
            CapScope::Member(member) => all_if(usage.spender == Some(member)),
            CapScope::Service(service) => usage.services.iter().filter(|of| **of == service).count() as i64,
        }
    }
}

impl Purse {
    /// Whether all caps leave enough.
    pub(super) fn within_caps(&self, usage: &Usage<'_>, at: i64) -> Result<(), No> {
        for (index, cap) in self.caps.iter().enumerate() {
            let (used, held) = cap.counts.get(&cap.period(at)).copied().unwrap_or_default();
            let raised: i64 = cap.raises.iter().filter(|(_, until)| at < *until).map(|(n, _)| n).sum();
            let left = (cap.limit + raised - used - held).max(0);
            let wanted = cap.covers(usage);
            if wanted > 0 && wanted > left {
                return Err(No::Cap(index, left));
            }
        }
        Ok(())
    }

    /// Counts a use in the period of an instant: `used` and `held` say in which direction.
    pub(super) fn count(&mut self, usage: &Usage<'_>, at: i64, used: i64, held: i64) {
        for cap in &mut self.caps {
            let n = cap.covers(usage);
            if n == 0 {
                continue;
            }
            let counts = cap.counts.entry(cap.period(at)).or_default();
            *counts = (counts.0 + used * n, counts.1 + held * n);
            assert!(counts.0 >= 0 && counts.1 >= 0, "a cap has given back what it had not counted");
        }
    }
}
