//! What may happen in a sequence, as plain data. What a step refers to is named by how recent it is, so
//! that a sequence from which steps have been taken away still makes sense.

use proptest::prelude::*;

use crate::world::DEPARTMENTS;

/// One step of one tenant.
#[derive(Clone, Debug)]
pub struct Step {
    pub tenant: usize,
    pub act: Act,
}

#[derive(Clone, Debug)]
pub enum Act {
    Order(Order),
    /// Several commands, all or none.
    Together(Vec<Order>),
    /// The same command again; `changed`: its key with another request.
    Replay {
        recent: usize,
        changed: bool,
    },
    Clock(Tick),
    /// What is kept in memory is left as it would be loaded again.
    Restart,
    Set(Setting),
}

/// A command to a pool.
#[derive(Clone, Debug)]
pub struct Order {
    pub pool: usize,
    pub what: What,
}

/// What a command does. Lifetimes are in seconds; holds, charges and lots are named by how recent they are.
#[derive(Clone, Debug)]
pub enum What {
    Issue { to: Option<usize>, credits: i64, cost: i64, priority: i16, life: Option<i64>, source: usize },
    Allocate { department: usize, credits: i64 },
    Reclaim { department: usize, credits: i64 },
    Move { from: Option<usize>, elsewhere: bool, to: Option<usize>, credits: i64 },
    Refill { department: usize, ahead: bool },
    Charge(Use),
    Hold { most: Use, seconds: i64 },
    Capture { hold: usize, lines: Option<Vec<(usize, i64)>>, last: bool },
    Void { hold: usize },
    Refund { charge: usize, credits: Option<i64>, fault: bool, guaranteed: bool },
    TakeBack { from: Option<usize>, credits: i64, lot: Option<usize> },
    Extend { lot: usize, life: Option<i64> },
    Revoke { lot: usize, credits: i64, value: i64, disputed: bool },
    Dispute { lot: usize, credits: i64 },
    Reinstate { lot: usize, credits: i64 },
    BookDue,
}

/// A use of credits: services and how many units of each.
#[derive(Clone, Debug)]
pub struct Use {
    pub department: Option<usize>,
    pub spender: Option<usize>,
    pub lines: Vec<(usize, i64)>,
    pub reference: Option<u8>,
}

/// How the clock of the nodes moves.
#[derive(Clone, Copy, Debug)]
pub enum Tick {
    /// By seconds; it may run back.
    By(i64),
    Days(i64),
    /// To the next instant at which something is due, or a microsecond beside it.
    ToDue(i64),
    /// To the end of the month, or a microsecond beside it.
    ToMonth(i64),
}

/// What is set from outside of the ledger.
#[derive(Clone, Debug)]
pub enum Setting {
    /// Something is closed for some steps.
    Close(Closing, usize),
    Raise {
        pool: usize,
        cap: usize,
        credits: i64,
        seconds: i64,
    },
    Limit {
        pool: usize,
        cap: usize,
        credits: i64,
    },
    /// Whether a department draws on unallocated credits; its refill: amount and rollover.
    Allocation {
        pool: usize,
        department: usize,
        overflow: bool,
        refill: Option<(i64, i64)>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    Frozen(usize),
    ArchivedPool(usize),
    ArchivedDepartment(usize),
    Suspended,
}

pub fn step() -> impl Strategy<Value = Step> {
    let tenant = prop_oneof![5 => Just(0usize), 1 => Just(1)];
    (tenant, act()).prop_map(|(tenant, act)| Step { tenant, act })
}

fn act() -> BoxedStrategy<Act> {
    prop_oneof![
        74 => order().prop_map(Act::Order),
        4 => prop::collection::vec(order(), 1..5).prop_map(Act::Together),
        6 => (0usize..30, any::<bool>()).prop_map(|(recent, changed)| Act::Replay { recent, changed }),
        10 => tick().prop_map(Act::Clock),
        3 => Just(Act::Restart),
        6 => setting().prop_map(Act::Set),
    ]
    .boxed()
}

fn order() -> BoxedStrategy<Order> {
    let pool = prop_oneof![2 => Just(0usize), 1 => Just(1)];
    let what = prop_oneof![34 => moves(), 52 => uses(), 10 => corrections()];
    (pool, what).prop_map(|(pool, what)| Order { pool, what }).boxed()
}

/// A department; now and then one that is not there.
fn department() -> BoxedStrategy<usize> {
    prop_oneof![30 => 0..DEPARTMENTS, 1 => Just(DEPARTMENTS)].boxed()
}

fn holder() -> BoxedStrategy<Option<usize>> {
    prop_oneof![2 => Just(None), 3 => department().prop_map(Some)].boxed()
}

fn moves() -> BoxedStrategy<What> {
    let to = prop_oneof![4 => Just(None), 1 => department().prop_map(Some)];
    let life = prop_oneof![
        3 => Just(None),
        1 => Just(Some(0i64)),
        4 => (1i64..100_000).prop_map(Some),
        4 => (1i64..2_500_000).prop_map(Some),
    ];
    let issue = (to, 0i64..90, 0i64..50_000, 0i16..3, life, 0usize..3).prop_map(
        |(to, credits, cost, priority, life, source)| What::Issue {
            to,
            credits,
            cost,
            priority,
            life,
            source,
        },
    );
    let elsewhere = (holder(), any::<bool>(), holder(), 0i64..30)
        .prop_map(|(from, elsewhere, to, credits)| What::Move { from, elsewhere, to, credits });
    prop_oneof![
        12 => issue,
        9 => (department(), 0i64..60).prop_map(|(department, credits)| What::Allocate { department, credits }),
        4 => (department(), 0i64..40).prop_map(|(department, credits)| What::Reclaim { department, credits }),
        6 => elsewhere,
        3 => (department(), prop_oneof![5 => Just(false), 1 => Just(true)])
            .prop_map(|(department, ahead)| What::Refill { department, ahead }),
    ]
    .boxed()
}

fn lines() -> BoxedStrategy<Vec<(usize, i64)>> {
    prop_oneof![
        9 => prop::collection::vec((0usize..3, 1i64..6), 1..4),
        1 => prop::collection::vec((0usize..4, -1i64..9), 0..4),
    ]
    .boxed()
}

fn a_use() -> BoxedStrategy<Use> {
    let spender = prop::option::of(0usize..2);
    let reference = prop_oneof![3 => Just(None), 1 => (0u8..60).prop_map(Some)];
    (holder(), spender, lines(), reference)
        .prop_map(|(department, spender, lines, reference)| Use { department, spender, lines, reference })
        .boxed()
}

fn uses() -> BoxedStrategy<What> {
    let seconds = prop_oneof![
        1 => Just(0i64),
        1 => Just(259_201i64),
        10 => 1i64..=259_200,
        8 => 1i64..5_000,
    ];
    let some = prop_oneof![
        2 => Just(None),
        3 => prop::collection::vec((0usize..3, 1i64..4), 1..3).prop_map(Some),
        1 => lines().prop_map(Some),
    ];
    let refund = (
        0usize..12,
        prop::option::of(0i64..12),
        any::<bool>(),
        prop_oneof![4 => Just(false), 1 => Just(true)],
    );
    prop_oneof![
        20 => a_use().prop_map(What::Charge),
        12 => (a_use(), seconds).prop_map(|(most, seconds)| What::Hold { most, seconds }),
        10 => (0usize..5, some, any::<bool>()).prop_map(|(hold, lines, last)| What::Capture { hold, lines, last }),
        4 => (0usize..5).prop_map(|hold| What::Void { hold }),
        9 => refund.prop_map(|(charge, credits, fault, guaranteed)| What::Refund {
            charge,
            credits,
            fault,
            guaranteed,
        }),
    ]
    .boxed()
}

fn corrections() -> BoxedStrategy<What> {
    let life = prop_oneof![1 => Just(None), 5 => (1i64..3_000_000).prop_map(Some)];
    prop_oneof![
        2 => (holder(), 0i64..12, prop::option::of(0usize..4))
            .prop_map(|(from, credits, lot)| What::TakeBack { from, credits, lot }),
        4 => (0usize..6, life).prop_map(|(lot, life)| What::Extend { lot, life }),
        3 => (0usize..8, 0i64..40, 0i64..30_000, any::<bool>())
            .prop_map(|(lot, credits, value, disputed)| What::Revoke { lot, credits, value, disputed }),
        3 => (0usize..5, 0i64..40).prop_map(|(lot, credits)| What::Dispute { lot, credits }),
        2 => (0usize..5, 0i64..60).prop_map(|(lot, credits)| What::Reinstate { lot, credits }),
        2 => Just(What::BookDue),
    ]
    .boxed()
}

fn tick() -> BoxedStrategy<Tick> {
    prop_oneof![
        6 => (-3_000i64..30_000).prop_map(Tick::By),
        2 => (1i64..4).prop_map(Tick::Days),
        3 => (-1i64..=1).prop_map(Tick::ToDue),
        1 => (-1i64..=1).prop_map(Tick::ToMonth),
    ]
    .boxed()
}

fn setting() -> BoxedStrategy<Setting> {
    let closing = prop_oneof![
        2 => (0usize..2).prop_map(Closing::Frozen),
        1 => (0usize..2).prop_map(Closing::ArchivedPool),
        3 => (0..DEPARTMENTS).prop_map(Closing::ArchivedDepartment),
        1 => Just(Closing::Suspended),
    ];
    let allocation = (0usize..2, 0..DEPARTMENTS, any::<bool>(), prop::option::of((0i64..40, 0i64..20)));
    prop_oneof![
        2 => (closing, 1usize..8).prop_map(|(closing, steps)| Setting::Close(closing, steps)),
        2 => (0usize..2, 0usize..4, 1i64..60, 1i64..400_000)
            .prop_map(|(pool, cap, credits, seconds)| Setting::Raise { pool, cap, credits, seconds }),
        1 => (0usize..2, 0usize..4, 0i64..300)
            .prop_map(|(pool, cap, credits)| Setting::Limit { pool, cap, credits }),
        5 => allocation.prop_map(|(pool, department, overflow, refill)| Setting::Allocation {
            pool,
            department,
            overflow,
            refill,
        }),
    ]
    .boxed()
}
