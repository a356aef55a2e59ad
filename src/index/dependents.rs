//! The AthenaSessions that keep an AthenaWorkGroup from going. PURE.

use std::collections::BTreeSet;
use std::fmt;

use kube::Resource;

/// The namespaces and names of the AthenaSessions that bear our finalizer and refer to an AthenaWorkGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependents(BTreeSet<(String, String)>);

impl Dependents {
    const NAMED: usize = 3;

    pub fn add(&mut self, object: &impl Resource) {
        let metadata = object.meta();
        let [namespace, name] = [&metadata.namespace, &metadata.name].map(|it| it.clone().unwrap_or_default());
        self.0.insert((namespace, name));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Dependents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let them = if count == 1 { "AthenaSession refers" } else { "AthenaSessions refer" };
        let named: Vec<_> =
            self.0.iter().take(Self::NAMED).map(|(namespace, name)| format!("{namespace}/{name}")).collect();
        let others = if count > named.len() { " and others" } else { "" };
        write!(f, "{count} {them} to it ({}{others})", named.join(", "))
    }
}
