//! Sweeps: what hasn't ended, read in lists from end to end. PURE.

use std::time::Instant;

use super::cursor::{MOST_PAGES, SWEEP, Walk};
use super::demand::wished;
use super::plan::Plan;
use super::store::{Entry, Watch};
use super::types::Counts;

/// Before the first sweep: one page for each list.
pub(super) const SWEEP_AT_FIRST: usize = 3;

/// The last complete sweep.
#[derive(Debug)]
pub(super) struct Swept {
    pub(super) began: Instant,
    pub(super) number: u32,
    pub(super) counts: Counts,
}

/// How the sweep under way compares with a call for each session that it hasn't shown yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Worth {
    /// How many sessions it has still to show, at the most: those that their own calls showed meanwhile still count.
    unseen: usize,
    /// How many of its pages showed no more than a call for one session shows.
    vain: usize,
}

/// A page that shows so many sessions is cheaper than calls for these sessions.
const WORTHWHILE: usize = 2;

impl Plan {
    pub(super) fn begin_sweep(&mut self, now: Instant) {
        self.sweeps += 1;
        self.sweep_began = Some(now);
        self.sweep = Some(Walk::new(SWEEP, now));
        self.worth = Worth { unseen: self.unseen(now), vain: 0 };
    }

    /// Goes on after a page that showed so many sessions which the sweep still had to show.
    pub(super) fn turn_sweep(&mut self, token: Option<String>, shown: usize, now: Instant) {
        let Some(mut walk) = self.sweep.take() else { return };
        let goes_on = walk.turn(token, false);
        self.worth.unseen = self.worth.unseen.saturating_sub(shown);
        self.worth.vain += usize::from(shown < WORTHWHILE);
        if !goes_on {
            self.end_sweep(&walk, now);
        } else if walk.calls >= MOST_PAGES || !self.counting && self.is_in_vain(walk.began) {
            self.give_up_sweep(&walk, now);
        } else {
            self.sweep = Some(walk);
        }
    }

    /// Whether going on with the sweep that began then most probably costs more than a call for each session that it still
    /// has to show. While pages show many of these sessions it never does.
    fn is_in_vain(&mut self, began: Instant) -> bool {
        // Counting goes through all sessions, so that isn't done after each page.
        if self.worth.vain >= self.worth.unseen {
            self.worth.unseen = self.unseen(began);
        }
        self.worth.vain >= self.worth.unseen
    }

    /// Whether the sweep under way has still to show this session.
    pub(super) fn is_unseen(&self, id: &str) -> bool {
        let began = self.sweep.as_ref().map(|sweep| sweep.began);
        let entry = began.zip(self.store.get(id));
        entry.is_some_and(|(began, entry)| is_for(entry) && !entry.is_seen_in(self.sweeps, began))
    }

    /// How many of those that a sweep is for it hasn't shown.
    pub(super) fn unseen(&self, began: Instant) -> usize {
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
            *counts.entry(sight.status.state.counted_as().to_owned()).or_default() += 1;
        }
        self.swept = Some(Swept { began, number, counts });
    }

    /// Going on costs more than asking for the rest.
    fn give_up_sweep(&mut self, walk: &Walk, now: Instant) {
        let unseen = self.unseen(walk.began);
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

/// Whether a sweep is to show this session.
fn is_for(entry: &Entry) -> bool {
    entry.tended().is_some() || wished(entry).is_some()
}
