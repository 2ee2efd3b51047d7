//! What purchases forget of a person: why they were wanted, in free words.

use bursar_domain::id::{PurchaseId, UserId};
use bursar_entity::purchase;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::approvals::{self, NOTE};
use crate::audit;
use crate::db::{Tenant, Txn};
use crate::error::Result;

/// Empties why a person wanted what they have requested, or taken over with changes, as long as the log still has what
/// they said then. The organization is locked.
///
/// # Errors
/// What the database answers.
pub async fn forget_notes(txn: &Txn, tenant: Tenant, person: UserId) -> Result<()> {
    let taken_over = approvals::asked_by(txn, tenant, person).await?;
    let said = audit::said(txn, tenant, person, NOTE).await?;
    let theirs = Condition::any()
        .add(purchase::Column::RequestedBy.eq(person))
        .add(purchase::Column::Id.is_in(taken_over))
        .add(purchase::Column::Note.is_in(said));
    let locked: Vec<PurchaseId> = tenant
        .find::<purchase::Entity>()
        .select_only()
        .column(purchase::Column::Id)
        .filter(purchase::Column::Note.is_not_null())
        .filter(theirs)
        .order_by_asc(purchase::Column::Id)
        .lock_exclusive()
        .into_tuple()
        .all(txn)
        .await?;
    if locked.is_empty() {
        return Ok(());
    }
    purchase::Entity::update_many()
        .col_expr(purchase::Column::Note, Expr::value(None::<String>))
        .filter(purchase::Column::OrganizationId.eq(tenant.id()))
        .filter(purchase::Column::Id.is_in(locked))
        .exec(txn)
        .await?;
    Ok(())
}
