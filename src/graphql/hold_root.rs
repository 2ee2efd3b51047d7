//! Holding credits, and capturing and voiding holds: inputs, payloads, root fields.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::id::HoldId;
use bursar_domain::ledger::LineRequest;

use super::balance::Balance;
use super::charge::Charge;
use super::charge_root::{ChargeLineInput, Named};
use super::errors::{ApiError, UserError, user_error};
use super::hold::Hold;
use super::node::decode;
use super::refused::with_owner;
use super::scalars::{IdempotencyKey, Json};
use super::signed_in;
use crate::auth::Caller;
use crate::charges::{self, CaptureRequest, Changed, ChargeRequest, HoldRequest, VoidRequest};
use crate::error::Error;
use crate::ledger::{Receipt, ReceiptRow};

/// What is to be held.
#[derive(InputObject)]
pub struct HoldCreditsInput {
    /// Whose pool.
    pool_id: ID,
    /// Whose credits. Left out: those that no department has.
    department_id: Option<ID>,
    /// On which member's behalf.
    on_behalf_of_id: Option<ID>,
    /// What will be done at most: 1 to 100 lines.
    lines: Vec<ChargeLineInput>,
    /// The job's id at the caller's, unique in the organization for ever. The charges that capture the hold
    /// show it too.
    reference: Option<String>,
    /// The property or listing.
    subject: Option<String>,
    /// What the caller attaches: a JSON object of at most 8 KiB.
    metadata: Option<Json>,
    /// For how many seconds, from 1 to 259200 (72 hours).
    #[graphql(default = 86_400)]
    ttl_seconds: i32,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// What is to be charged of a hold.
#[derive(InputObject)]
pub struct CaptureHoldInput {
    /// Which hold.
    hold_id: ID,
    /// What was done, at the prices of the hold: at most what is still held of each service. Left out: all of it.
    lines: Option<Vec<ChargeLineInput>>,
    /// Whether nothing follows: then what is left after it is let go.
    #[graphql(name = "final", default = false)]
    last: bool,
    /// The property or listing. Left out: that of the hold.
    subject: Option<String>,
    /// What the caller attaches: a JSON object of at most 8 KiB.
    metadata: Option<Json>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A hold to be let go.
#[derive(InputObject)]
pub struct VoidHoldInput {
    /// Which hold.
    hold_id: ID,
    /// Why.
    reason: Option<String>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A hold that was made.
#[derive(SimpleObject, Default)]
pub struct HoldCreditsPayload {
    /// The hold.
    hold: Option<Hold>,
    /// What the pool had after it, as of its commit.
    balance: Option<Balance>,
    /// What the department (or unallocated) had after it, as of its commit.
    account_balance: Option<Balance>,
    /// Whether it had been made before, under the same key.
    replayed: bool,
    /// Why nothing is held. Empty when it is.
    user_errors: Vec<UserError>,
}

/// A hold of which something was charged.
#[derive(SimpleObject, Default)]
pub struct CaptureHoldPayload {
    /// The charge.
    charge: Option<Charge>,
    /// The hold as it is now.
    hold: Option<Hold>,
    /// What the pool had after it, as of its commit.
    balance: Option<Balance>,
    /// What the department (or unallocated) had after it, as of its commit.
    account_balance: Option<Balance>,
    /// Whether this had been carried out before, under the same key.
    replayed: bool,
    /// Why nothing was charged. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A hold that was let go.
#[derive(SimpleObject, Default)]
pub struct VoidHoldPayload {
    /// The hold as it is now.
    hold: Option<Hold>,
    /// What the pool had after it, as of its commit.
    balance: Option<Balance>,
    /// What the department (or unallocated) had after it, as of its commit.
    account_balance: Option<Balance>,
    /// Whether this had been carried out before, under the same key.
    replayed: bool,
    /// Why it was not let go. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that holds credits.
#[derive(Default)]
pub struct HoldMutation;

#[Object]
impl HoldMutation {
    /// Holds credits for charges to come: prices the lines at the prices of this moment, and keeps so many
    /// credits until they are captured, let go, or the hold expires.
    async fn hold_credits(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to hold.")] input: HoldCreditsInput,
    ) -> Option<Result<HoldCreditsPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let named = Named {
                pool: &input.pool_id,
                department: input.department_id.as_ref(),
                on_behalf_of: input.on_behalf_of_id.as_ref(),
            };
            let (pool, department, on_behalf_of) = named.decode()?;
            let charge = ChargeRequest {
                pool,
                department,
                on_behalf_of,
                lines: input.lines.into_iter().map(LineRequest::from).collect(),
                reference: input.reference,
                subject: input.subject,
                metadata: input.metadata.map(|json| json.0),
            };
            let hold = HoldRequest { charge, seconds: i64::from(input.ttl_seconds) };
            let services = &request.services;
            let (key, dry_run) = (input.idempotency_key.0.as_str(), input.dry_run);
            let make = |caller: Caller| {
                let hold = hold.clone();
                async move {
                    let (ledger, directory) = (&services.ledger, &services.directory);
                    charges::hold(ledger, &request.snapshots, directory, &caller, hold, (key, dry_run)).await
                }
            };
            request.as_things_stand(make).await
        });
        let failed = |error| HoldCreditsPayload { user_errors: vec![error], ..Default::default() };
        Some(match outcome.await.and_then(held) {
            Ok(payload) => Ok(payload),
            Err(error) => Box::pin(with_owner(ctx, error)).await.map(failed),
        })
    }

    /// Charges what is held, or a part of it, at the prices of the hold: once or several times, never more
    /// than is held. Succeeds as long as the hold is open, even when a lot has lapsed meanwhile.
    async fn capture_hold(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to charge.")] input: CaptureHoldInput,
    ) -> Option<Result<CaptureHoldPayload, ApiError>> {
        let lines = input.lines.map(|lines| lines.into_iter().map(LineRequest::from).collect::<Vec<_>>());
        let asked = lines.clone();
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let capture = CaptureRequest {
                hold: hold_id(&input.hold_id)?,
                lines,
                last: input.last,
                subject: input.subject,
                metadata: input.metadata.map(|json| json.0),
            };
            let (ledger, directory) = (&request.services.ledger, &request.services.directory);
            let (key, dry_run) = (input.idempotency_key.0.as_str(), input.dry_run);
            let make = |caller: Caller| {
                let capture = capture.clone();
                async move {
                    charges::capture(ledger, &request.snapshots, directory, &caller, capture, (key, dry_run))
                        .await
                }
            };
            request.as_things_stand(make).await
        });
        Some(match outcome.await.and_then(captured) {
            Ok(payload) => Ok(payload),
            Err(error) => user_error(error).map(|error| {
                let error = of_service(of_hold(error), asked.as_deref().unwrap_or_default());
                CaptureHoldPayload { user_errors: vec![error], ..Default::default() }
            }),
        })
    }

    /// Lets go of what is held, so that it is free again.
    async fn void_hold(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which hold.")] input: VoidHoldInput,
    ) -> Option<Result<VoidHoldPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let void = VoidRequest { hold: hold_id(&input.hold_id)?, reason: input.reason };
            let (ledger, directory) = (&request.services.ledger, &request.services.directory);
            let (key, dry_run) = (input.idempotency_key.0.as_str(), input.dry_run);
            let make = |caller: Caller| {
                let void = void.clone();
                async move {
                    charges::void(ledger, &request.snapshots, directory, &caller, void, (key, dry_run)).await
                }
            };
            request.as_things_stand(make).await
        });
        Some(match outcome.await.and_then(voided) {
            Ok(payload) => Ok(payload),
            Err(error) => user_error(error)
                .map(|error| VoidHoldPayload { user_errors: vec![of_hold(error)], ..Default::default() }),
        })
    }
}

fn hold_id(id: &ID) -> Result<HoldId, Error> {
    decode(id, "hold").map_err(|error: Error| error.at("holdId"))
}

/// An error of an input that names a hold and nothing else.
fn of_hold(error: UserError) -> UserError {
    error.renamed(&[("poolId", "holdId"), ("departmentId", "holdId")])
}

/// An error of a line with the service that the line names.
fn of_service(mut error: UserError, lines: &[LineRequest]) -> UserError {
    if let UserError::Capture(exceeded) = &mut error {
        let line = usize::try_from(exceeded.line).ok().and_then(|line| lines.get(line));
        exceeded.service = line.map(|line| line.service.clone());
    }
    error
}

fn held(receipt: Receipt) -> Result<HoldCreditsPayload, Error> {
    let (balance, account_balance) = Balance::after(&receipt)?;
    let ReceiptRow::Hold(row) = receipt.row else {
        return Err(Error::internal("a hold was answered by something else"));
    };
    Ok(HoldCreditsPayload {
        hold: Some(Hold(row)),
        balance: Some(balance),
        account_balance: Some(account_balance),
        replayed: receipt.replayed,
        user_errors: Vec::new(),
    })
}

fn captured(Changed { receipt, hold }: Changed) -> Result<CaptureHoldPayload, Error> {
    let (balance, account_balance) = Balance::after(&receipt)?;
    let ReceiptRow::Charge(row) = receipt.row else {
        return Err(Error::internal("a capture was answered by something else"));
    };
    Ok(CaptureHoldPayload {
        charge: Some(Charge::booked(row, receipt.transfers)),
        hold: Some(Hold(hold)),
        balance: Some(balance),
        account_balance: Some(account_balance),
        replayed: receipt.replayed,
        user_errors: Vec::new(),
    })
}

fn voided(Changed { receipt, hold }: Changed) -> Result<VoidHoldPayload, Error> {
    let (balance, account_balance) = Balance::after(&receipt)?;
    Ok(VoidHoldPayload {
        hold: Some(Hold(hold)),
        balance: Some(balance),
        account_balance: Some(account_balance),
        replayed: receipt.replayed,
        user_errors: Vec::new(),
    })
}
