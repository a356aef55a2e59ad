//! When an outage of Athena has ended, by the answers to all calls of one identity in one Region.
//!
//! During an outage each object backs off by itself, for up to minutes. The first answer to any call ends the outage:
//! objects whose calls failed try again at once ([`CallerContext::recovered_at`](super::types::CallerContext)). But an
//! answer to one operation doesn't prove that another operation works, nor that the next call will be answered: in a
//! partial outage half of the calls may fail. So while an operation keeps failing, its back-offs are cut short less and
//! less often.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::types::{CallError, ErrorClass, Operation};

/// This many failures of one operation in a row, for any objects, are an outage.
const OUTAGE: u32 = 3;

/// An operation that works is forgotten when it hasn't failed for this long: its next outage is like its first one.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Counts the failures of all calls, and knows when an outage last ended.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    failures: Mutex<Failures>,
    recovered_at: watch::Sender<Option<Instant>>,
}

/// The operations that fail, or have failed within the last minute. PURE.
#[derive(Debug, Default)]
struct Failures(Vec<Streak>);

#[derive(Debug)]
struct Streak {
    operation: Operation,
    failures: u32,
    /// How many failures in a row the next outage takes.
    outage_from: u32,
    failed_at: Instant,
}

impl Recovery {
    pub(crate) fn observe(&self, operation: Operation, error: Option<&CallError>, now: Instant) {
        if self.failures.lock().observe(operation, error.map(|error| error.class), now) {
            self.recovered_at.send_replace(Some(now));
        }
    }

    pub(crate) fn recovered_at(&self) -> Option<Instant> {
        *self.recovered_at.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Instant>> {
        self.recovered_at.subscribe()
    }
}

impl Failures {
    /// Takes in how a call ended. Returns whether an outage has ended.
    fn observe(&mut self, operation: Operation, class: Option<ErrorClass>, now: Instant) -> bool {
        self.0.retain(|streak| streak.failures > 0 || now.saturating_duration_since(streak.failed_at) < REMEMBERED);
        match class {
            Some(class) if class.is_outage() => {
                self.failed(operation, now);
                false
            }
            // Athena answers, but has too much to do. Further calls at once would be throttled as well.
            Some(ErrorClass::Throttled) => false,
            _ => self.answered(operation),
        }
    }

    fn failed(&mut self, operation: Operation, now: Instant) {
        match self.0.iter_mut().find(|streak| streak.operation == operation) {
            Some(streak) => {
                streak.failures = streak.failures.saturating_add(1);
                streak.failed_at = now;
            }
            None => self.0.push(Streak { operation, failures: 1, outage_from: OUTAGE, failed_at: now }),
        }
    }

    fn answered(&mut self, operation: Operation) -> bool {
        let mut is_over = false;
        for streak in &mut self.0 {
            let is_answered = streak.operation == operation;
            if streak.failures >= streak.outage_from {
                is_over = true;
                // An operation that wasn't answered keeps its failures: the next outage takes twice as many.
                let counted = if is_answered { streak.outage_from } else { streak.failures };
                streak.outage_from = counted.saturating_mul(2);
            }
            if is_answered {
                streak.failures = 0;
            }
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOOK: Operation = Operation::GetSessionStatus;
    const LIST: Operation = Operation::ListSessions;
    const AWAY: Option<ErrorClass> = Some(ErrorClass::Unavailable);

    #[test]
    fn the_first_answer_after_an_outage_ends_it_and_the_next_ones_end_nothing() {
        let now = Instant::now();
        let mut failures = Failures::default();
        (0..3).for_each(|_| assert!(!failures.observe(LOOK, AWAY, now)));
        assert!(!failures.observe(LOOK, Some(ErrorClass::Throttled), now), "it isn't over while Athena throttles");
        assert!(failures.observe(LOOK, None, now));
        assert!(!failures.observe(LOOK, None, now));
        // A refusal is an answer.
        let later = now + REMEMBERED;
        (0..3).for_each(|_| assert!(!failures.observe(LOOK, AWAY, later)));
        assert!(failures.observe(LOOK, Some(ErrorClass::Denied), later));
    }

    /// Otherwise an operation that fails for ever would have no back-off, since each answer to another operation would
    /// end it.
    #[test]
    fn what_goes_on_failing_is_cut_short_less_and_less_often() {
        let now = Instant::now();
        let mut failures = Failures::default();
        let mut cuts = 0;
        for _ in 0..1_000 {
            assert!(!failures.observe(LOOK, AWAY, now));
            cuts += u32::from(failures.observe(LIST, None, now));
        }
        assert_eq!(cuts, 9, "at 3, 6, 12, 24, 48, 96, 192, 384 and 768 failures");
    }

    /// Athena can't answer for one session, and answers for many others.
    #[test]
    fn failures_among_good_answers_are_no_outage() {
        let now = Instant::now();
        let mut failures = Failures::default();
        for _ in 0..100 {
            assert!(!failures.observe(LOOK, AWAY, now));
            assert!(!failures.observe(LOOK, AWAY, now));
            assert!(!failures.observe(LOOK, None, now));
        }
    }

    #[test]
    fn after_a_minute_without_failures_an_outage_is_as_the_first_one() {
        let mut now = Instant::now();
        let mut failures = Failures::default();
        let outage = |failures: &mut Failures, now| {
            (0..3).for_each(|_| assert!(!failures.observe(LOOK, AWAY, now)));
            failures.observe(LOOK, None, now)
        };
        assert!(outage(&mut failures, now));
        now += REMEMBERED - Duration::from_millis(1);
        assert!(!outage(&mut failures, now));
        now += REMEMBERED;
        assert!(outage(&mut failures, now));
    }

    proptest! {
        /// In a partial outage each end of back-offs costs a call of each object that waits.
        #[test]
        fn each_end_of_a_partial_outage_takes_twice_the_failures_of_the_one_before(
            calls in prop::collection::vec((prop::sample::select(vec![LOOK, LIST]), any::<bool>(), 0_u64..2), 0..3_000)
        ) {
            let mut now = Instant::now();
            let mut failures = Failures::default();
            let (mut failed, mut ends) = (0_u32, 0_u32);
            for (operation, is_answered, seconds) in calls {
                now += Duration::from_secs(seconds);
                failed += u32::from(!is_answered);
                ends += u32::from(failures.observe(operation, if is_answered { None } else { AWAY }, now));
            }
            // Each of the two operations has its own count.
            let most = 2 * (failed / OUTAGE + 1).ilog2() + 2;
            prop_assert!(ends <= most, "{ends} ends, {failed} failures");
        }
    }
}
