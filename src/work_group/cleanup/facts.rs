//! Everything that a run of clean-up depends on, besides the answers to its requests. PURE.

use std::time::Instant;

use jiff::Timestamp;

use crate::cleanup::declarations::Declarations;
use crate::cleanup::policy::Policy;
use crate::cleanup::verdict::Judge;

/// Everything that a run depends on, besides the answers to its requests.
#[derive(Clone, Copy)]
pub struct CleanupFacts<'a> {
    /// The rules.
    pub policy: &'a Policy,
    /// What the watches show of the cluster's AthenaSessions.
    pub declarations: Declarations<'a>,
    /// What Athena's clock shows.
    pub athena_time: Timestamp,
    /// The moment, by the clock that nobody sets.
    pub tick: Instant,
    /// Whether sessions are ended: the rules are enforced, and nothing holds them up.
    pub may_end: bool,
    /// How many ends other processes reserved a moment ago: the budget of this run is smaller by them.
    pub reserved_by_others: usize,
    /// How many sessions the runs before this one have ended.
    pub ended_before: u32,
}

impl CleanupFacts<'_> {
    /// Judges sessions by the rules, and by these declarations.
    pub(super) fn judge<'a>(&'a self, declarations: Declarations<'a>) -> Judge<'a> {
        Judge { policy: self.policy, declarations, now: self.athena_time }
    }
}
