//! Inviting people, sending invitations again, taking them back, accepting them.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::permission::Action;
use bursar_entity::organization;

use super::errors::{ApiError, UserError, user_error};
use super::invitation::Invitation;
use super::member::{Member, Role};
use super::organization::authorized;
use super::{Request, signed_in};
use crate::auth::Authorized;
use crate::error::Error;
use crate::organizations::{self, NewInvitation};

/// Somebody to be invited.
#[derive(InputObject)]
pub struct InviteMemberInput {
    /// The organization.
    organization_id: ID,
    /// The person's address, which gets a mail with a link.
    email: String,
    /// What the person is to be.
    role: Role,
}

/// An invitation to be sent again.
#[derive(InputObject)]
pub struct ResendInvitationInput {
    /// Which invitation.
    invitation_id: ID,
}

/// An invitation to be taken back.
#[derive(InputObject)]
pub struct RevokeInvitationInput {
    /// Which invitation.
    invitation_id: ID,
}

/// An invitation to be accepted.
#[derive(InputObject)]
pub struct AcceptInvitationInput {
    /// The last part of the address of the link in the mail.
    token: String,
}

/// An invitation that was sent.
#[derive(SimpleObject)]
pub struct InviteMemberPayload {
    /// The invitation.
    invitation: Option<Invitation>,
    /// Why nobody was invited. Empty when somebody was.
    user_errors: Vec<UserError>,
}

/// An invitation that was sent again.
#[derive(SimpleObject)]
pub struct ResendInvitationPayload {
    /// The invitation.
    invitation: Option<Invitation>,
    /// Why it was not sent. Empty when it was.
    user_errors: Vec<UserError>,
}

/// An invitation that was taken back.
#[derive(SimpleObject)]
pub struct RevokeInvitationPayload {
    /// The invitation.
    invitation: Option<Invitation>,
    /// Why it was not taken back. Empty when it was.
    user_errors: Vec<UserError>,
}

/// An invitation that was accepted.
#[derive(SimpleObject)]
pub struct AcceptInvitationPayload {
    /// The caller's place in the organization.
    member: Option<Member>,
    /// Why it was not accepted. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that changes invitations.
#[derive(Default)]
pub struct InvitationMutation;

#[Object]
impl InvitationMutation {
    /// Invites somebody to an organization by e-mail. Whoever is invited becomes a member by accepting within
    /// seven days. Nobody invites to a role that they could not give at once.
    async fn invite_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and as what.")] input: InviteMemberInput,
    ) -> Option<Result<InviteMemberPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let organization = authorized(request, &input.organization_id, Action::ManageMembers).await;
            let organization = organization.map_err(|error| error.at("organizationId"))?;
            let new = NewInvitation { email: input.email, role: input.role.into() };
            request.snapshots.close().await;
            let (services, caller) = (&request.services, request.caller()?);
            organizations::invite(&services.context, &services.attempts, &caller, &organization, new).await
        });
        Some(match outcome.await {
            Ok(value) => {
                Ok(InviteMemberPayload { invitation: Some(Invitation(value)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| InviteMemberPayload { invitation: None, user_errors: vec![error] }),
        })
    }

    /// Sends an invitation again, with a new link and another seven days. Links of earlier mails are no longer good.
    async fn resend_invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ResendInvitationInput,
    ) -> Option<Result<ResendInvitationPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let (organization, Invitation(row)) = managed(request, &input.invitation_id).await?;
            request.snapshots.close().await;
            let (services, caller) = (&request.services, request.caller()?);
            let (context, attempts) = (&services.context, &services.attempts);
            organizations::resend_invitation(context, attempts, &caller, &organization, &row).await
        });
        Some(match outcome.await {
            Ok(value) => {
                Ok(ResendInvitationPayload { invitation: Some(Invitation(value)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| ResendInvitationPayload { invitation: None, user_errors: vec![error] }),
        })
    }

    /// Takes an invitation back. Its links are no longer good.
    async fn revoke_invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: RevokeInvitationInput,
    ) -> Option<Result<RevokeInvitationPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let (organization, Invitation(row)) = managed(request, &input.invitation_id).await?;
            request.snapshots.close().await;
            let (context, caller) = (&request.services.context, request.caller()?);
            organizations::revoke_invitation(context, &caller, &organization, row.id).await
        });
        Some(match outcome.await {
            Ok(value) => {
                Ok(RevokeInvitationPayload { invitation: Some(Invitation(value)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| RevokeInvitationPayload { invitation: None, user_errors: vec![error] }),
        })
    }

    /// Accepts an invitation, as the person whom it was sent to. Without signing in, the link in the mail leads to a
    /// page that does the same.
    async fn accept_invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: AcceptInvitationInput,
    ) -> Option<Result<AcceptInvitationPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let (services, caller) = (&request.services, request.caller()?);
            request.snapshots.close().await;
            let (context, attempts) = (&services.context, &services.attempts);
            let accepted =
                organizations::accept_invitation(context, attempts, &services.keys, &caller, &input.token)
                    .await?;
            // From now on the caller sees what a member sees.
            request.reread(&caller).await?;
            Ok::<_, Error>(accepted.member)
        });
        Some(match outcome.await {
            Ok(value) => Ok(AcceptInvitationPayload { member: Some(Member(value)), user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| AcceptInvitationPayload { member: None, user_errors: vec![error] }),
        })
    }
}

/// An invitation that the caller may manage, with its organization.
async fn managed(
    request: &Request,
    id: &str,
) -> Result<(Authorized<organization::Model>, Invitation), Error> {
    let at = |error: Error| error.at("invitationId");
    let invitation = Invitation::find(request, id).await.map_err(at)?;
    let caller = request.caller()?;
    let organization =
        caller.organization(&request.snapshots, invitation.0.organization_id, Action::ManageMembers).await;
    Ok((organization.map_err(at)?, invitation))
}
