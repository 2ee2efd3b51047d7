//! Answering a credit request: credits are allocated, a cap is raised, a purchase is requested, or the answer
//! is no. The request, what was given and the audit event are one transaction.
//!
//! # Order of locks
//! The organization first, so that the answers of an organization come one after another: a key is used once,
//! whichever requests it comes with, and people and grants stay as they are. Then the request, then whatever
//! the answer takes, the pool's head at its beginning. Whoever answers second finds what the first did.

use std::sync::Arc;

use bursar_domain::id::{CapId, CreditRequestId, EntryId, UserId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{AllocateCredits, Command, CommandId, Instruction, Refusal};
use bursar_domain::organization::{OrganizationState, Role};
use bursar_domain::request::CreditRequestState;
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{credit_request, journal_entry, membership, purchase, spending_cap_raise, transfer};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::json;

use super::request::{Requested, Wanted, request_in};
use crate::approvals::Tried;
use crate::audit;
use crate::auth::{Actor, Authorized, Standing};
use crate::catalog::Buying;
use crate::changes::{Change, Subject};
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger::{self, Ledger, ReceiptRow, Submission};
use crate::organizations::lock_organization;
use crate::pools::{self, NewRaise, RaiseFields};
use crate::{approvals, global_id, text};

/// The fields of the input that a raise is named by.
const RAISE: RaiseFields = RaiseFields {
    cap: "answer.raiseCap.capId",
    credits: "answer.raiseCap.credits",
    until: "answer.raiseCap.until",
};

/// What the answer is.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Credits are allocated to the department.
    Allocate {
        /// How many; none: as many as were asked for.
        credits: Option<Credits>,
    },
    /// A cap is raised for a time.
    RaiseCap {
        /// Which one.
        cap: CapId,
        /// By how much.
        credits: Credits,
        /// Until when.
        until: Timestamp,
    },
    /// A package is requested.
    Purchase {
        /// Its code.
        package: String,
    },
    /// No.
    Decline,
}

/// An answer, with how it is to be given.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// What the answer is.
    pub answer: Answer,
    /// What the person who asked is told with it.
    pub note: Option<String>,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// An answered request.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The request.
    pub request: credit_request::Model,
    /// What was given.
    pub given: Given,
    /// Whether it had been answered so before, under the same key.
    pub replayed: bool,
}

/// What an answer has given; nothing of it when the answer was no.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The movements of an allocation.
    pub transfers: Vec<transfer::Model>,
    /// The raise of a cap.
    pub raise: Option<spending_cap_raise::Model>,
    /// The purchase that was requested.
    pub purchase: Option<purchase::Model>,
    /// The same with all that people are asked about it, when it was only tried.
    pub tried: Option<Arc<Tried>>,
}

/// An answer that has been checked as far as that goes without looking anything up.
#[derive(Clone)]
struct Checked {
    tenant: Tenant,
    actor: Actor,
    standing: Standing,
    request: CreditRequestId,
    answer: Answer,
    note: Option<String>,
    idempotency: Idempotency,
}

/// Answers a credit request.
pub async fn resolve_credit_request(
    ledger: &Ledger,
    request: &Authorized<credit_request::Model>,
    resolution: Resolution,
) -> Result<Resolved> {
    let Resolution { answer, note, key, dry_run } = resolution;
    let note = text::optional_note("note", note.as_deref())?;
    if let Answer::Allocate { credits: Some(Credits::ZERO) } = answer {
        return Err(Error::invalid("answer.allocate.credits", "must be at least 1"));
    }
    let form = form(request.id, &answer, note.as_deref());
    let checked = Checked {
        tenant: request.tenant(),
        actor: request.actor().clone(),
        standing: request.standing(),
        request: request.id,
        answer,
        note,
        idempotency: Idempotency::new("resolveCreditRequest", &key, &form),
    };
    let (tenant, books) = (checked.tenant, ledger.clone());
    let work = db::work(move |txn| {
        let (checked, books) = (checked.clone(), books.clone());
        Box::pin(async move {
            let (mut resolved, committed) = resolve_in(txn, &books, checked).await?;
            let purchase = resolved.given.purchase.as_ref().map(|purchase| purchase.id);
            if let Some(purchase) = purchase.filter(|_| dry_run) {
                resolved.given.tried = approvals::tried(txn, tenant, purchase).await?;
            }
            Ok((resolved, committed))
        })
    });
    let context = ledger.context();
    if dry_run {
        return Ok(context.db.rehearse(tenant, work).await?.0);
    }
    let (resolved, committed) = context.db.write(tenant, work).await?;
    context.changes.announce(&committed);
    if resolved.given.purchase.is_some() {
        // Whoever has to agree to it has mail.
        context.changes.announce_mail();
    }
    Ok(resolved)
}

/// What was asked for, in canonical form.
fn form(request: CreditRequestId, answer: &Answer, note: Option<&str>) -> Canonical {
    let mut form = Canonical::of("credit request's answer");
    form.id(request);
    match answer {
        Answer::Allocate { credits } => {
            form.text("allocate").option(*credits, |form, credits| _ = form.number(credits.get()));
        }
        Answer::RaiseCap { cap, credits, until } => {
            form.text("raiseCap").id(*cap).number(credits.get()).number(until.micros());
        }
        Answer::Purchase { package } => _ = form.text("purchase").text(package),
        Answer::Decline => _ = form.text("decline"),
    }
    form.option(note, |form, note| _ = form.text(note));
    form
}

async fn resolve_in(txn: &Txn, ledger: &Ledger, checked: Checked) -> Result<(Resolved, Vec<Change>)> {
    let (tenant, idempotency) = (checked.tenant, checked.idempotency);
    let organization = lock_organization(txn, tenant).await?;
    let request = pools::lock_credit_request(txn, tenant, checked.request).await?;
    if let Some(answered) = answered(txn, tenant, idempotency).await? {
        if answered.id != request.id || answered.request_hash != Some(idempotency.request) {
            return Err(Error::IdempotencyConflict);
        }
        let given = given(txn, tenant, &answered).await?;
        return Ok((Resolved { request: answered, given, replayed: true }, Vec::new()));
    }
    pools::still_open(&request)?;
    let now = Standing { organization: Some(organization.revision), staff: checked.standing.staff };
    if !checked.standing.holds(now) {
        return Err(Error::Stale);
    }
    if organization.state == OrganizationState::Suspended {
        return Err(Error::Refused(Refusal::OrganizationSuspended));
    }
    let by = checked.actor.user_id().ok_or(Error::Forbidden)?;
    let own = by == request.requested_by;
    if own && !is_owner(txn, tenant, by).await? {
        return Err(Error::Forbidden);
    }
    let (given, answer, committed) = give(txn, ledger, &checked, &request).await?;
    let after = credit_request::Model {
        resolved_by: Some(by),
        resolved_at: Some(ledger.context().clock.now()),
        note: checked.note,
        idempotency_key: Some(idempotency.key),
        request_hash: Some(idempotency.request),
        ..answer
    };
    pools::write_credit_request(txn, &after).await?;
    let was = json!({ "state": request.state.as_str() });
    let is = json!({
        "state": after.state.as_str(),
        "entry": after.entry_id.map(global_id::encode),
        "raise": after.raise_id.map(global_id::encode),
        "purchase": after.purchase_id.map(global_id::encode),
        // An owner may answer the own request; then it stands here.
        "ownRequest": own,
    });
    let change = audit::Change::updated("resolveCreditRequest", request.id, was, is);
    audit::record(txn, tenant, &ledger.context().clock, &checked.actor, change).await?;
    Ok((Resolved { request: after, given, replayed: false }, committed))
}

/// The request that was answered under a key. The organization is locked.
async fn answered(
    txn: &Txn,
    tenant: Tenant,
    idempotency: Idempotency,
) -> Result<Option<credit_request::Model>> {
    let known = credit_request::Column::IdempotencyKey.eq(idempotency.key);
    Ok(tenant.find::<credit_request::Entity>().filter(known).one(txn).await?)
}

/// Gives what the answer says; answers it, the request as it is then, and what has changed.
async fn give(
    txn: &Txn,
    ledger: &Ledger,
    checked: &Checked,
    request: &credit_request::Model,
) -> Result<(Given, credit_request::Model, Vec<Change>)> {
    let (tenant, actor, clock) = (checked.tenant, &checked.actor, &ledger.context().clock);
    let request = request.clone();
    match &checked.answer {
        Answer::Decline => {
            let answer = credit_request::Model { state: CreditRequestState::Declined, ..request };
            Ok((Given::default(), answer, Vec::new()))
        }
        Answer::Allocate { credits } => {
            let submission = allocation(ledger, checked, &request, credits.unwrap_or(request.credits));
            let (receipt, committed) = ledger.apply(txn, tenant, submission).await?;
            let ReceiptRow::Entry(entry) = receipt.row else {
                return Err(Error::internal("an allocation left no entry"));
            };
            let (state, entry_id) = (CreditRequestState::Allocated, Some(entry.id));
            let answer = credit_request::Model { state, entry_id, ..request };
            Ok((Given { transfers: receipt.transfers, ..Given::default() }, answer, committed))
        }
        Answer::RaiseCap { cap, credits, until } => {
            let new = NewRaise { credits: *credits, until: *until, reason: checked.note.clone() };
            let cap = (request.pool_id, *cap);
            let (cap, raise) = pools::raise_in(txn, (tenant, actor), clock, cap, (&new, RAISE)).await?;
            let elsewhere = cap.department_id.is_some_and(|id| id != request.department_id)
                || cap.user_id.is_some_and(|id| id != request.requested_by);
            if elsewhere {
                let reason = "limits neither the department nor the person who asks";
                return Err(Error::invalid(RAISE.cap, reason));
            }
            let (state, raise_id) = (CreditRequestState::CapRaised, Some(raise.id));
            let answer = credit_request::Model { state, raise_id, ..request };
            Ok((Given { raise: Some(raise), ..Given::default() }, answer, Vec::new()))
        }
        Answer::Purchase { package } => {
            let wanted = Wanted {
                pool: request.pool_id,
                buying: Buying::Package(package.clone()),
                field: "answer.purchase.package",
                currency: None,
                note: checked.note.clone(),
                purchase_order: None,
                credit_request: Some(request.id),
                by_itself: false,
                idempotency: checked.idempotency,
            };
            let Requested { purchase, request: asked, .. } =
                request_in(txn, (tenant, actor), clock, wanted).await?;
            // Whoever may decide about it sees that it waits.
            let of = |subject| Change { organization: tenant.id(), subject };
            let changes = [Some(Subject::Purchase(purchase.id)), asked.map(Subject::Approval)];
            let changes = changes.into_iter().flatten().map(of).collect();
            let (state, purchase_id) = (CreditRequestState::PurchaseRequested, Some(purchase.id));
            let answer = credit_request::Model { state, purchase_id, ..request };
            Ok((Given { purchase: Some(purchase), ..Given::default() }, answer, changes))
        }
    }
}

/// The command that allocates credits to the department that asks.
fn allocation(
    ledger: &Ledger,
    checked: &Checked,
    request: &credit_request::Model,
    credits: Credits,
) -> Submission {
    let clock = &ledger.context().clock;
    let (department, new_account) = (request.department_id, clock.new_id());
    let command = Command {
        id: CommandId::Entry(clock.new_id::<EntryId>()),
        pool: request.pool_id,
        key: checked.idempotency.key,
        request: checked.idempotency.request,
        now: clock.now(),
        instruction: Instruction::Allocate(AllocateCredits { department, new_account, credits }),
    };
    let (actor, standing, reason) = (checked.actor.clone(), checked.standing, checked.note.clone());
    Submission { command, actor, standing, subject: None, metadata: None, reason }
}

/// What an answer gave when it was given.
async fn given(txn: &Txn, tenant: Tenant, request: &credit_request::Model) -> Result<Given> {
    let mut given = Given::default();
    if let Some(id) = request.entry_id {
        let entry = tenant.find::<journal_entry::Entity>().filter(journal_entry::Column::Id.eq(id));
        let entry = entry.one(txn).await?.ok_or_else(|| Error::internal("an answer without its entry"))?;
        let (before, limit) = (entry.version - entry.slices, u64::try_from(entry.slices).unwrap_or(0));
        given.transfers = ledger::transfers_after(txn, tenant, entry.pool_id, before, limit).await?;
    }
    if let Some(id) = request.raise_id {
        let raise = tenant.find::<spending_cap_raise::Entity>();
        given.raise = raise.filter(spending_cap_raise::Column::Id.eq(id)).one(txn).await?;
    }
    if let Some(id) = request.purchase_id {
        let purchase = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id));
        given.purchase = purchase.one(txn).await?;
    }
    Ok(given)
}

/// Whether a person is an owner of the organization, which is locked.
async fn is_owner(txn: &Txn, tenant: Tenant, user: UserId) -> Result<bool> {
    let member = tenant.find::<membership::Entity>().filter(membership::Column::UserId.eq(user));
    Ok(member.one(txn).await?.is_some_and(|member| member.role == Role::Owner))
}
