//! What mails and pages show of an organization beside its name.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::permission::Action;
use bursar_entity::organization;
use data_encoding::BASE64;

use super::errors::{ApiError, UserError, user_error};
use super::organization::{Organization, authorized};
use super::signed_in;
use crate::db::Tenant;
use crate::organizations;

/// The logo of an organization, as a data URL.
pub async fn logo_of(
    ctx: &Context<'_>,
    organization: &organization::Model,
) -> Result<Option<String>, ApiError> {
    let request = signed_in(ctx)?;
    // Only organizations that the caller may see become objects.
    let tenant = Tenant::vouched(organization.id);
    let snapshot = request.snapshots.open(tenant).await?;
    let logo = organizations::logo_of(&snapshot, tenant).await?;
    Ok(logo.map(|logo| format!("data:image/png;base64,{}", BASE64.encode(&logo))))
}

/// What mails and pages are to show of an organization.
#[derive(InputObject)]
pub struct SetOrganizationLogoInput {
    /// Which organization.
    organization_id: ID,
    /// A PNG image of at most 64 KiB and 1024 x 1024 pixels, as base64. Left out: none any more.
    logo: Option<String>,
}

/// An organization whose logo was set.
#[derive(SimpleObject)]
pub struct SetOrganizationLogoPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why it was not set. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that changes what is shown of organizations.
#[derive(Default)]
pub struct BrandMutation;

#[Object]
impl BrandMutation {
    /// Sets the logo that mails and pages show of an organization, or takes it away.
    async fn set_organization_logo(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: SetOrganizationLogoInput,
    ) -> Option<Result<SetOrganizationLogoPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let organization =
                    authorized(request, &input.organization_id, Action::UpdateOrganization).await;
                let organization = organization.map_err(|error| error.at("organizationId"))?;
                request.snapshots.close().await;
                organizations::set_logo(&request.services.context, &organization, input.logo.clone()).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(SetOrganizationLogoPayload {
                organization: Some(Organization(value)),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| SetOrganizationLogoPayload { organization: None, user_errors: vec![error] }),
        })
    }
}
