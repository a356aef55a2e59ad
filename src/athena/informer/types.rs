//! What the informer is asked for, what it does next, and the news that it sends. PURE.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::athena::engine::EngineKnowledge;
pub use crate::athena::quota::Key as Asker;
use crate::athena::types::{AwsTarget, CallError, ErrorClass, SessionState};
use crate::timing::Timing;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// The watcher has never seen the session. Athena may have said that the session doesn't exist.
    FirstSight,
    /// An end that was asked for is under way, and isn't overdue. The calls for the session are urgent.
    Ending,
    Changing,
    Steady,
}

impl Interest {
    pub(super) fn expects_change(self) -> bool {
        matches!(self, Self::Ending | Self::Changing)
    }

    pub(super) fn interval(self, timing: &Timing) -> Duration {
        if self.expects_change() { timing.changing } else { timing.steady }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// This session has changed, or its watchers have to call Athena for it.
    Session(String),
    /// There is an answer for this object, which has asked for a complete list.
    ListAnswer(Asker),
    /// All sessions of this work group have been listed.
    FullScan { target: AwsTarget, work_group: String },
    /// What is known of the engine of this work group has changed.
    Engine { target: AwsTarget, work_group: String },
}

#[derive(Clone, Debug, Default)]
pub struct Census {
    /// How many sessions are in each state that isn't an end. None until the sessions have been listed.
    pub sessions: Option<BTreeMap<String, u32>>,
    pub declared: u32,
    pub trouble: Option<CallError>,
    pub engine: EngineKnowledge,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Tell the watchers of these sessions that there is news.
    NotifyWatchers(Vec<String>),
    /// Tell these objects that there is an answer to their request for a complete list.
    NotifyAskers(Vec<Asker>),
    /// Wait until then, or until something else is wanted.
    Wait(Option<Instant>),
    GetSessionStatus {
        id: String,
        urgent: bool,
    },
    ListSessions {
        filter: Option<SessionState>,
        token: Option<String>,
        urgent: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallFailure {
    pub class: ErrorClass,
    /// From 0 to 1: takes up to half of the wait for the next try away, so that retries are spread.
    pub jitter: f64,
}
