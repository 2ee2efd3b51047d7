//! The checkout page as people meet it: bought through in Chromium by `tests/clients/checkout.mjs`, in the sandbox and at a
//! payment provider's page that tells of the payment later than the buyer is back.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::checkout::{Told, in_each_state};
use crate::clients::script;
use crate::support::client::Demo;
use crate::support::stripe::Stripe;
use crate::support::{Backend, Client, World, laws, run};

/// What the script says once the buyer has paid at the provider's page.
const PAID_THERE: &str = "at the provider it is paid";

/// The address of our own page of a new checkout, as links have it, and where the buyer is sent to pay.
async fn begin(world: &World, owner: &Client, demo: &Demo, key: &str) -> (String, String) {
    let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": key });
    let made = owner.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
    let input = json!({ "purchaseId": made["purchase"]["id"], "idempotencyKey": key });
    let started =
        owner.mutate("startCheckout", "StartCheckoutInput", input, "checkoutUrl payment { id }").await;
    let (organization, payment) = (&demo.organization, started["payment"]["id"].as_str().unwrap());
    let token = world.services().keys.link_token(&format!("checkout {organization} {payment}"));
    let page = format!("http://bursar.test/checkout/{organization}/{payment}/{token}");
    (page, started["checkoutUrl"].as_str().unwrap().to_owned())
}

/// Runs the script on some pages. `told` is called once the buyer has paid at the provider's page.
async fn buy_through(world: &World, pages: &Value, told: impl AsyncFnOnce()) {
    let mut node = script("checkout.mjs", world).await;
    node.env("BURSAR_CHECKOUTS", pages.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut node = node.spawn().expect("node is not installed: run scripts/test");
    let (output, mut errors) = (node.stdout.take().unwrap(), node.stderr.take().unwrap());
    let complained = tokio::spawn(async move {
        let mut text = String::new();
        errors.read_to_string(&mut text).await.unwrap();
        text
    });
    let (mut lines, mut said, mut told) = (BufReader::new(output).lines(), Vec::new(), Some(told));
    while let Some(line) = lines.next_line().await.unwrap() {
        if line == PAID_THERE
            && let Some(told) = told.take()
        {
            told().await;
        }
        said.push(line);
    }
    let (status, complained) = (node.wait().await.unwrap(), complained.await.unwrap());
    let said = said.join("\n");
    assert!(status.success() && said.contains("ok the balance after"), "{said}\n{complained}");
}

#[test]
fn in_the_sandbox() {
    run(async {
        let world = World::start(Backend::Sqlite).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        // By the name that links have: the browser is told where that is.
        let named = |url: &str| url.replace(&world.base, "http://bursar.test");
        let states = in_each_state(&world, &owner, &demo.pool).await;
        let states: Vec<Value> = states
            .iter()
            .map(|Told { state, url, says }| json!({ "name": state, "url": named(url), "says": says }))
            .collect();
        let (pay, where_to) = begin(&world, &owner, &demo, "pay").await;
        assert_eq!(where_to, pay, "the sandbox is our own page");
        let (cancel, _) = begin(&world, &owner, &demo, "cancel").await;
        let pages = json!({ "pay": pay, "cancel": cancel, "provider": null, "states": states });
        buy_through(&world, &pages, async || {}).await;
        assert_eq!(owner.balance(&demo.pool).await, (200, 2));
    });
}

#[test]
fn at_a_providers_page() {
    run(async {
        let stripe = Stripe::start().await;
        let world = World::start_as(Backend::Postgres, |config| stripe.config(config)).await;
        assert!(stripe.asked("checkout/sessions").is_empty(), "nobody pays for the demonstration");
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let (pay, there) = begin(&world, &owner, &demo, "pay").await;
        let (cancel, _) = begin(&world, &owner, &demo, "cancel").await;
        let there: url::Url = there.parse().unwrap();
        let provider = there.origin().ascii_serialization();
        assert_ne!(provider, "http://bursar.test", "the buyer is sent to the provider");
        let pages = json!({ "pay": pay, "cancel": cancel, "provider": provider, "states": [] });
        let session = there.path_segments().unwrap().next_back().unwrap().to_owned();
        let page = pay.replace("http://bursar.test", &world.base);
        buy_through(&world, &pages, async || {
            let mut watcher = owner.socket().await;
            let watch =
                "subscription B($id: ID!) { poolBalance(poolId: $id) { kind balance { available } } }";
            watcher.subscribe("1", watch, json!({ "id": demo.pool })).await;
            // The buyer is back before the provider has told of it: nothing is credited on the buyer's word, and what the
            // sandbox's page would do is not done here.
            let snapshot = json!({ "kind": "SNAPSHOT", "balance": { "available": 100 } });
            assert_eq!(watcher.next("poolBalance").await, snapshot);
            let (status, said) = owner.submit(&format!("{page}/pay")).await;
            assert!(status == 409 && said.contains("Go on to pay USD 199.00"), "{status}: {said}");
            let done = owner.http().get(format!("{page}/done")).send().await.unwrap();
            assert_eq!((done.status().as_u16(), done.headers()["refresh"].to_str().unwrap()), (200, "2"));
            let event = stripe.pay(&session);
            assert_eq!(stripe.send(&world, &event).await, 200);
            let told = Instant::now();
            let change = json!({ "kind": "CHANGE", "balance": { "available": 200 } });
            assert_eq!(watcher.next("poolBalance").await, change);
            let late = told.elapsed();
            assert!(late < Duration::from_secs(1), "the credits came {late:?} after the payment");
            assert_eq!(stripe.send(&world, &event).await, 200);
        })
        .await;
        assert_eq!(owner.balance(&demo.pool).await, (200, 2));
        laws::books_are_right(&world).await;
    });
}
