//! athena-session-operator: a Kubernetes operator that ends Amazon Athena for Apache Spark sessions,
//! and waits until Athena says that they have ended.
//!
//! ARCHITECTURE.md has the map. The library exists for the program and its tests.

pub mod api;
pub mod athena;
pub mod bodies;
pub mod cluster;
pub mod compact;
pub mod config;
pub mod controller;
pub mod events;
pub mod health;
pub mod index;
pub mod kind_deletion;
pub mod kubernetes;
pub mod metrics;
pub mod run;
pub mod session;
pub mod status;
pub mod telemetry;
pub mod text;
pub mod timing;
pub mod watches;
pub mod work_group;
pub mod write_dry_run;
pub mod write_refusals;
