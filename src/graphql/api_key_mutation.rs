//! Making, rotating and revoking API keys.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::api_key::KeyMode;
use bursar_domain::id::Id;
use bursar_domain::permission::Action;
use bursar_domain::scope::{Scope, Scopes};
use secrecy::ExposeSecret;

use super::api_key::{ApiKey, ApiKeyMode, ApiKeyScope};
use super::errors::{ApiError, UserError, user_error};
use super::node::decode;
use super::organization;
use super::scalars::DateTime;
use super::{Request, signed_in};
use crate::api_keys::{self, Issued, NewApiKey, Rotation, USUAL_OVERLAP};
use crate::auth::Authorized;
use crate::error::Error;

/// What a new key is to be. Nobody gives a key more than they may do themselves.
#[derive(InputObject)]
pub struct CreateApiKeyInput {
    /// The organization that it is to belong to. Left out: the vendor, whose keys act in the organization of
    /// whatever they name.
    organization_id: Option<ID>,
    /// What to call it.
    name: String,
    /// What it is to do.
    scopes: Vec<ApiKeyScope>,
    /// Whose credits it is to work with. Left out: the organization's own.
    mode: Option<ApiKeyMode>,
    /// The pools that it is restricted to, at most 100. Left out: all.
    pool_ids: Option<Vec<ID>>,
    /// The departments that it is restricted to, at most 100. Left out: all, and the credits that no department
    /// has.
    department_ids: Option<Vec<ID>>,
    /// From when on it is no longer good. Left out: it does not expire.
    expires_at: Option<DateTime>,
}

/// Which key is to be rotated, and how.
#[derive(InputObject)]
pub struct RotateApiKeyInput {
    /// Which key.
    key_id: ID,
    /// For how many seconds the old key stays good, at most 7 days; 0: it ends at once. Left out: for a day.
    overlap_seconds: Option<i32>,
    /// From when on the new key is no longer good. Left out: as long after its making as it was with the old one.
    expires_at: Option<DateTime>,
}

/// Which key is to be revoked.
#[derive(InputObject)]
pub struct RevokeApiKeyInput {
    /// Which key.
    key_id: ID,
}

/// A key that was made.
#[derive(SimpleObject)]
pub struct CreateApiKeyPayload {
    /// The key, as it is kept.
    api_key: Option<ApiKey>,
    /// The key itself. It is shown here and never again.
    secret: Option<String>,
    /// Why none was made. Empty when one was.
    user_errors: Vec<UserError>,
}

/// A key that was rotated.
#[derive(SimpleObject)]
pub struct RotateApiKeyPayload {
    /// The new key, as it is kept. It says which one it takes the place of.
    api_key: Option<ApiKey>,
    /// The new key itself. It is shown here and never again.
    secret: Option<String>,
    /// Why it was not rotated. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A key that was revoked.
#[derive(SimpleObject)]
pub struct RevokeApiKeyPayload {
    /// The key.
    api_key: Option<ApiKey>,
    /// Why it was not revoked. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that changes which keys there are.
#[derive(Default)]
pub struct ApiKeyMutation;

#[Object]
impl ApiKeyMutation {
    /// Makes an API key. The answer shows it once; what is kept is its digest.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: CreateApiKeyInput,
    ) -> Option<Result<CreateApiKeyPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            create(request, input).await
        });
        Some(match outcome.await {
            Ok(Issued { row, secret }) => Ok(CreateApiKeyPayload {
                api_key: Some(ApiKey(row)),
                secret: Some(secret.expose_secret().to_owned()),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error).map(|error| CreateApiKeyPayload {
                api_key: None,
                secret: None,
                user_errors: vec![error],
            }),
        })
    }

    /// Makes a key that takes the place of another one. Both are good for a while, so that whoever uses the old
    /// one can change over.
    async fn rotate_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, and how.")] input: RotateApiKeyInput,
    ) -> Option<Result<RotateApiKeyPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let key = authorized(request, &input.key_id).await?;
            let rotation = Rotation {
                overlap: input.overlap_seconds.map_or(USUAL_OVERLAP, i64::from),
                expires_at: input.expires_at.map(|at| at.0),
            };
            let (context, caller) = (&request.services.context, request.caller()?);
            request.snapshots.close().await;
            api_keys::rotate(context, &caller, &key, rotation).await
        });
        Some(match outcome.await {
            Ok(Issued { row, secret }) => Ok(RotateApiKeyPayload {
                api_key: Some(ApiKey(row)),
                secret: Some(secret.expose_secret().to_owned()),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error).map(|error| RotateApiKeyPayload {
                api_key: None,
                secret: None,
                user_errors: vec![error],
            }),
        })
    }

    /// Revokes a key: from now on it is no longer good, and what it streams ends within seconds.
    async fn revoke_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: RevokeApiKeyInput,
    ) -> Option<Result<RevokeApiKeyPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let key = authorized(request, &input.key_id).await?;
            let (context, caller) = (&request.services.context, request.caller()?);
            request.snapshots.close().await;
            api_keys::revoke(context, &caller, &key).await
        });
        Some(match outcome.await {
            Ok(row) => Ok(RevokeApiKeyPayload { api_key: Some(ApiKey(row)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| RevokeApiKeyPayload { api_key: None, user_errors: vec![error] })
            }
        })
    }
}

/// A key that the caller may manage.
async fn authorized(request: &Request, id: &str) -> Result<Authorized<bursar_entity::api_key::Model>, Error> {
    let find = async {
        let id = decode(id, "key")?;
        request.caller()?.api_key(&request.snapshots, id, Action::ManageApiKeys).await
    };
    find.await.map_err(|error| error.at("keyId"))
}

async fn create(request: &Request, input: CreateApiKeyInput) -> Result<Issued, Error> {
    let (caller, ledger) = (request.caller()?, &request.services.ledger);
    // First whether the caller may at all: who may not is told nothing of the rest.
    let organization = match &input.organization_id {
        Some(id) => {
            let found = organization::authorized(request, id, Action::ManageApiKeys).await;
            Some(found.map_err(|error| error.at("organizationId"))?)
        }
        None => None,
    };
    let vendor = organization.is_none().then(|| caller.vendor(Action::ManageApiKeys)).transpose()?;
    // Each once is all there are.
    if input.scopes.len() > Scope::ALL.len() {
        let reason = format!("must name at most {}", Scope::ALL.len());
        return Err(Error::invalid("scopes", reason));
    }
    let new = NewApiKey {
        name: input.name,
        mode: input.mode.map_or(KeyMode::Live, KeyMode::from),
        scopes: Scopes(input.scopes.into_iter().map(Scope::from).collect()),
        pools: ids(input.pool_ids, "pool", "poolIds")?,
        departments: ids(input.department_ids, "department", "departmentIds")?,
        expires_at: input.expires_at.map(|at| at.0),
    };
    request.snapshots.close().await;
    match (organization, vendor) {
        (Some(organization), _) => api_keys::create(ledger, &caller, &organization, new).await,
        (None, Some(vendor)) => api_keys::create(ledger, &caller, &vendor, new).await,
        (None, None) => Err(Error::Forbidden),
    }
}

/// The ids of a list that may be left out.
fn ids<I: Id>(
    given: Option<Vec<ID>>,
    what: &'static str,
    field: &'static str,
) -> Result<Option<Vec<I>>, Error> {
    let Some(given) = given else { return Ok(None) };
    let ids: Result<Vec<I>, Error> = given.iter().map(|id| decode(id, what)).collect();
    ids.map(Some).map_err(|error| error.at(field))
}
