//! Where each text of a document stands on its pages: whole points, counted from the upper left corner of a page of A4.
//!
//! Lines are broken and amounts end at one edge by the widths that letters have in their fonts, each by itself: letters
//! that are joined or moved together take less. Digits are as wide as each other.

use super::content::{Content, Party};
use super::faces::{Faces, letters, pieces};

/// A text and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// How far from the left edge it begins.
    pub x: u16,
    /// How far from the upper edge its base line is.
    pub y: u16,
    /// How large it is.
    pub size: u16,
    /// Whether it is bold.
    pub bold: bool,
    /// The text.
    pub text: String,
}

/// Where lines begin.
const LEFT: u16 = 56;
/// Where what is said of the document begins, beside its label.
const FACTS: u16 = 166;
/// Where amounts end.
const RIGHT: u16 = 539;
/// Where the first line stands.
const TOP: u16 = 70;
/// Below this nothing stands.
const BOTTOM: u16 = 780;
/// Where the columns of what was sold end.
const CREDITS_END: u16 = 330;
const PRICE_END: u16 = 440;
/// The size of the title.
const TITLE: u16 = 18;
/// The size of what is read.
const PLAIN: u16 = 10;

/// Lays a document out on as many pages as it takes.
pub(super) fn pages(content: &Content, faces: &Faces) -> Vec<Vec<Text>> {
    let mut paper = Paper { faces, pages: vec![Vec::new()], y: TOP };
    let title = format!("{} {}", content.title, content.number);
    // Lines are measured in the size of what is read.
    for line in broken(faces, &title, (RIGHT - LEFT) * PLAIN / TITLE) {
        paper.put(LEFT, TITLE, true, &line);
        paper.down(24);
    }
    paper.down(4);
    paper.party("From", &content.seller);
    paper.party("To", &content.buyer);
    let facts = [
        ("Date", Some(&content.issued)),
        ("Payable until", content.due.as_ref()),
        ("Time zone", Some(&content.zone)),
        ("Purchase order", content.purchase_order.as_ref()),
        ("Your reference", content.reference.as_ref()),
        ("Corrects", content.corrects.as_ref()),
        ("Pays", content.pays.as_ref()),
        ("Received on", content.received.as_ref()),
        ("Reason", content.reason.as_ref()),
        ("Credits taken back", content.credits_back.as_ref()),
    ];
    for (label, fact) in facts {
        if let Some(fact) = fact {
            paper.fact(label, fact);
        }
    }
    paper.down(15);
    paper.put(LEFT, PLAIN, true, "What");
    paper.put_ending(CREDITS_END, true, "Credits");
    paper.put_ending(PRICE_END, true, "Per credit");
    paper.put_ending(RIGHT, true, &format!("Amount, {}", content.currency));
    paper.down(18);
    for line in &content.lines {
        paper.put_ending(CREDITS_END, false, line.credits.as_deref().unwrap_or_default());
        paper.put_ending(PRICE_END, false, line.unit_price.as_deref().unwrap_or_default());
        paper.put_ending(RIGHT, false, &line.amount);
        paper.paragraph(&line.text, CREDITS_END - LEFT - 60);
    }
    paper.down(12);
    if !content.taxes.is_empty() {
        paper.sum("Net", false, &content.net);
    }
    for tax in &content.taxes {
        paper.sum(&format!("{}, {} %", tax.label, tax.percent), false, &tax.amount);
    }
    paper.sum(&format!("{}, {}", content.total_label(), content.currency), true, &content.total);
    if let Some(outstanding) = &content.outstanding {
        paper.sum(&format!("Still due, {}", content.currency), false, outstanding);
    }
    if let Some(note) = &content.note {
        paper.down(15);
        paper.paragraph(note, RIGHT - LEFT);
    }
    paper.pages
}

/// The pages so far, and how far down the last one is full.
struct Paper<'f> {
    faces: &'f Faces,
    pages: Vec<Vec<Text>>,
    y: u16,
}

impl Paper<'_> {
    fn put(&mut self, x: u16, size: u16, bold: bool, text: &str) {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if text.trim().is_empty() {
            return;
        }
        if self.y > BOTTOM {
            self.pages.push(Vec::new());
            self.y = TOP;
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(Text { x, y: self.y, size, bold, text });
        }
    }

    /// A text that ends at `end`.
    fn put_ending(&mut self, end: u16, bold: bool, text: &str) {
        self.put(end.saturating_sub(width(self.faces, text, bold)), PLAIN, bold, text);
    }

    fn down(&mut self, points: u16) {
        self.y = self.y.saturating_add(points);
    }

    fn paragraph(&mut self, text: &str, most: u16) {
        let faces = self.faces;
        for line in text.lines().flat_map(|line| broken(faces, line, most)) {
            self.put(LEFT, PLAIN, false, &line);
            self.down(14);
        }
    }

    /// A label, and what it is about in as many lines as that takes.
    fn fact(&mut self, label: &str, fact: &str) {
        self.put(LEFT, PLAIN, false, label);
        let faces = self.faces;
        for line in fact.lines().flat_map(|line| broken(faces, line, RIGHT - FACTS)) {
            self.put(FACTS, PLAIN, true, &line);
            self.down(15);
        }
    }

    fn party(&mut self, label: &str, party: &Party) {
        self.put(LEFT, 8, false, label);
        self.down(13);
        for line in broken(self.faces, &party.name, RIGHT - LEFT) {
            self.put(LEFT, PLAIN, true, &line);
            self.down(14);
        }
        for line in &party.address {
            self.paragraph(line, RIGHT - LEFT);
        }
        if let Some(tax_id) = &party.tax_id {
            self.paragraph(&format!("Tax ID {tax_id}"), RIGHT - LEFT);
        }
        self.down(14);
    }

    fn sum(&mut self, label: &str, bold: bool, amount: &str) {
        // The amount is never longer than the room between its column and the label's.
        let room = RIGHT - CREDITS_END;
        let lines = broken(self.faces, label, PRICE_END - LEFT - room);
        let last = lines.len().saturating_sub(1);
        for (number, line) in lines.iter().enumerate() {
            self.put_ending(PRICE_END, bold, line);
            if number == last {
                self.put_ending(RIGHT, bold, amount);
            }
            self.down(15);
        }
    }
}

/// How wide a text is at most, in points.
fn width(faces: &Faces, text: &str, bold: bool) -> u16 {
    let thousandths = faces.advance(text, bold) * u64::from(PLAIN);
    u16::try_from(thousandths.div_ceil(1_000)).unwrap_or(u16::MAX)
}

/// A text in lines of at most so many points: broken between words, or letters of East Asia, and inside what is longer
/// than a line.
fn broken(faces: &Faces, text: &str, most: u16) -> Vec<String> {
    let room = u64::from(most) * 1_000 / u64::from(PLAIN);
    // In bold letters, which are the wider ones.
    let wide = |text: &str| faces.advance(text, true);
    let (mut lines, mut line, mut filled) = (Vec::new(), String::new(), 0_u64);
    for word in text.split_whitespace() {
        for (number, piece) in pieces(word).into_iter().enumerate() {
            let gap = if number == 0 && !line.is_empty() { " " } else { "" };
            let more = wide(gap) + wide(piece);
            if filled + more <= room {
                line.push_str(gap);
                line.push_str(piece);
                filled += more;
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
                filled = 0;
            }
            for letter in letters(piece) {
                let more = wide(letter);
                if filled + more > room && !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                    filled = 0;
                }
                line.push_str(letter);
                filled += more;
            }
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::billing::content::{Line, Tax};

    /// A document with something of everything.
    pub(crate) fn everything() -> Content {
        let party = |name: &str| Party {
            name: name.to_owned(),
            address: vec!["1 Main Street".to_owned(), "Z\u{fc}rich".to_owned()],
            tax_id: Some("CHE-1".to_owned()),
        };
        Content {
            title: "Invoice".to_owned(),
            number: "INV-DEMO-000001".to_owned(),
            issued: "2026-01-31".to_owned(),
            zone: "Europe/Zurich".to_owned(),
            seller: party("Seller"),
            buyer: party("Buyer"),
            reference: Some("Cost centre 7".to_owned()),
            purchase_order: Some("PO-1".to_owned()),
            corrects: Some("Invoice INV-DEMO-000000".to_owned()),
            pays: Some("Invoice INV-DEMO-000002".to_owned()),
            received: Some("2026-01-30".to_owned()),
            reason: Some("Too many".to_owned()),
            credits_back: Some("51".to_owned()),
            reversal: Some("reversal_1".to_owned()),
            due: Some("2026-03-02".to_owned()),
            lines: vec![Line {
                text: "Starter: 100 credits".to_owned(),
                credits: Some("100".to_owned()),
                unit_price: Some("1.99".to_owned()),
                amount: "199.00".to_owned(),
            }],
            net: "167.23".to_owned(),
            taxes: vec![Tax {
                label: "VAT".to_owned(),
                percent: "19".to_owned(),
                amount: "31.77".to_owned(),
            }],
            total: "199.00".to_owned(),
            outstanding: Some("12.34".to_owned()),
            currency: "USD".to_owned(),
            note: None,
        }
    }

    fn laid_out(content: &Content) -> Vec<Vec<Text>> {
        pages(content, &Faces::of(content).unwrap())
    }

    #[test]
    fn everything_is_on_the_page() {
        let pages = laid_out(&everything());
        assert_eq!(pages.len(), 1);
        let shown: Vec<&str> = pages[0].iter().map(|text| text.text.as_str()).collect();
        for expected in [
            "Invoice INV-DEMO-000001",
            "Z\u{fc}rich",
            "Cost centre 7",
            "PO-1",
            "2026-03-02",
            "Europe/Zurich",
            "1.99",
            "31.77",
            "Invoice INV-DEMO-000002",
            "2026-01-30",
            "Still due, USD",
            "12.34",
        ] {
            assert!(shown.contains(&expected), "{expected} is not in {shown:?}");
        }
        assert!(pages[0].iter().all(|text| (LEFT..RIGHT).contains(&text.x) && text.y <= BOTTOM));
    }

    #[test]
    fn what_does_not_fit_goes_on_with_the_next_page() {
        let note = "A long note. ".repeat(2_000);
        let pages = laid_out(&Content { note: Some(note), ..everything() });
        assert!(pages.len() > 2 && pages.iter().all(|page| !page.is_empty()), "{}", pages.len());
    }

    #[test]
    fn a_long_number_stays_on_the_page() {
        let content = Content { number: format!("INV-{}-000001", "WIDE".repeat(15)), ..everything() };
        let faces = Faces::of(&content).unwrap();
        let titles: Vec<Text> =
            laid_out(&content).remove(0).into_iter().filter(|text| text.size == TITLE).collect();
        assert!(titles.len() > 1, "{titles:?}");
        let end =
            |text: &Text| u64::from(text.x) + faces.advance(&text.text, true) * u64::from(TITLE) / 1_000;
        assert!(titles.iter().all(|text| end(text) <= u64::from(RIGHT)), "{titles:?}");
    }

    #[test]
    fn lines_are_broken_between_words_and_in_long_ones() {
        let faces = Faces::of(&everything()).unwrap();
        let east = "\u{6771}\u{4eac}\u{90fd}\u{3002}".repeat(30);
        for text in ["a b c", "", &"x".repeat(300), &format!("{} {}", "y".repeat(90), "z ".repeat(90)), &east]
        {
            let lines = broken(&faces, text, 200);
            assert!(lines.iter().all(|line| width(&faces, line, true) <= 200), "{lines:?}");
            assert!(lines.iter().all(|line| !line.starts_with('\u{3002}')), "{lines:?}");
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(text));
        }
    }
}
