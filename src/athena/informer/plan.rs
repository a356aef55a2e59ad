//! Which call to Athena is next, for the sessions of one work group in one account and Region. PURE: no client, no
//! clock, no error, nothing async.
//!
//! The shell asks [`Plan::next`], does what it says, and hands in the answer. Calls are what is dear, so that each
//! thing is asked for in the cheaper way:
//!
//! ```text
//!   a change is expected ── few ──► GetSessionStatus each, `changing` after the last look
//!                        └─ many ─► a hunt: the lists that would show it, newest first, as far as needed
//!   none is expected ────── few ──► GetSessionStatus each, every `steady`
//!                        └─ many ─► a sweep: all lists of what hasn't ended, every `steady`
//!   missing from a sweep ─────────► as if a change were expected: it has ended, or the list is wrong
//!   not known yet ───────── few ──► whoever watches it asks
//!                        └─ many ─► a sweep, at once
//!   a proof of absence is wanted ─► one complete list in every state, for all who have asked
//! ```
//!
//! A hunt and a sweep are given up for calls of their own as soon as they have cost as many as those would, so that
//! nothing costs more than twice the cheaper way. Of a sweep, pages that show several sessions at once don't count for that:
//! they are the cheaper way. Absence from a hunt or a sweep proves nothing and is never told.

use std::time::{Duration, Instant};

use super::cursor::Walk;
use super::full_list::FullLists;
pub use super::full_list::{Asker, Found, FullList, Shown, Sought, Wanted};
use super::full_scan::{SWEEP_AT_FIRST, Swept, Worth};
use super::schedule::AHEAD;
pub use super::store::{Pace, Sight};
use super::store::{Store, entry};
use super::targeted_scan::{Depths, Hunt};
pub use super::types::{Ask, Counts, Failure, SessionPage, Sighting, Trouble};
use crate::athena::types::{ErrorClass, SessionStatus, Source};
use crate::timing::Timing;

/// What was asked for and hasn't been answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Status(String),
    Sweep,
    Hunt,
    FullList,
}
/// The sessions of a work group, and what to ask about them.
#[derive(Debug)]
pub struct Plan {
    pub(super) timing: Timing,
    pub(super) store: Store,
    pub(super) counting: bool,
    pub(super) woken: Vec<String>,
    pub(super) asked: Option<Asked>,
    pub(super) sweep: Option<Walk>,
    /// The number of the sweep that began last.
    pub(super) sweeps: u32,
    pub(super) sweep_began: Option<Instant>,
    pub(super) worth: Worth,
    /// How long the last complete sweep took.
    pub(super) sweep_took: Duration,
    /// When all sessions were last gone through, if the next page of the sweep was the only call to make. See
    /// [`Plan::is_sweep_alone`].
    pub(super) only_sweep_since: Option<Instant>,
    /// The calls that a sweep takes, as far as is known.
    pub(super) sweep_calls: usize,
    /// When that was learned.
    pub(super) priced: Option<Instant>,
    pub(super) swept: Option<Swept>,
    pub(super) hunt: Option<Hunt>,
    pub(super) full: FullLists,
    pub(super) depths: Depths,
    /// When each kind of hunt may begin again.
    pub(super) next_started: Option<Instant>,
    pub(super) next_ended: Option<Instant>,
    /// How many hunts in a row cost more than they found.
    pub(super) vain_hunts: u32,
    /// Whether the last call that had precedence was GetSessionStatus.
    pub(super) was_single: bool,
    /// How many calls in a row had precedence over a sweep or a complete list that goes on.
    pub(super) ahead: u32,
    /// Whether the last page of these two was the complete list's.
    pub(super) was_full_list: bool,
    pub(super) listing: Option<Trouble>,
    pub(super) status: Option<Trouble>,
    pub(super) status_asked: Option<Instant>,
    pub(super) tidied: Option<Instant>,
}

impl Plan {
    /// Nothing is known or wanted yet.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            store: Store::new(),
            counting: false,
            woken: Vec::new(),
            asked: None,
            sweep: None,
            sweeps: 0,
            sweep_began: None,
            worth: Worth::default(),
            sweep_took: Duration::ZERO,
            only_sweep_since: None,
            sweep_calls: SWEEP_AT_FIRST,
            priced: None,
            swept: None,
            hunt: None,
            full: FullLists::default(),
            depths: Depths::default(),
            next_started: None,
            next_ended: None,
            vain_hunts: 0,
            was_single: false,
            ahead: 0,
            was_full_list: false,
            listing: None,
            status: None,
            status_asked: None,
            tidied: None,
        }
    }

    /// Somebody wants to hear of changes of this session. To be said as often as one likes; true where it changes
    /// anything, so that [`Plan::next`] may say something else than before.
    pub fn watch(&mut self, id: &str, pace: Pace, now: Instant) -> bool {
        let is_change = entry(&mut self.store, id).watch(pace, now, &self.timing);
        if is_change {
            self.only_sweep_since = None;
        }
        is_change
    }

    /// Nobody wants to hear of this session any more.
    pub fn unwatch(&mut self, id: &str) {
        let Some(entry) = self.store.get_mut(id) else { return };
        entry.watch = None;
        if entry.sight.is_none() {
            self.store.remove(id);
        }
    }

    /// The sessions that somebody wants to hear of.
    pub fn watched(&self) -> impl Iterator<Item = &str> {
        self.store.iter().filter(|(_, entry)| entry.watch.is_some()).map(|(id, _)| &**id)
    }

    /// Whether all sessions of the work group are to be known, or those that are watched only.
    pub fn count_all(&mut self, counting: bool) {
        self.counting = counting;
    }

    /// What is known of a session.
    #[must_use]
    pub fn sighting(&self, id: &str) -> Sighting<'_> {
        let Some(entry) = self.store.get(id) else { return Sighting::NotYet };
        match (&entry.watch, &entry.sight) {
            (Some(watch), _) if watch.alone => Sighting::AskYourself,
            (Some(watch), _) if watch.wished.is_some() => Sighting::NotYet,
            (_, Some(sight)) => Sighting::Seen(sight),
            (_, None) => Sighting::NotYet,
        }
    }

    /// A call of whoever watches this session, sent at `at`, showed the session so. It wakes nobody.
    pub fn told(&mut self, id: &str, status: SessionStatus, at: Instant, source: Source) {
        let entry = entry(&mut self.store, id);
        entry.saw(status, at, source, &self.timing);
        if let Some(watch) = &mut entry.watch
            && (watch.alone || watch.wished.is_some())
        {
            watch.answered(at + self.timing.of(watch.pace));
        }
    }

    /// What to do next. Each call that it names is to be answered before it is asked again.
    pub fn next(&mut self, now: Instant) -> Ask {
        if self.is_sweep_alone(now) {
            return self.ask(Asked::Sweep, now);
        }
        self.tidy(now);
        let demand = self.demand(now);
        self.settle_wishes(&demand, now);
        self.refuse_lists(now);
        if !self.woken.is_empty() {
            return Ask::Wake(std::mem::take(&mut self.woken));
        }
        let answered = self.answered_askers();
        if !answered.is_empty() {
            return Ask::Tell(answered);
        }
        let ways = self.ways(&demand, now);
        self.begin_listings(&demand, ways, now);
        self.begin_full_list(now);
        let chosen = self.choose(ways, now);
        let is_alone = chosen == Some(Asked::Sweep) && self.ahead < AHEAD && !self.full.is_wanted();
        self.only_sweep_since = is_alone.then_some(now);
        match chosen {
            Some(asked) => self.ask(asked, now),
            None => Ask::Wait(self.rest(&demand, ways, now)),
        }
    }

    /// GetSessionStatus, as [`Plan::next`] said it, sent at `sent`, was answered so.
    pub fn status_answered(&mut self, id: &str, answer: Result<SessionStatus, Failure>, sent: Instant, now: Instant) {
        // An answer to a question from before a reset may come from another account.
        if self.asked.take_if(|asked| *asked == Asked::Status(id.to_owned())).is_none() {
            return;
        }
        match answer {
            Ok(status) => {
                self.status = None;
                self.saw(id, status, sent, Source::Call);
                self.put_off(id, sent, None);
            }
            Err(Failure { class: ErrorClass::NotFoundOrInvalid, .. }) => {
                self.status = None;
                self.leave_alone(id);
            }
            Err(Failure { class: ErrorClass::Invalid, .. }) => self.put_off(id, now, Some(self.timing.steady)),
            Err(failure) => {
                self.status = Some(self.trouble_after(self.status, failure, sent, now));
                self.come_last(id, now);
            }
        }
    }

    /// ListSessions, as [`Plan::next`] said it, sent at `sent`, was answered so.
    pub fn page_answered(&mut self, answer: Result<SessionPage, Failure>, sent: Instant, now: Instant) {
        let Some(asked) = self.asked.take_if(|asked| matches!(asked, Asked::Sweep | Asked::Hunt | Asked::FullList))
        else {
            return;
        };
        match answer {
            Ok(listed) => {
                self.listing = None;
                self.read(&asked, listed, sent, now);
            }
            Err(failure) => self.listing_failed(&asked, failure, sent, now),
        }
    }

    /// An outage ended at this moment: calls that failed in the outage may be made again at once.
    pub fn recovered(&mut self, at: Instant) {
        for trouble in [&mut self.listing, &mut self.status].into_iter().flatten() {
            if trouble.class.is_outage() && trouble.at < at {
                trouble.retry_at = trouble.retry_at.min(at);
            }
        }
    }

    /// How many sessions there are in each state that isn't an end, by the last complete sweep.
    #[must_use]
    pub fn counts(&self) -> Option<&Counts> {
        self.swept.as_ref().map(|swept| &swept.counts)
    }

    /// The sessions of the last complete sweep, and those that were found since, as far as they haven't ended.
    pub fn counted(&self) -> impl Iterator<Item = (&str, &Sight)> {
        let number = self.swept.as_ref().map(|swept| swept.number);
        let listed = self.store.iter().filter(move |(_, entry)| number.is_some_and(|number| entry.sweep >= number));
        listed.filter(|(_, entry)| !entry.is_ended()).filter_map(|(id, entry)| Some((&**id, entry.sight.as_ref()?)))
    }

    /// When the last complete sweep began.
    #[must_use]
    pub fn swept_at(&self) -> Option<Instant> {
        self.swept.as_ref().map(|swept| swept.began)
    }

    /// How long the last complete sweep took.
    #[must_use]
    pub fn sweep_took(&self) -> Duration {
        self.sweep_took
    }

    /// ListSessions, if it fails at present.
    #[must_use]
    pub fn trouble(&self) -> Option<&Trouble> {
        self.listing.as_ref()
    }

    /// GetSessionStatus, if it fails at present for reasons that aren't those of one session.
    #[must_use]
    pub fn status_trouble(&self) -> Option<&Trouble> {
        self.status.as_ref()
    }

    /// Whether there is anything to do, now or later.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.counting || self.full.is_wanted() || self.store.values().any(|entry| entry.watch.is_some())
    }

    /// Another AWS account answers by now: nothing is known. Who is watched stays so, and who waits for a list still does.
    pub fn reset(&mut self, now: Instant) {
        self.full.reset();
        let full = std::mem::take(&mut self.full);
        let fresh = Self { counting: self.counting, sweeps: self.sweeps, full, ..Self::new(self.timing) };
        let store = std::mem::replace(self, fresh).store;
        for (id, entry) in store {
            if let Some(watch) = entry.watch {
                self.watch(&id, watch.pace, now);
            }
        }
    }
}
