//! How far the reading of lists has come, page by page. PURE.

use std::time::Instant;

use super::types::Task;
use crate::athena::types::SessionState;

/// More pages than two hundred thousand sessions take: the tokens most probably go round in a circle.
pub(crate) const MOST_PAGES: usize = 2_000;

#[derive(Debug)]
pub(super) struct ListCursor {
    filters: &'static [Option<SessionState>],
    list: usize,
    /// Which page of its list is being read. Pages count from 0.
    pub(super) page: usize,
    /// Athena's token for the page. None for the first page of a list.
    pub(super) token: Option<String>,
    /// Whether an end that was asked for waits for the answers.
    urgent: bool,
    pub(super) calls: usize,
    pub(super) began: Instant,
}

impl ListCursor {
    pub(super) fn new(filters: &'static [Option<SessionState>], urgent: bool, now: Instant) -> Self {
        Self { filters, list: 0, page: 0, token: None, urgent, calls: 0, began: now }
    }

    pub(super) fn task(&self) -> Task {
        Task::ListSessions { filter: self.filter().cloned(), token: self.token.clone(), urgent: self.urgent }
    }

    pub(super) fn filter(&self) -> Option<&SessionState> {
        self.filters[self.list].as_ref()
    }

    /// Moves on to the next page, or to the next list if this one is over or isn't to be read further.
    /// False where there is none.
    pub(super) fn advance(&mut self, token: Option<String>, is_far_enough: bool) -> bool {
        self.calls += 1;
        if let (Some(token), false) = (token, is_far_enough) {
            self.page += 1;
            self.token = Some(token);
        } else {
            self.list += 1;
            self.page = 0;
            self.token = None;
        }
        self.list < self.filters.len()
    }
}
