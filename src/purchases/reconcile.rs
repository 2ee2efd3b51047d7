//! Comparing the books with the provider's: money and returns that it has and we have not, and the other way round.
//!
//! Each of its messages is enough to book what it tells of, and it sends them again until they are taken. This finds what
//! never came, and what was taken and stands in the books otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, PaymentId, PurchaseId};
use bursar_domain::organization::OrganizationState;
use bursar_domain::purchase::{ParkedReason, ParkedState, PaymentProvider, PaymentState, PurchaseState};
use bursar_domain::reversal::{ReversalState, advance};
use bursar_entity::{lot, organization, parked_payment, payment, pool, purchase, reversal};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::Selling;
use super::settle::{Outcome, settle};
use crate::db::scope::{find_across, find_organizations};
use crate::db::{Scope, Txn};
use crate::error::{Error, Result};
use crate::global_id;
use crate::payments::{
    PaidState, Provider, ProviderDispute, ProviderError, ProviderEvent, ProviderPayment, ProviderRefund,
};

/// How many names are looked up in one statement.
const AT_ONCE: usize = 500;

/// Something that the books and the provider say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It was paid there, and here it was not.
    PaidThere {
        /// The provider's own name of the payment.
        reference: String,
        /// How much, as the provider says.
        amount: i64,
        /// The currency.
        currency: String,
        /// The payment of ours that it names.
        ours: Option<String>,
    },
    /// It was paid here, and the provider knows nothing of it.
    PaidHereOnly {
        /// Whose it is.
        organization: OrganizationId,
        /// The payment.
        payment: PaymentId,
    },
    /// It was returned there, or stands otherwise there than here.
    RefundThere {
        /// The provider's own name of the refund.
        reference: String,
        /// The provider's own name of the payment.
        payment: String,
        /// How much, as the provider says.
        amount: i64,
        /// The currency.
        currency: String,
    },
    /// It is disputed there, or stands otherwise there than here.
    DisputeThere {
        /// The provider's own name of the dispute.
        reference: String,
        /// The provider's own name of the payment.
        payment: String,
        /// How much, as the provider says.
        amount: i64,
        /// The currency.
        currency: String,
    },
    /// Both know of it, and another amount was paid there.
    Amount {
        /// Whose it is.
        organization: OrganizationId,
        /// The payment.
        payment: PaymentId,
        /// What is in the books.
        here: String,
        /// What the provider says.
        there: String,
    },
    /// It is paid, its credits did not come in, and nothing stands in their way.
    NoLot {
        /// Whose it is.
        organization: OrganizationId,
        /// The purchase.
        purchase: PurchaseId,
    },
    /// It could not be booked, and nobody has decided yet.
    Parked {
        /// The provider's own name.
        reference: String,
        /// Why it could not be booked.
        reason: ParkedReason,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::PaidThere { reference, amount, currency, ours } => {
                let ours = ours.as_deref().unwrap_or("no payment of ours");
                write!(f, "{reference}: {amount} {currency} were paid for {ours}, and are not in the books")
            }
            Difference::PaidHereOnly { organization, payment } => {
                let (organization, payment) = (global_id::encode(*organization), global_id::encode(*payment));
                write!(f, "{payment} of {organization}: is paid here, and the provider does not say so")
            }
            Difference::RefundThere { reference, payment, amount, currency } => {
                write!(f, "{reference}: a refund of {amount} {currency} of {payment} is not in the books")
            }
            Difference::DisputeThere { reference, payment, amount, currency } => {
                write!(f, "{reference}: a dispute over {amount} {currency} of {payment} is not in the books")
            }
            Difference::Amount { organization, payment, here, there } => {
                let (organization, payment) = (global_id::encode(*organization), global_id::encode(*payment));
                write!(f, "{payment} of {organization}: {here} in the books, {there} at the provider")
            }
            Difference::NoLot { organization, purchase } => {
                let organization = global_id::encode(*organization);
                let purchase = global_id::encode(*purchase);
                write!(f, "{purchase} of {organization}: is paid, and its credits have not come in")
            }
            Difference::Parked { reference, reason } => {
                write!(f, "{reference}: is parked ({reason}), and nobody has decided")
            }
        }
    }
}

/// Compares all that there is since an instant with the provider of the settings, says each difference, and answers how
/// many are left. With `repair` what the provider tells of and the books lack is booked as its messages would have been.
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
) -> Result<usize> {
    let run = Run { selling, provider: selling.payments.active(), kind: selling.payments.kind(), since };
    let mut left = 0;
    let mut found = run.payments().await?;
    found.extend(run.refunds().await?);
    found.extend(run.disputes().await?);
    for (difference, event) in found {
        said(&difference);
        let mended = match (event, repair) {
            (Some(event), true) => run.book(event).await?,
            _ => false,
        };
        left += usize::from(!mended);
    }
    let snapshot = selling.context().db.read(Scope::Operator).await?;
    for difference in [run.without_lot(&snapshot).await?, run.parked(&snapshot).await?].concat() {
        said(&difference);
        left += 1;
    }
    Ok(left)
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
    /// Books what the provider tells of; whether it is in the books then. What could not be booked is parked, and told of
    /// as that.
    async fn book(&self, event: ProviderEvent) -> Result<bool> {
        let outcome = settle(self.selling, self.kind, event, None).await?;
        Ok(!matches!(outcome, Outcome::Ignored))
    }

    /// Payments, both ways.
    async fn payments(&self) -> Result<Vec<Found>> {
        let (mut found, mut seen, mut after) = (Vec::new(), BTreeSet::new(), None::<String>);
        loop {
            let page = self.provider.payments_since(self.since, after.as_deref()).await;
            let page = page.map_err(unanswered)?;
            let paid: Vec<ProviderPayment> =
                page.items.into_iter().filter(|payment| payment.state == PaidState::Paid).collect();
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
            after = page.next;
            if after.is_none() {
                break;
            }
        }
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
        Ok(found)
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

    /// Where our reversals stand, by the provider's names.
    async fn reversals(&self, names: &[String]) -> Result<BTreeMap<String, ReversalState>> {
        let snapshot = self.selling.context().db.read(Scope::Operator).await?;
        let mut known = BTreeMap::new();
        for some in names.chunks(AT_ONCE) {
            let rows = find_across::<reversal::Entity>()
                .filter(reversal::Column::ProviderReference.is_in(some.iter().cloned()));
            let rows = rows.all(&snapshot).await?.into_iter();
            known.extend(rows.filter_map(|row| Some((row.provider_reference?, row.state))));
        }
        Ok(known)
    }

    /// Refunds that the books lack.
    async fn refunds(&self) -> Result<Vec<Found>> {
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self.provider.refunds_since(self.since, after.as_deref()).await;
            let page = page.map_err(unanswered)?;
            let names: Vec<String> = page.items.iter().map(|refund| refund.refund.clone()).collect();
            let (known, parked) = (self.reversals(&names).await?, self.parked_names(&names).await?);
            let lacking = |refund: &ProviderRefund| {
                let known = known.get(&refund.refund).copied();
                // What was never booked and never carried out is nothing.
                let nothing = known.is_none() && refund.state == ReversalState::Failed;
                !nothing && !parked.contains(&refund.refund) && advance(known, refund.state).is_some()
            };
            found.extend(page.items.into_iter().filter(lacking).map(refund_there));
            after = page.next;
            if after.is_none() {
                // The oldest first, as they were told of.
                found.reverse();
                return Ok(found);
            }
        }
    }

    /// Disputes that the books lack.
    async fn disputes(&self) -> Result<Vec<Found>> {
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self.provider.disputes_since(self.since, after.as_deref()).await;
            let page = page.map_err(unanswered)?;
            let names: Vec<String> = page.items.iter().map(|dispute| dispute.dispute.clone()).collect();
            let (known, parked) = (self.reversals(&names).await?, self.parked_names(&names).await?);
            let lacking = |dispute: &ProviderDispute| {
                let known = known.get(&dispute.dispute).copied();
                !parked.contains(&dispute.dispute) && advance(known, dispute.state).is_some()
            };
            found.extend(page.items.into_iter().filter(lacking).map(dispute_there));
            after = page.next;
            if after.is_none() {
                found.reverse();
                return Ok(found);
            }
        }
    }

    /// Purchases that are paid and have no credits though nothing stands in their way.
    async fn without_lot(&self, snapshot: &Txn) -> Result<Vec<Difference>> {
        let completed = find_across::<purchase::Entity>()
            .filter(purchase::Column::State.eq(PurchaseState::Completed))
            .filter(purchase::Column::CompletedAt.gte(self.since))
            .order_by_asc(purchase::Column::Id);
        let mut lacking = Vec::new();
        for some in completed.all(snapshot).await?.chunks(AT_ONCE) {
            let lots = find_across::<lot::Entity>()
                .filter(lot::Column::PurchaseId.is_in(some.iter().map(|row| row.id)));
            let lots: BTreeSet<Option<PurchaseId>> =
                lots.all(snapshot).await?.into_iter().map(|row| row.purchase_id).collect();
            lacking.extend(some.iter().filter(|row| !lots.contains(&Some(row.id))).cloned());
        }
        let mut found = Vec::new();
        for row in lacking {
            let pool = find_across::<pool::Entity>()
                .filter(pool::Column::OrganizationId.eq(row.organization_id))
                .filter(pool::Column::Id.eq(row.pool_id));
            let frozen = pool.one(snapshot).await?.is_some_and(|pool| pool.frozen_at.is_some());
            let organization = find_organizations(vec![row.organization_id]);
            let organization: Option<organization::Model> = organization.one(snapshot).await?;
            let acts = organization.is_some_and(|row| row.state == OrganizationState::Active);
            if acts && !frozen {
                found.push(Difference::NoLot { organization: row.organization_id, purchase: row.id });
            }
        }
        Ok(found)
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

fn refund_there(refund: ProviderRefund) -> Found {
    let difference = Difference::RefundThere {
        reference: refund.refund.clone(),
        payment: refund.payment.clone(),
        amount: refund.amount,
        currency: refund.currency.clone(),
    };
    (difference, Some(ProviderEvent::Refund(refund)))
}

fn dispute_there(dispute: ProviderDispute) -> Found {
    let difference = Difference::DisputeThere {
        reference: dispute.dispute.clone(),
        payment: dispute.payment.clone(),
        amount: dispute.amount,
        currency: dispute.currency.clone(),
    };
    (difference, Some(ProviderEvent::Dispute(dispute)))
}
