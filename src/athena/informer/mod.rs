//! The informer for Athena: what is known of sessions, without a call for each object.
//!
//! Athena has no watch. So each work group in use has one `Poller`, which looks up all its sessions in the way that takes
//! fewer calls ([`plan`], which is pure), and notifies the objects whose session has changed. That a scan doesn't show a session
//! proves nothing: a call for that session follows.

mod backoff;
mod cursor;
mod demand;
pub mod engine;
mod full_scan;
mod parts;
pub mod plan;
#[expect(clippy::disallowed_methods, reason = "it gives the time to the plan, which is pure")]
mod poller;
mod pool;
pub mod proof_of_absence;
mod schedule;
mod store;
mod targeted_scan;
pub mod types;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

pub(crate) use self::cursor::MOST_PAGES;
pub(crate) use self::poller::Poller;
use self::poller::Shared;
use self::pool::Pool;
pub(crate) use self::types::News;
pub use self::types::{Census, Interest};
use super::identity::Identity;
use super::quota::Quotas;
use super::types::AwsTarget;
use crate::metrics::Metrics;
use crate::timing::Timing;

pub(crate) struct Informer {
    shared: Arc<Shared>,
    pollers: Mutex<HashMap<AwsTarget, Pool<Poller>>>,
}

impl Informer {
    pub(crate) fn new(
        quotas: Arc<Quotas>,
        metrics: Metrics,
        timing: Timing,
        news: mpsc::UnboundedSender<News>,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared { quotas, metrics, timing, news });
        Arc::new(Self { shared, pollers: Mutex::default() })
    }

    /// The poller that looks up the sessions of this work group by this identity. It makes no call until something is
    /// wanted of it.
    pub(crate) fn poller(&self, identity: &Arc<Identity>, work_group: &str) -> Arc<Poller> {
        let mut pollers = self.pollers.lock();
        let pool = pollers.entry(identity.target.clone()).or_default();
        pool.get(work_group, || Poller::new(Arc::clone(&self.shared), Arc::clone(identity), work_group))
    }

    /// Forgets the pollers of ways that nothing uses any more. Each of them ends when nothing is wanted of it.
    pub(crate) fn retain(&self, is_in_use: impl Fn(&AwsTarget) -> bool) {
        self.pollers.lock().retain(|target, _| is_in_use(target));
    }
}
