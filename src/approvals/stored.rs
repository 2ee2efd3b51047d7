//! Rules, seats and people as they are stored: JSON, with global ids. What cannot be read is a fault of ours.

use std::collections::BTreeSet;

use bursar_domain::Credits;
use bursar_domain::approval::{Approvers, Conditions, Rule, Seats, Stage};
use bursar_domain::id::{Id, UserId};
use bursar_domain::organization::Role;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::global_id;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredRule {
    name: String,
    conditions: StoredConditions,
    stages: Vec<StoredStage>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredConditions {
    credits_from: Option<i64>,
    credits_to: Option<i64>,
    total_from: Option<i64>,
    total_to: Option<i64>,
    pools: Option<Vec<String>>,
    roles: Option<Vec<String>>,
    month_to_date_from: Option<i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredStage {
    name: String,
    approvers: Vec<StoredApprovers>,
    quorum: i64,
    /// Of a round only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    eligible: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum StoredApprovers {
    Member(String),
    Role(String),
    PoolAdministrators,
    DepartmentManagers(String),
}

/// The rules of a policy, as stored.
pub fn write_rules(rules: &[Rule]) -> Result<String> {
    text(&rules.iter().map(StoredRule::of).collect::<Vec<_>>())
}

/// The rules of a policy.
pub fn read_rules(stored: &str) -> Result<Vec<Rule>> {
    let rules: Vec<StoredRule> = parsed(stored)?;
    rules.into_iter().map(StoredRule::read).collect()
}

/// The stages of a round, as stored.
pub fn write_seats(seats: &[Seats]) -> Result<String> {
    let stored = seats.iter().map(|seats| StoredStage {
        name: seats.name.clone(),
        approvers: seats.approvers.iter().map(StoredApprovers::of).collect(),
        quorum: seats.quorum,
        eligible: Some(seats.eligible.iter().map(|id| global_id::encode(*id)).collect()),
    });
    text(&stored.collect::<Vec<_>>())
}

/// The stages of a round.
pub fn read_seats(stored: &str) -> Result<Vec<Seats>> {
    let stages: Vec<StoredStage> = parsed(stored)?;
    let seats = |stage: StoredStage| -> Result<Seats> {
        let eligible = stage.eligible.ok_or_else(|| unreadable("no seats"))?;
        let approvers = stage.approvers.into_iter().map(StoredApprovers::read).collect::<Result<_>>()?;
        let eligible = eligible.iter().map(|text| id(text)).collect::<Result<_>>()?;
        Ok(Seats { name: stage.name, approvers, quorum: stage.quorum, eligible })
    };
    stages.into_iter().map(seats).collect()
}

/// Some people, as stored.
pub fn write_people(people: &BTreeSet<UserId>) -> Result<String> {
    text(&people.iter().map(|id| global_id::encode(*id)).collect::<Vec<_>>())
}

/// Some people.
pub fn read_people(stored: &str) -> Result<BTreeSet<UserId>> {
    let people: Vec<String> = parsed(stored)?;
    people.iter().map(|text| id(text)).collect()
}

impl StoredRule {
    fn of(rule: &Rule) -> StoredRule {
        let Conditions { credits_from, credits_to, total_from, total_to, pools, roles, month_to_date_from } =
            &rule.conditions;
        StoredRule {
            name: rule.name.clone(),
            conditions: StoredConditions {
                credits_from: credits_from.map(Credits::get),
                credits_to: credits_to.map(Credits::get),
                total_from: *total_from,
                total_to: *total_to,
                pools: pools.as_ref().map(|ids| ids.iter().map(|id| global_id::encode(*id)).collect()),
                roles: roles
                    .as_ref()
                    .map(|roles| roles.iter().map(|role| role.as_str().to_owned()).collect()),
                month_to_date_from: *month_to_date_from,
            },
            stages: rule.stages.iter().map(StoredStage::of).collect(),
        }
    }

    fn read(self) -> Result<Rule> {
        let StoredConditions {
            credits_from,
            credits_to,
            total_from,
            total_to,
            pools,
            roles,
            month_to_date_from,
        } = self.conditions;
        let pools = pools.map(|ids| ids.iter().map(|text| id(text)).collect::<Result<_>>()).transpose()?;
        let roles = roles.map(|all| all.iter().map(|text| role(text)).collect::<Result<_>>()).transpose()?;
        let conditions = Conditions {
            credits_from: credits_from.map(credits).transpose()?,
            credits_to: credits_to.map(credits).transpose()?,
            total_from,
            total_to,
            pools,
            roles,
            month_to_date_from,
        };
        let stages = self.stages.into_iter().map(StoredStage::read).collect::<Result<_>>()?;
        Ok(Rule { name: self.name, conditions, stages })
    }
}

impl StoredStage {
    fn of(stage: &Stage) -> StoredStage {
        StoredStage {
            name: stage.name.clone(),
            approvers: stage.approvers.iter().map(StoredApprovers::of).collect(),
            quorum: stage.quorum,
            eligible: None,
        }
    }

    fn read(self) -> Result<Stage> {
        let approvers = self.approvers.into_iter().map(StoredApprovers::read).collect::<Result<_>>()?;
        Ok(Stage { name: self.name, approvers, quorum: self.quorum })
    }
}

impl StoredApprovers {
    fn of(approvers: &Approvers) -> StoredApprovers {
        match approvers {
            Approvers::Member(id) => StoredApprovers::Member(global_id::encode(*id)),
            Approvers::Role(role) => StoredApprovers::Role(role.as_str().to_owned()),
            Approvers::PoolAdministrators => StoredApprovers::PoolAdministrators,
            Approvers::DepartmentManagers(id) => StoredApprovers::DepartmentManagers(global_id::encode(*id)),
        }
    }

    fn read(self) -> Result<Approvers> {
        Ok(match self {
            StoredApprovers::Member(text) => Approvers::Member(id(&text)?),
            StoredApprovers::Role(text) => Approvers::Role(role(&text)?),
            StoredApprovers::PoolAdministrators => Approvers::PoolAdministrators,
            StoredApprovers::DepartmentManagers(text) => Approvers::DepartmentManagers(id(&text)?),
        })
    }
}

fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::internal(format!("approvals: {error}")))
}

fn parsed<T: for<'t> Deserialize<'t>>(stored: &str) -> Result<T> {
    serde_json::from_str(stored).map_err(|error| Error::internal(format!("approvals: {error}")))
}

fn id<I: Id>(text: &str) -> Result<I> {
    global_id::decode(text).ok_or_else(|| unreadable("an id"))
}

fn role(text: &str) -> Result<Role> {
    Role::parse(text).ok_or_else(|| unreadable("a role"))
}

fn credits(number: i64) -> Result<Credits> {
    Credits::new(number).ok_or_else(|| unreadable("credits"))
}

fn unreadable(what: &'static str) -> Error {
    Error::internal(format!("approvals: {what} that cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::{DepartmentId, PoolId};

    #[test]
    fn rules_and_seats_come_back() {
        let approvers = vec![
            Approvers::Member(UserId::from_u128(1)),
            Approvers::Role(Role::Admin),
            Approvers::PoolAdministrators,
            Approvers::DepartmentManagers(DepartmentId::from_u128(2)),
        ];
        let stage = Stage { name: "A \"b\"".to_owned(), approvers: approvers.clone(), quorum: 2 };
        let conditions = Conditions {
            credits_from: Credits::new(5),
            total_to: Some(7),
            pools: Some(BTreeSet::from([PoolId::from_u128(3)])),
            roles: Some(BTreeSet::from([Role::Member])),
            ..Conditions::default()
        };
        let rules = vec![Rule { name: "R".to_owned(), conditions, stages: vec![stage] }];
        assert_eq!(read_rules(&write_rules(&rules).unwrap()).unwrap(), rules);
        let eligible = BTreeSet::from([UserId::from_u128(1), UserId::from_u128(9)]);
        let seats = vec![Seats { name: "S".to_owned(), approvers, quorum: 2, eligible: eligible.clone() }];
        assert_eq!(read_seats(&write_seats(&seats).unwrap()).unwrap(), seats);
        assert_eq!(read_people(&write_people(&eligible).unwrap()).unwrap(), eligible);
        for bad in ["", "{}", "[1]", r#"["pool_00000000000000000000000007"]"#] {
            assert!(read_people(bad).is_err(), "{bad}");
        }
        assert!(read_seats(r#"[{"name":"S","approvers":[],"quorum":1}]"#).is_err());
    }
}
