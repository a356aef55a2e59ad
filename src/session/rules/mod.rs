//! What is true of an object and its session: from [`Facts`] to [`Case`]. No messages. PURE.

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

pub use self::case::Case;
pub use self::evidence::{Evidence, Proof};
pub use self::facts::Facts;
