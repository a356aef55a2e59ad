//! What the operator does for one `AthenaSession`: observed → rules → conditions → plan → reconcile.

pub mod conditions;
pub mod observed;
pub mod plan;
pub mod reconcile;
pub mod rules;
