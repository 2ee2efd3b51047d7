//! The checkout page: opening changes nothing; however often and from wherever it is paid, there is one lot; the credits are
//! live at once; each state of a payment is told; closed, expired and tampered addresses say so.

use std::time::{Duration, Instant};

use bursar::clock::Clock;
use bursar_domain::Timestamp;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::{Backend, Client, World, acts, uses};

on_both_databases!(
    paying_twice_gives_one_lot,
    credits_are_live_within_a_second,
    every_state_says_so,
    giving_up_and_starting_again,
    addresses_prove_themselves,
    prices_run_out
);

async fn lots(owner: &Client, pool: &str) -> i64 {
    let query = format!("{{ pool(id: \"{pool}\") {{ lots {{ totalCount }} }} }}");
    owner.query(&query, json!({})).await["pool"]["lots"]["totalCount"].as_i64().unwrap()
}

async fn state(owner: &Client, purchase: &str) -> Value {
    let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { state lot { credits } payments { state } } } }";
    owner.query(query, json!({ "id": purchase })).await["node"].clone()
}

async fn paying_twice_gives_one_lot(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let (purchase, url) = owner.checkout(&demo.pool, "k").await;
    for _ in 0..3 {
        let (status, page) = owner.open(&url).await;
        assert!(status == 200 && page.contains("Pay USD 199.00"));
    }
    let head = owner.http().head(&url).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), head.headers()["referrer-policy"].to_str().unwrap()),
        (200, "no-referrer")
    );
    assert_eq!(head.headers()["cache-control"], "no-store");
    assert!(head.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    assert_eq!(lots(&owner, &demo.pool).await, 1, "only the demonstration's own");
    let pages = join_all((0..20).map(|_| async { owner.submit(&format!("{url}/pay")).await })).await;
    let paid = pages.iter().filter(|(_, page)| page.contains("Paid. Thank you.")).count();
    let already =
        pages.iter().filter(|(status, page)| *status == 200 && page.contains("This order is paid.")).count();
    assert_eq!((paid, already), (1, 19));
    assert_eq!(lots(&owner, &demo.pool).await, 2);
    assert_eq!(owner.balance(&demo.pool).await, (200, 2));
    assert_eq!(
        state(&owner, &purchase).await,
        json!({ "state": "COMPLETED", "lot": { "credits": 100 }, "payments": [{ "state": "PAID" }] })
    );
    // Reloading and giving up afterwards changes nothing.
    for (status, page) in [owner.open(&url).await, owner.submit(&format!("{url}/cancel")).await] {
        assert!(status == 200 && page.contains("This order is paid.") && !page.contains("<form"), "{page}");
    }
    // A paid purchase starts no checkout and cannot be withdrawn; the same keys answer as before.
    let input = json!({ "purchaseId": purchase, "idempotencyKey": "another" });
    let again = owner.try_mutate("startCheckout", "StartCheckoutInput", input, "").await;
    assert_eq!(again["userErrors"][0]["code"], "INVALID_STATE");
    let input = json!({ "purchaseId": purchase });
    let cancelled = owner.try_mutate("cancelPurchase", "CancelPurchaseInput", input, "").await;
    assert_eq!(cancelled["userErrors"][0]["code"], "INVALID_STATE");
    let (same, same_url) = owner.checkout(&demo.pool, "k").await;
    assert_eq!((same, same_url), (purchase.clone(), url));
    let input = json!({ "poolId": demo.pool, "package": "PROFESSIONAL", "idempotencyKey": "k" });
    let other = owner.try_mutate("requestPurchase", "RequestPurchaseInput", input, "").await;
    assert_eq!(other["userErrors"][0]["code"], "IDEMPOTENCY_CONFLICT");
}

async fn credits_are_live_within_a_second(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let (purchase, url) = owner.checkout(&demo.pool, "k").await;
    let (mut balance, mut bought) = (owner.socket().await, owner.socket().await);
    let watch =
        "subscription B($id: ID!) { poolBalance(poolId: $id) { kind balance { available version } } }";
    balance.subscribe("1", watch, json!({ "id": demo.pool })).await;
    assert_eq!(balance.next("poolBalance").await["kind"], "SNAPSHOT");
    let watch = "subscription P($id: ID!) { purchase(id: $id) { state } }";
    bought.subscribe("1", watch, json!({ "id": purchase })).await;
    assert_eq!(bought.next("purchase").await["state"], "AWAITING_PAYMENT");
    let (status, page) = owner.submit(&format!("{url}/pay")).await;
    let paid = Instant::now();
    assert!(status == 200 && page.contains("100 credits are in the pool now."), "{page}");
    let event = balance.next("poolBalance").await;
    assert_eq!(event, json!({ "kind": "CHANGE", "balance": { "available": 200, "version": 2 } }));
    assert_eq!(bought.next("purchase").await["state"], "COMPLETED");
    let late = paid.elapsed();
    assert!(late < Duration::from_secs(1), "the credits came {late:?} after the payment");
}

/// A checkout page and what it says.
pub struct Told {
    /// Where the payment stands.
    pub state: &'static str,
    /// The address.
    pub url: String,
    /// What it says.
    pub says: &'static str,
}

/// Checkout pages of payments in the states that nobody gets to by paying or giving up at the page, one of each.
pub async fn in_each_state(world: &World, owner: &Client, pool: &str) -> Vec<Told> {
    let mut told = Vec::new();
    for (state, payment, purchase, says) in [
        ("pending", "state = 'PENDING'", "state = state", "The payment is under way."),
        ("unwanted", "state = 'PENDING'", "state = 'CANCELLED'", "No credits come of this payment."),
        ("parked", "state = 'PARKED'", "state = state", "Your payment is being looked at."),
        (
            "dealt-with",
            "state = 'CANCELLED', failure = 'not_as_agreed'",
            "state = 'APPROVED'",
            "the seller has decided what becomes of it",
        ),
        (
            "failed",
            "state = 'FAILED', failure = 'card_declined'",
            "state = 'PAYMENT_FAILED'",
            "The payment failed.",
        ),
        (
            "returned",
            "state = 'PAID', paid_at = created_at",
            "state = 'REFUNDED', returned = total",
            "The payment was given back.",
        ),
        ("expired", "state = 'CANCELLED'", "state = 'EXPIRED'", "The price is no longer valid."),
        ("invoiced", "state = 'CANCELLED'", "invoiced = TRUE", "This order is paid by invoice."),
        // Last, since it stays open.
        ("unavailable", "provider = 'STRIPE'", "state = state", "This checkout cannot be paid."),
    ] {
        let (_, url) = owner.checkout(pool, state).await;
        let open = "(SELECT purchase_id FROM payment WHERE state = 'OPEN')";
        let changed = world.sql(&format!("UPDATE purchase SET {purchase} WHERE id IN {open}")).await;
        assert_eq!(changed, 1, "{state}");
        world.sql(&format!("UPDATE payment SET {payment} WHERE state = 'OPEN'")).await;
        told.push(Told { state, url, says });
    }
    told
}

async fn every_state_says_so(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    for Told { state, url, says } in in_each_state(&world, &owner, &demo.pool).await {
        let (status, page) = owner.open(&url).await;
        assert!(status == 200 && page.contains(says), "{state}: {page}");
        assert!(!page.contains("<form"), "{state}: {page}");
        // Nothing of it can be paid by whoever sends the form all the same.
        let (status, page) = owner.submit(&format!("{url}/pay")).await;
        let paid_before = state == "returned";
        assert_eq!(status, if paid_before { 200 } else { 409 }, "{state}");
        assert!(page.contains(says), "{state}: {page}");
        // What the provider's page leads back to.
        for end in ["done", "back"] {
            let back = owner.http().get(format!("{url}/{end}")).send().await.unwrap();
            assert_eq!(back.status(), 303, "{state}");
            assert_eq!(owner.url(back.headers()["location"].to_str().unwrap()), url);
        }
        match state {
            "failed" => {
                assert!(page.contains("The card was declined.") && !page.contains("card_declined"), "{page}");
            }
            "returned" => assert!(page.contains("Given back</dt><dd>USD 199.00"), "{page}"),
            _ => {}
        }
    }
    assert_eq!(owner.balance(&demo.pool).await, (100, 1));
    what_was_given_back_has_its_credit_notes(&world, &owner, &demo.pool).await;
    what_settles_a_debt_says_so(&world, &owner, &demo.organization).await;
}

/// The page leads to a credit note for each part that was given back.
async fn what_was_given_back_has_its_credit_notes(world: &World, owner: &Client, pool: &str) {
    let operator = world.client("operator@bursar.test").await;
    let (purchase, url) = owner.checkout(pool, "given back").await;
    let (_, page) = owner.submit(&format!("{url}/pay")).await;
    assert!(page.contains("Paid. Thank you.") && !page.contains("Credit note"), "{page}");
    for (key, amount, returned, says) in [
        ("part", "50.00", "50.00", "This order is paid."),
        ("rest", "149.00", "199.00", "The payment was given back."),
    ] {
        let amount = json!({ "amount": amount, "currency": "USD" });
        let input =
            json!({ "purchaseId": purchase, "amount": amount, "reason": "Too much", "idempotencyKey": key });
        operator.mutate("refundPurchase", "RefundPurchaseInput", input, "reversal { state }").await;
        let (_, page) = owner.open(&url).await;
        let given_back = format!("Given back</dt><dd>USD {returned}");
        assert!(page.contains(says) && page.contains(&given_back) && page.contains(">Receipt<"), "{page}");
        let links: Vec<&str> = page.split("<p><a href=\"").skip(1).collect();
        let notes: Vec<&str> = links
            .iter()
            .filter(|link| link.contains(">Credit note "))
            .map(|link| link.split('"').next().unwrap())
            .collect();
        assert_eq!(notes.len(), if key == "part" { 1 } else { 2 }, "{page}");
        let (status, note) = owner.open(&owner.url(notes[notes.len() - 1])).await;
        assert!(status == 200 && note.contains("Credit note"), "{note}");
    }
}

/// Who has bought credits that all went to what the pool owed is told so, rather than that they are there.
async fn what_settles_a_debt_says_so(world: &World, owner: &Client, organization: &str) {
    let operator = world.client("operator@bursar.test").await;
    let pool = acts::pool(owner, organization, "In debt").await;
    let settled = async |purchase: &str| {
        let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { settledDebt } } }";
        owner.query(query, json!({ "id": purchase })).await["node"]["settledDebt"].clone()
    };
    for (key, used, said) in [
        ("all", 100, "All of the 100 credits settled what the pool owed. None of them can be used."),
        ("some", 30, "30 of the 100 credits settled what the pool owed. 70 can be used."),
    ] {
        let (purchase, url) = owner.checkout(&pool, key).await;
        assert_eq!(settled(&purchase).await, Value::Null);
        let (_, page) = owner.submit(&format!("{url}/pay")).await;
        assert!(page.contains("100 credits are in the pool now."), "{page}");
        assert_eq!(settled(&purchase).await, 0);
        let charged = owner.charge(uses::of(&pool, key, used)).await;
        assert_eq!(charged["userErrors"], json!([]), "{charged}");
        let input = json!({ "purchaseId": purchase, "reason": "A mistake", "idempotencyKey": key });
        operator.mutate("refundPurchase", "RefundPurchaseInput", input, "reversal { state }").await;
        let (purchase, url) = owner.checkout(&pool, &format!("{key} again")).await;
        let (status, page) = owner.submit(&format!("{url}/pay")).await;
        assert!(status == 200 && page.contains("Paid. Thank you.") && page.contains(said), "{page}");
        assert!(!page.contains("are in the pool now"), "{page}");
        let (_, page) = owner.open(&url).await;
        assert!(page.contains("This order is paid.") && page.contains(said), "{page}");
        assert_eq!(settled(&purchase).await, used);
        assert_eq!(owner.balance(&pool).await.0, 100 - used);
    }
}

async fn giving_up_and_starting_again(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let (purchase, first) = owner.checkout(&demo.pool, "k").await;
    let (status, page) = owner.submit(&format!("{first}/cancel")).await;
    assert!(
        status == 200 && page.contains("This checkout is closed.") && page.contains("Nothing was paid"),
        "{page}"
    );
    assert_eq!(state(&owner, &purchase).await["state"], "APPROVED");
    let (status, page) = owner.submit(&format!("{first}/pay")).await;
    assert!(status == 409 && page.contains("This checkout is closed."), "{page}");
    let start = |key: &str| {
        let input = json!({ "purchaseId": purchase, "idempotencyKey": key });
        let owner = owner.clone();
        async move {
            let started = owner
                .mutate("startCheckout", "StartCheckoutInput", input, "checkoutUrl purchase { state }")
                .await;
            started["checkoutUrl"].as_str().unwrap().replace("http://bursar.test", &owner.url(""))
        }
    };
    let (second, third) = (start("second").await, start("third").await);
    // Two tabs: the newer checkout has closed the older one.
    let (status, _) = owner.submit(&format!("{second}/pay")).await;
    assert_eq!(status, 409);
    let (status, page) = owner.submit(&format!("{third}/pay")).await;
    assert!(status == 200 && page.contains("Paid. Thank you."), "{page}");
    assert_eq!(lots(&owner, &demo.pool).await, 2);
    assert_eq!(
        state(&owner, &purchase).await["payments"],
        json!([{ "state": "PAID" }, { "state": "CANCELLED" }, { "state": "CANCELLED" }])
    );
    // A withdrawn purchase closes its page.
    let (purchase, url) = owner.checkout(&demo.pool, "withdrawn").await;
    let input = json!({ "purchaseId": purchase });
    for _ in 0..2 {
        let cancelled =
            owner.mutate("cancelPurchase", "CancelPurchaseInput", input.clone(), "purchase { state }").await;
        assert_eq!(cancelled["purchase"]["state"], "CANCELLED");
    }
    assert_eq!(owner.submit(&format!("{url}/pay")).await.0, 409);
    assert_eq!(owner.balance(&demo.pool).await, (200, 2));
}

async fn addresses_prove_themselves(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let (purchase, url) = owner.checkout(&demo.pool, "k").await;
    let (_, other) = owner.checkout(&demo.pool, "other").await;
    let (path, token) = url.rsplit_once('/').unwrap();
    let (other_path, _) = other.rsplit_once('/').unwrap();
    let flipped = if token.starts_with('A') { "B" } else { "A" };
    for bad in [
        format!("{path}/{flipped}{}", &token[1..]),
        format!("{path}/{}", &token[1..]),
        format!("{path}/x"),
        format!("{other_path}/{token}"),
        format!("{}/checkout/x/y/z", owner.url("")),
        format!("{}/checkout/%FF/y/z", owner.url("")),
        format!(
            "{}/checkout/org_00000000000000000000000000/payment_00000000000000000000000000/{token}",
            owner.url("")
        ),
    ] {
        assert_eq!(owner.open(&bad).await.0, 404, "{bad}");
        assert_eq!(owner.submit(&format!("{bad}/pay")).await.0, 404, "{bad}");
        assert_eq!(owner.submit(&format!("{bad}/cancel")).await.0, 404, "{bad}");
    }
    // A form on another site's page does nothing.
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.test")] {
        for action in ["pay", "cancel"] {
            let forged =
                owner.http().post(format!("{url}/{action}")).header(name, value).send().await.unwrap();
            assert_eq!(forged.status(), 403, "{name}");
        }
    }
    // Where the forms lead, opened from the history of a browser: back to the page.
    for action in ["pay", "cancel"] {
        let back = owner.http().get(format!("{url}/{action}")).send().await.unwrap();
        assert_eq!(
            (back.status().as_u16(), back.headers()["cache-control"].to_str().unwrap()),
            (303, "no-store")
        );
        assert_eq!(owner.url(back.headers()["location"].to_str().unwrap()), url);
    }
    // What cannot be opened at all says so, and how it can be.
    let put = owner.http().put(format!("{url}/pay")).send().await.unwrap();
    assert_eq!(put.status(), 405);
    let allowed = put.headers()["allow"].to_str().unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    assert!(put.headers().contains_key("content-security-policy"));
    assert!(put.text().await.unwrap().contains("Not this way"));
    assert_eq!(state(&owner, &purchase).await["state"], "AWAITING_PAYMENT");
    let paid = owner
        .http()
        .post(format!("{url}/pay"))
        .header("sec-fetch-site", "same-origin")
        .header("origin", "null");
    assert!(paid.send().await.unwrap().text().await.unwrap().contains("Paid. Thank you."));
}

async fn prices_run_out(backend: Backend) {
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    let start = Timestamp::from_micros(i64::try_from(start).unwrap());
    let clock = Clock::set(start);
    let world = World::start_untimed(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let (purchase, url) = owner.checkout(&demo.pool, "k").await;
    clock.turn(start.plus_days(10).plus_seconds(-1));
    assert!(owner.open(&url).await.1.contains("Pay USD"));
    clock.turn(start.plus_days(10));
    // The token of the first day has run out with the clock that the server goes by.
    let (status, _) = owner.send("{ viewer { operator } }", json!({})).await;
    assert_eq!(status, 401);
    let owner = world.client("owner@demo.test").await;
    assert!(owner.open(&url).await.1.contains("The price is no longer valid."));
    let (status, page) = owner.submit(&format!("{url}/pay")).await;
    assert!(status == 409 && page.contains("The price is no longer valid."), "{page}");
    assert_eq!(owner.balance(&demo.pool).await, (100, 1));
    let input = json!({ "purchaseId": purchase, "idempotencyKey": "late" });
    let late = owner.try_mutate("startCheckout", "StartCheckoutInput", input, "").await;
    assert_eq!(late["userErrors"][0]["code"], "QUOTE_EXPIRED");
    // Once that has been booked, the page says the same.
    let mut watcher = owner.socket().await;
    let watch = "subscription P($id: ID!) { purchase(id: $id) { state } }";
    watcher.subscribe("1", watch, json!({ "id": purchase })).await;
    assert_eq!(watcher.next("purchase").await["state"], "AWAITING_PAYMENT");
    world.app.keep_time();
    assert_eq!(watcher.next("purchase").await["state"], "EXPIRED");
    assert!(owner.open(&url).await.1.contains("The price is no longer valid."));
}
