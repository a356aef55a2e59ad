//! Gives each `AthenaSession` its passes: which, when, and after which failures. What happens in a pass is
//! [`super`]'s.

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{FutureExt, TryStreamExt};
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinError;
use tracing::{error, info, warn};

use super::large_objects::{Turn, Turns};
use super::{Memory, Outcome, Shell, version};
use crate::api::is_held;
use crate::api::session::AthenaSession;
use crate::athena::quota::Key;
use crate::compact::fingerprint;
use crate::controller::{BEAT, Watched, drive, queue};
use crate::health::Pulse;
use crate::index::objects::{Session, key};
use crate::kubernetes::Answer;
use crate::metrics::PassResult;
use crate::session::observed::Observed;
use crate::status::event::{Notice, Refusals};

/// The controller's name in logs and metrics.
pub const NAME: &str = "athenasession";

/// Passes at once. Each is a request in flight, to Kubernetes or to Athena.
pub const CONCURRENCY: u16 = 32;

/// How long a watch may lag behind our own writes before its copy is taken all the same.
const MOST_LAG: Duration = Duration::from_secs(10);

/// Waits from here on are kept by this controller itself, and end with its next beat.
const LONG: Duration = Duration::from_secs(30);

/// Between two tries of an object that is too large to be kept to have its turn.
const TURN_WAIT: Duration = Duration::from_secs(2);

/// What is kept of an object between its passes.
#[derive(Default)]
struct Kept {
    /// A fingerprint of whom it is about.
    about: Option<u64>,
    memory: Memory,
    written_at: Option<Instant>,
    failures: u32,
    refusals: Refusals,
    /// That the object is too large to be kept has been told.
    is_told_large: bool,
    /// The last pass came to its end, there was nothing left to do: what it could be woken by as the watch had the object
    /// when it began.
    settled: Option<u64>,
    /// When it is due, if that is long from now.
    next: Option<Instant>,
    /// When it is due, if the scheduler keeps that.
    soon: Option<Instant>,
}

/// What takes the steps.
#[derive(Clone)]
pub struct Shells {
    /// For an object as the watch has it.
    pub usual: Arc<Shell>,
    /// For an object that is too large to be kept: its requests get objects whole.
    pub whole: Arc<Shell>,
    /// Whose turn it is among those. Their passes are made one at a time, since each takes memory.
    pub turns: Turns,
}

struct Context {
    shell: Arc<Shell>,
    whole: Arc<Shell>,
    turns: Turns,
    /// Boxed: half of a hash table's places are empty.
    kept: Mutex<HashMap<Key, Box<Kept>>>,
    /// Those that wait for a pass, and whether they were woken: there is more to see to than their own change.
    due: Mutex<HashMap<Key, bool>>,
}

/// Watches objects until `stop` says true, then lets running passes finish. `position` is the watch's position in the
/// index.
pub async fn run(
    watched: Watched<Session>,
    position: usize,
    shells: Shells,
    pulse: Pulse,
    stop: watch::Receiver<bool>,
) {
    let Shells { usual: shell, whole, turns } = shells;
    let index = Arc::clone(&shell.index);
    let context = Arc::new(Context { shell, whole, turns, kept: Mutex::default(), due: Mutex::default() });
    let store = watched.writer.as_reader();
    let (woken, asked) = (Arc::clone(&context), Arc::clone(&context));
    let seen = move |event: &_| index.session_event(position, event);
    let queue = queue(watched, stop, seen, move |object| woken.asked(object, true));
    let queue = queue.inspect_ok(move |object| asked.asked(object, false));
    let config = Config::default().concurrency(CONCURRENCY);
    // Tasks of their own, since the applier polls each pass whenever one of them has something to do.
    let pass = |object, context| tokio::spawn(reconcile(object, context)).map(finished).boxed();
    let passes = applier(pass, |_, never: &Infallible, _| match *never {}, Arc::clone(&context), store, queue, config);
    let gone = |namespace, name| context.forget(&(namespace, name));
    drive("AthenaSessions", passes, pulse, || context.wake_due(), gone).await;
}

async fn reconcile(object: Arc<Session>, context: Arc<Context>) -> Result<Action, Infallible> {
    let key = key(&*object);
    let was_woken = context.begun(&key);
    if !context.shell.index.objects.is_complete() {
        // Whose a session is can't be told before all have been listed.
        return Ok(Action::requeue(BEAT));
    }
    if !was_woken && let Some(wait) = context.after_echo(&key, &object) {
        return Ok(wait);
    }
    let wakers = wakers(&object);
    let pass = context.shell.metrics.pass(NAME);
    let opened = if object.is_partial() { context.read_large(&key, &object).await } else { Opened::of(&object) };
    let (shell, opened, turn) = match opened {
        Opened::Kept(read) => (&context.shell, read, None),
        Opened::Read(read, turn) => (&context.whole, read, Some(turn)),
        Opened::Later(wait) => {
            pass.ended(PassResult::RequeueAfter);
            return Ok(Action::requeue(wait));
        }
        Opened::Unreadable(problem) => {
            pass.ended(PassResult::Error);
            context.tell_unreadable(&object, &problem);
            return Ok(Action::await_change());
        }
    };
    let object: &AthenaSession = &opened;
    // Its session, too: that it can't change is a rule of the CRD, which somebody may have replaced.
    let about = Some(fingerprint(&(object.uid(), &object.spec.session_id)));
    let mut kept = context.take(&key, |kept| kept.about == about);
    kept.about = about;
    kept.is_told_large = turn.is_some();

    // A copy older than our own last write would only be refused: the watch brings the newer one.
    if kept.is_newer_than(object) {
        kept.settled = None;
        context.keep(key, kept);
        pass.ended(PassResult::RequeueAfter);
        return Ok(Action::requeue(Duration::from_secs(1)));
    }

    let before = kept.memory.newest;
    kept.settled = None;
    let outcome = AssertUnwindSafe(shell.pass(object, &mut kept.memory)).catch_unwind().await;
    if kept.memory.newest != before {
        kept.written_at = Some(Instant::now());
    }
    let problem = match outcome {
        // Something on the way may have said 404 for a moment, and no change would bring the object back
        // here. One that is really gone is dropped without a request.
        Ok(Ok(Outcome::Gone)) => {
            context.drop_kept(&key, kept);
            pass.ended(PassResult::RequeueAfter);
            return Ok(Action::requeue(context.shell.timing.steady));
        }
        Ok(Ok(Outcome::Wait(after))) => {
            (kept.failures, kept.refusals) = (0, Refusals::default());
            pass.ended(if after.is_some() { PassResult::RequeueAfter } else { PassResult::Success });
            // kube's scheduler keeps half a kilobyte for each wait: of thousands of objects that wait for minutes, much.
            let (short, long) = (after.filter(|after| *after < LONG), after.filter(|after| *after >= LONG));
            (kept.next, kept.soon) =
                (long.map(|long| Instant::now() + long), short.map(|short| Instant::now() + short));
            kept.settled = Some(wakers);
            context.keep(key, kept);
            return Ok(short.map_or_else(Action::await_change, Action::requeue));
        }
        Ok(Err(error)) => {
            if let Some(notice) = error.refusal().and_then(|refusal| kept.refusals.notice(&refusal)) {
                context.shell.events.tell(object.object_ref(&()), notice);
            }
            error.to_string()
        }
        Err(_) => {
            // What was learned half-way can't be trusted.
            kept.memory.observed = Observed::default();
            "the operator has a fault: it panicked".to_owned()
        }
    };
    let wait = context.shell.timing.back_off(kept.failures, fastrand::f64());
    kept.failures = kept.failures.saturating_add(1);
    warn!(namespace = key.0, name = key.1, problem, again_in = ?wait, "a pass over an AthenaSession was given up");
    context.keep(key, kept);
    pass.ended(PassResult::Error);
    Ok(Action::requeue(wait))
}

/// An object before its pass.
enum Opened {
    /// As the watch has it.
    Kept(Box<AthenaSession>),
    /// As it was read, since it is too large to be kept; in its turn.
    Read(Box<AthenaSession>, Turn),
    /// It has its pass so long from now.
    Later(Duration),
    /// It can't be read.
    Unreadable(String),
}

impl Opened {
    fn of(object: &Session) -> Self {
        object.open().map_or_else(Self::Unreadable, |read| Self::Kept(Box::new(read)))
    }
}

/// A fingerprint of what others wake an object by: its session's id, its AthenaWorkGroup, its workloads, its place.
fn wakers(object: &Session) -> u64 {
    let place = object.start_place().map(|place| (place as u8, is_held(object)));
    fingerprint(&(object.session_id(), object.reference(), object.end_with(), place))
}

/// A pass catches its own panics; what remains is the end of the runtime.
fn finished(pass: Result<Result<Action, Infallible>, JoinError>) -> Result<Action, Infallible> {
    pass.unwrap_or_else(|_| Ok(Action::requeue(BEAT)))
}

impl Kept {
    fn is_newer_than(&self, cached: &AthenaSession) -> bool {
        let Some((newest, at)) = self.memory.newest.zip(self.written_at) else { return false };
        at.elapsed() < MOST_LAG && version(&cached.metadata).is_some_and(|cached| newest > cached)
    }
}

impl Context {
    /// What is kept of the object, if it is about this one; what it is not is dropped.
    fn take(&self, key: &Key, is_about: impl Fn(&Kept) -> bool) -> Box<Kept> {
        match self.kept().remove(key) {
            Some(kept) if is_about(&kept) => kept,
            Some(other) if other.about.is_some() => {
                self.drop_kept(key, other);
                Box::default()
            }
            _ => Box::default(),
        }
    }

    fn keep(&self, key: Key, kept: Box<Kept>) {
        self.kept().insert(key, kept);
    }

    fn drop_kept(&self, key: &Key, kept: Box<Kept>) {
        self.shell.leave(key, kept.memory);
    }

    /// Gives a pass to objects whose long wait is over, and to objects that wait for an outage that has ended.
    fn wake_due(&self) {
        let now = Instant::now();
        for (key, kept) in self.kept().iter_mut() {
            let was_due = kept.next.take_if(|next| *next <= now).is_some();
            if was_due {
                kept.next = kept.memory.prolonged_until(now);
            }
            if kept.memory.is_relieved() || was_due && kept.next.is_none() {
                self.shell.index.objects.wake(key);
            }
        }
    }

    /// The object waits for a pass.
    fn asked(&self, object: &ObjectRef<Session>, is_woken: bool) {
        let mut due = self.due();
        *due.entry((object.namespace.clone().unwrap_or_default(), object.name.clone())).or_default() |= is_woken;
        self.shell.metrics.queue_depth(NAME, due.len());
    }

    /// The object waits for a pass no more. Returns whether it was woken.
    fn begun(&self, key: &Key) -> bool {
        let mut due = self.due();
        let was_woken = due.remove(key).unwrap_or_default();
        self.shell.metrics.queue_depth(NAME, due.len());
        was_woken
    }

    /// What is left to wait, where the watch has brought no more than what the last pass went by at its end, and nothing by
    /// which a wake could have missed the object meanwhile.
    fn after_echo(&self, key: &Key, object: &Session) -> Option<Action> {
        let version = version(object.meta())?;
        let kept = self.kept();
        let kept = kept.get(key).filter(|kept| kept.memory.newest == Some(version))?;
        if kept.settled != Some(wakers(object)) {
            return None;
        }
        let rest = kept.soon.map(|soon| soon.saturating_duration_since(Instant::now()));
        rest.map_or_else(|| Some(Action::await_change()), |rest| (!rest.is_zero()).then(|| Action::requeue(rest)))
    }

    /// The object doesn't exist any more.
    fn forget(&self, key: &Key) {
        self.begun(key);
        let kept = self.kept().remove(key);
        if let Some(kept) = kept {
            self.drop_kept(key, kept);
        }
    }

    /// Reads an object that is too large to be kept, once it is its turn.
    async fn read_large(&self, key: &Key, object: &Session) -> Opened {
        let mut kept = self.take(key, |_| true);
        // Whatever it was woken for is seen to in its turn.
        kept.settled = None;
        let is_told = std::mem::replace(&mut kept.is_told_large, true);
        let failures = kept.failures;
        self.keep(key.clone(), kept);
        if !is_told {
            self.tell_large(object);
        }
        let Some(turn) = self.turns.begin(&key.0, Instant::now()) else { return Opened::Later(TURN_WAIT) };
        let problem = match self.whole.read(key).await {
            Ok(Answer::Object(read)) => return Opened::Read(read, turn),
            // The watch tells so, too.
            Ok(Answer::Gone | Answer::Conflict { .. }) => return Opened::Later(self.shell.timing.steady),
            Err(error) => error.to_string(),
        };
        let wait = self.shell.timing.back_off(failures, fastrand::f64());
        if let Some(kept) = self.kept().get_mut(key) {
            kept.failures = failures.saturating_add(1);
        }
        warn!(namespace = key.0, name = key.1, problem, again_in = ?wait, "a large AthenaSession can't be read");
        Opened::Later(wait)
    }

    fn tell_large(&self, object: &Session) {
        let (namespace, name) = key(object);
        info!(namespace, name, "an AthenaSession is too large to be kept in memory; it is read anew for each pass");
        let note = "This object is too large for the operator to keep it in memory: spec.start has more than 8 KiB, the \
                    status more than 12 KiB, or there are many finalizers. The operator reads the object anew for each \
                    step, one large object at a time, so all takes longer; its session is ended as any other";
        self.shell.events.tell(Resource::object_ref(object, &()), Notice::normal("LargeObject", note.to_owned()));
    }

    fn tell_unreadable(&self, object: &Session, problem: &str) {
        let (namespace, name) = key(object);
        error!(namespace, name, problem, "an AthenaSession can't be read; it is left alone until it changes");
        let note = format!("The operator can't read this object, and leaves it alone until it changes: {problem}");
        self.shell.events.tell(Resource::object_ref(object, &()), Notice::warning("Unreadable", note));
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Key, Box<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self) -> MutexGuard<'_, HashMap<Key, bool>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
