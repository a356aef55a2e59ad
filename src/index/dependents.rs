//! The AthenaSessions that keep an AthenaWorkGroup from going. PURE.

use std::collections::BTreeSet;
use std::fmt;

use kube::Resource;

/// The AthenaSessions that bear our finalizer and refer to an AthenaWorkGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependents {
    count: usize,
    /// Namespace and name of those that are first in the alphabet. So one set of objects always gives one message.
    first: BTreeSet<(String, String)>,
}

impl Dependents {
    /// So many are named.
    const NAMED: usize = 3;

    /// Adds an object.
    pub fn add(&mut self, object: &impl Resource) {
        self.count += 1;
        let metadata = object.meta();
        let [namespace, name] = [&metadata.namespace, &metadata.name].map(|it| it.as_deref().unwrap_or_default());
        let is_late = |last: &(String, String)| (last.0.as_str(), last.1.as_str()) < (namespace, name);
        // Of thousands of names only these few are copied.
        if self.first.len() == Self::NAMED && self.first.last().is_some_and(is_late) {
            return;
        }
        self.first.insert((namespace.to_owned(), name.to_owned()));
        if self.first.len() > Self::NAMED {
            self.first.pop_last();
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for Dependents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let them = if self.count == 1 { "AthenaSession refers" } else { "AthenaSessions refer" };
        let named: Vec<_> = self.first.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
        let others = if self.count > named.len() { " and others" } else { "" };
        write!(f, "{} {them} to it ({}{others})", self.count, named.join(", "))
    }
}
