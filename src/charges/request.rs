//! What is to be charged or held: who may ask for it, and the form that tells a retry from another request.

use bursar_domain::id::{DepartmentId, MembershipId, PoolId, UserId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{ChargeCredits, Command, CommandId, Instruction, LineRequest};
use bursar_domain::permission::Action;
use bursar_entity::{department_member, membership, organization};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::Value;

use crate::auth::{Authorized, Caller, PoolDirectory, Standing};
use crate::clock::Clock;
use crate::db::{Snapshots, Tenant};
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger::Submission;
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

/// A request of somebody who may make it, with its texts checked.
pub(super) struct Allowed {
    pub pool: Authorized<PoolId>,
    /// When the permission, and who the person is on whose behalf, were read.
    pub standing: Standing,
    /// On whose behalf, as the caller has named it.
    pub member: Option<MembershipId>,
    pub charge: ChargeCredits,
    pub subject: Option<String>,
    pub metadata: Option<String>,
}

impl Allowed {
    /// Checks a request.
    pub async fn check(
        snapshots: &Snapshots,
        directory: &PoolDirectory,
        caller: &Caller,
        request: ChargeRequest,
    ) -> Result<Allowed> {
        let (pool, on_behalf_of, standing) = authorize(snapshots, directory, caller, &request).await?;
        let reference = text::optional_reference("reference", request.reference.as_deref())?;
        let subject = text::optional_reference("subject", request.subject.as_deref())?;
        let metadata = metadata(request.metadata.as_ref())?;
        let charge = ChargeCredits {
            department: request.department,
            on_behalf_of,
            spender: on_behalf_of.or_else(|| pool.actor().user_id()),
            lines: request.lines,
            reference,
        };
        Ok(Allowed { pool, standing, member: request.on_behalf_of, charge, subject, metadata })
    }

    /// Everything that was asked for, in canonical form.
    pub fn form(&self, thing: &str) -> Canonical {
        let mut form = Canonical::of(thing);
        form.id(*self.pool);
        form.option(self.charge.department, |form, id| _ = form.id(id));
        form.option(self.member, |form, id| _ = form.id(id));
        lines_into(&mut form, &self.charge.lines);
        for text in [&self.charge.reference, &self.subject, &self.metadata] {
            form.option(text.as_deref(), |form, text| _ = form.text(text));
        }
        form
    }

    /// The command that carries it out, ready to be submitted.
    pub fn submission(
        self,
        clock: &Clock,
        id: CommandId,
        idempotency: Idempotency,
        instruction: impl FnOnce(ChargeCredits) -> Instruction,
    ) -> Submission {
        let command = Command {
            id,
            pool: *self.pool,
            key: idempotency.key,
            request: idempotency.request,
            now: clock.now(),
            instruction: instruction(self.charge),
        };
        Submission {
            command,
            actor: self.pool.actor().clone(),
            standing: self.standing,
            subject: self.subject,
            metadata: self.metadata,
            reason: None,
        }
    }
}

/// Appends lines as the caller has given them.
pub(super) fn lines_into(form: &mut Canonical, lines: &[LineRequest]) {
    form.number(i64::try_from(lines.len()).unwrap_or(i64::MAX));
    for line in lines {
        form.text(&line.service).number(line.quantity);
    }
}

/// Forgets on whose behalf a command was that came too late to count on it.
pub(super) fn forget<T>(
    directory: &PoolDirectory,
    tenant: Tenant,
    member: Option<MembershipId>,
    outcome: &Result<T>,
) {
    if let (Err(Error::Stale), Some(member)) = (outcome, member) {
        directory.forget_member(tenant.id(), member);
    }
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
        let charge = Action::ChargeDepartment;
        if !by_pool && !caller.may_by_department(organization, *pool, department, charge) {
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
    let for_all = caller.may_charge_all_departments(organization, *pool);
    let managed = request.department.filter(|id| caller.may_charge_for_members(organization, *id));
    let own = caller.memberships.get(&organization).is_some_and(|own| own.id == member);
    if !for_all && !own && managed.is_none() {
        // What is charged on somebody's behalf counts as theirs: nobody spends in the name of a colleague.
        return Err(Error::Forbidden);
    }
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
    if let Some(department) = managed.filter(|_| !for_all && !own) {
        let sees_members = caller.may_in_organization(organization, Action::ReadMembers);
        of_department(snapshots, pool.tenant(), (department, person), sees_members).await?;
    }
    // Of the two revisions the older counts: what was read first may have changed since.
    standing.organization = Some(standing.organization.map_or(revision, |known| known.min(revision)));
    Ok((pool, Some(person), standing))
}

/// Whoever manages a department charges on behalf of the people in it. To those who do not see who else belongs to the
/// organization, others are not there, like members that do not exist.
async fn of_department(
    snapshots: &Snapshots,
    tenant: Tenant,
    (department, person): (DepartmentId, UserId),
    sees_members: bool,
) -> Result<()> {
    let snapshot = snapshots.open(tenant).await?;
    let row = tenant
        .find::<department_member::Entity>()
        .filter(department_member::Column::DepartmentId.eq(department))
        .filter(department_member::Column::UserId.eq(person));
    match row.one(&*snapshot).await? {
        Some(_) => Ok(()),
        None if sees_members => Err(Error::Forbidden),
        None => Err(Error::not_found("member").at("onBehalfOfId")),
    }
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

/// What the caller attaches, as it is kept.
pub(super) fn metadata(value: Option<&Value>) -> Result<Option<String>> {
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
