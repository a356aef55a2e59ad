//! The limits of the AthenaWorkGroup: as they are, as the watch shows them, and as the operator last read them.

use std::time::Duration;

use super::World;
use crate::core::{AthenaSession, LimitsRead, SessionLimits, SessionState, Suspension, WorkGroupLimits};
use crate::fixtures::at;

/// The `spec.limits` of the AthenaWorkGroup.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupLimits {
    real: SessionLimits,
    shown: SessionLimits,
    /// As they were read in this pass.
    read: Option<SessionLimits>,
}

impl GroupLimits {
    pub fn begin_pass(&mut self, is_frozen: bool) {
        self.read = None;
        if !is_frozen {
            self.shown = self.real;
        }
    }

    pub fn lifetime(&self) -> Option<Duration> {
        self.real.max_lifetime.map(Duration::from)
    }

    /// The lifetime that the operator goes by: as it was read in this pass, or else as it is.
    pub fn lifetime_in_pass(&self) -> Option<Duration> {
        self.read.unwrap_or(self.real).max_lifetime.map(Duration::from)
    }

    pub fn idle(&self) -> Option<Duration> {
        self.real.max_idle.map(Duration::from)
    }
}

impl World {
    pub(super) fn set_group_limits(&mut self, lifetime: Option<Duration>, idle: Option<Duration>) {
        self.note_idle_limit();
        self.note_lapsed_lifetime();
        self.around.limits.real =
            SessionLimits { max_lifetime: lifetime.map(Into::into), max_idle: idle.map(Into::into) };
    }

    fn limits_for(&self, object: &AthenaSession, limits: SessionLimits) -> Option<WorkGroupLimits> {
        let is_granted = self.is_bound(object) && self.refusal(object).is_none();
        let suspension = self.around.suspension.filter(|it| *it != Suspension::ObjectPaused);
        (is_granted && limits != SessionLimits::default()).then_some(WorkGroupLimits { limits, suspension })
    }

    pub(super) fn shown_group_limits(&self, object: &AthenaSession) -> Option<WorkGroupLimits> {
        self.limits_for(object, self.around.limits.shown)
    }

    /// The operator reads the AthenaWorkGroup. Returns whether the API server answers.
    pub(super) fn read_group_limits(&mut self, object: &AthenaSession) -> bool {
        if self.api_server_fails(false) {
            return false;
        }
        let limits = self.limits_for(object, self.around.limits.real);
        self.around.limits.read = Some(limits.map(|it| it.limits).unwrap_or_default());
        self.observed.session.work_group_limits = Some(Box::new(LimitsRead { at: at(self.elapsed).tick, limits }));
        true
    }

    /// Whether a limit of the AthenaWorkGroup, as the operator read it in this very pass, is reached in truth.
    pub(super) fn is_group_limit_reached(&self) -> bool {
        let Some(limits) = self.around.limits.read else { return false };
        self.are_reached(limits.max_lifetime, limits.max_idle)
    }

    /// Whether an idle session is idle for longer than the AthenaWorkGroup allows, or seems to be so by what the watch shows.
    pub(super) fn is_idle_beyond_group_limit(&self) -> bool {
        let limits = [self.around.limits.real.max_idle, self.around.limits.shown.max_idle];
        let is_idle = self.session == Some(SessionState::Idle);
        let is_beyond = |limit: kube::core::Duration| self.truth.idle_since + Duration::from(limit) <= self.elapsed;
        is_idle && limits.into_iter().flatten().any(is_beyond)
    }
}
