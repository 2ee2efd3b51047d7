//! Disputes: the buyer's bank asks for the money back. While one is open, what is left of the credits is held; when it is
//! won they are let go, when it is lost they are taken back.

use bursar_domain::Credits;
use bursar_domain::id::PaymentId;
use bursar_domain::ledger::{DisputeLot, Instruction};
use bursar_domain::reversal::{ReversalKind, spread};
use bursar_entity::{purchase, reversal};

use super::Selling;
use super::reversals::{Desk, Places, Told, hear, key_of, lock_places, post, share_of};
use super::settle::Outcome;
use crate::auth::Actor;
use crate::changes::Change;
use crate::db::Tenant;
use crate::error::Result;
use crate::payments::ProviderDispute;

/// Books what a provider tells of a dispute of a payment that has been booked. News that is old, or comes again,
/// changes nothing; what cannot be is parked.
pub(super) async fn dispute_told(
    selling: &Selling,
    tenant: Tenant,
    payment: PaymentId,
    dispute: &ProviderDispute,
    origin: Option<String>,
) -> Result<Outcome> {
    let told = Told {
        kind: ReversalKind::Dispute,
        reference: dispute.dispute.clone(),
        state: dispute.state,
        amount: dispute.amount,
        currency: dispute.currency.clone(),
        ours: None,
        frees_key: false,
    };
    hear(selling, (tenant, payment), told, Actor::system(origin)).await
}

/// Holds what is left of the credits that a dispute is about: what is free, then what is held already, from when that is
/// let go. What has been used is nobody's yet. None: it cannot be done now.
pub(super) async fn hold(
    desk: Desk<'_>,
    (purchase, places): (&purchase::Model, &Places),
    rows: &[reversal::Model],
    row: reversal::Model,
) -> Result<Option<(reversal::Model, Vec<Change>)>> {
    let Some(home) = places.home else { return Ok(None) };
    let credits = share_of(purchase, rows, row.id, row.amount);
    let unclaimed = places.unclaimed();
    let there = unclaimed
        .iter()
        .fold(Credits::ZERO, |sum, place| sum.saturating_add(place.free).saturating_add(place.held));
    let held_credits = credits.min(there);
    let shares = spread(&unclaimed, home, held_credits, 0);
    if !places.are_open(shares.iter().map(|share| share.pool)) {
        return Ok(None);
    }
    // It may hold again, after another dispute of the same payment has ended.
    let ended =
        rows.iter().filter(|row| row.kind == ReversalKind::Dispute && row.booked_at.is_some()).count();
    let what = format!("disputePayment {ended}");
    let mut committed = Vec::new();
    for share in shares {
        let key = key_of(&what, row.id, (share.pool, share.lot));
        let dispute = DisputeLot { lot: share.lot, credits: share.credits };
        committed.extend(post(desk, &row, (share.pool, key), Instruction::Dispute(dispute)).await?);
    }
    let row = reversal::Model { credits, held_credits, held_at: Some(desk.now), ..row };
    Ok(Some((row, committed)))
}

/// Lets go of what disputes still hold of a purchase, after one of them has ended. The caller has seen that the pools are
/// open.
pub(super) async fn let_go(
    desk: Desk<'_>,
    purchase: &purchase::Model,
    ended: &reversal::Model,
) -> Result<Vec<Change>> {
    let places = lock_places(desk, purchase).await?;
    let mut committed = Vec::new();
    for (pool, lot, credits) in places.claimed() {
        let key = key_of("reinstatePayment", ended.id, (pool, lot));
        let reinstate = Instruction::Reinstate(DisputeLot { lot, credits });
        committed.extend(post(desk, ended, (pool, key), reinstate).await?);
    }
    Ok(committed)
}
