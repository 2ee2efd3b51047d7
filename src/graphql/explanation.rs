//! Explanations of charges: at which prices, from which lots and why, within which limits.
//!
//! The reason of a slice compares its lot with what comes next in the order of use. For a charge that has been
//! made that is its own next slice; for one that could be made now it may be any lot that has credits there.

use std::collections::HashMap;

use async_graphql::{ID, SimpleObject};
use bursar_domain::Credits;
use bursar_domain::id::{AccountId, ServiceVersionId};
use bursar_domain::ledger::{AccountKind, BurnKey, Explanation, Limit, Slice};
use bursar_domain::period::Period;
use bursar_entity::{charge, lot, pool, spending_cap, transfer};

use super::Request;
use super::allocation::Allocation;
use super::errors::{ApiError, UserError};
use super::loaders::Key;
use super::lot::Lot;
use super::refused::refused;
use super::scalars::{CreditsScalar, DateTime};
use super::spending_cap::CapScopeKind;
use crate::auth::Authorized;
use crate::charges::unused_lots;
use crate::db::Tenant;
use crate::ledger::{Line, decode_lines};
use crate::{catalog, global_id};

/// How a charge was decided, or would be decided now, and why.
#[derive(SimpleObject, Default)]
pub struct ChargeExplanation {
    /// The lines with the prices that hold for them. Empty when they cannot be priced.
    lines: Vec<ExplainedLine>,
    /// What they cost together. Null when they cannot be priced.
    credits: Option<CreditsScalar>,
    /// What is taken of which lot, in the order of use. Empty when the charge would be refused.
    slices: Vec<ExplainedSlice>,
    /// What each spending cap that applies says, in the order in which they are checked. Null for a charge that
    /// has been made: caps have gone on since.
    limits: Option<Vec<ExplainedLimit>>,
    /// Whether it was accepted, or would be accepted now.
    accepted: bool,
    /// Why it would be refused now. Empty when it is accepted.
    user_errors: Vec<UserError>,
}

/// A line of a charge, and where its price comes from.
#[derive(SimpleObject)]
pub struct ExplainedLine {
    /// The service's code.
    service: String,
    /// How many units.
    quantity: i32,
    /// Credits per unit.
    credits_each: CreditsScalar,
    /// Credits of the line.
    credits: CreditsScalar,
    /// The version of the service's price.
    price_version: Option<PriceVersion>,
}

/// A version of a service's price.
#[derive(SimpleObject)]
pub struct PriceVersion {
    /// Credits per unit.
    credits_per_unit: CreditsScalar,
    /// From when it holds, until the next one does.
    effective_from: DateTime,
    /// When it was added.
    created_at: DateTime,
    /// Whether it is the organization's own.
    own: bool,
}

/// What is taken of one lot, and why of that one.
#[derive(SimpleObject)]
pub struct ExplainedSlice {
    /// The lot. Null for those who do not see the pool's lots.
    lot: Option<Lot>,
    /// The department's credits that it is taken from. Null: those that no department has.
    allocation: Option<Allocation>,
    /// How many credits.
    credits: CreditsScalar,
    /// Why this lot, as sentences for people.
    reason: String,
}

/// What a spending cap says to a charge.
#[derive(SimpleObject)]
pub struct ExplainedLimit {
    /// The cap.
    cap_id: ID,
    /// Whose use it limits.
    scope: CapScopeKind,
    /// How much may be used in its period, without raises.
    limit: CreditsScalar,
    /// By how much it is raised now.
    raised: CreditsScalar,
    /// What has been used in the period.
    used: CreditsScalar,
    /// What is held for charges to come.
    held: CreditsScalar,
    /// What may still be used.
    headroom: CreditsScalar,
    /// What the charge would use of it.
    wanted: CreditsScalar,
    /// When the period began. Null: it is for ever.
    period_start: Option<DateTime>,
    /// When the period ends. Null: it is for ever.
    period_end: Option<DateTime>,
}

impl ChargeExplanation {
    /// An explanation of what cannot even be looked at.
    pub fn refused(error: UserError) -> ChargeExplanation {
        ChargeExplanation { user_errors: vec![error], ..ChargeExplanation::default() }
    }
}

/// A slice before it is explained.
struct Part {
    account: AccountId,
    /// The lot's place in the order of use.
    burn: BurnKey,
    credits: Credits,
    /// Whether a department's charge takes it from unallocated.
    beyond: bool,
}

/// Explains a charge that has been made, whose transfers these are.
pub async fn of_charge(
    request: &Request,
    row: &charge::Model,
    transfers: Vec<transfer::Model>,
) -> Result<ChargeExplanation, ApiError> {
    let keys = transfers.iter().map(|transfer| Key(row.organization_id, transfer.lot_id));
    let lots = request.rows.load_many(keys).await?;
    let part = |transfer: &transfer::Model| {
        let lot = lots.get(&Key(row.organization_id, transfer.lot_id))?;
        Some(Part {
            account: transfer.debit_id?,
            burn: BurnKey::new(lot.priority, lot.expires_at, lot.created_at, lot.id),
            credits: transfer.credits,
            beyond: row.department_id.is_some() && transfer.debit_kind == AccountKind::Unallocated,
        })
    };
    let parts = transfers.iter().filter_map(part).collect();
    // Only charges that the caller may see become objects.
    let tenant = Tenant::vouched(row.organization_id);
    let shown = request.caller()?.may_read_ledger(row.organization_id, row.pool_id);
    Ok(ChargeExplanation {
        lines: explain_lines(request, tenant, decode_lines(row)?).await?,
        credits: Some(CreditsScalar(row.credits)),
        slices: explain_slices(request, tenant, parts, None, shown).await?,
        limits: None,
        accepted: true,
        user_errors: Vec::new(),
    })
}

/// Explains what the ledger has found out about a charge that could be made now.
pub async fn of_request(
    request: &Request,
    pool: &Authorized<pool::Model>,
    explanation: Explanation,
    of_department: bool,
) -> Result<ChargeExplanation, ApiError> {
    let (tenant, organization) = (pool.tenant(), pool.organization_id);
    let accounts: Vec<AccountId> = explanation.slices.iter().map(|(account, _)| *account).collect();
    let rows = request.rows.load_many(accounts.iter().map(|account| Key(organization, *account))).await?;
    let in_department =
        |account| rows.get(&Key(organization, account)).is_some_and(|row| row.department_id.is_some());
    let part = |(account, slice): &(AccountId, Slice)| Part {
        account: *account,
        burn: slice.burn,
        credits: slice.credits,
        beyond: of_department && !in_department(*account),
    };
    let parts: Vec<Part> = explanation.slices.iter().map(part).collect();
    let snapshot = request.snapshots.open(tenant).await?;
    let unused = unused_lots(&snapshot, tenant, (pool.id, accounts), request.now()).await?;
    drop(snapshot);
    let shown = request.caller()?.may_read_ledger(organization, pool.id);
    let lines: Vec<Line> = explanation.lines.iter().map(Line::from).collect();
    let caps = explanation.limits.iter().map(|limit| Key(organization, limit.cap));
    let caps = request.rows.load_many(caps).await?;
    let caller = request.caller()?;
    let limit = |limit: &Limit| {
        // What a caller may not see does not exist; should it refuse the charge, the refusal says so.
        let row = caps.get(&Key(organization, limit.cap)).filter(|row| caller.sees_cap(row))?;
        Some(explain_limit(limit, row))
    };
    Ok(ChargeExplanation {
        credits: (!lines.is_empty()).then_some(CreditsScalar(explanation.credits)),
        lines: explain_lines(request, tenant, lines).await?,
        slices: explain_slices(request, tenant, parts, Some(&unused), shown).await?,
        limits: Some(explanation.limits.iter().filter_map(limit).collect()),
        accepted: explanation.refusal.is_none(),
        user_errors: explanation.refusal.as_ref().map(refused).into_iter().collect(),
    })
}

async fn explain_lines(
    request: &Request,
    tenant: Tenant,
    lines: Vec<Line>,
) -> Result<Vec<ExplainedLine>, ApiError> {
    let snapshot = request.snapshots.open(tenant).await?;
    let ids = lines.iter().map(Line::version).collect();
    let versions = catalog::price_versions(&snapshot, tenant, ids).await?;
    drop(snapshot);
    let versions: HashMap<ServiceVersionId, catalog::PriceVersion> =
        versions.into_iter().map(|version| (version.id, version)).collect();
    let credits = |value| CreditsScalar(Credits::new(value).unwrap_or_default());
    let explained = |line: Line| ExplainedLine {
        price_version: versions.get(&line.version()).map(|version| PriceVersion {
            credits_per_unit: CreditsScalar(version.credits),
            effective_from: DateTime(version.effective_from),
            created_at: DateTime(version.created_at),
            own: version.own,
        }),
        quantity: i32::try_from(line.quantity).unwrap_or(i32::MAX),
        credits_each: credits(line.each),
        credits: credits(line.credits),
        service: line.code,
    };
    Ok(lines.into_iter().map(explained).collect())
}

/// Explains slices; `unused` are the lots that the accounts have credits of, when that is known.
async fn explain_slices(
    request: &Request,
    tenant: Tenant,
    parts: Vec<Part>,
    unused: Option<&[(AccountId, BurnKey)]>,
    shown: bool,
) -> Result<Vec<ExplainedSlice>, ApiError> {
    let organization = tenant.id();
    let accounts = parts.iter().map(|part| Key(organization, part.account));
    let accounts = request.rows.load_many(accounts).await?;
    let lots = parts.iter().map(|part| Key(organization, part.burn.lot));
    let lots: HashMap<_, lot::Model> = request.rows.load_many(lots).await?;
    let mut slices = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let following = parts.iter().skip(index + 1).find(|other| other.account == part.account);
        let left = unused
            .into_iter()
            .flatten()
            .find(|(account, burn)| *account == part.account && *burn > part.burn);
        let next = following.map(|other| other.burn).or(left.map(|(_, burn)| *burn));
        let own = match (next, unused) {
            (Some(next), _) => reason(&part.burn, &next),
            (None, Some(_)) => "Nothing comes after it there.",
            (None, None) if index == 0 => "It came first in the order of use, and had enough.",
            (None, None) => "It came next in the order of use, and had enough.",
        };
        let beyond = if part.beyond { "The department has not enough of its own. " } else { "" };
        let account = accounts.get(&Key(organization, part.account)).cloned();
        let lot = lots.get(&Key(organization, part.burn.lot)).cloned();
        slices.push(ExplainedSlice {
            lot: lot.filter(|_| shown).map(Lot),
            allocation: account.filter(|account| account.department_id.is_some()).map(Allocation),
            credits: CreditsScalar(part.credits),
            reason: format!("{beyond}{own}"),
        });
    }
    Ok(slices)
}

/// Why a lot is used before the one that comes next.
fn reason(lot: &BurnKey, next: &BurnKey) -> &'static str {
    if lot.priority != next.priority {
        return "It has a lower priority number than what comes next.";
    }
    match (lot.expires_at(), next.expires_at()) {
        (Some(_), None) => "It expires, and what comes next does not.",
        (one, other) if one != other => "It expires before what comes next.",
        _ if lot.created_at != next.created_at => "It came in before what comes next.",
        _ => "It came in together with what comes next, and has the lower id.",
    }
}

fn explain_limit(limit: &Limit, cap: &spending_cap::Model) -> ExplainedLimit {
    let scope = match (cap.department_id, cap.user_id) {
        (Some(_), _) => CapScopeKind::Department,
        (None, Some(_)) => CapScopeKind::Member,
        (None, None) => CapScopeKind::Service,
    };
    let period = Some(limit.period).filter(|period| *period != Period::EVER);
    ExplainedLimit {
        cap_id: ID(global_id::encode(limit.cap)),
        scope,
        limit: CreditsScalar(limit.limit),
        raised: CreditsScalar(limit.raised),
        used: CreditsScalar(limit.used),
        held: CreditsScalar(limit.held),
        headroom: CreditsScalar(limit.headroom),
        wanted: CreditsScalar(limit.wanted),
        period_start: period.map(|period| DateTime(period.start)),
        period_end: period.map(|period| DateTime(period.end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::Timestamp;
    use bursar_domain::id::{Id, LotId};

    #[test]
    fn the_first_difference_is_the_reason() {
        let key = |priority, expires_at: Option<i64>, created_at, lot| {
            let at = Timestamp::from_micros;
            BurnKey::new(priority, expires_at.map(at), at(created_at), LotId::from_u128(lot))
        };
        let one = key(100, Some(10), 1, 1);
        for (next, word) in [
            (key(200, Some(5), 0, 0), "priority"),
            (key(100, Some(11), 0, 0), "expires before"),
            (key(100, None, 0, 0), "does not"),
            (key(100, Some(10), 2, 0), "came in before"),
            (key(100, Some(10), 1, 2), "lower id"),
        ] {
            assert!(one < next && reason(&one, &next).contains(word), "{word}");
        }
    }
}
