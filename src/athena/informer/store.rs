//! What is known of each session of a work group, and how changes of the watched ones are learned. PURE.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::types::Interest;
use crate::athena::types::{Polled, SessionPage, SessionState, SessionStatus, Source};
use crate::timing::Timing;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What Athena said. The reason for the state isn't kept for a session that nobody watches.
    pub status: SessionStatus,
    /// When the request was sent whose answer showed the session.
    pub at: Instant,
    pub source: Source,
}

/// How the first sighting, or the next change, of a watched session is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracking {
    /// Nothing is known of the session, or only something old. The watcher has waited for a sighting since this moment.
    Unseen {
        since: Instant,
    },
    /// The watcher calls Athena for the session. A list may still show the session.
    LeftToWatcher,
    WhenDue(Lookup),
    /// The targeted scan under way looks for the session. Nothing else does until the scan ends.
    InTargetedScan(Lookup),
}

/// Which calls are expected to show the next change of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Lists and GetSessionStatus, whichever take fewer calls for all sessions together.
    Any,
    /// The lists of ended sessions: a scan that should have shown the session didn't, so the session has probably ended.
    Missing,
    /// Only GetSessionStatus for this session.
    OwnCall,
}

#[derive(Debug)]
pub(super) struct Watched {
    pub(super) interest: Interest,
    pub(super) due: Instant,
    pub(super) tracking: Tracking,
}

impl Watched {
    /// None where the session isn't looked up here, or was never seen.
    pub(super) fn lookup(&self) -> Option<Lookup> {
        match self.tracking {
            Tracking::WhenDue(lookup) | Tracking::InTargetedScan(lookup) => Some(lookup),
            Tracking::Unseen { .. } | Tracking::LeftToWatcher => None,
        }
    }

    pub(super) fn is_in_targeted_scan(&self) -> bool {
        matches!(self.tracking, Tracking::InTargetedScan(_))
    }

    fn set_lookup(&mut self, to: Lookup) {
        if let Tracking::WhenDue(lookup) | Tracking::InTargetedScan(lookup) = &mut self.tracking {
            *lookup = to;
        }
    }

    pub(super) fn set_in_targeted_scan(&mut self, is_in: bool) {
        if let Some(lookup) = self.lookup() {
            self.tracking = if is_in { Tracking::InTargetedScan(lookup) } else { Tracking::WhenDue(lookup) };
        }
    }

    pub(super) fn needs_own_call(&mut self, now: Instant) {
        self.set_lookup(Lookup::OwnCall);
        self.due = now;
    }

    pub(super) fn was_missing(&mut self, now: Instant) {
        if self.lookup() != Some(Lookup::OwnCall) {
            self.set_lookup(Lookup::Missing);
        }
        self.due = now;
    }

    /// GetSessionStatus has been called for this session: the next look isn't due before `due`.
    pub(super) fn was_called(&mut self, due: Instant) {
        self.set_lookup(Lookup::Any);
        self.due = self.due.max(due);
    }

    fn was_seen(&mut self, at: Instant, timing: &Timing) {
        self.tracking = Tracking::WhenDue(Lookup::Any);
        self.due = at + self.interest.interval(timing);
    }
}

/// A session that is known, or watched, or both.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) sighting: Option<Sighting>,
    /// The last full scan that showed the session. Scans count from 1.
    pub(super) shown_by: u32,
    /// The last full scan before that one that showed the session.
    shown_before: u32,
    pub(super) watched: Option<Watched>,
    /// The session's description, where somebody wants the descriptions ([`Store::keep_descriptions`]).
    pub(super) description: Option<Box<str>>,
    /// A list showed that the session had ended, and a later call for the session showed that it hadn't. From then on only a
    /// call shows its end.
    is_contradicted: bool,
}

impl Entry {
    pub(super) fn is_ended(&self) -> bool {
        self.sighting.as_ref().is_some_and(|sighting| sighting.status.state.is_ended())
    }

    /// Since when a watcher has waited for the first sighting.
    pub(super) fn unseen_since(&self) -> Option<Instant> {
        match self.watched.as_ref()?.tracking {
            Tracking::Unseen { since } => Some(since),
            _ => None,
        }
    }

    /// A watched session that was seen, wasn't seen ended, and whose next change is looked for here.
    pub(super) fn tracked(&self) -> Option<(&Watched, &Sighting)> {
        let (watched, sighting) = (self.watched.as_ref()?, self.sighting.as_ref()?);
        let is_tracked = watched.lookup().is_some() && !self.is_ended();
        is_tracked.then_some((watched, sighting))
    }

    /// Whether only GetSessionStatus shows the next change.
    pub(super) fn needs_own_call(&self) -> bool {
        let lookup = self.watched.as_ref().and_then(Watched::lookup);
        self.is_contradicted || lookup == Some(Lookup::OwnCall)
    }

    /// Whether a full scan of this number, which began then, showed the session, or a later answer did.
    pub(super) fn is_shown_since(&self, scan: u32, began: Instant) -> bool {
        self.shown_by == scan || self.sighting.as_ref().is_some_and(|sighting| sighting.at >= began)
    }

    /// The full scan of this number showed the session.
    pub(super) fn set_shown_by(&mut self, scan: u32) {
        if self.shown_by != scan {
            (self.shown_before, self.shown_by) = (self.shown_by, scan);
        }
    }

    /// Whether the full scan of this number showed the session. That is known while that scan is the last one, or the next one is
    /// under way.
    pub(super) fn was_shown_by(&self, scan: u32) -> bool {
        self.shown_by == scan || self.shown_by == scan + 1 && self.shown_before == scan
    }

    /// The watcher calls Athena for the session from now on. True where the watcher doesn't know this yet.
    pub(super) fn leave_to_watcher(&mut self) -> bool {
        let Some(watched) = &mut self.watched else { return false };
        std::mem::replace(&mut watched.tracking, Tracking::LeftToWatcher) != Tracking::LeftToWatcher
    }

    /// Watches the session, or goes on watching it. True where that changes anything.
    fn watch(&mut self, interest: Interest, now: Instant, timing: &Timing) -> bool {
        let due = self.sighting.as_ref().map_or(now, |sighting| sighting.at + interest.interval(timing));
        let Some(watched) = &mut self.watched else {
            let is_known = self.is_known(interest, now, timing);
            let tracking = if is_known { Tracking::WhenDue(Lookup::Any) } else { Tracking::Unseen { since: now } };
            self.watched = Some(Watched { interest, due, tracking });
            return true;
        };
        if watched.interest == interest {
            return false;
        }
        watched.interest = interest;
        if matches!(watched.lookup(), None | Some(Lookup::Any)) {
            watched.due = due;
        }
        true
    }

    fn is_known(&self, interest: Interest, now: Instant, timing: &Timing) -> bool {
        let is_young = |sighting: &Sighting| now < sighting.at + timing.steady * 2;
        let is_seen = |sighting: &Sighting| interest != Interest::FirstSight || is_young(sighting);
        self.is_ended() || self.sighting.as_ref().is_some_and(is_seen)
    }

    /// Athena showed the session. True where its watcher has to hear of that.
    pub(super) fn saw(&mut self, mut status: SessionStatus, at: Instant, source: Source, keeping: Keeping) -> bool {
        // Also where the rest of the answer is no news: a description never changes.
        let description = status.description.take().or_else(|| self.description.take());
        self.description = if keeping.descriptions_since.is_some() { description } else { None };
        self.learn(status, at, source, &keeping.timing)
    }

    fn learn(&mut self, status: SessionStatus, at: Instant, source: Source, timing: &Timing) -> bool {
        if !self.is_news(&status.state, at, source, timing.steady) {
            return false;
        }
        let mut status = status.after(self.sighting.as_ref().map(|sighting| &sighting.status));
        if self.watched.is_none() {
            status.state_change_reason = None;
        }
        let differs = self.sighting.as_ref().is_none_or(|sighting| sighting.status != status);
        let (was_ended, is_ended) = (self.is_ended(), status.state.is_ended());
        self.is_contradicted |= was_ended && !is_ended;
        let source = match &self.sighting {
            // An end that a call showed stays final, also when a list shows it again.
            Some(before) if was_ended && is_ended => source.max(before.source),
            _ => source,
        };
        self.sighting = Some(Sighting { status, at, source });
        let Some(watched) = &mut self.watched else { return false };
        let was_awaited = watched.lookup().is_none();
        watched.was_seen(at, timing);
        differs || was_awaited
    }

    fn is_news(&self, state: &SessionState, at: Instant, source: Source, steady: Duration) -> bool {
        let Some(known) = &self.sighting else { return true };
        match (known.status.state.is_ended(), state.is_ended()) {
            // An end that a call for the session showed is final. An end that only a list showed isn't.
            (true, false) => return known.source == Source::List && source == Source::Call && at > known.at,
            // An end is true however late the answer comes, unless a call has contradicted a list.
            (false, true) => return source == Source::Call || !self.is_contradicted,
            _ => {}
        }
        let is_late = known.status.state == SessionState::Terminating
            && *state != SessionState::Terminating
            && source == Source::List
            && at < known.at + steady;
        at >= known.at && !is_late
    }
}

/// How sessions are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    pub(super) timing: Timing,
    /// Since when descriptions have been kept; None while they aren't, since they take hundreds of bytes for each session.
    pub(super) descriptions_since: Option<Instant>,
}

/// The sessions of a work group, as far as they are known or watched.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) timing: Timing,
    descriptions_since: Option<Instant>,
    pub(super) entries: HashMap<Box<str>, Entry>,
    /// The sessions whose watchers haven't been told of a change yet.
    pub(super) news: Vec<String>,
}

impl Store {
    pub(super) fn new(timing: Timing) -> Self {
        Self { timing, descriptions_since: None, entries: HashMap::new(), news: Vec::new() }
    }

    pub(super) fn keeping(&self) -> Keeping {
        Keeping { timing: self.timing, descriptions_since: self.descriptions_since }
    }

    /// Keeps the descriptions of the sessions from now on, or forgets them.
    pub(super) fn keep_descriptions(&mut self, keeps: bool, now: Instant) {
        self.descriptions_since = if keeps { self.descriptions_since.or(Some(now)) } else { None };
    }

    pub(super) fn watched_mut(&mut self, id: &str) -> Option<&mut Watched> {
        self.entries.get_mut(id)?.watched.as_mut()
    }

    pub(super) fn sighting(&self, id: &str) -> Polled<'_> {
        let Some(entry) = self.entries.get(id) else { return Polled::NotYet };
        match (entry.watched.as_ref().map(|watched| watched.tracking), &entry.sighting) {
            (Some(Tracking::LeftToWatcher), _) => Polled::AskYourself,
            (Some(Tracking::Unseen { .. }), _) | (_, None) => Polled::NotYet,
            (_, Some(Sighting { status, at, source })) => Polled::Seen { status, at: *at, source: *source },
        }
    }

    pub(super) fn watch(&mut self, id: &str, interest: Interest, now: Instant) -> bool {
        self.entries.entry(id.into()).or_default().watch(interest, now, &self.timing)
    }

    pub(super) fn unwatch(&mut self, id: &str) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.watched = None;
        if entry.sighting.is_none() {
            self.entries.remove(id);
        }
    }

    /// An answer of Athena to the informer showed the session. True where that is news.
    pub(super) fn saw(&mut self, id: &str, status: SessionStatus, at: Instant, source: Source) -> bool {
        let keeping = self.keeping();
        let is_news = self.entries.entry(id.into()).or_default().saw(status, at, source, keeping);
        if is_news {
            self.news.push(id.to_owned());
        }
        is_news
    }

    /// A page of a list showed these sessions. Those that aren't known aren't kept: thousands may have ended long ago.
    /// Returns how many ends are news.
    pub(super) fn saw_known(&mut self, page: SessionPage, at: Instant) -> usize {
        let mut ends = 0;
        for (id, status) in page.sessions {
            let is_end = status.state.is_ended();
            let is_news = self.entries.contains_key(id.as_str()) && self.saw(&id, status, at, Source::List);
            ends += usize::from(is_news && is_end);
        }
        ends
    }

    /// An answer of Athena to the watcher showed the session. The watcher needs no news of it.
    pub(super) fn watcher_saw(&mut self, id: &str, status: SessionStatus, at: Instant, source: Source) {
        let keeping = self.keeping();
        let entry = self.entries.entry(id.into()).or_default();
        entry.saw(status, at, source, keeping);
        if let Some(watched) = &mut entry.watched
            && watched.lookup().is_none()
        {
            watched.was_seen(at, &self.timing);
        }
    }

    /// The watcher of this session calls Athena for it from now on.
    pub(super) fn leave_to_watcher(&mut self, id: &str) {
        if self.entries.get_mut(id).is_some_and(Entry::leave_to_watcher) {
            self.news.push(id.to_owned());
        }
    }

    /// Watchers that have waited for a first sighting since a moment for which this holds call Athena themselves.
    pub(super) fn leave_unseen_to_watchers(&mut self, is_meant: impl Fn(Instant) -> bool) {
        for (id, entry) in &mut self.entries {
            if entry.unseen_since().is_some_and(&is_meant) && entry.leave_to_watcher() {
                self.news.push(id.to_string());
            }
        }
    }

    pub(super) fn watched(&self) -> impl Iterator<Item = (&str, &Watched)> {
        self.entries.iter().filter_map(|(id, entry)| Some((&**id, entry.watched.as_ref()?)))
    }
}
