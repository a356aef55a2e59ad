//! What is told of an object, and what holds up what is asked for. PURE.

use crate::status::reason::Reason;

/// Where an object stands, and the sentence that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub reason: Reason,
    /// The message for people. It must not change while nothing changes, since each change is a write of the status.
    pub message: String,
}

#[derive(Debug, Default)]
pub struct Findings {
    /// What keeps the session from being handed over, or from being ended with its workloads.
    pub handover: Option<Finding>,
    /// Calls would go to another account or Region than the session's, so that nothing may be called.
    pub wrong_target: Option<Finding>,
    pub end_blocker: Option<Finding>,
    /// What keeps the session from being started, or from being started again. People are told of it only where no session may
    /// run: see [`Start::may_run`](crate::session::rules::start::Start).
    pub start_blocker: Option<Finding>,
    /// How the start stands, of an object whose session isn't known.
    pub start: Option<Finding>,
    /// How the session stands. Its ConfigMap and its workloads don't count.
    pub session: Option<Finding>,
    /// Why an object without our finalizer isn't taken on.
    pub not_taken_on: Option<Finding>,
    /// What people are told. None while nothing is known that would be worth a write.
    pub told: Option<Finding>,
}
