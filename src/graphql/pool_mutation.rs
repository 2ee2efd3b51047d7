//! Creating, changing and archiving pools, and who administers them.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use bursar_domain::permission::Action;
use bursar_entity::pool;

use super::errors::{ApiError, UserError, user_error};
use super::node::decode;
use super::organization;
use super::pool::{Pool, authorized};
use super::{Request, signed_in};
use crate::auth::Authorized;
use crate::error::Error;
use crate::pools::{self, NewPool, PoolPatch};

/// What a new pool is to be.
#[derive(InputObject)]
pub struct CreatePoolInput {
    /// The organization.
    organization_id: ID,
    /// Its name, unique in the organization.
    name: String,
    /// The codes of the services that it pays for. Left out: all.
    allowed_services: Option<Vec<String>>,
}

/// What to change of a pool. What is left out stays.
#[derive(InputObject)]
pub struct UpdatePoolInput {
    /// Which pool.
    pool_id: ID,
    /// A new name.
    name: Option<String>,
    /// The codes of the services that it pays for; null for all.
    allowed_services: MaybeUndefined<Vec<String>>,
}

/// A pool to be archived.
#[derive(InputObject)]
pub struct ArchivePoolInput {
    /// Which pool.
    pool_id: ID,
}

/// A member to be named administrator of a pool.
#[derive(InputObject)]
pub struct AddPoolAdministratorInput {
    /// Which pool.
    pool_id: ID,
    /// Which member of the organization.
    member_id: ID,
}

/// An administrator of a pool to be dismissed.
#[derive(InputObject)]
pub struct RemovePoolAdministratorInput {
    /// Which pool.
    pool_id: ID,
    /// Which member of the organization.
    member_id: ID,
}

/// A pool that was created.
#[derive(SimpleObject)]
pub struct CreatePoolPayload {
    /// The pool.
    pool: Option<Pool>,
    /// Why it was not created. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A pool that was changed.
#[derive(SimpleObject)]
pub struct UpdatePoolPayload {
    /// The pool.
    pool: Option<Pool>,
    /// Why it was not changed. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A pool that was archived.
#[derive(SimpleObject)]
pub struct ArchivePoolPayload {
    /// The pool.
    pool: Option<Pool>,
    /// Why it was not archived. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A pool that got an administrator.
#[derive(SimpleObject)]
pub struct AddPoolAdministratorPayload {
    /// The pool.
    pool: Option<Pool>,
    /// Why nobody was named. Empty when somebody was.
    user_errors: Vec<UserError>,
}

/// A pool that lost an administrator.
#[derive(SimpleObject)]
pub struct RemovePoolAdministratorPayload {
    /// The pool.
    pool: Option<Pool>,
    /// Why nobody was dismissed. Empty when somebody was.
    user_errors: Vec<UserError>,
}

/// The part of the root that changes pools.
#[derive(Default)]
pub struct PoolMutation;

#[Object]
impl PoolMutation {
    /// Creates a pool without credits.
    async fn create_pool(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: CreatePoolInput,
    ) -> Option<Result<CreatePoolPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let organization =
                    organization::authorized(request, &input.organization_id, Action::ManagePools);
                let organization = organization.await.map_err(|error| error.at("organizationId"))?;
                let new =
                    NewPool { name: input.name.clone(), allowed_services: input.allowed_services.clone() };
                request.snapshots.close().await;
                pools::create(&request.services.context, &organization, new).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(CreatePoolPayload { pool: Some(Pool(value)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| CreatePoolPayload { pool: None, user_errors: vec![error] })
            }
        })
    }

    /// Changes a pool.
    async fn update_pool(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdatePoolInput,
    ) -> Option<Result<UpdatePoolPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let pool = managed(request, &input.pool_id, Action::ManagePools).await?;
                let allowed_services = match &input.allowed_services {
                    MaybeUndefined::Undefined => None,
                    MaybeUndefined::Null => Some(None),
                    MaybeUndefined::Value(codes) => Some(Some(codes.clone())),
                };
                let patch = PoolPatch { name: input.name.clone(), allowed_services };
                pools::update(&request.services.context, &pool, patch).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(UpdatePoolPayload { pool: Some(Pool(value)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| UpdatePoolPayload { pool: None, user_errors: vec![error] })
            }
        })
    }

    /// Archives a pool, unless it still has credits, holds, debt or a purchase under way.
    async fn archive_pool(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ArchivePoolInput,
    ) -> Option<Result<ArchivePoolPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let pool = managed(request, &input.pool_id, Action::ManagePools).await?;
                pools::archive(&request.services.context, &pool).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(ArchivePoolPayload { pool: Some(Pool(value)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| ArchivePoolPayload { pool: None, user_errors: vec![error] })
            }
        })
    }

    /// Names a member of the organization administrator of a pool.
    async fn add_pool_administrator(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and of what.")] input: AddPoolAdministratorInput,
    ) -> Option<Result<AddPoolAdministratorPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let pool = managed(request, &input.pool_id, Action::ManagePoolAdministrators).await?;
                let member =
                    decode(&input.member_id, "member").map_err(|error: Error| error.at("memberId"))?;
                pools::add_administrator(&request.services.context, &pool, member).await?;
                Ok::<_, Error>(pool.into_value())
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(AddPoolAdministratorPayload { pool: Some(Pool(value)), user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| AddPoolAdministratorPayload { pool: None, user_errors: vec![error] }),
        })
    }

    /// Dismisses an administrator of a pool.
    async fn remove_pool_administrator(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and of what.")] input: RemovePoolAdministratorInput,
    ) -> Option<Result<RemovePoolAdministratorPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let pool = managed(request, &input.pool_id, Action::ManagePoolAdministrators).await?;
                let member =
                    decode(&input.member_id, "member").map_err(|error: Error| error.at("memberId"))?;
                pools::remove_administrator(&request.services.context, &pool, member).await?;
                Ok::<_, Error>(pool.into_value())
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => {
                Ok(RemovePoolAdministratorPayload { pool: Some(Pool(value)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| RemovePoolAdministratorPayload { pool: None, user_errors: vec![error] }),
        })
    }
}

/// A pool for a change; the snapshot is closed, since what comes next is a write.
pub async fn managed(request: &Request, id: &str, action: Action) -> Result<Authorized<pool::Model>, Error> {
    let pool = authorized(request, id, action).await.map_err(|error| error.at("poolId"))?;
    request.snapshots.close().await;
    Ok(pool)
}
