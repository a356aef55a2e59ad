//! `AthenaWorkGroup`: who may use which work group of Athena, and by which AWS role.

pub mod controller;
mod declared;
pub mod followed;
pub mod places;
pub mod registry;
pub mod status;
pub mod terms;
