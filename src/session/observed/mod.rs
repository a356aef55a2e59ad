//! What Athena and the API server have shown to this process. No rules. PURE.

pub mod config_map;
mod listing;
mod now;
pub mod recorded_status;
pub mod retry;
mod session;
pub mod status_size;
pub mod ttl;
pub mod workloads;

pub use self::now::{ANSWER_LIFE, Now};
pub use self::session::{Absence, Answered, Described, Observed, OwnerRead, Seen, Start, Trouble, Undescribed};
