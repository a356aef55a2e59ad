//! The moment of a decision. PURE.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// An answer counts as one of now for so long: longer than one reconciliation takes between two answers.
pub const ANSWER_LIFE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For what is recorded and compared with Athena's and Kubernetes' times.
    pub wall: Timestamp,
    /// For every wait: it doesn't jump when somebody sets the clock.
    pub tick: Instant,
}
