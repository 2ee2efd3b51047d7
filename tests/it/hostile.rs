//! Documents and requests that are meant to do harm, against the real binary: each is answered soon, and the
//! process is alive and not much larger afterwards.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Backend, Client, Process, World, run};

/// How much work of the server's anything may be.
const SOON: Duration = Duration::from_secs(1);
/// How much work of the server's what is refused before it is parsed may be, at best of three.
const AT_ONCE: Duration = Duration::from_millis(20);
/// How much the process may grow.
const GROWTH: u64 = 64 * 1024 * 1024;

fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// How long all threads of a process have been at work so far. What else the machine does is no part of it.
fn worked(process: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    // Nanoseconds on a processor come first. A thread may have ended since it was listed.
    let spent =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    let spent = spent.map(|text| text.split(' ').next().unwrap().parse::<u64>().unwrap());
    Duration::from_nanos(spent.sum())
}

/// A server process with the demonstration data in its database, and its owner.
async fn server() -> (World, Process, Client) {
    let world = World::start(Backend::Postgres).await;
    let process = Process::start(&world.database).await;
    let owner = process.client(&world, "owner@demo.test").await;
    (world, process, owner)
}

/// Documents that are refused before they are parsed.
fn before_parsing() -> Vec<String> {
    let mut documents = Vec::new();
    for (open, close) in [("{", "}"), ("[", "]"), ("(", ")")] {
        let bomb = open.repeat(3_000);
        for position in [
            bomb.clone(),
            format!("{{ node(id: {bomb}"),
            format!("{{ node(id: \"x\") {bomb}"),
            format!("query Q($a: {bomb}Int{}) {{ __typename }}", close.repeat(3_000)),
            format!("query Q($a: Int = {bomb}{}) {{ __typename }}", close.repeat(3_000)),
            format!("{{ __typename @include(if: {bomb}"),
            format!("fragment F on {bomb}"),
            format!("{{ a(x: \"\"\"x\"\"\" y: {bomb}"),
            format!("# comment\n\"unfinished\n{bomb}"),
        ] {
            documents.push(position);
        }
    }
    documents.push(format!("{{ {} }}", (0..20_000).map(|n| format!("a{n}:x ")).collect::<String>()));
    documents.push(format!("{{ __typename {} }}", "@include(if: true) ".repeat(3_000)));
    documents.push(format!("query {} {{ __typename }}", "@a ".repeat(10_000)));
    documents.push("x".repeat(70_000));
    documents.push(" ".repeat(1_000_000));
    documents.push("a ".repeat(30_000));
    documents
}

/// Documents that are parsed and then refused, or answered.
fn others() -> Vec<String> {
    let mut documents = Vec::new();
    let doubling = |n: usize, last: &str| {
        let fragments: String =
            (0..n).map(|i| format!(" fragment f{i} on Query {{ ...f{} ...f{} }}", i + 1, i + 1)).collect();
        format!("{{ ...f0 }}{fragments} fragment f{n} on Query {{ {last} }}")
    };
    documents.extend([doubling(12, "__typename"), doubling(40, "__typename"), doubling(60, "...f0")]);
    let chain: String = (0..1_000).map(|i| format!(" fragment f{i} on Query {{ ...f{} }}", i + 1)).collect();
    documents.push(format!("{{ ...f0 }}{chain} fragment f1000 on Query {{ __typename }}"));
    documents.push("{ ...a } fragment a on Query { ...a }".to_owned());
    documents.push("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }".to_owned());
    documents.push("{ __typename } fragment a on Query { ...b } fragment b on Query { ...a }".to_owned());
    documents.push(format!("{{ {} }}", (0..2_500).map(|n| format!("a{n}:__typename ")).collect::<String>()));
    documents.push(format!("{{ {} }}", "__typename ".repeat(7_000)));
    documents.push(format!("{{ {} }}", "... { __typename } ".repeat(1_500)));
    documents.push(format!("{{ __typename {} }}", "@include(if: true) ".repeat(50)));
    let deep = "transfers(first: 100) { nodes { pool { ".repeat(5) + "id" + &"} } }".repeat(5);
    documents.push(format!("{{ pool(id: \"x\") {{ {deep} }} }}"));
    documents.push(format!(
        "{{ pool(id: \"x\") {{ {} }} }}",
        "transfers(first: 100) { nodes { id } } ".repeat(300)
    ));
    let ids: String = (0..3_000).map(|n| format!("\"pool_{n}\" ")).collect();
    documents.push(format!("{{ nodes(ids: [{ids}]) {{ id }} }}"));
    documents.push(format!("{{ viewer {{ {}operator{} }} }}", "user { ".repeat(50), " }".repeat(50)));
    let types = "fields { type { ".repeat(12) + "name" + &" } }".repeat(12);
    documents.push(format!("{{ __schema {{ types {{ {types} }} }} }}"));
    for lists in ["possibleTypes { interfaces { ", "interfaces { possibleTypes { ", "fields { type { "] {
        for n in [1, 2, 5, 8] {
            let inner = lists.repeat(n) + "name" + &"} }".repeat(n);
            documents.push(format!("{{ __type(name: \"Node\") {{ {inner} }} }}"));
            documents.push(format!("{{ __schema {{ types {{ {inner} }} }} }}"));
        }
    }
    documents.push(format!("{{ {} }}", (0..20).map(|n| format!("s{n}: __schema {{ types {{ name description fields {{ name description args {{ name description }} }} }} }} ")).collect::<String>()));
    let one = "{__typename: \"CreditPool\", id: \"pool_x\"} ";
    documents.push(format!("{{ _entities(representations: [{}]) {{ __typename }} }}", one.repeat(900)));
    for (brackets, fragments) in [(60, 35), (30, 60)] {
        let open = "nope{".repeat(brackets);
        let close = "}".repeat(brackets);
        let chain: String = (0..fragments)
            .map(|i| format!(" fragment f{i} on Query {{ {open}...f{}{close} }}", i + 1))
            .collect();
        documents.push(format!("{{ ...f0 }}{chain} fragment f{fragments} on Query {{ __typename }}"));
    }
    documents.push(format!("{{ {} }}", "nope ".repeat(3_500)));
    documents.push(format!("{{ {} }}", "n".repeat(60_000)));
    let variables: String = (0..1_500).map(|n| format!("$v{n}: Int ")).collect();
    documents.push(format!("query Q({variables}) {{ __typename }}"));
    let operations: String = (0..1_000).map(|n| format!("query Q{n} {{ __typename }} ")).collect();
    documents.push(operations);
    documents.extend([
        String::new(),
        "\u{0}".to_owned(),
        "\u{feff}{ __typename }".to_owned(),
        "{".to_owned(),
    ]);
    documents
}

/// Sends a body, which has to be little enough work for the server; what is to be refused at once, at best of three.
async fn little_work(process: &Process, client: &Client, body: &str, most: Duration) -> u16 {
    let (mut best, mut tries) = (Duration::MAX, if most == AT_ONCE { 3 } else { 1 });
    while tries > 0 {
        let began = worked(process.id());
        let status = send(client, body.to_owned()).await;
        // Less than before: a thread has ended.
        let took = worked(process.id()).checked_sub(began).filter(|took| !took.is_zero());
        let Some(took) = took else { continue };
        tries -= 1;
        best = best.min(took);
        if best < most {
            return status;
        }
    }
    panic!("{best:?} for {}", body.chars().take(80).collect::<String>());
}

/// Sends a body and answers with which status it was answered; there has to be an answer, and no fault of the server's.
async fn send(client: &Client, body: String) -> u16 {
    let request = client.http().post(client.url("/graphql")).bearer_auth(client.token());
    let response = request.header("content-type", "application/json").body(body).send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert!(status < 500, "{status} {text}");
    let body: Value = serde_json::from_str(&text).unwrap();
    assert!(body.get("data").is_some() || body["errors"][0]["extensions"]["code"].is_string(), "{text}");
    status
}

#[test]
fn hostile_documents_harm_nobody() {
    run(async {
        let (_world, process, owner) = server().await;
        owner.demo().await;
        let before = memory(process.id());
        for document in before_parsing() {
            let body = json!({ "query": document }).to_string();
            little_work(&process, &owner, &body, AT_ONCE).await;
        }
        for document in others() {
            let body = json!({ "query": document }).to_string();
            little_work(&process, &owner, &body, SOON).await;
        }
        let charge =
            "mutation C($i: ChargeCreditsInput!) { chargeCredits(input: $i) { userErrors { code } } }";
        let line = json!({ "service": "STYLE_CHANGE", "quantity": 1 });
        let nested = (0..120).fold(json!(1), |inner, _| json!([inner]));
        for variables in [
            json!({ "i": { "poolId": "x", "idempotencyKey": "k", "lines": vec![line; 20_000] } }),
            json!({ "junk": "x".repeat(900_000) }),
            json!({ "i": { "poolId": "x".repeat(900_000), "idempotencyKey": "k", "lines": [] } }),
            json!({ "i": { "poolId": "x", "idempotencyKey": "k", "lines": [], "metadata": { "a": nested } } }),
            Value::Object((0..60_000).map(|n| (format!("v{n}"), json!(n))).collect()),
        ] {
            let body = json!({ "query": charge, "variables": variables }).to_string();
            little_work(&process, &owner, &body, SOON).await;
        }
        let entities = "query E($r: [_Any!]!) { _entities(representations: $r) { __typename } }";
        let pools = json!({ "r": vec![json!({ "__typename": "CreditPool", "id": "pool_x" }); 10_000] });
        let body = json!({ "query": entities, "variables": pools }).to_string();
        little_work(&process, &owner, &body, SOON).await;
        // Many documents, each known from now on.
        for n in 0..300 {
            let document = format!("{{ pool(id: \"x{n}\") {{ {} }} }}", "id ".repeat(5_000));
            little_work(&process, &owner, &json!({ "query": document }).to_string(), SOON).await;
        }
        for (body, expected) in [
            (json!(["{ __typename }", null, null, null, null]).to_string(), 400),
            (json!(vec![json!({ "query": "{ __typename }" }); 10_000]).to_string(), 400),
            ("[".repeat(1_000_000), 400),
            (format!("{{\"query\":{}", "{\"a\":".repeat(150_000)), 400),
            (" ".repeat(60 * 1024 * 1024), 413),
            (format!("{{\"query\":\"{}\"}}", "x".repeat(60 * 1024 * 1024)), 413),
        ] {
            assert_eq!(little_work(&process, &owner, &body, SOON).await, expected);
        }
        let grown = memory(process.id()).saturating_sub(before);
        assert!(grown < GROWTH, "the process has grown by {grown} bytes");
        assert_eq!(owner.query("{ viewer { operator } }", json!({})).await["viewer"]["operator"], false);
    });
}

#[test]
fn hostile_messages_harm_nobody() {
    run(async {
        let (_world, process, owner) = server().await;
        let before = memory(process.id());
        let mut socket = owner.socket().await;
        for (n, document) in before_parsing().into_iter().chain(others()).enumerate() {
            if document.len() > 200_000 {
                continue;
            }
            socket.subscribe(&n.to_string(), &document, json!({})).await;
            loop {
                let message = socket.message().await.unwrap();
                assert_eq!(message["id"], json!(n.to_string()), "{message}");
                if message["type"] != "next" {
                    break;
                }
            }
        }
        let grown = memory(process.id()).saturating_sub(before);
        assert!(grown < GROWTH, "the process has grown by {grown} bytes");
        assert_eq!(owner.query("{ viewer { operator } }", json!({})).await["viewer"]["operator"], false);
    });
}
