//! What answers mean for the plan. PURE.

use std::time::{Duration, Instant};

use super::cursor::oldest_on;
use super::plan::{Asked, Plan};
use super::store::{Watch, entry};
use super::types::{Failure, SessionPage, Trouble};
use crate::athena::types::{ErrorClass, SessionStatus, Source};

impl Plan {
    pub(super) fn saw(&mut self, id: &str, status: SessionStatus, at: Instant, source: Source) -> bool {
        let is_news = entry(&mut self.store, id).saw(status, at, source, &self.timing);
        if is_news {
            self.woken.push(id.to_owned());
        }
        is_news
    }

    /// It was asked for, whatever came of it.
    pub(super) fn put_off(&mut self, id: &str, asked: Instant, wait: Option<Duration>) {
        let Some(watch) = self.store.get_mut(id).and_then(|entry| entry.watch.as_mut()) else { return };
        let due = asked + wait.unwrap_or(self.timing.of(watch.pace));
        watch.sought = false;
        watch.single = false;
        watch.due = watch.due.max(due);
    }

    /// It couldn't be asked for: others go first.
    pub(super) fn come_last(&mut self, id: &str, now: Instant) {
        if let Some(watch) = self.store.get_mut(id).and_then(|entry| entry.watch.as_mut()) {
            watch.due = now;
        }
    }

    pub(super) fn leave_alone(&mut self, id: &str) {
        let watch = self.store.get_mut(id).and_then(|entry| entry.watch.as_mut());
        if watch.is_some_and(Watch::leave_alone) {
            self.woken.push(id.to_owned());
        }
    }

    pub(super) fn trouble_after(
        &self,
        before: Option<Trouble>,
        failure: Failure,
        sent: Instant,
        now: Instant,
    ) -> Trouble {
        let attempts = before.map_or(0, |trouble| trouble.attempts);
        Trouble {
            class: failure.class,
            since: before.map_or(sent, |trouble| trouble.since),
            at: now,
            attempts: attempts.saturating_add(1),
            retry_at: now + self.timing.after(failure.class, attempts, failure.jitter),
        }
    }

    pub(super) fn listing_failed(&mut self, asked: &Asked, failure: Failure, sent: Instant, now: Instant) {
        let refused = matches!(failure.class, ErrorClass::NotFoundOrInvalid | ErrorClass::Invalid);
        self.listing = Some(self.trouble_after(self.listing, failure, sent, now));
        self.drop_hunt();
        // Its token may be too old: the next one starts anew. Otherwise it goes on where it was.
        if *asked == Asked::Sweep && refused {
            self.sweep.take_if(|sweep| sweep.is_in_midst());
        }
        if *asked == Asked::FullList && refused {
            self.drop_full_list();
        }
    }

    pub(super) fn drop_hunt(&mut self) {
        self.hunt = None;
        for watch in self.store.values_mut().filter_map(|entry| entry.watch.as_mut()) {
            watch.hunted = false;
        }
    }

    pub(super) fn read(&mut self, asked: &Asked, mut listed: SessionPage, sent: Instant, now: Instant) {
        let walk = match asked {
            Asked::Sweep => self.sweep.as_ref(),
            Asked::FullList => self.full.walk(),
            _ => self.hunt.as_ref().map(|hunt| &hunt.walk),
        };
        let Some(walk) = walk else { return };
        if let Some(depth) = self.depths.of(walk.filter().as_ref()) {
            depth.read(walk.page(), &listed);
        }
        let oldest = oldest_on(&listed);
        if *asked == Asked::FullList {
            self.read_full_list(&listed, sent, now);
        }
        let (mut ends, mut shown) = (0, 0);
        for (id, status) in std::mem::take(&mut listed.sessions) {
            let is_end = status.state.is_ended();
            if *asked == Asked::Sweep {
                shown += usize::from(self.is_unseen(&id));
            }
            let is_shown = *asked == Asked::Sweep || self.store.contains_key(id.as_str());
            // Of thousands that ended long ago nothing is kept.
            if is_shown {
                ends += usize::from(self.saw(&id, status, sent, Source::List) && is_end);
            }
            if let Some(entry) = self.store.get_mut(id.as_str()).filter(|_| *asked == Asked::Sweep) {
                entry.sweep = self.sweeps;
            }
        }
        match asked {
            Asked::Sweep => self.turn_sweep(listed.next_token, shown, now),
            Asked::FullList => {}
            _ => self.turn_hunt(listed.next_token, oldest, ends, now),
        }
    }
}
