//! Whether the money of an organization (or of one of its pools) adds up with its credits.

/// Where the money went that was paid for credits, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Money {
    /// What all lots cost that came in, those that go on for others left out.
    pub paid: i64,
    /// What the credits had cost that were used, less what came back by refunds of charges.
    pub consumed: i64,
    /// What the credits had cost that lapsed.
    pub expired: i64,
    /// What the credits cost that are still there.
    pub deferred: i64,
    /// What went back to the buyer.
    pub refunded: i64,
    /// What went back to the buyer and for which credits are still to come back.
    pub debt: i64,
    /// By how much more the credits had cost that came back than what went back for them.
    pub adjustments: i64,
    /// What the credits had cost that were taken out to correct a balance.
    pub corrected: i64,
}

impl Money {
    /// 0 when it adds up: what was paid, less everything that has become of it.
    pub fn difference(&self) -> i64 {
        let there = self.consumed + self.expired + self.deferred + self.refunded - self.debt;
        self.paid - (there + self.adjustments + self.corrected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refund_of_what_was_used_is_a_debt_until_it_is_settled() {
        let bought = Money { paid: 1_000, deferred: 1_000, ..Money::default() };
        let used = Money { deferred: 400, consumed: 600, ..bought };
        // All of it goes back: what is left is revoked, 600 are receivable.
        let reversed = Money { deferred: 0, refunded: 1_000, debt: 600, ..used };
        // Credits that cost 750 settle what brought 600.
        let settled = Money { paid: 1_750, debt: 0, adjustments: 150, ..reversed };
        for money in [Money::default(), bought, used, reversed, settled] {
            assert_eq!(money.difference(), 0, "{money:?}");
        }
        assert_eq!(Money { paid: 1_001, ..bought }.difference(), 1);
    }
}
