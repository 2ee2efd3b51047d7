//! What every operation needs: the database, the clock, and whom to tell of changes.

use crate::changes::Changes;
use crate::clock::Clock;
use crate::db::Database;

/// The database, the clock, and whom to tell of changes. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub db: Database,
    /// The clock.
    pub clock: Clock,
    /// Whoever wants to know of changes.
    pub changes: Changes,
}
