//! Which call to Athena is next, for the sessions of one work group in one account and Region. PURE: no client, no
//! clock, no error, nothing async.
//!
//! The poller asks [`Plan::next`], does what it says, and hands in the answer. Calls are what is scarce, so everything is
//! asked for in the way that takes fewer of them:
//!
//! ```text
//!   a change is expected ── few ──► GetSessionStatus each, `changing` after the last look
//!                        └─ many ─► a targeted scan: the lists that would show it, newest first, as far as needed
//!   none is expected ────── few ──► GetSessionStatus each, every `steady`
//!                        └─ many ─► a full scan: all lists of sessions that haven't ended, every `steady`
//!   missing from a full scan ─────► as if a change were expected: the session has ended, or the list is wrong
//!   never seen ──────────── few ──► the watcher calls Athena
//!                        └─ many ─► a full scan, at once
//!   absence is to be proven ──────► one complete list in every state, for all objects that have asked
//! ```
//!
//! A targeted or full scan is given up in favour of GetSessionStatus as soon as it has taken as many calls as
//! GetSessionStatus would take, so that nothing costs more than twice the cheaper way. Pages of a full scan that show several
//! sessions at once don't count for that: they are the cheaper way. That a scan doesn't show a session proves nothing, and is
//! never told.

use std::time::Instant;

use super::backoff::Backoff;
use super::demand::{Demand, soon};
use super::full_scan::{FullScan, FullScans};
use super::parts::{Call, Parts};
use super::proof_of_absence::{ListAnswer, ListRequest};
use super::schedule::Schedule;
use super::store::Sighting;
use super::types::{Asker, CallFailure, Interest, Task};
use crate::athena::types::{ListedSession, Polled, SessionPage, SessionStatus, Source};
use crate::timing::Timing;

/// The sessions of a work group, and what to ask about them.
#[derive(Debug)]
pub struct Plan {
    parts: Parts,
    in_flight: Option<Call>,
    /// When all sessions were last gone through, if the next page of the full scan was the only call to make. See
    /// [`Plan::is_full_scan_alone`].
    full_scan_alone_since: Option<Instant>,
    forgot_at: Option<Instant>,
}

impl Plan {
    pub fn new(timing: Timing) -> Self {
        Self { parts: Parts::new(timing), in_flight: None, full_scan_alone_since: None, forgot_at: None }
    }

    /// Somebody wants to hear of changes of this session. To say so again changes nothing. True where [`Plan::next`] may
    /// now say something else than before.
    pub fn watch(&mut self, id: &str, interest: Interest, now: Instant) -> bool {
        let is_change = self.parts.store.watch(id, interest, now);
        self.wanted(is_change)
    }

    pub fn unwatch(&mut self, id: &str) {
        self.parts.store.unwatch(id);
    }

    pub fn watched(&self) -> impl Iterator<Item = &str> {
        self.parts.store.watched().map(|(id, _)| id)
    }

    /// Whether all sessions of the work group are to be known, or only those that are watched.
    pub fn count_all(&mut self, counts_all: bool) {
        self.parts.counts_all = counts_all;
    }

    /// Whether the descriptions of the sessions are wanted.
    pub fn keep_descriptions(&mut self, keeps: bool, now: Instant) {
        self.parts.store.keep_descriptions(keeps, now);
    }

    /// An object asks for a complete list. To say so again changes nothing. True where [`Plan::next`] may now say something
    /// else than before.
    pub fn ask_for_list(&mut self, asker: &Asker, wanted: &ListRequest, now: Instant) -> bool {
        let is_change = self.parts.complete_lists.ask(asker, wanted, now);
        self.wanted(is_change)
    }

    fn wanted(&mut self, is_change: bool) -> bool {
        if is_change {
            self.full_scan_alone_since = None;
        }
        is_change
    }

    pub fn forget_asker(&mut self, asker: &Asker) {
        self.parts.complete_lists.forget(asker);
    }

    /// What complete lists have shown of what the object asked for. An answer is handed out once.
    pub fn list_answer(&mut self, asker: &Asker, wanted: &ListRequest) -> Option<ListAnswer> {
        self.parts.complete_lists.take_answer(asker, wanted)
    }

    /// What is known of a session. A watcher that gets [`Polled::NotYet`] is notified when that changes. A watcher that
    /// gets [`Polled::AskYourself`] calls Athena itself, and hands the answer to [`Plan::observe`].
    pub fn sighting(&self, id: &str) -> Polled<'_> {
        self.parts.store.sighting(id)
    }

    /// A call that the watcher of this session sent at `at` showed the session. The watcher isn't notified of that.
    pub fn observe(&mut self, id: &str, status: SessionStatus, at: Instant, source: Source) {
        self.parts.store.watcher_saw(id, status, at, source);
    }

    /// What to do next. A call that it names is to be answered before the plan is asked again.
    pub fn next(&mut self, now: Instant) -> Task {
        if self.is_full_scan_alone(now) {
            return self.call(Call::FullScan, now);
        }
        if *self.forgot_at.get_or_insert(now) + self.parts.store.timing.steady <= now {
            self.forgot_at = Some(now);
            self.parts.forget_old(now);
        }
        let demand = Demand::of(&self.parts.store, self.parts.full_scans.running_since(), now);
        self.parts.leave_unseen_to_watchers(&demand, now);
        if let Some(news) = self.parts.take_news(now) {
            return news;
        }
        self.begin_lists(&demand, now);
        let schedule = Schedule { parts: &self.parts, demand: &demand, now };
        let Some(call) = schedule.next_call() else {
            let due = schedule.next_due();
            self.full_scan_alone_since = None;
            return Task::Wait(due);
        };
        let is_alone = call == Call::FullScan && schedule.is_full_scan_alone();
        self.full_scan_alone_since = is_alone.then_some(now);
        self.call(call, now)
    }

    /// Whether the next page of the full scan is asked for at once, without going through all sessions to find a more urgent
    /// call. There are a hundred sessions to a page, so going through them before each page costs most of the CPU. A more
    /// urgent call waits a tenth of `changing` at the most.
    fn is_full_scan_alone(&self, now: Instant) -> bool {
        let is_alone =
            self.full_scan_alone_since.is_some_and(|since| now < since + self.parts.store.timing.changing / 10);
        let is_running = self.parts.full_scans.cursor().is_some();
        is_alone && is_running && self.parts.store.news.is_empty() && !self.parts.list_calls.are_waiting(now)
    }

    fn begin_lists(&mut self, demand: &Demand, now: Instant) {
        let schedule = Schedule { parts: &self.parts, demand, now };
        let (is_full_scan_due, targeted_scan) = (schedule.is_full_scan_due(), schedule.due_targeted_scan());
        let is_complete_list_due = schedule.is_complete_list_due();
        if is_full_scan_due {
            self.parts.full_scans.begin(&self.parts.store, now);
        }
        if let Some(change) = targeted_scan {
            self.parts.targeted_scans.begin(change, &mut self.parts.store, now);
        }
        if is_complete_list_due {
            self.parts.complete_lists.begin(now);
        }
    }

    fn call(&mut self, call: Call, now: Instant) -> Task {
        self.parts.turns.taken(&call, now);
        let task = self.parts.task(&call);
        self.in_flight = Some(call);
        task.unwrap_or(Task::Wait(Some(now + soon(&self.parts.store.timing))))
    }

    pub fn status_answered(
        &mut self,
        id: &str,
        answer: Result<SessionStatus, CallFailure>,
        sent: Instant,
        now: Instant,
    ) {
        // An answer to a call from before a reset may come from another account.
        if self.in_flight.take_if(|call| *call == Call::SessionStatus(id.to_owned())).is_some() {
            self.parts.status_answered(id, answer, sent, now);
        }
    }

    pub fn page_answered(&mut self, answer: Result<SessionPage, CallFailure>, sent: Instant, now: Instant) {
        let Some(call) = self.in_flight.take_if(|call| !matches!(call, Call::SessionStatus(_))) else { return };
        match answer {
            Ok(page) => self.parts.page_read(&call, page, sent, now),
            Err(failure) => self.parts.page_failed(&call, failure, now),
        }
    }

    /// An outage ended at this moment: calls that failed in the outage may be made again at once.
    pub fn recovered(&mut self, at: Instant) {
        self.parts.list_calls.outage_ended(at);
        self.parts.status_calls.outage_ended(at);
    }

    pub fn full_scan(&self) -> Option<&FullScan> {
        self.parts.full_scans.last_completed.as_ref()
    }

    /// The sessions of the last complete full scan and those that were found since, unless they have ended.
    pub fn counted(&self) -> impl Iterator<Item = (&str, &Sighting)> {
        let counted = self.parts.store.entries.iter().filter(|(_, entry)| self.parts.full_scans.counts_in(entry));
        counted.filter_map(|(id, entry)| Some((&**id, entry.sighting.as_ref()?)))
    }

    /// When the last complete full scan began, and each session that it showed, with its description. None where the descriptions
    /// weren't wanted all the while. The next scan may be under way: where a scan takes longer than the interval, one always is.
    pub fn last_list(&self) -> Option<(Instant, impl Iterator<Item = ListedSession<'_>>)> {
        let store = &self.parts.store;
        let scan = self.parts.full_scans.last()?;
        if store.keeping().descriptions_since.is_none_or(|since| scan.began < since) {
            return None;
        }
        let shown = store.entries.iter().filter(move |(_, entry)| entry.was_shown_by(scan.number));
        let sessions = shown.filter_map(|(id, entry)| {
            let status = &entry.sighting.as_ref()?.status;
            Some(ListedSession { id, status, description: entry.description.as_deref() })
        });
        Some((scan.began, sessions))
    }

    pub fn list_backoff(&self) -> Option<&Backoff> {
        self.parts.list_calls.backoff.as_ref()
    }

    pub fn is_wanted(&self) -> bool {
        self.parts.is_anything_wanted()
    }

    /// Another AWS account answers by now: nothing is known. The same sessions are watched as before, and the same objects
    /// wait for lists.
    pub fn reset(&mut self, now: Instant) {
        let mut fresh = Self::new(self.parts.store.timing);
        fresh.parts.counts_all = self.parts.counts_all;
        fresh.keep_descriptions(self.parts.store.keeping().descriptions_since.is_some(), now);
        fresh.parts.full_scans = FullScans::after(self.parts.full_scans.number);
        fresh.parts.complete_lists = std::mem::take(&mut self.parts.complete_lists);
        fresh.parts.complete_lists.reset();
        for (id, watched) in self.parts.store.watched() {
            fresh.watch(id, watched.interest, now);
        }
        *self = fresh;
    }
}
