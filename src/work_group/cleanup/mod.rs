//! Clean-up of a work group's sessions by `spec.cleanup`: which request is next, and what is reported. PURE: no client, no clock,
//! nothing async.
//!
//! ```text
//! AthenaWorkGroups of one work group ─► registrations: whose run it is, the rules, what holds it ─┐
//! complete list ─► run: tags ─► share and budget ─► reservation ─► for each session that is due:  ◄┘
//!                       tags, status and declarations at this moment ─► the same verdict ─► end
//! ```
//!
//! A run makes one request at a time: [`run::Run::next`] names it, and the answer is handed in. A dry run differs in one thing: where
//! a session would be ended, the run notes that. So what a dry run reports is what would be done.

mod candidate;
pub mod facts;
pub mod hold;
pub mod memory;
pub mod queue;
pub mod registrations;
pub mod report;
pub mod run;
