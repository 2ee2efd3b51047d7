//! Purchases that people have to agree to, as tests ask for them and decide about them: through the API, and on the page
//! that a mail leads to.

use bursar::approvals::ApprovalLink;
use bursar_domain::approval::LinkKind;
use bursar_entity::{approval_decision, approval_link, user};
use chrono::{Duration, Utc};
use serde_json::{Value, json};

use super::smtp::Came;
use super::{Client, World};

/// How the address of a link in a mail begins.
pub const LINK: &str = "http://bursar.test/approval/";

/// What was asked for: the ids of the purchase and of what people are asked about it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The purchase.
    pub purchase: String,
    /// The request.
    pub request: String,
}

/// A rule for the Professional package alone, with these stages: other purchases need nobody's consent.
pub fn professional(stages: Value) -> Value {
    let conditions = json!({ "creditsFrom": 500, "creditsTo": 500 });
    json!({ "name": "Professional", "conditions": conditions, "stages": stages })
}

/// The managers of a department, and then so many of the owners.
pub fn managers_and_owners(department: &str, owners: i64) -> Value {
    json!([
        { "name": "Department", "approvers": [{ "departmentManagersOf": department }] },
        { "name": "Owners", "quorum": owners, "approvers": [{ "role": "OWNER" }] },
    ])
}

/// The version of the policy that is in force; 0: there is none.
pub async fn version(client: &Client, organization: &str) -> i64 {
    let query = "query V($id: ID!) { organization(by: { id: $id }) { approvalPolicy { version } } }";
    let data = client.query(query, json!({ "id": organization })).await;
    data["organization"]["approvalPolicy"]["version"].as_i64().unwrap_or(0)
}

/// Saves the next version of a policy, with one rule, and answers its id.
pub async fn save(owner: &Client, organization: &str, rule: Value, more: Value) -> String {
    let mut policy = json!({ "rules": [rule] });
    policy.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let expected = version(owner, organization).await;
    let input = json!({ "organizationId": organization, "expectedVersion": expected, "policy": policy });
    let fields = "policy { id version }";
    let saved = owner.mutate("saveApprovalPolicy", "SaveApprovalPolicyInput", input, fields).await;
    assert_eq!(saved["policy"]["version"], expected + 1);
    saved["policy"]["id"].as_str().unwrap().to_owned()
}

/// Asks for a package that somebody has to agree to.
pub async fn requested(client: &Client, pool: &str, package: &str, key: &str) -> Asked {
    let note = "A house at the lake";
    let input = json!({ "poolId": pool, "package": package, "note": note, "idempotencyKey": key });
    let fields = "purchase { id state approvalRequest { id } }";
    let made = client.mutate("requestPurchase", "RequestPurchaseInput", input, fields).await;
    let purchase = &made["purchase"];
    assert_eq!(purchase["state"], "PENDING_APPROVAL", "{made}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Asked { purchase: text(&purchase["id"]), request: text(&purchase["approvalRequest"]["id"]) }
}

/// Decides through the API, and answers the payload whatever it says.
pub async fn decide(client: &Client, request: &str, round: i64, choice: &str, more: Value) -> Value {
    let key = uuid::Uuid::now_v7().to_string();
    let mut input = json!({ "requestId": request, "round": round, "choice": choice, "idempotencyKey": key });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let query = "mutation D($input: DecideApprovalInput!) { decideApproval(input: $input) {
        request { state round usedAt } userErrors { code field ... on NotApprovableError { reason } } } }";
    client.query(query, json!({ "input": input })).await["decideApproval"].clone()
}

/// Agrees through the API; answers the state of the request then.
pub async fn approve(client: &Client, request: &str, round: i64) -> String {
    let decided = decide(client, request, round, "APPROVE", json!({})).await;
    assert_eq!(decided["userErrors"], json!([]), "{decided}");
    decided["request"]["state"].as_str().unwrap().to_owned()
}

/// Why somebody cannot agree.
pub async fn why_not(client: &Client, request: &str, round: i64) -> String {
    let decided = decide(client, request, round, "APPROVE", json!({})).await;
    let error = &decided["userErrors"][0];
    assert_eq!(error["code"], "NOT_APPROVABLE", "{decided}");
    error["reason"].as_str().unwrap().to_owned()
}

/// Has a member stand in for somebody, so many days from now on until so many days from now; answers the delegation.
pub async fn delegated(client: &Client, organization: &str, member: &str, from: i64, until: i64) -> String {
    let day = |days: i64| (Utc::now() + Duration::days(days)).to_rfc3339();
    stands_in(client, organization, member, (&day(from), &day(until))).await
}

/// The same from one instant to another.
pub async fn stands_in(
    client: &Client,
    organization: &str,
    member: &str,
    (from, until): (&str, &str),
) -> String {
    let input = json!({ "organizationId": organization, "delegateId": member, "from": from, "until": until });
    let fields = "delegation { id }";
    let made = client.mutate("delegateApprovals", "DelegateApprovalsInput", input, fields).await;
    made["delegation"]["id"].as_str().unwrap().to_owned()
}

/// Has the vendor add somebody with a role, and answers the membership.
pub async fn add(operator: &Client, organization: &str, email: &str, role: &str) -> String {
    let input = json!({ "organizationId": organization, "email": email, "role": role });
    let added = operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
    added["member"]["id"].as_str().unwrap().to_owned()
}

/// What a purchase has come to, and what people were asked about it.
pub async fn shown(client: &Client, purchase: &str) -> Value {
    let query = "query N($id: ID!) { node(id: $id) { ... on Purchase { state approvalBasis total { amount }
        payments { state amount { amount } } approvalRequest { id state round usedAt cause total { amount }
        stages { approved satisfied escalation soleOwner eligible { email } }
        decisions { stage choice by { email } inNameOf { email } way exception stillEligible } } } } }";
    client.query(query, json!({ "id": purchase })).await["node"].clone()
}

/// The links of somebody, oldest first.
pub async fn links(world: &World, email: &str) -> Vec<approval_link::Model> {
    let people = world.database.rows::<user::Entity>().await;
    let Some(person) = people.into_iter().find(|person| person.email == email) else { return Vec::new() };
    let mut rows = world.database.rows::<approval_link::Entity>().await;
    rows.retain(|row| row.user_id == person.id);
    rows.sort_by_key(|row| row.id);
    rows
}

/// The newest link of somebody to a kind of page.
pub async fn newest(world: &World, email: &str, kind: LinkKind) -> Letter {
    let rows = links(world, email).await;
    let row = rows.into_iter().rfind(|row| row.kind == kind);
    let row = row.unwrap_or_else(|| panic!("{email} was not sent a link"));
    let keys = &world.services().keys;
    let link = ApprovalLink::new(keys, &row);
    Letter { url: format!("{}{}", world.base, link.path()), code: link.code(keys), row }
}

/// How many decisions there are.
pub async fn decisions(world: &World) -> usize {
    world.database.rows::<approval_decision::Entity>().await.len()
}

/// What somebody has been sent: where it leads and which digits it shows.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The address, on the test's server.
    pub url: String,
    /// The digits.
    pub code: String,
    /// The row behind it.
    pub row: approval_link::Model,
}

/// The digits in a letter that a mail server has taken, however they stand in it.
pub fn code_of(letter: &Came) -> String {
    let (_, rest) =
        letter.data.split_once("this code:").unwrap_or_else(|| panic!("no code: {}", letter.data));
    rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=').chars().take(4).collect()
}

/// A page that was answered.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// What it says.
    pub body: String,
    /// Where it leads on to.
    pub location: Option<String>,
    /// What the browser is to keep.
    pub cookie: Option<String>,
}

impl Page {
    async fn of(response: reqwest::Response) -> Page {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        // Nothing of these pages is kept, shown in frames, or told to other sites.
        assert_eq!(header("cache-control").as_deref(), Some("no-store"));
        assert_eq!(header("referrer-policy").as_deref(), Some("no-referrer"));
        let (location, cookie) = (header("location"), header("set-cookie"));
        Page { status, body: response.text().await.unwrap(), location, cookie }
    }

    /// What it says, in a word, with its status.
    pub fn state(&self) -> (u16, &str) {
        let word = self.body.split_once("data-state=\"").map_or("", |(_, rest)| rest);
        (self.status, word.split('"').next().unwrap())
    }

    /// The nonce of its form.
    pub fn nonce(&self) -> &str {
        let found = self.body.split_once("name=\"nonce\" value=\"");
        let (_, rest) = found.unwrap_or_else(|| panic!("no form: {}", self.body));
        rest.split('"').next().unwrap()
    }

    /// Whether something can be sent from it.
    pub fn has_form(&self) -> bool {
        self.body.contains("<form")
    }
}

/// Somebody's browser, without scripts, in which they may have signed in.
#[derive(Clone)]
pub struct Browser {
    http: reqwest::Client,
    cookie: String,
}

impl Browser {
    /// One in which nobody has signed in.
    pub fn nobody() -> Browser {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Browser { http, cookie: String::new() }
    }

    /// One that has kept a cookie.
    pub fn with(cookie: &str) -> Browser {
        Browser { cookie: cookie.to_owned(), ..Browser::nobody() }
    }

    /// One in which somebody has signed in on the page of a link.
    pub async fn of(world: &World, email: &str) -> Browser {
        let link = super::sign_in::link(world, email).await;
        let url = format!("{}/sign-in/{}", world.base, link.text());
        let http = Browser::nobody().http;
        let page = http.get(&url).send().await.unwrap().text().await.unwrap();
        let (_, rest) = page.split_once("name=\"nonce\" value=\"").unwrap();
        let nonce = rest.split('"').next().unwrap().to_owned();
        let code = link.code(&world.services().keys);
        let sent = http.post(&url).form(&[("nonce", nonce), ("code", code)]).send().await.unwrap();
        let cookie = sent.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        Browser { http, cookie }
    }

    /// Asks with a method.
    pub async fn ask(&self, method: &str, url: &str) -> Page {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        Page::of(self.http.request(method, url).header("cookie", &self.cookie).send().await.unwrap()).await
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) -> Page {
        self.ask("GET", url).await
    }

    /// Sends a form as it is.
    pub async fn send(&self, url: &str, fields: &[(&str, &str)]) -> Page {
        let request = self.http.post(url).header("cookie", &self.cookie).form(fields);
        Page::of(request.send().await.unwrap()).await
    }

    /// Opens a page and sends its form; a page without one gets a nonce of nothing.
    pub async fn fill(&self, url: &str, fields: &[(&str, &str)]) -> Page {
        let page = self.open(url).await;
        let nonce = if page.has_form() { page.nonce() } else { "none" };
        let mut all = vec![("nonce", nonce)];
        all.extend_from_slice(fields);
        self.send(url, &all).await
    }

    /// Agrees by a letter.
    pub async fn approve(&self, letter: &Letter) -> Page {
        self.fill(&letter.url, &[("code", &letter.code), ("choice", "APPROVE")]).await
    }

    /// Goes on to pay by a letter.
    pub async fn pay(&self, letter: &Letter) -> Page {
        self.fill(&letter.url, &[("code", &letter.code)]).await
    }

    /// Opens a page and sends its form: both answers, as status and word.
    pub async fn both(&self, letter: &Letter) -> [(u16, String); 2] {
        let owned = |page: &Page| (page.status, page.state().1.to_owned());
        let (opened, sent) = (self.open(&letter.url).await, self.approve(letter).await);
        [owned(&opened), owned(&sent)]
    }
}
