//! What was agreed to and is not paid: whoever pays gets another link as long as the price holds, one by which it is asked
//! for anew when it has run out; and of a charge that was declined people are told.
//!
//! A link leads to one checkout and lasts 72 hours, and whoever has it may lose the role to pay. So whenever none of a round
//! is good any more, another is sent: to those who had one, as far as they may pay still; else to whoever has asked; else to
//! the owners. Timed work (`PURCHASE_APPROVED`) looks when a checkout has come to nothing, when a link is over, and once a
//! day.

use std::collections::BTreeSet;

use bursar_domain::Timestamp;
use bursar_domain::approval::round::WRONG_CODES;
use bursar_domain::approval::{People, RequestState, Round};
use bursar_domain::id::{PurchaseId, UserId};
use bursar_domain::purchase::PurchaseState;
use bursar_entity::{approval_link, approval_request, purchase};
use serde_json::json;

use super::links::{pay_links, withdraw_pay_links};
use super::mail::{Told, tell, tell_all, tell_also};
use super::pay::{has_agreed, is_checkout_open, is_payable, may_pay, pay_link_over};
use super::{find_of_purchase, load_round, lock_request, people};
use crate::audit::Change;
use crate::clock::Clock;
use crate::db::{Tenant, Txn};
use crate::error::Result;
use crate::global_id;

/// The most links to pay by that somebody is sent in a round. One every 72 hours is as many in the 33 days that a price holds
/// under the longest policy; and whoever begins checkouts to give them up, or guesses at digits, fills no mailbox.
const MOST_LINKS: usize = 11;
/// After how many seconds it is looked again at the latest whether somebody has a good link. So long it takes, too, until
/// another one is sent for one that wrong codes have ended.
const DAY_SECONDS: i64 = 24 * 3_600;

/// Sends another link to pay by when none is good any more of those that were sent in the newest round. Answers when to look
/// again, and what is to be recorded. Organization, purchase and request are locked.
///
/// # Errors
/// What the database answers.
pub async fn pay_again(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    (request, purchase): (&approval_request::Model, &purchase::Model),
) -> Result<(Option<Timestamp>, Option<Change>)> {
    let (now, links) = (clock.now(), pay_links(txn, tenant, request).await?);
    let nothing = Ok((None, None));
    if links.is_empty() || !is_unpaid(request, purchase, now) {
        return nothing;
    }
    let is_open = is_checkout_open(txn, tenant, purchase).await?;
    // What needs nobody's consent any more is paid like anything else; but whoever was led to its checkout is led there again.
    let was_led = !is_open && links.iter().any(|link| link.used_at.is_some());
    if request.state == RequestState::Withdrawn && !was_led {
        return nothing;
    }
    let (_, round) = load_round(txn, tenant, request.id, request.round).await?;
    let people = people(txn, tenant).await?;
    let again = |at: Timestamp| (at < purchase.valid_until).then_some(at);
    let tomorrow = now.plus_seconds(DAY_SECONDS);
    let good = links.iter().filter(|link| {
        may_pay(&people, round.pool, link.user_id, has_agreed(&round, link.user_id))
            && pay_link_over(link, is_open, now).is_none()
    });
    if let Some(until) = good.map(|link| link.expires_at).max() {
        return Ok((again(until.min(tomorrow)), None));
    }
    let guessed = links.iter().filter(|link| link.wrong_codes >= WRONG_CODES);
    let pause = guessed.map(|link| link.created_at.plus_seconds(DAY_SECONDS)).max();
    if let Some(pause) = pause.filter(|pause| *pause > now) {
        return Ok((again(pause), None));
    }
    let had = |person: UserId| links.iter().filter(|link| link.user_id == person).count();
    let mut to = who_pays(&links, request.requested_by, &round, &people);
    to.retain(|person| had(*person) < MOST_LINKS);
    if to.is_empty() {
        return nothing;
    }
    withdraw_pay_links(txn, tenant, request.id, now).await?;
    for person in &to {
        tell(txn, tenant, clock, request, Told::PayAgain { to: *person }).await?;
    }
    let facts = json!({
        "round": request.round,
        "kind": "PAY",
        "people": to.iter().map(|id| global_id::encode(*id)).collect::<Vec<_>>(),
    });
    Ok((again(tomorrow), Some(Change::created("renewApprovalLinks", request.id, facts))))
}

/// Whether a link to pay by was sent in the newest round about a purchase.
///
/// # Errors
/// What the database answers.
pub async fn is_sent_to_pay(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<bool> {
    let Some(request) = find_of_purchase(txn, tenant, purchase).await? else { return Ok(false) };
    Ok(!pay_links(txn, tenant, &request).await?.is_empty())
}

/// Tells those who have asked, and whoever was sent to pay, that the price of what was agreed to has run out. Whoever pays
/// gets a link by which it is asked for anew, unless it is a pool that buys by itself: that asks again anyway. The links from
/// before are taken back already, and the request is locked and written.
pub(super) async fn tell_lapsed(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    request: &approval_request::Model,
) -> Result<()> {
    let links = pay_links(txn, tenant, request).await?;
    let (row, round) = load_round(txn, tenant, request.id, request.round).await?;
    let to = match row.by_itself {
        true => BTreeSet::new(),
        false => who_pays(&links, request.requested_by, &round, &people(txn, tenant).await?),
    };
    for person in &to {
        tell(txn, tenant, clock, request, Told::AskAnew { to: *person }).await?;
    }
    let had: BTreeSet<UserId> = links.iter().map(|link| link.user_id).collect();
    tell_all(txn, tenant, clock, (request, Told::Lapsed), (&had, &to)).await
}

/// Tells those who have asked, and the owners, that the charge of what was agreed to was declined, so that nothing is bought.
/// Says nothing when nobody's consent was needed, or it is bought. Organization and purchase are locked.
///
/// # Errors
/// What the database answers.
pub async fn tell_declined(txn: &Txn, tenant: Tenant, clock: &Clock, purchase: PurchaseId) -> Result<()> {
    let Some(known) = find_of_purchase(txn, tenant, purchase).await? else { return Ok(()) };
    let request = lock_request(txn, tenant, known.id).await?;
    if request.state != RequestState::Approved || request.used_at.is_some() {
        return Ok(());
    }
    let owners = people(txn, tenant).await?.owners();
    tell_also(txn, tenant, clock, (&request, Told::Declined), &owners).await
}

/// Whether what was agreed to can still be paid, and is not.
fn is_unpaid(request: &approval_request::Model, purchase: &purchase::Model, now: Timestamp) -> bool {
    use PurchaseState::{Approved, AwaitingPayment, PaymentFailed};
    let waits = matches!(purchase.state, Approved | AwaitingPayment | PaymentFailed) && !purchase.invoiced;
    waits && purchase.valid_until > now && request.used_at.is_none() && is_payable(request, purchase)
}

/// Who pays by now: whoever was sent a link, as far as they may; else whoever has asked; else the owners.
fn who_pays(
    links: &[approval_link::Model],
    requester: UserId,
    round: &Round,
    people: &People,
) -> BTreeSet<UserId> {
    let may = |person: &UserId| may_pay(people, round.pool, *person, has_agreed(round, *person));
    let same: BTreeSet<UserId> = links.iter().map(|link| link.user_id).filter(may).collect();
    if !same.is_empty() {
        return same;
    }
    if may(&requester) { BTreeSet::from([requester]) } else { people.owners() }
}
