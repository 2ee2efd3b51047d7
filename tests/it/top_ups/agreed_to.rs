//! Pools that buy by themselves what people have agreed to: a card that is declined then does not end in silence, and what
//! was switched off before they agreed charges nobody.

use bursar_domain::delivery::MailTemplate;
use bursar_domain::purchase::PurchaseState;
use bursar_domain::top_up::TopUpState;
use bursar_entity::{approval_request, delivery};
use serde_json::json;

use super::Shop;
use crate::on_both_databases;
use crate::support::{Backend, Client, approvals};

on_both_databases!(that_it_was_declined_is_told, what_was_switched_off_is_not_charged);

/// A shop whose pool has asked its department's manager for a package by itself, to be paid with a card.
async fn asked(backend: Backend, card: &str) -> (Shop, Client, String) {
    let shop = Shop::open(backend).await;
    let Shop { world, owner, demo, .. } = &shop;
    let managers = json!([{ "name": "Department", "approvers": [{ "departmentManagersOf": demo.sales }] }]);
    let rule = json!({ "name": "All", "conditions": {}, "stages": managers });
    approvals::save(owner, &demo.organization, rule, json!({})).await;
    shop.agreed(json!({}), card).await;
    shop.spend(90).await;
    shop.look().await;
    assert_eq!(shop.bought().await, [PurchaseState::PendingApproval]);
    let rows = world.database.rows::<approval_request::Entity>().await;
    let request = bursar::global_id::encode(rows[0].id);
    let manager = world.client("manager@demo.test").await;
    (shop, manager, request)
}

async fn that_it_was_declined_is_told(backend: Backend) {
    let (shop, manager, request) = asked(backend, "declines").await;
    let Shop { world, demo, .. } = &shop;
    let operator = world.client("operator@bursar.test").await;
    approvals::add(&operator, &demo.organization, "second@demo.test", "OWNER").await;
    let declined = async || {
        let rows = world.database.rows::<delivery::Entity>().await;
        let told = rows.iter().filter(|row| row.facts.contains("\"became\":\"DECLINED\""));
        assert!(told.clone().all(|row| row.template == Some(MailTemplate::ApprovalDecided)));
        told.count()
    };
    assert_eq!(approvals::approve(&manager, &request, 1).await, "APPROVED");
    assert_eq!(declined().await, 0);
    // Whoever has set it has asked for it, and is an owner as well: one mail each.
    for _ in 0..2 {
        shop.look().await;
        assert_eq!(shop.bought().await, [PurchaseState::Cancelled]);
        assert_eq!((shop.row().await.state, declined().await), (TopUpState::BackingOff, 2));
    }
}

async fn what_was_switched_off_is_not_charged(backend: Backend) {
    let (shop, manager, request) = asked(backend, "pays").await;
    // As a refund or a dispute of an earlier purchase leaves it.
    assert_eq!(shop.world.sql("UPDATE auto_top_up SET enabled = false").await, 1);
    assert_eq!(approvals::approve(&manager, &request, 1).await, "APPROVED");
    for _ in 0..2 {
        shop.look().await;
        assert_eq!(shop.bought().await, [PurchaseState::Approved]);
        let row = shop.row().await;
        assert_eq!((row.enabled, row.purchase_id), (false, None));
    }
    assert!(shop.payments().await.is_empty());
}
