//! Pages of long lists by key, not by offset: the hundredth page costs what the first does.

use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, Select, Value};

use super::Txn;
use crate::error::Result;

/// The most rows of a page.
pub const MAX_PAGE: u64 = 100;

/// Which part of a list is wanted. Keys are values of the column that orders it.
#[derive(Clone, Debug)]
pub struct PageRequest<K> {
    /// Rows that come after this one.
    pub after: Option<K>,
    /// Rows that come before this one.
    pub before: Option<K>,
    /// How many, at most [`MAX_PAGE`].
    pub limit: u64,
    /// Whether the last ones are wanted instead of the first.
    pub from_end: bool,
}

/// A part of a list, in the list's order.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether there are rows before them.
    pub has_previous: bool,
    /// Whether there are rows after them.
    pub has_next: bool,
}

/// Fetches a page of `select`, ordered by `column`, whose values are unique in it.
pub async fn fetch<E, K>(
    db: &Txn,
    select: Select<E>,
    column: E::Column,
    order: Order,
    request: PageRequest<K>,
) -> Result<Page<E::Model>>
where
    E: EntityTrait,
    K: Into<Value> + Clone,
{
    let ascending = matches!(order, Order::Asc);
    let beyond = |key: &K, later: bool| {
        if later == ascending { column.gt(key.clone()) } else { column.lt(key.clone()) }
    };
    let mut select = select;
    if let Some(key) = &request.after {
        select = select.filter(beyond(key, true));
    }
    if let Some(key) = &request.before {
        select = select.filter(beyond(key, false));
    }
    let direction = if ascending == request.from_end { Order::Desc } else { Order::Asc };
    let mut rows = select.order_by(column, direction).limit(request.limit.min(MAX_PAGE) + 1).all(db).await?;
    let more = rows.len() as u64 > request.limit.min(MAX_PAGE);
    if more {
        rows.pop();
    }
    if request.from_end {
        rows.reverse();
    }
    // Whether the row that the page hangs on still exists is not asked: it was there when the cursor
    // was made, and rows of these lists do not go away.
    let (has_previous, has_next) =
        if request.from_end { (more, request.before.is_some()) } else { (request.after.is_some(), more) };
    Ok(Page { rows, has_previous, has_next })
}
