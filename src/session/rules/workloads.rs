//! The workloads that an object follows: `spec.endWith` ends its session when all of them have finished. PURE.
//!
//! Only what the API server showed to this process counts. A workload that doesn't exist has finished only if it
//! existed before; `status.workloads` records that for a process that comes later.

use std::time::Instant;

use jiff::Timestamp;

use super::evidence::Evidence;
use super::facts::Facts;
use super::limits;
use super::ownership::Ownership;
use super::start::StartState;
use crate::api::session::{StartOutcome, TerminationReason};
use crate::api::workload::{Workload, WorkloadOutcome, WorkloadRecord, WorkloadState};
use crate::athena::types::SessionState;
use crate::status::condition;

#[derive(Clone, Copy)]
pub struct FollowedWorkloads<'a> {
    facts: &'a Facts<'a>,
    /// The object may follow its workloads.
    may_follow: bool,
    /// The session is TERMINATING, or has ended.
    is_over: bool,
    /// The session has ended, as far as is known. No call depends on its workloads any more.
    pub has_ended: bool,
    /// The workloads are read, and a watch for them wakes the object.
    pub is_followed: bool,
    /// The end that the workloads asked for has begun or is reached. It isn't taken back when a workload is created
    /// again.
    pub is_end_begun: bool,
    /// When the session is to be ended, where all of them have finished.
    pub due_at: Option<Instant>,
    /// The session is to be ended since its workloads have finished.
    pub asks_for_end: bool,
}

impl<'a> FollowedWorkloads<'a> {
    pub(super) fn of(facts: &'a Facts<'a>, start: StartState, whose: &Ownership, evidence: Evidence<'_>) -> Self {
        let has_ended = match evidence {
            Evidence::Alive(_) => false,
            Evidence::Ended | Evidence::Absent => true,
            Evidence::None | Evidence::Unconfirmed(_) | Evidence::Missing(_) => facts.recorded_terminated().is_some(),
        };
        let is_terminating =
            matches!(evidence, Evidence::Alive(seen) if seen.status.state == SessionState::Terminating);
        let mut workloads = Self {
            facts,
            may_follow: may_follow(facts, start, whose),
            is_over: has_ended || is_terminating,
            has_ended,
            is_followed: false,
            is_end_begun: false,
            due_at: None,
            asks_for_end: false,
        };
        workloads.is_followed = workloads.may_follow && (!workloads.is_over || has_ended && workloads.may_any_work());
        workloads.is_end_begun = workloads.is_end_begun(evidence);
        workloads.due_at = workloads.due_at();
        workloads.asks_for_end = workloads.asks_for_end(start);
        workloads
    }

    fn asks_for_end(&self, start: StartState) -> bool {
        if self.all().is_empty() || self.facts.is_deleted() {
            return false;
        }
        // Workloads that finish after the session has ended are not the reason for that end.
        let is_due = self.are_past() && !self.has_ended;
        if start.is_pending() {
            let is_certain = || self.facts.is_held() && self.is_followed && self.is_end_confirmed();
            return self.is_kept_unstarted() || is_due && is_certain();
        }
        self.is_end_begun || is_due
    }

    /// Whether the status records that no session was started because the workloads had finished. That is final.
    fn is_kept_unstarted(&self) -> bool {
        let Some(status) = self.facts.recorded() else { return false };
        let has_started = status.start_attempt.as_ref().is_some_and(|attempt| attempt.outcome == StartOutcome::Started);
        let is_theirs = status.termination_reason == Some(TerminationReason::WorkloadFinished);
        self.facts.recorded_terminated().is_some() && is_theirs && !has_started
    }

    fn is_end_begun(&self, evidence: Evidence<'_>) -> bool {
        let theirs = Some(TerminationReason::WorkloadFinished);
        let is_recorded = self.facts.recorded().is_some_and(|status| status.termination_reason == theirs);
        // TerminateSession was accepted on their account, and Athena may still come to it.
        let is_called = self.facts.observed.session.accepted_for == theirs
            && matches!(evidence, Evidence::Alive(seen) if limits::has_begun(self.facts, seen));
        is_recorded && (is_called || self.is_over)
    }

    fn due_at(&self) -> Option<Instant> {
        let delay = self.facts.timing.end_with?;
        let finished_since = |workload| {
            let reading = self.facts.observed.session.workloads.readings.get(workload)?;
            let has_finished = match reading.state {
                WorkloadState::Absent => self.was_seen(workload),
                WorkloadState::Unfinished { .. } | WorkloadState::Suspended { .. } => false,
                WorkloadState::Finished { .. } => true,
            };
            has_finished.then_some(reading.since.tick)
        };
        let since = self.all().iter().map(finished_since).collect::<Option<Vec<_>>>()?;
        since.into_iter().max().map(|last| last + delay)
    }

    pub fn all(&self) -> &'a [Workload] {
        &self.facts.object.spec.end_with
    }

    /// Whether all workloads finished longer ago than `--end-with-delay`, as far as is known: then no session is started.
    pub fn are_past(&self) -> bool {
        self.due_at.is_some_and(|due| due <= self.facts.now.tick)
    }

    /// Whether each workload was read in this very reconciliation.
    pub fn are_read_anew(&self) -> bool {
        let known = &self.facts.observed.session.workloads;
        let is_new = |workload| known.readings.get(workload).is_some_and(|reading| reading.at >= self.facts.began);
        known.retry.is_none() && self.all().iter().all(is_new)
    }

    /// Whether an end on account of the workloads needs no further read of them.
    pub fn is_end_confirmed(&self) -> bool {
        self.is_end_begun || self.are_read_anew()
    }

    /// How the workload stood when it was read last; None: it hasn't been read.
    pub fn state(&self, workload: &Workload) -> Option<&'a WorkloadState> {
        self.facts.observed.session.workloads.readings.get(workload).map(|reading| &reading.state)
    }

    /// Whether the workload has been there, as this process saw or an earlier one recorded.
    pub fn was_seen(&self, workload: &Workload) -> bool {
        let reading = self.facts.observed.session.workloads.readings.get(workload);
        reading.is_some_and(|reading| reading.uid.is_some()) || self.recorded(workload).is_some()
    }

    /// Whether a workload that the object follows hasn't been read yet.
    pub fn is_any_unread(&self) -> bool {
        self.is_followed && self.all().iter().any(|workload| self.state(workload).is_none())
    }

    pub fn at_work(&self) -> Vec<&'a Workload> {
        let is_at_work = |workload: &&Workload| matches!(self.state(workload), Some(WorkloadState::Unfinished { .. }));
        if self.is_followed { self.all().iter().filter(is_at_work).collect() } else { Vec::new() }
    }

    /// Whether the object must not be deleted for `spec.ttlAfterEnded` yet: its session has ended, a workload hasn't finished,
    /// and the object's condition is what tells people why that workload has no session.
    pub fn keep_object(&self) -> bool {
        let is_there = |workload| self.state(workload).map_or(self.may_work(workload), |state| !state.is_over());
        self.has_ended && self.is_followed && self.all().iter().any(is_there)
    }

    /// When the last workload finished, as far as is known.
    pub fn finished_at(&self) -> Option<Timestamp> {
        self.to_record().iter().filter_map(|record| record.finished_at.as_ref()).map(|at| at.0).max()
    }

    pub fn to_record(&self) -> Vec<WorkloadRecord> {
        if !self.may_follow || self.is_over && !self.has_ended {
            return self.all().iter().filter_map(|workload| self.recorded(workload).cloned()).collect();
        }
        self.all().iter().filter_map(|workload| self.record_of(workload)).collect()
    }

    fn record_of(&self, workload: &Workload) -> Option<WorkloadRecord> {
        let recorded = self.recorded(workload);
        let Some(reading) = self.facts.observed.session.workloads.readings.get(workload) else {
            return recorded.cloned();
        };
        let uid = reading.uid.as_deref().or(recorded.map(|it| it.uid.as_str()))?;
        let before = recorded.filter(|it| it.uid == uid && it.outcome.is_some());
        let (outcome, at) = match &reading.state {
            WorkloadState::Unfinished { .. } | WorkloadState::Suspended { .. } => (None, None),
            WorkloadState::Finished { outcome, at, .. } => (Some(*outcome), *at),
            WorkloadState::Absent => (before.map_or(Some(WorkloadOutcome::Gone), |it| it.outcome), None),
        };
        let found_at = || condition::time(at.unwrap_or(reading.since.wall));
        let finished_at = outcome.map(|_| before.and_then(|it| it.finished_at.clone()).unwrap_or_else(found_at));
        let (kind, name) = (workload.kind, workload.name.clone());
        Some(WorkloadRecord { kind, name, uid: uid.to_owned(), outcome, finished_at })
    }

    fn recorded(&self, workload: &Workload) -> Option<&'a WorkloadRecord> {
        self.facts.recorded()?.workloads.iter().find(|it| it.kind == workload.kind && it.name == workload.name)
    }

    fn may_any_work(&self) -> bool {
        self.all().iter().any(|workload| self.may_work(workload))
    }

    /// Whether the workload is unfinished, or may still be created, as far as is known.
    fn may_work(&self, workload: &Workload) -> bool {
        match self.state(workload) {
            Some(WorkloadState::Finished { .. }) => false,
            Some(WorkloadState::Absent) => !self.was_seen(workload),
            Some(WorkloadState::Unfinished { .. } | WorkloadState::Suspended { .. }) => true,
            None => self.recorded(workload).is_none_or(|record| record.outcome.is_none()),
        }
    }
}

fn may_follow(facts: &Facts<'_>, start: StartState, whose: &Ownership) -> bool {
    let spec = &facts.object.spec;
    let is_wanted = !spec.end_with.is_empty() && facts.timing.end_with.is_some();
    let is_asked_otherwise = spec.terminate || facts.is_deleted();
    // Workloads are followed also while the session is being started, or can't be: they may come and go meanwhile.
    let may_start = start.is_pending() && facts.access.denied.is_none();
    is_wanted && !is_asked_otherwise && (whose.may_know || may_start)
}
