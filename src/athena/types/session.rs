//! A session of Athena: what StartSession is asked for, and what the answers of Athena say.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use jiff::Timestamp;

use crate::api::start::{EngineConfiguration, MonitoringConfiguration};
use crate::athena::engine::Engine;
use crate::athena::marker::Marker;
use crate::text::{cut, visible};

/// The most bytes that are kept of the name of a state that isn't known.
const WORD_BYTES: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SessionState {
    Creating,
    Created,
    /// Accepts a calculation.
    Idle,
    /// Runs a calculation.
    Busy,
    Terminating,
    Terminated,
    /// The session has no healthy coordinators. AWS bills it all the same.
    Degraded,
    Failed,
    /// An end with a name that this operator doesn't know: Athena says when the session ended. Holds Athena's name of
    /// the state.
    Ended(String),
    /// A state that this operator doesn't know. It counts as not ended. Holds Athena's name of the state.
    Unknown(String),
}

impl SessionState {
    pub const KNOWN: [Self; 8] = [
        Self::Creating,
        Self::Created,
        Self::Idle,
        Self::Busy,
        Self::Terminating,
        Self::Terminated,
        Self::Degraded,
        Self::Failed,
    ];

    /// The state filters of ListSessions that together show each session: each known state once, and no filter once.
    /// Without a filter Athena shows active sessions, also those in a state that this operator doesn't know.
    pub const FILTERS: [Option<Self>; 9] = [
        Some(Self::Creating),
        Some(Self::Created),
        Some(Self::Idle),
        Some(Self::Busy),
        Some(Self::Degraded),
        Some(Self::Terminating),
        Some(Self::Terminated),
        Some(Self::Failed),
        None,
    ];

    /// Whether the session has ended. A session that has ended never runs again.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Terminated | Self::Failed | Self::Ended(_))
    }

    /// Reads the state from Athena's word for it.
    ///
    /// A session in a state that this operator doesn't know has ended if Athena tells when it ended: in some answers
    /// Athena calls an ended session of Spark 3.5 STOPPED. In a known state the time of the end doesn't count. A text
    /// that isn't written as Athena writes states (with white space around it, say) never counts as an end.
    pub fn read(word: &str, ended_at: Option<Timestamp>) -> Self {
        let is_of_state = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        if word.is_empty() || !word.bytes().all(is_of_state) {
            // The quotes show people what is wrong with the word.
            return Self::Unknown(cut(&format!("\"{}\"", visible(word)), WORD_BYTES));
        }
        match Self::from(word) {
            Self::Unknown(word) if ended_at.is_some() => Self::Ended(cut(&word, WORD_BYTES)),
            Self::Unknown(word) => Self::Unknown(cut(&word, WORD_BYTES)),
            state => state,
        }
    }

    /// The word under which sessions in this state are counted. All unknown states are counted under one word.
    /// Otherwise Athena could give a metric labels without bound.
    pub fn counted_as(&self) -> &str {
        match self {
            Self::Ended(_) | Self::Unknown(_) => "UNKNOWN",
            state => state.as_str(),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Creating => "CREATING",
            Self::Created => "CREATED",
            Self::Idle => "IDLE",
            Self::Busy => "BUSY",
            Self::Terminating => "TERMINATING",
            Self::Terminated => "TERMINATED",
            Self::Degraded => "DEGRADED",
            Self::Failed => "FAILED",
            Self::Ended(word) | Self::Unknown(word) => word,
        }
    }
}

impl From<&str> for SessionState {
    fn from(word: &str) -> Self {
        let known = Self::KNOWN.into_iter().find(|state| state.as_str() == word);
        known.unwrap_or_else(|| Self::Unknown(word.to_owned()))
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which kind of answer showed the state of a session. The kind decides whether an end that the answer shows is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// ListSessions or TerminateSession. An end that these answers show isn't final: a later GetSession or
    /// GetSessionStatus may contradict it.
    List,
    /// GetSession or GetSessionStatus for this session. An end that these answers show is final.
    Call,
}

/// Athena's `SessionStatus`, which GetSessionStatus, GetSession and ListSessions have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    pub state: SessionState,
    pub state_change_reason: Option<String>,
    pub started_at: Option<Timestamp>,
    pub idle_since: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// The session's description, in a page of ListSessions. Other answers don't have it, and the informer doesn't keep it.
    pub description: Option<Box<str>>,
    /// The marker in the session's description. GetSessionStatus doesn't show descriptions.
    pub marker: Option<Box<Marker>>,
    /// The session's engine, from ListSessions or GetSession. GetSessionStatus doesn't show engines.
    pub engine: Option<Engine>,
}

impl SessionStatus {
    /// Adds the description, the marker and the engine of an earlier answer, where this answer doesn't show them. They never
    /// change.
    pub fn after(self, before: Option<&Self>) -> Self {
        let description = self.description.or_else(|| before?.description.clone());
        let marker = self.marker.or_else(|| before?.marker.clone());
        let engine = self.engine.or_else(|| before?.engine.clone());
        Self { description, marker, engine, ..self }
    }
}

/// A session as a complete list shows it.
#[derive(Clone, Copy, Debug)]
pub struct ListedSession<'a> {
    /// The session's id.
    pub id: &'a str,
    /// The session's status, with its mark.
    pub status: &'a SessionStatus,
    /// The session's description, where it has one.
    pub description: Option<&'a str>,
}

impl<'a> ListedSession<'a> {
    /// The session of this id, whose status was read together with the description.
    pub fn new(id: &'a str, status: &'a SessionStatus) -> Self {
        Self { id, status, description: status.description.as_deref() }
    }

    /// The oldest session first: it has most surely been forgotten. One without a start comes last.
    pub fn age_order(&self) -> (bool, Option<Timestamp>, &'a str) {
        let started_at = self.status.started_at;
        (started_at.is_none(), started_at, self.id)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartRequest {
    pub work_group: String,
    /// The client request token. Athena starts one session for one token, however often the call is repeated.
    pub token: String,
    /// The description. It ends with the marker of the object.
    pub description: String,
    pub engine: EngineConfiguration,
    pub notebook_version: Option<String>,
    pub execution_role: Option<String>,
    pub monitoring: Option<MonitoringConfiguration>,
    pub tags: BTreeMap<String, String>,
    pub copy_work_group_tags: Option<bool>,
    /// After how long without a calculation Athena ends the session, 1 to 480 minutes.
    pub idle_timeout_minutes: Option<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub status: SessionStatus,
    pub work_group: String,
    /// How long the session's DPUs have run: `Statistics.DpuExecutionInMillis`.
    pub dpu_execution_millis: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionPage {
    /// The id and the status of each session on the page, in Athena's order.
    pub sessions: Vec<(String, SessionStatus)>,
    pub next_token: Option<String>,
}

impl SessionPage {
    /// A page of these sessions. The same session may be listed twice on one page. Then the entry that shows the
    /// session as not ended replaces the entry that shows an end: a page that contradicts itself must not count as an
    /// end.
    pub fn of(sessions: impl IntoIterator<Item = (String, SessionStatus)>, next_token: Option<String>) -> Self {
        let mut kept: Vec<(String, SessionStatus)> = Vec::new();
        for (id, status) in sessions {
            match kept.iter_mut().find(|(known, _)| *known == id) {
                Some(_) if status.state.is_ended() => {}
                Some((_, before)) => *before = status,
                None => kept.push((id, status)),
            }
        }
        Self { sessions: kept, next_token }
    }
}

/// What the poller of a session's work group knows of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled<'a> {
    Seen {
        status: &'a SessionStatus,
        at: Instant,
        source: Source,
    },
    /// The poller can't tell. The object makes a call of its own.
    AskYourself,
    NotYet,
}
