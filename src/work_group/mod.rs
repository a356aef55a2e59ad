//! `AthenaWorkGroup`: who may use which work group of Athena, and by which AWS role.

pub mod cleanup;
#[expect(clippy::disallowed_methods, reason = "it gives the time to the pure runs")]
mod cleanup_reconciler;
#[expect(clippy::disallowed_methods, reason = "it gives the time to the pure status")]
pub(crate) mod controller;
#[expect(clippy::disallowed_methods, reason = "a condition bears the time")]
mod namespaced;
pub mod status;
