//! Calls to Athena, and what the operator knows of Athena by their answers.

pub(crate) mod aws;
pub(crate) mod clock;
pub(crate) mod denial;
pub mod engine;
pub(crate) mod identity;
pub mod informer;
pub mod marker;
pub(crate) mod plausible_times;
pub mod quota;
pub(crate) mod recovery;
pub mod types;
