//! Books with something of everything: lots that lapse, go on, are replaced and taken back, allocations,
//! moves between pools, charges, holds with every end, refunds, debt that is settled.

use bursar::auth::{Actor, Standing};
use bursar::db::Tenant;
use bursar::global_id;
use bursar::ledger::{Receipt, ReceiptRow, Submission};
use bursar_domain::id::{ChargeId, DepartmentId, EntryId, HoldId, Id, LotId, PoolId};
use bursar_domain::ledger::{
    AllocateCredits, CaptureHold, ChargeCredits, Command, CommandId, DisputeLot, ExtendLot, HoldCredits,
    Instruction, IssueCredits, Key, LineRequest, LotClass, LotSource, MoveCredits, RefundCharge, RequestHash,
    RevokeLot, TakeBackCredits, VoidHold,
};
use bursar_domain::{Credits, Currency};
use serde_json::json;

use super::World;

/// Whose the books are.
pub struct History<'w> {
    world: &'w World,
    /// The organization.
    pub tenant: Tenant,
    /// The pool in which most of it has happened.
    pub pool: PoolId,
    /// The pool that credits were moved to.
    pub second: PoolId,
    sales: DepartmentId,
    marketing: DepartmentId,
}

/// A lot that comes in.
struct Coming {
    credits: i64,
    cost: i64,
    priority: i16,
    days: Option<i64>,
    source: LotSource,
}

impl<'w> History<'w> {
    /// Makes all of it on a world whose clock can be turned. It takes 27 hours of its time.
    pub async fn make(world: &'w World) -> History<'w> {
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let input = json!({ "organizationId": demo.organization, "name": "Second" });
        let second = owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await;
        let history = History {
            world,
            tenant: Tenant::vouched(global_id::decode(&demo.organization).unwrap()),
            pool: global_id::decode(&demo.pool).unwrap(),
            second: global_id::decode(second["pool"]["id"].as_str().unwrap()).unwrap(),
            sales: global_id::decode(&demo.sales).unwrap(),
            marketing: global_id::decode(&demo.marketing).unwrap(),
        };
        let grant = history.lots_and_moves().await;
        history.charges_and_holds().await;
        history.extensions_and_corrections(grant).await;
        history.reversal().await;
        history.disputes().await;
        history.refunds_of_what_has_lapsed().await;
        history
    }

    async fn lots_and_moves(&self) -> LotId {
        let grant = Coming { credits: 500, cost: 0, priority: 50, days: Some(2), source: LotSource::Grant };
        let grant = self.issue(grant).await;
        let paid = Coming {
            credits: 1_000,
            cost: 19_900,
            priority: 100,
            days: Some(300),
            source: LotSource::Purchase,
        };
        self.issue(paid).await;
        self.book(Instruction::Allocate(self.allocation(self.sales, 400))).await;
        self.book(Instruction::Allocate(self.allocation(self.marketing, 200))).await;
        self.book(Instruction::Reclaim(self.allocation(self.sales, 30))).await;
        self.transfer(Some(self.sales), None, Some(self.marketing), 21).await;
        self.transfer(None, Some(self.second), None, 100).await;
        self.transfer(None, Some(self.second), Some(self.sales), 50).await;
        self.transfer(Some(self.marketing), Some(self.second), Some(self.marketing), 13).await;
        grant
    }

    async fn charges_and_holds(&self) {
        let mut charges = Vec::new();
        for number in 0..10 {
            let department = [Some(self.sales), None, Some(self.marketing)][number % 3];
            charges.push(self.charge(department, 3 + i64::try_from(number).unwrap(), Some(number)).await);
        }
        self.refund(charges[0], Some(self.sales), Some(2), false).await;
        self.refund(charges[0], Some(self.sales), None, false).await;
        self.refund(charges[1], None, None, false).await;
        let hour = 3_600;
        let partly = self.hold(Some(self.sales), 40, 24 * hour).await;
        self.capture(partly, Some(self.sales), Some(10), false).await;
        self.capture(partly, Some(self.sales), Some(5), true).await;
        let voided = self.hold(None, 20, 24 * hour).await;
        self.book(Instruction::Void(VoidHold { hold: voided, department: None })).await;
        let all = self.hold(Some(self.marketing), 12, 24 * hour).await;
        self.capture(all, Some(self.marketing), None, true).await;
        self.hold(Some(self.marketing), 30, hour).await;
        self.hold(Some(self.sales), 15, 60 * hour).await;
        self.world.clock.turn(self.world.clock.now().plus_seconds(2 * hour));
        // What has expired is let go with this.
        self.charge(None, 4, None).await;
    }

    async fn extensions_and_corrections(&self, grant: LotId) {
        let now = self.world.clock.now();
        let extend = ExtendLot { lot: grant, new_lot: self.id(), expires_at: Some(now.plus_days(20)) };
        self.book(Instruction::Extend(extend)).await;
        let take = TakeBackCredits { department: None, credits: credits(7), lot: None };
        self.book(Instruction::TakeBack(take)).await;
        let correction =
            Coming { credits: 9, cost: 100, priority: 100, days: None, source: LotSource::Correction };
        self.issue(correction).await;
    }

    /// A payment is reversed of which some is held and some was used.
    async fn reversal(&self) {
        let doomed =
            Coming { credits: 60, cost: 1_200, priority: 1, days: Some(300), source: LotSource::Purchase };
        let doomed = self.issue(doomed).await;
        let hold = self.hold(None, 25, 24 * 3_600).await;
        self.charge(None, 10, None).await;
        let revoke = RevokeLot { lot: doomed, credits: credits(60), value: 1_200, disputed: false };
        self.book(Instruction::Revoke(revoke)).await;
        self.capture(hold, None, Some(5), false).await;
        self.book(Instruction::Void(VoidHold { hold, department: None })).await;
        let settling =
            Coming { credits: 100, cost: 2_000, priority: 90, days: None, source: LotSource::Purchase };
        self.issue(settling).await;
    }

    /// Two payments are disputed while some of their credits are held: one dispute is won, one is lost. A third
    /// stays open.
    async fn disputes(&self) {
        let coming = |credits, cost| {
            let (days, source) = (Some(300), LotSource::Purchase);
            Coming { credits, cost, priority: 0, days, source }
        };
        for won in [true, false] {
            let lot = self.issue(coming(40, 800)).await;
            let (kept, let_go) = (self.hold(None, 8, 24 * 3_600).await, self.hold(None, 6, 24 * 3_600).await);
            let whole = DisputeLot { lot, credits: credits(40) };
            self.book(Instruction::Dispute(whole.clone())).await;
            // What is let go is held for the dispute.
            self.book(Instruction::Void(VoidHold { hold: let_go, department: None })).await;
            self.capture(kept, None, Some(5), false).await;
            let revoke = RevokeLot { lot, credits: credits(40), value: 800, disputed: true };
            let end = if won { Instruction::Reinstate(whole) } else { Instruction::Revoke(revoke) };
            self.book(end).await;
            self.book(Instruction::Void(VoidHold { hold: kept, department: None })).await;
            if won {
                // Nothing of it is left for the uses to come.
                self.charge(None, 35, None).await;
            }
        }
        self.issue(Coming { priority: 90, ..coming(50, 1_100) }).await;
        let lot = self.issue(coming(20, 400)).await;
        self.hold(None, 4, 60 * 3_600).await;
        self.book(Instruction::Dispute(DisputeLot { lot, credits: credits(20) })).await;
    }

    async fn refunds_of_what_has_lapsed(&self) {
        let short =
            Coming { credits: 30, cost: 599, priority: 2, days: Some(1), source: LotSource::Purchase };
        self.issue(short).await;
        let replaced = self.charge(None, 12, None).await;
        let expired = self.charge(None, 8, None).await;
        self.world.clock.turn(self.world.clock.now().plus_seconds(25 * 3_600));
        self.charge(None, 3, None).await;
        self.refund(replaced, None, Some(7), true).await;
        self.refund(replaced, None, None, true).await;
        self.refund(expired, None, None, false).await;
    }

    fn id<I: Id>(&self) -> I {
        self.world.clock.new_id()
    }

    /// Carries a command out on the first pool.
    async fn book(&self, instruction: Instruction) -> Receipt {
        let id = match &instruction {
            Instruction::Charge(_) | Instruction::Capture(_) => CommandId::Charge(self.id()),
            Instruction::Hold(_) => CommandId::Hold(self.id()),
            _ => CommandId::Entry(self.id()),
        };
        let key = Key(self.id::<EntryId>().as_u128().to_be_bytes());
        let now = self.world.clock.now();
        let command = Command { id, pool: self.pool, key, request: RequestHash([7; 16]), now, instruction };
        let submission = Submission {
            command,
            actor: Actor::system(Some("history".to_owned())),
            standing: Standing::default(),
            subject: Some("12 Elm Street".to_owned()),
            metadata: Some(r#"{"rooms":2}"#.to_owned()),
            reason: Some("because".to_owned()),
        };
        self.world.services().ledger.submit(self.tenant, submission).await.unwrap()
    }

    async fn issue(&self, coming: Coming) -> LotId {
        let lot = self.id();
        let now = self.world.clock.now();
        let paid = coming.cost > 0;
        let issue = IssueCredits {
            lot,
            source: coming.source,
            class: if paid { LotClass::Paid } else { LotClass::Promotional },
            priority: coming.priority,
            credits: credits(coming.credits),
            cost: coming.cost,
            currency: paid.then_some(Currency::USD),
            expires_at: coming.days.map(|days| now.plus_days(days)),
            purchase: None,
            department: None,
            new_account: self.id(),
        };
        self.book(Instruction::Issue(issue)).await;
        lot
    }

    fn allocation(&self, department: DepartmentId, amount: i64) -> AllocateCredits {
        AllocateCredits { department, new_account: self.id(), credits: credits(amount) }
    }

    async fn transfer(
        &self,
        from: Option<DepartmentId>,
        to_pool: Option<PoolId>,
        to: Option<DepartmentId>,
        amount: i64,
    ) {
        let new_account = self.id();
        let movement = MoveCredits { from, to_pool, to, new_account, credits: credits(amount) };
        self.book(Instruction::Move(movement)).await;
    }

    fn request(&self, department: Option<DepartmentId>, quantity: i64, job: Option<String>) -> ChargeCredits {
        // Two lines of one service, so that captures have to find theirs.
        let line = |quantity| LineRequest { service: "FURNITURE_REMOVAL".to_owned(), quantity };
        let lines = vec![line(quantity - 1), line(1)];
        ChargeCredits { department, on_behalf_of: None, spender: None, lines, reference: job }
    }

    async fn charge(&self, department: Option<DepartmentId>, quantity: i64, job: Option<usize>) -> ChargeId {
        let job = job.map(|number| format!("job-{number}"));
        let receipt = self.book(Instruction::Charge(self.request(department, quantity, job))).await;
        match receipt.row {
            ReceiptRow::Charge(row) => row.id,
            row => panic!("{row:?}"),
        }
    }

    async fn hold(&self, department: Option<DepartmentId>, quantity: i64, seconds: i64) -> HoldId {
        let job = format!("hold-{}", self.id::<EntryId>().as_u128());
        let charge = self.request(department, quantity, Some(job));
        match self.book(Instruction::Hold(HoldCredits { charge, seconds })).await.row {
            ReceiptRow::Hold(row) => row.id,
            row => panic!("{row:?}"),
        }
    }

    async fn capture(
        &self,
        hold: HoldId,
        department: Option<DepartmentId>,
        quantity: Option<i64>,
        last: bool,
    ) {
        let line = |quantity| LineRequest { service: "FURNITURE_REMOVAL".to_owned(), quantity };
        let lines = quantity.map(|quantity| vec![line(quantity)]);
        self.book(Instruction::Capture(CaptureHold { hold, department, lines, last })).await;
    }

    async fn refund(
        &self,
        charge: ChargeId,
        department: Option<DepartmentId>,
        amount: Option<i64>,
        provider_fault: bool,
    ) {
        let refund = RefundCharge {
            charge,
            department,
            credits: amount.map(credits),
            provider_fault,
            guaranteed: false,
            first_lot: self.id(),
        };
        self.book(Instruction::Refund(refund)).await;
    }
}

fn credits(amount: i64) -> Credits {
    Credits::new(amount).unwrap()
}
