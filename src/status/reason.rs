//! The reasons of conditions, as one table: for each reason its meaning, the conditions, when the object is looked at
//! again, and whether there is a Warning event.

use std::fmt;
use std::time::Duration;

macro_rules! reasons {
    ($(
        $(#[doc = $meaning:literal])+
        $reason:ident of $kinds:ident: $active:ident, $standing:ident, $pace:ident, $warns:literal;
    )+) => {
        /// Where an [`AthenaSession`](crate::api::session::AthenaSession) stands. It is the `reason` of the
        /// conditions `Ready`, `Reconciling` and `Stalled`, and the column REASON.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $meaning])+ $reason,)+
        }

        impl Reason {
            pub const TABLE: &[Row] = &[
                $(Row {
                    reason: Self::$reason,
                    word: stringify!($reason),
                    meaning: concat!($($meaning),+),
                    kinds: Kinds::$kinds,
                    active: Tristate::$active,
                    standing: Standing::$standing,
                    pace: Pace::$pace,
                    warns: $warns,
                },)+
            ];
        }
    };
}

reasons! {
    // Reason of which kinds: Active, standing, pace, whether it is a Warning event.

    /// Athena is starting the session.
    Starting of Session: False, Reconciling, Fast, false;
    /// The AthenaWorkGroup doesn't allow the session that spec.start asks for.
    StartNotAllowed of Session: False, Stalled, Slow, true;
    /// The work group's engine doesn't take what spec.start asks for.
    EngineRefuses of Session: False, Stalled, Slow, true;
    /// The object was restored from a backup. It starts no session until an annotation allows the start.
    Restored of Session: False, Stalled, Slow, true;
    /// The namespace has as many sessions as the AthenaWorkGroup allows.
    WaitingForQuota of Session: False, Reconciling, Slow, false;
    /// Athena has no capacity for another session now.
    WaitingForCapacity of Session: False, Reconciling, BackOff, false;
    /// The workloads of spec.endWith are suspended, or have finished, so no session is started for them.
    WaitingForWorkload of Session: False, Reconciling, Slow, false;
    /// StartSession may have been called, and nothing shows whether a session was started.
    StartUnclear of Session: False, Stalled, Slow, true;
    /// The session can be used.
    Running of Session: True, Ready, Slow, false;
    /// A ConfigMap of the name in spec.publishTo exists already, and belongs to somebody else.
    PublishConflict of Session: True, Stalled, Slow, true;
    /// The API server doesn't let the operator read or write the ConfigMap of spec.publishTo.
    PublishForbidden of Session: True, Stalled, Slow, true;
    /// The operator runs without --end-with, so that spec.endWith doesn't end the session.
    EndWithDisabled of Session: True, Stalled, Slow, true;
    /// The API server doesn't let the operator read the workloads that spec.endWith names.
    EndWithForbidden of Session: True, Stalled, Slow, true;
    /// AWS denies the operator GetSession. The session can be used, and is ended when that is asked for.
    GetSessionDenied of Session: True, Stalled, Slow, true;
    /// The session has no healthy coordinators and can't be used, but is billed. A person has to end it.
    Degraded of Session: False, Stalled, Slow, true;
    /// Athena names a state that this operator doesn't know.
    StateUnknown of Session: Unknown, Reconciling, Slow, true;
    /// The end is asked for. The session is BUSY, and may finish its work in the grace period first.
    Draining of Session: False, Reconciling, Fast, false;
    /// The session is being ended.
    Terminating of Session: False, Reconciling, Fast, false;
    /// The end takes longer than it should.
    TerminationOverdue of Session: False, Stalled, Slow, true;
    /// The session has ended.
    Ended of Session: False, Ready, Never, false;
    /// The session failed before its end was asked for, or couldn't be started before its workloads had finished.
    Failed of Session: False, Stalled, Never, true;
    /// Athena doesn't know the session.
    SessionNotFound of Session: False, Stalled, Slow, true;
    /// The operator's AWS account isn't the one that the session was seen in.
    WrongAccount of Both: Unknown, Stalled, Slow, true;
    /// The operator's Region isn't the one that the session was seen in.
    WrongRegion of Session: Unknown, Stalled, Slow, true;
    /// The operator can't find out which AWS account it works in.
    AccountUnknown of Both: Unknown, Reconciling, Fast, false;
    /// AWS denies the operator a call.
    AccessDenied of Both: Unknown, Stalled, Slow, true;
    /// Athena refuses the request as invalid.
    Invalid of Both: Unknown, Stalled, Slow, true;
    /// The operator has no AWS credentials or no Region.
    AwsNotConfigured of Both: Unknown, Stalled, BackOff, true;
    /// Athena throttles the operator's calls.
    Throttled of Both: Unknown, Reconciling, BackOff, false;
    /// Athena doesn't answer, or answers with an error of its own.
    AthenaUnavailable of Both: Unknown, Reconciling, BackOff, true;
    /// The AthenaWorkGroup can be used.
    Available of WorkGroup: Unknown, Ready, Slow, false;
    /// The AthenaWorkGroup is being deleted, and AthenaSessions that refer to it are still there.
    InUse of WorkGroup: Unknown, Reconciling, Fast, false;
    /// The selector of the AthenaWorkGroup can't be read, so it selects no namespace.
    InvalidSelector of WorkGroup: Unknown, Stalled, Never, true;
    /// Athena doesn't know the work group of the AthenaWorkGroup, or can't use it.
    WorkGroupUnknown of WorkGroup: Unknown, Stalled, Slow, true;
    /// The work group isn't for Spark, so it has no sessions.
    WorkGroupNotSpark of Both: False, Stalled, Slow, true;
    /// The object has no workGroupRef, and the operator runs with --require-work-group.
    WorkGroupRequired of Session: Unknown, Stalled, Never, true;
    /// The AthenaWorkGroup that the object refers to doesn't exist.
    WorkGroupNotFound of Session: Unknown, StalledLater, Slow, true;
    /// The AthenaWorkGroup doesn't select the object's namespace.
    NamespaceNotAllowed of Session: Unknown, StalledLater, Slow, true;
    /// The AthenaWorkGroup is being deleted, and takes no new sessions.
    WorkGroupTerminating of Session: Unknown, Stalled, Never, true;
    /// The session isn't in the work group that the object refers to.
    WrongWorkGroup of Session: Unknown, Stalled, Never, true;
    /// The session belongs to another AthenaSession.
    AlreadyDeclared of Session: Unknown, Stalled, Slow, true;
    /// The annotation athena-operator.dev/paused prevents the start or the end that is asked for.
    Paused of Session: Unknown, Stalled, Slow, true;
    /// The operator runs with --read-only, so it doesn't make the call that would start or end the session.
    ReadOnly of Session: Unknown, Stalled, Slow, true;
}

/// Which kinds have a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    Session,
    WorkGroup,
    Both,
}

/// The three values of a condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tristate {
    True,
    False,
    Unknown,
}

/// How far an object is what its spec asks, as kstatus sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Ready,
    Reconciling,
    /// `Stalled` is True: it can't go on without a person. It is retried all the same.
    Stalled,
    /// `Reconciling` at first, since things arrive out of order, and `Stalled` after [`ARRIVAL`].
    StalledLater,
}

/// How long something may be missing before a person has to look.
pub const ARRIVAL: Duration = Duration::from_secs(120);

/// When an object with this reason is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Something is changing: after `--poll-interval-changing`.
    Fast,
    /// Nothing is expected to change soon: after `--poll-interval`.
    Slow,
    /// After a wait that doubles each time, from `--backoff-min` to `--backoff-max`.
    BackOff,
    /// Not again: an end is final.
    Never,
}

#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub reason: Reason,
    pub word: &'static str,
    pub meaning: &'static str,
    pub kinds: Kinds,
    /// Condition `Active`, as long as no end is asked for; afterwards it is False.
    pub active: Tristate,
    /// Conditions `Ready`, `Reconciling` and `Stalled`.
    pub standing: Standing,
    pub pace: Pace,
    /// Whether a Warning event is sent, once, when an object gets this reason.
    pub warns: bool,
}

impl Reason {
    pub const fn row(self) -> &'static Row {
        &Self::TABLE[self as usize]
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::TABLE.iter().find(|row| row.word == word).map(|row| row.reason)
    }

    pub const fn as_str(self) -> &'static str {
        self.row().word
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
