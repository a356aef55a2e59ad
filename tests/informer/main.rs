//! The pure half of the Athena informer, without Athena or a clock.
//!
//! - [`engine`]: when the engine of the work group is asked for.
//! - [`proofs_of_absence`]: one complete list for all objects that ask for a proof of absence.
//! - [`table`]: what the targets of the design cost, in calls.
//! - [`properties`]: what must hold, in thousands of random stories. A failure prints the smallest story that shows
//!   it; PROPTEST_CASES sets how many are tried.
//! - [`last_list`]: what the last complete list showed, while the next one is under way.
//! - [`model`]: a work group, and objects that watch its sessions through the plan.

#![allow(missing_docs, reason = "the tests' names say what they show")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod core;
mod engine;
mod last_list;
mod model;
mod proofs_of_absence;
mod properties;
mod table;
#[path = "../shared/timing.rs"]
mod timing;
