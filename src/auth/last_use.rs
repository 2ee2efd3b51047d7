//! When keys were used last: written down in passing, at most once a minute for each key, in a transaction of its
//! own that nobody waits for.
//!
//! What is lost when the server goes down is a minute. Several nodes write one after another: the statement
//! itself leaves a time alone that is not a minute old.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bursar_domain::Timestamp;
use bursar_domain::id::ApiKeyId;
use bursar_entity::api_key;
use quick_cache::sync::Cache;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use super::KeyIdentity;
use crate::context::Context;
use crate::db::{self, Database, Tenant};
use crate::error::Result;

/// How old the time in a key's row is at least when another one is written, in seconds.
const APART: i64 = 60;
/// How many keys are remembered. One that is forgotten is written down once more.
const CAPACITY: usize = 50_000;

/// When this node has written down that keys were used.
pub(super) struct LastUses(Cache<ApiKeyId, Arc<AtomicI64>>);

impl Default for LastUses {
    fn default() -> LastUses {
        LastUses(Cache::new(CAPACITY))
    }
}

impl LastUses {
    /// Notes that a key is used now.
    pub(super) fn note(&self, context: &Context, key: &KeyIdentity) {
        let now = context.clock.now();
        let never = || Ok::<_, ()>(Arc::new(AtomicI64::new(i64::MIN)));
        let Ok(written) = self.0.get_or_insert_with(&key.id, never) else { return };
        let before = written.load(Ordering::Relaxed);
        if Timestamp::from_micros(before).plus_seconds(APART) > now {
            return;
        }
        // Of several calls at once one writes.
        let mine = written.compare_exchange(before, now.micros(), Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_err() {
            return;
        }
        let (db, tenant, id) = (context.db.clone(), key.home, key.id);
        tokio::spawn(async move {
            if let Err(error) = write(&db, tenant, id, now).await {
                tracing::warn!(%error, "that a key was used could not be written down");
            }
        });
    }
}

async fn write(db: &Database, tenant: Tenant, id: ApiKeyId, now: Timestamp) -> Result<()> {
    let work = db::work(move |txn| {
        Box::pin(async move {
            use api_key::Column;
            let old = Column::LastUsedAt.lte(now.plus_seconds(-APART));
            api_key::Entity::update_many()
                .col_expr(Column::LastUsedAt, Expr::value(now))
                .filter(Column::OrganizationId.eq(tenant.id()))
                .filter(Column::Id.eq(id))
                .filter(Condition::any().add(Column::LastUsedAt.is_null()).add(old))
                .exec(txn)
                .await?;
            Ok(())
        })
    });
    db.write(tenant, work).await
}
