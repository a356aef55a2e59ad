//! The clocks. Whatever decides is told the time.

use std::time::Instant;

use jiff::Timestamp;

use crate::session::observed::Now;

/// The present moment.
pub(super) fn now() -> Now {
    Now { wall: Timestamp::now(), tick: Instant::now() }
}
