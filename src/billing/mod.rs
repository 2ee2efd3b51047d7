//! Billing: what documents say of an organization, on which terms it buys on invoice, and the documents themselves.
//!
//! A document says for ever what it said when it was issued: everything that it shows is written down with it
//! ([`Content`]), and page and PDF are made of that and of nothing else. Its number comes from a row that is locked in
//! the transaction of its cause, so that numbers have no gaps: a transaction that fails leaves none behind. What takes a
//! document back has the taxes of that document.

mod content;
mod document;
mod faces;
mod layout;
mod owed;
mod pdf;
mod profile;
mod taken_back;

pub use content::{Content, Line, Party, Tax};
pub use document::{
    Correction, DocumentLink, Instalment, Issue, credit_note_of, credit_notes, document_of, find_document,
    issue_document,
};
pub use owed::{Owed, due_at, outstanding, overdue_from, owed, returned};
pub use pdf::pdf;
pub use profile::{
    DUE_DAYS, Profile, TaxLine, Terms, decode_tax_lines, set_billing_profile, set_payment_terms,
};
