//! Lists as Relay connections over keyset pages.

use std::borrow::Cow;

use async_graphql::connection::{CursorType, Edge, EmptyFields, PageInfo};
use async_graphql::{Context, Object, OutputType, TypeName};
use bursar_domain::id::{
    AccountId, ApiKeyId, ApprovalId, AuditEventId, CapId, ChargeId, ContractPriceId, CreditRequestId,
    DeliveryId, DepartmentId, DocumentId, HoldId, Id, InvitationId, InvoiceId, LotId, MembershipId,
    OrganizationId, ParkedPaymentId, PoolId, PurchaseId, QuoteId,
};
use sea_orm::{EntityTrait, Order, PaginatorTrait, Select, Value};

use super::errors::ApiError;
use crate::db::Txn;
use crate::db::page::{self, MAX_PAGE, Page, PageRequest};

/// How many there are when nobody says how many.
pub const DEFAULT_PAGE: u64 = 25;

/// A part of a list.
pub struct NodeConnection<N: OutputType> {
    edges: Vec<Edge<Cursor, N, EmptyFields>>,
    has_previous: bool,
    has_next: bool,
    total_count: Option<i64>,
}

impl<N: OutputType> TypeName for NodeConnection<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", N::type_name()).into()
    }
}

/// A part of a list, with what it takes to read on.
#[Object(name_type)]
impl<N: OutputType> NodeConnection<N> {
    /// The nodes of this part with their places in the list.
    async fn edges(&self) -> &[Edge<Cursor, N, EmptyFields>] {
        &self.edges
    }

    /// The nodes of this part.
    async fn nodes(&self) -> Vec<&N> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Where this part lies in the list.
    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous,
            has_next_page: self.has_next,
            start_cursor: self.edges.first().map(|edge| edge.cursor.encode_cursor()),
            end_cursor: self.edges.last().map(|edge| edge.cursor.encode_cursor()),
        }
    }

    /// How many nodes the whole list has. Null in lists where they are not counted.
    async fn total_count(&self) -> Option<i64> {
        self.total_count
    }
}

/// The place of a node in a list, opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl CursorType for Cursor {
    type Error = std::convert::Infallible;

    fn decode_cursor(text: &str) -> Result<Self, Self::Error> {
        Ok(Cursor(text.to_owned()))
    }

    fn encode_cursor(&self) -> String {
        self.0.clone()
    }
}

/// A value that orders a list.
pub trait PageKey: Into<Value> + Clone {
    /// The value as a text.
    fn encode(&self) -> String;
    /// The value of a text.
    fn decode(text: &str) -> Option<Self>;
}

impl PageKey for i64 {
    fn encode(&self) -> String {
        self.to_string()
    }

    fn decode(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

macro_rules! id_keys {
    ($($id:ty),+ $(,)?) => {
        $(
            impl PageKey for $id {
                fn encode(&self) -> String {
                    format!("{:032x}", self.as_u128())
                }

                fn decode(text: &str) -> Option<Self> {
                    // A version is no id, however it reads.
                    let id = Some(text).filter(|text| text.len() == 32)?;
                    u128::from_str_radix(id, 16).ok().map(<$id>::from_u128)
                }
            }
        )+
    };
}

id_keys!(
    AccountId,
    ApiKeyId,
    ApprovalId,
    AuditEventId,
    CapId,
    ChargeId,
    ContractPriceId,
    CreditRequestId,
    DeliveryId,
    DepartmentId,
    DocumentId,
    HoldId,
    InvitationId,
    InvoiceId,
    LotId,
    MembershipId,
    OrganizationId,
    ParkedPaymentId,
    PoolId,
    PurchaseId,
    QuoteId,
);

/// The arguments of a connection as the client gave them.
#[derive(Clone, Debug, Default)]
pub struct PageArgs {
    /// How many from the beginning.
    pub first: Option<i32>,
    /// From after this cursor on.
    pub after: Option<String>,
    /// How many from the end.
    pub last: Option<i32>,
    /// Up to before this cursor.
    pub before: Option<String>,
}

impl PageArgs {
    /// The part of the list that they ask for.
    pub fn request<K: PageKey>(&self) -> Result<PageRequest<K>, ApiError> {
        let size = |name: &str, value: Option<i32>| match value.map(u64::try_from) {
            None => Ok(None),
            Some(Ok(size)) if size <= MAX_PAGE => Ok(Some(size)),
            Some(_) => Err(ApiError::bad_input(format!("{name}: must be from 0 to {MAX_PAGE}."))),
        };
        let cursor = |name: &str, value: &Option<String>| match value {
            None => Ok(None),
            Some(text) => match unwrap_cursor(text).as_deref().and_then(K::decode) {
                Some(key) => Ok(Some(key)),
                None => Err(ApiError::bad_input(format!("{name}: is not a cursor of this list."))),
            },
        };
        let (first, last) = (size("first", self.first)?, size("last", self.last)?);
        if first.is_some() && last.is_some() {
            return Err(ApiError::bad_input("first and last exclude each other."));
        }
        let (after, before) = (cursor("after", &self.after)?, cursor("before", &self.before)?);
        Ok(PageRequest {
            after,
            before,
            limit: first.or(last).unwrap_or(DEFAULT_PAGE),
            from_end: last.is_some(),
        })
    }
}

fn wrap_cursor(key: &str) -> Cursor {
    Cursor(data_encoding::BASE64URL_NOPAD.encode(format!("c1:{key}").as_bytes()))
}

fn unwrap_cursor(cursor: &str) -> Option<String> {
    let bytes = data_encoding::BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()?.strip_prefix("c1:").map(str::to_owned)
}

/// A page of a table's rows as a connection, ordered by a column whose values are unique in the list.
pub async fn connection<E, K, N>(
    ctx: &Context<'_>,
    txn: &Txn,
    select: Select<E>,
    (column, order): (E::Column, Order),
    args: PageArgs,
    key: impl Fn(&E::Model) -> K,
    node: impl Fn(E::Model) -> N,
) -> Result<NodeConnection<N>, ApiError>
where
    E: EntityTrait,
    E::Model: Send + Sync,
    K: PageKey,
    N: OutputType,
{
    let request = args.request::<K>()?;
    let total_count = match ctx.look_ahead().field("totalCount").exists() {
        true => {
            let count = select.clone().count(txn).await.map_err(crate::error::Error::from)?;
            Some(i64::try_from(count).unwrap_or(i64::MAX))
        }
        false => None,
    };
    let page = page::fetch(txn, select, column, order, request).await?;
    let edge = |row| Edge::new(wrap_cursor(&key(&row).encode()), node(row));
    let edges = page.rows.into_iter().map(edge).collect();
    Ok(NodeConnection { edges, has_previous: page.has_previous, has_next: page.has_next, total_count })
}

/// A page that has been fetched already as a connection, of a list that is not counted.
pub fn fetched<T, K: PageKey, N: OutputType>(
    page: Page<T>,
    key: impl Fn(&T) -> K,
    node: impl Fn(T) -> N,
) -> NodeConnection<N> {
    let edge = |row| Edge::new(wrap_cursor(&key(&row).encode()), node(row));
    let edges = page.rows.into_iter().map(edge).collect();
    NodeConnection { edges, has_previous: page.has_previous, has_next: page.has_next, total_count: None }
}

/// A short list that is already in memory as a connection, in the list's order.
pub fn in_memory<T, N: OutputType>(
    items: Vec<T>,
    args: PageArgs,
    key: impl Fn(&T) -> String,
    node: impl Fn(T) -> N,
) -> Result<NodeConnection<N>, ApiError> {
    let keys: Vec<String> = items.iter().map(key).collect();
    let place = |name: &str, cursor: &Option<String>| match cursor {
        None => Ok(None),
        Some(cursor) => {
            let key = unwrap_cursor(cursor);
            let place = keys.iter().position(|known| Some(known) == key.as_ref());
            place
                .map(Some)
                .ok_or_else(|| ApiError::bad_input(format!("{name}: is not a cursor of this list.")))
        }
    };
    let sizes = PageArgs { after: None, before: None, ..args.clone() }.request::<i64>()?;
    let total = items.len();
    let begin = place("after", &args.after)?.map_or(0, |place| place + 1);
    let end = place("before", &args.before)?.unwrap_or(total).max(begin);
    let size = usize::try_from(sizes.limit).unwrap_or(usize::MAX);
    let (begin, end) = match sizes.from_end {
        true => (end.saturating_sub(size).max(begin), end),
        false => (begin, end.min(begin.saturating_add(size))),
    };
    let part = items.into_iter().zip(keys).skip(begin).take(end - begin);
    let edges = part.map(|(item, key)| Edge::new(wrap_cursor(&key), node(item))).collect();
    let (has_previous, has_next) = (begin > 0, end < total);
    Ok(NodeConnection { edges, has_previous, has_next, total_count: i64::try_from(total).ok() })
}
