//! Structured logs, for people or for machines, on standard error; and metrics in Prometheus' format.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Config, LogFormat};
use crate::error::{Error, Result};

/// Libraries that, asked for their finest logs, print what passes through them: a socket's first message has the proof
/// of who calls, and the span of a connection to PostgreSQL has its address with the password. None of them says
/// anything that is not as fine.
const SILENT: &[&str] = &["tungstenite=off", "tokio_tungstenite=off", "sea_orm::driver::sqlx_postgres=off"];

/// Begins to log as the settings say.
pub fn start(config: &Config) -> Result<()> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| Error::invalid("BURSAR_LOG", format!("is not a log filter: {error}")))?;
    let filter = SILENT.iter().try_fold(filter, |filter, text| {
        let directive: Directive =
            text.parse().map_err(|error| Error::internal(format!("{text} is no directive: {error}")))?;
        Ok::<EnvFilter, Error>(filter.add_directive(directive))
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    let started = match config.log_format {
        LogFormat::Text => {
            let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
            // Whatever is no terminal shows escapes as they are. A terminal has colours, unless `NO_COLOR` says otherwise.
            let layer = if std::io::stderr().is_terminal() { layer } else { layer.with_ansi(false) };
            registry.with(layer).try_init()
        }
        LogFormat::Json => {
            let layer =
                tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
            registry.with(layer).try_init()
        }
    };
    started.map_err(|error| Error::internal(format!("logging cannot start: {error}")))
}

/// Upper bounds of the buckets of durations, in seconds.
const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// Upper bounds of the buckets of numbers of things.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
/// How often what has been measured is summed up, when nobody asks for it.
const UPKEEP: Duration = Duration::from_secs(5);

/// The metrics of this process. There is one set, whatever number of servers it runs.
static METRICS: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to measure, once for the process.
pub fn measure() {
    METRICS.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(SECONDS).and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Prefix("bursar_ledger_batch_".to_owned()), COUNTS)
        });
        let handle = builder.and_then(PrometheusBuilder::install_recorder);
        match handle {
            Ok(handle) => {
                describe();
                Some(handle)
            }
            Err(error) => {
                tracing::error!(%error, "metrics cannot be kept");
                None
            }
        }
    });
}

/// Sums up what has been measured from time to time, which would otherwise wait in memory for somebody to
/// ask. Never ends.
pub async fn sum_up() {
    let Some(handle) = METRICS.get().cloned().flatten() else { return std::future::pending().await };
    let mut interval = tokio::time::interval(UPKEEP);
    loop {
        interval.tick().await;
        handle.run_upkeep();
    }
}

/// All metrics in the text format of Prometheus.
pub fn metrics() -> String {
    METRICS.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default()
}

fn describe() {
    use Unit::{Count, Seconds};
    for (name, unit, meaning) in [
        ("bursar_ledger_batch_commands", Count, "Commands carried out by one transaction"),
        ("bursar_ledger_batch_organizations", Count, "Organizations that share one transaction"),
        ("bursar_ledger_wait_seconds", Seconds, "Time from a command's arrival until a lane takes it"),
        ("bursar_ledger_phase_seconds", Seconds, "Time that one transaction spends to load, decide, write"),
        ("bursar_commit_seconds", Seconds, "Time that the database takes to commit a transaction"),
        ("bursar_delivery_seconds", Seconds, "Time that one try of a delivery takes"),
    ] {
        describe_histogram!(name, unit, meaning);
    }
    describe_gauge!("bursar_ledger_queue_depth", Count, "Commands that wait for a lane");
    describe_gauge!("bursar_deliveries_waiting", Count, "Deliveries that wait, for now or for later");
    let lag = "How late the timed work was that had been due for longest, when it was looked for last";
    describe_gauge!("bursar_timed_tasks_lag_seconds", Seconds, lag);
    for (name, meaning) in [
        (
            "bursar_ledger_commands_total",
            "Commands answered, by outcome: accepted, refused by the rules, failed",
        ),
        ("bursar_ledger_retries_total", "Transactions run again after losing to others or a connection"),
        ("bursar_ledger_splits_total", "Batches split in halves to find a command that fails"),
        ("bursar_ledger_unknown_commits_total", "Commits that were cut off and looked up by their keys"),
        ("bursar_ledger_overloaded_total", "Commands turned away because too many waited"),
        ("bursar_timed_tasks_total", "Timed work, by kind and outcome: done (or put off), failed"),
        (
            "bursar_parked_payments_total",
            "Payments, refunds and disputes that could not be booked, by reason",
        ),
        ("bursar_deliveries_total", "Tries of deliveries, by outcome: delivered, again later, dead"),
        ("bursar_ledger_verified_transfers_total", "Transfers that the background verification has replayed"),
        ("bursar_ledger_differences_total", "Pools that were found to be wrong and were frozen"),
        ("bursar_audit_verified_events_total", "Audit events that the background verification has walked"),
        ("bursar_audit_differences_total", "Audit logs that were found to be wrong"),
    ] {
        describe_counter!(name, Count, meaning);
    }
}
