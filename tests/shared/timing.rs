//! The intervals of the tests of pure code: the defaults of the command line.

use std::time::Duration;

use athena_session_operator::timing::Timing;

/// The defaults of the command line.
pub const TIMING: Timing = Timing {
    changing: seconds(2),
    steady: seconds(60),
    confirm_absence: seconds(60),
    terminate_again: seconds(60),
    overdue: seconds(15 * 60),
    backoff_min: seconds(1),
    backoff_max: seconds(5 * 60),
    call_deadline: seconds(10),
    end_with: Some(seconds(30)),
};

pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
