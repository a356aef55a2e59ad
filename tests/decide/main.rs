//! Tests of the pure core: facts in, one step out, without Kubernetes, Athena or a clock. The labels S1 to S8, L1 and
//! L2 are the invariants of docs/design/invariants.md.
//!
//! Tables:
//! - [`decision_table`]: one decision for each of 200,000 combinations of facts, checked against the rules of the
//!   design.
//! - [`access_table`]: one decision for each combination of grant, owner, suspension and request.
//!
//! Random stories, whose failures print the smallest story that fails. `PROPTEST_CASES` says how many are tried:
//! - [`session_stories`]: objects that name a session. [`start_stories`]: objects that start a session.
//! - [`limit_stories`]: limits and grace periods. [`workload_stories`]: Jobs, Pods and ConfigMaps.
//!
//! Scenarios, one a test, in a simulated [`world`]: all other files, each named after its subject. The files
//! `adversarial_*` have the orders of events that an attacker would choose, or that once led to a mistake.

#![allow(missing_docs, reason = "the tests' names say what they show")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod absence;
mod absence_proof;
mod access;
mod access_denied;
mod access_table;
mod adversarial_limits_and_workloads;
mod adversarial_starts;
mod backup_restore;
mod call_priority;
mod clock_skew;
mod complete_lists;
mod condition_advice;
mod config_map;
mod contradictory_answers;
mod core;
mod decision_table;
mod engine_versions;
mod fixtures;
mod forged_status;
mod grants;
mod limit_stories;
mod limits;
mod paused_and_read_only;
mod polling;
mod reasons;
mod recorded_status;
mod retain;
mod retry_and_backoff;
mod session_owner;
mod session_start;
mod session_stories;
mod start_stories;
mod status_size;
mod termination;
#[path = "../shared/timing.rs"]
mod timing;
mod ttl_after_ended;
mod two_operators;
mod work_group_limits;
mod work_group_status;
mod workload_stories;
mod workloads;
mod workloads_without_session;
mod world;
