//! What is wanted of all sessions of a work group together, at a moment. PURE.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::store::{Entry, Lookup, Store};
use super::types::Interest;
use crate::athena::types::SessionState;
use crate::timing::Timing;

/// Sessions that are due this soon are looked for together with those that are due now.
pub(super) fn soon(timing: &Timing) -> Duration {
    timing.changing / 4
}

/// How long first sightings are gathered before it is decided which calls they take.
pub(super) fn gathering(timing: &Timing) -> Duration {
    timing.changing / 20
}

/// A change that is expected. Each has lists of its own that would show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpectedChange {
    Start,
    /// The session has ended or is about to.
    End,
}

pub(super) fn expected_change(entry: &Entry) -> Option<ExpectedChange> {
    let (watched, sighting) = entry.tracked()?;
    let is_starting = matches!(sighting.status.state, SessionState::Creating | SessionState::Created);
    match watched.interest {
        _ if watched.lookup() == Some(Lookup::Missing) => Some(ExpectedChange::End),
        Interest::Changing if is_starting => Some(ExpectedChange::Start),
        Interest::Changing | Interest::Ending => Some(ExpectedChange::End),
        Interest::FirstSight | Interest::Steady => None,
    }
}

/// The sessions that a targeted scan is for.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// How many are due now or soon.
    pub(super) count: usize,
    pub(super) first_due: Option<Instant>,
    oldest_start: Option<Timestamp>,
    /// Athena hasn't told of all of them when they were started.
    has_unknown_start: bool,
}

impl Targets {
    pub(super) fn add(&mut self, started_at: Option<Timestamp>) {
        self.count += 1;
        self.has_unknown_start |= started_at.is_none();
        self.oldest_start = earlier(self.oldest_start, started_at);
    }

    /// How far back the lists have to be read. None: to their end.
    pub(super) fn oldest_start(&self) -> Option<Timestamp> {
        if self.has_unknown_start { None } else { self.oldest_start }
    }
}

#[derive(Debug, Default)]
pub(super) struct Demand {
    /// How many sessions haven't been seen, and were wanted only after the full scan under way had begun.
    pub(super) unseen: usize,
    /// Since when the first of these has been wanted.
    pub(super) first_unseen: Option<Instant>,
    /// How many sessions a full scan would be for.
    pub(super) steady: usize,
    pub(super) targets: [Targets; 2],
}

impl Demand {
    /// `full_scan`: when the full scan under way began.
    pub(super) fn of(store: &Store, full_scan: Option<Instant>, now: Instant) -> Self {
        let mut demand = Self::default();
        for entry in store.entries.values() {
            demand.add(entry, full_scan, &store.timing, now);
        }
        demand
    }

    fn add(&mut self, entry: &Entry, full_scan: Option<Instant>, timing: &Timing, now: Instant) {
        if let Some(since) = entry.unseen_since()
            && full_scan.is_none_or(|began| began < since)
        {
            self.unseen += 1;
            self.first_unseen = earlier(self.first_unseen, Some(since));
        }
        let Some((watched, sighting)) = entry.tracked() else { return };
        if !watched.interest.expects_change() || sighting.at + timing.steady <= now {
            self.steady += 1;
        }
        if entry.needs_own_call() || watched.is_in_targeted_scan() {
            return;
        }
        let Some(change) = expected_change(entry) else { return };
        let targets = &mut self.targets[change as usize];
        targets.first_due = earlier(targets.first_due, Some(watched.due));
        if watched.due <= now + soon(timing) {
            targets.add(sighting.status.started_at);
        }
    }
}

pub(super) fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}
