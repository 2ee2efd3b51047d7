//! The binary itself: what it prints, what it refuses, and how it stops.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::postgres::{APPLICATION, server};
use crate::support::{Backend, Client, TestDatabase, run};

fn bursar(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
    command.env_clear().env("BURSAR_DATA_DIR", dir).current_dir(dir).stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> (bool, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn schema_and_permissions_need_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (ok, schema, _) = output(bursar(dir.path()).arg("schema"));
    assert!(ok && schema.contains("type CreditPool implements Node"), "{schema}");
    let (ok, table, _) = output(bursar(dir.path()).arg("permissions"));
    assert!(ok && table.contains("| ChargeDepartment |"), "{table}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing may be made");
    let (ok, _, error) = output(bursar(dir.path()).arg("nonsense"));
    assert!(!ok && error.contains("nonsense"));
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for (name, value, said) in [
        ("BURSAR_LISTEN", "nowhere", "BURSAR_LISTEN"),
        ("BURSAR_LISTNE", "x", "BURSAR_LISTNE: is not a setting"),
        ("BURSAR_ENV", "staging", "BURSAR_ENV: must be one of development, production"),
        ("BURSAR_ENV", "production", "BURSAR_SIGNING_SECRET"),
        ("BURSAR_ENV", "production", "BURSAR_SMTP_URL, BURSAR_MAIL_FROM"),
        ("BURSAR_MAIL_FROM", "nobody", "BURSAR_MAIL_FROM: must be an address"),
        ("BURSAR_SMTP_URL", "smtp://x", "BURSAR_MAIL_FROM: is needed"),
        ("BURSAR_SIGNING_SECRET", "12345678", "BURSAR_SIGNING_SECRET: must have at least 32 bytes"),
        ("BURSAR_LOG", "a=b=c", "BURSAR_LOG"),
        ("BURSAR_MIGRATE_DATABASE_URL", "postgres://x/y", "BURSAR_MIGRATE_DATABASE_URL: means nothing"),
        ("DATABASE_URL", "mysql://x", "DATABASE_URL: must begin with"),
        ("DATABASE_URL", "sqlite:///no/such/directory/x.db", "database"),
        ("BURSAR_CONFIG", "missing.toml", "BURSAR_CONFIG: missing.toml is not a file"),
    ] {
        let (ok, printed, error) = output(bursar(dir.path()).arg("serve").env(name, value));
        assert!(!ok && printed.is_empty() && error.contains(said), "{name}={value}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
    std::fs::write(dir.path().join("bursar.toml"), "listen = \"127.0.0.1:8081\"\ncolour = 1\n").unwrap();
    let (ok, _, error) = output(bursar(dir.path()).arg("seed"));
    assert!(!ok && error.contains("BURSAR_COLOUR: is not a setting"), "{error}");
}

#[test]
fn migrate_seed_and_token() {
    let dir = tempfile::tempdir().unwrap();
    let (ok, _, error) = output(bursar(dir.path()).args(["token", "--email", "owner@demo.test"]));
    assert!(!ok && error.contains("run `bursar serve` or `bursar migrate` first"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing may be made");
    assert!(output(bursar(dir.path()).arg("migrate")).0);
    let (ok, printed, _) = output(bursar(dir.path()).arg("seed"));
    assert!(ok && printed.contains("was put into"), "{printed}");
    let (ok, printed, _) = output(bursar(dir.path()).arg("seed"));
    assert!(ok && printed.contains("already"), "{printed}");
    let (ok, token, error) = output(bursar(dir.path()).args(["token", "--email", "Owner@demo.test"]));
    assert!(ok && error.is_empty(), "{error}");
    assert_eq!(
        (token.lines().count(), token.trim().split('.').count()),
        (1, 3),
        "a token and only the token: {token}"
    );
    for (email, said) in
        [("nobody@demo.test", "person was not found"), ("nonsense", "email: is not an e-mail address")]
    {
        let (ok, printed, error) = output(bursar(dir.path()).args(["token", "--email", email]));
        assert!(!ok && printed.is_empty() && error.contains(said), "{error}");
    }
    assert!(output(bursar(dir.path()).args(["migrate", "--down", "6"])).0);
    let (ok, _, error) = output(bursar(dir.path()).args(["token", "--email", "owner@demo.test"]));
    assert!(!ok && !error.contains("panicked"), "{error}");
}

#[test]
fn serve_says_where_and_stops_when_asked() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        for start in 0..2 {
            let mut command = tokio::process::Command::from(bursar(dir.path()));
            command.arg("serve").env("BURSAR_LISTEN", "127.0.0.1:0").env("BURSAR_LOG_FORMAT", "json");
            command.env("BURSAR_LOG", "info,bursar::ledger=debug");
            command.env("BURSAR_PUBLIC_URL", "http://bursar.test");
            let mut child =
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut said = String::new();
            while !said.contains("operator@bursar.test") {
                said += &lines.next_line().await.unwrap().expect("the start message ends early");
            }
            let base = said
                .split_whitespace()
                .find(|word| word.starts_with("http://127.0.0.1:"))
                .unwrap()
                .to_owned();
            assert!(
                said.contains("/graphql") && said.contains("bursar token --email owner@demo.test"),
                "{said}"
            );
            let anonymous = Client::new(&base, None);
            for (path, status) in
                [("/health/live", 200), ("/health/ready", 200), ("/nowhere", 404), ("/assets/x", 404)]
            {
                assert_eq!(anonymous.open(&format!("{base}{path}")).await.0, status, "{path}");
            }
            let explorer = anonymous
                .http()
                .get(format!("{base}/graphql"))
                .header("accept", "text/html")
                .send()
                .await
                .unwrap();
            let policy = explorer.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'"), "{policy}");
            let page = explorer.text().await.unwrap();
            assert!(page.contains("xplorer") && !page.contains("https://"), "{page}");
            let (ok, token, error) = output(bursar(dir.path()).args(["token", "--email", "owner@demo.test"]));
            assert!(ok, "{error}");
            let owner = Client::new(&base, Some(token.trim().to_owned()));
            let demo = owner.demo().await;
            assert_eq!(
                owner.balance(&demo.pool).await,
                (100 - 10 * start, 1 + 10 * start),
                "what was acknowledged is there"
            );
            // Asked to stop in the middle of ten charges: each that was acknowledged is kept.
            for n in 0..10 {
                let input = json!({ "poolId": demo.pool, "lines": [{ "service": "FURNITURE_REMOVAL" }], "idempotencyKey": format!("{start}-{n}") });
                assert_eq!(owner.charge(input).await["userErrors"], json!([]));
            }
            let id = child.id().unwrap().to_string();
            assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
            let ended = tokio::time::timeout(Duration::from_secs(30), child.wait()).await.unwrap().unwrap();
            assert!(ended.success());
            let mut log = String::new();
            let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
            while let Some(line) = errors.next_line().await.unwrap() {
                let _: serde_json::Value =
                    serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
                log += &line;
            }
            assert!(log.contains("stopping"), "{log}");
            // Each transaction of the ledger is a span that says what it carries.
            assert!(log.contains("a batch was committed") && log.contains("\"name\":\"batch\""), "{log}");
            assert!(log.contains("\"commands\":1,") && log.contains("\"waited_micros\":"), "{log}");
            assert!(!log.contains(token.trim()), "a token in the log");
        }
    });
}

#[test]
fn production_refuses_a_role_that_is_too_strong() {
    run(async {
        let database = TestDatabase::migrated(Backend::Postgres).await;
        let dir = tempfile::tempdir().unwrap();
        let name = database.superuser.rsplit_once('/').unwrap().1.to_owned();
        let serve = |url: &str| {
            let mut command = bursar(dir.path());
            command.arg("serve").env("BURSAR_ENV", "production").env("BURSAR_LISTEN", "127.0.0.1:0");
            command.env("BURSAR_PUBLIC_URL", "https://credits.test").env("BURSAR_PAYMENTS", "sandbox");
            command.env("BURSAR_SMTP_URL", "smtps://mail.test").env("BURSAR_MAIL_FROM", "a@credits.test");
            command.env("BURSAR_SIGNING_SECRET", "s".repeat(32)).env("DATABASE_URL", url);
            command
        };
        let owner = database.addresses.migration.clone().unwrap();
        for (url, said) in [(database.superuser.as_str(), "superuser"), (owner.as_str(), "owns the tables")] {
            let (ok, _, error) = output(&mut serve(url));
            assert!(!ok && error.contains("DATABASE_URL") && error.contains(said), "{error}");
        }
        let empty = TestDatabase::empty(Backend::Postgres).await;
        let (ok, _, error) = output(&mut serve(&empty.addresses.application));
        assert!(!ok && error.contains("migrations are pending"), "{error}");
        let mut command = tokio::process::Command::from(serve(&format!(
            "postgres://{APPLICATION}@{}/{name}",
            server().host
        )));
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        while !said.contains("explorer") {
            said += &lines.next_line().await.unwrap().expect("it does not start");
        }
        assert!(said.contains("/graphql") && !said.contains("token"), "{said}");
    });
}
