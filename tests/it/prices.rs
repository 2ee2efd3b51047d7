//! Prices: what any quantity costs and why, what is agreed on with an organization, what the vendor is asked for, and that
//! what is quoted is what is bought.

mod sandboxes;

use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::refusal;
use crate::support::client::Demo;
use crate::support::{Backend, Client, World};

on_both_databases!(
    any_quantity_has_a_price,
    a_quote_is_asked_for_answered_and_bought,
    a_currency_is_fixed_by_the_first_quote,
    new_versions_of_the_catalog,
    an_organization_has_its_own_price_of_a_service,
);

struct Setting {
    world: World,
    owner: Client,
    operator: Client,
    demo: Demo,
}

async fn setting(backend: Backend) -> Setting {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    Setting { world, owner, operator, demo }
}

const QUOTED: &str = "quote { credits unitPrice { amount currency } total { amount currency } lifetimeDays basis
    package { code } considered { basis fromCredits unitPrice { amount } label chosen } explanation validUntil }
    userErrors { code field message }";
const QUOTE: &str =
    "quote { id state credits unitPrice { amount } total { amount currency } lifetimeDays validUntil note
    answer answeredAt requestedBy { email } pool { id } purchase { id } } replayed";
const BOUGHT: &str = "purchase { id credits total { amount currency } validUntil } replayed";

/// What something would cost.
async fn ask(client: &Client, pool: &str, what: Value) -> Value {
    let mut input = json!({ "poolId": pool });
    input.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
    let query = format!("query Q($i: QuotePurchaseInput!) {{ quotePurchase(input: $i) {{ {QUOTED} }} }}");
    client.query(&query, json!({ "i": input })).await["quotePurchase"].clone()
}

async fn buy(client: &Client, pool: &str, what: Value, key: &str) -> Value {
    let mut input = json!({ "poolId": pool, "idempotencyKey": key });
    input.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
    client.try_mutate("requestPurchase", "RequestPurchaseInput", input, BOUGHT).await
}

async fn contract(setting: &Setting, input: Value) -> Value {
    let mut all = json!({ "organizationId": setting.demo.organization });
    all.as_object_mut().unwrap().extend(input.as_object().unwrap().clone());
    let fields = "contractPrice { id fromCredits unitPrice { amount } endsAt reason }";
    setting.operator.try_mutate("setContractPrice", "SetContractPriceInput", all, fields).await
}

async fn request(client: &Client, pool: &str, credits: i64, key: &str) -> Value {
    let input = json!({ "poolId": pool, "credits": credits, "note": "A new region", "idempotencyKey": key });
    client.try_mutate("requestQuote", "RequestQuoteInput", input, QUOTE).await
}

async fn answer(client: &Client, quote: &Value, answer: Value, key: &str) -> Value {
    let input = json!({ "quoteId": quote, "answer": answer, "note": "Welcome", "idempotencyKey": key });
    client.try_mutate("answerQuote", "AnswerQuoteInput", input, QUOTE).await
}

/// Basis, price of a credit, and total.
fn price(quoted: &Value) -> (&str, &str, &str) {
    let quote = &quoted["quote"];
    assert!(quote["basis"].is_string(), "{quoted}");
    let part = |of: &str| quote[of]["amount"].as_str().unwrap_or_default();
    (quote["basis"].as_str().unwrap_or_default(), part("unitPrice"), part("total"))
}

async fn any_quantity_has_a_price(backend: Backend) {
    let setting = setting(backend).await;
    let Setting { owner, operator, demo, .. } = &setting;
    let pool = demo.pool.as_str();
    // What is shipped.
    let starter = ask(owner, pool, json!({ "package": "STARTER" })).await;
    assert_eq!(price(&starter), ("PACKAGE", "1.99", "199.00"));
    assert_eq!(starter["quote"]["package"], json!({ "code": "STARTER" }));
    assert_eq!(starter["quote"]["considered"][0]["chosen"], true);
    for (credits, expected) in [
        (1, ("VOLUME", "1.99", "1.99")),
        (100, ("PACKAGE", "1.99", "199.00")),
        (250, ("PACKAGE", "1.99", "497.50")),
        (500, ("PACKAGE", "1.798", "899.00")),
        (999, ("PACKAGE", "1.798", "1796.20")),
    ] {
        let quoted = ask(owner, pool, json!({ "credits": credits })).await;
        assert_eq!(price(&quoted), expected, "{credits}: {quoted}");
    }
    let quoted = ask(owner, pool, json!({ "credits": 250 })).await;
    assert_eq!(quoted["quote"]["package"], Value::Null, "250 credits are no package");
    for (what, code, field) in [
        (json!({ "credits": 1_000 }), "QUOTE_REQUIRED", "credits"),
        (json!({ "package": "ENTERPRISE" }), "QUOTE_REQUIRED", "package"),
        (json!({ "package": "NO_SUCH" }), "NOT_FOUND", "package"),
        (json!({ "credits": 0 }), "INVALID", "credits"),
        (json!({ "credits": 1_000_000_001 }), "INVALID", "credits"),
        (json!({}), "INVALID", "package"),
        (json!({ "package": "STARTER", "credits": 1 }), "INVALID", "package"),
        (json!({ "quoteId": "quote_00000000000000000000000000" }), "NOT_FOUND", "quoteId"),
        (json!({ "package": "STARTER", "currency": "EUR" }), "INVALID", "currency"),
    ] {
        let quoted = ask(owner, pool, what.clone()).await;
        assert_eq!(refusal(&quoted), (code.to_owned(), field.to_owned()), "{what}: {quoted}");
    }

    // What is asked for now is cheaper once there are tiers.
    let early = buy(owner, pool, json!({ "package": "PROFESSIONAL" }), "early").await["purchase"].clone();
    assert_eq!(early["total"]["amount"], "899.00", "{early}");

    // Volume tiers.
    let tiers = |tiers: Value| {
        let input = json!({ "currency": "USD", "tiers": tiers });
        let fields = "tiers { fromCredits unitPrice { amount currency } lifetimeDays }";
        operator.try_mutate("saveVolumeTiers", "SaveVolumeTiersInput", input, fields)
    };
    let risen =
        json!([{ "fromCredits": 1, "unitPrice": "1.90" }, { "fromCredits": 10, "unitPrice": "1.90" }]);
    assert_eq!(refusal(&tiers(risen).await).1, "tiers.1.unitPrice");
    let saved = tiers(json!([
        { "fromCredits": 50, "unitPrice": "1.9" },
        { "fromCredits": 300, "unitPrice": "1.750005", "lifetimeDays": 365 }
    ]));
    let saved = saved.await["tiers"].clone();
    assert_eq!(saved[0]["unitPrice"], json!({ "amount": "1.90", "currency": "USD" }));
    let few = ask(owner, pool, json!({ "credits": 49 })).await;
    assert_eq!(refusal(&few).0, "PRICE_NOT_AVAILABLE", "{few}");
    let quoted = ask(owner, pool, json!({ "credits": 301 })).await;
    assert_eq!(price(&quoted), ("VOLUME", "1.750005", "526.75"));
    assert_eq!(quoted["quote"]["lifetimeDays"], 365);
    assert_eq!(
        quoted["quote"]["explanation"],
        "The volume price from 300 credits on is the lowest of 3 for so many."
    );
    // A package costs no more than so many credits do, and stays the package: its credits last as it says.
    let quoted = ask(owner, pool, json!({ "package": "PROFESSIONAL" })).await;
    assert_eq!(price(&quoted), ("VOLUME", "1.750005", "875.00"));
    let package = json!({ "code": "PROFESSIONAL" });
    assert_eq!((&quoted["quote"]["lifetimeDays"], &quoted["quote"]["package"]), (&Value::Null, &package));
    assert_eq!(
        quoted["quote"]["explanation"],
        "The volume price from 300 credits on is the lowest of 4 for so many. \
         The credits can be used for as long as those of the package PROFESSIONAL."
    );
    // Whoever asks for so many credits gets the tier's terms: that is no package.
    let quoted = ask(owner, pool, json!({ "credits": 500 })).await;
    assert_eq!((&quoted["quote"]["lifetimeDays"], &quoted["quote"]["package"]), (&json!(365), &Value::Null));
    // What was asked for before is paid at the lower price, and is what was asked for.
    let input = json!({ "purchaseId": early["id"], "idempotencyKey": "early" });
    let fields = "purchase { total { amount } package { code } }";
    let started = owner.mutate("startCheckout", "StartCheckoutInput", input, fields).await;
    assert_eq!(started["purchase"], json!({ "total": { "amount": "875.00" }, "package": package }));
    let bought = buy(owner, pool, json!({ "package": "PROFESSIONAL" }), "late").await["purchase"].clone();
    assert_eq!(bought["total"]["amount"], "875.00", "{bought}");
    let lasting = "SELECT count(*) AS n FROM purchase WHERE credits = 500 AND lifetime_days IS NULL
        AND price_basis = 'VOLUME'";
    assert_eq!(setting.world.number(lasting).await, 2);

    // Contract prices.
    let made =
        contract(&setting, json!({ "fromCredits": 200, "unitPrice": "1.50", "reason": "Framework" })).await;
    assert_eq!(made["userErrors"], json!([]), "{made}");
    for (credits, expected) in
        [(200, ("CONTRACT", "1.50", "300.00")), (5_000, ("CONTRACT", "1.50", "7500.00"))]
    {
        assert_eq!(price(&ask(owner, pool, json!({ "credits": credits })).await), expected);
    }
    assert_eq!(price(&ask(owner, pool, json!({ "credits": 199 })).await), ("VOLUME", "1.90", "378.10"));
    assert_eq!(price(&ask(owner, pool, json!({ "package": "ENTERPRISE" })).await).2, "1500.00");
    // A new one takes its place, dearer as it is; without a price it ends.
    contract(&setting, json!({ "fromCredits": 200, "unitPrice": "1.60" })).await;
    assert_eq!(price(&ask(owner, pool, json!({ "credits": 200 })).await).1, "1.60");
    let ended = contract(&setting, json!({ "fromCredits": 200 })).await;
    assert!(ended["contractPrice"]["endsAt"].is_string(), "{ended}");
    assert_eq!(refusal(&ask(owner, pool, json!({ "credits": 5_000 })).await).0, "QUOTE_REQUIRED");
    let nothing = contract(&setting, json!({ "fromCredits": 200 })).await;
    assert_eq!(refusal(&nothing), ("NOT_FOUND".to_owned(), "fromCredits".to_owned()));
    let query = r#"{ organization(by: { slug: "demo" }) { prices { volumeTiers { fromCredits }
        contractPrices { totalCount nodes { unitPrice { amount } endsAt } } quotes { totalCount } } } }"#;
    let prices = owner.query(query, json!({})).await["organization"]["prices"].clone();
    assert_eq!(prices["volumeTiers"], json!([{ "fromCredits": 50 }, { "fromCredits": 300 }]));
    assert_eq!(prices["contractPrices"]["totalCount"], 2);
    assert!(
        prices["contractPrices"]["nodes"].as_array().unwrap().iter().all(|one| one["endsAt"].is_string())
    );

    // What is quoted is what is bought.
    for (what, key) in [(json!({ "credits": 301 }), "k1"), (json!({ "package": "STARTER" }), "k2")] {
        let quoted = ask(owner, pool, what.clone()).await["quote"].clone();
        let bought = buy(owner, pool, what, key).await["purchase"].clone();
        assert_eq!((&quoted["total"], &quoted["credits"]), (&bought["total"], &bought["credits"]));
    }
}

async fn a_quote_is_asked_for_answered_and_bought(backend: Backend) {
    let setting = setting(backend).await;
    let Setting { world, owner, operator, demo } = &setting;
    let pool = demo.pool.as_str();
    let asked = request(owner, pool, 2_000, "k").await;
    let quote = asked["quote"].clone();
    assert_eq!(
        (&quote["state"], &quote["credits"], &quote["total"]),
        (&json!("REQUESTED"), &json!(2_000), &Value::Null)
    );
    assert_eq!(
        (&quote["pool"]["id"], &quote["requestedBy"]["email"]),
        (&json!(pool), &json!("owner@demo.test"))
    );
    let again = request(owner, pool, 2_000, "k").await;
    assert_eq!((&again["quote"]["id"], &again["replayed"]), (&quote["id"], &json!(true)));
    assert_eq!(refusal(&request(owner, pool, 2_001, "k").await).0, "IDEMPOTENCY_CONFLICT");
    let by_quote = json!({ "quoteId": quote["id"] });
    assert_eq!(refusal(&ask(owner, pool, by_quote.clone()).await).0, "INVALID_STATE", "nobody has answered");

    // The vendor sees what it is asked for, and answers.
    let list = "{ quoteRequests { nodes { id note } } }";
    let listed = operator.query(list, json!({})).await["quoteRequests"]["nodes"].clone();
    assert_eq!(listed, json!([{ "id": quote["id"], "note": "A new region" }]));
    let sold = |amount: &str, currency: &str| json!({ "price": { "total": { "amount": amount, "currency": currency }, "lifetimeDays": 400 } });
    let refused = answer(owner, &quote["id"], sold("3000.00", "USD"), "a").await;
    assert_eq!(refusal(&refused).0, "FORBIDDEN");
    for (wrong, field) in [
        (sold("3000.00", "EUR"), "answer.price.total.currency"),
        (sold("0.00", "USD"), "answer.price.total.amount"),
        (json!({ "decline": false }), "answer.decline"),
    ] {
        assert_eq!(refusal(&answer(operator, &quote["id"], wrong, "a").await).1, field);
    }
    let answered = answer(operator, &quote["id"], sold("3000.00", "USD"), "a").await;
    assert_eq!(answered["userErrors"], json!([]), "{answered}");
    assert_eq!(answered["quote"]["state"], "ANSWERED");
    assert_eq!(answered["quote"]["unitPrice"], json!({ "amount": "1.50" }));
    let again = answer(operator, &quote["id"], sold("3000.00", "USD"), "a").await;
    assert_eq!((&again["quote"], &again["replayed"]), (&answered["quote"], &json!(true)));
    let otherwise = answer(operator, &quote["id"], sold("3000.01", "USD"), "a").await;
    assert_eq!(refusal(&otherwise).0, "IDEMPOTENCY_CONFLICT");
    assert_eq!(operator.query(list, json!({})).await["quoteRequests"]["nodes"], json!([]));

    // It is bought at that price, for that pool, once.
    let quoted = ask(owner, pool, by_quote.clone()).await;
    assert_eq!(price(&quoted), ("QUOTE", "1.50", "3000.00"));
    assert_eq!(quoted["quote"]["lifetimeDays"], 400);
    let other = crate::support::acts::pool(owner, &demo.organization, "Other").await;
    let elsewhere = (String::from("NOT_FOUND"), String::from("quoteId"));
    assert_eq!(refusal(&ask(owner, &other, by_quote.clone()).await), elsewhere);
    let bought = buy(owner, pool, by_quote.clone(), "buy").await;
    assert_eq!(bought["purchase"]["total"], json!({ "amount": "3000.00", "currency": "USD" }), "{bought}");
    assert_eq!(bought["purchase"]["credits"], 2_000);
    let replayed = buy(owner, pool, by_quote.clone(), "buy").await;
    assert_eq!(
        (&replayed["purchase"]["id"], &replayed["replayed"]),
        (&bought["purchase"]["id"], &json!(true))
    );
    assert_eq!(refusal(&buy(owner, pool, by_quote, "again").await).0, "INVALID_STATE");
    for (other, key) in [(json!({ "decline": true }), "b"), (sold("2999.00", "USD"), "c")] {
        let refused = answer(operator, &quote["id"], other, key).await;
        assert_eq!(refusal(&refused), ("INVALID_STATE".to_owned(), "quoteId".to_owned()), "{refused}");
    }
    let query = "query N($id: ID!) { node(id: $id) { ... on Quote { state purchase { id } } } }";
    let used = owner.query(query, json!({ "id": quote["id"] })).await["node"].clone();
    assert_eq!(used, json!({ "state": "USED", "purchase": { "id": bought["purchase"]["id"] } }));

    // What was declined, or has run out, is not bought.
    let declined = request(owner, pool, 3_000, "declined").await["quote"]["id"].clone();
    answer(operator, &declined, json!({ "decline": true }), "no").await;
    let late = request(owner, pool, 4_000, "late").await["quote"]["id"].clone();
    answer(operator, &late, sold("4000.00", "USD"), "late").await;
    let past = world.clock.now().micros() - 1;
    world.sql(&format!("UPDATE quote SET valid_until = {past} WHERE credits = 4000")).await;
    for (id, code) in [(declined, "INVALID_STATE"), (late, "QUOTE_EXPIRED")] {
        assert_eq!(refusal(&ask(owner, pool, json!({ "quoteId": id })).await).0, code);
    }
    // A dry run leaves nothing.
    let input = json!({ "poolId": pool, "credits": 9, "idempotencyKey": "dry", "dryRun": true });
    let dry = owner.mutate("requestQuote", "RequestQuoteInput", input, "quote { state }").await;
    assert_eq!(dry["quote"]["state"], "REQUESTED");
    assert_eq!(world.number("SELECT count(*) AS n FROM quote WHERE credits = 9").await, 0);
    let events = "SELECT count(*) AS n FROM audit_event WHERE action IN ('requestQuote', 'answerQuote')";
    assert_eq!(world.number(events).await, 6);
}

async fn a_currency_is_fixed_by_the_first_quote(backend: Backend) {
    let setting = setting(backend).await;
    let (world, operator) = (&setting.world, &setting.operator);
    let owner = world.found("euro").await;
    let query = r#"{ organization(by: { slug: "euro" }) { id } }"#;
    let organization = owner.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    let pool = crate::support::acts::pool(&owner, &organization, "Pool").await;
    let starter = json!({ "package": "STARTER", "currency": "EUR" });
    let none = (String::from("PRICE_NOT_AVAILABLE"), String::from("package"));
    assert_eq!(refusal(&ask(&owner, &pool, starter.clone()).await), none);
    let input = json!({ "code": "STARTER", "credits": 100, "prices": [
        { "amount": "199.00", "currency": "USD" }, { "amount": "179.00", "currency": "EUR" }] });
    operator.mutate("savePackage", "SavePackageInput", input, "package { prices { amount } }").await;
    let quoted = ask(&owner, &pool, starter).await;
    assert_eq!(price(&quoted), ("PACKAGE", "1.79", "179.00"));
    // Asking what something costs fixes nothing; asking for a quote does, once.
    assert_eq!(price(&ask(&owner, &pool, json!({ "package": "STARTER" })).await).2, "199.00");
    let quote = |currency: &str, key: &str| {
        let input = json!({ "poolId": pool, "credits": 1_500, "currency": currency, "idempotencyKey": key });
        let owner = owner.clone();
        async move { owner.try_mutate("requestQuote", "RequestQuoteInput", input, "quote { id }").await }
    };
    assert!(quote("EUR", "first").await["quote"]["id"].is_string());
    let other = quote("USD", "second").await;
    assert_eq!(refusal(&other), ("INVALID".to_owned(), "currency".to_owned()), "{other}");
    assert!(quote("EUR", "third").await["quote"]["id"].is_string());
    assert_eq!(price(&ask(&owner, &pool, json!({ "package": "STARTER" })).await).2, "179.00");
    let bought = buy(&owner, &pool, json!({ "package": "STARTER" }), "k").await;
    assert_eq!(bought["purchase"]["total"], json!({ "amount": "179.00", "currency": "EUR" }), "{bought}");
    let fixed =
        "SELECT count(*) AS n FROM audit_event WHERE action = 'fixCurrency' AND \"after\" LIKE '%EUR%'";
    assert_eq!(world.number(fixed).await, 1);
}

async fn new_versions_of_the_catalog(backend: Backend) {
    let setting = setting(backend).await;
    let Setting { world, owner, operator, demo } = &setting;
    let save = |input: Value| {
        let fields = "service { code name credits effectiveFrom }";
        operator.try_mutate("saveService", "SaveServiceInput", input, fields)
    };
    let lacking = save(json!({ "code": "VIRTUAL_TOUR", "credits": 4 })).await;
    assert_eq!(refusal(&lacking), ("INVALID".to_owned(), "name".to_owned()));
    assert_eq!(refusal(&save(json!({ "code": "tour", "name": "Tour", "credits": 4 })).await).1, "code");
    let made = save(json!({ "code": "VIRTUAL_TOUR", "name": "Virtual Tour", "credits": 4 })).await;
    assert_eq!(made["service"]["credits"], 4, "{made}");
    let later = (chrono::Utc::now() + chrono::Duration::days(30)).to_rfc3339();
    let dearer = save(json!({ "code": "VIRTUAL_TOUR", "credits": 6, "effectiveFrom": later })).await;
    assert_eq!(dearer["service"]["credits"], 6, "{dearer}");
    let past = json!({ "code": "VIRTUAL_TOUR", "credits": 5, "effectiveFrom": "2020-01-01T00:00:00Z" });
    assert_eq!(refusal(&save(past).await).1, "effectiveFrom");
    let twice = save(json!({ "code": "VIRTUAL_TOUR", "credits": 7, "effectiveFrom": later })).await;
    assert_eq!(refusal(&twice).1, "effectiveFrom", "versions are never changed");
    let line = json!([{ "service": "VIRTUAL_TOUR" }]);
    let charged = owner.charge(json!({ "poolId": demo.pool, "lines": line, "idempotencyKey": "tour" })).await;
    assert_eq!(charged["charge"]["credits"], 4, "what holds now: {charged}");

    let package = |input: Value| {
        let fields = "package { code name credits customPrice lifetimeDays prices { amount currency } }";
        operator.try_mutate("savePackage", "SavePackageInput", input, fields)
    };
    let usd = |amount: &str| json!([{ "amount": amount, "currency": "USD" }]);
    for (wrong, field) in [
        (json!({ "code": "TEAM", "name": "Team", "credits": 250, "prices": [] }), "prices"),
        (
            json!({ "code": "TEAM", "name": "Team", "credits": 250, "prices": usd("1.00"), "customPrice": true }),
            "prices",
        ),
        (json!({ "code": "TEAM", "name": "Team", "credits": 0, "prices": usd("1.00") }), "credits"),
        (json!({ "code": "TEAM", "credits": 250, "prices": usd("1.00") }), "name"),
        (json!({ "code": "TEAM", "name": "Team", "credits": 250, "prices": usd("0.00") }), "prices.0.amount"),
    ] {
        assert_eq!(refusal(&package(wrong).await).1, field);
    }
    let team = json!({ "code": "TEAM", "name": "Team", "credits": 250, "prices": usd("475.00"), "lifetimeDays": 365 });
    assert_eq!(package(team.clone()).await["package"]["credits"], 250);
    let versions = "SELECT count(*) AS n FROM package_version v JOIN package p ON p.id = v.package_id WHERE p.code = 'TEAM'";
    package(team).await;
    assert_eq!(world.number(versions).await, 1, "what says the same is no new version");
    let quoted = ask(owner, &demo.pool, json!({ "package": "TEAM" })).await;
    assert_eq!(price(&quoted), ("PACKAGE", "1.90", "475.00"));
    // Whoever has asked for a purchase keeps the version that was asked for.
    let bought = buy(owner, &demo.pool, json!({ "package": "TEAM" }), "k").await["purchase"]["id"].clone();
    package(json!({ "code": "TEAM", "credits": 300, "prices": usd("540.00") })).await;
    assert_eq!(world.number(versions).await, 2);
    let query =
        "query N($id: ID!) { node(id: $id) { ... on Purchase { package { credits } total { amount } } } }";
    let kept = owner.query(query, json!({ "id": bought })).await["node"].clone();
    assert_eq!(kept, json!({ "package": { "credits": 250 }, "total": { "amount": "475.00" } }));
    let saved = "SELECT count(*) AS n FROM audit_event WHERE action IN ('saveService', 'savePackage')";
    assert_eq!(world.number(saved).await, 4);
}

async fn an_organization_has_its_own_price_of_a_service(backend: Backend) {
    let setting = setting(backend).await;
    let Setting { world, owner, operator, demo } = &setting;
    let charged = async |client: &Client, pool: &str, key: &str| {
        let input =
            json!({ "poolId": pool, "lines": [{ "service": "STYLE_CHANGE" }], "idempotencyKey": key });
        let charged = client.charge(input).await;
        charged["charge"]["credits"].as_i64().unwrap_or_else(|| panic!("{key}: {charged}"))
    };
    let set = async |input: Value| {
        let mut all = json!({ "organizationId": demo.organization, "service": "STYLE_CHANGE" });
        all.as_object_mut().unwrap().extend(input.as_object().unwrap().clone());
        let fields = "service { code credits catalogCredits }";
        operator.try_mutate("setOrganizationPrice", "SetOrganizationPriceInput", all, fields).await
    };
    assert_eq!(charged(owner, &demo.pool, "before").await, 2);
    let made = set(json!({ "credits": 1 })).await;
    assert_eq!(
        made["service"],
        json!({ "code": "STYLE_CHANGE", "credits": 1, "catalogCredits": 2 }),
        "{made}"
    );
    assert_eq!(charged(owner, &demo.pool, "own").await, 1, "at once");
    // It is shown, quoted and explained.
    let query = r#"{ organization(by: { slug: "demo" }) { services { nodes { code credits } } } }"#;
    let services = owner.query(query, json!({})).await["organization"]["services"]["nodes"].clone();
    let shown = services.as_array().unwrap().iter().find(|one| one["code"] == "STYLE_CHANGE").unwrap();
    assert_eq!(shown["credits"], 1);
    let query = "query E($i: QuoteChargeInput!) { explainCharge(input: $i) { credits lines {
        priceVersion { creditsPerUnit own } } } }";
    let input = json!({ "poolId": demo.pool, "lines": [{ "service": "STYLE_CHANGE" }] });
    let explained = owner.query(query, json!({ "i": input })).await["explainCharge"].clone();
    let version = json!({ "creditsPerUnit": 1, "own": true });
    assert_eq!(explained, json!({ "credits": 1, "lines": [{ "priceVersion": version }] }));
    sandboxes::pay_the_same(&setting).await;
    set(json!({ "credits": 1 })).await;
    // Nobody else's.
    let other = world.found("other").await;
    let query = r#"{ organization(by: { slug: "other" }) { id } }"#;
    let organization = other.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    let pool = crate::support::acts::pool(&other, &organization, "Pool").await;
    world.grant(&organization, &pool, 10).await;
    assert_eq!(charged(&other, &pool, "other").await, 2);
    // What the catalog says later does not matter, until the own price ends.
    let input = json!({ "code": "STYLE_CHANGE", "credits": 3 });
    operator.mutate("saveService", "SaveServiceInput", input, "service { credits }").await;
    assert_eq!((charged(owner, &demo.pool, "still").await, charged(&other, &pool, "dearer").await), (1, 3));
    assert_eq!(set(json!({})).await["service"]["credits"], 3);
    assert_eq!(charged(owner, &demo.pool, "ended").await, 3);
    assert_eq!(refusal(&set(json!({ "credits": 0 })).await).1, "credits");
    assert_eq!(refusal(&set(json!({ "service": "NO_SUCH", "credits": 1 })).await).0, "NOT_FOUND");
    let refused = owner.try_mutate(
        "setOrganizationPrice",
        "SetOrganizationPriceInput",
        json!({ "organizationId": demo.organization, "service": "STYLE_CHANGE", "credits": 1 }),
        "",
    );
    assert_eq!(refusal(&refused.await).0, "FORBIDDEN");
}
