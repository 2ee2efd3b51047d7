//! Identifiers: 128-bit UUIDs, one type for each kind of thing, so that a pool's id cannot be taken
//! for a department's. The shell makes them (version 7, from its clock and randomness).

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal),+ $(,)?) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(u128);

            impl Id for $name {
                const PREFIX: &'static str = $prefix;
                fn from_u128(value: u128) -> Self {
                    Self(value)
                }
                fn as_u128(self) -> u128 {
                    self.0
                }
            }

            impl std::fmt::Debug for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    write!(f, "{}:{:032x}", $prefix, self.0)
                }
            }

            column!(
                $name,
                stringify!($name),
                sea_orm::prelude::Uuid,
                |uuid| Some($name(uuid.as_u128())),
                |id| sea_orm::prelude::Uuid::from_u128(id.0)
            );
        )+
    };
}

/// What all identifiers have in common.
pub trait Id: Copy + Ord + std::fmt::Debug {
    /// The type prefix of the identifier as clients see it.
    const PREFIX: &'static str;
    /// The identifier with these 128 bits.
    fn from_u128(value: u128) -> Self;
    /// The 128 bits.
    fn as_u128(self) -> u128;
}

ids! {
    /// An organization: the tenant.
    OrganizationId = "org",
    /// A person, in whatever organizations.
    UserId = "user",
    /// A person's place in one organization.
    MembershipId = "member",
    /// An invitation to join an organization.
    InvitationId = "invitation",
    /// A department of an organization.
    DepartmentId = "dept",
    /// A pool of credits.
    PoolId = "pool",
    /// An account of a pool that holds credits. A department's is its allocation.
    AccountId = "alloc",
    /// Credits that came in together.
    LotId = "lot",
    /// A service that costs credits.
    ServiceId = "svc",
    /// One version of a service's price.
    ServiceVersionId = "svcver",
    /// A package of credits for sale.
    PackageId = "pkg",
    /// One version of a package.
    PackageVersionId = "pkgver",
    /// A purchase of a package.
    PurchaseId = "purchase",
    /// One attempt at paying a purchase.
    PaymentId = "payment",
    /// A price that is pinned for an organization, or asked for.
    QuoteId = "quote",
    /// A price agreed on with an organization.
    ContractPriceId = "contract",
    /// One version of the volume tiers in a currency.
    PriceListId = "pricelist",
    /// Money that arrived and could not be booked.
    ParkedPaymentId = "parked",
    /// A payment that was returned, or is disputed.
    ReversalId = "reversal",
    /// An invoice.
    InvoiceId = "invoice",
    /// A payment of an invoice, as the vendor has recorded it.
    InvoicePaymentId = "receipt",
    /// A numbered document.
    DocumentId = "document",
    /// A way of paying that is kept.
    PaymentMethodId = "method",
    /// One version of an organization's approval policy.
    PolicyId = "policy",
    /// A request for people's consent to a purchase.
    ApprovalId = "approval",
    /// Somebody's decision about a request.
    DecisionId = "decision",
    /// That somebody stands in for somebody.
    DelegationId = "delegation",
    /// A link to the page of a request.
    ApprovalLinkId = "approvallink",
    /// A charge.
    ChargeId = "charge",
    /// Credits that are held for charges to come.
    HoldId = "hold",
    /// A spending cap.
    CapId = "cap",
    /// A temporary raise of a spending cap.
    RaiseId = "raise",
    /// Somebody's request for credits.
    CreditRequestId = "request",
    /// A key of the API.
    ApiKeyId = "key",
    /// What a person who has signed in has until they sign out.
    SessionId = "session",
    /// A link to sign in with.
    SignInLinkId = "signin",
    /// A piece of timed work.
    TaskId = "task",
    /// A journal entry: an accepted ledger command that is not a charge.
    EntryId = "entry",
    /// Something that leaves Bursar for somebody.
    DeliveryId = "delivery",
    /// One entry of the audit log.
    AuditEventId = "audit",
}
