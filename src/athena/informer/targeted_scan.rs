//! Hunts: the lists that would show an expected change, read from the newest start on as far as needed. PURE.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::cursor::{Depth, MOST_PAGES, Quarry, Walk};
use super::demand::{Group, quarry};
use super::plan::Plan;
use super::store::Pace;
use crate::athena::types::SessionState;

#[derive(Debug)]
pub(super) struct Hunt {
    pub(super) quarry: Quarry,
    pub(super) walk: Walk,
    /// Whether it looks for a session whose end was asked for.
    pub(super) urgent: bool,
    /// How many ends it has shown.
    pub(super) found: usize,
}

/// How deep the lists are that hunts read.
#[derive(Debug, Default)]
pub(super) struct Depths {
    active: Depth,
    terminated: Depth,
    failed: Depth,
}

impl Depths {
    pub(super) fn of(&mut self, filter: Option<&SessionState>) -> Option<&mut Depth> {
        match filter {
            None => Some(&mut self.active),
            Some(SessionState::Terminated) => Some(&mut self.terminated),
            Some(SessionState::Failed) => Some(&mut self.failed),
            Some(_) => None,
        }
    }

    pub(super) fn calls_to(&self, quarry: Quarry, oldest: Option<Timestamp>) -> usize {
        match quarry {
            Quarry::Started => self.active.calls_to(oldest),
            Quarry::Ended => self.terminated.calls_to(oldest) + self.failed.calls_to(oldest),
        }
    }
}

impl Plan {
    pub(super) fn begin_hunt(&mut self, kind: Quarry, now: Instant) {
        match kind {
            Quarry::Started => self.next_started = Some(now + self.timing.near()),
            Quarry::Ended => self.next_ended = Some(now + self.retry()),
        }
        let mut urgent = false;
        for entry in self.store.values_mut() {
            let is_meant = quarry(entry) == Some(kind) && !entry.is_single();
            if let Some(watch) = &mut entry.watch {
                watch.hunted = is_meant && watch.due <= now + self.timing.near();
                urgent |= watch.hunted && watch.pace == Pace::Ending;
            }
        }
        self.hunt = Some(Hunt { quarry: kind, walk: Walk::new(kind.filters(), now), urgent, found: 0 });
    }

    /// While ends come in, the rest is looked for soon again.
    pub(super) fn retry(&self) -> Duration {
        (self.timing.near() * (1 << self.vain_hunts.min(2))).min(self.timing.changing)
    }

    pub(super) fn turn_hunt(
        &mut self,
        token: Option<String>,
        oldest_read: Option<Timestamp>,
        ends: usize,
        now: Instant,
    ) {
        let Some(mut hunt) = self.hunt.take() else { return };
        hunt.found += ends;
        let (remaining, oldest) = self.at_large();
        let far_enough = matches!((oldest_read, oldest), (Some(read), Some(wanted)) if read < wanted);
        let goes_on = hunt.walk.turn(token, far_enough) && remaining > 0;
        let too_dear = hunt.walk.calls >= remaining && !self.is_status_in_trouble(now);
        if !goes_on || too_dear || hunt.walk.calls >= MOST_PAGES {
            self.end_hunt(&hunt, goes_on, now);
        } else {
            self.hunt = Some(hunt);
        }
    }

    /// How many the hunt hasn't found, and how far back it has to go for them.
    pub(super) fn at_large(&self) -> (usize, Option<Timestamp>) {
        let mut group = Group::default();
        for entry in self.store.values().filter(|entry| entry.watch.as_ref().is_some_and(|watch| watch.hunted)) {
            group.add(entry.sight.as_ref().and_then(|sight| sight.status.started_at));
        }
        (group.near, group.oldest())
    }

    /// What it hasn't found takes calls of its own where it was given up, where a list should have shown it, and
    /// where it wasn't seen for long. The rest is looked for again.
    pub(super) fn end_hunt(&mut self, hunt: &Hunt, given_up: bool, now: Instant) {
        let (timing, began) = (self.timing, hunt.walk.began);
        let retry = self.retry_after(hunt);
        for entry in self.store.values_mut() {
            let Some(sight) = &entry.sight else { continue };
            let is_old = sight.at + timing.patience() <= now;
            let Some(watch) = entry.watch.as_mut().filter(|watch| watch.hunted) else { continue };
            watch.hunted = false;
            let was_due = watch.due <= began;
            if watch.sought || is_old || (given_up && was_due) {
                watch.ask_singly(now);
            } else if hunt.quarry == Quarry::Started {
                watch.sought = true;
                watch.due = now;
            } else if was_due {
                watch.due = began + retry;
            }
        }
    }

    pub(super) fn retry_after(&mut self, hunt: &Hunt) -> Duration {
        if hunt.quarry == Quarry::Started {
            return self.timing.near();
        }
        let in_vain = hunt.found < hunt.walk.calls;
        if !in_vain {
            self.vain_hunts = 0;
        }
        let retry = self.retry();
        self.vain_hunts = if in_vain { (self.vain_hunts + 1).min(2) } else { 0 };
        self.next_ended = Some(hunt.walk.began + retry);
        retry
    }
}
