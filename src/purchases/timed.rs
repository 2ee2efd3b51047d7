//! What selling leaves for later, as timed work: purchases that run out, invoices that become overdue, pools that buy by
//! themselves, refunds that nobody has answered, or of which a part waits, checkouts that could not be closed. What is to be
//! done then is in the rooms' own files; who does it, and when, is in `schedule`.

pub(super) use crate::db::{be_due, is_done, is_due, wake};

/// The price of a purchase is no longer valid. The subject is the purchase.
pub const PURCHASE_DUE: &str = "PURCHASE_DUE";
/// An invoice has to be paid. The subject is the invoice.
pub const INVOICE_DUE: &str = "INVOICE_DUE";
/// A pool that buys by itself is looked at. The subject is the pool.
pub const TOP_UP: &str = "TOP_UP";
/// A checkout has to be closed at its provider. The subject is the payment.
pub const CLOSE_CHECKOUT: &str = "CLOSE_CHECKOUT";
/// A provider has to be asked for a refund. The subject is the reversal.
pub const REFUND_DUE: &str = "REFUND_DUE";
/// A part of a refund waits for a dispute: whether something has come free otherwise is looked at. The subject is the reversal.
pub const REVERSAL_DUE: &str = "REVERSAL_DUE";
