//! What the vendor's staff does with organizations and people as a whole: suspending, letting act again, forgetting.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::permission::Action;

use super::errors::{ApiError, UserError, user_error};
use super::member::User;
use super::organization::{self, Organization};
use super::signed_in;
use crate::error::Error;
use crate::{organizations, people, purchases};

/// An organization that is to be suspended.
#[derive(InputObject)]
pub struct SuspendOrganizationInput {
    /// Which organization.
    organization_id: ID,
    /// Why.
    reason: String,
}

/// An organization that is to act again.
#[derive(InputObject)]
pub struct ResumeOrganizationInput {
    /// Which organization.
    organization_id: ID,
    /// Why.
    reason: String,
}

/// A person who is to be forgotten.
#[derive(InputObject)]
pub struct ErasePersonInput {
    /// Which person.
    user_id: ID,
}

/// An organization that was suspended.
#[derive(SimpleObject)]
pub struct SuspendOrganizationPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why it was not suspended. Empty when it was.
    user_errors: Vec<UserError>,
}

/// An organization that may act again.
#[derive(SimpleObject)]
pub struct ResumeOrganizationPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why it may not act again. Empty when it may.
    user_errors: Vec<UserError>,
}

/// A person who was forgotten.
#[derive(SimpleObject)]
pub struct ErasePersonPayload {
    /// What is left of the person.
    user: Option<User>,
    /// Why the person was not forgotten. Empty when they were.
    user_errors: Vec<UserError>,
}

/// The part of the root that is about organizations and people as a whole.
#[derive(Default)]
pub struct LifeMutation;

#[Object]
impl LifeMutation {
    /// Suspends an organization and its sandbox: they may only read. Holds can be captured and voided, members removed,
    /// keys and invitations revoked; what is paid for is recorded, and comes in when the organization may act again. For
    /// the operator.
    async fn suspend_organization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, and why.")] input: SuspendOrganizationInput,
    ) -> Option<Result<SuspendOrganizationPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let found =
                organization::authorized(request, &input.organization_id, Action::SuspendOrganization).await;
            let found = found.map_err(|error| error.at("organizationId"))?;
            request.snapshots.close().await;
            organizations::suspend(&request.services.context, &found, &input.reason).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(SuspendOrganizationPayload {
                organization: Some(Organization(value)),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| SuspendOrganizationPayload { organization: None, user_errors: vec![error] }),
        })
    }

    /// Lets an organization and its sandbox act again. What was paid for meanwhile comes in. For the operator.
    async fn resume_organization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, and why.")] input: ResumeOrganizationInput,
    ) -> Option<Result<ResumeOrganizationPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let found =
                organization::authorized(request, &input.organization_id, Action::SuspendOrganization).await;
            let found = found.map_err(|error| error.at("organizationId"))?;
            request.snapshots.close().await;
            purchases::resume(&request.services.ledger, &found, &input.reason).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(ResumeOrganizationPayload {
                organization: Some(Organization(value)),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| ResumeOrganizationPayload { organization: None, user_errors: vec![error] }),
        })
    }

    /// Forgets a person: who it was is emptied everywhere, memberships end, keys that the person has made are revoked.
    /// What was done stays as it was, by nobody whom anybody knows. It cannot be undone. For the operator.
    async fn erase_person(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom.")] input: ErasePersonInput,
    ) -> Option<Result<ErasePersonPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let found = User::find(request, &input.user_id).await;
            let User(person) = found.map_err(|error: Error| error.at("userId"))?;
            let vendor = request.caller()?.vendor(Action::ErasePeople)?;
            request.snapshots.close().await;
            people::erase(&request.services.context, &vendor, person.id).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(ErasePersonPayload { user: Some(User(value)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| ErasePersonPayload { user: None, user_errors: vec![error] })
            }
        })
    }
}
