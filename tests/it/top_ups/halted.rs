//! A refund or a dispute of what a pool has bought by itself switches that off: credits that are taken back must not make
//! it charge the same card again.

use bursar::{global_id, schedule};
use bursar_domain::top_up::TopUpState;
use serde_json::{Value, json};

use super::{MARCH, Shop};
use crate::on_both_databases;
use crate::support::Backend;
use crate::support::acts::{at, balances_are_right};

on_both_databases!(a_refund_switches_the_top_up_off);

async fn a_refund_switches_the_top_up_off(backend: Backend) {
    let shop = Shop::open(backend).await;
    shop.agreed(json!({}), "pays").await;
    shop.spend(90).await;
    shop.look().await;
    assert_eq!((shop.bought().await.len(), shop.available().await), (1, 110));
    let operator = shop.world.client("operator@bursar.test").await;
    let purchase = global_id::encode(shop.payments().await[0].purchase_id);
    let refund = async |dry_run: bool| {
        let input = json!({ "purchaseId": purchase, "reason": "The customer did not want it",
            "idempotencyKey": "back", "dryRun": dry_run });
        operator.mutate("refundPurchase", "RefundPurchaseInput", input, "purchase { state }").await;
    };
    for dry_run in [true, false] {
        refund(dry_run).await;
        assert_eq!(shop.row().await.enabled, dry_run);
    }
    let told = "SELECT count(*) AS n FROM audit_event WHERE action = 'switchOffTopUp'";
    assert_eq!(shop.world.number(told).await, 1);
    // The credits are taken back, and the pool is far below its threshold.
    for seconds in [60, 120] {
        shop.clock.turn(at(MARCH).plus_seconds(seconds));
        schedule::run_once(&shop.selling).await.unwrap();
        shop.look().await;
        assert_eq!((shop.bought().await.len(), shop.available().await), (1, 10));
    }
    let row = shop.row().await;
    assert_eq!((row.state, row.purchase_id, row.retry_at), (TopUpState::Paused, None, None));
    assert!(row.last_error.is_some_and(|why| why.contains("was given back")));

    // Set again it goes on, also when that refund is asked for once more.
    let set = shop.set(json!({})).await;
    let shown = &set["autoTopUp"];
    assert_eq!((&shown["state"], &shown["lastError"]), (&json!("READY"), &Value::Null), "{set}");
    refund(false).await;
    shop.look().await;
    assert_eq!((shop.bought().await.len(), shop.available().await), (2, 110));
    balances_are_right(&shop.world).await;
}
