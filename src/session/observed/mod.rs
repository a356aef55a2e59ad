//! What Athena and the API server have shown to this process. No rules. PURE.

mod answers;
pub mod config_map;
mod object;
pub mod recorded_status;
mod retain;
mod session;
mod start;
pub mod status_size;
mod trouble;
pub mod ttl;
pub mod workloads;

pub use self::answers::{ANSWER_LIFE, Absence, Described, LimitsRead, Now, OwnerRead, Seen};
pub use self::object::Observed;
pub use self::retain::Retain;
pub use self::session::ObservedSession;
pub use self::start::{Answered, Start};
pub use self::trouble::{Retry, Trouble, Undescribed};
