//! Settings of what clients meet: the bus behind live balances, what a principal may ask for, and which pages
//! may use the API.

use secrecy::SecretString;
use serde::Deserialize;
use url::{Origin, Url};

use super::ConfigError;

/// How nodes tell each other of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BusKind {
    /// There is one node only.
    Process,
    /// By PostgreSQL's NOTIFY.
    Postgres,
    /// By a NATS server.
    Nats,
}

/// Where changes are told.
#[derive(Clone, Debug)]
pub enum BusAddress {
    /// In this process only.
    Process,
    /// On the database.
    Postgres,
    /// On a NATS server. The address may hold a password.
    Nats(SecretString),
}

/// The size of the buckets that operations draw on, and how fast they fill, in points (see the documentation of
/// the API).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The most points that a principal can have.
    pub maximum: u32,
    /// The points that it gets back each second.
    pub restore: u32,
}

/// The smallest bucket: the most expensive operation that is accepted fits into it.
pub const LEAST_COST: u32 = 100_000;

impl Default for Rate {
    fn default() -> Rate {
        Rate { maximum: 400_000, restore: 20_000 }
    }
}

/// How many streams a person may have open on one node, when nothing else is set.
pub const SOCKETS_PER_PERSON: usize = 100;

impl BusAddress {
    /// The bus that the settings mean. On PostgreSQL it is the database unless something else is said.
    pub(super) fn check(
        kind: Option<BusKind>,
        nats: Option<String>,
        postgres: bool,
    ) -> Result<BusAddress, ConfigError> {
        let wrong = |reason: &str| Err(ConfigError(reason.to_owned()));
        match (kind, nats) {
            (None, None) if postgres => Ok(BusAddress::Postgres),
            (None, None) | (Some(BusKind::Process), None) => Ok(BusAddress::Process),
            (Some(BusKind::Postgres), None) if postgres => Ok(BusAddress::Postgres),
            (Some(BusKind::Postgres), None) => wrong("BURSAR_BUS: postgres needs a PostgreSQL database"),
            (None | Some(BusKind::Nats), Some(url)) => Ok(BusAddress::Nats(SecretString::from(url))),
            (Some(BusKind::Nats), None) => wrong("BURSAR_NATS_URL: is needed when BURSAR_BUS is nats"),
            (Some(_), Some(_)) => wrong("BURSAR_NATS_URL: means nothing unless BURSAR_BUS is nats"),
        }
    }
}

impl Rate {
    /// The rate that the settings mean.
    pub(super) fn check(maximum: Option<u32>, restore: Option<u32>) -> Result<Rate, ConfigError> {
        let default = Rate::default();
        let maximum = maximum.unwrap_or(default.maximum);
        let restore = restore.unwrap_or(default.restore);
        if maximum < LEAST_COST {
            return Err(ConfigError(format!("BURSAR_COST_MAXIMUM: must be at least {LEAST_COST}")));
        }
        if restore == 0 {
            return Err(ConfigError("BURSAR_COST_RESTORE: must be at least 1".to_owned()));
        }
        Ok(Rate { maximum, restore })
    }
}

/// Origins in a list with commas.
pub(super) fn origins(list: &str) -> Result<Vec<Origin>, ConfigError> {
    let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    let origin = |part: &str| {
        let url = Url::parse(part).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.filter(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none());
        let reason =
            "BURSAR_ALLOWED_ORIGINS: must be origins like https://app.example, with commas between them";
        url.map(|url| url.origin()).ok_or_else(|| ConfigError(reason.to_owned()))
    };
    parts.map(origin).collect()
}
