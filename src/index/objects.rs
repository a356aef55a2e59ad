//! The objects that the watches show.

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc;

use crate::api::cached::{CachedSession, Trimmed};
use crate::api::is_held;
use crate::api::work_group::AthenaWorkGroup;
use crate::athena::quota::Key;

/// An AthenaSession as the watch has it.
pub type Session = CachedSession;
/// An AthenaWorkGroup, likewise.
pub type Group = Trimmed<AthenaWorkGroup>;
/// A namespace, as far as its labels.
pub type Labelled = PartialObjectMeta<Namespace>;

/// One of the watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watch {
    /// Of AthenaWorkGroups.
    Groups,
    /// Of namespaces.
    Namespaces,
    /// Of AthenaSessions, by its place among those.
    Sessions(usize),
}

/// The AthenaSessions of one watch.
pub struct Sessions {
    /// The namespace; None: all of them.
    pub namespace: Option<String>,
    /// The objects.
    pub store: Store<Session>,
    /// Asks for a pass over one of them.
    pub wake: mpsc::UnboundedSender<ObjectRef<Session>>,
}

/// Whether an object that refers to this AthenaWorkGroup bears our finalizer.
#[must_use]
pub fn holds(object: &Session, group: &str) -> bool {
    object.reference() == Some(group) && is_held(object)
}

/// An object's namespace and name.
#[must_use]
pub fn key(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}
