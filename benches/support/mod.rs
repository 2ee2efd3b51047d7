//! What the benches share: a setting to measure in, processes, clients, and how figures are printed.

// Each bench uses a part of it.
#![allow(dead_code)]

pub mod fill;
pub mod load;
#[path = "../../tests/it/support/postgres.rs"]
pub mod postgres;
pub mod process;
pub mod setting;

/// What was measured in one turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Operations in a second.
    pub rate: f64,
    /// Median and 99th percentile of the time of one, in milliseconds.
    pub p50: f64,
    pub p99: f64,
    /// CPU-microseconds for each: of the server, and of the database.
    pub server: f64,
    pub database: f64,
}

/// A number from the environment.
pub fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Prints a figure with its aim; answers whether it is met.
pub fn at_least(name: &str, value: f64, aim: f64, stretch: &str) -> bool {
    println!("{name}: {value:.2} (aim: at least {aim}{stretch})");
    value >= aim
}

/// The same for what is to be small.
pub fn at_most(name: &str, value: f64, aim: f64) -> bool {
    println!("{name}: {value:.2} (aim: at most {aim:.1})");
    value <= aim
}

/// The median.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
