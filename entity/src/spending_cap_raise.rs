//! Temporary raises of spending caps.

use bursar_domain::actor::ActorKind;
use bursar_domain::id::{CapId, OrganizationId, PoolId, RaiseId};
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `spending_cap_raise`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "spending_cap_raise")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The raise.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: RaiseId,
    /// The pool.
    pub pool_id: PoolId,
    /// The cap.
    pub cap_id: CapId,
    /// By how much.
    pub credits: Credits,
    /// Until when.
    pub until: Timestamp,
    /// What kind of caller allowed it.
    pub actor_kind: ActorKind,
    /// Which one.
    pub actor_id: Option<Uuid>,
    /// Why.
    pub reason: Option<String>,
    /// When it was allowed.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
