//! Who has asked for how much lately: a bucket of points for each principal, and one for each tenant, which
//! all of its principals draw on.
//!
//! Whoever belongs to several tenants draws on all of them, as far as they have enough: one that others have emptied does
//! not keep a person from working elsewhere. Only when none has enough is the operation refused.
//!
//! A bucket fills at a constant rate up to its size. An operation takes what it may cost before it runs and
//! gets back what it did not use. Nobody waits in here: who has too little is told how long it takes.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bursar_domain::id::OrganizationId;
use quick_cache::sync::Cache;

use crate::auth::PrincipalId;
use crate::config::Rate;

/// How many buckets are kept. One that is forgotten is full when it comes back.
const CAPACITY: usize = 100_000;
/// How many tenants of one principal count.
const TENANTS: usize = 8;
/// How many times what one principal has a tenant has.
const TENANT_FACTOR: u32 = 4;

/// Who draws on a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A person or a key.
    Caller(PrincipalId),
    /// Whoever does not say who it is, by address.
    Address(IpAddr),
}

impl Principal {
    /// Somebody without a token. Of an IPv6 address the network counts: one household has 2^64 addresses.
    pub fn anonymous(address: IpAddr) -> Principal {
        Principal::Address(match address {
            IpAddr::V6(address) => IpAddr::from((address.to_bits() >> 64 << 64).to_be_bytes()),
            address => address,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Principal(Principal),
    Tenant(OrganizationId),
}

/// What all principals of a tenant have together.
fn of_tenant(rate: Rate) -> Rate {
    let times = |points: u32| points.saturating_mul(TENANT_FACTOR);
    Rate { maximum: times(rate.maximum), restore: times(rate.restore) }
}

/// What a principal has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The most points that there can be.
    pub maximum: u32,
    /// The points that are there now.
    pub available: u32,
    /// The points that come back each second.
    pub restore: u32,
}

/// All buckets.
#[derive(Clone)]
pub struct Throttle {
    rate: Rate,
    buckets: Arc<Cache<Key, Arc<Bucket>>>,
}

struct Bucket {
    rate: Rate,
    level: Mutex<(i64, Instant)>,
}

/// The buckets that one operation draws on.
pub struct Draw {
    principal: Arc<Bucket>,
    tenants: Vec<Arc<Bucket>>,
    taken: i64,
}

/// Levels are counted in millionths of a point: as many come back each microsecond as points each second.
const POINT: i64 = 1_000_000;

impl Bucket {
    fn new(rate: Rate) -> Bucket {
        Bucket { rate, level: Mutex::new((i64::from(rate.maximum) * POINT, Instant::now())) }
    }

    /// Changes the level by some points, as long as it does not fall below zero; otherwise says how long it
    /// takes until there are enough. Answers the whole points that are left.
    fn change(&self, points: i64, now: Instant) -> Result<u32, Duration> {
        self.move_by(points, now, false)
    }

    /// The same, and when it is forced the level may fall below zero, as far as the bucket is large.
    fn move_by(&self, points: i64, now: Instant, forced: bool) -> Result<u32, Duration> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let (maximum, restore) = (i64::from(self.rate.maximum) * POINT, i64::from(self.rate.restore));
        let passed = now.saturating_duration_since(level.1).as_micros();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        let filled = level.0.saturating_add(passed.saturating_mul(restore)).min(maximum);
        let changed = filled.saturating_add(points.saturating_mul(POINT));
        let at = now.max(level.1);
        if points < 0 && changed < 0 && !forced {
            *level = (filled, at);
            let wait = changed.unsigned_abs().div_ceil(restore.unsigned_abs().max(1));
            return Err(Duration::from_micros(wait));
        }
        *level = (changed.clamp(-maximum, maximum), at);
        Ok(u32::try_from(level.0 / POINT).unwrap_or(0))
    }

    fn status(&self, now: Instant) -> Status {
        let available = self.change(0, now).unwrap_or_default();
        Status { maximum: self.rate.maximum, available, restore: self.rate.restore }
    }
}

impl Throttle {
    /// Full buckets.
    pub fn new(rate: Rate) -> Throttle {
        Throttle { rate, buckets: Arc::new(Cache::new(CAPACITY)) }
    }

    fn bucket(&self, key: Key) -> Arc<Bucket> {
        if let Some(bucket) = self.buckets.get(&key) {
            return bucket;
        }
        let rate = match key {
            Key::Principal(_) => self.rate,
            Key::Tenant(_) => of_tenant(self.rate),
        };
        // Two that come at once find the same one.
        let made = self.buckets.get_or_insert_with(&key, || Ok::<_, ()>(Arc::new(Bucket::new(rate))));
        made.unwrap_or_else(|()| Arc::new(Bucket::new(rate)))
    }

    /// Takes what an operation may cost from the principal's bucket and from those of its tenants that have as much, or
    /// says how long it takes until the principal or one of the tenants has.
    pub fn take(
        &self,
        tenants: impl Iterator<Item = OrganizationId>,
        principal: Principal,
        points: u64,
    ) -> Result<Draw, (Duration, Status)> {
        let now = Instant::now();
        let own = self.bucket(Key::Principal(principal));
        // What is more than the whole bucket takes all of it: what it may cost is bounded elsewhere.
        let most = u32::try_from(points).unwrap_or(u32::MAX).min(self.rate.maximum);
        let taken = i64::from(most);
        own.change(-taken, now).map_err(|wait| (wait, own.status(now)))?;
        let mut draw = Draw { principal: own, tenants: Vec::new(), taken };
        let mut shortest: Option<(Duration, Status)> = None;
        for tenant in tenants.take(TENANTS) {
            let shared = self.bucket(Key::Tenant(tenant));
            match shared.change(-taken, now) {
                Ok(_) => draw.tenants.push(shared),
                Err(wait) if shortest.is_none_or(|(known, _)| wait < known) => {
                    shortest = Some((wait, shared.status(now)));
                }
                Err(_) => {}
            }
        }
        match shortest {
            Some(refused) if draw.tenants.is_empty() => {
                draw.settle(0);
                Err(refused)
            }
            _ => Ok(draw),
        }
    }

    /// Takes points for work that is done in any case. Answers whether there were enough; too little makes
    /// everything else of the principal wait.
    pub fn charge(&self, principal: Principal, points: u64) -> bool {
        let (now, points) = (Instant::now(), i64::try_from(points).unwrap_or(i64::MAX));
        let bucket = self.bucket(Key::Principal(principal));
        // Forced, it cannot fail.
        bucket.move_by(-points, now, true).is_ok_and(|left| left > 0)
    }
}

impl Draw {
    /// Gives back what was not used, or takes what was used beyond, and says what is left.
    pub fn settle(self, actual: u64) -> Status {
        let now = Instant::now();
        let unused = self.taken.saturating_sub(i64::try_from(actual).unwrap_or(i64::MAX));
        for bucket in std::iter::once(&self.principal).chain(&self.tenants) {
            // Forced, it cannot fail.
            let _ = bucket.move_by(unused, now, true);
        }
        self.principal.status(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::{Id, UserId};

    fn person(n: u128) -> Principal {
        Principal::Caller(PrincipalId::Person(UserId::from_u128(n)))
    }

    #[test]
    fn a_bucket_empties_fills_and_says_how_long_it_takes() {
        let bucket = Bucket::new(Rate { maximum: 100, restore: 10 });
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(bucket.change(-100, start), Ok(0));
        assert_eq!(bucket.change(-50, start), Err(Duration::from_secs(5)));
        assert_eq!(bucket.change(-50, after(5)), Ok(0));
        assert_eq!(bucket.status(after(5 + 100)).available, 100);
    }

    #[test]
    fn principals_of_one_tenant_share_and_others_do_not() {
        let throttle = Throttle::new(Rate { maximum: 100, restore: 1 });
        let (tenant, other) = (OrganizationId::from_u128(1), OrganizationId::from_u128(2));
        let user = person;
        let status = throttle.take(std::iter::once(tenant), user(1), 90).ok().unwrap().settle(10);
        assert_eq!((status.maximum, status.available, status.restore), (100, 90, 1));
        for n in 2..=4 {
            assert!(throttle.take(std::iter::once(tenant), user(n), 100).is_ok(), "{n}");
        }
        // 310 of the tenant's 400 are gone.
        assert!(throttle.take(std::iter::once(tenant), user(5), 100).is_err());
        assert!(throttle.take(std::iter::once(tenant), user(5), 80).is_ok());
        assert!(throttle.take(std::iter::once(other), user(6), 100).is_ok());
        assert!(
            throttle.take(std::iter::once(other), user(6), 1).is_err_and(|(wait, _)| wait > Duration::ZERO)
        );
    }

    #[test]
    fn a_tenant_without_points_keeps_nobody_from_another() {
        let throttle = Throttle::new(Rate { maximum: 100, restore: 1 });
        let (dry, own) = (OrganizationId::from_u128(1), OrganizationId::from_u128(2));
        let user = person;
        for n in 1..=4 {
            assert!(throttle.take(std::iter::once(dry), user(n), 100).is_ok(), "{n}");
        }
        assert!(throttle.take(std::iter::once(dry), user(5), 100).is_err());
        // In whatever order they come; and the other one is drawn on.
        for (n, both) in [(5, [dry, own]), (6, [own, dry])] {
            assert!(throttle.take(both.into_iter(), user(n), 100).is_ok(), "{n}");
        }
        assert!(throttle.take([dry, own].into_iter(), user(7), 100).is_ok());
        assert!(throttle.take([dry, own].into_iter(), user(8), 100).is_ok());
        // Now both are dry. What was refused has cost nothing of one's own.
        let refused = throttle.take([dry, own].into_iter(), user(9), 100).err().unwrap();
        assert!(refused.0 > Duration::ZERO && refused.1.maximum == 400, "{refused:?}");
        let other = OrganizationId::from_u128(3);
        assert!(throttle.take(std::iter::once(other), user(9), 100).is_ok());
        // One's own points count wherever one belongs to.
        assert!(throttle.take(std::iter::once(other), user(9), 100).is_err());
    }

    #[test]
    fn what_was_used_beyond_is_owed() {
        let throttle = Throttle::new(Rate { maximum: 100, restore: 1 });
        let user = person(1);
        let draw = throttle.take(std::iter::empty(), user, 10).ok().unwrap();
        assert_eq!(draw.settle(150).available, 0);
        assert!(
            throttle.take(std::iter::empty(), user, 1).is_err_and(|(wait, _)| wait > Duration::from_secs(40))
        );
        let other = person(2);
        assert!(throttle.charge(other, 60) && !throttle.charge(other, 60));
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let of = |text: &str| Principal::anonymous(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("127.0.0.1"), of("127.0.0.2"));
    }
}
