//! The mailbox of a development server: letters in memory, the newest first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bursar_domain::id::DeliveryId;

use super::compose::Letter;

/// The most letters that are kept.
const CAPACITY: usize = 500;

/// Letters in memory. Cheap to clone.
#[derive(Clone, Default)]
pub struct Mailbox(Arc<Mutex<VecDeque<Arc<Letter>>>>);

impl Mailbox {
    /// Takes a letter. One that came before, and comes again, takes its place; the oldest go when there are too
    /// many.
    pub fn put(&self, letter: Letter) {
        let mut letters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        letters.retain(|known| known.id != letter.id);
        letters.push_front(Arc::new(letter));
        letters.truncate(CAPACITY);
    }

    /// All letters, newest first.
    pub fn letters(&self) -> Vec<Arc<Letter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// A letter.
    pub fn letter(&self, id: DeliveryId) -> Option<Arc<Letter>> {
        self.letters().into_iter().find(|letter| letter.id == id)
    }
}
