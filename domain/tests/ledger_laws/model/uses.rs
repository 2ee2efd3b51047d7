//! Coins that are used, held for use, and given back.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::repeat_n;

use bursar_domain::id::{ChargeId, DepartmentId, HoldId, Id, LotId, PoolId, ServiceId, UserId};
use bursar_domain::ledger::{CaptureHold, ChargeCredits, HoldCredits, HoldState, LineRequest, RefundCharge};

use super::counts::Usage;
use super::{Holder, Lot, Model, No, Place, heir, no};
use crate::world::{self, DAY, GUARANTEES, SECOND, SERVICES};

/// The longest lifetime of a hold.
const THREE_DAYS: i64 = 3 * DAY / SECOND;
/// For how long the replacement of a lapsed lot lives.
const REPLACED_FOR: i64 = 30 * DAY;

/// Units of a service at a price.
#[derive(Clone, Debug)]
struct Line {
    code: String,
    service: ServiceId,
    each: i64,
    units: i64,
}

/// A hold.
#[derive(Clone, Debug)]
pub struct Promise {
    pub pool: PoolId,
    department: Holder,
    spender: Option<UserId>,
    /// What may still be used.
    left: Vec<Line>,
    pub used: i64,
    pub made_at: i64,
    pub expires_at: i64,
    /// How it came to its end.
    pub end: Option<HoldState>,
}

/// A used coin: whose it was, of which lot, and what it paid for.
#[derive(Clone, Copy, Debug)]
struct Used {
    holder: Holder,
    lot: LotId,
    service: ServiceId,
}

/// A charge.
#[derive(Clone, Debug)]
pub struct Spent {
    pool: PoolId,
    department: Option<DepartmentId>,
    spender: Option<UserId>,
    /// Its coins in the order of use. What is refunded is taken from the end.
    coins: Vec<Used>,
    made_at: i64,
    counts_at: i64,
}

/// Whose coins a use may take, in this order.
fn sources(own: Holder) -> Vec<Holder> {
    if own.is_some() { vec![own, None] } else { vec![None] }
}

/// One service for each coin.
fn paid(lines: &[Line]) -> Vec<ServiceId> {
    lines.iter().flat_map(|line| repeat_n(line.service, (line.each * line.units) as usize)).collect()
}

impl Model {
    /// The lines of a charge, when nothing speaks against it, and all of its coins' services.
    fn wanted(
        &self,
        pool: PoolId,
        request: &ChargeCredits,
        at: i64,
    ) -> Result<(Vec<Line>, Vec<ServiceId>), No> {
        self.solvent(pool)?;
        self.may_act(request.department)?;
        if request.lines.is_empty() || request.lines.len() > 100 {
            return no("lines");
        }
        let purse = &self.pools[&pool];
        let line = |line: &LineRequest| {
            let index = SERVICES.iter().position(|(code, _)| *code == line.service)?;
            let service = world::service(index);
            let ok = purse.allowed.as_ref().is_none_or(|allowed| allowed.contains(&service))
                && (1..=1_000_000).contains(&line.quantity);
            let (code, each, units) = (line.service.clone(), SERVICES[index].1, line.quantity);
            ok.then_some(Line { code, service, each, units })
        };
        let lines: Option<Vec<Line>> = request.lines.iter().map(line).collect();
        let Some(lines) = lines else { return no("a line") };
        if request.reference.as_ref().is_some_and(|reference| self.references.contains(reference)) {
            return no("the reference is taken");
        }
        let services = paid(&lines);
        purse.within_caps(&usage((request.department, request.spender), &services), at)?;
        let own = purse.free(request.department);
        let draws = request.department.is_some_and(|department| purse.overflow.contains(&department));
        let free = if draws && own < services.len() as i64 { own + purse.free(None) } else { own };
        if free < services.len() as i64 { Err(No::Short(free)) } else { Ok((lines, services)) }
    }

    pub(super) fn charge(
        &mut self,
        pool: PoolId,
        id: ChargeId,
        request: &ChargeCredits,
        at: i64,
    ) -> Result<(), No> {
        let (_, services) = self.wanted(pool, request, at)?;
        let (own, n) = (request.department, services.len() as i64);
        let purse = self.purse(pool);
        let mut coins: Vec<(Holder, Place)> =
            purse.take(own, n, false).into_iter().map(|place| (own, place)).collect();
        let more = n - coins.len() as i64;
        coins.extend(purse.take(None, more, false).into_iter().map(|place| (None, place)));
        purse.consumed += n;
        purse.clock = at;
        purse.count(&usage((own, request.spender), &services), at, 1, 0);
        self.references.extend(request.reference.clone());
        self.spent(id, pool, (own, request.spender), used(&coins, &services), (at, at));
        Ok(())
    }

    fn spent(
        &mut self,
        id: ChargeId,
        pool: PoolId,
        (department, spender): (Holder, Option<UserId>),
        coins: Vec<Used>,
        (made_at, counts_at): (i64, i64),
    ) {
        self.charges.insert(id, Spent { pool, department, spender, coins, made_at, counts_at });
    }

    pub(super) fn promise(
        &mut self,
        pool: PoolId,
        id: HoldId,
        request: &HoldCredits,
        at: i64,
    ) -> Result<(), No> {
        if !(1..=THREE_DAYS).contains(&request.seconds) {
            return no("lifetime");
        }
        let charge = &request.charge;
        let (left, services) = self.wanted(pool, charge, at)?;
        let purse = self.purse(pool);
        let mut n = services.len();
        for holder in sources(charge.department) {
            let piles = purse.boxes.get_mut(&holder).into_iter().flatten();
            for coin in piles.flat_map(|(_, coins)| coins).filter(|coin| coin.is_none()).take(n) {
                *coin = Some(id);
                n -= 1;
            }
        }
        purse.clock = at;
        purse.count(&usage((charge.department, charge.spender), &services), at, 0, 1);
        self.references.extend(charge.reference.clone());
        let promise = Promise {
            pool,
            department: charge.department,
            spender: charge.spender,
            left,
            used: 0,
            made_at: at,
            expires_at: at + request.seconds * SECOND,
            end: None,
        };
        self.holds.insert(id, promise);
        Ok(())
    }

    /// A hold that has not come to its end.
    fn open_promise(&self, id: HoldId) -> Result<Promise, No> {
        match self.holds.get(&id) {
            Some(promise) if promise.end.is_none() => Ok(promise.clone()),
            Some(_) => no("the hold has ended"),
            None => no("no such hold"),
        }
    }

    pub(super) fn capture(&mut self, id: ChargeId, request: &CaptureHold, at: i64) -> Result<(), No> {
        let mut promise = self.open_promise(request.hold)?;
        let taken = match &request.lines {
            None => std::mem::take(&mut promise.left),
            Some(lines) => units(&mut promise.left, lines)?,
        };
        let services = paid(&taken);
        let n = services.len();
        if n == 0 {
            return no("nothing");
        }
        let (who, pool, made_at) = ((promise.department, promise.spender), promise.pool, promise.made_at);
        promise.used += n as i64;
        let purse = self.purse(pool);
        let (mut coins, hold) = (Vec::new(), Some(request.hold));
        for holder in sources(promise.department) {
            let mut emptied = Vec::new();
            for (place, pile) in purse.boxes.get_mut(&holder).into_iter().flatten() {
                let before = coins.len();
                pile.retain(|coin| {
                    let take = *coin == hold && coins.len() < n;
                    if take {
                        coins.push((holder, *place));
                    }
                    !take
                });
                if coins.len() > before {
                    emptied.push(*place);
                }
            }
            // A coin that was to be taken back and is not there any more is owed.
            for place in emptied {
                let held = purse.held(holder, &place);
                let doomed = purse.doomed.entry((holder, place)).or_default();
                let contested = purse.contested.entry((holder, place)).or_default();
                // A dispute that waits for one gives it up before that.
                let over = (*doomed + *contested - held).max(0);
                let given_up = over.min(*contested);
                *contested -= given_up;
                let owed = over - given_up;
                *doomed -= owed;
                purse.debt += owed;
                purse.revoked += owed;
            }
        }
        purse.boxes.values_mut().for_each(|piles| piles.retain(|_, pile| !pile.is_empty()));
        purse.consumed += n as i64;
        purse.clock = at;
        purse.count(&usage(who, &services), made_at, 1, -1);
        let over = request.last || paid(&promise.left).is_empty();
        self.holds.insert(request.hold, promise);
        if over {
            self.end(request.hold, HoldState::Captured, at);
        }
        self.spent(id, pool, who, used(&coins, &services), (at, made_at));
        Ok(())
    }

    pub(super) fn void(&mut self, hold: HoldId, at: i64) -> Result<(), No> {
        self.open_promise(hold)?;
        self.end(hold, HoldState::Voided, at);
        Ok(())
    }

    /// A hold comes to its end, whichever.
    pub(super) fn end(&mut self, hold: HoldId, end: HoldState, at: i64) {
        let promise = self.holds.get_mut(&hold).unwrap();
        assert_eq!(promise.end, None, "a hold ends once");
        promise.end = Some(end);
        let services = paid(&promise.left);
        let purse = self.pools.get_mut(&promise.pool).unwrap();
        purse.let_go(hold, at);
        purse.count(&usage((promise.department, promise.spender), &services), promise.made_at, 0, -1);
    }

    /// The coins used last come back first.
    pub(super) fn refund(&mut self, request: &RefundCharge, at: i64) -> Result<(), No> {
        let Some(spent) = self.charges.get(&request.charge).cloned() else { return no("no such charge") };
        let left = spent.coins.len();
        let n = request.credits.map_or(left, |credits| credits.get() as usize);
        if n == 0 || n > left {
            return no("more than is left");
        }
        let coins = &spent.coins[left - n..];
        if request.guaranteed {
            self.cover(&spent, coins, at)?;
        }
        let archived = spent.department.is_some_and(|department| self.archived.contains(&department));
        let purse = self.pools.get_mut(&spent.pool).unwrap();
        let mut replaced: BTreeMap<LotId, Place> = BTreeMap::new();
        for coin in coins.iter().rev() {
            let lot = &self.lots[&coin.lot];
            purse.consumed -= 1;
            if lot.reversed && purse.debt > 0 {
                purse.debt -= 1;
                continue;
            }
            let mut to = heir(&self.lots, lot, at);
            if request.provider_fault {
                to = to.or_else(|| {
                    let number = request.first_lot.as_u128() + replaced.len() as u128;
                    let place = (lot.place.0, at + REPLACED_FOR, at, number);
                    Some(*replaced.entry(coin.lot).or_insert(place))
                });
            }
            match to {
                Some(place) => purse.put(if archived { None } else { coin.holder }, [place]),
                None => purse.expired += 1,
            }
        }
        purse.clock = at;
        let services: Vec<ServiceId> = coins.iter().map(|coin| coin.service).collect();
        purse.count(&usage((spent.department, spent.spender), &services), spent.counts_at, -1, 0);
        for (lot, place) in replaced {
            let heir = Lot { place, successor: None, ..self.lots[&lot].clone() };
            self.lots.insert(LotId::from_u128(place.3), heir);
        }
        self.charges.get_mut(&request.charge).unwrap().coins.truncate(left - n);
        Ok(())
    }

    /// Whether the guarantees cover a refund; if they do, it is counted.
    fn cover(&mut self, spent: &Spent, coins: &[Used], at: i64) -> Result<(), No> {
        let services: BTreeSet<ServiceId> = coins.iter().map(|coin| coin.service).collect();
        let month = world::period_start(1, at);
        for service in &services {
            let index = (0..SERVICES.len()).find(|index| world::service(*index) == *service).unwrap();
            let Some((days, quota)) = GUARANTEES[index] else { return no("no guarantee") };
            let so_far = self.covered.get(&(*service, month)).copied().unwrap_or(0);
            if at > spent.made_at + days * DAY || quota.is_some_and(|quota| so_far >= quota) {
                return no("not covered");
            }
        }
        for service in services {
            *self.covered.entry((service, month)).or_default() += 1;
        }
        Ok(())
    }
}

fn usage((department, spender): (Holder, Option<UserId>), services: &[ServiceId]) -> Usage<'_> {
    Usage { department, spender, services }
}

/// Coins in the order of use, with what each paid for.
fn used(coins: &[(Holder, Place)], services: &[ServiceId]) -> Vec<Used> {
    let used = |((holder, place), service): (&(Holder, Place), &ServiceId)| Used {
        holder: *holder,
        lot: LotId::from_u128(place.3),
        service: *service,
    };
    coins.iter().zip(services).map(used).collect()
}

/// Takes units that a capture names by service out of what is left of a hold, one after another.
fn units(left: &mut [Line], lines: &[LineRequest]) -> Result<Vec<Line>, No> {
    if lines.is_empty() || lines.len() > 100 || lines.iter().any(|line| line.quantity < 1) {
        return no("lines");
    }
    let mut taken: Vec<Line> = left.iter().map(|line| Line { units: 0, ..line.clone() }).collect();
    for line in lines {
        for _ in 0..line.quantity {
            let open = left.iter().position(|own| own.code == line.service && own.units > 0);
            let Some(index) = open else { return no("more than is held") };
            left[index].units -= 1;
            taken[index].units += 1;
        }
    }
    Ok(taken)
}
