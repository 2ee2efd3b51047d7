//! The rows of links: which ones are out, and why one is no longer good. What proves a link is in no row.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::Timestamp;
use bursar_domain::approval::round::{LINK_SECONDS, WRONG_CODES};
use bursar_domain::approval::{LinkKind, LinkOver};
use bursar_domain::id::{ApprovalId, ApprovalLinkId, UserId};
use bursar_entity::{approval_link, approval_request};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Set, Unchanged,
    UpdateMany,
};

use super::link::ApprovalLink;
use crate::auth::Keys;
use crate::clock::Clock;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// After how many seconds a link is replaced by another one at the latest: the mail has an hour to arrive before it is over.
pub(super) const LASTS_SECONDS: i64 = LINK_SECONDS - 3_600;

/// Locks a link. Its request is locked.
///
/// # Errors
/// [`Error::NotFound`]; what the database answers.
pub async fn lock_link(txn: &Txn, tenant: Tenant, id: ApprovalLinkId) -> Result<approval_link::Model> {
    let row = tenant.find::<approval_link::Entity>().filter(approval_link::Column::Id.eq(id));
    row.lock_exclusive().one(txn).await?.ok_or(Error::not_found("link"))
}

/// Writes what has become of a link.
///
/// # Errors
/// What the database answers.
pub async fn write_link(txn: &Txn, row: &approval_link::Model) -> Result<()> {
    let changed = approval_link::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        used_at: Set(row.used_at),
        withdrawn_at: Set(row.withdrawn_at),
        wrong_codes: Set(row.wrong_codes),
        ..Default::default()
    };
    approval_link::Entity::update(changed).exec_without_returning(txn).await?;
    Ok(())
}

/// Why a link is no longer good. None: it is.
pub fn state_of(row: &approval_link::Model, now: Timestamp) -> Option<LinkOver> {
    if row.used_at.is_some() {
        Some(LinkOver::Used)
    } else if row.withdrawn_at.is_some() {
        Some(LinkOver::Withdrawn)
    } else if row.wrong_codes >= WRONG_CODES {
        Some(LinkOver::TriedTooOften)
    } else if now >= row.expires_at {
        Some(LinkOver::Expired)
    } else {
        None
    }
}

/// Compares a code that was entered with the one that the mail of a link shows. None: it is that. Else how often another one
/// can be tried: a wrong one is counted, and what cannot be a code is no try. The link is locked.
///
/// # Errors
/// What the database answers.
pub(super) async fn wrong_code(
    txn: &Txn,
    keys: &Keys,
    link: &approval_link::Model,
    code: &str,
) -> Result<Option<i64>> {
    let left = |wrong: i64| Some(WRONG_CODES.saturating_sub(wrong).max(0));
    if code.len() != 4 || !code.bytes().all(|digit| digit.is_ascii_digit()) {
        return Ok(left(link.wrong_codes));
    }
    if keys.is_link_code(ApprovalLink::new(keys, link).about(), code) {
        return Ok(None);
    }
    let wrong_codes = link.wrong_codes.saturating_add(1);
    write_link(txn, &approval_link::Model { wrong_codes, ..link.clone() }).await?;
    Ok(left(wrong_codes))
}

/// Takes back the links of a request that are out: of some people, or of all.
///
/// # Errors
/// What the database answers.
pub async fn withdraw_links(
    txn: &Txn,
    tenant: Tenant,
    request: ApprovalId,
    of: Option<&BTreeSet<UserId>>,
    now: Timestamp,
) -> Result<()> {
    let mut update = taking_back(tenant, request, now);
    if let Some(people) = of {
        if people.is_empty() {
            return Ok(());
        }
        update = update.filter(approval_link::Column::UserId.is_in(people.iter().copied()));
    }
    update.exec(txn).await?;
    Ok(())
}

/// Whoever has a mail by which they can decide in the newest round of a request.
pub(super) async fn sent(
    txn: &Txn,
    tenant: Tenant,
    request: &approval_request::Model,
) -> Result<BTreeSet<UserId>> {
    let out = tenant
        .find::<approval_link::Entity>()
        .select_only()
        .column(approval_link::Column::UserId)
        .filter(approval_link::Column::RequestId.eq(request.id))
        .filter(approval_link::Column::Round.eq(request.round))
        .filter(approval_link::Column::Kind.eq(LinkKind::Decide))
        .filter(approval_link::Column::UsedAt.is_null())
        .filter(approval_link::Column::WithdrawnAt.is_null())
        .into_tuple::<UserId>();
    Ok(out.all(txn).await?.into_iter().collect())
}

/// Whoever was sent a mail to decide or to pay by in some rounds, by the request: also those whose links are no longer good.
///
/// # Errors
/// What the database answers.
pub async fn mailed(
    txn: &Txn,
    tenant: Tenant,
    rounds: &[(ApprovalId, i64)],
    kind: LinkKind,
) -> Result<BTreeMap<ApprovalId, BTreeSet<UserId>>> {
    let mut people: BTreeMap<ApprovalId, BTreeSet<UserId>> = BTreeMap::new();
    if rounds.is_empty() {
        return Ok(people);
    }
    let sent: Vec<(ApprovalId, i64, UserId)> = tenant
        .find::<approval_link::Entity>()
        .select_only()
        .column(approval_link::Column::RequestId)
        .column(approval_link::Column::Round)
        .column(approval_link::Column::UserId)
        .filter(approval_link::Column::RequestId.is_in(rounds.iter().map(|(request, _)| *request)))
        .filter(approval_link::Column::Kind.eq(kind))
        .into_tuple()
        .all(txn)
        .await?;
    for (request, _, person) in
        sent.into_iter().filter(|(request, round, _)| rounds.contains(&(*request, *round)))
    {
        people.entry(request).or_default().insert(person);
    }
    Ok(people)
}

/// The links by which people could decide in the newest round of a request: those that were neither used nor taken back,
/// whether or not they are good still.
pub(super) async fn out(
    txn: &Txn,
    tenant: Tenant,
    request: &approval_request::Model,
) -> Result<Vec<approval_link::Model>> {
    let out = tenant
        .find::<approval_link::Entity>()
        .filter(approval_link::Column::RequestId.eq(request.id))
        .filter(approval_link::Column::Round.eq(request.round))
        .filter(approval_link::Column::Kind.eq(LinkKind::Decide))
        .filter(approval_link::Column::UsedAt.is_null())
        .filter(approval_link::Column::WithdrawnAt.is_null());
    Ok(out.all(txn).await?)
}

/// When the person of a link gets another one, as long as they may decide: before it is over, and when it has ended earlier,
/// by wrong codes, not sooner than they would be reminded. None: it lasts as long as the round, whose end is given.
pub(super) fn replaced_at(
    link: &approval_link::Model,
    remind_after: i64,
    ends: Timestamp,
) -> Option<Timestamp> {
    if link.wrong_codes >= WRONG_CODES {
        return Some(link.created_at.plus_seconds(remind_after.min(LASTS_SECONDS)));
    }
    (link.expires_at < ends).then(|| link.created_at.plus_seconds(LASTS_SECONDS))
}

/// Makes a link to decide by, in the newest round of a request; those that the person had are taken back.
pub(super) async fn decide_link(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    (request, user): (&approval_request::Model, UserId),
    round_expires_at: Timestamp,
) -> Result<approval_link::Model> {
    let now = clock.now();
    taking_back(tenant, request.id, now)
        .filter(approval_link::Column::UserId.eq(user))
        .filter(approval_link::Column::Kind.eq(LinkKind::Decide))
        .exec(txn)
        .await?;
    let expires_at = now.plus_seconds(LINK_SECONDS).min(round_expires_at);
    insert(txn, clock, (LinkKind::Decide, expires_at), (tenant, request, user)).await
}

/// The links to pay by of the newest round of a request, the oldest first, whether or not they are good still.
pub(super) async fn pay_links(
    txn: &Txn,
    tenant: Tenant,
    request: &approval_request::Model,
) -> Result<Vec<approval_link::Model>> {
    let sent = tenant
        .find::<approval_link::Entity>()
        .filter(approval_link::Column::RequestId.eq(request.id))
        .filter(approval_link::Column::Round.eq(request.round))
        .filter(approval_link::Column::Kind.eq(LinkKind::Pay))
        .order_by_asc(approval_link::Column::Id);
    Ok(sent.all(txn).await?)
}

/// Takes back all links to pay by of a request, also those that have led to a checkout: others are sent.
pub(super) async fn withdraw_pay_links(
    txn: &Txn,
    tenant: Tenant,
    request: ApprovalId,
    now: Timestamp,
) -> Result<()> {
    let update = approval_link::Entity::update_many()
        .col_expr(approval_link::Column::WithdrawnAt, Expr::value(now))
        .filter(approval_link::Column::OrganizationId.eq(tenant.id()))
        .filter(approval_link::Column::RequestId.eq(request))
        .filter(approval_link::Column::Kind.eq(LinkKind::Pay))
        .filter(approval_link::Column::WithdrawnAt.is_null());
    update.exec(txn).await?;
    Ok(())
}

/// Makes a link to pay by, in the newest round of a request. It is good no longer than the price.
pub(super) async fn pay_link(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    (request, user): (&approval_request::Model, UserId),
    valid_until: Timestamp,
) -> Result<approval_link::Model> {
    let expires_at = clock.now().plus_seconds(LINK_SECONDS).min(valid_until);
    insert(txn, clock, (LinkKind::Pay, expires_at), (tenant, request, user)).await
}

async fn insert(
    txn: &Txn,
    clock: &Clock,
    (kind, expires_at): (LinkKind, Timestamp),
    (tenant, request, user): (Tenant, &approval_request::Model, UserId),
) -> Result<approval_link::Model> {
    let row = approval_link::Model {
        organization_id: tenant.id(),
        id: clock.new_id(),
        kind,
        request_id: request.id,
        round: request.round,
        user_id: user,
        expires_at,
        used_at: None,
        withdrawn_at: None,
        wrong_codes: 0,
        created_at: clock.now(),
    };
    approval_link::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    Ok(row)
}

fn taking_back(tenant: Tenant, request: ApprovalId, now: Timestamp) -> UpdateMany<approval_link::Entity> {
    approval_link::Entity::update_many()
        .col_expr(approval_link::Column::WithdrawnAt, Expr::value(now))
        .filter(approval_link::Column::OrganizationId.eq(tenant.id()))
        .filter(approval_link::Column::RequestId.eq(request))
        .filter(approval_link::Column::UsedAt.is_null())
        .filter(approval_link::Column::WithdrawnAt.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::{Id, OrganizationId};

    fn good() -> approval_link::Model {
        approval_link::Model {
            organization_id: OrganizationId::from_u128(1),
            id: ApprovalLinkId::from_u128(2),
            kind: LinkKind::Decide,
            request_id: ApprovalId::from_u128(3),
            round: 1,
            user_id: UserId::from_u128(4),
            expires_at: Timestamp::from_micros(10),
            used_at: None,
            withdrawn_at: None,
            wrong_codes: WRONG_CODES - 1,
            created_at: Timestamp::EPOCH,
        }
    }

    #[test]
    fn a_link_is_replaced_before_it_is_over() {
        let at = |hours: i64| Timestamp::EPOCH.plus_seconds(hours * 3_600);
        let link = approval_link::Model { expires_at: at(72), ..good() };
        assert_eq!(replaced_at(&link, 24 * 3_600, at(168)), Some(at(71)));
        assert_eq!(
            replaced_at(&link, 240 * 3_600, at(720)),
            Some(at(71)),
            "however rarely people are reminded"
        );
        let last = approval_link::Model { expires_at: at(50), ..good() };
        assert_eq!(replaced_at(&last, 24 * 3_600, at(50)), None, "nothing can be decided any more then");
        let ended = approval_link::Model { wrong_codes: WRONG_CODES, ..link };
        assert_eq!(replaced_at(&ended, 24 * 3_600, at(168)), Some(at(24)));
        assert_eq!(replaced_at(&ended, 240 * 3_600, at(720)), Some(at(71)));
    }

    #[test]
    fn a_link_is_over_for_the_first_reason() {
        let good = good();
        let at = |micros| Timestamp::from_micros(micros);
        assert_eq!(state_of(&good, at(9)), None);
        assert_eq!(state_of(&good, at(10)), Some(LinkOver::Expired));
        let tried = approval_link::Model { wrong_codes: WRONG_CODES, ..good };
        assert_eq!(state_of(&tried, at(10)), Some(LinkOver::TriedTooOften));
        let withdrawn = approval_link::Model { withdrawn_at: Some(at(1)), ..tried };
        assert_eq!(state_of(&withdrawn, at(10)), Some(LinkOver::Withdrawn));
        let used = approval_link::Model { used_at: Some(at(1)), ..withdrawn };
        assert_eq!(state_of(&used, at(10)), Some(LinkOver::Used));
    }
}
