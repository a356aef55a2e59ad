//! What the operator does for one `AthenaSession`: observed → rules → conditions → plan → reconcile.

pub mod act;
mod calls;
pub mod conditions;
pub mod controller;
pub mod errands;
pub mod observed;
pub mod plan;
pub mod rules;
pub mod turns;
