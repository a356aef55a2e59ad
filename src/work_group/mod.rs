//! `AthenaWorkGroup`: who may use which work group of Athena, and by which AWS role.

pub mod cleanup;
mod cleanup_audit_log;
#[expect(clippy::disallowed_methods, reason = "it gives the time to the pure runs")]
mod cleanup_reconciler;
#[expect(clippy::disallowed_methods, reason = "it gives the time to the pure status")]
pub(crate) mod controller;
#[expect(clippy::disallowed_methods, reason = "a condition bears the time")]
mod namespaced;
pub mod status;
