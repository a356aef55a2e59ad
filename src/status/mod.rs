//! Words that both controllers tell people.

pub mod condition;
pub mod event;
pub mod failure;
pub mod reason;
