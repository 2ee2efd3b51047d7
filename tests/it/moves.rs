//! Moving credits between departments and pools: lots and costs go along, nothing is lost on the way, what stands
//! in the way is named, and opposite movements at the same time block nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bursar::config::Rate;
use bursar::global_id;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{
    allocated, balances_are_right, grant, hold, holder, pool, refusal, transfer, unallocated,
};
use crate::support::{Backend, World, rows};

on_both_databases!(
    lots_and_costs_go_along,
    what_stands_in_the_way,
    one_key_moves_once,
    opposite_movements_block_nobody
);

/// What all lots of an organization's pools cost that are left, in minor units.
async fn cost_left(world: &World, pool: Option<&str>) -> i64 {
    let of = match pool {
        None => String::new(),
        Some(pool) => {
            let id: bursar_domain::id::PoolId = global_id::decode(pool).unwrap();
            let hex = format!("{:032x}", bursar_domain::id::Id::as_u128(id));
            match world.database.backend {
                Backend::Sqlite => format!("WHERE pool_id = unhex('{hex}')"),
                Backend::Postgres => format!("WHERE pool_id = '{hex}'::uuid"),
            }
        }
    };
    world.number(&format!("SELECT CAST(coalesce(sum(cost), 0) AS bigint) AS n FROM lot_position {of}")).await
}

async fn lots_and_costs_go_along(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    let second = pool(&owner, &demo.organization, "Second").await;
    // The demonstration's 100 credits cost USD 199.00; 20 given ones are used first and expire.
    let expires = json!({ "expiresAt": "2999-01-01T00:00:00Z", "departmentId": demo.sales });
    assert_eq!(grant(&operator, &demo.pool, 20, expires, "gift").await["userErrors"], json!([]));
    owner.allocate(&demo.pool, &demo.sales, 30, "a").await;

    // Between departments: what Sales would use last goes, the paid ones.
    let sales = || holder(&demo.pool, Some(&demo.sales));
    let moved = transfer(&owner, sales(), holder(&demo.pool, Some(&demo.marketing)), 7, "d").await;
    assert_eq!(moved["userErrors"], json!([]));
    assert_eq!(moved["balance"], json!({ "posted": 120, "available": 120, "version": 4 }));
    assert_eq!(moved["toBalance"], moved["balance"]);
    assert_eq!(moved["transfers"].as_array().unwrap().len(), 1);
    assert_eq!(moved["transfers"][0]["cost"]["amount"], "13.93");
    assert_eq!(allocated(&owner, &demo.pool, &demo.marketing).await, (7, 0, 7));

    // To a department in another pool: 23 paid ones and 10 of the gift, each a lot of its own, both halves.
    let moved = transfer(&owner, sales(), holder(&second, Some(&demo.sales)), 33, "p").await;
    assert_eq!(moved["userErrors"], json!([]));
    assert_eq!((&moved["from"]["id"], &moved["to"]["id"]), (&json!(demo.pool), &json!(second)));
    assert_eq!(moved["balance"], json!({ "posted": 87, "available": 87, "version": 6 }));
    assert_eq!(moved["toBalance"], json!({ "posted": 33, "available": 33, "version": 2 }));
    let halves = moved["transfers"].as_array().unwrap();
    let half = |half: &Value| {
        (half["credits"].as_i64().unwrap(), half["debit"]["kind"].clone(), half["credit"]["kind"].clone())
    };
    let (held, cleared) = (json!("ALLOCATION"), json!("CLEARING"));
    assert_eq!(half(&halves[0]), (23, held.clone(), cleared.clone()));
    assert_eq!(half(&halves[1]), (10, held.clone(), cleared.clone()));
    assert_eq!(half(&halves[2]), (23, cleared.clone(), held.clone()));
    assert_eq!(half(&halves[3]), (10, cleared, held));
    assert_eq!((&halves[0]["cost"]["amount"], &halves[0]["lot"]), (&json!("45.77"), &halves[2]["lot"]));
    assert_eq!((&halves[1]["cost"], &halves[1]["lot"]), (&Value::Null, &halves[3]["lot"]));
    assert_eq!(cost_left(&world, Some(&second)).await, 4_577);
    assert_eq!(cost_left(&world, None).await, 19_900, "money adds up to the minor unit");

    // They are used there as they would have been here: the gift first. And the rest goes back as it came.
    let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": 12 }]);
    let input =
        json!({ "poolId": second, "departmentId": demo.sales, "lines": lines, "idempotencyKey": "c" });
    let charged = owner.charge(input).await;
    let slices = charged["charge"]["slices"].as_array().unwrap();
    let taken: Vec<_> =
        slices.iter().map(|slice| (slice["credits"].clone(), slice["cost"].clone())).collect();
    assert_eq!(taken, [(json!(10), Value::Null), (json!(2), json!({ "amount": "3.98" }))]);
    let back = transfer(&owner, holder(&second, Some(&demo.sales)), holder(&demo.pool, None), 21, "b").await;
    assert_eq!(back["userErrors"], json!([]));
    assert_eq!(cost_left(&world, Some(&second)).await, 0);
    assert_eq!(cost_left(&world, None).await, 19_900 - 398);
    assert_eq!((unallocated(&owner, &demo.pool).await, unallocated(&owner, &second).await), (91, 0));
    balances_are_right(&world).await;

    // What is held stays.
    owner.allocate(&demo.pool, &demo.sales, 10, "h").await;
    hold(&owner, &demo.pool, Some(&demo.sales), 15, 3_600).await;
    let more = transfer(&owner, sales(), holder(&second, None), 6, "held").await;
    assert_eq!(refusal(&more), ("INSUFFICIENT_CREDITS".to_owned(), "from.departmentId".to_owned()));
    assert_eq!(
        (&more["userErrors"][0]["available"], &more["userErrors"][0]["scope"]),
        (&json!(5), &json!("DEPARTMENT"))
    );
    assert_eq!(transfer(&owner, sales(), holder(&second, None), 5, "held").await["userErrors"], json!([]));
    balances_are_right(&world).await;
}

async fn what_stands_in_the_way(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    let second = pool(&owner, &demo.organization, "Second").await;
    let (here, there) = (|| holder(&demo.pool, None), || holder(&second, None));
    let refused = |code: &str, field: &str| (code.to_owned(), field.to_owned());
    let nobody = "dept_00000000000000000000000000";
    for (from, to, credits, code, field) in [
        (here(), here(), 1, "INVALID", "to"),
        (here(), there(), 0, "AMOUNT_OUT_OF_RANGE", "credits"),
        (here(), there(), 101, "INSUFFICIENT_CREDITS", "from.poolId"),
        (holder("pool_x", None), there(), 1, "NOT_FOUND", "from.poolId"),
        (here(), holder("pool_x", None), 1, "NOT_FOUND", "to.poolId"),
        (holder(&demo.pool, Some(nobody)), there(), 1, "NOT_FOUND", "from.departmentId"),
        (here(), holder(&second, Some(nobody)), 1, "NOT_FOUND", "to.departmentId"),
        (here(), holder(&demo.pool, Some("x")), 1, "NOT_FOUND", "to.departmentId"),
        (holder(&demo.pool, Some(&demo.sales)), there(), 1, "INSUFFICIENT_CREDITS", "from.departmentId"),
    ] {
        let payload = transfer(&owner, from, to, credits, "no").await;
        assert_eq!(refusal(&payload), refused(code, field), "{payload}");
    }
    // A pool that is closed gives nothing and takes nothing.
    let freeze = |pool: String, name: &'static str, kind: &'static str| {
        let (operator, input) = (operator.clone(), json!({ "poolId": pool, "reason": "Looking into it" }));
        async move { operator.mutate(name, kind, input, "pool { id }").await }
    };
    freeze(second.clone(), "freezePool", "FreezePoolInput").await;
    let payload = transfer(&owner, here(), there(), 1, "no").await;
    assert_eq!(refusal(&payload), refused("POOL_FROZEN", "to.poolId"));
    let payload = transfer(&owner, there(), here(), 1, "no").await;
    assert_eq!(refusal(&payload), refused("POOL_FROZEN", "from.poolId"));
    freeze(second.clone(), "unfreezePool", "UnfreezePoolInput").await;
    // A department that is archived takes nothing.
    let input = json!({ "departmentId": demo.marketing });
    owner.mutate("archiveDepartment", "ArchiveDepartmentInput", input, "department { id }").await;
    let payload = transfer(&owner, here(), holder(&second, Some(&demo.marketing)), 1, "no").await;
    assert_eq!(refusal(&payload), refused("DEPARTMENT_ARCHIVED", "to.departmentId"));
    // Who administers one of two pools moves nothing between them; nobody moves anything to another organization.
    let member = world.client("member@demo.test").await;
    let viewer = member.query("{ viewer { memberships { id } } }", json!({})).await["viewer"].clone();
    let input = json!({ "poolId": demo.pool, "memberId": viewer["memberships"][0]["id"] });
    owner.mutate("addPoolAdministrator", "AddPoolAdministratorInput", input, "pool { id }").await;
    assert_eq!(refusal(&transfer(&member, here(), there(), 1, "no").await).0, "NOT_FOUND");
    let inside = transfer(&member, here(), holder(&demo.pool, Some(&demo.sales)), 1, "inside").await;
    assert_eq!(inside["userErrors"], json!([]));
    assert_eq!(refusal(&transfer(&operator, here(), there(), 1, "no").await).0, "FORBIDDEN");
    let rival = world.found("rival").await;
    let query = r#"{ organization(by: { slug: "rival" }) { id } }"#;
    let id = rival.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    let theirs = pool(&rival, &id, "Theirs").await;
    let payload = transfer(&owner, here(), holder(&theirs, None), 1, "no").await;
    assert_eq!(refusal(&payload), refused("NOT_FOUND", "to.poolId"));
    // Not even somebody who may do so in both.
    let input = json!({ "organizationId": id, "email": "owner@demo.test", "role": "ADMIN" });
    operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
    let payload = transfer(&owner, here(), holder(&theirs, None), 1, "no").await;
    assert_eq!(refusal(&payload), refused("NOT_FOUND", "to.poolId"));
    assert_eq!(owner.balance(&demo.pool).await.0, 100);
    balances_are_right(&world).await;
}

async fn one_key_moves_once(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let second = pool(&owner, &demo.organization, "Second").await;
    let (organization, db) = (global_id::decode(&demo.organization).unwrap(), &world.services().context.db);
    let before = rows::of(db, organization).await;
    let (from, to) = (holder(&demo.pool, None), holder(&second, Some(&demo.sales)));
    let input = json!({ "from": from, "to": to, "credits": 9, "reason": "Moved", "idempotencyKey": "k", "dryRun": true });
    let fields = "balance { available version } toBalance { available version } transfers { credits reason version } replayed";
    let dry = owner.mutate("transferCredits", "TransferCreditsInput", input.clone(), fields).await;
    assert_eq!(dry["toBalance"], json!({ "available": 9, "version": 1 }));
    assert_eq!(before, rows::of(db, organization).await, "a dry run wrote something");
    let mut input = input;
    input["dryRun"] = json!(false);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(owner.mutate("transferCredits", "TransferCreditsInput", input.clone(), fields).await);
    }
    assert_eq!(answers[0]["replayed"], json!(false));
    assert_eq!(answers[0]["transfers"][0]["reason"], "Moved");
    for again in &answers[1..] {
        assert_eq!(again["replayed"], json!(true));
        for field in ["balance", "toBalance", "transfers"] {
            assert_eq!(again[field], answers[0][field], "{field}");
        }
    }
    for (field, other) in [("credits", json!(8)), ("to", from.clone()), ("reason", json!("Else"))] {
        let mut changed = input.clone();
        changed[field] = other;
        if field == "to" {
            changed["from"] = to.clone();
        }
        let payload = owner.try_mutate("transferCredits", "TransferCreditsInput", changed, "").await;
        assert_eq!(refusal(&payload), ("IDEMPOTENCY_CONFLICT".to_owned(), "idempotencyKey".to_owned()));
    }
    assert_eq!((owner.balance(&demo.pool).await.0, owner.balance(&second).await.0), (91, 9));
    balances_are_right(&world).await;
}

/// 32 workers move credits in opposite directions between two departments and two pools for five seconds.
async fn opposite_movements_block_nobody(backend: Backend) {
    let world = World::start_as(backend, |config| {
        config.cost = Rate { maximum: 1_000_000_000, restore: 100_000_000 };
    })
    .await;
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    let second = pool(&owner, &demo.organization, "Second").await;
    grant(&operator, &second, 100, json!({}), "gift").await;
    owner.allocate(&demo.pool, &demo.sales, 50, "s").await;
    owner.allocate(&second, &demo.marketing, 50, "m").await;
    let places = [
        holder(&demo.pool, Some(&demo.sales)),
        holder(&demo.pool, Some(&demo.marketing)),
        holder(&second, Some(&demo.marketing)),
        holder(&second, None),
        holder(&demo.pool, None),
    ];
    let (until, moved) = (Instant::now() + Duration::from_secs(5), Arc::new(AtomicU32::new(0)));
    let workers = (0..32usize).map(|worker| {
        // Each pair of places is used both ways at the same time.
        let (from, to) = (places[worker % 5].clone(), places[(worker + 1 + worker / 10 % 3) % 5].clone());
        let (client, moved) = (owner.another(), Arc::clone(&moved));
        tokio::spawn(async move {
            let document = "mutation T($input: TransferCreditsInput!) { transferCredits(input: $input) { userErrors { code } } }";
            for turn in 0.. {
                if Instant::now() > until {
                    return;
                }
                let (from, to) = if turn % 2 == 0 { (&from, &to) } else { (&to, &from) };
                let key = format!("{worker} {turn}");
                let input = json!({ "from": from, "to": to, "credits": turn % 3 + 1, "idempotencyKey": key });
                // No error of the database, a deadlock say, reaches a client.
                let data = client.query(document, json!({ "input": input })).await;
                match data["transferCredits"]["userErrors"][0]["code"].as_str() {
                    None => _ = moved.fetch_add(1, Ordering::Relaxed),
                    Some("INSUFFICIENT_CREDITS") => {}
                    Some(other) => panic!("{other}"),
                }
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    assert!(moved.load(Ordering::Relaxed) > 50, "hardly anything was moved");
    let sum = owner.balance(&demo.pool).await.0 + owner.balance(&second).await.0;
    assert_eq!(sum, 200);
    assert_eq!(cost_left(&world, None).await, 19_900);
    balances_are_right(&world).await;
}
