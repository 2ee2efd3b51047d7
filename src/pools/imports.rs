//! Opening balances: what an organization had elsewhere, brought in by the operator in one commit.

use bursar_domain::id::PoolId;
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{Instruction, LotSource};
use bursar_entity::organization;
use serde_json::json;

use super::entry::{Misfit, carry_out_all, command};
use super::grants::NewCredits;
use crate::auth::Authorized;
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Receipt, Submission};
use crate::text;

/// The most items of one import.
pub const MAX_ITEMS: usize = 500;

/// One opening balance.
#[derive(Clone, Debug)]
pub struct ImportItem {
    /// In which pool.
    pub pool: PoolId,
    /// What comes in.
    pub new: NewCredits,
    /// What it is called where it came from.
    pub reference: Option<String>,
}

/// Opening balances to be brought in.
#[derive(Clone, Debug)]
pub struct Import {
    /// Each of them.
    pub items: Vec<ImportItem>,
    /// Why.
    pub reason: String,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// Brings opening balances in, all of them or none: a lot of source `CORRECTION` for each item. Inside: which
/// item the ledger refused.
pub async fn import(
    ledger: &Ledger,
    organization: &Authorized<organization::Model>,
    request: Import,
) -> Result<Result<Vec<Receipt>, Misfit>> {
    let Import { items, reason, key, dry_run } = request;
    if items.is_empty() || items.len() > MAX_ITEMS {
        return Err(Error::invalid("items", format!("must be from 1 to {MAX_ITEMS}")));
    }
    let reason = text::optional_note("reason", Some(&reason))?;
    let mut checked = Vec::with_capacity(items.len());
    let mut form = Canonical::of("import");
    form.id(organization.id).option(reason.as_deref(), |form, reason| _ = form.text(reason));
    for (index, item) in items.into_iter().enumerate() {
        let (priority, reference) = item.check(organization).map_err(|error| in_item(index, error))?;
        form.id(item.pool);
        item.new.write(priority, &mut form);
        form.option(reference.as_deref(), |form, reference| _ = form.text(reference));
        checked.push((item, priority, reference));
    }
    let clock = &ledger.context().clock;
    let item_form = Canonical::of("import, item");
    let first = Idempotency::new("importBalances", &key, &form);
    let submission = |(index, (item, priority, reference)): (usize, (ImportItem, i16, Option<String>))| {
        // Each item needs a key of its own. The first has the client's: under it, whatever else is asked for
        // by the same key is found to be something else.
        let idempotency = match index {
            0 => first,
            _ => {
                let own = Idempotency::new("importBalances, item", &format!("{index} {key}"), &item_form);
                Idempotency { request: first.request, ..own }
            }
        };
        let issue = item.new.issue(clock, LotSource::Correction, priority);
        Submission {
            command: command(clock, item.pool, idempotency, Instruction::Issue(issue)),
            actor: organization.actor().clone(),
            standing: organization.standing(),
            subject: None,
            metadata: reference.map(|reference| json!({ "reference": reference }).to_string()),
            reason: reason.clone(),
        }
    };
    let submissions = checked.into_iter().enumerate().map(submission).collect();
    carry_out_all(ledger, organization.tenant(), submissions, dry_run).await
}

impl ImportItem {
    /// Its priority and its reference.
    fn check(&self, organization: &organization::Model) -> Result<(i16, Option<String>)> {
        self.new.check_cost(organization.currency)?;
        let reference = text::optional_reference("reference", self.reference.as_deref())?;
        Ok((self.new.checked_priority()?, reference))
    }
}

/// The same error, as one of an item's.
fn in_item(index: usize, error: Error) -> Error {
    match error {
        Error::Invalid { field, reason } => Error::invalid(format!("items.{index}.{field}"), reason),
        other => other,
    }
}
