//! Limits that hold before anything is executed: the parser recurses and validation expands fragments,
//! so that a few kilobytes could take the process down or a processor away for minutes.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Field, Selection, SelectionSet};
use async_graphql::{Name, Value, Variables};

use super::connection::DEFAULT_PAGE;
use crate::db::page::MAX_PAGE;

/// The most bytes of a document.
pub const DOCUMENT_BYTES: usize = 64 * 1024;
/// The deepest nesting of brackets of all kinds.
const BRACKETS: usize = 64;
/// The most fields that a document may ask for, with its fragments expanded and every list as long as it
/// may be.
const SELECTIONS: u64 = 50_000;
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

/// Checks how much a document asks for, once its fragments are expanded and its lists are as long as they
/// may be. Each fragment is weighed once, so this takes no longer than the document is long.
pub fn weigh(document: &ExecutableDocument, variables: &Variables) -> Result<(), Excess> {
    let mut scale = Scale { document, variables, known: HashMap::new() };
    let mut total = 0u64;
    for (_, operation) in document.operations.iter() {
        total = total.saturating_add(scale.set(&operation.node.selection_set.node)?.fields);
    }
    // Fragments that no operation spreads must not be cyclic either: validation walks them too.
    for fragment in document.fragments.values() {
        scale.set(&fragment.node.selection_set.node)?;
    }
    if total > SELECTIONS { Err(Excess::Selections) } else { Ok(()) }
}

/// Weighs the parts of one document.
struct Scale<'d> {
    document: &'d ExecutableDocument,
    variables: &'d Variables,
    /// Fragments that have been weighed, and `None` for those that are being weighed.
    known: HashMap<&'d str, Option<Weight>>,
}

/// What is known of a set of selections.
#[derive(Clone, Copy, Default)]
struct Weight {
    /// How many fields it asks for.
    fields: u64,
    /// Whether it asks for nodes, as the selections of connections do.
    names_nodes: bool,
}

impl Weight {
    fn add(&mut self, other: Weight) {
        self.fields = self.fields.saturating_add(other.fields).saturating_add(1);
        self.names_nodes |= other.names_nodes;
    }
}

impl<'d> Scale<'d> {
    /// Weighs a set. The recursion is as deep as the scan has allowed, times the fragments that lie on one
    /// path, of which each is entered once and which are few.
    fn set(&mut self, set: &'d SelectionSet) -> Result<Weight, Excess> {
        let mut total = Weight::default();
        for item in &set.items {
            total.add(match &item.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    let inner = self.set(&field.selection_set.node)?;
                    let fields = inner.fields.saturating_mul(self.length(field, inner.names_nodes));
                    let names_nodes = matches!(field.name.node.as_str(), "nodes" | "edges");
                    Weight { fields, names_nodes }
                }
                Selection::InlineFragment(fragment) => self.set(&fragment.node.selection_set.node)?,
                Selection::FragmentSpread(spread) => {
                    self.fragment(spread.node.fragment_name.node.as_str())?
                }
            });
        }
        Ok(total)
    }

    fn fragment(&mut self, name: &'d str) -> Result<Weight, Excess> {
        match self.known.get(name).copied() {
            Some(Some(weight)) => return Ok(weight),
            Some(None) => return Err(Excess::Cycle),
            None => {}
        }
        // A fragment that is not there is left to validation, which names it.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Weight::default()) };
        if self.known.values().filter(|weight| weight.is_none()).count() >= BRACKETS {
            return Err(Excess::Nesting);
        }
        self.known.insert(name, None);
        let weight = self.set(&fragment.node.selection_set.node)?;
        self.known.insert(name, Some(weight));
        Ok(weight)
    }

    /// How long the list of a field may be: what `first` or `last` says, the length of `ids`, the default of
    /// a connection, or one.
    fn length(&self, field: &Field, connection: bool) -> u64 {
        let asked = ["first", "last"].into_iter().find_map(|name| match self.argument(field, name)? {
            Value::Number(number) => number.as_u64(),
            _ => None,
        });
        if let Some(asked) = asked {
            // Longer pages are refused at their field.
            return asked.clamp(1, MAX_PAGE);
        }
        match self.argument(field, "ids") {
            Some(Value::List(ids)) => (ids.len() as u64).max(1),
            _ if connection => DEFAULT_PAGE,
            _ => 1,
        }
    }

    /// The value of an argument, when it has one. A variable that is not given may have a default: it is
    /// taken for the longest list.
    fn argument(&self, field: &Field, name: &str) -> Option<Value> {
        let value = field.get_argument(name)?.node.clone();
        let given = |variable: Name| self.variables.get(&variable).cloned().ok_or(());
        Some(value.into_const_with(given).unwrap_or_else(|()| Value::from(MAX_PAGE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighed(document: &str) -> Result<(), Excess> {
        weigh(&async_graphql::parser::parse_query(document).unwrap(), &Variables::default())
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
        let page = "pool { transfers(first: 100) { nodes { id } } }";
        assert_eq!(weighed(&format!("{{ {page} }}")), Ok(()));
        assert_eq!(weighed(&format!("{{ {} }}", page.replace("id", page))), Ok(()));
        let deep = page.replace("id", &page.replace("id", page));
        assert_eq!(weighed(&format!("{{ {deep} }}")), Err(Excess::Selections));
        assert_eq!(weighed(&format!("{{ {} }}", deep.replace("(first: 100)", ""))), Ok(()));
        let asked = deep.replace("(first: 100)", "(last: $n)");
        let asked = async_graphql::parser::parse_query(format!("query Q($n: Int) {{ {asked} }}")).unwrap();
        let n = |n: i64| Variables::from_json(serde_json::json!({ "n": n }));
        assert_eq!(weigh(&asked, &n(2)), Ok(()));
        assert_eq!(weigh(&asked, &n(90)), Err(Excess::Selections));
        let mut chain = "{ ...f0 }".to_owned();
        for i in 0..1_000 {
            chain += &format!(" fragment f{i} on Query {{ ...f{} }}", i + 1);
        }
        assert_eq!(weighed(&(chain + " fragment f1000 on Query { x }")), Err(Excess::Nesting));
    }
}
