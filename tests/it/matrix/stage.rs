//! The organization that the matrix is about: the demonstration with people of every kind, a second pool, and credits
//! where departments differ.

use std::collections::BTreeMap;

use bursar::clock::Clock;
use bursar::config::Rate;
use bursar::global_id;
use bursar_domain::id::{DepartmentId, PoolId};
use serde_json::json;

use super::needs::{Place, Tenant};
use crate::support::client::Demo;
use crate::support::{Backend, Client, World, acts};

/// People beside those of the demonstration; what they are is in `callers`, but for those whom things are done to.
const PEOPLE: [&str; 8] = [
    "marketer@demo.test",
    "administrator@demo.test",
    "elsewhere@demo.test",
    "target@demo.test",
    "spare-1@demo.test",
    "spare-2@demo.test",
    "spare-3@demo.test",
    "spare-4@demo.test",
];

/// How many people there are whom others may remove or have forgotten.
pub const SPARES: usize = 4;

/// A server with that organization.
pub struct Stage {
    /// The server.
    pub world: World,
    /// The organization's owner.
    pub owner: Client,
    /// Somebody of the vendor's staff.
    pub operator: Client,
    /// Somebody who was a member, and known to the server as one.
    pub removed: Client,
    /// The organization, its pool and its departments.
    pub demo: Demo,
    /// Another pool, where Sales has nothing.
    pub other: String,
    /// Membership and person of each member, by address.
    pub members: BTreeMap<String, (String, String)>,
}

impl Stage {
    /// Sets it up.
    pub async fn set(backend: Backend) -> Stage {
        // Points enough for everybody, so that nobody's requests show in another's; and nothing is delivered in
        // passing, because rows are compared.
        let plenty = Rate { maximum: u32::MAX, restore: u32::MAX };
        let world = World::start_untimed_as(backend, Clock::system(), |config| config.cost = plenty).await;
        let owner = world.client("owner@demo.test").await;
        let operator = world.client("operator@bursar.test").await;
        world.found("rival").await;
        let demo = owner.demo().await;
        let other = acts::pool(&owner, &demo.organization, "Other").await;
        for email in PEOPLE {
            add(&operator, &demo.organization, email).await;
        }
        let place = add(&operator, &demo.organization, "removed@demo.test").await;
        let removed = world.client("removed@demo.test").await;
        let seen = removed.query("{ viewer { memberships { id } } }", json!({})).await;
        assert_eq!(seen["viewer"]["memberships"][0]["id"], place);
        remove(&owner, &place).await;
        let members = members(&owner, "demo").await;
        let stage = Stage { world, owner, operator, removed, demo, other, members };
        stage.appoint().await;
        stage.fund().await;
        stage
    }

    /// Gives people their places.
    async fn appoint(&self) {
        let Demo { pool, marketing, .. } = &self.demo;
        let input = json!({ "departmentId": marketing, "memberId": self.member("marketer@demo.test") });
        let fields = "department { id }";
        self.owner.mutate("addDepartmentMember", "AddDepartmentMemberInput", input, fields).await;
        for (pool, email) in [(pool, "administrator@demo.test"), (&self.other, "elsewhere@demo.test")] {
            let input = json!({ "poolId": pool, "memberId": self.member(email) });
            self.owner
                .mutate("addPoolAdministrator", "AddPoolAdministratorInput", input, "pool { id }")
                .await;
        }
    }

    /// Gives departments credits: Sales in the first pool, Marketing in both.
    async fn fund(&self) {
        let Demo { pool, sales, marketing, .. } = &self.demo;
        let given = acts::grant(&self.operator, &self.other, 50, json!({}), "matrix").await;
        assert_eq!(given["userErrors"], json!([]), "{given}");
        for (pool, department, credits) in
            [(pool, sales, 30), (pool, marketing, 20), (&self.other, marketing, 10)]
        {
            self.owner.allocate(pool, department, credits, &format!("{pool} {department}")).await;
        }
    }

    /// The membership of somebody.
    pub fn member(&self, email: &str) -> &str {
        &self.members.get(email).unwrap_or_else(|| panic!("{email} is no member")).0
    }

    /// The person behind an address.
    pub fn person(&self, email: &str) -> &str {
        &self.members.get(email).unwrap_or_else(|| panic!("{email} is no member")).1
    }

    /// The first pool, where both departments have credits.
    pub fn main(&self) -> Place {
        Place::of(Tenant::Demo).in_pool(pool(&self.demo.pool), &[self.sales(), self.marketing()])
    }

    /// The second pool, where Marketing alone has some.
    pub fn elsewhere(&self) -> Place {
        Place::of(Tenant::Demo).in_pool(pool(&self.other), &[self.marketing()])
    }

    /// The department that most things are of.
    pub fn sales(&self) -> DepartmentId {
        global_id::decode(&self.demo.sales).unwrap()
    }

    /// The other department.
    pub fn marketing(&self) -> DepartmentId {
        global_id::decode(&self.demo.marketing).unwrap()
    }
}

/// A pool by its global id.
pub fn pool(id: &str) -> PoolId {
    global_id::decode(id).unwrap()
}

/// Has the vendor add a person as a member, and answers the membership.
pub async fn add(operator: &Client, organization: &str, email: &str) -> String {
    let input = json!({ "organizationId": organization, "email": email, "role": "MEMBER" });
    let added = operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
    added["member"]["id"].as_str().unwrap().to_owned()
}

/// Removes a member.
pub async fn remove(owner: &Client, member: &str) {
    let input = json!({ "memberId": member });
    owner.mutate("removeMember", "RemoveMemberInput", input, "removedMemberId").await;
}

/// Membership and person of each member, by address.
pub async fn members(client: &Client, slug: &str) -> BTreeMap<String, (String, String)> {
    let query = "query M($by: OrganizationSelector!) {
        organization(by: $by) { members(first: 100) { nodes { id user { id email } } } } }";
    let data = client.query(query, json!({ "by": { "slug": slug } })).await;
    let nodes = data["organization"]["members"]["nodes"].as_array().unwrap().clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let member = |node: &serde_json::Value| {
        let user = &node["user"];
        (text(&user["email"]), (text(&node["id"]), text(&user["id"])))
    };
    nodes.iter().map(member).collect()
}
