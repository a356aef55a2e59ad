//! How far Athena's clock is ahead of ours: what the `Date` of its answers leaves possible.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// Athena's clock.
#[derive(Debug, Default)]
pub struct Clock {
    ahead_by_millis: AtomicI64,
}

impl Clock {
    /// How far it is ahead.
    #[must_use]
    pub fn skew(&self) -> SignedDuration {
        SignedDuration::from_millis(self.ahead_by_millis.load(Ordering::Relaxed))
    }

    /// An answer was dated so, to a request that was sent and answered then, by our clock. The estimate moves only as
    /// far as it must: a `Date` has no fractions, and an answer takes its time.
    pub fn dated(&self, date: Timestamp, sent: Timestamp, received: Timestamp) {
        const SECOND: i64 = 1000;
        let least = date.as_millisecond() - received.as_millisecond();
        let most = date.as_millisecond() + SECOND - sent.as_millisecond();
        // Otherwise somebody has set our clock meanwhile.
        if least <= most {
            let moved = |skew: i64| Some(skew.clamp(least, most));
            let _ = self.ahead_by_millis.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap_or(Timestamp::MAX)
    }

    #[test]
    fn a_clock_that_goes_right_isnt_found_to_go_wrong() {
        let clock = Clock::default();
        for (sent, received) in [(100, 150), (2_990, 3_010), (4_999, 9_000), (9_000, 9_000)] {
            clock.dated(at(received / 1000 * 1000), at(sent), at(received));
            assert_eq!(clock.skew(), SignedDuration::ZERO, "{sent} {received}");
        }
    }

    #[test]
    fn a_clock_that_goes_wrong_is_known_to_the_second_and_its_correction_too() {
        let clock = Clock::default();
        for ahead in [600_000_i64, -600_000, 0] {
            for sent in [100, 700, 1_400] {
                clock.dated(at((sent + 20 + ahead).div_euclid(1000) * 1000), at(sent), at(sent + 40));
            }
            let off = clock.skew().as_millis() - i128::from(ahead);
            assert!(off.abs() <= 1000, "{ahead}: off by {off} ms");
        }
    }

    #[test]
    fn an_answer_before_its_question_tells_nothing() {
        let clock = Clock::default();
        clock.dated(at(5_000), at(60_000), at(0));
        assert_eq!(clock.skew(), SignedDuration::ZERO);
    }
}
