//! Things by their keys, for a gateway that composes this server with others (Apollo Federation 2): what
//! another subgraph refers to by id is found here, as by `node(id)`.

use async_graphql::{Context, ID, Object};

use super::allocation::Allocation;
use super::api_key::ApiKey;
use super::approval_policy::ApprovalPolicy;
use super::approval_request::ApprovalRequest;
use super::audit::AuditEvent;
use super::catalog::{Package, Service};
use super::charge::Charge;
use super::credit_request::CreditRequest;
use super::delivery::Delivery;
use super::department::Department;
use super::errors::ApiError;
use super::hold::Hold;
use super::invitation::Invitation;
use super::invoice::Invoice;
use super::lot::Lot;
use super::member::{Member, User};
use super::node::found;
use super::numbered_document::Document;
use super::organization::Organization;
use super::parked_payment::ParkedPayment;
use super::payment::Payment;
use super::pool::Pool;
use super::price::ContractPrice;
use super::purchase::Purchase;
use super::quote::Quote;
use super::refund::Refund;
use super::reversal::Reversal;
use super::signed_in;
use super::spending_cap::SpendingCap;
use super::transfer::Transfer;

/// The part of the root that finds entities.
#[derive(Default)]
pub struct EntityQuery;

#[Object]
impl EntityQuery {
    /// An organization. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_organization_by_id(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> Option<Result<Organization, ApiError>> {
        let find = Box::pin(async { found(Organization::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A person. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_user_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<User, ApiError>> {
        let find = Box::pin(async { found(User::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A person's place in an organization. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_member_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Member, ApiError>> {
        let find = Box::pin(async { found(Member::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// An invitation to join an organization. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_invitation_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Invitation, ApiError>> {
        let find = Box::pin(async { found(Invitation::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A department. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_department_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Department, ApiError>> {
        let find = Box::pin(async { found(Department::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A pool. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_pool_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Pool, ApiError>> {
        let find = Box::pin(async { found(Pool::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A department's credits in a pool. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_allocation_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Allocation, ApiError>> {
        let find = Box::pin(async { found(Allocation::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// Credits that came in together. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_lot_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Lot, ApiError>> {
        let find = Box::pin(async { found(Lot::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A service. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_service_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Service, ApiError>> {
        let find = Box::pin(async { found(Service::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A package. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_package_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Package, ApiError>> {
        let find = Box::pin(async { found(Package::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A purchase. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_purchase_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Purchase, ApiError>> {
        let find = Box::pin(async { found(Purchase::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A payment. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_payment_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Payment, ApiError>> {
        let find = Box::pin(async { found(Payment::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// An invoice. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_invoice_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Invoice, ApiError>> {
        let find = Box::pin(async { found(Invoice::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A numbered document. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_document_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Document, ApiError>> {
        let find = Box::pin(async { found(Document::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// Money that could not be booked. Null when there is none, and for all but the vendor's staff.
    #[graphql(entity)]
    async fn find_parked_payment_by_id(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> Option<Result<ParkedPayment, ApiError>> {
        let find = Box::pin(async { found(ParkedPayment::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A payment that was returned or is disputed. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_reversal_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Reversal, ApiError>> {
        let find = Box::pin(async { found(Reversal::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A charge. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_charge_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Charge, ApiError>> {
        let find = Box::pin(async { found(Charge::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// Credits that are held for charges to come. Null when there is no such hold, or none that the caller may
    /// see.
    #[graphql(entity)]
    async fn find_hold_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Hold, ApiError>> {
        let find = Box::pin(async { found(Hold::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// What has been given back of a charge. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_refund_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Refund, ApiError>> {
        let find = Box::pin(async { found(Refund::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A movement of credits. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_transfer_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Transfer, ApiError>> {
        let find = Box::pin(async { found(Transfer::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A key of the API. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_api_key_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<ApiKey, ApiError>> {
        let find = Box::pin(async { found(ApiKey::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// An entry of the audit log. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_audit_event_by_id(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> Option<Result<AuditEvent, ApiError>> {
        let find = Box::pin(async { found(AuditEvent::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// Something that has left or is to leave Bursar. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_delivery_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Delivery, ApiError>> {
        let find = Box::pin(async { found(Delivery::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A spending cap. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_spending_cap_by_id(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> Option<Result<SpendingCap, ApiError>> {
        let find = Box::pin(async { found(SpendingCap::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A request for credits. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_credit_request_by_id(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> Option<Result<CreditRequest, ApiError>> {
        let find = Box::pin(async { found(CreditRequest::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A price that the vendor was asked for. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_quote_by_id(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Quote, ApiError>> {
        let find = Box::pin(async { found(Quote::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A price agreed on with an organization. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_contract_price_by_id(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> Option<Result<ContractPrice, ApiError>> {
        let find = Box::pin(async { found(ContractPrice::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A version of an approval policy. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_approval_policy_by_id(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> Option<Result<ApprovalPolicy, ApiError>> {
        let find = Box::pin(async { found(ApprovalPolicy::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }

    /// A request for people's consent to a purchase. Null when there is none, or none that the caller may see.
    #[graphql(entity)]
    async fn find_approval_request_by_id(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> Option<Result<ApprovalRequest, ApiError>> {
        let find = Box::pin(async { found(ApprovalRequest::find(signed_in(ctx)?, &id).await) });
        find.await.transpose()
    }
}
