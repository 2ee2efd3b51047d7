//! The tables of Bursar as SeaORM entities, one file a table, without behaviour.
//!
//! Enums and newtypes of columns are defined once, in `bursar-domain`. No entity declares relations:
//! every query of a tenant table begins with its organization, which generated joins would leave out.

pub mod account;
pub mod api_key;
pub mod attempt;
pub mod audit_event;
pub mod audit_head;
pub mod charge;
pub mod claimed_reference;
pub mod credit_request;
pub mod delivery;
pub mod department;
pub mod department_member;
pub mod departure;
pub mod guarantee_use;
pub mod hold;
pub mod identity_provider;
pub mod identity_provider_domain;
pub mod invitation;
pub mod journal_entry;
pub mod lot;
pub mod lot_position;
pub mod membership;
pub mod organization;
pub mod package;
pub mod package_price;
pub mod package_version;
pub mod payment;
pub mod personal_value;
pub mod pool;
pub mod pool_administrator;
pub mod pool_head;
pub mod purchase;
pub mod service;
pub mod service_version;
pub mod session;
pub mod shared_revision;
pub mod sign_in_link;
pub mod spending_cap;
pub mod spending_cap_period;
pub mod spending_cap_raise;
pub mod timed_task;
pub mod transfer;
pub mod user;
pub mod user_identity;
