//! What all watches show together, and what follows for one AthenaSession.

pub mod access;
pub mod claims;
pub mod cluster;
pub mod dependents;
pub mod objects;
pub mod session_quota;
pub mod work_groups;
#[expect(clippy::disallowed_methods, reason = "news of a workload bears the time")]
pub mod workloads;
