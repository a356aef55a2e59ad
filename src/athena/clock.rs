//! How far Athena's clock is ahead of this machine's, estimated from the `Date` header of Athena's answers.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// Athena has sent no `Date` yet.
const UNKNOWN: i64 = i64::MIN;

/// Athena's clock. The estimate must survive that somebody sets the machine's clock. So Athena's dates are compared
/// with what the machine's clock would show if nobody had set it: the time that it showed when this value was made,
/// plus the time that has passed since by the monotonic clock.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    /// What the machine's clock showed at `began`.
    wall_then: Timestamp,
    ahead_by_millis: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { began: Instant::now(), wall_then: Timestamp::now(), ahead_by_millis: AtomicI64::new(UNKNOWN) }
    }
}

impl Clock {
    /// How far Athena's clock is ahead of the machine's; None before Athena has sent a `Date`.
    pub(crate) fn skew(&self) -> Option<SignedDuration> {
        self.skew_at(Instant::now(), Timestamp::now())
    }

    /// The skew at a moment at which the machine's clock shows `wall`.
    fn skew_at(&self, moment: Instant, wall: Timestamp) -> Option<SignedDuration> {
        let ahead = self.ahead_by_millis.load(Ordering::Relaxed);
        if ahead == UNKNOWN {
            return None;
        }
        Some(self.unset_wall(moment).duration_since(wall) + SignedDuration::from_millis(ahead))
    }

    /// Takes in the `Date` of an answer, and when its request was sent and the answer received. A `Date` has no
    /// fractions of a second, and was written at some moment in between. So a `Date` allows a range of skews, and the
    /// estimate moves into that range.
    pub(crate) fn observe_date(&self, date: Timestamp, sent: Instant, received: Instant) {
        const SECOND: i64 = 1000;
        let least = date.as_millisecond() - self.unset_wall(received).as_millisecond();
        let most = date.as_millisecond() + SECOND - self.unset_wall(sent).as_millisecond();
        let moved = |ahead: i64| Some(if ahead == UNKNOWN { 0 } else { ahead }.clamp(least, most.max(least)));
        let _ = self.ahead_by_millis.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
    }

    /// What the machine's clock would show at this moment if nobody had set it.
    fn unset_wall(&self, moment: Instant) -> Timestamp {
        let passed = SignedDuration::try_from(moment.saturating_duration_since(self.began)).unwrap_or_default();
        self.wall_then.checked_add(passed).unwrap_or(self.wall_then)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: i64 = 1_800_000_000_000;

    fn clock() -> Clock {
        Clock { wall_then: at(0), ..Clock::default() }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(START + millis).unwrap_or(Timestamp::MAX)
    }

    impl Clock {
        fn after(&self, millis: u64) -> Instant {
            self.began + Duration::from_millis(millis)
        }
    }

    #[test]
    fn a_clock_that_goes_right_isnt_found_to_go_wrong() {
        let clock = clock();
        assert_eq!(clock.skew(), None, "nobody has told yet");
        for (sent, received) in [(100, 150), (2_990, 3_010), (4_999, 9_000), (9_000, 9_000)] {
            clock.observe_date(at(received / 1000 * 1000), clock.after(sent), clock.after(received.unsigned_abs()));
            let skew = clock.skew_at(clock.after(received.unsigned_abs()), at(received));
            assert_eq!(skew, Some(SignedDuration::ZERO), "{sent} {received}");
        }
    }

    #[test]
    fn a_clock_that_goes_wrong_is_known_to_the_second_and_its_correction_too() {
        let clock = clock();
        for ahead in [600_000_i64, -600_000, 0] {
            for sent in [100_u64, 700, 1_400] {
                let millis = i64::try_from(sent).unwrap_or_default();
                let date = at((millis + 20 + ahead).div_euclid(1000) * 1000);
                clock.observe_date(date, clock.after(sent), clock.after(sent + 40));
            }
            let skew = clock.skew_at(clock.after(2_000), at(2_000)).unwrap_or(SignedDuration::MAX);
            let off = skew.as_millis() - i128::from(ahead);
            assert!(off.abs() <= 1000, "{ahead}: off by {off} ms");
        }
    }

    /// Also before the next answer.
    #[test]
    fn a_machine_whose_clock_is_set_moves_athenas_time_by_nothing() {
        let clock = clock();
        clock.observe_date(at(1_000), clock.after(1_000), clock.after(1_020));
        for set_by in [36_000_000, -36_000_000] {
            let wall = at(2_000 + set_by);
            let skew = clock.skew_at(clock.after(2_000), wall).unwrap_or(SignedDuration::MAX);
            let athena = wall.checked_add(skew).unwrap_or(Timestamp::MAX);
            assert!(athena.duration_since(at(2_000)).abs() <= SignedDuration::from_secs(1), "{set_by}: {athena}");
        }
    }
}
