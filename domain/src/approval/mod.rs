//! Approval of large purchases: who has to agree to what, and when somebody has.
//!
//! A [`policy`] is a list of rules; the first that fits a purchase names the stages that it goes through. A request is
//! opened for it, and in it a [`round`]: what exactly is asked for, and who may decide about it, fixed at that instant.
//! Every other content is another round.
//!
//! # Who counts
//! A **seat** is a person whom a stage names. Its holder may decide, and so may whoever stands in for the holder at that
//! time; either way it is one seat and one decision, and nobody gives two in a round. Whoever asks, or has asked in an
//! earlier round, has no seat. Whoever stands in, or has stood in since the round was opened, for one of them may not decide;
//! their seat counts all the same when it is asked whether so many are left as have to agree.

mod content;
pub mod delegation;
mod escalation;
pub mod fault;
pub mod machine;
mod matching;
pub mod policy;
pub mod reach;
pub mod round;
#[cfg(test)]
mod scene;
pub mod validation;

pub use content::{NotUsable, Use};
pub use delegation::{Delegation, DelegationFault, stand_ins};
pub use fault::{PolicyFault, PolicyFaultKind, PolicyWarning, PolicyWarningKind};
pub use machine::seats;
pub use policy::{Approvers, Asked, Conditions, Language, Payer, People, Policy, Rule, Stage, Timing};
pub use round::{
    Choice, Content, Decision, DecisionException, DecisionWay, Escalation, EscalationReason, LinkKind,
    LinkOver, NotApprovable, Outcome, RequestState, Round, RoundCause, Seat, Seats, Situation, Verdict,
};
