//! `AthenaWorkGroup`: who may use which work group of Athena, and by which AWS role.

pub mod controller;
pub mod declared;
pub mod dependents;
pub mod followed;
pub mod objects;
pub mod places;
pub mod registry;
pub mod status;
pub mod terms;
