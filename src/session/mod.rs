//! What the operator does for one `AthenaSession`: observed → rules → conditions → plan → reconcile.

pub mod conditions;
pub mod observed;
pub mod plan;
#[expect(clippy::disallowed_methods, reason = "it gives the time to decide, which is pure")]
pub mod reconcile;
pub mod rules;
