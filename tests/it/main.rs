//! The integration tests: real servers, real clients, both databases.

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod support;

mod bad_input;
mod charging;
mod checkout;
mod clients;
mod command_line;
mod documents;
mod durability;
mod edge;
mod entities;
mod hostile;
mod isolation;
mod ledger_entities;
mod live;
mod metrics;
mod migrations;
mod nodes;
mod outages;
mod revisions;
mod roles;
mod rush;
mod sockets;
mod tenants;
mod tidy;
mod tour;
mod transactions;
