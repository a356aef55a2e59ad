//! What is true of an object and its session: from [`facts::Facts`] to [`case::Case`]. No messages. PURE.

pub mod case;
pub mod engine;
pub mod evidence;
pub mod facts;
pub mod limits;
pub mod ownership;
pub mod start;
pub mod start_request;
pub mod ttl;
pub mod workloads;
