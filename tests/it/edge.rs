//! The HTTP endpoint: ways in, media types, other origins, documents by their digests, what operations cost.

use bursar::app::App;
use bursar::clock::Clock;
use bursar::config::{Config, Rate};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::on_both_databases;
use crate::support::world::config;
use crate::support::{Backend, Client, Socket, TestDatabase, World, run};

on_both_databases!(queries_by_get, throttling);

const VIEWER: &str = "{ viewer { operator } }";

fn digest(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// Posts a body as it is, with the token; answers status, headers and body.
async fn post(client: &Client, body: &Value, accept: &str) -> (u16, reqwest::header::HeaderMap, Value) {
    let request = client.http().post(client.url("/graphql")).bearer_auth(client.token());
    let response = request.header("accept", accept).json(body).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.json().await.unwrap())
}

const TYPED: &str = "application/graphql-response+json";

async fn queries_by_get(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let get = async |parameters: &[(&str, &str)], accept: &str| {
        let mut url = url::Url::parse(&owner.url("/graphql")).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        let request = owner.http().get(url).bearer_auth(owner.token()).header("accept", accept);
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, response.text().await.unwrap())
    };
    let query = "query O($s: String!) { organization(by: { slug: $s }) { slug } } query P { __typename }";
    let variables = json!({ "s": "demo" }).to_string();
    let parameters = [("query", query), ("operationName", "O"), ("variables", variables.as_str())];
    let (status, headers, body) = get(&parameters, TYPED).await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (200, "application/graphql-response+json; charset=utf-8")
    );
    assert!(body.starts_with(r#"{"data":{"organization":{"slug":"demo"}}"#), "{body}");
    // What changes something, or goes on, does not come this way; and is not carried out.
    let mutation = "mutation { createPool(input: { organizationId: \"x\", name: \"y\" }) { pool { id } } }";
    for accept in ["*/*", TYPED] {
        let (status, headers, body) = get(&[("query", mutation)], accept).await;
        assert_eq!((status, headers["allow"].to_str().unwrap()), (405, "POST"), "{body}");
        let (status, ..) = get(&[("query", "subscription { purchase(id: \"x\") { id } }")], accept).await;
        assert_eq!(status, 405);
    }
    for (parameters, status) in [
        (&[][..], 400),
        (&[("query", query), ("operationName", "O"), ("variables", "[]")], 400),
        (&[("query", query), ("operationName", "O"), ("variables", "{")], 400),
        (&[("query", query), ("operationName", "Q")], 400),
        (&[("query", "{")], 400),
    ] {
        assert_eq!(get(parameters, TYPED).await.0, status, "{parameters:?}");
    }
    assert_eq!(get(&[("query", VIEWER)], "text/plain").await.0, 406);
    assert_eq!(
        get(&[("query", VIEWER)], "text/html,*/*;q=0.8").await.1["content-type"],
        "text/html; charset=utf-8"
    );
    let (status, _, body) =
        post(&owner, &json!({ "query": "subscription { purchase(id: \"x\") { id } }" }), TYPED).await;
    assert_eq!(status, 400);
    assert!(body["errors"][0]["message"].as_str().unwrap().contains("/graphql/stream"), "{body}");
    // One operation of several has to be named.
    let two = json!({ "query": "query A { __typename } query B { __typename }" });
    assert_eq!(post(&owner, &two, TYPED).await.0, 400);
    assert_eq!(post(&owner, &two, "*/*").await.0, 200);
}

#[test]
fn other_origins_are_let_in_by_name() {
    run(async {
        let world = World::start_as(Backend::Sqlite, |config| {
            config.allowed_origins = vec![url::Url::parse("https://app.test").unwrap().origin()];
        })
        .await;
        let owner = world.client("owner@demo.test").await;
        let asked = async |origin: &str, path: &str| {
            let request =
                owner.http().request(reqwest::Method::OPTIONS, owner.url(path)).header("origin", origin);
            let request = request.header("access-control-request-method", "POST");
            request
                .header("access-control-request-headers", "authorization,content-type")
                .send()
                .await
                .unwrap()
        };
        for path in ["/graphql", "/graphql/stream"] {
            let headers = asked("https://app.test", path).await.headers().clone();
            assert_eq!(headers["access-control-allow-origin"], "https://app.test");
            assert!(headers["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
            assert!(!headers.contains_key("access-control-allow-credentials"));
            for origin in ["https://evil.test", "http://app.test", "https://app.test.evil.test", "null"] {
                assert!(
                    !asked(origin, path).await.headers().contains_key("access-control-allow-origin"),
                    "{origin}"
                );
            }
        }
        // Sockets ask by themselves: the origin decides before they are opened.
        assert!(Socket::connect(&world.base, Some("https://app.test")).await.is_ok());
        assert!(Socket::connect(&world.base, Some("https://evil.test")).await.is_err());
        let stream = owner.http().post(owner.url("/graphql/stream")).bearer_auth(owner.token());
        let stream = stream.header("accept", "text/event-stream").header("origin", "https://evil.test");
        assert_eq!(stream.json(&json!({ "query": VIEWER })).send().await.unwrap().status(), 403);
        // Forms of other sites cannot say that they are JSON.
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let request = owner.http().post(owner.url("/graphql")).header("content-type", kind);
            assert_eq!(
                request.body(json!({ "query": VIEWER }).to_string()).send().await.unwrap().status(),
                415
            );
        }
    });
}

#[test]
fn long_answers_are_compressed_for_those_who_can_read_it() {
    run(async {
        let world = World::start(Backend::Sqlite).await;
        let owner = world.client("owner@demo.test").await;
        let ask = async |query: &str, encoding: &str| {
            let request = owner.http().post(owner.url("/graphql")).bearer_auth(owner.token());
            let request = request.header("accept-encoding", encoding).json(&json!({ "query": query }));
            let response = request.send().await.unwrap();
            assert!(response.headers().contains_key("x-request-id"));
            response.headers().get("content-encoding").map(|value| value.to_str().unwrap().to_owned())
        };
        let long = "{ __schema { types { name description } } }";
        assert_eq!(ask(long, "gzip").await.as_deref(), Some("gzip"));
        assert_eq!(ask(long, "br;q=1, gzip;q=0.5").await.as_deref(), Some("br"));
        assert_eq!(ask(long, "identity").await, None);
        assert_eq!(ask("{ __typename }", "gzip").await, None);
    });
}

#[test]
fn documents_are_known_by_their_digests() {
    run(async {
        let world = World::start(Backend::Sqlite).await;
        let owner = world.client("owner@demo.test").await;
        let hash = digest(VIEWER);
        let persisted = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
        for unknown in [json!({ "extensions": persisted }), json!({ "documentId": format!("sha256:{hash}") })]
        {
            let (status, _, body) = post(&owner, &unknown, TYPED).await;
            assert_eq!(
                (status, &body["errors"][0]["extensions"]["code"]),
                (400, &json!("PERSISTED_QUERY_NOT_FOUND"))
            );
        }
        // A digest that is another text's, or of nothing that is valid, is not kept.
        let (status, _, body) =
            post(&owner, &json!({ "query": "{ __typename }", "extensions": persisted }), TYPED).await;
        assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (400, &json!("BAD_USER_INPUT")));
        let wrong = "{ nowhere }";
        let of_wrong = json!({ "persistedQuery": { "version": 1, "sha256Hash": digest(wrong) } });
        assert_eq!(post(&owner, &json!({ "query": wrong, "extensions": of_wrong }), TYPED).await.0, 400);
        let (_, _, body) = post(&owner, &json!({ "extensions": of_wrong }), TYPED).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "PERSISTED_QUERY_NOT_FOUND");
        // With both it is known from then on, by either way.
        let (_, _, body) = post(&owner, &json!({ "query": VIEWER, "extensions": persisted }), TYPED).await;
        assert_eq!(body["data"]["viewer"]["operator"], false);
        for known in [json!({ "extensions": persisted }), json!({ "documentId": format!("sha256:{hash}") })] {
            assert_eq!(post(&owner, &known, TYPED).await.2["data"]["viewer"]["operator"], false);
        }
        let mut socket = owner.socket().await;
        let payload = json!({ "documentId": format!("sha256:{hash}") });
        socket.send(json!({ "id": "1", "type": "subscribe", "payload": payload })).await;
        assert_eq!(socket.next("viewer").await["operator"], false);
    });
}

/// Opens a server's database and binds it; the error that refuses to.
async fn refused(change: impl FnOnce(&mut Config)) -> String {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let mut settings = config(&database);
    change(&mut settings);
    let app = App::open(settings, Clock::system()).await.unwrap();
    let outcome = app.bind().await.map(drop).unwrap_err().to_string();
    app.close().await.unwrap();
    outcome
}

#[test]
fn with_a_manifest_nothing_else_is_executed() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let watch = "subscription W($id: ID!) { poolBalance(poolId: $id) { version } }";
        let apollo = json!({ "format": "apollo-persisted-query-manifest", "version": 1, "operations": [
            { "id": digest(VIEWER), "name": "V", "type": "query", "body": VIEWER },
            { "id": digest(watch), "name": "W", "type": "subscription", "body": watch },
        ] });
        let plain = json!({ digest(VIEWER): VIEWER, digest(watch): watch });
        for manifest in [apollo, plain] {
            let file = dir.path().join("manifest.json");
            std::fs::write(&file, manifest.to_string()).unwrap();
            let world = World::start_as(Backend::Sqlite, |config| config.documents = Some(file)).await;
            let owner = world.client("owner@demo.test").await;
            let by_id = json!({ "documentId": format!("sha256:{}", digest(VIEWER)) });
            for known in [by_id, json!({ "query": VIEWER })] {
                assert_eq!(post(&owner, &known, TYPED).await.2["data"]["viewer"]["operator"], false);
            }
            for other in ["{ __typename }", "{ viewer { operator } } ", "{ __schema { queryType { name } } }"]
            {
                let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": digest(other) } });
                let (status, _, body) =
                    post(&owner, &json!({ "query": other, "extensions": extensions }), TYPED).await;
                let code = &body["errors"][0]["extensions"]["code"];
                assert_eq!((status, code), (400, &json!("PERSISTED_QUERY_NOT_FOUND")), "{other}");
            }
            let mut socket = owner.socket().await;
            socket.subscribe("1", watch, json!({ "id": "pool_x" })).await;
            assert_eq!(socket.message().await.unwrap()["payload"][0]["message"], "pool was not found.");
            socket.subscribe("2", &format!("{watch} "), json!({ "id": "pool_x" })).await;
            let code = &socket.message().await.unwrap()["payload"][0]["extensions"]["code"];
            assert_eq!(code, "PERSISTED_QUERY_NOT_FOUND");
        }
        // What cannot be executed is named when the server starts.
        for (manifest, reason) in [
            (json!({ "x": "{ nowhere }" }).to_string(), "nowhere"),
            (json!({ "x": "{" }).to_string(), "{"),
            (json!({}).to_string(), "has no documents"),
            ("[]".to_owned(), "must be a JSON object"),
        ] {
            let file = dir.path().join("wrong.json");
            std::fs::write(&file, manifest).unwrap();
            let error = refused(|config| config.documents = Some(file)).await;
            assert!(error.contains(reason), "{error}");
        }
        let error = refused(|config| config.documents = Some(dir.path().join("none.json"))).await;
        assert!(error.contains("cannot be read"), "{error}");
    });
}

#[test]
fn the_schema_can_be_kept_secret() {
    run(async {
        let world = World::start_as(Backend::Sqlite, |config| {
            (config.introspection, config.suggestions) = (false, false);
        })
        .await;
        let owner = world.client("owner@demo.test").await;
        for query in [
            "{ __schema { queryType { name } } }",
            "{ a: __type(name: \"Query\") { name } }",
            "query A { __typename } query B { ...F } fragment F on Query { __schema { queryType { name } } }",
            "{ ... on Query { __schema { queryType { name } } } }",
            "{ _service { sdl } }",
        ] {
            let (status, _, body) =
                post(&owner, &json!({ "query": query, "operationName": "B" }), TYPED).await;
            assert_eq!(
                (status, &body["errors"][0]["extensions"]["code"]),
                (400, &json!("GRAPHQL_VALIDATION_FAILED"))
            );
            assert!(body["errors"][0]["message"].as_str().unwrap().contains("Introspection"), "{body}");
        }
        let body = owner.raw("{ viewr { operator } }", json!({})).await.to_string();
        assert!(body.contains("viewr") && !body.contains("viewer") && !body.contains("mean"), "{body}");
        assert_eq!(owner.query("{ __typename }", json!({})).await["__typename"], "Query");
        let open = World::start(Backend::Sqlite).await;
        assert!(
            open.client("owner@demo.test")
                .await
                .raw("{ viewr { operator } }", json!({}))
                .await
                .to_string()
                .contains("viewer")
        );
    });
}

async fn throttling(backend: Backend) {
    let world =
        World::start_as(backend, |config| config.cost = Rate { maximum: 100_000, restore: 1_000 }).await;
    let (owner, admin) = (world.client("owner@demo.test").await, world.client("admin@demo.test").await);
    let demo = owner.demo().await;
    let body = owner.raw(VIEWER, json!({})).await;
    let cost = &body["extensions"]["cost"];
    assert_eq!((&cost["requestedQueryCost"], &cost["actualQueryCost"]), (&json!(3), &json!(3)), "{cost}");
    let status = &cost["throttleStatus"];
    assert_eq!((&status["maximumAvailable"], &status["restoreRate"]), (&json!(100_000), &json!(1_000)));
    assert!(status["currentlyAvailable"].as_i64().unwrap() > 90_000, "{status}");
    // What was asked for and is not there is given back.
    let page =
        format!("{{ pool(id: \"{}\") {{ transfers(first: 100) {{ nodes {{ id version }} }} }} }}", demo.pool);
    let body = owner.raw(&page, json!({})).await;
    let cost = &body["extensions"]["cost"];
    assert_eq!(
        (&cost["requestedQueryCost"], &cost["actualQueryCost"]),
        (&json!(2 + 5 + 100 * 4), &json!(2 + 5 + 4))
    );
    // A document of many pages empties the bucket: the wait is told, and is enough.
    let many: String = (0..95)
        .map(|n| format!("a{n}: pool(id: \"{}\") {{ transfers(first: 100) {{ nodes {{ id version kind credits hash createdAt effectiveAt }} }} }} ", demo.pool))
        .collect();
    let many = json!({ "query": format!("{{ {many} }}") });
    let mut throttled = None;
    for _ in 0..50 {
        let (status, headers, body) = post(&owner, &many, TYPED).await;
        if status == 429 {
            throttled = Some((headers, body));
            break;
        }
        assert_eq!(status, 200, "{body}");
    }
    let (headers, body) = throttled.expect("the bucket is never empty");
    let error = &body["errors"][0];
    assert_eq!(error["extensions"]["code"], "THROTTLED", "{body}");
    let wait = error["extensions"]["retryAfterMilliseconds"].as_u64().unwrap();
    let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(wait > 0 && seconds == wait.div_ceil(1_000), "{wait} {seconds}");
    assert!(
        body.get("data").is_none()
            && body["extensions"]["cost"]["requestedQueryCost"].as_i64().unwrap() > 80_000
    );
    assert_eq!(post(&owner, &many, "application/json").await.0, 200);
    // Others of the organization go on, and so do small questions of the same person.
    assert!(admin.raw(VIEWER, json!({})).await.get("errors").is_none());
    assert!(owner.raw(VIEWER, json!({})).await.get("errors").is_none());
}
