//! The answers of Athena and of the API server that are kept. PURE.

use std::time::Instant;

use crate::athena::types::{CallError, SessionStatus, Source};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub status: SessionStatus,
    pub at: Instant,
    /// A TerminateSession has been sent since, and how the session stands after it isn't known.
    pub doubtful: bool,
    pub source: Source,
}

/// Which GetSession is still wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Described {
    #[default]
    No,
    Yes,
    /// One has since the session ended: its statistics are final.
    AfterEnd,
}

/// Answers that the session doesn't exist. They prove nothing singly.
#[derive(Clone, Debug)]
pub struct Absence {
    pub first: Instant,
    pub last: Instant,
    pub error: CallError,
    /// When its work group's sessions were listed in every state, completely, without it.
    pub unlisted_at: Option<Instant>,
}

/// Another object, which a session belongs to, as it was read from the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRead {
    pub uid: String,
    pub at: Instant,
    /// Whether it is still there, and will end the session if it is deleted.
    pub stands: bool,
}
