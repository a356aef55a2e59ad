//! The objects that the watches show, and the queues by which the controllers learn which of them to reconcile.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::{mpsc, watch};

use super::dependents::Dependents;
use crate::api::cached::{CachedSession, Trimmed};
use crate::api::is_held;
use crate::api::session::AthenaSession;
use crate::api::work_group::AthenaWorkGroup;
use crate::athena::quota::Key;

pub(crate) type Session = CachedSession;
pub(crate) type Group = Trimmed<AthenaWorkGroup>;
/// A namespace, of which only the metadata is read.
pub(crate) type Labelled = PartialObjectMeta<Namespace>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watch {
    Groups,
    Namespaces,
    /// Of AthenaSessions, by its position among the watches of AthenaSessions.
    Sessions(usize),
}

pub(crate) struct Sessions {
    /// The namespace; None: all of them.
    pub(crate) namespace: Option<String>,
    pub(crate) store: Store<Session>,
    pub(crate) wake: mpsc::UnboundedSender<ObjectRef<Session>>,
}

pub(crate) struct Objects {
    groups: Store<Group>,
    group_wake: mpsc::UnboundedSender<ObjectRef<Group>>,
    namespaces: Store<Labelled>,
    sessions: Vec<Sessions>,
    /// The watches that haven't listed all their objects yet.
    unlisted: watch::Sender<BTreeSet<Watch>>,
}

impl Objects {
    pub(crate) fn new(
        (groups, group_wake): (Store<Group>, mpsc::UnboundedSender<ObjectRef<Group>>),
        namespaces: Store<Labelled>,
        sessions: Vec<Sessions>,
    ) -> Self {
        let unlisted = [Watch::Groups, Watch::Namespaces].into_iter().chain((0..sessions.len()).map(Watch::Sessions));
        let unlisted = watch::Sender::new(unlisted.collect());
        Self { groups, group_wake, namespaces, sessions, unlisted }
    }

    pub(crate) fn listed(&self, watch: Watch) {
        self.unlisted.send_if_modified(|unlisted| unlisted.remove(&watch));
    }

    pub(crate) async fn until_listed(&self) {
        // `wait_for` fails only when the sender is gone, and `self` has the sender.
        let _ = self.unlisted.subscribe().wait_for(BTreeSet::is_empty).await;
    }

    /// Whether each watch has listed all its objects once, so that no AthenaWorkGroup and no claim is unknown.
    pub(crate) fn is_complete(&self) -> bool {
        self.unlisted.borrow().is_empty()
    }

    pub(crate) fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.groups.get(&ObjectRef::new(name))
    }

    pub(crate) fn groups(&self) -> Vec<Arc<Group>> {
        self.groups.state()
    }

    pub(crate) fn namespace(&self, name: &str) -> Option<Arc<Labelled>> {
        self.namespaces.get(&ObjectRef::new(name))
    }

    pub(crate) fn session(&self, key: &Key) -> Option<Arc<Session>> {
        self.sessions_of(&key.0)?.store.get(&ObjectRef::new(&key.1).within(&key.0))
    }

    /// The AthenaSessions that keep an AthenaWorkGroup from going, as far as the watch shows.
    pub(crate) fn dependents(&self, group: &str) -> Dependents {
        let mut dependents = Dependents::default();
        let objects = self.sessions.iter().flat_map(|watched| watched.store.state());
        objects.filter(|object| depends_on(object, group)).for_each(|object| dependents.add(&*object));
        dependents
    }

    pub(crate) fn wake(&self, key: &Key) {
        let object = ObjectRef::new(&key.1).within(&key.0);
        // At shutdown nobody receives any more.
        let _ = self.sessions_of(&key.0).map(|watched| watched.wake.send(object));
    }

    pub(crate) fn wake_all(&self, keys: &[Key]) {
        keys.iter().for_each(|key| self.wake(key));
    }

    pub(crate) fn wake_where(&self, fits: impl Fn(&Session) -> bool) {
        let objects = self.sessions.iter().flat_map(|watched| watched.store.state());
        objects.filter(|object| fits(object)).for_each(|object| self.wake(&key(&*object)));
    }

    pub(crate) fn wake_group(&self, name: &str) {
        // At shutdown nobody receives any more.
        let _ = self.group_wake.send(ObjectRef::new(name));
    }

    fn sessions_of(&self, namespace: &str) -> Option<&Sessions> {
        self.sessions.iter().find(|watched| watched.namespace.as_deref().is_none_or(|name| name == namespace))
    }
}

/// Whether an AthenaSession keeps this AthenaWorkGroup from going: it refers to it, and bears our finalizer.
pub(crate) fn depends_on(object: &Session, group: &str) -> bool {
    object.reference() == Some(group) && is_held(object)
}

pub(crate) fn key(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

pub(crate) fn reference(object: &AthenaSession) -> Option<&str> {
    object.spec.work_group_ref.as_ref().map(|reference| reference.name.as_str())
}
