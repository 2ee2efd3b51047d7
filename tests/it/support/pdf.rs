//! Reads the texts of a PDF as any reader does: by the maps that its fonts have from glyphs to letters.
//!
//! It reads what the server writes, not each PDF there may be: objects that stand in the file as they are, fonts whose glyphs
//! take two bytes, streams that are plain or deflated.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::ZlibDecoder;

/// The letters that the glyphs of a font stand for.
type Letters = BTreeMap<u16, String>;

/// The texts of a PDF in the order in which they are drawn, a line each.
pub fn text(file: &[u8]) -> String {
    let heads: Vec<String> = (1..).map_while(|number| object(file, number)).map(|(head, _)| head).collect();
    let pages: Vec<&String> = heads.iter().filter(|head| head.contains("/Type/Page/")).collect();
    assert!(!pages.is_empty(), "a PDF without pages");
    pages
        .into_iter()
        .map(|page| drawn(&stream(file, named(page, "/Contents ")), &fonts(file, page)))
        .collect()
}

/// What stands before the stream of an object, or all of it, and its stream.
fn object(file: &[u8], number: usize) -> Option<(String, &[u8])> {
    let begin = format!("\n{number} 0 obj\n");
    let (_, object) = split(file, begin.as_bytes())?;
    let (object, _) = split(object, b"\nendobj")?;
    let (head, stream) = split(object, b"\nstream\n").unwrap_or((object, &[]));
    Some((format!("{}\n", String::from_utf8_lossy(head)), stream))
}

/// What comes before and after the first such part.
fn split<'b>(bytes: &'b [u8], part: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = bytes.windows(part.len()).position(|window| window == part)?;
    Some((&bytes[..at], &bytes[at + part.len()..]))
}

/// The stream of an object, as it was before it was deflated.
fn stream(file: &[u8], number: usize) -> Vec<u8> {
    let (head, stream) = object(file, number).unwrap();
    if !head.contains("/FlateDecode") {
        return stream.to_vec();
    }
    let mut read = Vec::new();
    ZlibDecoder::new(stream).read_to_end(&mut read).unwrap();
    read
}

/// The number of the object that a key names.
fn named(head: &str, key: &str) -> usize {
    let (_, after) = head.split_once(key).unwrap_or_else(|| panic!("no {key}in {head}"));
    after.split_whitespace().next().unwrap().parse().unwrap()
}

/// The fonts of a page by the names that it has for them.
fn fonts(file: &[u8], page: &str) -> BTreeMap<String, Letters> {
    let (resources, _) = object(file, named(page, "/Resources ")).unwrap();
    let (_, fonts) = resources.split_once("/Font<<").unwrap();
    let (fonts, _) = fonts.split_once(">>").unwrap();
    let font = |font: &str| {
        let (name, object_number) = font.split_once(' ').unwrap();
        let (head, _) = object(file, named(object_number, "")).unwrap();
        (format!("/{name}"), letters(&stream(file, named(&head, "/ToUnicode "))))
    };
    fonts.split('/').skip(1).map(font).collect()
}

/// Reads a map, whose lines are `<glyph> <UTF-16>`.
fn letters(map: &[u8]) -> Letters {
    let map = String::from_utf8_lossy(map);
    let parts = map.split("beginbfchar").skip(1).filter_map(|part| part.split("endbfchar").next());
    let pairs = parts.flat_map(str::lines).filter_map(|line| line.split_once("> <"));
    let pair = |(glyph, units): (&str, &str)| {
        let glyph = u16::from_str_radix(glyph.trim_start_matches('<'), 16).unwrap();
        (glyph, String::from_utf16(&pairs_of(&hex(units.trim_end_matches('>').as_bytes()))).unwrap())
    };
    pairs.map(pair).collect()
}

/// The texts that the operators of a page draw.
fn drawn(content: &[u8], fonts: &BTreeMap<String, Letters>) -> String {
    let (mut text, mut word, mut name) = (String::new(), String::new(), String::new());
    let mut font: Option<&Letters> = None;
    let mut rest = content;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let glyphs = match byte {
            b'(' => literal(&mut rest),
            // What stands in a dictionary is not drawn.
            b'<' if rest.first() == Some(&b'<') => {
                rest = split(rest, b">>").unwrap().1;
                continue;
            }
            b'<' => {
                let (digits, after) = split(rest, b">").unwrap();
                rest = after;
                hex(digits)
            }
            byte if byte.is_ascii_whitespace() || b"[]>/".contains(byte) => {
                match word.as_str() {
                    "Tf" => font = fonts.get(&name),
                    "ET" => text.push('\n'),
                    _ if word.starts_with('/') => name.clone_from(&word),
                    _ => {}
                }
                word.clear();
                if *byte == b'/' {
                    word.push('/');
                }
                continue;
            }
            byte => {
                word.push(char::from(*byte));
                continue;
            }
        };
        let font = font.expect("a text without a font");
        for glyph in pairs_of(&glyphs) {
            text.push_str(font.get(&glyph).map_or("\u{fffd}", String::as_str));
        }
    }
    text
}

/// Reads a string that began with a parenthesis, to its end.
fn literal(rest: &mut &[u8]) -> Vec<u8> {
    let (mut bytes, mut depth) = (Vec::new(), 1);
    let mut next = || {
        let (byte, after) = rest.split_first().expect("a string without an end");
        *rest = after;
        *byte
    };
    loop {
        let byte = match next() {
            b'\\' => match next() {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 8,
                b'f' => 12,
                // Three digits, always.
                digit @ b'0'..=b'7' => (digit - b'0') * 64 + (next() - b'0') * 8 + (next() - b'0'),
                other => other,
            },
            open @ b'(' => {
                depth += 1;
                open
            }
            close @ b')' => {
                depth -= 1;
                if depth == 0 {
                    return bytes;
                }
                close
            }
            other => other,
        };
        bytes.push(byte);
    }
}

fn hex(digits: &[u8]) -> Vec<u8> {
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn pairs_of(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect()
}
