//! Digests of the rows that cause transfers: what the hash chain covers beside the transfers.

use bursar_domain::id::{Id, ServiceId, ServiceVersionId};
use bursar_domain::ledger::PricedLine;
use bursar_domain::ledger::chain::Canonical;
use bursar_entity::{charge, journal_entry, lot};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The digest of a charge's row, all of it but the organization (which the chain covers).
pub(super) fn of_charge(row: &charge::Model) -> [u8; 32] {
    let mut form = Canonical::of("charge");
    form.id(row.id).id(row.pool_id).id(row.account_id);
    form.option(row.department_id, |form, id| _ = form.id(id));
    form.option(row.on_behalf_of, |form, id| _ = form.id(id));
    actor(&mut form, row.actor_kind.code(), row.actor_id, row.origin.as_deref());
    form.text(&row.lines).number(row.credits.get());
    for text in [&row.reference, &row.subject, &row.metadata] {
        form.option(text.as_deref(), |form, text| _ = form.text(text));
    }
    form.bytes(&row.idempotency_key.0).bytes(&row.request_hash.0);
    form.number(row.version).number(row.slices).number(row.created_at.micros());
    sha256(form.as_bytes())
}

/// The digest of a journal entry's row and of the lot that came in with it.
pub(super) fn of_entry(row: &journal_entry::Model, lot: Option<&lot::Model>) -> [u8; 32] {
    let mut form = Canonical::of("entry");
    form.id(row.id).id(row.pool_id).number(i64::from(row.kind.code())).id(row.account_id);
    form.option(row.lot_id, |form, id| _ = form.id(id));
    form.option(row.purchase_id, |form, id| _ = form.id(id));
    actor(&mut form, row.actor_kind.code(), row.actor_id, row.origin.as_deref());
    form.number(row.credits.get());
    for text in [&row.reason, &row.reference, &row.metadata] {
        form.option(text.as_deref(), |form, text| _ = form.text(text));
    }
    form.bytes(&row.idempotency_key.0).bytes(&row.request_hash.0);
    form.number(row.version).number(row.slices).number(row.created_at.micros());
    form.option(lot, |form, lot| {
        form.id(lot.id).id(lot.pool_id).text(lot.source.as_str()).text(lot.class.as_str());
        form.number(i64::from(lot.priority)).number(lot.credits.get()).number(lot.cost);
        form.option(lot.currency, |form, currency| _ = form.text(currency.code()));
        form.option(lot.expires_at, |form, at| _ = form.number(at.micros()));
        form.option(lot.purchase_id, |form, id| _ = form.id(id));
        form.id(lot.entry_id).number(lot.created_at.micros());
    });
    sha256(form.as_bytes())
}

fn actor(form: &mut Canonical, kind: i16, id: Option<Uuid>, origin: Option<&str>) {
    form.number(i64::from(kind));
    form.option(id, |form, id| _ = form.bytes(id.as_bytes()));
    form.option(origin, |form, origin| _ = form.text(origin));
}

/// A line of a charge as its row keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The service.
    pub service: Uuid,
    /// The version of its price.
    pub version: Uuid,
    /// The service's code at the time.
    pub code: String,
    /// How many units.
    pub quantity: i64,
    /// Credits per unit.
    pub each: i64,
    /// Credits of the line.
    pub credits: i64,
}

impl Line {
    /// The service.
    pub fn service(&self) -> ServiceId {
        ServiceId::from_u128(self.service.as_u128())
    }

    /// The version of its price.
    pub fn version(&self) -> ServiceVersionId {
        ServiceVersionId::from_u128(self.version.as_u128())
    }
}

impl From<&PricedLine> for Line {
    fn from(line: &PricedLine) -> Line {
        Line {
            service: Uuid::from_u128(line.service.as_u128()),
            version: Uuid::from_u128(line.version.as_u128()),
            code: line.code.clone(),
            quantity: line.quantity,
            each: line.credits_each.get(),
            credits: line.credits.get(),
        }
    }
}
