//! Policies as their owners write them: ordered rules, each with conditions and stages.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{DepartmentId, PoolId, UserId};
use crate::organization::Role;
use crate::{Credits, Currency};

/// The most rules of a policy.
pub const MOST_RULES: usize = 50;
/// The most stages of a rule.
pub const MOST_STAGES: usize = 5;
/// The most who are named in a stage, each a person, a role or a group.
pub const MOST_APPROVERS: usize = 20;
/// The shortest and the longest time that a policy may set for anything, in seconds: an hour, thirty days.
pub const SHORTEST: i64 = 3_600;
/// See [`SHORTEST`].
pub const LONGEST: i64 = 30 * 86_400;
/// For how many seconds a price outlives the time that an approval may take: 72 hours.
pub const PRICE_OUTLIVES: i64 = 72 * 3_600;

string_enum! {
    /// Who is sent to the checkout once a purchase is approved.
    Payer {
        /// Whoever has asked for it.
        Requester = "REQUESTER",
        /// Whoever has agreed last.
        Approver = "APPROVER",
    }
}

string_enum! {
    /// The language of mails, and of pages whose reader asks for none that there is.
    Language {
        /// English.
        English = "EN",
        /// German.
        German = "DE",
    }
}

/// When what happens, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// After how long whoever has not decided is reminded, and again after as long.
    pub remind_after: i64,
    /// After how long in a stage the owners may decide as well.
    pub escalate_after: i64,
    /// After how long it is over.
    pub expire_after: i64,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing { remind_after: 24 * 3_600, escalate_after: 48 * 3_600, expire_after: 7 * 86_400 }
    }
}

/// One version of an organization's policy. One without rules asks for nobody's consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The rules; the first that fits decides.
    pub rules: Vec<Rule>,
    /// The currency of its amounts; none: it has no amounts.
    pub currency: Option<Currency>,
    /// When what happens.
    pub timing: Timing,
    /// Above this total, in minor units, a link alone does not do: one has to be signed in. None: it always does.
    pub sign_in_above: Option<i64>,
    /// Who pays.
    pub payer: Payer,
    /// The language of mails.
    pub language: Language,
}

/// What needs whose consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is called.
    pub name: String,
    /// When it fits.
    pub conditions: Conditions,
    /// Who has to agree, one stage after the other. Never empty.
    pub stages: Vec<Stage>,
}

/// When a rule fits: all that are given have to hold. Bounds admit what is exactly equal to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// So many credits at least.
    pub credits_from: Option<Credits>,
    /// So many credits at most.
    pub credits_to: Option<Credits>,
    /// Such a total at least, in minor units.
    pub total_from: Option<i64>,
    /// Such a total at most.
    pub total_to: Option<i64>,
    /// Into one of these pools.
    pub pools: Option<BTreeSet<PoolId>>,
    /// Asked for by somebody with one of these roles. Whoever has none here, as the vendor's staff, is met by every list.
    pub roles: Option<BTreeSet<Role>>,
    /// When the organization's purchases of the month, this one among them, come to so much at least.
    pub month_to_date_from: Option<i64>,
}

/// Who has to agree at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What it is called.
    pub name: String,
    /// Who may decide: whoever is named by one of these.
    pub approvers: Vec<Approvers>,
    /// How many of them have to agree. At least one.
    pub quorum: i64,
}

/// Some of those who may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Approvers {
    /// A person.
    Member(UserId),
    /// Everybody with a role. Auditors change nothing, so they cannot be named.
    Role(Role),
    /// The administrators of the pool that is bought for.
    PoolAdministrators,
    /// The managers of a department.
    DepartmentManagers(DepartmentId),
}

/// What a policy is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// For which pool.
    pub pool: PoolId,
    /// How many credits.
    pub credits: Credits,
    /// The total, in minor units.
    pub total: i64,
    /// Its currency.
    pub currency: Currency,
    /// What whoever asks is in the organization; none: nothing.
    pub role: Option<Role>,
    /// What the organization's purchases of the month come to with this one.
    pub month_to_date: i64,
}

/// Who is what in an organization, as of one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// Members, and their roles.
    pub roles: BTreeMap<UserId, Role>,
    /// Who administers which pool.
    pub pool_administrators: BTreeSet<(PoolId, UserId)>,
    /// Who manages which department.
    pub department_managers: BTreeSet<(DepartmentId, UserId)>,
}
