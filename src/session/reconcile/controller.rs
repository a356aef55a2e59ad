//! Which AthenaSession is reconciled: after a change, when it is woken, when its wait is over, and after a failure.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, TryStreamExt};
use kube::Resource;
use kube::runtime::controller::{Action as Requeue, Config, applier};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::action::Action;
use super::large_objects::{LargeObjectTurns, Turn};
use super::schedule::Schedule;
use super::{Dependencies, NAME, Reconciler};
use crate::api::session::AthenaSession;
use crate::athena::quota::Key;
use crate::controller::{BEAT, Watched, drive, queue};
use crate::health::Pulse;
use crate::index::objects::{Session, key};
use crate::kubernetes::Answer;
use crate::metrics::ReconcileResult;
use crate::session::observed::Observed;
use crate::status::event::Event;

/// Reconciliations at once. Each is a request in flight, to Kubernetes or to Athena.
pub(crate) const CONCURRENCY: u16 = 32;

/// Between two tries of an object that is too large to be kept to have its turn.
const TURN_WAIT: Duration = Duration::from_secs(2);

/// Reconciles the AthenaSessions of one watch.
pub(crate) struct Controller {
    reconciler: Reconciler,
    /// For objects that are too large to be kept: its requests return objects whole.
    large_reconciler: Reconciler,
    turns: LargeObjectTurns,
    schedule: Schedule,
}

/// An object before it is reconciled.
enum Opened {
    /// As the watch has it.
    Cached(Box<AthenaSession>),
    /// As it was read, since it is too large to be kept; in its turn.
    Read(Box<AthenaSession>, Turn),
    /// It is reconciled so long from now.
    Later(Duration),
    /// It can't be read.
    Unreadable(String),
}

impl Controller {
    /// `whole`: a client that returns objects whole, however large. The controllers of all watches share `turns`.
    pub(crate) fn new(dependencies: Dependencies, whole: kube::Client, turns: LargeObjectTurns) -> Self {
        let large_reconciler = Reconciler::new(Dependencies { client: whole, ..dependencies.clone() });
        let reconciler = Reconciler::new(dependencies.clone());
        Self { reconciler, large_reconciler, turns, schedule: Schedule::new(dependencies) }
    }

    /// Reconciles objects until `stop` says true, then lets running reconciliations finish. `position` is the watch's
    /// position in the index.
    pub(crate) async fn run(
        self,
        watched: Watched<Session>,
        position: usize,
        pulse: Pulse,
        stop: watch::Receiver<bool>,
    ) {
        let controller = Arc::new(self);
        let index = Arc::clone(&controller.dependencies().index);
        let store = watched.writer.as_reader();
        let (waking, queueing) = (Arc::clone(&controller), Arc::clone(&controller));
        let seen = move |event: &_| index.session_event(position, event);
        let queued = queue(watched, stop, seen, move |object| waking.schedule.queue(object, true))
            .inspect_ok(move |object| queueing.schedule.queue(object, false));
        let config = Config::default().concurrency(CONCURRENCY);
        // In tasks of their own, since the applier polls each of its futures whenever one of them has something to do.
        // A reconciliation catches its own panics, so an error means that the runtime ends.
        let reconcile = |object: Arc<Session>, controller: Arc<Self>| {
            let task = tokio::spawn(async move { controller.take_turn(&object).await });
            task.map(|ended| Ok::<_, Infallible>(ended.unwrap_or_else(|_| Requeue::requeue(BEAT)))).boxed()
        };
        let context = Arc::clone(&controller);
        let reconciliations =
            applier(reconcile, |_, never: &Infallible, _| match *never {}, context, store, queued, config);
        let gone = |namespace, name| controller.schedule.forget(&(namespace, name));
        drive("AthenaSessions", reconciliations, pulse, || controller.schedule.wake_due(), gone).await;
    }

    fn dependencies(&self) -> &Dependencies {
        &self.schedule.dependencies
    }

    async fn take_turn(&self, cached: &Session) -> Requeue {
        let key = key(cached);
        let was_woken = self.schedule.dequeue(&key);
        if !self.dependencies().index.objects.is_complete() {
            // Which object a session belongs to can't be told before all have been listed.
            return Requeue::requeue(BEAT);
        }
        if !was_woken && let Some(requeue) = self.schedule.after_echo(&key, cached) {
            return requeue;
        }
        let reconciliation = self.dependencies().metrics.reconciliation(NAME);
        let (requeue, result) = self.reconcile(key, cached).await;
        reconciliation.ended(result);
        requeue
    }

    async fn reconcile(&self, key: Key, cached: &Session) -> (Requeue, ReconcileResult) {
        let timing = &self.dependencies().timing;
        let (reconciler, object, turn) = match self.open(&key, cached).await {
            Opened::Cached(object) => (&self.reconciler, object, None),
            Opened::Read(object, turn) => (&self.large_reconciler, object, Some(turn)),
            Opened::Later(wait) => return (Requeue::requeue(wait), ReconcileResult::RequeueAfter),
            Opened::Unreadable(problem) => {
                self.tell_unreadable(cached, &problem);
                return (Requeue::await_change(), ReconcileResult::Error);
            }
        };
        let mut entry = self.schedule.take(&key, &object);
        entry.is_told_large = turn.is_some();
        if entry.is_newer_than(&object) {
            // The watch brings the newer copy.
            self.schedule.keep(key, entry);
            return (Requeue::requeue(Duration::from_secs(1)), ReconcileResult::RequeueAfter);
        }
        let newest_before = entry.state.newest_version;
        let outcome = AssertUnwindSafe(reconciler.reconcile(&object, &mut entry.state)).catch_unwind().await;
        if entry.state.newest_version != newest_before {
            entry.written_at = Some(Instant::now());
        }
        let problem = match outcome {
            Ok(Ok(Action::Gone)) => {
                self.schedule.release(&key, Some(entry));
                // A proxy on the way may have said 404 for a moment, and no change would bring the object back here. An
                // object that is really gone causes no request then.
                return (Requeue::requeue(timing.steady), ReconcileResult::RequeueAfter);
            }
            Ok(Ok(Action::Wait(after))) => {
                let requeue = entry.wait(after, cached);
                self.schedule.keep(key, entry);
                return (
                    requeue,
                    if after.is_some() { ReconcileResult::RequeueAfter } else { ReconcileResult::Success },
                );
            }
            Ok(Err(error)) => {
                if let Some(event) = error.refusal().and_then(|refusal| entry.refusals.event(&refusal)) {
                    self.tell(&*object, event);
                }
                error.to_string()
            }
            Err(_) => {
                // What was learned half-way can't be trusted.
                entry.state.observed = Observed::default();
                "the operator has a bug: it panicked (the message of the panic stands before this line)".to_owned()
            }
        };
        let wait = entry.back_off(timing);
        warn!(namespace = key.0, name = key.1, problem, again_in = ?wait, "an AthenaSession can't be reconciled now");
        self.schedule.keep(key, entry);
        (Requeue::requeue(wait), ReconcileResult::Error)
    }

    async fn open(&self, key: &Key, cached: &Session) -> Opened {
        if cached.is_partial() {
            return self.read_large(key, cached).await;
        }
        cached.open().map_or_else(Opened::Unreadable, |object| Opened::Cached(Box::new(object)))
    }

    /// Reads an object that is too large to be kept, once it is its turn.
    async fn read_large(&self, key: &Key, cached: &Session) -> Opened {
        if !self.schedule.change(key, |entry| std::mem::replace(&mut entry.is_told_large, true)) {
            self.tell_large(key, cached);
        }
        let Some(turn) = self.turns.begin(&key.0, Instant::now()) else { return Opened::Later(TURN_WAIT) };
        let problem = match self.large_reconciler.objects.read(key).await {
            Ok(Answer::Object(read)) => return Opened::Read(read, turn),
            // The watch tells so, too.
            Ok(Answer::Gone | Answer::Conflict { .. }) => return Opened::Later(self.dependencies().timing.steady),
            Err(error) => error.to_string(),
        };
        let wait = self.schedule.change(key, |entry| entry.back_off(&self.dependencies().timing));
        warn!(namespace = key.0, name = key.1, problem, again_in = ?wait, "a large AthenaSession can't be read");
        Opened::Later(wait)
    }

    fn tell_large(&self, (namespace, name): &Key, object: &Session) {
        info!(
            namespace,
            name, "an AthenaSession is too large to be kept in memory; it is read anew for each reconciliation"
        );
        let note = "This object is too large for the operator's memory: spec.start has more than 8 KiB, the status \
             more than 12 KiB, or there are many finalizers. The operator reads the object anew for each \
             reconciliation, one large object at a time, so everything takes longer. Its session is ended like any \
             other";
        self.tell(object, Event::normal("LargeObject", note));
    }

    fn tell_unreadable(&self, object: &Session, problem: &str) {
        let (namespace, name) = key(object);
        error!(namespace, name, problem, "an AthenaSession can't be read; it is left alone until it changes");
        let note = format!("The operator can't read this object, and leaves it alone until it changes: {problem}");
        self.tell(object, Event::warning("Unreadable", note));
    }

    fn tell(&self, object: &impl Resource<DynamicType = ()>, event: Event) {
        self.dependencies().events.tell(object.object_ref(&()), event);
    }
}
