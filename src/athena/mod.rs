//! Athena, as the operator sees it.

pub mod aws;
pub mod identity;
pub mod port;
