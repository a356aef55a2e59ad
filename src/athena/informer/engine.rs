//! The engine of one work group, as its poller knows it, and when GetWorkGroup is called next. PURE.
//!
//! GetWorkGroup names the engine. The right to call GetWorkGroup is optional: without it, the newest session in a list
//! shows the engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::athena::engine::{Engine, EngineKnowledge};
use crate::athena::types::{CallError, SessionPage};
use crate::timing::Timing;

/// The time from an answer of GetWorkGroup to the next call, since a work group hardly ever changes its engine.
const HOUR: Duration = Duration::from_secs(3_600);
/// After so many failures of GetWorkGroup in a row, starts don't wait for the engine any longer.
const PATIENCE: u32 = 3;

#[derive(Debug, Default)]
pub struct EngineWatch {
    from_get_work_group: Option<Engine>,
    from_lists: Option<Engine>,
    failure: Option<Arc<CallError>>,
    failures: u32,
    /// When GetWorkGroup is to be called next. None: at once.
    next: Option<Instant>,
}

impl EngineWatch {
    pub fn known(&self) -> EngineKnowledge {
        match self.from_get_work_group.as_ref().or(self.from_lists.as_ref()) {
            Some(engine) => EngineKnowledge::Known(engine.clone()),
            None if self.next.is_none() || self.may_pass() => EngineKnowledge::Awaited,
            None => EngineKnowledge::NotKnown(self.failure.clone()),
        }
    }

    /// Whether a start may still wait for the engine: GetWorkGroup has failed a few times, for a reason that passes.
    fn may_pass(&self) -> bool {
        self.failures < PATIENCE && self.failure.as_ref().is_some_and(|error| error.class.may_pass())
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// Takes in an answer of GetWorkGroup. `jitter`, from 0 to 1, spreads the retries.
    pub fn answered(&mut self, answer: Result<Engine, CallError>, now: Instant, timing: &Timing, jitter: f64) {
        let wait = match answer {
            Ok(engine) => {
                (self.from_get_work_group, self.failure, self.failures) = (Some(engine), None, 0);
                HOUR
            }
            Err(error) => {
                let wait = if error.class.may_pass() {
                    timing.after(error.class, self.failures, jitter)
                } else {
                    // Each refusal is a line in CloudTrail.
                    timing.rarely().saturating_mul(1 << self.failures.min(10))
                };
                self.failures = self.failures.saturating_add(1);
                self.failure = Some(Arc::new(error));
                wait.min(HOUR)
            }
        };
        self.next = Some(now + wait);
    }

    /// Takes in the first page of the list of all active sessions. The newest session stands first.
    pub fn listed(&mut self, page: &SessionPage) {
        // ListSessions works, so an earlier refusal (the work group isn't for Spark) holds no longer.
        let before = self.from_lists.take().filter(|engine| !matches!(engine, Engine::NotSpark(_)));
        let newest = page.sessions.first().and_then(|(_, status)| status.engine.clone());
        self.from_lists = newest.or(before);
    }

    /// Takes in a refusal of ListSessions, which may say that the work group isn't for Spark.
    pub fn refused(&mut self, error: &CallError) {
        self.from_lists = Engine::of_refusal(error).or(self.from_lists.take());
    }
}
