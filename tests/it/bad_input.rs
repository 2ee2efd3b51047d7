//! Bad input: each a typed error that names the field, none a panic, none a 500, nothing written.

use bursar::global_id;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::{Backend, World, rows};

on_both_databases!(
    charges_refuse_what_is_wrong,
    shapes_are_top_level_errors,
    the_rest_refuses_too,
    hostile_documents,
    answers_keep_the_order_of_the_document
);

/// A charge of one unit, changed at one place.
fn changed(base: &Value, pointer: &str, value: Value) -> Value {
    let mut input = base.clone();
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let parent = if parent.is_empty() { &mut input } else { input.pointer_mut(parent).unwrap() };
    match parent.as_array_mut() {
        Some(items) => items[last.parse::<usize>().unwrap()] = value,
        None => parent[last] = value,
    }
    input
}

async fn charges_refuse_what_is_wrong(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 40, "a").await;
    let organization = global_id::decode(&demo.organization).unwrap();
    let db = &world.services().context.db;
    let base = json!({ "poolId": demo.pool, "departmentId": demo.sales, "idempotencyKey": "k",
        "lines": [{ "service": "STYLE_CHANGE", "quantity": 1 }] });
    let first = owner
        .charge(changed(&changed(&base, "/reference", json!("taken")), "/idempotencyKey", json!("first")))
        .await;
    assert_eq!(first["userErrors"], json!([]));
    let before = rows::of(db, organization).await;
    let nowhere = "00000000000000000000000000";
    let large = json!({ "x": "y".repeat(9_000) });
    let many = Value::Array(vec![json!({ "service": "STYLE_CHANGE" }); 101]);
    for (pointer, value, code, field) in [
        ("/lines/0/service", json!("NO_SUCH"), "SERVICE_UNKNOWN", "lines.0.service"),
        ("/lines/0/service", json!(""), "SERVICE_UNKNOWN", "lines.0.service"),
        ("/lines/0/service", json!("x'; DROP TABLE charge; --"), "SERVICE_UNKNOWN", "lines.0.service"),
        ("/lines/0/quantity", json!(0), "QUANTITY_OUT_OF_RANGE", "lines.0.quantity"),
        ("/lines/0/quantity", json!(-1), "QUANTITY_OUT_OF_RANGE", "lines.0.quantity"),
        ("/lines/0/quantity", json!(1_000_001), "QUANTITY_OUT_OF_RANGE", "lines.0.quantity"),
        ("/lines/0/quantity", json!(i32::MAX), "QUANTITY_OUT_OF_RANGE", "lines.0.quantity"),
        ("/lines/0/quantity", json!(i32::MIN), "QUANTITY_OUT_OF_RANGE", "lines.0.quantity"),
        ("/lines/0/quantity", json!(1_000_000), "INSUFFICIENT_CREDITS", "departmentId"),
        ("/lines", json!([]), "INVALID", "lines"),
        ("/lines", many, "INVALID", "lines"),
        ("/poolId", json!(format!("pool_{nowhere}")), "NOT_FOUND", "poolId"),
        ("/poolId", json!("nonsense"), "NOT_FOUND", "poolId"),
        ("/poolId", json!(""), "NOT_FOUND", "poolId"),
        ("/poolId", json!("p".repeat(10_000)), "NOT_FOUND", "poolId"),
        ("/poolId", json!(demo.sales), "NOT_FOUND", "poolId"),
        ("/departmentId", json!(format!("dept_{nowhere}")), "NOT_FOUND", "departmentId"),
        ("/departmentId", json!(demo.pool), "NOT_FOUND", "departmentId"),
        ("/departmentId", json!("é_"), "NOT_FOUND", "departmentId"),
        ("/departmentId", json!(demo.marketing), "INSUFFICIENT_CREDITS", "departmentId"),
        ("/onBehalfOfId", json!(format!("member_{nowhere}")), "NOT_FOUND", "onBehalfOfId"),
        ("/metadata", large, "INVALID", "metadata"),
        ("/metadata", json!([1]), "INVALID", "metadata"),
        ("/metadata", json!("text"), "INVALID", "metadata"),
        ("/metadata", json!({ "a": "\u{0}" }), "INVALID", "metadata"),
        ("/metadata", json!({ "a": [{ "\u{0}": 1 }] }), "INVALID", "metadata"),
        ("/reference", json!("taken"), "REFERENCE_TAKEN", "reference"),
        ("/reference", json!(""), "INVALID", "reference"),
        ("/reference", json!("r".repeat(256)), "INVALID", "reference"),
        ("/reference", json!("a\u{0}b"), "INVALID", "reference"),
        ("/subject", json!("a\r\nb"), "INVALID", "subject"),
        ("/idempotencyKey", json!("first"), "IDEMPOTENCY_CONFLICT", "idempotencyKey"),
    ] {
        let payload = owner.charge(changed(&base, pointer, value.clone())).await;
        let error = &payload["userErrors"][0];
        assert_eq!(error["code"], code, "{pointer} {value}: {payload}");
        let path: Vec<_> =
            error["field"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
        assert_eq!(path.join("."), field, "{pointer} {value}");
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert_eq!((&payload["charge"], &payload["balance"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(before, rows::of(db, organization).await, "a refusal wrote something");
    // None of the refusals has used the key up.
    assert_eq!(owner.charge(base).await["userErrors"], json!([]));
}

async fn shapes_are_top_level_errors(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let before = owner.balance(&demo.pool).await;
    let good = json!({ "poolId": demo.pool, "idempotencyKey": "k", "lines": [{ "service": "STYLE_CHANGE", "quantity": 1 }] });
    let query = "mutation M($i: ChargeCreditsInput!) { chargeCredits(input: $i) { charge { id } userErrors { code } } }";
    for (pointer, value, named) in [
        ("/idempotencyKey", json!(""), "idempotencyKey"),
        ("/idempotencyKey", json!("k".repeat(256)), "idempotencyKey"),
        ("/idempotencyKey", json!(7), "idempotencyKey"),
        ("/idempotencyKey", Value::Null, "idempotencyKey"),
        ("/lines/0/quantity", json!(1.5), "lines.0.quantity"),
        ("/lines/0/quantity", json!("1"), "lines.0.quantity"),
        ("/lines/0/quantity", json!(3_000_000_000_i64), "lines.0.quantity"),
        ("/lines/0/quantity", Value::Null, "lines.0.quantity"),
        ("/lines/0", json!("STYLE_CHANGE"), "lines.0"),
        ("/lines", Value::Null, "lines"),
        ("/poolId", json!({}), "poolId"),
        ("/unknown", json!(1), "unknown"),
        ("/dryRun", json!("yes"), "dryRun"),
    ] {
        let (status, body) = owner.send(query, json!({ "i": changed(&good, pointer, value.clone()) })).await;
        let error = &body["errors"][0];
        assert_eq!(
            (status, &error["extensions"]["code"]),
            (200, &json!("BAD_USER_INPUT")),
            "{pointer}: {body}"
        );
        let field = error["extensions"]["field"].as_array().unwrap();
        let field: Vec<_> = field.iter().map(|part| part.as_str().unwrap()).collect();
        assert_eq!(field.join("."), named, "{pointer} {value}: {body}");
        assert!(
            error["message"].as_str().unwrap().starts_with(named) && body.get("data").is_none(),
            "{body}"
        );
    }
    for credits in
        [json!(-1), json!(1.5), json!("5"), json!(9_007_199_254_740_992_i64), json!(1e300), Value::Null]
    {
        let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": credits, "idempotencyKey": "k" });
        let query =
            "mutation M($i: AllocateCreditsInput!) { allocateCredits(input: $i) { userErrors { code } } }";
        let (status, body) = owner.send(query, json!({ "i": input })).await;
        let error = &body["errors"][0]["extensions"];
        assert_eq!((status, &error["code"]), (200, &json!("BAD_USER_INPUT")), "{credits}: {body}");
        assert_eq!(error["field"], json!(["credits"]), "{credits}: {body}");
    }
    for (credits, code) in [(0, "AMOUNT_OUT_OF_RANGE"), (9_007_199_254_740_991_i64, "INSUFFICIENT_CREDITS")] {
        let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": credits, "idempotencyKey": "k" });
        let payload = owner.try_mutate("allocateCredits", "AllocateCreditsInput", input, "").await;
        assert_eq!(payload["userErrors"][0]["code"], code);
    }
    assert_eq!(before, owner.balance(&demo.pool).await);
    // The endpoint itself.
    let url = owner.url("/graphql");
    for (kind, body, status) in [
        ("text/plain", r#"{"query":"{ viewer { operator } }"}"#, 415),
        ("application/x-www-form-urlencoded", "query={viewer{operator}}", 415),
        ("application/json", "", 400),
        ("application/json", "[]", 400),
        ("application/json", r#"[{"query":"{ viewer { operator } }"}]"#, 400),
        ("application/json", r#"{"query":7}"#, 400),
        ("application/json", r#"{"query":"{ viewer { operator } }","variables":[]}"#, 400),
        ("application/json", "\u{feff}{", 400),
    ] {
        let response = owner.http().post(&url).header("content-type", kind).body(body).send().await.unwrap();
        assert_eq!(response.status(), status, "{kind} {body}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    }
    let huge = owner.http().post(&url).header("content-type", "application/json").body(" ".repeat(2_000_000));
    let huge = huge.send().await.unwrap();
    assert_eq!(huge.status(), 413);
    let body: Value = huge.json().await.unwrap();
    assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    for header in ["Basic abc", "Bearer", "Bearer ", "bearer", ""] {
        let request = owner
            .http()
            .post(&url)
            .header("authorization", header)
            .json(&json!({ "query": "{ viewer { operator } }" }));
        assert_eq!(request.send().await.unwrap().status(), 401, "{header:?}");
    }
}

async fn the_rest_refuses_too(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    let organization = global_id::decode(&demo.organization).unwrap();
    let db = &world.services().context.db;
    let before = rows::of(db, organization).await;
    let named =
        |code: &str, name: &str| json!({ "organizationId": demo.organization, "code": code, "name": name });
    let member =
        |email: &str| json!({ "organizationId": demo.organization, "email": email, "role": "MEMBER" });
    let founded = |slug: &str, zone: &str, email: &str| json!({ "slug": slug, "name": "N", "timeZone": zone, "ownerEmail": email });
    let pool = |name: &str, services: Value| json!({ "organizationId": demo.organization, "name": name, "allowedServices": services });
    let buy = |package: &str| json!({ "poolId": demo.pool, "package": package, "idempotencyKey": "b" });
    let billed = |country: &str| json!({ "organizationId": demo.organization, "name": "N", "address": "A", "country": country });
    for (client, mutation, input_type, input, code, field) in [
        (&owner, "createDepartment", "CreateDepartmentInput", named("SALES", "x"), "TAKEN", "code"),
        (&owner, "createDepartment", "CreateDepartmentInput", named("lower", "x"), "INVALID", "code"),
        (&owner, "createDepartment", "CreateDepartmentInput", named("OK", "  "), "INVALID", "name"),
        (
            &owner,
            "createDepartment",
            "CreateDepartmentInput",
            named("OK", &"n".repeat(256)),
            "INVALID",
            "name",
        ),
        (&operator, "addMember", "AddMemberInput", member("member@demo.test"), "TAKEN", "email"),
        (&operator, "addMember", "AddMemberInput", member("MEMBER@demo.test "), "TAKEN", "email"),
        (&operator, "addMember", "AddMemberInput", member("nobody"), "INVALID", "email"),
        (&operator, "addMember", "AddMemberInput", member("a@b\r\nBcc: c@d"), "INVALID", "email"),
        (&owner, "createPool", "CreatePoolInput", pool("Main", Value::Null), "TAKEN", "name"),
        (
            &owner,
            "createPool",
            "CreatePoolInput",
            pool("Other", json!(["STYLE_CHANGE", "X"])),
            "NOT_FOUND",
            "allowedServices",
        ),
        (&owner, "setBillingProfile", "SetBillingProfileInput", billed("XX"), "INVALID", "country"),
        (&owner, "setBillingProfile", "SetBillingProfileInput", billed("de"), "INVALID", "country"),
        (&owner, "requestPurchase", "RequestPurchaseInput", buy("NO_SUCH"), "NOT_FOUND", "package"),
        (&owner, "requestPurchase", "RequestPurchaseInput", buy("ENTERPRISE"), "QUOTE_REQUIRED", "package"),
        (
            &operator,
            "createOrganization",
            "CreateOrganizationInput",
            founded("demo", "UTC", "a@b.test"),
            "TAKEN",
            "slug",
        ),
        (
            &operator,
            "createOrganization",
            "CreateOrganizationInput",
            founded("No Slug", "UTC", "a@b.test"),
            "INVALID",
            "slug",
        ),
        (
            &operator,
            "createOrganization",
            "CreateOrganizationInput",
            founded("fine", "UTC", "nobody"),
            "INVALID",
            "ownerEmail",
        ),
    ] {
        let payload = client.try_mutate(mutation, input_type, input, "").await;
        let error = &payload["userErrors"][0];
        assert_eq!(
            (error["code"].as_str().unwrap(), error["field"][0].as_str().unwrap()),
            (code, field),
            "{mutation}: {payload}"
        );
    }
    let input = json!({ "i": founded("fine", "Mars/Olympus", "a@b.test") });
    let body = operator.raw("mutation M($i: CreateOrganizationInput!) { createOrganization(input: $i) { userErrors { code } } }", input).await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{body}");
    for (arguments, reason) in [
        ("first: 101", "first"),
        ("first: -1", "first"),
        ("last: 101", "last"),
        ("first: 1, last: 1", "exclude"),
        ("after: \"x\"", "after"),
        ("before: \"YzE6eHl6\"", "before"),
    ] {
        let body = owner
            .raw(
                &format!(
                    "{{ organization(by: {{ slug: \"demo\" }}) {{ charges({arguments}) {{ totalCount }} }} }}"
                ),
                json!({}),
            )
            .await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{arguments}: {body}");
        assert!(body["errors"][0]["message"].as_str().unwrap().contains(reason), "{arguments}: {body}");
        assert!(body["data"]["organization"]["charges"].is_null());
    }
    assert_eq!(before, rows::of(db, organization).await, "a refusal wrote something");
    for slug in ["", "\u{0}", "nobody", "'", "ä", "-"] {
        let query = "query O($s: String!) { organization(by: { slug: $s }) { id } }";
        assert_eq!(owner.query(query, json!({ "s": slug })).await["organization"], Value::Null, "{slug:?}");
    }
}

async fn answers_keep_the_order_of_the_document(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let query = "{ z: __typename organization(by: { slug: \"demo\" }) { slug name currency } a: __typename m: viewer { operator } }";
    let request =
        owner.http().post(owner.url("/graphql")).bearer_auth(owner.token()).json(&json!({ "query": query }));
    let expected = r#"{"data":{"z":"Query","organization":{"slug":"demo","name":"Demo Realty","currency":"USD"},"a":"Query","m":{"operator":false}}}"#;
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(text.starts_with(&expected[..expected.len() - 1]), "{text}");
}

async fn hostile_documents(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let mut chain = "{ ...f0 }".to_owned();
    for i in 0..30 {
        chain += &format!(" fragment f{i} on Query {{ ...f{n} ...f{n} }}", n = i + 1);
    }
    chain += " fragment f30 on Query { __typename }";
    let aliases: String = (0..2_000).map(|i| format!("a{i}: __typename ")).collect();
    for document in [
        format!("{{ node(id: {} }}", "[".repeat(3_000)),
        "{".repeat(30_000),
        format!("query Q($a: {}Int{}) {{ __typename }}", "[".repeat(2_000), "]".repeat(2_000)),
        chain,
        "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }".to_owned(),
        format!("{{ {aliases} }}"),
        format!("{{ viewer {{ {}operator{} }} }}", "user { ".repeat(50), " }".repeat(50)),
        format!("{{ __typename {} }}", "@include(if: true) ".repeat(2_000)),
        format!(
            "{{ pool(id: \"x\") {{ {} }} }}",
            "transfers(first: 100) { nodes { pool { ".repeat(4) + "id" + &"} } }".repeat(4)
        ),
        "x".repeat(70_000),
        String::new(),
        "\u{0}".to_owned(),
        "query A { __typename } query B { __typename }".to_owned(),
    ] {
        let began = std::time::Instant::now();
        let (status, body) = owner.send(&document, json!({})).await;
        assert!(status < 500 && body["errors"][0]["extensions"]["code"].is_string(), "{status} {body}");
        assert!(began.elapsed().as_secs() < 2, "{} took too long", &document[..document.len().min(40)]);
    }
    let mut socket = owner.socket().await;
    for document in
        [format!("subscription {{ a(x: {} }}", "[".repeat(3_000)), "subscription { __typename }".to_owned()]
    {
        socket.subscribe("x", &document, json!({})).await;
        let answer = socket.message().await.unwrap();
        assert_eq!(answer["type"], "error", "{answer}");
    }
    assert_eq!(owner.query("{ viewer { operator } }", json!({})).await["viewer"]["operator"], false);
}
