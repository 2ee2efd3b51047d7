//! The outbox: what has to leave Bursar is a row of the transaction that causes it, so that neither is there without
//! the other. Somebody else delivers it afterwards (see `delivery`).
//!
//! `append` writes the row and nothing else: it locks nothing, and sends nothing. `append_to_vendor` writes one for each
//! who is to be told. Whoever has committed may say so
//! by `Changes::announce_mail`; without it the mail leaves a second later. The id of the row is the id of the event:
//! whoever gets a mail twice sees that it is the same.

mod append;
mod approval_facts;
mod facts;
mod forget;
mod replay;
mod vendor;

pub use append::{Link, Mail, UserOrAddress, append};
#[cfg(test)]
pub(crate) use approval_facts::tests as approval_examples;
pub use approval_facts::{
    ApprovalDecidedFacts, ApprovalFacts, Became, Because, Matter, PoolFacts, StageFacts, ToPay, ToPayFacts,
};
pub use bursar_domain::delivery::MailTemplate as Template;
pub use facts::{
    ConsentFacts, Facts, InvitationFacts, ParkedFacts, QuoteAnsweredFacts, QuoteRequestedFacts, SignInFacts,
};
pub use forget::{Named, forget};
pub use replay::replay;
pub use vendor::append_to_vendor;
