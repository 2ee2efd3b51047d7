//! Demonstration data, made as a customer would make it: through the rooms, with a purchase that is paid.

use bursar_domain::Timestamp;
use bursar_domain::id::{MembershipId, OrganizationId, UserId};
use bursar_domain::organization::Role;
use bursar_domain::permission::Action;
use bursar_entity::user;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};

use crate::auth::{Actor, Caller, Keys, PoolDirectory};
use crate::context::Context;
use crate::db::scope::find_people;
use crate::db::{self, Scope, Snapshots};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::organizations::{self, NewDepartment, NewMember, NewOrganization};
use crate::pools::{self, NewPool};
use crate::purchases::{self, CheckoutLink, PurchaseRequest, StartCheckout};

/// What seeding did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeded {
    /// The data was made.
    Made,
    /// There was an organization `demo` or a person of the demonstration already.
    AlreadyThere,
}

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

/// Makes the organization `demo` with five people, two departments and a pool of 100 credits from a
/// Starter purchase, and a person of the vendor's. Does nothing when the vendor's person is there.
pub async fn demonstration(ledger: &Ledger, keys: &Keys) -> Result<Seeded> {
    let context = ledger.context();
    if person(context, OPERATOR.0).await?.is_some() {
        return Ok(Seeded::AlreadyThere);
    }
    let system = Actor::system(None);
    let new = NewOrganization {
        slug: "demo".to_owned(),
        name: "Demo Realty".to_owned(),
        time_zone: "America/New_York".to_owned(),
        currency: None,
        owner_email: OWNER.0.to_owned(),
        owner_name: Some(OWNER.1.to_owned()),
    };
    let organization = organizations::create(context, &system, new).await?;
    let owner = person(context, OWNER.0).await?.ok_or_else(|| Error::internal("the owner is missing"))?;
    let snapshots = Snapshots::new(context.db.clone());
    let owner = Caller::load(&context.db, owner, Timestamp::from_micros(i64::MAX), None).await?;
    people(context, &snapshots, &owner, organization.id).await?;
    let manage = owner.organization(&snapshots, organization.id, Action::ManagePools).await?;
    snapshots.close().await;
    let new = NewPool { name: "Main".to_owned(), allowed_services: None };
    let pool = pools::create(context, &manage, new).await?;
    buy_starter(ledger, keys, &snapshots, &owner, pool.id).await?;
    // Last, since it is what says that all of this has been done.
    operator(context).await?;
    Ok(Seeded::Made)
}

async fn people(
    context: &Context,
    snapshots: &Snapshots,
    owner: &Caller,
    organization: OrganizationId,
) -> Result<()> {
    let manage = owner.organization(snapshots, organization, Action::ManageDepartments).await?;
    snapshots.close().await;
    let mut members = Vec::new();
    for (email, name, role) in MEMBERS {
        let new = NewMember { email: email.to_owned(), name: Some(name.to_owned()), role };
        members.push((email, organizations::add_member(context, owner, &manage, new).await?.id));
    }
    let member = |email: &str| -> Result<MembershipId> {
        let found = members.iter().find(|(known, _)| *known == email).map(|(_, id)| *id);
        found.ok_or_else(|| Error::internal("a person of the demonstration is missing"))
    };
    for (code, name) in [("SALES", "Sales"), ("MARKETING", "Marketing")] {
        let new = NewDepartment { code: code.to_owned(), name: name.to_owned(), cost_center: None };
        let department = organizations::create_department(context, &manage, new).await?;
        let department = owner.department(snapshots, department.id, Action::ManageDepartmentMembers).await?;
        snapshots.close().await;
        if code == "SALES" {
            let (manager, plain) = (member("manager@demo.test")?, member("member@demo.test")?);
            organizations::add_department_member(context, &department, manager, true).await?;
            organizations::add_department_member(context, &department, plain, false).await?;
        }
    }
    Ok(())
}

async fn buy_starter(
    ledger: &Ledger,
    keys: &Keys,
    snapshots: &Snapshots,
    owner: &Caller,
    pool: bursar_domain::id::PoolId,
) -> Result<()> {
    let context = ledger.context();
    let directory = PoolDirectory::default();
    let pool = owner.pool(snapshots, &directory, pool, Action::ManagePurchases).await?;
    snapshots.close().await;
    let request = PurchaseRequest {
        package: "STARTER".to_owned(),
        note: Some("Demonstration data".to_owned()),
        key: "demonstration".to_owned(),
        dry_run: false,
    };
    let requested = purchases::request(context, &pool, request).await?;
    let purchase = owner.purchase(snapshots, requested.purchase.id, Action::ManagePurchases).await?;
    snapshots.close().await;
    let start = StartCheckout { key: "demonstration".to_owned(), dry_run: false };
    let started = purchases::start_checkout(context, &purchase, start).await?;
    purchases::pay_sandbox(ledger, keys, &CheckoutLink::new(keys, &started.payment), None).await?;
    Ok(())
}

async fn operator(context: &Context) -> Result<()> {
    let row = user::Model {
        id: context.clock.new_id::<UserId>(),
        email: OPERATOR.0.to_owned(),
        name: OPERATOR.1.to_owned(),
        operator: true,
        created_at: context.clock.now(),
    };
    let work = db::work(move |txn| {
        let row = row.clone();
        Box::pin(async move {
            user::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
            Ok(())
        })
    });
    context.db.write(Scope::Email(OPERATOR.0.to_owned()), work).await
}

async fn person(context: &Context, email: &str) -> Result<Option<UserId>> {
    let snapshot = context.db.read(Scope::Email(email.to_owned())).await?;
    let row = find_people().filter(user::Column::Email.eq(email)).one(&snapshot).await?;
    Ok(row.map(|row| row.id))
}
