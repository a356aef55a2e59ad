//! The calls to AWS: which operations there are, and what a failure means.

use std::fmt;

use crate::athena::denial::Denial;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    GetSession,
    GetSessionStatus,
    GetWorkGroup,
    ListSessions,
    ListTagsForResource,
    StartSession,
    TagResource,
    /// Ends a session. A repeated call is harmless: for a session that has ended or is TERMINATING it does nothing.
    TerminateSession,
    /// Tells the account that calls go to. This is an operation of STS; the others are Athena's.
    GetCallerIdentity,
}

impl Operation {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GetSession => "GetSession",
            Self::GetSessionStatus => "GetSessionStatus",
            Self::GetWorkGroup => "GetWorkGroup",
            Self::ListSessions => "ListSessions",
            Self::ListTagsForResource => "ListTagsForResource",
            Self::StartSession => "StartSession",
            Self::TagResource => "TagResource",
            Self::TerminateSession => "TerminateSession",
            Self::GetCallerIdentity => "GetCallerIdentity",
        }
    }

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// InvalidRequestException or ResourceNotFoundException: the session may not exist, the request may be wrong, or
    /// another resource may be missing. So this class alone doesn't prove that a session doesn't exist.
    NotFoundOrInvalid,
    /// Too many calls. The call had no effect.
    Throttled,
    /// The identity lacks a right, or its credentials aren't valid. The call had no effect.
    Denied,
    /// AWS refused the call for another reason. The call had no effect.
    Invalid,
    /// No Region or no credentials to call with. Nothing was sent.
    NotConfigured,
    /// Athena has no capacity for another session now. No session was started.
    NoCapacity,
    /// The client request token has been used for a session already.
    AlreadyStarted,
    /// No answer, or an error on the side of AWS. The call may have had its effect.
    Unavailable,
}

impl ErrorClass {
    /// Whether the failure may pass by itself, without anybody's doing.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable)
    }

    /// Every class, for tests that go through all of them.
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

    /// Whether Athena couldn't be asked, or gave no usable answer. An outage says nothing about a single session.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::Unavailable | Self::NotConfigured)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {code}: {message}")]
pub struct CallError {
    pub operation: Operation,
    pub class: ErrorClass,
    /// AWS' code of the error; a word of the operator's own where AWS sent none.
    pub code: String,
    /// The error's message, on one line and of bounded length.
    pub message: String,
    pub request_id: Option<String>,
}

impl CallError {
    /// Why AWS denied the call; None where the call failed for another reason.
    pub fn denial(&self) -> Option<Denial<'_>> {
        if self.class == ErrorClass::Denied { Some(Denial::read(&self.code, &self.message)) } else { None }
    }

    /// Whether both errors tell a person the same. Messages are compared only for invalid requests: there, only the
    /// message says what is wrong, and other messages may hold a time. Denials are compared by the right and the
    /// resource.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let by_message = matches!(self.class, ErrorClass::NotFoundOrInvalid | ErrorClass::Invalid);
        (self.operation, self.class, &self.code) == (other.operation, other.class, &other.code)
            && if by_message { self.message == other.message } else { self.denial() == other.denial() }
    }

    /// Whether AWS itself gave no answer: nothing came back, or something that AWS wouldn't send.
    pub fn is_unanswered(&self) -> bool {
        let own = ["NoAnswer", "NoCredentials", "Timeout", "UnusableAnswer", "AnswerTooLarge"];
        self.class == ErrorClass::Unavailable && own.contains(&self.code.as_str())
    }
}
