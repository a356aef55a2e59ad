//! Who names which session: of thousands of objects hardly two name the same one, and those have to hear of each other.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use super::objects::{Session, key};
use crate::api::is_held;
use crate::api::session::AthenaSession;
use crate::athena::quota::Key;
use crate::compact::fingerprint;

/// The objects that name each session, by a fingerprint of its id.
#[derive(Default)]
pub struct Claims(Mutex<HashMap<u64, Vec<Declared>>>);

struct Declared {
    key: Key,
    /// A fingerprint of what its claim depends on.
    claim: u64,
}

impl Claims {
    /// An object is there, or has changed. Returns the others that name its session, where that may concern them.
    pub fn declare(&self, object: &Session) -> Vec<Key> {
        let Some(id) = object.session_id() else { return Vec::new() };
        let mut declared = self.lock();
        let all = declared.entry(fingerprint(id)).or_insert_with(|| Vec::with_capacity(1));
        let (key, claim) = (key(object), claim(object));
        match all.iter_mut().find(|declared| declared.key == key) {
            Some(known) if known.claim == claim => return Vec::new(),
            Some(known) => known.claim = claim,
            None => all.push(Declared { key: key.clone(), claim }),
        }
        all.iter().filter(|other| other.key != key).map(|other| other.key.clone()).collect()
    }

    /// An object is gone. Returns the others that name its session.
    pub fn withdraw(&self, object: &Session) -> Vec<Key> {
        let Some(id) = object.session_id().map(fingerprint) else { return Vec::new() };
        let mut declared = self.lock();
        let Some(all) = declared.get_mut(&id) else { return Vec::new() };
        let key = key(object);
        all.retain(|other| other.key != key);
        let others: Vec<_> = all.iter().map(|other| other.key.clone()).collect();
        if others.is_empty() {
            declared.remove(&id);
        }
        others
    }

    /// Those that name a session.
    pub fn of(&self, id: &str) -> Vec<Key> {
        self.lock().get(&fingerprint(id)).into_iter().flatten().map(|declared| declared.key.clone()).collect()
    }

    /// Those that name the session of an object, by its id, besides itself.
    pub fn others(&self, object: &AthenaSession, id: &str) -> Vec<Key> {
        let metadata = object.meta();
        let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
        let is_other = |key: &&Key| (Some(key.0.as_str()), Some(key.1.as_str())) != (namespace, name);
        let declared = self.lock();
        let all = declared.get(&fingerprint(id)).into_iter().flatten();
        all.map(|declared| &declared.key).filter(is_other).cloned().collect()
    }

    /// Whether any object names a session.
    pub fn contains(&self, id: &str) -> bool {
        self.lock().contains_key(&fingerprint(id))
    }

    /// Drops what objects that are gone had declared; `session_of` says what the object of a key names now.
    pub fn retain(&self, session_of: impl Fn(&Key) -> Option<String>) {
        self.lock().retain(|id, all| {
            all.retain(|declared| session_of(&declared.key).is_some_and(|named| fingerprint(&named) == *id));
            !all.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Vec<Declared>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the claim of an object to its session depends on, as far as the object says it.
fn claim(object: &Session) -> u64 {
    let metadata = object.meta();
    fingerprint(&(&metadata.uid, metadata.deletion_timestamp.is_some(), is_held(object), object.reference()))
}

/// An object that names a session, as far as it matters whose the session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The object's UID.
    pub uid: String,
    created: Option<Timestamp>,
}

/// Where the session that an object names is to be found. The same id elsewhere is another session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The Region.
    pub region: Option<String>,
    /// The account, as far as it is known.
    pub account: Option<String>,
    /// The work group, as far as the object is bound to one.
    pub work_group: Option<String>,
}

impl Location {
    /// Whether the same id may be the same session in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let may_be_same = |one: &Option<String>, two: &Option<String>| one.is_none() || two.is_none() || one == two;
        may_be_same(&self.region, &other.region)
            && may_be_same(&self.account, &other.account)
            && may_be_same(&self.work_group, &other.work_group)
    }
}

impl Claim {
    /// The claim of the object whose mark the session bears: it holds whatever its grant.
    #[must_use]
    pub fn by_mark(object: &AthenaSession) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            created: object.creation_timestamp().map(|created| created.0),
        }
    }

    /// Whether it comes before another one: of those with a grant the oldest has the session.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        (self.created, &self.uid) < (other.created, &other.uid)
    }
}
