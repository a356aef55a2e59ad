//! The intervals: between looks, between retries, until something is reported. PURE.

use std::time::Duration;

use crate::athena::types::ErrorClass;

/// The least wait after Athena had no capacity for another session.
const CAPACITY: Duration = Duration::from_secs(15);

/// Every interval that deciding uses. The command line gives the defaults.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between two looks at a session that is changing.
    pub changing: Duration,
    /// Between two looks at a session that isn't, and between retries that need a person.
    pub steady: Duration,
    /// Between the two answers that prove that a session once seen is absent.
    pub confirm_absence: Duration,
    /// After an accepted TerminateSession without effect, until it is called again.
    pub terminate_again: Duration,
    /// After the end was asked for, until the end is reported as overdue.
    pub overdue: Duration,
    /// The first wait after Athena could not answer.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// The deadline of each call to AWS. After twice as long a call has had its effect, or never will.
    pub call_deadline: Duration,
    /// After the last workload of `spec.endWith` has finished, until the session is ended; None: `spec.endWith` is switched off.
    pub end_with: Option<Duration>,
}

impl Timing {
    /// Between two looks for a session that Athena hasn't known for a long time.
    pub fn rarely(&self) -> Duration {
        self.steady.max(self.backoff_max)
    }

    /// Between the beginnings of two lists that don't show a session, and so prove that none was started. A call that was
    /// under way when the first list began has had its effect when the second one begins.
    pub fn between_proving_lists(&self) -> Duration {
        self.confirm_absence.max(self.call_deadline * 2)
    }

    /// The wait after a failure that so many failures came before. `jitter`, from 0 to 1, takes up to half of the wait away.
    pub fn back_off(&self, failures: u32, jitter: f64) -> Duration {
        let doubled = self.backoff_min.saturating_mul(1 << failures.min(20));
        doubled.min(self.backoff_max).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// The wait after a call of this error class, which so many failures came before.
    pub fn after(&self, class: ErrorClass, failures: u32, jitter: f64) -> Duration {
        match class {
            ErrorClass::Denied | ErrorClass::Invalid | ErrorClass::NotFoundOrInvalid => self.steady,
            ErrorClass::NoCapacity => self.back_off(failures, jitter).max(CAPACITY.min(self.backoff_max)),
            ErrorClass::Throttled
            | ErrorClass::Unavailable
            | ErrorClass::NotConfigured
            | ErrorClass::AlreadyStarted => self.back_off(failures, jitter),
        }
    }
}
