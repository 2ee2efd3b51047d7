//! The letters of a PDF: which font has them, how wide they are, and in which order they stand where a text runs from
//! right to left.
//!
//! The fonts and what is in them: `assets/fonts/README.md`. A letter that none of them has is shown as a box.

use rustybuzz::{Direction, Face, UnicodeBuffer};
use unicode_bidi::BidiInfo;

use super::content::{Content, Party};
use crate::error::{Error, Result};

static PLAIN: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans.ttf");
static BOLD: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans-Bold.ttf");
static EAST: &[u8] = include_bytes!("../../assets/fonts/NotoSansCJK.otf");
static JAPAN: &[u8] = include_bytes!("../../assets/fonts/NotoSansCJK-Japan.otf");
static TAIWAN: &[u8] = include_bytes!("../../assets/fonts/NotoSansCJK-Taiwan.otf");

/// What stands for a letter that no font has.
const BOX: char = '\u{25a1}';
/// After these no line ends.
const OPENING: &str = "([{\u{201c}\u{2018}\u{3008}\u{300a}\u{300c}\u{300e}\u{3010}\u{3014}\u{ff08}\u{ff3b}";
/// With these no line begins.
const CLOSING: &str = ")]}.,:;!?\u{201d}\u{2019}\u{2026}\u{3001}\u{3002}\u{3009}\u{300b}\u{300d}\u{300f}\u{3011}\
                       \u{3015}\u{30fb}\u{30fc}\u{ff01}\u{ff09}\u{ff0c}\u{ff0e}\u{ff1a}\u{ff1b}\u{ff1f}\u{ff3d}";

/// A font.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// What is not East Asian.
    Plain,
    /// The same in bold.
    Bold,
    /// Han characters as they are written in Japan.
    Japan,
    /// Han characters as they are written in Taiwan and Hong Kong.
    Taiwan,
    /// All that is East Asian.
    East,
}

impl Name {
    /// The font itself.
    pub fn file(self) -> &'static [u8] {
        match self {
            Name::Plain => PLAIN,
            Name::Bold => BOLD,
            Name::Japan => JAPAN,
            Name::Taiwan => TAIWAN,
            Name::East => EAST,
        }
    }
}

/// A part of a line in one font and one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The font.
    pub name: Name,
    /// The text, in the order in which it is read.
    pub text: String,
    /// Whether it is read from right to left.
    pub leftward: bool,
    /// How far right of where the line begins it begins, in thousandths of the size of its letters.
    pub x: u64,
}

/// The fonts that a document is written in.
pub(super) struct Faces {
    /// In the order in which they are asked for a letter. The first is only for what is bold.
    faces: Vec<(Name, Face<'static>)>,
}

impl Faces {
    /// The fonts for a document: Han characters are written as where the buyer is, or else the seller.
    ///
    /// # Errors
    /// A font cannot be read.
    pub fn of(content: &Content) -> Result<Faces> {
        let forms = forms(&content.buyer).or_else(|| forms(&content.seller)).unwrap_or(Name::East);
        let mut names = vec![Name::Bold, Name::Plain, forms];
        if forms != Name::East {
            names.push(Name::East);
        }
        let face = |name: Name| {
            let face =
                Face::from_slice(name.file(), 0).ok_or_else(|| Error::internal("a font cannot be read"))?;
            Ok((name, face))
        };
        Ok(Faces { faces: names.into_iter().map(face).collect::<Result<_>>()? })
    }

    /// How wide a text is at most, in thousandths of the size of its letters.
    pub fn advance(&self, text: &str, bold: bool) -> u64 {
        text.chars().map(|c| self.width(c, bold)).sum()
    }

    /// A text in the parts that are drawn one by one, from left to right.
    pub fn runs(&self, text: &str, bold: bool) -> Vec<Run> {
        let text: String = text.chars().map(|c| if self.has(c) { c } else { BOX }).collect();
        let bidi = BidiInfo::new(&text, None);
        let mut runs = Vec::new();
        for paragraph in &bidi.paragraphs {
            let (levels, parts) = bidi.visual_runs(paragraph, paragraph.range.clone());
            for part in parts {
                let leftward = levels.get(part.start).is_some_and(|level| level.is_rtl());
                let mut of_fonts = self.of_one_font(&text[part], bold);
                if leftward {
                    of_fonts.reverse();
                }
                runs.extend(of_fonts.into_iter().map(|(name, text)| Run { name, text, leftward, x: 0 }));
            }
        }
        let mut x = 0;
        let last = runs.len().saturating_sub(1);
        for (number, run) in runs.iter_mut().enumerate() {
            run.x = x;
            // Behind the last one nothing stands.
            if number < last {
                x += self.drawn_width(run);
            }
        }
        runs
    }

    /// The letters of some texts that no font has, each once.
    pub fn missing<'t>(&self, texts: impl Iterator<Item = &'t str>) -> Vec<char> {
        let mut missing: Vec<char> = texts.flat_map(str::chars).filter(|c| !self.has(*c)).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Whether a letter can be drawn, or is not to be seen anyway.
    fn has(&self, c: char) -> bool {
        is_hidden(c) || self.find(c, false).is_some()
    }

    /// The first font that has a letter.
    fn find(&self, c: char, bold: bool) -> Option<(Name, &Face<'static>)> {
        let may = |name: Name| bold || name != Name::Bold;
        let found = self.faces.iter().find(|(name, face)| may(*name) && face.glyph_index(c).is_some());
        found.map(|(name, face)| (*name, face))
    }

    fn width(&self, c: char, bold: bool) -> u64 {
        if is_hidden(c) {
            return 0;
        }
        match self.find(c, bold) {
            Some(_) if joins(c) => 0,
            Some((_, face)) => {
                let advance = face.glyph_index(c).and_then(|glyph| face.glyph_hor_advance(glyph));
                thousandths(face, advance.unwrap_or_default().into()).max(0).unsigned_abs()
            }
            None if c == BOX => 1_000,
            None => self.width(BOX, bold),
        }
    }

    /// A text in parts of one font each. What joins the letter before it stays with that, where its font has it too.
    fn of_one_font(&self, text: &str, bold: bool) -> Vec<(Name, String)> {
        let mut parts: Vec<(Name, String)> = Vec::new();
        for c in text.chars() {
            let known = parts.last().map(|(name, _)| *name);
            let stays = known.filter(|name| {
                let has = |face: &Face<'static>| face.glyph_index(c).is_some();
                is_hidden(c) || joins(c) && self.faces.iter().any(|(other, face)| other == name && has(face))
            });
            let name = stays.or_else(|| self.find(c, bold).map(|(name, _)| name));
            let name = name.unwrap_or(Name::Plain);
            match parts.last_mut() {
                Some((last, part)) if *last == name => part.push(c),
                Some(_) | None => parts.push((name, c.to_string())),
            }
        }
        parts
    }

    /// How wide a run is with its letters joined and moved together.
    fn drawn_width(&self, run: &Run) -> u64 {
        let Some((_, face)) = self.faces.iter().find(|(name, _)| *name == run.name) else { return 0 };
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(&run.text);
        buffer.guess_segment_properties();
        buffer.set_direction(if run.leftward { Direction::RightToLeft } else { Direction::LeftToRight });
        let glyphs = rustybuzz::shape(face, &[], buffer);
        let sum: i64 = glyphs.glyph_positions().iter().map(|position| i64::from(position.x_advance)).sum();
        thousandths(face, sum).max(0).unsigned_abs()
    }
}

/// Units of a font in thousandths of the size of its letters, rounded up.
fn thousandths(face: &Face<'static>, units: i64) -> i64 {
    let size = i64::from(face.units_per_em()).max(1);
    (units * 1_000 + size - 1) / size
}

/// In which forms a party writes Han characters; none: that cannot be told.
fn forms(party: &Party) -> Option<Name> {
    let is_kana = |c: char| matches!(c, '\u{3041}'..='\u{30ff}');
    // The country is the last line of an address.
    match party.address.last().map(String::as_str) {
        Some("JP") => Some(Name::Japan),
        Some("TW" | "HK" | "MO") => Some(Name::Taiwan),
        Some("CN" | "SG") => Some(Name::East),
        _ => {
            let mut texts = party.address.iter().chain([&party.name]);
            texts.any(|text| text.chars().any(is_kana)).then_some(Name::Japan)
        }
    }
}

/// A word in the parts between which a line may end: letters of East Asia stand without spaces between words.
pub(super) fn pieces(word: &str) -> Vec<&str> {
    split(word, |before, after| {
        (is_east(before) || is_east(after))
            && !OPENING.contains(before)
            && !CLOSING.contains(after)
            && !joins(after)
            && !is_hidden(after)
    })
}

/// A word in its letters, each with what joins it.
pub(super) fn letters(word: &str) -> Vec<&str> {
    split(word, |_, after| !joins(after) && !is_hidden(after))
}

/// A text in the parts between which `may` says that it may be divided.
fn split(text: &str, may: impl Fn(char, char) -> bool) -> Vec<&str> {
    let (mut parts, mut start, mut before) = (Vec::new(), 0, None);
    for (at, c) in text.char_indices() {
        if before.is_some_and(|before| may(before, c)) {
            parts.push(&text[start..at]);
            start = at;
        }
        before = Some(c);
    }
    parts.push(&text[start..]);
    parts
}

/// Whether a letter is Han or kana, or stands among them: not Hangul, which has spaces between words.
fn is_east(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{312f}' | '\u{31a0}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff9f}'
        | '\u{20000}'..='\u{3ffff}')
}

/// Whether a mark stands over, in or below the letter before it.
fn joins(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}'
        | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}'
        | '\u{6d6}'..='\u{6dc}' | '\u{6df}'..='\u{6e4}' | '\u{6e7}' | '\u{6e8}' | '\u{6ea}'..='\u{6ed}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{3099}' | '\u{309a}'
        | '\u{fe20}'..='\u{fe2f}')
}

/// Whether a character is not to be seen: it joins, parts or turns others, or chooses among their forms.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::layout::tests::everything;

    fn faces() -> Faces {
        Faces::of(&everything()).unwrap()
    }

    /// The font, the text and the direction of each part of a text.
    fn drawn(faces: &Faces, text: &str) -> Vec<(Name, String, bool)> {
        faces.runs(text, false).into_iter().map(|run| (run.name, run.text, run.leftward)).collect()
    }

    fn party(name: &str, country: &str) -> Party {
        Party { name: name.to_owned(), address: vec![country.to_owned()], tax_id: None }
    }

    #[test]
    fn each_letter_comes_from_a_font_that_has_it() {
        let faces = faces();
        let part = |name: Name, text: &str| (name, text.to_owned(), false);
        let chinese = "\u{4e0a}\u{6d77}\u{865a}\u{62df}";
        let mixed = drawn(&faces, &format!("ABC {chinese} Ltd."));
        let expected = [part(Name::Plain, "ABC "), part(Name::East, chinese), part(Name::Plain, " Ltd.")];
        assert_eq!(mixed, expected);
        // Where one ends the next one begins.
        let at: Vec<u64> = faces.runs(&format!("{chinese}AB"), true).iter().map(|run| run.x).collect();
        assert_eq!(at, [0, 4_000]);
        // An accent stays with its letter.
        assert_eq!(drawn(&faces, "Vie\u{302}\u{323}t").len(), 1);
        assert_eq!(
            faces.missing([chinese, "Ng\u{1ecd}c", "\u{e01}\u{e02}\u{e01}"].into_iter()),
            ['\u{e01}', '\u{e02}']
        );
        assert_eq!(drawn(&faces, "A \u{e01}"), [part(Name::Plain, "A \u{25a1}")]);
    }

    #[test]
    fn right_to_left_stands_in_the_order_of_reading() {
        let faces = faces();
        let (hebrew, arabic) = ("\u{5d7}\u{5d1}\u{5e8}\u{5d4}", "\u{634}\u{631}\u{643}\u{629}");
        let runs = drawn(&faces, &format!("Acme {hebrew} 7"));
        let texts: Vec<(&str, bool)> =
            runs.iter().map(|(_, text, leftward)| (text.as_str(), *leftward)).collect();
        // The number is read after the word, and so stands left of it.
        let word = format!("{hebrew} ");
        assert_eq!(texts, [("Acme ", false), ("7", false), (word.as_str(), true)]);
        // Arabic letters are joined, and narrower than each by itself.
        let runs = faces.runs(&format!("Acme {arabic} Ltd."), false);
        let width = runs[2].x - runs[1].x;
        assert!(runs[1].leftward && 0 < width && width < faces.advance(arabic, false), "{runs:?}");
    }

    #[test]
    fn han_is_written_as_where_the_buyer_is() {
        let of = |name: &str, country: &str| {
            let content = Content { buyer: party(name, country), ..everything() };
            // A character that all three write in their own way.
            Faces::of(&content).unwrap().runs("\u{9aa8}", false)[0].name
        };
        assert_eq!((of("X", "JP"), of("X", "TW"), of("X", "CN")), (Name::Japan, Name::Taiwan, Name::East));
        assert_eq!((of("X", "DE"), of("\u{30c8}\u{30e8}", "Tokyo")), (Name::East, Name::Japan));
    }

    #[test]
    fn lines_end_between_letters_of_east_asia() {
        let text = "\u{682a}\u{5f0f}\u{3002}ABC\u{306e}";
        assert_eq!(pieces(text), ["\u{682a}", "\u{5f0f}\u{3002}", "ABC", "\u{306e}"]);
        assert_eq!((pieces("a-b"), pieces("")), (vec!["a-b"], vec![""]));
        assert_eq!(letters("e\u{301}x"), ["e\u{301}", "x"]);
    }
}
