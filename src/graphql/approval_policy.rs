//! Approval policies: which purchases need whose consent.

use async_graphql::{Context, Enum, ID, Object};
use bursar_domain::approval::{self as domain, Approvers, Policy, Rule, Stage};
use bursar_domain::id::{OrganizationId, PolicyId};
use bursar_domain::permission::Action;
use bursar_domain::{Currency, Money};
use bursar_entity::approval_policy;
use sea_orm::{ColumnTrait, QueryFilter};

use super::department::Department;
use super::errors::ApiError;
use super::loaders::Key;
use super::member::{Role, User, person};
use super::node::{decode, found};
use super::pool::Pool;
use super::scalars::{CreditsScalar, CurrencyCode, DateTime, MoneyObject};
use super::{Request, signed_in};
use crate::db::Tenant;
use crate::error::Error;
use crate::{approvals, global_id};

/// How many seconds an hour has, in which policies say their times.
pub const HOUR: i64 = 3_600;

/// Who is sent to the checkout once a purchase is approved.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "domain::Payer")]
pub enum ApprovalPayer {
    /// Whoever has asked for it.
    Requester,
    /// Whoever has agreed last.
    Approver,
}

/// The language of mails about approvals, and of pages whose reader asks for none that there is.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "domain::Language")]
pub enum ApprovalLanguage {
    /// English.
    #[graphql(name = "EN")]
    English,
    /// German.
    #[graphql(name = "DE")]
    German,
}

/// By what people are named who may decide.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum ApproversKind {
    /// A person.
    Member,
    /// Everybody with a role.
    Role,
    /// The administrators of the pool that is bought for.
    PoolAdministrators,
    /// The managers of a department.
    DepartmentManagers,
}

/// A version of an organization's approval policy.
pub struct ApprovalPolicy {
    row: approval_policy::Model,
    policy: Policy,
}

impl ApprovalPolicy {
    /// A version that the caller may see.
    pub fn read(row: approval_policy::Model) -> Result<ApprovalPolicy, Error> {
        let policy = approvals::policy_of(&row)?;
        Ok(ApprovalPolicy { row, policy })
    }

    /// The version with a global id, when the caller may see the organization's policies.
    pub async fn find(request: &Request, id: &str) -> Result<ApprovalPolicy, Error> {
        let (caller, id) = (request.caller()?, decode::<PolicyId>(id, "approval policy")?);
        let condition = approval_policy::Column::Id.eq(id);
        let organization = |row: &approval_policy::Model| row.organization_id;
        let found = caller
            .row::<approval_policy::Entity>(&request.snapshots, condition, organization, "approval policy")
            .await?;
        let (organization, row) = found;
        match caller.may_in_organization(organization, Action::ReadApprovalPolicy) {
            true => ApprovalPolicy::read(row),
            false => Err(Error::not_found("approval policy")),
        }
    }

    /// The version of an organization's policy with an id; none for those who may not see it.
    pub async fn of_organization(
        request: &Request,
        tenant: Tenant,
        id: PolicyId,
    ) -> Result<Option<ApprovalPolicy>, Error> {
        if !request.caller()?.may_in_organization(tenant.id(), Action::ReadApprovalPolicy) {
            return Ok(None);
        }
        let snapshot = request.snapshots.open(tenant).await?;
        let row = tenant.find::<approval_policy::Entity>().filter(approval_policy::Column::Id.eq(id));
        row.one(&*snapshot).await?.map(ApprovalPolicy::read).transpose()
    }

    fn money(&self, minor: i64) -> Option<MoneyObject> {
        money(self.policy.currency, minor)
    }
}

/// The version of a policy that is in force. None: none was ever saved.
pub async fn in_force(request: &Request, tenant: Tenant) -> Result<Option<ApprovalPolicy>, Error> {
    let snapshot = request.snapshots.open(tenant).await?;
    approvals::current_policy(&snapshot, tenant).await?.map(ApprovalPolicy::read).transpose()
}

/// An amount of a policy, which has a currency when it has amounts.
fn money(currency: Option<Currency>, minor: i64) -> Option<MoneyObject> {
    currency.map(|currency| Money { minor, currency }.into())
}

/// A version of an approval policy: which purchases need whose consent. The first rule that fits a purchase decides; when
/// none does, it is approved automatically.
#[Object]
impl ApprovalPolicy {
    /// The global id of this version.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.row.id))
    }

    /// 1, 2, 3, ...; the highest is in force.
    async fn version(&self) -> i64 {
        self.row.version
    }

    /// The rules, in order.
    async fn rules(&self) -> Vec<ApprovalRule> {
        let (organization, currency) = (self.row.organization_id, self.policy.currency);
        let rule = |rule: &Rule| ApprovalRule { rule: rule.clone(), organization, currency };
        self.policy.rules.iter().map(rule).collect()
    }

    /// The currency of its amounts. Null when it has none.
    async fn currency(&self) -> Option<CurrencyCode> {
        self.policy.currency.map(CurrencyCode)
    }

    /// After how many hours whoever has not decided is reminded, and again after as many.
    async fn remind_after_hours(&self) -> i64 {
        self.policy.timing.remind_after / HOUR
    }

    /// After how many hours in a stage the owners may decide as well.
    async fn escalate_after_hours(&self) -> i64 {
        self.policy.timing.escalate_after / HOUR
    }

    /// After how many hours a request is over that nobody has decided.
    async fn expire_after_hours(&self) -> i64 {
        self.policy.timing.expire_after / HOUR
    }

    /// Above this total the link of a mail alone does not do: one has to be signed in. Null: it always does.
    async fn sign_in_above(&self) -> Option<MoneyObject> {
        self.policy.sign_in_above.and_then(|minor| self.money(minor))
    }

    /// Who is sent to the checkout once a purchase is approved.
    async fn payer(&self) -> ApprovalPayer {
        self.policy.payer.into()
    }

    /// The language of its mails.
    async fn language(&self) -> ApprovalLanguage {
        self.policy.language.into()
    }

    /// Who has saved this version, as long as they belong to the organization.
    async fn saved_by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load =
            Box::pin(async { person(signed_in(ctx)?, self.row.organization_id, self.row.saved_by).await });
        load.await.transpose()
    }

    /// When.
    async fn saved_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }
}

/// A rule of an approval policy.
pub struct ApprovalRule {
    rule: Rule,
    organization: OrganizationId,
    currency: Option<Currency>,
}

/// A rule of an approval policy: when it fits, and who has to agree then.
#[Object]
impl ApprovalRule {
    /// What it is called.
    async fn name(&self) -> &str {
        &self.rule.name
    }

    /// When it fits.
    async fn conditions(&self) -> ApprovalConditions {
        ApprovalConditions {
            conditions: self.rule.conditions.clone(),
            organization: self.organization,
            currency: self.currency,
        }
    }

    /// Who has to agree, one stage after the other.
    async fn stages(&self) -> Vec<ApprovalStage> {
        let organization = self.organization;
        let stage = |stage: &Stage| ApprovalStage { stage: stage.clone(), organization };
        self.rule.stages.iter().map(stage).collect()
    }
}

/// When a rule fits.
pub struct ApprovalConditions {
    conditions: domain::Conditions,
    organization: OrganizationId,
    currency: Option<Currency>,
}

/// When a rule of an approval policy fits: all that are given have to hold. Bounds admit what is exactly equal to them.
#[Object]
impl ApprovalConditions {
    /// So many credits at least.
    async fn credits_from(&self) -> Option<CreditsScalar> {
        self.conditions.credits_from.map(CreditsScalar)
    }

    /// So many credits at most.
    async fn credits_to(&self) -> Option<CreditsScalar> {
        self.conditions.credits_to.map(CreditsScalar)
    }

    /// Such a total at least.
    async fn total_from(&self) -> Option<MoneyObject> {
        self.conditions.total_from.and_then(|minor| money(self.currency, minor))
    }

    /// Such a total at most.
    async fn total_to(&self) -> Option<MoneyObject> {
        self.conditions.total_to.and_then(|minor| money(self.currency, minor))
    }

    /// Into one of these pools.
    async fn pools(&self, ctx: &Context<'_>) -> Option<Result<Vec<Pool>, ApiError>> {
        let load = Box::pin(async {
            let Some(pools) = &self.conditions.pools else { return Ok(None) };
            // Whoever sees policies sees all pools.
            let keys: Vec<_> = pools.iter().map(|pool| Key(self.organization, *pool)).collect();
            let mut rows = signed_in(ctx)?.rows.load_many(keys.clone()).await?;
            Ok(Some(keys.iter().filter_map(|key| rows.remove(key)).map(Pool).collect()))
        });
        load.await.transpose()
    }

    /// Asked for by somebody with one of these roles. Whoever has none here is met by every list.
    async fn roles(&self) -> Option<Vec<Role>> {
        self.conditions.roles.as_ref().map(|roles| roles.iter().map(|role| Role::from(*role)).collect())
    }

    /// When the organization's purchases of the month, this one among them, come to so much at least.
    async fn month_to_date_from(&self) -> Option<MoneyObject> {
        self.conditions.month_to_date_from.and_then(|minor| money(self.currency, minor))
    }
}

/// A stage of a rule.
pub struct ApprovalStage {
    stage: Stage,
    organization: OrganizationId,
}

/// A stage of a rule: who has to agree at one time.
#[Object]
impl ApprovalStage {
    /// What it is called.
    async fn name(&self) -> &str {
        &self.stage.name
    }

    /// How many have to agree.
    async fn quorum(&self) -> i64 {
        self.stage.quorum
    }

    /// Who may decide: whoever is named by one of these.
    async fn approvers(&self) -> Vec<ApprovalApprovers> {
        let organization = self.organization;
        let named = |approvers: &Approvers| ApprovalApprovers { approvers: *approvers, organization };
        self.stage.approvers.iter().map(named).collect()
    }
}

/// Some of those who may decide.
pub struct ApprovalApprovers {
    approvers: Approvers,
    organization: OrganizationId,
}

/// Some of those who may decide in a stage.
#[Object]
impl ApprovalApprovers {
    /// By what they are named.
    async fn kind(&self) -> ApproversKind {
        match self.approvers {
            Approvers::Member(_) => ApproversKind::Member,
            Approvers::Role(_) => ApproversKind::Role,
            Approvers::PoolAdministrators => ApproversKind::PoolAdministrators,
            Approvers::DepartmentManagers(_) => ApproversKind::DepartmentManagers,
        }
    }

    /// The person, as long as they belong to the organization.
    async fn user(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load = Box::pin(async {
            let Approvers::Member(id) = self.approvers else { return Ok(None) };
            person(signed_in(ctx)?, self.organization, id).await
        });
        load.await.transpose()
    }

    /// The role.
    async fn role(&self) -> Option<Role> {
        match self.approvers {
            Approvers::Role(role) => Some(role.into()),
            _ => None,
        }
    }

    /// The department.
    async fn department(&self, ctx: &Context<'_>) -> Option<Result<Department, ApiError>> {
        let find = Box::pin(async {
            let Approvers::DepartmentManagers(id) = self.approvers else { return Ok(None) };
            found(Department::find(signed_in(ctx)?, &global_id::encode(id)).await)
        });
        find.await.transpose()
    }
}
