//! The integration tests: real servers, real clients, both databases.

mod support;

mod migrations;
mod tour;
