//! A request about another object of Kubernetes that fails at present. PURE.

use std::time::Instant;

use super::now::Now;
use crate::timing::Timing;

/// Such a failure.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The API server's words, where it refuses.
    pub refusal: Option<String>,
    /// How often in a row.
    pub attempts: u32,
    /// Not again before.
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
