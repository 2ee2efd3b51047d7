//! A document as a PDF. The fonts are in it, as far as their letters are used.

use krilla::geom::{Point, Transform};
use krilla::metadata::Metadata;
use krilla::text::{Font, TextDirection};
use krilla::{Document, SerializeSettings};

use super::content::Content;
use super::faces::{Faces, Name, Run};
use super::layout::{Text, pages};
use crate::error::{Error, Result};

/// How many parts of a point the places of texts are counted in.
const PARTS: u16 = 20;

/// Writes a document as a PDF. It takes a while: not for a task that others wait for.
///
/// # Errors
/// It cannot be written.
pub fn pdf(content: &Content) -> Result<Vec<u8>> {
    written(content, SerializeSettings::default())
}

fn written(content: &Content, settings: SerializeSettings) -> Result<Vec<u8>> {
    let faces = Faces::of(content)?;
    let pages = pages(content, &faces);
    let missing = faces.missing(pages.iter().flatten().map(|text| text.text.as_str()));
    if !missing.is_empty() {
        let letters: Vec<String> = missing.iter().map(|c| format!("U+{:04X}", u32::from(*c))).collect();
        tracing::warn!(document = %content.number, letters = letters.join(" "), "a PDF shows boxes for letters that no font has");
    }
    let mut fonts = Vec::new();
    let mut document = Document::new_with(settings);
    let title = format!("{} {}", content.title, content.number);
    document.set_metadata(Metadata::new().title(title).language("en".to_owned()));
    for texts in &pages {
        let drawn = texts
            .iter()
            .flat_map(|text| faces.runs(&text.text, text.bold).into_iter().map(move |run| (text, run)));
        let drawn: Vec<(&Text, Run, Font)> = drawn
            .map(|(text, run)| font(&mut fonts, run.name).map(|font| (text, run, font)))
            .collect::<Result<_>>()?;
        // Of A4, as the layout is.
        let mut page = document.start_page();
        let mut surface = page.surface();
        // One of the parts.
        surface.push_transform(&Transform::from_scale(0.05, 0.05));
        for (text, run, font) in drawn {
            // What comes before on the line is less than a page wide.
            let before = run.x * u64::from(text.size * PARTS) / 1_000;
            let x = u16::try_from(u64::from(text.x * PARTS) + before).unwrap_or(u16::MAX);
            let at = Point::from_xy(x.into(), (text.y * PARTS).into());
            let direction =
                if run.leftward { TextDirection::RightToLeft } else { TextDirection::LeftToRight };
            surface.draw_text(at, font, (text.size * PARTS).into(), &run.text, false, direction);
        }
        surface.pop();
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|error| Error::internal(format!("a PDF could not be written: {error:?}")))
}

/// A font, read once for each document.
fn font(fonts: &mut Vec<(Name, Font)>, name: Name) -> Result<Font> {
    if let Some((_, font)) = fonts.iter().find(|(known, _)| *known == name) {
        return Ok(font.clone());
    }
    let font = Font::new(name.file().into(), 0).ok_or_else(|| Error::internal("a font cannot be read"))?;
    fonts.push((name, font.clone()));
    Ok(font)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::billing::content::Party;
    use crate::billing::layout::tests::everything;

    /// A company and a street in Chinese (simplified and traditional), Japanese, Korean, Greek, Russian, Vietnamese, Hebrew
    /// and Arabic.
    const NAMES: [&str; 9] = [
        "\u{4e0a}\u{6d77}\u{865a}\u{62df}\u{5e03}\u{7f6e}\u{6709}\u{9650}\u{516c}\u{53f8}",
        "\u{81fa}\u{5317}\u{5e02}\u{4fe1}\u{7fa9}\u{5340}\u{80a1}\u{4efd}\u{6709}\u{9650}\u{516c}\u{53f8}",
        "\u{682a}\u{5f0f}\u{4f1a}\u{793e}\u{30d0}\u{30fc}\u{30c1}\u{30e3}\u{30eb}\u{306e}\u{76f4}\u{9aa8}",
        "\u{c8fc}\u{c2dd}\u{d68c}\u{c0ac} \u{c11c}\u{c6b8}\u{d2b9}\u{bcc4}\u{c2dc}",
        "\u{395}\u{3c4}\u{3b1}\u{3b9}\u{3c1}\u{3b5}\u{3af}\u{3b1} \u{391}\u{3b8}\u{3ae}\u{3bd}\u{3b1}",
        "\u{41e}\u{41e}\u{41e} \u{429}\u{443}\u{43a}\u{430} \u{41c}\u{43e}\u{441}\u{43a}\u{432}\u{430}",
        "C\u{f4}ng ty \u{110}\u{1ea7}u t\u{1b0} Vi\u{1ec7}t",
        "\u{5d7}\u{5d1}\u{5e8}\u{5d4} \u{5d1}\u{5e2}\u{5f4}\u{5de}",
        "\u{634}\u{631}\u{643}\u{629} \u{645}\u{62d}\u{62f}\u{648}\u{62f}\u{629}",
    ];

    /// The letters that a PDF says its glyphs stand for: the pairs of glyph and text in the maps of its fonts.
    fn letters_in(pdf: &[u8]) -> BTreeSet<char> {
        let text = String::from_utf8_lossy(pdf);
        let maps = text.split("beginbfchar").skip(1).filter_map(|map| map.split("endbfchar").next());
        let pairs = maps.flat_map(str::lines).filter_map(|line| line.split_once("> <"));
        let mut letters = BTreeSet::new();
        for (_, hex) in pairs {
            let hex = hex.trim_end_matches('>').as_bytes();
            let unit = |four: &[u8]| u16::from_str_radix(std::str::from_utf8(four).unwrap(), 16).unwrap();
            let units: Vec<u16> = hex.chunks(4).map(unit).collect();
            letters.extend(String::from_utf16(&units).unwrap().chars());
        }
        letters
    }

    #[test]
    fn a_document_becomes_a_file() {
        let file = pdf(&everything()).unwrap();
        assert!(file.starts_with(b"%PDF-"), "{:?}", &file[..8]);
        let end = String::from_utf8_lossy(&file[file.len() - 32..]).into_owned();
        assert!(end.trim_end().ends_with("%%EOF"), "{end}");
        // The same again, and another for another document.
        assert_eq!(file, pdf(&everything()).unwrap());
        assert_ne!(file, pdf(&Content { total: "1.00".to_owned(), ..everything() }).unwrap());
        // Only the letters that are used: the fonts together are more than nine megabytes.
        assert!(file.len() < 100_000, "{}", file.len());
    }

    #[test]
    fn letters_of_many_scripts_are_in_it_and_can_be_taken_out_again() {
        let plain = || SerializeSettings { compress_content_streams: false, ..SerializeSettings::default() };
        let content = |country: &str| {
            let mut address: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
            address.push(country.to_owned());
            let buyer = Party { name: NAMES.join(" "), address, tax_id: None };
            Content { buyer, ..everything() }
        };
        for country in ["JP", "TW", "DE"] {
            let found = letters_in(&written(&content(country), plain()).unwrap());
            let lost: Vec<char> = NAMES
                .iter()
                .flat_map(|name| name.chars())
                .filter(|c| *c != ' ' && !found.contains(c))
                .collect();
            assert!(lost.is_empty(), "{country}: {lost:?} not in {found:?}");
            assert!(!found.contains(&'\u{25a1}'), "nothing is a box");
        }
        let file = pdf(&content("DE")).unwrap();
        assert!(file.len() < 150_000, "{}", file.len());
        // What no font has is a box.
        let thai = Party { name: "\u{e1a}\u{e23}".to_owned(), address: Vec::new(), tax_id: None };
        let found = letters_in(&written(&Content { buyer: thai, ..everything() }, plain()).unwrap());
        assert!(found.contains(&'\u{25a1}') && !found.contains(&'\u{e1a}'), "{found:?}");
    }
}
