//! What the informer is asked, says and is told: the words of its pure half.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::full_list::Asker;
use super::store::{Pace, Sight};
pub use crate::athena::types::SessionPage;
use crate::athena::types::{ErrorClass, SessionState};
use crate::timing::Timing;

/// What follows from the intervals for looking.
impl Timing {
    pub(super) fn of(&self, pace: Pace) -> Duration {
        if pace.is_fast() { self.changing } else { self.steady }
    }

    /// What is due so soon is looked for together with what is due.
    pub(super) fn near(&self) -> Duration {
        self.changing / 4
    }

    /// How long wishes are gathered.
    pub(super) fn gather(&self) -> Duration {
        self.changing / 20
    }

    /// How old a sighting may become while lists don't show what is looked for. It leaves a sweep time to show it.
    pub(super) fn patience(&self) -> Duration {
        self.steady * 3 / 2
    }
}

/// What is known of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting<'a> {
    /// Athena showed it.
    Seen(&'a Sight),
    /// It won't be looked for here: whoever watches it calls for itself, and tells ([`told`](super::plan::Plan::told)).
    AskYourself,
    /// Nothing, so far. Whoever watches it is woken when that changes.
    NotYet,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// There is news of these watched sessions.
    Wake(Vec<String>),
    /// There are answers for these objects, which have asked for complete lists.
    Tell(Vec<Asker>),
    /// Nothing until then, or until something is watched; ask again.
    Wait(Option<Instant>),
    /// Call GetSessionStatus.
    Status {
        /// The session.
        id: String,
        /// Whether an end that was asked for waits for it.
        urgent: bool,
    },
    /// Call ListSessions.
    Page {
        /// Only sessions of this state.
        filter: Option<SessionState>,
        /// Where the page begins.
        token: Option<String>,
        /// Whether an end that was asked for waits for it.
        urgent: bool,
    },
}

/// A call that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failure {
    /// What it means.
    pub class: ErrorClass,
    /// From 0 to 1: takes up to half of the wait for the next try away, to spread them.
    pub jitter: f64,
}

/// An operation that fails at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What the last failure means.
    pub class: ErrorClass,
    /// When the first one was sent.
    pub since: Instant,
    /// When the last one failed.
    pub at: Instant,
    /// How many in a row.
    pub attempts: u32,
    /// No such call before.
    pub retry_at: Instant,
}

/// The sessions that haven't ended, by Athena's word for their state.
pub type Counts = BTreeMap<String, usize>;
