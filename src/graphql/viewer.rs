//! Who is calling.

use async_graphql::{Context, Object};
use bursar_entity::{membership, session};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use super::api_key::ApiKey;
use super::errors::ApiError;
use super::member::{Member, User};
use super::request;
use super::scalars::DateTime;
use super::session::{LONGEST, OpenedSession};
use crate::auth::{Caller, sessions};
use crate::db::Scope;
use crate::db::scope::find_own;

/// The part of the root that is about the caller.
#[derive(Default)]
pub struct ViewerQuery;

#[Object]
impl ViewerQuery {
    /// Who is calling: a person with memberships, or a key. Null without a token.
    async fn viewer(&self, ctx: &Context<'_>) -> Option<Result<Viewer, ApiError>> {
        match request(ctx) {
            Ok(request) => request.caller().ok().map(|caller| Ok(Viewer(caller))),
            Err(error) => Some(Err(error.into())),
        }
    }
}

/// Whoever is calling.
pub struct Viewer(Caller);

/// Whoever is calling.
#[Object]
impl Viewer {
    /// The person. Null when a key calls.
    async fn user(&self) -> Option<User> {
        self.0.person().cloned().map(User)
    }

    /// The key. Null when a person calls.
    async fn api_key(&self, ctx: &Context<'_>) -> Option<Result<ApiKey, ApiError>> {
        let load = Box::pin(async {
            let Some(key) = self.0.key() else { return Ok(None) };
            Ok(ApiKey::of_caller(request(ctx)?, key).await?)
        });
        load.await.transpose()
    }

    /// Whether the person belongs to the vendor's staff, or the key is the vendor's.
    async fn operator(&self) -> bool {
        self.0.is_vendors()
    }

    /// The person's place in each organization; for whom an organization's own provider vouches, the place there. Empty
    /// when a key calls.
    async fn memberships(&self, ctx: &Context<'_>) -> Result<Vec<Member>, ApiError> {
        let Some(person) = self.0.person() else { return Ok(Vec::new()) };
        let scope = self.0.within().map_or(Scope::Person(person.id), Scope::Tenant);
        let snapshot = request(ctx)?.snapshots.open(scope).await?;
        let mut rows = find_own::<membership::Entity>(person.id).order_by_asc(membership::Column::Id);
        if let Some(tenant) = self.0.within() {
            rows = rows.filter(membership::Column::OrganizationId.eq(tenant.id()));
        }
        let rows = rows.all(&*snapshot).await.map_err(crate::error::Error::from)?;
        Ok(rows.into_iter().map(Member).collect())
    }

    /// The person's sessions that are good, newest first, at most 100; for whom an organization's own provider vouches,
    /// those in that organization alone. One that a provider has opened which is set otherwise since is listed until its
    /// time is over, and lets nobody in. Empty when a key calls.
    async fn sessions(&self, ctx: &Context<'_>) -> Result<Vec<OpenedSession>, ApiError> {
        let list = Box::pin(async {
            let Some(person) = self.0.person() else { return Ok(Vec::new()) };
            let request = request(ctx)?;
            let snapshot = request.snapshots.open(Scope::Person(person.id)).await?;
            let known = sessions::known_to(person.id, self.0.within());
            let rows = known.filter(sessions::live_at(request.now()));
            let rows = rows.order_by_desc(session::Column::Id).limit(LONGEST).all(&*snapshot).await;
            let rows = rows.map_err(crate::error::Error::from)?;
            Ok(rows.into_iter().map(|row| OpenedSession::new(row, &self.0)).collect())
        });
        list.await
    }

    /// From when on the token or key is no longer good. Null: it does not expire.
    async fn token_expires_at(&self) -> Option<DateTime> {
        let expires = self.0.key().is_none_or(|key| key.expires_at.is_some());
        expires.then_some(DateTime(self.0.expires_at))
    }
}
