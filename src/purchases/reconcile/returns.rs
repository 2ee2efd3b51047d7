//! Refunds and disputes in a comparison of the books: what the provider has and we have not, what stands otherwise there
//! than here, what we have and it has not, and what is in our books and has moved no credits.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::id::PaymentId;
use bursar_domain::organization::OrganizationState;
use bursar_domain::purchase::PaymentProvider;
use bursar_domain::reversal::{ReversalKind, ReversalState};
use bursar_entity::{lot, organization, payment, pool, purchase, reversal};
use sea_orm::{ColumnTrait, Condition, QueryFilter, QueryOrder};

use super::{AT_ONCE, Difference, Found, Run, unanswered};
use crate::db::scope::{find_across, find_organizations};
use crate::db::{Scope, Tenant, Txn};
use crate::error::Result;
use crate::payments::{Page, ProviderDispute, ProviderError, ProviderEvent, ProviderRefund};
use crate::purchases::reversals::{all_waiting, is_to_be_undone, is_waiting, reaches};

/// A refund or a dispute, as the provider has it.
struct There {
    kind: ReversalKind,
    reference: String,
    payment: String,
    state: ReversalState,
    amount: i64,
    currency: String,
    event: ProviderEvent,
}

impl From<ProviderRefund> for There {
    fn from(refund: ProviderRefund) -> There {
        There {
            kind: ReversalKind::Refund,
            reference: refund.refund.clone(),
            payment: refund.payment.clone(),
            state: refund.state,
            amount: refund.amount,
            currency: refund.currency.clone(),
            event: ProviderEvent::Refund(refund),
        }
    }
}

impl From<ProviderDispute> for There {
    fn from(dispute: ProviderDispute) -> There {
        There {
            kind: ReversalKind::Dispute,
            reference: dispute.dispute.clone(),
            payment: dispute.payment.clone(),
            state: dispute.state,
            amount: dispute.amount,
            currency: dispute.currency.clone(),
            event: ProviderEvent::Dispute(dispute),
        }
    }
}

/// What is there in a list, whichever of the two it is of.
fn either<T: Into<There>>(page: Page<T>) -> Page<There> {
    let Page { items, odd, next } = page;
    Page { items: items.into_iter().map(Into::into).collect(), odd, next }
}

impl There {
    /// How it differs from what is in the books; `None`: it does not. What was never booked and never carried out is
    /// nothing.
    fn differs(self, known: Option<&reversal::Model>) -> Option<Found> {
        if let Some(row) = known.filter(|row| row.state == self.state) {
            if (row.amount, row.currency.code()) == (self.amount, self.currency.as_str()) {
                return None;
            }
            let difference = Difference::ReturnAmount {
                organization: row.organization_id,
                reference: self.reference,
                here: format!("{} {}", row.amount, row.currency),
                there: format!("{} {}", self.amount, self.currency),
            };
            return Some((difference, None));
        }
        if known.is_none() && self.state == ReversalState::Failed {
            return None;
        }
        let There { kind, reference, payment, amount, currency, event, .. } = self;
        let difference = match kind {
            ReversalKind::Refund => Difference::RefundThere { reference, payment, amount, currency },
            ReversalKind::Dispute => Difference::DisputeThere { reference, payment, amount, currency },
        };
        Some((difference, Some(event)))
    }
}

impl Run<'_> {
    /// Refunds and disputes, both ways; and how many of each the provider has told of.
    pub(super) async fn returns(&self) -> Result<((usize, usize), Vec<Found>)> {
        let mut seen = BTreeSet::new();
        let (refunds, mut found) = self.listed(ReversalKind::Refund, &mut seen).await?;
        let (disputes, of_disputes) = self.listed(ReversalKind::Dispute, &mut seen).await?;
        found.extend(of_disputes);
        found.extend(self.not_listed(&seen).await?);
        Ok(((refunds, disputes), found))
    }

    /// Those of a kind that the provider lists, the oldest first, as they were told of; and how many. Which these are goes
    /// to `seen`.
    async fn listed(&self, kind: ReversalKind, seen: &mut BTreeSet<String>) -> Result<(usize, Vec<Found>)> {
        let (mut found, mut told, mut after) = (Vec::new(), 0, None::<String>);
        loop {
            let page = match kind {
                ReversalKind::Refund => {
                    self.provider.refunds_since(self.since, after.as_deref()).await.map(either)
                }
                ReversalKind::Dispute => {
                    self.provider.disputes_since(self.since, after.as_deref()).await.map(either)
                }
            };
            let Page { items, odd, next } = page.map_err(unanswered)?;
            let names: Vec<String> = items.iter().map(|there| there.reference.clone()).collect();
            told += items.len() + odd.len();
            let (known, parked) = (self.reversals(&names).await?, self.parked_names(&names).await?);
            seen.extend(names);
            for there in items.into_iter().filter(|there| !parked.contains(&there.reference)) {
                let known = known.get(&there.reference);
                found.extend(there.differs(known));
            }
            found.extend(self.odd(odd).await?);
            after = next;
            if after.is_none() {
                found.reverse();
                return Ok((told, found));
            }
        }
    }

    /// Those of our books that the provider has not listed: it lists by when they were made, and one that is old may have
    /// come to its end just now. So what is open here is asked for one by one, however old it is. A refund that was carried out
    /// may fail within weeks: those are listed, as long as no fewer days are compared than usual.
    async fn not_listed(&self, seen: &BTreeSet<String>) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for row in self.returned_here().await? {
            let Some(name) = row.provider_reference.as_deref().filter(|name| !seen.contains(*name)) else {
                continue;
            };
            // Somebody has been told that it stands otherwise.
            if !self.parked_names(&[name.to_owned()]).await?.is_empty() {
                continue;
            }
            let page = match row.kind {
                ReversalKind::Refund => self.provider.find_refund(name).await.map(either),
                ReversalKind::Dispute => self.provider.find_dispute(name).await.map(either),
            };
            let page = match page {
                Err(ProviderError::NotFound) => Page { items: Vec::new(), odd: Vec::new(), next: None },
                page => page.map_err(unanswered)?,
            };
            match (page.items.into_iter().next(), page.odd.is_empty()) {
                (Some(there), _) => found.extend(there.differs(Some(&row))),
                (None, false) => found.extend(self.odd(page.odd).await?),
                (None, true) => {
                    let (organization, reversal) = (row.organization_id, row.id);
                    found.push((Difference::ReturnedHereOnly { organization, reversal }, None));
                }
            }
        }
        Ok(found)
    }

    /// Our refunds and disputes that should be known to the provider: those since the instant, and those that are open.
    /// Those of the sandbox are nowhere else, and what the provider has refused has no name there.
    async fn returned_here(&self) -> Result<Vec<reversal::Model>> {
        if self.kind == PaymentProvider::Sandbox {
            return Ok(Vec::new());
        }
        let snapshot = self.selling.context().db.read(Scope::Operator).await?;
        let (state, open) = (reversal::Column::State, [ReversalState::Pending, ReversalState::Open]);
        let wanted = Condition::any().add(reversal::Column::CreatedAt.gte(self.since)).add(state.is_in(open));
        let rows = find_across::<reversal::Entity>()
            .filter(wanted)
            .filter(state.ne(ReversalState::Failed))
            .filter(reversal::Column::ProviderReference.is_not_null())
            .order_by_asc(reversal::Column::Id);
        let rows = rows.all(&snapshot).await?;
        let mut theirs: BTreeSet<PaymentId> = BTreeSet::new();
        for some in rows.chunks(AT_ONCE) {
            let payments = find_across::<payment::Entity>()
                .filter(payment::Column::Provider.eq(self.kind))
                .filter(payment::Column::Id.is_in(some.iter().map(|row| row.payment_id)));
            theirs.extend(payments.all(&snapshot).await?.into_iter().map(|row| row.id));
        }
        Ok(rows.into_iter().filter(|row| theirs.contains(&row.payment_id)).collect())
    }

    /// Our reversals, by the provider's names.
    async fn reversals(&self, names: &[String]) -> Result<BTreeMap<String, reversal::Model>> {
        let snapshot = self.selling.context().db.read(Scope::Operator).await?;
        let mut known = BTreeMap::new();
        for some in names.chunks(AT_ONCE) {
            let rows = find_across::<reversal::Entity>()
                .filter(reversal::Column::ProviderReference.is_in(some.iter().cloned()));
            let rows = rows.all(&snapshot).await?.into_iter();
            known.extend(rows.filter_map(|row| Some((row.provider_reference.clone()?, row))));
        }
        Ok(known)
    }

    /// Returns whose credits have not been moved though nothing stands in their way, and those that have failed and whose
    /// credits have not been given back.
    pub(super) async fn unbooked(&self, snapshot: &Txn) -> Result<Vec<Difference>> {
        let waiting =
            find_across::<reversal::Entity>().filter(all_waiting()).order_by_asc(reversal::Column::Id);
        let waiting = waiting.all(snapshot).await?;
        let mut found = Vec::new();
        for row in waiting.into_iter().filter(is_waiting) {
            if !self.is_kept(snapshot, &row).await? {
                let (organization, reversal) = (row.organization_id, row.id);
                found.push(Difference::Unbooked { organization, reversal });
            }
        }
        Ok(found)
    }

    /// Whether something keeps a reversal from being booked: there are no credits to take back, a dispute holds what a
    /// refund waits for, another one has to be undone first, or nothing is booked just now in a pool where some of them lie.
    async fn is_kept(&self, snapshot: &Txn, row: &reversal::Model) -> Result<bool> {
        // The operator sees all rows; the organization is in this one.
        let tenant = Tenant::vouched(row.organization_id);
        let bought = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(row.purchase_id));
        let Some(bought) = bought.one(snapshot).await? else { return Ok(false) };
        let lot = tenant.find::<lot::Entity>().filter(lot::Column::PurchaseId.eq(bought.id));
        if lot.one(snapshot).await?.is_none() {
            return Ok(true);
        }
        let may_let_go = reversal::Column::State.is_in([ReversalState::Open, ReversalState::Won]);
        let disputed = tenant
            .find::<reversal::Entity>()
            .filter(reversal::Column::PurchaseId.eq(bought.id))
            .filter(reversal::Column::BookedAt.is_null())
            .filter(may_let_go);
        // What has failed is given back before anything else is done.
        let takes = matches!(row.state, ReversalState::Succeeded | ReversalState::Lost);
        if takes && row.kind == ReversalKind::Refund && disputed.one(snapshot).await?.is_some() {
            return Ok(true);
        }
        // The one that has failed is named by itself.
        let siblings = tenant.find::<reversal::Entity>().filter(reversal::Column::PurchaseId.eq(bought.id));
        if takes && siblings.all(snapshot).await?.iter().any(is_to_be_undone) {
            return Ok(true);
        }
        let organization = find_organizations(vec![row.organization_id]);
        let organization: Option<organization::Model> = organization.one(snapshot).await?;
        if organization.is_none_or(|row| row.state != OrganizationState::Active) {
            return Ok(true);
        }
        // In an archived one it is.
        let closed = pool::Column::FrozenAt.is_not_null();
        for pool in tenant.find::<pool::Entity>().filter(closed).all(snapshot).await? {
            // What is to be given back may have been taken where nothing lies any more.
            if row.state == ReversalState::Failed || reaches(snapshot, tenant, &bought, pool.id).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
