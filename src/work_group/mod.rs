//! `AthenaWorkGroup`: who may use which work group of Athena, and by which AWS role.

#[expect(clippy::disallowed_methods, reason = "the pass is told the time")]
pub(crate) mod controller;
pub mod status;
