//! athena-session-operator: a Kubernetes operator that starts and ends Amazon Athena for Apache Spark sessions, and
//! waits until Athena says that they have ended.
//!
//! ARCHITECTURE.md has the map. The library exists for the program and its tests.

#![warn(unreachable_pub)]
#![allow(missing_docs, reason = "a comment says what the name doesn't")]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod api;
pub mod athena;
mod bodies;
pub mod cleanup;
#[expect(clippy::disallowed_methods, reason = "waits for ends, and reads the clock that Athena's is compared with")]
pub mod cleanup_command;
#[expect(clippy::disallowed_methods, reason = "says how long a problem has lasted")]
mod cluster;
pub mod config;
mod controller;
#[expect(clippy::disallowed_methods, reason = "an event bears the time, and a number that no other event has")]
mod events;
#[expect(clippy::disallowed_methods, reason = "a loop is stuck when it has shown no sign of life for so long")]
mod health;
pub mod index;
mod kind_deletion;
mod kubernetes;
mod live_declarations;
#[expect(clippy::disallowed_methods, reason = "durations and ages are measured")]
pub mod metrics;
mod run;
#[allow(missing_docs, reason = "names that say all need no comment; only the tests see these")]
pub mod session;
#[allow(missing_docs, reason = "as of session")]
pub mod status;
mod telemetry;
pub mod text;
pub mod timing;
mod watches;
pub mod work_group;
mod write_dry_run;
#[expect(clippy::disallowed_methods, reason = "says how long writes have been refused")]
mod write_refusals;

pub use self::run::main;
