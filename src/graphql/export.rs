//! Taking everything out of an organization: the link that a browser can follow.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::permission::Action;

use super::errors::{ApiError, UserError, user_error};
use super::organization;
use super::scalars::DateTime;
use super::signed_in;
use crate::organizations;

/// An organization that is to be taken out.
#[derive(InputObject)]
pub struct ExportOrganizationInput {
    /// Which organization.
    organization_id: ID,
}

/// Where everything that is kept of an organization can be fetched.
#[derive(SimpleObject)]
pub struct OrganizationExport {
    /// From when on the address is no longer good.
    expires_at: DateTime,
    /// The address of the archive: a `tar` file. Whoever has it may fetch it, without a token and as often as they like,
    /// as long as the person who asked for it may, and is signed in.
    url: String,
}

/// An organization that can be taken out.
#[derive(SimpleObject)]
pub struct ExportOrganizationPayload {
    /// Where.
    export: Option<OrganizationExport>,
    /// Why it cannot be taken out. Empty when it can.
    user_errors: Vec<UserError>,
}

/// The part of the root that is about taking organizations out.
#[derive(Default)]
pub struct ExportMutation;

#[Object]
impl ExportMutation {
    /// Makes a link to everything that is kept of an organization, as an archive, which is good for at most 10 minutes.
    /// The organization's log says who has asked, and each time that it was fetched. For its owners and the operator.
    async fn export_organization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ExportOrganizationInput,
    ) -> Option<Result<ExportOrganizationPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let found =
                organization::authorized(request, &input.organization_id, Action::ExportOrganization).await;
            let found = found.map_err(|error| error.at("organizationId"))?;
            let (services, caller) = (&request.services, request.caller()?);
            request.snapshots.close().await;
            let link = organizations::export(&services.context, &services.keys, &caller, &found).await?;
            let url = services.config.link(&link.path());
            let export = OrganizationExport { expires_at: DateTime(link.expires_at()), url };
            Ok::<OrganizationExport, crate::error::Error>(export)
        });
        Some(match outcome.await {
            Ok(export) => Ok(ExportOrganizationPayload { export: Some(export), user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| ExportOrganizationPayload { export: None, user_errors: vec![error] }),
        })
    }
}
