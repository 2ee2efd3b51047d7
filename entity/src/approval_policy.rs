//! Versions of approval policies: which purchases need whose consent.

use bursar_domain::approval::{Language, Payer};
use bursar_domain::id::{OrganizationId, PolicyId, UserId};
use bursar_domain::{Currency, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `approval_policy`. Never changed.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "approval_policy")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// This version.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PolicyId,
    /// 1, 2, 3, ...; the highest is in force.
    pub version: i64,
    /// The rules, as JSON.
    pub rules: String,
    /// The currency of its amounts.
    pub currency: Option<Currency>,
    /// After how many seconds whoever has not decided is reminded.
    pub remind_after: i64,
    /// After how many seconds in a stage the owners may decide as well.
    pub escalate_after: i64,
    /// After how many seconds a request is over.
    pub expire_after: i64,
    /// Above this total one has to be signed in to decide; none: never.
    pub sign_in_above: Option<i64>,
    /// Who pays.
    pub payer: Payer,
    /// The language of mails.
    pub language: Language,
    /// Who has saved it.
    pub saved_by: UserId,
    /// When.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
