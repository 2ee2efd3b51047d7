//! Comparing the books with the provider's: money and returns that it has and we have not, and the other way round.
//!
//! Each of its messages is enough to book what it tells of, and it sends them again until they are taken. This finds what
//! never came, and what was taken and stands in the books otherwise.

mod compared;
mod difference;
mod lots;
mod open;
mod returns;

pub use compared::{Compared, Told};
pub use difference::Difference;

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::Timestamp;
use bursar_domain::purchase::{ParkedState, PaymentProvider, PaymentState};
use bursar_entity::{parked_payment, payment};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::Selling;
use super::settle::{Outcome, settle};
use crate::db::scope::find_across;
use crate::db::{Scope, Txn};
use crate::error::{Error, Result};
use crate::payments::{NotUnderstood, PaidState, Provider, ProviderError, ProviderEvent, ProviderPayment};

/// How many names are looked up in one statement.
const AT_ONCE: usize = 500;

/// What has come of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciled {
    /// What was compared, for each provider.
    pub compared: Vec<Compared>,
    /// How many differences are left.
    pub left: usize,
}

/// Compares all that there is since an instant with the provider of the settings, says each difference, and answers what
/// was compared and how many are left. With `repair` what the provider tells of and the books lack is booked as its
/// messages would have been.
///
/// It may run beside the server: what is being paid just then may be told of as a difference, and is none the next time.
///
/// # Errors
/// When the provider or the database cannot be asked.
pub async fn reconcile(
    selling: &Selling,
    since: Timestamp,
    repair: bool,
    mut said: impl FnMut(&Difference) + Send,
) -> Result<Reconciled> {
    let run = Run { selling, provider: selling.payments.active(), kind: selling.payments.kind(), since };
    let mut left = 0;
    let (payments, mut found) = run.payments().await?;
    let ((refunds, disputes), of_returns) = run.returns().await?;
    found.extend(of_returns);
    for (difference, event) in found {
        said(&difference);
        let mended = match (event, repair) {
            (Some(event), true) => run.book(event).await?,
            _ => false,
        };
        left += usize::from(!mended);
    }
    let snapshot = selling.context().db.read(Scope::Operator).await?;
    let (lots, unbooked) = (run.lots(&snapshot).await?, run.unbooked(&snapshot).await?);
    for difference in [lots, unbooked, run.parked(&snapshot).await?].concat() {
        said(&difference);
        left += 1;
    }
    let told = Told { payments, refunds, disputes };
    let compared = compared::compared(&snapshot, (run.kind, told), since).await?;
    Ok(Reconciled { compared, left })
}

/// A difference, and the message that would have told of it.
type Found = (Difference, Option<ProviderEvent>);

/// One comparison.
struct Run<'a> {
    selling: &'a Selling,
    provider: &'a dyn Provider,
    kind: PaymentProvider,
    since: Timestamp,
}

impl Run<'_> {
    /// Books what the provider tells of; whether that has changed something. What could not be booked is parked, and told
    /// of as that.
    async fn book(&self, event: ProviderEvent) -> Result<bool> {
        let outcome = settle(self.selling, self.kind, event, None).await?;
        Ok(!matches!(outcome, Outcome::Ignored | Outcome::Already))
    }

    /// Payments, both ways; and how many the provider has told of.
    async fn payments(&self) -> Result<(usize, Vec<Found>)> {
        let (mut found, mut seen, mut after) = (Vec::new(), BTreeSet::new(), None::<String>);
        let mut failed = Vec::new();
        loop {
            let page = self.provider.payments_since(self.since, after.as_deref()).await;
            let page = page.map_err(unanswered)?;
            let (paid, others): (Vec<ProviderPayment>, Vec<ProviderPayment>) =
                page.items.into_iter().partition(|payment| payment.state == PaidState::Paid);
            failed.extend(others.into_iter().filter(|other| matches!(other.state, PaidState::Failed(_))));
            let names: Vec<String> = paid.iter().map(|payment| payment.reference().to_owned()).collect();
            let (ours, parked) = (self.known(&names).await?, self.parked_names(&names).await?);
            for payment in paid {
                seen.insert(payment.reference().to_owned());
                if parked.contains(payment.reference()) {
                    continue;
                }
                let known = ours.get(payment.reference());
                found.extend(
                    known.map_or_else(|| Some(paid_there(payment.clone())), |row| amount(row, &payment)),
                );
            }
            found.extend(self.odd(page.odd).await?);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let told = seen.len();
        for row in self.paid_here().await? {
            let name = row.provider_payment.as_deref().unwrap_or_default();
            if seen.contains(name) {
                continue;
            }
            // It may have been opened before the instant from which on was asked.
            let there = match self.provider.find_payment(name).await {
                Err(ProviderError::NotFound) => None,
                there => Some(there.map_err(unanswered)?),
            };
            let there = there.filter(|payment| payment.state == PaidState::Paid);
            found.extend(match there {
                Some(payment) => amount(&row, &payment),
                None => {
                    let (organization, payment) = (row.organization_id, row.id);
                    Some((Difference::PaidHereOnly { organization, payment }, None))
                }
            });
        }
        found.extend(self.failed_there(&failed).await?);
        found.extend(self.not_ended(&seen).await?);
        Ok((told, found))
    }

    /// Our payments that are paid, by the provider's names.
    async fn known(&self, names: &[String]) -> Result<BTreeMap<String, payment::Model>> {
        let snapshot = self.selling.context().db.read(Scope::Operator).await?;
        let mut known = BTreeMap::new();
        for some in names.chunks(AT_ONCE) {
            let rows = find_across::<payment::Entity>()
                .filter(payment::Column::Provider.eq(self.kind))
                .filter(payment::Column::State.eq(PaymentState::Paid))
                .filter(payment::Column::ProviderPayment.is_in(some.iter().cloned()));
            let rows = rows.all(&snapshot).await?;
            known.extend(rows.into_iter().filter_map(|row| Some((row.provider_payment.clone()?, row))));
        }
        Ok(known)
    }

    /// Which of the provider's names are of what could not be booked, whatever was decided since.
    async fn parked_names(&self, names: &[String]) -> Result<BTreeSet<String>> {
        let snapshot = self.selling.context().db.read(Scope::Operator).await?;
        let mut parked = BTreeSet::new();
        for some in names.chunks(AT_ONCE) {
            let rows = find_across::<parked_payment::Entity>()
                .filter(parked_payment::Column::Provider.eq(self.kind))
                .filter(parked_payment::Column::ProviderReference.is_in(some.iter().cloned()));
            parked.extend(rows.all(&snapshot).await?.into_iter().map(|row| row.provider_reference));
        }
        Ok(parked)
    }

    /// Payments that were paid here since the instant. Those of the sandbox are nowhere else.
    async fn paid_here(&self) -> Result<Vec<payment::Model>> {
        if self.kind == PaymentProvider::Sandbox {
            return Ok(Vec::new());
        }
        let snapshot = self.selling.context().db.read(Scope::Operator).await?;
        let rows = find_across::<payment::Entity>()
            .filter(payment::Column::Provider.eq(self.kind))
            .filter(payment::Column::State.eq(PaymentState::Paid))
            .filter(payment::Column::PaidAt.gte(self.since))
            .order_by_asc(payment::Column::Id);
        Ok(rows.all(&snapshot).await?)
    }

    /// What the provider says in a way that is not known, unless it is parked as that.
    async fn odd(&self, odd: Vec<NotUnderstood>) -> Result<Vec<Found>> {
        let names: Vec<String> = odd.iter().map(|odd| odd.reference.clone()).collect();
        let parked = self.parked_names(&names).await?;
        let unknown = odd.into_iter().filter(|odd| !parked.contains(&odd.reference));
        Ok(unknown.map(not_understood).collect())
    }

    /// What could not be booked, and nobody has decided about.
    async fn parked(&self, snapshot: &Txn) -> Result<Vec<Difference>> {
        let open = find_across::<parked_payment::Entity>()
            .filter(parked_payment::Column::State.eq(ParkedState::Open))
            .order_by_asc(parked_payment::Column::Id);
        let parked = |row: parked_payment::Model| {
            let (reference, reason) = (row.provider_reference, row.reason);
            Difference::Parked { reference, reason }
        };
        Ok(open.all(snapshot).await?.into_iter().map(parked).collect())
    }
}

/// A provider that could not be asked.
fn unanswered(error: ProviderError) -> Error {
    tracing::warn!(%error, "the payment provider does not answer as it should");
    Error::Unavailable("The payment provider cannot be reached, or does not answer as it should.")
}

fn paid_there(payment: ProviderPayment) -> Found {
    let difference = Difference::PaidThere {
        reference: payment.reference().to_owned(),
        amount: payment.amount,
        currency: payment.currency.clone(),
        ours: payment.ours.clone(),
    };
    (difference, Some(ProviderEvent::Payment(payment)))
}

/// Whether another amount was paid than is in the books. Nothing books that: somebody has to look.
fn amount(row: &payment::Model, payment: &ProviderPayment) -> Option<Found> {
    if (row.amount, row.currency.code()) == (payment.amount, payment.currency.as_str()) {
        return None;
    }
    let difference = Difference::Amount {
        organization: row.organization_id,
        payment: row.id,
        here: format!("{} {}", row.amount, row.currency),
        there: format!("{} {}", payment.amount, payment.currency),
    };
    Some((difference, None))
}

fn not_understood(odd: NotUnderstood) -> Found {
    let (reference, detail) = (odd.reference.clone(), odd.detail.clone());
    (Difference::NotUnderstood { reference, detail }, Some(ProviderEvent::NotUnderstood(odd)))
}
