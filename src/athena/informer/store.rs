//! What is known of each session, and what is wanted of it. PURE.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::athena::types::{SessionState, SessionStatus, Source};
use crate::timing::Timing;

/// How closely a session is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Somebody wants to know it for the first time.
    Adopt,
    /// An end that was asked for is under way: as [`Pace::Fast`], and the calls that show it are urgent.
    Ending,
    /// A change is expected.
    Fast,
    /// Nothing is expected.
    Slow,
}

impl Pace {
    /// Whether a change is expected.
    pub(super) fn is_fast(self) -> bool {
        matches!(self, Self::Ending | Self::Fast)
    }
}

/// A session as Athena showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// What Athena said. Of a session that nobody watches the reason isn't kept.
    pub status: SessionStatus,
    /// When the request was sent whose answer said so.
    pub at: Instant,
    /// Which answer said so.
    pub source: Source,
}

/// What is wanted of a watched session.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) pace: Pace,
    /// Since when it is waited for that it is seen at all.
    pub(super) wished: Option<Instant>,
    /// When it is to be looked at again.
    pub(super) due: Instant,
    /// Whoever watches it has to ask.
    pub(super) alone: bool,
    /// The last sweep missed it, so that it has probably ended.
    pub(super) sought: bool,
    /// No list is expected to show it: it takes a call of its own.
    pub(super) single: bool,
    /// The hunt under way is for it too.
    pub(super) hunted: bool,
}

impl Watch {
    /// A call of its own is due now.
    pub(super) fn ask_singly(&mut self, now: Instant) {
        self.single = true;
        self.sought = false;
        self.due = now;
    }

    /// Whoever watches it has to ask. True where that is news.
    pub(super) fn leave_alone(&mut self) -> bool {
        let was_alone = self.alone;
        self.answered(self.due);
        self.alone = true;
        !was_alone
    }

    /// What was wanted is known.
    pub(super) fn answered(&mut self, due: Instant) {
        self.wished = None;
        self.alone = false;
        self.sought = false;
        self.single = false;
        self.hunted = false;
        self.due = due;
    }
}

/// A session that is known, or watched, or both.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) sight: Option<Sight>,
    /// The last sweep that showed it; sweeps count from 1.
    pub(super) sweep: u32,
    pub(super) watch: Option<Watch>,
    /// A list showed that the session had ended, and a later call for the session showed that it hadn't. From then on only a
    /// call shows its end.
    pub(super) is_contradicted: bool,
}

/// Boxed entries: half of a hash table's places are empty.
pub(super) type Store = HashMap<Box<str>, Box<Entry>>;

impl Entry {
    pub(super) fn is_ended(&self) -> bool {
        self.sight.as_ref().is_some_and(|sight| sight.status.state.is_ended())
    }

    /// A watched session that was seen and not seen ended, and whose changes are to be noticed.
    pub(super) fn tended(&self) -> Option<(&Watch, &Sight)> {
        let (watch, sight) = (self.watch.as_ref()?, self.sight.as_ref()?);
        let tended = !self.is_ended() && !watch.alone && watch.wished.is_none();
        tended.then_some((watch, sight))
    }

    /// Whether no list is expected to show the session as it is, so that it takes a call of its own.
    pub(super) fn is_single(&self) -> bool {
        self.is_contradicted || self.watch.as_ref().is_some_and(|watch| watch.single)
    }

    /// Whether a sweep that began then, of this number, showed it, or a later answer did.
    pub(super) fn is_seen_in(&self, sweep: u32, began: Instant) -> bool {
        self.sweep == sweep || self.sight.as_ref().is_some_and(|sight| sight.at >= began)
    }

    /// Watches it, or goes on so. True where that changes anything.
    pub(super) fn watch(&mut self, pace: Pace, now: Instant, timing: &Timing) -> bool {
        let due = self.sight.as_ref().map_or(now, |sight| sight.at + timing.of(pace));
        let Some(watch) = &mut self.watch else {
            let wished = (!self.is_known(pace, now, timing)).then_some(now);
            let (alone, sought, single, hunted) = (false, false, false, false);
            self.watch = Some(Watch { pace, wished, due, alone, sought, single, hunted });
            return true;
        };
        if watch.pace == pace {
            return false;
        }
        watch.pace = pace;
        if !watch.single && !watch.sought {
            watch.due = due;
        }
        true
    }

    fn is_known(&self, pace: Pace, now: Instant, timing: &Timing) -> bool {
        let is_young = |sight: &Sight| now < sight.at + timing.steady * 2;
        self.is_ended() || self.sight.as_ref().is_some_and(|sight| pace != Pace::Adopt || is_young(sight))
    }

    /// Athena showed it. True where whoever watches it has to hear of it.
    pub(super) fn saw(&mut self, mut status: SessionStatus, at: Instant, source: Source, timing: &Timing) -> bool {
        if !self.is_news(&status.state, at, source, timing.steady) {
            return false;
        }
        status = status.after(self.sight.as_ref().map(|sight| &sight.status));
        if self.watch.is_none() {
            status.state_change_reason = None;
        }
        let differs = self.sight.as_ref().is_none_or(|sight| sight.status != status);
        let (was_ended, is_ended) = (self.is_ended(), status.state.is_ended());
        self.is_contradicted |= was_ended && !is_ended;
        // An end stays final that a call showed, also when a list shows it again.
        let before = self.sight.as_ref().filter(|_| was_ended && is_ended).map(|sight| sight.source);
        self.sight = Some(Sight { status, at, source: before.map_or(source, |before| before.max(source)) });
        let Some(watch) = &mut self.watch else { return false };
        let was_waited_for = watch.alone || watch.wished.is_some();
        watch.answered(at + timing.of(watch.pace));
        differs || was_waited_for
    }

    fn is_news(&self, state: &SessionState, at: Instant, source: Source, steady: Duration) -> bool {
        let Some(known) = &self.sight else { return true };
        match (known.status.state.is_ended(), state.is_ended()) {
            // An end that a call for the session showed is final. One that only a list showed isn't.
            (true, false) => return known.source == Source::List && source == Source::Call && at > known.at,
            // An end is true however late it is told, but for what a call has contradicted.
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

/// The entry of a session, an empty one if need be.
pub(super) fn entry<'a>(store: &'a mut Store, id: &str) -> &'a mut Entry {
    store.entry(id.into()).or_default()
}
