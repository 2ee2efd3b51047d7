//! The rules of the house that the compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the ground up: each may use those before it, and those on its own line not.
const FLOORS: &[&[&str]] = &[
    &["error", "clock", "config", "global_id", "text", "telemetry", "changes", "periods", "words"],
    &["db"],
    &["context", "idempotency"],
    &["auth"],
    &["audit"],
    &["outbox"],
    &["ledger"],
    &["approvals"],
    &["organizations"],
    &["sign_in"],
    &["pools"],
    &["charges", "catalog", "api_keys", "payments", "billing"],
    &["purchases"],
    &["people"],
    &["delivery"],
    &["live"],
    &["schedule"],
    &["seed"],
    &["graphql"],
    &["http"],
    &["app"],
];

/// Tables that belong to no tenant.
const SHARED: &[&str] = &[
    "service",
    "service_version",
    "package",
    "package_version",
    "package_price",
    "price_list",
    "price_tier",
    "shared_revision",
];

/// Tables that only `src/ledger/write.rs` writes.
const LEDGER: &[&str] = &[
    "pool_head",
    "account",
    "lot",
    "lot_position",
    "transfer",
    "charge",
    "hold",
    "journal_entry",
    "claimed_reference",
    "spending_cap_period",
    "guarantee_use",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &str) -> Vec<(String, String)> {
    fn walk(dir: PathBuf, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root().join(dir), &mut found);
    found.sort();
    let name = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn everything() -> Vec<(String, String)> {
    ["src", "domain", "entity", "migration", "tests"].into_iter().flat_map(rust_files).collect()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn imports_run_one_way() {
    let mut breaches = Vec::new();
    for (path, text) in rust_files("src") {
        let room = path.trim_start_matches("src/").split(['/', '.']).next().unwrap().to_owned();
        if ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        let own = floor(&room)
            .unwrap_or_else(|| panic!("{room} stands on no floor: say where in tests/it/tidy.rs"));
        for part in text.split("crate::").skip(1) {
            // `use crate::{a, b}` names several.
            let names: Vec<String> = match part.strip_prefix('{') {
                Some(list) => {
                    list.split('}').next().unwrap().split(',').map(|name| name.trim().to_owned()).collect()
                }
                None => vec![part.to_owned()],
            };
            for name in names {
                let used: String =
                    name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let allowed = used == room
                    || floor(&used).is_none_or(|other| other < own)
                    || floor(&used) == Some(own) && own == 0;
                if floor(&used).is_some() && !allowed {
                    breaches.push(format!("{path} uses {used}"));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

fn ban(breaches: &mut Vec<String>, path: &str, text: &str, what: &str, allowed: bool) {
    if !allowed && text.contains(what) {
        breaches.push(format!("{path}: {what}"));
    }
}

#[test]
fn each_thing_is_done_in_its_room() {
    let mut breaches = Vec::new();
    for (path, text) in rust_files("src") {
        let path = path.as_str();
        ban(&mut breaches, path, &text, "async_graphql", path.starts_with("src/graphql/"));
        ban(&mut breaches, path, &text, "axum", path.starts_with("src/http/"));
        for begin in [".begin()", ".begin_with", "begin_with_options", "TransactionTrait"] {
            ban(&mut breaches, path, &text, begin, path.starts_with("src/db/"));
        }
        // The library of metrics takes bounds as floats; nothing else is one.
        ban(&mut breaches, path, &text, "f64", path == "src/telemetry.rs");
        for stub in ["todo!(", "unimplemented!(", "dbg!(", " println!(", "f32"] {
            ban(&mut breaches, path, &text, stub, false);
        }
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')) {
            let Some((table, rest)) = word.split_once("::Entity::") else { continue };
            let finds = rest.starts_with("find");
            if finds && !SHARED.contains(&table) && path != "src/db/scope.rs" {
                breaches.push(format!("{path}: {word} outside of the tenant's scope"));
            }
            let writes = ["insert", "update", "delete"].iter().any(|verb| rest.starts_with(verb));
            if writes && LEDGER.contains(&table) && path != "src/ledger/write.rs" {
                breaches.push(format!("{path}: {word} writes a ledger table"));
            }
        }
        for table in LEDGER {
            ban(&mut breaches, path, &text, &format!(" {table}::ActiveModel"), path == "src/ledger/write.rs");
        }
    }
    for (path, text) in rust_files("migration") {
        ban(&mut breaches, &path, &text, "bursar_entity", false);
        ban(&mut breaches, &path, &text, "bursar_domain", false);
    }
    for (path, text) in rust_files("domain/src") {
        for foreign in ["async ", "std::fs", "std::net", "std::time", "tokio", "f64"] {
            ban(&mut breaches, &path, &text, foreign, false);
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn files_have_one_idea_and_say_which() {
    let mut breaches = Vec::new();
    for (path, text) in everything() {
        if !text.starts_with("//!") {
            breaches.push(format!("{path} does not open with what it is for"));
        }
        if text.lines().count() > 450 {
            breaches.push(format!("{path} has {} lines", text.lines().count()));
        }
        let name = path.rsplit('/').next().unwrap();
        if ["utils.rs", "helpers.rs", "common.rs", "manager.rs", "service_impl.rs"].contains(&name) {
            breaches.push(format!("{path} has a name that says nothing"));
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn nothing_that_can_panic_without_saying_why() {
    let mut breaches = Vec::new();
    for (path, text) in
        rust_files("src").into_iter().chain(rust_files("domain/src")).chain(rust_files("migration"))
    {
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            for panic in [".unwrap()", ".expect(", "panic!("] {
                if line.contains(panic) && !line.trim_start().starts_with("//") {
                    breaches.push(format!("{path}:{}: {panic}", number + 1));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn the_pure_crate_depends_on_nothing() {
    let manifest = fs::read_to_string(root().join("domain/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split('[').next().unwrap();
    let lines: Vec<_> = dependencies.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines, ["sea-orm = { workspace = true, optional = true }"]);
}
