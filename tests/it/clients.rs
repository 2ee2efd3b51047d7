//! Public clients and tools against a running server: each is a script in `tests/clients`, which says what it
//! checks.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::support::{Backend, World, run};

/// The folder of the scripts.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// A script, to be run against a server.
pub async fn script(name: &str, world: &World) -> Command {
    assert!(
        folder().join("node_modules").exists(),
        "the clients are not installed: run scripts/test, or npm ci in tests/clients"
    );
    let mut node = Command::new("node");
    node.arg(name).current_dir(folder()).stdin(Stdio::null()).kill_on_drop(true);
    node.env("BURSAR_URL", &world.base);
    node.env("BURSAR_TOKEN", world.app.token("owner@demo.test").await.unwrap());
    node
}

/// Runs a script against a server of its own.
fn passes(name: &str, backend: Backend) {
    run(async move {
        let world = World::start(backend).await;
        let dir = tempfile::tempdir().unwrap();
        let subgraph = dir.path().join("subgraph.graphql");
        std::fs::write(&subgraph, bursar::graphql::subgraph_sdl()).unwrap();
        let mut node = script(name, &world).await;
        node.env("BURSAR_SUBGRAPH", &subgraph);
        node.env("BURSAR_SCHEMA", Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql"));
        let output = node.output().await.expect("node is not installed: run scripts/test");
        let (said, complained) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains("ok "), "{name}:\n{said}\n{complained}");
    });
}

#[test]
fn graphql_over_http_audits() {
    passes("audit.mjs", Backend::Sqlite);
}

#[test]
fn graphql_code_generator_and_typescript() {
    passes("codegen.mjs", Backend::Sqlite);
}

#[test]
fn relay() {
    passes("relay.mjs", Backend::Postgres);
}

#[test]
fn apollo_client() {
    passes("apollo.mjs", Backend::Postgres);
}

#[test]
fn urql() {
    passes("urql.mjs", Backend::Sqlite);
}

#[test]
fn graphql_ws() {
    passes("ws.mjs", Backend::Postgres);
}

#[test]
fn graphql_sse() {
    passes("sse.mjs", Backend::Sqlite);
}

#[test]
fn oidc_provider() {
    passes("oidc.mjs", Backend::Sqlite);
}

#[test]
fn graphql_eslint() {
    passes("lint.mjs", Backend::Sqlite);
}

#[test]
fn apollo_federation() {
    passes("compose.mjs", Backend::Sqlite);
}

#[test]
fn the_explorer_in_chromium() {
    assert!(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("console/dist/index.html").exists(),
        "the explorer is not built: run scripts/test, or npm ci and npm run build in console"
    );
    passes("explorer.mjs", Backend::Sqlite);
}
