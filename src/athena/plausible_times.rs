//! The times of a session that Athena tells, without those that can't be true. PURE.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::types::{SessionState, SessionStatus};

/// 1 November 2022. Athena for Apache Spark was released at the end of that month.
const ATHENA_BEGAN: Timestamp = Timestamp::constant(1_667_260_800, 0);

/// How far a time of Athena may be ahead of Athena's clock.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// How far the times of one answer may contradict each other.
const SLACK: SignedDuration = SignedDuration::from_mins(1);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlausibleTimes {
    pub started_at: Option<Timestamp>,
    /// Since when the session is idle; None unless its state is IDLE.
    pub idle_since: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub fault: Option<TimeFault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFault {
    BeforeAthena,
    InTheFuture,
    IdleBeforeStart,
    EndBeforeStart,
}

impl fmt::Display for TimeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BeforeAthena => "a time of the session is before Athena for Apache Spark existed",
            Self::InTheFuture => "a time of the session is in the future",
            Self::IdleBeforeStart => "the session has been idle since before its start",
            Self::EndBeforeStart => "the session ended before its start",
        })
    }
}

impl PlausibleTimes {
    pub fn of(status: &SessionStatus, now: Timestamp) -> Self {
        let mut fault = None;
        let mut possible = |time: Option<Timestamp>, after: Option<Timestamp>, otherwise| {
            let found = fault_of(time?, after, now, otherwise);
            fault = fault.or(found);
            if found.is_none() { time } else { None }
        };
        let started_at = possible(status.started_at, None, TimeFault::BeforeAthena);
        let idle_since = if status.state == SessionState::Idle { status.idle_since } else { None };
        let idle_since = possible(idle_since, started_at, TimeFault::IdleBeforeStart);
        let ended_at = possible(status.ended_at, started_at, TimeFault::EndBeforeStart);
        Self { started_at, idle_since, ended_at, fault }
    }
}

/// Whether a time is before Athena for Apache Spark existed. Then it tells nothing.
pub(crate) fn predates_athena(time: Timestamp) -> bool {
    time < ATHENA_BEGAN
}

/// Why this time can't be true; `otherwise` is the fault of a time that isn't after `after`.
fn fault_of(time: Timestamp, after: Option<Timestamp>, now: Timestamp, otherwise: TimeFault) -> Option<TimeFault> {
    if predates_athena(time) {
        Some(TimeFault::BeforeAthena)
    } else if time.duration_since(now) > AHEAD {
        Some(TimeFault::InTheFuture)
    } else if after.is_some_and(|after| after.duration_since(time) > SLACK) {
        Some(otherwise)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Timestamp::from_second(1_800_000_000 + seconds).ok()
    }

    fn times(started: Option<Timestamp>, idle: Option<Timestamp>, ended: Option<Timestamp>) -> PlausibleTimes {
        let (state_change_reason, description, marker, engine) = Default::default();
        let state = SessionState::Idle;
        let (started_at, idle_since, ended_at) = (started, idle, ended);
        let status =
            SessionStatus { state, state_change_reason, started_at, idle_since, ended_at, description, marker, engine };
        PlausibleTimes::of(&status, at(0).unwrap_or(Timestamp::MAX))
    }

    #[test]
    fn a_time_that_cant_be_is_left_out_and_named() {
        let (epoch, future) = (Timestamp::from_second(0).ok(), at(301));
        for (started, idle, ended, kept, fault) in [
            (at(-600), at(-60), None, (true, true, false), None),
            (epoch, at(-60), None, (false, true, false), Some(TimeFault::BeforeAthena)),
            (future, at(-60), None, (false, true, false), Some(TimeFault::InTheFuture)),
            (at(300), None, None, (true, false, false), None),
            (at(-600), at(-661), None, (true, false, false), Some(TimeFault::IdleBeforeStart)),
            (at(-600), at(-660), None, (true, true, false), None),
            (at(-600), future, None, (true, false, false), Some(TimeFault::InTheFuture)),
            (at(-600), None, at(-700), (true, false, false), Some(TimeFault::EndBeforeStart)),
            (at(-600), None, at(-1), (true, false, true), None),
            (None, Some(Timestamp::MAX), Some(Timestamp::MIN), (false, false, false), Some(TimeFault::InTheFuture)),
        ] {
            let times = times(started, idle, ended);
            let found = (times.started_at.is_some(), times.idle_since.is_some(), times.ended_at.is_some());
            assert_eq!((found, times.fault), (kept, fault), "{started:?} {idle:?} {ended:?}");
        }
    }
}
