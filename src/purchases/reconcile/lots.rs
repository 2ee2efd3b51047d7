//! Lots in a comparison of the books: each purchase that is paid, or bought on invoice, has brought the credits that were
//! bought, at the price that was paid.

use std::collections::BTreeMap;

use bursar_domain::id::PurchaseId;
use bursar_domain::organization::OrganizationState;
use bursar_domain::purchase::{PaymentProvider, PaymentState, PurchaseState};
use bursar_domain::{Credits, Currency};
use bursar_entity::{lot, organization, payment, pool, purchase};
use sea_orm::{ColumnTrait, Condition, QueryFilter, QueryOrder};

use super::{AT_ONCE, Difference, Run};
use crate::db::Txn;
use crate::db::scope::{find_across, find_organizations};
use crate::error::Result;

impl Run<'_> {
    /// Purchases without the credits that were bought, or with others.
    pub(super) async fn lots(&self, snapshot: &Txn) -> Result<Vec<Difference>> {
        let state = purchase::Column::State;
        let paid = Condition::all()
            .add(state.is_in([PurchaseState::Completed, PurchaseState::Refunded]))
            .add(purchase::Column::CompletedAt.gte(self.since));
        // Until it is paid, however long ago it was bought.
        let invoiced = Condition::all()
            .add(state.eq(PurchaseState::AwaitingPayment))
            .add(purchase::Column::Invoiced.eq(true));
        let bought = find_across::<purchase::Entity>()
            .filter(Condition::any().add(paid).add(invoiced))
            .order_by_asc(purchase::Column::Id);
        let mut found = Vec::new();
        for some in bought.all(snapshot).await?.chunks(AT_ONCE) {
            let lots = lots_of(snapshot, some).await?;
            let paid = paid_for(snapshot, some).await?;
            for row in some {
                match lots.get(&row.id) {
                    Some(lot) => found.extend(differs(row, lot, paid.get(&row.id).copied())),
                    // What was given back before they came in has none, and gets none.
                    None if row.state == PurchaseState::Refunded => {}
                    None if is_kept(snapshot, row).await? => {}
                    None => {
                        let (organization, purchase) = (row.organization_id, row.id);
                        found.push(Difference::NoLot { organization, purchase });
                    }
                }
            }
        }
        Ok(found)
    }
}

/// The lots of purchases. There is at most one of each.
async fn lots_of(snapshot: &Txn, bought: &[purchase::Model]) -> Result<BTreeMap<PurchaseId, lot::Model>> {
    let lots =
        find_across::<lot::Entity>().filter(lot::Column::PurchaseId.is_in(bought.iter().map(|row| row.id)));
    let lots = lots.all(snapshot).await?.into_iter();
    Ok(lots.filter_map(|row| Some((row.purchase_id?, row))).collect())
}

/// What was paid for purchases at providers, in minor units. What an invoice asks for may be credited in part.
async fn paid_for(snapshot: &Txn, bought: &[purchase::Model]) -> Result<BTreeMap<PurchaseId, i64>> {
    let payments = find_across::<payment::Entity>()
        .filter(payment::Column::PurchaseId.is_in(bought.iter().map(|row| row.id)))
        .filter(payment::Column::State.eq(PaymentState::Paid))
        .filter(payment::Column::Provider.ne(PaymentProvider::Invoice));
    let payments = payments.all(snapshot).await?.into_iter();
    Ok(payments.map(|row| (row.purchase_id, row.amount)).collect())
}

/// How a lot differs from what was bought and paid.
fn differs(row: &purchase::Model, lot: &lot::Model, paid: Option<i64>) -> Option<Difference> {
    let cost = paid.unwrap_or(row.total);
    if (lot.credits, lot.cost, lot.currency) == (row.credits, cost, Some(row.currency)) {
        return None;
    }
    let said =
        |credits: Credits, cost: i64, currency: &str| format!("{credits} credits for {cost} {currency}");
    Some(Difference::Lot {
        organization: row.organization_id,
        purchase: row.id,
        lot: said(lot.credits, lot.cost, lot.currency.as_ref().map_or("nothing", Currency::code)),
        bought: said(row.credits, cost, row.currency.code()),
    })
}

/// Whether something keeps the credits of a purchase from coming in.
async fn is_kept(snapshot: &Txn, row: &purchase::Model) -> Result<bool> {
    let pool = find_across::<pool::Entity>()
        .filter(pool::Column::OrganizationId.eq(row.organization_id))
        .filter(pool::Column::Id.eq(row.pool_id));
    let frozen = pool.one(snapshot).await?.is_some_and(|pool| pool.frozen_at.is_some());
    let organization = find_organizations(vec![row.organization_id]);
    let organization: Option<organization::Model> = organization.one(snapshot).await?;
    Ok(frozen || organization.is_none_or(|row| row.state != OrganizationState::Active))
}
