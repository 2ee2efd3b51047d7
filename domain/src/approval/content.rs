//! What exactly is agreed to, byte for byte; and what can become of a request.

use super::round::{Content, RequestState};
use crate::ledger::chain::Canonical;

impl Content {
    /// The form whose digest stands for what is asked for: whatever is changed in it is another one.
    pub fn canonical(&self) -> Canonical {
        let mut form = Canonical::of("approval content");
        form.id(self.pool)
            .id(self.package_version)
            .number(self.credits.get())
            .number(self.total)
            .text(self.currency.code())
            .option(self.lifetime_days, |form, days| _ = form.number(days))
            .id(self.requester)
            .number(self.valid_until.micros());
        form
    }

    /// Whether somebody who has agreed to this has agreed to what is to be paid, too: the same, or the same for less. Only a
    /// lower price that was found at a checkout may be another version's, whose credits last no shorter.
    pub fn covers(&self, paid: &Content) -> bool {
        let lasts = match (self.lifetime_days, paid.lifetime_days) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(agreed), Some(days)) => days >= agreed,
        };
        let found = Content {
            package_version: paid.package_version,
            total: paid.total,
            lifetime_days: paid.lifetime_days,
            ..*self
        };
        self == paid || paid.total < self.total && lasts && found == *paid
    }
}

/// What buying makes of a request about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// What was agreed to is used by it, and there is nothing left to use.
    Once,
    /// Nobody's consent is needed, so there is nothing to use.
    Unneeded,
}

/// Why nothing can be bought by a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUsable {
    /// Something was.
    Used,
    /// Not everybody who has to has agreed.
    NotAgreed,
}

impl RequestState {
    /// What buying by a request in this state makes of it: by whatever way it is paid, all of them ask here.
    ///
    /// # Errors
    /// Why nothing can be bought by it.
    pub const fn buy(self, used: bool) -> Result<Use, NotUsable> {
        match self {
            _ if used => Err(NotUsable::Used),
            RequestState::Approved => Ok(Use::Once),
            RequestState::Withdrawn => Ok(Use::Unneeded),
            RequestState::Pending | RequestState::Rejected | RequestState::Expired => {
                Err(NotUsable::NotAgreed)
            }
        }
    }

    /// Whether a new round can begin. One rejection ends it, and an approval is used once.
    pub const fn may_reopen(self, used: bool) -> bool {
        !used && !matches!(self, RequestState::Rejected)
    }

    /// Whether a request in this state can come to stand elsewhere. Nothing comes of one that was used.
    pub const fn may_become(self, to: RequestState, used: bool) -> bool {
        use RequestState::{Approved, Expired, Pending, Rejected, Withdrawn};
        match (self, to) {
            (_, Pending) => self.may_reopen(used),
            (Pending, Approved | Rejected | Expired | Withdrawn)
            | (Approved, Expired | Withdrawn)
            // What has run out is asked for again, and nobody has to agree to it as it is then.
            | (Expired, Withdrawn) => !used,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Id, PackageVersionId, PoolId, UserId};
    use crate::{Credits, Currency, Timestamp};

    /// What the tests take for agreed to.
    fn agreed() -> Content {
        Content {
            pool: PoolId::from_u128(1),
            package_version: PackageVersionId::from_u128(2),
            credits: Credits::new(3).unwrap(),
            total: 4,
            currency: Currency::USD,
            lifetime_days: Some(7),
            requester: UserId::from_u128(5),
            valid_until: Timestamp::from_micros(6),
        }
    }

    #[test]
    fn whatever_is_changed_is_other_content() {
        let content = agreed();
        let changes: [fn(&mut Content); 9] = [
            |of| of.pool = PoolId::from_u128(9),
            |of| of.package_version = PackageVersionId::from_u128(9),
            |of| of.credits = Credits::new(9).unwrap(),
            |of| of.total = 9,
            |of| of.currency = Currency::parse("EUR").unwrap(),
            |of| of.lifetime_days = Some(9),
            |of| of.lifetime_days = None,
            |of| of.requester = UserId::from_u128(9),
            |of| of.valid_until = Timestamp::from_micros(9),
        ];
        let form = |content: Content| content.canonical().as_bytes().to_vec();
        let mut forms = vec![form(content)];
        assert_eq!(forms[0], form(content));
        for change in changes {
            let mut changed = content;
            change(&mut changed);
            forms.push(form(changed));
        }
        let different: std::collections::BTreeSet<_> = forms.iter().collect();
        assert_eq!(different.len(), 10);
    }

    #[test]
    fn less_may_be_paid_for_as_much() {
        let agreed = agreed();
        let cheaper = Content { total: 3, ..agreed };
        let other = Content { package_version: PackageVersionId::from_u128(9), ..agreed };
        for paid in [
            agreed,
            cheaper,
            Content { total: 3, ..other },
            Content { lifetime_days: Some(8), ..cheaper },
            Content { lifetime_days: None, ..cheaper },
        ] {
            assert!(agreed.covers(&paid), "{paid:?}");
        }
        for paid in [
            other,
            Content { total: 5, ..agreed },
            Content { total: 5, ..other },
            Content { lifetime_days: Some(6), ..agreed },
            Content { lifetime_days: Some(6), ..cheaper },
            Content { credits: Credits::new(4).unwrap(), ..cheaper },
            Content { pool: PoolId::from_u128(9), ..cheaper },
            Content { currency: Currency::parse("EUR").unwrap(), ..cheaper },
            Content { valid_until: Timestamp::from_micros(9), ..cheaper },
        ] {
            assert!(!agreed.covers(&paid), "{paid:?}");
        }
        let for_ever = Content { lifetime_days: None, ..agreed };
        assert!(!for_ever.covers(&cheaper) && for_ever.covers(&Content { total: 3, ..for_ever }));
    }

    #[test]
    fn the_bytes_stay_what_they_are() {
        let content = agreed();
        let mut expected = vec![1];
        expected.extend_from_slice(&16_i64.to_be_bytes());
        expected.extend_from_slice(b"approval content");
        for id in [1_u128, 2] {
            expected.extend_from_slice(&id.to_be_bytes());
        }
        for number in [3_i64, 4, 3] {
            expected.extend_from_slice(&number.to_be_bytes());
        }
        expected.extend_from_slice(b"USD");
        expected.push(1);
        expected.extend_from_slice(&7_i64.to_be_bytes());
        expected.extend_from_slice(&5_u128.to_be_bytes());
        expected.extend_from_slice(&6_i64.to_be_bytes());
        assert_eq!(content.canonical().as_bytes(), expected);
    }

    #[test]
    fn the_table_of_states() {
        use RequestState::{Approved, Expired, Pending, Rejected, Withdrawn};
        let becomes = |from: RequestState| -> Vec<RequestState> {
            RequestState::ALL.iter().copied().filter(|to| from.may_become(*to, false)).collect()
        };
        assert_eq!(becomes(Pending), RequestState::ALL);
        assert_eq!(becomes(Approved), [Pending, Expired, Withdrawn]);
        assert_eq!(becomes(Rejected), []);
        assert_eq!(becomes(Expired), [Pending, Withdrawn]);
        assert_eq!(becomes(Withdrawn), [Pending]);
        for from in RequestState::ALL {
            assert!(!from.may_reopen(true));
            assert!(RequestState::ALL.iter().all(|to| !from.may_become(*to, true)), "{from}");
            assert_eq!(from.buy(true), Err(NotUsable::Used));
            let expected = match from {
                Approved => Ok(Use::Once),
                Withdrawn => Ok(Use::Unneeded),
                Pending | Rejected | Expired => Err(NotUsable::NotAgreed),
            };
            assert_eq!(from.buy(false), expected, "{from}");
        }
    }
}
