//! The GraphQL layer: types that wrap entities, one file a room. It parses input, calls a room, and
//! shows what the room answers; it decides nothing.
//!
//! Every object of a tenant is made only after its row has been authorized (see `auth`); fields that
//! take more than seeing the object ask again.
//!
//! Bodies that load something are boxed: the executor moves the future of a field several times, and each
//! field of an object takes as much room as the largest one.

mod admission;
mod allocation;
mod answer;
mod api_key;
mod api_key_mutation;
mod approval_decision;
mod approval_delegation;
mod approval_mutation;
mod approval_policy;
mod approval_policy_input;
mod approval_policy_mutation;
mod approval_refused;
mod approval_request;
mod approval_sign_in;
mod audit;
mod auto_top_up;
mod auto_top_up_mutation;
mod balance;
mod batch_root;
mod billing;
mod brand;
mod catalog;
mod catalog_mutation;
mod charge;
mod charge_root;
mod connection;
mod corrections;
mod cost;
mod credit_request;
mod credit_request_mutation;
mod delivery;
mod department;
mod documents;
mod entity;
mod errors;
mod explanation;
mod export;
mod freeze;
mod hold;
mod hold_root;
mod imports;
mod inbox;
mod invitation;
mod invitation_mutation;
mod invoice;
mod invoice_mutation;
mod lengths;
mod life;
mod live;
mod loaders;
mod lot;
mod member;
mod money;
mod moves;
mod node;
mod numbered_document;
mod organization;
mod organization_root;
mod organization_sight;
mod parameters;
mod parked_payment;
mod payment;
mod period;
mod places;
mod plan;
mod pool;
mod pool_mutation;
mod price;
mod price_root;
mod purchase;
mod purchase_mutation;
mod purchase_refused;
mod quote;
mod quote_mutation;
mod refill;
mod refund;
mod refund_root;
mod refusal;
mod refused;
mod refused_callers;
mod render;
mod reversal;
mod reversal_mutation;
mod scalars;
mod scale;
mod scan;
mod server;
mod session;
mod sight;
mod sign_in;
mod single_sign_on;
mod socket;
mod spending_cap;
mod spending_cap_mutation;
mod stock;
mod streams;
mod subscription;
mod throttle;
mod transfer;
mod variables;
mod verification;
mod viewer;
mod views;

use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use async_graphql::{
    Context as Gql, MergedObject, ObjectType, SDLExportOptions, Schema, SchemaBuilder, ValidationMode,
};

use crate::auth::{Attempts, Caller, Callers, HeldSessions, Issuers, Keys, PoolDirectory};
use crate::config::Config;
use crate::context::Context;
use crate::db::Snapshots;
use crate::delivery::Courier;
use crate::error::Error;
use crate::ledger::Ledger;
use crate::ledger::verify::Verifications;
use crate::live::Hub;
use crate::purchases::Selling;
use crate::sign_in::{Client, LinkRequests};

pub use answer::{Answered, Outcome};
pub use parameters::{BadParameters, Parameters};
pub use places::Place;
pub use server::{Server, Session, Way};
pub use socket::{Conversation, Frame};
pub use streams::{Output, Streams};

/// What the resolvers work with; one for the whole server.
pub struct Services {
    /// Database and clock.
    pub context: Context,
    /// The ledger.
    pub ledger: Ledger,
    /// Who watches which pool.
    pub hub: Hub,
    /// What tokens and links are signed with.
    pub keys: Keys,
    /// Who calls often.
    pub callers: Callers,
    /// The identity providers of organizations.
    pub issuers: Issuers,
    /// Sessions that have streams here.
    pub sessions: HeldSessions,
    /// How often something was tried lately.
    pub attempts: Attempts,
    /// Who has asked for a link to sign in with.
    pub links: LinkRequests,
    /// Which organization a pool belongs to.
    pub directory: PoolDirectory,
    /// What the last verifications on this node have found.
    pub verifications: Verifications,
    /// Who delivers what is in the outbox.
    pub courier: Courier,
    /// What selling takes.
    pub selling: Selling,
    /// The settings.
    pub config: Config,
}

/// What belongs to one operation.
struct Request {
    services: Arc<Services>,
    /// Who has sent it; none: it is not sent, but carried out again for events of a stream.
    client: Option<Client>,
    caller: RwLock<Known>,
    snapshots: Snapshots,
    rows: loaders::RowLoader,
}

/// Who calls, as far as it is known.
struct Known {
    caller: Option<Caller>,
    /// Whether the caller was recalled from memory: then only what the ledger accepts counts, because it
    /// compares the revisions; any refusal has to be asked again of the database.
    recalled: bool,
}

/// How often an operation is tried whose caller's permissions change meanwhile.
const ATTEMPTS: u32 = 6;

impl Request {
    fn new(services: Arc<Services>, caller: Option<Caller>, recalled: bool) -> Request {
        let snapshots = Snapshots::new(services.context.db.clone());
        let rows = loaders::rows(snapshots.clone());
        let caller = RwLock::new(Known { caller, recalled });
        Request { services, client: None, caller, snapshots, rows }
    }

    /// The same, sent by somebody.
    fn sent_by(self, client: Client) -> Request {
        Request { client: Some(client), ..self }
    }

    /// Who has sent it, whether or not it is known who that is.
    fn client(&self) -> Result<&Client, Error> {
        self.client.as_ref().ok_or_else(|| Error::internal("an operation that nobody has sent"))
    }

    /// Who calls. Without a token nobody does.
    fn caller(&self) -> Result<Caller, Error> {
        let known = self.caller.read().unwrap_or_else(PoisonError::into_inner);
        known.caller.clone().ok_or(Error::Unauthenticated("This needs a bearer token."))
    }

    /// Does something that is accepted only from a caller whose permissions stand in the transaction that they are used in.
    /// When they may have changed, they are read again and it is tried again.
    async fn as_things_stand<T, F>(&self, work: impl Fn(Caller) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut attempt = 1;
        loop {
            let caller = self.caller()?;
            let outcome = work(caller.clone()).await;
            let recalled = self.caller.read().unwrap_or_else(PoisonError::into_inner).recalled;
            let again = match &outcome {
                Err(Error::Stale) => attempt < ATTEMPTS,
                Err(Error::Forbidden | Error::NotFound { .. }) => recalled,
                _ => false,
            };
            if !again {
                return outcome;
            }
            if !recalled {
                // Somebody is changing people or grants, perhaps many one after the other.
                tokio::time::sleep(std::time::Duration::from_millis(10 << attempt)).await;
            }
            attempt += 1;
            self.reread(&caller).await?;
        }
    }

    /// Reads anew what the caller may do.
    async fn reread(&self, caller: &Caller) -> Result<(), Error> {
        let caller = Some(self.read_again(caller).await?);
        self.snapshots.close().await;
        *self.caller.write().unwrap_or_else(PoisonError::into_inner) = Known { caller, recalled: false };
        Ok(())
    }

    fn now(&self) -> bursar_domain::Timestamp {
        self.services.context.clock.now()
    }
}

/// The operation's own data.
fn request<'c>(ctx: &Gql<'c>) -> Result<&'c Request, Error> {
    ctx.data::<Request>().map_err(|_| Error::internal("an operation without its data"))
}

/// The operation's own data, when somebody calls; the first thing that a field asks for, so that
/// nothing else is told to those who have not said who they are.
fn signed_in<'c>(ctx: &Gql<'c>) -> Result<&'c Request, Error> {
    let request = request(ctx)?;
    request.caller()?;
    Ok(request)
}

/// The root of all reads.
#[derive(MergedObject, Default)]
#[graphql(name = "Query")]
pub struct Query(
    viewer::ViewerQuery,
    node::NodeQuery,
    organization_root::OrganizationQuery,
    pool::PoolQuery,
    charge_root::ChargeQuery,
    delivery::DeliveryQuery,
    api_key::ApiKeyQuery,
    parked_payment::ParkedPaymentQuery,
    price_root::PriceQuery,
);

/// The root of all reads.
//
// With what a gateway asks for, which clients are not told about.
#[derive(MergedObject, Default)]
#[graphql(name = "Query")]
pub struct SubgraphQuery(
    viewer::ViewerQuery,
    node::NodeQuery,
    organization_root::OrganizationQuery,
    pool::PoolQuery,
    charge_root::ChargeQuery,
    delivery::DeliveryQuery,
    api_key::ApiKeyQuery,
    entity::EntityQuery,
    parked_payment::ParkedPaymentQuery,
    price_root::PriceQuery,
);

/// The root of all changes.
#[derive(MergedObject, Default)]
#[graphql(name = "Mutation")]
pub struct Mutation(
    organization_root::OrganizationMutation,
    brand::BrandMutation,
    member::MemberMutation,
    sign_in::SignInMutation,
    api_key_mutation::ApiKeyMutation,
    invitation_mutation::InvitationMutation,
    single_sign_on::SingleSignOnMutation,
    department::DepartmentMutation,
    pool_mutation::PoolMutation,
    allocation::AllocationMutation,
    refill::RefillMutation,
    moves::MoveMutation,
    spending_cap_mutation::SpendingCapMutation,
    credit_request_mutation::CreditRequestMutation,
    freeze::FreezeMutation,
    life::LifeMutation,
    export::ExportMutation,
    corrections::CorrectionMutation,
    imports::ImportMutation,
    charge_root::ChargeMutation,
    batch_root::BatchMutation,
    hold_root::HoldMutation,
    refund_root::RefundMutation,
    purchase_mutation::PurchaseMutation,
    approval_mutation::ApprovalMutation,
    delivery::DeliveryMutation,
    invoice_mutation::InvoiceMutation,
    auto_top_up_mutation::AutoTopUpMutation,
    parked_payment::ParkedPaymentMutation,
    catalog_mutation::CatalogMutation,
    quote_mutation::QuoteMutation,
    reversal_mutation::ReversalMutation,
    approval_policy_mutation::ApprovalPolicyMutation,
    approval_delegation::ApprovalDelegationMutation,
);

/// The schema of the API.
pub type ApiSchema = Schema<SubgraphQuery, Mutation, subscription::Subscription>;

/// The deepest nesting of fields.
const DEPTH: usize = 20;
/// The most aliases of a document.
const ALIASES: usize = 100;
/// The most directives of a field.
const DIRECTIVES: usize = 10;

/// The schema. With `suggestions` the errors of validation name what may have been meant.
pub fn schema(suggestions: bool) -> ApiSchema {
    static PLAIN: LazyLock<ApiSchema> =
        LazyLock::new(|| builder(SubgraphQuery::default()).disable_suggestions().finish());
    static SUGGESTING: LazyLock<ApiSchema> = LazyLock::new(|| builder(SubgraphQuery::default()).finish());
    if suggestions { SUGGESTING.clone() } else { PLAIN.clone() }
}

/// The schema for documents that a strict one has validated before: only what depends on the variables is
/// looked at again.
fn schema_for_validated() -> ApiSchema {
    static FAST: LazyLock<ApiSchema> =
        LazyLock::new(|| builder(SubgraphQuery::default()).validation_mode(ValidationMode::Fast).finish());
    FAST.clone()
}

fn builder<Q: ObjectType + 'static>(query: Q) -> SchemaBuilder<Q, Mutation, subscription::Subscription> {
    Schema::build(query, Mutation::default(), subscription::Subscription)
        .register_output_type::<node::Node>()
        .register_output_type::<errors::UserError>()
        .enable_subscription_in_federation()
        .limit_depth(DEPTH)
        .limit_aliases(ALIASES)
        .limit_directives(DIRECTIVES)
}

/// The schema in the definition language, as it is checked in: what clients use.
pub fn sdl() -> String {
    tidied(&builder(Query::default()).finish().sdl_with_options(options()))
}

/// The schema as a subgraph of Apollo Federation 2, as it is checked in: what a gateway composes.
pub fn subgraph_sdl() -> String {
    tidied(&schema(true).sdl_with_options(options().federation().compose_directive()))
}

fn options() -> SDLExportOptions {
    SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items()
        .include_specified_by()
        .use_space_ident()
        .indent_width(2)
}

fn tidied(sdl: &str) -> String {
    let lines: Vec<&str> = sdl.lines().map(str::trim_end).collect();
    lines.join("\n").trim().to_owned() + "\n"
}
