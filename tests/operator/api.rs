//! The kinds of the operator, their fields and the words of their conditions, as far as these tests use them. Only this
//! file knows in which module of the operator each of them stands.

pub use athena_session_operator::api::cleanup::{CleanupBudget, RETAINED_TAG};
pub use athena_session_operator::api::session::{AthenaSession, AthenaSessionStatus, StartOutcome, TerminationReason};
pub use athena_session_operator::api::work_group::{AthenaWorkGroup, AthenaWorkGroupStatus};
pub use athena_session_operator::api::workload::WorkloadOutcome;
pub use athena_session_operator::api::{FINALIZER, PAUSED, RESTORED, START_RESTORED, WORK_GROUP_FINALIZER, crds};
pub use athena_session_operator::session::conditions::ORDER;
pub use athena_session_operator::status::reason::{Kinds, Pace, Reason, Standing};
pub use athena_session_operator::work_group::cleanup::hold::REASONS as HOLD_REASONS;
