//! What time alone has booked, as entries of the log: holds that have run out, and credits that have lapsed. Nobody has
//! asked for them, so no row stands for them but the hold and the transfer itself.
//!
//! Neither has an id that says when that was, so the name of such an entry is made of what orders them: the millisecond
//! in front, as in all names of the log, a digit that no other name has in its place, the rest of the instant, and in
//! the last 64 bits what tells rows of one instant apart. A page is found by those columns, along indexes that hold
//! these rows and no others.

use bursar_domain::Timestamp;
use bursar_domain::id::{AuditEventId, HoldId, Id, PoolId};
use bursar_entity::{hold, transfer};
use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseBackend, EntityTrait, Order, QueryFilter, QueryOrder,
    QuerySelect, Select,
};

use super::records::{EXPIRED, Filter, LAPSED, Record, Source};
use crate::db::page::{MAX_PAGE, Page, PageRequest};
use crate::db::{Tenant, Txn};
use crate::error::Result;
use crate::global_id;

/// The digit of holds that have run out, where a UUID has its version.
const HOLDS: u128 = 8;
/// The digit of lapses.
const LAPSES: u128 = 9;
/// Where the bits of a version begin that a lapse's name has, and how many they are.
const VERSION: (u32, u32) = (24, 38);

/// The condition of the indexes on holds that have run out, word for word.
fn has_expired() -> SimpleExpr {
    Expr::cust("state = 'EXPIRED'")
}

/// The same of lapses.
fn is_lapse() -> SimpleExpr {
    Expr::cust("kind = 5")
}

/// The name of a hold's end.
pub(super) fn of_hold(id: HoldId, at: Timestamp) -> AuditEventId {
    let own = id.as_u128() & u128::from(u64::MAX);
    name(HOLDS, at, own)
}

/// The name of a lapse.
pub(super) fn of_lapse(pool: PoolId, version: i64, at: Timestamp) -> AuditEventId {
    let (shift, bits) = VERSION;
    let version = u128::try_from(version).unwrap_or(0) & ((1 << bits) - 1);
    let pool = pool.as_u128() & ((1 << shift) - 1);
    name(LAPSES, at, 1 << 63 | version << shift | pool)
}

fn name(digit: u128, at: Timestamp, own: u128) -> AuditEventId {
    let micros = u128::try_from(at.micros()).unwrap_or(0);
    let millis = (micros / 1_000).min((1 << 48) - 1);
    AuditEventId::from_u128(millis << 80 | digit << 76 | (micros % 1_000) << 64 | own)
}

/// Where a name lies among the names with a digit: at an instant, and behind the bits of that name when it is one of
/// them; otherwise before everything that was at the instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at: Timestamp,
    own: Option<u64>,
}

impl Place {
    fn of(id: AuditEventId, digit: u128) -> Place {
        let bits = id.as_u128();
        let millis = i64::try_from(bits >> 80).unwrap_or(i64::MAX / 1_000);
        let (found, rest) = (bits >> 76 & 0xf, i64::try_from(bits >> 64 & 0xfff).unwrap_or(0));
        let (micros, own) = match found.cmp(&digit) {
            std::cmp::Ordering::Less => (millis * 1_000, None),
            std::cmp::Ordering::Equal => {
                let own = u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(u64::MAX);
                (millis * 1_000 + rest, Some(own))
            }
            std::cmp::Ordering::Greater => ((millis + 1) * 1_000, None),
        };
        Place { at: Timestamp::from_micros(micros), own }
    }
}

/// One of the two kinds of rows: what orders them.
struct Kind<E: EntityTrait> {
    digit: u128,
    /// When it was booked.
    at: E::Column,
    /// What tells rows of one instant apart: in this order.
    own: Vec<SimpleExpr>,
    /// The same of a name's bits: what is later (or earlier) than them, or just there.
    compare: fn(DatabaseBackend, u64, Compare) -> Condition,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Later,
    Earlier,
    Same,
}

impl Compare {
    const fn sign(self) -> &'static str {
        match self {
            Compare::Later => ">",
            Compare::Earlier => "<",
            Compare::Same => "=",
        }
    }
}

fn holds(backend: DatabaseBackend) -> Kind<hold::Entity> {
    let own = vec![Expr::cust(tail_of_id(backend))];
    Kind { digit: HOLDS, at: hold::Column::ClosedAt, own, compare: compare_holds }
}

fn lapses(backend: DatabaseBackend) -> Kind<transfer::Entity> {
    let own = vec![ColumnTrait::into_expr(transfer::Column::Version), Expr::cust(tail_of_pool(backend))];
    Kind { digit: LAPSES, at: transfer::Column::CreatedAt, own, compare: compare_lapses }
}

/// The last 8 bytes of a hold's id.
fn tail_of_id(backend: DatabaseBackend) -> &'static str {
    match backend {
        DatabaseBackend::Postgres => "substr(uuid_send(id), 9)",
        _ => "substr(id, 9)",
    }
}

/// The last 3 bytes of a pool's id.
fn tail_of_pool(backend: DatabaseBackend) -> &'static str {
    match backend {
        DatabaseBackend::Postgres => "substr(uuid_send(pool_id), 14)",
        _ => "substr(pool_id, 14)",
    }
}

/// A tail compared with bytes.
fn tail(backend: DatabaseBackend, tail: &str, compare: Compare, bytes: Vec<u8>) -> SimpleExpr {
    let mark = if backend == DatabaseBackend::Postgres { "$1" } else { "?" };
    Expr::cust_with_values(format!("{tail} {} {mark}", compare.sign()), [bytes])
}

fn compare_holds(backend: DatabaseBackend, own: u64, compare: Compare) -> Condition {
    Condition::all().add(tail(backend, tail_of_id(backend), compare, own.to_be_bytes().to_vec()))
}

fn compare_lapses(backend: DatabaseBackend, own: u64, compare: Compare) -> Condition {
    let (shift, bits) = VERSION;
    let version = i64::try_from(own >> shift & ((1 << bits) - 1)).unwrap_or(i64::MAX);
    let pool = own.to_be_bytes().into_iter().skip(5).collect();
    let pool = tail(backend, tail_of_pool(backend), compare, pool);
    let column = transfer::Column::Version;
    let same = Condition::all().add(column.eq(version)).add(pool);
    match compare {
        Compare::Later => Condition::any().add(column.gt(version)).add(same),
        Compare::Earlier => Condition::any().add(column.lt(version)).add(same),
        Compare::Same => same,
    }
}

/// The parts of a page of the log that holds and lapses have.
///
/// # Errors
/// What the database answers.
pub(super) async fn pages(
    txn: &Txn,
    tenant: Tenant,
    filter: &Filter,
    newest_first: bool,
    request: &PageRequest<AuditEventId>,
) -> Result<Vec<Page<Record>>> {
    let mut parts = Vec::with_capacity(2);
    // Whoever looks for what somebody has done does not look for these.
    if filter.actor.is_some() || filter.source.is_some_and(|source| source != Source::Ledger) {
        return Ok(parts);
    }
    let backend = txn.get_database_backend();
    if let Some(select) = expired(tenant, filter) {
        parts.push(
            fetch(txn, select, holds(backend), filter, (newest_first, request), Record::expired).await?,
        );
    }
    if let Some(select) = lapsed(tenant, filter) {
        parts.push(
            fetch(txn, select, lapses(backend), filter, (newest_first, request), Record::lapsed).await?,
        );
    }
    Ok(parts)
}

fn expired(tenant: Tenant, filter: &Filter) -> Option<Select<hold::Entity>> {
    if filter.action.as_ref().is_some_and(|action| action != EXPIRED) {
        return None;
    }
    let select = tenant.find::<hold::Entity>().filter(has_expired());
    let Some(subject) = filter.subject.as_deref() else { return Some(select) };
    if let Some(pool) = global_id::decode::<PoolId>(subject) {
        return Some(select.filter(hold::Column::PoolId.eq(pool)));
    }
    global_id::decode::<HoldId>(subject).map(|id| select.filter(hold::Column::Id.eq(id)))
}

fn lapsed(tenant: Tenant, filter: &Filter) -> Option<Select<transfer::Entity>> {
    if filter.action.as_ref().is_some_and(|action| action != LAPSED) {
        return None;
    }
    let select = tenant.find::<transfer::Entity>().filter(is_lapse());
    let Some(subject) = filter.subject.as_deref() else { return Some(select) };
    global_id::decode::<PoolId>(subject).map(|pool| select.filter(transfer::Column::PoolId.eq(pool)))
}

/// A part of a page, as `db::page` fetches it where one column orders the rows.
async fn fetch<E: EntityTrait>(
    txn: &Txn,
    select: Select<E>,
    kind: Kind<E>,
    filter: &Filter,
    (newest_first, request): (bool, &PageRequest<AuditEventId>),
    record: fn(E::Model) -> Record,
) -> Result<Page<Record>> {
    let (at, backend) = (kind.at, txn.get_database_backend());
    let beyond = |id: AuditEventId, later: bool| {
        let Place { at: instant, own } = Place::of(id, kind.digit);
        let Some(own) = own else {
            return Condition::all().add(if later { at.gte(instant) } else { at.lt(instant) });
        };
        // The first condition is what an index finds.
        let (close, far, compare) = match later {
            true => (at.gte(instant), at.gt(instant), Compare::Later),
            false => (at.lte(instant), at.lt(instant), Compare::Earlier),
        };
        let of_one_instant = (kind.compare)(backend, own, compare);
        Condition::all().add(close).add(Condition::any().add(far).add(of_one_instant))
    };
    let mut select = select;
    if let Some(from) = filter.from {
        select = select.filter(at.gte(from));
    }
    if let Some(to) = filter.to {
        select = select.filter(at.lt(to));
    }
    if let Some(id) = request.after {
        select = select.filter(beyond(id, !newest_first));
    }
    if let Some(id) = request.before {
        select = select.filter(beyond(id, newest_first));
    }
    let direction = || if newest_first == request.from_end { Order::Asc } else { Order::Desc };
    select = select.order_by(at, direction());
    for column in kind.own {
        select = select.order_by(column, direction());
    }
    let limit = request.limit.min(MAX_PAGE);
    let rows = select.limit(limit + 1).all(txn).await?;
    let mut rows: Vec<Record> = rows.into_iter().map(record).collect();
    let more = u64::try_from(rows.len()).unwrap_or(u64::MAX) > limit;
    if more {
        rows.pop();
    }
    if request.from_end {
        rows.reverse();
    }
    let (has_previous, has_next) =
        if request.from_end { (more, request.before.is_some()) } else { (request.after.is_some(), more) };
    Ok(Page { rows, has_previous, has_next })
}

/// How the hold is found whose end has this name. None: no hold's end has it.
pub fn expired_hold(id: AuditEventId, backend: DatabaseBackend) -> Option<SimpleExpr> {
    let (kind, place) = (holds(backend), Place::of(id, HOLDS));
    let own = (kind.compare)(backend, place.own?, Compare::Same);
    Some(Condition::all().add(has_expired()).add(kind.at.eq(place.at)).add(own).into())
}

/// How the lapse is found that has this name. None: no lapse has it.
pub fn lapse(id: AuditEventId, backend: DatabaseBackend) -> Option<SimpleExpr> {
    let (kind, place) = (lapses(backend), Place::of(id, LAPSES));
    let own = (kind.compare)(backend, place.own?, Compare::Same);
    Some(Condition::all().add(is_lapse()).add(kind.at.eq(place.at)).add(own).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn names_sort_by_instant_and_lead_back() {
        let at = |micros: i64| Timestamp::from_micros(1_800_000_000_000_000 + micros);
        let hold = |micros, id: u128| of_hold(HoldId::from_u128(id), at(micros));
        let lapse = |micros, version| of_lapse(PoolId::from_u128(0xffff_1234_5678), version, at(micros));
        let (one, two) =
            (0x0190_0000_0000_7000_8000_0000_0000_0001, 0x0190_0000_0000_7000_8000_0000_0000_0002);
        let sorted = [
            Clock::set(at(0)).new_id(),
            hold(1, one),
            hold(1, two),
            hold(2, one),
            lapse(1, 7),
            lapse(1, 8),
            lapse(999, 1),
            Clock::set(at(1_000)).new_id(),
            hold(1_000, one),
        ];
        assert!(sorted.is_sorted_by(|one, other| one < other), "{sorted:?}");
        let own = |id: AuditEventId| Some(u64::try_from(id.as_u128() & u128::from(u64::MAX)).unwrap());
        assert_eq!(Place::of(hold(7, two), HOLDS), Place { at: at(7), own: own(hold(7, two)) });
        assert_eq!(Place::of(lapse(7, 3), LAPSES), Place { at: at(7), own: own(lapse(7, 3)) });
        // Among the others a name lies before or behind all of its millisecond.
        assert_eq!(Place::of(hold(7, one), LAPSES), Place { at: at(0), own: None });
        assert_eq!(Place::of(lapse(7, 3), HOLDS), Place { at: at(1_000), own: None });
        assert_eq!(Place::of(sorted[0], HOLDS), Place { at: at(0), own: None });
        for bits in [0, u128::MAX] {
            // No name is out of bounds.
            let _ = (
                Place::of(AuditEventId::from_u128(bits), HOLDS),
                Place::of(AuditEventId::from_u128(bits), LAPSES),
            );
        }
    }
}
