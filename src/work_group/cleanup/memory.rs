//! What is kept of clean-up between two runs. PURE.
//!
//! Nothing of this is saved: after a restart nothing is ended before two complete lists have been read.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::api::cleanup::{Cleanup, CleanupBudget};
use crate::cleanup::policy::{Policy, Source};
use crate::cleanup::verdict::Tags;
use crate::status::condition::time;

/// After so long, a session that an earlier run looked at and didn't end is looked at anew. Without this pause a dry run, and each
/// session that a tag protects, would cost the same requests after each list. Tags count until they are read again, since a run
/// reads few tags: a run that forgot those of the protected sessions would never come to the tags of the others.
pub(super) const RECHECK_AFTER: Duration = Duration::from_secs(600);

/// What requests of earlier runs showed of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// When the tags were asked for last.
    pub(super) tags_asked_at: Option<Instant>,
    /// When they were read last.
    pub(super) tags_read_at: Option<Instant>,
    pub(super) tags: Tags,
    /// When a run looked at the session last, to end it.
    pub(super) tried_at: Option<Instant>,
    pub(super) result: LookResult,
}

/// How far the last look went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum LookResult {
    /// The next run may look again.
    #[default]
    Open,
    /// The session would be ended.
    WouldEnd,
    /// A request failed, in a way that doesn't pass by itself.
    Failed(String),
}

/// Ends that this process reserves.
#[derive(Clone, Debug, PartialEq)]
pub struct Reservation {
    /// What is recorded.
    pub budget: CleanupBudget,
    /// The part of the budget that other processes reserved.
    others: Option<CleanupBudget>,
}

/// What the runs for a work group remember, as long as the rules and the account stay the same.
#[derive(Debug)]
pub struct CleanupMemory {
    /// The rules of all AthenaWorkGroups of the work group, by their names.
    rules: Vec<(String, Option<Cleanup>)>,
    /// Since when calls go to the account.
    since: Option<Instant>,
    /// The rules, as they are applied.
    pub policy: Policy,
    /// The ends that were reserved last.
    reservation: Option<Reservation>,
    /// When the complete list began that was judged last.
    judged: Option<Instant>,
    /// The sessions that this list showed as matched, and what is known of each.
    pub(super) looks: HashMap<String, Look>,
}

impl CleanupMemory {
    /// A memory of nothing but these rules.
    pub fn new(sources: &[Source<'_>], since: Option<Instant>) -> Self {
        let policy = Policy::read(sources);
        let rules = sources.iter().map(|source| (source.owner.to_owned(), source.cleanup.cloned())).collect();
        let (judged, reservation, looks) = Default::default();
        Self { rules, since, policy, reservation, judged, looks }
    }

    /// Whether what is kept was learned under these rules, in the account that calls have gone to since this moment. Otherwise
    /// two complete lists are needed anew.
    pub fn fits(&self, sources: &[Source<'_>], since: Option<Instant>) -> bool {
        let rules = self.rules.iter().map(|(owner, cleanup)| Source { owner, cleanup: cleanup.as_ref() });
        self.since == since && rules.eq(sources.iter().copied())
    }

    /// Whether the complete list that began at this moment is to be judged.
    pub fn is_due(&self, list: Instant, steady: Duration) -> bool {
        self.since.is_none_or(|since| list >= since)
            && self.judged.is_none_or(|judged| counts_after(list, judged, steady))
    }

    /// How many ends the recorded budget takes from the next run: those that other processes reserved a moment ago.
    pub fn reserved_by_others(&self, budget: Option<&CleanupBudget>, steady: Duration, wall: Timestamp) -> usize {
        let others = self.others(budget, steady, wall);
        others.map_or(0, |others| usize::try_from(others.reserved).unwrap_or(usize::MAX))
    }

    /// What is to be recorded in place of this budget before so many ends. The ends that other processes reserved a moment ago
    /// are recorded again. Otherwise a third process would count only the last reservation.
    pub fn reserve(
        &self,
        budget: Option<&CleanupBudget>,
        ends: usize,
        steady: Duration,
        wall: Timestamp,
    ) -> Reservation {
        let others = self.others(budget, steady, wall).cloned();
        let reserved_by_others = others.as_ref().map_or(0, |others| others.reserved);
        let reserved = u32::try_from(ends).unwrap_or(u32::MAX).saturating_add(reserved_by_others);
        Reservation { budget: CleanupBudget { reserved_at: time(wall), reserved }, others }
    }

    /// The reservation has been recorded.
    pub fn reserved(&mut self, reservation: Reservation) {
        self.reservation = Some(reservation);
    }

    /// Of a recorded budget, what other processes reserved a moment ago.
    fn others<'b>(
        &'b self,
        budget: Option<&'b CleanupBudget>,
        steady: Duration,
        wall: Timestamp,
    ) -> Option<&'b CleanupBudget> {
        let others = match &self.reservation {
            Some(own) if Some(&own.budget) == budget => own.others.as_ref()?,
            _ => budget?,
        };
        counts(others, steady, wall).then_some(others)
    }

    /// Whether a list has been judged. Before, no session is due, so that a report would say too little.
    pub fn has_judged(&self) -> bool {
        self.judged.is_some()
    }

    pub(super) fn judged(&mut self, list: Instant, looks: impl Iterator<Item = (String, Look)>) {
        self.judged = Some(list);
        // The looks of the run before go first: with thousands of matched sessions, both together would take megabytes.
        self.looks.clear();
        self.looks.extend(looks);
    }
}

/// Whether ends that were reserved still count for other processes. A moment that is far ahead isn't true, and counts as past.
pub fn counts(budget: &CleanupBudget, steady: Duration, wall: Timestamp) -> bool {
    wall.duration_since(budget.reserved_at.0).unsigned_abs() < steady
}

/// Whether a list that began at `later` counts as the next one after a list that began at `earlier`. Two lists that follow each other
/// closely may lack the same change, so that they count as one.
pub(super) fn counts_after(later: Instant, earlier: Instant, steady: Duration) -> bool {
    later >= earlier + steady / 2
}
