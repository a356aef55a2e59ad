//! athena-session-operator: a Kubernetes operator that ends Amazon Athena for Apache Spark sessions,
//! and waits until Athena says that they have ended.
//!
//! ARCHITECTURE.md has the map. The library exists for the program and its tests.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod api;
pub mod athena;
pub mod bodies;
#[expect(clippy::disallowed_methods, reason = "says how long a problem has lasted")]
pub mod cluster;
pub mod compact;
pub mod config;
#[expect(clippy::disallowed_methods, reason = "an object that waits is reconciled again when its time has come")]
pub mod controller;
#[expect(clippy::disallowed_methods, reason = "an event bears the time, and a number that no other event has")]
pub mod events;
#[expect(clippy::disallowed_methods, reason = "a loop is stuck when it has shown no sign of life for so long")]
pub mod health;
pub mod index;
pub mod kind_deletion;
pub mod kubernetes;
#[expect(clippy::disallowed_methods, reason = "durations and ages are measured")]
pub mod metrics;
pub mod run;
pub mod session;
pub mod status;
pub mod telemetry;
pub mod text;
pub mod timing;
pub(crate) mod watches;
pub mod work_group;
pub mod write_dry_run;
#[expect(clippy::disallowed_methods, reason = "says how long writes have been refused")]
pub mod write_refusals;
