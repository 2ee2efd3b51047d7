//! Saying what documents say, on which terms an organization buys, and what was paid of invoices.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use bursar_domain::permission::Action;
use bursar_entity::organization as organizations;
use rust_decimal::prelude::ToPrimitive;

use super::billing::BillingProfile;
use super::errors::{ApiError, UserError, user_error};
use super::invoice::{self, Invoice};
use super::money::MoneyInput;
use super::organization::{self, Organization, PaymentTerms};
use super::purchase::Purchase;
use super::scalars::{DateTime, Decimal, IdempotencyKey};
use super::{Request, signed_in};
use crate::auth::Authorized;
use crate::billing::{self, Profile, TaxLine, Terms};
use crate::error::Error;
use crate::purchases::{self, InvoicePaid};

/// A tax that prices have in them.
#[derive(InputObject)]
pub struct TaxLineInput {
    /// What it is called.
    label: String,
    /// Its rate, in percent, with at most two decimals.
    percent: Decimal,
}

/// What documents are to say of an organization, instead of what they said before.
#[derive(InputObject)]
pub struct SetBillingProfileInput {
    /// Which organization.
    organization_id: ID,
    /// The name of the company.
    name: String,
    /// The postal address, in lines.
    address: String,
    /// The country, as ISO 3166-1 alpha-2 names it: `DE`, say.
    country: Option<String>,
    /// The number that tax offices know it by.
    tax_id: Option<String>,
    /// What is to be seen on each document: a cost centre, say.
    reference: Option<String>,
    /// What documents say of tax. Prices have it in them. At most 10; left out: none.
    tax_lines: Option<Vec<TaxLineInput>>,
}

/// The terms that an organization is to buy on. What is left out stays as it was.
#[derive(InputObject)]
pub struct SetPaymentTermsInput {
    /// Which organization.
    organization_id: ID,
    /// How it pays.
    terms: PaymentTerms,
    /// What it may owe on invoice. Left out: as before; null: as much as it likes. Fixes the currency of an organization
    /// that has none.
    credit_limit: MaybeUndefined<MoneyInput>,
    /// In how many days invoices are to be paid, at most 365: by the end of the day that comes so many days after the one
    /// on which they are issued, in the organization's time zone. 0: on receipt, by the end of that day itself. Left out:
    /// as before, or 30.
    due_days: Option<i32>,
}

/// What was paid of an invoice.
#[derive(InputObject)]
pub struct RecordInvoicePaymentInput {
    /// Of which invoice.
    invoice_id: ID,
    /// How much: all that is due, or a part of it. What came beyond that belongs to another invoice,
    /// or goes back to the buyer.
    amount: MoneyInput,
    /// When the money arrived: not in the future, and not before the day on which the invoice was issued, in the
    /// organization's time zone. Left out: now.
    received_at: Option<DateTime>,
    /// The bank's own name of it.
    reference: Option<String>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// What documents say now.
#[derive(SimpleObject)]
pub struct SetBillingProfilePayload {
    /// What they say.
    billing_profile: Option<BillingProfile>,
    /// Why it was not set. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The terms that were set.
#[derive(SimpleObject)]
pub struct SetPaymentTermsPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why they were not set. Empty when they were.
    user_errors: Vec<UserError>,
}

/// A payment of an invoice that was recorded.
#[derive(SimpleObject, Default)]
pub struct RecordInvoicePaymentPayload {
    /// The invoice.
    invoice: Option<Invoice>,
    /// The purchase.
    purchase: Option<Purchase>,
    /// Whether it had been recorded before, under the same key.
    replayed: bool,
    /// Why it was not recorded. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that bills.
#[derive(Default)]
pub struct InvoiceMutation;

#[Object]
impl InvoiceMutation {
    /// Says what receipts, invoices and credit notes from now on say of an organization. Those that have been issued stay
    /// as they are.
    async fn set_billing_profile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What they are to say.")] input: SetBillingProfileInput,
    ) -> Option<Result<SetBillingProfilePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let lines = input.tax_lines.unwrap_or_default().into_iter().map(tax_line);
            let profile = Profile {
                name: input.name,
                address: input.address,
                country: input.country,
                tax_id: input.tax_id,
                reference: input.reference,
                tax_lines: lines.collect::<Result<_, _>>()?,
            };
            let change = |_| async {
                let organization = whole(request, &input.organization_id, Action::ManageBilling).await?;
                billing::set_billing_profile(&request.services.context, &organization, profile.clone()).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(row) => Ok(SetBillingProfilePayload {
                billing_profile: Some(BillingProfile(row)),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| SetBillingProfilePayload { billing_profile: None, user_errors: vec![error] }),
        })
    }

    /// Says whether an organization may buy on invoice, how much it may owe, and in how many days it has to pay. For the
    /// vendor's staff.
    async fn set_payment_terms(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The terms.")] input: SetPaymentTermsInput,
    ) -> Option<Result<SetPaymentTermsPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let organization = whole(request, &input.organization_id, Action::SetPrices).await?;
            let terms = Terms {
                terms: input.terms.into(),
                credit_limit: match input.credit_limit {
                    MaybeUndefined::Undefined => None,
                    MaybeUndefined::Null => Some(None),
                    MaybeUndefined::Value(limit) => Some(Some(limit.read("creditLimit")?)),
                },
                due_days: input.due_days.map(i64::from),
            };
            billing::set_payment_terms(&request.services.context, &organization, terms).await
        });
        Some(match outcome.await {
            Ok(row) => {
                Ok(SetPaymentTermsPayload { organization: Some(Organization(row)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| SetPaymentTermsPayload { organization: None, user_errors: vec![error] }),
        })
    }

    /// Records that money for an invoice has arrived, all that is due or a part of it, and issues its receipt. With the rest
    /// the purchase is complete. For the vendor's staff.
    async fn record_invoice_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What was paid.")] input: RecordInvoicePaymentInput,
    ) -> Option<Result<RecordInvoicePaymentPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let invoice = invoice::authorized(request, &input.invoice_id, Action::SettlePayments).await;
            let invoice = invoice.map_err(|error| error.at("invoiceId"))?;
            let paid = InvoicePaid {
                amount: input.amount.read("amount")?,
                received_at: input.received_at.map(|at| at.0),
                reference: input.reference,
                key: input.idempotency_key.0,
                dry_run: input.dry_run,
            };
            request.snapshots.close().await;
            purchases::record_invoice_payment(&request.services.selling, &invoice, paid).await
        });
        Some(match outcome.await {
            Ok(recorded) => Ok(RecordInvoicePaymentPayload {
                invoice: Some(Invoice::with_payments(recorded.invoice, recorded.payments)),
                purchase: Some(Purchase::rehearsed(recorded.purchase, recorded.rehearsed)),
                replayed: recorded.replayed,
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| RecordInvoicePaymentPayload { user_errors: vec![error], ..Default::default() }),
        })
    }
}

/// The organization for a change; the snapshot is closed, since what comes next is a write.
async fn whole(
    request: &Request,
    id: &str,
    action: Action,
) -> Result<Authorized<organizations::Model>, Error> {
    let organization = organization::authorized(request, id, action).await;
    let organization = organization.map_err(|error| error.at("organizationId"))?;
    request.snapshots.close().await;
    Ok(organization)
}

fn tax_line(line: TaxLineInput) -> Result<TaxLine, Error> {
    let TaxLineInput { label, percent: Decimal(percent) } = line;
    let hundredths = percent.checked_mul(rust_decimal::Decimal::ONE_HUNDRED);
    let hundredths = hundredths.filter(|hundredths| hundredths.fract().is_zero());
    let hundredths = hundredths.and_then(|hundredths| hundredths.to_i64());
    let hundredths = hundredths.ok_or_else(|| {
        Error::invalid("taxLines.percent", "must be a percentage with at most two decimals")
    })?;
    Ok(TaxLine { label, hundredths })
}
