//! Using credits: charges, holds and what becomes of them, refunds, batches, explanations.
//!
//! Each file does the same with one kind of request: it authorizes whoever asks, writes the request down as a
//! command of the ledger, and submits it, or rehearses it. What the ledger refuses it refuses for reasons of
//! its own; nothing is decided here but who may ask.

mod batch;
mod capture;
mod create;
mod explain;
mod hold;
mod refund;
mod request;

pub use batch::{Batch, BatchItem, MAX_ITEMS, batch};
pub use capture::{CaptureRequest, Changed, VoidRequest, capture, void};
pub use create::create;
pub use explain::{explain, unused_lots};
pub use hold::{HeldLine, HoldRequest, held_lines, hold, remaining, state_at};
pub use refund::{RefundRequest, refund};
pub use request::{ChargeRequest, MAX_METADATA};
