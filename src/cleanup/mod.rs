//! Clean-up by rules: which sessions that no AthenaSession declares are to be ended. PURE: sessions, declarations, tags, rules
//! and the time come in as values, and a verdict with its reason for each session comes out.
//!
//! ```text
//! spec.cleanup ─► policy ─┐
//!                         ├─► verdict (one session) ─► plan (all sessions of a complete list): share, budget, order
//! list, tags, objects ────┘
//! ```
//!
//! The danger is to end a session that somebody works with. So a protection wins over every rule, and everything that isn't
//! known protects: tags that can't be read, a rule that can't be read, a state that isn't known, the mark of another cluster.

pub mod conditions;
pub mod declarations;
pub mod fault;
mod patterns;
pub mod plan;
pub mod policy;
pub mod verdict;
