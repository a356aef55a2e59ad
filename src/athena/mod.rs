//! Athena, as the operator sees it.

pub mod aws;
pub mod clock;
pub mod denial;
pub mod engine;
pub mod identity;
pub mod informer;
pub mod marker;
pub mod plausible_times;
pub mod quota;
pub mod recovery;
pub mod types;
