//! Commands: what callers ask of the ledger, as pure data.

use crate::id::{AccountId, ChargeId, DepartmentId, EntryId, LotId, PoolId, PurchaseId, UserId};
use crate::{Credits, Currency, Timestamp};

/// The idempotency key of a command: a digest of organization-wide mutation name and client's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(pub [u8; 16]);

/// A digest of everything that the client asked for, to tell a retry from another request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RequestHash(pub [u8; 16]);

column!(Key, "idempotency key", Vec<u8>, |bytes| bytes.try_into().ok().map(Key), |key| key.0.to_vec());
column!(RequestHash, "request hash", Vec<u8>, |bytes| bytes.try_into().ok().map(RequestHash), |hash| hash
    .0
    .to_vec());

/// The identifier that the command's own row will have, made by who submits it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CommandId {
    /// A charge.
    Charge(ChargeId),
    /// Any other command: a journal entry.
    Entry(EntryId),
}

/// One command to one pool.
#[derive(Clone, Debug)]
pub struct Command {
    /// The identifier of the row that it will leave.
    pub id: CommandId,
    /// The pool.
    pub pool: PoolId,
    /// The idempotency key.
    pub key: Key,
    /// The digest of the request that came with the key.
    pub request: RequestHash,
    /// The clock's time when it was submitted.
    pub now: Timestamp,
    /// What to do.
    pub instruction: Instruction,
}

/// What a command does.
#[derive(Clone, Debug)]
pub enum Instruction {
    /// Bring a new lot into unallocated.
    Issue(IssueCredits),
    /// Move credits from unallocated to a department.
    Allocate(AllocateCredits),
    /// Move unheld credits of a department back to unallocated.
    Reclaim(AllocateCredits),
    /// Use credits for services.
    Charge(ChargeCredits),
}

impl Instruction {
    /// The department whose allocation the command names.
    pub fn department(&self) -> Option<DepartmentId> {
        match self {
            Instruction::Issue(_) => None,
            Instruction::Allocate(a) | Instruction::Reclaim(a) => Some(a.department),
            Instruction::Charge(c) => c.department,
        }
    }

    /// The caller's own name of what the command is for.
    pub fn reference(&self) -> Option<&String> {
        match self {
            Instruction::Charge(c) => c.reference.as_ref(),
            Instruction::Issue(_) | Instruction::Allocate(_) | Instruction::Reclaim(_) => None,
        }
    }
}

string_enum! {
    /// Where a lot came from.
    LotSource {
        /// Bought.
        Purchase = "PURCHASE",
        /// Given by the operator.
        Grant = "GRANT",
        /// Put in by the operator to correct a balance.
        Correction = "CORRECTION",
    }
}

string_enum! {
    /// Whether money was paid for a lot.
    LotClass {
        /// Paid for.
        Paid = "PAID",
        /// Given away.
        Promotional = "PROMOTIONAL",
    }
}

/// A new lot.
#[derive(Clone, Debug)]
pub struct IssueCredits {
    /// The lot's id.
    pub lot: LotId,
    /// Where it came from.
    pub source: LotSource,
    /// Whether it was paid for.
    pub class: LotClass,
    /// Lots with a lower number are used first.
    pub priority: i16,
    /// How many credits.
    pub credits: Credits,
    /// What the whole lot cost, in minor units of `currency`.
    pub cost: i64,
    /// The currency of `cost`.
    pub currency: Option<Currency>,
    /// From this instant on it cannot be used. `None`: never.
    pub expires_at: Option<Timestamp>,
    /// The purchase that it came with.
    pub purchase: Option<PurchaseId>,
}

/// Credits between unallocated and a department.
#[derive(Clone, Debug)]
pub struct AllocateCredits {
    /// The department.
    pub department: DepartmentId,
    /// The id for the department's account in the pool, used when it has none yet.
    pub new_account: AccountId,
    /// How many credits.
    pub credits: Credits,
}

/// A charge.
#[derive(Clone, Debug)]
pub struct ChargeCredits {
    /// Whose credits: a department's allocation, or unallocated when `None`.
    pub department: Option<DepartmentId>,
    /// On whose behalf.
    pub on_behalf_of: Option<UserId>,
    /// What was done, not yet priced.
    pub lines: Vec<LineRequest>,
    /// The job's id at the caller's, unique in the organization for ever.
    pub reference: Option<String>,
}

/// One line of a charge as the caller gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRequest {
    /// The service's code.
    pub service: String,
    /// How many units.
    pub quantity: i64,
}
