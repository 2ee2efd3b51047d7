//! All that is kept of an organization as an archive: every table of it, nothing of anybody else's, nothing that proves
//! anything; in parts, complete or known not to be, and for those alone who may have it.

use std::collections::{BTreeMap, BTreeSet};

use bursar::clock::Clock;
use bursar::db::scope::TENANT_TABLES;
use bursar::global_id;
use bursar::organizations::{TABLES, WITHHELD};
use bursar_domain::id::{Id, OrganizationId};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::on_both_databases;
use crate::support::acts::{hold, pool};
use crate::support::{Backend, Client, World, keys, uses};

on_both_databases!(
    everything_can_be_taken_out,
    the_sandbox_comes_along,
    a_large_table_comes_in_parts,
    who_may_take_it_out
);

/// A file in an archive.
pub struct File {
    /// Its name, with the table's before it.
    pub name: String,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Opens an archive, as anybody who knows the format does.
pub fn opened(archive: &[u8]) -> Vec<File> {
    let (mut files, mut rest) = (Vec::new(), archive);
    while rest[..512].iter().any(|byte| *byte != 0) {
        let text = |from: usize, to: usize| {
            let field = &rest[from..to];
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            String::from_utf8(field[..end].to_vec()).unwrap()
        };
        assert_eq!((text(257, 263), text(156, 157)), ("ustar".to_owned(), "0".to_owned()));
        let length = usize::from_str_radix(&text(124, 136), 8).unwrap();
        files.push(File { name: text(0, 100), content: rest[512..512 + length].to_vec() });
        rest = &rest[512 + length.next_multiple_of(512)..];
    }
    assert_eq!(rest, [0; 1_024], "an archive ends with two empty blocks");
    files
}

/// Asks for an archive: status, type, bytes.
pub async fn taken_out(client: &Client, query: &str) -> (u16, String, Vec<u8>) {
    let address = client.url(&format!("/export/organization{query}"));
    let response = client.http().get(address).bearer_auth(client.token()).send().await.unwrap();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    (response.status().as_u16(), kind.unwrap_or_default(), response.bytes().await.unwrap().to_vec())
}

/// The rows of each table in an archive, and its manifest, after everything in it has been compared with that.
fn tables(files: &[File]) -> (BTreeMap<String, Vec<Value>>, Value) {
    let (manifest, parts) = files.split_last().unwrap();
    assert_eq!(manifest.name, "manifest.json");
    let manifest: Value = serde_json::from_slice(&manifest.content).unwrap();
    assert_eq!(manifest["files"].as_array().unwrap().len(), parts.len());
    let mut tables: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (part, said) in parts.iter().zip(manifest["files"].as_array().unwrap()) {
        let rows: Vec<Value> = std::str::from_utf8(&part.content)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&part.content));
        let table = part.name.split('/').next().unwrap();
        let expected = json!({ "name": part.name, "table": table, "rows": rows.len(), "bytes": part.content.len(), "sha256": digest });
        assert_eq!(*said, expected);
        tables.entry(table.to_owned()).or_default().extend(rows);
    }
    for table in manifest["tables"].as_array().unwrap() {
        let rows = tables[table["name"].as_str().unwrap()].len();
        assert_eq!(table["rows"], rows, "{table}");
    }
    (tables, manifest)
}

async fn everything_can_be_taken_out(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    pool(&owner, &demo.organization, "Other").await;
    owner.charge(uses::of(&demo.pool, "export", 1)).await;
    hold(&owner, &demo.pool, None, 1, 3_600).await;
    keys::make(&world, &owner, Some(&demo.organization), &["CHARGES_WRITE"], json!({})).await;
    let input =
        json!({ "organizationId": demo.organization, "email": "asked@export.test", "role": "MEMBER" });
    owner.mutate("inviteMember", "InviteMemberInput", input, "invitation { id }").await;
    world.found("rival").await;
    let (status, kind, archive) = taken_out(&owner, "?organization=demo").await;
    assert_eq!((status, kind.as_str()), (200, "application/x-tar"));
    let (tables, manifest) = tables(&opened(&archive));
    // Every table whose rows belong to organizations, and the people.
    let expected: BTreeSet<&str> = TENANT_TABLES.iter().copied().chain(["organization", "person"]).collect();
    assert_eq!(tables.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    assert_eq!(TABLES.iter().copied().collect::<BTreeSet<_>>(), expected);
    let organization: OrganizationId = global_id::decode(&demo.organization).unwrap();
    let uuid = uuid::Uuid::from_u128(organization.as_u128()).to_string();
    for (table, rows) in &tables {
        let key = if table == "organization" { "id" } else { "organization_id" };
        assert!(table == "person" || rows.iter().all(|row| row[key] == json!(uuid)), "{table}");
        let own = match backend {
            Backend::Postgres => format!("'{uuid}'::uuid"),
            Backend::Sqlite => format!("X'{}'", uuid.replace('-', "")),
        };
        let of = if table == "person" { "membership" } else { table.as_str() };
        let there = world.number(&format!("SELECT count(*) AS n FROM \"{of}\" WHERE {key} = {own}")).await;
        assert_eq!(i64::try_from(rows.len()).unwrap(), there, "{table}");
    }
    // Everything of it that there is, with its columns; but nothing that proves anything.
    assert_eq!(tables["pool"].len(), 2);
    let charge = &tables["charge"][0];
    assert!(charge["credits"].is_i64() && charge["seal"].is_string(), "{charge}");
    let people: Vec<&str> = tables["person"].iter().map(|row| row["email"].as_str().unwrap()).collect();
    assert!(people.contains(&"owner@demo.test") && people.contains(&"auditor@demo.test"), "{people:?}");
    assert!(!String::from_utf8_lossy(&archive).contains("rival"));
    for (table, columns) in WITHHELD {
        for column in *columns {
            assert!(tables[*table].iter().all(|row| row.get(column).is_none()), "{table}.{column}");
            let name = format!("{table}.{column}");
            assert!(manifest["withheld"].as_array().unwrap().contains(&json!(name)), "{name}");
        }
    }
    assert!(!tables["api_key"].is_empty() && !tables["delivery"].is_empty());
    assert_eq!(manifest["organization"]["id"], json!(demo.organization));
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 1, filter: { source: EVENT }) { nodes { action actor { user { email } } } } } }"#;
    let event = owner.query(query, json!({})).await["organization"]["auditEvents"]["nodes"][0].clone();
    assert_eq!(
        event,
        json!({ "action": "exportOrganization", "actor": { "user": { "email": "owner@demo.test" } } })
    );
    // In a suspended organization as well, and to the vendor's staff.
    let input = json!({ "organizationId": demo.organization, "reason": "x" });
    let (name, kind) = ("suspendOrganization", "SuspendOrganizationInput");
    operator.mutate(name, kind, input, "organization { id }").await;
    let by_id = format!("?organization={}", demo.organization);
    assert_eq!(taken_out(&operator, &by_id).await.0, 200);
}

async fn the_sandbox_comes_along(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.charge(uses::of(&demo.pool, "export", 1)).await;
    let test = json!({ "mode": "TEST" });
    keys::make(&world, &owner, Some(&demo.organization), &["CHARGES_WRITE"], test).await;
    let (status, _, archive) = taken_out(&owner, "?organization=demo").await;
    assert_eq!(status, 200);
    let files = opened(&archive);
    let (manifest, parts) = files.split_last().unwrap();
    let manifest: Value = serde_json::from_slice(&manifest.content).unwrap();
    let (own, sandbox): (Vec<&File>, Vec<&File>) =
        parts.iter().partition(|part| !part.name.starts_with("sandbox/"));
    for (parts, said) in [(own, &manifest), (sandbox, &manifest["sandbox"])] {
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        let listed = said["files"].as_array().unwrap().iter();
        assert_eq!(names, listed.map(|file| file["name"].as_str().unwrap()).collect::<Vec<_>>());
        assert_eq!(said["tables"].as_array().unwrap().len(), TABLES.len());
        // Nothing was booked meanwhile: the versions say so, and are those of the heads.
        let heads = parts.iter().find(|part| part.name.ends_with("pool_head/000001.jsonl")).unwrap();
        let heads: Vec<Value> = std::str::from_utf8(&heads.content)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let expected: Vec<Value> = heads
            .iter()
            .map(|head| {
                let version = &head["version"];
                json!({ "id": head["pool_id"], "versionBefore": version, "versionAfter": version })
            })
            .collect();
        assert_eq!(said["pools"], json!(expected));
        assert!(expected.len() == 1 && heads[0]["version"].as_i64().unwrap() > 0, "{heads:?}");
    }
    let lots = files.iter().find(|file| file.name == "sandbox/lot/000001.jsonl").unwrap();
    assert!(String::from_utf8_lossy(&lots.content).contains("\"credits\":1000"));
}

async fn a_large_table_comes_in_parts(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    for _ in 0..1_020 {
        world.grant(&demo.organization, &demo.pool, 1).await;
    }
    let (_, _, archive) = taken_out(&owner, "?organization=demo").await;
    let files = opened(&archive);
    let parts = files.iter().filter(|file| file.name.starts_with("transfer/")).map(|file| file.name.as_str());
    let expected = ["transfer/000001.jsonl", "transfer/000002.jsonl", "transfer/000003.jsonl"];
    assert_eq!(parts.collect::<Vec<_>>(), expected);
    let (tables, _) = tables(&files);
    let versions: Vec<i64> = tables["transfer"].iter().map(|row| row["version"].as_i64().unwrap()).collect();
    assert_eq!(versions, (1..=1_021).collect::<Vec<_>>(), "in order, each once");
}

async fn who_may_take_it_out(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let organization = owner.demo().await.organization;
    for (caller, expected) in [("admin", 403), ("auditor", 403), ("member", 403), ("owner", 200)] {
        let client = world.client(&format!("{caller}@demo.test")).await;
        assert_eq!(taken_out(&client, "?organization=demo").await.0, expected, "{caller}");
    }
    let scopes = ["AUDIT_READ", "LEDGER_READ", "MEMBERS_READ", "REPORTS_READ"];
    let key = keys::make(&world, &owner, Some(&organization), &scopes, json!({})).await;
    assert_eq!(taken_out(&key.client, "?organization=demo").await.0, 403, "a key");
    // Absent and forbidden answer alike.
    let rival = world.found("rival").await;
    let absent = taken_out(&rival, "?organization=nobody").await;
    assert_eq!((absent.0, taken_out(&rival, "?organization=demo").await), (404, absent.clone()));
    assert_eq!(taken_out(&rival, &format!("?organization={organization}")).await, absent);
    let nobody = owner.http().get(owner.url("/export/organization?organization=demo")).send().await.unwrap();
    assert_eq!(nobody.status().as_u16(), 401);
    for bad in
        ["", "?organisation=demo", "?organization=demo&organization=demo", "?organization=demo&format=zip"]
    {
        assert_eq!(taken_out(&owner, bad).await.0, 400, "{bad}");
    }
}
