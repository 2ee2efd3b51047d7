//! How many sockets each person has open on this node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bursar_domain::id::UserId;

/// Who has how many.
#[derive(Clone)]
pub struct Places {
    most: usize,
    taken: Arc<Mutex<HashMap<UserId, usize>>>,
}

/// One socket of a person. Whoever drops it makes room for another.
pub struct Place {
    places: Places,
    user: UserId,
}

impl Places {
    /// Nobody has any; each may have `most`.
    pub fn new(most: usize) -> Places {
        Places { most, taken: Arc::default() }
    }

    /// A place for a person, when there is one left.
    pub fn take(&self, user: UserId) -> Option<Place> {
        let mut taken = self.lock();
        let count = taken.entry(user).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), user })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(count) = taken.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::Id;

    #[test]
    fn a_person_has_so_many_places_and_no_more() {
        let (places, user) = (Places::new(2), UserId::from_u128(1));
        let first = places.take(user);
        let second = places.take(user);
        assert!(first.is_some() && second.is_some() && places.take(user).is_none());
        assert!(places.take(UserId::from_u128(2)).is_some());
        drop(first);
        assert!(places.take(user).is_some());
        drop(second);
        assert!(places.lock().is_empty());
    }
}
