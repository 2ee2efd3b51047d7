//! Pools that buy by themselves do so as soon as a charge leaves them at the threshold, not when it is their turn to be
//! looked at: here the clock stands still, so that their turn never comes.

use bursar::clock::Clock;
use bursar_domain::purchase::PurchaseState;
use serde_json::json;

use super::{MARCH, Shop};
use crate::on_both_databases;
use crate::support::acts::{at, balances_are_right};
use crate::support::{Backend, DEADLINE, World};

on_both_databases!(a_charge_wakes_the_top_up);

async fn a_charge_wakes_the_top_up(backend: Backend) {
    let clock = Clock::set(at(MARCH));
    let world = World::start_at(backend, clock.clone()).await;
    let shop = Shop::of(world, clock).await;
    shop.agreed(json!({}), "pays").await;
    // Timed work has looked at it, and does not come again at this instant.
    let put_off = format!(
        "SELECT count(*) AS n FROM timed_task WHERE kind = 'TOP_UP' AND lease IS NULL AND due_at > {}",
        at(MARCH).micros()
    );
    let looked_at = async {
        while shop.world.number(&put_off).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, looked_at).await.expect("timed work has not looked at the pool");

    let mut watcher = shop.owner.socket().await;
    let watch = "subscription B($id: ID!) { poolBalance(poolId: $id) { balance { available } } }";
    watcher.subscribe("1", watch, json!({ "id": shop.demo.pool })).await;
    for (number, before, last) in [(1, 79, 1), (2, 99, 1)] {
        shop.spend(before).await;
        assert_eq!(shop.bought().await.len(), number - 1, "it is still above the threshold");
        shop.spend(last).await;
        let bought = async {
            // The credits come in with the purchase's end.
            while shop.bought().await != vec![PurchaseState::Completed; number] {
                watcher.next("poolBalance").await;
            }
        };
        tokio::time::timeout(DEADLINE, bought).await.expect("the pool has not bought");
        assert_eq!(shop.available().await, 120);
    }
    // A package that has become far smaller than the threshold is not bought again and again.
    shop.world.sql("UPDATE auto_top_up SET threshold = 1001").await;
    shop.look().await;
    let row = shop.row().await;
    assert!(row.last_error.is_some_and(|why| why.contains("far less than the threshold")));
    assert!(row.retry_at.is_some() && shop.bought().await.len() == 2);
    balances_are_right(&shop.world).await;
}
