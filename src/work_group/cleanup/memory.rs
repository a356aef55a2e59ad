//! What is kept of clean-up between two runs. PURE.
//!
//! Nothing of this is saved: after a restart nothing is ended before two complete lists have been read.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::registrations::as_sources;
use crate::api::cleanup::{Cleanup, CleanupBudget};
use crate::cleanup::policy::Policy;
use crate::cleanup::verdict::Tags;

/// What requests showed of a session that isn't ended now counts for so long. Otherwise a dry run, or a session that a tag
/// protects, would cost the requests anew after each list.
pub const LOOK_LIFE: Duration = Duration::from_secs(600);

/// What a look at a session showed.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) tags: Tags,
    pub(super) result: LookResult,
}

/// How far the look went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LookResult {
    /// Only tags were read.
    Tags,
    /// The session would be ended.
    WouldEnd,
    /// A request failed, in a way that doesn't pass by itself.
    Failed(String),
}

/// What holds for a work group as long as rules and account stay the same.
#[derive(Debug)]
pub struct CleanupMemory {
    /// The rules of all AthenaWorkGroups of the work group, by their names.
    rules: Vec<(String, Option<Cleanup>)>,
    /// Since when calls go to the account.
    since: Option<Instant>,
    /// The rules, read.
    pub policy: Policy,
    /// When the ends of the last run were reserved.
    pub reserved_at: Option<Timestamp>,
    /// When the complete list began that was judged last.
    judged: Option<Instant>,
    /// The sessions that this list showed as matched.
    pub(super) matched: HashSet<String>,
    pub(super) looks: HashMap<String, Look>,
}

impl CleanupMemory {
    /// Of nothing but these rules.
    pub fn new(rules: Vec<(String, Option<Cleanup>)>, since: Option<Instant>) -> Self {
        let policy = Policy::read(&as_sources(&rules));
        let (judged, reserved_at, matched, looks) = Default::default();
        Self { rules, since, policy, judged, reserved_at, matched, looks }
    }

    /// Whether what is kept was learned under these rules, in the account that calls have gone to since this moment. Otherwise
    /// two complete lists are needed anew.
    pub fn fits(&self, rules: &[(String, Option<Cleanup>)], since: Option<Instant>) -> bool {
        self.rules == rules && self.since == since
    }

    /// Whether the complete list that began at this moment is to be judged. Two lists that follow each other closely may lack the
    /// same change, so that they count as one.
    pub fn is_due(&self, list: Instant, steady: Duration) -> bool {
        self.since.is_none_or(|since| list >= since) && self.judged.is_none_or(|judged| list >= judged + steady / 2)
    }

    /// How many ends the recorded budget takes from the next run: those that another process reserved a moment ago. A moment that
    /// is far ahead isn't true, and takes nothing.
    pub fn used(&self, budget: Option<&CleanupBudget>, steady: Duration, wall: Timestamp) -> usize {
        let Some(CleanupBudget { reserved_at, reserved }) = budget else { return 0 };
        let is_own = self.reserved_at == Some(reserved_at.0);
        let is_past = wall.duration_since(reserved_at.0).unsigned_abs() >= steady;
        if is_own || is_past { 0 } else { usize::try_from(*reserved).unwrap_or(usize::MAX) }
    }

    /// Whether a list has been judged. Before, no session is due, so that a report would say too little.
    pub fn has_judged(&self) -> bool {
        self.judged.is_some()
    }

    pub(super) fn judged(&mut self, list: Instant, matched: HashSet<String>, looks: HashMap<String, Look>) {
        self.judged = Some(list);
        self.matched = matched;
        self.looks = looks;
    }
}
