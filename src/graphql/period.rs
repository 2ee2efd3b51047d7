//! Kinds of periods.

use async_graphql::Enum;
use bursar_domain::period::PeriodKind as Kind;

/// How long a period is. Periods begin in the organization's time zone.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Kind")]
pub enum PeriodKind {
    /// A calendar month.
    Month,
    /// A calendar quarter: January to March, and so on.
    Quarter,
    /// A calendar year.
    Year,
}
