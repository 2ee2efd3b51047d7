//! Approval policies as clients give them: what they name is looked up, and amounts have to be in the organization's
//! currency. Whether it makes a policy is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::{ID, InputObject, OneofObject};
use bursar_domain::approval::{Approvers, Conditions, Policy, Rule, Stage, Timing};
use bursar_domain::id::{DepartmentId, Id, MembershipId, PoolId, UserId};
use bursar_domain::{Currency, organization as domain};
use bursar_entity::{department, membership, organization, pool};

use super::Request;
use super::approval_policy::{ApprovalLanguage, ApprovalPayer, HOUR};
use super::member::Role;
use super::money::MoneyInput;
use super::node::decode;
use super::scalars::CreditsScalar;
use crate::auth::Authorized;
use crate::error::Error;

/// What an approval policy is to say.
#[derive(InputObject)]
pub struct ApprovalPolicyInput {
    /// The rules, in order: the first that fits a purchase decides. Empty: nobody is asked.
    rules: Vec<ApprovalRuleInput>,
    /// After how many hours whoever has not decided is reminded, and again after as many.
    #[graphql(default = 24)]
    remind_after_hours: i32,
    /// After how many hours in a stage the owners may decide as well.
    #[graphql(default = 48)]
    escalate_after_hours: i32,
    /// After how many hours a request is over that nobody has decided.
    #[graphql(default = 168)]
    expire_after_hours: i32,
    /// Above this total the link of a mail alone does not do: one has to be signed in. Left out: it always does.
    sign_in_above: Option<MoneyInput>,
    /// Who is sent to the checkout once a purchase is approved.
    #[graphql(default_with = "ApprovalPayer::Requester")]
    payer: ApprovalPayer,
    /// The language of mails.
    #[graphql(default_with = "ApprovalLanguage::English")]
    language: ApprovalLanguage,
}

/// A rule of an approval policy.
#[derive(InputObject)]
pub struct ApprovalRuleInput {
    /// What it is called.
    name: String,
    /// When it fits.
    conditions: ApprovalConditionsInput,
    /// Who has to agree, one stage after the other.
    stages: Vec<ApprovalStageInput>,
}

/// When a rule fits: all that are given have to hold. Bounds admit what is exactly equal to them.
#[derive(InputObject)]
pub struct ApprovalConditionsInput {
    /// So many credits at least.
    credits_from: Option<CreditsScalar>,
    /// So many credits at most.
    credits_to: Option<CreditsScalar>,
    /// Such a total at least.
    total_from: Option<MoneyInput>,
    /// Such a total at most.
    total_to: Option<MoneyInput>,
    /// Into one of these pools.
    pool_ids: Option<Vec<ID>>,
    /// Asked for by somebody with one of these roles. Whoever has none here is met by every list.
    roles: Option<Vec<Role>>,
    /// When the organization's purchases of the month, this one among them, come to so much at least.
    month_to_date_from: Option<MoneyInput>,
}

/// A stage of a rule.
#[derive(InputObject)]
pub struct ApprovalStageInput {
    /// What it is called.
    name: String,
    /// How many have to agree.
    #[graphql(default = 1)]
    quorum: i32,
    /// Who may decide: whoever is named by one of these.
    approvers: Vec<ApproversInput>,
}

/// Some of those who may decide in a stage: exactly one of these.
#[derive(OneofObject)]
pub enum ApproversInput {
    /// A member.
    MemberId(ID),
    /// Everybody with a role. Auditors change nothing, so they cannot be named.
    Role(Role),
    /// The administrators of the pool that is bought for; must be true.
    PoolAdministrators(bool),
    /// The managers of a department.
    DepartmentManagersOf(ID),
}

impl ApprovalPolicyInput {
    /// What it says, as a policy of an organization.
    pub async fn read(
        self,
        request: &Request,
        organization: &Authorized<organization::Model>,
    ) -> Result<Policy, Error> {
        let known = Known::load(request, organization, &self).await?;
        let mut money = Amounts { currency: organization.currency, any: false };
        let sign_in_above = money.read(self.sign_in_above, || "policy.signInAbove".to_owned())?;
        let mut rules = Vec::with_capacity(self.rules.len());
        for (index, rule) in self.rules.into_iter().enumerate() {
            rules.push(rule.read(&known, &mut money, &format!("policy.rules.{index}"))?);
        }
        let seconds = |hours: i32| i64::from(hours).saturating_mul(HOUR);
        Ok(Policy {
            rules,
            currency: money.currency.filter(|_| money.any),
            timing: Timing {
                remind_after: seconds(self.remind_after_hours),
                escalate_after: seconds(self.escalate_after_hours),
                expire_after: seconds(self.expire_after_hours),
            },
            sign_in_above,
            payer: self.payer.into(),
            language: self.language.into(),
        })
    }
}

impl ApprovalRuleInput {
    fn read(self, known: &Known, money: &mut Amounts, path: &str) -> Result<Rule, Error> {
        let conditions = self.conditions.read(known, money, &format!("{path}.conditions"))?;
        let mut stages = Vec::with_capacity(self.stages.len());
        for (number, stage) in self.stages.into_iter().enumerate() {
            stages.push(stage.read(known, &format!("{path}.stages.{number}"))?);
        }
        Ok(Rule { name: self.name, conditions, stages })
    }
}

impl ApprovalConditionsInput {
    fn read(self, known: &Known, money: &mut Amounts, path: &str) -> Result<Conditions, Error> {
        let pools = self.pool_ids.map(|ids| {
            let ids = ids.iter().enumerate();
            ids.map(|(index, id)| known.pool(id, &format!("{path}.poolIds.{index}")))
                .collect::<Result<_, Error>>()
        });
        Ok(Conditions {
            credits_from: self.credits_from.map(|credits| credits.0),
            credits_to: self.credits_to.map(|credits| credits.0),
            total_from: money.read(self.total_from, || format!("{path}.totalFrom"))?,
            total_to: money.read(self.total_to, || format!("{path}.totalTo"))?,
            pools: pools.transpose()?,
            roles: self.roles.map(|roles| roles.into_iter().map(domain::Role::from).collect()),
            month_to_date_from: money.read(self.month_to_date_from, || format!("{path}.monthToDateFrom"))?,
        })
    }
}

impl ApprovalStageInput {
    fn read(self, known: &Known, path: &str) -> Result<Stage, Error> {
        let approvers = self.approvers.into_iter().enumerate();
        let approvers =
            approvers.map(|(index, by)| known.approvers(by, &format!("{path}.approvers.{index}")));
        let approvers = approvers.collect::<Result<Vec<_>, Error>>()?;
        Ok(Stage { name: self.name, approvers, quorum: i64::from(self.quorum) })
    }
}

/// The amounts of a policy, which are in one currency.
struct Amounts {
    /// The organization's; none: it has none yet.
    currency: Option<Currency>,
    /// Whether there are any.
    any: bool,
}

impl Amounts {
    /// An amount in minor units.
    fn read(
        &mut self,
        amount: Option<MoneyInput>,
        path: impl FnOnce() -> String,
    ) -> Result<Option<i64>, Error> {
        let Some(amount) = amount else { return Ok(None) };
        let path = path();
        let money = amount.read(&path)?;
        if let Some(currency) = self.currency.filter(|currency| *currency != money.currency) {
            let reason = format!("must be {currency}, in which the organization buys");
            return Err(Error::invalid(format!("{path}.currency"), reason));
        }
        self.any = true;
        Ok(Some(money.minor))
    }
}

/// What a policy names, as far as it is there.
struct Known {
    pools: BTreeSet<PoolId>,
    members: BTreeMap<MembershipId, UserId>,
    /// And whether they are no longer used.
    departments: BTreeMap<DepartmentId, bool>,
}

impl Known {
    async fn load(
        request: &Request,
        organization: &Authorized<organization::Model>,
        input: &ApprovalPolicyInput,
    ) -> Result<Known, Error> {
        let (mut pools, mut members, mut departments) = (Vec::new(), Vec::new(), Vec::new());
        for rule in &input.rules {
            pools.extend(rule.conditions.pool_ids.iter().flatten().filter_map(known::<PoolId>));
            for by in rule.stages.iter().flat_map(|stage| &stage.approvers) {
                match by {
                    ApproversInput::MemberId(id) => members.extend(known::<MembershipId>(id)),
                    ApproversInput::DepartmentManagersOf(id) => departments.extend(known::<DepartmentId>(id)),
                    ApproversInput::Role(_) | ApproversInput::PoolAdministrators(_) => {}
                }
            }
        }
        let tenant = organization.tenant();
        let snapshot = request.snapshots.open(tenant).await?;
        let pools = tenant.lookup::<pool::Entity, _>(&snapshot, pool::Column::Id, pools).await?;
        let members =
            tenant.lookup::<membership::Entity, _>(&snapshot, membership::Column::Id, members).await?;
        let departments =
            tenant.lookup::<department::Entity, _>(&snapshot, department::Column::Id, departments).await?;
        Ok(Known {
            pools: pools.into_iter().map(|row| row.id).collect(),
            members: members.into_iter().map(|row| (row.id, row.user_id)).collect(),
            departments: departments.into_iter().map(|row| (row.id, row.archived_at.is_some())).collect(),
        })
    }

    fn pool(&self, id: &ID, path: &str) -> Result<PoolId, Error> {
        let found = decode::<PoolId>(id, "pool").ok().filter(|id| self.pools.contains(id));
        found.ok_or_else(|| Error::not_found("pool").at(path.to_owned()))
    }

    fn approvers(&self, by: ApproversInput, path: &str) -> Result<Approvers, Error> {
        match by {
            ApproversInput::MemberId(id) => {
                let member = decode::<MembershipId>(&id, "member").ok();
                let user = member.and_then(|member| self.members.get(&member).copied());
                let not_found = || Error::not_found("member").at(format!("{path}.memberId"));
                user.map(Approvers::Member).ok_or_else(not_found)
            }
            ApproversInput::Role(role) => Ok(Approvers::Role(role.into())),
            ApproversInput::PoolAdministrators(true) => Ok(Approvers::PoolAdministrators),
            ApproversInput::PoolAdministrators(false) => {
                Err(Error::invalid(format!("{path}.poolAdministrators"), "must be true"))
            }
            ApproversInput::DepartmentManagersOf(id) => {
                let path = format!("{path}.departmentManagersOf");
                let department = decode::<DepartmentId>(&id, "department").ok();
                let found = department.and_then(|id| Some((id, *self.departments.get(&id)?)));
                match found {
                    Some((id, false)) => Ok(Approvers::DepartmentManagers(id)),
                    Some((_, true)) => Err(Error::invalid(path, "has been archived")),
                    None => Err(Error::not_found("department").at(path)),
                }
            }
        }
    }
}

/// The thing that a global id may name. What is malformed is told when it is read.
fn known<I: Id>(id: &ID) -> Option<I> {
    decode(id, "thing").ok()
}
