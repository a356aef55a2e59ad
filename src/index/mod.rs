//! What all watches show together, and what follows for one AthenaSession.

pub mod access;
pub mod claims;
pub(crate) mod cluster;
pub mod dependents;
pub(crate) mod objects;
pub mod session_quota;
pub(crate) mod work_groups;
#[expect(clippy::disallowed_methods, reason = "news of a workload bears the time")]
pub(crate) mod workloads;
