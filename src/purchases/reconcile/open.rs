//! Payments in a comparison of the books that are open or under way here. A provider lists payments by when they were made; so
//! what has become of checkouts is asked for one by one, however old they are.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::id::PaymentId;
use bursar_domain::purchase::PaymentState;
use bursar_entity::payment;
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::{AT_ONCE, Difference, Found, Run, paid_there, unanswered};
use crate::db::Scope;
use crate::db::scope::find_across;
use crate::error::Result;
use crate::global_id;
use crate::payments::{PaidState, ProviderError, ProviderEvent, ProviderPayment};

impl Run<'_> {
    /// Those that stand otherwise at the provider. What is paid there and listed is in `seen`, and was told of.
    pub(super) async fn not_ended(&self, seen: &BTreeSet<String>) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for row in self.open_here().await? {
            let Some(session) = row.provider_session.as_deref() else { continue };
            let told = match self.provider.find_checkout(session).await {
                Err(ProviderError::NotFound) => {
                    let (organization, payment) = (row.organization_id, row.id);
                    found.push((Difference::OpenHereOnly { organization, payment }, None));
                    continue;
                }
                told => told.map_err(unanswered)?,
            };
            let name = told.reference().to_owned();
            // Somebody has been told of it, or is.
            if !seen.contains(&name) && self.parked_names(&[name]).await?.is_empty() {
                found.extend(differs(&row, told));
            }
        }
        Ok(found)
    }

    /// Charges without anybody there that the provider lists as failed, and that are not so here. They have no checkout that
    /// could be asked for.
    pub(super) async fn failed_there(&self, failed: &[ProviderPayment]) -> Result<Vec<Found>> {
        let snapshot = self.selling.context().db.read(Scope::Operator).await?;
        let ours = |told: &ProviderPayment| global_id::decode::<PaymentId>(told.ours.as_deref()?);
        let mut found = Vec::new();
        for some in failed.chunks(AT_ONCE) {
            let rows = find_across::<payment::Entity>()
                .filter(payment::Column::Provider.eq(self.kind))
                .filter(payment::Column::State.is_in([PaymentState::Open, PaymentState::Pending]))
                .filter(payment::Column::Id.is_in(some.iter().filter_map(ours)));
            let rows = rows.all(&snapshot).await?.into_iter();
            let rows: BTreeMap<PaymentId, payment::Model> = rows.map(|row| (row.id, row)).collect();
            found.extend(some.iter().filter_map(|told| differs(rows.get(&ours(told)?)?, told.clone())));
        }
        Ok(found)
    }

    /// Our payments at checkouts of the provider's that have not come to their end.
    async fn open_here(&self) -> Result<Vec<payment::Model>> {
        let snapshot = self.selling.context().db.read(Scope::Operator).await?;
        let rows = find_across::<payment::Entity>()
            .filter(payment::Column::Provider.eq(self.kind))
            .filter(payment::Column::State.is_in([PaymentState::Open, PaymentState::Pending]))
            .filter(payment::Column::ProviderSession.is_not_null())
            .filter(payment::Column::PaymentMethodId.is_null())
            .order_by_asc(payment::Column::Id);
        Ok(rows.all(&snapshot).await?)
    }
}

/// How a payment differs from what is told of its checkout.
fn differs(row: &payment::Model, told: ProviderPayment) -> Option<Found> {
    match (row.state, &told.state) {
        (_, PaidState::Unpaid) | (PaymentState::Pending, PaidState::Pending) => return None,
        (_, PaidState::Paid) => return Some(paid_there(told)),
        (_, PaidState::Pending | PaidState::Failed(_) | PaidState::Expired) => {}
    }
    let difference = Difference::Stands {
        organization: row.organization_id,
        payment: row.id,
        here: row.state,
        there: told.state.clone(),
    };
    Some((difference, Some(ProviderEvent::Payment(told))))
}
