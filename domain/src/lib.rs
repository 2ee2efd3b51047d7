//! The rules of Bursar, pure: no input or output, no clock, no randomness, no async.
//!
//! Whatever decides about credits, money and permissions stands here and is tested here; the server
//! around it loads rows, asks this crate, and writes what it answers. Times and identifiers come in
//! as arguments. Amounts are integers with checked arithmetic throughout.
//!
//! The feature `sea-orm` lets the enums and newtypes of this crate be columns of entities; it adds
//! no behaviour.

#[macro_use]
mod column;

pub mod actor;
pub mod api_key;
pub mod approval;
pub mod country;
pub mod credits;
pub mod delivery;
pub mod id;
pub mod invitation;
pub mod invoice;
pub mod ledger;
pub mod money;
pub mod organization;
pub mod period;
pub mod permission;
pub mod pricing;
mod public_mail;
pub mod purchase;
pub mod reconcile;
pub mod request;
pub mod reversal;
pub mod scope;
pub mod sign_on;
pub mod time;
pub mod top_up;

pub use credits::Credits;
pub use money::{Currency, Money};
pub use time::Timestamp;
