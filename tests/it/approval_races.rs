//! Two things at the same moment: a decision while the purchase is changed or withdrawn, while whoever decides loses the
//! role, while the time runs out, while money comes; money while what it pays for is changed or withdrawn; wrong digits at
//! once. Whoever comes first, what is there in the end is what one of the two orders leaves.

use bursar::clock::Clock;
use bursar::purchases::{self, Outcome};
use bursar::{db::Tenant, global_id};
use bursar_domain::approval::LinkKind;
use bursar_domain::id::{ApprovalId, OrganizationId};
use bursar_domain::purchase::PaymentState;
use bursar_entity::payment;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{at, balances_are_right, node};
use crate::support::approvals::{self, Asked, Browser, decisions, newest, professional, shown};
use crate::support::caps::member;
use crate::support::client::Demo;
use crate::support::settled::{paid, tell};
use crate::support::{Backend, Client, World};

on_both_databases!(
    a_decision_and_a_change,
    a_decision_and_the_end_of_a_role,
    a_decision_and_the_end_of_its_time,
    money_and_a_change,
    wrong_digits_at_once,
);

const MARCH: &str = "2026-03-10T12:00:00Z";
const MANAGER: &str = "manager@demo.test";
const TRIES: usize = 3;

/// Where the manager alone has to agree to what the admin asks for.
struct Office {
    world: World,
    owner: Client,
    admin: Client,
    manager: Client,
    demo: Demo,
    /// The manager's membership.
    place: String,
}

impl Office {
    async fn open(backend: Backend) -> Office {
        let world = World::start_untimed(backend, Clock::set(at(MARCH))).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let place = member(&owner, MANAGER).await;
        let rule = professional(json!([{ "name": "Manager", "approvers": [{ "memberId": place }] }]));
        approvals::save(&owner, &demo.organization, rule, json!({})).await;
        let (admin, manager) = (world.client("admin@demo.test").await, world.client(MANAGER).await);
        Office { world, owner, admin, manager, demo, place }
    }

    async fn ask(&self, key: &str) -> Asked {
        approvals::requested(&self.admin, &self.demo.pool, "PROFESSIONAL", key).await
    }

    /// Agrees, and answers whether that was taken.
    async fn decided(&self, asked: &Asked, round: i64) -> bool {
        let said = approvals::decide(&self.manager, &asked.request, round, "APPROVE", json!({})).await;
        said["userErrors"] == json!([])
    }

    /// Changes a purchase, and answers whether that was done.
    async fn edited(&self, asked: &Asked, round: i64) -> bool {
        let input = json!({ "purchaseId": asked.purchase, "round": round, "note": "Another house" });
        let fields = "purchase { state }";
        let said = self.admin.try_mutate("updatePurchase", "UpdatePurchaseInput", input, fields).await;
        said["userErrors"] == json!([])
    }

    /// Withdraws a purchase, and answers whether that was done.
    async fn withdrawn(&self, asked: &Asked) -> bool {
        let input = json!({ "purchaseId": asked.purchase });
        let fields = "purchase { state }";
        let said = self.admin.try_mutate("cancelPurchase", "CancelPurchaseInput", input, fields).await;
        said["userErrors"] == json!([])
    }

    /// The states of a purchase, of what people were asked about it, and whether that was used.
    async fn ends(&self, asked: &Asked) -> (String, String, bool) {
        let shown = shown(&self.owner, &asked.purchase).await;
        let (purchase, request) = (&shown["state"], &shown["approvalRequest"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(purchase), text(&request["state"]), request["usedAt"].is_string())
    }

    /// The payments of all purchases that can be paid now.
    async fn open_payments(&self) -> Vec<payment::Model> {
        let rows = self.world.database.rows::<payment::Entity>().await;
        rows.into_iter().filter(|row| row.state == PaymentState::Open).collect()
    }
}

async fn a_decision_and_a_change(backend: Backend) {
    let office = Office::open(backend).await;
    for number in 0..TRIES {
        let before = decisions(&office.world).await;
        let asked = office.ask(&format!("edited {number}")).await;
        let (taken, edited) = tokio::join!(office.decided(&asked, 1), office.edited(&asked, 1));
        assert!(edited, "nothing stands in the way of a change");
        // Whatever was agreed to is of before: everybody is asked anew, and nothing can be paid.
        let (state, request, used) = office.ends(&asked).await;
        assert_eq!((state.as_str(), request.as_str(), used), ("PENDING_APPROVAL", "PENDING", false));
        assert_eq!(decisions(&office.world).await, before + usize::from(taken));
        assert!(office.open_payments().await.is_empty(), "what was agreed to before can be paid");
        assert_eq!(approvals::why_not(&office.manager, &asked.request, 1).await, "STALE_ROUND");
        let (_, withdrawn) = tokio::join!(office.decided(&asked, 2), office.withdrawn(&asked));
        assert!(withdrawn);
        let (state, request, used) = office.ends(&asked).await;
        assert_eq!((state.as_str(), request.as_str(), used), ("CANCELLED", "WITHDRAWN", false));
        assert!(office.open_payments().await.is_empty(), "what was withdrawn can be paid");
    }
    balances_are_right(&office.world).await;
}

async fn a_decision_and_the_end_of_a_role(backend: Backend) {
    let office = Office::open(backend).await;
    let becomes = async |role: &str| {
        let input = json!({ "memberId": office.place, "role": role });
        office.owner.mutate("updateMemberRole", "UpdateMemberRoleInput", input, "member { role }").await
    };
    for number in 0..TRIES {
        let before = decisions(&office.world).await;
        let asked = office.ask(&format!("demoted {number}")).await;
        let (taken, _) = tokio::join!(office.decided(&asked, 1), becomes("AUDITOR"));
        assert_eq!(decisions(&office.world).await, before + usize::from(taken));
        let (_, request, _) = office.ends(&asked).await;
        assert_eq!(request, if taken { "APPROVED" } else { "PENDING" }, "it counts when it came first");
        assert!(!office.decided(&asked, 1).await, "it is over either way");
        becomes("MEMBER").await;
    }
}

async fn a_decision_and_the_end_of_its_time(backend: Backend) {
    let office = Office::open(backend).await;
    // Another node's clock is ahead: for that one the time is over.
    let ahead = node(&office.world, Clock::set(at(MARCH).plus_days(7))).await;
    let organization: OrganizationId = global_id::decode(&office.demo.organization).unwrap();
    for number in 0..TRIES {
        let before = decisions(&office.world).await;
        let asked = office.ask(&format!("late {number}")).await;
        let id: ApprovalId = global_id::decode(&asked.request).unwrap();
        let over = purchases::approval_due(&ahead.services().selling, Tenant::vouched(organization), id);
        let (taken, over) = tokio::join!(office.decided(&asked, 1), over);
        over.unwrap();
        assert_eq!(decisions(&office.world).await, before + usize::from(taken));
        let (state, request, used) = office.ends(&asked).await;
        let expected = if taken { ("AWAITING_PAYMENT", "APPROVED") } else { ("EXPIRED", "EXPIRED") };
        assert_eq!(((state.as_str(), request.as_str()), used), (expected, false));
    }
    ahead.close().await.unwrap();
}

async fn money_and_a_change(backend: Backend) {
    let office = Office::open(backend).await;
    let mut balance = office.owner.balance(&office.demo.pool).await.0;
    for number in 0..2 * TRIES {
        let asked = office.ask(&format!("paid {number}")).await;
        assert!(office.decided(&asked, 1).await);
        let open = office.open_payments().await.pop().expect("a checkout was begun");
        let comes = tell(&office.world, paid(&open, &format!("pi_{number}")));
        let (told, changed) = if number % 2 == 0 {
            tokio::join!(comes, office.edited(&asked, 1))
        } else {
            tokio::join!(comes, office.withdrawn(&asked))
        };
        let ends = office.ends(&asked).await;
        // It was paid, or it was changed: not both, and not neither.
        match told {
            Outcome::Booked => {
                balance += 500;
                assert_eq!((ends.0.as_str(), ends.2, changed), ("COMPLETED", true, false));
            }
            Outcome::Parked(_) => {
                let state = if number % 2 == 0 { "PENDING_APPROVAL" } else { "CANCELLED" };
                assert_eq!((ends.0.as_str(), ends.2, changed), (state, false, true));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(office.owner.balance(&office.demo.pool).await.0, balance);
        if number % 2 == 0 && changed {
            // Money for the first round while the second one is decided about: it pays for nothing, and stops nobody.
            let again = tell(&office.world, paid(&open, &format!("pi_{number}")));
            let (again, taken) = tokio::join!(again, office.decided(&asked, 2));
            assert!(matches!(again, Outcome::Parked(_) | Outcome::Already) && taken, "{again:?}");
            assert_eq!(office.owner.balance(&office.demo.pool).await.0, balance);
            assert!(!office.ends(&asked).await.2, "nothing was bought by it");
        }
    }
    balances_are_right(&office.world).await;
}

async fn wrong_digits_at_once(backend: Backend) {
    let office = Office::open(backend).await;
    let asked = office.ask("digits").await;
    let letter = newest(&office.world, MANAGER, LinkKind::Decide).await;
    let wrong = if letter.code == "0000" { "1111" } else { "0000" };
    let browser = Browser::nobody();
    let nonce = browser.open(&letter.url).await.nonce().to_owned();
    let fields = [("nonce", nonce.as_str()), ("code", wrong), ("choice", "APPROVE")];
    let sent = join_all((0..20).map(|_| browser.send(&letter.url, &fields))).await;
    assert!(sent.iter().all(|page| page.status >= 400), "a wrong code decides");
    let row = newest(&office.world, MANAGER, LinkKind::Decide).await.row;
    assert_eq!((row.wrong_codes, row.used_at), (5, None), "five tries, however many came at once");
    // The right one comes too late, and decides nothing.
    let late = browser.approve(&letter).await;
    assert_eq!(late.state().1, "TRIED_TOO_OFTEN");
    assert_eq!(decisions(&office.world).await, 0);
    assert_eq!(office.ends(&asked).await.1, "PENDING");
}
