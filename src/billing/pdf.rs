//! A document as a PDF. The font is in it, as far as its letters are used.

use krilla::Document;
use krilla::geom::Point;
use krilla::metadata::Metadata;
use krilla::text::{Font, TextDirection};

use super::content::Content;
use super::layout::pages;
use crate::error::{Error, Result};

static PLAIN: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans.ttf");
static BOLD: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans-Bold.ttf");

/// Writes a document as a PDF. It takes a while: not for a task that others wait for.
///
/// # Errors
/// It cannot be written.
pub fn pdf(content: &Content) -> Result<Vec<u8>> {
    let (plain, bold) = (font(PLAIN)?, font(BOLD)?);
    let mut document = Document::new();
    let title = format!("{} {}", content.title, content.number);
    document.set_metadata(Metadata::new().title(title).language("en".to_owned()));
    for texts in pages(content) {
        // Of A4, as the layout is.
        let mut page = document.start_page();
        let mut surface = page.surface();
        for text in texts {
            let font = if text.bold { bold.clone() } else { plain.clone() };
            let at = Point::from_xy(text.x.into(), text.y.into());
            surface.draw_text(at, font, text.size.into(), &text.text, false, TextDirection::Auto);
        }
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|error| Error::internal(format!("a PDF could not be written: {error:?}")))
}

fn font(bytes: &[u8]) -> Result<Font> {
    Font::new(bytes.to_vec().into(), 0).ok_or_else(|| Error::internal("a font cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::layout::tests::everything;

    #[test]
    fn a_document_becomes_a_file() {
        let file = pdf(&everything()).unwrap();
        assert!(file.starts_with(b"%PDF-"), "{:?}", &file[..8]);
        let end = String::from_utf8_lossy(&file[file.len() - 32..]).into_owned();
        assert!(end.trim_end().ends_with("%%EOF"), "{end}");
        // The same again, and another for another document.
        assert_eq!(file, pdf(&everything()).unwrap());
        assert_ne!(file, pdf(&Content { total: "1.00".to_owned(), ..everything() }).unwrap());
        // Only the letters that are used: both fonts together are more than a megabyte.
        assert!(file.len() < 100_000, "{}", file.len());
    }
}
