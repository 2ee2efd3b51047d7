//! What providers tell of refunds and disputes. However often and in whatever order it is told, each is one reversal that
//! goes on from state to state and never back; what cannot be is parked for somebody to decide about.

use bursar_domain::Credits;
use bursar_domain::id::{PaymentId, ReversalId};
use bursar_domain::purchase::{ParkedReason, PaymentProvider, PaymentState};
use bursar_domain::reversal::{ReversalKind, ReversalState, advance};
use bursar_entity::{payment, purchase, reversal};

use super::{Desk, carry_on, is_returned, lock_payment, lock_places, of_purchase, share_of, write_reversal};
use crate::audit;
use crate::auth::Actor;
use crate::changes::Change;
use crate::db::{self, Tenant};
use crate::error::Result;
use crate::global_id;
use crate::purchases::Selling;
use crate::purchases::parked::{Parking, park};
use crate::purchases::refund_order::is_to_be_asked;
use crate::purchases::settle::Outcome;
use crate::purchases::timed::{REFUND_DUE, is_done};
use crate::purchases::top_up::halt_in;

/// What a provider tells of a refund or a dispute.
#[derive(Clone, Debug)]
pub(in crate::purchases) struct Told {
    /// Which of the two.
    pub kind: ReversalKind,
    /// The provider's own name of it.
    pub reference: String,
    /// Where it stands.
    pub state: ReversalState,
    /// How much, in minor units.
    pub amount: i64,
    /// The currency, in capitals.
    pub currency: String,
    /// The reversal of ours that it names.
    pub ours: Option<String>,
    /// Whether whoever has asked for it is answered that it was refused. A refusal uses up no key: that is free again.
    pub frees_key: bool,
}

/// What was made of it.
enum Heard {
    Is(Outcome),
    /// It cannot be.
    Odd(String),
    /// Somebody has to be told of it first. Nothing is written yet.
    Alarming(Alarm),
}

/// What somebody is told of before it is booked.
enum Alarm {
    /// More goes back than was paid.
    TooMuch(String),
    /// What went back has not arrived, and is to be given back in another way.
    CameBack(String),
}

/// Takes what a provider tells of a refund or dispute of a payment.
pub(in crate::purchases) async fn hear(
    selling: &Selling,
    (tenant, payment): (Tenant, PaymentId),
    told: Told,
    actor: Actor,
) -> Result<Outcome> {
    let (heard, provider) = attempt(selling, (tenant, payment), (&told, &actor), false).await?;
    let (reference, detail, goes_on) = match heard {
        Heard::Is(outcome) => return Ok(outcome),
        Heard::Odd(detail) => (told.reference.clone(), detail, false),
        Heard::Alarming(Alarm::TooMuch(detail)) => (told.reference.clone(), detail, true),
        // It may have been parked for another reason before.
        Heard::Alarming(Alarm::CameBack(detail)) => (format!("{} failed", told.reference), detail, true),
    };
    let parking = Parking {
        reference,
        reason: ParkedReason::ReversalMismatch,
        detail,
        amount: told.amount,
        currency: told.currency.clone(),
        organization: Some(global_id::encode(tenant.id())),
        ours: told.ours.clone().or_else(|| Some(global_id::encode(payment))),
    };
    // Somebody is told first: what is told again after a crash comes this way again.
    let parked = park(selling, provider, parking, actor.origin.clone()).await?;
    if goes_on {
        attempt(selling, (tenant, payment), (&told, &actor), true).await?;
    }
    Ok(parked)
}

/// One try, in a transaction of its own. `all_the_same`: somebody has been told of what is alarming about it.
async fn attempt(
    selling: &Selling,
    (tenant, payment): (Tenant, PaymentId),
    (told, actor): (&Told, &Actor),
    all_the_same: bool,
) -> Result<(Heard, PaymentProvider)> {
    let (own, told, actor) = (selling.clone(), told.clone(), actor.clone());
    let work = db::work(move |txn| {
        let (own, told, actor) = (own.clone(), told.clone(), actor.clone());
        Box::pin(async move {
            let now = own.context().clock.now();
            let desk = Desk { txn, ledger: &own.ledger, tenant, actor: &actor, now };
            hear_in(desk, &own, payment, &told, all_the_same).await
        })
    });
    let (heard, provider, committed) = selling.context().db.write(tenant, work).await?;
    selling.context().changes.announce(&committed);
    Ok((heard, provider))
}

/// The same inside the transaction. Answers also who has taken the payment, and what is to be announced.
async fn hear_in(
    desk: Desk<'_>,
    selling: &Selling,
    id: PaymentId,
    told: &Told,
    all_the_same: bool,
) -> Result<(Heard, PaymentProvider, Vec<Change>)> {
    let (purchase, payment) = lock_payment(desk.txn, desk.tenant, id).await?;
    // What is new is known before the heads are locked: only with the purchase locked does another one come.
    let rows = of_purchase(desk.txn, desk.tenant, purchase.id).await?;
    let is_new = known(&rows, id, told).is_none() && odd(&payment, None, told).is_none();
    let clock = &desk.ledger.context().clock;
    let halted = match is_new && !is_nothing(told.state) {
        true => halt_in(desk.txn, desk.tenant, clock, &purchase).await?,
        false => None,
    };
    let heard = hear_locked(desk, selling, (purchase, payment), told, all_the_same).await?;
    if let Some(halted) = halted {
        audit::record(desk.txn, desk.tenant, clock, desk.actor, halted).await?;
    }
    Ok(heard)
}

/// The same with purchase and payment as they are locked.
async fn hear_locked(
    desk: Desk<'_>,
    selling: &Selling,
    (purchase, payment): (purchase::Model, payment::Model),
    told: &Told,
    all_the_same: bool,
) -> Result<(Heard, PaymentProvider, Vec<Change>)> {
    let id = payment.id;
    lock_places(desk, &purchase).await?;
    let rows = of_purchase(desk.txn, desk.tenant, purchase.id).await?;
    let provider = payment.provider;
    let known = known(&rows, id, told);
    if let Some(odd) = odd(&payment, known, told) {
        return Ok((Heard::Odd(odd), provider, Vec::new()));
    }
    let Some(state) = advance(known.map(|row| row.state), told.state) else {
        // What was asked for here gets its name there.
        if let Some(row) = known.filter(|row| row.provider_reference.is_none() || told.frees_key) {
            is_done(desk.txn, desk.tenant, REFUND_DUE, row.id).await?;
            write_reversal(desk.txn, &named(row, told)).await?;
        }
        return Ok((Heard::Is(Outcome::Already), provider, Vec::new()));
    };
    let own = known.map(|row| row.id);
    let row = match known {
        Some(row) => reversal::Model { state, ..named(row, told) },
        None => {
            let id = desk.ledger.context().clock.new_id::<ReversalId>();
            reversal::Model {
                organization_id: desk.tenant.id(),
                id,
                purchase_id: purchase.id,
                payment_id: payment.id,
                kind: told.kind,
                state,
                provider_reference: Some(told.reference.clone()),
                amount: told.amount,
                currency: payment.currency,
                credits: share_of(&purchase, &rows, id, told.amount),
                held_credits: Credits::ZERO,
                held_at: None,
                booked_at: None,
                taken_credits: Credits::ZERO,
                taken_value: 0,
                for_nothing: 0,
                reason: None,
                idempotency_key: None,
                request_hash: None,
                created_at: desk.now,
            }
        }
    };
    if is_returned(&row) && !all_the_same {
        let gone = rows.iter().filter(|row| Some(row.id) != own && is_returned(row));
        let gone = gone.fold(0_i64, |sum, row| sum.saturating_add(row.amount));
        if gone.saturating_add(row.amount) > payment.amount {
            let detail = format!("Of {} {gone} went back before.", payment.amount);
            return Ok((Heard::Alarming(Alarm::TooMuch(detail)), provider, Vec::new()));
        }
    }
    if known.is_some_and(is_returned) && state == ReversalState::Failed && !all_the_same {
        let detail = "It was reported as carried out before, and has failed: the money is not at the buyer's. Its credits \
            are given back. Give the payment back in another way.";
        return Ok((Heard::Alarming(Alarm::CameBack(detail.to_owned())), provider, Vec::new()));
    }
    let before = known.cloned();
    if before.as_ref().is_some_and(is_to_be_asked) {
        is_done(desk.txn, desk.tenant, REFUND_DUE, row.id).await?;
    }
    let (after, committed) = carry_on(desk, selling, (purchase, &payment), (before.as_ref(), row)).await?;
    let moved = match after.state {
        ReversalState::Open => !after.held_credits.is_zero(),
        _ => after.booked_at.is_some() || !after.taken_credits.is_zero(),
    };
    let outcome = if moved { Outcome::Booked } else { Outcome::Recorded };
    Ok((Heard::Is(outcome), provider, committed))
}

/// A reversal with the provider's own name of it, and without its key when that is free again.
fn named(row: &reversal::Model, told: &Told) -> reversal::Model {
    reversal::Model {
        provider_reference: Some(told.reference.clone()),
        idempotency_key: row.idempotency_key.filter(|_| !told.frees_key),
        request_hash: row.request_hash.filter(|_| !told.frees_key),
        ..row.clone()
    }
}

/// The reversal that is told of: by the provider's own name of it, or else by ours while the provider's is not known.
fn known<'r>(rows: &'r [reversal::Model], payment: PaymentId, told: &Told) -> Option<&'r reversal::Model> {
    let ours = told.ours.as_deref().and_then(global_id::decode::<ReversalId>);
    let of_payment = || rows.iter().filter(|row| row.payment_id == payment && row.kind == told.kind);
    let by_reference =
        of_payment().find(|row| row.provider_reference.as_deref() == Some(told.reference.as_str()));
    by_reference.or_else(|| of_payment().find(|row| row.provider_reference.is_none() && Some(row.id) == ours))
}

/// Whether news of a reversal takes nothing back: it had failed, or was won, before anything was told of it.
const fn is_nothing(state: ReversalState) -> bool {
    matches!(state, ReversalState::Failed | ReversalState::Won)
}

/// What about it cannot be.
fn odd(payment: &payment::Model, known: Option<&reversal::Model>, told: &Told) -> Option<String> {
    use ReversalState::{Lost, Won};
    let currency = payment.currency.code();
    if payment.state != PaymentState::Paid {
        return Some(format!("The payment is {}.", payment.state));
    }
    if told.currency != currency {
        return Some(format!("The payment was in {currency}."));
    }
    if told.amount <= 0 || told.amount > payment.amount {
        return Some(format!("The payment was over {}.", payment.amount));
    }
    let known = known?;
    if known.amount != told.amount {
        return Some(format!("It was over {} before.", known.amount));
    }
    let contrary = matches!((known.state, told.state), (Won, Lost) | (Lost, Won));
    contrary.then(|| format!("It was {} before, and is {} now.", known.state, told.state))
}
