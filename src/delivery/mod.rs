//! Delivering what is in the outbox.
//!
//! The worker looks once a second, and at once when somebody says that there is something: it leases what is due
//! (see `lease`), writes each letter (`compose`, from `templates`), and hands it over to a mail server (`smtp`) or to
//! the mailbox in memory (`mailbox`), within a bound of time and with no transaction open. What becomes of it is
//! written afterwards, under the name of the lease. A worker that dies in the middle leaves a lease that runs out, and
//! the letter is sent again with the same Message-ID: at least once, never not at all.
//!
//! | what happens | what becomes of it |
//! |---|---|
//! | the server takes it | DELIVERED |
//! | the server refuses it for good (5xx), or it cannot be written | DEAD |
//! | the server refuses it for now (4xx), stalls, drops, cannot be reached | again, later and later; DEAD after 12 |
//! | its link has expired while it waited | DEAD |
//! | the way cannot be encrypted as the settings say, the server does not know us | the same |

mod approval_mails;
mod compose;
mod lease;
mod line_by_line;
mod mailbox;
mod meters;
mod retention;
mod sheet;
mod smtp;
mod templates;
mod worker;

pub use compose::{LOGO, Letter};
pub use mailbox::Mailbox;
pub use retention::{KEPT_DAYS, empty_old};
pub use templates::written;
pub use worker::{Courier, run_once};
