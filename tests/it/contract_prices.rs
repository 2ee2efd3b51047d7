//! Contract prices in time: which one counts at an instant depends on what was agreed on, and not on the order in which it
//! was written down; and ending them says which one was in force.

use bursar::catalog::price_book;
use bursar_domain::pricing::PriceBasis;
use bursar_domain::{Credits, Currency, Timestamp};
use chrono::DateTime;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::refusal;
use crate::support::mail::tenant;
use crate::support::{Backend, Client, World};

on_both_databases!(windows_do_not_depend_on_the_order_of_calls);

/// So many days after an instant, as the API writes it.
fn day(start: Timestamp, days: i64) -> String {
    DateTime::from_timestamp_micros(start.plus_days(days).micros()).unwrap().to_rfc3339()
}

async fn set(operator: &Client, organization: &str, price: &Value) -> Value {
    let mut input = json!({ "organizationId": organization, "fromCredits": 100 });
    input.as_object_mut().unwrap().extend(price.as_object().unwrap().clone());
    let fields = "contractPrice { id unitPrice { amount } effectiveFrom endsAt }";
    operator.try_mutate("setContractPrice", "SetContractPriceInput", input, fields).await
}

/// What the contract says of a credit, in US cents, in the middle of the day that begins so many days after an instant.
async fn agreed(world: &World, organization: &str, start: Timestamp, days: i64) -> Option<i64> {
    let tenant = tenant(organization);
    let snapshot = world.services().context.db.read(tenant).await.unwrap();
    let at = start.plus_days(days).plus_seconds(43_200);
    let book = price_book(&snapshot, tenant, Currency::USD, at).await.unwrap();
    let priced = book.price(Credits::new(5_000).unwrap()).ok()?;
    (priced.chosen.basis == PriceBasis::Contract).then_some(priced.chosen.unit.get() / 1_000_000)
}

async fn windows_do_not_depend_on_the_order_of_calls(backend: Backend) {
    let world = World::start(backend).await;
    let operator = world.client("operator@bursar.test").await;
    let start = world.clock.now();
    let window = |price: &str, from: i64, end: Option<i64>| {
        let (from, end) = (day(start, from), end.map(|end| day(start, end)));
        json!({ "unitPrice": price, "effectiveFrom": from, "endsAt": end })
    };
    // One that goes on, a promotion over it, and a dearer week within the promotion.
    let windows = [window("1.50", 1, None), window("1.20", 10, Some(30)), window("1.40", 15, Some(22))];
    let orders = [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]];
    let mut organizations = Vec::new();
    for (number, order) in orders.iter().enumerate() {
        let slug = format!("order-{number}");
        let owner = world.found(&slug).await;
        let query = "query O($s: String!) { organization(by: { slug: $s }) { id } }";
        let id = owner.query(query, json!({ "s": slug })).await["organization"]["id"].clone();
        let id = id.as_str().unwrap().to_owned();
        for index in order {
            let made = set(&operator, &id, &windows[*index]).await;
            assert_eq!(made["userErrors"], json!([]), "{made}");
        }
        let days = [0, 1, 9, 10, 14, 15, 21, 22, 29, 30, 400];
        let expected = [None, Some(150), Some(150), Some(120), Some(120), Some(140), Some(140), Some(120)];
        let expected = expected.into_iter().chain([Some(120), Some(150), Some(150)]);
        for (day, expected) in days.into_iter().zip(expected) {
            assert_eq!(agreed(&world, &id, start, day).await, expected, "day {day} of {order:?}");
        }
        organizations.push(id);
    }

    // Of two that begin at the same instant the one counts that was set last, while it holds.
    let first = organizations[0].as_str();
    set(&operator, first, &window("1.10", 10, Some(12))).await;
    for (day, expected) in [(9, 150), (10, 110), (11, 110), (12, 120)] {
        assert_eq!(agreed(&world, first, start, day).await, Some(expected), "day {day}");
    }
    let before = json!({ "unitPrice": "1.00", "effectiveFrom": day(start, 10), "endsAt": day(start, 10) });
    assert_eq!(refusal(&set(&operator, first, &before).await), ("INVALID".to_owned(), "endsAt".to_owned()));

    // All of them end, and the answer names the one that was in force then: not the one that was written down first.
    for (id, order) in organizations.iter().zip(orders) {
        let ended = set(&operator, id, &json!({ "effectiveFrom": day(start, 16) })).await;
        let shown = &ended["contractPrice"];
        assert_eq!(shown["unitPrice"]["amount"], "1.40", "{order:?}: {ended}");
        let ends = DateTime::parse_from_rfc3339(shown["endsAt"].as_str().unwrap()).unwrap();
        assert_eq!(ends.timestamp_micros(), start.plus_days(16).micros(), "{ended}");
        for (day, expected) in [(14, Some(120)), (15, Some(140)), (16, None), (23, None), (400, None)] {
            assert_eq!(agreed(&world, id, start, day).await, expected, "day {day} of {order:?}");
        }
        // What begins later than that would have ended before it begins.
        let nothing = set(&operator, id, &json!({ "effectiveFrom": day(start, 17) })).await;
        assert_eq!(refusal(&nothing), ("NOT_FOUND".to_owned(), "fromCredits".to_owned()));
    }
    // One that has not begun when it is ended never does, and is named when there is no other.
    let last = organizations[3].as_str();
    set(&operator, last, &window("0.90", 50, None)).await;
    let ended = set(&operator, last, &json!({ "effectiveFrom": day(start, 40) })).await;
    assert_eq!(ended["contractPrice"]["unitPrice"]["amount"], "0.90", "{ended}");
    assert_eq!(ended["contractPrice"]["endsAt"], ended["contractPrice"]["effectiveFrom"]);
    assert_eq!(agreed(&world, last, start, 60).await, None);
    let events = "SELECT count(*) AS n FROM audit_event WHERE action = 'setContractPrice'";
    assert_eq!(world.number(events).await, 4 * 3 + 1 + 4 + 2);
}
