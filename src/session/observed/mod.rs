//! What Athena and the API server have shown to this process. No rules. PURE.

mod answers;
pub mod config_map;
mod now;
pub mod recorded_status;
pub mod retry;
mod session;
mod start;
pub mod status_size;
mod trouble;
pub mod ttl;
pub mod workloads;

pub use self::answers::{Absence, Described, OwnerRead, Seen};
pub use self::now::{ANSWER_LIFE, Now};
pub use self::session::Observed;
pub use self::start::{Answered, Start};
pub use self::trouble::{Trouble, Undescribed};
