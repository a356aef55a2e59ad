//! The pure core (decide, observed, status), without Kubernetes, Athena or a clock.
//!
//! - [`table`]: one decision for every combination of what can be known and asked, against the
//!   design's rules; and a table to read.
//! - [`terms_table`]: the same for the terms on which an object may use Athena; [`terms`], [`group_status`]: what those
//!   follow from, and what is said of a work group.
//! - [`ending`], [`retain`], [`absence`], [`proof`], [`trouble`], [`record`], [`forged`], [`contention`],
//!   [`grants`], [`owners`], [`brakes`], [`on_record`], [`restored`], [`polled`], [`urgency`], [`limits`], [`engines`], [`denied`], [`lists`]: sequences,
//!   one to a test, in a simulated [`world`].
//! - [`contradictions`], [`doubtful_times`]: answers that aren't true, by table and by property.
//! - [`properties`]: what must hold (S1, S2, S4, S5, L1, L2) in thousands of random worlds. A failure prints the
//!   smallest story that shows it; PROPTEST_CASES sets how many are tried.

#![allow(missing_docs, reason = "the tests' names say what they show")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod absence;
mod attacks_beside;
mod attacks_on_starts;
mod beside_stories;
mod brakes;
mod contention;
mod contradictions;
mod core;
mod denied;
mod doubtful_times;
mod ending;
mod engines;
mod expiry;
mod fixtures;
mod forged;
mod grants;
mod group_status;
mod limit_stories;
mod limits;
mod lists;
mod on_record;
mod owners;
mod polled;
mod proof;
mod properties;
mod publishing;
mod record;
mod restored;
mod retain;
mod start_stories;
mod starting;
mod table;
mod terms;
mod terms_table;
mod trouble;
mod urgency;
mod without_session;
mod workload;
mod world;
