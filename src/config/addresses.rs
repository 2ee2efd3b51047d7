//! Where the database is. Passwords may stand in its addresses, so they are never repeated.

use std::path::{Path, PathBuf};

use url::Url;

use super::ConfigError;

/// Where the database is, and as whom to reach it.
#[derive(Clone)]
pub struct Addresses {
    /// For the application.
    pub application: String,
    /// For migrations; none: the same.
    pub migration: Option<String>,
}

impl std::fmt::Debug for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_postgres() { "Addresses(PostgreSQL)" } else { "Addresses(SQLite)" })
    }
}

impl Addresses {
    /// A SQLite file.
    pub fn sqlite(file: &Path) -> Addresses {
        Addresses { application: format!("sqlite://{}", file.display()), migration: None }
    }

    /// The SQLite file, as far as the address names one.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        let path = self.application.strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        Some(PathBuf::from(path.split('?').next().unwrap_or(path)))
    }

    /// Whether it is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.application.starts_with("postgres://") || self.application.starts_with("postgresql://")
    }

    /// Refuses what is no address of a database. The library that connects would repeat one that it cannot read.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !self.is_postgres() {
            let sqlite = self.application.starts_with("sqlite:");
            let wrong = || ConfigError("DATABASE_URL: must begin with sqlite: or postgres:".to_owned());
            return sqlite.then_some(()).ok_or_else(wrong);
        }
        let all = [
            ("DATABASE_URL", Some(&self.application)),
            ("BURSAR_MIGRATE_DATABASE_URL", self.migration.as_ref()),
        ];
        match all.iter().find(|(_, address)| address.is_some_and(|address| Url::parse(address).is_err())) {
            Some((name, _)) => Err(ConfigError(format!("{name}: is not a URL"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_repeated() {
        let good = "postgres://app:swordfish@db/bursar".to_owned();
        let bad = "postgres://app:swordfish@[/bursar".to_owned();
        let addresses = |application: &String, migration: Option<&String>| Addresses {
            application: application.clone(),
            migration: migration.cloned(),
        };
        for (addresses, expected) in [
            (addresses(&good, Some(&good)), None),
            (addresses(&bad, None), Some("DATABASE_URL: is not a URL")),
            (addresses(&good, Some(&bad)), Some("BURSAR_MIGRATE_DATABASE_URL: is not a URL")),
        ] {
            let error = addresses.check().err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), expected);
            assert!(!format!("{addresses:?}").contains("sword"));
        }
    }
}
