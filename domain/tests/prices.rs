//! Random price lists: the price per credit never rises with the quantity, totals are the price times the credits to
//! within half a minor unit, and a package costs what it says.

#![allow(missing_docs, clippy::unwrap_used)]

use bursar_domain::Credits;
use bursar_domain::pricing::{
    Candidate, MAX_PURCHASE, MAX_TOTAL, PARTS, PackageTerms, PriceBasis, PriceBook, PriceRefusal,
    QuoteRefusal, UnitPrice,
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

/// For how many days credits can be used.
fn lifetime() -> impl Strategy<Value = Option<i64>> {
    prop::option::of(1..=4i64)
}

fn of_quantity() -> impl Strategy<Value = Candidate> {
    let basis = prop_oneof![Just(PriceBasis::Contract), Just(PriceBasis::Volume)];
    let parts = (1..=5_000i64, unit(), basis, lifetime());
    parts.prop_map(|(from, unit, basis, lifetime_days)| Candidate {
        lifetime_days,
        ..candidate(from, unit, basis)
    })
}

/// A package that costs so many minor units.
fn package() -> impl Strategy<Value = Candidate> {
    (1..=5_000i64, 1..=10_000_000i64, lifetime()).prop_map(|(from, total, lifetime_days)| {
        let unit = UnitPrice::of(total, credits(from)).unwrap();
        Candidate { exact: Some(total), lifetime_days, ..candidate(from, unit, PriceBasis::Package) }
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

/// A list, a quantity that is quoted, one that is bought, and a total, most often near what the list makes of it.
fn quote() -> impl Strategy<Value = (PriceBook, Credits, Credits, i64)> {
    case().prop_flat_map(|(book, quoted, bought)| {
        let lowest = book.lowest_up_to(quoted).and_then(|one| one.unit.total(quoted)).unwrap_or(1_000);
        let near = (-2..=2i64).prop_map(move |more| (lowest + more).max(1));
        let total = prop_oneof![2 => near, 1 => 1..=100_000_000i64];
        (Just(book), Just(quoted), Just(bought), total)
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
    fn a_package_costs_the_same_and_lasts_as_it_says((book, quantity, _) in case(), days in lifetime()) {
        let terms = PackageTerms { credits: quantity, lifetime_days: days };
        match (book.price_package(terms), book.price(quantity)) {
            (Ok(package), Ok(plain)) => {
                prop_assert_eq!((package.chosen.unit, package.total), (plain.chosen.unit, plain.total));
                let lasts = package.lifetime_days;
                prop_assert!(terms.are_met(package.credits, lasts), "{package:?} {terms:?}");
                // Nor does it last shorter than what the price that counts gives, nor longer than both say.
                let counts = PackageTerms { lifetime_days: plain.lifetime_days, ..terms };
                prop_assert!(counts.are_met(package.credits, lasts), "{package:?} {plain:?}");
                prop_assert!(lasts == days || lasts == plain.lifetime_days);
            }
            (package, plain) => prop_assert_eq!(package.map(|_| ()), plain.map(|_| ())),
        }
    }

    #[test]
    fn a_quote_never_raises_the_price_of_a_credit((book, quantity, other, total) in quote()) {
        let less = book.price(other.min(quantity)).ok();
        match book.quoted(quantity, total) {
            Ok(unit) => {
                if let Some(less) = &less {
                    prop_assert!(unit <= less.chosen.unit, "{unit:?} {less:?}");
                }
                // Together they are what was quoted, to within half a minor unit and the rounding of the price.
                let parts = i128::from(unit.get()) * i128::from(quantity.get());
                let difference = (i128::from(total) * i128::from(PARTS) - parts).abs() * 2;
                prop_assert!(
                    difference <= i128::from(PARTS) + i128::from(quantity.get()) || total == 1,
                    "{unit:?} {difference}"
                );
            }
            Err(QuoteRefusal::PriceRises { highest }) => {
                prop_assert!(total > highest);
                prop_assert!(book.quoted(quantity, highest).is_ok(), "what is named would do");
                // Some smaller quantity, or this one, can be bought at that price without a quote.
                let lowest = book.lowest_up_to(quantity).unwrap();
                let bought = book.price(lowest.from).or_else(|_| book.price(quantity));
                prop_assert_eq!(bought.unwrap().chosen.unit, lowest.unit);
            }
            Err(QuoteRefusal::OutOfRange) => prop_assert!(UnitPrice::of(total, quantity).is_none()),
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
fn a_total_is_at_least_one_minor_unit() {
    // A thousandth of a minor unit each: what would be rounded to nothing costs one, and so do a thousand.
    let unit = UnitPrice::new(PARTS / 1_000).unwrap();
    let book = PriceBook { candidates: vec![candidate(1, unit, PriceBasis::Volume)], custom_from: None };
    let priced: Vec<(i64, i64, UnitPrice)> = [1, 500, 501, 1_000, 1_500, 1_501]
        .into_iter()
        .map(|number| book.price(credits(number)).unwrap())
        .map(|priced| (priced.credits.get(), priced.total, priced.chosen.unit))
        .collect();
    let totals: Vec<i64> = priced.iter().map(|(_, total, _)| *total).collect();
    assert_eq!(totals, [1, 1, 1, 1, 2, 2]);
    // The price of a credit is the same for all of them, and below half of one the total does not rise at all.
    assert!(priced.iter().all(|(_, _, each)| *each == unit), "{priced:?}");
    let single = book.price(credits(1)).unwrap().total;
    assert!(priced.iter().all(|(number, total, _)| *total <= single * number), "{priced:?}");
}

#[test]
fn a_package_is_its_credits_for_as_long() {
    let lasts = |days| PackageTerms { credits: credits(100), lifetime_days: days };
    assert!(lasts(None).are_met(credits(100), None) && !lasts(None).are_met(credits(100), Some(36_500)));
    assert!(lasts(Some(30)).are_met(credits(100), None) && lasts(Some(30)).are_met(credits(100), Some(30)));
    assert!(!lasts(Some(30)).are_met(credits(100), Some(29)) && !lasts(Some(30)).are_met(credits(99), None));
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
