//! The informer for Athena: what is known of sessions without each object asking for its own.
//!
//! Athena has no watch. So each work group in use has one [`Poller`], which asks the cheaper way for all its sessions
//! ([`plan`], which is pure), and wakes the objects whose session has changed. What a list lacks proves nothing: such
//! an object asks for itself.

mod answers;
mod cursor;
mod demand;
pub mod engine;
pub mod full_list;
mod full_scan;
pub mod plan;
mod poller;
mod pool;
mod schedule;
mod store;
mod targeted_scan;
mod types;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use self::full_list::Asker;
pub use self::plan::Pace;
pub use self::poller::Poller;
use self::pool::Pool;
use super::engine::EngineKnowledge;
use super::identity::Identity;
use super::quota::Quotas;
use super::types::{CallError, Way};
use crate::metrics::Metrics;
use crate::timing::Timing;

/// News for the rest of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// This session has changed, or whoever names it is to ask for himself.
    Session(String),
    /// There is an answer for this object, which has asked for a complete list.
    Listed(Asker),
    /// All sessions of this work group have been listed.
    Swept {
        /// How it is reached.
        way: Way,
        /// Its name in Athena.
        work_group: String,
    },
    /// What is known of the engine of this work group has changed.
    Engine {
        /// How it is reached.
        way: Way,
        /// Its name in Athena.
        work_group: String,
    },
}

/// What a work group holds.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// How many sessions there are in each state that isn't an end; None before they have been listed.
    pub sessions: Option<BTreeMap<String, u32>>,
    /// How many of them an object names.
    pub declared: u32,
    /// Why they can't be listed at present.
    pub trouble: Option<CallError>,
    /// What runs them.
    pub engine: EngineKnowledge,
}

/// All pollers.
pub struct Informer {
    quotas: Arc<Quotas>,
    metrics: Metrics,
    timing: Timing,
    news: mpsc::UnboundedSender<News>,
    pollers: Mutex<HashMap<Way, Pool<Poller>>>,
}

impl Informer {
    /// Without any poller yet.
    #[must_use]
    pub fn new(quotas: Arc<Quotas>, metrics: Metrics, timing: Timing, news: mpsc::UnboundedSender<News>) -> Arc<Self> {
        Arc::new(Self { quotas, metrics, timing, news, pollers: Mutex::default() })
    }

    /// What looks after the sessions of a work group, by this identity. It makes no call until something is watched.
    pub fn poller(self: &Arc<Self>, identity: &Arc<Identity>, work_group: &str) -> Arc<Poller> {
        let mut pollers = self.pollers.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = pollers.entry(identity.way.clone()).or_default();
        pool.get(work_group, || Poller::new(Arc::clone(self), Arc::clone(identity), work_group))
    }

    /// Forgets the pollers of ways that are used no more; they end when nobody watches anything by them.
    pub fn retain(&self, is_in_use: impl Fn(&Way) -> bool) {
        self.pollers.lock().unwrap_or_else(PoisonError::into_inner).retain(|way, _| is_in_use(way));
    }

    fn wake(&self, id: String) {
        // Nobody listens at shutdown.
        let _ = self.news.send(News::Session(id));
    }

    fn listed(&self, asker: Asker) {
        let _ = self.news.send(News::Listed(asker));
    }

    fn engine_learned(&self, way: &Way, work_group: &str) {
        let _ = self.news.send(News::Engine { way: way.clone(), work_group: work_group.to_owned() });
    }

    fn swept(&self, way: &Way, work_group: &str) {
        let _ = self.news.send(News::Swept { way: way.clone(), work_group: work_group.to_owned() });
    }
}
