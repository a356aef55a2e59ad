//! What follows from the facts, worked out once for each step. PURE.

use std::time::Duration;

use super::evidence::{self, Evidence};
use super::facts::Facts;
use super::limits::{self, Grace, Limit};
use super::ownership::Ownership;
use super::start::{Start, StartState};
use super::workloads::FollowedWorkloads;
use crate::api::session::{DeletionPolicy, TerminationReason};
use crate::athena::types::SessionState;
use crate::index::access::{Denied, Suspension};
use crate::session::observed::Seen;

#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub facts: &'a Facts<'a>,
    pub start: Start<'a>,
    pub whose: Ownership,
    pub evidence: Evidence<'a>,
    pub workloads: FollowedWorkloads<'a>,
    /// The limit that the session reaches first.
    pub limit: Option<Limit>,
    /// The limit of the AthenaWorkGroup that the session reaches first.
    work_group_limit: Option<Limit>,
    /// The limit that asks for the end, where one does.
    pub ending_limit: Option<Limit>,
    /// Which end the object's metadata and spec ask for.
    pub requested_end: Option<TerminationReason>,
    /// Why the session is to be ended: that is asked for, its workloads have finished, or a limit is reached. What the status
    /// says asks for nothing.
    pub end_reason: Option<TerminationReason>,
    /// Why the session is to be ended, or was ended. Once the session ends, Athena doesn't show any more that a limit
    /// was reached, so the recorded reason counts. A recorded reason never causes an end.
    pub end_cause: Option<TerminationReason>,
    /// Whose limit it is, where Athena's own idle timeout has ended a session that this object started.
    pub idled_out: Option<TerminationReason>,
    /// Why the session may not be ended: what the object itself started is ended also where its namespace isn't selected any
    /// more.
    pub end_denied_by: Option<Denied>,
    pub grace: Option<Grace>,
    /// The grace period where the session uses it. An end that has been begun isn't held up any more.
    pub draining: Option<Grace>,
    /// A call in this very reconciliation has shown the session's state, so TerminateSession may follow at once.
    pub is_certain: bool,
}

impl<'a> Case<'a> {
    pub fn of(facts: &'a Facts<'a>) -> Self {
        let start = Start::of(facts);
        let whose = Ownership::of(facts, start.state);
        let evidence = Evidence::of(facts, &whose);
        let workloads = FollowedWorkloads::of(facts, start.state, &whose, evidence);
        let limit = Limit::first(facts, evidence);
        let work_group_limit = Limit::first_of_work_group(facts, evidence);
        let requested_end = requested_end(facts, &workloads);
        let ending_limit = ending_limit(facts, evidence, requested_end, limit, work_group_limit);
        let end_reason = ending_limit.map(|limit| limit.bound.reason()).or(requested_end);
        let idled_out = limits::idled_out(facts, start.state, evidence);
        let is_begun = matches!(evidence, Evidence::Alive(seen) if limits::has_begun(facts, seen));
        let grace = if end_reason.is_some() { Grace::of(facts, ending_limit) } else { None };
        let is_certain = match evidence {
            Evidence::Alive(seen) => limits::is_certain(facts, ending_limit, seen),
            _ => false,
        };
        Self {
            facts,
            start,
            whose,
            evidence,
            workloads,
            limit,
            work_group_limit,
            ending_limit,
            requested_end,
            end_reason,
            end_cause: end_reason.or(recorded_limit(facts, evidence, is_begun)).or(idled_out),
            idled_out,
            end_denied_by: facts.access.denied.filter(|it| !(start.is_started() && *it == Denied::NamespaceNotAllowed)),
            grace,
            draining: if is_busy(evidence) && !is_begun { grace } else { None },
            is_certain,
        }
    }

    /// How long from now until the session reaches the next limit. The AthenaWorkGroup's limit may end a session whose own
    /// limit is reached and held up.
    pub fn next_limit_in(&self) -> Option<Duration> {
        let limits = [self.limit, self.work_group_limit].into_iter().flatten();
        limits.filter_map(|limit| limit.due_in(self.facts)).min()
    }

    /// What holds up the end that is asked for.
    pub fn suspension(&self) -> Option<Suspension> {
        match self.facts.work_group_limits() {
            Some(of_work_group) if self.end_reason == Some(TerminationReason::WorkGroupLimit) => {
                of_work_group.suspension
            }
            _ => self.facts.access.suspension,
        }
    }

    /// Whether the status says that an end is asked for, and that the AthenaWorkGroup's limit asks for it where it does.
    pub fn is_end_recorded(&self) -> bool {
        let is_by_work_group = |it| it == Some(TerminationReason::WorkGroupLimit);
        let recorded = self.facts.recorded().and_then(|status| status.termination_reason);
        self.facts.is_end_recorded() && (!is_by_work_group(self.end_reason) || is_by_work_group(recorded))
    }

    /// Whether an end is asked for of what the object may have started: our finalizer alone, which anybody may write on
    /// an object of his own, is no sign of that.
    pub fn ends_its_own(&self) -> bool {
        let start = &self.facts.observed.start;
        let is_recorded = self.facts.recorded().is_some_and(|it| it.start_attempt.is_some() || it.session_id.is_some());
        let may_have_started = start.id.is_some() || start.called_at.is_some() || is_recorded;
        self.start.state != StartState::NotAsked && self.end_reason.is_some() && may_have_started
    }

    /// Whether an end was seen that lets the finalizer be removed. The end counts even where the object refers to
    /// another work group by now than the one that the session was seen in.
    pub fn has_ended(&self) -> bool {
        let was_ours = self.whose.is_foreign && self.whose.was_ours;
        let has_ended = |seen: &Seen| seen.status.state.is_ended() && evidence::is_confirmed(self.facts, seen);
        self.evidence == Evidence::Ended || was_ours && self.facts.observed.session.seen.as_ref().is_some_and(has_ended)
    }

    /// Whether the session has ended, or is proven not to exist any more: nothing is asked after that.
    pub fn is_end_final(&self) -> bool {
        self.evidence == Evidence::Ended || self.evidence == Evidence::Absent && self.facts.once_seen()
    }

    /// Whether an idle session will be ended by `spec.maxIdle`. The operator can do so only where Athena says since when the
    /// session is idle. A session that this object started has Athena's own idle timeout, too, so Athena ends that one.
    pub fn keeps_idle(&self) -> bool {
        let Evidence::Alive(seen) = self.evidence else { return true };
        let is_untold = match seen.status.state {
            SessionState::Idle => limits::times(self.facts, seen).idle_since.is_none(),
            // On Spark 3.5 a session stays CREATED for as long as nobody connects.
            SessionState::Created => true,
            _ => false,
        };
        self.start.is_started() || !is_untold
    }

    /// Whether the end that is asked for is reached already, since no session was started.
    pub fn ends_nothing(&self) -> bool {
        self.start.state.is_none_shown() && self.end_reason.is_some()
    }
}

/// The limit that asks for the end: the one that is reached first, if no end is asked for otherwise; and the AthenaWorkGroup's
/// wherever the object holds up its own end, by the annotation `paused` or by its grace period. Otherwise an object could put
/// off the AthenaWorkGroup's limit.
fn ending_limit(
    facts: &Facts<'_>,
    evidence: Evidence<'_>,
    requested_end: Option<TerminationReason>,
    limit: Option<Limit>,
    work_group_limit: Option<Limit>,
) -> Option<Limit> {
    let reached = |limit: &Limit| limit.reached_for(facts).is_some();
    let own = if requested_end.is_some() { None } else { limit.filter(reached) };
    let is_paused = facts.access.suspension == Some(Suspension::ObjectPaused);
    let is_held_up = is_paused || is_busy(evidence) && Grace::of(facts, own).is_some();
    work_group_limit.filter(|limit| is_held_up && reached(limit)).or(own)
}

fn is_busy(evidence: Evidence<'_>) -> bool {
    matches!(evidence, Evidence::Alive(seen) if seen.status.state == SessionState::Busy)
}

fn requested_end(facts: &Facts<'_>, workloads: &FollowedWorkloads<'_>) -> Option<TerminationReason> {
    let spec = &facts.object.spec;
    if spec.terminate {
        Some(TerminationReason::RequestedBySpec)
    } else if facts.is_deleted() && spec.deletion_policy == DeletionPolicy::Terminate {
        Some(TerminationReason::ObjectDeleted)
    } else if workloads.asks_for_end {
        Some(TerminationReason::WorkloadFinished)
    } else {
        None
    }
}

/// The limit that is recorded as the reason of an end, unless the session goes on.
fn recorded_limit(facts: &Facts<'_>, evidence: Evidence<'_>, is_begun: bool) -> Option<TerminationReason> {
    let recorded = facts.recorded().and_then(|status| status.termination_reason)?;
    let goes_on = match evidence {
        Evidence::Alive(seen) => seen.status.state != SessionState::Terminating && !is_begun,
        _ => false,
    };
    (recorded.is_limit() && !goes_on).then_some(recorded)
}
