//! What the tests stand on: a database of their own, a server, clients.

pub mod acts;
pub mod approvals;
pub mod authority;
pub mod caps;
pub mod chance;
pub mod client;
pub mod consent;
pub mod database;
pub mod dump;
pub mod encrypted_smtp;
pub mod history;
pub mod issuer;
pub mod keys;
pub mod laws;
pub mod lookout;
pub mod mail;
pub mod nats;
pub mod needles;
pub mod pdf;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod recount;
pub mod rows;
pub mod schema;
pub mod settled;
pub mod sign_in;
pub mod smtp;
pub mod socket;
pub mod stripe;
pub mod stripe_objects;
pub mod tamper;
pub mod uses;
pub mod world;

pub use chance::Chance;
pub use client::{Client, plain_http};
pub use database::{Backend, TestDatabase};
pub use nats::Nats;
pub use process::Process;
pub use proxy::{Cut, Proxy};
pub use smtp::{Script, SmtpServer};
pub use socket::Socket;
pub use stripe::Stripe;
pub use world::World;

use std::time::Duration;

/// How long anything that a test waits for may take.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Runs a test to its end.
pub fn run(test: impl Future<Output = ()>) {
    run_within(Duration::from_secs(120), test);
}

/// Runs a test that may take so long to its end.
pub fn run_within(limit: Duration, test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(limit, test).await.expect("a test took too long") });
}

/// A number from the environment, for those who want a longer test.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Makes a test of each of the functions, on each of the databases.
#[macro_export]
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        $(
            mod $name {
                #[test]
                fn sqlite() {
                    $crate::support::run(super::$name($crate::support::Backend::Sqlite));
                }

                #[test]
                fn postgres() {
                    $crate::support::run(super::$name($crate::support::Backend::Postgres));
                }
            }
        )+
    };
}
