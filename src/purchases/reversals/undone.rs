//! Refunds that were reported as carried out and failed later: the buyer's bank did not take the money, so it is the
//! vendor's again.
//!
//! Then everything that the refund has done is undone. The purchase counts as paid again, a receipt corrects the credit note,
//! and what was taken back is given back: what is still owed is owed no more, the rest is there again. The reversal stays,
//! as one that has failed, and the payment can be given back by another one.

use std::collections::BTreeMap;

use bursar_domain::Credits;
use bursar_domain::id::{LotId, PoolId};
use bursar_domain::ledger::{Instruction, RestoreLot};
use bursar_domain::purchase::{Effect, PurchaseEvent, apply};
use bursar_domain::reversal::{ReversalState, Room, Share, give_back};
use bursar_entity::{journal_entry, payment, purchase, reversal};

use super::places::{Places, lots_of};
use super::{Desk, is_returned, key_of, of_purchase, post};
use crate::changes::Change;
use crate::db::Index;
use crate::error::{Error, Result};
use crate::global_id;
use crate::purchases::book::issue_as_asked;
use crate::purchases::closing::close_checkouts;
use crate::purchases::documents::issue_correcting_receipt;
use crate::purchases::{Selling, refused, write_purchase};

/// Whether something that was taken back is still to be given back.
pub(in crate::purchases) fn is_to_be_undone(row: &reversal::Model) -> bool {
    row.state == ReversalState::Failed && (!row.taken_credits.is_zero() || row.taken_value > 0)
}

/// Writes to the purchase that less of its money is back at the buyer's, does what that asks for, and issues the receipt that
/// corrects the credit note. The reversal is written. Answers the purchase, and what is to be announced.
pub(super) async fn take_money(
    desk: Desk<'_>,
    selling: &Selling,
    (purchase, payment): (purchase::Model, &payment::Model),
    row: &reversal::Model,
) -> Result<(purchase::Model, Vec<Change>)> {
    let Desk { txn, tenant, actor, .. } = desk;
    let rows = of_purchase(txn, tenant, purchase.id).await?;
    let all =
        rows.iter().filter(|row| is_returned(row)).fold(0_i64, |sum, row| sum.saturating_add(row.amount));
    let returned = Ord::min(all, purchase.total);
    let less = purchase.returned - returned;
    if less <= 0 {
        return Ok((purchase, Vec::new()));
    }
    let moved = apply(purchase.state, purchase.invoiced, PurchaseEvent::ReturnFailed);
    let moved = moved.map_err(|refusal| refused(refusal, None))?;
    // There are none as a rule: whoever pays closes all others. Else timed work closes them where they were opened.
    close_checkouts(txn, tenant, &desk.ledger.context().clock, purchase.id, moved.effect).await?;
    let purchase = purchase::Model { state: moved.to, returned, ..purchase };
    write_purchase(txn, &purchase).await?;
    // What was paid for and returned before it could come in comes in now.
    let is_in = !lots_of(txn, tenant, purchase.id).await?.is_empty();
    let effect = if is_in { Effect::None } else { moved.effect };
    let changes = issue_as_asked(txn, selling, tenant, (&purchase, payment.id, effect), actor).await?;
    issue_correcting_receipt(txn, selling, tenant, (&purchase, row), less).await?;
    Ok((purchase, changes))
}

/// Gives back what was taken back for a refund that has failed. None: it cannot be done now.
pub(super) async fn give_again(
    desk: Desk<'_>,
    (purchase, places): (&purchase::Model, &Places),
    row: reversal::Model,
) -> Result<Option<(reversal::Model, Vec<Change>)>> {
    let mut committed = Vec::new();
    if let Some((home, lot)) = places.home.filter(|_| !row.taken_credits.is_zero()) {
        let rooms = rooms(desk, (purchase, places), &row).await?;
        let target = (home, places.debt(home), places.into.unwrap_or(lot));
        let all = (row.taken_credits, row.taken_value - row.for_nothing);
        let back = give_back(&places.kept(), &rooms, target, all);
        let back = back.ok_or_else(|| Error::internal("less was taken back than is to be given back"))?;
        if !places.are_open(back.iter().map(|one| one.share.pool)) {
            return Ok(None);
        }
        for one in back {
            let Share { pool, lot, credits, value } = one.share;
            let what = if one.held { "keepPayment" } else { "restorePayment" };
            let key = key_of(what, row.id, (pool, lot));
            let new_lot = desk.ledger.context().clock.new_id::<LotId>();
            let restore = RestoreLot { lot, credits, value, held: one.held, new_lot };
            committed.extend(post(desk, &row, (pool, key), Instruction::Restore(restore)).await?);
        }
    }
    let row = reversal::Model {
        held_credits: Credits::ZERO,
        booked_at: Some(desk.now),
        taken_credits: Credits::ZERO,
        taken_value: 0,
        for_nothing: 0,
        ..row
    };
    Ok(Some((row, committed)))
}

/// The organization's pools, with what was taken back in each: for a reversal, and of all lots.
async fn rooms(
    desk: Desk<'_>,
    (purchase, places): (&purchase::Model, &Places),
    row: &reversal::Model,
) -> Result<Vec<Room>> {
    let lots = lots_of(desk.txn, desk.tenant, purchase.id).await?;
    let of = (journal_entry::Column::LotId, Index::Where("kind IN (14, 15)"));
    let lots = lots.into_iter().map(|lot| lot.id);
    let entries = desk.tenant.lookup_along::<journal_entry::Entity, _>(desk.txn, of, lots).await?;
    // Each says which reversal it is of.
    let id = global_id::encode(row.id);
    let own = entries.iter().filter(|entry| entry.metadata.as_ref().is_some_and(|said| said.contains(&id)));
    let mut taken: BTreeMap<PoolId, Credits> = BTreeMap::new();
    for entry in own {
        let so_far = taken.entry(entry.pool_id).or_default();
        *so_far = so_far.saturating_add(entry.credits);
    }
    let room = |(pool, revoked): (PoolId, Credits)| {
        let taken = taken.get(&pool).copied().unwrap_or_default();
        Room { pool, taken, revoked }
    };
    Ok(places.revoked().map(room).collect())
}
