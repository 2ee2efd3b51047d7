//! Signing in by mail, going on with a session, ending sessions.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::id::SessionId;
use secrecy::ExposeSecret;

use super::errors::{ApiError, UserError, user_error};
use super::node::decode;
use super::scalars::DateTime;
use super::session::{LONGEST, OpenedSession};
use super::{request, signed_in};
use crate::auth::SignedIn;
use crate::sign_in;

/// Who wants to sign in.
#[derive(InputObject)]
pub struct RequestSignInLinkInput {
    /// The person's address.
    email: String,
}

/// A link to sign in with.
#[derive(InputObject)]
pub struct RedeemSignInLinkInput {
    /// The last part of the address of the link in the mail.
    token: String,
    /// The four digits that the mail shows beside the link.
    code: String,
}

/// A session to go on with.
#[derive(InputObject)]
pub struct RefreshSessionInput {
    /// The refresh token that was given out last.
    refresh_token: String,
}

/// What is to be ended.
#[derive(InputObject)]
pub struct SignOutInput {
    /// Whether all sessions of the person are to be ended. Left out: only the one that the token belongs to.
    everywhere: Option<bool>,
}

/// A session that is to be ended.
#[derive(InputObject)]
pub struct RevokeSessionInput {
    /// Which of the caller's.
    session_id: ID,
}

/// What a client keeps of a session. It is shown here and never again.
#[derive(SimpleObject)]
pub struct SessionTokens {
    /// What requests bear: `Authorization: Bearer` and this.
    access_token: String,
    /// From when on that is no longer good.
    access_token_expires_at: DateTime,
    /// What the next tokens are asked for with, once.
    refresh_token: String,
    /// The session.
    session: OpenedSession,
}

impl From<SignedIn> for SessionTokens {
    fn from(signed_in: SignedIn) -> SessionTokens {
        SessionTokens {
            access_token: signed_in.token.expose_secret().to_owned(),
            access_token_expires_at: DateTime(signed_in.token_expires_at),
            refresh_token: signed_in.refresh_token.expose_secret().to_owned(),
            session: OpenedSession::current(signed_in.session),
        }
    }
}

/// A link that was asked for.
#[derive(SimpleObject)]
pub struct RequestSignInLinkPayload {
    /// Whether the question was taken. If there is a person with the address, a mail is on its way to them; whether
    /// there is, is not said.
    requested: bool,
    /// Why it was not taken. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A link that was redeemed.
#[derive(SimpleObject)]
pub struct RedeemSignInLinkPayload {
    /// The session that was opened.
    tokens: Option<SessionTokens>,
    /// Why none was opened. Empty when one was.
    user_errors: Vec<UserError>,
}

/// A session that goes on.
#[derive(SimpleObject)]
pub struct RefreshSessionPayload {
    /// The next tokens.
    tokens: Option<SessionTokens>,
    /// Why it does not go on: whoever has it has to sign in again. Empty when it does.
    user_errors: Vec<UserError>,
}

/// Sessions that were ended.
#[derive(SimpleObject)]
pub struct SignOutPayload {
    /// The sessions that have ended by this, at most 100 of them.
    sessions: Vec<OpenedSession>,
    /// Why none was ended. Empty when one was.
    user_errors: Vec<UserError>,
}

/// A session that was ended.
#[derive(SimpleObject)]
pub struct RevokeSessionPayload {
    /// The session.
    session: Option<OpenedSession>,
    /// Why it was not ended. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that changes who has signed in.
#[derive(Default)]
pub struct SignInMutation;

#[Object]
impl SignInMutation {
    /// Sends the person with an address a link to sign in with, which is good once and for 15 minutes. The answer is
    /// the same whether or not there is such a person. Needs no token.
    async fn request_sign_in_link(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who.")] input: RequestSignInLinkInput,
    ) -> Option<Result<RequestSignInLinkPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = request(ctx)?;
            request.services.links.request(request.client()?, &input.email).await
        });
        Some(match outcome.await {
            Ok(()) => Ok(RequestSignInLinkPayload { requested: true, user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| RequestSignInLinkPayload { requested: false, user_errors: vec![error] }),
        })
    }

    /// Signs in whoever has the link of a mail and the code that the mail shows. The link leads to a page that does the
    /// same. A wrong code does not use the link up; with the fifth the link is over. Needs no token; sent with one that
    /// is no longer good it is refused.
    async fn redeem_sign_in_link(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which link, and its code.")] input: RedeemSignInLinkInput,
    ) -> Option<Result<RedeemSignInLinkPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = request(ctx)?;
            let services = &request.services;
            let (context, attempts, keys) = (&services.context, &services.attempts, &services.keys);
            let RedeemSignInLinkInput { token, code } = &input;
            sign_in::redeem(context, attempts, keys, request.client()?, token, code).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(RedeemSignInLinkPayload { tokens: Some(value.into()), user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| RedeemSignInLinkPayload { tokens: None, user_errors: vec![error] }),
        })
    }

    /// Gets the next tokens of a session. Each refresh token is good once: one that was used before ends the session,
    /// because two have it then. A client whose answer was lost may ask again within 10 seconds. Needs no token; sent
    /// with one that is no longer good it is refused.
    async fn refresh_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: RefreshSessionInput,
    ) -> Option<Result<RefreshSessionPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = request(ctx)?;
            let services = &request.services;
            let (context, attempts) = (&services.context, &services.attempts);
            let of = (&services.keys, &services.sessions);
            sign_in::refresh(context, attempts, of, request.client()?, &input.refresh_token).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(RefreshSessionPayload { tokens: Some(value.into()), user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| RefreshSessionPayload { tokens: None, user_errors: vec![error] }),
        })
    }

    /// Ends the session that the token belongs to, or all of the person's; for whom an organization's own provider
    /// vouches, all in that organization. Tokens of what is ended are no longer good at once, and its streams end.
    async fn sign_out(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be ended.")] input: SignOutInput,
    ) -> Option<Result<SignOutPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let (services, caller) = (&request.services, request.caller()?);
            request.snapshots.close().await;
            let everywhere = input.everywhere.unwrap_or_default();
            let ended = sign_in::sign_out(&services.context, &services.sessions, &caller, everywhere).await?;
            let shown = ended.into_iter().take(usize::try_from(LONGEST).unwrap_or(usize::MAX));
            let shown = shown.map(|row| OpenedSession::new(row, &caller));
            Ok::<Vec<OpenedSession>, crate::error::Error>(shown.collect())
        });
        Some(match outcome.await {
            Ok(sessions) => Ok(SignOutPayload { sessions, user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| SignOutPayload { sessions: Vec::new(), user_errors: vec![error] }),
        })
    }

    /// Ends one of the caller's sessions. Its tokens are no longer good at once, and its streams end.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: RevokeSessionInput,
    ) -> Option<Result<RevokeSessionPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let (services, caller) = (&request.services, request.caller()?);
            let id = decode::<SessionId>(&input.session_id, "session");
            let id = id.map_err(|error| error.at("sessionId"))?;
            request.snapshots.close().await;
            let row = sign_in::revoke(&services.context, &services.sessions, &caller, id).await?;
            Ok::<OpenedSession, crate::error::Error>(OpenedSession::new(row, &caller))
        });
        Some(match outcome.await {
            Ok(session) => Ok(RevokeSessionPayload { session: Some(session), user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| RevokeSessionPayload { session: None, user_errors: vec![error] }),
        })
    }
}
