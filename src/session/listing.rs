//! A listing of a work group that is under way. PURE.

use crate::athena::port::{CallError, ErrorClass, Operation, SessionState};

/// How far a listing has come: page by page, through each filter, so that a long one is neither
/// started anew after each failure nor keeps its object from everything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The place in [`SessionState::FILTERS`].
    filter: usize,
    /// Athena's token for the next page.
    next_token: Option<String>,
    pages: u32,
}

impl Listing {
    /// Two hundred thousand sessions; beyond it the tokens most probably go in a circle.
    const MOST_PAGES: u32 = 2_000;

    /// Where the next page begins: its filter and its token.
    #[must_use]
    pub fn place(&self) -> (Option<&SessionState>, Option<&str>) {
        (SessionState::FILTERS.get(self.filter).and_then(Option::as_ref), self.next_token.as_deref())
    }

    /// A page has been read.
    pub(super) fn turn(mut self, next_token: Option<String>) -> Turn {
        self.pages += 1;
        if next_token.is_none() {
            self.filter += 1;
        }
        self.next_token = next_token;
        if self.filter >= SessionState::FILTERS.len() {
            Turn::Complete
        } else if self.pages < Self::MOST_PAGES {
            Turn::GoesOn(self)
        } else {
            Turn::Endless(CallError {
                operation: Operation::ListSessions,
                class: ErrorClass::Unavailable,
                code: "EndlessListing".to_owned(),
                message: format!("no end after {} pages", self.pages),
                request_id: None,
            })
        }
    }
}

/// What follows a page.
pub(super) enum Turn {
    Complete,
    GoesOn(Listing),
    Endless(CallError),
}
