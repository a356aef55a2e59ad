//! Targeted scans: the lists that would show an expected change, read from the newest start on, as far as needed. PURE.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::cursor::{ListCursor, MOST_PAGES};
use super::demand::{ExpectedChange, Targets, expected_change, soon};
use super::store::{Lookup, Store, Watched};
use super::types::Interest;
use crate::athena::types::{SessionPage, SessionState};
use crate::timing::Timing;

const LISTS_OF_STARTS: &[Option<SessionState>] = &[None];
const LISTS_OF_ENDS: &[Option<SessionState>] = &[Some(SessionState::Terminated), Some(SessionState::Failed)];
/// So often the wait between two scans for ends is doubled.
const MOST_DOUBLINGS: u32 = 2;

#[derive(Debug)]
struct Running {
    change: ExpectedChange,
    cursor: ListCursor,
    ends: usize,
}

#[derive(Debug, Default)]
pub(super) struct TargetedScans {
    running: Option<Running>,
    /// By the lists' filters.
    depths: HashMap<Option<SessionState>, Depth>,
    /// When the next scan may begin, by [`ExpectedChange`]. None: at once.
    pub(super) next: [Option<Instant>; 2],
    /// How many scans for ends in a row showed fewer ends than they took calls.
    poor_scans: u32,
}

impl TargetedScans {
    pub(super) fn cursor(&self) -> Option<&ListCursor> {
        self.running.as_ref().map(|running| &running.cursor)
    }

    /// The calls that a scan probably takes for sessions that were started since then, or ever.
    pub(super) fn calls_to(&self, change: ExpectedChange, oldest_start: Option<Timestamp>) -> usize {
        let depths = lists(change).iter().map(|filter| self.depths.get(filter));
        depths.map(|depth| depth.map_or(1, |depth| depth.calls_to(oldest_start))).sum()
    }

    /// Learns from a page of any list how deep that list is. Pages count from 0.
    pub(super) fn learn_depth(&mut self, filter: Option<SessionState>, number: usize, page: &SessionPage) {
        self.depths.entry(filter).or_default().read(number, page);
    }

    pub(super) fn begin(&mut self, change: ExpectedChange, store: &mut Store, now: Instant) {
        let timing = store.timing;
        self.next[change as usize] = Some(now + self.wait(change, &timing));
        let mut urgent = false;
        for entry in store.entries.values_mut() {
            let is_target = expected_change(entry) == Some(change) && !entry.needs_own_call();
            if let Some(watched) = &mut entry.watched
                && is_target
                && watched.due <= now + soon(&timing)
            {
                watched.set_in_targeted_scan(true);
                urgent |= watched.interest == Interest::Ending;
            }
        }
        self.running = Some(Running { change, cursor: ListCursor::new(lists(change), urgent, now), ends: 0 });
    }

    /// The wait from the beginning of a scan to that of the next. While ends come in, the rest is looked for soon again.
    fn wait(&self, change: ExpectedChange, timing: &Timing) -> Duration {
        match change {
            ExpectedChange::Start => soon(timing),
            ExpectedChange::End => (soon(timing) * (1 << self.poor_scans)).min(timing.changing),
        }
    }

    /// Takes in a page of the scan under way. `only_lists`: GetSessionStatus fails at present.
    pub(super) fn read(&mut self, page: SessionPage, store: &mut Store, only_lists: bool, sent: Instant, now: Instant) {
        let Some(mut running) = self.running.take() else { return };
        let oldest_read = oldest_start(&page);
        let next_token = page.next_token.clone();
        running.ends += store.saw_known(page, sent);
        let left = targets(store);
        let far_enough = matches!((oldest_read, left.oldest_start()), (Some(read), Some(wanted)) if read < wanted);
        let goes_on = running.cursor.advance(next_token, far_enough) && left.count > 0;
        let calls = running.cursor.calls;
        let is_too_dear = calls >= left.count && !only_lists;
        if !goes_on || is_too_dear || calls >= MOST_PAGES {
            self.end(&running, goes_on, store, now);
        } else {
            self.running = Some(running);
        }
    }

    /// The next scan looks again for a session that this one hasn't shown. But GetSessionStatus is called for the session
    /// where it wasn't seen for long, where a list should have shown it, or where the scan was given up.
    fn end(&mut self, running: &Running, is_given_up: bool, store: &mut Store, now: Instant) {
        let (timing, began) = (store.timing, running.cursor.began);
        let wait = self.wait_after(running, &timing);
        for entry in store.entries.values_mut() {
            let (Some(watched), Some(sighting)) = (&mut entry.watched, &entry.sighting) else { continue };
            if !watched.is_in_targeted_scan() {
                continue;
            }
            watched.set_in_targeted_scan(false);
            // Long enough that a full scan would have shown the session meanwhile.
            let is_old = sighting.at + timing.steady * 3 / 2 <= now;
            let was_due = watched.due <= began;
            if watched.lookup() == Some(Lookup::Missing) || is_old || (is_given_up && was_due) {
                watched.needs_own_call(now);
            } else if running.change == ExpectedChange::Start {
                watched.was_missing(now);
            } else if was_due {
                watched.due = began + wait;
            }
        }
    }

    fn wait_after(&mut self, running: &Running, timing: &Timing) -> Duration {
        if running.change == ExpectedChange::Start {
            return self.wait(ExpectedChange::Start, timing);
        }
        let is_poor = running.ends < running.cursor.calls;
        if !is_poor {
            self.poor_scans = 0;
        }
        let wait = self.wait(ExpectedChange::End, timing);
        self.next[ExpectedChange::End as usize] = Some(running.cursor.began + wait);
        if is_poor {
            self.poor_scans = (self.poor_scans + 1).min(MOST_DOUBLINGS);
        }
        wait
    }

    pub(super) fn failed(&mut self, store: &mut Store) {
        self.running = None;
        let watched = store.entries.values_mut().filter_map(|entry| entry.watched.as_mut());
        watched.for_each(|watched| watched.set_in_targeted_scan(false));
    }
}

fn lists(change: ExpectedChange) -> &'static [Option<SessionState>] {
    match change {
        ExpectedChange::Start => LISTS_OF_STARTS,
        ExpectedChange::End => LISTS_OF_ENDS,
    }
}

fn targets(store: &Store) -> Targets {
    let mut targets = Targets::default();
    for entry in store.entries.values() {
        if entry.watched.as_ref().is_some_and(Watched::is_in_targeted_scan) {
            targets.add(entry.sighting.as_ref().and_then(|sighting| sighting.status.started_at));
        }
    }
    targets
}

fn oldest_start(page: &SessionPage) -> Option<Timestamp> {
    page.sessions.iter().filter_map(|(_, status)| status.started_at).min()
}

/// How deep in a list the sessions of some time are, as far as the list was read. Lists go from the newest start to the oldest.
#[derive(Debug, Default)]
struct Depth {
    pages: Vec<Timestamp>,
    /// Whether the last of these pages is the end of the list.
    is_complete: bool,
}

impl Depth {
    fn read(&mut self, page: usize, listed: &SessionPage) {
        let before = page.checked_sub(1).and_then(|before| self.pages.get(before).copied());
        let oldest = oldest_start(listed).or(before).unwrap_or(Timestamp::MAX);
        if page < self.pages.len() {
            self.pages[page] = oldest;
        } else {
            self.pages.push(oldest);
            self.is_complete = false;
        }
        if listed.next_token.is_none() {
            self.pages.truncate(page + 1);
            self.is_complete = true;
        }
    }

    /// The calls that it probably takes to read all sessions that were started since then, or ever.
    fn calls_to(&self, oldest_start: Option<Timestamp>) -> usize {
        let newer = oldest_start.map_or(self.pages.len(), |oldest| self.pages.partition_point(|end| *end >= oldest));
        if self.is_complete { (newer + 1).min(self.pages.len()) } else { newer + 1 }
    }
}
