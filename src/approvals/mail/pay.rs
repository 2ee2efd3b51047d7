//! The mail with a link to pay by, or to have asked for anew what was not paid in time.

use bursar_domain::approval::RequestState;
use bursar_domain::approval::round::LINK_SECONDS;
use bursar_domain::id::UserId;
use bursar_domain::organization::PaymentTerms;
use bursar_domain::{Money, Timestamp};
use bursar_entity::{approval_request, purchase};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::Value;

use super::Background;
use crate::approvals::link::ApprovalLink;
use crate::approvals::links::pay_link;
use crate::clock::Clock;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::outbox::{self, Mail, Matter, Template, ToPay, ToPayFacts, UserOrAddress};
use crate::words::Words;

impl Background {
    /// Mails somebody a link to pay by. Once the price has run out it leads to where that is asked for anew.
    pub(super) async fn send_to_pay(
        &self,
        txn: &Txn,
        tenant: Tenant,
        clock: &Clock,
        (request, to): (&approval_request::Model, UserId),
        why: ToPay,
    ) -> Result<()> {
        if !self.people.roles.contains_key(&to) {
            return Ok(());
        }
        let (total, pay_by) = self.price(txn, tenant, request).await?;
        let until = if why == ToPay::Lapsed { self.now.plus_seconds(LINK_SECONDS) } else { pay_by };
        let row = pay_link(txn, tenant, clock, (request, to), until).await?;
        let total = Words::of(self.policy.language).money(total);
        let facts = ToPayFacts {
            matter: Matter { total, ..self.matter(None) },
            why,
            not_on_invoice: self.organization.payment_terms == PaymentTerms::Invoice,
            pay_by,
            expires_at: row.expires_at,
        };
        let mail = Mail {
            to: UserOrAddress::User(to),
            template: Template::PurchaseToPay,
            facts: Value::from(facts),
            link: Some(ApprovalLink::unproven(&row)),
        };
        outbox::append(txn, tenant, clock, mail).await?;
        Ok(())
    }

    /// What is to be paid, and until when that holds: what was agreed to, or the price of the day when nobody has to agree
    /// any more.
    async fn price(
        &self,
        txn: &Txn,
        tenant: Tenant,
        request: &approval_request::Model,
    ) -> Result<(Money, Timestamp)> {
        if request.state != RequestState::Withdrawn {
            let agreed = Money { minor: self.row.total, currency: self.row.currency };
            return Ok((agreed, self.row.valid_until));
        }
        let bought = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(request.purchase_id));
        let bought = bought.one(txn).await?;
        let bought = bought.ok_or_else(|| Error::internal("a request for approval of nothing"))?;
        Ok((Money { minor: bought.total, currency: bought.currency }, bought.valid_until))
    }
}
