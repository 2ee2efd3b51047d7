//! Signing in by an organization's identity provider: what becomes of its word.
//!
//! Whom it means is found out first, in a transaction of the organization (see `organizations::arrive`); then a
//! session is opened that is good in this organization and nowhere else, and recorded there. Who is not let in is
//! recorded there too.

use bursar_domain::id::OrganizationId;
use serde_json::json;

use super::{Client, enter, known};
use crate::audit::{self, Change};
use crate::auth::{Keys, SignedIn, Through, Vouched};
use crate::context::Context;
use crate::db::{self, Scope, Tenant};
use crate::error::{Error, Result};
use crate::organizations;

/// Signs in whomever an organization's provider vouches for. Answers the person's address too.
///
/// # Errors
/// [`Error::Unauthenticated`], with the reason, when they are not let in; [`Error::Stale`] when what is set of the
/// provider has changed since it was asked.
pub async fn enter_by_provider(
    context: &Context,
    keys: &Keys,
    client: &Client,
    vouched: &Vouched,
) -> Result<(String, SignedIn)> {
    let tenant = vouched.tenant;
    let user = match organizations::arrive(context, vouched, client.origin.clone(), client.address).await {
        Ok(user) => user,
        Err(Error::Unauthenticated(reason)) => {
            refuse_by_provider(context, client, tenant, reason).await?;
            return Err(Error::Unauthenticated(reason));
        }
        Err(error) => return Err(error),
    };
    let (clock, of, by) = (context.clock.clone(), keys.clone(), client.clone());
    let (issuer, through) = (vouched.issuer.clone(), Through { tenant, revision: vouched.revision });
    let work = db::work(move |txn| {
        let (clock, keys, client, issuer) = (clock.clone(), of.clone(), by.clone(), issuer.clone());
        Box::pin(async move {
            // Somebody may have them forgotten just now.
            let person = known(txn, user).await?;
            let person = person.ok_or(Error::Unauthenticated("The token is not valid."))?;
            let facts = json!({ "issuer": issuer });
            let way = ("signInByProvider", facts);
            let signed_in = enter(txn, &keys, &clock, &client, user, Some(through), way).await?;
            Ok((person.email, signed_in))
        })
    });
    context.db.write(Scope::SignIn(user), work).await
}

/// Records in an organization's log that somebody was not let in.
///
/// # Errors
/// What the database answers.
pub async fn refuse_by_provider(
    context: &Context,
    client: &Client,
    tenant: Tenant,
    reason: &'static str,
) -> Result<()> {
    let organization: OrganizationId = tenant.id();
    let change = Change::created("refuseSignInByProvider", organization, json!({ "reason": reason }));
    audit::note(context, tenant, &client.nobody().at_address(Some(client.address)), change).await
}
