//! Setting how pools buy by themselves.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::permission::Action;

use super::auto_top_up::AutoTopUp;
use super::errors::{ApiError, UserError, user_error};
use super::money::MoneyInput;
use super::pool_mutation::managed;
use super::scalars::CreditsScalar;
use super::signed_in;
use crate::purchases;

/// How a pool is to buy by itself.
#[derive(InputObject)]
pub struct SetAutoTopUpInput {
    /// The pool.
    pool_id: ID,
    /// Whether it is switched on.
    #[graphql(default = true)]
    enabled: bool,
    /// It buys at so many available credits, and below: at most ten times what the package adds.
    threshold: CreditsScalar,
    /// The code of the package that it buys.
    package: String,
    /// The most that it spends in a calendar month of the organization: at least what the package costs now, or 0 for
    /// nothing at all. Left out: no limit.
    monthly_maximum: Option<MoneyInput>,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// How a pool buys by itself now.
#[derive(SimpleObject, Default)]
pub struct SetAutoTopUpPayload {
    /// The settings, and where it stands.
    auto_top_up: Option<AutoTopUp>,
    /// Where somebody agrees to the way of paying. Whoever has this address may agree for the organization. Null when
    /// nobody has to, and in a dry run.
    setup_url: Option<String>,
    /// Why it was not set. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that sets how pools buy by themselves.
#[derive(Default)]
pub struct AutoTopUpMutation;

#[Object]
impl AutoTopUpMutation {
    /// Sets how a pool buys a package by itself when its credits run out. A way of paying is charged only once somebody
    /// has agreed to it, at the address that is answered; what was agreed to covers the same package, at no higher threshold
    /// and no more in a month, at whatever price it has then.
    async fn set_auto_top_up(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How it is to be.")] input: SetAutoTopUpInput,
    ) -> Option<Result<SetAutoTopUpPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let pool = managed(request, &input.pool_id, Action::ManageBilling).await?;
                let maximum =
                    input.monthly_maximum.clone().map(|money| money.read("monthlyMaximum")).transpose()?;
                let settings = purchases::AutoTopUp {
                    enabled: input.enabled,
                    threshold: input.threshold.0,
                    package: input.package.clone(),
                    monthly_maximum: maximum,
                    dry_run: input.dry_run,
                };
                purchases::set_auto_top_up(&request.services.selling, &pool, settings).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(set) => Ok(SetAutoTopUpPayload {
                auto_top_up: Some(AutoTopUp(set.row)),
                setup_url: set.setup_url,
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| SetAutoTopUpPayload { user_errors: vec![error], ..Default::default() }),
        })
    }
}
