//! The pure core (decide, observed, status), without Kubernetes, Athena or a clock.
//!
//! - [`decision_table`]: one decision for every combination of what can be known and asked, against the
//!   design's rules; and a table to read.
//! - [`access_table`]: the same for the terms on which an object may use Athena; [`access`], [`work_group_status`]: what those
//!   follow from, and what is said of a work group.
//! - [`termination`], [`retain`], [`absence`], [`absence_proof`], [`retry_and_backoff`], [`recorded_status`], [`forged_status`], [`two_operators`],
//!   [`grants`], [`session_owner`], [`paused_and_read_only`], [`condition_advice`], [`backup_restore`], [`polling`], [`call_priority`], [`limits`], [`engine_versions`], [`access_denied`], [`complete_lists`]: sequences,
//!   one to a test, in a simulated [`world`].
//! - [`contradictory_answers`], [`clock_skew`]: answers that aren't true, by table and by property.
//! - [`session_stories`]: what must hold (S1, S2, S4, S5, L1, L2) in thousands of random worlds. A failure prints the
//!   smallest story that shows it; PROPTEST_CASES sets how many are tried.

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
mod recorded_status;
mod retain;
mod retry_and_backoff;
mod session_owner;
mod session_start;
mod session_stories;
mod start_stories;
mod termination;
mod ttl_after_ended;
mod two_operators;
mod work_group_status;
mod workload_stories;
mod workloads;
mod workloads_without_session;
mod world;
