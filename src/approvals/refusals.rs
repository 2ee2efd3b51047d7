//! Recording that somebody has tried to decide or to pay and could not: by a wrong code, by a link that is over, as somebody
//! else; or through the API.
//!
//! Each link, or request and person, and reason is recorded once in ten minutes, on all nodes together, however often it is
//! tried. Nobody waits for it, and when the server goes down in between there is no record. That a link has ended by wrong
//! codes is another thing: it is recorded where that is written.

use std::net::IpAddr;

use bursar_domain::approval::NotApprovable;
use bursar_domain::id::{ApprovalId, ApprovalLinkId, UserId};
use serde_json::json;

use super::link::ApprovalLink;
use crate::audit::{self, Change};
use crate::auth::{Actor, Attempt, Attempts};
use crate::db::Tenant;
use crate::error::Result;
use crate::global_id;

/// Has it recorded that a link was refused, and why. `origin` is the id of the request.
pub fn note_refusal(
    attempts: &Attempts,
    link: &ApprovalLink,
    (origin, address): (String, IpAddr),
    reason: &'static str,
) {
    let id = global_id::encode(link.id());
    let facts = json!({ "link": id, "round": link.round(), "reason": reason });
    // Whoever has the link is not known to be its person; where it came from is kept as that person's.
    let change = Change::created("refuseApproval", link.request(), facts);
    let change = change.about(Some(link.user()), "address", address.to_string());
    note(attempts, link.tenant(), Actor::system(Some(origin)), (format!("{id} {reason}"), change));
}

/// Has it recorded that somebody who has signed in could not decide through the API, and why.
pub fn note_refused_decision(
    attempts: &Attempts,
    (tenant, actor): (Tenant, &Actor),
    (request, round, person): (ApprovalId, i64, UserId),
    reason: NotApprovable,
) {
    let subject = format!("{} {} {reason}", global_id::encode(request), global_id::encode(person));
    let facts = json!({ "way": "API", "round": round, "reason": reason.as_str() });
    note(attempts, tenant, actor.clone(), (subject, Change::created("refuseApproval", request, facts)));
}

/// What is to be recorded of a link that has ended because a wrong code was entered too often, in the transaction that ends
/// it. By whom is not known.
pub fn link_ended(
    actor: &Actor,
    (request, round): (ApprovalId, i64),
    (link, person): (ApprovalLinkId, UserId),
) -> Change {
    let facts = json!({ "link": global_id::encode(link), "round": round, "reason": "TRIED_TOO_OFTEN" });
    let change = Change::created("endApprovalLink", request, facts);
    match actor.address {
        Some(address) => change.about(Some(person), "address", address.to_string()),
        None => change,
    }
}

fn note(attempts: &Attempts, tenant: Tenant, actor: Actor, (subject, change): (String, Change)) {
    let attempts = attempts.clone();
    let noted = async move {
        if !attempts.first(Attempt::RefusalsOfApproval, &subject).await? {
            return Ok(());
        }
        audit::note(attempts.context(), tenant, &actor, change).await
    };
    tokio::spawn(async move {
        let noted: Result<()> = noted.await;
        if let Err(error) = noted {
            tracing::warn!(%error, "that somebody could not decide could not be recorded");
        }
    });
}
