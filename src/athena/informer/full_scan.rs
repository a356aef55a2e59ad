//! Full scans: the lists of all sessions that haven't ended, each read to its end. PURE.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::cursor::{ListCursor, MOST_PAGES};
use super::store::{Entry, Store, Watched};
use crate::athena::types::{SessionPage, SessionState, Source};

/// The list without a filter shows all that haven't ended, but for those in two states.
const LISTS: &[Option<SessionState>] = &[None, Some(SessionState::Degraded), Some(SessionState::Terminating)];
/// A page that shows so many sessions is cheaper than calls for these sessions.
const WORTHWHILE: usize = 2;

/// The full scan under way, and how it compares with a call for each session that it hasn't shown yet.
#[derive(Debug)]
struct Running {
    cursor: ListCursor,
    /// How many sessions the scan has still to show, at the most. Sessions that other calls have shown meanwhile still count.
    unseen: usize,
    /// How many of its pages showed no more than a call for one session shows.
    poor_pages: usize,
}

#[derive(Debug)]
pub struct FullScan {
    pub began: Instant,
    pub took: Duration,
    pub counts: BTreeMap<String, u32>,
    pub(super) number: u32,
}

#[derive(Debug, Default)]
pub(super) struct FullScans {
    running: Option<Running>,
    /// The number of the scan that began last.
    pub(super) number: u32,
    pub(super) began: Option<Instant>,
    /// How many calls a scan takes, and when that was learned.
    learned_calls: Option<(usize, Instant)>,
    pub(super) last_completed: Option<FullScan>,
}

impl FullScans {
    /// None has begun yet. The next one has a higher number than this.
    pub(super) fn after(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    /// How many calls a scan takes, as far as is known. At first: one page for each list.
    pub(super) fn calls(&self) -> usize {
        self.learned_calls.map_or(LISTS.len(), |(calls, _)| calls)
    }

    pub(super) fn cursor(&self) -> Option<&ListCursor> {
        self.running.as_ref().map(|running| &running.cursor)
    }

    pub(super) fn running_since(&self) -> Option<Instant> {
        self.cursor().map(|cursor| cursor.began)
    }

    /// Whether the last complete scan, or a later one, showed the session, and the session hasn't ended since.
    pub(super) fn counts_in(&self, entry: &Entry) -> bool {
        let is_shown = self.last_completed.as_ref().is_some_and(|completed| entry.shown_by >= completed.number);
        is_shown && !entry.is_ended()
    }

    /// The last complete scan, unless two later ones have begun: then it isn't known any more which sessions that scan showed.
    pub(super) fn last(&self) -> Option<&FullScan> {
        self.last_completed.as_ref().filter(|completed| self.number <= completed.number + 1)
    }

    /// How long the last complete scan took.
    pub(super) fn took(&self) -> Duration {
        self.last_completed.as_ref().map_or(Duration::ZERO, |scan| scan.took)
    }

    pub(super) fn begin(&mut self, store: &Store, now: Instant) {
        self.number += 1;
        self.began = Some(now);
        self.running = Some(Running {
            cursor: ListCursor::new(LISTS, false, now),
            unseen: unseen(store, self.number, now),
            poor_pages: 0,
        });
    }

    /// Takes in a page of the scan under way. `counts_all`: the scan isn't for the watched sessions alone.
    pub(super) fn read(&mut self, page: SessionPage, store: &mut Store, counts_all: bool, sent: Instant, now: Instant) {
        let Some(mut running) = self.running.take() else { return };
        let (number, began) = (self.number, running.cursor.began);
        let mut shown = 0;
        let keeping = store.keeping();
        for (id, status) in page.sessions {
            let entry = store.entries.entry(id.as_str().into()).or_default();
            shown += usize::from(is_unseen(entry, number, began));
            entry.set_shown_by(number);
            if entry.saw(status, sent, Source::List, keeping) {
                store.news.push(id);
            }
        }
        running.unseen = running.unseen.saturating_sub(shown);
        running.poor_pages += usize::from(shown < WORTHWHILE);
        if !running.cursor.advance(page.next_token, false) {
            self.complete(&running.cursor, store, now);
        } else if running.cursor.calls >= MOST_PAGES || !counts_all && running.is_in_vain(store, number) {
            self.give_up(&running.cursor, store, now);
        } else {
            self.running = Some(running);
        }
    }

    /// The next scan begins anew, if a token is needed to go on with the scan under way.
    pub(super) fn drop_token(&mut self) {
        self.running.take_if(|running| running.cursor.token.is_some());
    }

    fn complete(&mut self, cursor: &ListCursor, store: &mut Store, now: Instant) {
        let (number, began) = (self.number, cursor.began);
        self.learned_calls = Some((cursor.calls, now));
        store.entries.retain(|_, entry| entry.watched.is_some() || entry.is_shown_since(number, began));
        for_missing(store, number, began, |watched| watched.was_missing(now));
        store.leave_unseen_to_watchers(|since| since <= began);
        let mut counts = BTreeMap::<_, u32>::new();
        let counted = store.entries.values().filter(|entry| entry.shown_by == number && !entry.is_ended());
        for sighting in counted.filter_map(|entry| entry.sighting.as_ref()) {
            *counts.entry(sighting.status.state.counted_as().to_owned()).or_default() += 1;
        }
        let took = now.saturating_duration_since(began);
        self.last_completed = Some(FullScan { began, took, counts, number });
    }

    /// To go on costs more than a call for each session that is left.
    fn give_up(&mut self, cursor: &ListCursor, store: &mut Store, now: Instant) {
        let (number, began) = (self.number, cursor.began);
        let is_any_left = unseen(store, number, began) > 0;
        self.learned_calls = Some((cursor.calls + usize::from(is_any_left), now));
        for_missing(store, number, began, |watched| watched.needs_own_call(now));
        store.leave_unseen_to_watchers(|since| since <= began);
    }

    /// Halves what a scan is believed to cost where that was learned long ago: only another scan tells.
    pub(super) fn doubt_calls(&mut self, steady: Duration, now: Instant) {
        if let Some((calls, learned_at)) = self.learned_calls
            && learned_at + steady * 10 <= now
        {
            self.learned_calls = Some(((calls / 2).max(1), now));
        }
    }
}

impl Running {
    /// Whether to go on most probably costs more than a call for each session that the scan has still to show. While pages
    /// show many of these sessions it never does.
    fn is_in_vain(&mut self, store: &Store, number: u32) -> bool {
        // Counting goes through all sessions, so that isn't done after each page.
        if self.poor_pages >= self.unseen {
            self.unseen = unseen(store, number, self.cursor.began);
        }
        self.poor_pages >= self.unseen
    }
}

/// How many sessions the scan of this number, which began then, has still to show.
fn unseen(store: &Store, number: u32, began: Instant) -> usize {
    store.entries.values().filter(|entry| is_unseen(entry, number, began)).count()
}

/// Whether the scan is for this session, and has still to show it.
fn is_unseen(entry: &Entry, number: u32, began: Instant) -> bool {
    let is_for = entry.tracked().is_some() || entry.unseen_since().is_some();
    is_for && !entry.is_shown_since(number, began)
}

/// The sessions that the scan should have shown. A list that lags behind may lack a session that was seen just before.
fn for_missing(store: &mut Store, number: u32, began: Instant, act: impl Fn(&mut Watched)) {
    let timing = store.timing;
    for entry in store.entries.values_mut() {
        let Some((watched, sighting)) = entry.tracked() else { continue };
        let lag = if watched.interest.expects_change() { timing.steady } else { timing.steady / 2 };
        let is_missing = !entry.is_shown_since(number, began) && sighting.at + lag <= began;
        if let Some(watched) = &mut entry.watched
            && is_missing
        {
            act(watched);
        }
    }
}
