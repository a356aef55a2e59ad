//! Lists that are read page by page. PURE.

use std::time::Instant;

use jiff::Timestamp;

use super::types::{Ask, SessionPage};
use crate::athena::types::SessionState;

/// A sweep shows all that haven't ended: the list without a filter, and the two states that it leaves out.
pub(super) const SWEEP: &[Option<SessionState>] =
    &[None, Some(SessionState::Degraded), Some(SessionState::Terminating)];
/// Misses no session.
pub(super) const EVERY_STATE: &[Option<SessionState>] = &SessionState::FILTERS;
const STARTED: &[Option<SessionState>] = &[None];
const ENDED: &[Option<SessionState>] = &[Some(SessionState::Terminated), Some(SessionState::Failed)];

/// Two hundred thousand sessions; beyond it the tokens most probably go in a circle.
pub(super) const MOST_PAGES: usize = 2_000;

/// What a hunt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quarry {
    /// Sessions that are starting.
    Started,
    /// Sessions that have ended or are about to.
    Ended,
}

impl Quarry {
    pub(super) fn filters(self) -> &'static [Option<SessionState>] {
        match self {
            Self::Started => STARTED,
            Self::Ended => ENDED,
        }
    }
}

/// How far the reading of some lists has come.
#[derive(Debug)]
pub(super) struct Walk {
    filters: &'static [Option<SessionState>],
    filter: usize,
    token: Option<String>,
    page: usize,
    pub(super) calls: usize,
    pub(super) began: Instant,
}

impl Walk {
    pub(super) fn new(filters: &'static [Option<SessionState>], now: Instant) -> Self {
        Self { filters, filter: 0, token: None, page: 0, calls: 0, began: now }
    }

    pub(super) fn ask(&self, urgent: bool) -> Ask {
        Ask::Page { filter: self.filter().clone(), token: self.token.clone(), urgent }
    }

    pub(super) fn filter(&self) -> &Option<SessionState> {
        &self.filters[self.filter]
    }

    /// Which page of its list is being read.
    pub(super) fn page(&self) -> usize {
        self.page
    }

    pub(super) fn is_in_midst(&self) -> bool {
        self.token.is_some()
    }

    /// Goes on to the next page, or to the next list if this one is over or not to be read further.
    /// False where there is none.
    pub(super) fn turn(&mut self, token: Option<String>, far_enough: bool) -> bool {
        self.calls += 1;
        self.page += 1;
        self.token = token.filter(|_| !far_enough);
        if self.token.is_none() {
            self.page = 0;
            self.filter += 1;
        }
        self.filter < self.filters.len()
    }
}

/// The oldest start on a page; none where no session has one.
pub(super) fn oldest_on(page: &SessionPage) -> Option<Timestamp> {
    page.sessions.iter().filter_map(|(_, status)| status.started_at).min()
}

/// How deep in a list the sessions of some time are, as far as it was read. Lists go from the newest start to
/// the oldest.
#[derive(Debug, Default)]
pub(super) struct Depth {
    /// The oldest start on each page.
    pages: Vec<Timestamp>,
    /// Whether the last of them was the end.
    complete: bool,
}

impl Depth {
    pub(super) fn read(&mut self, page: usize, listed: &SessionPage) {
        let oldest = oldest_on(listed).or(self.pages.get(page.wrapping_sub(1)).copied()).unwrap_or(Timestamp::MAX);
        if page < self.pages.len() {
            self.pages[page] = oldest;
        } else {
            self.pages.push(oldest);
            self.complete = false;
        }
        if listed.next_token.is_none() {
            self.pages.truncate(page + 1);
            self.complete = true;
        }
    }

    /// The calls that it probably takes to read all that started since then; since ever, where None.
    pub(super) fn calls_to(&self, oldest: Option<Timestamp>) -> usize {
        let newer = oldest.map_or(self.pages.len(), |oldest| self.pages.partition_point(|end| *end >= oldest));
        if self.complete { (newer + 1).min(self.pages.len()) } else { newer + 1 }
    }
}
