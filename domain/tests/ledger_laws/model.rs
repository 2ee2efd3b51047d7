//! The model: credits are single coins in boxes. Who has coins has a box in each pool, with a pile for each
//! lot; a coin is free or belongs to a hold. The model decides by itself what is to be accepted and which
//! coins move, and knows nothing of how the machine does it.

mod counts;
mod disputes;
mod moves;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::iter::once;

use bursar_domain::id::{ChargeId, DepartmentId, HoldId, Id, LotId, PoolId, ServiceId};
use bursar_domain::ledger::{Command, CommandId, HoldState, Instruction};

pub use counts::CapCounts;
pub use uses::{Promise, Spent};

use crate::world::{self, CapRow};

/// The expiry of what never expires.
pub const NEVER: i64 = i64::MAX;

/// The place of a lot in the order of use: priority, expiry, arrival, number.
pub type Place = (i16, i64, i64, u128);
/// Who has coins: a department, or nobody yet.
pub type Holder = Option<DepartmentId>;
/// A free coin, or one that belongs to a hold.
pub type Coin = Option<HoldId>;

/// A coin that a dispute holds.
pub fn disputed() -> Coin {
    Some(HoldId::from_u128(0))
}

/// Why the model refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum No {
    /// Not enough: so much is there.
    Short(i64),
    /// One of the pool's caps, and what it leaves.
    Cap(usize, i64),
    Other(&'static str),
}

pub fn no<T>(why: &'static str) -> Result<T, No> {
    Err(No::Other(why))
}

#[derive(Clone, Debug)]
pub struct Lot {
    pub place: Place,
    /// The first of the lots that it goes on for, or itself.
    pub origin: LotId,
    /// Whether coins of its family were taken back.
    pub reversed: bool,
    /// The lot that it was extended by last.
    pub successor: Option<LotId>,
}

/// How an allocation is refilled.
#[derive(Clone, Copy, Debug)]
pub struct Topping {
    pub amount: i64,
    pub rollover: i64,
    /// When the period began that it has been refilled for.
    pub begun: i64,
    pub lacking: i64,
}

/// What a pool has.
#[derive(Clone, Debug, Default)]
pub struct Purse {
    pub clock: i64,
    pub boxes: BTreeMap<Holder, BTreeMap<Place, Vec<Coin>>>,
    /// The departments that have a box, in the order in which they got it.
    pub opened: Vec<DepartmentId>,
    /// How many held coins of a pile are to be taken back when they are let go.
    pub doomed: BTreeMap<(Holder, Place), i64>,
    /// How many held coins of a pile go to a dispute when they are let go.
    pub contested: BTreeMap<(Holder, Place), i64>,
    pub issued: i64,
    pub consumed: i64,
    pub expired: i64,
    pub revoked: i64,
    pub debt: i64,
    /// What went to other pools, less what came from them.
    pub away: i64,
    pub frozen: bool,
    pub archived: bool,
    pub allowed: Option<BTreeSet<ServiceId>>,
    /// The departments that draw on what nobody has.
    pub overflow: BTreeSet<DepartmentId>,
    pub toppings: BTreeMap<DepartmentId, Topping>,
    pub caps: Vec<CapCounts>,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub pools: BTreeMap<PoolId, Purse>,
    pub lots: BTreeMap<LotId, Lot>,
    pub holds: BTreeMap<HoldId, Promise>,
    pub charges: BTreeMap<ChargeId, Spent>,
    pub references: BTreeSet<String>,
    pub archived: BTreeSet<DepartmentId>,
    pub suspended: bool,
    /// How many refunds guarantees have covered, by service and month.
    pub covered: BTreeMap<(ServiceId, i64), i64>,
}

/// Whether coins can no longer be used: from the instant of expiry on.
pub fn lapsed(place: &Place, at: i64) -> bool {
    place.1 != NEVER && place.1 <= at
}

/// Where coins of a lot come back to: to itself, or else to the first of those that it was extended by, one
/// after another, that has not lapsed.
fn heir(lots: &BTreeMap<LotId, Lot>, lot: &Lot, at: i64) -> Option<Place> {
    let mut lot = lot;
    while lapsed(&lot.place, at) {
        lot = lots.get(&lot.successor?)?;
    }
    Some(lot.place)
}

impl Purse {
    fn new(index: usize, caps: &[CapRow]) -> Purse {
        let caps = caps.iter().filter(|row| row.0 == index).map(CapCounts::new).collect();
        Purse { allowed: world::allowed(index), caps, ..Purse::default() }
    }

    /// Who has a box: nobody first.
    fn holders(&self) -> Vec<Holder> {
        once(None).chain(self.opened.iter().copied().map(Some)).collect()
    }

    pub fn open(&mut self, holder: Holder) {
        if let Some(department) = holder.filter(|department| !self.opened.contains(department)) {
            self.opened.push(department);
        }
    }

    /// How many free coins somebody has of some lots.
    fn free_of(&self, holder: Holder, of: impl Fn(&Place) -> bool) -> i64 {
        let piles = self.boxes.get(&holder).into_iter().flatten().filter(|(place, _)| of(place));
        piles.flat_map(|(_, coins)| coins).filter(|coin| coin.is_none()).count() as i64
    }

    fn free(&self, holder: Holder) -> i64 {
        self.free_of(holder, |_| true)
    }

    /// How many coins of a pile holds hold.
    fn held(&self, holder: Holder, place: &Place) -> i64 {
        let pile = self.boxes.get(&holder).and_then(|piles| piles.get(place));
        pile.map_or(0, |coins| {
            coins.iter().filter(|coin| coin.is_some() && **coin != disputed()).count() as i64
        })
    }

    /// How many coins of a pile holds hold and nothing else asks for.
    fn unmarked(&self, holder: Holder, place: &Place) -> i64 {
        let marks = [&self.doomed, &self.contested].map(|marks| marks.get(&(holder, *place)).copied());
        self.held(holder, place) - marks.into_iter().flatten().sum::<i64>()
    }

    /// Gives up to `n` coins of a pile that are in one state another one; answers how many.
    fn turn(&mut self, (holder, place): (Holder, Place), n: i64, from: Coin, to: Coin) -> i64 {
        let pile = self.boxes.get_mut(&holder).and_then(|piles| piles.get_mut(&place));
        let mut turned = 0;
        for coin in pile.into_iter().flatten().filter(|coin| **coin == from).take(n as usize) {
            *coin = to;
            turned += 1;
        }
        turned
    }

    /// Takes up to `n` free coins of some lots out of a box, in the order of use or against it.
    fn take_of(&mut self, holder: Holder, n: i64, against: bool, of: impl Fn(&Place) -> bool) -> Vec<Place> {
        let mut taken = Vec::new();
        let Some(piles) = self.boxes.get_mut(&holder) else { return taken };
        let mut order: Vec<_> = piles.iter_mut().filter(|(place, _)| of(place)).collect();
        if against {
            order.reverse();
        }
        for (place, coins) in order {
            coins.retain(|coin| {
                let take = coin.is_none() && (taken.len() as i64) < n;
                if take {
                    taken.push(*place);
                }
                !take
            });
        }
        piles.retain(|_, coins| !coins.is_empty());
        taken
    }

    fn take(&mut self, holder: Holder, n: i64, against: bool) -> Vec<Place> {
        self.take_of(holder, n, against, |_| true)
    }

    fn put(&mut self, holder: Holder, coins: impl IntoIterator<Item = Place>) {
        let piles = self.boxes.entry(holder).or_default();
        for place in coins {
            piles.entry(place).or_default().push(None);
        }
    }

    /// Lets the coins of a hold go: some are to be taken back, a dispute waits for some, some have lapsed, the
    /// others are free.
    fn let_go(&mut self, hold: HoldId, at: i64) {
        for (holder, piles) in &mut self.boxes {
            for (place, coins) in piles.iter_mut() {
                if !coins.contains(&Some(hold)) {
                    continue;
                }
                let doomed = self.doomed.entry((*holder, *place)).or_default();
                let contested = self.contested.entry((*holder, *place)).or_default();
                coins.retain_mut(|coin| {
                    if *coin != Some(hold) {
                        return true;
                    }
                    if *doomed > 0 {
                        *doomed -= 1;
                        self.revoked += 1;
                        return false;
                    }
                    if *contested > 0 {
                        *contested -= 1;
                        *coin = disputed();
                        return true;
                    }
                    if lapsed(place, at) {
                        self.expired += 1;
                        return false;
                    }
                    *coin = None;
                    true
                });
            }
            piles.retain(|_, coins| !coins.is_empty());
        }
        self.clock = at;
    }
}

impl Model {
    pub fn new(caps: &[CapRow]) -> Model {
        let pools = (0..world::POOLS).map(|index| (world::pool(index), Purse::new(index, caps))).collect();
        Model { pools, ..Model::default() }
    }

    fn purse(&mut self, pool: PoolId) -> &mut Purse {
        self.pools.get_mut(&pool).unwrap()
    }

    /// What time brings to a pool: first holds come to their end, then free coins lapse.
    pub fn time_passes(&mut self, pool: PoolId, at: i64) {
        if self.pools[&pool].frozen {
            return;
        }
        let over =
            |promise: &Promise| promise.pool == pool && promise.end.is_none() && promise.expires_at <= at;
        let over: Vec<HoldId> = self.holds.iter().filter(|(_, p)| over(p)).map(|(id, _)| *id).collect();
        for hold in over {
            self.end(hold, HoldState::Expired, at);
        }
        let purse = self.purse(pool);
        for holder in purse.holders() {
            let gone = purse.take_of(holder, i64::MAX, false, |place| lapsed(place, at)).len() as i64;
            purse.expired += gone;
            purse.clock = if gone > 0 { at } else { purse.clock };
        }
    }

    /// The next instant after `now` at which something is due.
    pub fn next_due(&self, now: i64) -> Option<i64> {
        let piles = self.pools.values().flat_map(|purse| purse.boxes.values()).flatten();
        let lapses = piles.map(|(place, _)| place.1).filter(|at| *at != NEVER);
        let open = self.holds.values().filter(|promise| promise.end.is_none());
        lapses.chain(open.map(|promise| promise.expires_at)).filter(|at| *at > now).min()
    }

    /// The time of a command: in a pool it never runs back.
    fn time(&self, command: &Command) -> i64 {
        let pools = once(command.pool).chain(command.instruction.other_pool());
        let clocks = pools.filter_map(|id| self.pools.get(&id)).map(|purse| purse.clock);
        clocks.fold(command.now.micros(), i64::max)
    }

    /// Carries a command out, or refuses it; answers when it was carried out.
    pub fn decide(&mut self, command: &Command) -> Result<i64, No> {
        // What was agreed on before is brought to its end.
        let ends = matches!(
            command.instruction,
            Instruction::BookDue | Instruction::Capture(_) | Instruction::Void(_)
        );
        if self.suspended && !ends {
            return no("suspended");
        }
        let (at, pool) = (self.time(command), command.pool);
        // Money that has gone back does not ask whether the pool is still used.
        let reverses = matches!(command.instruction, Instruction::Revoke(_));
        if self.pools[&pool].frozen || self.pools[&pool].archived && !reverses {
            return no("closed");
        }
        let done = match (&command.instruction, command.id) {
            (Instruction::Issue(request), _) => self.issue(pool, request, at),
            (Instruction::Allocate(request), _) => {
                self.shift(pool, (None, Some(request.department)), request.credits.get(), at)
            }
            (Instruction::Reclaim(request), _) => {
                self.shift(pool, (Some(request.department), None), request.credits.get(), at)
            }
            (Instruction::Move(request), _) => match request.to_pool {
                None => self.shift(pool, (request.from, request.to), request.credits.get(), at),
                Some(other) => {
                    self.send((pool, request.from), (other, request.to), request.credits.get(), at)
                }
            },
            (Instruction::Refill(request), _) => self.refill(pool, request, at),
            (Instruction::Charge(request), CommandId::Charge(id)) => self.charge(pool, id, request, at),
            (Instruction::Hold(request), CommandId::Hold(id)) => self.promise(pool, id, request, at),
            (Instruction::Capture(request), CommandId::Charge(id)) => self.capture(id, request, at),
            (Instruction::Void(request), _) => self.void(request.hold, at),
            (Instruction::Refund(request), _) => self.refund(request, at),
            (Instruction::TakeBack(request), _) => self.take_back(pool, request, at),
            (Instruction::Extend(request), _) => self.extend(pool, request, at),
            (Instruction::Revoke(request), _) => self.revoke(pool, request, at),
            (Instruction::Dispute(request), _) => self.dispute(pool, request, at),
            (Instruction::Reinstate(request), _) => self.reinstate(pool, request, at),
            (Instruction::BookDue, _) => Ok(()),
            _ => no("an id of another kind"),
        };
        done.map(|()| at)
    }

    /// Somebody may act: nobody may always.
    fn may_act(&self, holder: Holder) -> Result<(), No> {
        match holder {
            Some(department) if !world::is_department(department) => no("no such department"),
            Some(department) if self.archived.contains(&department) => no("archived"),
            _ => Ok(()),
        }
    }

    fn solvent(&self, pool: PoolId) -> Result<(), No> {
        if self.pools[&pool].debt > 0 { no("in debt") } else { Ok(()) }
    }
}
