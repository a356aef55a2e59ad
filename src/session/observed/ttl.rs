//! What came of asking for the deletion of the object itself, where `spec.ttlAfterEnded` is set. PURE.

use std::time::Instant;

use super::answers::Now;
use super::trouble::Retry;
use crate::timing::Timing;

#[derive(Clone, Debug, Default)]
pub struct Ttl {
    /// The API server accepted the deletion. It isn't asked for again before this moment.
    pub(crate) asked_until: Option<Instant>,
    pub(crate) retry: Option<Retry>,
}

impl Ttl {
    /// The deletion is under way: the watch brings it.
    pub fn asked(&mut self, now: Now, timing: &Timing) {
        *self = Self { asked_until: Some(now.tick + timing.steady), retry: None };
    }

    /// The API server didn't answer, or refuses, in these words. `jitter`, from 0 to 1, spreads the retries of many
    /// objects.
    pub fn failed(&mut self, refusal: Option<String>, now: Now, timing: &Timing, jitter: f64) {
        let retry = Retry::after(self.retry.take(), refusal, now, timing, jitter);
        *self = Self { asked_until: None, retry: Some(retry) };
    }
}
