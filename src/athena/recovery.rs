//! Notices the end of an outage of Athena, by the answers to all calls of one identity in one Region.
//!
//! In an outage each object backs off by itself, for up to minutes. The first good answer to any call shows that the outage
//! is over. [`Scope::recovered_at`](super::port::Scope) holds that moment, and each object tries again at once. A good answer
//! to one operation doesn't prove that another one works: an operation that goes on failing is tried early less and less
//! often.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::port::{CallError, ErrorClass, Operation};

/// So many failures of one operation in a row, for any objects, count as an outage.
const OUTAGE: u32 = 3;

/// Counts failures over all calls, and holds when an outage last ended.
#[derive(Debug, Default)]
pub struct Recovery {
    failures: Mutex<Failures>,
    recovered_at: watch::Sender<Option<Instant>>,
}

/// How often each operation has failed in a row. PURE.
#[derive(Debug, Default)]
struct Failures(Vec<Streak>);

/// An operation that fails.
#[derive(Debug)]
struct Streak {
    operation: Operation,
    failures: u32,
    /// A good answer to another operation counts as the end of an outage only after so many failures.
    counts_from: u32,
}

impl Recovery {
    /// Takes in how a call ended.
    pub fn heard(&self, operation: Operation, error: Option<&CallError>, now: Instant) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.heard(operation, error.map(|error| error.class)) {
            self.recovered_at.send_replace(Some(now));
        }
    }

    /// When an outage ended last.
    #[must_use]
    pub fn recovered_at(&self) -> Option<Instant> {
        *self.recovered_at.borrow()
    }

    /// Tells of the end of each outage from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Instant>> {
        self.recovered_at.subscribe()
    }
}

impl Failures {
    /// Takes in how a call ended. Returns whether that ends an outage.
    fn heard(&mut self, operation: Operation, class: Option<ErrorClass>) -> bool {
        match class {
            Some(class) if class.is_outage() => {
                self.failed(operation);
                false
            }
            // Athena answers, but has too much to do: calling again at once would make that worse.
            Some(ErrorClass::Throttled) => false,
            _ => self.answered(operation),
        }
    }

    fn failed(&mut self, operation: Operation) {
        match self.0.iter_mut().find(|streak| streak.operation == operation) {
            Some(streak) => streak.failures = streak.failures.saturating_add(1),
            None => self.0.push(Streak { operation, failures: 1, counts_from: OUTAGE }),
        }
    }

    fn answered(&mut self, operation: Operation) -> bool {
        let mut is_over = false;
        for streak in &mut self.0 {
            if streak.failures >= streak.counts_from {
                is_over = true;
                streak.counts_from = streak.failures.saturating_mul(2);
            }
        }
        self.0.retain(|streak| streak.operation != operation);
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Operation = Operation::GetSessionStatus;
    const LIST: Operation = Operation::ListSessions;
    const AWAY: Option<ErrorClass> = Some(ErrorClass::Unavailable);

    #[test]
    fn the_first_answer_after_an_outage_ends_it_and_the_next_ones_end_nothing() {
        let mut failures = Failures::default();
        (0..3).for_each(|_| assert!(!failures.heard(LOOK, AWAY)));
        assert!(!failures.heard(LOOK, Some(ErrorClass::Throttled)), "it isn't over while Athena throttles");
        assert!(failures.heard(LOOK, None));
        assert!(!failures.heard(LOOK, None));
        // A refusal is an answer.
        (0..3).for_each(|_| assert!(!failures.heard(LOOK, AWAY)));
        assert!(failures.heard(LOOK, Some(ErrorClass::Denied)));
    }

    /// Otherwise an operation that fails for ever would have no back-off: each answer to another operation would end it.
    #[test]
    fn what_goes_on_failing_is_cut_short_less_and_less_often() {
        let mut failures = Failures::default();
        let mut cuts = 0;
        for _ in 0..1_000 {
            assert!(!failures.heard(LOOK, AWAY));
            cuts += u32::from(failures.heard(LIST, None));
        }
        assert_eq!(cuts, 9, "at 3, 6, 12, 24, 48, 96, 192, 384 and 768 failures");
    }

    /// One session that Athena can't answer for, among many that it can.
    #[test]
    fn failures_among_good_answers_are_no_outage() {
        let mut failures = Failures::default();
        for _ in 0..100 {
            assert!(!failures.heard(LOOK, AWAY));
            assert!(!failures.heard(LOOK, AWAY));
            assert!(!failures.heard(LOOK, None));
        }
    }
}
