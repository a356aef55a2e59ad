//! What the informer's complete lists of a work group mean for one object. PURE.
//!
//! A list is made for many objects. So it may have begun before the last call for this one: then it proves nothing to it.

use std::time::Instant;

use super::now::Now;
use super::session::{Observed, Start};
use crate::athena::informer::proof_of_absence::{CompleteList, ListAnswer, ListRequest, Shown, Sought};
use crate::athena::types::{CallerContext, Operation, Source};
use crate::timing::Timing;

impl Start {
    /// The moment from which on a list proves something: when this process had last called StartSession, and when it first
    /// saw an object that an earlier process may have called for. None: there is nothing to prove.
    #[must_use]
    pub fn proven_from(&self) -> Option<Instant> {
        self.first_seen_at.max(self.called_at)
    }
}

impl Observed {
    /// What lists have shown of what was asked for.
    pub fn listed(
        &mut self,
        wanted: &ListRequest,
        found: ListAnswer,
        scope: &CallerContext,
        now: Now,
        timing: &Timing,
    ) {
        self.succeeded(Operation::ListSessions);
        // What another account said counts for nothing.
        let is_elsewhere = |at: Instant| scope.since.is_some_and(|since| at < since);
        match (&wanted.sought, found) {
            (_, ListAnswer::Failed | ListAnswer::Endless) => {}
            (_, ListAnswer::Shown(shown)) if is_elsewhere(shown.at) => {}
            (_, ListAnswer::Lacking(list)) if is_elsewhere(list.began) => {}
            // Whose the session is was shown meanwhile.
            (Sought::Mark { .. }, ListAnswer::Shown(_)) if self.start.id.is_some() => {}
            (Sought::Mark { .. }, ListAnswer::Shown(shown)) => {
                self.own(shown.id, shown.status, &wanted.work_group, Now { tick: shown.at, ..now });
            }
            (Sought::Mark { .. }, ListAnswer::Lacking(list)) => self.lacks_mark(list, timing),
            (Sought::Session(_), ListAnswer::Shown(shown)) => {
                self.shows_session(shown, &wanted.work_group, now, timing);
            }
            (Sought::Session(_), ListAnswer::Lacking(list)) => self.lacks_session(list),
        }
    }

    /// A complete list shows no session that bears the object's mark.
    fn lacks_mark(&mut self, list: CompleteList, timing: &Timing) {
        let is_proof = self.start.proven_from().is_none_or(|from| list.began >= from);
        let is_newer = self.start.unlisted.is_none_or(|(_, last)| list.began > last);
        if self.start.id.is_some() || !is_proof || !is_newer {
            return;
        }
        let first = self.start.unlisted.map_or(list.began, |(first, _)| first);
        self.start.unlisted = Some((first, list.began));
        if list.began - first >= timing.between_proving_lists() {
            self.start.proven_none();
        }
    }

    /// A list shows the session: it exists, and in this work group.
    fn shows_session(&mut self, shown: Shown, work_group: &str, now: Now, timing: &Timing) {
        if self.absence.as_ref().is_some_and(|absence| shown.at < absence.last) {
            return;
        }
        if !self.is_believed(&shown.status, Source::List) {
            // After a contradiction a list proves no end by itself. It doesn't show that the session lives either, which is what
            // an absence needs. Otherwise an object would never go whose session Athena has forgotten but for its lists.
            self.lacks_session(CompleteList { began: shown.at, ended: shown.at });
            return;
        }
        let absence = self.absence.take();
        self.work_group.get_or_insert_with(|| work_group.to_owned());
        self.saw(shown.status, Source::List, shown.at);
        // The answer that said otherwise was a refusal of something else.
        if let Some(absence) = absence {
            self.fail(absence.error, now, timing, 1.0);
        }
    }

    /// A complete list doesn't show the session.
    fn lacks_session(&mut self, list: CompleteList) {
        if let Some(undescribed) = &mut self.undescribed {
            undescribed.unlisted_at = Some(list.ended);
        }
        // A list that was begun before the last answer proves nothing after it.
        if let Some(absence) = self.absence.as_mut().filter(|absence| list.began >= absence.last) {
            absence.unlisted_at = Some(list.ended);
        }
    }
}
