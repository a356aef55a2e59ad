//! Words that both controllers tell people.

pub mod condition;
pub mod reason;
