//! What Athena can tell and be told, without the AWS SDK: the words that deciding uses.
//!
//! Source: the Amazon Athena API reference, version 2017-05-18. There is no trait here, since
//! there is one implementation ([`super::aws`]); tests run against a server that speaks the protocol.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::denial::Denial;
use super::engine::Engine;
use super::marker::Marker;
use crate::api::start::{EngineConfiguration, MonitoringConfiguration};
use crate::text::{cut, visible};

/// How much is kept of a word for a state that isn't known.
const WORD_BYTES: usize = 100;

/// A session's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Being started, acquiring resources.
    Creating,
    /// Started.
    Created,
    /// Accepts a calculation.
    Idle,
    /// Runs a calculation.
    Busy,
    /// Shutting down.
    Terminating,
    /// No longer running.
    Terminated,
    /// No healthy coordinators; billed all the same.
    Degraded,
    /// No longer running, due to a failure.
    Failed,
    /// The session has ended, in a state that this operator doesn't know: Athena says when it ended. Holds Athena's word.
    Ended(String),
    /// A state that this operator doesn't know: not ended.
    Unknown(String),
}

impl SessionState {
    /// The eight states that Athena documents.
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

    /// The filters of a listing that misses no session: each state, and once none at all, which shows
    /// active ones of a state that this operator doesn't know.
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

    /// Whether nothing runs any more. An end is final.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Terminated | Self::Failed | Self::Ended(_))
    }

    /// Reads the state from Athena's word for it. A session whose state isn't known, and that has an end time, has ended:
    /// Athena calls an ended session of Spark 3.5 STOPPED in some places. Where the state is known, the end time doesn't count.
    /// A word that isn't written as Athena writes states, with white space around it say, is unknown, and no sign of an end.
    #[must_use]
    pub fn read(word: &str, ended_at: Option<Timestamp>) -> Self {
        let is_athenas = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        if word.is_empty() || !word.bytes().all(is_athenas) {
            // In quotes, so that people see what is wrong with the word.
            return Self::Unknown(cut(&format!("\"{}\"", visible(word)), WORD_BYTES));
        }
        match Self::from(word) {
            Self::Unknown(word) if ended_at.is_some() => Self::Ended(cut(&word, WORD_BYTES)),
            Self::Unknown(word) => Self::Unknown(cut(&word, WORD_BYTES)),
            state => state,
        }
    }

    /// Under which word sessions in this state are counted. All states that this operator doesn't know are counted together:
    /// Athena may have a word of its own for each session.
    #[must_use]
    pub fn counted_as(&self) -> &str {
        match self {
            Self::Ended(_) | Self::Unknown(_) => "UNKNOWN",
            state => state.as_str(),
        }
    }

    /// Athena's word.
    #[must_use]
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

/// Which answer showed how a session stands. Only an end counts differently: a session that has ended doesn't come back, so
/// an end is final where the answer is about this very session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A list, or the answer to TerminateSession. An end that it shows isn't final: a later call for the session may
    /// contradict it.
    List,
    /// GetSession or GetSessionStatus, called for this session. An end that it shows is final.
    Call,
}

/// Athena's `SessionStatus`: what GetSessionStatus, GetSession and ListSessions say of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// The state.
    pub state: SessionState,
    /// Why it changed last.
    pub state_change_reason: Option<String>,
    /// When the session was started.
    pub started_at: Option<Timestamp>,
    /// Since when it is idle; absent while it isn't.
    pub idle_since: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The mark in its description. ListSessions and GetSession show it; GetSessionStatus doesn't.
    pub marker: Option<Box<Marker>>,
    /// The session's engine. ListSessions and GetSession show it; GetSessionStatus doesn't.
    pub engine: Option<Engine>,
}

impl SessionStatus {
    /// What was known of the session besides the status still holds.
    #[must_use]
    pub fn after(mut self, before: Option<&Self>) -> Self {
        if self.marker.is_none() {
            self.marker = before.and_then(|before| before.marker.clone());
        }
        if self.engine.is_none() {
            self.engine = before.and_then(|before| before.engine.clone());
        }
        self
    }
}

/// What StartSession is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartRequest {
    /// The work group.
    pub work_group: String,
    /// Athena answers the same token with the same session.
    pub token: String,
    /// Ends with the mark of the object.
    pub description: String,
    /// The resources, and Spark's settings.
    pub engine: EngineConfiguration,
    /// The version of the notebook that the settings name.
    pub notebook_version: Option<String>,
    /// The role that the session's code runs as.
    pub execution_role: Option<String>,
    /// Where logs go.
    pub monitoring: Option<MonitoringConfiguration>,
    /// By key.
    pub tags: BTreeMap<String, String>,
    /// Whether the session has the work group's tags, too.
    pub copy_work_group_tags: Option<bool>,
    /// After how long without a calculation Athena ends the session, 1 to 480 minutes.
    pub idle_timeout_minutes: Option<i32>,
}

/// What GetSession says beyond the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The status.
    pub status: SessionStatus,
    /// The session's work group.
    pub work_group: String,
    /// `Statistics.DpuExecutionInMillis`.
    pub dpu_execution_millis: Option<i64>,
}

/// A page of ListSessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The sessions on it, by id.
    pub sessions: Vec<(String, SessionStatus)>,
    /// Where the next page begins; None on the last one.
    pub next_token: Option<String>,
}

impl Listed {
    /// A page as Athena gave it. Of a session that stands on the page more than once, only the entry counts that shows it as
    /// not ended: a page that contradicts itself is no sign of an end.
    #[must_use]
    pub fn of(sessions: impl IntoIterator<Item = (String, SessionStatus)>, next_token: Option<String>) -> Self {
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut kept: Vec<(String, SessionStatus)> = Vec::new();
        for (id, status) in sessions {
            match places.get(&id) {
                Some(_) if status.state.is_ended() => {}
                Some(place) => kept[*place].1 = status,
                None => {
                    places.insert(id.clone(), kept.len());
                    kept.push((id, status));
                }
            }
        }
        Self { sessions: kept, next_token }
    }
}

/// What the poller of a session's work group says of it.
#[derive(Clone, Copy, Debug)]
pub enum Polled<'a> {
    /// A call that was sent then showed it so.
    Seen {
        /// What Athena said.
        status: &'a SessionStatus,
        /// When it was asked.
        at: Instant,
        /// Which answer said so.
        source: Source,
    },
    /// It can't tell: the object is to ask for itself.
    AskYourself,
    /// Nothing yet.
    NotYet,
}

/// By which identity, and where, a work group of Athena is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Way {
    /// The role to assume; None: the operator's own identity.
    pub role: Option<Role>,
    /// The Region; None: the operator's.
    pub region: Option<String>,
}

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// What its trust policy asks for.
    pub external_id: Option<String>,
}

/// The AWS account and Region that calls go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The role that is assumed for the calls; None: the operator's own identity makes them.
    pub role: Option<String>,
    /// The Region; None when none is configured.
    pub region: Option<String>,
    /// The account.
    pub account: Account,
    /// When STS was last asked and said so.
    pub confirmed_at: Option<Instant>,
    /// Since when it is this account: what was answered before came from another one, or from nobody knows where.
    pub since: Option<Instant>,
    /// How far Athena's clock is ahead of ours; None as long as Athena hasn't told.
    pub skew: Option<SignedDuration>,
    /// When an outage of Athena last ended. Calls that failed in it may be made again at once.
    pub recovered_at: Option<Instant>,
}

impl Scope {
    /// The time by Athena's clock, as far as that is known, when our clock shows `wall`.
    #[must_use]
    pub fn athena_time(&self, wall: Timestamp) -> Timestamp {
        wall.checked_add(self.skew.unwrap_or_default()).unwrap_or(wall)
    }
}

/// The AWS account that calls go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// As STS said.
    Known(String),
    /// STS hasn't said; why.
    Unknown(String),
}

impl Account {
    /// The account, as far as it is known.
    #[must_use]
    pub fn known(&self) -> Option<&str> {
        match self {
            Self::Known(account) => Some(account),
            Self::Unknown(_) => None,
        }
    }
}

/// The operations that the operator calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reads a session, with its work group and statistics.
    GetSession,
    /// Reads a session's status.
    GetSessionStatus,
    /// Reads a work group's engine.
    GetWorkGroup,
    /// Reads a work group's sessions.
    ListSessions,
    /// Starts a session.
    StartSession,
    /// Ends a session. It is safe to repeat: on a session that is ended or TERMINATING it succeeds
    /// and does nothing.
    TerminateSession,
    /// Tells the account that calls go to (STS).
    GetCallerIdentity,
}

impl Operation {
    /// The operation's name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GetSession => "GetSession",
            Self::GetSessionStatus => "GetSessionStatus",
            Self::GetWorkGroup => "GetWorkGroup",
            Self::ListSessions => "ListSessions",
            Self::StartSession => "StartSession",
            Self::TerminateSession => "TerminateSession",
            Self::GetCallerIdentity => "GetCallerIdentity",
        }
    }

    /// The action that IAM must allow.
    #[must_use]
    pub fn iam_action(self) -> String {
        let service = if self == Self::GetCallerIdentity { "sts" } else { "athena" };
        format!("{service}:{self}")
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a failed call means. Told by the error's code, since most real ones aren't declared by the
/// operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// InvalidRequest or ResourceNotFound: perhaps the session doesn't exist, perhaps the request
    /// is wrong, perhaps another resource is missing. By itself it proves nothing.
    NotFoundOrInvalid,
    /// Too many calls. The call had no effect.
    Throttled,
    /// No rights, or no valid credentials. The call had no effect.
    Denied,
    /// Refused for another reason. The call had no effect.
    Invalid,
    /// No Region or no credentials to call with. Nothing was sent.
    NotConfigured,
    /// Athena has no room for another session now. Nothing was started.
    NoCapacity,
    /// The token has been used for a session already.
    AlreadyStarted,
    /// No answer, or an error on Athena's side: the call may have had its effect.
    Unavailable,
}

impl ErrorClass {
    /// Every class, for tests that are exhaustive.
    pub const ALL: [Self; 8] = [
        Self::NotFoundOrInvalid,
        Self::Throttled,
        Self::Denied,
        Self::Invalid,
        Self::NotConfigured,
        Self::NoCapacity,
        Self::AlreadyStarted,
        Self::Unavailable,
    ];

    /// Whether Athena couldn't be asked at all, or gave no usable answer. Such a failure says nothing of one session.
    #[must_use]
    pub fn is_outage(self) -> bool {
        matches!(self, Self::Unavailable | Self::NotConfigured)
    }
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {code}: {message}")]
pub struct CallError {
    /// What was tried.
    pub operation: Operation,
    /// What it means.
    pub class: ErrorClass,
    /// The error's code, or a word of our own where nothing was answered.
    pub code: String,
    /// The error's message, on one line and of bounded length.
    pub message: String,
    /// AWS's id of the request, for their support.
    pub request_id: Option<String>,
}

impl CallError {
    /// Whether the two errors tell a person the same. For an invalid request the message counts, since only the message says
    /// what is wrong. For a denial the right and the resource count. Otherwise the message doesn't count: it may hold a time.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let kind = |error: &Self| (error.operation, error.class, error.code.clone());
        let by_words = matches!(self.class, ErrorClass::NotFoundOrInvalid | ErrorClass::Invalid);
        let is_same = if by_words { self.message == other.message } else { Denial::of(self) == Denial::of(other) };
        is_same && kind(self) == kind(other)
    }

    /// Whether AWS gave no answer: nothing came back, or something that AWS wouldn't say.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        let own = ["NoAnswer", "NoCredentials", "Timeout", "UnusableAnswer", "AnswerTooLarge"];
        self.class == ErrorClass::Unavailable && own.contains(&self.code.as_str())
    }
}
