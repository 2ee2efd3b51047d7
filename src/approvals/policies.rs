//! Saving a policy: another version of it, once nothing is wrong with it and people are there who can decide.
//!
//! # Order of locks
//! The organization, so that people stay what they are while a policy is checked, and versions come one after another.

use bursar_domain::approval::validation;
use bursar_domain::approval::{Policy, PolicyFault, PolicyFaultKind, PolicyWarning, Rule, Stage};
use bursar_domain::id::{PolicyId, PoolId, UserId};
use bursar_entity::{approval_policy, organization, pool};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect};
use serde_json::{Value, json};

use super::{current_policy, people, write_rules};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::{global_id, text};

/// A policy to be saved.
#[derive(Clone, Debug)]
pub struct SavePolicy {
    /// What it says.
    pub policy: Policy,
    /// The version that it takes the place of; 0: there is none yet.
    pub expected_version: i64,
}

/// A policy that was saved.
#[derive(Clone, Debug)]
pub struct PolicySaved {
    /// Its version, which is in force.
    pub row: approval_policy::Model,
    /// What its owners should know of it.
    pub warnings: Vec<PolicyWarning>,
}

/// What has come of saving a policy.
#[derive(Clone, Debug)]
pub enum Saved {
    /// It was saved.
    Saved(Box<PolicySaved>),
    /// Something is wrong with it, and nothing was saved.
    Faulty(Vec<PolicyFault>),
}

/// Saves another version of an organization's policy. Requests that are open go on by the version they were opened by.
///
/// # Errors
/// [`Error::Forbidden`] for whoever is no person, [`Conflict::State`] at `expectedVersion` when another version is in force;
/// what the database answers.
pub async fn save(
    context: &Context,
    organization: &Authorized<organization::Model>,
    wanted: SavePolicy,
) -> Result<Saved> {
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let Some(by) = actor.user_id() else { return Err(Error::Forbidden) };
    let work = db::work(move |txn| {
        let (actor, clock, wanted) = (actor.clone(), clock.clone(), wanted.clone());
        Box::pin(async move { save_in(txn, tenant, &clock, (&actor, by), wanted).await })
    });
    context.db.write(tenant, work).await
}

async fn save_in(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    (actor, by): (&Actor, UserId),
    wanted: SavePolicy,
) -> Result<Saved> {
    let organization = tenant.find::<organization::Entity>().lock_exclusive().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    actor.require_standing(txn, &organization).await?;
    let before = current_policy(txn, tenant).await?;
    let version = before.as_ref().map_or(0, |row| row.version);
    if wanted.expected_version != version {
        let reason = match version {
            0 => "No policy has been saved yet: the expected version is 0.".to_owned(),
            _ => {
                format!("Version {version} of the policy is in force. Read it, and save yours in its place.")
            }
        };
        return Err(Error::conflict(Conflict::State, "expectedVersion", reason));
    }
    let policy = trimmed(wanted.policy);
    let (faults, warnings) = check(txn, tenant, &organization, &policy).await?;
    if !faults.is_empty() {
        return Ok(Saved::Faulty(faults));
    }
    let row = approval_policy::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<PolicyId>(),
        version: version.saturating_add(1),
        rules: write_rules(&policy.rules)?,
        currency: policy.currency,
        remind_after: policy.timing.remind_after,
        escalate_after: policy.timing.escalate_after,
        expire_after: policy.timing.expire_after,
        sign_in_above: policy.sign_in_above,
        payer: policy.payer,
        language: policy.language,
        saved_by: by,
        created_at: clock.now(),
    };
    approval_policy::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    let is = facts(&row)?;
    let change = match before.as_ref().map(facts).transpose()? {
        Some(was) => Change::updated("saveApprovalPolicy", row.id, was, is),
        None => Change::created("saveApprovalPolicy", row.id, is),
    };
    audit::record(txn, tenant, clock, actor, change).await?;
    Ok(Saved::Saved(Box::new(PolicySaved { row, warnings })))
}

/// What is wrong with a policy as things stand, and what its owners should know of it. People are looked at once it is
/// right by itself.
pub(super) async fn check(
    txn: &Txn,
    tenant: Tenant,
    organization: &organization::Model,
    policy: &Policy,
) -> Result<(Vec<PolicyFault>, Vec<PolicyWarning>)> {
    let mut faults = validation::check(policy);
    for fault in unnameable(policy).into_iter().chain(without_currency(policy, organization)) {
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    if !faults.is_empty() {
        return Ok((faults, Vec::new()));
    }
    let pools = tenant
        .find::<pool::Entity>()
        .select_only()
        .column(pool::Column::Id)
        .filter(pool::Column::ArchivedAt.is_null());
    let pools: Vec<PoolId> = pools.into_tuple().all(txn).await?;
    Ok(validation::check_people(policy, &people(txn, tenant).await?, &pools))
}

/// The names that cannot stand in a mail (see [`text::name_in_mail`]).
fn unnameable(policy: &Policy) -> Vec<PolicyFault> {
    let bad = |name: &str| text::name_in_mail("name", name).is_err();
    let mut faults = Vec::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        let unnamed = |stage| PolicyFault { kind: PolicyFaultKind::Unnamed, rule: Some(index), stage };
        faults.extend(bad(&rule.name).then(|| unnamed(None)));
        let stages = rule.stages.iter().enumerate().filter(|(_, stage)| bad(&stage.name));
        faults.extend(stages.map(|(number, _)| unnamed(Some(number))));
    }
    faults
}

/// Amounts in a currency that the organization does not buy in mean nothing to it.
fn without_currency(policy: &Policy, organization: &organization::Model) -> Option<PolicyFault> {
    let foreign = policy.currency.is_some() && policy.currency != organization.currency;
    foreign.then_some(PolicyFault { kind: PolicyFaultKind::NoCurrency, rule: None, stage: None })
}

/// The same with names that have no white space around them.
fn trimmed(policy: Policy) -> Policy {
    let stage = |stage: Stage| Stage { name: stage.name.trim().to_owned(), ..stage };
    let rule = |rule: Rule| Rule {
        name: rule.name.trim().to_owned(),
        conditions: rule.conditions,
        stages: rule.stages.into_iter().map(stage).collect(),
    };
    Policy { rules: policy.rules.into_iter().map(rule).collect(), ..policy }
}

/// What the log says of a version.
fn facts(row: &approval_policy::Model) -> Result<Value> {
    let rules: Value = serde_json::from_str(&row.rules)
        .map_err(|error| Error::internal(format!("the rules of a policy: {error}")))?;
    Ok(json!({
        "policy": global_id::encode(row.id),
        "version": row.version,
        "rules": rules,
        "currency": row.currency.map(|currency| currency.code().to_owned()),
        "remindAfterSeconds": row.remind_after,
        "escalateAfterSeconds": row.escalate_after,
        "expireAfterSeconds": row.expire_after,
        "signInAboveMinor": row.sign_in_above,
        "payer": row.payer.as_str(),
        "language": row.language.as_str(),
    }))
}
