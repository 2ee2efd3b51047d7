//! What the ledger keeps in memory never outlives its truth: a change of prices, settings, people or grants
//! takes effect with the next charge, on every server, whoever has made it.

use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::client::Demo;
use crate::support::{Backend, Client, Process, World, run};

on_both_databases!(changes_take_effect_with_the_next_charge);

struct Setting<'w> {
    world: &'w World,
    /// Where changes are made.
    here: Client,
    /// Where charges are made.
    there: Client,
    demo: Demo,
}

impl Setting<'_> {
    async fn charge_as(&self, client: &Client, department: Option<&str>, key: &str) -> Value {
        let mut input = json!({ "poolId": self.demo.pool, "lines": [{ "service": "STYLE_CHANGE" }], "idempotencyKey": key });
        if let Some(department) = department {
            input["departmentId"] = json!(department);
        }
        client.charge(input).await
    }

    async fn charged(&self, key: &str) -> i64 {
        let answer = self.charge_as(&self.there, None, key).await;
        assert_eq!(answer["userErrors"], json!([]), "{key}");
        answer["charge"]["credits"].as_i64().unwrap()
    }

    async fn refused(&self, key: &str) -> String {
        let answer = self.charge_as(&self.there, None, key).await;
        assert_eq!(answer["charge"], Value::Null, "{key}: {answer}");
        answer["userErrors"][0]["code"].as_str().unwrap().to_owned()
    }
}

async fn changes(setting: &Setting<'_>) {
    let (world, demo) = (setting.world, &setting.demo);
    assert_eq!(setting.charged("first").await, 2);
    // Prices.
    let price = |credits: i64, from: &str| {
        let id = match world.database.backend {
            Backend::Postgres => "gen_random_uuid()",
            Backend::Sqlite => "randomblob(16)",
        };
        format!(
            "INSERT INTO service_version (id, service_id, credits, effective_from, created_at)
             SELECT {id}, id, {credits}, {from}, 1 FROM service WHERE code = 'STYLE_CHANGE'"
        )
    };
    let earlier = world.clock.now().micros() - 1_000;
    world.sql(&price(5, &earlier.to_string())).await;
    assert_eq!(setting.charged("dearer").await, 5);
    let later = world.clock.now().micros() + 400_000;
    world.sql(&price(7, &later.to_string())).await;
    let mut credits = setting.charged("not yet").await;
    for turn in 0.. {
        if world.clock.now().micros() > later + 50_000 {
            credits = setting.charged(&format!("later {turn}")).await;
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(credits, 7, "a price holds from its instant on, without anybody being told");
    world.sql(&price(1, &(earlier - 1_000).to_string())).await;
    assert_eq!(setting.charged("still").await, 7, "of those that have begun, the latest");

    // What the organization itself pays.
    let operator = world.client("operator@bursar.test").await;
    for (credits, expected) in [(json!(4), 4), (Value::Null, 7)] {
        let input =
            json!({ "organizationId": demo.organization, "service": "STYLE_CHANGE", "credits": credits });
        let fields = "service { credits }";
        operator.mutate("setOrganizationPrice", "SetOrganizationPriceInput", input, fields).await;
        assert_eq!(setting.charged(&format!("own {credits}")).await, expected);
    }

    // The organization's state.
    world.sql("UPDATE organization SET state = 'SUSPENDED'").await;
    assert_eq!(setting.refused("suspended").await, "ORGANIZATION_SUSPENDED");
    world.sql("UPDATE organization SET state = 'ACTIVE'").await;
    setting.charged("resumed").await;

    // The pool's settings.
    world.sql("UPDATE pool SET frozen_at = 1").await;
    assert_eq!(setting.refused("frozen").await, "POOL_FROZEN");
    world.sql("UPDATE pool SET frozen_at = NULL").await;
    setting.charged("thawed").await;
    for (services, expected) in [
        (json!(["FURNITURE_REMOVAL"]), Some("SERVICE_NOT_ALLOWED")),
        (json!(["STYLE_CHANGE"]), None),
        (Value::Null, None),
    ] {
        let input = json!({ "poolId": demo.pool, "allowedServices": services });
        setting.here.mutate("updatePool", "UpdatePoolInput", input, "pool { id }").await;
        let key = format!("with {services}");
        match expected {
            Some(code) => assert_eq!(setting.refused(&key).await, code),
            None => _ = setting.charged(&key).await,
        }
    }

    // What somebody else has booked.
    let query = "query P($id: ID!) { pool(id: $id) { unallocated { available } } }";
    let data = setting.here.query(query, json!({ "id": demo.pool })).await;
    let available = data["pool"]["unallocated"]["available"].as_i64().unwrap();
    setting.here.allocate(&demo.pool, &demo.sales, available, "everything").await;
    assert_eq!(setting.refused("nothing left").await, "INSUFFICIENT_CREDITS");
    let input =
        json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 40, "idempotencyKey": "some" });
    setting.here.mutate("reclaimCredits", "ReclaimCreditsInput", input, "balance { version }").await;
    setting.charged("some left").await;
}

/// Grants of a person, as they come and go.
async fn grants(setting: &Setting<'_>) {
    let (world, demo, here) = (setting.world, &setting.demo, &setting.here);
    let member = Client::new(setting.there.base(), Some(world.app.token("member@demo.test").await.unwrap()));
    let id = member.query("{ viewer { memberships { id } } }", json!({})).await;
    let id = id["viewer"]["memberships"][0]["id"].as_str().unwrap().to_owned();
    let pool = |id: &str| json!({ "poolId": demo.pool, "memberId": id });
    let code = |answer: Value| answer["userErrors"][0]["code"].as_str().map(str::to_owned);
    for round in 0..3 {
        let key = |name: &str| format!("{name} {round}");
        let answer = setting.charge_as(&member, None, &key("without")).await;
        assert!(code(answer).is_some(), "no grant yet");
        here.mutate("addPoolAdministrator", "AddPoolAdministratorInput", pool(&id), "pool { id }").await;
        for turn in 0..3 {
            let answer = setting.charge_as(&member, None, &key(&format!("administrator {turn}"))).await;
            assert_eq!(code(answer), None, "as soon as the grant is there");
        }
        here.mutate("removePoolAdministrator", "RemovePoolAdministratorInput", pool(&id), "pool { id }")
            .await;
        let answer = setting.charge_as(&member, None, &key("dismissed")).await;
        assert!(code(answer).is_some(), "no longer");
        // A department's member, who stops being one.
        let input = json!({ "departmentId": demo.sales, "memberId": id });
        here.mutate("addDepartmentMember", "AddDepartmentMemberInput", input.clone(), "department { id }")
            .await;
        for turn in 0..3 {
            let answer =
                setting.charge_as(&member, Some(&demo.sales), &key(&format!("in sales {turn}"))).await;
            assert_eq!(code(answer), None);
        }
        here.mutate("removeDepartmentMember", "RemoveDepartmentMemberInput", input, "department { id }")
            .await;
        let answer = setting.charge_as(&member, Some(&demo.sales), &key("out of sales")).await;
        assert_eq!(code(answer).as_deref(), Some("NOT_FOUND"));
    }
    // On behalf of somebody who is no longer a member.
    let input = json!({ "organizationId": demo.organization, "email": "temp@demo.test", "name": "Temp", "role": "MEMBER" });
    let operator = setting.world.client("operator@bursar.test").await;
    let added = operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
    let temp = added["member"]["id"].as_str().unwrap();
    let on_behalf = |key: &str| json!({ "poolId": demo.pool, "departmentId": demo.sales, "onBehalfOfId": temp, "lines": [{ "service": "FURNITURE_REMOVAL" }], "idempotencyKey": key });
    for key in ["for temp", "for temp again"] {
        assert_eq!(setting.there.charge(on_behalf(key)).await["userErrors"], json!([]));
    }
    here.mutate("removeMember", "RemoveMemberInput", json!({ "memberId": temp }), "removedMemberId").await;
    let answer = setting.there.charge(on_behalf("for nobody")).await;
    assert_eq!(code(answer).as_deref(), Some("NOT_FOUND"));
}

async fn setting<'w>(world: &'w World, there: Client) -> Setting<'w> {
    let here = world.client("owner@demo.test").await;
    let demo = here.demo().await;
    world.grant(&demo.organization, &demo.pool, 1_000).await;
    here.allocate(&demo.pool, &demo.sales, 100, "to begin with").await;
    Setting { world, here, there, demo }
}

async fn changes_take_effect_with_the_next_charge(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let setting = setting(&world, owner).await;
    grants(&setting).await;
    changes(&setting).await;
}

#[test]
fn changes_on_another_server_take_effect_with_the_next_charge() {
    run(async {
        let world = World::start(Backend::Postgres).await;
        let other = Process::start(&world.database).await;
        let there = other.client(&world, "owner@demo.test").await;
        let setting = setting(&world, there).await;
        grants(&setting).await;
        changes(&setting).await;
    });
}

/// A department that is archived in the middle of everything gets no more credits.
#[test]
fn an_archived_department_is_seen_on_another_server() {
    run(async {
        let world = World::start(Backend::Postgres).await;
        let other = Process::start(&world.database).await;
        let (here, there) =
            (world.client("owner@demo.test").await, other.client(&world, "owner@demo.test").await);
        let demo = here.demo().await;
        there.allocate(&demo.pool, &demo.sales, 10, "before").await;
        let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 10, "idempotencyKey": "back" });
        there.mutate("reclaimCredits", "ReclaimCreditsInput", input, "balance { version }").await;
        let input = json!({ "departmentId": demo.sales });
        here.mutate("archiveDepartment", "ArchiveDepartmentInput", input, "department { id }").await;
        let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 1, "idempotencyKey": "after" });
        let fields = "balance { version }";
        let answer = there.try_mutate("allocateCredits", "AllocateCreditsInput", input, fields).await;
        assert_eq!(answer["userErrors"][0]["code"], "DEPARTMENT_ARCHIVED", "{answer}");
    });
}
