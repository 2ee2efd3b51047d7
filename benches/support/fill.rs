//! Fills pools with charges through the ledger itself, as many at a time as its batches take.

use bursar::app::App;
use bursar::auth::{Actor, Standing};
use bursar::db::Tenant;
use bursar::ledger::Submission;
use bursar_domain::Timestamp;
use bursar_domain::id::{ChargeId, OrganizationId, PoolId};
use bursar_domain::ledger::{ChargeCredits, Command, CommandId, Instruction, Key, LineRequest, RequestHash};
use futures_util::stream::{self, StreamExt};
use sea_orm::ConnectionTrait;

use super::setting::Setting;

/// How many charges wait at a time: enough for full batches, and fewer than the ledger turns away.
const AT_ONCE: usize = 2_000;
/// From when on the catalog's prices hold: the first of January 2025, in microseconds.
const BEGIN: i64 = 1_735_689_600_000_000;
/// After how many charges a line is printed.
const PROGRESS: usize = 1_000_000;

/// Makes charges until each of some new pools has so many transfers, its lot's being the first; answers the time of the
/// one in the middle of the first pool, in microseconds.
pub async fn fill(setting: &Setting, pools: &[((OrganizationId, PoolId), usize)]) -> i64 {
    let app = setting.app().await;
    let mut middles = Vec::new();
    for (pool, transfers) in pools {
        middles.push(fill_pool(&app, *pool, *transfers).await);
    }
    app.close().await.unwrap();
    if setting.database_process().is_some() {
        // What the server does by itself some time later.
        let superuser = setting.superuser().await;
        superuser.execute_unprepared("VACUUM ANALYZE").await.unwrap();
        superuser.close().await.unwrap();
    }
    middles[0]
}

async fn fill_pool(app: &App, (organization, pool): (OrganizationId, PoolId), transfers: usize) -> i64 {
    let services = app.services();
    // The bench acts for itself here.
    let tenant = Tenant::vouched(organization);
    let clock = &services.context.clock;
    let step = (clock.now().micros() - BEGIN) / transfers as i64;
    let at = |number: usize| Timestamp::from_micros(BEGIN + step * number as i64);
    let charges = stream::iter(1..transfers)
        .map(|number| services.ledger.submit(tenant, charge(pool, number, clock.new_id(), at(number))));
    let mut outcomes = charges.buffer_unordered(AT_ONCE).enumerate();
    while let Some((done, outcome)) = outcomes.next().await {
        outcome.unwrap();
        if (done + 1) % PROGRESS == 0 {
            println!("{} of {transfers} transfers", done + 1);
        }
    }
    at(transfers / 2).micros()
}

fn charge(pool: PoolId, number: usize, id: ChargeId, now: Timestamp) -> Submission {
    let line = LineRequest { service: "FURNITURE_REMOVAL".to_owned(), quantity: 1 };
    let charge = ChargeCredits {
        department: None,
        on_behalf_of: None,
        spender: None,
        lines: vec![line],
        reference: None,
    };
    let key = (number as u128).to_be_bytes();
    let command = Command {
        id: CommandId::Charge(id),
        pool,
        key: Key(key),
        request: RequestHash(key),
        now,
        instruction: Instruction::Charge(charge),
    };
    let (actor, standing) = (Actor::system(None), Standing::default());
    Submission { command, actor, standing, subject: None, metadata: None, reason: None }
}
