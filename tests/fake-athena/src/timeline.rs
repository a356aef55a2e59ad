//! The states of a session or a calculation, past and planned: the state is a function of time.

use std::time::Duration;

use jiff::Timestamp;

/// What holds from a moment on, until the next step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) at: Timestamp,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
}

/// Steps in the order of time. Those of the future are plans, dropped when something else happens first.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    first: Step,
    later: Vec<Step>,
}

impl Timeline {
    pub(crate) fn starting(at: Timestamp, state: &str) -> Self {
        let first = Step { at, state: state.to_owned(), reason: None };
        Timeline { first, later: Vec::new() }
    }

    pub(crate) fn then(&mut self, at: Timestamp, state: &str, reason: Option<&str>) {
        self.later.push(Step { at, state: state.to_owned(), reason: reason.map(str::to_owned) });
    }

    pub(crate) fn drop_plans(&mut self, now: Timestamp) {
        self.later.truncate(self.steps_until(now));
    }

    /// The step that holds at a moment; none before the first.
    pub(crate) fn at(&self, when: Timestamp) -> Option<&Step> {
        match self.steps_until(when) {
            0 => (self.first.at <= when).then_some(&self.first),
            steps => self.later.get(steps - 1),
        }
    }

    pub(crate) fn state_at(&self, when: Timestamp) -> &str {
        self.at(when).map_or(&self.first.state, |step| &step.state)
    }

    pub(crate) fn started_at(&self) -> Timestamp {
        self.first.at
    }

    fn steps_until(&self, when: Timestamp) -> usize {
        self.later.partition_point(|step| step.at <= when)
    }
}

/// A moment after another one; a delay too long for the calendar means its end.
pub(crate) fn after(at: Timestamp, delay: Duration) -> Timestamp {
    at.checked_add(delay).unwrap_or(Timestamp::MAX)
}

/// A moment before another one.
pub(crate) fn before(at: Timestamp, delay: Duration) -> Timestamp {
    at.checked_sub(delay).unwrap_or(Timestamp::MIN)
}
