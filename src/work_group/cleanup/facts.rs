//! Everything that a run of clean-up asks about, besides what its requests show. PURE.

use std::time::Instant;

use jiff::Timestamp;

use crate::cleanup::declarations::Declarations;
use crate::cleanup::policy::Policy;
use crate::cleanup::verdict::Judge;

/// Everything that a run asks about, besides what its requests show.
#[derive(Clone, Copy)]
pub struct CleanupFacts<'a> {
    /// The rules.
    pub policy: &'a Policy,
    /// What the watches show of the cluster's AthenaSessions.
    pub declarations: Declarations<'a>,
    /// What Athena's clock shows.
    pub athena_time: Timestamp,
    /// The moment.
    pub tick: Instant,
    /// Whether sessions are ended: the rules are enforced, and nothing holds them up.
    pub may_end: bool,
    /// How many ends were reserved for another run a moment ago, maybe by another process.
    pub reserved_by_others: usize,
}

impl CleanupFacts<'_> {
    /// Judges sessions by the rules, and by these declarations.
    pub(super) fn judge<'a>(&'a self, declarations: Declarations<'a>) -> Judge<'a> {
        Judge { policy: self.policy, declarations, now: self.athena_time }
    }
}
