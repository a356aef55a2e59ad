//! What one watch of a namespace shows: which objects are there, adopted, gone, and when.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use athena_session_operator::api::session::AthenaSession;
use futures::TryStreamExt;
use kube::api::{ApiResource, Object};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Outcome;
use crate::operator::Operator;
use crate::progress::Progress;

/// An AthenaSession with no more of its status than is looked at.
pub type Light = Object<Value, LightStatus>;

/// See [`Light`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LightStatus {
    state: Option<String>,
    #[serde(default)]
    conditions: Vec<LightCondition>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct LightCondition {
    #[serde(rename = "type")]
    type_: String,
    reason: String,
}

/// The AthenaSessions of a namespace.
pub fn objects(client: Client, namespace: &str) -> Api<Light> {
    Api::namespaced_with(client, namespace, &ApiResource::erase::<AthenaSession>(&()))
}

/// How many objects are where.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Objects that exist.
    pub here: usize,
    /// Objects that exist or existed whose status said `Running`.
    pub adopted: usize,
    /// Objects that existed.
    pub gone: usize,
}

/// A running watch. It ends when this is dropped.
pub struct Watched {
    seen: Arc<Mutex<Seen>>,
    tally: watch::Receiver<Tally>,
    task: JoinHandle<()>,
}

impl Watched {
    /// Watches a namespace that has no objects yet.
    pub fn start(client: Client, namespace: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (told, tally) = watch::channel(Tally::default());
        let changes = watcher(objects(client, namespace), watcher::Config::default());
        let taking = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let take = |event| {
                let mut seen = lock(&taking);
                seen.take(event);
                told.send_replace(seen.tally);
                std::future::ready(Ok(()))
            };
            let mut changes = std::pin::pin!(changes);
            // An error is followed by another attempt of the watcher's own.
            while changes.as_mut().try_for_each(take).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self { seen, tally, task }
    }

    /// Waits until the count is reached, as long as the operator runs. Whoever calls this sets a limit.
    pub async fn until(
        &mut self,
        count: impl Fn(&Tally) -> usize,
        wanted: usize,
        operator: Option<&mut Operator>,
        progress: &Progress,
    ) -> Outcome {
        let mut operator = operator;
        loop {
            let reached = self.tally.wait_for(|tally| count(tally) >= wanted);
            match timeout(Duration::from_secs(1), reached).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(_)) => return Err("the watch has ended".to_owned()),
                Err(_) => {}
            }
            let now = count(&self.tally.borrow());
            progress.step(&format!("{now} of {wanted}"));
            if let Some(operator) = operator.as_deref_mut() {
                operator.check()?;
            }
        }
    }

    /// When each object was adopted, in order.
    pub fn adopted_at(&self) -> Vec<Instant> {
        lock(&self.seen).adopted_at.clone()
    }

    /// When each object went, in order.
    pub fn gone_at(&self) -> Vec<Instant> {
        lock(&self.seen).gone_at.clone()
    }

    /// For how many of these objects the status says another state than this.
    pub fn count_other_states<'a>(&self, wanted: impl Iterator<Item = (&'a str, &'a str)>) -> usize {
        let seen = lock(&self.seen);
        wanted.filter(|(name, state)| seen.here.get(*name).is_none_or(|it| it.state != *state)).count()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Seen {
    here: HashMap<String, Standing>,
    /// Those that a new listing has shown so far; the rest went unseen.
    listed: HashSet<String>,
    adopted_at: Vec<Instant>,
    gone_at: Vec<Instant>,
    tally: Tally,
}

#[derive(Default)]
struct Standing {
    adopted: bool,
    state: String,
}

impl Seen {
    fn take(&mut self, event: Event<Light>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                self.listed.insert(object.name_any());
                self.apply(object);
            }
            Event::InitDone => {
                let gone: Vec<_> = self.here.keys().filter(|name| !self.listed.contains(*name)).cloned().collect();
                gone.iter().for_each(|name| self.remove(name));
            }
            Event::Apply(object) => self.apply(object),
            Event::Delete(object) => self.remove(&object.name_any()),
        }
        self.tally.here = self.here.len();
        self.tally.adopted = self.adopted_at.len();
        self.tally.gone = self.gone_at.len();
    }

    fn apply(&mut self, object: Light) {
        let standing = self.here.entry(object.name_any()).or_default();
        let status = object.status.unwrap_or_default();
        let running = status.conditions.iter().any(|it| it.type_ == "Ready" && it.reason == "Running");
        if running && !standing.adopted {
            standing.adopted = true;
            self.adopted_at.push(Instant::now());
        }
        standing.state = status.state.unwrap_or_default();
    }

    fn remove(&mut self, name: &str) {
        if self.here.remove(name).is_some() {
            self.gone_at.push(Instant::now());
        }
    }
}
