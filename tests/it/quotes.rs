//! Quotes: what was told is what is bought, until it is valid no more; what the vendor may answer, how often, who hears of
//! it, and how they end.

use bursar::clock::Clock;
use bursar::schedule;
use bursar_domain::Timestamp;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{at, pool, refusal};
use crate::support::{Backend, Client, World};

on_both_databases!(
    a_price_is_bought_as_it_was_told,
    a_token_is_in_the_currency_of_the_organization,
    an_answer_makes_no_credit_dearer_than_fewer_of_them,
    until_it_is_bought_it_is_answered_anew,
    it_runs_out_or_is_withdrawn,
);

const QUOTE: &str = "quote { id state unitPrice { amount } total { amount } validUntil answer } replayed";

async fn request(client: &Client, pool: &str, credits: i64, key: &str) -> Value {
    let input = json!({ "poolId": pool, "credits": credits, "idempotencyKey": key });
    let asked = client.mutate("requestQuote", "RequestQuoteInput", input, QUOTE).await;
    asked["quote"]["id"].clone()
}

/// What is sold for so many US dollars.
fn sold(amount: &str) -> Value {
    json!({ "price": { "total": { "amount": amount, "currency": "USD" } } })
}

async fn answer(client: &Client, quote: &Value, answer: Value, key: &str) -> Value {
    let input = json!({ "quoteId": quote, "answer": answer, "note": "Welcome", "idempotencyKey": key });
    client.try_mutate("answerQuote", "AnswerQuoteInput", input, QUOTE).await
}

const TOLD: &str =
    "quote { credits total { amount currency } unitPrice { amount } lifetimeDays validUntil token }
    userErrors { code field }";
const BOUGHT: &str =
    "purchase { id credits total { amount currency } unitPrice { amount } validUntil } replayed";

/// What something would cost.
async fn ask(client: &Client, pool: &str, what: Value) -> Value {
    let query = format!("query Q($i: QuotePurchaseInput!) {{ quotePurchase(input: $i) {{ {TOLD} }} }}");
    let input = with(json!({ "poolId": pool }), what);
    client.query(&query, json!({ "i": input })).await["quotePurchase"].clone()
}

async fn buy(client: &Client, pool: &str, what: Value, key: &str) -> Value {
    let input = with(json!({ "poolId": pool, "idempotencyKey": key }), what);
    client.try_mutate("requestPurchase", "RequestPurchaseInput", input, BOUGHT).await
}

fn with(mut input: Value, more: Value) -> Value {
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

fn token(told: &Value) -> Value {
    assert!(told["quote"]["token"].is_string(), "{told}");
    json!({ "quoteToken": told["quote"]["token"] })
}

fn at_field(code: &str, field: &str) -> (String, String) {
    (code.to_owned(), field.to_owned())
}

async fn a_price_is_bought_as_it_was_told(backend: Backend) {
    let start = at("2026-05-10T12:00:00Z");
    let clock = Clock::set(start);
    let world = World::start_untimed(backend, clock.clone()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let purchases = "SELECT count(*) AS n FROM purchase";
    let before = world.number(purchases).await;
    let told = ask(&owner, &demo.pool, json!({ "credits": 250 })).await;
    assert_eq!(told["quote"]["total"]["amount"], "497.50", "{told}");
    assert_eq!(world.number(purchases).await, before, "asking writes nothing");

    // Prices rise. What is asked for in the same words costs more, and is refused when that is not expected.
    for (code, credits, price) in [("STARTER", 100, "299.00"), ("PROFESSIONAL", 500, "1299.00")] {
        let prices = json!([{ "amount": price, "currency": "USD" }]);
        let input = json!({ "code": code, "credits": credits, "prices": prices });
        operator.mutate("savePackage", "SavePackageInput", input, "package { code }").await;
    }
    let input = json!({ "currency": "USD", "tiers": [{ "fromCredits": 1, "unitPrice": "2.99" }] });
    operator.mutate("saveVolumeTiers", "SaveVolumeTiersInput", input, "tiers { fromCredits }").await;
    let dearer = json!({ "amount": "747.50", "currency": "USD" });
    let expecting = |total: &Value| json!({ "credits": 250, "expectedTotal": total });
    let refused = buy(&owner, &demo.pool, expecting(&told["quote"]["total"]), "words").await;
    assert_eq!(refusal(&refused), at_field("TOTAL_CHANGED", "expectedTotal"), "{refused}");
    let error = &refused["userErrors"][0];
    assert_eq!((&error["expected"], &error["total"]), (&told["quote"]["total"], &dearer));
    let euros = json!({ "amount": "747.50", "currency": "EUR" });
    assert_eq!(refusal(&buy(&owner, &demo.pool, expecting(&euros), "words").await).0, "TOTAL_CHANGED");
    assert_eq!(world.number(purchases).await, before, "nothing was requested");
    let bought = buy(&owner, &demo.pool, expecting(&dearer), "words").await;
    assert_eq!(bought["purchase"]["total"], dearer, "the key was not taken: {bought}");
    let other = buy(&owner, &demo.pool, json!({ "credits": 250 }), "words").await;
    assert_eq!(refusal(&other).0, "IDEMPOTENCY_CONFLICT", "what is expected is part of the request");

    // With the token it costs what was told, in any pool of the organization, as long as that is valid.
    let elsewhere = pool(&owner, &demo.organization, "Other").await;
    for (pool, key) in [(demo.pool.as_str(), "token"), (elsewhere.as_str(), "other pool")] {
        let bought = buy(&owner, pool, token(&told), key).await;
        for part in ["credits", "total", "unitPrice", "validUntil"] {
            assert_eq!(bought["purchase"][part], told["quote"][part], "{part}: {bought}");
        }
    }
    let as_told = with(token(&told), json!({ "expectedTotal": told["quote"]["total"] }));
    assert_eq!(buy(&owner, &demo.pool, as_told, "expected").await["userErrors"], json!([]));
    let otherwise = with(token(&told), json!({ "expectedTotal": dearer }));
    assert_eq!(refusal(&buy(&owner, &demo.pool, otherwise, "unexpected").await).0, "TOTAL_CHANGED");
    let two_ways = with(token(&told), json!({ "credits": 250 }));
    assert_eq!(refusal(&buy(&owner, &demo.pool, two_ways, "two").await), at_field("INVALID", "package"));
    let in_euros = with(token(&told), json!({ "currency": "EUR" }));
    assert_eq!(refusal(&buy(&owner, &demo.pool, in_euros, "euros").await).1, "currency");

    // What was changed, or was told to somebody else, is no quote.
    let foreign = at_field("QUOTE_INVALID", "quoteToken");
    let text = told["quote"]["token"].as_str().unwrap();
    let swapped = if text.starts_with('A') { "B" } else { "A" };
    for changed in ["", "x", &text[1..], &text[..text.len() - 1], &format!("{swapped}{}", &text[1..])] {
        let refused = buy(&owner, &demo.pool, json!({ "quoteToken": changed }), "changed").await;
        assert_eq!(refusal(&refused), foreign, "{changed}");
    }
    let stranger = world.found("stranger").await;
    let query = r#"{ organization(by: { slug: "stranger" }) { id } }"#;
    let theirs = stranger.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    let their_pool = pool(&stranger, &theirs, "Pool").await;
    assert_eq!(refusal(&buy(&stranger, &their_pool, token(&told), "stolen").await), foreign);

    // Until the last microsecond; what was requested by then is there for ever.
    clock.turn(Timestamp::from_micros(start.plus_days(10).micros() - 1));
    let owner = world.client("owner@demo.test").await;
    let last = buy(&owner, &demo.pool, token(&told), "last").await;
    assert_eq!(last["purchase"]["total"], told["quote"]["total"], "{last}");
    clock.turn(start.plus_days(10));
    let late = buy(&owner, &demo.pool, token(&told), "late").await;
    assert_eq!(refusal(&late), at_field("QUOTE_EXPIRED", "quoteToken"), "{late}");
    let again = buy(&owner, &demo.pool, token(&told), "last").await;
    assert_eq!((&again["purchase"]["id"], &again["replayed"]), (&last["purchase"]["id"], &json!(true)));
}

async fn a_token_is_in_the_currency_of_the_organization(backend: Backend) {
    let world = World::start(backend).await;
    let operator = world.client("operator@bursar.test").await;
    let prices =
        json!([{ "amount": "199.00", "currency": "USD" }, { "amount": "179.00", "currency": "EUR" }]);
    let input = json!({ "code": "STARTER", "credits": 100, "prices": prices });
    operator.mutate("savePackage", "SavePackageInput", input, "package { code }").await;
    let owner = world.found("euro").await;
    let query = r#"{ organization(by: { slug: "euro" }) { id currency } }"#;
    let organization = owner.query(query, json!({})).await["organization"].clone();
    assert_eq!(organization["currency"], Value::Null);
    let pool = pool(&owner, organization["id"].as_str().unwrap(), "Pool").await;
    let told = async |currency: &str| {
        ask(&owner, &pool, json!({ "package": "STARTER", "currency": currency })).await
    };
    // No currency is fixed yet, so both can be told; the first that is bought fixes it.
    let (dollars, euros) = (told("USD").await, told("EUR").await);
    let bought = buy(&owner, &pool, token(&euros), "euros").await;
    assert_eq!(bought["purchase"]["total"], json!({ "amount": "179.00", "currency": "EUR" }), "{bought}");
    assert_eq!(owner.query(query, json!({})).await["organization"]["currency"], "EUR");
    let refused = buy(&owner, &pool, token(&dollars), "dollars").await;
    assert_eq!(refusal(&refused), at_field("QUOTE_INVALID", "quoteToken"), "{refused}");
    assert!(refused["userErrors"][0]["message"].as_str().unwrap().contains("EUR"), "{refused}");
    assert_eq!(refusal(&told("USD").await), at_field("INVALID", "currency"));
}

async fn an_answer_makes_no_credit_dearer_than_fewer_of_them(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let rises = (String::from("PRICE_RISES"), String::from("answer.price.total.amount"));
    // 500 credits cost 1.798 each, so 2,000 cost 3596.00 at most.
    let quote = request(&owner, &demo.pool, 2_000, "shipped").await;
    let refused = answer(&operator, &quote, sold("3596.01"), "a").await;
    assert_eq!(refusal(&refused), rises, "{refused}");
    let error = &refused["userErrors"][0];
    assert_eq!(error["__typename"], "PriceRisesError");
    assert_eq!(error["highest"], json!({ "amount": "3596.00", "currency": "USD" }));
    assert!(error["message"].as_str().unwrap().contains("USD 3596.00"), "{error}");
    let query = "query N($id: ID!) { node(id: $id) { ... on Quote { state } } }";
    let unanswered = owner.query(query, json!({ "id": quote })).await["node"]["state"].clone();
    assert_eq!(unanswered, "REQUESTED");
    let answered = answer(&operator, &quote, sold("3596.00"), "a").await;
    assert_eq!(answered["quote"]["unitPrice"]["amount"], "1.798", "the key was not taken: {answered}");
    let told = ask(&owner, &demo.pool, json!({ "quoteId": quote })).await;
    assert_eq!(told["quote"]["token"], Value::Null, "it is bought by its id: {told}");

    // What was agreed on with the organization counts as well, even where it does not begin at the quantity.
    let quote = request(&owner, &demo.pool, 3_000, "contract").await;
    let input = json!({ "organizationId": demo.organization, "fromCredits": 100, "unitPrice": "1.333333" });
    operator.mutate("setContractPrice", "SetContractPriceInput", input, "contractPrice { id }").await;
    let refused = answer(&operator, &quote, sold("4000.01"), "b").await;
    assert_eq!(refusal(&refused), rises, "{refused}");
    assert_eq!(refused["userErrors"][0]["highest"]["amount"], "4000.00", "rounded: {refused}");
    let answered = answer(&operator, &quote, sold("4000.00"), "b").await;
    assert_eq!(answered["quote"]["unitPrice"]["amount"], "1.333333", "{answered}");
    // Never more than the price of a credit for fewer, to the last millionth of a cent.
    let fewer = ask(&owner, &demo.pool, json!({ "credits": 2_999 })).await;
    assert_eq!(fewer["quote"]["unitPrice"]["amount"], "1.333333");
}

/// Whom mails with a template went to: those of the demonstration's organization as its owner sees them, or all of them as
/// the vendor's staff does.
async fn mails(client: &Client, template: &str, all: bool) -> Vec<String> {
    let nodes = if all {
        let query = "{ deliveries(first: 50) { nodes { template recipient } } }";
        client.query(query, json!({})).await["deliveries"]["nodes"].clone()
    } else {
        let query = r#"{ organization(by: { slug: "demo" }) { deliveries(first: 50) {
            nodes { template recipient } } } }"#;
        client.query(query, json!({})).await["organization"]["deliveries"]["nodes"].clone()
    };
    let of = nodes.as_array().unwrap().iter().filter(|mail| mail["template"] == template);
    of.map(|mail| mail["recipient"].as_str().unwrap().to_owned()).collect()
}

/// Where a quote stands, or a purchase.
async fn state(client: &Client, thing: &Value) -> Value {
    let query =
        "query N($id: ID!) { node(id: $id) { ... on Quote { state } ... on Purchase { stands: state } } }";
    let node = client.query(query, json!({ "id": thing })).await["node"].clone();
    if node["stands"].is_null() { node["state"].clone() } else { node["stands"].clone() }
}

async fn until_it_is_bought_it_is_answered_anew(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    const ASKED: &str = "QUOTE_REQUESTED";
    const ANSWERED: &str = "QUOTE_ANSWERED";
    // The vendor is told, at its own; a dry run and a repetition tell nobody.
    let input = json!({ "poolId": demo.pool, "credits": 2_000, "idempotencyKey": "dry", "dryRun": true });
    owner.mutate("requestQuote", "RequestQuoteInput", input, QUOTE).await;
    let quote = request(&owner, &demo.pool, 2_000, "asked").await;
    request(&owner, &demo.pool, 2_000, "asked").await;
    assert_eq!(mails(&operator, ASKED, true).await, ["operator@bursar.test"]);
    assert!(mails(&owner, ASKED, false).await.is_empty(), "it is the vendor's own");
    // Whoever asked is told of each answer.
    let first = answer(&operator, &quote, sold("3200.00"), "first").await;
    assert_eq!(first["quote"]["total"]["amount"], "3200.00", "{first}");
    let second = answer(&operator, &quote, sold("3000.00"), "second").await;
    assert_eq!(second["quote"]["total"]["amount"], "3000.00", "{second}");
    assert_eq!(
        ask(&owner, &demo.pool, json!({ "quoteId": quote })).await["quote"]["total"]["amount"],
        "3000.00"
    );
    // Repeated, an answer is what it was, and changes nothing.
    for (key, amount, payload) in [("first", "3200.00", &first), ("second", "3000.00", &second)] {
        let again = answer(&operator, &quote, sold(amount), key).await;
        assert_eq!((&again["quote"], &again["replayed"]), (&payload["quote"], &json!(true)), "{again}");
        let other = answer(&operator, &quote, sold("1000.00"), key).await;
        assert_eq!(refusal(&other).0, "IDEMPOTENCY_CONFLICT", "{key}");
    }
    assert_eq!(mails(&owner, ANSWERED, false).await, ["owner@demo.test", "owner@demo.test"]);
    assert_eq!(mails(&operator, ASKED, true).await.len(), 1);
    let expecting =
        |amount: &str| json!({ "quoteId": quote, "expectedTotal": { "amount": amount, "currency": "USD" } });
    let refused = buy(&owner, &demo.pool, expecting("3200.00"), "buy").await;
    assert_eq!(refusal(&refused), at_field("TOTAL_CHANGED", "expectedTotal"), "{refused}");
    // Declined it is not bought; with a price again it is, and from then on the answer stands.
    answer(&operator, &quote, json!({ "decline": true }), "third").await;
    assert_eq!(refusal(&buy(&owner, &demo.pool, expecting("3000.00"), "buy").await).0, "INVALID_STATE");
    answer(&operator, &quote, sold("2900.00"), "fourth").await;
    let bought = buy(&owner, &demo.pool, expecting("2900.00"), "buy").await;
    assert_eq!(bought["purchase"]["total"]["amount"], "2900.00", "{bought}");
    let late = answer(&operator, &quote, sold("2800.00"), "fifth").await;
    assert_eq!(refusal(&late), at_field("INVALID_STATE", "quoteId"), "{late}");
    let again = answer(&operator, &quote, sold("3200.00"), "first").await;
    assert_eq!(again["quote"]["total"]["amount"], "3200.00", "the first answer, for ever: {again}");
    assert_eq!(state(&owner, &quote).await, "USED");
    assert_eq!(mails(&owner, ANSWERED, false).await.len(), 4);
    assert_eq!(world.number("SELECT count(*) AS n FROM quote_answer").await, 3);
    // Who has left is told of nothing, and can be answered all the same.
    let input = json!({ "organizationId": demo.organization, "email": "leaver@demo.test", "role": "ADMIN" });
    let member = operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
    let leaver = world.client("leaver@demo.test").await;
    let quote = request(&leaver, &demo.pool, 3_000, "leaver").await;
    let input = json!({ "memberId": member["member"]["id"] });
    owner.mutate("removeMember", "RemoveMemberInput", input, "removedMemberId").await;
    let answered = answer(&operator, &quote, sold("3000.00"), "leaver").await;
    assert_eq!(answered["userErrors"], json!([]), "{answered}");
    assert_eq!(mails(&owner, ANSWERED, false).await.len(), 4);
}

async fn it_runs_out_or_is_withdrawn(backend: Backend) {
    let start = at("2026-05-10T12:00:00Z");
    let clock = Clock::set(start);
    let world = World::start_untimed(backend, clock.clone()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let withdraw = async |client: &Client, quote: &Value| {
        let input = json!({ "quoteId": quote });
        client.try_mutate("withdrawQuote", "WithdrawQuoteInput", input, "quote { state }").await
    };
    let ended = at_field("INVALID_STATE", "quoteId");
    // Before it is answered or after; once; and then nothing more becomes of it.
    for (key, price) in [("unanswered", None), ("answered", Some("3000.00"))] {
        let quote = request(&owner, &demo.pool, 2_000, key).await;
        if let Some(price) = price {
            answer(&operator, &quote, sold(price), key).await;
        }
        for _ in 0..2 {
            assert_eq!(withdraw(&owner, &quote).await["quote"]["state"], "WITHDRAWN", "{key}");
        }
        assert_eq!(refusal(&answer(&operator, &quote, sold("2000.00"), "withdrawn").await), ended);
        assert_eq!(refusal(&ask(&owner, &demo.pool, json!({ "quoteId": quote })).await), ended);
        assert_eq!(refusal(&buy(&owner, &demo.pool, json!({ "quoteId": quote }), key).await), ended);
    }
    let declined = request(&owner, &demo.pool, 2_000, "declined").await;
    answer(&operator, &declined, json!({ "decline": true }), "declined").await;
    assert_eq!(refusal(&withdraw(&owner, &declined).await), ended);
    let events = "SELECT count(*) AS n FROM audit_event WHERE action = 'withdrawQuote'";
    assert_eq!(world.number(events).await, 2);

    // What nobody answers runs out after 30 days, and so does a price when it holds no more.
    let quote = request(&owner, &demo.pool, 2_000, "slow").await;
    let selling = &world.services().selling;
    let pass = async |to: Timestamp| {
        clock.turn(to);
        schedule::run_once(selling).await.unwrap();
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await)
    };
    let last = |days: i64| Timestamp::from_micros(start.plus_days(days).micros() - 1);
    let (owner, _) = pass(last(30)).await;
    assert_eq!(state(&owner, &quote).await, "REQUESTED");
    let (mut owner, mut operator) = pass(start.plus_days(30)).await;
    assert_eq!(state(&owner, &quote).await, "EXPIRED");
    assert_eq!(refusal(&withdraw(&owner, &quote).await), ended);
    let by_quote = json!({ "quoteId": quote });
    let expired = at_field("QUOTE_EXPIRED", "quoteId");
    assert_eq!(refusal(&ask(&owner, &demo.pool, by_quote.clone()).await), expired);
    // The vendor may answer late, and again when the price has run out.
    for (round, ends) in [("late", 60), ("later", 90)] {
        let answered = answer(&operator, &quote, sold("3000.00"), round).await;
        assert_eq!(answered["quote"]["state"], "ANSWERED", "{answered}");
        (owner, _) = pass(last(ends)).await;
        assert_eq!(state(&owner, &quote).await, "ANSWERED");
        (owner, operator) = pass(start.plus_days(ends)).await;
        assert_eq!(state(&owner, &quote).await, "EXPIRED", "{round}");
        assert_eq!(refusal(&buy(&owner, &demo.pool, by_quote.clone(), round).await), expired);
        let again = answer(&operator, &quote, sold("3000.00"), round).await;
        assert_eq!(again["replayed"], true, "{again}");
    }
    let events = "SELECT count(*) AS n FROM audit_event WHERE action = 'expireQuote'";
    assert_eq!(world.number(events).await, 3);

    // Bought it does not run out. Given back it can be bought again, and runs out with its price.
    let answered = answer(&operator, &quote, sold("3000.00"), "last").await;
    assert_eq!(answered["quote"]["state"], "ANSWERED", "{answered}");
    let bought = buy(&owner, &demo.pool, by_quote.clone(), "given back").await;
    let input = json!({ "purchaseId": bought["purchase"]["id"] });
    owner.mutate("cancelPurchase", "CancelPurchaseInput", input, "purchase { id }").await;
    assert_eq!(state(&owner, &quote).await, "ANSWERED");
    let bought = buy(&owner, &demo.pool, by_quote.clone(), "never paid").await;
    (owner, _) = pass(last(120)).await;
    assert_eq!(state(&owner, &quote).await, "USED", "{bought}");
    (owner, _) = pass(start.plus_days(120)).await;
    assert_eq!(state(&owner, &bought["purchase"]["id"]).await, "EXPIRED");
    assert_eq!(state(&owner, &quote).await, "EXPIRED");
    assert_eq!(world.number(events).await, 4);
}
