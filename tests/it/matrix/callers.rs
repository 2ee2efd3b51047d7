//! Who calls: people of every kind, a key with each scope, keys that are kept from where the things are, and those
//! whose proof is no longer good.

use bursar_domain::organization::Role;
use bursar_domain::scope::{Reach, Scope};
use serde_json::{Value, json};

use super::expected::sight;
use super::needs::{Key, Need, Person, Place, Tenant, Who};
use super::roots::Step;
use super::stage::{Stage, pool};
use super::things::{Thing, Things};
use crate::support::sign_in::{sign_in, sign_out};
use crate::support::{Client, keys};

/// Somebody who calls.
pub struct Caller {
    /// What to call them when something is wrong.
    pub name: String,
    /// The connection.
    pub client: Client,
    /// Who it is.
    pub who: Who,
}

/// What comes of trying something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may be done; whether it is, is for the rules to say.
    Granted,
    /// The thing is seen, and it may not be done with it.
    Forbidden,
    /// What the field names is not there.
    Absent(&'static str),
    /// Nobody does anything without a good proof of who it is.
    Unauthenticated,
}

impl Caller {
    /// Whether one of some needs is met.
    pub fn meets(&self, needs: &[Need], place: &Place) -> bool {
        self.who.meets(needs, place)
    }

    /// Whether the caller sees a thing by its id.
    pub fn sees(&self, thing: &Thing) -> bool {
        self.meets(sight(thing.kind), &thing.place)
    }

    /// Whether the server takes the caller for somebody.
    pub fn is_somebody(&self) -> bool {
        matches!(self.who, Who::Person(_) | Who::Key(_))
    }

    /// What is to come of something that takes these steps.
    pub fn outcome(&self, steps: &[Step], things: &Things) -> Outcome {
        let nothing_needed = steps.iter().all(|(_, needs)| needs.contains(&Need::Nothing));
        match self.who {
            Who::Spent => return Outcome::Unauthenticated,
            Who::Nobody if !nothing_needed => return Outcome::Unauthenticated,
            _ => {}
        }
        for &(field, needs) in steps {
            if field.is_empty() {
                if !self.meets(needs, &Place::of(Tenant::Demo)) {
                    return Outcome::Forbidden;
                }
                continue;
            }
            let thing = things.named(field);
            if !self.meets(needs, &thing.place) {
                // To whoever looks on from the vendor's, there is nothing to decide.
                if needs == [Need::Colleague] && self.who.is_staff() {
                    return Outcome::Absent(field);
                }
                return if self.sees(thing) { Outcome::Forbidden } else { Outcome::Absent(field) };
            }
        }
        Outcome::Granted
    }
}

/// Everybody.
pub async fn all(stage: &Stage) -> Vec<Caller> {
    let mut callers = people(stage).await;
    callers.extend(keys_of(stage).await);
    callers.extend(strangers(stage).await);
    callers
}

async fn people(stage: &Stage) -> Vec<Caller> {
    let (sales, marketing) = (stage.sales(), stage.marketing());
    let person = |email: &'static str, role: Role| Person {
        email,
        staff: false,
        role: Some((Tenant::Demo, role)),
        pools: Vec::new(),
        departments: Vec::new(),
    };
    let plain = |email: &'static str| person(email, Role::Member);
    let (main, other) = (pool(&stage.demo.pool), pool(&stage.other));
    let people = [
        ("operator", Person { staff: true, role: None, ..plain("operator@bursar.test") }),
        ("owner", person("owner@demo.test", Role::Owner)),
        ("admin", person("admin@demo.test", Role::Admin)),
        ("auditor", person("auditor@demo.test", Role::Auditor)),
        ("manager of Sales", Person { departments: vec![(sales, true)], ..plain("manager@demo.test") }),
        ("member of Sales", Person { departments: vec![(sales, false)], ..plain("member@demo.test") }),
        (
            "member of Marketing",
            Person { departments: vec![(marketing, false)], ..plain("marketer@demo.test") },
        ),
        ("pool administrator", Person { pools: vec![main], ..plain("administrator@demo.test") }),
        ("administrator of another pool", Person { pools: vec![other], ..plain("elsewhere@demo.test") }),
        (
            "owner of another organization",
            Person { role: Some((Tenant::Rival, Role::Owner)), ..plain("owner@rival.test") },
        ),
        ("removed member", Person { role: None, ..plain("removed@demo.test") }),
    ];
    let mut callers = Vec::new();
    for (name, person) in people {
        let client = match person.email {
            "removed@demo.test" => stage.removed.clone(),
            email => stage.world.client(email).await,
        };
        callers.push(Caller { name: name.to_owned(), client, who: Who::Person(person) });
    }
    callers
}

/// The name of a scope in the schema.
fn named(scope: &Scope) -> String {
    scope.as_str().to_uppercase().replace(':', "_")
}

async fn keys_of(stage: &Stage) -> Vec<Caller> {
    let all: Vec<Scope> = Scope::ALL.to_vec();
    let anywhere: Vec<Scope> = all.iter().copied().filter(|scope| !scope.is_about_the_whole()).collect();
    let whole = Reach::default();
    let mut wanted: Vec<(String, Key, Value)> = Vec::new();
    for scope in all {
        let key = Key { tenant: Some(Tenant::Demo), scopes: vec![scope], reach: whole.clone() };
        wanted.push((format!("key with {scope}"), key, json!({})));
    }
    let kept = |reach: Reach| Key { tenant: Some(Tenant::Demo), scopes: anywhere.clone(), reach };
    let of = |department| Reach { pools: None, departments: Some([department].into()) };
    let elsewhere = Reach { pools: Some([pool(&stage.other)].into()), departments: None };
    wanted.push(("key of another pool".to_owned(), kept(elsewhere), json!({ "poolIds": [stage.other] })));
    for (name, department, id) in [
        ("key of another department", stage.marketing(), &stage.demo.marketing),
        ("key of Sales", stage.sales(), &stage.demo.sales),
    ] {
        wanted.push((name.to_owned(), kept(of(department)), json!({ "departmentIds": [id] })));
    }
    let some = vec![Scope::ChargesWrite, Scope::LedgerRead];
    let test = Key { tenant: Some(Tenant::Sandbox), scopes: some.clone(), reach: whole.clone() };
    wanted.push(("test key".to_owned(), test, json!({ "mode": "TEST" })));
    wanted.push((
        "key of the vendor".to_owned(),
        Key { tenant: None, scopes: some, reach: whole },
        json!({}),
    ));
    let mut callers = Vec::new();
    for (name, key, more) in wanted {
        let scopes: Vec<String> = key.scopes.iter().map(named).collect();
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let (by, organization) = match key.tenant {
            Some(_) => (&stage.owner, Some(stage.demo.organization.as_str())),
            None => (&stage.operator, None),
        };
        let made = keys::make(&stage.world, by, organization, &scopes, more).await;
        callers.push(Caller { name, client: made.client, who: Who::Key(key) });
    }
    callers
}

/// Those whom the server takes for nobody.
async fn strangers(stage: &Stage) -> Vec<Caller> {
    let world = &stage.world;
    let signed_out = sign_in(world, "auditor@demo.test").await.client;
    sign_out(&signed_out, false).await;
    let organization = Some(stage.demo.organization.as_str());
    let revoked = keys::make(world, &stage.owner, organization, &["LEDGER_READ"], json!({})).await;
    // So that the server knows it.
    revoked.client.query("{ viewer { apiKey { id } } }", json!({})).await;
    keys::revoke(&stage.owner, &revoked).await;
    let spent = [
        ("bearer of a token that has expired", world.expired("owner@demo.test").await),
        ("bearer of a token whose session has ended", signed_out),
        ("bearer of a revoked key", revoked.client),
    ];
    let mut callers = vec![Caller { name: "nobody".to_owned(), client: world.anonymous(), who: Who::Nobody }];
    for (name, client) in spent {
        callers.push(Caller { name: name.to_owned(), client, who: Who::Spent });
    }
    callers
}
