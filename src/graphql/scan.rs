//! What a document must not be before anything parses it: the parser recurses and builds a tree, so that a
//! few kilobytes of brackets could take the process down. Linear, without recursion, without memory.

/// The most bytes of a document.
pub const DOCUMENT_BYTES: usize = 64 * 1024;
/// The deepest nesting of brackets of all kinds.
pub const BRACKETS: usize = 64;
/// The most tokens of a document. The introspection query of GraphiQL has about 350.
const TOKENS: usize = 8_000;
/// The most directives of a document.
const DIRECTIVES: usize = 200;

/// The deepest nesting of selections, fragments included.
pub const NESTING: usize = 100;
/// How deep lists of the schema (a type's fields, interfaces and the like) are nested.
pub const SCHEMA_LISTS: u32 = 2;
/// The most entities that a gateway asks for at once.
pub const ENTITIES: usize = 100;

/// Why a document is not even parsed, or not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It is too long.
    Bytes,
    /// It has too many tokens.
    Tokens,
    /// It has too many directives.
    Directives,
    /// Its brackets, or its fragments, are nested too deep.
    Nesting,
    /// What it asks for costs too much, with its fragments expanded and its lists as long as they may be.
    Cost(u64),
    /// Its fragments contain each other.
    Cycle,
    /// It asks for lists of the schema inside of lists of the schema, which multiply.
    Introspection,
    /// It asks for too many entities at once.
    Entities,
}

impl Excess {
    /// What to tell the client.
    pub fn message(self) -> String {
        match self {
            Excess::Bytes => format!("A document has at most {DOCUMENT_BYTES} bytes."),
            Excess::Tokens => format!("A document has at most {TOKENS} tokens."),
            Excess::Directives => format!("A document has at most {DIRECTIVES} directives."),
            Excess::Nesting => format!("Brackets and fragments are nested at most {BRACKETS} deep."),
            Excess::Cost(most) => format!(
                "An operation costs at most {most}, with fragments expanded and lists as long as they may be."
            ),
            Excess::Cycle => "Fragments must not contain themselves.".to_owned(),
            Excess::Introspection => {
                format!("Lists of the schema are nested at most {SCHEMA_LISTS} deep.")
            }
            Excess::Entities => format!("At most {ENTITIES} entities at once."),
        }
    }
}

/// Checks length, nesting and numbers of tokens and directives; answers how many tokens there are.
pub fn scan(document: &str) -> Result<usize, Excess> {
    if document.len() > DOCUMENT_BYTES {
        return Err(Excess::Bytes);
    }
    let bytes = document.as_bytes();
    let (mut at, mut depth, mut tokens, mut directives) = (0, 0usize, 0usize, 0usize);
    while let Some(byte) = bytes.get(at) {
        tokens += 1;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => tokens -= 1,
            b'{' | b'[' | b'(' => {
                depth += 1;
                if depth > BRACKETS {
                    return Err(Excess::Nesting);
                }
            }
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            b'@' => directives += 1,
            b'#' => {
                tokens -= 1;
                at = line_end(bytes, at);
            }
            b'"' if bytes[at..].starts_with(b"\"\"\"") => at = block_string(bytes, at + 3),
            b'"' => at = string(bytes, at + 1),
            byte if is_word(*byte) => {
                while bytes.get(at + 1).is_some_and(|next| is_word(*next)) {
                    at += 1;
                }
            }
            _ => {}
        }
        if tokens > TOKENS {
            return Err(Excess::Tokens);
        }
        if directives > DIRECTIVES {
            return Err(Excess::Directives);
        }
        at += 1;
    }
    Ok(tokens)
}

/// Whether a byte belongs to a name or a number.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The place of the end of the line, or of the document.
fn line_end(bytes: &[u8], from: usize) -> usize {
    (from..bytes.len()).find(|at| matches!(bytes[*at], b'\n' | b'\r')).unwrap_or(bytes.len())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(document: &str) -> Result<(), Excess> {
        super::scan(document).map(drop)
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
    fn tokens_and_directives_are_counted() {
        assert_eq!(scan(&"abc_1 ".repeat(TOKENS)), Ok(()));
        assert_eq!(scan(&"abc_1 ".repeat(TOKENS + 1)), Err(Excess::Tokens));
        assert_eq!(scan(&"a:b ".repeat(TOKENS)), Err(Excess::Tokens));
        assert_eq!(scan(&", # comment\n".repeat(5_000)), Ok(()));
        assert_eq!(scan(&"@a ".repeat(DIRECTIVES)), Ok(()));
        assert_eq!(scan(&"@a ".repeat(DIRECTIVES + 1)), Err(Excess::Directives));
        assert_eq!(scan(&format!("\"{}\"", "@a ".repeat(DIRECTIVES + 1))), Ok(()));
    }
}
