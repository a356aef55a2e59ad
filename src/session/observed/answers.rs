//! The answers of Athena and of the API server that are kept, and the moments that they are compared with. PURE.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::athena::types::{CallError, SessionStatus, Source};
use crate::index::access::WorkGroupLimits;

/// An answer counts as one of now for so long: longer than one reconciliation takes between two answers.
pub const ANSWER_LIFE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For what is recorded and compared with Athena's and Kubernetes' times.
    pub wall: Timestamp,
    /// For every wait: it doesn't jump when somebody sets the clock.
    pub tick: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub status: SessionStatus,
    pub at: Instant,
    /// TerminateSession was called since then, with an unknown result, so this status may be out of date.
    pub doubtful: bool,
    pub source: Source,
}

/// Whether GetSession has answered for this session, and whether it did so after the session's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Described {
    #[default]
    No,
    Yes,
    /// GetSession has answered since the session ended, so the statistics are final.
    AfterEnd,
}

/// The answers so far that the session doesn't exist. One such answer alone proves nothing.
#[derive(Clone, Debug)]
pub struct Absence {
    pub first: Instant,
    pub last: Instant,
    pub error: CallError,
    /// When its work group's sessions were listed in every state, completely, without it.
    pub unlisted_at: Option<Instant>,
}

/// The limits of the object's AthenaWorkGroup, as it was read from the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitsRead {
    pub at: Instant,
    /// None where it sets no limits for the object's session, can't be read, or doesn't exist.
    pub limits: Option<WorkGroupLimits>,
}

/// Another object, which a session belongs to, as it was read from the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRead {
    pub uid: String,
    pub at: Instant,
    /// Whether the owner exists, and the session is ended when the owner is deleted.
    pub stands: bool,
}
