//! Shared values by name. A value is kept while somebody uses it. A few that nobody uses are kept as well.
//!
//! The status of an object without `workGroupRef` says in which work group a complete list is to prove that the object's session
//! is gone. A forged status can name any number of work groups, so pollers aren't kept for ever.

use std::collections::HashMap;
use std::sync::Arc;

/// So many values are kept even if nobody uses them: to learn again what a poller knows takes calls.
const KEPT: usize = 64;

#[derive(Debug)]
pub(super) struct Pool<T> {
    all: HashMap<String, Arc<T>>,
    /// When there are so many values, those that nobody uses are forgotten.
    most: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { all: HashMap::new(), most: KEPT }
    }
}

impl<T> Pool<T> {
    pub(super) fn get(&mut self, name: &str, new: impl FnOnce() -> T) -> Arc<T> {
        if let Some(known) = self.all.get(name) {
            return Arc::clone(known);
        }
        if self.all.len() >= self.most {
            self.all.retain(|_, kept| Arc::strong_count(kept) > 1);
            self.most = KEPT.max(self.all.len() * 2);
        }
        let new = Arc::new(new());
        self.all.insert(name.to_owned(), Arc::clone(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_is_forgotten_and_what_is_used_stays() {
        let mut pool = Pool::default();
        let used: Vec<_> = (0..100).map(|number| pool.get(&format!("used-{number}"), || number)).collect();
        for number in 0..10_000 {
            pool.get(&format!("forged-{number}"), || 0);
            assert!(pool.all.len() <= 2 * (used.len() + KEPT), "{}", pool.all.len());
        }
        for (number, one) in used.iter().enumerate() {
            assert!(Arc::ptr_eq(one, &pool.get(&format!("used-{number}"), || 0)));
        }
    }

    #[test]
    fn few_are_kept_though_nobody_uses_them() {
        let mut pool = Pool::default();
        for round in 0..3 {
            for number in 0..KEPT {
                assert_eq!(*pool.get(&number.to_string(), || round), 0);
            }
        }
    }
}
