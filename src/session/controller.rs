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
use tracing::{error, info, warn};

use super::act::{Outcome, Shell};
use super::knowledge::Knowledge;
use super::notice::Notice;
use crate::api::session::AthenaSession;

/// A guard against one unreadable object, which would otherwise stop the watch of all.
type Guarded = DeserializeGuard<AthenaSession>;

/// Passes at once. Each is a request in flight, to Kubernetes or to Athena.
const CONCURRENCY: u16 = 64;

/// How long a watch may lag behind our own writes before its copy is taken all the same.
const MOST_LAG: Duration = Duration::from_secs(10);

/// What is kept of an object between its passes.
#[derive(Default)]
struct Memory {
    uid: Option<String>,
    knowledge: Knowledge,
    newest: Option<(String, Instant)>,
    failures: u32,
}

struct Context {
    shell: Shell,
    memories: Mutex<HashMap<(String, String), Memory>>,
}

/// Watches the objects of `api` until `stop` says true, then lets running passes finish.
pub async fn run(api: Api<Guarded>, shell: Shell, mut stop: watch::Receiver<bool>) {
    let context = Arc::new(Context { shell, memories: Mutex::default() });
    let stopped = async move {
        // An error means that nobody can say stop any more, which says it too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let mut told = Told::default();
    Controller::new(api, watcher::Config::default())
        .with_config(Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(stopped)
        .run(reconcile, |_, never, _| match *never {}, Arc::clone(&context))
        .for_each(|result| {
            match result {
                Ok(_) => told.well(),
                Err(ControllerError::ObjectNotFound(object)) => {
                    let key = (object.namespace.unwrap_or_default(), object.name);
                    context.take(&key);
                }
                Err(error) => told.trouble(&error.to_string()),
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
    let uid = object.uid();
    let mut memory = context.take(&key).filter(|memory| memory.uid == uid).unwrap_or_default();
    memory.uid = uid;

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
        Ok(Ok(Outcome::Gone)) => return Ok(Action::await_change()),
        Ok(Ok(Outcome::Wait(after))) => {
            memory.failures = 0;
            context.keep(key, memory);
            return Ok(after.map_or_else(Action::await_change, Action::requeue));
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => {
            // What was learned half-way can't be trusted.
            memory.knowledge = Knowledge::default();
            "the operator has a fault: it panicked".to_owned()
        }
    };
    let wait = context.back_off(memory.failures);
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

    fn back_off(&self, failures: u32) -> Duration {
        let timing = &self.shell.timing;
        let doubled = timing.backoff_min.saturating_mul(1 << failures.min(20)).min(timing.backoff_max);
        doubled.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// Says a problem of the watch once, not at each retry.
#[derive(Default)]
struct Told {
    problem: Option<String>,
}

impl Told {
    fn trouble(&mut self, problem: &str) {
        if self.problem.as_deref() != Some(problem) {
            warn!(problem, "the watch of AthenaSessions is broken; it is tried again, at the latest every 30 s");
            self.problem = Some(problem.to_owned());
        }
    }

    fn well(&mut self) {
        if self.problem.take().is_some() {
            info!("the watch of AthenaSessions works again");
        }
    }
}
