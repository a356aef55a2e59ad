//! The parts of the operator that these tests use. Only this file knows in which module of the operator each part
//! stands, so a part moves without a change in the tests.

pub use athena_session_operator::api::cached::{CachedSession, TRACKED_BY};
pub use athena_session_operator::api::cleanup::RETAINED_TAG;
pub use athena_session_operator::api::session::{
    AthenaSession, AthenaSessionSpec, AthenaSessionStatus, DeletionPolicy, PublishTo, StartAttempt, StartOutcome,
    TerminationReason, WorkGroupRef,
};
pub use athena_session_operator::api::start::{
    Classification, EngineConfiguration, Monitoring, MonitoringConfiguration, SessionStart, StartBounds,
};
pub use athena_session_operator::api::work_group::{
    AthenaWorkGroup, AthenaWorkGroupSpec, AthenaWorkGroupStatus, From, Namespaces, SessionLimits,
};
pub use athena_session_operator::api::workload::{
    Workload, WorkloadKind, WorkloadOutcome, WorkloadRecord, WorkloadState,
};
pub use athena_session_operator::api::{FINALIZER, PAUSED, RESTORED, START_RESTORED};
pub use athena_session_operator::athena::engine::{Engine, EngineKnowledge};
pub use athena_session_operator::athena::informer::Census;
pub use athena_session_operator::athena::informer::proof_of_absence::{
    CompleteList, ListAnswer, ListRequest, Shown, Sought,
};
pub use athena_session_operator::athena::marker::Marker;
pub use athena_session_operator::athena::quota::Priority;
pub use athena_session_operator::athena::types::{
    Account, CallError, CallerContext, ErrorClass, Operation, Polled, Session, SessionPage, SessionState,
    SessionStatus, Source, StartRequest,
};
pub use athena_session_operator::index::access::{
    Access, Denied, Rules, StartAccess, Suspension, WorkGroupLimits, selects,
};
pub use athena_session_operator::index::claims::{Claim, Location};
pub use athena_session_operator::index::dependents::Dependents;
pub use athena_session_operator::index::session_quota::{QuotaExceeded, Slot, Usage};
pub use athena_session_operator::session::observed::config_map::Found as FoundConfigMap;
pub use athena_session_operator::session::observed::status_size::{StatusLimit, StatusSize};
pub use athena_session_operator::session::observed::{
    ANSWER_LIFE, Absence, Described, LimitsRead, Now, Observed, OwnerRead, Retain, Seen, Trouble,
};
pub use athena_session_operator::session::plan::{Decision, Interest, Prolonged, Step};
pub use athena_session_operator::session::rules::evidence::{Evidence, Proof};
pub use athena_session_operator::session::rules::facts::Facts as View;
pub use athena_session_operator::session::rules::limits::Grace;
pub use athena_session_operator::status::condition;
pub use athena_session_operator::status::event::{Event, EventType};
pub use athena_session_operator::status::reason::{Kinds, Reason, Standing, Tristate};
pub use athena_session_operator::timing::Timing;
pub use athena_session_operator::work_group::status::{GroupFacts, due, only_counts_differ, rates_in_words};

use athena_session_operator::session::rules::case::Case;
use athena_session_operator::session::{conditions, plan};

/// The next step.
pub fn decide(facts: &View<'_>) -> Step {
    plan::decide(facts).step
}

/// The next step, and what follows from it for others.
pub fn decision(facts: &View<'_>) -> Decision {
    plan::decide(facts)
}

/// How the session stands.
pub fn evidence<'a>(facts: &'a View<'a>) -> Evidence<'a> {
    Case::of(facts).evidence
}

/// What is asked of the poller, whatever the next step is.
pub fn interest(facts: &View<'_>) -> Option<Interest> {
    let case = Case::of(facts);
    plan::interest(&case, &conditions::of(&case))
}

/// How urgent the call of this step is.
pub fn priority(facts: &View<'_>, step: &Step) -> Priority {
    plan::priority(&Case::of(facts), step)
}

/// The grace period that the end is in.
pub fn grace(facts: &View<'_>) -> Option<Grace> {
    Case::of(facts).grace
}
