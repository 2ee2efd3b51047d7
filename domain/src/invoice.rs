//! Invoices and numbered documents: where an invoice stands, what may be bought on invoice, and what documents say of tax.

use crate::money::cost_share;

string_enum! {
    /// Where an invoice stands.
    InvoiceState {
        /// It is to be paid.
        Open = "OPEN",
        /// A part of it has been paid.
        PartlyPaid = "PARTLY_PAID",
        /// It has been paid, but for what was credited. Final, unless all of it is credited.
        Paid = "PAID",
        /// The day is over by which it was to be paid.
        Overdue = "OVERDUE",
        /// It need not be paid any more: all of it was credited, also what had been paid of it. Final.
        Credited = "CREDITED",
    }
}

string_enum! {
    /// What a numbered document is.
    DocumentKind {
        /// Says that something was paid; one that corrects a credit note, that what it gave back was not.
        Receipt = "RECEIPT",
        /// Asks for a payment.
        Invoice = "INVOICE",
        /// Takes back a receipt or an invoice, in whole or in part.
        CreditNote = "CREDIT_NOTE",
    }
}

impl DocumentKind {
    /// What its numbers begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            DocumentKind::Receipt => "REC",
            DocumentKind::Invoice => "INV",
            DocumentKind::CreditNote => "CRN",
        }
    }
}

/// The number of a document as it is written: `INV-DEMO-000001`. Numbers count up by one for each kind of an
/// organization, without gaps.
pub fn written_number(kind: DocumentKind, slug: &str, number: i64) -> String {
    format!("{}-{}-{number:06}", kind.prefix(), slug.to_ascii_uppercase())
}

/// The state of an invoice over `total`, of which credit notes have taken `credited` back and `paid` was paid: it follows from
/// the amounts, in whatever order they came. Who has paid more than is left gets that back, so both may be more than the total.
pub fn state(total: i64, credited: i64, paid: i64, overdue: bool) -> InvoiceState {
    let due = total.saturating_sub(credited);
    if due <= 0 {
        InvoiceState::Credited
    } else if paid >= due {
        InvoiceState::Paid
    } else if overdue {
        InvoiceState::Overdue
    } else if paid > 0 {
        InvoiceState::PartlyPaid
    } else {
        InvoiceState::Open
    }
}

/// Why something cannot be bought on invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreditRefusal {
    /// The organization pays before it gets credits.
    Prepaid,
    /// An invoice is overdue.
    Overdue,
    /// It would owe more than it may.
    OverLimit {
        /// How much more it may owe, in minor units.
        available: i64,
    },
}

/// Whether so much more may be owed on invoice. No limit: as much as one likes; a limit admits what is equal to it.
///
/// # Errors
/// Why not.
pub fn admit(owed: i64, total: i64, limit: Option<i64>, overdue: bool) -> Result<(), CreditRefusal> {
    if overdue {
        return Err(CreditRefusal::Overdue);
    }
    match limit {
        Some(limit) if owed.saturating_add(total) > limit => {
            Err(CreditRefusal::OverLimit { available: limit.saturating_sub(owed).max(0) })
        }
        _ => Ok(()),
    }
}

/// What a total has of a tax of so many hundredths of a percent that is included in it, rounded half to even.
pub fn included_tax(total: i64, hundredths: i64) -> i64 {
    let rate = hundredths.max(0);
    cost_share(total, rate, rate.saturating_add(10_000))
}

/// What a total has of each of several taxes that are included in it, of so many hundredths of a percent each. All are
/// taxes on the same net amount: of one tax alone it is [`included_tax`].
pub fn included_taxes(total: i64, hundredths: &[i64]) -> Vec<i64> {
    let rates = || hundredths.iter().map(|rate| (*rate).max(0));
    let whole = rates().fold(10_000_i64, i64::saturating_add);
    rates().map(|rate| cost_share(total, rate, whole)).collect()
}

/// How much of an invoice is still to be paid.
pub fn outstanding(total: i64, credited: i64, paid: i64) -> i64 {
    total.saturating_sub(credited).saturating_sub(paid).max(0)
}

/// How much of what was paid of an invoice is the buyer's again: credit notes have taken back more than was still to be
/// paid. The rest of it, what is credited and what is outstanding are the total.
pub fn returned(total: i64, credited: i64, paid: i64) -> i64 {
    paid.saturating_add(credited).saturating_sub(total).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invoice_adds_up_whatever_was_paid_and_credited() {
        for total in 0_i64..=6 {
            for (credited, paid) in
                (0..=total).flat_map(|credited| (0..=total).map(move |paid| (credited, paid)))
            {
                let (due, back) = (outstanding(total, credited, paid), returned(total, credited, paid));
                assert_eq!(total, (paid - back) + credited + due, "{total} {credited} {paid}");
                assert!((0..=paid).contains(&back) && due >= 0 && (back == 0 || due == 0));
            }
        }
        assert_eq!((outstanding(199, 130, 90), returned(199, 130, 90)), (0, 21));
    }

    #[test]
    fn states_follow_from_amounts() {
        assert_eq!(state(100, 0, 0, false), InvoiceState::Open);
        assert_eq!(state(100, 0, 40, false), InvoiceState::PartlyPaid);
        assert_eq!(state(100, 0, 40, true), InvoiceState::Overdue);
        assert_eq!(state(100, 60, 40, true), InvoiceState::Paid);
        assert_eq!(state(100, 0, 100, true), InvoiceState::Paid);
        assert_eq!(state(100, 100, 0, true), InvoiceState::Credited);
        assert_eq!(state(100, 100, 40, true), InvoiceState::Credited);
        assert_eq!(state(180, 130, 90, true), InvoiceState::Paid);
        assert_eq!(state(100, 100, 100, false), InvoiceState::Credited);
    }

    #[test]
    fn limits_admit_what_is_equal_to_them() {
        assert_eq!(admit(40, 60, Some(100), false), Ok(()));
        assert_eq!(admit(40, 61, Some(100), false), Err(CreditRefusal::OverLimit { available: 60 }));
        assert_eq!(admit(0, 1, Some(0), false), Err(CreditRefusal::OverLimit { available: 0 }));
        assert_eq!(admit(i64::MAX, 1, None, false), Ok(()));
        assert_eq!(admit(0, 1, None, true), Err(CreditRefusal::Overdue));
    }

    #[test]
    fn tax_is_a_part_of_the_total() {
        assert_eq!(included_tax(11_900, 1_900), 1_900);
        assert_eq!(included_tax(19_900, 0), 0);
        assert_eq!(included_tax(100, 825), 8);
        assert_eq!(included_taxes(11_900, &[1_900]), [1_900]);
        // Five and seven percent of 100.00.
        assert_eq!(included_taxes(11_200, &[500, 700]), [500, 700]);
        assert_eq!(included_taxes(11_200, &[]), [0_i64; 0]);
        assert_eq!(included_taxes(100, &[-1, 0]), [0, 0]);
        assert_eq!(written_number(DocumentKind::Invoice, "demo", 7), "INV-DEMO-000007");
    }
}
