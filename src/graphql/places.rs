//! How many sockets each person and each key has open on this node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::PrincipalId;

/// Who has how many.
#[derive(Clone)]
pub struct Places {
    most: usize,
    taken: Arc<Mutex<HashMap<PrincipalId, usize>>>,
}

/// One socket of a person or key. Whoever drops it makes room for another.
pub struct Place {
    places: Places,
    holder: PrincipalId,
}

impl Places {
    /// Nobody has any; each may have `most`.
    pub fn new(most: usize) -> Places {
        Places { most, taken: Arc::default() }
    }

    /// A place for a person or key, when there is one left.
    pub fn take(&self, holder: PrincipalId) -> Option<Place> {
        let mut taken = self.lock();
        let count = taken.entry(holder).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), holder })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PrincipalId, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(count) = taken.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::{ApiKeyId, Id, UserId};

    #[test]
    fn a_person_has_so_many_places_and_no_more() {
        let (places, user) = (Places::new(2), PrincipalId::Person(UserId::from_u128(1)));
        let first = places.take(user);
        let second = places.take(user);
        assert!(first.is_some() && second.is_some() && places.take(user).is_none());
        // A key is somebody else, whatever its number.
        assert!(places.take(PrincipalId::Key(ApiKeyId::from_u128(1))).is_some());
        drop(first);
        assert!(places.take(user).is_some());
        drop(second);
        assert!(places.lock().is_empty());
    }
}
