//! Paying by the link of a mail: who may, as of now, and the four digits that the mail shows and the link does not carry.
//!
//! Whoever was sent to pay may have lost their role since, so that is looked at when the link is used. It leads to one
//! checkout: as long as that is open it may be used again, and afterwards no more.

use bursar_domain::Timestamp;
use bursar_domain::approval::round::WRONG_CODES;
use bursar_domain::approval::{Choice, LinkKind, LinkOver, NotApprovable, People, RequestState, Round};
use bursar_domain::id::{ApprovalLinkId, PoolId, PurchaseId, UserId};
use bursar_domain::permission::{Action, Grant, permits};
use bursar_domain::purchase::{ApprovalBasis, PaymentProvider, PaymentState, PurchaseState};
use bursar_entity::{approval_link, approval_request, payment, purchase};
use sea_orm::{ColumnTrait, QueryFilter};

use super::decide::ended;
use super::find::Standing;
use super::link::ApprovalLink;
use super::links::{lock_link, state_of, write_link, wrong_code};
use super::{load_round, lock_request, people};
use crate::auth::Keys;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// What has become of the digits that somebody has entered to pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entered {
    /// They are right, and the person may pay.
    Right {
        /// For what.
        purchase: PurchaseId,
        /// Whether the link has led to a checkout before.
        used: bool,
    },
    /// They are wrong.
    Wrong {
        /// How often others can be tried.
        left: i64,
    },
    /// Nothing can be paid by the link, whatever is entered.
    Refused(Standing),
}

/// Whether somebody may pay for what comes into a pool: a member and no auditor, who may buy for it; or who has agreed to it
/// in the round, and is asked to pay for that.
pub fn may_pay(people: &People, pool: PoolId, person: UserId, has_agreed: bool) -> bool {
    let buys = |grant: Grant| permits(grant, Action::ManagePurchases);
    let by_role = people.roles.get(&person).is_some_and(|role| buys(Grant::of(*role)));
    let administers = people.pool_administrators.contains(&(pool, person)) && buys(Grant::PoolAdministrator);
    people.may_decide(person) && (by_role || administers || has_agreed)
}

/// Whether somebody has agreed in a round.
pub(super) fn has_agreed(round: &Round, person: UserId) -> bool {
    round.decisions.iter().any(|by| by.by == person && by.choice == Choice::Approve)
}

/// Whether a checkout of a purchase is open, to which a link that was used still leads.
pub(super) async fn is_checkout_open(txn: &Txn, tenant: Tenant, purchase: &purchase::Model) -> Result<bool> {
    if purchase.state != PurchaseState::AwaitingPayment || purchase.invoiced {
        return Ok(false);
    }
    let open = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PurchaseId.eq(purchase.id))
        .filter(payment::Column::State.eq(PaymentState::Open))
        .filter(payment::Column::PaymentMethodId.is_null());
    // One whose page was never opened leads nowhere.
    let leads = |row: payment::Model| row.provider == PaymentProvider::Sandbox || row.provider_url.is_some();
    Ok(open.all(txn).await?.into_iter().any(leads))
}

/// Why a link to pay by is no longer good. None: it is. That it was used counts when its checkout is open no more.
pub(super) fn pay_link_over(link: &approval_link::Model, is_open: bool, now: Timestamp) -> Option<LinkOver> {
    // For that another one comes a day later, whatever becomes of its checkout.
    if link.withdrawn_at.is_none() && link.wrong_codes >= WRONG_CODES {
        return Some(LinkOver::TriedTooOften);
    }
    let used_at = link.used_at.filter(|_| !is_open);
    state_of(&approval_link::Model { used_at, ..link.clone() }, now)
}

/// Whether a purchase may be paid as far as a request about it goes: everybody has agreed, or nobody has to any more.
pub fn is_payable(request: &approval_request::Model, purchase: &purchase::Model) -> bool {
    let waits = matches!(
        purchase.state,
        PurchaseState::Approved | PurchaseState::AwaitingPayment | PurchaseState::PaymentFailed
    );
    match request.state {
        RequestState::Approved => true,
        RequestState::Withdrawn => waits && purchase.approval_basis == Some(ApprovalBasis::Automatic),
        RequestState::Pending | RequestState::Rejected | RequestState::Expired => false,
    }
}

/// Whether the newest round, which is that of the link, was agreed to, and its price has run out since.
pub(super) fn has_lapsed(
    link: &approval_link::Model,
    request: &approval_request::Model,
    round: &Round,
) -> bool {
    let is_over = request.state == RequestState::Expired && request.used_at.is_none();
    is_over && link.round == request.round && !round.is_rejected() && round.stage().is_none()
}

/// What the person of a link to pay by can do, as long as a checkout of the purchase is open or not.
pub(super) fn standing_to_pay(
    link: &approval_link::Model,
    (request, purchase): (&approval_request::Model, &purchase::Model),
    round: &Round,
    is_open: bool,
    (people, now): (&People, Timestamp),
) -> Standing {
    if request.used_at.is_some() || purchase.state == PurchaseState::Completed {
        return Standing::Paid;
    }
    // A new round is open, or there was one: whoever pays for it gets another link.
    if link.round != request.round || request.state == RequestState::Pending {
        return Standing::Cannot(NotApprovable::StaleRound);
    }
    let lapsed = has_lapsed(link, request, round);
    if let Some(reason) = ended(request.state).filter(|_| !lapsed && !is_payable(request, purchase)) {
        return Standing::Cannot(reason);
    }
    let may_pay = may_pay(people, round.pool, link.user_id, has_agreed(round, link.user_id));
    match pay_link_over(link, is_open, now) {
        // A link from before the price ran out acts no more: the mail that tells of that has another one.
        Some(over) if lapsed && over != LinkOver::TriedTooOften => Standing::Lapsed,
        Some(over) => Standing::Over(over),
        None if !may_pay => Standing::Left,
        None if lapsed => Standing::AskAnew,
        None => Standing::Pay,
    }
}

/// Takes the digits that somebody has entered to pay. Wrong ones are counted, and end the link when they are too many. The
/// organization is locked.
///
/// # Errors
/// [`Error::NotFound`] when there is no such link; what the database answers.
pub async fn enter_to_pay(
    txn: &Txn,
    keys: &Keys,
    (link, code): (&ApprovalLink, &str),
    now: Timestamp,
) -> Result<Entered> {
    let tenant = link.tenant();
    let request = lock_request(txn, tenant, link.request()).await?;
    let row = lock_link(txn, tenant, link.id()).await?;
    let own = row.kind == LinkKind::Pay
        && row.user_id == link.user()
        && row.request_id == request.id
        && row.round == link.round();
    if !own {
        return Err(Error::not_found("approval link"));
    }
    let bought = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(request.purchase_id));
    let bought = bought.one(txn).await?.ok_or_else(|| Error::not_found("purchase"))?;
    let (_, round) = load_round(txn, tenant, request.id, row.round).await?;
    let people = people(txn, tenant).await?;
    let is_open = is_checkout_open(txn, tenant, &bought).await?;
    let standing = standing_to_pay(&row, (&request, &bought), &round, is_open, (&people, now));
    if !matches!(standing, Standing::Pay | Standing::AskAnew) {
        return Ok(Entered::Refused(standing));
    }
    Ok(match wrong_code(txn, keys, &row, code).await? {
        Some(left) => Entered::Wrong { left },
        None => Entered::Right { purchase: bought.id, used: row.used_at.is_some() },
    })
}

/// Writes that a link was used: it has led to a checkout, and from then on leads to no other one; or by it the vendor was
/// asked for another price.
///
/// # Errors
/// [`Error::NotFound`]; what the database answers.
pub async fn pay_link_used(txn: &Txn, tenant: Tenant, id: ApprovalLinkId, now: Timestamp) -> Result<()> {
    let row = lock_link(txn, tenant, id).await?;
    if row.used_at.is_some() {
        return Ok(());
    }
    write_link(txn, &approval_link::Model { used_at: Some(now), ..row }).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::Id;
    use bursar_domain::organization::Role;

    #[test]
    fn whoever_may_buy_may_pay() {
        let [owns, runs, watches, belongs, left] = [1, 2, 3, 4, 5].map(UserId::from_u128);
        let [pool, other] = [1, 2].map(PoolId::from_u128);
        let mut people = People::default();
        for (person, role) in
            [(owns, Role::Owner), (runs, Role::Admin), (watches, Role::Auditor), (belongs, Role::Member)]
        {
            people.roles.insert(person, role);
        }
        assert!(may_pay(&people, pool, owns, false) && may_pay(&people, pool, runs, false));
        assert!(!may_pay(&people, pool, belongs, false), "a member buys nothing");
        assert!(may_pay(&people, pool, belongs, true), "but for whoever has agreed, and is asked to pay");
        for person in [watches, left] {
            people.pool_administrators.insert((pool, person));
            assert!(!may_pay(&people, pool, person, true), "an auditor, and whoever has left");
        }
        people.pool_administrators.insert((pool, belongs));
        assert!(may_pay(&people, pool, belongs, false) && !may_pay(&people, other, belongs, false));
    }
}
