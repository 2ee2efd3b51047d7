//! Things by their global ids.

use async_graphql::{Context, ID, Interface, Object};
use bursar_domain::id::{
    AccountId, ApiKeyId, ApprovalId, AuditEventId, CapId, ChargeId, ContractPriceId, CreditRequestId,
    DeliveryId, DepartmentId, DocumentId, HoldId, Id, InvitationId, InvoiceId, LotId, MembershipId,
    OrganizationId, PackageId, ParkedPaymentId, PaymentId, PolicyId, PoolId, PurchaseId, QuoteId, ReversalId,
    ServiceId, UserId,
};
use bursar_domain::permission::Action;

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
use super::spending_cap::SpendingCap;
use super::transfer::Transfer;
use super::{Request, request};
use crate::auth::{Authorized, OfPool};
use crate::error::Error;
use crate::global_id;

/// The most ids of one `nodes`.
const MAX_NODES: usize = 100;

/// A thing with a global id.
// One is made for each id that is asked for, and at once put into the answer: no list of them is kept.
#[allow(clippy::large_enum_variant)]
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "The global id."))]
pub enum Node {
    /// An organization.
    Organization(Organization),
    /// A person.
    User(User),
    /// A person's place in an organization.
    Member(Member),
    /// An invitation to join an organization.
    Invitation(Invitation),
    /// A department.
    Department(Department),
    /// A pool.
    Pool(Pool),
    /// A department's credits in a pool.
    Allocation(Allocation),
    /// Credits that came in together.
    Lot(Lot),
    /// A service.
    Service(Service),
    /// A package.
    Package(Package),
    /// A purchase.
    Purchase(Purchase),
    /// A payment.
    Payment(Payment),
    /// An invoice.
    Invoice(Invoice),
    /// A numbered document.
    Document(Document),
    /// Money that arrived and could not be booked.
    ParkedPayment(ParkedPayment),
    /// A payment that was returned or is disputed.
    Reversal(Reversal),
    /// A charge.
    Charge(Charge),
    /// Credits that are held for charges to come.
    Hold(Hold),
    /// What has been given back of a charge.
    Refund(Refund),
    /// A spending cap.
    SpendingCap(SpendingCap),
    /// A request for credits.
    CreditRequest(CreditRequest),
    /// A movement of credits.
    Transfer(Transfer),
    /// A key of the API.
    ApiKey(ApiKey),
    /// An entry of the audit log.
    AuditEvent(AuditEvent),
    /// Something that has left or is to leave Bursar.
    Delivery(Delivery),
    /// A price that the vendor was asked for.
    Quote(Quote),
    /// What a credit costs an organization, as agreed on with it.
    ContractPrice(ContractPrice),
    /// A version of an approval policy.
    ApprovalPolicy(ApprovalPolicy),
    /// A request for people's consent to a purchase.
    ApprovalRequest(ApprovalRequest),
}

/// The part of the root that finds things by id.
#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The thing with a global id. What is not there and what the caller may not see are both null.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global id.")] id: ID,
    ) -> Option<Result<Node, ApiError>> {
        match request(ctx) {
            Ok(request) => find(request, &id).await.transpose(),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The things with some global ids, in the order of the ids, null for those that are not found.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global ids, at most 100.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>, ApiError> {
        if ids.len() > MAX_NODES {
            return Err(ApiError::bad_input(format!("ids: at most {MAX_NODES} at once.")));
        }
        let request = request(ctx)?;
        let mut nodes = Vec::with_capacity(ids.len());
        for id in &ids {
            nodes.push(find(request, id).await?);
        }
        Ok(nodes)
    }
}

/// What answers "not found" as nothing.
pub fn found<T>(outcome: Result<T, Error>) -> Result<Option<T>, ApiError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn find(request: &Request, id: &str) -> Result<Option<Node>, ApiError> {
    request.caller()?;
    let Some(prefix) = global_id::prefix(id) else { return Ok(None) };
    let outcome = match prefix.as_str() {
        OrganizationId::PREFIX => Organization::find(request, id).await.map(Node::from),
        UserId::PREFIX => User::find(request, id).await.map(Node::from),
        MembershipId::PREFIX => Member::find(request, id).await.map(Node::from),
        InvitationId::PREFIX => Invitation::find(request, id).await.map(Node::from),
        DepartmentId::PREFIX => Department::find(request, id).await.map(Node::from),
        PoolId::PREFIX => Pool::find(request, id).await.map(Node::from),
        AccountId::PREFIX => Allocation::find(request, id).await.map(Node::from),
        LotId::PREFIX => Lot::find(request, id).await.map(Node::from),
        ServiceId::PREFIX => Service::find(request, id).await.map(Node::from),
        PackageId::PREFIX => Package::find(request, id).await.map(Node::from),
        PurchaseId::PREFIX => Purchase::find(request, id).await.map(Node::from),
        ParkedPaymentId::PREFIX => ParkedPayment::find(request, id).await.map(Node::from),
        PaymentId::PREFIX => Payment::find(request, id).await.map(Node::from),
        InvoiceId::PREFIX => Invoice::find(request, id).await.map(Node::from),
        DocumentId::PREFIX => Document::find(request, id).await.map(Node::from),
        ReversalId::PREFIX => Reversal::find(request, id).await.map(Node::from),
        ChargeId::PREFIX => Charge::find(request, id).await.map(Node::from),
        HoldId::PREFIX => Hold::find(request, id).await.map(Node::from),
        global_id::REFUND_PREFIX => Refund::find(request, id).await.map(Node::from),
        CapId::PREFIX => SpendingCap::find(request, id).await.map(Node::from),
        CreditRequestId::PREFIX => CreditRequest::find(request, id).await.map(Node::from),
        ApiKeyId::PREFIX => ApiKey::find(request, id).await.map(Node::from),
        AuditEventId::PREFIX => AuditEvent::find(request, id).await.map(Node::from),
        DeliveryId::PREFIX => Delivery::find(request, id).await.map(Node::from),
        QuoteId::PREFIX => Quote::find(request, id).await.map(Node::from),
        ContractPriceId::PREFIX => ContractPrice::find(request, id).await.map(Node::from),
        PolicyId::PREFIX => ApprovalPolicy::find(request, id).await.map(Node::from),
        ApprovalId::PREFIX => ApprovalRequest::find(request, id).await.map(Node::from),
        global_id::TRANSFER_PREFIX => Transfer::find(request, id).await.map(Node::from),
        _ => return Ok(None),
    };
    found(outcome)
}

/// The id of a given type that a global id names; what is malformed is not found.
pub fn decode<I: Id>(id: &str, what: &'static str) -> Result<I, Error> {
    global_id::decode(id).ok_or(Error::not_found(what))
}

/// What belongs to a pool and its purchases, by its global id, for an action on it.
pub async fn authorized<R: OfPool + Send + Sync>(
    request: &Request,
    id: &str,
    action: Action,
) -> Result<Authorized<R>, Error> {
    request.caller()?.of_pool(&request.snapshots, decode(id, R::WHAT)?, action).await
}
