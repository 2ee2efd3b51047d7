//! What the vendor's staff does with organizations and people as a whole: suspending, letting act again, forgetting.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::permission::Action;
use bursar_entity::organization as rows;

use super::errors::{ApiError, UserError, user_error};
use super::member::User;
use super::organization::{self, Organization};
use super::{Request, signed_in};
use crate::auth::Authorized;
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

/// The organization that is suspended or acts again, for whoever may decide that. What comes next is a write.
async fn concerned<'c>(ctx: &Context<'c>, id: &str) -> Result<(&'c Request, Authorized<rows::Model>), Error> {
    let request = signed_in(ctx)?;
    let found = organization::authorized(request, id, Action::SuspendOrganization).await;
    let found = found.map_err(|error| error.at("organizationId"))?;
    request.snapshots.close().await;
    Ok((request, found))
}

/// What is said of it: the organization, or why not.
fn told(outcome: Result<rows::Model, Error>) -> Result<(Option<Organization>, Vec<UserError>), ApiError> {
    match outcome {
        Ok(row) => Ok((Some(Organization(row)), Vec::new())),
        Err(error) => user_error(error).map(|error| (None, vec![error])),
    }
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
            let (request, found) = concerned(ctx, &input.organization_id).await?;
            organizations::suspend(&request.services.context, &found, &input.reason).await
        });
        let told = told(outcome.await);
        Some(told.map(|(organization, user_errors)| SuspendOrganizationPayload { organization, user_errors }))
    }

    /// Lets an organization and its sandbox act again. What was paid for meanwhile comes in. For the operator.
    async fn resume_organization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, and why.")] input: ResumeOrganizationInput,
    ) -> Option<Result<ResumeOrganizationPayload, ApiError>> {
        let outcome = Box::pin(async {
            let (request, found) = concerned(ctx, &input.organization_id).await?;
            purchases::resume(&request.services.ledger, &found, &input.reason).await
        });
        let told = told(outcome.await);
        Some(told.map(|(organization, user_errors)| ResumeOrganizationPayload { organization, user_errors }))
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
