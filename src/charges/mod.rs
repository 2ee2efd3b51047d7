//! Charging credits for services, and quoting a charge without making it.

use bursar_domain::id::{ChargeId, DepartmentId, MembershipId, PoolId, UserId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{ChargeCredits, Command, CommandId, Instruction, Key, LineRequest, RequestHash};
use bursar_domain::permission::Action;
use bursar_entity::{membership, pool};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::Value;

use crate::auth::{Authorized, Caller, PoolDirectory};
use crate::db::Snapshots;
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger::{self, Ledger, Quote, Receipt, Submission};
use crate::text;

/// The most bytes of a charge's metadata, as JSON.
pub const MAX_METADATA: usize = 8 * 1024;

/// What is to be charged.
#[derive(Clone, Debug)]
pub struct ChargeRequest {
    /// Whose pool.
    pub pool: PoolId,
    /// Whose allocation; none: the credits that no department has.
    pub department: Option<DepartmentId>,
    /// On whose behalf.
    pub on_behalf_of: Option<MembershipId>,
    /// What was done.
    pub lines: Vec<LineRequest>,
    /// The job's id at the caller's.
    pub reference: Option<String>,
    /// The property or listing.
    pub subject: Option<String>,
    /// What the caller attaches: a JSON object.
    pub metadata: Option<Value>,
}

/// Makes a charge, or with `dry_run` rehearses it: the whole answer, and nothing stays.
pub async fn create(
    ledger: &Ledger,
    snapshots: &Snapshots,
    directory: &PoolDirectory,
    caller: &Caller,
    request: ChargeRequest,
    (key, dry_run): (&str, bool),
) -> Result<Receipt> {
    let (pool, on_behalf_of) = authorize(snapshots, directory, caller, &request).await?;
    let reference = text::optional_name("reference", request.reference.as_deref())?;
    let subject = text::optional_name("subject", request.subject.as_deref())?;
    let metadata = metadata(request.metadata.as_ref())?;
    let mut form = Canonical::of("charge");
    form.id(request.pool);
    form.option(request.department, |form, id| _ = form.id(id));
    form.option(request.on_behalf_of, |form, id| _ = form.id(id));
    form.number(i64::try_from(request.lines.len()).unwrap_or(i64::MAX));
    for line in &request.lines {
        form.text(&line.service).number(line.quantity);
    }
    for text in [&reference, &subject, &metadata] {
        form.option(text.as_deref(), |form, text| _ = form.text(text));
    }
    let idempotency = Idempotency::new("chargeCredits", key, &form);
    let clock = &ledger.context().clock;
    let command = Command {
        id: CommandId::Charge(clock.new_id::<ChargeId>()),
        pool: pool.id,
        key: idempotency.key,
        request: idempotency.request,
        now: clock.now(),
        instruction: instruction(request, on_behalf_of, reference),
    };
    let submission = Submission { command, actor: pool.actor().clone(), subject, metadata, reason: None };
    // The snapshot is done with: nobody waits for the writer while holding a reader.
    snapshots.close().await;
    ledger.submit_one(pool.tenant(), submission, dry_run).await
}

/// Says what a charge would cost and whether it would be accepted, as of now.
pub async fn quote(
    ledger: &Ledger,
    snapshots: &Snapshots,
    directory: &PoolDirectory,
    caller: &Caller,
    request: ChargeRequest,
) -> Result<(Authorized<pool::Model>, Quote)> {
    let (pool, on_behalf_of) = authorize(snapshots, directory, caller, &request).await?;
    let clock = &ledger.context().clock;
    let command = Command {
        id: CommandId::Charge(clock.new_id::<ChargeId>()),
        pool: pool.id,
        // A quote has no key; one of zeros is no digest of any.
        key: Key([0; 16]),
        request: RequestHash([0; 16]),
        now: clock.now(),
        instruction: instruction(request, on_behalf_of, None),
    };
    let snapshot = snapshots.open(pool.tenant()).await?;
    let quote = ledger::quote(&snapshot, pool.tenant(), &command).await?;
    drop(snapshot);
    Ok((pool, quote))
}

fn instruction(
    request: ChargeRequest,
    on_behalf_of: Option<UserId>,
    reference: Option<String>,
) -> Instruction {
    let (department, lines) = (request.department, request.lines);
    Instruction::Charge(ChargeCredits { department, on_behalf_of, lines, reference })
}

/// The pool, when the caller may charge the department's credits there (or those of no department), and
/// the person on whose behalf.
async fn authorize(
    snapshots: &Snapshots,
    directory: &PoolDirectory,
    caller: &Caller,
    request: &ChargeRequest,
) -> Result<(Authorized<pool::Model>, Option<UserId>)> {
    let at_pool = |error: Error| error.at("poolId");
    let action = match request.department {
        None => Action::ChargeUnallocated,
        Some(_) => Action::ReadPool,
    };
    let pool = caller.pool(snapshots, directory, request.pool, action).await.map_err(at_pool)?;
    let organization = pool.organization_id;
    if let Some(department) = request.department {
        let by_pool = caller.may_charge_all_departments(organization, pool.id);
        if !by_pool && !caller.may_in_department(organization, department, Action::ChargeDepartment) {
            // To those who cannot see the department it is not there, like one that does not exist.
            let seen = caller.may_in_department(organization, department, Action::ReadDepartment);
            return Err(if seen {
                Error::Forbidden
            } else {
                Error::not_found("department").at("departmentId")
            });
        }
    }
    let on_behalf_of = match request.on_behalf_of {
        None => None,
        Some(id) => {
            let tenant = pool.tenant();
            let snapshot = snapshots.open(tenant).await?;
            let member = tenant.find::<membership::Entity>().filter(membership::Column::Id.eq(id));
            let member = member.one(&*snapshot).await?;
            Some(member.ok_or(Error::not_found("member").at("onBehalfOfId"))?.user_id)
        }
    };
    Ok((pool, on_behalf_of))
}

/// Whether a text in the value, or a name of a member, has a NUL: PostgreSQL cannot read such JSON. The
/// depth is bounded by the parser that the value came through.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn metadata(value: Option<&Value>) -> Result<Option<String>> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    if !value.is_object() {
        return Err(Error::invalid("metadata", "must be a JSON object"));
    }
    let json = value.to_string();
    if json.len() > MAX_METADATA {
        return Err(Error::invalid("metadata", format!("must have at most {MAX_METADATA} bytes as JSON")));
    }
    if has_nul(value) {
        return Err(Error::invalid("metadata", "must not contain NUL characters"));
    }
    Ok(Some(json))
}
