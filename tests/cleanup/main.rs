//! Tests of clean-up by rules: sessions, declarations, tags and rules in, verdicts and a plan out, without Kubernetes, Athena or
//! a clock.
//!
//! - [`verdicts`]: a table of sessions and the verdict on each.
//! - [`budget`]: ends that were reserved, and who counts them.
//! - [`bad_rules`]: rules that can't be read, each of which protects.
//! - [`runs`]: share, budget, order, and two lists in a row.
//! - [`registrations`]: which AthenaWorkGroups stand for one work group, and which of them applies the rules.
//! - [`run_queue`]: whose run is next, where many are due.
//! - [`starvation`]: what fails for good, and the sessions that are to be ended all the same.
//! - [`stories`]: random stories of two operators, in a [`world`] of lists that lag, faults and restarts.
//! - [`properties`]: what holds for random sessions and rules. `PROPTEST_CASES` says how many are tried.

#![allow(missing_docs, reason = "the tests' names say what they show")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_rules;
mod budget;
mod fixtures;
mod properties;
mod registrations;
mod run_queue;
mod runs;
mod starvation;
mod stories;
#[path = "../shared/timing.rs"]
mod timing;
mod verdicts;
mod world;
