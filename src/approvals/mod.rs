//! Approval of purchases: policies, requests and their rounds, decisions, standing in for somebody, links and mails.
//!
//! What is decided stands in `bursar_domain::approval`; this room loads rows, asks, and writes what it is answered. It
//! knows the row of a purchase and nothing of how one is paid: it lies below `organizations`, whose changes of people it
//! looks at again in the same transaction, and below `purchases`, which opens requests and does what follows when one has
//! come to its end.
//!
//! # Order of locks
//! Whoever writes a request, a delegation or a policy has locked the organization first, so they come one after another;
//! then the purchase, when it changes too; then the request. Links are locked after it. There is one exception: money that
//! has come for what was agreed to marks the request used ([`mark_used`]) with the purchase locked, and not the organization.
//! Whoever changes, withdraws or decides about a request has locked its purchase, so that comes before or after them as well.

mod agreed;
mod decide;
mod delegate;
mod due;
mod find;
mod link;
mod links;
mod mail;
mod month;
mod pay;
mod people;
mod people_change;
mod policies;
mod reasons;
mod reconsider;
mod refusals;
mod rounds;
mod seen;
mod simulate;
mod stored;
mod submit;
mod timed;
mod title;
mod unpaid;

pub use agreed::{AgreedTo, agreed_to, require_agreed, was_agreed};
pub use decide::{By, Decide, Decided, Taken, decide_in, needs_sign_in};
pub use delegate::{NewDelegation, delegate, delegation_begins, revoke};
pub use due::{Due, due_in, next_due};
pub use find::{FoundApproval, FoundDecision, FoundStage, Standing, find};
pub use link::ApprovalLink;
pub use links::{mailed, withdraw_links};
pub use mail::{MailCause, Told, ask, tell, tell_but};
pub use month::month_to_date;
pub use pay::{Entered, enter_to_pay, is_payable, may_pay, pay_link_used};
pub use people::{delegations, people};
pub use people_change::{Touched, people_changed};
pub use policies::{PolicySaved, SavePolicy, Saved, save};
pub use reasons::{NOTE, Reasons, asked_by, forget_reasons, reasons_of};
pub use reconsider::{announce, record};
pub use refusals::{link_ended, note_refusal, note_refused_decision};
pub use rounds::{
    current_policy, find_of_purchase, load_round, lock_request, policy_of, policy_of_round, requesters,
};
pub use seen::{AskedAbout, SeenRound, Tried, asked_of, look_at, tried};
pub use simulate::{Simulated, SimulatedPurchase, simulate};
pub use stored::{read_people, read_rules, read_seats, write_people, write_rules, write_seats};
pub use submit::{Opened, Submission, Wanted, mark_used, open, wanted, withdraw};
pub use timed::{APPROVAL_DUE, DELEGATION_BEGINS, PURCHASE_APPROVED};
pub use unpaid::{is_sent_to_pay, pay_again, tell_declined};
