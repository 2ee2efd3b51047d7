//! Limits that hold before anything is executed: the parser recurses and validation expands fragments,
//! so that a few kilobytes could take the process down or a processor away for minutes.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};

/// The most bytes of a document.
pub const DOCUMENT_BYTES: usize = 64 * 1024;
/// The deepest nesting of brackets of all kinds.
const BRACKETS: usize = 64;
/// The most selections of a document once its fragments are expanded.
const SELECTIONS: u64 = 5_000;
/// The deepest nesting of fields.
pub const DEPTH: usize = 20;
/// The most fields of an operation.
pub const COMPLEXITY: usize = 2_000;
/// The most aliases of a document.
pub const ALIASES: usize = 100;
/// The most directives of a field.
pub const DIRECTIVES: usize = 10;

/// Why a document is not even parsed, or not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It is too long.
    Bytes,
    /// Its brackets are nested too deep.
    Nesting,
    /// Its fragments make it too large.
    Selections,
    /// Its fragments contain each other.
    Cycle,
}

impl Excess {
    /// What to tell the client.
    pub fn message(self) -> String {
        match self {
            Excess::Bytes => format!("A document has at most {DOCUMENT_BYTES} bytes."),
            Excess::Nesting => format!("Brackets are nested at most {BRACKETS} deep."),
            Excess::Selections => {
                format!("A document has at most {SELECTIONS} selections, fragments expanded.")
            }
            Excess::Cycle => "Fragments must not contain themselves.".to_owned(),
        }
    }
}

/// Checks length and nesting of a document without parsing it: linear, without recursion.
pub fn scan(document: &str) -> Result<(), Excess> {
    if document.len() > DOCUMENT_BYTES {
        return Err(Excess::Bytes);
    }
    let bytes = document.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' | b'(' => {
                depth += 1;
                if depth > BRACKETS {
                    return Err(Excess::Nesting);
                }
            }
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            b'#' => at = after(bytes, at, |rest| matches!(rest.first(), Some(b'\n' | b'\r'))),
            b'"' if bytes[at..].starts_with(b"\"\"\"") => at = block_string(bytes, at + 3),
            b'"' => at = string(bytes, at + 1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// The place of the first byte from which `found` holds, or the end.
fn after(bytes: &[u8], from: usize, found: impl Fn(&[u8]) -> bool) -> usize {
    (from..bytes.len()).find(|at| found(&bytes[*at..])).unwrap_or(bytes.len())
}

/// The place of the last byte of a string that begins at `at`. A string ends with its line.
fn string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' | b'\n' | b'\r' => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The place of the last byte of a block string that begins at `at`.
fn block_string(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        if bytes[at..].starts_with(b"\\\"\"\"") {
            at += 4;
        } else if bytes[at..].starts_with(b"\"\"\"") {
            return at + 2;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// Checks how large a document is once its fragments are expanded. Each fragment is weighed once, so
/// this takes no longer than the document is long.
pub fn weigh(document: &ExecutableDocument) -> Result<(), Excess> {
    let mut known = HashMap::new();
    let mut total = 0u64;
    for (_, operation) in document.operations.iter() {
        total = total.saturating_add(weight(document, &operation.node.selection_set.node, &mut known)?);
    }
    // Fragments that no operation spreads must not be cyclic either: validation walks them too.
    for fragment in document.fragments.values() {
        weight(document, &fragment.node.selection_set.node, &mut known)?;
    }
    if total > SELECTIONS { Err(Excess::Selections) } else { Ok(()) }
}

/// The selections of a set, fragments expanded. `known` holds finished fragments, and `None` for those
/// that are being weighed. The recursion is as deep as the scan has allowed, times the fragments that
/// lie on one path, of which each is entered once.
fn weight<'d>(
    document: &'d ExecutableDocument,
    set: &'d SelectionSet,
    known: &mut HashMap<&'d str, Option<u64>>,
) -> Result<u64, Excess> {
    let mut total = 0u64;
    for item in &set.items {
        let part = match &item.node {
            Selection::Field(field) => {
                weight(document, &field.node.selection_set.node, known)?.saturating_add(1)
            }
            Selection::InlineFragment(fragment) => {
                weight(document, &fragment.node.selection_set.node, known)?.saturating_add(1)
            }
            Selection::FragmentSpread(spread) => {
                let name = spread.node.fragment_name.node.as_str();
                match known.get(name).copied() {
                    Some(Some(weight)) => weight,
                    Some(None) => return Err(Excess::Cycle),
                    None => {
                        // A fragment that is not there is left to validation, which names it.
                        let Some(fragment) = document.fragments.get(name) else { continue };
                        if known.values().filter(|weight| weight.is_none()).count() >= BRACKETS {
                            return Err(Excess::Nesting);
                        }
                        known.insert(name, None);
                        let weight = weight(document, &fragment.node.selection_set.node, known)?;
                        known.insert(name, Some(weight));
                        weight.saturating_add(1)
                    }
                }
            }
        };
        total = total.saturating_add(part);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighed(document: &str) -> Result<(), Excess> {
        weigh(&async_graphql::parser::parse_query(document).unwrap())
    }

    #[test]
    fn brackets_count_outside_strings_and_comments_only() {
        assert_eq!(scan(&"{a".repeat(65)), Err(Excess::Nesting));
        assert_eq!(scan(&format!("{{a(x:{}", "[".repeat(3_000))), Err(Excess::Nesting));
        let deep = "[".repeat(100);
        for fine in [
            format!("{{ a(x: \"{deep}\") }}"),
            format!("{{ a(x: \"\\\"{deep}\") }}"),
            format!("{{ a(x: \"\"\"{deep} \\\"\"\" {deep}\"\"\") }}"),
            format!("{{ a # {deep}\n }}"),
            "{a}".repeat(1_000),
        ] {
            assert_eq!(scan(&fine), Ok(()), "{fine}");
        }
        assert_eq!(scan(&format!("\"unfinished\n{deep}")), Err(Excess::Nesting));
        assert_eq!(scan(&format!("# comment\n{deep}")), Err(Excess::Nesting));
        assert_eq!(scan(&" ".repeat(DOCUMENT_BYTES + 1)), Err(Excess::Bytes));
        for cut_off in ["\"", "\"\"\"", "\"\\", "#", "\"\"\"\\\"\"", ""] {
            assert_eq!(scan(cut_off), Ok(()));
        }
    }

    #[test]
    fn fragments_are_expanded_before_they_are_executed() {
        let mut bomb = "{ ...f0 }".to_owned();
        for i in 0..40 {
            bomb += &format!(" fragment f{i} on Query {{ ...f{n} ...f{n} }}", n = i + 1);
        }
        bomb += " fragment f40 on Query { __typename }";
        assert_eq!(weighed(&bomb), Err(Excess::Selections));
        assert_eq!(weighed("{ ...a } fragment a on Q { ...b } fragment b on Q { ...a }"), Err(Excess::Cycle));
        assert_eq!(weighed("{ x } fragment a on Q { ...a }"), Err(Excess::Cycle));
        assert_eq!(weighed("{ ...a ...a } fragment a on Q { x }"), Ok(()));
        let mut chain = "{ ...f0 }".to_owned();
        for i in 0..1_000 {
            chain += &format!(" fragment f{i} on Query {{ ...f{} }}", i + 1);
        }
        assert_eq!(weighed(&(chain + " fragment f1000 on Query { x }")), Err(Excess::Nesting));
    }
}
