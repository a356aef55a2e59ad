//! Which AthenaSessions claim which session of Athena. Of thousands of objects hardly two claim one session, and these two
//! have to hear of each other. PURE.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;

use super::objects::{Session, key};
use crate::api::is_held;
use crate::api::session::AthenaSession;
use crate::athena::quota::Key;

/// A number that stands for a large value where values are only compared. For thousands of objects it takes little memory.
pub(crate) fn fingerprint(of: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The claim of an object to a session: what decides whose the session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    created: Option<Timestamp>,
}

impl Claim {
    /// The claim of this object. Whether it has one, [`Access::claim`](super::access::Access::claim) or the mark of the session
    /// tells.
    pub fn of(object: &AthenaSession) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            created: object.creation_timestamp().map(|created| created.0),
        }
    }

    /// Whether this claim comes before another one: the session belongs to the oldest object that has a grant.
    pub fn precedes(&self, other: &Self) -> bool {
        (self.created, &self.uid) < (other.created, &other.uid)
    }
}

/// Where an object's session is. The same id elsewhere is another session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    pub region: Option<String>,
    pub account: Option<String>,
    /// The work group, as far as the object is bound to one.
    pub work_group: Option<String>,
}

impl Location {
    /// Whether one id may be one session in both. A part that isn't known may be the same.
    pub fn overlaps(&self, other: &Self) -> bool {
        let may_be_same = |one: &Option<String>, two: &Option<String>| one.is_none() || two.is_none() || one == two;
        may_be_same(&self.region, &other.region)
            && may_be_same(&self.account, &other.account)
            && may_be_same(&self.work_group, &other.work_group)
    }
}

/// The objects that claim each session, by the session's id.
#[derive(Default)]
pub(crate) struct Claims(Mutex<HashMap<String, Vec<Claimant>>>);

struct Claimant {
    key: Key,
    /// A fingerprint of what the claim depends on.
    claim_hash: u64,
}

impl Claims {
    /// Takes in an object that is new or has changed. Returns the others that claim its session, where the change may concern
    /// them.
    pub(crate) fn applied(&self, object: &Session) -> Vec<Key> {
        let Some(id) = object.session_id() else { return Vec::new() };
        let mut claims = self.0.lock();
        let claimants = claims.entry(id.to_owned()).or_default();
        let (key, claim_hash) = (key(object), claim_hash(object));
        match claimants.iter_mut().find(|claimant| claimant.key == key) {
            Some(known) if known.claim_hash == claim_hash => return Vec::new(),
            Some(known) => known.claim_hash = claim_hash,
            None => claimants.push(Claimant { key: key.clone(), claim_hash }),
        }
        claimants.iter().filter(|other| other.key != key).map(|other| other.key.clone()).collect()
    }

    pub(crate) fn deleted(&self, object: &Session) -> Vec<Key> {
        let Some(id) = object.session_id() else { return Vec::new() };
        let mut claims = self.0.lock();
        let Some(claimants) = claims.get_mut(id) else { return Vec::new() };
        let key = key(object);
        claimants.retain(|other| other.key != key);
        let others: Vec<_> = claimants.iter().map(|other| other.key.clone()).collect();
        if others.is_empty() {
            claims.remove(id);
        }
        others
    }

    pub(crate) fn claimants(&self, id: &str) -> Vec<Key> {
        self.0.lock().get(id).into_iter().flatten().map(|claimant| claimant.key.clone()).collect()
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.0.lock().contains_key(id)
    }

    /// Drops the claims of objects that are gone. `session_of`: the id of the session that an object claims now.
    pub(crate) fn retain(&self, session_of: impl Fn(&Key) -> Option<String>) {
        self.0.lock().retain(|id, claimants| {
            claimants.retain(|claimant| session_of(&claimant.key).as_ref() == Some(id));
            !claimants.is_empty()
        });
    }
}

fn claim_hash(object: &Session) -> u64 {
    let metadata = object.meta();
    fingerprint(&(&metadata.uid, metadata.deletion_timestamp.is_some(), is_held(object), object.reference()))
}
