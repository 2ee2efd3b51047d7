//! Random price lists: the price per credit never rises with the quantity, totals are the price times the credits to
//! within half a minor unit, and a package costs what it says.

#![allow(missing_docs, clippy::unwrap_used)]

use bursar_domain::Credits;
use bursar_domain::pricing::{
    Candidate, MAX_PURCHASE, MAX_TOTAL, PARTS, PriceBasis, PriceBook, PriceRefusal, UnitPrice,
};
use proptest::prelude::*;

fn credits(number: i64) -> Credits {
    Credits::new(number).unwrap()
}

/// What a credit costs: from a millionth of a minor unit up to thousands of them.
fn unit() -> impl Strategy<Value = UnitPrice> {
    let parts = prop_oneof![1..=3 * PARTS, PARTS..=10_000 * PARTS];
    parts.prop_map(|parts| UnitPrice::new(parts).unwrap())
}

fn candidate(from: i64, unit: UnitPrice, basis: PriceBasis) -> Candidate {
    let label = format!("{basis} from {from}");
    Candidate { basis, from: credits(from), unit, exact: None, lifetime_days: None, label }
}

fn of_quantity() -> impl Strategy<Value = Candidate> {
    let basis = prop_oneof![Just(PriceBasis::Contract), Just(PriceBasis::Volume)];
    (1..=5_000i64, unit(), basis).prop_map(|(from, unit, basis)| candidate(from, unit, basis))
}

/// A package that costs so many minor units.
fn package() -> impl Strategy<Value = Candidate> {
    (1..=5_000i64, 1..=10_000_000i64).prop_map(|(from, total)| {
        let unit = UnitPrice::of(total, credits(from)).unwrap();
        Candidate { exact: Some(total), ..candidate(from, unit, PriceBasis::Package) }
    })
}

fn book() -> impl Strategy<Value = PriceBook> {
    let candidates = prop::collection::vec(prop_oneof![of_quantity(), package()], 0..12);
    let custom_from = prop::option::of((1..=6_000i64).prop_map(credits));
    (candidates, custom_from).prop_map(|(candidates, custom_from)| PriceBook { candidates, custom_from })
}

/// A quantity, most often one at which something begins.
fn quantity(book: &PriceBook) -> impl Strategy<Value = Credits> + use<> {
    let edges =
        book.candidates.iter().flat_map(|one| [one.from.get() - 1, one.from.get(), one.from.get() + 1]);
    let edges: Vec<i64> = edges.chain([1, 1_000]).filter(|edge| *edge > 0).collect();
    prop_oneof![3 => prop::sample::select(edges), 1 => 1..=10_000i64].prop_map(credits)
}

fn case() -> impl Strategy<Value = (PriceBook, Credits, Credits)> {
    book().prop_flat_map(|book| {
        let (one, other) = (quantity(&book), quantity(&book));
        (Just(book), one, other)
    })
}

proptest! {
    #[test]
    fn the_price_of_a_credit_never_rises((book, one, other) in case()) {
        let (less, more) = (one.min(other), one.max(other));
        // Where the vendor has to be asked there is no price to compare; a contract reaches ever more.
        if let (Ok(less), Ok(more)) = (book.price(less), book.price(more)) {
            prop_assert!(more.chosen.unit <= less.chosen.unit, "{less:?} {more:?}");
        }
    }

    #[test]
    fn a_total_is_the_price_of_all_credits((book, quantity, _) in case()) {
        let Ok(priced) = book.price(quantity) else { return Ok(()) };
        prop_assert_eq!(priced.credits, quantity);
        prop_assert_eq!(&priced.considered[0], &priced.chosen);
        prop_assert!(priced.considered.iter().all(|one| one.from <= quantity && priced.chosen.unit <= one.unit));
        let exact = priced.chosen.exact.filter(|_| priced.chosen.from == quantity);
        match exact {
            Some(total) => prop_assert_eq!(priced.total, total, "a package costs what it says"),
            None => {
                let parts = i128::from(priced.chosen.unit.get()) * i128::from(quantity.get());
                let difference = i128::from(priced.total) * i128::from(PARTS) - parts;
                let rounded = difference.abs() * 2 <= i128::from(PARTS);
                prop_assert!(rounded || priced.total == 1 && difference > 0, "{priced:?}");
            }
        }
    }

    #[test]
    fn the_vendor_is_asked_from_the_custom_price_on((book, quantity, _) in case()) {
        let reaches = |basis: Option<PriceBasis>| {
            let mut those = book.candidates.iter().filter(|one| basis.is_none_or(|basis| one.basis == basis));
            those.any(|one| one.from <= quantity)
        };
        let custom = book.custom_from.filter(|from| *from <= quantity);
        match (custom, reaches(Some(PriceBasis::Contract)), reaches(None)) {
            (Some(from), false, _) => prop_assert_eq!(book.price(quantity), Err(PriceRefusal::QuoteRequired { from })),
            (_, _, false) => prop_assert_eq!(book.price(quantity), Err(PriceRefusal::NotAvailable)),
            _ => prop_assert!(book.price(quantity).is_ok()),
        }
    }

    #[test]
    fn a_price_comes_back_from_its_total(total in 1..=1_000_000_000i64, number in 1..=1_000i64) {
        // What a total makes of a credit is told in millionths: together they are the total again.
        let unit = UnitPrice::of(total, credits(number)).unwrap();
        prop_assert_eq!(unit.total(credits(number)), Some(total));
    }
}

#[test]
fn totals_are_rounded_half_to_even() {
    let total = |parts, number| UnitPrice::new(parts).unwrap().total(credits(number));
    assert_eq!(total(500_000, 3), Some(2), "1.5");
    assert_eq!(total(500_000, 5), Some(2), "2.5");
    assert_eq!(total(500_001, 5), Some(3), "2.500005");
    assert_eq!(total(1, 1), Some(1), "nothing is for nothing");
    assert_eq!(total(MAX_TOTAL, 1_000_001), None, "more than can be paid");
    assert_eq!(UnitPrice::new(0), None);
    assert_eq!(UnitPrice::of(1, credits(2)).map(UnitPrice::get), Some(500_000));
    assert_eq!(UnitPrice::of(1, Credits::ZERO), None);
}

#[test]
fn of_equal_prices_the_nearest_agreement_counts() {
    let unit = UnitPrice::new(199 * PARTS).unwrap();
    let candidates = [PriceBasis::Volume, PriceBasis::Package, PriceBasis::Contract]
        .map(|basis| candidate(1, unit, basis))
        .to_vec();
    let book = PriceBook { candidates, custom_from: Some(credits(1_000)) };
    let priced = book.price(credits(1_000)).unwrap();
    let order: Vec<PriceBasis> = priced.considered.iter().map(|one| one.basis).collect();
    assert_eq!(order, [PriceBasis::Contract, PriceBasis::Package, PriceBasis::Volume]);
    assert_eq!(book.price(Credits::ZERO), Err(PriceRefusal::OutOfRange));
    let beyond = MAX_PURCHASE.checked_add(credits(1)).unwrap();
    assert_eq!(book.price(beyond), Err(PriceRefusal::OutOfRange));
}
