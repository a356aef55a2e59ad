//! The end of a session that is asked for: why, what holds it up, and how long it takes. PURE.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::access::refused;
use super::finding::Finding;
use super::words::{paused, with_way_out};
use crate::api::session::{DeletionPolicy, TerminationReason};
use crate::api::workload::WorkloadOutcome;
use crate::athena::types::SessionState;
use crate::index::access::Suspension;
use crate::session::rules::case::Case;
use crate::session::rules::evidence::Evidence;
use crate::session::rules::limits::{self, Grace, positive};
use crate::status::condition;
use crate::status::reason::Reason;
use crate::text::duration;

/// What keeps an end that is asked for from being begun.
pub(super) fn blocker(case: &Case<'_>) -> Option<Finding> {
    case.end_reason?;
    if let Some(refusal) = case.end_denied_by {
        return Some(refused(case, refusal));
    }
    let (reason, message) = match case.facts.access.suspension? {
        Suspension::ReadOnly if case.requested_end.is_some_and(|asked| asked != TerminationReason::WorkloadFinished) => {
            (Reason::ReadOnly, "The operator runs with --read-only: otherwise it would call TerminateSession now.".to_owned())
        }
        Suspension::ReadOnly => (
            Reason::ReadOnly,
            "The operator runs with --read-only: otherwise it would make sure that the time has come, and then call TerminateSession."
                .to_owned(),
        ),
        Suspension::ObjectPaused | Suspension::WorkGroupPaused => (Reason::Paused, paused(case, "end")?),
    };
    Some(Finding { reason, message: with_way_out(case, message) })
}

/// An end that is asked for, and what is in its way.
pub(super) fn awaited(case: &Case<'_>, sentence: &str) -> Finding {
    let asked = case.end_reason.map_or_else(String::new, |reason| format!("{}: ", why(case, reason)));
    let message = format!("{asked}the session is to be ended. {sentence}");
    Finding { reason: Reason::Terminating, message: with_way_out(case, message) }
}

/// Why the session is ended, as the beginning of a sentence.
pub(super) fn why(case: &Case<'_>, reason: TerminationReason) -> String {
    match reason {
        TerminationReason::ObjectDeleted => "The object was deleted".to_owned(),
        reason => clause(case, reason),
    }
}

/// Why the session is ended, as a part of a sentence.
pub(super) fn clause(case: &Case<'_>, reason: TerminationReason) -> String {
    match reason {
        TerminationReason::WorkloadFinished => workloads_finished(case),
        reason => reason.clause().to_owned(),
    }
}

/// The session finishes what it does before its end.
pub(super) fn draining(case: &Case<'_>, reason: TerminationReason) -> Option<Finding> {
    let Grace { since, until, .. } = case.draining?;
    let message = format!(
        "{}: an end is asked for since {since}. The session is BUSY, and is ended as soon as it isn't any more, or at {until}: \
         lower spec.terminationGracePeriod to end it sooner.",
        why(case, reason)
    );
    Some(Finding { reason: Reason::Draining, message: with_way_out(case, message) })
}

/// When a session that is up is ended.
pub(super) fn ways_to_end(case: &Case<'_>) -> String {
    let spec = &case.facts.object.spec;
    let mut ways = Vec::new();
    if spec.deletion_policy == DeletionPolicy::Terminate {
        ways.push("when this object is deleted".to_owned());
    }
    ways.push("when spec.terminate is set".to_owned());
    if let Some(idle) = spec.max_idle.filter(|it| positive(*it).is_some() && case.keeps_idle()) {
        ways.push(format!("when it has been IDLE for {} (spec.maxIdle)", duration(idle.into())));
    }
    if let Some(at) = lifetime_over_at(case) {
        ways.push(format!("at {at} (spec.maxLifetime)"));
    }
    let retains = match spec.deletion_policy {
        DeletionPolicy::Terminate => "",
        DeletionPolicy::Retain => ". Deleting this object leaves it running, since spec.deletionPolicy is Retain",
    };
    let last = ways.pop().unwrap_or_default();
    let ways = if ways.is_empty() { last } else { format!("{}, or {last}", ways.join(", ")) };
    format!("{ways}{retains}")
}

/// Counted from the first sign, to this process, that the end is under way; of a session that was
/// TERMINATING by then, from when the end was asked for.
pub(super) fn is_overdue(case: &Case<'_>, state: &SessionState) -> bool {
    let facts = case.facts;
    let under_way = case.end_reason.is_some() || *state == SessionState::Terminating;
    let told =
        facts.recorded_condition("Ready").is_some_and(|ready| ready.reason == Reason::TerminationOverdue.as_str());
    let recorded_at = facts.recorded().and_then(|status| status.termination_requested_at.as_ref());
    let is_ended_before = *state == SessionState::Terminating && facts.observed.session.accepted_at.is_none();
    let asked_at = if is_ended_before { recorded_at.map(|time| time.0) } else { None };
    let asked_for = asked_at.and_then(|at| Duration::try_from(facts.athena_now().duration_since(at)).ok());
    let under_way_for =
        facts.observed.session.ending_since.map(|since| facts.now.tick.saturating_duration_since(since));
    let is_due = asked_for.max(under_way_for) >= Some(facts.timing.overdue);
    under_way && (told || is_due)
}

/// The end takes longer than it should.
pub(super) fn overdue(case: &Case<'_>, state: &SessionState) -> Finding {
    let facts = case.facts;
    let id = facts.id();
    let (overdue, steady) = (duration(facts.timing.overdue), duration(facts.timing.steady));
    let message = format!(
        "The session has been ending for more than {overdue}, and Athena still says {state}. It is looked at every \
         {steady}, and asked again to end while it is active. If it stays so, ask AWS support about session {id}."
    );
    Finding { reason: Reason::TerminationOverdue, message: with_way_out(case, message) }
}

/// The last workload that finished: which one, how and when.
pub(super) fn last_finished(case: &Case<'_>) -> Option<String> {
    let records = case.workloads.to_record();
    let last =
        records.iter().filter(|it| it.outcome.is_some()).max_by_key(|it| it.finished_at.as_ref().map(|at| at.0))?;
    let namespace = case.facts.object.namespace().unwrap_or_default();
    let did = last.outcome.map_or("finished", WorkloadOutcome::verb);
    let at = last.finished_at.as_ref().map_or_else(String::new, |at| format!(" at {}", at.0));
    let others = if records.len() > 1 { format!(", the last of {}", records.len()) } else { String::new() };
    Some(format!("{} {namespace}/{} {did}{at}{others}", last.kind.as_str(), last.name))
}

/// That the workloads have finished, and which one was the last, as far as that is known.
pub(super) fn workloads_finished(case: &Case<'_>) -> String {
    last_finished(case).unwrap_or_else(|| "The workloads of spec.endWith have finished".to_owned())
}

/// When the session has lived long enough, where that is limited and known, in whole seconds.
fn lifetime_over_at(case: &Case<'_>) -> Option<Timestamp> {
    let Evidence::Alive(seen) = case.evidence else { return None };
    let longest = case.facts.object.spec.max_lifetime.and_then(positive)?;
    let over_at = limits::after(limits::times(case.facts, seen).started_at?, longest);
    Some(condition::time(over_at).0)
}
