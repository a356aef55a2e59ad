//! Sweeps: what hasn't ended, read in lists from end to end. PURE.

use std::time::Instant;

use super::demand::wished;
use super::listing::{MOST_PAGES, Walk};
use super::plan::Plan;
use super::store::{Entry, Watch};
use super::words::Counts;

/// Before the first sweep: one page for each list.
pub(super) const SWEEP_AT_FIRST: usize = 3;

/// The last complete sweep.
#[derive(Debug)]
pub(super) struct Swept {
    pub(super) began: Instant,
    pub(super) number: u32,
    pub(super) counts: Counts,
}

impl Plan {
    pub(super) fn turn_sweep(&mut self, token: Option<String>, now: Instant) {
        let Some(mut walk) = self.sweep.take() else { return };
        let goes_on = walk.turn(token, false);
        if !goes_on {
            self.end_sweep(&walk, now);
            return;
        }
        // Counting the unseen goes through all sessions, so it isn't done after each page.
        let unseen = if self.counting && walk.calls < MOST_PAGES { None } else { Some(self.unseen(walk.began)) };
        match unseen.filter(|unseen| walk.calls >= MOST_PAGES || walk.calls >= *unseen) {
            Some(unseen) => self.give_up_sweep(&walk, unseen, now),
            None => self.sweep = Some(walk),
        }
    }

    /// How many of those that a sweep is for it hasn't shown.
    pub(super) fn unseen(&self, began: Instant) -> usize {
        let is_for = |entry: &Entry| entry.tended().is_some() || wished(entry).is_some();
        self.store.values().filter(|entry| is_for(entry) && !entry.is_seen_in(self.sweeps, began)).count()
    }

    pub(super) fn end_sweep(&mut self, walk: &Walk, now: Instant) {
        let (number, began) = (self.sweeps, walk.began);
        self.price_sweep(walk.calls, now);
        self.sweep_took = now.saturating_duration_since(began);
        self.store.retain(|_, entry| entry.watch.is_some() || entry.is_seen_in(number, began));
        self.for_missing(began, |watch| {
            watch.sought = true;
            watch.due = now;
        });
        self.refuse_wishes(began);
        let mut counts = Counts::new();
        let counted = self.store.values().filter(|entry| entry.sweep == number && !entry.is_ended());
        for sight in counted.filter_map(|entry| entry.sight.as_ref()) {
            *counts.entry(sight.status.state.as_str().to_owned()).or_default() += 1;
        }
        self.swept = Some(Swept { began, number, counts });
    }

    /// Going on costs more than asking for the rest.
    pub(super) fn give_up_sweep(&mut self, walk: &Walk, unseen: usize, now: Instant) {
        self.price_sweep(walk.calls + usize::from(unseen > 0), now);
        self.for_missing(walk.began, |watch| watch.ask_singly(now));
        self.refuse_wishes(walk.began);
    }

    /// Those that a sweep should have shown. What was seen just before, a list that lags behind may not show yet.
    pub(super) fn for_missing(&mut self, began: Instant, mut miss: impl FnMut(&mut Watch)) {
        let timing = self.timing;
        for entry in self.store.values_mut() {
            let Some((watch, sight)) = entry.tended() else { continue };
            let wait = if watch.pace.is_fast() { timing.steady } else { timing.steady / 2 };
            let is_missing = !entry.is_seen_in(self.sweeps, began) && sight.at + wait <= began;
            if let Some(watch) = entry.watch.as_mut().filter(|_| is_missing) {
                miss(watch);
            }
        }
    }
}
