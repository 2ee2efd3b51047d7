//! Who is calling.

use async_graphql::{Context, Object};
use bursar_entity::membership;
use sea_orm::QueryOrder;

use super::errors::ApiError;
use super::member::{Member, User};
use super::request;
use super::scalars::DateTime;
use crate::auth::Caller;
use crate::db::Scope;
use crate::db::scope::find_own;

/// The part of the root that is about the caller.
#[derive(Default)]
pub struct ViewerQuery;

#[Object]
impl ViewerQuery {
    /// Who is calling: the person, memberships and rights. Null without a token.
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
    /// The person.
    async fn user(&self) -> User {
        User(self.0.user.clone())
    }

    /// Whether the person belongs to the vendor's staff.
    async fn operator(&self) -> bool {
        self.0.user.operator
    }

    /// The person's place in each organization.
    async fn memberships(&self, ctx: &Context<'_>) -> Result<Vec<Member>, ApiError> {
        let snapshot = request(ctx)?.snapshots.open(Scope::Person(self.0.user.id)).await?;
        let rows = find_own::<membership::Entity>(self.0.user.id).order_by_asc(membership::Column::Id);
        let rows = rows.all(&*snapshot).await.map_err(crate::error::Error::from)?;
        Ok(rows.into_iter().map(Member).collect())
    }

    /// From when on the token is no longer good.
    async fn token_expires_at(&self) -> DateTime {
        DateTime(self.0.expires_at)
    }
}
