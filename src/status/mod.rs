//! What both controllers report to people: reasons, conditions and events.

pub mod condition;
pub mod event;
pub mod failure;
pub mod reason;
