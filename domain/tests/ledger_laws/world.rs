//! The world of these tests: two pools, three departments, two people, three services with their prices, and
//! caps of every kind. Months are five days long, so that a sequence sees many of them.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::once;
use std::sync::Arc;

use bursar_domain::id::{
    AccountId, CapId, ChargeId, DepartmentId, EntryId, HoldId, Id, PoolId, ServiceId, ServiceVersionId,
    UserId,
};
use bursar_domain::ledger::{
    Account, Cap, CapScope, Command, CommandId, Department, Guarantee, Head, Instruction, Key, Pool,
    RequestHash, ServicePrice, State,
};
use bursar_domain::period::{Calendar, Period, PeriodKind};
use bursar_domain::{Credits, Timestamp};

/// A second, in microseconds.
pub const SECOND: i64 = 1_000_000;
pub const DAY: i64 = 86_400 * SECOND;
pub const MONTH: i64 = 5 * DAY;
/// How many months the calendar has.
const MONTHS: i64 = 1_200;
/// When everything begins: at noon of the second day of a month, with a year before it.
pub const START: i64 = 24 * MONTH + DAY + DAY / 2;
/// The calendar covers a year before and after these instants.
pub const FIRST: i64 = 13 * MONTH;
pub const LAST: i64 = (MONTHS - 25) * MONTH;

pub const POOLS: usize = 2;
pub const DEPARTMENTS: usize = 3;
/// Services with their prices.
pub const SERVICES: [(&str, i64); 3] = [("ROOM", 2), ("STYLE", 1), ("OUTDOOR", 5)];
/// For how many days the services have a guarantee, and for how many refunds a month.
pub const GUARANTEES: [Option<(i64, Option<i64>)>; 3] = [Some((2, Some(2))), Some((1, None)), None];
/// The services that the second pool pays for.
const ALLOWED: [usize; 2] = [0, 2];

/// A cap as these tests set it: the pool, whose use, the kind of its periods, the limit.
pub type CapRow = (usize, CapScope, Option<PeriodKind>, i64);

/// A number as an index.
fn number(index: usize) -> u128 {
    u128::try_from(index).unwrap()
}

pub fn pool(index: usize) -> PoolId {
    PoolId::from_u128(100 + number(index))
}

pub fn unallocated(index: usize) -> AccountId {
    AccountId::from_u128(200 + number(index))
}

/// A department; those from [`DEPARTMENTS`] on are not there.
pub fn department(index: usize) -> DepartmentId {
    DepartmentId::from_u128(1 + number(index))
}

/// Whether there is such a department.
pub fn is_department(id: DepartmentId) -> bool {
    (0..DEPARTMENTS).any(|index| department(index) == id)
}

pub fn member(index: usize) -> UserId {
    UserId::from_u128(50 + number(index))
}

pub fn service(index: usize) -> ServiceId {
    ServiceId::from_u128(60 + number(index))
}

/// A service's code; those beyond the list are unknown.
pub fn code(index: usize) -> String {
    SERVICES.get(index).map_or("NOTHING", |(code, _)| code).to_owned()
}

pub fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

pub fn credits(n: i64) -> Credits {
    Credits::new(n).unwrap()
}

/// The first instant of a period of some months.
pub fn period_start(months: i64, at: i64) -> i64 {
    at.div_euclid(MONTH * months) * MONTH * months
}

/// The month of an instant.
pub fn month(at_micros: i64) -> Period {
    let start = period_start(1, at_micros);
    Period { start: at(start), end: at(start + MONTH) }
}

/// The services that a pool pays for; none: all.
pub fn allowed(index: usize) -> Option<BTreeSet<ServiceId>> {
    (index == 1).then(|| ALLOWED.into_iter().map(service).collect())
}

/// The guarantee of a service in the month of an instant.
pub fn guarantee(index: usize, at_micros: i64, used: i64) -> Option<Guarantee> {
    let (days, quota) = GUARANTEES[index]?;
    Some(Guarantee { days, quota, month: month(at_micros), used, changed: false })
}

/// Caps of every scope and kind of period.
pub fn caps() -> Vec<CapRow> {
    vec![
        (0, CapScope::Department(department(0)), Some(PeriodKind::Month), 60),
        (0, CapScope::Member(member(0)), Some(PeriodKind::Month), 90),
        (0, CapScope::Service(service(1)), Some(PeriodKind::Quarter), 40),
        (0, CapScope::Department(department(1)), None, 120),
        (1, CapScope::Member(member(1)), Some(PeriodKind::Month), 70),
        (1, CapScope::Service(service(0)), Some(PeriodKind::Year), 100),
    ]
}

/// A tenant's state before anything has happened.
pub fn fresh(caps: &[CapRow]) -> State {
    let pools = (0..POOLS).map(|index| {
        let caps = caps.iter().enumerate().filter(|(_, row)| row.0 == index);
        let cap = |(position, (_, scope, period, limit)): (usize, &CapRow)| Cap {
            id: CapId::from_u128(300 + number(position)),
            scope: *scope,
            limit: credits(*limit),
            period: *period,
            raises: Vec::new(),
            windows: Vec::new(),
        };
        let pool = Pool {
            id: pool(index),
            frozen: false,
            archived: false,
            allowed_services: allowed(index),
            head: Head::default(),
            unallocated: unallocated(index),
            accounts: once((unallocated(index), Account::empty(None))).collect(),
            caps: caps.map(cap).collect(),
            holds: BTreeMap::new(),
            touched: BTreeSet::new(),
            next_hold: None,
            changed: false,
            due_changed: false,
        };
        (pool.id, pool)
    });
    let prices = SERVICES.iter().enumerate().map(|(index, (code, each))| {
        let version = ServiceVersionId::from_u128(70 + number(index));
        ((*code).to_owned(), ServicePrice { service: service(index), version, credits: credits(*each) })
    });
    State {
        pools: pools.collect(),
        departments: (0..DEPARTMENTS).map(|d| (department(d), Department { archived: false })).collect(),
        services: Arc::new(prices.collect()),
        calendar: Arc::new(Calendar::new((0..=MONTHS).map(|month| at(month * MONTH)).collect())),
        ..State::default()
    }
}

/// A command with the ids and the key that belong to a number.
pub fn command(number: u128, pool: PoolId, now: i64, instruction: Instruction) -> Command {
    let id = match instruction {
        Instruction::Charge(_) | Instruction::Capture(_) => CommandId::Charge(ChargeId::from_u128(number)),
        Instruction::Hold(_) => CommandId::Hold(HoldId::from_u128(number)),
        _ => CommandId::Entry(EntryId::from_u128(number)),
    };
    let bytes = number.to_be_bytes();
    Command { id, pool, key: Key(bytes), request: RequestHash(bytes), now: at(now), instruction }
}
