//! When each AthenaSession is reconciled again, and what is kept of it until then.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kube::runtime::controller::Action as Requeue;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;

use super::object_state::{ObjectState, version};
use super::{Dependencies, NAME};
use crate::api::is_held;
use crate::api::session::AthenaSession;
use crate::athena::quota::Key;
use crate::index::claims::fingerprint;
use crate::index::objects::Session;
use crate::status::event::Refusals;
use crate::timing::Timing;

/// How long a watch may lag behind our own writes before its copy is used all the same.
const MOST_LAG: Duration = Duration::from_secs(10);

/// Waits from here on are kept in this schedule, and end with the next beat. For each wait that kube's scheduler keeps,
/// it takes half a kilobyte: of thousands of objects that wait for minutes, some megabytes.
const LONG: Duration = Duration::from_secs(30);

/// What is kept of an object between its reconciliations.
#[derive(Default)]
pub(super) struct Entry {
    /// Which object and which session the entry is about: a fingerprint, which takes less memory than two names.
    about: u64,
    pub(super) state: ObjectState,
    /// When a reconciliation ended in which a request returned a newer copy than before.
    pub(super) written_at: Option<Instant>,
    /// How many reconciliations in a row couldn't go on.
    failures: u32,
    pub(super) refusals: Refusals,
    /// An event has told that the object is too large to be kept.
    pub(super) is_told_large: bool,
    /// Where the last reconciliation left nothing to do: the wakers of the copy that it began with.
    settled: Option<u64>,
    next: Next,
}

/// When an object is reconciled again, if nothing changes.
#[derive(Clone, Copy, Default)]
enum Next {
    #[default]
    Never,
    /// kube's scheduler sees to it.
    Requeued(Instant),
    /// This schedule does.
    Due(Instant),
}

impl Entry {
    /// Whether a request of ours returned a newer copy than this one. A write by this one would only be refused.
    pub(super) fn is_newer_than(&self, cached: &AthenaSession) -> bool {
        let Some((newest, at)) = self.state.newest_version.zip(self.written_at) else { return false };
        at.elapsed() < MOST_LAG && version(&cached.metadata).is_some_and(|cached| newest > cached)
    }

    /// The reconciliation of this copy has left nothing to do until then.
    pub(super) fn wait(&mut self, after: Option<Duration>, cached: &Session) -> Requeue {
        (self.failures, self.refusals) = (0, Refusals::default());
        self.settled = Some(wakers(cached));
        let (next, requeue) = match after {
            None => (Next::Never, Requeue::await_change()),
            Some(after) if after < LONG => (Next::Requeued(Instant::now() + after), Requeue::requeue(after)),
            Some(after) => (Next::Due(Instant::now() + after), Requeue::await_change()),
        };
        self.next = next;
        requeue
    }

    /// The reconciliation couldn't go on. Returns how long to wait before the next one.
    pub(super) fn back_off(&mut self, timing: &Timing) -> Duration {
        let wait = timing.back_off(self.failures, fastrand::f64());
        self.failures = self.failures.saturating_add(1);
        wait
    }
}

/// A fingerprint of what decides which events wake an object: its session's id, its AthenaWorkGroup, its workloads,
/// and how it counts in `sessionsPerNamespace`.
fn wakers(object: &Session) -> u64 {
    let place = object.start_place().map(|place| (place as u8, is_held(object)));
    fingerprint(&(object.session_id(), object.reference(), object.end_with(), place))
}

/// The entries of all objects of one watch.
pub(super) struct Schedule {
    pub(super) dependencies: Dependencies,
    /// Boxed, since half of a hash table's places are empty.
    entries: Mutex<HashMap<Key, Box<Entry>>>,
    /// The objects that wait for their turn, and whether each was woken. One that was woken has more to see to than a
    /// change of its own.
    queued: Mutex<HashMap<Key, bool>>,
}

impl Schedule {
    pub(super) fn new(dependencies: Dependencies) -> Self {
        Self { dependencies, entries: Mutex::default(), queued: Mutex::default() }
    }

    /// The object waits for its turn.
    pub(super) fn queue(&self, object: &ObjectRef<Session>, is_woken: bool) {
        let mut queued = self.queued.lock();
        let key = (object.namespace.clone().unwrap_or_default(), object.name.clone());
        *queued.entry(key).or_default() |= is_woken;
        self.dependencies.metrics.queue_depth(NAME, queued.len());
    }

    /// The object has its turn, or doesn't exist any more. Returns whether it was woken.
    pub(super) fn dequeue(&self, key: &Key) -> bool {
        let mut queued = self.queued.lock();
        let was_woken = queued.remove(key).unwrap_or_default();
        self.dependencies.metrics.queue_depth(NAME, queued.len());
        was_woken
    }

    /// What is left to wait, where the watch has only brought back the object's last own write: the reconciliation that
    /// wrote it has seen to all of it. This saves one reconciliation for each write. None where the object has to be
    /// reconciled: the write has changed its wakers, so that a wake may have missed it meanwhile.
    pub(super) fn after_echo(&self, key: &Key, object: &Session) -> Option<Requeue> {
        let entries = self.entries.lock();
        let entry = entries.get(key)?;
        let is_echo = entry.state.newest_version == Some(version(object.meta())?);
        if !is_echo || entry.settled != Some(wakers(object)) {
            return None;
        }
        let Next::Requeued(at) = entry.next else { return Some(Requeue::await_change()) };
        let rest = at.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then(|| Requeue::requeue(rest))
    }

    /// Takes the entry of an object out for a reconciliation. An entry that is about another object of this name, or
    /// about another session, is released.
    pub(super) fn take(&self, key: &Key, object: &AthenaSession) -> Box<Entry> {
        // The CRD forbids a change of the session, but somebody may have replaced the CRD.
        let about = fingerprint(&(object.uid(), &object.spec.session_id));
        let before = self.entries.lock().remove(key);
        match before {
            Some(mut entry) if entry.about == about => {
                entry.settled = None;
                entry
            }
            before => {
                self.release(key, before);
                Box::new(Entry { about, ..Entry::default() })
            }
        }
    }

    /// Puts an entry back.
    pub(super) fn keep(&self, key: Key, entry: Box<Entry>) {
        self.entries.lock().insert(key, entry);
    }

    /// Changes the entry of an object that isn't reconciled now.
    pub(super) fn change<T>(&self, key: &Key, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut entries = self.entries.lock();
        let entry = entries.entry(key.clone()).or_default();
        // Whatever it was woken for is seen to in its turn.
        entry.settled = None;
        change(entry)
    }

    /// The object doesn't exist any more.
    pub(super) fn forget(&self, key: &Key) {
        self.dequeue(key);
        let entry = self.entries.lock().remove(key);
        self.release(key, entry);
    }

    /// Gives back what was asked for on behalf of an object.
    pub(super) fn release(&self, key: &Key, entry: Option<Box<Entry>>) {
        if let Some(entry) = entry {
            entry.state.release(key);
            self.dependencies.quotas.forget(key);
        }
    }

    /// Wakes objects whose long wait is over, and objects that wait for the end of an outage that has ended.
    pub(super) fn wake_due(&self) {
        let now = Instant::now();
        for (key, entry) in self.entries.lock().iter_mut() {
            let is_due = matches!(entry.next, Next::Due(at) if at <= now);
            let until = if is_due { entry.state.prolonged_until(now) } else { None };
            if is_due {
                entry.next = until.map_or(Next::Never, Next::Due);
            }
            if entry.state.has_outage_ended() || is_due && until.is_none() {
                self.dependencies.index.objects.wake(key);
            }
        }
    }
}
