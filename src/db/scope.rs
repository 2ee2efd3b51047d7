//! Whose rows are seen: the tenant scope in the types, and the settings that row-level security reads.
//!
//! This is the only file that may say `find()` on a tenant's entity: every query of a tenant's rows
//! begins at [`Tenant::find`], which names the organization.

use bursar_domain::id::{Id, OrganizationId, SessionId, UserId};
use bursar_entity::{
    account, api_key, approval_decision, approval_delegation, approval_escalation, approval_link,
    approval_policy, approval_reason, approval_request, approval_round, audit_event, audit_head, auto_top_up,
    billing_profile, brand, charge, claimed_reference, contract_price, credit_request, delivery, department,
    department_member, departure, document, document_series, guarantee_use, hold, identity_provider,
    identity_provider_domain, invitation, invoice, invoice_payment, journal_entry, lot, lot_position,
    membership, organization, organization_price, parked_payment, payment, payment_method, personal_value,
    pool, pool_administrator, pool_head, purchase, quote, quote_answer, reversal, session, sign_in_link,
    spending_cap, spending_cap_period, spending_cap_raise, timed_task, transfer, user, user_identity,
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Select};
use uuid::Uuid;

/// An organization that somebody has vouched for: the authorization of a caller, or a part of Bursar
/// that acts for itself. Whoever has one may touch the organization's rows, and no other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tenant(OrganizationId);

impl Tenant {
    /// Vouches for an organization. Called where permission has been checked, or where no caller is
    /// involved; each call has a comment that says which.
    pub const fn vouched(organization: OrganizationId) -> Tenant {
        Tenant(organization)
    }

    /// The vendor itself, whose rows are about no organization: the nil id, which no organization has.
    pub fn vendor() -> Tenant {
        Tenant(OrganizationId::from_u128(0))
    }

    /// Whether it is the vendor.
    pub fn is_vendor(self) -> bool {
        self == Tenant::vendor()
    }

    /// The organization.
    pub const fn id(self) -> OrganizationId {
        self.0
    }

    /// The organization's rows of a table.
    pub fn find<E: TenantEntity>(self) -> Select<E> {
        E::find().filter(E::organization_column().eq(self.0))
    }
}

impl From<Tenant> for Uuid {
    fn from(tenant: Tenant) -> Uuid {
        Uuid::from_u128(tenant.0.as_u128())
    }
}

/// A table whose rows belong to organizations.
pub trait TenantEntity: EntityTrait {
    /// The column that says to which.
    fn organization_column() -> Self::Column;
}

/// Hands the names of all tables whose rows belong to organizations, but `organization` itself, to another macro. The
/// heads of the audit log and of the pools come first: who reads the tables in this order has the ends of the chains
/// before what they are the ends of.
macro_rules! with_tenant_tables {
    ($receiver:ident) => {
        $receiver!(
            audit_head,
            pool_head,
            account,
            api_key,
            approval_decision,
            approval_delegation,
            approval_escalation,
            approval_link,
            approval_policy,
            approval_reason,
            approval_request,
            approval_round,
            audit_event,
            auto_top_up,
            billing_profile,
            brand,
            charge,
            claimed_reference,
            contract_price,
            credit_request,
            delivery,
            department,
            department_member,
            departure,
            document,
            document_series,
            guarantee_use,
            hold,
            identity_provider,
            identity_provider_domain,
            invitation,
            invoice,
            invoice_payment,
            journal_entry,
            lot,
            lot_position,
            membership,
            organization_price,
            parked_payment,
            payment,
            payment_method,
            personal_value,
            pool,
            pool_administrator,
            purchase,
            quote,
            quote_answer,
            reversal,
            spending_cap,
            spending_cap_period,
            spending_cap_raise,
            timed_task,
            transfer,
            user_identity,
        );
    };
}

pub(crate) use with_tenant_tables;

macro_rules! tenant_entities {
    ($($table:ident),+ $(,)?) => {
        /// The names of all tables whose rows belong to organizations, but `organization` itself.
        pub const TENANT_TABLES: &[&str] = &[$(stringify!($table)),+];

        $(
            impl TenantEntity for $table::Entity {
                fn organization_column() -> $table::Column {
                    $table::Column::OrganizationId
                }
            }
        )+
    };
}

with_tenant_tables!(tenant_entities);

impl TenantEntity for organization::Entity {
    fn organization_column() -> organization::Column {
        organization::Column::Id
    }
}

/// What a person has in whatever organizations; the way from a caller to the tenants.
pub fn find_own<E: OwnEntity>(person: UserId) -> Select<E> {
    E::find().filter(E::user_column().eq(person))
}

/// A table with rows that a person may read because they are about them.
pub trait OwnEntity: EntityTrait {
    /// The column that names the person.
    fn user_column() -> Self::Column;
}

macro_rules! own_entities {
    ($($table:ident),+ $(,)?) => {
        $(
            impl OwnEntity for $table::Entity {
                fn user_column() -> $table::Column {
                    $table::Column::UserId
                }
            }
        )+
    };
}

own_entities!(department_member, membership, pool_administrator, session, sign_in_link);

/// All people that the scope of the transaction shows.
pub fn find_people() -> Select<user::Entity> {
    user::Entity::find()
}

/// The API key with a digest, whose it may be.
pub fn find_api_key(hash: &[u8; 32]) -> Select<api_key::Entity> {
    api_key::Entity::find().filter(api_key::Column::Hash.eq(hash.to_vec()))
}

/// The organization with a short name, as far as the scope of the transaction shows it.
pub fn find_slug(slug: &str) -> Select<organization::Entity> {
    organization::Entity::find().filter(organization::Column::Slug.eq(slug))
}

/// Whose a domain is, as far as the scope of the transaction shows it.
pub fn find_domain(domain: &str) -> Select<identity_provider_domain::Entity> {
    identity_provider_domain::Entity::find().filter(identity_provider_domain::Column::Domain.eq(domain))
}

/// Some sessions, whoever's they are, as far as the scope of the transaction shows them.
pub fn find_sessions(ids: Vec<SessionId>) -> Select<session::Entity> {
    session::Entity::find().filter(session::Column::Id.is_in(ids))
}

/// Some organizations, as far as the scope of the transaction shows them.
pub fn find_organizations(ids: Vec<OrganizationId>) -> Select<organization::Entity> {
    organization::Entity::find().filter(organization::Column::Id.is_in(ids))
}

/// Rows of a table across organizations. Only for those who see all of them: see [`Scope::Operator`].
pub fn find_across<E: TenantEntity>() -> Select<E> {
    E::find()
}

/// Whose rows a transaction sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One organization's, and only those can be written.
    Tenant(Tenant),
    /// What a person has in whatever organizations: memberships and grants. Read only.
    Person(UserId),
    /// The person with an address. Read only.
    Email(String),
    /// The identity providers with a name, of whatever organizations. Read only.
    Issuer(String),
    /// Which organization has a domain. Read only.
    Domain(String),
    /// The organization with a short name. Read only.
    Slug(String),
    /// A person who signs in or out: the person, their memberships, and their links and sessions, which can be
    /// written. What is recorded of it is written by turning to the organizations (see `Txn::turn_to`).
    SignIn(UserId),
    /// Everybody's, for the vendor's staff. Read only.
    Operator,
    /// An organization's, and the person with an address, to add that person to it.
    TenantAndEmail(Tenant, String),
    /// An organization's, and what a person has in whatever organizations. The person's own row, links and sessions
    /// can be written.
    TenantAndPerson(Tenant, UserId),
    /// The API key with a digest, and the organization that it acts in. Read only.
    ApiKey([u8; 32]),
    /// Everybody's timed work, for whoever does it.
    Scheduler,
    /// Everybody's deliveries, for whoever delivers them. They can be read and changed, not made.
    Courier,
    /// The counts of what must not be tried too often, and nothing else.
    Attempts,
    /// The ledger's rows of organizations whose commands share a transaction, and only those can be written.
    Tenants(Vec<Tenant>),
}

impl Scope {
    /// The organizations of a batch.
    pub fn of_batch(tenants: Vec<Tenant>) -> Scope {
        match tenants.as_slice() {
            [tenant] => Scope::Tenant(*tenant),
            _ => Scope::Tenants(tenants),
        }
    }

    /// The statements that put the scope on a PostgreSQL transaction.
    pub(super) fn settings(&self) -> String {
        let organization =
            |tenant: &Tenant| format!("SET LOCAL app.organization_id = '{}';", Uuid::from(*tenant));
        let person =
            |user: &UserId| format!("SET LOCAL app.user_id = '{}';", Uuid::from_u128(user.as_u128()));
        let text = |name: &str, text: &str| format!("SET LOCAL app.{name} = '{}';", text.replace('\'', "''"));
        let email = |email: &str| text("user_email", email);
        match self {
            Scope::Tenant(tenant) => organization(tenant),
            Scope::Person(user) => person(user),
            Scope::SignIn(user) => person(user) + "SET LOCAL app.sign_in = 'on';",
            Scope::Email(address) => email(address),
            Scope::Issuer(issuer) => text("issuer", issuer),
            Scope::Domain(domain) => text("domain", domain),
            Scope::Slug(slug) => text("slug", slug),
            Scope::ApiKey(hash) => {
                format!("SET LOCAL app.key_hash = '{}';", data_encoding::HEXLOWER.encode(hash))
            }
            Scope::Operator => "SET LOCAL app.operator = 'on';".to_owned(),
            Scope::Scheduler => "SET LOCAL app.scheduler = 'on';".to_owned(),
            Scope::Courier => "SET LOCAL app.courier = 'on';".to_owned(),
            Scope::Attempts => "SET LOCAL app.attempts = 'on';".to_owned(),
            Scope::TenantAndEmail(tenant, address) => organization(tenant) + &email(address),
            Scope::TenantAndPerson(tenant, id) => {
                organization(tenant) + &person(id) + "SET LOCAL app.sign_in = 'on';"
            }
            Scope::Tenants(tenants) => {
                let ids: Vec<String> = tenants.iter().map(|tenant| Uuid::from(*tenant).to_string()).collect();
                format!("SET LOCAL app.batch = '{{{}}}';", ids.join(","))
            }
        }
    }
}

impl From<Tenant> for Scope {
    fn from(tenant: Tenant) -> Scope {
        Scope::Tenant(tenant)
    }
}
