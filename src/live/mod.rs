//! Live balances: who watches a pool is woken by each commit and reads what followed.
//!
//! A commit only says "pool P is at version V"; the rows come from the database. A watcher subscribes
//! first, then takes its snapshot, then reads on from the snapshot's version, so that nothing falls
//! between. It also looks by itself every few seconds, which finds the commits of other processes and
//! every hint that was lost.

mod hub;
mod stream;

pub use hub::Hub;
pub use stream::{EventKind, MAX_TRANSFERS, PoolEvent, PoolWatch};
