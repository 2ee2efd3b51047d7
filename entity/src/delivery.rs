//! The outbox: what has to leave Bursar, and what has become of it.

use bursar_domain::Timestamp;
use bursar_domain::delivery::{DeliveryKind, DeliveryState, MailTemplate};
use bursar_domain::id::{DeliveryId, OrganizationId};
use sea_orm::entity::prelude::*;

/// One row of the table `delivery`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "delivery")]
pub struct Model {
    /// The organization; the nil id is the vendor's own.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The delivery, and the event that it tells of: the same however often it is tried.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DeliveryId,
    /// How it is delivered.
    pub kind: DeliveryKind,
    /// What a mail says.
    pub template: Option<MailTemplate>,
    /// To whom: an address.
    pub recipient: String,
    /// What it says in particular, as JSON.
    pub facts: String,
    /// What its link is about; the proof is made of this when the mail is written, and stored nowhere.
    pub link_about: Option<String>,
    /// Where its link leads, with a place for the proof.
    pub link_path: Option<String>,
    /// What has become of it.
    pub state: DeliveryState,
    /// How often it has been tried since it was made, or asked for again.
    pub attempts: i64,
    /// When it is to be tried.
    pub due_at: Timestamp,
    /// Until when somebody is trying it.
    pub leased_until: Option<Timestamp>,
    /// The name of that trying.
    pub lease: Option<Uuid>,
    /// How it failed last.
    pub last_error: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was taken on.
    pub delivered_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
