//! Opening balances, brought in by the operator.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::permission::Action;

use super::errors::{ApiError, UserError, user_error};
use super::lot::{Lot, LotClass};
use super::money::MoneyInput;
use super::node::decode;
use super::organization::{Organization, authorized};
use super::scalars::{CreditsScalar, DateTime, IdempotencyKey};
use super::signed_in;
use super::transfer::Transfer;
use crate::error::Error;
use crate::pools::{self, Import, ImportItem, NewCredits};

/// One opening balance.
#[derive(InputObject)]
pub struct ImportItemInput {
    /// In which pool.
    pool_id: ID,
    /// Of which department in it. Left out: of none, unallocated.
    department_id: Option<ID>,
    /// How many credits.
    credits: CreditsScalar,
    /// Whether they have been paid for.
    #[graphql(default_with = "LotClass::Paid")]
    class: LotClass,
    /// Their place in the order of use, from 0 to 32767, lower numbers first. Left out: 50 for promotional
    /// credits, 100 for paid ones.
    priority: Option<i32>,
    /// From when on they cannot be used. Left out: they do not expire.
    expires_at: Option<DateTime>,
    /// What they cost together, in the organization's currency. Left out: nothing.
    cost: Option<MoneyInput>,
    /// What it is called where it came from.
    reference: Option<String>,
}

/// Opening balances to be brought in.
#[derive(InputObject)]
pub struct ImportBalancesInput {
    /// Into which organization.
    organization_id: ID,
    /// 1 to 500 of them: all come in, or none.
    items: Vec<ImportItemInput>,
    /// Why.
    reason: String,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// Opening balances that were brought in.
#[derive(SimpleObject, Default)]
pub struct ImportBalancesPayload {
    /// The organization.
    organization: Option<Organization>,
    /// The lot of each item, in the order of the items.
    lots: Vec<Lot>,
    /// What was moved for each item, in the order of the items.
    transfers: Vec<Transfer>,
    /// Whether this had been carried out before, under the same key.
    replayed: bool,
    /// Why nothing came in. Empty when it did.
    user_errors: Vec<UserError>,
}

/// The part of the root that brings in opening balances.
#[derive(Default)]
pub struct ImportMutation;

#[Object]
impl ImportMutation {
    /// Brings in what an organization had elsewhere: a lot for each item, all of them or none. For the operator.
    async fn import_balances(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to bring in.")] input: ImportBalancesInput,
    ) -> Option<Result<ImportBalancesPayload, ApiError>> {
        let dry_run = input.dry_run;
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let items = input.items.into_iter().enumerate().map(|(index, item)| item.read(index));
            let import = Import {
                items: items.collect::<Result<_, Error>>()?,
                reason: input.reason,
                key: input.idempotency_key.0,
                dry_run,
            };
            let bring_in = |_| async {
                let organization = authorized(request, &input.organization_id, Action::CorrectLedger).await;
                let organization = organization.map_err(|error| error.at("organizationId"))?;
                request.snapshots.close().await;
                let outcome = pools::import(&request.services.ledger, &organization, import.clone()).await?;
                Ok::<_, Error>(outcome.map(|receipts| (organization.into_value(), receipts)))
            };
            request.as_things_stand(bring_in).await
        });
        Some(match outcome.await {
            Ok(Ok((organization, receipts))) => {
                let replayed = receipts.iter().all(|receipt| receipt.replayed);
                let lots =
                    receipts.iter().flat_map(|receipt| receipt.lots.iter().cloned().map(Lot)).collect();
                let transfers = receipts.into_iter().flat_map(|receipt| receipt.transfers);
                Ok(ImportBalancesPayload {
                    organization: Some(Organization(organization)),
                    lots,
                    transfers: transfers.map(|row| Transfer::of(row, dry_run && !replayed)).collect(),
                    replayed,
                    user_errors: Vec::new(),
                })
            }
            Ok(Err(misfit)) => {
                let item = misfit.item.to_string();
                // What is about the request as a whole is about no item.
                let within = |path: Vec<String>| match path.first().map(String::as_str) {
                    Some("idempotencyKey") | None => path,
                    Some(_) => ["items".to_owned(), item].into_iter().chain(path).collect(),
                };
                user_error(misfit.error).map(|error| refused(error.moved(within)))
            }
            Err(error) => user_error(error).map(refused),
        })
    }
}

fn refused(error: UserError) -> ImportBalancesPayload {
    ImportBalancesPayload { user_errors: vec![error], ..Default::default() }
}

impl ImportItemInput {
    fn read(self, index: usize) -> Result<ImportItem, Error> {
        let field = |name: &str| format!("items.{index}.{name}");
        let pool = decode(&self.pool_id, "pool");
        let department = self.department_id.as_ref().map(|id| decode(id, "department")).transpose();
        Ok(ImportItem {
            pool: pool.map_err(|error: Error| error.at(field("poolId")))?,
            new: NewCredits {
                department: department.map_err(|error: Error| error.at(field("departmentId")))?,
                credits: self.credits.0,
                class: self.class.into(),
                priority: self.priority,
                expires_at: self.expires_at.map(|at| at.0),
                cost: self.cost.map(|cost| cost.read(&field("cost"))).transpose()?,
            },
            reference: self.reference,
        })
    }
}
