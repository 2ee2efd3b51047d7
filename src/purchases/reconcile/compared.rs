//! What was compared with whom, in words: also when nothing differs, and when there was nobody to ask.

use std::fmt;

use bursar_domain::Timestamp;
use bursar_domain::purchase::{PaymentProvider, PaymentState};
use bursar_entity::payment;
use sea_orm::{ColumnTrait, PaginatorTrait, QueryFilter};

use crate::db::Txn;
use crate::db::scope::find_across;
use crate::error::Result;

/// How many things a provider has told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Payments that were paid.
    pub payments: usize,
    /// Refunds.
    pub refunds: usize,
    /// Disputes.
    pub disputes: usize,
}

/// What was compared of one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The provider.
    pub provider: PaymentProvider,
    /// How many payments of it the books have.
    pub here: u64,
    /// What it has told of; none: it was not asked.
    pub there: Option<Told>,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Compared { provider, here, there } = self;
        write!(f, "{provider}: ")?;
        match (provider, there) {
            (PaymentProvider::Sandbox, _) => {
                write!(f, "payments here: {here}; no money is real, so nobody else has them to compare with")
            }
            (PaymentProvider::Invoice, _) => {
                write!(f, "payments here: {here}; the vendor has recorded them, so no provider has them")
            }
            (PaymentProvider::Stripe, Some(Told { payments, refunds, disputes })) => write!(
                f,
                "compared with payments here: {here}, there: {payments}; refunds there: {refunds}; disputes there: \
                 {disputes}"
            ),
            (PaymentProvider::Stripe, None) => {
                write!(f, "payments here: {here}; not compared, because it is not set up")
            }
        }
    }
}

/// What there is to say of each provider: of the one that is set up, and of those that the books have payments of.
pub(super) async fn compared(
    snapshot: &Txn,
    (active, told): (PaymentProvider, Told),
    since: Timestamp,
) -> Result<Vec<Compared>> {
    let mut all = Vec::new();
    for provider in PaymentProvider::ALL.iter().copied() {
        let here = find_across::<payment::Entity>()
            .filter(payment::Column::Provider.eq(provider))
            .filter(payment::Column::State.eq(PaymentState::Paid))
            .filter(payment::Column::PaidAt.gte(since));
        let here = here.count(snapshot).await?;
        if provider == active || here > 0 {
            let asked = provider == active && provider != PaymentProvider::Sandbox;
            all.push(Compared { provider, here, there: asked.then_some(told) });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_has_a_line() {
        let line = |provider, there| Compared { provider, here: 2, there }.to_string();
        let told = Told { payments: 3, refunds: 1, disputes: 0 };
        assert_eq!(
            line(PaymentProvider::Stripe, Some(told)),
            "STRIPE: compared with payments here: 2, there: 3; refunds there: 1; disputes there: 0"
        );
        assert!(line(PaymentProvider::Stripe, None).contains("not set up"));
        assert!(line(PaymentProvider::Sandbox, None).starts_with("SANDBOX: payments here: 2;"));
        assert!(line(PaymentProvider::Invoice, None).starts_with("INVOICE: payments here: 2;"));
    }
}
