//! How often something was tried lately, whatever it was. Belongs to no tenant.

use bursar_domain::Timestamp;
use sea_orm::entity::prelude::*;

/// One row of the table `attempt`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "attempt")]
pub struct Model {
    /// What was tried and by whom, as a keyed digest: no address can be read from it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub bucket: String,
    /// How often.
    pub tries: i64,
    /// When the count begins anew.
    pub ends_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
