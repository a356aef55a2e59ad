//! When an operation of Athena that fails may be called again. PURE.

use std::time::Instant;

use super::types::CallFailure;
use crate::athena::types::ErrorClass;
use crate::timing::Timing;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub class: ErrorClass,
    pub failed_at: Instant,
    pub attempts: u32,
    pub retry_at: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    /// None while the operation works.
    pub(super) backoff: Option<Backoff>,
}

impl Calls {
    pub(super) fn are_waiting(&self, now: Instant) -> bool {
        self.backoff.is_some_and(|backoff| backoff.retry_at > now)
    }

    /// When a call that is due at `due` may be made.
    pub(super) fn allowed(&self, due: Instant) -> Instant {
        self.backoff.map_or(due, |backoff| due.max(backoff.retry_at))
    }

    pub(super) fn failed(&mut self, failure: CallFailure, now: Instant, timing: &Timing) {
        let attempts = self.backoff.map_or(0, |backoff| backoff.attempts);
        let retry_at = now + timing.after(failure.class, attempts, failure.jitter);
        let attempts = attempts.saturating_add(1);
        self.backoff = Some(Backoff { class: failure.class, failed_at: now, attempts, retry_at });
    }

    /// An outage ended at this moment. If the last call failed in the outage, the next one may be made at once.
    pub(super) fn outage_ended(&mut self, at: Instant) {
        if let Some(backoff) = &mut self.backoff
            && backoff.class.is_outage()
            && backoff.failed_at < at
        {
            backoff.retry_at = backoff.retry_at.min(at);
        }
    }
}
