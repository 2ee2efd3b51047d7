//! The log as one list: events, charges, holds, journal entries and what time has booked (see `timed`) together, newest
//! or oldest first.
//!
//! Each of the four tables answers the part of the page that it could have, by its key, and the parts are
//! merged; so a page costs a few short walks along indexes, wherever it lies. A table whose rows cannot fit the
//! filter is not asked. One condition beside the time is found by an index; several, by that of one of them.

use bursar_domain::Timestamp;
use bursar_domain::id::{AuditEventId, ChargeId, HoldId, Id, PoolId};
use bursar_domain::ledger::TransferKind;
use bursar_entity::{audit_event, charge, hold, journal_entry};
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, Select};

use super::records::{CAPTURE, CHARGE, ENTRIES, Filter, GRANT, HOLD, PURCHASED, Record, Source};
use super::timed;
use crate::db::page::{self, MAX_PAGE, Page, PageRequest};
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::global_id;

/// The most bytes of an action or a subject that is looked for.
const MAX_TEXT: usize = 200;

/// How far the instant of a row may be from the one that its id was made at, in seconds: waiting in a queue,
/// clocks of several nodes. The id is what the order and the indexes know.
const SLACK: i64 = 60;

/// A page of the log, in the order that is asked for.
///
/// # Errors
/// What the database answers; [`Error::Internal`] when an event cannot be read.
pub async fn page(
    txn: &Txn,
    tenant: Tenant,
    filter: &Filter,
    newest_first: bool,
    request: PageRequest<AuditEventId>,
) -> Result<Page<Record>> {
    let order = || if newest_first { Order::Desc } else { Order::Asc };
    let mut parts = Vec::with_capacity(6);
    if let Some(select) = events(tenant, filter) {
        let rows = page::fetch(txn, select, audit_event::Column::Id, order(), request.clone()).await?;
        parts.push(records(rows, Record::try_from)?);
    }
    if let Some(select) = charges(tenant, filter) {
        let rows = page::fetch(txn, select, charge::Column::Id, order(), request.clone()).await?;
        parts.push(records(rows, |row| Ok(Record::from(row)))?);
    }
    if let Some(select) = entries(tenant, filter) {
        let rows = page::fetch(txn, select, journal_entry::Column::Id, order(), request.clone()).await?;
        parts.push(records(rows, |row| Ok(Record::from(row)))?);
    }
    if let Some(select) = holds(tenant, filter) {
        let rows = page::fetch(txn, select, hold::Column::Id, order(), request.clone()).await?;
        parts.push(records(rows, |row| Ok(Record::from(row)))?);
    }
    parts.extend(timed::pages(txn, tenant, filter, newest_first, &request).await?);
    Ok(merged(parts, newest_first, &request))
}

fn records<R>(page: Page<R>, record: impl Fn(R) -> Result<Record>) -> Result<Page<Record>> {
    let Page { rows, has_previous, has_next } = page;
    Ok(Page { rows: rows.into_iter().map(record).collect::<Result<_>>()?, has_previous, has_next })
}

/// Puts the parts of a page together.
fn merged(parts: Vec<Page<Record>>, newest_first: bool, request: &PageRequest<AuditEventId>) -> Page<Record> {
    let limit = usize::try_from(request.limit.min(MAX_PAGE)).unwrap_or(usize::MAX);
    // More on the side that the page is cut off at.
    let mut more = parts.iter().any(|part| if request.from_end { part.has_previous } else { part.has_next });
    let mut rows: Vec<Record> = parts.into_iter().flat_map(|part| part.rows).collect();
    rows.sort_by_key(|record| record.id);
    if newest_first {
        rows.reverse();
    }
    more |= rows.len() > limit;
    if request.from_end {
        rows.drain(..rows.len().saturating_sub(limit));
    } else {
        rows.truncate(limit);
    }
    let (has_previous, has_next) =
        if request.from_end { (more, request.before.is_some()) } else { (request.after.is_some(), more) };
    Page { rows, has_previous, has_next }
}

/// What the filter says of time and actor, which all tables have. The bounds of the id are what an index finds.
fn within<E: EntityTrait>(
    select: Select<E>,
    (id, created_at, actor): (E::Column, E::Column, E::Column),
    filter: &Filter,
) -> Select<E> {
    let mut select = select;
    if let Some(from) = filter.from {
        select = select.filter(created_at.gte(from)).filter(id.gte(first_id(from.plus_seconds(-SLACK))));
    }
    if let Some(to) = filter.to {
        select = select.filter(created_at.lt(to)).filter(id.lt(first_id(to.plus_seconds(SLACK))));
    }
    if let Some(one) = filter.actor {
        select = select.filter(actor.eq(one));
    }
    select
}

/// The smallest id that can be made in an instant: a UUID of version 7 begins with the millisecond.
pub(super) fn first_id(at: Timestamp) -> AuditEventId {
    let millis = u128::try_from(at.micros().div_euclid(1_000)).unwrap_or(0);
    AuditEventId::from_u128(millis.min((1 << 48) - 1) << 80)
}

fn wants(filter: &Filter, source: Source) -> bool {
    filter.source.is_none_or(|wanted| wanted == source)
}

fn events(tenant: Tenant, filter: &Filter) -> Option<Select<audit_event::Entity>> {
    use audit_event::Column;
    if !wants(filter, Source::Event) {
        return None;
    }
    let select = tenant.find::<audit_event::Entity>();
    let mut select = within(select, (Column::Id, Column::CreatedAt, Column::ActorId), filter);
    if let Some(action) = &filter.action {
        select = select.filter(Column::Action.eq(action.as_str()));
    }
    if let Some(subject) = &filter.subject {
        select = select.filter(Column::Subject.eq(subject.as_str()));
    }
    Some(select)
}

fn charges(tenant: Tenant, filter: &Filter) -> Option<Select<charge::Entity>> {
    use charge::Column;
    if !wants(filter, Source::Ledger) {
        return None;
    }
    let select = tenant.find::<charge::Entity>();
    let mut select = within(select, (Column::Id, Column::CreatedAt, Column::ActorId), filter);
    match filter.action.as_deref() {
        None => {}
        Some(CHARGE) => select = select.filter(Column::HoldId.is_null()),
        Some(CAPTURE) => select = select.filter(Column::HoldId.is_not_null()),
        Some(_) => return None,
    }
    let Some(subject) = filter.subject.as_deref() else { return Some(select) };
    if let Some(pool) = global_id::decode::<PoolId>(subject) {
        return Some(select.filter(Column::PoolId.eq(pool)));
    }
    if let Some(hold) = global_id::decode::<HoldId>(subject) {
        return Some(select.filter(Column::HoldId.eq(hold)));
    }
    global_id::decode::<ChargeId>(subject).map(|id| select.filter(Column::Id.eq(id)))
}

fn holds(tenant: Tenant, filter: &Filter) -> Option<Select<hold::Entity>> {
    use hold::Column;
    if !wants(filter, Source::Ledger) || filter.action.as_ref().is_some_and(|action| action != HOLD) {
        return None;
    }
    let select = tenant.find::<hold::Entity>();
    let select = within(select, (Column::Id, Column::CreatedAt, Column::ActorId), filter);
    let Some(subject) = filter.subject.as_deref() else { return Some(select) };
    if let Some(pool) = global_id::decode::<PoolId>(subject) {
        return Some(select.filter(Column::PoolId.eq(pool)));
    }
    global_id::decode::<HoldId>(subject).map(|id| select.filter(Column::Id.eq(id)))
}

fn entries(tenant: Tenant, filter: &Filter) -> Option<Select<journal_entry::Entity>> {
    use journal_entry::Column;
    if !wants(filter, Source::Ledger) {
        return None;
    }
    let select = tenant.find::<journal_entry::Entity>();
    let mut select = within(select, (Column::Id, Column::CreatedAt, Column::ActorId), filter);
    if let Some(action) = filter.action.as_deref() {
        let kind = match action {
            PURCHASED | GRANT => TransferKind::Issue,
            _ => ENTRIES.iter().find(|(_, name)| *name == action)?.0,
        };
        select = select.filter(Column::Kind.eq(kind));
        match action {
            PURCHASED => select = select.filter(Column::PurchaseId.is_not_null()),
            GRANT => select = select.filter(Column::PurchaseId.is_null()),
            _ => {}
        }
    }
    let Some(subject) = filter.subject.as_deref() else { return Some(select) };
    if let Some(pool) = global_id::decode::<PoolId>(subject) {
        return Some(select.filter(Column::PoolId.eq(pool)));
    }
    if let Some(charge) = global_id::decode::<ChargeId>(subject) {
        return Some(select.filter(Column::ChargeId.eq(charge)));
    }
    if let Some(hold) = global_id::decode::<HoldId>(subject) {
        return Some(select.filter(Column::HoldId.eq(hold)));
    }
    global_id::decode_refund(subject).map(|id| select.filter(Column::Id.eq(id)))
}

impl Filter {
    /// Refuses what is too long to be an action or a subject.
    ///
    /// # Errors
    /// [`Error::Invalid`], with the name of the part.
    pub fn check(&self) -> Result<()> {
        for (name, text) in [("action", &self.action), ("subject", &self.subject)] {
            if text.as_ref().is_some_and(|text| text.len() > MAX_TEXT || text.contains('\0')) {
                return Err(Error::invalid(
                    name,
                    format!("must have at most {MAX_TEXT} bytes, none of them 0"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn ids_lie_between_the_instants_around_them() {
        let at = Timestamp::from_micros(1_800_000_000_123_456);
        let id: AuditEventId = Clock::set(at).new_id();
        assert!(first_id(at) <= id && id < first_id(Timestamp::from_micros(at.micros() + 1_000)));
        assert_eq!(first_id(Timestamp::from_micros(-1)).as_u128(), 0);
        assert!(first_id(Timestamp::from_micros(i64::MAX)) < AuditEventId::from_u128(u128::MAX));
    }
}
