//! Commands: what callers ask of the ledger, as pure data.

use super::instruction::Instruction;
use crate::Timestamp;
use crate::id::{ChargeId, EntryId, HoldId, PoolId};

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
    /// A charge, or the capture of a hold.
    Charge(ChargeId),
    /// A hold.
    Hold(HoldId),
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
