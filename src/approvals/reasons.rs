//! Why something is wanted, and why people have decided as they have: in their own words, which are kept apart from the
//! rounds and decisions, so that they can be emptied when one of them is forgotten.
//!
//! The round or decision, which cannot be changed, holds a digest of the words with a salt of 32 random bytes; the row
//! here holds salt and words. Once they are emptied the digest says nothing any more. What the log says of a decision
//! holds the words in the same way (see `audit`).
//!
//! Words are those of whoever has written them, and about whoever has asked: when either is forgotten, they go.

use std::collections::{BTreeSet, HashMap};

use bursar_domain::Timestamp;
use bursar_domain::id::{ApprovalId, PurchaseId, UserId};
use bursar_domain::ledger::chain::Canonical;
use bursar_entity::{
    approval_decision, approval_delegation, approval_reason, approval_request, approval_round, purchase,
};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};
use sha2::{Digest, Sha256};

use crate::audit;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// The name of why something is wanted.
const ROUND: &str = "ROUND";
/// The name of why somebody has decided as they have.
const DECISION: &str = "DECISION";
/// What the log calls the words of a decision.
pub(super) const REASON: &str = "reason";
/// What the log calls the words with a purchase.
pub const NOTE: &str = "note";

/// The words in a round, as far as they have not been emptied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    asked: Option<String>,
    of: BTreeSet<UserId>,
    decided: HashMap<UserId, String>,
}

impl Reasons {
    /// Why it is wanted.
    pub fn of_round(&self) -> Option<&str> {
        self.asked.as_deref()
    }

    /// Whose words those are, and whom they are about: with any of them they go.
    pub fn people(&self) -> impl Iterator<Item = UserId> {
        self.of.iter().copied()
    }

    /// Why somebody has decided as they have.
    pub fn of_decision(&self, by: UserId) -> Option<&str> {
        self.decided.get(&by).map(String::as_str)
    }
}

/// The words in all rounds of some requests. Rounds without any are left out.
///
/// # Errors
/// What the database answers.
pub async fn reasons_of(
    txn: &Txn,
    tenant: Tenant,
    requests: impl IntoIterator<Item = ApprovalId>,
) -> Result<HashMap<(ApprovalId, i64), Reasons>> {
    let rows =
        tenant.find::<approval_reason::Entity>().filter(approval_reason::Column::RequestId.is_in(requests));
    let mut found: HashMap<(ApprovalId, i64), Reasons> = HashMap::new();
    for row in rows.all(txn).await? {
        let Some(words) = row.value else { continue };
        let of_round = found.entry((row.request_id, row.round)).or_default();
        if row.name == DECISION {
            of_round.decided.insert(row.written_by, words);
        } else {
            of_round.asked = Some(words);
            of_round.of = [row.written_by].into_iter().chain(row.about).collect();
        }
    }
    Ok(found)
}

/// The words in one round.
pub(super) async fn reasons_in(
    txn: &Txn,
    tenant: Tenant,
    request: ApprovalId,
    round: i64,
) -> Result<Reasons> {
    Ok(reasons_of(txn, tenant, [request]).await?.remove(&(request, round)).unwrap_or_default())
}

/// Why a purchase is wanted, on its way to be kept with a new round. Words that were there before stay those of whoever
/// has written them. The purchase is locked.
pub(super) async fn of_round(
    txn: &Txn,
    tenant: Tenant,
    purchase: &purchase::Model,
    (request, round, requester): (ApprovalId, i64, UserId),
) -> Result<Option<approval_reason::Model>> {
    let Some(words) = &purchase.note else { return Ok(None) };
    let before = tenant
        .find::<approval_reason::Entity>()
        .filter(approval_reason::Column::RequestId.eq(request))
        .filter(approval_reason::Column::Name.eq(ROUND))
        .order_by_desc(approval_reason::Column::Round)
        .one(txn)
        .await?;
    let same = before.filter(|before| before.value.as_ref() == Some(words));
    let written_by = same.map_or(requester, |before| before.written_by);
    let row = approval_reason::Model {
        organization_id: tenant.id(),
        request_id: request,
        round,
        name: ROUND.to_owned(),
        written_by,
        about: Some(purchase.requested_by).filter(|first| *first != written_by),
        salt: Some(salt()?),
        value: Some(words.clone()),
        erased_at: None,
    };
    Ok(Some(row))
}

/// Why somebody decides as they do, on its way to be kept with the decision.
pub(super) fn of_decision(
    tenant: Tenant,
    round: &approval_round::Model,
    by: UserId,
    words: Option<&str>,
) -> Result<Option<approval_reason::Model>> {
    let Some(words) = words else { return Ok(None) };
    Ok(Some(approval_reason::Model {
        organization_id: tenant.id(),
        request_id: round.request_id,
        round: round.round,
        name: DECISION.to_owned(),
        written_by: by,
        about: Some(round.requester).filter(|asker| *asker != by),
        salt: Some(salt()?),
        value: Some(words.to_owned()),
        erased_at: None,
    }))
}

fn salt() -> Result<Vec<u8>> {
    let mut salt = vec![0; 32];
    getrandom::fill(&mut salt).map_err(|error| Error::internal(format!("no randomness: {error}")))?;
    Ok(salt)
}

/// Keeps words. What they are the reason of is written.
pub(super) async fn keep(txn: &Txn, reason: Option<approval_reason::Model>) -> Result<()> {
    if let Some(row) = reason {
        approval_reason::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// The digest of words; none when they have been emptied.
pub(super) fn digest(row: &approval_reason::Model) -> Option<Vec<u8>> {
    let (salt, words) = (row.salt.as_ref()?, row.value.as_ref()?);
    let mut form = Canonical::of("approval reason");
    form.bytes(salt).id(row.request_id).number(row.round).text(&row.name).id(row.written_by).text(words);
    Some(Sha256::digest(form.as_bytes()).to_vec())
}

/// Whether a decision was taken with these words. Of words that have been emptied nobody can say, so it was.
pub(super) async fn is_said(
    txn: &Txn,
    tenant: Tenant,
    decision: &approval_decision::Model,
    words: Option<&str>,
) -> Result<bool> {
    let (Some(_), Some(words)) = (&decision.reason_hash, words) else {
        return Ok(decision.reason_hash.is_none() && words.is_none());
    };
    let row = tenant
        .find::<approval_reason::Entity>()
        .filter(approval_reason::Column::RequestId.eq(decision.request_id))
        .filter(approval_reason::Column::Round.eq(decision.round))
        .filter(approval_reason::Column::Name.eq(DECISION))
        .filter(approval_reason::Column::WrittenBy.eq(decision.decided_by));
    let row = row.one(txn).await?.ok_or_else(|| Error::internal("a decision without its reason"))?;
    Ok(row.salt.is_none()
        || digest(&approval_reason::Model { value: Some(words.to_owned()), ..row }) == decision.reason_hash)
}

/// The purchases that a person has asked people's consent for, first or in a later round.
///
/// # Errors
/// What the database answers.
pub async fn asked_by(txn: &Txn, tenant: Tenant, person: UserId) -> Result<Vec<PurchaseId>> {
    let requests: Vec<ApprovalId> = tenant
        .find::<approval_round::Entity>()
        .select_only()
        .column(approval_round::Column::RequestId)
        .filter(approval_round::Column::Requester.eq(person))
        .distinct()
        .into_tuple()
        .all(txn)
        .await?;
    let purchases = tenant
        .find::<approval_request::Entity>()
        .select_only()
        .column(approval_request::Column::PurchaseId)
        .filter(approval_request::Column::Id.is_in(requests))
        .into_tuple();
    Ok(purchases.all(txn).await?)
}

/// Empties what a person has said about requests, and what others have said about what the person has asked for, here
/// and in the log; and why the person stood in for somebody, or somebody for them. The organization is locked.
///
/// # Errors
/// What the database answers.
pub async fn forget_reasons(txn: &Txn, tenant: Tenant, person: UserId, now: Timestamp) -> Result<()> {
    use approval_reason::Column;
    let theirs = Condition::any().add(Column::WrittenBy.eq(person)).add(Column::About.eq(person));
    let of_others = tenant
        .find::<approval_reason::Entity>()
        .filter(Column::About.eq(person))
        .filter(Column::WrittenBy.ne(person))
        .filter(Column::Value.is_not_null());
    for row in of_others.all(txn).await? {
        let Some(words) = row.value else { continue };
        let name = if row.name == DECISION { REASON } else { NOTE };
        audit::erase_said(txn, tenant, (row.written_by, name, words.as_str()), now).await?;
    }
    approval_reason::Entity::update_many()
        .col_expr(Column::Value, Expr::value(None::<String>))
        .col_expr(Column::Salt, Expr::value(None::<Vec<u8>>))
        .col_expr(Column::ErasedAt, Expr::value(now))
        .filter(Column::OrganizationId.eq(tenant.id()))
        .filter(Column::Value.is_not_null())
        .filter(theirs)
        .exec(txn)
        .await?;
    let stood_in = Condition::any()
        .add(approval_delegation::Column::Delegator.eq(person))
        .add(approval_delegation::Column::Delegate.eq(person));
    approval_delegation::Entity::update_many()
        .col_expr(approval_delegation::Column::Reason, Expr::value(None::<String>))
        .filter(approval_delegation::Column::OrganizationId.eq(tenant.id()))
        .filter(stood_in)
        .exec(txn)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::{Id, OrganizationId};

    #[test]
    fn a_digest_is_of_words_and_salt() {
        let row = approval_reason::Model {
            organization_id: OrganizationId::from_u128(1),
            request_id: ApprovalId::from_u128(2),
            round: 1,
            name: DECISION.to_owned(),
            written_by: UserId::from_u128(3),
            about: None,
            salt: Some(vec![7; 32]),
            value: Some("Too dear".to_owned()),
            erased_at: None,
        };
        let of = |row: &approval_reason::Model| digest(row).unwrap();
        assert_eq!((of(&row).len(), of(&row)), (32, of(&row.clone())));
        let other_salt = approval_reason::Model { salt: Some(vec![8; 32]), ..row.clone() };
        let other_words = approval_reason::Model { value: Some("Too deaR".to_owned()), ..row.clone() };
        let other_round = approval_reason::Model { round: 2, ..row.clone() };
        for other in [other_salt, other_words, other_round] {
            assert_ne!(of(&other), of(&row), "{other:?}");
        }
        assert_eq!(digest(&approval_reason::Model { salt: None, value: None, ..row }), None);
    }
}
