//! What the operator does for one `AthenaSession`: watch → decide → act → status.

pub mod act;
mod calls;
pub mod conditions;
pub mod controller;
pub mod decide;
pub mod engine;
pub mod errands;
pub mod expiry;
pub mod limits;
pub mod lists;
pub mod notice;
pub mod observed;
pub mod publish;
pub mod record;
pub mod request;
pub mod room;
pub mod setback;
pub mod starting;
pub mod status;
pub mod turns;
pub mod urgency;
pub mod view;
mod without_session;
pub mod workload;
