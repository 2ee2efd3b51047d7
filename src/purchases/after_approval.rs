//! What follows when people have agreed: what is bought on invoice comes in, a pool that buys by itself is charged, and
//! else somebody is sent to the checkout.
//!
//! It runs after the decision is committed, from whoever has decided last and from timed work (`PURCHASE_APPROVED`). Both
//! use the same key, so there is one payment; and a link for the round's checkout is sent once. Whether whoever has it needs
//! another one is looked at afterwards (see `pay_again`). What stands in the way and may pass is tried again, at growing
//! distances, as long as the price holds; of anything else those who have asked are told.

use std::collections::BTreeSet;

use bursar_domain::Timestamp;
use bursar_domain::approval::{Choice, LinkKind, Payer, People, RequestState};
use bursar_domain::id::{PoolId, PurchaseId, UserId};
use bursar_domain::organization::PaymentTerms;
use bursar_domain::purchase::{PurchaseRefusal, PurchaseState};
use bursar_entity::{
    approval_decision, approval_link, approval_request, auto_top_up, organization, payment, purchase,
};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::invoice::{StartInvoice, start_invoice_as};
use super::pay_again::pay_again;
use super::start::{StartCheckout, idempotency, start_checkout_as};
use super::timed::{TOP_UP, be_due, is_done, is_due};
use super::{Selling, lock};
use crate::approvals::{self, PURCHASE_APPROVED, Told};
use crate::auth::Actor;
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::global_id;
use crate::organizations::lock_organization;

/// After how many seconds it is tried again at the earliest, and at the latest.
const SHORTEST_PAUSE: i64 = 60;
const LONGEST_PAUSE: i64 = 3_600;
/// The name by which these keys are told from those of clients.
const MUTATION: &str = "payApproved";

/// What was agreed to.
struct Agreed {
    purchase: purchase::Model,
    request: approval_request::Model,
    organization: organization::Model,
    /// Who has agreed last.
    last: UserId,
    /// Whether a pool buys it by itself.
    top_up: bool,
}

/// Goes on with a purchase that people have agreed to, as far as that goes without anybody being there. Done again it goes
/// on where it has ended. When something stands in the way that may pass, it answers when to try again; of anything else
/// those who have asked are told, and nothing more is tried.
///
/// # Errors
/// [`Error::UnderWay`] when the payment provider cannot be reached; what the database answers.
pub async fn after_approval(selling: &Selling, tenant: Tenant, id: PurchaseId) -> Result<Option<Timestamp>> {
    let context = selling.context();
    let snapshot = context.db.read(tenant).await?;
    let found = agreed(&snapshot, tenant, id).await?;
    drop(snapshot);
    // Nothing is to be begun, or somebody was sent to pay: then their link is looked at.
    let Some(agreed) = found else { return pay_again(selling, tenant, id).await };
    if agreed.top_up {
        return wake_top_up(selling, tenant, &agreed.purchase).await.map(|()| None);
    }
    let error = match pay(selling, tenant, &agreed).await {
        Ok(()) => return pay_again(selling, tenant, id).await,
        Err(error) if stands_in_the_way(&error) => error,
        Err(error) => return Err(error),
    };
    let purchase = global_id::encode(id);
    tracing::warn!(%error, %purchase, "what was approved cannot be paid for now");
    let again = next_try(agreed.request.ended_at, context.clock.now());
    if may_pass(&error) && again < agreed.purchase.valid_until {
        return Ok(Some(again));
    }
    tell_unpaid(selling, tenant, &agreed).await.map(|()| None)
}

/// Whether it is not the server that is at fault.
fn stands_in_the_way(error: &Error) -> bool {
    matches!(
        error,
        Error::Conflict { .. } | Error::Invalid { .. } | Error::NotFound { .. } | Error::Refused(_)
    )
}

/// Whether time may bring what nobody has to begin: a payment comes to its end, the vendor decides about money, a pool is
/// unfrozen, an invoice is paid.
fn may_pass(error: &Error) -> bool {
    use PurchaseRefusal::{Parked, UnderWay};
    match error {
        Error::Refused(_) => true,
        Error::Conflict { kind, .. } => matches!(
            kind,
            Conflict::Purchase(UnderWay { .. } | Parked { .. })
                | Conflict::CreditLimit { .. }
                | Conflict::InvoiceOverdue
        ),
        _ => false,
    }
}

/// When to try again what was agreed to at an instant: as long after now as that is ago, within bounds.
fn next_try(agreed_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let since = agreed_at.map_or(0, |at| now.micros().saturating_sub(at.micros()) / 1_000_000);
    now.plus_seconds(since.clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
}

/// What is to be gone on with; none: nothing is.
async fn agreed(txn: &Txn, tenant: Tenant, id: PurchaseId) -> Result<Option<Agreed>> {
    let row = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id)).one(txn).await?;
    let Some(purchase) = row else { return Ok(None) };
    let goes_on = match purchase.state {
        PurchaseState::Approved => true,
        // The provider could not be reached when its checkout was begun; or somebody has begun another one.
        PurchaseState::AwaitingPayment => !purchase.invoiced,
        _ => false,
    };
    let request = approvals::find_of_purchase(txn, tenant, id).await?;
    let request = request.filter(|request| request.state == RequestState::Approved && goes_on);
    let Some(request) = request.filter(|request| request.used_at.is_none()) else { return Ok(None) };
    if purchase.state == PurchaseState::AwaitingPayment && !is_own(txn, tenant, &request).await?
        || is_sent(txn, tenant, &request).await?
    {
        return Ok(None);
    }
    let last = tenant
        .find::<approval_decision::Entity>()
        .filter(approval_decision::Column::RequestId.eq(request.id))
        .filter(approval_decision::Column::Round.eq(request.round))
        .filter(approval_decision::Column::Choice.eq(Choice::Approve))
        .order_by_desc(approval_decision::Column::Id);
    let last = last.one(txn).await?.ok_or_else(|| Error::internal("an approval without a decision"))?;
    let organization = tenant.find::<organization::Entity>().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let top_up = tenant.find::<auto_top_up::Entity>().filter(auto_top_up::Column::PurchaseId.eq(id));
    let top_up = top_up.one(txn).await?.is_some();
    Ok(Some(Agreed { purchase, request, organization, last: last.decided_by, top_up }))
}

/// The key of what is begun for a round.
fn key(request: &approval_request::Model) -> String {
    format!("approved {} {}", global_id::encode(request.id), request.round)
}

/// Whether the checkout that is open is the one that was begun here.
async fn is_own(txn: &Txn, tenant: Tenant, request: &approval_request::Model) -> Result<bool> {
    let checkout = idempotency(MUTATION, &key(request), request.purchase_id);
    let begun = tenant.find::<payment::Entity>();
    let begun = begun.filter(payment::Column::IdempotencyKey.eq(checkout.key)).one(txn).await?;
    Ok(begun.is_some())
}

/// Whether somebody has been sent to the checkout of the newest round.
async fn is_sent(txn: &Txn, tenant: Tenant, request: &approval_request::Model) -> Result<bool> {
    let sent = tenant
        .find::<approval_link::Entity>()
        .filter(approval_link::Column::RequestId.eq(request.id))
        .filter(approval_link::Column::Round.eq(request.round))
        .filter(approval_link::Column::Kind.eq(LinkKind::Pay));
    Ok(sent.one(txn).await?.is_some())
}

/// Lets the pool be looked at that buys by itself: its charge begins there.
async fn wake_top_up(selling: &Selling, tenant: Tenant, purchase: &purchase::Model) -> Result<()> {
    let (pool, clock) = (purchase.pool_id, selling.context().clock.clone());
    let work = db::work(move |txn| {
        let now = clock.now();
        Box::pin(async move { be_due(txn, tenant, TOP_UP, pool, now).await })
    });
    selling.context().db.write(tenant, work).await
}

async fn pay(selling: &Selling, tenant: Tenant, agreed: &Agreed) -> Result<()> {
    // Whoever has agreed last has begun nothing: they have agreed, and maybe hours ago.
    let actor = Actor::system_for(agreed.last);
    let (id, key) = (agreed.purchase.id, key(&agreed.request));
    let on_invoice = agreed.organization.payment_terms == PaymentTerms::Invoice;
    if on_invoice && agreed.purchase.state == PurchaseState::Approved {
        let order = agreed.purchase.purchase_order.clone();
        let purchase_order = order.unwrap_or_else(|| global_id::encode(agreed.request.id));
        let start = StartInvoice { purchase_order, key: key.clone(), dry_run: false };
        match start_invoice_as(selling, (tenant, &actor), id, (MUTATION, start)).await {
            // Nobody has to agree any more, but the price is another one: whoever pays sees it at a checkout.
            Ok(invoiced) if invoiced.reopened && invoiced.purchase.state == PurchaseState::Approved => {}
            Ok(_) => return Ok(()),
            // The terms, the limit, or an invoice that is overdue: it is paid at a checkout then.
            Err(Error::Conflict { field: Some("invoice"), reason, .. }) => {
                let purchase = global_id::encode(id);
                tracing::warn!(%reason, %purchase, "what was approved is not bought on invoice");
            }
            Err(error) => return Err(error),
        }
    }
    let start = StartCheckout { key, dry_run: false };
    let started = start_checkout_as(selling, (tenant, &actor), id, (MUTATION, start)).await?;
    if started.reopened || started.requoted {
        return Ok(());
    }
    send_to_checkout(selling, tenant, agreed).await
}

/// Sends those who are to pay a link to the checkout, once a round.
async fn send_to_checkout(selling: &Selling, tenant: Tenant, agreed: &Agreed) -> Result<()> {
    let (clock, id) = (selling.context().clock.clone(), agreed.purchase.id);
    let (request, last) = (agreed.request.clone(), agreed.last);
    let (requester, pool) = (agreed.purchase.requested_by, agreed.purchase.pool_id);
    let work = db::work(move |txn| {
        let (clock, request) = (clock.clone(), request.clone());
        Box::pin(async move {
            lock_organization(txn, tenant).await?;
            let bought = lock(txn, tenant, id).await?;
            let now = approvals::lock_request(txn, tenant, request.id).await?;
            let same = approvals::is_payable(&now, &bought) && now.round == request.round;
            if !same || is_sent(txn, tenant, &now).await? {
                return Ok(());
            }
            let (round, _) = approvals::load_round(txn, tenant, now.id, now.round).await?;
            let payer = approvals::policy_of_round(txn, tenant, &round).await?.payer;
            let people = approvals::people(txn, tenant).await?;
            let payers: BTreeSet<UserId> =
                payers(payer, &people, pool, (requester, last)).into_iter().collect();
            for to in payers.iter().copied() {
                approvals::tell(txn, tenant, &clock, &now, Told::Pay { to }).await?;
            }
            if now.state == RequestState::Approved {
                // That mail says so: one is enough.
                approvals::tell_but(txn, tenant, &clock, (&now, Told::Approved), &payers).await?;
            }
            Ok(())
        })
    });
    selling.context().db.write(tenant, work).await?;
    selling.context().changes.announce_mail();
    Ok(())
}

/// Tells those who have asked, once a round, that nothing more is done by itself.
async fn tell_unpaid(selling: &Selling, tenant: Tenant, agreed: &Agreed) -> Result<()> {
    let (clock, id) = (selling.context().clock.clone(), agreed.purchase.id);
    let request = agreed.request.clone();
    let work = db::work(move |txn| {
        let (clock, request) = (clock.clone(), request.clone());
        Box::pin(async move {
            lock_organization(txn, tenant).await?;
            let row = lock(txn, tenant, id).await?;
            let now = approvals::lock_request(txn, tenant, request.id).await?;
            let same = now.state == RequestState::Approved && now.round == request.round;
            // Whoever has gone on with it by hand knows.
            let is_paid = now.used_at.is_some() || row.state == PurchaseState::AwaitingPayment;
            if same && !is_paid && is_due(txn, tenant, PURCHASE_APPROVED, id).await? {
                approvals::tell(txn, tenant, &clock, &now, Told::Unpaid).await?;
                is_done(txn, tenant, PURCHASE_APPROVED, id).await?;
            }
            Ok(())
        })
    });
    selling.context().db.write(tenant, work).await?;
    selling.context().changes.announce_mail();
    Ok(())
}

/// Who is sent to the checkout: whoever the policy says, as long as they may pay; else whoever has agreed last; else the
/// owners.
fn payers(payer: Payer, people: &People, pool: PoolId, (requester, last): (UserId, UserId)) -> Vec<UserId> {
    let first = match payer {
        Payer::Requester => [requester, last],
        Payer::Approver => [last, last],
    };
    match first.into_iter().find(|person| approvals::may_pay(people, pool, *person, *person == last)) {
        Some(person) => vec![person],
        None => people.owners().into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use bursar_domain::id::Id;
    use bursar_domain::ledger::Refusal;
    use bursar_domain::organization::Role;

    #[test]
    fn what_may_pass_is_tried_again_less_and_less_often() {
        let state = PurchaseState::Approved;
        let conflict = |kind| Error::conflict(kind, None, "No.");
        for passes in [
            conflict(Conflict::Purchase(PurchaseRefusal::UnderWay { state })),
            conflict(Conflict::Purchase(PurchaseRefusal::Parked { state })),
            conflict(Conflict::InvoiceOverdue),
            Error::Refused(Refusal::PoolFrozen),
        ] {
            assert!(stands_in_the_way(&passes) && may_pass(&passes), "{passes:?}");
        }
        for stays in [
            conflict(Conflict::State),
            conflict(Conflict::QuoteExpired),
            conflict(Conflict::Purchase(PurchaseRefusal::NotPayable { state, invoiced: false })),
            Error::invalid("purchaseOrder", "is too long"),
            Error::not_found("pool"),
        ] {
            assert!(stands_in_the_way(&stays) && !may_pass(&stays), "{stays:?}");
        }
        assert!(!stands_in_the_way(&Error::UnderWay("It cannot be reached.")));
        let at = Timestamp::from_micros;
        let pause =
            |seconds: i64| next_try(Some(at(0)), at(seconds * 1_000_000)).micros() / 1_000_000 - seconds;
        assert_eq!([0, 59, 61, 1_000, 100_000].map(pause), [60, 60, 61, 1_000, 3_600]);
    }

    #[test]
    fn somebody_who_may_pay_is_sent_to_the_checkout() {
        let [asks, agrees, owns] = [1, 2, 3].map(UserId::from_u128);
        let pool = PoolId::from_u128(4);
        let with = |roles: &[(UserId, Role)]| People {
            roles: roles.iter().copied().collect::<BTreeMap<_, _>>(),
            ..People::default()
        };
        let paying = |payer, people: &People| payers(payer, people, pool, (asks, agrees));
        let all = with(&[(asks, Role::Admin), (agrees, Role::Member), (owns, Role::Owner)]);
        assert_eq!(paying(Payer::Requester, &all), [asks]);
        assert_eq!(paying(Payer::Approver, &all), [agrees]);
        // Whoever may no longer buy pays nothing, whoever has left neither, and neither does an auditor.
        let fallen = with(&[(asks, Role::Member), (agrees, Role::Member), (owns, Role::Owner)]);
        assert_eq!(paying(Payer::Requester, &fallen), [agrees]);
        let without = with(&[(agrees, Role::Member), (owns, Role::Owner)]);
        assert_eq!(paying(Payer::Requester, &without), [agrees]);
        let watched = with(&[(asks, Role::Auditor), (agrees, Role::Auditor), (owns, Role::Owner)]);
        assert_eq!(paying(Payer::Approver, &watched), [owns]);
    }
}
