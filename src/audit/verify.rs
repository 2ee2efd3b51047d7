//! Verification of the log: each organization's chain is walked from its first event, and the first row that is
//! not what it should be is named.
//!
//! Events are never changed, so the pages of a walk may come from different snapshots. The last page, the head
//! and the values about people of a page's events are read from one. [`Reached`] is where a walk has come to: it
//! can go on from there later, and needs no more memory than this, however long the log is.
//!
//! A log whose end was cut off, or that was written anew with links that follow, is right in itself. Who has seen it
//! before knows more: [`Mark`] says what was at a position, and a walk from the first event that is told of it
//! ([`Reached::knowing`]) finds what does not fit.
//!
//! What is named: an event whose link does not follow from it and the one before; an event that is missing, by
//! its position; the head, when the last event has the link that it should have; a value about a person that is
//! not the one that its event has the digest of.

use std::collections::BTreeMap;
use std::fmt;

use bursar_domain::id::{AuditEventId, Id, OrganizationId};
use bursar_domain::ledger::chain::ORIGIN;
use bursar_entity::{audit_event, audit_head, organization, personal_value};
use sea_orm::sqlx;
use sea_orm::{ColumnTrait, DbErr, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, RuntimeErr};
use uuid::Uuid;

use super::chain::link;
use super::personal::{digest, digests};
use crate::context::Context;
use crate::db::scope::find_across;
use crate::db::{Database, Scope, Tenant, TenantEntity, Txn};
use crate::error::{Error, Result};

/// How many events one snapshot is asked for.
const PAGE: u64 = 1_000;

/// A row that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The organization.
    pub organization: OrganizationId,
    /// The row's table.
    pub table: &'static str,
    /// What names the row in the organization: its id, the position of an event that is missing, event and name
    /// of a value.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.table, self.key, self.what)
    }
}

/// A log that has been verified.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The short name of its organization; none: the vendor's own log.
    pub organization: Option<String>,
    /// Up to which position it is right.
    pub events: i64,
    /// The first row that is wrong.
    pub finding: Option<Finding>,
}

/// What a log was seen to have at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    position: i64,
    link: [u8; 32],
}

/// Where a walk along an organization's chain has come to.
#[derive(Clone, Debug)]
pub struct Reached {
    tenant: Tenant,
    /// The position of the last event that was right.
    pub position: i64,
    link: [u8; 32],
    /// How many values about people the events so far have named.
    values: u64,
    /// What the log was seen to have before.
    known: Option<Mark>,
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// More follows.
    More,
    /// Everything is right, up to now.
    Done,
}

/// Why a walk does not go on.
#[derive(Debug)]
pub enum Stop {
    /// A row is wrong.
    Wrong(Box<Finding>),
    /// It could not be read.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl From<DbErr> for Stop {
    fn from(error: DbErr) -> Stop {
        Stop::Failed(error.into())
    }
}

/// Verifies the log of the organization with a short name, or all logs, one after another, and tells of each
/// when it is done; answers how many are wrong. May run while they are written to.
///
/// # Errors
/// What the database answers.
pub async fn verify(
    context: &Context,
    organization: Option<&str>,
    mut tell: impl FnMut(&Checked),
) -> Result<usize> {
    let mut wrong = 0;
    for (organization, mut reached) in chains(context, organization).await? {
        let finding = loop {
            match step(&context.db, &mut reached).await {
                Ok(Step::More) => {}
                Ok(Step::Done) => break None,
                Err(Stop::Wrong(finding)) => break Some(*finding),
                Err(Stop::Failed(error)) => return Err(error),
            }
        };
        wrong += usize::from(finding.is_some());
        tell(&Checked { organization, events: reached.position, finding });
    }
    Ok(wrong)
}

/// The beginnings of the chains of the organization with a short name, or of all and of the vendor, with their
/// short names.
///
/// # Errors
/// What the database answers.
pub async fn chains(context: &Context, organization: Option<&str>) -> Result<Vec<(Option<String>, Reached)>> {
    // Whoever may start the program, or the program itself: nobody's permission is asked.
    let snapshot = context.db.read(Scope::Operator).await?;
    let mut organizations = find_across::<organization::Entity>()
        .select_only()
        .column(organization::Column::Id)
        .column(organization::Column::Slug)
        .order_by_asc(organization::Column::Slug);
    if let Some(slug) = organization {
        organizations = organizations.filter(organization::Column::Slug.eq(slug));
    }
    let organizations: Vec<(OrganizationId, String)> = organizations.into_tuple().all(&snapshot).await?;
    let mut chains: Vec<(Option<String>, Reached)> =
        organizations.into_iter().map(|(id, slug)| (Some(slug), Reached::nothing(id))).collect();
    // The vendor has no row that says that there is a log: an event without a head does as well, and is found to lack
    // it, and so does a value.
    if organization.is_none()
        && (has::<audit_head::Entity>(&snapshot).await?
            || has::<audit_event::Entity>(&snapshot).await?
            || has::<personal_value::Entity>(&snapshot).await?)
    {
        chains.push((None, Reached::nothing(Tenant::vendor().id())));
    }
    Ok(chains)
}

/// Whether the vendor has rows in a table.
async fn has<E: TenantEntity>(snapshot: &Txn) -> Result<bool> {
    let own = find_across::<E>().filter(E::organization_column().eq(Tenant::vendor().id()));
    let first = own.select_only().column(E::organization_column()).into_tuple::<OrganizationId>();
    Ok(first.one(snapshot).await?.is_some())
}

/// Goes on by a page; at the end compares the head.
///
/// # Errors
/// [`Stop::Wrong`] with the first row that is wrong; [`Stop::Failed`] with what the database answers.
pub async fn step(db: &Database, reached: &mut Reached) -> Result<Step, Stop> {
    let snapshot = db.read(reached.tenant).await?;
    let head = reached.tenant.find::<audit_head::Entity>().one(&snapshot).await;
    let head = head.map_err(|error| reached.not_read("audit_head", reached.organization(), error))?;
    if reached.position == 0 {
        reached.nothing_before(&snapshot).await?;
    }
    let unchained = head.as_ref().map_or(0, |head| head.unchained);
    let (rows, last) = reached.read(&snapshot).await?;
    let events: Vec<AuditEventId> = rows.iter().map(|row| row.id).collect();
    let mut values = super::values(&snapshot, reached.tenant, events).await?;
    for row in rows {
        reached.check(&snapshot, &row, unchained).await?;
        reached.check_values(&row, values.remove(&row.id).unwrap_or_default())?;
        reached.position = row.position;
        reached.compare(row.id)?;
    }
    if !last {
        return Ok(Step::More);
    }
    reached.end(&snapshot, head).await?;
    Ok(Step::Done)
}

impl Reached {
    /// The beginning of an organization's chain.
    pub fn nothing(organization: OrganizationId) -> Reached {
        // The program verifies for itself.
        let tenant = Tenant::vouched(organization);
        Reached { tenant, position: 0, link: ORIGIN, values: 0, known: None }
    }

    /// The same, for who has seen before what the log has at a position.
    pub fn knowing(self, known: Option<Mark>) -> Reached {
        Reached { known, ..self }
    }

    /// What the log has where the walk has come to. None: it has come to no event yet.
    pub fn mark(&self) -> Option<Mark> {
        (self.position > 0).then_some(Mark { position: self.position, link: self.link })
    }

    /// Whose chain it is.
    pub fn tenant(&self) -> Tenant {
        self.tenant
    }

    fn organization(&self) -> Uuid {
        Uuid::from(self.tenant)
    }

    fn wrong(&self, table: &'static str, key: impl fmt::Display, what: impl Into<String>) -> Stop {
        let (organization, key, what) = (self.tenant.id(), key.to_string(), what.into());
        Stop::Wrong(Box::new(Finding { organization, table, key, what }))
    }

    /// A row could not be read: because of what it says, or because of the database.
    fn not_read(&self, table: &'static str, key: impl fmt::Display, error: DbErr) -> Stop {
        match unreadable(&error) {
            true => self.wrong(table, key, format!("it cannot be read: {error}")),
            false => error.into(),
        }
    }

    /// The next events, and whether they are the last ones. When one of them cannot be read it is named, once
    /// all before it have been checked.
    async fn read(&self, txn: &Txn) -> Result<(Vec<audit_event::Model>, bool), Stop> {
        let from = |after: i64| {
            let select = self.tenant.find::<audit_event::Entity>();
            let select = select.filter(audit_event::Column::Position.gt(after));
            select.order_by_asc(audit_event::Column::Position)
        };
        match from(self.position).limit(PAGE).all(txn).await {
            Ok(rows) => {
                let last = u64::try_from(rows.len()).unwrap_or(u64::MAX) < PAGE;
                return Ok((rows, last));
            }
            Err(error) if unreadable(&error) => {}
            Err(error) => return Err(error.into()),
        }
        // One by one, so that the event is found that nothing can be made of.
        let (mut rows, mut after) = (Vec::new(), self.position);
        loop {
            match from(after).one(txn).await {
                Ok(Some(row)) => {
                    after = row.position;
                    rows.push(row);
                }
                Ok(None) => return Ok((rows, true)),
                Err(_) if !rows.is_empty() => return Ok((rows, false)),
                Err(error) => {
                    let id = from(after).select_only().column(audit_event::Column::Id);
                    let id: Option<Uuid> = id.into_tuple().one(txn).await?;
                    return Err(self.not_read("audit_event", id.unwrap_or_default(), error));
                }
            }
        }
    }

    /// There is nothing before the first position.
    async fn nothing_before(&self, txn: &Txn) -> Result<(), Stop> {
        let before = self.tenant.find::<audit_event::Entity>();
        let before = before.filter(audit_event::Column::Position.lte(0));
        let before = before.order_by_asc(audit_event::Column::Position);
        let Some(row) = before.one(txn).await? else { return Ok(()) };
        Err(self.wrong("audit_event", uuid(row.id), "it has no place in the chain"))
    }

    /// Whether an event follows from the one before.
    async fn check(&mut self, txn: &Txn, row: &audit_event::Model, unchained: i64) -> Result<(), Stop> {
        let expected = self.position.saturating_add(1);
        if row.position != expected {
            return Err(self.misplaced(txn, expected).await?);
        }
        let right = link(&self.link, row);
        let fits = row.link.as_deref() == Some(right.as_slice());
        if expected <= unchained {
            // From before there was a chain, or so the head says.
            return match &row.link {
                None => Ok(()),
                Some(_) if fits => {
                    let what = format!("it says that event {expected} is from before there was a chain");
                    Err(self.wrong("audit_head", self.organization(), what))
                }
                Some(_) => {
                    Err(self.wrong("audit_event", uuid(row.id), "it has a link, and should have none"))
                }
            };
        }
        if !fits {
            let what = "its link does not follow from what it says and the event before it";
            return Err(self.wrong("audit_event", uuid(row.id), what));
        }
        self.link = right;
        Ok(())
    }

    /// Whether the event that the walk has come to is the one that was seen there before.
    fn compare(&self, event: AuditEventId) -> Result<(), Stop> {
        match self.known.filter(|known| known.position == self.position) {
            Some(known) if known.link != self.link => {
                let what = "another event was seen at its position, or before it: the log was written anew";
                Err(self.wrong("audit_event", uuid(event), what))
            }
            _ => Ok(()),
        }
    }

    /// Nothing is at a position: an event has been moved away from it, or is gone.
    async fn misplaced(&self, txn: &Txn, expected: i64) -> Result<Stop> {
        let mut after = i64::MIN;
        loop {
            let rows = self.tenant.find::<audit_event::Entity>();
            let rows = rows.filter(audit_event::Column::Position.gt(after));
            let rows = rows.order_by_asc(audit_event::Column::Position).limit(PAGE).all(txn).await?;
            let Some(last) = rows.last().map(|row| row.position) else { break };
            after = last;
            for row in rows {
                let (id, said) = (row.id, row.position);
                let there = audit_event::Model { position: expected, ..row };
                let right = link(&self.link, &there);
                if there.link.as_deref() == Some(right.as_slice()) {
                    let what = format!("it belongs at position {expected}, and says {said}");
                    return Ok(self.wrong("audit_event", uuid(id), what));
                }
            }
        }
        Ok(self.wrong("audit_event", expected, "it is missing"))
    }

    /// Whether the values about people are those that an event has the digests of.
    fn check_values(
        &mut self,
        event: &audit_event::Model,
        values: Vec<personal_value::Model>,
    ) -> Result<(), Stop> {
        let id = uuid(event.id);
        // Only an event from before the chain can say something here that nobody has written.
        let unread = || self.wrong("audit_event", id, "what it says of people cannot be read");
        let mut said: BTreeMap<String, String> = digests(event.personal.as_deref()).ok_or_else(unread)?;
        self.values = self.values.saturating_add(u64::try_from(said.len()).unwrap_or(u64::MAX));
        for value in &values {
            let key = format!("{id}/{}", value.name);
            let Some(right) = said.remove(&value.name) else {
                return Err(self.wrong("personal_value", key, "its event does not know it"));
            };
            // What has been emptied cannot be compared any more.
            if digest(value).is_some_and(|digest| digest != right) {
                return Err(self.wrong("personal_value", key, "it is not what its event has the digest of"));
            }
        }
        match said.into_keys().next() {
            Some(name) => Err(self.wrong("personal_value", format!("{id}/{name}"), "it is missing")),
            None => Ok(()),
        }
    }

    /// Whether the head is where the last event is, and no value belongs to no event.
    async fn end(&self, txn: &Txn, head: Option<audit_head::Model>) -> Result<(), Stop> {
        let key = self.organization();
        let (position, link, unchained) = match head {
            Some(head) => (head.position, head.link, head.unchained),
            None if self.position == 0 => (0, ORIGIN.to_vec(), 0),
            None => return Err(self.wrong("audit_head", key, "it is missing")),
        };
        let same = link == self.link;
        if position != self.position && !same {
            return Err(match position > self.position {
                true => self.wrong("audit_event", self.position.saturating_add(1), "it is missing"),
                false => self.wrong("audit_event", position.saturating_add(1), "the head does not know it"),
            });
        }
        if position != self.position || !same || unchained > position {
            let what = format!("it does not say where the log ends, which is at {}", self.position);
            return Err(self.wrong("audit_head", key, what));
        }
        if let Some(known) = self.known.filter(|known| known.position > self.position) {
            let what = format!("it is missing: the log was seen to go on to {}", known.position);
            return Err(self.wrong("audit_event", self.position.saturating_add(1), what));
        }
        let values = self.tenant.find::<personal_value::Entity>().count(txn).await?;
        if values != self.values {
            let what = format!("there are {values}, and the events know {}", self.values);
            return Err(self.wrong("personal_value", key, what));
        }
        Ok(())
    }
}

/// Whether the database has answered, with values that there are not.
fn unreadable(error: &DbErr) -> bool {
    match error {
        DbErr::Type(_) | DbErr::TryIntoErr { .. } => true,
        DbErr::Query(RuntimeErr::SqlxError(error)) => {
            matches!(error.as_ref(), sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
        }
        _ => false,
    }
}

/// An identifier as the database shows it.
fn uuid(id: impl Id) -> Uuid {
    Uuid::from_u128(id.as_u128())
}
