//! What the tests stand on: a database of their own, a server, clients.

pub mod client;
pub mod database;
pub mod nats;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod rows;
pub mod schema;
pub mod socket;
pub mod world;

pub use client::Client;
pub use database::{Backend, TestDatabase};
pub use nats::Nats;
pub use process::Process;
pub use proxy::{Cut, Proxy};
pub use socket::Socket;
pub use world::World;

use std::time::Duration;

/// How long anything that a test waits for may take.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Runs a test to its end.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), test).await.expect("a test took too long")
    });
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
