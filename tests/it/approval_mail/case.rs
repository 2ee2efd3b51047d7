//! A request that waits, put into the tables of the demonstration, and a mail server for what is said of it.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bursar::approvals::{self, MailCause, Told};
use bursar::clock::Clock;
use bursar::config::Config;
use bursar::db::{self, Tenant};
use bursar::delivery::run_once;
use bursar_domain::approval::{Approvers, Language, Payer, RequestState, RoundCause, Seats};
use bursar_domain::id::{
    ApprovalId, Id, OrganizationId, PackageVersionId, PolicyId, PoolId, PurchaseId, UserId,
};
use bursar_domain::{Credits, Currency};
use bursar_entity::{
    approval_link, approval_policy, approval_reason, approval_request, approval_round, purchase, user,
};
use sea_orm::{EntityTrait, IntoActiveModel};

use super::{HOUR, MARCH};
use crate::support::acts::at;
use crate::support::smtp::Came;
use crate::support::{Backend, Script, SmtpServer, World};

/// A server of ours that delivers when it is told to, and what a request hangs on.
pub struct Case {
    pub world: World,
    pub server: SmtpServer,
    pub clock: Clock,
    pub organization: OrganizationId,
    pub pool: PoolId,
    pub purchase: PurchaseId,
    pub package_version: PackageVersionId,
    pub people: HashMap<String, UserId>,
}

impl Case {
    pub async fn start(backend: Backend) -> Case {
        let (server, clock) = (SmtpServer::start(Script::Accept).await, Clock::set(at(MARCH)));
        let sends = |config: &mut Config| server.takes_mail_of(config, Duration::from_secs(5));
        let world = World::start_untimed_as(backend, clock.clone(), sends).await;
        let bought = world.database.rows::<purchase::Entity>().await.remove(0);
        let people = world.database.rows::<user::Entity>().await;
        Case {
            server,
            clock,
            organization: bought.organization_id,
            pool: bought.pool_id,
            purchase: bought.id,
            package_version: bought.package_version_id,
            people: people.into_iter().map(|row| (row.email, row.id)).collect(),
            world,
        }
    }

    pub fn tenant(&self) -> Tenant {
        Tenant::vouched(self.organization)
    }

    pub fn person(&self, name: &str) -> UserId {
        let found = self.people.iter().find(|(email, _)| email.starts_with(&format!("{name}@")));
        *found.unwrap_or_else(|| panic!("no {name}")).1
    }

    pub fn some(&self, names: &[&str]) -> BTreeSet<UserId> {
        names.iter().map(|name| self.person(name)).collect()
    }

    /// A round of the request, in the organization's mails in a language. One of two managers has to agree, then the owner.
    pub async fn open(&self, round: i64, requester: &str, language: Language) -> approval_request::Model {
        let (now, organization_id) = (self.clock.now(), self.organization);
        let policy = approval_policy::Model {
            organization_id,
            id: PolicyId::from_u128(round.unsigned_abs().into()),
            version: round,
            rules: "[]".into(),
            currency: Some(Currency::USD),
            remind_after: 24 * HOUR,
            escalate_after: 48 * HOUR,
            expire_after: 168 * HOUR,
            sign_in_above: Some(89_900),
            payer: Payer::Requester,
            language,
            saved_by: self.person("owner"),
            created_at: now,
        };
        let request = approval_request::Model {
            organization_id,
            id: ApprovalId::from_u128(7),
            purchase_id: self.purchase,
            pool_id: self.pool,
            requested_by: self.person("owner"),
            state: RequestState::Pending,
            round,
            stage: 0,
            stage_since: now,
            reminders: 0,
            ended_at: None,
            used_at: None,
            created_at: now,
        };
        let (admin, manager) = (self.person("admin"), self.person("manager"));
        let stage = |name: &str, who: &[UserId]| Seats {
            name: name.into(),
            approvers: who.iter().map(|person| Approvers::Member(*person)).collect(),
            quorum: 1,
            eligible: who.iter().copied().collect(),
        };
        let stages = [stage("Managers", &[admin, manager]), stage("Members", &[self.person("member")])];
        let row = approval_round::Model {
            organization_id,
            request_id: request.id,
            round,
            cause: if round == 1 { RoundCause::Requested } else { RoundCause::Edited },
            policy_id: policy.id,
            rule: 0,
            rule_name: "Dear".into(),
            stages: approvals::write_seats(&stages).unwrap(),
            pool_id: self.pool,
            package_version_id: self.package_version,
            credits: Credits::new(500).unwrap(),
            total: 89_900,
            currency: Currency::USD,
            lifetime_days: None,
            requester: self.person(requester),
            only_owner: None,
            by_itself: false,
            valid_until: now.plus_days(10),
            content_hash: vec![7; 32],
            title: "500 credits".into(),
            reason_hash: Some(vec![6; 32]),
            expires_at: now.plus_days(7),
            created_at: now,
        };
        let reason = approval_reason::Model {
            organization_id,
            request_id: request.id,
            round,
            name: "ROUND".into(),
            written_by: row.requester,
            about: None,
            salt: Some(vec![5; 32]),
            value: Some("For the fair\nin Lyon".into()),
            erased_at: None,
        };
        let answer = request.clone();
        let work = db::work(move |txn| {
            let (policy, request, row, reason) =
                (policy.clone(), request.clone(), row.clone(), reason.clone());
            Box::pin(async move {
                approval_policy::Entity::insert(policy.into_active_model())
                    .exec_without_returning(txn)
                    .await?;
                if request.round == 1 {
                    let request = request.into_active_model();
                    approval_request::Entity::insert(request).exec_without_returning(txn).await?;
                }
                approval_round::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
                approval_reason::Entity::insert(reason.into_active_model())
                    .exec_without_returning(txn)
                    .await?;
                Ok(())
            })
        });
        self.world.services().context.db.write(self.tenant(), work).await.unwrap();
        if round > 1 {
            self.world.sql(&format!("UPDATE approval_request SET round = {round}")).await;
        }
        answer
    }

    pub async fn ask(&self, request: &approval_request::Model, to: &[&str], cause: MailCause) {
        let (tenant, clock, request, to) =
            (self.tenant(), self.clock.clone(), request.clone(), self.some(to));
        let work = db::work(move |txn| {
            let (clock, request, to) = (clock.clone(), request.clone(), to.clone());
            Box::pin(async move { approvals::ask(txn, tenant, &clock, &request, &to, cause).await })
        });
        self.world.services().context.db.write(tenant, work).await.unwrap();
    }

    pub async fn tell(&self, request: &approval_request::Model, told: Told) {
        let (tenant, clock, request) = (self.tenant(), self.clock.clone(), request.clone());
        let work = db::work(move |txn| {
            let (clock, request) = (clock.clone(), request.clone());
            Box::pin(async move { approvals::tell(txn, tenant, &clock, &request, told).await })
        });
        self.world.services().context.db.write(tenant, work).await.unwrap();
    }

    /// Sends what waits, and answers what has come since so many letters.
    pub async fn sent(&self, before: usize) -> Vec<Came> {
        run_once(&self.world.services().courier).await.unwrap();
        self.server.taken().split_off(before)
    }

    /// The links that are out.
    pub async fn links(&self) -> Vec<approval_link::Model> {
        self.world.database.rows::<approval_link::Entity>().await
    }
}
