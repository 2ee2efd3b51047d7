//! Demonstration data, made as a customer would make it: through the rooms, with a purchase that is paid.

use bursar_domain::Timestamp;
use bursar_domain::id::UserId;
use bursar_domain::organization::Role;
use bursar_domain::permission::Action;
use bursar_entity::{billing_profile, department, membership, organization, pool, user};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};

use crate::auth::{Actor, Authorized, Caller, PoolDirectory};
use crate::billing::{self, Profile, TaxLine};
use crate::catalog::Buying;
use crate::config::PaymentSettings;
use crate::context::Context;
use crate::db::scope::{find_across, find_people};
use crate::db::{self, Fault, Scope, Snapshots, Tenant, fault};
use crate::error::{Conflict, Error, Result};
use crate::organizations::{self, NewDepartment, NewMember, NewOrganization};
use crate::payments::Payments;
use crate::pools::{self, NewPool};
use crate::purchases::{self, CheckoutLink, PurchaseRequest, Selling, StartCheckout};

/// What seeding did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeded {
    /// The data was made.
    Made,
    /// The demonstration was there already, or somebody's own organization was.
    AlreadyThere,
}

/// The short name of the demonstration's organization.
const DEMO: &str = "demo";
/// Address and name of the vendor's person.
const OPERATOR: (&str, &str) = ("operator@bursar.test", "Olga Operator");
/// Address and name of the demonstration's owner.
const OWNER: (&str, &str) = ("owner@demo.test", "Owen Owner");
/// The others of the demonstration.
const MEMBERS: [(&str, &str, Role); 4] = [
    ("admin@demo.test", "Ada Admin", Role::Admin),
    ("manager@demo.test", "Mona Manager", Role::Member),
    ("member@demo.test", "Milo Member", Role::Member),
    ("auditor@demo.test", "Aubrey Auditor", Role::Auditor),
];

/// Makes the organization `demo` with five people, two departments, billing details and a pool of 100 credits from a
/// Starter purchase, and a person of the vendor's. The purchase is paid in the sandbox, whoever takes the money of others.
///
/// Does nothing when the vendor's person is there, who comes last, or when there is an organization of
/// somebody else's. What an earlier run has made before it was cut off is found and kept, so a start that
/// was cut off, or two at once, end with the same data.
pub async fn demonstration(selling: &Selling) -> Result<Seeded> {
    let payments = Payments::open(&PaymentSettings::default())?;
    let selling = &Selling { payments, ..selling.clone() };
    let context = selling.context();
    if person(context, OPERATOR.0).await?.is_some() || has_customers(context).await? {
        return Ok(Seeded::AlreadyThere);
    }
    let new = NewOrganization {
        slug: DEMO.to_owned(),
        name: "Demo Realty".to_owned(),
        time_zone: "America/New_York".to_owned(),
        currency: None,
        owner_email: OWNER.0.to_owned(),
        owner_name: Some(OWNER.1.to_owned()),
    };
    made(organizations::create(context, &Actor::system(None), new).await)?;
    let owner = person(context, OWNER.0).await?.ok_or_else(|| Error::internal("the owner is missing"))?;
    let snapshots = Snapshots::new(context.db.clone());
    let owner = Caller::of_person(&context.db, owner, Timestamp::from_micros(i64::MAX), None).await?;
    let demo = owner.organization_by_slug(&snapshots, DEMO, Action::ManagePools).await?;
    snapshots.close().await;
    people(context, &snapshots, &owner, &demo).await?;
    billing_details(context, &demo).await?;
    let new = NewPool { name: "Main".to_owned(), allowed_services: None };
    made(pools::create(context, &demo, new).await)?;
    let snapshot = context.db.read(demo.tenant()).await?;
    let pool =
        demo.tenant().find::<pool::Entity>().filter(pool::Column::Name.eq("Main")).one(&snapshot).await?;
    drop(snapshot);
    let pool = pool.ok_or_else(|| Error::internal("the pool is missing"))?;
    buy_starter(selling, &snapshots, &owner, pool.id).await?;
    // Last, since it is what says that all of this has been done.
    match operator(context).await {
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => Ok(Seeded::AlreadyThere),
        outcome => outcome.map(|()| Seeded::Made),
    }
}

/// Takes what is there already for made.
fn made<T>(outcome: Result<T>) -> Result<()> {
    match outcome {
        Ok(_) | Err(Error::Conflict { kind: Conflict::Taken, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether there is an organization besides the demonstration's.
async fn has_customers(context: &Context) -> Result<bool> {
    let snapshot = context.db.read(Scope::Operator).await?;
    let others = find_across::<organization::Entity>().filter(organization::Column::Slug.ne(DEMO));
    Ok(others.one(&snapshot).await?.is_some())
}

async fn people(
    context: &Context,
    snapshots: &Snapshots,
    owner: &Caller,
    demo: &Authorized<organization::Model>,
) -> Result<()> {
    for (email, name, role) in MEMBERS {
        let new = NewMember { email: email.to_owned(), name: Some(name.to_owned()), role };
        made(organizations::add_member(context, owner, demo, new).await)?;
    }
    for (code, name) in [("SALES", "Sales"), ("MARKETING", "Marketing")] {
        let new = NewDepartment { code: code.to_owned(), name: name.to_owned(), cost_center: None };
        made(organizations::create_department(context, demo, new).await)?;
    }
    let tenant = demo.tenant();
    let snapshot = context.db.read(tenant).await?;
    let sales = tenant.find::<department::Entity>().filter(department::Column::Code.eq("SALES"));
    let sales = sales.one(&snapshot).await?.ok_or_else(|| Error::internal("a department is missing"))?;
    let people = find_people().all(&snapshot).await?;
    let members = tenant.find::<membership::Entity>().all(&snapshot).await?;
    drop(snapshot);
    let sales = owner.department(snapshots, sales.id, Action::ManageDepartmentMembers).await?;
    snapshots.close().await;
    for (email, manager) in [("manager@demo.test", true), ("member@demo.test", false)] {
        let user = people.iter().find(|person| person.email == email).map(|person| person.id);
        let member = members.iter().find(|member| Some(member.user_id) == user);
        let member = member.ok_or_else(|| Error::internal("a person of the demonstration is missing"))?;
        organizations::add_department_member(context, &sales, member.id, manager).await?;
    }
    Ok(())
}

/// What the receipt of its purchase says of it.
async fn billing_details(context: &Context, demo: &Authorized<organization::Model>) -> Result<()> {
    let snapshot = context.db.read(demo.tenant()).await?;
    let known = demo.tenant().find::<billing_profile::Entity>().one(&snapshot).await?;
    drop(snapshot);
    if known.is_some() {
        return Ok(());
    }
    let profile = Profile {
        name: "Demo Realty LLC".to_owned(),
        address: "12 Harbor Street\nNew York, NY 10004".to_owned(),
        country: Some("US".to_owned()),
        tax_id: None,
        reference: None,
        tax_lines: vec![TaxLine { label: "Sales tax".to_owned(), hundredths: 400 }],
    };
    billing::set_billing_profile(context, demo, profile).await?;
    Ok(())
}

async fn buy_starter(
    selling: &Selling,
    snapshots: &Snapshots,
    owner: &Caller,
    pool: bursar_domain::id::PoolId,
) -> Result<()> {
    let context = selling.context();
    let directory = PoolDirectory::default();
    let pool = owner.pool(snapshots, &directory, pool, Action::ManagePurchases).await?;
    snapshots.close().await;
    let request = PurchaseRequest {
        buying: Buying::Package("STARTER".to_owned()),
        currency: None,
        expected_total: None,
        note: Some("Demonstration data".to_owned()),
        purchase_order: None,
        key: "demonstration".to_owned(),
        dry_run: false,
    };
    let requested = purchases::request(context, &pool, request).await?;
    let purchase = owner.purchase(snapshots, requested.purchase.id, Action::ManagePurchases).await?;
    snapshots.close().await;
    let start = StartCheckout { key: "demonstration".to_owned(), dry_run: false };
    let started = purchases::start_checkout(selling, &purchase, start).await?;
    let payment = started.payment.ok_or_else(|| Error::internal("a checkout without its payment"))?;
    let link = CheckoutLink::new(&selling.keys, &payment);
    purchases::pay_sandbox(selling, &link, None).await?;
    Ok(())
}

async fn operator(context: &Context) -> Result<()> {
    let row = user::Model {
        id: context.clock.new_id::<UserId>(),
        email: OPERATOR.0.to_owned(),
        name: OPERATOR.1.to_owned(),
        operator: true,
        created_at: context.clock.now(),
        erased_at: None,
    };
    let work = db::work(move |txn| {
        let row = row.clone();
        Box::pin(async move {
            user::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
            Ok(())
        })
    });
    // Only the vendor makes somebody one of its staff.
    context.db.write(Tenant::vendor(), work).await
}

async fn person(context: &Context, email: &str) -> Result<Option<UserId>> {
    let snapshot = context.db.read(Scope::Email(email.to_owned())).await?;
    let row = find_people().filter(user::Column::Email.eq(email)).one(&snapshot).await?;
    Ok(row.map(|row| row.id))
}
