//! One entry of the log, whatever row it comes from: an event, or a row of the ledger that is its own record.
//!
//! All are known by the UUID of their row, which no two rows share and which sorts by when it was made: that is
//! the order of the log, and the cursor of its pages. What time has booked has a name that is made up (see `timed`).

use bursar_domain::Timestamp;
use bursar_domain::actor::ActorKind;
use bursar_domain::id::{AuditEventId, HoldId, Id, OrganizationId, UserId};
use bursar_domain::ledger::{CauseKind, TransferKind};
use bursar_entity::{audit_event, charge, hold, journal_entry, transfer};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::personal::digests;
use super::timed;
use crate::error::{Error, Result};
use crate::global_id;

/// What kind of row an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An event, which is a link of the log's chain.
    Event,
    /// A charge, a hold or another entry of the ledger, or what time has booked, which its pool's chain covers.
    Ledger,
}

/// Which entries are wanted. Everything that is left out is no condition.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// From this instant on.
    pub from: Option<Timestamp>,
    /// Up to before this instant.
    pub to: Option<Timestamp>,
    /// Done by this one.
    pub actor: Option<Uuid>,
    /// Done in this way.
    pub action: Option<String>,
    /// Done to this: the global id that the entry names; a pool finds what was booked in it too, a charge its
    /// refunds, a hold its captures and its end.
    pub subject: Option<String>,
    /// From rows of this kind.
    pub source: Option<Source>,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The organization.
    pub organization: OrganizationId,
    /// Its name in the log: the UUID of its row.
    pub id: AuditEventId,
    /// What kind of row it comes from.
    pub source: Source,
    /// Its place in the log's chain; none for rows of the ledger.
    pub position: Option<i64>,
    /// What was done, as the name of a mutation or event.
    pub action: String,
    /// What it was done to, as a global id.
    pub subject: String,
    /// What kind of caller did it.
    pub actor_kind: ActorKind,
    /// Which one.
    pub actor_id: Option<Uuid>,
    /// On whose behalf.
    pub on_behalf_of: Option<UserId>,
    /// The id of the request that it came with.
    pub origin: Option<String>,
    /// The fields as they were.
    pub before: Option<Value>,
    /// The fields as they became.
    pub after: Option<Value>,
    /// The names of the values about people that are kept with it.
    pub personal: Vec<String>,
    /// When.
    pub created_at: Timestamp,
}

/// What charging is called in the log.
pub(super) const CHARGE: &str = "chargeCredits";
/// What capturing a hold is called.
pub(super) const CAPTURE: &str = "captureHold";
/// What making a hold is called.
pub(super) const HOLD: &str = "holdCredits";
/// What it is called that a hold has run out.
pub(super) const EXPIRED: &str = "expireHold";
/// What it is called that credits have lapsed.
pub(super) const LAPSED: &str = "lapseCredits";
/// What bringing a purchase's credits in is called.
pub(super) const PURCHASED: &str = "issuePurchasedCredits";
/// What bringing other credits in is called.
pub(super) const GRANT: &str = "grantCredits";

/// What a journal entry is called: the kinds, and the name of each.
pub(super) const ENTRIES: &[(TransferKind, &str)] = &[
    (TransferKind::Allocate, "allocateCredits"),
    (TransferKind::Reclaim, "reclaimCredits"),
    (TransferKind::Release, "voidHold"),
    (TransferKind::Refund, "refundCharge"),
    (TransferKind::Move, "transferCredits"),
    (TransferKind::Refill, "refillAllocation"),
    // Opening balances, too: they are corrections of what was not there.
    (TransferKind::Correct, "correctBalance"),
    (TransferKind::Extend, "extendLot"),
    (TransferKind::Revoke, "revokeLot"),
    (TransferKind::Dispute, "disputeLot"),
    (TransferKind::Reinstate, "reinstateLot"),
    (TransferKind::Assign, "assignDebt"),
    (TransferKind::Restore, "restoreLot"),
];

impl TryFrom<audit_event::Model> for Record {
    type Error = Error;

    fn try_from(row: audit_event::Model) -> Result<Record> {
        let parse = |text: Option<&str>| {
            let parsed = text.map(serde_json::from_str::<Value>).transpose();
            parsed.map_err(|error| Error::internal(format!("an audit event: {error}")))
        };
        let personal = digests(row.personal.as_deref());
        let personal = personal.ok_or_else(|| Error::internal("an audit event's digests"))?;
        Ok(Record {
            organization: row.organization_id,
            id: row.id,
            source: Source::Event,
            position: Some(row.position),
            before: parse(row.before.as_deref())?,
            after: parse(row.after.as_deref())?,
            action: row.action,
            subject: row.subject,
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            on_behalf_of: row.on_behalf_of,
            origin: row.origin,
            personal: personal.into_keys().collect(),
            created_at: row.created_at,
        })
    }
}

impl From<charge::Model> for Record {
    fn from(row: charge::Model) -> Record {
        let after = json!({
            "pool": global_id::encode(row.pool_id),
            "department": row.department_id.map(global_id::encode),
            "lines": lines(&row.lines),
            "credits": row.credits.get(),
            "reference": row.reference,
            "hold": row.hold_id.map(global_id::encode),
            "version": row.version,
        });
        Record {
            organization: row.organization_id,
            id: name(row.id),
            source: Source::Ledger,
            position: None,
            action: if row.hold_id.is_some() { CAPTURE } else { CHARGE }.to_owned(),
            subject: global_id::encode(row.id),
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            on_behalf_of: row.on_behalf_of,
            origin: row.origin,
            before: None,
            after: Some(without_nulls(after)),
            personal: Vec::new(),
            created_at: row.created_at,
        }
    }
}

impl From<hold::Model> for Record {
    fn from(row: hold::Model) -> Record {
        // As it was made: what became of it since is in other entries.
        let after = json!({
            "pool": global_id::encode(row.pool_id),
            "department": row.department_id.map(global_id::encode),
            "lines": lines(&row.lines),
            "credits": row.credits.get(),
            "reference": row.reference,
            "expiresAt": instant(row.expires_at),
            "version": row.version,
        });
        Record {
            organization: row.organization_id,
            id: name(row.id),
            source: Source::Ledger,
            position: None,
            action: HOLD.to_owned(),
            subject: global_id::encode(row.id),
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            on_behalf_of: row.on_behalf_of,
            origin: row.origin,
            before: None,
            after: Some(without_nulls(after)),
            personal: Vec::new(),
            created_at: row.created_at,
        }
    }
}

impl Record {
    /// The end of a hold that has run out, which time has booked.
    pub fn expired(row: hold::Model) -> Record {
        // It has been closed: whatever has no end yet is in no such list.
        let at = row.closed_at.unwrap_or(row.expires_at);
        let after = json!({
            "pool": global_id::encode(row.pool_id),
            "department": row.department_id.map(global_id::encode),
            "credits": row.credits.get(),
            "captured": row.captured.get(),
            "reference": row.reference,
            "expiresAt": instant(row.expires_at),
        });
        let id = timed::of_hold(row.id, at);
        Record::of_time((row.organization_id, id, at), EXPIRED, global_id::encode(row.id), after)
    }

    /// Credits that have lapsed, which time has booked.
    pub fn lapsed(row: transfer::Model) -> Record {
        let hold = row.cause_id.filter(|_| row.cause_kind == CauseKind::Hold);
        let after = json!({
            "pool": global_id::encode(row.pool_id),
            "credits": row.credits.get(),
            "lot": global_id::encode(row.lot_id),
            "hold": hold.map(|id| global_id::encode(HoldId::from_u128(id.as_u128()))),
            "effectiveAt": instant(row.effective_at.unwrap_or(row.created_at)),
            "version": row.version,
        });
        let id = timed::of_lapse(row.pool_id, row.version, row.created_at);
        let place = (row.organization_id, id, row.created_at);
        Record::of_time(place, LAPSED, global_id::encode(row.pool_id), after)
    }

    fn of_time(
        (organization, id, created_at): (OrganizationId, AuditEventId, Timestamp),
        action: &str,
        subject: String,
        after: Value,
    ) -> Record {
        Record {
            organization,
            id,
            source: Source::Ledger,
            position: None,
            action: action.to_owned(),
            subject,
            actor_kind: ActorKind::System,
            actor_id: None,
            on_behalf_of: None,
            origin: None,
            before: None,
            after: Some(without_nulls(after)),
            personal: Vec::new(),
            created_at,
        }
    }
}

impl From<journal_entry::Model> for Record {
    fn from(row: journal_entry::Model) -> Record {
        let named = ENTRIES.iter().find(|(kind, _)| *kind == row.kind).map(|(_, name)| *name);
        let issued = if row.purchase_id.is_some() { PURCHASED } else { GRANT };
        let after = json!({
            "pool": global_id::encode(row.pool_id),
            "department": row.department_id.map(global_id::encode),
            "credits": row.credits.get(),
            "lot": row.lot_id.map(global_id::encode),
            "purchase": row.purchase_id.map(global_id::encode),
            "toPool": row.to_pool_id.map(global_id::encode),
            "toDepartment": row.to_department_id.map(global_id::encode),
            "charge": row.charge_id.map(global_id::encode),
            "hold": row.hold_id.map(global_id::encode),
            "reason": row.reason,
            "version": row.version,
        });
        let subject = match row.kind {
            TransferKind::Refund => global_id::encode_refund(row.id),
            _ => global_id::encode(row.pool_id),
        };
        Record {
            organization: row.organization_id,
            id: name(row.id),
            source: Source::Ledger,
            position: None,
            action: named.unwrap_or(issued).to_owned(),
            subject,
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            on_behalf_of: None,
            origin: row.origin,
            before: None,
            after: Some(without_nulls(after)),
            personal: Vec::new(),
            created_at: row.created_at,
        }
    }
}

/// The name in the log of a row.
fn name(id: impl Id) -> AuditEventId {
    AuditEventId::from_u128(id.as_u128())
}

/// The lines of a charge as people read them.
fn lines(text: &str) -> Value {
    let lines: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    let line = |line: Value| json!({ "service": line["code"], "quantity": line["quantity"], "credits": line["credits"] });
    lines.into_iter().map(line).collect()
}

/// An instant as in RFC 3339, with microseconds.
pub(super) fn instant(at: Timestamp) -> String {
    let instant = DateTime::<Utc>::from_timestamp_micros(at.micros()).unwrap_or_default();
    instant.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// An object without the fields that have no value: most kinds of entries have few.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_entry_has_a_name_of_its_own() {
        for (kind, name) in ENTRIES {
            let same = ENTRIES.iter().filter(|(other, said)| other == kind || said == name);
            assert_eq!(same.count(), 1, "{kind:?}");
            let others = [CHARGE, CAPTURE, HOLD, EXPIRED, LAPSED, PURCHASED, GRANT];
            assert!(!others.contains(name), "{name}");
        }
    }
}
