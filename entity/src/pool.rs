//! Pools of credits: what people set. Their books are in `pool_head` and the tables beside it.

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, PoolId};
use sea_orm::entity::prelude::*;

/// One row of the table `pool`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pool")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The pool.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PoolId,
    /// Its name, unique in the organization.
    pub name: String,
    /// The services that it pays for, as a JSON list of UUIDs; none: all.
    pub allowed_services: Option<String>,
    /// Since when it is closed to writing.
    pub frozen_at: Option<Timestamp>,
    /// Why, in the words of whoever closed it.
    pub frozen_reason: Option<String>,
    /// Since when it is no longer used.
    pub archived_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// A digest of the row; none for rows from before there were seals.
    pub seal: Option<Vec<u8>>,
}

impl ActiveModelBehavior for ActiveModel {}
