//! Everything that one step depends on. It holds no conclusions: [`super::case`] draws them. PURE.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api;
use crate::api::session::{AthenaSession, AthenaSessionStatus};
use crate::athena::types::CallerContext;
use crate::index::access::{Access, WorkGroupLimits};
use crate::session::observed::{Now, Observed};
use crate::timing::Timing;

#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub object: &'a AthenaSession,
    pub began: Instant,
    /// The API server gave this copy in this very reconciliation: it isn't a cached one.
    pub fresh: bool,
    /// What Athena and the API server have shown to this process.
    pub observed: &'a Observed,
    /// What the object may do in Athena.
    pub access: &'a Access,
    /// A poller looks after the sessions of its work group.
    pub polled: bool,
    pub full_scan_took: Duration,
    /// When the poller began its last complete list of all sessions that haven't ended.
    pub listed_at: Option<Instant>,
    /// Where calls to Athena would go.
    pub scope: &'a CallerContext,
    /// The cluster's id: the UID of the namespace kube-system.
    pub cluster: &'a str,
    pub timing: &'a Timing,
    pub now: Now,
}

impl<'a> Facts<'a> {
    pub fn is_deleted(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    /// Whether the operator answers for the object: our finalizer is on it.
    pub fn is_held(&self) -> bool {
        api::is_held(self.object)
    }

    pub fn session_id(&self) -> Option<&'a str> {
        self.observed.session_id(self.object)
    }

    pub fn id(&self) -> &'a str {
        self.session_id().unwrap_or("(none)")
    }

    pub fn recorded(&self) -> Option<&'a AthenaSessionStatus> {
        self.object.status.as_ref()
    }

    pub fn recorded_condition(&self, type_: &str) -> Option<&'a Condition> {
        self.recorded()?.conditions.iter().find(|condition| condition.type_ == type_)
    }

    /// The condition `Terminated`, where it is recorded as True.
    pub fn recorded_terminated(&self) -> Option<&'a Condition> {
        self.recorded_condition("Terminated").filter(|condition| condition.status == "True")
    }

    pub fn is_end_recorded(&self) -> bool {
        self.recorded().is_some_and(|status| status.termination_requested_at.is_some())
    }

    /// Whether the session was shown to the object while it had a grant.
    pub fn was_adopted(&self) -> bool {
        self.recorded().is_some_and(|status| status.state.is_some())
    }

    /// Whether Athena has ever shown the session, to this process or to an earlier one.
    pub fn once_seen(&self) -> bool {
        self.observed.session.seen.is_some() || self.was_adopted()
    }

    pub fn recorded_work_group(&self) -> Option<&'a str> {
        self.recorded().and_then(|status| status.work_group.as_deref())
    }

    /// The session's work group: from Athena; else the one that it must be in; else as Athena said it to an
    /// earlier process.
    pub fn work_group(&self) -> Option<&'a str> {
        let shown = self.observed.session.work_group.as_deref();
        shown.or(self.access.work_group.as_deref()).or(self.recorded_work_group())
    }

    /// The account that the session was seen in, by this process or else by an earlier one.
    pub fn account(&self) -> Option<&'a str> {
        let recorded = || self.recorded().and_then(|status| status.account_id.as_deref());
        self.observed.session.account.as_deref().or_else(|| self.if_unseen(recorded))
    }

    /// The Region that the session was seen in, by this process or else by an earlier one.
    pub fn region(&self) -> Option<&'a str> {
        let recorded = || self.recorded().and_then(|status| status.region.as_deref());
        self.observed.session.region.as_deref().or_else(|| self.if_unseen(recorded))
    }

    /// What is recorded, unless this process itself has seen the session: the record may be forged.
    fn if_unseen(&self, recorded: impl FnOnce() -> Option<&'a str>) -> Option<&'a str> {
        if self.observed.session.seen.is_some() { None } else { recorded() }
    }

    /// Whether GetSession is denied, and isn't due to be tried again.
    pub fn is_undescribed(&self) -> bool {
        self.observed.session.undescribed.as_ref().is_some_and(|it| it.trouble.retry_at > self.now.tick)
    }

    /// The moment by Athena's clock, which Athena's times are compared with.
    pub fn athena_now(&self) -> Timestamp {
        self.scope.athena_time(self.now.wall)
    }

    /// The limits that the object's AthenaWorkGroup sets for the session. The watch may lag behind what was read in this very
    /// reconciliation, and may be ahead of it a moment later. So a limit counts only where both have it.
    pub fn work_group_limits(&self) -> Option<WorkGroupLimits> {
        let shown = self.access.limits?;
        let read = self.observed.session.work_group_limits.as_ref().filter(|read| read.at >= self.began);
        read.map_or(Some(shown), |read| read.limits.map(|read| shown.in_common_with(read)))
    }

    /// How long from now until a moment; zero where it has passed.
    pub fn until(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.now.tick)
    }
}
