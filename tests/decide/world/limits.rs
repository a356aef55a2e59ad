//! The limits of a session's life by the truth of this world: when the session was started, and since when it is idle.
//! S1 is checked here for ends by a limit, and so is that no BUSY session loses its grace period.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::Duration as Asked;

use super::World;
use crate::core::{AthenaSession, SessionState, SessionStatus};
use crate::fixtures::{at, seconds};

/// How much a clock may be off that is read from answers.
const SLACK: Duration = seconds(1);
/// How old an answer about the session may be when TerminateSession is called, and how long that call takes.
const STEPS: Duration = Duration::from_millis(2100);

/// The times of the session by the truth of this world, and the times that Athena claims.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub idle_since: Duration,
    pub started_at: Duration,
    pub ended_at: Option<Duration>,
    /// When Athena says that the session was started, if that isn't the truth.
    pub said_started_at: Option<Timestamp>,
    /// Since when Athena says that the session is idle, if that isn't the truth.
    pub said_idle_since: Option<Timestamp>,
    /// When Athena says that the session ended, if that isn't the truth.
    pub said_ended_at: Option<Timestamp>,
    /// When the first end was asked for, by the object's deletion or spec.
    pub asked_at: Option<Duration>,
    /// When a limit was reached that isn't reached any more. Kept until the operator sees that nobody asks for an end.
    pub lapsed_at: Option<Duration>,
    /// Whether `maxIdle` was reached. Kept until the operator sees that nobody asks for an end.
    pub was_idle_too_long: bool,
    /// When the operator last called Athena for this session, and the state and the idle time of that moment.
    looked: Option<(Duration, Option<SessionState>, Duration)>,
}

impl World {
    /// Adds the times that Athena shows, by Athena's clock.
    pub(super) fn dated(&self, status: SessionStatus) -> SessionStatus {
        let moment = |elapsed: Duration| -> Option<Timestamp> { Some(self.scope.athena_time(at(elapsed).wall)) };
        // Athena may show the idle time also of a session that isn't idle.
        let idle_since = self.truth.said_idle_since.or(moment(self.truth.idle_since));
        let ended_at = self.truth.said_ended_at.or(self.truth.ended_at.and_then(moment));
        let started_at = self.truth.said_started_at.or(moment(self.truth.started_at));
        SessionStatus { started_at, idle_since, ended_at, ..status }
    }

    pub(super) fn has_looked(&mut self) {
        self.truth.looked = Some((self.elapsed, self.session.clone(), self.truth.idle_since));
    }

    /// Whether a limit of the object is reached in truth, as far as a look could tell.
    pub(super) fn is_limit_reached(&self, object: &AthenaSession) -> bool {
        self.are_reached(object.spec.max_lifetime, object.spec.max_idle)
    }

    /// Whether one of these limits is reached in truth, as far as a look could tell.
    pub(super) fn are_reached(&self, lifetime: Option<Asked>, idle: Option<Asked>) -> bool {
        let Some((looked_at, state, idle_since)) = &self.truth.looked else { return false };
        let is_young = self.elapsed <= *looked_at + STEPS;
        let reached = |limit: Option<Asked>, since: Duration| {
            limit.is_some_and(|limit| since + Duration::from(limit) <= *looked_at + SLACK)
        };
        let is_idle = *state == Some(SessionState::Idle);
        is_young && (reached(lifetime, self.truth.started_at) || is_idle && reached(idle, *idle_since))
    }

    /// When the first limit of the session's lifetime is reached, the object's own or `of_group`, the AthenaWorkGroup's.
    fn lifetime_over_at(&self, of_group: Option<Duration>) -> Option<Duration> {
        let own = self.object.as_ref()?.spec.max_lifetime.map(Duration::from);
        let limit = own.into_iter().chain(of_group).min()?;
        Some(self.truth.started_at + limit)
    }

    /// Notes that a limit of the lifetime is reached, before it changes.
    pub(super) fn note_lapsed_lifetime(&mut self) {
        let of_group = self.around.limits.lifetime();
        let lapsed_at = self.lifetime_over_at(of_group).filter(|over_at| *over_at <= self.elapsed);
        self.truth.lapsed_at = self.truth.lapsed_at.or(lapsed_at);
    }

    pub(super) fn set_lifetime(&mut self, lifetime: Option<Duration>) {
        self.note_lapsed_lifetime();
        self.set(|spec| spec.max_lifetime = lifetime.map(Into::into));
    }

    /// Notes that `maxIdle` was reached. An end by `maxIdle` is asked for from the list that shows the limit reached
    /// until the operator sees that nobody asks. Lists lag, so the moment isn't kept.
    pub(super) fn note_idle_limit(&mut self) {
        let limit = self.object.as_ref().and_then(|object| object.spec.max_idle).map(Duration::from);
        let is_idle = self.session == Some(SessionState::Idle);
        self.truth.was_idle_too_long |= self.is_idle_beyond_group_limit();
        self.truth.was_idle_too_long |=
            is_idle && limit.is_some_and(|limit| self.truth.idle_since + limit <= self.elapsed);
    }

    /// Checks that TerminateSession isn't called for a BUSY session within its grace period.
    pub(super) fn check_grace(&mut self, object: &AthenaSession) {
        let Some(grace) = object.spec.termination_grace_period.map(Duration::from) else { return };
        // An end by the AthenaWorkGroup's limit waits no longer than that limit is. An administrator may change the limit
        // between the operator's last read and TerminateSession: the limit that was read counts.
        let of_group = self.around.limits.lifetime_in_pass();
        let reached = of_group.filter(|limit| self.truth.started_at + *limit <= self.elapsed);
        let grace = reached.map_or(grace, |limit| limit.min(grace));
        // Two cases aren't checked. Where only the record says since when an end is asked for, a forged record can
        // shorten the period. And this world doesn't keep when workloads have finished.
        if !object.spec.end_with.is_empty() || self.truth.was_idle_too_long {
            return;
        }
        let is_deletion = object.metadata.deletion_timestamp.is_some() && !object.spec.terminate;
        if self.around.is_forged && !is_deletion {
            return;
        }
        let earliest =
            [self.truth.asked_at, self.truth.lapsed_at, self.lifetime_over_at(of_group)].into_iter().flatten().min();
        let is_over = earliest.is_none_or(|earliest| earliest + grace <= self.elapsed + SLACK);
        let was_busy = match &self.truth.looked {
            Some((looked_at, state, _)) if self.elapsed <= *looked_at + STEPS => *state == Some(SessionState::Busy),
            _ => true,
        };
        if was_busy && !is_over {
            let uid = object.uid();
            let now = self.elapsed;
            self.breach(format!(
                "TerminateSession of a BUSY session within its grace period: {uid:?}, after {now:?}, asked for after {earliest:?}"
            ));
        }
    }
}
