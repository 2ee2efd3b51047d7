//! Opening a subscription: finding out what the caller may see of what is watched, and taking a seat in the
//! view of those who see the same.

use std::sync::Arc;
use std::time::Duration;

use super::inbox::{Inbox, Item, Slot};
use super::plan::{Plan, Target};
use super::refusal::Refusal;
use super::render::Renderer;
use super::server::{Reading, Session, operation};
use super::sight::Sight;
use super::throttle::Principal;
use super::views::{Payer, Seat, Since, ViewKey};
use super::{Request, Server};
use crate::auth::Caller;
use crate::db::{Snapshots, Tenant};
use crate::error::{Error, Result};
use crate::live::{Of, Topic};
use bursar_domain::Timestamp;
use bursar_domain::permission::Action;

/// How often a subscription is tried to be opened whose caller's permissions change meanwhile.
const ATTEMPTS: u32 = 20;
/// How long one try waits for what is watched to be read.
const PATIENCE: Duration = Duration::from_secs(10);

/// A subscription that has been opened once, with what it takes to open it again.
#[derive(Clone)]
pub struct Opened {
    plan: Arc<Plan>,
    caller: Caller,
}

impl Server {
    /// Finds out who subscribes and to what. Errors are those of the request, as a JSON list.
    pub(super) async fn plan(
        &self,
        mut reading: Reading,
        session: &Session,
    ) -> std::result::Result<Opened, String> {
        let admitted = self.admit(&reading, session).await.map_err(Refusal::into_json)?;
        self.validate(&mut reading)
            .await
            .map_err(|errors| serde_json::to_string(&errors).unwrap_or_else(|_| "[]".to_owned()))?;
        let plan = Plan::of(&reading, self.costs()).map_err(Refusal::into_json)?;
        let caller = self.settle(&reading, admitted);
        let unknown = Error::Unauthenticated("This needs a bearer token.");
        let caller =
            caller.ok_or_else(|| Refusal::failed(&unknown, session.origin.as_deref()).into_json())?;
        Ok(Opened { plan: Arc::new(plan), caller })
    }

    /// Takes a seat, and puts it, or why there is none, into the inbox.
    pub(super) async fn open(&self, opened: Opened, inbox: Arc<Inbox>, slot: Slot, since: Option<Since>) {
        let since = since.unwrap_or_else(|| opened.plan.after.map_or(Since::Now, Since::After));
        let origin = opened.caller.origin.clone();
        match self.seat(opened, &inbox, slot, since).await {
            Ok((seat, until)) => inbox.put(Item::Seated(slot, seat, until)),
            Err(Error::Unauthenticated(reason)) => inbox.put(Item::Unproven(slot, reason)),
            Err(error) => {
                let refusal = Refusal::failed(&error, origin.as_deref());
                inbox.put(Item::Failed(slot, refusal.into_json()));
            }
        }
    }

    /// Takes a seat, and says until when the proof of who takes it is good.
    async fn seat(
        &self,
        opened: Opened,
        inbox: &Arc<Inbox>,
        slot: Slot,
        since: Since,
    ) -> Result<(Seat, Timestamp)> {
        let Opened { plan, mut caller } = opened;
        let services = self.services();
        let topic = self.topic(&plan, &caller).await?;
        let organization = topic.tenant.id();
        let mut refreshed = false;
        for _ in 0..ATTEMPTS {
            if !caller.belongs_to(organization) {
                return Err(plan.what());
            }
            let mut watch = services.hub.watch(&services.context, topic);
            let state = tokio::time::timeout(PATIENCE, watch.current()).await;
            let state = state.ok().flatten().ok_or(Error::Unavailable("What is watched cannot be read."))?;
            let standing = caller.standing(organization);
            if standing.holds(state.standing) {
                let sight = Sight::of(&caller, &state, plan.personal).ok_or_else(|| plan.what())?;
                if let Since::After(version) | Since::Sent(version) = since {
                    // The client may have read what this node has not looked at yet.
                    if version > state.version && !refreshed {
                        watch.feed().refresh(&services.context).await?;
                        refreshed = true;
                        continue;
                    }
                    watch.feed().recall(&services.context, version).await?;
                }
                let key = ViewKey {
                    document: plan.digest,
                    operation: plan.operation.clone(),
                    variables: plan.selected.clone(),
                    topic,
                    sight,
                    standing,
                };
                let (server, seen, until) = (self.clone(), Arc::clone(&state), caller.expires_at);
                let begin = move || server.begin(&plan, caller);
                let place = (Arc::clone(inbox), slot);
                return Ok((self.views().join(key, (watch, seen), begin, place, since), until));
            }
            // Either the permissions were read before a change of people or grants, or the state was. Somebody
            // else may have read the same person anew already.
            let known = services.callers.remembered(&caller);
            caller = match known.filter(|known| known.standing(organization).holds(state.standing)) {
                Some(known) => known,
                None => services.callers.reread(&services.context, &caller).await?,
            };
            if !caller.standing(organization).holds(state.standing) {
                watch.feed().refresh(&services.context).await?;
            }
        }
        Err(Error::Unavailable("People or grants change too fast."))
    }

    /// What a new view of a plan works with.
    fn begin(&self, plan: &Plan, caller: Caller) -> (Renderer, Option<Payer>) {
        let payer = plan.personal.then(|| Payer {
            throttle: self.throttle().clone(),
            principal: Principal::Caller(caller.id()),
            points: plan.points,
        });
        let request = Request::new(self.services().clone(), Some(caller), false);
        let operation = operation(&plan.document, plan.operation.clone(), plan.variables.clone());
        (Renderer::new(self.schema(true), operation, request), payer)
    }

    /// What is watched, as far as the caller may know of it.
    async fn topic(&self, plan: &Plan, caller: &Caller) -> Result<Topic> {
        let services = self.services();
        let snapshots = Snapshots::new(services.context.db.clone());
        let (organization, of) = match plan.target {
            None => return Err(plan.what()),
            Some(Target::Pool(id)) => {
                let organization = match services.directory.organization(id) {
                    Some(organization) => organization,
                    None => {
                        let directory = &services.directory;
                        let pool = caller.pool(&snapshots, directory, id, Action::ReadPool).await?;
                        pool.organization_id
                    }
                };
                (organization, Of::Pool(id))
            }
            Some(Target::Organization(id)) => {
                caller.organization(&snapshots, id, Action::ReadOrganization).await?;
                (id, Of::Pools)
            }
            Some(Target::Approvals(id)) => {
                caller.organization(&snapshots, id, Action::ReadOrganization).await?;
                (id, Of::Approvals)
            }
            Some(Target::Purchase(id)) => {
                let purchase = caller.purchase(&snapshots, id, Action::ReadPurchases).await?;
                (purchase.organization_id, Of::Purchase(id))
            }
        };
        if !caller.belongs_to(organization) {
            return Err(plan.what());
        }
        // The caller belongs to it; what may be seen is decided by the state.
        Ok(Topic { tenant: Tenant::vouched(organization), of })
    }
}
