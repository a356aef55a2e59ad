//! `AthenaWorkGroup`: who may use which work group of Athena, and by which AWS role.

pub mod controller;
pub mod status;
