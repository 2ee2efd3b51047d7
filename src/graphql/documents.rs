//! Documents that have been seen before: parsed and validated once, executed many times.
//!
//! Clients send the same few documents again and again, with other variables. Parsing and validating one
//! takes several times as long as executing it. What depends on the variables is checked each time.

use std::sync::Arc;

use async_graphql::parser::types::ExecutableDocument;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// How much text of documents is kept, in bytes. A parsed document takes a few times as much.
const CAPACITY: u64 = 4 * 1024 * 1024;
/// The longest document that is kept, in bytes.
const LONGEST: usize = 16 * 1024;

/// Documents by their text.
#[derive(Clone)]
pub struct Documents(Arc<Cache<Arc<str>, Arc<ExecutableDocument>, ByLength>>);

#[derive(Clone)]
struct ByLength;

impl Weighter<Arc<str>, Arc<ExecutableDocument>> for ByLength {
    fn weight(&self, text: &Arc<str>, _: &Arc<ExecutableDocument>) -> u64 {
        u64::try_from(text.len()).unwrap_or(u64::MAX)
    }
}

impl Default for Documents {
    fn default() -> Documents {
        Documents(Arc::new(Cache::with_weighter(4_096, CAPACITY, ByLength)))
    }
}

impl Documents {
    /// The document with a text, when it has been found valid before.
    pub fn find(&self, text: &str) -> Option<Arc<ExecutableDocument>> {
        self.0.get(text)
    }

    /// Keeps a document that has been found valid.
    pub fn keep(&self, text: &str, document: ExecutableDocument) {
        if text.len() <= LONGEST {
            self.0.insert(Arc::from(text), Arc::new(document));
        }
    }
}
