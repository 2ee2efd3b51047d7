//! What every operation needs: the database and the clock.

use crate::clock::Clock;
use crate::db::Database;

/// The database and the clock. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub db: Database,
    /// The clock.
    pub clock: Clock,
}
