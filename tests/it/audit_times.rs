//! What time alone has booked is shown in the audit log.

use serde_json::{Value, json};

use crate::audit_log::{FIELDS, actions, page};
use crate::on_both_databases;
use crate::support::{Backend, World, uses};

on_both_databases!(what_time_brings_is_shown);

/// Holds that run out and credits that lapse, all at one instant: in their place, found like everything else.
async fn what_time_brings_is_shown(backend: Backend) {
    let (start, clock) = uses::standing();
    let world = World::start_untimed(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    uses::issue(&world, &demo, 10, Some(start.plus_seconds(1_800))).await;
    let mut holds = Vec::new();
    for number in 0..3 {
        let mut input = uses::of(&demo.pool, &format!("time-{number}"), 2);
        input["ttlSeconds"] = json!(3_600);
        holds.push(uses::hold(&owner, input).await["hold"]["id"].clone());
    }
    uses::void(&owner, &holds[2], "time-void").await;
    clock.turn(start.plus_seconds(3_600));
    owner.charge(uses::of(&demo.pool, "time-after", 1)).await;
    let (all, _) = page(&owner, "first: 100, filter: { source: LEDGER }").await;
    let expected = [
        "lapseCredits",
        "lapseCredits",
        "lapseCredits",
        "expireHold",
        "expireHold",
        "chargeCredits",
        "voidHold",
        "holdCredits",
        "holdCredits",
        "holdCredits",
        "grantCredits",
    ];
    assert_eq!(actions(&all)[..expected.len()], expected);
    let lapsed: i64 = all[..3].iter().map(|node| node["after"]["credits"].as_i64().unwrap()).sum();
    assert_eq!(lapsed, 10);
    for node in &all[..5] {
        assert_eq!((&node["actor"]["kind"], &node["createdAt"]), (&json!("SYSTEM"), &all[5]["createdAt"]));
        let query = format!("query N($id: ID!) {{ node(id: $id) {{ ... on AuditEvent {{ {FIELDS} }} }} }}");
        assert_eq!(&owner.query(&query, json!({ "id": node["id"] })).await["node"], node);
    }
    // Forwards and backwards, one by one, it is the same list.
    for (side, cursor, more, place) in
        [("first", "after", "hasNextPage", "endCursor"), ("last", "before", "hasPreviousPage", "startCursor")]
    {
        let (mut found, mut arguments) = (Vec::new(), String::new());
        loop {
            let (part, info) =
                page(&owner, &format!("{side}: 1, filter: {{ source: LEDGER }}{arguments}")).await;
            found.extend(part);
            if info[more] == false {
                break;
            }
            arguments = format!(", {cursor}: {}", info[place]);
        }
        if side == "last" {
            found.reverse();
        }
        assert_eq!(found, all, "{side}");
    }
    let found = async |filter: String| page(&owner, &format!("first: 100, filter: {{ {filter} }}")).await.0;
    for (hold, expected) in [(0, "expireHold"), (1, "expireHold"), (2, "voidHold")] {
        let of_hold = found(format!("subjectId: {}", holds[hold])).await;
        assert_eq!(actions(&of_hold), [expected, "holdCredits"]);
    }
    let of = |action: &str| all.iter().filter(|node| node["action"] == action).cloned().collect::<Vec<_>>();
    for action in ["lapseCredits", "expireHold"] {
        assert_eq!(found(format!("action: \"{action}\"")).await, of(action));
        let of_pool = found(format!("action: \"{action}\", subjectId: \"{}\"", demo.pool)).await;
        assert_eq!(of_pool, of(action));
    }
    let at = all[5]["createdAt"].clone();
    assert_eq!(found(format!("source: LEDGER, from: {at}")).await, all[..6]);
    assert_eq!(found(format!("source: LEDGER, to: {at}")).await, all[6..]);
    // Of others' they are not seen.
    let rival = world.found("rival").await;
    for node in &all[..5] {
        let query = "query N($id: ID!) { node(id: $id) { id } }";
        assert_eq!(rival.query(query, json!({ "id": node["id"] })).await["node"], Value::Null);
    }
}
