//! Large values as numbers that take little memory, for thousands of objects. PURE.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A number that stands for a large value, where values are only compared.
pub(crate) fn fingerprint(of: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
