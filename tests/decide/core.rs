//! The parts of the operator that these tests use. Only this file knows in which module of the operator each part
//! stands, so a part moves without a change in the tests.

pub use athena_session_operator::api::cached::{CachedSession, TRACKED_BY};
pub use athena_session_operator::api::session::{
    AthenaSession, AthenaSessionSpec, AthenaSessionStatus, DeletionPolicy, PublishTo, StartAttempt, StartOutcome,
    TerminationReason, WorkGroupRef, Workload, WorkloadKind, WorkloadOutcome, WorkloadRecord,
};
pub use athena_session_operator::api::start::{
    Classification, EngineConfiguration, Monitoring, MonitoringConfiguration, SessionStart, StartBounds,
};
pub use athena_session_operator::api::work_group::{
    AthenaWorkGroup, AthenaWorkGroupSpec, AthenaWorkGroupStatus, Namespaces,
};
pub use athena_session_operator::api::workload::WorkloadState;
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
pub use athena_session_operator::index::access::{Access, Denied, Rules, StartAccess, Suspension, selects};
pub use athena_session_operator::index::claims::{Claim, Location};
pub use athena_session_operator::index::dependents::Dependents;
pub use athena_session_operator::index::session_quota::Usage;
pub use athena_session_operator::index::session_quota::{QuotaExceeded, Slot};
pub use athena_session_operator::session::decide::{Prolonged, Step, decide, prolonged_by_sights};
pub use athena_session_operator::session::limits::grace;
pub use athena_session_operator::session::observed::{Absence, Described, Now, Observed, OwnerRead, Seen, Trouble};
pub use athena_session_operator::session::publish::{Found as FoundConfigMap, Request as ConfigMapRequest};
pub use athena_session_operator::session::starting::usage;
pub use athena_session_operator::session::urgency::priority;
pub use athena_session_operator::session::view::{Evidence, Interest, PASS, Proof, View};
pub use athena_session_operator::status::condition;
pub use athena_session_operator::status::event::{Notice, Severity};
pub use athena_session_operator::status::reason::Reason;
pub use athena_session_operator::timing::Timing;
pub use athena_session_operator::work_group::status::{GroupFacts, due, only_counts_differ, rates_in_words};
