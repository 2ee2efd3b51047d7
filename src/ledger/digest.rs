//! Digests of the rows that cause transfers: what the hash chain covers beside the transfers.

use bursar_domain::Credits;
use bursar_domain::id::{Id, ServiceId, ServiceVersionId};
use bursar_domain::ledger::PricedLine;
use bursar_domain::ledger::chain::Canonical;
use bursar_entity::{account, charge, hold, journal_entry, lot, pool};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The digest of a charge's row, all of it but the organization (which the chain covers). Rows from before
/// there were seals have their old form.
pub(super) fn of_charge(row: &charge::Model) -> [u8; 32] {
    let sealed = row.seal.is_some();
    let mut form = Canonical::of(if sealed { "sealed charge" } else { "charge" });
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
    if sealed {
        form.option(row.hold_id, |form, id| _ = form.id(id));
    }
    sha256(form.as_bytes())
}

/// The digest of what never changes in a hold's row.
pub(super) fn of_hold(row: &hold::Model) -> [u8; 32] {
    let mut form = Canonical::of("hold");
    form.id(row.id).id(row.pool_id).id(row.account_id);
    form.option(row.department_id, |form, id| _ = form.id(id));
    for person in [row.on_behalf_of, row.spender] {
        form.option(person, |form, id| _ = form.id(id));
    }
    actor(&mut form, row.actor_kind.code(), row.actor_id, row.origin.as_deref());
    form.text(&row.lines).number(row.credits.get());
    for text in [&row.reference, &row.subject, &row.metadata] {
        form.option(text.as_deref(), |form, text| _ = form.text(text));
    }
    form.bytes(&row.idempotency_key.0).bytes(&row.request_hash.0);
    form.number(row.version).number(row.slices);
    form.number(row.created_at.micros()).number(row.expires_at.micros());
    sha256(form.as_bytes())
}

/// The digest of a lot's row.
pub(super) fn of_lot(row: &lot::Model) -> [u8; 32] {
    let mut form = Canonical::of("lot");
    lot_form(&mut form, row);
    form.option(row.replaces, |form, id| _ = form.id(id));
    sha256(form.as_bytes())
}

fn lot_form(form: &mut Canonical, lot: &lot::Model) {
    form.id(lot.id).id(lot.pool_id).text(lot.source.as_str()).text(lot.class.as_str());
    form.number(i64::from(lot.priority)).number(lot.credits.get()).number(lot.cost);
    form.option(lot.currency, |form, currency| _ = form.text(currency.code()));
    form.option(lot.expires_at, |form, at| _ = form.number(at.micros()));
    form.option(lot.purchase_id, |form, id| _ = form.id(id));
    form.id(lot.entry_id).number(lot.created_at.micros());
}

/// The digest of a journal entry's row.
pub(super) fn of_entry(row: &journal_entry::Model) -> [u8; 32] {
    let mut form = Canonical::of("sealed entry");
    entry_form(&mut form, row);
    form.option(row.department_id, |form, id| _ = form.id(id));
    form.option(row.to_pool_id, |form, id| _ = form.id(id));
    form.option(row.to_account_id, |form, id| _ = form.id(id));
    form.option(row.to_department_id, |form, id| _ = form.id(id));
    form.option(row.charge_id, |form, id| _ = form.id(id));
    for yes in [row.provider_fault, row.guaranteed] {
        form.option(yes, |form, yes| _ = form.number(i64::from(yes)));
    }
    form.option(row.hold_id, |form, id| _ = form.id(id));
    form.number(row.cost);
    sha256(form.as_bytes())
}

fn entry_form(form: &mut Canonical, row: &journal_entry::Model) {
    form.id(row.id).id(row.pool_id).number(i64::from(row.kind.code())).id(row.account_id);
    form.option(row.lot_id, |form, id| _ = form.id(id));
    form.option(row.purchase_id, |form, id| _ = form.id(id));
    actor(form, row.actor_kind.code(), row.actor_id, row.origin.as_deref());
    form.number(row.credits.get());
    for text in [&row.reason, &row.reference, &row.metadata] {
        form.option(text.as_deref(), |form, text| _ = form.text(text));
    }
    form.bytes(&row.idempotency_key.0).bytes(&row.request_hash.0);
    form.number(row.version).number(row.slices).number(row.created_at.micros());
}

/// What the chain covers of a journal entry: its row and, in the order of their ids, the lots that came in
/// with it. Rows from before there were seals have their old form.
pub(super) fn of_entry_with_lots(row: &journal_entry::Model, lots: &[lot::Model]) -> [u8; 32] {
    if row.seal.is_none() {
        let mut form = Canonical::of("entry");
        entry_form(&mut form, row);
        form.option(lots.first(), lot_form);
        return sha256(form.as_bytes());
    }
    let mut form = Canonical::of("entry with lots");
    form.bytes(&of_entry(row));
    let mut lots: Vec<&lot::Model> = lots.iter().collect();
    lots.sort_by_key(|lot| lot.id);
    for lot in lots {
        form.bytes(&of_lot(lot));
    }
    sha256(form.as_bytes())
}

/// The digest of what never changes in an account's row.
pub(super) fn of_account(row: &account::Model) -> [u8; 32] {
    let mut form = Canonical::of("account");
    form.id(row.pool_id).id(row.id);
    form.option(row.department_id, |form, id| _ = form.id(id));
    form.number(row.created_at.micros());
    sha256(form.as_bytes())
}

/// The digest of how an account overflows and is refilled.
pub(super) fn of_account_terms(row: &account::Model) -> [u8; 32] {
    let mut form = Canonical::of("account terms");
    form.id(row.pool_id).id(row.id).text(row.overflow.as_str());
    for credits in [row.refill_amount, row.refill_rollover, row.refill_shortfall] {
        form.option(credits, |form, credits| _ = form.number(credits.get()));
    }
    form.option(row.refill_period, |form, period| _ = form.text(period.as_str()));
    for at in [row.refill_start, row.refill_end] {
        form.option(at, |form, at| _ = form.number(at.micros()));
    }
    sha256(form.as_bytes())
}

/// The digest of what people set of a pool.
pub fn of_pool(row: &pool::Model) -> Vec<u8> {
    let mut form = Canonical::of("pool");
    form.id(row.organization_id).id(row.id).text(&row.name);
    for text in [&row.allowed_services, &row.frozen_reason] {
        form.option(text.as_deref(), |form, text| _ = form.text(text));
    }
    for at in [row.frozen_at, row.archived_at] {
        form.option(at, |form, at| _ = form.number(at.micros()));
    }
    form.number(row.created_at.micros());
    sha256(form.as_bytes()).to_vec()
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

    /// The line as the machine knows it; `None` when an amount is out of range.
    pub fn priced(&self) -> Option<PricedLine> {
        Some(PricedLine {
            service: self.service(),
            version: self.version(),
            code: self.code.clone(),
            quantity: self.quantity,
            credits_each: Credits::new(self.each)?,
            credits: Credits::new(self.credits)?,
        })
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
