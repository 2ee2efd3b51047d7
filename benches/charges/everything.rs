//! What a charge costs with everything on, and what holds, captures and refunds cost, in CPU of server and
//! database, against a plain charge in the same run.
//!
//! The plain charge is one line on the unallocated credits of a pool with one lot. With everything on it is on
//! a department's credits, which lie in eight lots that expire, on somebody's behalf, under a cap of the
//! department, one of the person and one of the service, with a reference, a subject and metadata. The hash
//! chain, the columns that say who did it, and row-level security are never off. Holds are captured, and charges
//! refunded, as a whole.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::Turns;
use super::support::at_most;
use super::support::load::{Bodies, mutate_for};
use super::support::process::{Cpu, Server};
use super::support::setting::{Furnished, Setting};

/// How many clients there are.
const CLIENTS: usize = 256;

/// A mutation: how its answer begins when it is accepted, up to the id of what it made, and its document.
struct Mutation {
    begins: &'static str,
    document: &'static str,
}

const CHARGE: Mutation = Mutation {
    begins: r#"{"data":{"chargeCredits":{"charge":{"id":""#,
    document: "mutation Charge($input: ChargeCreditsInput!) { chargeCredits(input: $input) { charge { id } \
               replayed userErrors { __typename code message field } } }",
};
const HOLD: Mutation = Mutation {
    begins: r#"{"data":{"holdCredits":{"hold":{"id":""#,
    document: "mutation Hold($input: HoldCreditsInput!) { holdCredits(input: $input) { hold { id } replayed \
               userErrors { __typename code message field } } }",
};
const CAPTURE: Mutation = Mutation {
    begins: r#"{"data":{"captureHold":{"charge":{"id":""#,
    document: "mutation Capture($input: CaptureHoldInput!) { captureHold(input: $input) { charge { id } \
               replayed userErrors { __typename code message field } } }",
};
const REFUND: Mutation = Mutation {
    begins: r#"{"data":{"refundCharge":{"__typename":""#,
    document: "mutation Refund($input: RefundChargeInput!) { refundCharge(input: $input) { __typename replayed \
               userErrors { __typename code message field } } }",
};

/// What is being measured in.
struct Arms<'b> {
    server: &'b Server,
    cpu: Cpu,
    seconds: usize,
    round: usize,
}

impl Arms<'_> {
    /// Runs one thing in one turn; the ids of what was made.
    async fn run(
        &self,
        turns: &mut Turns,
        mutation: &Mutation,
        input: impl Fn(usize) -> Option<Value> + Send + Sync + 'static,
    ) -> Vec<String> {
        let document = mutation.document;
        let body = move |turn: usize| {
            let variables = json!({ "input": input(turn)? });
            Some(json!({ "query": document, "variables": variables }).to_string())
        };
        let bodies: Bodies = Arc::new(body);
        let made = Mutex::new(Vec::new());
        let load = mutate_for(self.server, (CLIENTS, self.seconds), mutation.begins, bodies, &made);
        turns.0.push(self.cpu.around(load).await);
        made.into_inner().unwrap()
    }

    /// Charges, and holds, of a pool's unallocated credits.
    async fn plain(&self, turns: &mut Turns, mutation: &Mutation, pool: &str) -> Vec<String> {
        let (pool, round) = (pool.to_owned(), self.round);
        let input = move |turn: usize| {
            let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
            Some(json!({ "poolId": pool, "lines": lines, "idempotencyKey": format!("{round}-{turn}") }))
        };
        self.run(turns, mutation, input).await
    }

    /// Charges with everything on.
    async fn everything(&self, turns: &mut Turns, furnished: &Furnished) {
        let (pool, department) = (furnished.pool.clone(), furnished.department.clone());
        let (member, round) = (furnished.member.clone(), self.round);
        let input = move |turn: usize| {
            Some(json!({
                "poolId": pool, "departmentId": department, "onBehalfOfId": member,
                "lines": [{ "service": "FURNITURE_REMOVAL" }],
                "reference": format!("job {round}-{turn}"), "subject": "12 Main Street",
                "metadata": { "photos": 12, "source": "upload" }, "idempotencyKey": format!("{round}-{turn}"),
            }))
        };
        self.run(turns, &CHARGE, input).await;
    }

    /// Does something with each of the things that were made before, once.
    async fn with_each(
        &self,
        turns: &mut Turns,
        mutation: &Mutation,
        made: Vec<String>,
        input: fn(&str) -> Value,
    ) {
        let of = move |turn: usize| {
            let id = made.get(turn)?;
            let mut input = input(id);
            input["idempotencyKey"] = json!(id);
            Some(input)
        };
        self.run(turns, mutation, of).await;
    }
}

/// Measures, and answers whether all aims are met.
pub async fn measure(seconds: usize, rounds: usize) -> bool {
    let only = std::env::var("ONLY").ok();
    let want = |arm: &str| only.as_deref().is_none_or(|only| only == arm);
    let setting = Setting::postgres(2, 0).await;
    let furnished = setting.furnish().await;
    let server = Server::start(&setting).await;
    furnished.limit(&server).await;
    let pools = setting.pools();
    let (mut plain, mut everything) = (Turns::default(), Turns::default());
    let (mut hold, mut capture, mut refund) = (Turns::default(), Turns::default(), Turns::default());
    // The first round is for everybody to have been there once.
    for round in 0..=rounds {
        let cpu = Cpu { server: server.id(), database: setting.database_process() };
        let seconds = if round == 0 { 2 } else { seconds };
        let arms = Arms { server: &server, cpu, seconds, round };
        let charges = arms.plain(&mut plain, &CHARGE, &pools[0].pool).await;
        if want("everything") {
            arms.everything(&mut everything, &furnished).await;
        }
        if want("hold") || want("capture") {
            let holds = arms.plain(&mut hold, &HOLD, &pools[1].pool).await;
            arms.with_each(&mut capture, &CAPTURE, holds, of_hold).await;
        }
        if want("refund") {
            arms.with_each(&mut refund, &REFUND, charges, of_charge).await;
        }
        if round == 0 {
            for turns in [&mut plain, &mut everything, &mut hold, &mut capture, &mut refund] {
                turns.0.clear();
            }
        }
    }
    server.stop().await;
    plain.show(&format!("a plain charge, PostgreSQL, one pool, {CLIENTS} clients"));
    let arms = [
        ("everything", "a charge with everything on", everything, 1.3),
        ("hold", "a hold", hold, 1.5),
        ("capture", "a capture", capture, 1.5),
        ("refund", "a refund", refund, 1.5),
    ];
    let mut met = true;
    for (arm, name, turns, aim) in arms {
        if want(arm) {
            turns.show(&format!("{name}, PostgreSQL, one pool, {CLIENTS} clients"));
            met &= at_most(&format!("CPU of {name} / of a plain charge"), cpu(&turns) / cpu(&plain), aim);
        }
    }
    met
}

/// The capture of a hold as a whole.
fn of_hold(id: &str) -> Value {
    json!({ "holdId": id, "final": true })
}

/// The refund of a charge as a whole.
fn of_charge(id: &str) -> Value {
    json!({ "chargeId": id, "providerFault": false, "guaranteed": false, "reason": "bench" })
}

/// CPU-microseconds of server and database for each.
fn cpu(turns: &Turns) -> f64 {
    turns.median(|turn| turn.server + turn.database)
}
