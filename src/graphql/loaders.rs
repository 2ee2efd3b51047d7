//! Rows by id, many at a time: one loader an operation, no cache, and everything from the operation's
//! snapshot.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader, NoCache};
use async_graphql::runtime::{TokioSpawner, TokioTimer};
use bursar_domain::id::{
    AccountId, ApprovalId, AuditEventId, CapId, ChargeId, DepartmentId, EntryId, HoldId, LotId, MembershipId,
    OrganizationId, PoolId, PurchaseId, UserId,
};
use bursar_domain::ledger::TransferKind;
use bursar_entity::{
    account, approval_round, charge, department, hold, journal_entry, lot, membership, personal_value, pool,
    purchase, spending_cap, user,
};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::errors::ApiError;
use crate::db::scope::find_people;
use crate::db::{Scope, Snapshots, Tenant};
use crate::error::Error;
use crate::{approvals, audit};

/// Loads rows of the operation's snapshot.
pub struct Rows(Snapshots);

/// The loader of an operation.
pub type RowLoader = DataLoader<Rows, NoCache>;

/// A row of an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<I>(pub OrganizationId, pub I);

/// A membership by the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberOf(pub UserId);

/// What has been given back of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefundsOf(pub ChargeId);

/// The values about people that are kept with an entry of the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PersonalOf(pub AuditEventId);

/// A round of a request, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoundOf(pub ApprovalId, pub i64);

/// The same with all that has happened in it, and what it is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JudgedRound(pub ApprovalId, pub i64);

/// What people have said in a round, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReasonsOf(pub ApprovalId, pub i64);

/// Makes the loader of an operation.
pub fn rows(snapshots: Snapshots) -> RowLoader {
    DataLoader::new(Rows(snapshots), TokioSpawner::current(), TokioTimer::default()).delay(Duration::ZERO)
}

/// The keys by organization. An operation may show rows of several.
fn by_organization<I: Copy>(keys: &[Key<I>]) -> HashMap<OrganizationId, Vec<I>> {
    let mut organizations: HashMap<OrganizationId, Vec<I>> = HashMap::new();
    for Key(organization, id) in keys {
        organizations.entry(*organization).or_default().push(*id);
    }
    organizations
}

macro_rules! row_loaders {
    ($($id:ty => $table:ident . $column:ident),+ $(,)?) => {
        $(
            impl Loader<Key<$id>> for Rows {
                type Value = $table::Model;
                type Error = Arc<Error>;

                async fn load(&self, keys: &[Key<$id>]) -> Result<HashMap<Key<$id>, Self::Value>, Self::Error> {
                    let mut found = HashMap::new();
                    for (organization, ids) in by_organization(keys) {
                        // Keys come from rows of the organization that the caller has been shown.
                        let tenant = Tenant::vouched(organization);
                        let snapshot = self.0.open(tenant).await.map_err(Arc::new)?;
                        let rows = tenant.find::<$table::Entity>().filter($table::Column::$column.is_in(ids));
                        for row in rows.all(&*snapshot).await.map_err(|error| Arc::new(error.into()))? {
                            found.insert(Key(organization, row.id), row);
                        }
                    }
                    Ok(found)
                }
            }
        )+
    };
}

row_loaders! {
    AccountId => account.Id,
    CapId => spending_cap.Id,
    ChargeId => charge.Id,
    DepartmentId => department.Id,
    EntryId => journal_entry.Id,
    HoldId => hold.Id,
    LotId => lot.Id,
    MembershipId => membership.Id,
    PoolId => pool.Id,
    PurchaseId => purchase.Id,
}

impl Loader<Key<UserId>> for Rows {
    type Value = user::Model;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[Key<UserId>]) -> Result<HashMap<Key<UserId>, Self::Value>, Self::Error> {
        let mut found = HashMap::new();
        for (organization, ids) in by_organization(keys) {
            // As above. Of the vendor's it is whoever sees everybody (see `member::person`).
            let tenant = Tenant::vouched(organization);
            let scope = if tenant.is_vendor() { Scope::Operator } else { tenant.into() };
            let snapshot = self.0.open(scope).await.map_err(Arc::new)?;
            let rows = find_people().filter(user::Column::Id.is_in(ids));
            for row in rows.all(&*snapshot).await.map_err(|error| Arc::new(error.into()))? {
                found.insert(Key(organization, row.id), row);
            }
        }
        Ok(found)
    }
}

impl Loader<Key<MemberOf>> for Rows {
    type Value = membership::Model;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[Key<MemberOf>]) -> Result<HashMap<Key<MemberOf>, Self::Value>, Self::Error> {
        let mut found = HashMap::new();
        for (organization, ids) in by_organization(keys) {
            let tenant = Tenant::vouched(organization); // as above
            let snapshot = self.0.open(tenant).await.map_err(Arc::new)?;
            let people = membership::Column::UserId.is_in(ids.into_iter().map(|MemberOf(user)| user));
            let rows = tenant.find::<membership::Entity>().filter(people);
            for row in rows.all(&*snapshot).await.map_err(|error| Arc::new(error.into()))? {
                found.insert(Key(organization, MemberOf(row.user_id)), row);
            }
        }
        Ok(found)
    }
}

impl Loader<Key<RefundsOf>> for Rows {
    type Value = Vec<journal_entry::Model>;
    type Error = Arc<Error>;

    async fn load(
        &self,
        keys: &[Key<RefundsOf>],
    ) -> Result<HashMap<Key<RefundsOf>, Self::Value>, Self::Error> {
        let mut found: HashMap<Key<RefundsOf>, Self::Value> = HashMap::new();
        for (organization, ids) in by_organization(keys) {
            let tenant = Tenant::vouched(organization); // as above
            let snapshot = self.0.open(tenant).await.map_err(Arc::new)?;
            let charges = ids.into_iter().map(|RefundsOf(charge)| charge);
            let rows = tenant
                .find::<journal_entry::Entity>()
                .filter(journal_entry::Column::ChargeId.is_in(charges))
                .filter(journal_entry::Column::Kind.eq(TransferKind::Refund))
                .order_by_asc(journal_entry::Column::Version);
            for row in rows.all(&*snapshot).await.map_err(|error| Arc::new(error.into()))? {
                let Some(charge) = row.charge_id else { continue };
                found.entry(Key(organization, RefundsOf(charge))).or_default().push(row);
            }
        }
        Ok(found)
    }
}

impl Loader<Key<PersonalOf>> for Rows {
    type Value = Vec<personal_value::Model>;
    type Error = Arc<Error>;

    async fn load(
        &self,
        keys: &[Key<PersonalOf>],
    ) -> Result<HashMap<Key<PersonalOf>, Self::Value>, Self::Error> {
        let mut found = HashMap::new();
        for (organization, ids) in by_organization(keys) {
            let tenant = Tenant::vouched(organization); // as above
            let snapshot = self.0.open(tenant).await.map_err(Arc::new)?;
            let events = ids.into_iter().map(|PersonalOf(event)| event).collect();
            let values = audit::values(&snapshot, tenant, events).await.map_err(Arc::new)?;
            found.extend(values.into_iter().map(|(id, rows)| (Key(organization, PersonalOf(id)), rows)));
        }
        Ok(found)
    }
}

impl Loader<Key<RoundOf>> for Rows {
    type Value = approval_round::Model;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[Key<RoundOf>]) -> Result<HashMap<Key<RoundOf>, Self::Value>, Self::Error> {
        let mut found = HashMap::new();
        for (organization, rounds) in by_organization(keys) {
            let tenant = Tenant::vouched(organization); // as above
            let snapshot = self.0.open(tenant).await.map_err(Arc::new)?;
            let requests = rounds.iter().map(|RoundOf(request, _)| *request);
            let rows = tenant
                .find::<approval_round::Entity>()
                .filter(approval_round::Column::RequestId.is_in(requests));
            for row in rows.all(&*snapshot).await.map_err(|error| Arc::new(error.into()))? {
                found.insert(Key(organization, RoundOf(row.request_id, row.round)), row);
            }
        }
        Ok(found)
    }
}

impl Loader<Key<JudgedRound>> for Rows {
    type Value = Arc<approvals::SeenRound>;
    type Error = Arc<Error>;

    async fn load(
        &self,
        keys: &[Key<JudgedRound>],
    ) -> Result<HashMap<Key<JudgedRound>, Self::Value>, Self::Error> {
        let mut found = HashMap::new();
        for (organization, rounds) in by_organization(keys) {
            let tenant = Tenant::vouched(organization); // as above
            let snapshot = self.0.open(tenant).await.map_err(Arc::new)?;
            let wanted: Vec<_> =
                rounds.into_iter().map(|JudgedRound(request, number)| (request, number)).collect();
            for seen in approvals::look_at(&snapshot, tenant, &wanted).await.map_err(Arc::new)? {
                let key = Key(organization, JudgedRound(seen.row.request_id, seen.row.round));
                found.insert(key, Arc::new(seen));
            }
        }
        Ok(found)
    }
}

impl Loader<Key<ReasonsOf>> for Rows {
    type Value = approvals::Reasons;
    type Error = Arc<Error>;

    async fn load(
        &self,
        keys: &[Key<ReasonsOf>],
    ) -> Result<HashMap<Key<ReasonsOf>, Self::Value>, Self::Error> {
        let mut found = HashMap::new();
        for (organization, rounds) in by_organization(keys) {
            let tenant = Tenant::vouched(organization); // as above
            let snapshot = self.0.open(tenant).await.map_err(Arc::new)?;
            let requests: Vec<ApprovalId> = rounds.iter().map(|ReasonsOf(request, _)| *request).collect();
            let reasons = approvals::reasons_of(&snapshot, tenant, requests).await.map_err(Arc::new)?;
            let keyed = reasons.into_iter();
            found.extend(keyed.map(|((id, round), of)| (Key(organization, ReasonsOf(id, round)), of)));
        }
        Ok(found)
    }
}

/// A loader's error, which several fields share.
impl From<Arc<Error>> for ApiError {
    fn from(error: Arc<Error>) -> ApiError {
        match Arc::try_unwrap(error) {
            Ok(error) => error.into(),
            Err(shared) => Error::internal(shared.to_string()).into(),
        }
    }
}
