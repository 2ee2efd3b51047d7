//! Saving approval policies, and what a draft of one would have asked about.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::permission::Action;

use super::approval_policy::ApprovalPolicy;
use super::approval_policy_input::ApprovalPolicyInput;
use super::approval_refused::{ApprovalPolicyWarning, policy_errors, policy_warning};
use super::errors::{ApiError, UserError, user_error};
use super::organization;
use super::purchase::Purchase;
use super::{Request, signed_in};
use crate::approvals::{self, SavePolicy, Saved, Simulated};
use crate::error::Error;

/// A policy to be saved.
#[derive(InputObject)]
pub struct SaveApprovalPolicyInput {
    /// Of which organization.
    organization_id: ID,
    /// The version that it takes the place of; 0 when there is none yet. Another one that was saved meanwhile is not
    /// overwritten.
    expected_version: i32,
    /// What it is to say.
    policy: ApprovalPolicyInput,
}

/// A draft of a policy, and the purchases that it is tried on.
#[derive(InputObject)]
pub struct SimulateApprovalPolicyInput {
    /// Of which organization.
    organization_id: ID,
    /// Those of how many days, at most 366.
    #[graphql(default = 90)]
    days: i32,
    /// What it says.
    policy: ApprovalPolicyInput,
}

/// A policy that was saved.
#[derive(SimpleObject, Default)]
pub struct SaveApprovalPolicyPayload {
    /// The version that is in force now.
    policy: Option<ApprovalPolicy>,
    /// What its owners should know before they rely on it.
    warnings: Vec<ApprovalPolicyWarning>,
    /// Why it was not saved. Empty when it was.
    user_errors: Vec<UserError>,
}

/// What a draft would have asked about.
#[derive(SimpleObject, Default)]
pub struct SimulateApprovalPolicyPayload {
    /// The purchases that it would have asked about.
    simulation: Option<ApprovalSimulation>,
    /// Why it could not be tried. Empty when it was.
    user_errors: Vec<UserError>,
}

/// What a draft of an approval policy would have asked about.
#[derive(SimpleObject)]
pub struct ApprovalSimulation {
    /// How many purchases were looked at, at most 1,000.
    considered: i64,
    /// How many of them somebody would have been asked about.
    would_ask: i64,
    /// Whether there are more purchases in these days: the oldest were left out.
    truncated: bool,
    /// Those that somebody would have been asked about, newest first.
    purchases: Vec<SimulatedPurchase>,
}

/// A purchase that somebody would have been asked about. Whoever asked for it counts with the role that they have now.
#[derive(SimpleObject)]
pub struct SimulatedPurchase {
    /// The purchase. Null for those who may not see it.
    purchase: Option<Purchase>,
    /// By which rule.
    rule_name: String,
    /// How many stages it would have gone through.
    stages: i64,
    /// Whether somebody was asked about it.
    was_asked: bool,
}

/// The part of the root that saves approval policies.
#[derive(Default)]
pub struct ApprovalPolicyMutation;

#[Object]
impl ApprovalPolicyMutation {
    /// Saves another version of an organization's approval policy: which of its purchases need whose consent from now on.
    /// Requests that are open go on by the version that they were opened by.
    async fn save_approval_policy(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to say.")] input: SaveApprovalPolicyInput,
    ) -> Option<Result<SaveApprovalPolicyPayload, ApiError>> {
        let outcome = Box::pin(async { save(signed_in(ctx)?, input).await });
        Some(outcome.await.or_else(|error| {
            user_error(error)
                .map(|error| SaveApprovalPolicyPayload { user_errors: vec![error], ..Default::default() })
        }))
    }

    /// Tries a draft of an approval policy on the purchases of the last days. Nothing is changed by it.
    async fn simulate_approval_policy(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to try, on what.")] input: SimulateApprovalPolicyInput,
    ) -> Option<Result<SimulateApprovalPolicyPayload, ApiError>> {
        let outcome = Box::pin(async { simulate(signed_in(ctx)?, input).await });
        Some(outcome.await.or_else(|error| {
            user_error(error)
                .map(|error| SimulateApprovalPolicyPayload { user_errors: vec![error], ..Default::default() })
        }))
    }
}

async fn save(request: &Request, input: SaveApprovalPolicyInput) -> Result<SaveApprovalPolicyPayload, Error> {
    let found = organization::authorized(request, &input.organization_id, Action::ManageApprovalPolicy).await;
    let organization = found.map_err(|error| error.at("organizationId"))?;
    let policy = input.policy.read(request, &organization).await?;
    let wanted = SavePolicy { policy: policy.clone(), expected_version: i64::from(input.expected_version) };
    let save = |_| async {
        let action = Action::ManageApprovalPolicy;
        let found = organization::authorized(request, &input.organization_id, action).await;
        let organization = found.map_err(|error| error.at("organizationId"))?;
        request.snapshots.close().await;
        approvals::save(&request.services.context, &organization, wanted.clone()).await
    };
    match request.as_things_stand(save).await? {
        Saved::Saved(saved) => Ok(SaveApprovalPolicyPayload {
            policy: Some(ApprovalPolicy::read(saved.row)?),
            warnings: saved.warnings.into_iter().map(policy_warning).collect(),
            user_errors: Vec::new(),
        }),
        Saved::Faulty(faults) => {
            let user_errors = policy_errors(faults, &policy);
            Ok(SaveApprovalPolicyPayload { user_errors, ..Default::default() })
        }
    }
}

async fn simulate(
    request: &Request,
    input: SimulateApprovalPolicyInput,
) -> Result<SimulateApprovalPolicyPayload, Error> {
    let found = organization::authorized(request, &input.organization_id, Action::ReadApprovalPolicy).await;
    let organization = found.map_err(|error| error.at("organizationId"))?;
    let policy = input.policy.read(request, &organization).await?;
    let (tenant, now) = (organization.tenant(), request.now());
    let snapshot = request.snapshots.open(tenant).await?;
    let simulated = approvals::simulate(&snapshot, tenant, &policy, i64::from(input.days), now).await?;
    drop(snapshot);
    let Simulated { considered, sent, truncated } = match simulated {
        Ok(simulated) => simulated,
        Err(faults) => {
            let user_errors = policy_errors(faults, &policy);
            return Ok(SimulateApprovalPolicyPayload { user_errors, ..Default::default() });
        }
    };
    let caller = request.caller()?;
    let would_ask = i64::try_from(sent.len()).unwrap_or(i64::MAX);
    let shown = sent.into_iter().filter_map(|sent| {
        let rule = policy.rules.get(sent.rule)?;
        let (organization, pool) = (sent.purchase.organization_id, sent.purchase.pool_id);
        let seen = caller.may_in_pool(organization, pool, std::iter::empty(), Action::ReadPurchases);
        Some(SimulatedPurchase {
            purchase: seen.then_some(Purchase::stored(sent.purchase)),
            rule_name: rule.name.clone(),
            stages: i64::try_from(rule.stages.len()).unwrap_or(i64::MAX),
            was_asked: sent.was_asked,
        })
    });
    let simulation = ApprovalSimulation {
        considered: i64::try_from(considered).unwrap_or(i64::MAX),
        would_ask,
        truncated,
        purchases: shown.collect(),
    };
    Ok(SimulateApprovalPolicyPayload { simulation: Some(simulation), user_errors: Vec::new() })
}
