//! Accepting an invitation, by whoever has the mail or by the invited person who is signed in.
//!
//! A link proves that somebody reads the mail of the invited address. So the page makes the person with that address
//! a member, whoever opens it; and who is signed in as somebody else cannot turn a mail that was passed on into a
//! place of their own. Accepting again answers the same. A person who is a member already keeps the role: what has
//! been given meanwhile is newer than the question.
//!
//! Locks: the organization, as for every change of its people and its invitations.

use std::net::IpAddr;

use bursar_domain::id::{InvitationId, MembershipId, UserId};
use bursar_domain::invitation::InvitationState;
use bursar_entity::{invitation, membership, organization, user};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, Set, Unchanged};
use serde_json::json;

use super::invitation_link::InvitationLink;
use super::invitations::{find, state_of};
use super::{departures, lock_organization, person, still_known};
use crate::approvals;
use crate::audit::{self, Change};
use crate::auth::{Actor, Attempt, Attempts, Caller, Keys};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::scope::find_people;
use crate::db::{self, Scope, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::{global_id, text};

/// What the page of an invitation shows.
#[derive(Clone, Debug)]
pub struct Invited {
    /// The invitation.
    pub invitation: invitation::Model,
    /// The organization.
    pub organization: organization::Model,
    /// The name of whoever has sent it, as long as they belong to the organization.
    pub inviter: Option<String>,
    /// What has become of it.
    pub state: InvitationState,
    /// Whether a newer mail has another link.
    pub replaced: bool,
}

/// An invitation that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The organization.
    pub organization: organization::Model,
    /// The person's place in it.
    pub member: membership::Model,
    /// Whether it had been accepted before.
    pub already: bool,
}

/// Looks an invitation up by its link. Changes nothing.
pub async fn find_invitation(context: &Context, link: &InvitationLink) -> Result<Invited> {
    let (tenant, missing) = (link.tenant(), || Error::not_found("invitation").at("token"));
    let snapshot = context.db.read(tenant).await?;
    let invitation = find(&snapshot, tenant, link.invitation()).await?.ok_or_else(missing)?;
    let organization = tenant.find::<organization::Entity>().one(&snapshot).await?.ok_or_else(missing)?;
    let inviter = find_people().filter(user::Column::Id.eq(invitation.invited_by)).one(&snapshot).await?;
    let state = state_of(&invitation, context.clock.now());
    let replaced = invitation.round != link.round();
    Ok(Invited { invitation, organization, inviter: inviter.map(|person| person.name), state, replaced })
}

/// Accepts for the invited address: whoever has the link reads its mail. `name` is what to call the person, when
/// Bursar does not know them yet.
pub async fn accept_by_mailbox(
    context: &Context,
    link: &InvitationLink,
    name: Option<&str>,
    origin: Option<String>,
    address: IpAddr,
) -> Result<Accepted> {
    let name = name.map(|name| text::name_in_mail("name", name)).transpose()?;
    let invited = find_invitation(context, link).await?;
    accept(context, link, (invited.invitation.email, name), (origin, Some(address))).await
}

/// Accepts as somebody who is signed in, by the last part of the link's address. It has to be the invited person.
/// Links that are not good are counted.
pub async fn accept_invitation(
    context: &Context,
    attempts: &Attempts,
    keys: &Keys,
    caller: &Caller,
    link: &str,
) -> Result<Accepted> {
    // A key belongs to nobody who could be invited.
    let person = caller.person().ok_or(Error::Forbidden)?;
    let link = match InvitationLink::read(keys, link) {
        Ok(link) => link,
        Err(error) => {
            let counted = attempts.count(Attempt::LinksOfPrincipal, &global_id::encode(person.id)).await;
            if matches!(counted, Err(Error::Throttled { .. })) {
                let (attempts, caller) = (attempts.clone(), caller.clone());
                tokio::spawn(async move {
                    if let Err(error) = note_throttled(&attempts, &caller).await {
                        tracing::warn!(%error, "that too many links were tried could not be recorded");
                    }
                });
            }
            counted?;
            return Err(error);
        }
    };
    let invited = find_invitation(context, &link).await?;
    if invited.invitation.email != person.email {
        let (attempts, caller, id) = (attempts.clone(), caller.clone(), link.invitation());
        let tenant = link.tenant();
        tokio::spawn(async move {
            if let Err(error) = note_refusal(&attempts, &caller, tenant, id).await {
                tracing::warn!(%error, "that an invitation was refused could not be recorded");
            }
        });
        return Err(Error::Forbidden);
    }
    let from = (caller.origin.clone(), caller.address);
    accept(context, &link, (invited.invitation.email, None), from).await
}

/// Records that somebody has brought another person's invitation, once in ten minutes for each. Nobody waits for it.
async fn note_refusal(attempts: &Attempts, caller: &Caller, tenant: Tenant, id: InvitationId) -> Result<()> {
    let Some(person) = caller.person() else { return Ok(()) };
    let subject = format!("{} {}", global_id::encode(id), global_id::encode(person.id));
    if !attempts.first(Attempt::RefusalsOfInvitation, &subject).await? {
        return Ok(());
    }
    let change = Change::created("refuseInvitation", id, json!({ "reason": "another person" }));
    note(attempts, caller, tenant, change).await
}

/// Records that somebody has brought too many links that Bursar has not made, once in ten minutes. Whose they were to be
/// nobody knows, so it is in the vendor's log.
async fn note_throttled(attempts: &Attempts, caller: &Caller) -> Result<()> {
    let Some(person) = caller.person() else { return Ok(()) };
    let subject = format!("links {}", global_id::encode(person.id));
    if !attempts.first(Attempt::RefusalsOfPrincipal, &subject).await? {
        return Ok(());
    }
    let vendor = Tenant::vendor();
    let change = Change::created("throttleLinks", vendor.id(), json!({ "reason": "too many tries" }));
    note(attempts, caller, vendor, change).await
}

/// Writes to the log of an organization that the person need not belong to. Then nobody would look here for where they
/// came from when they are forgotten: it is emptied when it is old.
async fn note(attempts: &Attempts, caller: &Caller, tenant: Tenant, change: Change) -> Result<()> {
    let change = match caller.address {
        Some(address) => change.about(None, "address", address.to_string()),
        None => change,
    };
    audit::note(attempts.context(), tenant, &caller.actor().at_address(None), change).await
}

async fn accept(
    context: &Context,
    link: &InvitationLink,
    (email, name): (String, Option<String>),
    (origin, address): (Option<String>, Option<IpAddr>),
) -> Result<Accepted> {
    let (tenant, clock, link) = (link.tenant(), context.clock.clone(), link.clone());
    // An invitation never changes its address.
    let scope = Scope::TenantAndEmail(tenant, email);
    let work = db::work(move |txn| {
        let (clock, link, name, origin) = (clock.clone(), link.clone(), name.clone(), origin.clone());
        Box::pin(async move {
            let organization = lock_organization(txn, tenant).await?;
            let before = find(txn, tenant, link.invitation()).await?;
            let before = before.ok_or(Error::not_found("invitation").at("token"))?;
            let not_now = |reason: &'static str| Err(Error::conflict(Conflict::State, "token", reason));
            match state_of(&before, clock.now()) {
                InvitationState::Accepted => {
                    let member = match before.accepted_by {
                        Some(user) => member(txn, tenant, user).await?,
                        None => None,
                    };
                    return match member {
                        Some(member) => Ok((Accepted { organization, member, already: true }, Vec::new())),
                        None => not_now("This invitation was accepted before, and is used up."),
                    };
                }
                InvitationState::Revoked => return not_now("This invitation was taken back."),
                _ if before.round != link.round() => {
                    return not_now(
                        "This invitation was sent again. The link in the newest mail is the good one.",
                    );
                }
                InvitationState::Expired => {
                    return not_now("This invitation has expired. Ask for another one.");
                }
                InvitationState::Pending => {}
            }
            let user = person(txn, &clock, &before.email, name.as_deref()).await?;
            let actor = Actor::user(user, origin).at_address(address);
            let mut changes = Vec::new();
            let member = match member(txn, tenant, user).await? {
                Some(member) => member,
                None => {
                    let (member, change) = join(txn, tenant, &clock, user, &before).await?;
                    changes.push(change);
                    member
                }
            };
            let row = invitation::ActiveModel {
                organization_id: Unchanged(tenant.id()),
                id: Unchanged(before.id),
                accepted_at: Set(Some(clock.now())),
                accepted_by: Set(Some(user)),
                ..Default::default()
            };
            invitation::Entity::update(row).exec_without_returning(txn).await?;
            let was = json!({ "state": InvitationState::Pending.as_str() });
            let is = json!({
                "state": InvitationState::Accepted.as_str(),
                "user": global_id::encode(user),
                "member": global_id::encode(member.id),
            });
            changes.push(Change::updated("acceptInvitation", before.id, was, is));
            // A new owner may decide where nobody else can.
            let touched = approvals::people_changed(txn, tenant, &clock).await?;
            for change in changes {
                audit::record(txn, tenant, &clock, &actor, change).await?;
            }
            let requests = touched.record(txn, tenant, &clock, &actor).await?;
            Ok((Accepted { organization, member, already: false }, requests))
        })
    });
    let (accepted, requests) = context.db.write(scope, work).await?;
    approvals::announce(context, tenant, &requests);
    Ok(accepted)
}

/// A person's place in an organization.
async fn member(txn: &Txn, tenant: Tenant, user: UserId) -> Result<Option<membership::Model>> {
    let row = tenant.find::<membership::Entity>().filter(membership::Column::UserId.eq(user));
    Ok(row.one(txn).await?)
}

/// Makes a person what the invitation says, and answers what is to be recorded of that.
async fn join(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    user: UserId,
    invitation: &invitation::Model,
) -> Result<(membership::Model, Change)> {
    let row = membership::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<MembershipId>(),
        user_id: user,
        role: invitation.role,
        created_at: clock.now(),
    };
    membership::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    still_known(txn, user).await?;
    departures::undo(txn, tenant, user).await?;
    let facts = json!({
        "user": global_id::encode(user),
        "role": row.role.as_str(),
        "invitation": global_id::encode(invitation.id),
    });
    let change = Change::created("addMember", row.id, facts);
    Ok((row, change))
}
