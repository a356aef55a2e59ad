//! The parts of a plan, and what Athena's answers mean for them. PURE.

use std::time::Instant;

use super::backoff::Calls;
use super::cursor::ListCursor;
use super::demand::{Demand, gathering};
use super::full_scan::FullScans;
use super::proof_of_absence::CompleteLists;
use super::store::{Entry, Store};
use super::targeted_scan::TargetedScans;
use super::types::{CallFailure, Interest, Task};
use crate::athena::types::{ErrorClass, SessionPage, SessionStatus, Source};
use crate::timing::Timing;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    SessionStatus(String),
    TargetedScan,
    FullScan,
    CompleteList,
}

/// Which kinds of calls had the last turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    pub(super) session_status_at: Option<Instant>,
    /// Of GetSessionStatus and the targeted scan, GetSessionStatus had the last turn.
    pub(super) was_session_status: bool,
    /// How many such calls in a row went before a page of a full scan or of a complete list.
    pub(super) ahead: u32,
    /// Of these two, the complete list had the last turn.
    pub(super) was_complete_list: bool,
}

impl Turns {
    pub(super) fn taken(&mut self, call: &Call, now: Instant) {
        match call {
            Call::FullScan | Call::CompleteList => {
                self.ahead = 0;
                self.was_complete_list = *call == Call::CompleteList;
            }
            Call::SessionStatus(_) | Call::TargetedScan => {
                self.ahead = self.ahead.saturating_add(1);
                self.was_session_status = *call != Call::TargetedScan;
            }
        }
        if matches!(call, Call::SessionStatus(_)) {
            self.session_status_at = Some(now);
        }
    }
}

/// The parts of a plan. Each has a state of its own.
#[derive(Debug)]
pub(super) struct Parts {
    /// Whether all sessions of the work group are to be known, or only those that are watched.
    pub(super) counts_all: bool,
    pub(super) store: Store,
    pub(super) full_scans: FullScans,
    pub(super) targeted_scans: TargetedScans,
    pub(super) complete_lists: CompleteLists,
    pub(super) list_calls: Calls,
    pub(super) status_calls: Calls,
    pub(super) turns: Turns,
}

impl Parts {
    pub(super) fn new(timing: Timing) -> Self {
        Self {
            counts_all: false,
            store: Store::new(timing),
            full_scans: FullScans::default(),
            targeted_scans: TargetedScans::default(),
            complete_lists: CompleteLists::default(),
            list_calls: Calls::default(),
            status_calls: Calls::default(),
            turns: Turns::default(),
        }
    }

    pub(super) fn is_anything_wanted(&self) -> bool {
        self.counts_all || self.complete_lists.is_wanted() || self.store.watched().next().is_some()
    }

    /// Forgets the sessions that nobody watches and no full scan shows any more, and what was learned long ago.
    pub(super) fn forget_old(&mut self, now: Instant) {
        let steady = self.store.timing.steady;
        // Before a long scan shows a session again, twice as much time passes as the scan takes.
        let life = steady * 2 + self.full_scans.took() * 2;
        let is_young = |entry: &Entry| entry.sighting.as_ref().is_some_and(|sighting| now < sighting.at + life);
        self.store.entries.retain(|_, entry| entry.watched.is_some() || is_young(entry));
        self.complete_lists.forget_unfinished(&self.store.timing, now);
        self.full_scans.doubt_calls(steady, now);
    }

    /// The watchers of sessions that haven't been seen call Athena themselves if these sessions are too few for a full scan,
    /// or if ListSessions fails.
    pub(super) fn leave_unseen_to_watchers(&mut self, demand: &Demand, now: Instant) {
        let is_gathered = demand.first_unseen.is_some_and(|first| first + gathering(&self.store.timing) <= now);
        if self.list_calls.are_waiting(now) {
            self.store.leave_unseen_to_watchers(|_| true);
        } else if is_gathered && demand.unseen <= self.full_scans.calls() {
            let covered = self.full_scans.running_since();
            self.store.leave_unseen_to_watchers(|since| covered.is_none_or(|covered| since > covered));
        }
    }

    pub(super) fn take_news(&mut self, now: Instant) -> Option<Task> {
        if let Some(backoff) = &self.list_calls.backoff
            && backoff.retry_at > now
        {
            self.complete_lists.fail(backoff);
        }
        if !self.store.news.is_empty() {
            return Some(Task::NotifyWatchers(std::mem::take(&mut self.store.news)));
        }
        let askers = self.complete_lists.take_news();
        (!askers.is_empty()).then_some(Task::NotifyAskers(askers))
    }

    pub(super) fn task(&self, call: &Call) -> Option<Task> {
        let Call::SessionStatus(id) = call else { return self.cursor(call).map(ListCursor::task) };
        let watched = self.store.entries.get(id.as_str()).and_then(|entry| entry.watched.as_ref());
        let urgent = watched.is_some_and(|watched| watched.interest == Interest::Ending);
        Some(Task::GetSessionStatus { id: id.clone(), urgent })
    }

    fn cursor(&self, call: &Call) -> Option<&ListCursor> {
        match call {
            Call::SessionStatus(_) => None,
            Call::TargetedScan => self.targeted_scans.cursor(),
            Call::FullScan => self.full_scans.cursor(),
            Call::CompleteList => self.complete_lists.cursor(),
        }
    }

    pub(super) fn status_answered(
        &mut self,
        id: &str,
        answer: Result<SessionStatus, CallFailure>,
        sent: Instant,
        now: Instant,
    ) {
        let timing = self.store.timing;
        match answer {
            Ok(status) => {
                self.status_calls.backoff = None;
                self.store.saw(id, status, sent, Source::Call);
                if let Some(watched) = self.store.watched_mut(id) {
                    watched.was_called(sent + watched.interest.interval(&timing));
                }
            }
            Err(CallFailure { class: ErrorClass::NotFoundOrInvalid, .. }) => {
                self.status_calls.backoff = None;
                self.store.leave_to_watcher(id);
            }
            Err(CallFailure { class: ErrorClass::Invalid, .. }) => {
                if let Some(watched) = self.store.watched_mut(id) {
                    watched.was_called(now + timing.steady);
                }
            }
            Err(failure) => {
                self.status_calls.failed(failure, now, &timing);
                // Other sessions go first.
                if let Some(watched) = self.store.watched_mut(id) {
                    watched.due = now;
                }
            }
        }
    }

    pub(super) fn page_read(&mut self, call: &Call, page: SessionPage, sent: Instant, now: Instant) {
        self.list_calls.backoff = None;
        if let Some(cursor) = self.cursor(call) {
            let (filter, number) = (cursor.filter().cloned(), cursor.page);
            self.targeted_scans.learn_depth(filter, number, &page);
        }
        match call {
            Call::FullScan => self.full_scans.read(page, &mut self.store, self.counts_all, sent, now),
            Call::CompleteList => {
                self.complete_lists.read(&page, sent, now);
                self.store.saw_known(page, sent);
            }
            Call::TargetedScan | Call::SessionStatus(_) => {
                let only_lists = self.status_calls.are_waiting(now);
                self.targeted_scans.read(page, &mut self.store, only_lists, sent, now);
            }
        }
    }

    pub(super) fn page_failed(&mut self, call: &Call, failure: CallFailure, now: Instant) {
        self.list_calls.failed(failure, now, &self.store.timing);
        self.targeted_scans.failed(&mut self.store);
        // The token of a page that was refused may be too old: the next list begins anew. Otherwise the list goes on.
        let is_refused = matches!(failure.class, ErrorClass::NotFoundOrInvalid | ErrorClass::Invalid);
        match call {
            Call::FullScan if is_refused => self.full_scans.drop_token(),
            Call::CompleteList if is_refused => self.complete_lists.drop_running(),
            _ => {}
        }
    }
}
