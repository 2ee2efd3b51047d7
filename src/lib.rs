//! Bursar: a multi-tenant GraphQL API server for the prepaid credits of enterprises.
//!
//! See `ARCHITECTURE.md` for the map. Rooms depend on each other in one direction only, which the test
//! `tidy` enforces.

pub mod api_keys;
pub mod app;
pub mod approvals;
pub mod audit;
pub mod auth;
pub mod billing;
pub mod catalog;
pub mod changes;
pub mod charges;
pub mod clock;
pub mod config;
pub mod context;
pub mod db;
pub mod delivery;
pub mod error;
pub mod global_id;
pub mod graphql;
pub mod http;
pub mod idempotency;
pub mod ledger;
pub mod live;
pub mod organizations;
pub mod outbox;
pub mod payments;
pub mod people;
pub mod periods;
pub mod pools;
pub mod purchases;
pub mod schedule;
pub mod seed;
pub mod sign_in;
pub mod telemetry;
mod text;
pub mod words;
