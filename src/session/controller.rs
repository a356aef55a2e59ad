//! Watches `AthenaSession` objects and gives each one its passes: which, when, and after which
//! failures. What happens in a pass is [`super::act`]'s.

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config, Controller, Error as ControllerError};
use kube::runtime::watcher;
use kube::{Api, Resource, ResourceExt};
use tokio::sync::watch;
use tracing::{error, warn};

use super::act::{Outcome, PassError, Shell};
use super::knowledge::Knowledge;
use super::notice::Notice;
use crate::api::session::AthenaSession;
use crate::text::{chain, kubernetes};

/// A guard against one unreadable object, which would otherwise stop the watch of all.
type Guarded = DeserializeGuard<AthenaSession>;

/// Passes at once. Each is a request in flight, to Kubernetes or to Athena.
const CONCURRENCY: u16 = 64;

/// How long a watch may lag behind our own writes before its copy is taken all the same.
const MOST_LAG: Duration = Duration::from_secs(10);

/// What is kept of an object between its passes.
#[derive(Default)]
struct Memory {
    about: Option<(Option<String>, String)>,
    knowledge: Knowledge,
    newest: Option<(String, Instant)>,
    failures: u32,
}

struct Context {
    shell: Shell,
    memories: Mutex<HashMap<(String, String), Memory>>,
}

/// Watches the objects of `api` until `stop` says true, then lets running passes finish. Each watch is
/// renewed after `watch_timeout`.
pub async fn run(api: Api<Guarded>, shell: Shell, watch_timeout: Duration, mut stop: watch::Receiver<bool>) {
    let context = Arc::new(Context { shell, memories: Mutex::default() });
    let stopped = async move {
        // An error means that nobody can say stop any more, which says it too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let mut told = Told::default();
    let seconds = u32::try_from(watch_timeout.as_secs().max(1)).unwrap_or(u32::MAX);
    Controller::new(api, watcher::Config::default().timeout(seconds))
        .with_config(Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(stopped)
        .run(reconcile, |_, never, _| match *never {}, Arc::clone(&context))
        .for_each(|result| {
            match result {
                Ok(_) => {}
                Err(ControllerError::ObjectNotFound(object)) => {
                    let key = (object.namespace.unwrap_or_default(), object.name);
                    context.take(&key);
                }
                Err(ControllerError::QueueError(error)) => told.trouble(&watch_problem(&error)),
                Err(error) => told.trouble(&chain(&error)),
            }
            std::future::ready(())
        })
        .await;
}

async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Infallible> {
    let key = (object.namespace().unwrap_or_default(), object.name_any());
    let object = match &object.0 {
        Ok(object) => object,
        Err(invalid) => {
            let (namespace, name) = &key;
            error!(
                namespace,
                name,
                problem = invalid.error,
                "an AthenaSession can't be read; it is left alone until it changes"
            );
            let note =
                format!("The operator can't read this object, and leaves it alone until it changes: {}", invalid.error);
            context.shell.events.tell(Resource::object_ref(&*object, &()), Notice::warning("Unreadable", note));
            return Ok(Action::await_change());
        }
    };
    // Its session, too: that it can't change is a rule of the CRD, which somebody may have replaced.
    let about = Some((object.uid(), object.spec.session_id.clone()));
    let mut memory = context.take(&key).filter(|memory| memory.about == about).unwrap_or_default();
    memory.about = about;

    // A copy older than our own last write would only be refused: the watch brings the newer one.
    if memory.is_newer_than(object) {
        context.keep(key, memory);
        return Ok(Action::requeue(Duration::from_secs(1)));
    }

    let mut newest = None;
    let pass = AssertUnwindSafe(context.shell.pass(object, &mut memory.knowledge, &mut newest)).catch_unwind().await;
    if let Some(version) = newest {
        memory.newest = Some((version, Instant::now()));
    }
    let problem = match pass {
        // Something on the way may have said 404 for a moment, and no change would bring the object back
        // here. One that is really gone is dropped without a request.
        Ok(Ok(Outcome::Gone)) => return Ok(Action::requeue(context.shell.timing.steady)),
        Ok(Ok(Outcome::Wait(after))) => {
            memory.failures = 0;
            context.keep(key, memory);
            return Ok(after.map_or_else(Action::await_change, Action::requeue));
        }
        Ok(Err(error)) => {
            if let (PassError::Refused { refusal }, 0) = (&error, memory.failures) {
                let note = format!("The API server refuses the operator, which goes on trying: {refusal}");
                context.shell.events.tell(object.object_ref(&()), Notice::warning("Refused", note));
            }
            error.to_string()
        }
        Err(_) => {
            // What was learned half-way can't be trusted.
            memory.knowledge = Knowledge::default();
            "the operator has a fault: it panicked".to_owned()
        }
    };
    let wait = context.shell.timing.back_off(memory.failures, fastrand::f64());
    memory.failures = memory.failures.saturating_add(1);
    warn!(namespace = key.0, name = key.1, problem, again_in = ?wait, "a pass over an AthenaSession was given up");
    context.keep(key, memory);
    Ok(Action::requeue(wait))
}

impl Memory {
    fn is_newer_than(&self, cached: &AthenaSession) -> bool {
        // Versions of one resource compare as numbers (KEP-5504); where they aren't any, nothing is told.
        let number = |version: &str| version.parse::<u64>().ok();
        let Some((newest, at)) = &self.newest else { return false };
        let cached = cached.metadata.resource_version.as_deref().and_then(number);
        at.elapsed() < MOST_LAG && number(newest).zip(cached).is_some_and(|(newest, cached)| newest > cached)
    }
}

impl Context {
    fn take(&self, key: &(String, String)) -> Option<Memory> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    fn keep(&self, key: (String, String), memory: Memory) {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).insert(key, memory);
    }
}

fn watch_problem(error: &watcher::Error) -> String {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<kube::Error>());
    cause.map_or_else(|| chain(error), kubernetes)
}

/// Says a problem of the watch once, not at each retry.
#[derive(Default)]
struct Told {
    last: Option<(String, Instant)>,
}

impl Told {
    /// The same problem after so long is news again.
    const NEWS_AGAIN: Duration = Duration::from_secs(600);

    fn trouble(&mut self, problem: &str) {
        let told = self.last.as_ref().is_some_and(|(told, at)| told == problem && at.elapsed() < Self::NEWS_AGAIN);
        if !told {
            warn!(problem, "the watch of AthenaSessions is broken; it is tried again, at the latest every 30 s");
            self.last = Some((problem.to_owned(), Instant::now()));
        }
    }
}
