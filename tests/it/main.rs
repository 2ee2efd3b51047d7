//! The integration tests: real servers, real clients, both databases.

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod support;

mod bad_input;
mod batches;
mod caps;
mod charging;
mod checkout;
mod clients;
mod command_line;
mod corrections;
mod crash;
mod credit_requests;
mod documents;
mod durability;
mod edge;
mod entities;
mod explanations;
mod hold_ends;
mod holds;
mod hostile;
mod isolation;
mod laws;
mod ledger_entities;
mod live;
mod lookups;
mod mail;
mod mailbox;
mod metrics;
mod migrations;
mod moves;
mod nodes;
mod outages;
mod races;
mod refills;
mod refunds;
mod revisions;
mod roles;
mod rush;
mod sockets;
mod tenants;
mod tidy;
mod timed;
mod tour;
mod transactions;
mod verify;
