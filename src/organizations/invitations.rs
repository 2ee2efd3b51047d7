//! Invitations: asking somebody by e-mail to join an organization, asking again, and taking it back.
//!
//! Every change of an invitation holds the organization's lock, as every change of its people does; so an
//! invitation is never accepted beside being taken back, and whoever invites is looked at as they are then. The
//! mail is appended in the same transaction; its link carries a proof that is made when the mail is written and
//! stored nowhere. Each mail is a round, and only the link of the last round is good.
//!
//! Nobody invites above what they may make somebody at once (see `may_give`), now or later: when a member is
//! removed or lowered, what they have asked for and may not ask for any more is taken back, and so is what would
//! bring a removed member back.
//!
//! Nothing here tells whether Bursar knows a person: that is looked up when the invitation is accepted.

use bursar_domain::Timestamp;
use bursar_domain::id::InvitationId;
use bursar_domain::invitation::{InvitationState, LIFETIME_DAYS, state};
use bursar_domain::organization::{Role, mailbox};
use bursar_entity::{invitation, membership, organization, user};
use sea_orm::{ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, Set, Unchanged};
use serde_json::{Value, json};

use super::invitation_link::InvitationLink;
use super::members::may_give;
use super::{as_of_now, lock_organization};
use crate::audit::{self, Change};
use crate::auth::{Actor, Attempt, Attempts, Authorized, Caller};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::scope::find_people;
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::outbox::{self, InvitationFacts, Mail, Template, UserOrAddress};
use crate::{global_id, text};

/// Who is to be invited.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// The address.
    pub email: String,
    /// What the person is to be.
    pub role: Role,
}

/// Invites somebody. To invite an owner takes the right to make owners. An address has one open invitation of an
/// organization at a time; one whose time is over makes room.
pub async fn invite(
    context: &Context,
    attempts: &Attempts,
    caller: &Caller,
    organization: &Authorized<organization::Model>,
    new: NewInvitation,
) -> Result<invitation::Model> {
    may_give(caller, organization.id, new.role)?;
    // A key invites nobody.
    let sender = caller.person().ok_or(Error::Forbidden)?.clone();
    let address = text::email("email", &new.email)?;
    if address == sender.email {
        // Nobody gives themselves a role.
        return Err(Error::Forbidden);
    }
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let (limits, by) = (attempts.clone(), actor.clone());
    let (caller, role, attempts) = (caller.clone(), new.role, attempts.clone());
    let work = db::work(move |txn| {
        let (actor, clock, caller, address) = (actor.clone(), clock.clone(), caller.clone(), address.clone());
        let (sender, attempts) = (sender.clone(), attempts.clone());
        Box::pin(async move {
            let organization = lock_organization(txn, tenant).await?;
            let caller = as_of_now(txn, tenant, caller).await?;
            may_give(&caller, tenant.id(), role)?;
            if is_member(txn, tenant, &address).await? {
                let reason = "This person is a member already.";
                return Err(Error::conflict(Conflict::Taken, "email", reason));
            }
            let now = clock.now();
            let open =
                open_of(tenant).filter(invitation::Column::Email.eq(address.as_str())).one(txn).await?;
            let mut changes = Vec::new();
            if let Some(before) = open {
                if before.expires_at > now {
                    let reason = "This address has an open invitation; send that one again, or revoke it.";
                    return Err(Error::conflict(Conflict::Taken, "email", reason));
                }
                changes.push(close(txn, tenant, now, &before).await?.1);
            }
            let row = invitation::Model {
                organization_id: tenant.id(),
                id: clock.new_id(),
                email: address,
                role,
                invited_by: sender.id,
                round: 1,
                created_at: now,
                expires_at: now.plus_days(LIFETIME_DAYS),
                accepted_at: None,
                accepted_by: None,
                revoked_at: None,
            };
            invitation::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
            count(txn, tenant, &attempts, &row).await?;
            post(txn, tenant, &clock, (&organization, &sender), &row).await?;
            changes.push(Change::created("inviteMember", row.id, facts(&row)));
            for change in changes {
                audit::record(txn, tenant, &clock, &actor, change).await?;
            }
            Ok(row)
        })
    });
    let sent = context.db.write(tenant, work).await;
    note_throttled(&limits, tenant, by, &sent);
    let row = sent?;
    context.changes.announce_mail();
    Ok(row)
}

/// Sends an invitation again, with a new link and all of its time; earlier links are no longer good. Whoever sends
/// it answers for it from now on.
pub async fn resend_invitation(
    context: &Context,
    attempts: &Attempts,
    caller: &Caller,
    organization: &Authorized<organization::Model>,
    invitation: &invitation::Model,
) -> Result<invitation::Model> {
    may_give(caller, organization.id, invitation.role)?;
    let sender = caller.person().ok_or(Error::Forbidden)?.clone();
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let (limits, by) = (attempts.clone(), actor.clone());
    let (caller, id, attempts) = (caller.clone(), invitation.id, attempts.clone());
    let work = db::work(move |txn| {
        let (actor, clock, caller, sender) = (actor.clone(), clock.clone(), caller.clone(), sender.clone());
        let attempts = attempts.clone();
        Box::pin(async move {
            let organization = lock_organization(txn, tenant).await?;
            let caller = as_of_now(txn, tenant, caller).await?;
            let before = find(txn, tenant, id).await?.ok_or(missing())?;
            may_give(&caller, tenant.id(), before.role)?;
            if before.email == sender.email {
                return Err(Error::Forbidden);
            }
            let now = clock.now();
            still_open(state_of(&before, now), "sent again")?;
            let after = invitation::Model {
                round: before.round.saturating_add(1),
                invited_by: sender.id,
                expires_at: now.plus_days(LIFETIME_DAYS),
                ..before.clone()
            };
            let row = invitation::ActiveModel {
                organization_id: Unchanged(tenant.id()),
                id: Unchanged(id),
                round: Set(after.round),
                invited_by: Set(after.invited_by),
                expires_at: Set(after.expires_at),
                ..Default::default()
            };
            invitation::Entity::update(row).exec_without_returning(txn).await?;
            count(txn, tenant, &attempts, &after).await?;
            post(txn, tenant, &clock, (&organization, &sender), &after).await?;
            let change = Change::updated("resendInvitation", id, facts(&before), facts(&after));
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    let sent = context.db.write(tenant, work).await;
    note_throttled(&limits, tenant, by, &sent);
    let row = sent?;
    context.changes.announce_mail();
    Ok(row)
}

/// Takes an invitation back. One that was taken back stays as it is.
pub async fn revoke_invitation(
    context: &Context,
    caller: &Caller,
    organization: &Authorized<organization::Model>,
    id: InvitationId,
) -> Result<invitation::Model> {
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let caller = caller.clone();
    let work = db::work(move |txn| {
        let (actor, clock, caller) = (actor.clone(), clock.clone(), caller.clone());
        Box::pin(async move {
            lock_organization(txn, tenant).await?;
            let caller = as_of_now(txn, tenant, caller).await?;
            let before = find(txn, tenant, id).await?.ok_or(missing())?;
            may_give(&caller, tenant.id(), before.role)?;
            let state = state_of(&before, clock.now());
            if state == InvitationState::Revoked {
                return Ok(before);
            }
            still_open(state, "revoked")?;
            let (after, change) = close(txn, tenant, clock.now(), &before).await?;
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    context.db.write(tenant, work).await
}

/// Takes all open invitations back that a condition holds for, and answers what is to be recorded of that. The
/// organization's row is locked.
pub(super) async fn revoke_open(
    txn: &Txn,
    tenant: Tenant,
    now: Timestamp,
    which: Condition,
) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for row in open_of(tenant).filter(which).all(txn).await? {
        changes.push(close(txn, tenant, now, &row).await?.1);
    }
    Ok(changes)
}

/// What has become of an invitation at `now`.
pub(super) fn state_of(row: &invitation::Model, now: Timestamp) -> InvitationState {
    state(row.accepted_at.is_some(), row.revoked_at.is_some(), row.expires_at, now)
}

/// An invitation of an organization.
pub(super) async fn find(txn: &Txn, tenant: Tenant, id: InvitationId) -> Result<Option<invitation::Model>> {
    let row = tenant.find::<invitation::Entity>().filter(invitation::Column::Id.eq(id));
    Ok(row.one(txn).await?)
}

/// Those that were neither accepted nor taken back.
fn open_of(tenant: Tenant) -> sea_orm::Select<invitation::Entity> {
    tenant
        .find::<invitation::Entity>()
        .filter(invitation::Column::AcceptedAt.is_null())
        .filter(invitation::Column::RevokedAt.is_null())
}

/// Takes an invitation back, and answers what is to be recorded of that.
async fn close(
    txn: &Txn,
    tenant: Tenant,
    now: Timestamp,
    before: &invitation::Model,
) -> Result<(invitation::Model, Change)> {
    let after = invitation::Model { revoked_at: Some(now), ..before.clone() };
    let row = invitation::ActiveModel {
        organization_id: Unchanged(tenant.id()),
        id: Unchanged(before.id),
        revoked_at: Set(after.revoked_at),
        ..Default::default()
    };
    invitation::Entity::update(row).exec_without_returning(txn).await?;
    let revoked = |revoked: bool| json!({ "revoked": revoked });
    Ok((after, Change::updated("revokeInvitation", before.id, revoked(false), revoked(true))))
}

/// Whether an address is that of a member. The scope shows the organization's people.
async fn is_member(txn: &Txn, tenant: Tenant, address: &str) -> Result<bool> {
    let Some(person) = find_people().filter(user::Column::Email.eq(address)).one(txn).await? else {
        return Ok(false);
    };
    let member = tenant.find::<membership::Entity>().filter(membership::Column::UserId.eq(person.id));
    Ok(member.one(txn).await?.is_some())
}

fn still_open(state: InvitationState, done: &str) -> Result<()> {
    match state {
        InvitationState::Pending | InvitationState::Expired => Ok(()),
        state => {
            let reason = format!("An invitation that is {state} cannot be {done}.");
            Err(Error::conflict(Conflict::State, "invitationId", reason))
        }
    }
}

fn missing() -> Error {
    Error::not_found("invitation").at("invitationId")
}

/// Counts the mail of an invitation, with what causes it: what is refused has sent nothing.
async fn count(txn: &Txn, tenant: Tenant, attempts: &Attempts, row: &invitation::Model) -> Result<()> {
    let (sender, organization) = (global_id::encode(row.invited_by), global_id::encode(tenant.id()));
    // By organization: nobody learns from a limit whom others have invited.
    let mailbox = format!("{organization} {}", mailbox(&row.email));
    let tries = [
        (Attempt::InvitationsBySender, sender.as_str()),
        (Attempt::InvitationsOfOrganization, organization.as_str()),
        (Attempt::InvitationsToAddress, mailbox.as_str()),
    ];
    attempts.count_in(txn, &tries).await
}

/// Has it recorded, when it is so, that somebody has sent too many invitations, once in ten minutes. Nobody waits for it.
fn note_throttled<T>(attempts: &Attempts, tenant: Tenant, by: Actor, outcome: &Result<T>) {
    if !matches!(outcome, Err(Error::Throttled { .. })) {
        return;
    }
    let attempts = attempts.clone();
    tokio::spawn(async move {
        if let Err(error) = throttled(&attempts, tenant, &by).await {
            tracing::warn!(%error, "that somebody has sent too many invitations could not be recorded");
        }
    });
}

async fn throttled(attempts: &Attempts, tenant: Tenant, by: &Actor) -> Result<()> {
    let person = by.user_id().map(global_id::encode).unwrap_or_default();
    let subject = format!("invitations {} {person}", global_id::encode(tenant.id()));
    if !attempts.first(Attempt::RefusalsOfPrincipal, &subject).await? {
        return Ok(());
    }
    let change = Change::created("throttleInvitations", tenant.id(), json!({ "reason": "too many tries" }));
    audit::note(attempts.context(), tenant, by, change).await
}

/// What the log says of an invitation: no address.
fn facts(row: &invitation::Model) -> Value {
    json!({ "role": row.role.as_str(), "round": row.round, "expiresAt": row.expires_at.micros() })
}

/// Appends the mail of an invitation.
async fn post(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    (organization, sender): (&organization::Model, &user::Model),
    row: &invitation::Model,
) -> Result<()> {
    let facts = InvitationFacts {
        organization: organization.name.clone(),
        inviter: sender.name.clone(),
        role: row.role,
        expires_at: row.expires_at,
    };
    let mail = Mail {
        to: UserOrAddress::Address(row.email.clone()),
        template: Template::Invitation,
        facts: facts.into(),
        link: Some(InvitationLink::unproven(row)),
    };
    outbox::append(txn, tenant, clock, mail).await?;
    Ok(())
}
