//! Values that take little memory, for thousands of objects. PURE.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{Deref, DerefMut};

/// A number that stands for a large value, where values are only compared.
pub fn fingerprint(of: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// A type whose default can be borrowed without a value of it.
pub trait StaticDefault: Default + 'static {
    /// The default.
    const DEFAULT: &'static Self;
}

/// A value that is at its default in most objects. It takes a pointer until it is changed.
#[derive(Clone, Debug)]
pub struct LazyBox<T>(Option<Box<T>>);

impl<T> Default for LazyBox<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: StaticDefault> Deref for LazyBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::DEFAULT)
    }
}

impl<T: StaticDefault> DerefMut for LazyBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}
