//! Using credits: what several files do with holds, charges and lots.

use bursar::auth::{Actor, Standing};
use bursar::clock::Clock;
use bursar::db::Tenant;
use bursar::global_id;
use bursar::ledger::Submission;
use bursar_domain::id::{EntryId, Id};
use bursar_domain::ledger::{
    Command, CommandId, Instruction, IssueCredits, Key, LotClass, LotSource, RequestHash,
};
use bursar_domain::{Credits, Timestamp};
use serde_json::{Value, json};

use super::client::Demo;
use super::{Client, World};

/// What is asked of a hold that is made.
pub const HOLD: &str =
    "hold { id state credits captured remaining reference subject version expiresAt closedAt
      lines { service quantity creditsEach credits capturedQuantity } }
    balance { posted held available version } accountBalance { posted held available } replayed";
/// What is asked of a hold that is captured.
pub const CAPTURE: &str = "charge { id credits reference subject version hold { id } slices { credits }
      lines { service quantity creditsEach credits } }
    hold { state captured remaining closedAt lines { capturedQuantity } }
    balance { posted held available version } accountBalance { posted held available } replayed";
/// What is asked of a hold that is let go.
pub const VOID: &str = "hold { state captured remaining } balance { posted held available version } replayed";

/// Holds credits, and answers whatever it says.
pub async fn hold(client: &Client, input: Value) -> Value {
    client.try_mutate("holdCredits", "HoldCreditsInput", input, HOLD).await
}

/// Captures a hold, and answers whatever it says.
pub async fn capture(client: &Client, input: Value) -> Value {
    client.try_mutate("captureHold", "CaptureHoldInput", input, CAPTURE).await
}

/// Lets a hold go, and answers whatever it says.
pub async fn void(client: &Client, hold: &Value, key: &str) -> Value {
    let input = json!({ "holdId": hold, "idempotencyKey": key });
    client.try_mutate("voidHold", "VoidHoldInput", input, VOID).await
}

/// Input that holds or charges so many credits of a pool.
pub fn of(pool: &str, key: &str, credits: i64) -> Value {
    json!({ "poolId": pool, "lines": [{ "service": "FURNITURE_REMOVAL", "quantity": credits }], "idempotencyKey": key })
}

/// The newest transfers of a pool, newest first.
pub async fn newest(client: &Client, pool: &str, count: u32, fields: &str) -> Vec<Value> {
    let query =
        format!("{{ pool(id: \"{pool}\") {{ transfers(first: {count}) {{ nodes {{ {fields} }} }} }} }}");
    client.query(&query, json!({})).await["pool"]["transfers"]["nodes"].as_array().unwrap().clone()
}

/// The present, and a clock that stands at it.
pub fn standing() -> (Timestamp, Clock) {
    let now = Clock::system().now();
    (now, Clock::set(now))
}

/// Brings a lot into the pool of the demonstration that is used before all others.
pub async fn issue(world: &World, demo: &Demo, credits: i64, expires_at: Option<Timestamp>) {
    let services = world.services();
    let clock = &services.context.clock;
    let issue = IssueCredits {
        lot: clock.new_id(),
        source: LotSource::Grant,
        class: LotClass::Promotional,
        priority: 1,
        credits: Credits::new(credits).unwrap(),
        cost: 0,
        currency: None,
        expires_at,
        purchase: None,
        department: None,
        new_account: clock.new_id(),
    };
    let id: EntryId = clock.new_id();
    let command = Command {
        id: CommandId::Entry(id),
        pool: global_id::decode(&demo.pool).unwrap(),
        key: Key(id.as_u128().to_be_bytes()),
        request: RequestHash([0; 16]),
        now: clock.now(),
        instruction: Instruction::Issue(issue),
    };
    let (actor, standing) = (Actor::system(None), Standing::default());
    let submission = Submission { command, actor, standing, subject: None, metadata: None, reason: None };
    let tenant = Tenant::vouched(global_id::decode(&demo.organization).unwrap());
    services.ledger.submit(tenant, submission).await.unwrap();
}
