//! Where each text of a document stands on its pages: whole points, counted from the upper left corner of a page of A4.
//!
//! How wide a text is is estimated from its letters, so that lines are broken and amounts end at one edge without
//! looking into the font. Digits are as wide as each other.

use super::content::{Content, Party};

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
/// Where amounts end.
const RIGHT: u16 = 539;
/// Where the first line stands.
const TOP: u16 = 70;
/// Below this nothing stands.
const BOTTOM: u16 = 780;
/// Where the columns of what was sold end.
const CREDITS_END: u16 = 330;
const PRICE_END: u16 = 440;
/// The size of what is read.
const PLAIN: u16 = 10;

/// Lays a document out on as many pages as it takes.
pub(super) fn pages(content: &Content) -> Vec<Vec<Text>> {
    let mut paper = Paper { pages: vec![Vec::new()], y: TOP };
    paper.put(LEFT, 18, true, &format!("{} {}", content.title, content.number));
    paper.down(28);
    paper.party("From", &content.seller);
    paper.party("To", &content.buyer);
    let facts = [
        ("Date", Some(&content.issued)),
        ("Payable until", content.due.as_ref()),
        ("Purchase order", content.purchase_order.as_ref()),
        ("Your reference", content.reference.as_ref()),
        ("Corrects", content.corrects.as_ref()),
    ];
    for (label, fact) in facts {
        if let Some(fact) = fact {
            paper.put(LEFT, PLAIN, false, label);
            paper.put(LEFT + 110, PLAIN, true, fact);
            paper.down(15);
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
    paper.sum(&format!("Total, {}", content.currency), true, &content.total);
    if let Some(note) = &content.note {
        paper.down(15);
        paper.paragraph(note, RIGHT - LEFT);
    }
    paper.pages
}

/// The pages so far, and how far down the last one is full.
struct Paper {
    pages: Vec<Vec<Text>>,
    y: u16,
}

impl Paper {
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
        self.put(end.saturating_sub(width(text, bold, PLAIN)), PLAIN, bold, text);
    }

    fn down(&mut self, points: u16) {
        self.y = self.y.saturating_add(points);
    }

    fn paragraph(&mut self, text: &str, most: u16) {
        for line in text.lines().flat_map(|line| broken(line, most)) {
            self.put(LEFT, PLAIN, false, &line);
            self.down(14);
        }
    }

    fn party(&mut self, label: &str, party: &Party) {
        self.put(LEFT, 8, false, label);
        self.down(13);
        for line in broken(&party.name, RIGHT - LEFT) {
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
        let lines = broken(label, PRICE_END - LEFT - room);
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

/// About how wide a text is, in points: never less than it is for letters of Latin, Greek and Cyrillic.
fn width(text: &str, bold: bool, size: u16) -> u16 {
    let thousandths = |c: char| -> u64 {
        match c {
            '0'..='9' => 636,
            '.' | ',' | ' ' | ':' | ';' | '\'' | '|' => 318,
            'i' | 'j' | 'l' | '-' | '(' | ')' | '!' | '/' => 390,
            'm' | 'w' | 'M' | 'W' | '@' | '%' => 990,
            'A'..='Z' => 760,
            'a'..='z' => 620,
            _ => 800,
        }
    };
    let sum: u64 = text.chars().map(thousandths).sum();
    // Bold digits are 696 thousandths wide.
    let sum = if bold { sum * 1_095 / 1_000 } else { sum };
    u16::try_from((sum * u64::from(size)).div_ceil(1_000)).unwrap_or(u16::MAX)
}

/// A text in lines of at most so many points: broken between words, and inside those that are longer than a line.
fn broken(text: &str, most: u16) -> Vec<String> {
    let fits = |text: &str| width(text, true, PLAIN) <= most;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.pop().unwrap_or_default();
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if fits(&longer) {
            lines.push(longer);
            continue;
        }
        if !line.is_empty() {
            lines.push(line);
        }
        let mut part = String::new();
        for c in word.chars() {
            part.push(c);
            if !fits(&part) && part.chars().count() > 1 {
                part.pop();
                lines.push(std::mem::replace(&mut part, c.to_string()));
            }
        }
        lines.push(part);
    }
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
            seller: party("Seller"),
            buyer: party("Buyer"),
            reference: Some("Cost centre 7".to_owned()),
            purchase_order: Some("PO-1".to_owned()),
            corrects: None,
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
            currency: "USD".to_owned(),
            note: None,
        }
    }

    #[test]
    fn everything_is_on_the_page() {
        let pages = pages(&everything());
        assert_eq!(pages.len(), 1);
        let shown: Vec<&str> = pages[0].iter().map(|text| text.text.as_str()).collect();
        for expected in
            ["Invoice INV-DEMO-000001", "Z\u{fc}rich", "Cost centre 7", "PO-1", "2026-03-02", "1.99", "31.77"]
        {
            assert!(shown.contains(&expected), "{expected} is not in {shown:?}");
        }
        assert!(pages[0].iter().all(|text| (LEFT..RIGHT).contains(&text.x) && text.y <= BOTTOM));
    }

    #[test]
    fn what_does_not_fit_goes_on_with_the_next_page() {
        let note = "A long note. ".repeat(2_000);
        let pages = pages(&Content { note: Some(note), ..everything() });
        assert!(pages.len() > 2 && pages.iter().all(|page| !page.is_empty()), "{}", pages.len());
    }

    #[test]
    fn lines_are_broken_between_words_and_in_long_ones() {
        for text in ["a b c", "", &"x".repeat(300), &format!("{} {}", "y".repeat(90), "z ".repeat(90))] {
            let lines = broken(text, 200);
            assert!(lines.iter().all(|line| width(line, true, PLAIN) <= 200), "{lines:?}");
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(text));
        }
    }
}
