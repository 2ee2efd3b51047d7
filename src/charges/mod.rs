//! Charging credits for services, and quoting a charge without making it.

use bursar_domain::id::{ChargeId, DepartmentId, MembershipId, PoolId, UserId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{
    ChargeCredits, Command, CommandId, Explanation, Instruction, Key, LineRequest, RequestHash,
};
use bursar_domain::permission::Action;
use bursar_entity::{membership, organization, pool};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::Value;

use crate::auth::{Authorized, Caller, PoolDirectory, Standing};
use crate::db::{Snapshots, Tenant};
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Receipt, Submission};
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
    let (pool, on_behalf_of, standing) = authorize(snapshots, directory, caller, &request).await?;
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
    let (idempotency, member) = (Idempotency::new("chargeCredits", key, &form), request.on_behalf_of);
    let clock = &ledger.context().clock;
    let command = Command {
        id: CommandId::Charge(clock.new_id::<ChargeId>()),
        pool: *pool,
        key: idempotency.key,
        request: idempotency.request,
        now: clock.now(),
        instruction: instruction(request, on_behalf_of, reference),
    };
    let actor = pool.actor().clone();
    let submission = Submission { command, actor, standing, subject, metadata, reason: None };
    // The snapshot is done with: nobody waits for the writer while holding a reader.
    snapshots.close().await;
    let outcome = match dry_run {
        true => ledger.rehearse(pool.tenant(), submission).await,
        false => ledger.submit(pool.tenant(), submission).await,
    };
    if let (Err(Error::Stale), Some(member)) = (&outcome, member) {
        directory.forget_member(pool.tenant().id(), member);
    }
    outcome
}

/// Says what a charge would cost and whether it would be accepted, as of now.
pub async fn quote(
    ledger: &Ledger,
    snapshots: &Snapshots,
    directory: &PoolDirectory,
    caller: &Caller,
    request: ChargeRequest,
) -> Result<(Authorized<pool::Model>, Explanation)> {
    let (authorized, on_behalf_of, _) = authorize(snapshots, directory, caller, &request).await?;
    let pool = caller.pool(snapshots, directory, *authorized, Action::ReadPool).await?;
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
    let explanation = ledger.explain(&snapshot, pool.tenant(), &command).await?;
    drop(snapshot);
    Ok((pool, explanation))
}

fn instruction(
    request: ChargeRequest,
    on_behalf_of: Option<UserId>,
    reference: Option<String>,
) -> Instruction {
    let (department, lines) = (request.department, request.lines);
    Instruction::Charge(ChargeCredits { department, on_behalf_of, spender: on_behalf_of, lines, reference })
}

/// The pool, when the caller may charge the department's credits there (or those of no department); the
/// person on whose behalf; and when all that was read.
async fn authorize(
    snapshots: &Snapshots,
    directory: &PoolDirectory,
    caller: &Caller,
    request: &ChargeRequest,
) -> Result<(Authorized<PoolId>, Option<UserId>, Standing)> {
    let at_pool = |error: Error| error.at("poolId");
    let action = match request.department {
        None => Action::ChargeUnallocated,
        Some(_) => Action::ReadPool,
    };
    let pool = caller.pool_id(snapshots, directory, request.pool, action).await.map_err(at_pool)?;
    let organization = pool.tenant().id();
    if let Some(department) = request.department {
        let by_pool = caller.may_charge_all_departments(organization, *pool);
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
    let mut standing = pool.standing();
    let Some(member) = request.on_behalf_of else { return Ok((pool, None, standing)) };
    let (person, revision) = match directory.member(organization, member) {
        Some((person, revision)) if standing.organization.is_none_or(|known| known == revision) => {
            (person, revision)
        }
        _ => {
            let found = member_as_of(snapshots, pool.tenant(), member).await?;
            directory.remember_member((organization, member), found.0, found.1);
            found
        }
    };
    // Of the two revisions the older counts: what was read first may have changed since.
    standing.organization = Some(standing.organization.map_or(revision, |known| known.min(revision)));
    Ok((pool, Some(person), standing))
}

/// The person of a membership, and the revision of the organization at which that is so.
async fn member_as_of(snapshots: &Snapshots, tenant: Tenant, member: MembershipId) -> Result<(UserId, i64)> {
    let snapshot = snapshots.open(tenant).await?;
    let row = tenant.find::<membership::Entity>().filter(membership::Column::Id.eq(member));
    let row = row.one(&*snapshot).await?.ok_or(Error::not_found("member").at("onBehalfOfId"))?;
    let organization = tenant.find::<organization::Entity>().one(&*snapshot).await?;
    let organization = organization.ok_or_else(|| Error::internal("a member of no organization"))?;
    Ok((row.user_id, organization.revision))
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
