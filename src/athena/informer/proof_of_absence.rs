//! Proofs of absence: complete lists of a work group, in every state. They prove to an object that no session bears its
//! mark, or that its session doesn't exist. One list is made for all objects that wait for one. PURE.
//!
//! ```text
//!   an object asks ──────────────► for a moment, others may ask too ──► a list begins, for all of them
//!   a page shows its session ────► the object is told at once
//!   the list comes to its end ───► each object whose session the list lacks is told, with the list's begin
//!   ListSessions fails ──────────► all who wait are told; the list goes on for those who ask again
//! ```

use std::collections::HashMap;
use std::time::Instant;

use jiff::Timestamp;

use super::backoff::Backoff;
use super::cursor::{ListCursor, MOST_PAGES};
use super::types::Asker;
use crate::athena::plausible_times::predates_athena;
use crate::athena::types::{CallError, ErrorClass, Operation, SessionPage, SessionState, SessionStatus};
use crate::timing::Timing;

/// The filters of a complete list. Together they show each session, in whatever state it is.
const EVERY_STATE: &[Option<SessionState>] = &SessionState::FILTERS;
/// After so many failures in a row, the objects that wait are told, even if such a failure may pass by itself.
const TOLD_AFTER: u32 = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest {
    pub work_group: String,
    pub sought: Sought,
    /// The session can't have been started before then, so that no list needs to be read further back. None: it may have been
    /// started at any time.
    pub since: Option<Timestamp>,
    /// A list that began before then proves nothing to the object. None: each list does.
    pub after: Option<Instant>,
    /// Whether a start or an end waits for the list. Otherwise the object only goes on looking for a session that hardly
    /// exists.
    pub is_pressing: bool,
}

impl ListRequest {
    /// Whether a page or a list that was asked for at this moment counts for the object.
    fn accepts(&self, at: Instant) -> bool {
        self.after.is_none_or(|after| after <= at)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sought {
    /// The session that bears the mark of the object with this UID, in this cluster.
    Mark {
        cluster: String,
        uid: String,
    },
    Session(String),
}

/// A complete list. It was read in each of [`SessionState::FILTERS`] to its end, or back to where it shows only sessions that
/// were started before any session that was looked for. No page was left out. All pages came from one account, by one identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompleteList {
    /// When its first page was asked for. The list may lack a session that was started later.
    pub began: Instant,
    pub ended: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListAnswer {
    Shown(Shown),
    Lacking(CompleteList),
    Failed,
    Endless,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub id: String,
    pub status: SessionStatus,
    pub at: Instant,
}

#[derive(Debug)]
struct Request {
    wanted: ListRequest,
    asked_at: Instant,
}

#[derive(Debug)]
struct Running {
    cursor: ListCursor,
    /// How far back it is read. None: to its end.
    back_to: Option<Timestamp>,
    /// The objects that had asked when the list began. The list is searched for all of them to its end, also for those that
    /// were told meanwhile that a call had failed, since they may ask again.
    covered: HashMap<Asker, Covered>,
}

#[derive(Debug)]
struct Covered {
    wanted: ListRequest,
    shown: Option<Shown>,
}

impl Running {
    fn covers(&self, asker: &Asker, wanted: &ListRequest) -> Option<&Covered> {
        let covered = self.covered.get(asker)?;
        let is_same = covered.wanted.sought == wanted.sought && covered.wanted.since == wanted.since;
        (is_same && wanted.accepts(self.cursor.began)).then_some(covered)
    }
}

/// The objects that wait for complete lists, the list that is being made, and the answers that haven't been fetched yet.
#[derive(Debug, Default)]
pub(super) struct CompleteLists {
    requests: HashMap<Asker, Request>,
    running: Option<Running>,
    answers: HashMap<Asker, (ListRequest, ListAnswer)>,
    /// The objects that haven't been told yet that there is an answer.
    news: Vec<Asker>,
}

impl CompleteLists {
    /// See [`Plan::ask_for_list`](super::plan::Plan::ask_for_list).
    pub(super) fn ask(&mut self, asker: &Asker, wanted: &ListRequest, now: Instant) -> bool {
        let is_answered = self.answers.get(asker).is_some_and(|(answered, _)| answered == wanted);
        if is_answered || self.requests.get(asker).is_some_and(|request| request.wanted == *wanted) {
            return false;
        }
        self.answers.remove(asker);
        let shown = self.running.as_ref().and_then(|running| running.covers(asker, wanted)?.shown.clone());
        self.requests.insert(asker.clone(), Request { wanted: wanted.clone(), asked_at: now });
        if let Some(shown) = shown {
            self.answer(asker, ListAnswer::Shown(shown));
        }
        true
    }

    pub(super) fn forget(&mut self, asker: &Asker) {
        self.requests.remove(asker);
        self.answers.remove(asker);
    }

    pub(super) fn take_answer(&mut self, asker: &Asker, wanted: &ListRequest) -> Option<ListAnswer> {
        let (answered, found) = self.answers.remove(asker)?;
        (answered == *wanted).then_some(found)
    }

    pub(super) fn take_news(&mut self) -> Vec<Asker> {
        std::mem::take(&mut self.news)
    }

    fn answer(&mut self, asker: &Asker, found: ListAnswer) {
        let Some(request) = self.requests.remove(asker) else { return };
        self.answers.insert(asker.clone(), (request.wanted, found));
        self.news.push(asker.clone());
    }

    fn answer_all(&mut self, found: &ListAnswer, is_meant: impl Fn(&Asker, &ListRequest) -> bool) {
        let meant = self.requests.iter().filter(|(asker, request)| is_meant(asker, &request.wanted));
        let askers: Vec<_> = meant.map(|(asker, _)| asker.clone()).collect();
        askers.iter().for_each(|asker| self.answer(asker, found.clone()));
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.requests.is_empty()
    }

    pub(super) fn is_under_way(&self) -> bool {
        let Some(running) = &self.running else { return false };
        self.requests.iter().any(|(asker, request)| running.covers(asker, &request.wanted).is_some())
    }

    pub(super) fn cursor(&self) -> Option<&ListCursor> {
        self.running.as_ref().map(|running| &running.cursor)
    }

    /// When the next list is to begin. None: no object waits for a list, or one waits for the list that is being made.
    pub(super) fn next(&self, timing: &Timing) -> Option<Instant> {
        if !self.is_wanted() || self.is_under_way() {
            return None;
        }
        let asked_at = |is_pressing| {
            let requests = self.requests.values().filter(move |request| request.wanted.is_pressing == is_pressing);
            requests.map(|request| request.asked_at)
        };
        // After a restart, or a deletion of many objects, objects ask one after the other: a list begins when none has asked
        // for a while.
        let (lull, longest) = (timing.changing, timing.changing * 5);
        let pressing = asked_at(true).min().zip(asked_at(true).max());
        let pressing = pressing.map(|(first, last)| (last + lull).min(first + longest));
        let routine = asked_at(false).min().map(|first| first + timing.steady);
        pressing.into_iter().chain(routine).min()
    }

    pub(super) fn begin(&mut self, now: Instant) {
        let requests = self.requests.iter().filter(|(_, request)| request.wanted.accepts(now));
        let covers = |request: &Request| Covered { wanted: request.wanted.clone(), shown: None };
        let covered: HashMap<_, _> = requests.map(|(asker, request)| (asker.clone(), covers(request))).collect();
        let is_bounded = covered.values().all(|covered| covered.wanted.since.is_some());
        let earliest = covered.values().filter_map(|covered| covered.wanted.since).min();
        let back_to = if is_bounded { earliest } else { None };
        self.running = Some(Running { cursor: ListCursor::new(EVERY_STATE, false, now), back_to, covered });
    }

    pub(super) fn read(&mut self, page: &SessionPage, sent: Instant, now: Instant) {
        self.show(page, sent);
        let Some(mut running) = self.running.take() else { return };
        // The newest sessions stand first. A start that can't be doesn't show that the rest of the list is older.
        let last = page.sessions.last().and_then(|(_, status)| status.started_at);
        let is_far_enough =
            last.zip(running.back_to).is_some_and(|(last, back_to)| last < back_to && !predates_athena(last));
        if !running.cursor.advance(page.next_token.clone(), is_far_enough) {
            let list = CompleteList { began: running.cursor.began, ended: now };
            self.answer_all(&ListAnswer::Lacking(list), |asker, wanted| {
                running.covers(asker, wanted).is_some_and(|covered| covered.shown.is_none())
            });
        } else if running.cursor.calls >= MOST_PAGES {
            self.answer_all(&ListAnswer::Endless, |asker, wanted| running.covers(asker, wanted).is_some());
        } else {
            self.running = Some(running);
        }
    }

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
        for covered in self.running.iter_mut().flat_map(|running| running.covered.values_mut()) {
            if covered.shown.is_none() {
                covered.shown = shown.get(&covered.wanted.sought).cloned();
            }
        }
        // Objects that have asked since the list began are answered too: a session that a page shows exists.
        let asked = self.requests.iter().filter(|(_, request)| request.wanted.accepts(at));
        let found: Vec<_> = asked
            .filter_map(|(asker, request)| Some((asker.clone(), shown.get(&request.wanted.sought)?.clone())))
            .collect();
        found.into_iter().for_each(|(asker, shown)| self.answer(&asker, ListAnswer::Shown(shown)));
    }

    /// ListSessions fails. All objects that wait are told so, since no list can be had: they tell people, and ask again. A
    /// failure that probably passes is told only when it lasts. Until then the list goes on by itself.
    pub(super) fn fail(&mut self, backoff: &Backoff) {
        let may_pass = backoff.class.may_pass();
        if !may_pass || backoff.attempts >= TOLD_AFTER {
            self.answer_all(&ListAnswer::Failed, |_, _| true);
        }
    }

    pub(super) fn drop_running(&mut self) {
        self.running = None;
    }

    /// Forgets a list that was left unfinished long ago, and that no object has asked for again.
    pub(super) fn forget_unfinished(&mut self, timing: &Timing, now: Instant) {
        if !self.is_under_way() {
            self.running.take_if(|running| running.cursor.began + timing.rarely() * 2 < now);
        }
    }

    /// Another account answers by now. The objects that wait still do, but nothing that was read counts any more.
    pub(super) fn reset(&mut self) {
        self.running = None;
        self.answers.clear();
    }
}

pub fn endless() -> CallError {
    CallError {
        operation: Operation::ListSessions,
        class: ErrorClass::Unavailable,
        code: "EndlessListing".to_owned(),
        message: format!("the list of sessions has more than {MOST_PAGES} pages"),
        request_id: None,
    }
}
