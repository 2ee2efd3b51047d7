//! Forgetting a person: after it, nothing that is kept says who somebody was, and everything that is kept of what was
//! done is as it was. The ledger and the audit log name people by ids only, so their chains stay valid; what they say
//! of people in particular stands apart and is emptied.
//!
//! | what | what becomes of it |
//! |---|---|
//! | the person | address and name are made up, and nobody can sign in as them |
//! | links to sign in with, and sessions | the links are deleted, the sessions end |
//! | memberships, with grants on pools and departments | end; that the person has left stays known, by an id |
//! | invitations to the person | taken back; the address is made up |
//! | invitations by the person | taken back, as far as they are open |
//! | keys that the person has made | revoked: nobody would answer for them |
//! | deliveries to the person, and those that name the person | emptied; those that wait are given up |
//! | values about the person in audit logs | emptied |
//! | why the person wanted a purchase, decided about one as they did, or had somebody stand in; what others have said about what the person asked for | emptied; rounds, decisions and the log keep salted digests |
//! | charges, requests, purchases and other rows that say who it was | as they were: they say an id |
//!
//! Other words that people have typed in (reasons of corrections, notes of credit requests, metadata) are the organization's own, and stay.
//!
//! # Transactions
//! One for each organization that knows the person, with its record in that organization's log; then one for the
//! person's own row, with a record in the vendor's. The address, by which everything is found, is replaced last: when
//! something fails on the way, doing the same again does what is left. Before the last one it is looked whether
//! somebody has taken the person in again meanwhile; then it begins anew.

mod erase;
mod traces;

pub use erase::{NAME, erase};
