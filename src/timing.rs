//! How long everything waits. PURE.

use std::time::Duration;

use crate::athena::types::ErrorClass;

/// The least wait after Athena had no room for another session.
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
    pub recall: Duration,
    /// After the end was asked for, until it is reported as overdue.
    pub overdue: Duration,
    /// The first wait after Athena could not answer.
    pub backoff_min: Duration,
    /// The longest such wait.
    pub backoff_max: Duration,
    /// The deadline of each call to AWS: what was sent so long ago has come to pass, or won't.
    pub call_deadline: Duration,
    /// After the last workload of `spec.endWith` has finished, until its session is ended; None: that is switched off.
    pub end_with: Option<Duration>,
}

impl Timing {
    /// Between two looks for a session that Athena hasn't known for long.
    #[must_use]
    pub fn rarely(&self) -> Duration {
        self.steady.max(self.backoff_max)
    }

    /// Between the beginnings of two listings without a session, which prove that none was started: a call that was under
    /// way at the first has come to pass by the second.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        self.confirm_absence.max(self.call_deadline * 2)
    }

    /// The wait after so many failures before this one. `jitter`, from 0 to 1, takes up to half of it away.
    #[must_use]
    pub fn back_off(&self, failures: u32, jitter: f64) -> Duration {
        let doubled = self.backoff_min.saturating_mul(1 << failures.min(20));
        doubled.min(self.backoff_max).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// The wait after a call that failed so, after so many failures before this one.
    #[must_use]
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
