//! `AthenaWorkGroup`: who may use which work group of Athena, and by which AWS role.

#[expect(clippy::disallowed_methods, reason = "it gives the time to the pure runs")]
mod clean_up;
pub mod cleanup;
#[expect(clippy::disallowed_methods, reason = "it gives the time to the pure status")]
pub(crate) mod controller;
#[expect(clippy::disallowed_methods, reason = "a condition bears the time")]
mod namespaced;
pub mod status;
