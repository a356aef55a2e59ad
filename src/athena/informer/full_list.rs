//! Complete lists of a work group, in every state: what proves to an object that no session bears its mark, or that its
//! session doesn't exist. One list is made for all objects that wait for one. PURE.
//!
//! ```text
//!   an object asks ─► others may follow ─► a list begins, for all who have asked
//!     a page shows its session ───────────► it is told at once
//!     the list has come to its end ───────► whoever isn't on it is told so, and when the list began
//!     a call fails ───────────────────────► all who wait are told; the list goes on for whoever asks again
//! ```

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::cursor::{EVERY_STATE, MOST_PAGES, Walk};
use super::plan::Plan;
use super::types::{SessionPage, Trouble};
pub use crate::athena::quota::Key as Asker;
use crate::athena::types::{CallError, ErrorClass, Operation, SessionStatus};
use crate::timing::Timing;

/// So many failures in a row don't pass by themselves, most probably.
const TOLD_AFTER: u32 = 3;

/// What an object asks complete lists for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The work group.
    pub work_group: String,
    /// What is looked for.
    pub sought: Sought,
    /// A session that was started before can't be it, so that no list needs to be read further back. None: any can.
    pub since: Option<Timestamp>,
    /// A list that began before proves nothing to the object. None: each list will do.
    pub after: Option<Instant>,
    /// Whether a start or an end waits for the list. Otherwise the object only goes on looking for what will hardly come.
    pub is_pressing: bool,
}

/// What is looked for in a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sought {
    /// The session that bears the mark of the object with this UID, in this cluster.
    Mark {
        /// The cluster's id.
        cluster: String,
        /// The object's UID.
        uid: String,
    },
    /// The session with this id.
    Session(String),
}

/// A complete list: it was read in each of [`SessionState::FILTERS`] to its end, or to what was started before any session
/// that was looked for could have been, and no page was left out. All pages came from one account, by one identity.
///
/// [`SessionState::FILTERS`]: crate::athena::types::SessionState::FILTERS
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullList {
    /// When its first page was asked for. What was started later, it needn't show.
    pub began: Instant,
    /// When its last page was answered.
    pub ended: Instant,
}

/// What a list says of what was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A page shows the session.
    Shown(Shown),
    /// A complete list doesn't show it.
    Lacking(FullList),
    /// Lists can't be had at present.
    Failed,
    /// A list came to no end.
    Endless,
}

/// A session on a page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub status: SessionStatus,
    /// When the page was asked for.
    pub at: Instant,
}

#[derive(Debug)]
struct Question {
    wanted: Wanted,
    asked_at: Instant,
}

/// The list that is being made.
#[derive(Debug)]
struct Reading {
    walk: Walk,
    /// How far back it is read; None: to the end.
    back_to: Option<Timestamp>,
    /// Who had asked when it began. The list is looked through for all of them to its end, also for those who were told
    /// meanwhile that a call had failed: they may ask again.
    covered: HashMap<Asker, Covered>,
}

#[derive(Debug)]
struct Covered {
    sought: Sought,
    since: Option<Timestamp>,
    shown: Option<Shown>,
}

/// Who waits for complete lists, the one that is being made, and what hasn't been fetched yet.
#[derive(Debug, Default)]
pub(super) struct FullLists {
    questions: HashMap<Asker, Question>,
    reading: Option<Reading>,
    answers: HashMap<Asker, (Wanted, Found)>,
    told: Vec<Asker>,
}

impl Timing {
    /// A list begins so long after the last object has asked: after a restart, or a deletion of many, objects ask one
    /// after the other.
    fn lull(&self) -> Duration {
        self.changing
    }

    /// The longest that a list waits for others who may ask.
    fn most_gathering(&self) -> Duration {
        self.changing * 5
    }
}

impl Reading {
    fn covers(&self, asker: &Asker, wanted: &Wanted) -> Option<&Covered> {
        let is_late = wanted.after.is_some_and(|after| self.walk.began < after);
        let covered = self.covered.get(asker).filter(|_| !is_late)?;
        (covered.sought == wanted.sought && covered.since == wanted.since).then_some(covered)
    }
}

impl FullLists {
    fn ask(&mut self, asker: &Asker, wanted: &Wanted, now: Instant) -> bool {
        let is_answered = self.answers.get(asker).is_some_and(|(answered, _)| answered == wanted);
        if is_answered || self.questions.get(asker).is_some_and(|question| question.wanted == *wanted) {
            return false;
        }
        self.answers.remove(asker);
        let shown = self.reading.as_ref().and_then(|reading| reading.covers(asker, wanted)?.shown.clone());
        self.questions.insert(asker.clone(), Question { wanted: wanted.clone(), asked_at: now });
        if let Some(shown) = shown {
            self.answer(asker, Found::Shown(shown));
        }
        true
    }

    fn forget(&mut self, asker: &Asker) {
        self.questions.remove(asker);
        self.answers.remove(asker);
    }

    fn answer(&mut self, asker: &Asker, found: Found) {
        let Some(question) = self.questions.remove(asker) else { return };
        self.answers.insert(asker.clone(), (question.wanted, found));
        self.told.push(asker.clone());
    }

    fn answer_all(&mut self, found: &Found, is_meant: impl Fn(&Asker, &Wanted) -> bool) {
        let meant = self.questions.iter().filter(|(asker, question)| is_meant(asker, &question.wanted));
        let askers: Vec<_> = meant.map(|(asker, _)| asker.clone()).collect();
        askers.iter().for_each(|asker| self.answer(asker, found.clone()));
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.questions.is_empty()
    }

    /// Whether somebody waits for the list that is being made.
    pub(super) fn is_under_way(&self) -> bool {
        let Some(reading) = &self.reading else { return false };
        self.questions.iter().any(|(asker, question)| reading.covers(asker, &question.wanted).is_some())
    }

    pub(super) fn walk(&self) -> Option<&Walk> {
        self.reading.as_ref().map(|reading| &reading.walk)
    }

    /// When the next list is to begin, if somebody waits for one, and for none that is being made.
    pub(super) fn next(&self, timing: &Timing) -> Option<Instant> {
        if !self.is_wanted() || self.is_under_way() {
            return None;
        }
        let asked_at = |is_pressing| {
            let questions = self.questions.values().filter(move |it| it.wanted.is_pressing == is_pressing);
            questions.map(|question| question.asked_at)
        };
        let gathered = |first: Instant, last: Instant| (last + timing.lull()).min(first + timing.most_gathering());
        let pressing = asked_at(true).min().zip(asked_at(true).max()).map(|(first, last)| gathered(first, last));
        let routine = asked_at(false).min().map(|first| first + timing.steady);
        pressing.into_iter().chain(routine).min()
    }

    fn begin(&mut self, now: Instant) {
        let questions = self.questions.iter().filter(|(_, it)| it.wanted.after.is_none_or(|after| after <= now));
        let covered: HashMap<_, _> = questions
            .map(|(asker, Question { wanted, .. })| {
                (asker.clone(), Covered { sought: wanted.sought.clone(), since: wanted.since, shown: None })
            })
            .collect();
        let is_bounded = covered.values().all(|covered| covered.since.is_some());
        let back_to = covered.values().filter_map(|covered| covered.since).min().filter(|_| is_bounded);
        self.reading = Some(Reading { walk: Walk::new(EVERY_STATE, now), back_to, covered });
    }

    /// A page shows these sessions.
    fn show(&mut self, page: &SessionPage, at: Instant) {
        let mut shown: HashMap<Sought, Shown> = HashMap::new();
        for (id, status) in &page.sessions {
            let session = Shown { id: id.clone(), status: status.clone(), at };
            if let Some(marker) = &status.marker {
                let mark = Sought::Mark { cluster: marker.cluster.clone(), uid: marker.uid.clone() };
                shown.entry(mark).or_insert_with(|| session.clone());
            }
            shown.insert(Sought::Session(id.clone()), session);
        }
        for covered in self.reading.iter_mut().flat_map(|reading| reading.covered.values_mut()) {
            if covered.shown.is_none() {
                covered.shown = shown.get(&covered.sought).cloned();
            }
        }
        // Also to those who have asked since the list began: what it shows is there.
        let asked = self.questions.iter().filter(|(_, it)| it.wanted.after.is_none_or(|after| after <= at));
        let found: Vec<_> = asked
            .filter_map(|(asker, question)| Some((asker.clone(), shown.get(&question.wanted.sought)?.clone())))
            .collect();
        found.into_iter().for_each(|(asker, shown)| self.answer(&asker, Found::Shown(shown)));
    }

    /// What the list under way lacks is told, since it has come to its end.
    fn complete(&mut self, reading: &Reading, now: Instant) {
        let list = FullList { began: reading.walk.began, ended: now };
        let lacks = |asker: &Asker, wanted: &Wanted| {
            reading.covers(asker, wanted).is_some_and(|covered| covered.shown.is_none())
        };
        self.answer_all(&Found::Lacking(list), lacks);
    }

    /// Nothing that was read counts any more. Who waits still does.
    pub(super) fn reset(&mut self) {
        self.reading = None;
        self.answers.clear();
    }
}

impl Plan {
    /// An object asks for a complete list. To be said as often as one likes. True where it changes anything.
    pub fn ask_for_list(&mut self, asker: &Asker, wanted: &Wanted, now: Instant) -> bool {
        let is_change = self.full.ask(asker, wanted, now);
        if is_change {
            self.only_sweep_since = None;
        }
        is_change
    }

    /// The object waits for no list any more.
    pub fn forget_asker(&mut self, asker: &Asker) {
        self.full.forget(asker);
    }

    /// What lists have shown of what the object asked for. It is handed out once.
    pub fn list_answer(&mut self, asker: &Asker, wanted: &Wanted) -> Option<Found> {
        self.full.answers.remove(asker).filter(|(answered, _)| answered == wanted).map(|(_, found)| found)
    }

    /// Who is to be told that there is an answer.
    pub(super) fn answered_askers(&mut self) -> Vec<Asker> {
        std::mem::take(&mut self.full.told)
    }

    /// Nobody waits for a list while none can be had: whoever asked tells people, and asks again. What most probably passes is
    /// told only when it lasts; until then the list goes on by itself.
    pub(super) fn refuse_lists(&mut self, now: Instant) {
        let lasts = |trouble: &Trouble| {
            let may_pass = matches!(trouble.class, ErrorClass::Throttled | ErrorClass::Unavailable);
            trouble.retry_at > now && (!may_pass || trouble.attempts >= TOLD_AFTER)
        };
        if self.listing.as_ref().is_some_and(lasts) {
            self.full.answer_all(&Found::Failed, |_, _| true);
        }
    }

    pub(super) fn begin_full_list(&mut self, now: Instant) {
        if self.full.next(&self.timing).is_some_and(|due| due <= now) && !self.is_listing_in_trouble(now) {
            self.full.begin(now);
        }
    }

    /// A page of the list that is being made.
    pub(super) fn read_full_list(&mut self, page: &SessionPage, sent: Instant, now: Instant) {
        self.full.show(page, sent);
        let Some(mut reading) = self.full.reading.take() else { return };
        // The newest stand first. A start that can't be doesn't show that the rest of the list is older.
        let last = page.sessions.last().and_then(|(_, status)| status.started_at).filter(|at| !predates_athena(*at));
        let far_enough = last.zip(reading.back_to).is_some_and(|(last, back_to)| last < back_to);
        if !reading.walk.turn(page.next_token.clone(), far_enough) {
            self.full.complete(&reading, now);
        } else if reading.walk.calls >= MOST_PAGES {
            self.full.answer_all(&Found::Endless, |asker, wanted| reading.covers(asker, wanted).is_some());
        } else {
            self.full.reading = Some(reading);
        }
    }

    /// A page of the list that is being made was refused: its token may be too old. The next list starts anew.
    pub(super) fn drop_full_list(&mut self) {
        self.full.reading = None;
    }

    /// Forgets a list that was left unfinished, and that nobody has asked for again.
    pub(super) fn tidy_full_list(&mut self, now: Instant) {
        let is_old = |reading: &mut Reading| reading.walk.began + self.timing.rarely() * 2 < now;
        if !self.full.is_under_way() {
            self.full.reading.take_if(is_old);
        }
    }
}

/// What is told where a list comes to no end.
#[must_use]
pub fn endless() -> CallError {
    CallError {
        operation: Operation::ListSessions,
        class: ErrorClass::Unavailable,
        code: "EndlessListing".to_owned(),
        message: format!("no end after {MOST_PAGES} pages"),
        request_id: None,
    }
}
