//! Calls to Athena, and requests about other objects of Kubernetes, that fail at present, and when they are made again. PURE.

use std::time::Instant;

use super::answers::Now;
use crate::athena::types::{CallError, ErrorClass, Operation};
use crate::timing::Timing;

/// A call that fails.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub error: CallError,
    /// When it failed last.
    pub at: Instant,
    /// How many in a row.
    pub attempts: u32,
    /// When the call may be made again for this object; earlier if an outage ends.
    pub retry_at: Instant,
}

/// What is remembered while AWS denies GetSession for a session.
#[derive(Clone, Debug)]
pub struct Undescribed {
    /// The denial. It has a back-off of its own, since GetSessionStatus may be allowed all the same.
    pub trouble: Trouble,
    /// When a complete list of the work group's sessions, in every state, last lacked the session.
    pub unlisted_at: Option<Instant>,
}

impl Trouble {
    /// When the call may be made again: at once if an outage has ended since it failed, else after the back-off.
    pub fn due_at(&self, recovered_at: Option<Instant>) -> Instant {
        match recovered_at {
            Some(recovered_at) if self.error.class.is_outage() && recovered_at > self.at => {
                self.retry_at.min(recovered_at)
            }
            _ => self.retry_at,
        }
    }

    /// Whether an outage that ended then has put off the next call.
    pub fn is_relieved(&self, recovered_at: Option<Instant>) -> bool {
        self.due_at(recovered_at) < self.retry_at
    }

    /// Records that a call failed, perhaps not for the first time.
    pub(super) fn record(failing: &mut Option<Box<Self>>, error: CallError, now: Now, timing: &Timing, jitter: f64) {
        let before = failing.take().map(|before| *before);
        *failing = Some(Box::new(Self::after(before, error, now, timing, jitter)));
    }

    pub(super) fn after(before: Option<Self>, error: CallError, now: Now, timing: &Timing, jitter: f64) -> Self {
        // Another operation that fails in the same way is the same trouble.
        let is_same = |before: &CallError| before.operation == error.operation || before.class == error.class;
        let before = before.filter(|trouble| is_same(&trouble.error));
        let attempts = before.as_ref().map_or(1, |trouble| trouble.attempts.saturating_add(1));
        // Some messages hold the time, and each new one would be a write: the first one stays.
        let said = before.map(|trouble| trouble.error);
        let error = said.filter(|said| said.says_the_same(&error)).unwrap_or(error);
        let wait = timing.after(error.class, attempts - 1, jitter);
        // Each further call of StartSession takes two writes.
        let is_lasting =
            matches!(error.class, ErrorClass::Denied | ErrorClass::Invalid | ErrorClass::NotFoundOrInvalid);
        let wait = if is_lasting && error.operation == Operation::StartSession { timing.rarely() } else { wait };
        Self { error, at: now.tick, attempts, retry_at: now.tick + wait }
    }
}

/// A request about another object of Kubernetes that fails.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The API server's words, where it refuses.
    pub refusal: Option<String>,
    pub attempts: u32,
    pub retry_at: Instant,
}

impl Retry {
    /// The one after `before`: the API server refuses, in these words, or gave no answer. `jitter`, from 0 to 1, spreads
    /// the retries of many objects.
    pub fn after(before: Option<Self>, refusal: Option<String>, now: Now, timing: &Timing, jitter: f64) -> Self {
        let before = before.map_or(0, |before| before.attempts);
        let wait = if refusal.is_some() { timing.steady } else { timing.back_off(before, jitter) };
        Self { refusal, attempts: before.saturating_add(1), retry_at: now.tick + wait }
    }
}
