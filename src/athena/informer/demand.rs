//! What is wanted of all sessions together, at a moment. PURE.

use std::time::Instant;

use jiff::Timestamp;

use super::cursor::Quarry;
use super::store::{Entry, Pace, Store};
use crate::athena::types::SessionState;
use crate::timing::Timing;

/// Sessions that one list shows, if any does.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// How many are due, or soon will be.
    pub(super) near: usize,
    /// When the first one is due.
    pub(super) first: Option<Instant>,
    oldest: Option<Timestamp>,
    undated: bool,
}

impl Group {
    pub(super) fn add(&mut self, started_at: Option<Timestamp>) {
        self.near += 1;
        self.undated |= started_at.is_none();
        self.oldest = earlier(self.oldest, started_at);
    }

    /// How far back a list has to be read; None: to its end.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.oldest.filter(|_| !self.undated)
    }
}

/// What is wanted, in numbers.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// How many wait to be seen at all, and not for the sweep under way.
    pub(super) wishes: usize,
    /// Since when the first of them does.
    pub(super) first_wish: Option<Instant>,
    /// How many a sweep would have to show.
    pub(super) steady: usize,
    /// What a hunt would be for.
    pub(super) started: Group,
    /// What a hunt would be for.
    pub(super) ended: Group,
}

impl Demand {
    pub(super) fn of(store: &Store, sweep: Option<Instant>, timing: &Timing, now: Instant) -> Self {
        let mut demand = Self::default();
        for entry in store.values() {
            demand.add(entry, sweep, timing, now);
        }
        demand
    }

    fn add(&mut self, entry: &Entry, sweep: Option<Instant>, timing: &Timing, now: Instant) {
        if let Some(wished) = wished(entry).filter(|wished| sweep.is_none_or(|began| began < *wished)) {
            self.wishes += 1;
            self.first_wish = earlier(self.first_wish, Some(wished));
        }
        let Some((watch, sight)) = entry.tended() else { return };
        if !watch.pace.is_fast() || sight.at + timing.steady <= now {
            self.steady += 1;
        }
        if entry.is_single() || watch.hunted {
            return;
        }
        let Some(quarry) = quarry(entry) else { return };
        let group = self.group_mut(quarry);
        group.first = earlier(group.first, Some(watch.due));
        if watch.due <= now + timing.near() {
            group.add(sight.status.started_at);
        }
    }

    pub(super) fn group(&self, quarry: Quarry) -> &Group {
        match quarry {
            Quarry::Started => &self.started,
            Quarry::Ended => &self.ended,
        }
    }

    fn group_mut(&mut self, quarry: Quarry) -> &mut Group {
        match quarry {
            Quarry::Started => &mut self.started,
            Quarry::Ended => &mut self.ended,
        }
    }
}

/// Since when it is waited for that it is seen at all.
pub(super) fn wished(entry: &Entry) -> Option<Instant> {
    entry.watch.as_ref()?.wished
}

/// The lists that would show a change of it soon; None where no change is expected.
pub(super) fn quarry(entry: &Entry) -> Option<Quarry> {
    let (watch, sight) = entry.tended()?;
    let is_starting = matches!(sight.status.state, SessionState::Creating | SessionState::Created);
    match watch.pace {
        _ if watch.sought => Some(Quarry::Ended),
        Pace::Ending => Some(Quarry::Ended),
        Pace::Fast => Some(if is_starting { Quarry::Started } else { Quarry::Ended }),
        Pace::Adopt | Pace::Slow => None,
    }
}

/// The earlier of two, where there are any.
pub(super) fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}
