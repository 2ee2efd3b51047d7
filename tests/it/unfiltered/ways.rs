//! The ways to a tenant's rows, one by one: finders, look-ups and whole tables.

use std::collections::{BTreeMap, BTreeSet};

use bursar::db::scope::{
    find_across, find_api_key, find_domain, find_own, find_people, find_sessions, find_slug,
};
use bursar::db::{Database, Filter, Index, LeftOut, Options, Scope, Tenant};
use bursar::global_id;
use bursar_domain::id::PoolId;
use bursar_entity::{api_key, identity_provider, membership, pool, session, user};
use sea_orm::{ColumnTrait, QueryFilter};

use super::{Two, issuer};
use crate::support::{TestDatabase, rows};

/// How many rows of somebody else's come by each way to a tenant's rows when its condition is left out.
pub async fn ways(database: &TestDatabase, application: &str, two: &Two) -> BTreeMap<&'static str, usize> {
    let mut addresses = database.addresses.clone();
    let plain = Database::connect(&addresses).await.unwrap();
    addresses.application = application.to_owned();
    let filter = Filter::leaving_out(LeftOut::Everything);
    let db = Database::open(&addresses, Options { filter, ..Options::default() }).await.unwrap();
    let email = "owner@demo.test";
    let people = database.rows::<user::Entity>().await;
    let me = people.iter().find(|person| person.email == email).unwrap().id;
    let key = database.rows::<api_key::Entity>().await;
    let key = key.into_iter().find(|key| key.organization_id == two.demo).unwrap();
    let hash: [u8; 32] = key.hash.clone().try_into().unwrap();
    let mut ways = BTreeMap::new();

    // Each in a transaction of its own, which ends there.
    macro_rules! all {
        ($scope:expr, $select:expr) => {{
            let txn = db.read($scope).await.unwrap();
            $select.all(&txn).await.unwrap()
        }};
    }
    let rows = all!(Scope::Person(me), find_own::<membership::Entity>(me));
    ways.insert("memberships", rows.iter().filter(|row| row.user_id != me).count());
    let rows = all!(Scope::Person(me), find_own::<session::Entity>(me));
    ways.insert("sessions", rows.iter().filter(|row| row.user_id != me).count());
    let theirs = global_id::decode(&two.rival.session).unwrap();
    ways.insert("a session", all!(Scope::Person(me), find_sessions(vec![theirs])).len());
    let rows = all!(Scope::ApiKey(hash), find_api_key(&hash));
    ways.insert("keys", rows.iter().filter(|row| row.hash != key.hash).count());
    let rows = all!(Scope::Slug("demo".to_owned()), find_slug("demo"));
    ways.insert("short names", rows.iter().filter(|row| row.slug != "demo").count());
    let rows = all!(Scope::Domain("demo.test".to_owned()), find_domain("demo.test"));
    ways.insert("domains", rows.iter().filter(|row| row.domain != "demo.test").count());
    let named = find_across::<identity_provider::Entity>();
    let named = named.filter(identity_provider::Column::Issuer.eq(issuer("demo")));
    let rows = all!(Scope::Issuer(issuer("demo")), named);
    ways.insert("issuers", rows.iter().filter(|row| row.issuer != issuer("demo")).count());
    let addressed = find_people().filter(user::Column::Email.eq(email));
    let rows = all!(Scope::Email(email.to_owned()), addressed);
    ways.insert("addresses", rows.iter().filter(|row| row.email != email).count());

    let tenant = Tenant::vouched(two.demo);
    let theirs: PoolId = global_id::decode(&two.rival.ids["pool"]).unwrap();
    let txn = db.read(tenant).await.unwrap();
    let found = tenant.lookup::<pool::Entity, PoolId>(&txn, pool::Column::Id, [theirs]).await.unwrap();
    ways.insert("a pool", found.len());
    let alone = (pool::Column::Id, Index::Alone);
    let found = tenant.lookup_along::<pool::Entity, PoolId>(&txn, alone, [theirs]).await.unwrap();
    ways.insert("a pool by its id alone", found.len());
    let found = tenant.lookup_transfers(&txn, [(theirs, 1)]).await.unwrap();
    ways.insert("a transfer", found.len());
    drop(txn);

    let own: BTreeSet<String> = rows::of(&plain, two.demo).await.into_iter().collect();
    let all: BTreeSet<String> = rows::of(&db, two.demo).await.into_iter().collect();
    assert!(all.is_superset(&own));
    ways.insert("tables", all.difference(&own).count());
    if all != own {
        let theirs = rows::of(&plain, two.rival.organization).await;
        assert!(theirs.iter().all(|row| all.contains(row)), "the condition is left out of some tables only");
    }
    for db in [plain, db] {
        db.close().await.unwrap();
    }
    ways
}

/// All ways bring rows of somebody else's, or none does.
pub fn assert_ways(ways: &BTreeMap<&'static str, usize>, foreign: bool) {
    for (way, rows) in ways {
        assert_eq!(*rows > 0, foreign, "{way}: {rows} rows, of {ways:?}");
    }
}
