//! Where purchases and approvals meet: whether somebody has to agree, what becomes of a purchase when somebody has decided
//! about it, and when nobody has in time.
//!
//! The room `approvals` knows who may decide and writes what they decide; here the purchase follows in the same transaction.
//! The organization is locked first, then the quote, the purchase, and the request.

use bursar_domain::Timestamp;
use bursar_domain::approval::{Asked, Choice, Outcome, RoundCause};
use bursar_domain::id::{ApprovalId, PoolId, PurchaseId, UserId};
use bursar_domain::purchase::{ApprovalBasis, PurchaseEvent, PurchaseState, apply};
use bursar_entity::{approval_request, membership, organization, purchase};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::json;

use super::checkout::title;
use super::closing::{close_checkouts, close_sessions};
use super::timed::{be_due, is_done};
use super::top_up::{Ended, ended_in};
use super::{Selling, after_approval, give_quote_back, lock_with_quote, refused, write_purchase};
use crate::approvals::{self, By, Decide, Decided, Due, Opened, Submission, Taken};
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::catalog::{self, Offer};
use crate::clock::Clock;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Error, Result};
use crate::organizations::{lock_for, lock_organization};
use crate::text;

/// Whether somebody has to agree to what a person wants to buy, and by which rule. The organization is locked.
pub(super) async fn wanted_for(
    txn: &Txn,
    (tenant, organization): (Tenant, &organization::Model),
    requester: UserId,
    (pool, offer): (PoolId, &Offer),
    (purchase, now): (Option<PurchaseId>, Timestamp),
) -> Result<Option<approvals::Wanted>> {
    if approvals::current_policy(txn, tenant).await?.is_none() {
        return Ok(None);
    }
    let member = tenant.find::<membership::Entity>().filter(membership::Column::UserId.eq(requester));
    let member = member.one(txn).await?;
    let month = approvals::month_to_date(txn, tenant, organization, offer.currency, purchase, now).await?;
    let asked = Asked {
        pool,
        credits: offer.credits,
        total: offer.total,
        currency: offer.currency,
        role: member.map(|member| member.role),
        month_to_date: month.saturating_add(offer.total),
    };
    approvals::wanted(txn, tenant, &asked).await
}

/// How a purchase begins: somebody has to agree to it, or it is approved automatically.
pub(super) fn begins(wanted: Option<&approvals::Wanted>) -> Result<(PurchaseState, Option<ApprovalBasis>)> {
    if wanted.is_some() {
        return Ok((PurchaseState::PendingApproval, None));
    }
    let approved = apply(PurchaseState::PendingApproval, false, PurchaseEvent::Approved);
    let state = approved.map_err(|refusal| refused(refusal, None))?.to;
    Ok((state, Some(ApprovalBasis::Automatic)))
}

/// Opens a round about a purchase, which is written and locked. What it answers is to be recorded when nothing more is
/// locked.
pub(super) async fn open(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    wanted: approvals::Wanted,
    (purchase, requester, cause): (&purchase::Model, UserId, RoundCause),
    by_itself: bool,
) -> Result<Opened> {
    let package = catalog::package_of_version(txn, purchase.package_version_id).await?;
    let package = package.ok_or_else(|| Error::internal("a purchase without its package"))?;
    let title = title(purchase, &package);
    let submission = Submission { purchase, requester, by_itself, cause, title: &title };
    let opened = approvals::open(txn, tenant, clock, wanted, submission).await?;
    be_due(txn, tenant, approvals::APPROVAL_DUE, opened.request.id, opened.due_at).await?;
    Ok(opened)
}

/// Takes a person's decision about a request, and does what follows. When the last of those has agreed who have to, paying
/// begins at once, as far as that goes.
///
/// # Errors
/// What is wrong with the decision, by its field; not found, when there is no such request; what the database answers.
pub async fn decide(
    selling: &Selling,
    tenant: Tenant,
    actor: &Actor,
    person: UserId,
    decide: Decide,
) -> Result<Decided> {
    let context = selling.context();
    let request = decide.request;
    let work = deciding(selling.clone(), (tenant, actor.clone()), person, checked(decide)?, false);
    let decided = match context.db.write(tenant, work.clone()).await {
        // Somebody has decided in the same name at the same time: that can be seen now.
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            context.db.write(tenant, work).await
        }
        outcome => outcome,
    }?;
    if let Decided::Taken(taken) = &decided {
        let purchase = taken.request.purchase_id;
        context.changes.announce_purchase(tenant.id(), purchase);
        approvals::announce(context, tenant, &[request]);
        if matches!(taken.outcome, Outcome::Approved { .. }) {
            begin_to_pay(selling, tenant, purchase).await;
        }
    }
    Ok(decided)
}

/// Goes on with what was approved. The decision stands whatever comes of that, and timed work goes on where this has ended.
async fn begin_to_pay(selling: &Selling, tenant: Tenant, purchase: PurchaseId) {
    if let Err(error) = Box::pin(after_approval(selling, tenant, purchase)).await {
        tracing::warn!(%error, "paying what was approved could not begin");
    }
}

/// What would become of a decision. Nothing is written.
///
/// # Errors
/// Those of [`decide`].
pub async fn rehearse_decision(
    selling: &Selling,
    tenant: Tenant,
    actor: &Actor,
    person: UserId,
    decide: Decide,
) -> Result<Decided> {
    let work = deciding(selling.clone(), (tenant, actor.clone()), person, checked(decide)?, true);
    selling.context().db.rehearse(tenant, work).await
}

/// A decision whose reason is as it has to be: whoever says no says why.
fn checked(decide: Decide) -> Result<Decide> {
    let reason = text::optional_note("reason", decide.reason.as_deref())?;
    if decide.choice == Choice::Reject && reason.is_none() {
        return Err(Error::invalid("reason", "must be given when the answer is no"));
    }
    Ok(Decide { reason, ..decide })
}

/// The work of a decision. When it is only tried, what would be is looked at.
fn deciding(
    selling: Selling,
    (tenant, actor): (Tenant, Actor),
    person: UserId,
    decide: Decide,
    only_tried: bool,
) -> impl for<'t> Fn(&'t Txn) -> db::WorkFuture<'t, Decided> + Clone + Send + Sync + 'static {
    db::work(move |txn| {
        let (selling, actor, decide) = (selling.clone(), actor.clone(), decide.clone());
        Box::pin(async move {
            let mut decided = decide_about(txn, &selling, (tenant, &actor), person, decide).await?;
            match &mut decided {
                Decided::Taken(taken) if only_tried => {
                    taken.tried = approvals::tried(txn, tenant, taken.request.purchase_id).await?;
                }
                _ => {}
            }
            Ok(decided)
        })
    })
}

async fn decide_about(
    txn: &Txn,
    selling: &Selling,
    (tenant, actor): (Tenant, &Actor),
    person: UserId,
    decide: Decide,
) -> Result<Decided> {
    let clock = &selling.context().clock;
    lock_for(txn, tenant, actor).await?;
    let request = tenant.find::<approval_request::Entity>();
    let request = request.filter(approval_request::Column::Id.eq(decide.request)).one(txn).await?;
    let request = request.ok_or(Error::not_found("approval request").at("requestId"))?;
    let purchase = lock_with_quote(txn, tenant, request.purchase_id).await?;
    let decided =
        approvals::decide_in(txn, (tenant, person), clock, &selling.keys, &purchase, &decide).await?;
    if let (Decided::WrongCode { left: 0 }, By::Link { link, .. }) = (&decided, &decide.by) {
        let ended = approvals::link_ended(actor, (decide.request, decide.round), (*link, person));
        audit::record(txn, tenant, clock, &Actor::system(actor.origin.clone()), ended).await?;
    }
    let Decided::Taken(mut taken) = decided else { return Ok(decided) };
    let more = follow(txn, (tenant, clock), purchase, &taken).await?;
    let changes = std::mem::take(&mut taken.changes);
    approvals::record(txn, tenant, clock, actor, changes.into_iter().chain(more).collect()).await?;
    Ok(Decided::Taken(taken))
}

/// What becomes of the purchase. Answers what is to be recorded of that.
async fn follow(
    txn: &Txn,
    (tenant, clock): (Tenant, &Clock),
    before: purchase::Model,
    taken: &Taken,
) -> Result<Option<Change>> {
    let (event, basis) = match taken.outcome {
        Outcome::Recorded | Outcome::StageDone { .. } => return Ok(None),
        Outcome::Approved { sole_owner: true } => (PurchaseEvent::Approved, Some(ApprovalBasis::SoleOwner)),
        Outcome::Approved { sole_owner: false } => (PurchaseEvent::Approved, Some(ApprovalBasis::People)),
        Outcome::Rejected => (PurchaseEvent::Rejected, None),
    };
    let decided = apply(before.state, before.invoiced, event);
    let state = decided.map_err(|refusal| refused(refusal, None))?.to;
    let after = purchase::Model { state, approval_basis: basis, ..before.clone() };
    write_purchase(txn, &after).await?;
    let was = json!({ "state": before.state.as_str() });
    let mut is = json!({
        "state": state.as_str(),
        "approval": basis.as_ref().map(ApprovalBasis::as_str),
        "approvalRound": taken.decision.round,
    });
    match basis {
        Some(_) => {
            // Whoever is at that of the last round just now gives nothing back.
            is_done(txn, tenant, approvals::PURCHASE_APPROVED, after.id).await?;
            be_due(txn, tenant, approvals::PURCHASE_APPROVED, after.id, clock.now()).await?;
        }
        None => {
            ended_in(txn, tenant, clock, after.id, Ended::Rejected).await?;
            give_quote_back(txn, tenant, &after, &mut is).await?;
        }
    }
    Ok(Some(Change::updated("completeApproval", after.id, was, is)))
}

/// Does what the time has come for of a request: reminds, lets the owners decide, or lets it come to its end. Answers when
/// to look again.
///
/// # Errors
/// What the database answers.
pub async fn approval_due(selling: &Selling, tenant: Tenant, id: ApprovalId) -> Result<Option<Timestamp>> {
    let context = selling.context();
    let clock = context.clock.clone();
    let work = db::work(move |txn| {
        let clock = clock.clone();
        Box::pin(async move { look(txn, tenant, &clock, id).await })
    });
    let (again, expired) = context.db.write(tenant, work).await?;
    approvals::announce(context, tenant, &[id]);
    if let Some((purchase, closed)) = expired {
        context.changes.announce_purchase(tenant.id(), purchase);
        close_sessions(selling, tenant, &closed).await;
    }
    Ok(again)
}

/// A purchase that nobody has decided about in time, and its checkouts that were open.
type Expired = (PurchaseId, Vec<String>);

/// Answers when to look again, and the purchase, when it has expired.
async fn look(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    id: ApprovalId,
) -> Result<(Option<Timestamp>, Option<Expired>)> {
    let request = tenant.find::<approval_request::Entity>().filter(approval_request::Column::Id.eq(id));
    let Some(request) = request.one(txn).await? else { return Ok((None, None)) };
    lock_organization(txn, tenant).await?;
    let before = lock_with_quote(txn, tenant, request.purchase_id).await?;
    let (due, mut changes) = approvals::due_in(txn, tenant, clock, id).await?;
    let (again, expired) = match due {
        Due::Nothing => (None, None),
        Due::Again(at) => (Some(at), None),
        Due::Expired(_, change) => {
            changes.push(change);
            let (expired, change) = expire_in(txn, tenant, clock, before).await?.unzip();
            changes.extend(change);
            (None, expired)
        }
    };
    for change in changes {
        audit::record(txn, tenant, clock, &Actor::system(None), change).await?;
    }
    Ok((again, expired))
}

/// Lets the purchase expire that nobody has decided about in time.
async fn expire_in(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    before: purchase::Model,
) -> Result<Option<(Expired, Change)>> {
    if before.state != PurchaseState::PendingApproval {
        return Ok(None);
    }
    let expired = apply(before.state, before.invoiced, PurchaseEvent::Expired);
    let expired = expired.map_err(|refusal| refused(refusal, None))?;
    let state = expired.to;
    let closed = close_checkouts(txn, tenant, clock, before.id, expired.effect).await?;
    let after = purchase::Model { state, ..before.clone() };
    write_purchase(txn, &after).await?;
    ended_in(txn, tenant, clock, after.id, Ended::Closed).await?;
    let was = json!({ "state": before.state.as_str() });
    let mut is = json!({ "state": state.as_str(), "closedPayments": closed });
    give_quote_back(txn, tenant, &after, &mut is).await?;
    let change = Change::updated("expirePurchase", after.id, was, is);
    Ok(Some(((after.id, closed), change)))
}
