//! Settings: a TOML file under the environment, checked at start. A wrong setting is named; a value
//! that could be a secret is never repeated.

mod addresses;
mod directory;
mod edge;
mod mail;
mod payments;
mod proxies;
mod wrong;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use secrecy::SecretString;
use serde::Deserialize;
use url::{Origin, Url};

pub use addresses::Addresses;
pub use directory::make_data_dir;
use edge::origins;
pub use edge::{BusAddress, BusKind, LEAST_COST, Rate, SOCKETS_PER_PERSON};
pub use mail::{MailSettings, Security, Sender, SmtpAddress};
use payments::RawPayments;
pub use payments::{PaymentSettings, Payments, Seller, StripeSettings};
pub use proxies::Network;
use proxies::proxies;
use wrong::describe;

/// Settings as they stand in the file and in the environment (`BURSAR_` before each name, except for
/// `DATABASE_URL`). It has no `Debug`: some are secrets.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    env: Option<Environment>,
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    database_url: Option<String>,
    migrate_database_url: Option<String>,
    database_connections: Option<u32>,
    public_url: Option<Url>,
    signing_secret: Option<String>,
    payments: Option<Payments>,
    stripe_secret_key: Option<String>,
    stripe_webhook_secret: Option<String>,
    stripe_url: Option<Url>,
    seller_name: Option<String>,
    seller_address: Option<String>,
    seller_tax_id: Option<String>,
    alert_email: Option<String>,
    allowed_origins: Option<String>,
    trusted_proxies: Option<String>,
    introspection: Option<bool>,
    suggestions: Option<bool>,
    documents: Option<PathBuf>,
    cost_maximum: Option<u32>,
    cost_restore: Option<u32>,
    sockets_per_person: Option<usize>,
    bus: Option<BusKind>,
    nats_url: Option<String>,
    smtp_url: Option<String>,
    smtp_ca_file: Option<PathBuf>,
    mail_from: Option<String>,
    log: Option<String>,
    log_format: Option<LogFormat>,
    verify_seconds: Option<u64>,
}

/// What the server is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Everything has a default, and an empty database gets demonstration data.
    #[default]
    Development,
    /// Nothing that matters has a default.
    Production,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is used for.
    pub environment: Environment,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where its files are.
    pub data_dir: PathBuf,
    /// Where its database is.
    pub database: Addresses,
    /// How many connections read, and how many write, at most. SQLite has one writer whatever this says.
    pub connections: u32,
    /// Its address in links, without a slash at the end.
    pub public_url: Url,
    /// What tokens and links are signed with; none: a secret that is kept in the data directory.
    pub signing_secret: Option<SecretString>,
    /// Who takes the money, and who sells.
    pub payments: PaymentSettings,
    /// The pages of which origins may use the API in a browser, beside this server's own.
    pub allowed_origins: Vec<Origin>,
    /// The proxies that stand before the server: what they say of where a request comes from is believed.
    pub trusted_proxies: Vec<Network>,
    /// Whether clients may ask for the schema.
    pub introspection: bool,
    /// Whether errors about documents name what may have been meant.
    pub suggestions: bool,
    /// The manifest of trusted documents; none: every document is executed.
    pub documents: Option<PathBuf>,
    /// How much a principal may ask for.
    pub cost: Rate,
    /// How many streams a person may have open on one node.
    pub sockets_per_person: usize,
    /// How nodes tell each other of changes.
    pub bus: BusAddress,
    /// How mail leaves.
    pub mail: MailSettings,
    /// What is logged, as a filter of `tracing-subscriber`.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How long the background verification of all pools waits between two rounds; none: there is none.
    pub verify: Option<Duration>,
}

/// A setting that cannot be accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// How many connections read, and how many write, when nothing else is set.
pub const CONNECTIONS: u32 = 16;
/// How many seconds the background verification waits between two rounds, when nothing else is set.
const VERIFY_SECONDS: u64 = 60;
/// The most connections for reading, and the most for writing.
const MAX_CONNECTIONS: u32 = 500;

/// The least length of a signing secret, in bytes: as many as HMAC-SHA-256 makes use of.
const SECRET_BYTES: usize = 32;

impl Config {
    /// Reads the file that `BURSAR_CONFIG` names (or `bursar.toml`, when there is one here) and the
    /// environment over it.
    pub fn load() -> Result<Config, ConfigError> {
        let mut figment = Figment::new();
        match std::env::var_os("BURSAR_CONFIG") {
            Some(path) if !Path::new(&path).is_file() => {
                let path = Path::new(&path).display();
                return Err(ConfigError(format!("BURSAR_CONFIG: {path} is not a file")));
            }
            Some(path) => figment = figment.merge(Toml::file_exact(PathBuf::from(path))),
            None if Path::new("bursar.toml").exists() => {
                figment = figment.merge(Toml::file_exact("bursar.toml"))
            }
            None => {}
        }
        // These are text whatever they look like; the rest may be parsed.
        const TEXTS: [(&str, &str); 20] = [
            ("BURSAR_ALERT_EMAIL", "alert_email"),
            ("BURSAR_ALLOWED_ORIGINS", "allowed_origins"),
            ("BURSAR_DOCUMENTS", "documents"),
            ("BURSAR_MAIL_FROM", "mail_from"),
            ("BURSAR_NATS_URL", "nats_url"),
            ("BURSAR_SELLER_ADDRESS", "seller_address"),
            ("BURSAR_SELLER_NAME", "seller_name"),
            ("BURSAR_SELLER_TAX_ID", "seller_tax_id"),
            ("BURSAR_SIGNING_SECRET", "signing_secret"),
            ("BURSAR_STRIPE_SECRET_KEY", "stripe_secret_key"),
            ("BURSAR_STRIPE_URL", "stripe_url"),
            ("BURSAR_STRIPE_WEBHOOK_SECRET", "stripe_webhook_secret"),
            ("BURSAR_SMTP_CA_FILE", "smtp_ca_file"),
            ("BURSAR_SMTP_URL", "smtp_url"),
            ("BURSAR_TRUSTED_PROXIES", "trusted_proxies"),
            ("BURSAR_MIGRATE_DATABASE_URL", "migrate_database_url"),
            ("BURSAR_DATA_DIR", "data_dir"),
            ("BURSAR_LOG", "log"),
            ("BURSAR_PUBLIC_URL", "public_url"),
            ("DATABASE_URL", "database_url"),
        ];
        let parsed = Env::prefixed("BURSAR_").filter(|key| {
            key != "config" && !TEXTS.iter().any(|(_, text)| key.as_str().eq_ignore_ascii_case(text))
        });
        figment = figment.merge(parsed);
        for (variable, key) in TEXTS {
            match std::env::var(variable) {
                Ok(value) => figment = figment.merge(Serialized::default(key, value)),
                Err(std::env::VarError::NotPresent) => {}
                Err(_) => return Err(ConfigError(format!("{variable}: is not UTF-8"))),
            }
        }
        Config::from_figment(&figment)
    }

    /// The settings of a development server on a database, at a port that the system chooses, with defaults for
    /// everything else.
    pub fn for_database(database: Addresses, public_url: Url) -> Config {
        let bus = if database.is_postgres() { BusAddress::Postgres } else { BusAddress::Process };
        Config {
            environment: Environment::Development,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: std::env::temp_dir(),
            database,
            connections: CONNECTIONS,
            public_url,
            signing_secret: None,
            payments: PaymentSettings::default(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            introspection: true,
            suggestions: true,
            documents: None,
            cost: Rate::default(),
            sockets_per_person: SOCKETS_PER_PERSON,
            bus,
            mail: MailSettings::default(),
            log: "warn".to_owned(),
            log_format: LogFormat::Text,
            verify: None,
        }
    }

    fn from_figment(figment: &Figment) -> Result<Config, ConfigError> {
        let raw: Raw = figment.extract().map_err(|errors| {
            let lines: Vec<String> = errors.into_iter().map(|error| describe(&error)).collect();
            ConfigError(lines.join("\n"))
        })?;
        Config::check(raw)
    }

    fn check(raw: Raw) -> Result<Config, ConfigError> {
        let environment = raw.env.unwrap_or_default();
        if environment == Environment::Production {
            let missing: Vec<&str> = [
                ("BURSAR_LISTEN", raw.listen.is_none()),
                ("BURSAR_PUBLIC_URL", raw.public_url.is_none()),
                ("BURSAR_SIGNING_SECRET", raw.signing_secret.is_none()),
                ("BURSAR_PAYMENTS", raw.payments.is_none()),
                ("BURSAR_SMTP_URL", raw.smtp_url.is_none()),
                ("BURSAR_MAIL_FROM", raw.mail_from.is_none()),
                ("DATABASE_URL", raw.database_url.is_none()),
            ]
            .into_iter()
            .filter_map(|(name, missing)| missing.then_some(name))
            .collect();
            if !missing.is_empty() {
                return Err(ConfigError(format!(
                    "BURSAR_ENV is production, which has no defaults for: {}",
                    missing.join(", ")
                )));
            }
        }
        if raw.signing_secret.as_ref().is_some_and(|secret| secret.len() < SECRET_BYTES) {
            return Err(ConfigError(format!(
                "BURSAR_SIGNING_SECRET: must have at least {SECRET_BYTES} bytes"
            )));
        }
        let listen = raw.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
        if listen.port() == 0 && raw.public_url.is_none() {
            let reason = "is needed when BURSAR_LISTEN leaves the port open: links have to name one";
            return Err(ConfigError(format!("BURSAR_PUBLIC_URL: {reason}")));
        }
        let public_url = match raw.public_url {
            Some(url) => url,
            None => Url::parse(&format!("http://{listen}")).map_err(|error| {
                ConfigError(format!("BURSAR_LISTEN: makes no address for links: {error}"))
            })?,
        };
        if !matches!(public_url.scheme(), "http" | "https") || public_url.host().is_none() {
            return Err(ConfigError("BURSAR_PUBLIC_URL: must be an http or https address".to_owned()));
        }
        if environment == Environment::Production && public_url.scheme() != "https" {
            return Err(ConfigError("BURSAR_PUBLIC_URL: must be https in production".to_owned()));
        }
        if raw.migrate_database_url.is_some() && raw.database_url.is_none() {
            return Err(ConfigError(
                "BURSAR_MIGRATE_DATABASE_URL: means nothing without DATABASE_URL".to_owned(),
            ));
        }
        let data_dir = raw.data_dir.unwrap_or_else(|| PathBuf::from("data"));
        let database = match raw.database_url {
            Some(application) => Addresses { application, migration: raw.migrate_database_url },
            None => Addresses::sqlite(&data_dir.join("bursar.db")),
        };
        database.check()?;
        let connections = raw.database_connections.unwrap_or(CONNECTIONS);
        if !(1..=MAX_CONNECTIONS).contains(&connections) {
            let reason = format!("must be from 1 to {MAX_CONNECTIONS}");
            return Err(ConfigError(format!("BURSAR_DATABASE_CONNECTIONS: {reason}")));
        }
        let bus = BusAddress::check(raw.bus, raw.nats_url, database.is_postgres())?;
        let mail = MailSettings::check(
            raw.smtp_url.as_deref(),
            raw.mail_from.as_deref(),
            raw.smtp_ca_file.as_deref(),
        )?;
        let payments = PaymentSettings::check(
            RawPayments {
                provider: raw.payments,
                secret_key: raw.stripe_secret_key,
                webhook_secret: raw.stripe_webhook_secret,
                url: raw.stripe_url,
                seller_name: raw.seller_name,
                seller_address: raw.seller_address,
                seller_tax_id: raw.seller_tax_id,
                alerts: raw.alert_email,
            },
            environment,
        )?;
        let cost = Rate::check(raw.cost_maximum, raw.cost_restore)?;
        let sockets_per_person = raw.sockets_per_person.unwrap_or(SOCKETS_PER_PERSON);
        if sockets_per_person == 0 {
            return Err(ConfigError("BURSAR_SOCKETS_PER_PERSON: must be at least 1".to_owned()));
        }
        let allowed_origins = origins(raw.allowed_origins.as_deref().unwrap_or_default())?;
        let trusted_proxies = proxies(raw.trusted_proxies.as_deref().unwrap_or_default())?;
        let development = environment == Environment::Development;
        Ok(Config {
            allowed_origins,
            trusted_proxies,
            introspection: raw.introspection.unwrap_or(development),
            suggestions: raw.suggestions.unwrap_or(development),
            documents: raw.documents,
            cost,
            sockets_per_person,
            bus,
            mail,
            environment,
            listen,
            data_dir,
            database,
            connections,
            public_url,
            signing_secret: raw.signing_secret.map(SecretString::from),
            payments,
            log: raw.log.unwrap_or_else(|| "info".to_owned()),
            log_format: raw.log_format.unwrap_or_default(),
            verify: Some(raw.verify_seconds.unwrap_or(VERIFY_SECONDS))
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
        })
    }

    /// The address of a page of this server.
    pub fn link(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let figment = settings
            .iter()
            .fold(Figment::new(), |figment, (key, value)| figment.merge(Serialized::default(key, value)));
        Config::from_figment(&figment)
    }

    #[test]
    fn nothing_configured_is_enough() {
        let config = with(&[]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.database.application, "sqlite://data/bursar.db");
        assert_eq!(config.link("/x"), "http://127.0.0.1:8080/x");
    }

    #[test]
    fn wrong_settings_are_named_and_not_repeated() {
        for (key, value, expected) in [
            ("listen", "swordfish", "BURSAR_LISTEN"),
            ("listne", "swordfish", "BURSAR_LISTNE: is not a setting"),
            ("env", "swordfish", "BURSAR_ENV: must be one of development, production"),
            ("database_url", "swordfish", "DATABASE_URL: must begin with"),
            ("database_url", "postgres://app:swordfish@[/bursar", "DATABASE_URL: is not a URL"),
            ("public_url", "swordfish", "BURSAR_PUBLIC_URL"),
            ("public_url", "ftp://swordfish/", "BURSAR_PUBLIC_URL: must be an http"),
            ("listen", "127.0.0.1:0", "BURSAR_PUBLIC_URL: is needed when"),
            ("database_connections", "swordfish", "BURSAR_DATABASE_CONNECTIONS: must be"),
            ("signing_secret", "swordfish", "BURSAR_SIGNING_SECRET: must have at least 32 bytes"),
            ("migrate_database_url", "swordfish", "BURSAR_MIGRATE_DATABASE_URL: means nothing without"),
            ("allowed_origins", "https://a.test, swordfish", "BURSAR_ALLOWED_ORIGINS: must be origins"),
            ("allowed_origins", "https://a.test/swordfish", "BURSAR_ALLOWED_ORIGINS: must be origins"),
            ("trusted_proxies", "10.0.0.0/8, swordfish", "BURSAR_TRUSTED_PROXIES: must be addresses"),
            ("introspection", "swordfish", "BURSAR_INTROSPECTION: must be"),
            ("cost_maximum", "swordfish", "BURSAR_COST_MAXIMUM: must be"),
            ("bus", "swordfish", "BURSAR_BUS: must be one of process, postgres, nats"),
            ("bus", "postgres", "BURSAR_BUS: postgres needs a PostgreSQL database"),
            ("bus", "nats", "BURSAR_NATS_URL: is needed"),
            ("mail_from", "swordfish", "BURSAR_MAIL_FROM: must be an address"),
            ("smtp_url", "swordfish", "BURSAR_MAIL_FROM: is needed"),
            ("smtp_ca_file", "swordfish", "BURSAR_SMTP_CA_FILE: means nothing without"),
        ] {
            let error = with(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("swordfish") || key == "listne", "{error}");
        }
        let file = Figment::new().merge(Toml::string("log = \"info\"\nsigning_secret = \"swordfish\nx = 1"));
        let error = Config::from_figment(&file).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("swordfish"), "{error}");
    }

    #[test]
    fn production_has_no_development_defaults() {
        let error = with(&[("env", "production")]).unwrap_err().to_string();
        for name in ["LISTEN", "PUBLIC_URL", "SIGNING_SECRET", "PAYMENTS", "SMTP_URL", "MAIL_FROM"] {
            assert!(error.contains(&format!("BURSAR_{name}")), "{error}");
        }
        assert!(error.contains("DATABASE_URL"), "{error}");
        let complete = [
            ("env", "production"),
            ("listen", "0.0.0.0:80"),
            ("public_url", "https://credits.example"),
            ("signing_secret", "0123456789abcdef0123456789abcdef"),
            ("payments", "sandbox"),
            ("database_url", "postgres://app@db/bursar"),
            ("smtp_url", "smtps://mail.example"),
            ("mail_from", "Credits <credits@credits.example>"),
        ];
        assert!(with(&complete).is_ok());
        let config = with(&complete).unwrap();
        assert!(!config.introspection && !config.suggestions && matches!(config.bus, BusAddress::Postgres));
        let mut plain = complete;
        plain[2] = ("public_url", "http://credits.example");
        assert!(with(&plain).unwrap_err().to_string().contains("https"));
    }
}
