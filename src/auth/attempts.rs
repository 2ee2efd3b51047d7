//! How often something may be tried: invitations, links, proofs of who somebody is.
//!
//! Counts are kept in the database, so that all nodes count together and a restart forgives nothing. A count
//! begins with the first try and begins anew when its time is over. Who or what is counted is stored as a keyed
//! digest: the table holds no address of anybody.
//!
//! What is over its limit is remembered on the node until its time is over, and costs no transaction more: whoever
//! goes on trying makes the database write no more than the limit and one.
//!
//! For links only failures are counted. Their proofs have 256 bits, so counting is against noise, not against
//! guessing; and a good link opens whatever others behind the same address have tried.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bursar_domain::Timestamp;
use quick_cache::sync::Cache;
use sea_orm::{ConnectionTrait, Statement, Value};

use super::Keys;
use crate::context::Context;
use crate::db::{self, Scope, Txn};
use crate::error::{Error, Result};

/// How many of those that are over their limits are remembered. Who is forgotten is counted in the database.
const CAPACITY: usize = 100_000;
/// How often a node deletes what is over, in seconds.
const PURGE_SECONDS: i64 = 600;

/// What is counted, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// Mails of invitations that one principal sends.
    InvitationsBySender,
    /// Mails of invitations that one organization sends.
    InvitationsOfOrganization,
    /// Mails of invitations of one organization to one mailbox.
    InvitationsToAddress,
    /// Links that are not good, by the client's address.
    LinksOfClient,
    /// Links that are not good, by a principal.
    LinksOfPrincipal,
    /// Sign-in links that are asked for, by the client's address.
    SignInLinksOfClient,
    /// Sign-in links that are asked for, for one address, whether or not there is such a person.
    SignInLinksToAddress,
    /// Sign-in links that were asked for with addresses that are nobody's: counted so that the database has as much to
    /// do as with others.
    SignInLinksToNobody,
    /// Proofs of who somebody is that are not good, by the client's address.
    SignInFailuresOfClient,
    /// Records that a key was borne that is no longer good, by the key.
    RefusalsOfKey,
    /// Records that a token was borne whose session has ended, by the session.
    RefusalsOfSession,
    /// Records that somebody brought an invitation of another person, by both.
    RefusalsOfInvitation,
    /// Records that a link to decide by was refused, by the link and the reason.
    RefusalsOfApproval,
    /// Records that somebody has tried something too often, by that and the client's address.
    RefusalsOfClient,
    /// Records that somebody has tried something too often, by that and the person.
    RefusalsOfPrincipal,
}

/// How many tries there may be in how many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    most: i64,
    seconds: i64,
}

const MINUTES: i64 = 60;
const HOURS: i64 = 3_600;

impl Attempt {
    const fn limit(self) -> Limit {
        match self {
            // Somebody who sets a company up types no more; a stolen session must not become a source of mail.
            Attempt::InvitationsBySender => Limit { most: 50, seconds: HOURS },
            // A large customer's first day, by several hands.
            Attempt::InvitationsOfOrganization => Limit { most: 500, seconds: 24 * HOURS },
            // A mail that got lost is sent again once or twice; more is a nuisance to whoever gets them.
            Attempt::InvitationsToAddress => Limit { most: 5, seconds: 24 * HOURS },
            // Mails break links, and people try again; an office may share an address.
            Attempt::LinksOfClient | Attempt::LinksOfPrincipal => Limit { most: 20, seconds: 10 * MINUTES },
            // An office may share an address; people who wait for a mail ask again.
            Attempt::SignInLinksOfClient => Limit { most: 30, seconds: HOURS },
            // Each is a mail that somebody gets who may not have asked for it. Counted for as long as a link is good:
            // whoever is refused, because of whose questions ever, has one that can be used until they may ask again.
            Attempt::SignInLinksToAddress => Limit { most: 5, seconds: 15 * MINUTES },
            Attempt::SignInLinksToNobody => Limit { most: i64::MAX, seconds: HOURS },
            // Old tokens in forgotten programs are common, in an office of many all the more.
            Attempt::SignInFailuresOfClient => Limit { most: 100, seconds: 10 * MINUTES },
            // Whoever goes on must not fill a log.
            Attempt::RefusalsOfKey
            | Attempt::RefusalsOfSession
            | Attempt::RefusalsOfInvitation
            | Attempt::RefusalsOfApproval
            | Attempt::RefusalsOfClient
            | Attempt::RefusalsOfPrincipal => Limit { most: 1, seconds: 10 * MINUTES },
        }
    }

    /// The name in digests. Another one begins all counts of its kind anew.
    const fn name(self) -> &'static str {
        match self {
            Attempt::InvitationsBySender => "invitations by sender",
            Attempt::InvitationsOfOrganization => "invitations of organization",
            Attempt::InvitationsToAddress => "invitations to address",
            Attempt::LinksOfClient => "links of client",
            Attempt::LinksOfPrincipal => "links of principal",
            Attempt::SignInLinksOfClient => "sign-in links of client",
            Attempt::SignInLinksToAddress => "sign-in links to address",
            Attempt::SignInLinksToNobody => "sign-in links to nobody",
            Attempt::SignInFailuresOfClient => "sign-in failures of client",
            Attempt::RefusalsOfKey => "refusals of key",
            Attempt::RefusalsOfSession => "refusals of session",
            Attempt::RefusalsOfInvitation => "refusals of invitation",
            Attempt::RefusalsOfApproval => "refusals of approval",
            Attempt::RefusalsOfClient => "refusals of client",
            Attempt::RefusalsOfPrincipal => "refusals of principal",
        }
    }
}

/// A client as it is counted. Of an IPv6 address the network counts: one household has 2^64 addresses.
pub fn client(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::from((address.to_bits() >> 64 << 64).to_be_bytes()).to_string(),
        address => address.to_string(),
    }
}

/// Counts tries. Cheap to clone.
#[derive(Clone)]
pub struct Attempts(Arc<Inner>);

struct Inner {
    context: Context,
    keys: Keys,
    /// What is over its limit, and until when.
    closed: Cache<String, Timestamp>,
    /// When this node next deletes what is over, in microseconds.
    purge: AtomicI64,
}

impl Attempts {
    /// Counts in a database.
    pub fn new(context: Context, keys: Keys) -> Attempts {
        let (closed, purge) = (Cache::new(CAPACITY), AtomicI64::new(0));
        Attempts(Arc::new(Inner { context, keys, closed, purge }))
    }

    /// The database in which it counts, and the clock.
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    /// Whether this is the first of what is done once only for as long as its limit counts, on whatever node. Of many
    /// at once, and of all that follow, hardly more than one asks the database.
    ///
    /// # Errors
    /// What the database answers; then the next one asks again.
    pub async fn first(&self, kind: Attempt, subject: &str) -> Result<bool> {
        let (now, bucket) = (self.0.context.clock.now(), self.bucket(kind, subject));
        if self.0.closed.get(&bucket).is_some_and(|until| now < until) {
            return Ok(false);
        }
        let end = now.plus_seconds(kind.limit().seconds);
        self.0.closed.insert(bucket.clone(), end);
        self.forget(now).await;
        let counted = bucket.clone();
        let work = db::work(move |txn| {
            let counted = counted.clone();
            Box::pin(async move { raise(txn, &counted, now, end).await })
        });
        let counted = self.0.context.db.write(Scope::Attempts, work).await;
        match &counted {
            Ok((_, until)) => self.0.closed.insert(bucket, *until),
            Err(_) => _ = self.0.closed.remove(&bucket),
        }
        Ok(counted?.0 == 1)
    }

    /// Under which name tries are counted.
    fn bucket(&self, kind: Attempt, subject: &str) -> String {
        self.0.keys.link_token(&format!("attempt {} {subject}", kind.name()))
    }

    /// Counts a try. [`Error::Throttled`] when there have been too many.
    pub async fn count(&self, kind: Attempt, subject: &str) -> Result<()> {
        self.count_all(&[(kind, subject)]).await
    }

    /// Counts a try of several kinds, in one transaction. [`Error::Throttled`] when there have been too many of
    /// one; all of them are counted then as well, unless this node knows already.
    pub async fn count_all(&self, tries: &[(Attempt, &str)]) -> Result<()> {
        let now = self.0.context.clock.now();
        let buckets = self.buckets(tries, now)?;
        self.forget(now).await;
        let counted = buckets.clone();
        let work = db::work(move |txn| {
            let counted = counted.clone();
            Box::pin(async move {
                let mut counts = Vec::with_capacity(counted.len());
                for (bucket, limit) in &counted {
                    counts.push(raise(txn, bucket, now, now.plus_seconds(limit.seconds)).await?);
                }
                Ok(counts)
            })
        });
        let counts = self.0.context.db.write(Scope::Attempts, work).await?;
        let mut over: Option<Timestamp> = None;
        for ((bucket, limit), (tries, until)) in buckets.into_iter().zip(counts) {
            if tries > limit.most {
                self.0.closed.insert(bucket, until);
                over = over.max(Some(until));
            }
        }
        over.map_or(Ok(()), |until| Err(throttled(until, now)))
    }

    /// Counts a try of several kinds as a part of a transaction: what is undone with it was not tried. Locks the counts.
    ///
    /// # Errors
    /// [`Error::Throttled`] when there have been too many of one; the transaction has to be undone then.
    pub async fn count_in(&self, txn: &Txn, tries: &[(Attempt, &str)]) -> Result<()> {
        let now = self.0.context.clock.now();
        let buckets = self.buckets(tries, now)?;
        txn.turn_to_attempts().await?;
        for (bucket, limit) in buckets {
            let (tries, until) = raise(txn, &bucket, now, now.plus_seconds(limit.seconds)).await?;
            if tries > limit.most {
                // Nobody else counts meanwhile, so there have been so many, whatever becomes of this transaction.
                self.0.closed.insert(bucket, until);
                return Err(throttled(until, now));
            }
        }
        Ok(())
    }

    /// What is counted, in the order in which rows are locked, whoever counts. [`Error::Throttled`] when this node knows
    /// already that there have been too many.
    fn buckets(&self, tries: &[(Attempt, &str)], now: Timestamp) -> Result<Vec<(String, Limit)>> {
        let mut buckets = Vec::with_capacity(tries.len());
        for (kind, subject) in tries {
            let bucket = self.bucket(*kind, subject);
            if let Some(until) = self.0.closed.get(&bucket).filter(|until| now < *until) {
                return Err(throttled(until, now));
            }
            buckets.push((bucket, kind.limit()));
        }
        buckets.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(buckets)
    }

    /// Deletes what is over, once in a while. That it fails keeps nobody from anything.
    async fn forget(&self, now: Timestamp) {
        let due = self.0.purge.load(Ordering::Relaxed);
        let next = now.plus_seconds(PURGE_SECONDS).micros();
        if now.micros() < due
            || self.0.purge.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        let work = db::work(move |txn| Box::pin(delete(txn, now)));
        if let Err(error) = self.0.context.db.write(Scope::Attempts, work).await {
            tracing::warn!(%error, "counts of attempts that are over could not be deleted");
        }
    }
}

fn throttled(until: Timestamp, now: Timestamp) -> Error {
    let micros = until.micros().saturating_sub(now.micros());
    Error::Throttled { seconds: u64::try_from(micros).unwrap_or(0).div_ceil(1_000_000) }
}

/// Counts one try, and answers how many there have been, and until when they count.
async fn raise(txn: &Txn, bucket: &str, now: Timestamp, end: Timestamp) -> Result<(i64, Timestamp)> {
    let sql = "INSERT INTO attempt (bucket, tries, ends_at) VALUES ($1, 1, $2)
         ON CONFLICT (bucket) DO UPDATE SET
             tries = CASE WHEN attempt.ends_at > $3 THEN attempt.tries + 1 ELSE 1 END,
             ends_at = CASE WHEN attempt.ends_at > $3 THEN attempt.ends_at ELSE excluded.ends_at END
         RETURNING tries, ends_at";
    let values: [Value; 3] = [bucket.into(), end.micros().into(), now.micros().into()];
    let row =
        txn.query_one_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    let row = row.ok_or_else(|| Error::internal("a count was not answered"))?;
    Ok((row.try_get("", "tries")?, row.try_get("", "ends_at")?))
}

async fn delete(txn: &Txn, now: Timestamp) -> Result<()> {
    let values: [Value; 1] = [now.micros().into()];
    let sql = "DELETE FROM attempt WHERE ends_at <= $1";
    txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_one_network_are_one() {
        let of = |text: &str| client(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("127.0.0.1"), of("127.0.0.2"));
        assert_eq!(of("::ffff:127.0.0.1"), of("127.0.0.1"));
    }

    #[test]
    fn the_wait_is_rounded_up() {
        let now = Timestamp::EPOCH;
        for (micros, seconds) in [(1, 1), (1_000_000, 1), (1_000_001, 2), (-5, 0)] {
            let error = throttled(Timestamp::from_micros(micros), now);
            assert!(matches!(error, Error::Throttled { seconds: wait } if wait == seconds), "{error}");
        }
    }
}
