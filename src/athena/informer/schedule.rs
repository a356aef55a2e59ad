//! Which call to Athena is next, or until when there is none. PURE.

use std::time::Instant;

use super::demand::{Demand, ExpectedChange, earlier, expected_change, gathering, soon};
use super::parts::{Call, Parts};
use super::store::Watched;

/// Fewer sessions are never worth a targeted scan, which reads two lists.
const FEW: usize = 2;
/// So many calls that are more urgent go before one page of a full scan or of a complete list.
const MOST_AHEAD: u32 = 3;

pub(super) struct Schedule<'a> {
    pub(super) parts: &'a Parts,
    pub(super) demand: &'a Demand,
    pub(super) now: Instant,
}

impl Schedule<'_> {
    pub(super) fn is_full_scan_due(&self) -> bool {
        self.parts.full_scans.cursor().is_none() && self.next_full_scan().is_some_and(|due| due <= self.now)
    }

    pub(super) fn due_targeted_scan(&self) -> Option<ExpectedChange> {
        if self.parts.targeted_scans.cursor().is_some() {
            return None;
        }
        let changes = [ExpectedChange::End, ExpectedChange::Start].into_iter();
        let next = changes.filter_map(|change| Some((self.next_targeted_scan(change)?, change)));
        let (due, change) = next.min_by_key(|(due, _)| *due)?;
        (due <= self.now).then_some(change)
    }

    pub(super) fn is_complete_list_due(&self) -> bool {
        self.parts.complete_lists.next(&self.parts.store.timing).is_some_and(|due| due <= self.now) && self.may_list()
    }

    /// A targeted scan and GetSessionStatus take turns. Now and then the full scan goes on, or the complete list. These two
    /// take turns as well.
    pub(super) fn next_call(&self) -> Option<Call> {
        let may_list = self.may_list();
        let full_scan = (self.parts.full_scans.cursor().is_some() && may_list).then_some(Call::FullScan);
        let complete_list = (self.parts.complete_lists.is_under_way() && may_list).then_some(Call::CompleteList);
        let long =
            if self.parts.turns.was_complete_list { full_scan.or(complete_list) } else { complete_list.or(full_scan) };
        if long.is_some() && self.parts.turns.ahead >= MOST_AHEAD {
            return long;
        }
        let targeted_scan = (self.parts.targeted_scans.cursor().is_some() && may_list).then_some(Call::TargetedScan);
        let session_status = match self.next_session_status() {
            Some((due, id)) if due <= self.now => Some(Call::SessionStatus(id.to_owned())),
            _ => None,
        };
        let urgent = if self.parts.turns.was_session_status {
            targeted_scan.or(session_status)
        } else {
            session_status.or(targeted_scan)
        };
        urgent.or(long)
    }

    /// Whether nothing competes with the pages of the full scan, if the next one is the next call.
    pub(super) fn is_full_scan_alone(&self) -> bool {
        self.parts.turns.ahead < MOST_AHEAD && !self.parts.complete_lists.is_wanted()
    }

    /// Until when there is nothing to do. Always later than now: otherwise the poller would go round in circles.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let later = |at: &Instant| *at > self.now;
        let timing = &self.parts.store.timing;
        let gathered = self.demand.first_unseen.map(|first| first + gathering(timing)).filter(later);
        let full_scan = if self.parts.full_scans.cursor().is_none() { self.next_full_scan() } else { None };
        let targeted_scans = [ExpectedChange::Start, ExpectedChange::End].map(|change| {
            // How many sessions are due is counted anew when the first one is.
            self.next_targeted_scan(change).or(self.demand.targets[change as usize].first_due.filter(later))
        });
        let session_status = self.next_session_status().map(|(due, _)| due);
        let complete_list = self.parts.complete_lists.next(timing).map(|due| self.parts.list_calls.allowed(due));
        let backoffs = [self.parts.list_calls.backoff, self.parts.status_calls.backoff];
        let retries =
            backoffs.map(|backoff| Some(backoff?.retry_at).filter(|at| later(at) && self.parts.is_anything_wanted()));
        let all = [gathered, full_scan, session_status, complete_list].into_iter().chain(targeted_scans).chain(retries);
        all.flatten().min().map(|due| due.max(self.now + timing.changing / 100))
    }

    fn may_list(&self) -> bool {
        !self.parts.list_calls.are_waiting(self.now)
    }

    fn next_full_scan(&self) -> Option<Instant> {
        let timing = &self.parts.store.timing;
        let after = |wait| self.parts.full_scans.began.map_or(self.now, |began| began + wait);
        let for_unseen = match self.demand.first_unseen {
            Some(first) if self.demand.unseen > self.parts.full_scans.calls() => {
                Some((first + gathering(timing)).max(after(soon(timing))))
            }
            _ => None,
        };
        let regular = self.is_worth_full_scan().then(|| after(timing.steady));
        earlier(for_unseen, regular).map(|due| self.parts.list_calls.allowed(due))
    }

    fn is_worth_full_scan(&self) -> bool {
        let steady = self.demand.steady;
        let takes_lists = steady > 0 && self.parts.status_calls.are_waiting(self.now);
        self.parts.counts_all || steady > self.parts.full_scans.calls() || takes_lists
    }

    fn next_targeted_scan(&self, change: ExpectedChange) -> Option<Instant> {
        let first_due = self.demand.targets[change as usize].first_due?;
        if !self.is_worth_targeted_scan(change) {
            return None;
        }
        Some(self.parts.targeted_scans.next[change as usize].map_or(first_due, |next| next.max(first_due)))
    }

    fn is_worth_targeted_scan(&self, change: ExpectedChange) -> bool {
        let targets = &self.demand.targets[change as usize];
        let calls = self.parts.targeted_scans.calls_to(change, targets.oldest_start()).max(FEW);
        self.may_list() && targets.count > 0 && (targets.count > calls || self.parts.status_calls.are_waiting(self.now))
    }

    /// The session whose GetSessionStatus is due first, or is the most overdue for how closely the session is watched; and
    /// when the call may be made.
    fn next_session_status(&self) -> Option<(Instant, &str)> {
        let timing = &self.parts.store.timing;
        let is_start_scanned = self.is_worth_targeted_scan(ExpectedChange::Start);
        let is_end_scanned = self.is_worth_targeted_scan(ExpectedChange::End);
        let is_steady_scanned = self.is_worth_full_scan() && self.may_list();
        let lateness = |watched: &Watched| {
            let late = self.now.saturating_duration_since(watched.due).as_secs_f64();
            let early = watched.due.saturating_duration_since(self.now).as_secs_f64();
            late / watched.interest.interval(timing).as_secs_f64() - early
        };
        let candidates = self.parts.store.entries.iter().filter_map(|(id, entry)| {
            let (watched, _) = entry.tracked()?;
            let is_scanned = match expected_change(entry) {
                _ if watched.is_in_targeted_scan() => true,
                _ if entry.needs_own_call() => false,
                Some(ExpectedChange::Start) => is_start_scanned,
                Some(ExpectedChange::End) => is_end_scanned,
                None => is_steady_scanned,
            };
            (!is_scanned).then(|| (lateness(watched), watched.due, id))
        });
        let (_, due, id) = candidates.max_by(|one, other| one.0.total_cmp(&other.0))?;
        Some((self.session_status_allowed(due), id))
    }

    /// When GetSessionStatus that is due at `due` may be called. While ListSessions fails, many sessions may need the call.
    fn session_status_allowed(&self, due: Instant) -> Instant {
        let spaced = self.parts.turns.session_status_at.map(|at| at + self.parts.store.timing.changing / 10);
        let due = self.parts.status_calls.allowed(due);
        if self.may_list() { due } else { spaced.map_or(due, |spaced| due.max(spaced)) }
    }
}
